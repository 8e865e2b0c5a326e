"""The sources of images: one row each, which says what DATA it recognises and how it is read."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xprobe.base.errors import OptionError, XprobeError, XprobeNote, did_you_mean
from xprobe.base.registry import Registry, by_name

if TYPE_CHECKING:
    from xprobe.images.config import FormConfig
    from xprobe.images.manifest import Row

    Reader = Callable[[Path, str, FormConfig], tuple[Iterable[Row], Path]]


# Suffixes of files that are data sets, besides those of tables.
_DATA_FILES = (".tar", ".tgz", ".gz", ".arrow")

# An address in the network begins with one of these words and a colon.
_PROTOCOLS = ("http", "https", "ftp", "s3", "gs")


@dataclass(frozen=True)
class ImageSource:
    """A form of DATA: how images, and what is known of them, lie on disk.

    Attributes:
        name: name by which users choose this source, ``<name>:<DATA>`` or ``--layout <name>``.
        recognises: function that says whether an existing path has this form; it should look at
            little more than names. Sources of xprobe are also asked of paths that do not exist,
            which may be patterns. None: DATA is a name in this form, and no path.
        read: ``read(data, group, form)`` returns rows, and the folder that their paths are relative
            to. A row maps columns of `manifest.REQUIRED` and `manifest.OPTIONAL` to text; an empty
            source says that the set does not tell real images from synthetic ones, so that the
            place on the command line decides. With a `group`, images of one value in that column
            are a group (`images.read.read`); a source without such a column raises an XprobeError.
            `form` is what options say of DATA.
        words: what DATA is in this form, for the help of commands; empty: it is not named there.
        title: what the form is called where commands say what they took DATA for; empty: nothing
            is said, since it is a form of xprobe's.
        is_general: whether any DATA may have this form by chance: it is read so only where no other
            source recognises it.
        takes: names of the fields of `FormConfig` that the source uses.
    """

    name: str
    recognises: Callable[[Path], bool] | None
    read: Reader
    words: str = ""
    title: str = ""
    is_general: bool = False
    takes: tuple[str, ...] = ()

    def fits(self, path: Path) -> bool:
        """Return whether the source recognises a path."""
        return self.recognises is not None and self.recognises(path)


def _is_table(path: Path) -> bool:
    from xprobe.images.sources.cells import SUFFIXES

    return path.is_file() and path.suffix.lower() in SUFFIXES


def _function(place: str) -> Callable[..., Any]:
    """Return the function ``module:name``, which is imported when it is first called.

    The help of commands is made from the rows, and must not wait for what readers import.
    """
    module, _, name = place.partition(":")

    def call(*arguments: Any) -> Any:
        return getattr(importlib.import_module(f"{__package__}.{module}"), name)(*arguments)

    return call


def _published(name: str, title: str, module: str = "", **further: Any) -> ImageSource:
    """Return the row of a published form, whose module has `recognises` and `read`."""
    module = module or f"published.{name.replace('-', '_')}"
    return ImageSource(
        name, _function(f"{module}:recognises"), _function(f"{module}:read"), title=title, **further
    )


SOURCES_OF_IMAGES: Registry[ImageSource] = Registry(
    "xprobe.sources",
    "source of images",
    ImageSource,
    by_name(
        ImageSource("xbd", _function("xbd.tree:is_xbd"), _function("xbd.rows:read_xbd")),
        ImageSource(
            "folder", _function("folder:is_study"), _function("folder:read_folder"),
            "folder of images",
        ),
        _published("cifake", "CIFAKE"),
        _published("cifar-binary", "binary batches"),
        _published("cifar-python", "pickled batches"),
        _published("eurosat", "EuroSAT"),
        _published("eurosat-ms", "EuroSAT, 13 bands"),
        _published("resisc45", "NWPU-RESISC45"),
        _published("ucmerced", "UC Merced"),
        _published("aid", "AID"),
        _published("rsscn7", "RSSCN7"),
        _published("rsicd", "RSICD"),
        _published("ucm-captions", "UCM-Captions"),
        _published("rsicap", "RSICap"),
        _published("imagefolder", "ImageFolder", is_general=True),
        _published(
            "webdataset", "WebDataset", "webdataset.rows", takes=("label_key", "classes")
        ),
        _published(
            "huggingface", "Hugging Face", "huggingface.rows", takes=("columns", "classes")
        ),
        ImageSource(
            "hf", None, _function("huggingface.hub:read"), title="Hugging Face",
            takes=("columns", "classes"),
        ),
        ImageSource(
            "table", _is_table, _function("table:read_table"),
            "manifest (.csv, .tsv, .jsonl, .json, .parquet)", is_general=True,
        ),
    ),
)  # fmt: skip


def forms(*others: str) -> str:
    """Return what DATA may be, one sentence from the rows, for the help of commands.

    Args:
        others: further forms that a command takes.
    """
    first, *rows = (row.words for row in SOURCES_OF_IMAGES.rows.values() if row.words)
    published = "a data set as it is (such as ImageFolder, hf:owner/name, shards/{000..012}.tar)"
    parts = [first.capitalize(), *(f"a {words}" for words in rows), published, *others]
    return f"{', '.join(parts[:-1])}, or {parts[-1]}."


def read_rows(
    data: Path, group: str, form: FormConfig, source: str = "real"
) -> tuple[list[Row], Path]:
    """Return the rows of DATA, and the folder that their paths are relative to.

    `source_of` says which source reads it. A note says what a published form was taken as.

    Args:
        data: a path, a pattern, or ``<source>:<path>``.
        group: column that says which images belong together; empty: none.
        form: what options say of the form of DATA.
        source: ``real`` or ``synthetic``: what images are that DATA itself does not say it of.
            Synthetic ones of a test part are left out, since tests are on real images alone.

    Raises:
        XprobeError: no source recognises the path, several do, or its source cannot read it.
    """
    row, path = source_of(data, form)
    plain, base = row.read(path, group, form)
    rows = list(plain)
    if form.classes and "classes" in row.takes:
        from xprobe.images.sources.class_names import tell_unused

        tell_unused(form.classes, (row["label"] for row in rows), data)
    if row.title:
        from xprobe.images.sources.captions import add_captions
        from xprobe.images.sources.taken import filled_in, taken_as

        warnings.warn(taken_as(row.title, data, rows), XprobeNote, stacklevel=2)
        if path.is_dir():
            rows = add_captions(rows, path)
        rows = filled_in(rows, source, row.title, data)
    return rows, base


def source_of(data: Path, form: FormConfig) -> tuple[ImageSource, Path]:
    """Return the source that reads DATA, and the path that it reads.

    What options say goes first, then the name before a colon of a path that does not exist, then
    the one of `specific_sources`, then the general ones, then those of other packages.

    Raises:
        XprobeError: there is no such source, or none or several recognise the path.
    """
    sources = SOURCES_OF_IMAGES
    if form.layout:
        if form.layout not in sources.names():
            raise OptionError(f"--layout {form.layout}: {_no_form(form.layout)}")
        return _asked_for(sources[form.layout], data)
    if is_prefixed(data):
        name, _, rest = str(data).partition(":")
        return _asked_for(sources[name], Path(rest))
    fitting = specific_sources(data)
    if len(fitting) > 1:
        names = " and ".join(f"{row.title or row.name} ({row.name})" for row in fitting)
        raise XprobeError(
            f"{data}: it has the form of {names}; say which with --layout {fitting[0].name} or "
            f"--layout {fitting[1].name}"
        )
    if fitting:
        return fitting[0], data
    if not data.exists():
        raise _missing(data)
    for row in _in_order():
        if row.fits(data):
            return row, data
    raise _unknown(data)


def _asked_for(row: ImageSource, path: Path) -> tuple[ImageSource, Path]:
    """Return a source that is asked for by name, and the path that it reads.

    Raises:
        XprobeError: it reads paths of a published form, and this one leads nowhere, nor is it a
            pattern.
    """
    is_path = row.title and row.recognises is not None
    if is_path and not path.exists() and not row.fits(path):
        raise _missing(path)
    return row, path


def is_prefixed(data: Path) -> bool:
    """Return whether a path that does not exist begins with the name of a source and a colon."""
    name, colon, _ = str(data).partition(":")
    return bool(colon) and not data.exists() and name in SOURCES_OF_IMAGES.names()


def specific_sources(data: Path) -> list[ImageSource]:
    """Return the sources of xprobe that recognise DATA and are not general.

    A form of xprobe's, which has no title, goes before published ones.
    """
    rows = [row for row in SOURCES_OF_IMAGES.rows.values() if not row.is_general]
    fitting = [row for row in rows if not row.title and row.fits(data)][:1]
    return fitting or [row for row in rows if row.title and row.fits(data)]


def check_form(places: Iterable[Path], form: FormConfig) -> None:
    """Refuse what is said of the form of DATA if no DATA is of a form that needs it.

    Raises:
        OptionError: an option is given that no source of these places takes.
    """
    rows = SOURCES_OF_IMAGES.rows.values()
    names = dict.fromkeys(name for row in rows for name in row.takes)
    asked = [name for name in names if getattr(form, name)]
    if not asked:
        return
    sources = [source_of(place, form)[0] for place in places]
    taken = {name for row in sources for name in row.takes}
    for name in asked:
        if name not in taken:
            takers = [row for row in rows if name in row.takes]
            raise OptionError(
                f"--{name.replace('_', '-')} is for {_titles(takers)}, and this was taken as "
                f"{_titles(sources)}; leave it out, or, if DATA is {_titles(takers[:1])}, add "
                f"--layout {takers[0].name}"
            )


def _titles(rows: Iterable[ImageSource]) -> str:
    return " and ".join(dict.fromkeys(row.title or row.name for row in rows))


def _missing(data: Path) -> XprobeError:
    """Return the error of a path that leads nowhere, with what is most likely to help."""
    from xprobe.images.manifest import LAYOUT
    from xprobe.images.sources.cells import SUFFIXES

    if set(str(data)) & set("*?["):
        return XprobeError(
            f"{data}: no folder or manifest has such a name; the shell puts names in place of a "
            f"pattern, unless there are none or the pattern is quoted"
        )
    name, colon, _ = str(data).partition(":")
    if colon and name.lower() in _PROTOCOLS:
        return XprobeError(f"{data}: an address is not opened; download it, and name the file")
    if colon and did_you_mean(name, SOURCES_OF_IMAGES.names()):
        return XprobeError(f"{data}: {_no_form(name)}")
    name, equals, _ = str(data).partition("=")
    if equals and "/" not in name:
        return XprobeError(
            f"{data}: no such folder or manifest file; synthetic images are named by the option, "
            f"--synthetic {data}"
        )
    if data.suffix.lower() in SUFFIXES:
        return XprobeError(f"{data}: no such manifest file; correct its path")
    if data.suffix.lower() in _DATA_FILES:
        return XprobeError(f"{data}: no such file; correct its path")
    return XprobeError(
        f"{data}: no such folder or manifest file; make {data}/{LAYOUT}, or name another DATA"
    )


def _unknown(data: Path) -> XprobeError:
    """Return the error of DATA that no source recognises."""
    if data.is_dir():
        from xprobe.images.sources.strangers import no_real_folder
        from xprobe.images.sources.tree import Folder

        return no_real_folder(Folder(str(data)))
    return XprobeError(
        f"{data}: no form of data fits this file: a manifest is a .csv, .tsv, .jsonl, .json or "
        f".parquet file; images are named by their folder, and archives such as .zip are unpacked "
        f"first"
    )


def _no_form(name: str) -> str:
    known = SOURCES_OF_IMAGES.names()
    return f"no form of data is called so{did_you_mean(name, known)}; there are {', '.join(known)}"


def _in_order() -> Iterator[ImageSource]:
    """Yield the general sources, and then those of other packages, loaded when they are reached."""
    yield from (row for row in SOURCES_OF_IMAGES.rows.values() if row.is_general)
    for name in SOURCES_OF_IMAGES.names():
        if name not in SOURCES_OF_IMAGES.rows:
            yield SOURCES_OF_IMAGES[name]
