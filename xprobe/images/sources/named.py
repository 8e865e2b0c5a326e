"""The image table of folders and tables that options name, beside DATA or in its place."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning, first_few
from xprobe.images.classes import composed
from xprobe.images.config import DataConfig, FormConfig
from xprobe.images.manifest import TABLE, Row
from xprobe.images.sources.captions import add_captions
from xprobe.images.sources.folder import rows_of
from xprobe.images.sources.layout import Layout
from xprobe.images.sources.leftovers import LeftOut
from xprobe.images.sources.located import MANIFEST, below_synthetic, located, once
from xprobe.images.sources.registry import is_prefixed, read_rows, specific_sources
from xprobe.images.sources.splits import Split
from xprobe.images.sources.synthetic import only_of, tell_use
from xprobe.images.sources.tree import Folder


def read_named(config: DataConfig, labels: Iterable[str] = (), group: str = "") -> Iterator[Row]:
    """Yield the rows of what options name: folders and tables, beside DATA or in its place.

    Ids of images in folders are those that they would have in DATA: ``real/<class>/…``,
    ``test/<class>/…``, ``synthetic/<generator>/<class>/…``, so that a further generator changes no
    other image. Where several folders are named for one of these, the folder's name stands before
    the class. Real images of tables keep their ids.

    Args:
        config: the folders and tables.
        labels: classes of the real images beside them.
        group: column that says which images belong together.

    Raises:
        XprobeError: there is no such folder or table, or it has another layout.
    """
    layout = Layout()
    asked = _SetOptions(group, replace(config.form, layout=""))
    rows = [*_from_tables("real", config.real, asked)]
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
        rows += (row | {"split": split} for row in _from_tables("real", places, asked))
        for folder in _folders(split, places, group):
            layout.add_split(Split(split, folder))
    layout.labels |= {*labels, *labels_trained_on(rows)}
    for generator, places in _by_generator(config.synthetic).items():
        tables = [place for place in places if _is_set(place) or _table_of(place).is_file()]
        rows += _synthetic(tables, generator, asked, layout.left_out)
        prefix = f"synthetic/{generator}" if generator else "synthetic"
        folders = [place for place in places if place not in tables]
        for folder in _folders(prefix, folders, group):
            if generator:
                layout.add_generator(folder, generator)
            else:
                layout.add_synthetic(folder)
    yield from rows
    rows = list(located(rows_of(layout, group), Path(), first_few(config.places_named, 3)))
    for place in _places_of(config):
        if place.is_dir() and not _is_set(place):
            rows = _captioned(rows, place)
    yield from rows


def _captioned(rows: list[Row], folder: Path) -> list[Row]:
    """Return rows, those of a folder with the captions that a JSON file in it has of them."""
    start = f"{folder.resolve()}/"
    captioned = iter(add_captions([r for r in rows if r["path"].startswith(start)], folder))
    return [next(captioned) if row["path"].startswith(start) else row for row in rows]


@dataclass(frozen=True)
class _SetOptions:
    """What options say of tables and sets: the column of groups, and their form."""

    group: str
    form: FormConfig


def sets_named(config: DataConfig) -> list[Path]:
    """Return the tables and published sets among what options name; the others are folders."""
    return [place for place in _places_of(config) if _is_set(place)]


def _places_of(config: DataConfig) -> list[Path]:
    """Return the paths that options name, without the names of generators."""
    synthetic = [place for places in _by_generator(config.synthetic).values() for place in places]
    return list(map(Path, (*config.real, *config.test, *config.extra, *synthetic)))


def _is_set(place: str | Path) -> bool:
    """Return whether a path is a table or a published set, and no mere folder of class folders."""
    path = Path(place)
    return path.is_file() or any(row.title for row in specific_sources(path)) or is_prefixed(path)


def labels_trained_on(rows: Iterable[Row]) -> set[str]:
    """Return the classes of the real images to train on."""
    return {
        composed(row["label"])
        for row in rows
        if row["source"] == "real" and (row.get("split") or "train") == "train"
    }


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
    folders = [Path(place) for place in places if not _is_set(place)]
    names = Counter(folder.resolve().name for folder in folders)
    for folder in folders:
        option, name = f"--{prefix.partition('/')[0]}", folder.resolve().name
        if not folder.is_dir():
            raise XprobeError(f"{option} {folder}: there is no such folder or manifest")
        if group and option != "--synthetic":
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


def _table_of(place: str | Path) -> Path:
    """Return the table or set that a path is, or the table that would lie in that folder."""
    path = Path(place)
    return path / MANIFEST if path.is_dir() and not _is_set(path) else path


def _synthetic(
    places: Sequence[str], generator: str, asked: _SetOptions, left_out: LeftOut
) -> Iterator[Row]:
    """Yield the synthetic images of tables, of published sets, and of folders that have a table.

    Args:
        places: the tables, sets and folders.
        generator: generator that all images are of; empty: that of their rows.
        asked: what options say of them.
        left_out: takes the pictures of folders that their tables do not list.
    """
    folders = {_table_of(place): Path(place) for place in places if not _is_set(place)}
    for table in once(map(_table_of, places)):
        rows = list(_from_tables("synthetic", [table], asked))
        if generator:
            others = {row.get("generator", "") for row in rows} - {"", generator}
            if others:
                warnings.warn(
                    f"{table}: its generator is {first_few(sorted(others), 3)}, and in this study "
                    f"{generator}, as asked",
                    XprobeWarning,
                    stacklevel=3,
                )
            further = {"generator": generator, TABLE: f"{generator}={table}"}
            rows = [row | further for row in rows]
        rows = below_synthetic(rows)
        if folder := folders.get(table):
            tell_use(Folder(str(folder), place=str(folder.resolve())), rows, left_out)
        yield from rows


def _from_tables(source: str, places: Sequence[str | Path], asked: _SetOptions) -> Iterator[Row]:
    """Yield the rows of one source from the tables and sets among some paths, not from folders."""
    for table in once(place for place in places if _is_set(place)):
        rows, base = read_rows(table, asked.group, asked.form, source)
        yield from only_of(source, located(rows, base, str(table)), str(table))
