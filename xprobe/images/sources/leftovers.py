"""What folders hold besides pictures of their class: left out, counted by kind, and said."""

from __future__ import annotations

import warnings
from collections import Counter
from dataclasses import dataclass

from xprobe.base.errors import XprobeWarning, first_few


@dataclass(frozen=True)
class Kind:
    """A kind of file or folder that is left out.

    Attributes:
        words: what several of it are called.
        remedy: how to have it read all the same.
    """

    words: str
    remedy: str


_RENAME = "to keep them as pictures, rename them or list them in a manifest"

MASKS = Kind("label masks", _RENAME)
THUMBNAILS = Kind("thumbnails", _RENAME)
HIDDEN = Kind("hidden or system files and folders", "rename pictures among them to keep them")
FORMATS = Kind("images in formats that are not read", "convert them to PNG or JPEG")
ARCHIVES = Kind("archives", "unpack them if they hold images")
VIDEOS = Kind("videos", "save their frames as images if they are to count")
OTHERS = Kind(
    "files that are no images by their name", "rename images among them, such as to 1.png"
)
LOOSE = Kind("images that lie in no class folder", "move them into the folder of their class")
METADATA = Kind(
    "tables of Hugging Face's imagefolder beside class folders",
    "the folders say the classes; to use its columns, rename file_name to path, add source (real "
    "or synthetic), and name the table as DATA",
)
UNLISTED = Kind(
    "images that the manifest.csv of their folder does not list",
    "add rows for them, or give that file another name to have the folders read",
)
SYNTHETIC_TESTS = Kind(
    "synthetic images of splits that are not trained with", "tests are on real images alone"
)

_KIND_OF = dict.fromkeys(
    ("avif", "heic", "heif", "jp2", "j2k", "jpx", "jxl", "ppm", "pgm", "pbm", "pnm", "tga", "svg",
     "ico", "icns", "psd", "exr", "hdr", "pcx", "sgi", "dds", "eps", "raw", "cr2", "cr3", "nef",
     "arw", "dng", "orf", "rw2", "apng", "vrt", "img", "hdf", "nc", "npy"), FORMATS
)  # fmt: skip
_KIND_OF |= dict.fromkeys(
    ("zip", "tar", "gz", "tgz", "bz2", "xz", "zst", "7z", "rar", "tfrecord"), ARCHIVES
)
_KIND_OF |= dict.fromkeys(
    ("mp4", "avi", "mov", "mkv", "webm", "mpg", "mpeg", "m4v", "wmv", "flv"), VIDEOS
)


METADATA_FILES = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Names of the tables in which Hugging Face's imagefolder says more of pictures."""


def kind_of_file(name: str) -> Kind:
    """Return the kind of a file of a name that has no suffix of an image."""
    stem, _, suffix = name.rpartition(".")
    return _KIND_OF.get(suffix.lower(), OTHERS) if stem else OTHERS


class LeftOut:
    """Counts what is left out, by kind."""

    def __init__(self) -> None:
        self._counts: dict[Kind, Counter[str]] = {}
        self._example: dict[Kind, str] = {}

    def add(self, kind: Kind, path: str, word: str = "", n: int = 1) -> None:
        """Count something of a path; `word` tells those of a kind apart, such as their suffix."""
        self._counts.setdefault(kind, Counter())[word] += n
        self._example.setdefault(kind, path)

    def add_file(self, path: str) -> None:
        """Count a file that has no suffix of an image."""
        name = path.replace("\\", "/").rpartition("/")[2]
        stem, _, suffix = name.rpartition(".")
        self.add(kind_of_file(name), path, f".{suffix.lower()}" if stem else "without suffix")

    def of_kind(self, kind: Kind) -> tuple[int, str]:
        """Return how many of a kind are left out, and the path of one, ``""`` if there are none."""
        return sum(self._counts.get(kind, Counter()).values()), self._example.get(kind, "")

    @property
    def lines(self) -> list[str]:
        """What was left out, a line a kind: how many, of which sort, an example, the remedy."""
        return [
            f"left out {kind.words}: {sum(counts.values())}{_sorts(counts)}, such as "
            f"{self._example[kind]}; {kind.remedy}"
            for kind, counts in self._counts.items()
        ]

    def tell(self, where: str = "") -> None:
        """Warn of what was left out; `where` goes before each line, if it is not empty."""
        for line in self.lines:
            warnings.warn(f"{where}: {line}" if where else line, XprobeWarning, stacklevel=4)


def _sorts(counts: Counter[str]) -> str:
    sorts = [f"{n} {word}" for word, n in counts.most_common() if word]
    return f" ({first_few(sorts)})" if sorts else ""
