"""Settings × encoders × folds → predictions → verdicts; skips what is done."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from xprobe.base.arrays import digest_of
from xprobe.base.documents import from_json, replace, to_json
from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.base.progress import Progress, no_progress
from xprobe.design.blocks import Block
from xprobe.design.config import Grid, SweepConfig
from xprobe.design.lineage import licences
from xprobe.design.setting import head_title
from xprobe.encoders.network import Network
from xprobe.engine.device import pick_device
from xprobe.engine.execution import Execution
from xprobe.features.shards import StoredEncoder
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest
from xprobe.images.survey import counts
from xprobe.learners.finetune.masks import Masks
from xprobe.learners.kinds import kind_of
from xprobe.learners.problem import Fit
from xprobe.learners.solve import solve
from xprobe.results import distance as results
from xprobe.results import predictions as predictions_module
from xprobe.results import provenance
from xprobe.results import study as study_module
from xprobe.results.config import StudyConfig
from xprobe.results.hits import save_hits
from xprobe.results.images import save_places
from xprobe.results.predictions import PredictionRecord, Predictions
from xprobe.study.claims import with_claims
from xprobe.study.curve import Point, value_points
from xprobe.study.judge import Judged, judge
from xprobe.study.keys import augmentation_of, study_key
from xprobe.study.prepare import Study, prepare
from xprobe.study.rights import dataset_counts, licence_counts, maker_counts
from xprobe.study.seeds import Pooled, pool_seeds
from xprobe.study.tested import hits

if TYPE_CHECKING:
    from xprobe.learners.finetune.trainer import Task


def sweep(
    manifest: Manifest,
    store: Store,
    folder: Path,
    config: SweepConfig = SweepConfig(),
    grid: Grid = Grid(),
    execution: Execution = Execution(),
    *,
    option_sources: Mapping[str, str] = MappingProxyType({}),
    progress: Progress = no_progress,
) -> list[study_module.Study]:
    """Train and test every setting on every encoder, save all predictions, and judge.

    Args:
        manifest: the images.
        store: their features.
        folder: where predictions and studies are kept; what is there is not computed again.
        config: what is trained.
        grid: what is crossed; each combination is a study.
        execution: where and how wide it runs.
        option_sources: where options that are not at their default come from, by name, such as
            ``{"ratios": "command line"}``; the studies keep it.
        progress: what shows how far the work is.

    Returns:
        One study document an encoder, head and fraction (docs/reference/results.md), with the
        study-wide p of its mixes among all studies of the folder.
    """
    documents: dict[str, study_module.Study] = {}
    curves: dict[tuple[str, str], list[Point]] = {}
    placed: set[str] = set()
    for study in prepare(manifest, store, config, grid, execution.memory_gib):
        folder.mkdir(parents=True, exist_ok=True)
        _Solving(study, store, folder, execution, progress).solve_missing()
        pooled = pool_seeds(study, folder)
        judged = judge(pooled, folder, study.config, study.label, study.zero_shot)
        document = _study_document(study, folder, pooled, judged, option_sources)
        document = replace(document, hits=save_hits(folder, document.key, judged.hits))
        documents[document.key] = document
        study_module.save_study(folder, document)
        if study.usable.fingerprint not in placed:
            save_places(folder, study.usable, licences(study.usable))
            placed.add(study.usable.fingerprint)
        if grid.real_curve:
            point = Point(study.design, hits(study.design, study.runs, folder), document)
            curves.setdefault((study.encoder.key, study.config.head), []).append(point)
    for points in curves.values():
        for point in value_points(points, config.seed, grid.value_refusal):
            documents[point.document.key] = point.document
            study_module.save_study(folder, point.document)
    if not documents:
        return []
    try:
        every = with_claims(folder, study_module.load_studies(folder))
    except XprobeError as error:
        # Another study of the folder is damaged. Those of this sweep are trained and saved.
        warnings.warn(f"there is no study-wide p: {error}", XprobeWarning, stacklevel=2)
        every = []
    claimed = {study.key: study for study in every}
    # A study whose repeats are held by another one with more seeds claims nothing by itself.
    return [claimed.get(key, document) for key, document in documents.items()]


def _measured_warnings(folder: Path, usable: Manifest) -> list[str]:
    """Return the warnings of `xprobe distance` if it was run on these images."""
    document = results.load_distance(folder)
    if document is None or document.fingerprint != usable.fingerprint:
        return []
    return list(document.warnings)


@dataclass(frozen=True, eq=False)
class _Solving:
    """Solves the blocks of a study that have no predictions yet."""

    study: Study
    store: Store
    folder: Path
    execution: Execution
    progress: Progress

    def solve_missing(self) -> None:
        """Solve and save these blocks, each as soon as all its folds are solved."""
        todo = self.study.missing(self.folder)
        if not todo:
            return
        places = [(run, i) for run, block in todo.items() for i in range(len(block.problems))]
        waiting: dict[str, dict[int, Fit]] = {run: {} for run in todo}
        takes_steps = kind_of(self.study.config.head).takes_steps
        fits = self._fine_tunes if takes_steps else self._heads
        for number, fit in fits(todo):
            run, fold = places[number]
            waiting[run][fold] = fit
            if len(waiting[run]) == len(todo[run].problems):
                by_fold = waiting.pop(run)
                fits_of_run = [by_fold[i] for i in sorted(by_fold)]
                _save_block(self.folder, run, todo[run], fits_of_run, self.study)
                predictions_module.forget_fine_tunes(self.folder, run)

    def _heads(self, todo: dict[str, Block]) -> Iterator[tuple[int, Fit]]:
        """Train heads on features; yield (number of a problem, counted through, its fit)."""
        study, config = self.study, self.study.config
        problems = [problem for block in todo.values() for problem in block.problems]
        name = study.title
        part = config.real_fraction, config.train_per_class
        if (config.head, *part) != (SweepConfig.head, 1.0, None):
            name += f" {head_title(config.head, *part)}"
        with self.progress(f"sweep {name}", len(problems)) as advance:
            for numbered_fit in solve(
                config.head,
                study.pool,
                problems,
                config.head_options,
                self.execution.workers,
                self.execution.device,
            ):
                yield numbered_fit
                advance(1)

    def _fine_tunes(self, todo: dict[str, Block]) -> Iterator[tuple[int, Fit]]:
        """Train whole networks on pixels; yield as `_heads` does."""
        from xprobe.learners.finetune import trainer as finetune
        from xprobe.learners.finetune.pixel_cache import cached_pixels

        study, config = self.study, self.study.config
        tasks = tasks_of(todo, config)
        network = load_network(study.encoder, self.execution.device)
        pixels = cached_pixels(
            study.design.study, network, self.store.folder / "pixels",
            workers=self.execution.workers, progress=self.progress,
        )  # fmt: skip
        masks = Masks(study.design.study, network)
        material = finetune.Material(network, pixels, study.pool, study.text, masks)
        trainer = kind_of(config.head).load()(
            material, config.recipe, config.head_options, config.seed, self.folder,
            pick_device(self.execution.device),
        )  # fmt: skip
        steps = sum(config.recipe.steps(task.budget) for task in tasks)
        title = head_title(config.head, config.real_fraction, config.train_per_class)
        part = title.removeprefix(config.head)
        with self.progress(f"fine-tune {study.title}{part}", steps) as advance:
            yield from finetune.solve(trainer, tasks, self.execution.concurrent, advance)


def tasks_of(todo: dict[str, Block], config: SweepConfig) -> list[Task]:
    """Return the fine-tunes of some blocks, by run."""
    from xprobe.learners.finetune.trainer import Task

    return [
        Task(
            problem, budget, block.repeat, fold, run, _task_name(block, fold),
            augmentation_of(block, config),
        )
        for run, block in todo.items()
        for fold, (problem, budget) in enumerate(zip(block.problems, block.budget, strict=True))
    ]  # fmt: skip


def _task_name(block: Block, fold: int) -> str:
    words = [] if block.setting.generator is None else [block.setting.generator]
    words += [block.setting.title, f"repeat {block.repeat + 1}", f"fold {fold + 1}"]
    return ", ".join(words)


def load_network(encoder: StoredEncoder, device: str) -> Network:
    """Load the network that features were made with."""
    from xprobe.encoders.load import load

    spec = encoder.spec
    network = load(
        encoder.name, device, "fp32", spec.layer, spec.has_random_weights, spec.codec,
        reading=spec.reading, trainable=True,
    )  # fmt: skip
    if network.spec != msgspec.structs.replace(spec, precision="fp32"):
        raise XprobeError(
            f"{encoder.name} is not what it was when these images were embedded (other weights or "
            f"preprocessing); run 'xprobe embed --encoder {encoder.name}' again"
        )
    assert isinstance(network, Network)
    return network


def _save_block(
    folder: Path,
    run: str,
    block: Block,
    fits: list[Fit],
    study: Study,
) -> None:
    """Save the predictions of a block, all folds together."""
    tuned = fits if kind_of(study.config.head).takes_steps else []
    images, test = study.design.study, block.test
    score = np.concatenate([f.score for f in fits])
    predictions = Predictions(run, images.id[test], study.pool.y[test], score, block.fold)
    record = PredictionRecord(
        encoder=study.label,
        **asdict(block.setting),
        repeat=block.repeat,
        classes=tuple(images.classes),
        c=tuple(f.c for f in fits),
        at_edge=tuple(f.at_edge for f in fits),
        temperature=tuple(f.temperature for f in fits),
        fits=sum(f.fits for f in fits),
        finished=sum(f.finished for f in fits),
        unconverged=sum(f.unconverged for f in fits),
        steps=tuple(f.steps for f in fits),
        notes=tuple(note for f in fits for note in f.notes),
        training_accuracy=tuple(f.training_accuracy for f in tuned),
        moved=tuple(f.moved for f in tuned),
    )
    predictions_module.save_predictions(folder, predictions, record)


def _study_document(
    study: Study, folder: Path, pooled: Pooled, judged: Judged, option_sources: Mapping[str, str]
) -> study_module.Study:
    """Return the document of a study, as the folder of its results keeps it."""
    encoder, usable = study.encoder, study.usable
    images = usable.fingerprint
    if study.config.errors_by:  # No other study depends on that column.
        images = digest_of([images, pooled.design.clusters.tolist()])
    key = study_key(encoder.key, images, study.config)[:32]
    before, after = study.notes
    names = {
        "label": study.label, "alias": study.title, "name": encoder.name, "key": encoder.key,
    }  # fmt: skip
    return study_module.Study(
        version=study_module.STUDY_VERSION,
        key=key,
        seeds=pooled.seeds,
        **provenance.call(),
        encoder=from_json(study_module.EncoderUsed, names | to_json(encoder.spec)),
        protocol=pooled.design.protocol,
        config=from_json(StudyConfig, to_json(study.config)),
        generators=tuple(study.design.generators),
        manifest=study_module.ImagesStudied(
            fingerprint=usable.fingerprint,
            classes=tuple(usable.classes),
            counts=tuple(counts(usable)),
            licences=tuple(licence_counts(usable)),
            makers=tuple(maker_counts(usable)),
            datasets=tuple(dataset_counts(usable)),
        ),
        **provenance.provenance(),
        results=judged.results,
        comparisons=judged.comparisons,
        classes=judged.classes,
        settings=judged.settings,
        runs=judged.runs,
        warnings=(*before, *judged.warnings, *after, *_measured_warnings(folder, usable)),
        prompts=None if study.text is None else study.text.prompts,
        option_sources=dict(option_sources),
        name=study_module.given_name(folder, key),
        predictions=tuple(pooled.runs),
    )
