"""A folder of images that were made elsewhere → a table of synthetic images beside DATA."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from xprobe.base.documents import Document
from xprobe.base.errors import XprobeError, counted, first_few
from xprobe.base.progress import Progress, no_progress
from xprobe.images import survey
from xprobe.images.adopted.metadata import Said, said_by
from xprobe.images.adopted.parentage import (
    Origin,
    Records,
    Scenes,
    origins_by_pattern,
    read_records,
)
from xprobe.images.adopted.pattern import EXAMPLE, Pattern, is_pattern
from xprobe.images.classes import spelling
from xprobe.images.decode import UnusableImageError
from xprobe.images.events import as_cell, event_key
from xprobe.images.manifest import Manifest, as_text, check_generator
from xprobe.images.sources.leftovers import MASKS, LeftOut
from xprobe.images.sources.pictures import pictures_of
from xprobe.images.sources.tree import Folder, Listing, list_folder

FROM_FILE = "file"
"""The value of ``--parent-from`` that asks the images themselves."""

LABELS = ("folder", "table", "parent")
"""What ``--label`` may be, but for the name of a class."""

_EXAMPLES = 3


@dataclass(frozen=True)
class Request:
    """What the user says of the images.

    Attributes:
        generator: what made them.
        parent_from: a pattern, the path of a table, or `FROM_FILE`; ``""``: nothing is known.
        label: one of `LABELS`, or a class of DATA; ``""``: the folder where its name is a class of
            DATA, else the table, else the parent.
        trained_on: events that the generator was trained on.
    """

    generator: str
    parent_from: str = ""
    label: str = ""
    trained_on: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_generator(self.generator, "--generator")


class Part(Document, frozen=True, kw_only=True):
    """Some images of a folder.

    Attributes:
        name: what is true of them.
        n: how many there are.
        examples: the first of them.
    """

    name: str
    n: int
    examples: tuple[str, ...] = ()


class Adopted(Document, frozen=True, kw_only=True):
    """Output of ``xprobe adopt --json``.

    Attributes:
        table: the file that was written.
        generator: what made the images.
        images: how many were adopted.
        counts: how many of each class.
        parts: how many of the folder's images were adopted, have a parent, were left out, and so
            on.
        trained_on: events that the generator was trained on.
        warnings: what looks wrong.
    """

    table: str
    generator: str
    images: int
    counts: tuple[survey.Count, ...]
    parts: tuple[Part, ...]
    trained_on: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass
class Sorted:
    """The images of a folder, and what was learned of them; images are named by their paths in it.

    Attributes:
        said: image → what it says of itself, for those that are adopted.
        origin, label: image → what it was made from, and its class.
        parts: what is true of images → these images.
        masks: how many masks were left out, and the path of one.
        notes: warnings.
    """

    said: dict[str, Said] = field(default_factory=dict)
    origin: dict[str, Origin] = field(default_factory=dict)
    label: dict[str, str] = field(default_factory=dict)
    parts: dict[str, list[str]] = field(default_factory=dict)
    masks: tuple[int, str] = (0, "")
    notes: list[str] = field(default_factory=list)

    def put(self, part: str, name: str, words: str = "") -> None:
        """Count an image in a part; `words` says more of it."""
        self.parts.setdefault(part, []).append(f"{name} ({words})" if words else name)

    def leave_out(self, part: str, name: str, words: str = "") -> None:
        """Count an image in a part, and adopt it no more."""
        self.put(part, name, words)
        self.said.pop(name, None)


ADOPTED = "adopted"
WITH_PARENT, NO_PARENT, OUTSIDE = "with parent", "without parent", "parent outside DATA"
AMBIGUOUS, DISAGREEING = "ambiguous parent", "class disagrees"
NO_CLASS, IN_DATA, BROKEN, MASKED = "no class", "already in DATA", "unreadable", "masks"

PARTS = (
    ADOPTED, WITH_PARENT, NO_PARENT, OUTSIDE, AMBIGUOUS, DISAGREEING, NO_CLASS, IN_DATA, BROKEN,
    MASKED,
)  # fmt: skip
"""What may be true of images, as it is counted."""

SHOWN = (ADOPTED, WITH_PARENT, NO_PARENT, AMBIGUOUS, BROKEN, MASKED)
"""What is shown even where it is true of none."""


def adopt(
    folder: Path,
    data: Manifest,
    request: Request,
    beside: Iterable[Path] = (),
    progress: Progress = no_progress,
) -> tuple[Manifest, list[Part], list[str]]:
    """Return the table of a folder's images as those of a generator, counts, and warnings.

    Args:
        folder: the images, nested as deep as wished; nothing in it is changed.
        data: the real images that they belong to, and what else there is.
        request: what is known of them.
        beside: files of the folder that are tables of its images.
        progress: bar that is shown while headers are read.

    Raises:
        XprobeError: no image can be adopted, or what is known of them fits none.
    """
    scenes = Scenes(data.select(data.source == "real"))
    paths, images = _list(folder, {path.resolve() for path in beside})
    _leave_out_known(paths, images, data, folder)
    _read_all(paths, images, folder, progress)
    records = _find_origins(images, request, scenes)
    _choose_labels(images, request, records, _Classes(data, folder), folder)
    _note_origins(images, request, scenes)
    images.notes += _event_notes(request, scenes.real)
    table = _table(paths, images, records, request, data)
    if n := int((data.generator == request.generator).sum()):
        images.notes.append(
            f"DATA has {counted(n, 'image', 'images')} of a generator {request.generator} already: "
            f"both count as one generator; name another with --generator if they are not of one"
        )
    return table, _parts(images), images.notes


def _parts(images: Sorted) -> list[Part]:
    """Return the counts of a folder's images: those that are adopted, then what is true of some."""
    named = dict.fromkeys(PARTS, ()) | {ADOPTED: list(images.said)} | images.parts
    n_masks, mask = images.masks
    return [
        Part(name=MASKED, n=n_masks, examples=(mask,) if n_masks else ())
        if name == MASKED
        else Part(name=name, n=len(names), examples=tuple(names[:_EXAMPLES]))
        for name, names in named.items()
    ]


