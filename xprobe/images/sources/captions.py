"""Captions of pictures, in a JSON file beside them: the forms of RSICD and of RSICap.

A set of captions is a folder that holds such a file, and its pictures in one folder, without
folders of classes. The same file beside class folders says what is in their pictures
(`add_captions`).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xprobe.base.errors import XprobeError, XprobeNote, XprobeWarning, counted, first_few
from xprobe.images.captions import cell_of
from xprobe.images.manifest import UNLABELLED, Row
from xprobe.images.sources.leftovers import Kind, LeftOut
from xprobe.images.sources.pictures import holds_pictures, holds_pictures_itself, kind_of_folder
from xprobe.images.sources.splits import SPLIT_OF
from xprobe.images.sources.table import check_no_group
from xprobe.images.sources.tree import Folder
from xprobe.images.text import read_text, start_of

SENTENCES = "sentences"
"""The form of RSICD and UCM-Captions: ``images[]`` with ``filename`` and ``sentences[].raw``."""

TEXT_OUTPUT = "text_output"
"""The form of RSICap: a list of objects with ``filename`` and ``text_output``."""

Classes = Callable[[Sequence[str], Folder], dict[str, str]]
"""Returns the classes of the pictures of some names, as far as a set in this folder states them."""

# So many bytes hold several entries of a file, which show its form.
_START_BYTES = 16_384

# A folder of more JSON files holds labels of single pictures, which need not be opened to see that.
_MOST_FILES = 16

_FILENAME = re.compile(r'"filename"\s*:\s*"([^"\\]+)"')
_FORMS = {
    SENTENCES: (re.compile(r'"images"\s*:\s*\['), re.compile(r'"sentences"\s*:\s*\[')),
    TEXT_OUTPUT: (re.compile(r'"text_output"\s*:\s*"'),),
}

_NAMELESS = Kind("entries that name no file", "correct them if their captions are to count")
_OUTSIDE = Kind(
    "captions whose file name leads out of the folder", "name pictures as they lie in it"
)
_ABSENT = Kind("captions of pictures that are not in the folder", "see whether all was unpacked")
_EMPTY = Kind("captions that are empty or no text", "correct them in the JSON file")
_IN_TWO_SPLITS = Kind("pictures that are listed in two splits", "list each of them in one split")
_UNLISTED = Kind("pictures that have no entry in the JSON file", "add entries for them")
_UNCLASSED = Kind(
    "pictures of unknown class",
    "list them with their classes in a table, and name that as DATA, if they are to count",
)
_OTHER_SPLITS = Kind(
    "splits of the JSON file that are not those of the folders",
    "sort the pictures into train and test if these splits are to count",
)
_AMBIGUOUS = Kind(
    "captions of a file name that pictures of several classes have",
    "write the name in the JSON file with the folder of the class, as forest/1.jpg",
)


@dataclass
class Entry:
    """What a file says of a picture.

    Attributes:
        captions: different texts, in the order of the file.
        splits: names of the splits that it is listed in.
    """

    captions: dict[str, None]
    splits: set[str]


def recognises(path: Path, form: str, names: re.Pattern[str]) -> bool:
    """Return whether a folder holds a set of captions of a form, or a file is its list of captions.

    Args:
        path: the folder, or the JSON file in it.
        form: `SENTENCES` or `TEXT_OUTPUT`.
        names: what most file names of its pictures look like.
    """
    folder = Folder(str(path if path.is_dir() else path.parent))
    for file in _lists_at(path, folder):
        start = _start_of(file)
        listed = _FILENAME.findall(start)
        fitting = [name for name in listed if names.fullmatch(name)]
        if _form_of(start) == form and len(fitting) > len(listed) / 2:
            place = _place_of(folder)
            return place is not None and any(
                _name_in(place, name) in place.files for name in listed
            )
    return False


def _lists_at(path: Path, folder: Folder) -> list[Path]:
    """Return the JSON files that may be lists of captions: the path itself, or those in it."""
    if path.is_dir():
        files = [Path(folder.path, name) for name in folder.files if name.lower().endswith(".json")]
        return [file for file in files if file.is_file()] if len(files) <= _MOST_FILES else []
    return [path] if path.suffix.lower() == ".json" and path.is_file() else []


def _start_of(file: Path) -> str:
    try:
        return start_of(file, _START_BYTES)
    except OSError:
        return ""


def _form_of(start: str) -> str:
    """Return the form of a file that starts so; ``""`` if it is no list of captions."""
    if not _FILENAME.search(start):
        return ""
    fitting = (form for form, marks in _FORMS.items() if all(m.search(start) for m in marks))
    return next(fitting, "")


def _place_of(folder: Folder) -> Folder | None:
    """Return the folder that all pictures of a set lie in; None if they lie in several."""
    places = [inner for inner in folder.folders if kind_of_folder(inner) is None]
    places = [inner for inner in places if holds_pictures(inner)]
    if holds_pictures_itself(folder):
        places.append(folder)
    return places[0] if len(places) == 1 and holds_pictures_itself(places[0]) else None


def _name_in(place: Folder, filename: str) -> str:
    """Return the name that a picture of a list has in its folder, which the list may name, too."""
    return filename.removeprefix(f"{place.name}/")


def read(data: Path, group: str, form: str, classes: Classes) -> tuple[list[Row], Path]:
    """Return the rows of a set of captions, and the folder that their paths are relative to.

    Rows are of the class `UNLABELLED` where no class is known of any picture; where it is of some,
    the others are left out. A warning counts whatever is left out.

    Args:
        data: the folder of the set, or its JSON file.
        group: must be empty.
        form: form of its JSON file.
        classes: says of which classes its pictures are.

    Raises:
        XprobeError: a `group` is asked for; there is no such file, or several; it is of another
            form; or the pictures lie in several folders.
    """
    check_no_group(data, group, "lists of captions have no columns")
    base = data if data.is_dir() else data.parent
    folder, left_out = Folder(str(base)), LeftOut()
    file = _list_of(data, folder, form)
    entries = read_entries(file, left_out)
    place = _place_of(folder)
    if place is None:
        raise XprobeError(
            f"{base}: its pictures lie in several folders, or in none; put all that {file.name} "
            f"lists into one"
        )
    pictures = {name for name in place.files if place.holds_picture(name)}
    listed: dict[str, Entry] = {}
    for filename, entry in entries.items():
        name = _name_in(place, filename)
        if name in pictures:
            first = listed.setdefault(name, Entry({}, set()))
            first.captions |= entry.captions
            first.splits |= entry.splits
        else:
            left_out.add(_ABSENT, f"{file}: {filename}")
    for name in sorted(pictures - listed.keys()):
        left_out.add(_UNLISTED, f"{place.path}/{name}")
    label_of = classes(list(listed), folder)
    prefix = "" if place is folder else f"{place.name}/"
    rows = []
    for name, entry in listed.items():
        if len(entry.splits) > 1:
            left_out.add(_IN_TWO_SPLITS, f"{place.path}/{name}")
        elif label_of and name not in label_of:
            left_out.add(_UNCLASSED, f"{place.path}/{name}")
        else:
            rows.append({
                "path": f"{prefix}{name}", "label": label_of.get(name, UNLABELLED), "source": "",
                "split": "".join(entry.splits), "prompt": cell_of(list(entry.captions)),
            })  # fmt: skip
    _tell(file, left_out, rows)
    return rows, base


def _tell(file: Path, left_out: LeftOut, rows: Sequence[Row]) -> None:
    """Warn of what is left out, of pictures without captions, and of missing classes."""
    left_out.tell()
    if uncaptioned := [row["path"] for row in rows if not row["prompt"]]:
        warnings.warn(
            f"{file}: {counted(len(uncaptioned), 'picture', 'pictures')} without a caption, such "
            f"as {uncaptioned[0]}",
            XprobeWarning,
            stacklevel=4,
        )
    if rows and all(row["label"] == UNLABELLED for row in rows):
        warnings.warn(
            f"{file}: it states no classes, so that all images are of the class {UNLABELLED}; for "
            f"a study write a table with 'xprobe scan {file.parent} -o study.csv', correct its "
            f"column label, and name it as DATA",
            XprobeNote,
            stacklevel=4,
        )


def _list_of(data: Path, folder: Folder, form: str) -> Path:
    """Return the one list of captions of a form.

    Raises:
        XprobeError: there is none, or there are several.
    """
    files = [file for file in _lists_at(data, folder) if _form_of(_start_of(file)) == form]
    if len(files) > 1:
        raise XprobeError(
            f"{data}: both {files[0].name} and {files[1].name} list captions; name one of them as "
            f"DATA, such as {files[0]}"
        )
    if not files:
        raise XprobeError(
            f"{data}: no JSON file with captions of its pictures ({_words_of(form)}); put it "
            f"beside the folder of the pictures"
        )
    return files[0]


def _words_of(form: str) -> str:
    return {
        SENTENCES: 'an object whose "images" have "filename" and "sentences" with "raw"',
        TEXT_OUTPUT: 'a list of objects with "filename" and "text_output"',
    }[form]


def read_entries(file: Path, left_out: LeftOut) -> dict[str, Entry]:
    """Return what a list of captions says, by file name; several entries of a name are one.

    Args:
        file: the JSON file.
        left_out: takes entries without a file name, or of one outside, and captions without words.

    Raises:
        XprobeError: the file is no whole JSON, of another form, or names a split that is none.
    """
    try:
        content = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise XprobeError(
            f"{file}: no whole JSON ({error}); it may have been cut, so fetch it again"
        ) from error
    form, listed = _entries_in(content)
    if listed is None:
        raise XprobeError(
            f"{file}: no list of captions, which is {' or '.join(map(_words_of, _FORMS))}"
        )
    entries: dict[str, Entry] = {}
    for raw in listed:
        filename = raw.get("filename") if isinstance(raw, dict) else None
        if not isinstance(filename, str) or not filename.strip():
            left_out.add(_NAMELESS, str(file))
            continue
        name = filename.replace("\\", "/").removeprefix("./")
        if name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:", name):
            left_out.add(_OUTSIDE, f"{file}: {filename}")
            continue
        entry = entries.setdefault(name, Entry({}, set()))
        entry.splits |= {_split_in(raw, file)} - {""}
        for text in _texts_in(raw, form):
            if words := _words_in(text):
                entry.captions[words] = None
            else:
                left_out.add(_EMPTY, f"{file}: {filename}")
    return entries


def _entries_in(content: Any) -> tuple[str, list[Any] | None]:
    """Return the form of a JSON document and its entries; None if it is of another form."""
    if isinstance(content, dict):
        images = content.get("images")
        if isinstance(images, list) and any(_has(entry, SENTENCES) for entry in images):
            return SENTENCES, images
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 else None
    if isinstance(content, list) and any(_has(entry, TEXT_OUTPUT) for entry in content):
        return TEXT_OUTPUT, content
    return "", None


def _has(entry: Any, key: str) -> bool:
    return isinstance(entry, dict) and "filename" in entry and key in entry


def _split_in(raw: dict[str, Any], file: Path) -> str:
    """Return the split of an entry, ``""`` if it states none.

    Raises:
        XprobeError: it is none that a study knows.
    """
    split = raw.get("split") or ""
    if split and (not isinstance(split, str) or split.lower() not in SPLIT_OF):
        raise XprobeError(
            f"{file}: the split of {raw['filename']} is {split!r}, and splits are train, val and "
            f"test; correct it"
        )
    return SPLIT_OF[split.lower()] if split else ""


def _texts_in(raw: dict[str, Any], form: str) -> list[Any]:
    """Return what stands where an entry has its captions."""
    if form == TEXT_OUTPUT:
        return [raw.get(TEXT_OUTPUT)]
    sentences = raw.get(SENTENCES)
    if not isinstance(sentences, list):
        return [None]
    return [sentence.get("raw") if isinstance(sentence, dict) else None for sentence in sentences]


def _words_in(text: Any) -> str:
    """Return a caption on one line, without characters that cannot be shown; ``""``: no text."""
    if not isinstance(text, str):
        return ""
    shown = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(shown.split())


# --- beside the pictures of another set ----------------------------------------------------


def add_captions(rows: Iterable[Row], folder: Path) -> list[Row]:
    """Return rows with captions, where lists of captions in their folder name the pictures.

    A list names a picture by its file name, or with the folders that lead to it. Rows of a set that
    has a column of prompts itself stay as they are.

    Args:
        rows: rows of a set.
        folder: its folder.

    Raises:
        XprobeError: a list of captions is damaged.
    """
    rows = list(rows)
    files = [file for file in _lists_at(folder, Folder(str(folder))) if _form_of(_start_of(file))]
    if not files or any("prompt" in row for row in rows):
        return rows
    by_name: dict[str, list[int]] = {}
    parts = [re.split("/|::", row["path"]) for row in rows]
    for i, names in enumerate(parts):
        by_name.setdefault(names[-1], []).append(i)
    captions: dict[int, dict[str, None]] = {}
    for file in files:
        left_out, captioned = LeftOut(), set[int]()
        for filename, entry in read_entries(file, left_out).items():
            names = filename.split("/")
            fitting = [i for i in by_name.get(names[-1], ()) if parts[i][-len(names) :] == names]
            if len(fitting) > 1:
                labels = first_few([rows[i]["label"] for i in fitting], 3)
                left_out.add(_AMBIGUOUS, f"{filename} ({labels})")
            elif fitting:
                captioned.add(fitting[0])
                captions.setdefault(fitting[0], {}).update(entry.captions)
                if entry.splits - {rows[fitting[0]].get("split") or "train"}:
                    left_out.add(_OTHER_SPLITS, f"{file}: {filename}")
            else:
                left_out.add(_ABSENT, f"{file}: {filename}")
        left_out.tell()
        said = f"{file}: captions of {counted(len(captioned), 'picture', 'pictures')}"
        warnings.warn(f"{said} of {len(rows):,}", XprobeNote, stacklevel=3)
    return [row | {"prompt": cell_of(list(captions.get(i, ())))} for i, row in enumerate(rows)]
