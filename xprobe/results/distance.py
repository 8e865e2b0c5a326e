"""What `xprobe distance` answered: one typed document (docs/reference/results.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

import msgspec

from xprobe.base import documents
from xprobe.base.arrays import digest_of
from xprobe.base.documents import Document, Number
from xprobe.base.errors import first_few
from xprobe.encoders.names import Named, short_name, titles_of
from xprobe.results.study import Results, folders_of

AnyRow = TypeVar("AnyRow", bound="OfEncoder")

DISTANCE_VERSION = 1

REMEDY = "delete it and run 'xprobe distance' again"


class OfEncoder(Document, frozen=True, kw_only=True):
    """What is of one encoder.

    Attributes:
        encoder: its name, with digits of its key if the store has another one of that name.
        alias: short name by which people read it; empty if an older xprobe measured.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = ("alias",)

    encoder: str
    alias: str = ""

    @property
    def title(self) -> str:
        """What the encoder is called where people read."""
        return self.alias or short_name(self.encoder)


class DistanceRow(OfEncoder, frozen=True, kw_only=True):
    """One metric of an encoder and generator; the order of the fields is that of distances.csv.

    Attributes:
        class_: the class that was measured; None: all together.
        value: distance of synthetic images, without copies, to real ones; None if it cannot be
            computed.
        ci_low, ci_high: its 95 % interval.
        floor: distance of real images among themselves; of R@1 the chance level.
        p: p-value of the test whether both sides are of one distribution.
        n: number of images of either side in the comparison; of R@1 number of prompts.
        n_real, n_synthetic: numbers of images that were given.
        value_with_leaks: the value with copies of real images, where there are some.
        reason: why there is no value, or what to know about it.
        units_real, units_synthetic: numbers of units, which count as one draw each: a scene with
            all its real images and edits, a prompt, or else an image. None: nothing was measured,
            or by an older xprobe, which took every synthetic image for a unit.
        assumption: what p and interval take for granted of synthetic images: ``given these
            prompts`` (too few to count as a sample), ``assumes independent images`` (neither
            source nor prompt is known); None: nothing.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = (
        *OfEncoder.OPTIONAL, "units_real", "units_synthetic", "assumption",
    )  # fmt: skip

    generator: str
    class_: str | None = msgspec.field(name="class", default=None)
    metric: str
    value: Number | None = None
    ci_low: Number | None = None
    ci_high: Number | None = None
    floor: Number | None = None
    p: Number | None = None
    n: Number
    n_real: Number
    n_synthetic: Number
    value_with_leaks: Number | None = None
    reason: str | None = None
    units_real: int | None = None
    units_synthetic: int | None = None
    assumption: str | None = None


class LeakRow(Document, frozen=True, kw_only=True):
    """An image that is a copy or duplicate of another, its neighbour; similarity 1: the same."""

    id: str
    path: str
    neighbour: str
    neighbour_path: str
    kind: str
    similarity: Number


class LeakThreshold(Document, frozen=True, kw_only=True):
    """The similarity above which an image counts as a copy, and why."""

    similarity: Number
    reason: str


class Shortcut(Document, frozen=True, kw_only=True):
    """How well one property of the files, or all, tells a generator's images from real ones.

    Attributes:
        property: name of the property, or ``all``.
        auc: cross-validated area under the ROC curve, 0.5: not at all, 1: perfectly; None: it
            was left out, and the verdict says why. `low`, `high`: its 95 % interval.
        tells_apart: whether it is sure that it does; ``found`` in JSON.
        verdict: one sentence.
        n_real, n_synthetic: numbers of images.
    """

    generator: str
    property: str
    auc: Number | None = None
    low: Number | None = None
    high: Number | None = None
    tells_apart: bool = msgspec.field(name="found", default=False)
    verdict: str
    n_real: int | None = None
    n_synthetic: int | None = None


class PlaceRow(OfEncoder, frozen=True, kw_only=True):
    """How much of an encoder's accuracy the place explains (docs/concepts/distance.md).

    Attributes:
        after: accuracy on images of unseen scenes.
        before: accuracy on images of the same scenes before the event, the class after it.
        chance: accuracy of always naming the most frequent class.
        share: (before − chance) / (after − chance), at least 0; None if `after` is not above.
        low, high: 95 % interval of `before`; None for a single scene.
        n: number of scenes.
    """

    after: Number
    before: Number
    chance: Number
    share: Number | None = None
    low: Number | None = None
    high: Number | None = None
    n: int


class Example(OfEncoder, frozen=True, kw_only=True):
    """A synthetic image, the `which` (closest, median or farthest) of its class, and a real one.

    The real image is its nearest neighbour; `distance` is the distance of their features. The
    licences are those that count for either (`design.lineage.licences`).
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = (*OfEncoder.OPTIONAL, "licence", "neighbour_licence")

    generator: str
    class_: str = msgspec.field(name="class")
    which: str
    id: str
    path: str
    neighbour: str
    neighbour_path: str
    distance: Number
    licence: str = ""
    neighbour_licence: str = ""


class MapPoint(Document, frozen=True, kw_only=True):
    """Where an image lies on a plane; the generator of a real image is None."""

    generator: str | None = None
    class_: str = msgspec.field(name="class")
    x: Number
    y: Number


