"""Folders that nothing reads: what DATA holds in place of what it should, or beside it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from xprobe.base.errors import XprobeError, first_few
from xprobe.images.decode import is_image
from xprobe.images.manifest import LAYOUT
from xprobe.images.sources.cells import SUFFIXES
from xprobe.images.sources.huggingface.tree import PARQUET
from xprobe.images.sources.leftovers import ARCHIVES, METADATA_FILES, kind_of_file
from xprobe.images.sources.pictures import is_plain, kind_of_folder
from xprobe.images.sources.splits import Split, in_order, names_inside, split_of
from xprobe.images.sources.tree import Folder

# A folder that nothing reads is looked into no deeper.
_LEVELS = 3
_LEVELS_OF_PARQUET = 6


def unread_folders(data: Folder, read: Collection[Folder], labels: Collection[str]) -> list[str]:
    """Return a note of the folders of DATA that hold images and are not read."""
    unread = [folder for folder in data.folders if folder not in read and _is_of_images(folder)]
    if not unread:
        return []
    alike = [folder for folder in unread if _inside(folder) & set(labels)]
    paths = first_few(folder.path for folder in unread)
    remedy = "folders read beside real are synthetic, test, val and extra, of the classes of real"
    if alike:
        folder = alike[0]
        remedy = (
            f"if they are synthetic, move {folder.path} to {data.path}/synthetic/{folder.name}; "
            f"{remedy}"
        )
    return [f"the images in {paths} are not read; {remedy}"]


def no_real_folder(data: Folder) -> XprobeError:
    """Return the error of a DATA without real images, which says what is there and what to do."""
    return XprobeError(
        f"{data.path}: no folder {data.path}/real; {_seen(data)}a study needs {data.path}/{LAYOUT}"
    )


def _seen(data: Folder) -> str:
    """Return what is there in place of a folder real, and the way on; empty if there is nothing."""
    if said := _seen_files(data):
        return said
    folders = [folder for folder in data.folders if _is_of_images(folder)]
    deeper = [inner for folder in folders for inner in folder.folders if _is_called(inner, "real")]
    if len(deeper) == 1 and not split_of(folders[0]):
        (inner,) = deeper
        above = inner.path[: -len(inner.name) - 1]
        return f"{inner.path} lies one folder deeper, so name {above} as DATA; "
    if deeper:
        return (
            f"there are {first_few(inner.path for inner in deeper)}; name them with --real, --test "
            f"and --synthetic NAME=DIR; "
        )
    if any(_is_called(inner, "synthetic") for inner in data.folders):
        return (
            f"if its synthetic images belong to other real ones, name them beside these: "
            f"--synthetic {data.path}/synthetic; "
        )
    if any(_is_called(data, name) for name in ("real", "synthetic")):
        return f"if this is the folder {data.name} of a study, name the one that it lies in; "
    sets = [folder for folder in (data, *folders) if _holds_labels_beside_images(folder)]
    if sets:
        return (
            f"{sets[0].path} holds images beside their labels, as published sets do, and no class "
            f"folders; sort the images into {data.path}/real/<class>/…, or write a manifest with "
            f"their classes; "
        )
    splits = in_order(folder for folder in folders if split_of(folder))
    if splits and len(splits) == len(folders):
        return _seen_splits(splits)
    if folders:
        return (
            f"there are folders {first_few(folder.name for folder in folders)}; if these are the "
            f"classes of real images, name them and the synthetic ones, --real {data.path} "
            f"--synthetic NAME=DIR; if they are of synthetic ones, name them beside DATA, "
            f"--synthetic NAME={data.path}; "
        )
    tables = [name for name in data.files if Path(name).suffix.lower() in SUFFIXES]
    if tables:
        return f"if {data.path}/{tables[0]} is the table of the images, name that file as DATA; "
    if place := _place_of_parquet(data):
        return f"there are {PARQUET} files in {place}; if they hold images, name it as DATA; "
    if any(map(is_image, data.files)):
        return (
            "it holds images and no class folders, so name the folder above it, if it is that of "
            "a class, or sort its images into folders of their classes; "
        )
    return ""


def _seen_files(data: Folder) -> str:
    """Return what to do with archives, and with tables that say what pictures are."""
    archives = [name for name in data.files if kind_of_file(name) is ARCHIVES]
    if archives:
        return f"unpack {data.path}/{archives[0]}, if the images are in it; "
    if tables := [
        (split_of(folder), f"{folder.path}/{name}")
        for folder in (data, *data.folders)
        for name in folder.files
        if name in METADATA_FILES
    ]:
        named = [f"--{'test' if split == 'test' else 'real'} {file}" for split, file in tables]
        return (
            f"{tables[0][1]} says what the pictures are, in the form of Hugging Face's "
            f"imagefolder; rename its column file_name to path, add the columns label and source "
            f"(real or synthetic) that it lacks, and name {' '.join(named)}; "
        )
    return ""


def _seen_splits(splits: Sequence[Split]) -> str:
    """Return what to do with folders of splits, as ImageFolder reads them."""
    options = [
        f"{'--real' if split.name in ('train', 'val') else f'--{split.name}'} {split.folder.path}"
        for split in splits
    ]
    classes = sorted({name for split in splits for name in names_inside(split.folder)})
    if len(classes) == 1:
        return (
            f"there are splits {first_few(split.folder.name for split in splits)} of one class "
            f"alone, {classes[0]}; add images of another class; "
        )
    words = f" of the classes {first_few(classes)}" if classes else ""
    return (
        f"there are splits {first_few(split.folder.name for split in splits)}{words}; no study can "
        f"be made of real images alone, so name the synthetic ones, too: {' '.join(options)} "
        f"--synthetic NAME=DIR; "
    )


def _holds_labels_beside_images(folder: Folder) -> bool:
    try:
        return any(map(is_plain, folder.folders)) and any(map(kind_of_folder, folder.folders))
    except XprobeError:
        return False


def _is_called(folder: Folder, name: str) -> bool:
    return folder.name.lower() == name


def _inside(folder: Folder) -> set[str]:
    """Return the names of folders in a folder, and in those."""
    return {name.name for inner in (folder, *folder.folders) for name in inner.folders}


def _is_of_images(folder: Folder, levels: int = _LEVELS) -> bool:
    """Return whether there are images in a folder, or little below it.

    That nothing reads a folder is no reason to stop where it cannot be listed.
    """
    try:
        return any(map(is_image, folder.files)) or (
            levels > 1 and any(_is_of_images(inner, levels - 1) for inner in folder.folders)
        )
    except XprobeError:
        return False


def _place_of_parquet(folder: Folder, levels: int = _LEVELS_OF_PARQUET) -> str:
    """Return the first folder below one that holds Parquet files; ``""`` if none does."""
    try:
        if any(name.endswith(PARQUET) for name in folder.files):
            return folder.path
        inner = (_place_of_parquet(f, levels - 1) for f in folder.folders if levels > 1)
        return next(filter(None, inner), "")
    except XprobeError:
        return ""
