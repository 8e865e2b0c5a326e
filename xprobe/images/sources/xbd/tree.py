"""The folders of xBD → its tiles: names of files are matched, label files of post images are read.

``{train,test,hold}/{images,labels,targets}`` and ``tier3/{images,labels}`` hold files called
``<event>_<8 digits>_{pre,post}_disaster``, images as .png or, in the GeoTIFF release, as .tif. The
folder targets, which holds masks, is never looked into.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from xprobe.base.errors import XprobeError
from xprobe.base.progress import Progress, no_progress
from xprobe.images.formats import is_image
from xprobe.images.manifest import as_text
from xprobe.images.sources.tree import list_folder
from xprobe.images.sources.xbd.labels import UNREADABLE, Label, read_label, reason_of
from xprobe.images.sources.xbd.remarks import Remarks
from xprobe.images.sources.xbd.tiles import Tile

PARTS = ("test", "hold", "train", "tier3")
"""The official splits; a tile that lies in several is taken from the first of them."""

_NAME = re.compile(r"(?P<tile>.+_\d{8})_(?P<moment>pre|post)_disaster\.(?P<suffix>\w+)")

_A_FEW = 5  # files of a folder whose names tell what it is; a hidden one may be the first

_LEFT_OUT = "left out"


@dataclass
class _Files:
    """Paths of the files of a tile, by moment (pre, post)."""

    images: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


def is_xbd(path: Path) -> bool:
    """Return whether a folder is that of xBD, by its folders and the name of a label file."""
    if not path.is_dir() or (path / "real").exists():
        return False
    return any(
        _NAME.fullmatch(file.name)
        for _, folder in _folders(path)
        if (folder / "labels").is_dir()
        for file in islice((folder / "labels").iterdir(), _A_FEW)
    )


def read_tiles(root: Path, progress: Progress = no_progress) -> tuple[list[Tile], list[str]]:
    """Return the tiles of xBD by name, and lines about what is wrong in the tree.

    Args:
        root: folder that holds train, test, hold or tier3; or one of these.
        progress: shows how many tiles were read.

    Raises:
        XprobeError: the folder is another one, cannot be listed, or has no tile that can be used.
    """
    folders = _folders(root)
    if not folders:
        raise _no_tree(root)
    remarks = Remarks()
    _note_other_folders(root, [folder for _, folder in folders], remarks)
    files = _without_copies([(part, _listed(folder, remarks)) for part, folder in folders], remarks)
    tiles = []
    with progress("read label files", len(files)) as advance:
        for name, part, of_tile in files:
            if (tile := _tile(name, part, of_tile, remarks)) is not None:
                tiles.append(tile)
            advance(1)
    if not tiles:
        reason = f": {remarks.lines[0]}" if remarks.lines else ""
        raise XprobeError(f"{root}: there is no tile that can be used{reason}")
    return sorted(tiles, key=lambda tile: tile.name), [*remarks.lines, *_of_several(tiles)]


def _folders(root: Path) -> list[tuple[str, Path]]:
    """Return the official splits in a folder with labels, or the one that the folder is."""
    parts = [(part, root / part) for part in PARTS if (root / part).is_dir()]
    if root.resolve().name in PARTS and (root / "labels").is_dir():
        parts = [(root.resolve().name, root)]
    return parts if any((folder / "labels").is_dir() for _, folder in parts) else []


def _note_other_folders(root: Path, folders: Iterable[Path], remarks: Remarks) -> None:
    """Note folders with images or labels that are not read, such as Train or train/train."""
    read = {folder for folder in folders if (folder / "labels").is_dir()}
    for path in () if root in read else _inner(root):
        for place in () if path in read else (path, *_inner(path)):
            if {inner.name.lower() for inner in _inner(place)} & {"images", "labels"}:
                remarks.add(
                    "folder holds images or labels, and is no split of xBD",
                    "folders hold images or labels, and are no split of xBD",
                    f"left out; call it train, test, hold or tier3, and put it into {root}",
                    f"{place}",
                )  # fmt: skip


def _inner(folder: Path) -> list[Path]:
    """Return the folders in a folder; none if it cannot be listed, such as lost+found."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except OSError:
        return []


def _no_tree(root: Path) -> XprobeError:
    """Return the error of a folder without xBD's folders, which names a place where they are."""
    if not root.is_dir():
        return XprobeError(f"{root}: there is no such folder")
    inner = [path for path in sorted(root.iterdir()) if path.is_dir() and _folders(path)]
    hint = f"; {inner[0]} does" if inner else ""
    return XprobeError(
        f"{root}: xBD has folders train, test, hold or tier3 with images and labels in each, and "
        f"this folder has none{hint}; unpack its archives into one folder, and name that"
    )