def _list(folder: Path, beside: set[Path]) -> tuple[dict[str, str], Sorted]:
    """Return the absolute path of each image of a folder by its path in it; masks are left out."""
    if not folder.is_dir():
        raise XprobeError(f"{folder}: no such folder; name the one that holds the images")

    def list_others(path: str) -> Listing:
        listing = list_folder(path)
        files = (name for name in listing.files if Path(path, name).resolve() not in beside)
        return Listing(listing.folders, tuple(files), listing.identity)

    images, left_out = Sorted(), LeftOut()
    root = Folder(str(folder), place=str(folder.resolve()), lister=list_others)
    paths: dict[str, str] = {}
    for inner, name in pictures_of(root, left_out):
        path = f"{inner.id}/{name}".lstrip("/")
        if as_text(path) != path:
            images.put(BROKEN, as_text(path), "its name is no UTF-8; rename it")
        else:
            paths[path] = f"{inner.place}/{name}"
    images.notes += left_out.lines
    images.masks = left_out.of_kind(MASKS)
    if not paths:
        raise XprobeError(f"{folder}: there are no images in it; name the folder that holds them")
    return paths, images


def _leave_out_known(paths: dict[str, str], images: Sorted, data: Manifest, folder: Path) -> None:
    known = {os.path.normpath(path) for path in data.path}
    for name in [name for name, path in paths.items() if os.path.normpath(path) in known]:
        images.put(IN_DATA, name)
        del paths[name]
    if not paths:
        raise XprobeError(
            f"{folder}: all {len(images.parts[IN_DATA])} images of it are in DATA already; name as "
            f"--data a table without them, such as 'xprobe scan --real DIR -o real.csv' writes of "
            f"a folder of real images"
        )


def _read_all(paths: dict[str, str], images: Sorted, folder: Path, progress: Progress) -> None:
    """Read what all images say of themselves; those without a readable header are left out."""

    def read(path: str) -> Said | UnusableImageError:
        try:
            return said_by(path)
        except UnusableImageError as error:
            return error

    with ThreadPoolExecutor() as pool, progress("read headers", len(paths)) as advance:
        for name, said in zip(paths, pool.map(read, paths.values()), strict=True):
            advance(1)
            if isinstance(said, UnusableImageError):
                images.put(BROKEN, name, str(said))
                continue
            images.said[name] = said
            for remark in said.remarks:
                images.put(remark, name)
    if not images.said:
        raise XprobeError(
            f"{folder}: none of the {len(paths)} files holds a readable image; the first: "
            f"{images.parts[BROKEN][0]}"
        )
    makers = Counter(said.maker for said in images.said.values() if said.maker)
    if makers:
        shown = first_few([f"{maker} ({n})" for maker, n in makers.most_common()], 3)
        images.notes.append(f"the images say that they were made by {shown}")


def _find_origins(images: Sorted, request: Request, scenes: Scenes) -> Records:
    """Find what each image was made from; return what a table says of them."""
    names, source = list(images.said), request.parent_from
    records = Records({}, (), ())
    if is_pattern(source):
        origins = origins_by_pattern(Pattern(source), names, scenes)
    elif source == FROM_FILE:
        origins = [scenes.named(images.said[name].parent) for name in names]
    elif source:
        records = read_records(Path(source), names)
        images.notes += records.notes
        origins = [scenes.named(records.rows.get(name, {}).get("parent", "")) for name in names]
    else:
        origins = [Origin()] * len(names)
    images.origin = dict(zip(names, origins, strict=True))
    return records


class _Classes:
    """The classes of DATA, and what the folders of images say of theirs."""

    def __init__(self, data: Manifest, folder: Path) -> None:
        self.names = data.classes
        self._by_spelling = {spelling(name): name for name in data.classes}
        self._root = self.known(folder.resolve().name)

    def known(self, name: str) -> str:
        """Return the class that a name spells; ``""``: none."""
        return self._by_spelling.get(spelling(name), "")

    def of_folder(self, path: str) -> str:
        """Return the class that the nearest folder above an image names; ``""``: none does."""
        folders = reversed(path.split("/")[:-1])
        return next(filter(None, map(self.known, folders)), self._root)


