"""Store and files → how far each generator lies from real images, its copies, its shortcuts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from xprobe.base.arrays import Ints
from xprobe.base.errors import counted, first_few
from xprobe.base.progress import Progress, no_progress
from xprobe.base.streams import stream
from xprobe.design import lineage as lineage_module
from xprobe.design.config import SweepConfig
from xprobe.distance.checks.fingerprints import fingerprints
from xprobe.distance.checks.leaks import Leaks, find_leaks
from xprobe.distance.checks.place import place_share
from xprobe.distance.checks.shortcuts import ALL, NAMES, all_facts, find_shortcuts
from xprobe.distance.edits import between_real, edit_pairs
from xprobe.distance.maps import lay_out
from xprobe.distance.measure import measure
from xprobe.distance.metrics import PAIRED, headline
from xprobe.distance.names import METRICS
from xprobe.distance.neighbours import nearest_neighbours
from xprobe.distance.retrieval import retrieval
from xprobe.distance.sides import Distance
from xprobe.distance.units import scenes, units
from xprobe.encoders.spec import SHARED_LAYER, EncoderSpec
from xprobe.features.aliases import choose_encoders
from xprobe.features.remarks import remarks_on
from xprobe.features.shards import Index, StoredEncoder
from xprobe.features.store import Store
from xprobe.features.texts import read_texts
from xprobe.images.captions import captions_of
from xprobe.images.classes import check_synthetic
from xprobe.images.manifest import Manifest
from xprobe.images.samples import AS_IT_IS, Reading
from xprobe.learners.problem import unit_rows
from xprobe.results import provenance
from xprobe.results.distance import (
    DISTANCE_VERSION,
    DistanceRow,
    Distances,
    Example,
    FeatureMap,
    LeakRow,
    LeakThreshold,
    MapPoint,
    PlaceRow,
    Shortcut,
)
from xprobe.verdict.metrics import interval_of_mean

# The examples of a class are chosen by their distance to the nearest real image.
EXAMPLES = ("closest", "median", "farthest")

# A map shows this many images of a generator or of the real ones, drawn at random from more.
MAPPED = 600


def measure_domain(
    manifest: Manifest,
    store: Store,
    *,
    encoders: Sequence[str] = (),
    metrics: Sequence[str] = METRICS,
    by_class: bool = True,
    permutations: int = 1000,
    seed: int = 0,
    workers: int | None = None,
    progress: Progress = no_progress,
) -> tuple[Distances, Manifest]:
    """Measure how far synthetic images lie from real ones, and look for copies and shortcuts.

    All real images but extra ones are the real side. Synthetic images that are copies of real
    ones are set aside first; the document has the values with them beside those without. Those
    that are made for a control are meant to be copies: they are not measured, and not left out.

    Args:
        manifest: the images.
        store: their features.
        encoders: names of encoders in the store; by default all with features of this manifest.
        metrics: names out of `distance.metrics.DISTANCES`; single classes get the headline ones.
        by_class: whether each class is measured, too.
        permutations: number of permutations in the tests of the headline metrics.
        seed: seed of splits, permutations and bootstrap.
        workers: number of threads that read files; by default one a core.
        progress: shows how far long work has come.

    Returns:
        The document (docs/reference/results.md), and the manifest without the copies.

    Raises:
        XprobeError: there are no synthetic images, or no encoder has features of the images.
    """
    check_synthetic(manifest)
    chosen = choose_encoders(store, manifest, encoders)
    reading = _reading_of([encoder.spec for encoder, _ in chosen])
    studied = manifest.without_controls()
    leaks = _leaks_in(studied, reading, workers, progress)
    clean = leaks.without(manifest)
    rows, place = list[DistanceRow](), list[PlaceRow]()
    examples, maps = list[Example](), list[FeatureMap]()
    said, usable = list[str](), [manifest, clean]
    for encoder, index in chosen:
        measured = _Measured(store, encoder, index, manifest, clean, seed)
        parts = measured.parts(by_class)
        with progress(f"distances {measured.title}", len(parts)) as advance:
            for generator, name in parts:
                wanted = metrics if name is None else [m for m in metrics if m in headline()]
                rows += measured.rows(generator, name, wanted, permutations)
                if name is None:
                    rows += measured.paired(generator) + measured.retrieval(generator)
                    examples += measured.examples(generator)
                advance(1)
        place += measured.place(workers)
        maps += measured.maps()
        usable.append(measured.readable)
        said += measured.warnings
    facts = all_facts(list(studied.path), workers, progress, reading)
    shortcuts = find_shortcuts(studied, facts, stream(seed, "shortcuts"))
    return Distances(
        version=DISTANCE_VERSION,
        **provenance.call(),
        fingerprint=manifest.fingerprint,
        holds_for=tuple(dict.fromkeys(table.fingerprint for table in usable)),
        distances=tuple(rows),
        leaks=tuple(_leak_rows(manifest, leaks)),
        leak_threshold=LeakThreshold(similarity=round(1 - leaks.threshold, 6), reason=leaks.reason),
        shortcuts=tuple(shortcuts),
        place=tuple(place),
        examples=tuple(examples),
        maps=tuple(maps),
        warnings=(
            *_source_warnings(manifest),
            *_image_warnings(studied, leaks, shortcuts),
            *_place_warnings(place),
            *said,
        ),
    ), clean


def _reading_of(specs: Sequence[EncoderSpec]) -> Reading:
    """Return how all encoders read samples; if they differ, samples are read as they are."""
    readings = {spec.reading for spec in specs}
    return readings.pop() if len(readings) == 1 else AS_IT_IS


def _leaks_in(images: Manifest, reading: Reading, workers: int | None, progress: Progress) -> Leaks:
    is_real = np.asarray(images.source == "real", dtype=bool)
    prints = fingerprints(list(images.path), is_real, workers, progress, reading)
    return find_leaks(images, prints)


def _leak_rows(manifest: Manifest, leaks: Leaks) -> list[LeakRow]:
    path_of = dict(zip(manifest.id, manifest.path, strict=True))
    return [
        LeakRow(
            id=leak.id, path=path_of[leak.id], neighbour=leak.nearest,
            neighbour_path=path_of[leak.nearest], kind=leak.kind,
            similarity=round(1 - leak.distance, 6),
        )
        for leak in leaks.rows
    ]  # fmt: skip


class _Measured:
    """The features of one encoder, and what is measured on them."""

    def __init__(
        self,
        store: Store,
        encoder: StoredEncoder,
        index: Index,
        manifest: Manifest,
        clean: Manifest,
        seed: int,
    ) -> None:
        features, failed = store.read(encoder, manifest, index)
        self.label, self.title = store.labels()[encoder.key], store.titles()[encoder.key]
        self.warnings = remarks_on([features.x], self.title)
        self.seed = seed
        self.encoder, self.texts = encoder, read_texts(encoder)
        self.readable = manifest.without(failed)
        self.usable = self.readable.without_controls()
        self.x = unit_rows(features.x[~self.readable.is_control])
        self.copies = ~np.isin(self.usable.id.astype(str), clean.id.astype(str))
        self.is_real = np.isin(self.usable.split, ("train", "test")) & (
            self.usable.source == "real"
        )
        self.sources = manifest.select(manifest.source == "real")
        self.scene = scenes(self.usable, self.sources)
        self.licence = lineage_module.licences(self.usable)
        self.is_outside = lineage_module.trace(self.usable, self.sources).is_outside & (
            self.usable.source == "synthetic"
        )

    def parts(self, by_class: bool) -> list[tuple[str, str | None]]:
        """Return pairs (generator, class) to measure; class None stands for all classes."""
        generators = sorted(set(self.usable.generator) - {""})
        classes: list[str | None] = [None, *(self.usable.classes if by_class else ())]
        return [(generator, name) for generator in generators for name in classes]

    def rows(
        self, generator: str, name: str | None, metrics: Sequence[str], permutations: int
    ) -> list[DistanceRow]:
        """Return a row for each metric of one generator and class."""
        real = np.flatnonzero(self.is_real & self._is_class(name))
        chosen = (self.usable.generator == generator) & self._is_class(name)
        clean, every = np.flatnonzero(chosen & ~self.copies), np.flatnonzero(chosen)
        distances, assumption = self._measure(real, clean, metrics, permutations, generator, name)
        with_copies: list[Distance | None] = [None] * len(distances)
        if len(every) > len(clean):
            with_copies = [*self._measure(real, every, metrics, 0, generator, name)[0]]
        return [
            self._distance_row(generator, name, distance, beside, assumption)
            for distance, beside in zip(distances, with_copies, strict=True)
        ]

    def _is_class(self, name: str | None) -> Any:
        return np.full(len(self.usable), True) if name is None else self.usable.label == name

    def _measure(
        self,
        real: Ints,
        synthetic: Ints,
        metrics: Sequence[str],
        permutations: int,
        *names: str | None,
    ) -> tuple[list[Distance], str | None]:
        """Return distances of rows, and what is assumed of the synthetic ones."""
        rng = stream(self.seed, "distance", *(name or "" for name in names))
        rows = np.concatenate([real, synthetic])
        unit = units(self.usable.select(rows), self.scene[rows], self.is_outside[rows])
        distances = measure(
            self.x[real], self.x[synthetic], unit.number[: len(real)], rng,
            synthetic_group=unit.number[len(real) :], metrics=metrics, permutations=permutations,
        )  # fmt: skip
        return distances, unit.assumption

    def _distance_row(
        self,
        generator: str,
        name: str | None,
        distance: Distance,
        beside: Distance | None = None,
        assumption: str | None = None,
    ) -> DistanceRow:
        values = asdict(distance)
        return DistanceRow(
            encoder=self.label,
            alias=self.title,
            generator=generator,
            class_=name,
            n=values.pop("size"),
            **values,
            value_with_leaks=None if beside is None else beside.value,
            assumption=None if distance.p is None and distance.ci_low is None else assumption,
        )

    def paired(self, generator: str) -> list[DistanceRow]:
        """Return how far edits lie from the true image of their scene, where lineage names it.

        The true image is a real one of the scene of the edit's source and of the edit's class. The
        floor is the mean distance of two real images of one class and different scenes.
        """
        edits = np.flatnonzero((self.usable.generator == generator) & ~self.copies)
        pairs, scene = edit_pairs(self.usable, edits, self.sources)
        if not len(pairs):
            return []
        rng = stream(self.seed, "paired", generator)
        distance = np.linalg.norm(self.x[pairs[:, 0]] - self.x[pairs[:, 1]], axis=1)
        low, high = interval_of_mean(distance, scene, rng)
        floor = between_real(self.x, self.usable, self.is_real, pairs[:, 1])
        paired = Distance(
            PAIRED.name, float(distance.mean()), low, high, floor, None, len(set(pairs[:, 1])),
            len(distance), len(distance),
            "mean distance; the floor is that of two real images of one class",
        )  # fmt: skip
        return [self._distance_row(generator, None, paired)]

    def retrieval(self, generator: str) -> list[DistanceRow]:
        """Return how well images find their own prompts, where the store has features of these.

        Copies of real images are left out, as are images without a prompt.
        """
        chosen = np.flatnonzero((self.usable.generator == generator) & ~self.copies)
        prompts = [captions_of(cell) for cell in self.usable.prompt[chosen]]
        rows = chosen[[bool(texts) for texts in prompts]]
        prompts = [texts for texts in prompts if texts]
        candidates = sorted({text for texts in prompts for text in texts})
        lacking = sum(text not in self.texts for text in candidates)
        if lacking and self.encoder.spec.layer == SHARED_LAYER:
            self.warnings.append(
                f"{self.title}, {generator}: no R@1, since the store lacks text features of "
                f"{lacking} of {counted(len(candidates), 'prompt', 'prompts')}; run 'xprobe embed "
                f"--encoder {self.encoder.name} --prompts clip' on these images"
            )
        if lacking or not candidates:
            return []
        row_of = {text: row for row, text in enumerate(candidates)}
        unit = units(self.usable.select(rows), self.scene[rows], self.is_outside[rows])
        distance = retrieval(
            self.x[rows], self.texts.of_texts(candidates),
            [np.array([row_of[text] for text in dict.fromkeys(texts)]) for texts in prompts],
            unit.number,
        )  # fmt: skip
        return [self._distance_row(generator, None, distance, assumption=unit.assumption)]

    def examples(self, generator: str) -> list[Example]:
        """Return, for each class, the images of `EXAMPLES`, each with its nearest real image.

        Copies of real images are left out, since the document lists them as leaks.
        """
        usable, real = self.usable, np.flatnonzero(self.is_real)
        examples = []
        for name in usable.classes:
            chosen = (usable.generator == generator) & ~self.copies & (usable.label == name)
            rows = np.flatnonzero(chosen)
            if not len(rows):
                continue
            distance, near = nearest_neighbours(self.x[rows], self.x[real], 1)
            order = np.argsort(distance[:, 0], kind="stable")
            for which, i in zip(
                EXAMPLES, (order[0], order[len(order) // 2], order[-1]), strict=True
            ):
                row, neighbour = rows[i], real[near[i, 0]]
                examples.append(
                    Example(
                        encoder=self.label, alias=self.title, generator=generator, class_=name,
                        which=which, id=usable.id[row], path=usable.path[row],
                        neighbour=usable.id[neighbour], neighbour_path=usable.path[neighbour],
                        distance=round(float(distance[i, 0]), 6), licence=self.licence[row],
                        neighbour_licence=self.licence[neighbour],
                    )
                )  # fmt: skip
        return examples

    def maps(self) -> list[FeatureMap]:
        """Return where images lie on a plane, a map for each way of laying them out."""
        rng = stream(self.seed, "map")
        sources = {"": np.flatnonzero(self.is_real)}
        for generator in sorted(set(self.usable.generator) - {""}):
            sources[generator] = np.flatnonzero(self.usable.generator == generator)
        rows = np.concatenate(
            [np.sort(rng.permutation(chosen)[:MAPPED]) for chosen in sources.values()]
        )
        return [
            FeatureMap(
                encoder=self.label,
                alias=self.title,
                method=method,
                points=tuple(
                    MapPoint(
                        generator=self.usable.generator[row] or None,
                        class_=self.usable.label[row],
                        x=round(float(x), 5),
                        y=round(float(y), 5),
                    )
                    for row, (x, y) in zip(rows.tolist(), plane, strict=True)
                ),
            )
            for method, plane in lay_out(self.x[rows], self.seed).items()
        ]

    def place(self, workers: int | None) -> list[PlaceRow]:
        """Return how much of the accuracy the place explains; no row without images from before."""
        rng = stream(self.seed, "place")
        place = place_share(self.usable, self.x, SweepConfig(), rng, workers)
        if place is None:
            return []
        return [PlaceRow(encoder=self.label, alias=self.title, **asdict(place))]


def _source_warnings(manifest: Manifest) -> list[str]:
    """Return warnings of sources outside of the table, and of images made for a control."""
    outside = lineage_module.outside_warnings(*lineage_module.sides(manifest.without_controls()))
    counts = Counter(manifest.column("control")[manifest.is_control])
    return outside + [
        f"{counted(n, 'synthetic image is', 'synthetic images are')} made for the control {name}: "
        f"nothing here is measured of them"
        for name, n in sorted(counts.items())
    ]


def _place_warnings(place: Sequence[PlaceRow]) -> list[str]:
    return [
        f"{row.title} knows the place: of {row.n} unseen scenes it gets "
        f"{100 * row.before:.1f} % right before the event (after it {100 * row.after:.1f} %, "
        f"chance {100 * row.chance:.1f} %)"
        for row in place
        if row.low is not None and row.low > row.chance
    ]


def _image_warnings(manifest: Manifest, leaks: Leaks, shortcuts: Sequence[Shortcut]) -> list[str]:
    """Return what the reader must know about copies and shortcuts, in sentences."""
    warnings = [
        f"{counted(n, 'synthetic image', 'synthetic images')}: {kind}; leave them out with "
        f"--drop-leaks"
        for kind, n in leaks.counts.items()
        if "copy of" in kind
    ]
    split = dict(zip(manifest.id, manifest.split, strict=True))
    across = [
        leak.id
        for leak in leaks.rows
        if leak.kind.endswith("duplicate inside real")
        and {split[leak.id], split[leak.nearest]} == {"train", "test"}
    ]
    if across:
        said = counted(
            len(across), "real image is a near-duplicate", "real images are near-duplicates"
        )
        warnings.append(
            f"{said} across training and test part ({first_few(across, 3)}): give each pair one "
            f"group"
        )
    held_out = (manifest.split == "test").any()
    if any("copy of" in kind for kind in leaks.counts) and not held_out:
        warnings.append("without a fixed hold-out every training image is tested in some fold")
    return [*warnings, *_shortcut_warnings(shortcuts)]


def _shortcut_warnings(shortcuts: Sequence[Shortcut]) -> list[str]:
    """Return one warning for all generators that the same properties of files give away."""
    by_names: dict[str, list[str]] = {}
    for generator in sorted({row.generator for row in shortcuts}):
        names = ", ".join(
            NAMES.get(row.property, row.property)
            for row in shortcuts
            if row.generator == generator and row.tells_apart and row.property != ALL
        )
        if names:
            by_names.setdefault(names, []).append(generator)
    return [
        f"files alone tell {'generator' if len(generators) == 1 else 'generators'} "
        f"{', '.join(generators)} from real images: {names}; a network that is trained on both may "
        f"learn that instead of the classes"
        for names, generators in by_names.items()
    ]
