"""The image table of folders that options name in place of DATA."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.classes import composed
from xprobe.images.config import DataConfig
from xprobe.images.manifest import Row
from xprobe.images.sources.folder import rows_of
from xprobe.images.sources.layout import Layout
from xprobe.images.sources.registry import read_rows
from xprobe.images.sources.splits import Split
from xprobe.images.sources.tree import Folder


def read_named(config: DataConfig, group: str = "") -> Iterator[Row]:
    """Yield the rows of what stands in place of DATA: folders and manifests; paths are absolute.

    Ids of images in folders are those that they would have in DATA: ``real/<class>/…``,
    ``test/<class>/…``, ``synthetic/<generator>/<class>/…``, so that a further generator changes no
    other image. Where several folders are named for one of these, the folder's name stands before
    the class. Images of manifests keep their ids.

    Raises:
        XprobeError: there is no such folder or manifest, or it has another layout.
    """
    layout = Layout()
    rows = [*_from_manifests("real", config.real, group)]
    for folder in _folders("real", config.real, group):
        layout.add_real(folder)
    for split in ("test", "extra"):
        places = getattr(config, split)
        inside = [part.folder.path for part in layout.splits if part.name == split]
        if places and inside:
            raise XprobeError(
                f"--{split} {places[0]}: {inside[0]} is this split already; leave out --{split}, "
                f"or name the training images alone with --real"
            )
        rows += _from_manifests("real", places, group, split=split)
        for folder in _folders(split, places, group):
            layout.add_split(Split(split, folder))
    layout.labels |= {
        composed(row["label"]) for row in rows if (row.get("split") or "train") == "train"
    }
    for generator, places in _by_generator(config.synthetic).items():
        rows += _from_manifests("synthetic", places, group, generator=generator)
        prefix = f"synthetic/{generator}" if generator else "synthetic"
        for folder in _folders(prefix, places, group):
            if generator:
                layout.add_generator(folder, generator)
            else:
                layout.add_synthetic(folder)
    yield from rows
    yield from rows_of(layout)


def _by_generator(texts: Sequence[str]) -> dict[str, list[str]]:
    """Return the paths of NAME=PATH by name; a path that exists as it stands has none."""
    places: dict[str, list[str]] = {}
    for text in texts:
        name, equals, place = text.partition("=")
        if not equals or Path(text).exists():
            name, place = "", text
        if equals and not (name and place) and not Path(text).exists():
            raise XprobeError(f"--synthetic takes NAME=DIR, such as sdxl=images/sdxl, not {text!r}")
        places.setdefault(name.strip(), []).append(place)
    return places


def _folders(prefix: str, places: Sequence[str], group: str) -> Iterator[Folder]:
    """Yield the folders among some paths; ids of their images begin with the prefix.

    Raises:
        XprobeError: a path leads nowhere, or two folders of one name stand for one prefix.
    """
    folders = [Path(place) for place in places if not Path(place).is_file()]
    names = Counter(folder.resolve().name for folder in folders)
    for folder in folders:
        option, name = f"--{prefix.partition('/')[0]}", folder.resolve().name
        if not folder.is_dir():
            raise XprobeError(f"{option} {folder}: there is no such folder or manifest")
        if group:
            raise XprobeError(f"{option} {folder}: --group {group}: a folder has no columns")
        if names[name] > 1:
            raise XprobeError(
                f"{option}: two folders are called {name}, and their images cannot be told apart "
                f"by name; rename one"
            )
        below = Folder(str(folder), prefix if len(folders) == 1 else f"{prefix}/{name}",
                       str(folder.resolve()))  # fmt: skip
        if parts := {"real", "synthetic"} & {inner.name.lower() for inner in below.folders}:
            part = min(parts)
            raise XprobeError(
                f"{option} {folder}: it holds a folder {part}; name {folder} as DATA, or "
                f"{folder / part} with --{part}"
            )
        yield below


def _from_manifests(
    source: str, places: Sequence[str], group: str, split: str = "", generator: str = ""
) -> Iterator[Row]:
    """Yield the rows of one source from the manifests among some paths.

    Args:
        source: ``real`` or ``synthetic``.
        places: paths of folders, which are passed over, and of manifests.
        group: column that says which images belong together.
        split: split that all images are of; empty: that of their rows.
        generator: generator that all images are of; empty: that of their rows.
    """
    for place in map(Path, places):
        if not place.is_file():
            continue
        rows, base = read_rows(place, group)
        others = 0
        for row in rows:
            if row["source"] != source:
                others += 1
                continue
            changed = {"path": os.path.join(base.resolve(), row["path"])}  # noqa: PTH118
            changed["id"] = row.get("id") or row["path"]
            if row.get("polygons", "").endswith(".json"):
                changed["polygons"] = str(base.resolve() / row["polygons"])
            if split:
                changed["split"] = split
            if generator:
                changed["generator"] = generator
            yield row | changed
        if others:
            warnings.warn(
                f"{place}: {others} rows are of another source than {source} and left out",
                XprobeWarning,
                stacklevel=3,
            )