def _choose_labels(
    images: Sorted, request: Request, records: Records, classes: _Classes, folder: Path
) -> None:
    """Give every image its class; those that have none are left out."""
    fixed = classes.known(request.label)
    if request.label and request.label not in LABELS and not fixed:
        raise XprobeError(
            f"--label {request.label}: it is {', '.join(LABELS)}, or a class of DATA: "
            f"{first_few(classes.names, 10)}"
        )
    if request.label == "table" and "label" not in records.columns:
        raise XprobeError("--label table: --parent-from names no table with a column label")
    for name in list(images.said):
        label_of = {
            "folder": classes.of_folder(name),
            "table": classes.known(records.rows.get(name, {}).get("label", "")),
            "parent": images.origin[name].label,
        }
        asked = fixed or label_of.get(request.label, "")
        label = asked if request.label else next(filter(None, label_of.values()), "")
        others = {f"{who} {what}" for who, what in label_of.items() if what not in ("", label)}
        if not label:
            images.leave_out(NO_CLASS, name)
        else:
            images.label[name] = label
            if others:
                images.put(DISAGREEING, name, f"{label}, but by its {first_few(sorted(others))}")
    if not images.said:
        raise XprobeError(
            f"{folder}: no image has a class of DATA ({first_few(classes.names, 10)}), by its "
            f"folder or by its parent; name one for all with --label, or sort the images into "
            f"folders of these names"
        )


def _note_origins(images: Sorted, request: Request, scenes: Scenes) -> None:
    """Count what the images that are adopted were made from, and warn of what looks wrong."""
    parents = Counter[str]()
    for name in images.said:
        origin = images.origin[name]
        if origin.fits:
            images.put(AMBIGUOUS, name, first_few(origin.fits, _EXAMPLES))
        elif origin.is_outside:
            images.put(OUTSIDE, name, origin.parent)
        elif origin.parent:
            parents[origin.parent] += 1
            images.put(WITH_PARENT, name, origin.parent)
        else:
            images.put(NO_PARENT, name)
    if not request.parent_from:
        images.notes.append(
            f"nothing says what the images were made from, so that a sweep cannot keep edits of "
            f"test images out; name it with --parent-from, such as {EXAMPLE}, a table, or file"
        )
    elif not parents:
        images.notes.append(
            f"--parent-from {request.parent_from} gives no image a parent that DATA has"
        )
    n, several = sum(parents.values()), len(set(scenes.real.group)) > 1
    if len(parents) == 1 and n > 1 and several:
        images.notes.append(
            f"all {n} images with a parent have the same one, {next(iter(parents))}: the pattern "
            f"or table may not tell scenes apart"
        )


def _event_notes(request: Request, real: Manifest) -> list[str]:
    """Return a warning of events that nothing in DATA can be compared with."""
    if not request.trained_on:
        return []
    events = {name for name in real.column("event") if name}
    if not events:
        return [
            "DATA has no column event, so that --trained-on cannot keep any image out of a sweep; "
            "name the event of every real image"
        ]
    known = {event_key(name) for name in events}
    if not any(event_key(name) in known for name in request.trained_on):
        return [
            f"none of the events of --trained-on ({first_few(request.trained_on, 3)}) is one of "
            f"DATA's ({first_few(sorted(events), 3)}): nothing will be kept out of a sweep"
        ]
    return []


def _table(
    paths: dict[str, str], images: Sorted, records: Records, request: Request, data: Manifest
) -> Manifest:
    names = list(images.said)
    ids = [f"{request.generator}/{name}" for name in names]
    if clash := sorted(set(ids) & set(data.id)):
        raise XprobeError(
            f"DATA has other images of the ids {first_few(clash, _EXAMPLES)}; name another "
            f"--generator"
        )
    licence = dict(zip(data.group, data.column("licence"), strict=True))
    licence |= dict(zip(data.id, data.column("licence"), strict=True))
    parents = [images.origin[name].parent for name in names]

    def column(name: str, said: Callable[[Said], str]) -> list[str]:
        return [records.rows.get(n, {}).get(name, "") or said(images.said[n]) for n in names]

    n = len(names)
    columns = {
        "id": ids, "path": [paths[name] for name in names], "sha256": [""] * n,
        "label": [images.label[name] for name in names], "source": ["synthetic"] * n,
        "group": [""] * n, "parent": parents, "generator": [request.generator] * n,
        "split": ["train"] * n, "prompt": column("prompt", lambda said: said.prompt),
    }  # fmt: skip
    further = {
        "date": column("date", lambda said: said.date),
        "trained_on": [as_cell(request.trained_on)] * n,
        "licence": [licence.get(parent, "") for parent in parents],
    }
    further = {name: values for name, values in further.items() if any(values)}
    return Manifest(**columns, further=further)  # type: ignore[arg-type]  # It freezes them.