def _listed(folder: Path, remarks: Remarks) -> dict[str, _Files]:
    """Return the files of an official split by tile."""
    files: dict[str, _Files] = {}
    for below in ("images", "labels"):
        if not (folder / below).is_dir():
            continue
        listing = list_folder(str(folder / below))
        for name in listing.files:
            path, match = f"{folder / below}/{name}", _NAME.fullmatch(name)
            # A name that is no UTF-8 cannot stand in a table.
            if match is None or not _is_of(below, name) or as_text(name) != name:
                if not name.startswith("."):
                    remarks.add(
                        "file has no name of an image or label of a tile",
                        "files have no name of an image or label of a tile", _LEFT_OUT,
                        as_text(path),
                    )  # fmt: skip
                continue
            tile = files.setdefault(match["tile"], _Files())
            of_moment = tile.images if below == "images" else tile.labels
            if match["moment"] in of_moment:
                remarks.add(
                    "image lies beside another one of its name",
                    "images lie beside another one of their name", _LEFT_OUT, path,
                )  # fmt: skip
            of_moment.setdefault(match["moment"], path)
    return files


def _is_of(folder: str, name: str) -> bool:
    return is_image(name) if folder == "images" else name.endswith(".json")


def _without_copies(
    parts: Iterable[tuple[str, dict[str, _Files]]], remarks: Remarks
) -> list[tuple[str, str, _Files]]:
    """Return name, split and files of every tile; each tile once, from the first of its splits."""
    files: dict[str, tuple[str, str, _Files]] = {}
    for part, tiles in parts:
        for name, tile in tiles.items():
            if name in files:
                remarks.add(
                    "tile lies in two splits", "tiles lie in two splits",
                    "taken once, for the test part where one is test or hold",
                    f"{name} ({files[name][1]}, {part})",
                )  # fmt: skip
            else:
                files[name] = (name, part, tile)
    return list(files.values())


def _tile(name: str, part: str, files: _Files, remarks: Remarks) -> Tile | None:
    """Return the tile of some files; None if it has no class or no image from after the event."""
    if not _is_complete(name, files, remarks):
        return None
    label = _read(files.labels["post"], remarks)
    if label is None:
        return None
    if not label.disaster:
        remarks.add("label file names no disaster_type", "label files name no disaster_type",
                    _LEFT_OUT, name)  # fmt: skip
        return None
    for grade in label.unknown_grades:
        remarks.add(
            "tile has buildings of a damage grade that xBD does not have",
            "tiles have buildings of a damage grade that xBD does not have",
            "these buildings count as un-classified", f"{name} ({grade})",
        )  # fmt: skip
    event, _, number = name.rpartition("_")
    return Tile(
        event, number, label.disaster, part, files.images["post"], files.labels["post"],
        files.images.get("pre", ""), files.labels.get("pre", "") if "pre" in files.images else "",
        label.damage, label.strip, label.size,
    )  # fmt: skip


def _is_complete(name: str, files: _Files, remarks: Remarks) -> bool:
    """Return whether a tile has what it needs, an image from after the event and its label."""
    for moment in ("post", "pre"):
        if moment in files.labels and moment not in files.images:
            remarks.add("label file has no image", "label files have no image",
                        _LEFT_OUT, files.labels[moment])  # fmt: skip
        if moment in files.images and moment not in files.labels:
            done = _LEFT_OUT if moment == "post" else "taken without outlines"
            remarks.add("image has no label file", "images have no label file",
                        done, files.images[moment])  # fmt: skip
    if "post" in files.images and "pre" not in files.images:
        remarks.add(
            "tile has no image from before the event", "tiles have no image from before the event",
            "taken without a twin", name,
        )  # fmt: skip
    if "pre" in files.images and "post" not in files.images:
        remarks.add(
            "tile has no image from after the event", "tiles have no image from after the event",
            _LEFT_OUT, name,
        )  # fmt: skip
    return "post" in files.images and "post" in files.labels


def _read(path: str, remarks: Remarks) -> Label | None:
    """Return what a label file says; None if it cannot be read."""
    try:
        return read_label(path)
    except UNREADABLE as error:
        remarks.add("label file cannot be read", "label files cannot be read",
                    _LEFT_OUT, f"{path} ({reason_of(error)})")  # fmt: skip
        return None


def _of_several(tiles: Iterable[Tile]) -> Iterator[str]:
    """Yield a line for each event whose tiles are of several kinds of disasters."""
    kinds: dict[str, Counter[str]] = {}
    for tile in tiles:
        kinds.setdefault(tile.event, Counter())[tile.disaster] += 1
    for event, counts in sorted(kinds.items()):
        if len(counts) > 1:
            shown = ", ".join(f"{n} {kind}" for kind, n in counts.most_common())
            yield f"tiles of {event} are of several kinds ({shown}), each taken as its label says"
