"""The pictures of a class among all files below its folder, and which of them show one scene."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from xprobe.images.decode import is_image
from xprobe.images.sources.leftovers import HIDDEN, MASKS, THUMBNAILS, Kind, LeftOut
from xprobe.images.sources.tree import Folder

Picture = tuple[Folder, str]
"""A picture: the folder that it lies in, and its name there."""

# Names of folders are compared in lower case, without what separates words: Ground-Truth,
# train_label_img and SegmentationClass are folders of masks, train-org-img is one of images.
_SPLIT = "(?:train|val|test)?"
_IMAGES = "(?:jpeg)?(?:image|img|picture|photo)s?"
_MASK_FOLDER = re.compile(
    rf"{_SPLIT}(?:binary|semantic|instance)?"
    rf"(?:(?:label)?mask|label|ann|annot|annotation|target|gt|groundtruth|seg|segmap|segmentation)"
    rf"s?(?:class|object|png|{_IMAGES})?"
)
_THUMBNAIL_FOLDER = re.compile(rf"thumb(?:nail)?s?|(?:thumb|preview){_IMAGES}")
_PLAIN_FOLDER = re.compile(rf"{_SPLIT}(?:org|orig|original)?{_IMAGES}")

# A name such as tile_mask.png or mask_tile.png: what it is, and what it is of.
_WORDS_ASIDE = (
    "mask", "masks", "target", "targets", "seg", "segmentation", "label", "labels", "labelmap",
    "gt", "groundtruth", "thumb", "thumbs", "thumbnail",
)  # fmt: skip
_ASIDE = re.compile(
    rf"(?P<of>.+)[_.-](?P<is>{'|'.join(_WORDS_ASIDE)})"
    rf"|(?P<it>{'|'.join(_WORDS_ASIDE)})[_.-](?P<from>.+)",
    re.IGNORECASE,
)

# The moment of a picture, as a word in its name or in that of a folder below its class.
_MOMENTS = ("pre", "post", "before", "after")
_MOMENT = re.compile(rf"(?<![^/_. -])(?:{'|'.join(_MOMENTS)})(?![^/_. -])", re.IGNORECASE)
_PAIRS = (frozenset(("pre", "post")), frozenset(("before", "after")))

# xBD names every scene by its event and eight digits, the same in all folders.
_XBD_SCENE = re.compile(r"(?:.*/)?(.+_\d{8})_(?:pre|post)_disaster", re.IGNORECASE)


def is_plain(folder: Folder) -> bool:
    """Return whether a folder is called images, and the like, which no class is."""
    return _PLAIN_FOLDER.fullmatch(_plain(folder.name)) is not None


def kind_of_folder(folder: Folder) -> Kind | None:
    """Return what a folder of this name holds if it is no class: masks, or thumbnails."""
    name = _plain(folder.name)
    if _MASK_FOLDER.fullmatch(name):
        return MASKS
    return THUMBNAILS if _THUMBNAIL_FOLDER.fullmatch(name) else None


def _plain(name: str) -> str:
    return re.sub("[ _-]", "", name).lower()


def stem_of(name: str) -> str:
    """Return the name of a file without its suffix."""
    return name.rpartition(".")[0] or name


def holds_pictures(folder: Folder) -> bool:
    """Return whether there is a picture anywhere below a folder."""
    return any(is_image(name) for inner, _ in folder.walk() for name in inner.files)


def holds_pictures_itself(folder: Folder) -> bool:
    """Return whether there is a picture in a folder, not counting those in it."""
    return any(is_image(name) for name in folder.files)


def pictures_of(folder: Folder, left_out: LeftOut) -> list[Picture]:
    """Return the pictures of a class: what lies below its folder, without what is aside.

    Label masks and thumbnails are aside where the class has the pictures that they belong to: in
    folders of their own (masks/, thumbs/) beside pictures, or as files named after a picture.
    """
    pictures: list[Picture] = []
    aside: list[tuple[Picture, Kind]] = []
    kinds: dict[str, Kind | None] = {folder.path: None}
    for inner, _ in folder.walk():
        kind = kinds[inner.path]
        for below in inner.folders:
            kinds[below.path] = kind or kind_of_folder(below)
        for name in inner.hidden:
            left_out.add(HIDDEN, f"{inner.path}/{name}")
        for name in inner.files:
            if not inner.holds_picture(name):
                left_out.add_file(f"{inner.path}/{name}")
            elif kind is None:
                pictures.append((inner, name))
            else:
                aside.append(((inner, name), kind))
    if not pictures:  # A class may lie in a folder of such a name alone.
        return [picture for picture, _ in aside]
    for (inner, name), kind in aside:
        left_out.add(kind, f"{inner.path}/{name}")
    return _without_named_aside(pictures, left_out)


def _without_named_aside(pictures: list[Picture], left_out: LeftOut) -> list[Picture]:
    """Return pictures without those named as masks or thumbnails of other ones."""
    if not _mentions(_WORDS_ASIDE, (name for _, name in pictures)):
        return pictures
    stems = {stem_of(name) for _, name in pictures}
    kept = []
    for folder, name in pictures:
        match = _ASIDE.fullmatch(stem_of(name))
        if match and (match["of"] or match["from"]) in stems:
            word = (match["is"] or match["it"]).lower()
            kind = THUMBNAILS if word.startswith("thumb") else MASKS
            left_out.add(kind, f"{folder.path}/{name}")
        else:
            kept.append((folder, name))
    return kept


def _mentions(words: Iterable[str], names: Iterable[str]) -> bool:
    """Return whether a word is part of any name: millions of names are searched as one text."""
    text = "\n".join(names).lower()
    return any(word in text for word in words)


def masks_beside(classes: Sequence[Folder], known: Collection[str]) -> list[Folder]:
    """Return the folders that hold masks of the pictures of the others, and are no class.

    A folder called masks is a class all the same unless it holds folders or files of the names
    that the others hold; files of equal names say nothing where the name is that of a class
    elsewhere, or part of that of another class, as mask and no_mask are.

    Args:
        classes: folders that may be those of classes.
        known: names of folders elsewhere that may be those of classes.
    """
    others = [folder for folder in classes if kind_of_folder(folder) is None]
    named = [folder for folder in classes if kind_of_folder(folder) is not None]
    if not named or not others:
        return []
    names = {folder.name for folder in others}
    stems = {stem_of(name) for folder in others for name in _file_names(folder)}
    return [
        folder
        for folder in named
        if not holds_pictures(folder)
        or names & {inner.name for inner in folder.folders}
        or (
            folder.name not in known
            and not any(_plain(folder.name).rstrip("s") in _plain(name) for name in names)
            and _mostly_named_after(_file_names(folder), stems)
        )
    ]


def _file_names(folder: Folder) -> list[str]:
    return [name for inner, _ in folder.walk() for name in inner.files if is_image(name)]


def _mostly_named_after(names: Sequence[str], stems: set[str]) -> bool:
    """Return whether most files have the name of a picture, or one that is made from it."""
    matches = [(stem_of(name), _ASIDE.fullmatch(stem_of(name))) for name in names]
    after = sum(
        stem in stems or bool(match and (match["of"] or match["from"]) in stems)
        for stem, match in matches
    )
    return 2 * after > len(names)


def scenes(classes: Iterable[tuple[str, Sequence[str]]]) -> dict[str, str]:
    """Return the scene of each picture that is a twin of another one, by id.

    Twins are two pictures of a class whose paths differ in pre and post, or in before and after,
    alone. Where names are those of xBD, twins may lie in several classes.

    Args:
        classes: of each class folder its id, and the ids of its pictures, which begin with it.

    Returns:
        For each twin the smallest id of its scene.
    """
    pictures: dict[tuple[object, str], list[tuple[str, str]]] = {}
    for number, (folder, ids) in enumerate(classes):
        for id_ in ids if _mentions(_MOMENTS, ids) else ():
            if match := _MOMENT.search(id_, len(folder) + 1):
                stem = stem_of(id_[len(folder) + 1 :])
                xbd = _XBD_SCENE.fullmatch(stem)
                scene = ("xBD", xbd[1]) if xbd else (number, _MOMENT.sub("*", stem))
                pictures.setdefault(scene, []).append((match[0].lower(), id_))
    return {
        id_: min(twin for _, twin in twins)
        for twins in pictures.values()
        if {moment for moment, _ in twins} in _PAIRS
        for _, id_ in twins
    }
