"""The image table of a folder: class folders below real, synthetic, test and extra."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.config import FormConfig
from xprobe.images.manifest import Row, as_text
from xprobe.images.sources.layout import ClassFolder, Layout
from xprobe.images.sources.pictures import Picture, holds_pictures, pictures_of, scenes
from xprobe.images.sources.splits import Split, names_inside, split_of
from xprobe.images.sources.strangers import no_real_folder, unread_folders
from xprobe.images.sources.synthetic import has_manifest, rows_of_manifest, rows_of_whole
from xprobe.images.sources.table import check_no_group
from xprobe.images.sources.tree import Folder


def is_study(path: Path) -> bool:
    """Return whether a folder holds a folder real or synthetic, or a table of its images."""
    if not path.is_dir():
        return False
    folder = Folder(str(path))
    names = {inner.name.lower() for inner in folder.folders}
    return bool({"real", "synthetic"} & names) or has_manifest(folder)


def read_folder(
    data: Path, group: str = "", form: FormConfig = FormConfig()
) -> tuple[Iterable[Row], Path]:
    """Return the rows of a folder of classes, and the folder that their paths are relative to.

    A folder without real images of its own, in which a table lies, is that table. Warnings name
    folders that were read as something else than a class, and files left out.

    Raises:
        XprobeError: a `group` is asked for, and a folder has no columns; or the folder has another
            layout, or one in it cannot be listed.
    """
    folder = Folder(str(data), place=str(data.resolve()))
    if has_manifest(folder) and not any(inner.name.lower() == "real" for inner in folder.folders):
        return rows_of_whole(folder, group), data
    check_no_group(data, group)
    return rows_of(layout_of(folder)), data


def layout_of(data: Folder) -> Layout:
    """Return how DATA is laid out.

    Raises:
        XprobeError: there is no folder real, or it cannot be told what a folder is.
    """
    layout = Layout()
    real = _folder_called("real", data, layout)
    if real is None:
        raise no_real_folder(data)
    synthetic = _folder_called("synthetic", data, layout)
    beside = [inner for inner in data.folders if split_of(inner) and holds_pictures(inner)]

    def known() -> set[str]:
        others = [*beside, *(() if synthetic is None else (synthetic, *synthetic.folders))]
        return {inner.name for other in others for inner in other.folders}

    layout.add_real(real, known)
    if not layout.labels:
        raise XprobeError(f"{real.path}: no class folders; put images into {real.path}/<class>/…")
    read = [folder for folder in (real, synthetic) if folder is not None]
    for folder in beside:
        if _add_beside(folder, layout):
            read.append(folder)
    if synthetic is not None:
        layout.add_synthetic(synthetic)
    layout.notes += unread_folders(data, read, layout.labels)
    return layout


def _folder_called(name: str, data: Folder, layout: Layout) -> Folder | None:
    """Return the folder of DATA of a name in any case, or None.

    Raises:
        XprobeError: there are several.
    """
    folders = [folder for folder in data.folders if folder.name.lower() == name]
    if len(folders) > 1:
        raise XprobeError(f"both {folders[0].path} and {folders[1].path} exist; keep one")
    for folder in folders:
        if folder.name != name:
            layout.notes.append(f"read {folder.path} as the folder {name}")
        return folder
    return None


def _add_beside(folder: Folder, layout: Layout) -> bool:
    """Take in a split that lies beside real, and return whether it is one.

    Raises:
        XprobeError: real holds the same split.
    """
    split = Split(split_of(folder), folder)
    is_documented = folder.name in ("test", "extra")
    if not is_documented and not names_inside(folder) & layout.labels:
        return False
    for other in layout.splits:
        if other.name == split.name:
            raise XprobeError(f"both {other.folder.path} and {folder.path} exist; keep one")
    if split.name == "train":
        raise XprobeError(
            f"{folder.path} holds classes of {folder.path[: -len(folder.name)]}real; move its "
            f"images there, or, where these are all to train on, name them with --real in place of "
            f"DATA"
        )
    if not is_documented:
        layout.notes.append(f"read {folder.path} as the split {split.name} of real images")
    layout.add_split(split)
    return True


def rows_of(layout: Layout, group: str = "") -> Iterator[Row]:
    """Return a row for each picture of a layout, and warn of what the user should know.

    Args:
        layout: how folders are laid out.
        group: column that says which images belong together, of tables in these folders.

    Raises:
        XprobeError: the table of a folder of synthetic images cannot be read.
    """
    listed = []
    for part in layout.classes:
        pictures = pictures_of(part.folder, layout.left_out)
        listed.append((part, pictures, [f"{folder.id}/{name}" for folder, name in pictures]))
    scene_of = scenes((part.folder.id, ids) for part, _, ids in listed if part.source == "real")
    layout.finish(scene_of)
    tabled = [
        row for part in layout.tabled for row in rows_of_manifest(part, group, layout.left_out)
    ]
    for text in (*layout.notes, *layout.left_out.lines):
        warnings.warn(text, XprobeWarning, stacklevel=3)
    pictured = (
        row
        for part, pictures, ids in listed
        for row in _rows_of_class(part, pictures, ids, scene_of)
    )
    return chain(pictured, tabled)


def _rows_of_class(
    part: ClassFolder, pictures: list[Picture], ids: list[str], scene_of: Mapping[str, str]
) -> Iterator[Row]:
    label = part.label  # Millions of rows share it.
    for (folder, name), id_ in zip(pictures, ids, strict=True):
        yield {
            "id": as_text(id_), "path": f"{folder.place}/{name}", "label": label,
            "source": part.source, "generator": part.generator, "split": part.split,
            "group": as_text(scene_of.get(id_, "")),
        }  # fmt: skip