class FeatureMap(OfEncoder, frozen=True, kw_only=True):
    """The features of an encoder laid out on a plane by a method."""

    method: str = "pca"
    points: tuple[MapPoint, ...]


class Distances(Document, frozen=True, kw_only=True):
    """How far synthetic images lie from real ones, copies among them, and shortcuts.

    Attributes:
        fingerprint: fingerprint of the image table.
        holds_for: fingerprints of all the tables that it holds for: all images, those without
            copies, and those that each encoder could use.
        leak_threshold: what counts as a copy; None: copies were not looked for.
        place: what the place explains, for manifests with images from before the event.
        warnings: what the reader must know, in sentences.
    """

    version: int
    created: str
    command: str
    fingerprint: str
    holds_for: tuple[str, ...] = ()
    distances: tuple[DistanceRow, ...]
    leaks: tuple[LeakRow, ...]
    leak_threshold: LeakThreshold | None
    shortcuts: tuple[Shortcut, ...]
    place: tuple[PlaceRow, ...] = ()
    examples: tuple[Example, ...] = ()
    maps: tuple[FeatureMap, ...] = ()
    warnings: tuple[str, ...]


def with_aliases(document: Distances, aliases: Mapping[str, str]) -> Distances:
    """Return distances in which no two encoders have the same alias.

    Args:
        document: the distances.
        aliases: encoder → its alias in the studies beside them, which goes before that of rows.
    """
    rows: list[OfEncoder] = [*document.distances, *document.place, *document.examples]
    named = {row.encoder: row.alias for row in [*rows, *document.maps]} | dict(aliases)
    titles = titles_of([Named(digest_of(name), name, alias) for name, alias in named.items()])

    def renamed(rows: tuple[AnyRow, ...]) -> tuple[AnyRow, ...]:
        return tuple(documents.replace(row, alias=titles[digest_of(row.encoder)]) for row in rows)

    return documents.replace(
        document, distances=renamed(document.distances), place=renamed(document.place),
        examples=renamed(document.examples), maps=renamed(document.maps),
    )  # fmt: skip


def distance_file(folder: Path) -> Path:
    """Return where the answer of `xprobe distance` lies."""
    return folder / "distance.json"


def save_distance(folder: Path, document: Distances) -> None:
    """Write the answer of `xprobe distance`; readers find it whole or not at all."""
    documents.write(distance_file(folder), document)


def is_wanted(row: OfEncoder, encoders: Sequence[str]) -> bool:
    """Return whether a row is of an encoder that is reported on; `encoders` empty: of any."""
    return not encoders or row.encoder in encoders or row.title in encoders


def load_distance(folder: Path) -> Distances | None:
    """Return what `save_distance` put into a folder, or None if there is nothing.

    Raises:
        XprobeError: it is damaged, or of a newer format.
    """
    try:
        return documents.read(Distances, distance_file(folder), REMEDY, DISTANCE_VERSION)
    except FileNotFoundError:
        return None


def load_distances(results: Results) -> Distances | None:
    """Return what `save_distance` put into folders of results, joined, or None if there is nothing.

    What several folders say of an encoder and generator is taken from the newest one, and a warning
    says so.

    Raises:
        XprobeError: one is damaged, or of a newer format.
    """
    by_folder = {folder: load_distance(folder) for folder in folders_of(results)}
    measured = [(folder, one) for folder, one in by_folder.items() if one is not None]
    if not measured:
        return None
    measured.sort(key=lambda pair: pair[1].created, reverse=True)
    (_, joined), *others = measured
    for folder, other in others:
        joined = _joined(joined, other, folder)
    return joined


def _joined(newer: Distances, older: Distances, folder: Path) -> Distances:
    """Return distances with what an older document in a folder says beyond them."""
    measured = {(row.encoder, row.generator) for row in newer.distances}
    again = {(row.encoder, row.generator) for row in older.distances} & measured
    said = [f"{e} · {g}" for e, g in sorted(again)]
    warnings = [*newer.warnings, *older.warnings]
    if said:
        file = distance_file(folder)
        warnings.append(f"{file}: left out for newer distances of {first_few(said)}")
    files = {row.generator for row in newer.shortcuts}
    copies = {row.path for row in newer.leaks}
    pictured = {(row.encoder, row.generator) for row in newer.examples}
    mapped, placed = {m.encoder for m in newer.maps}, {row.encoder for row in newer.place}
    return documents.replace(
        newer,
        command="; ".join(dict.fromkeys((newer.command, older.command))),
        holds_for=tuple(dict.fromkeys((*newer.holds_for, older.fingerprint, *older.holds_for))),
        distances=newer.distances
        + tuple(r for r in older.distances if (r.encoder, r.generator) not in measured),
        leaks=newer.leaks + tuple(row for row in older.leaks if row.path not in copies),
        leak_threshold=newer.leak_threshold or older.leak_threshold,
        shortcuts=newer.shortcuts + tuple(r for r in older.shortcuts if r.generator not in files),
        place=newer.place + tuple(row for row in older.place if row.encoder not in placed),
        examples=newer.examples
        + tuple(r for r in older.examples if (r.encoder, r.generator) not in pictured),
        maps=newer.maps + tuple(m for m in older.maps if m.encoder not in mapped),
        warnings=tuple(dict.fromkeys(warnings)),
    )
