"""Settings × encoders × folds → predictions → verdicts; skips what is done."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from xprobe import results
from xprobe.design import Block, Design, make_design
from xprobe.encoders import canonical, has_network
from xprobe.errors import XprobeError, some
from xprobe.heads import TEXT_HEADS, check_head, solve
from xprobe.judge import judge
from xprobe.manifest import counts, find_problems
from xprobe.problems import Fit, Options, Pool
from xprobe.prompts import TextFeatures, zero_shot_logits
from xprobe.store import Store, StoredEncoder, StoredRows
from xprobe.towers import Network, pick_device
from xprobe.types import (
    FINETUNE,
    MEMORY_GIB,
    Ints,
    Manifest,
    Predictions,
    Progress,
    Strings,
    SweepConfig,
    digest_of,
    no_progress,
)

_CHUNK = 8192  # images at a time, where features are read as they are needed
HEAD_VERSION = 2  # raised when a change of the heads changes their scores
FINETUNE_VERSION = 1  # the same of fine-tunes


def sweep(
    manifest: Manifest,
    store: Store,
    folder: Path,
    config: SweepConfig,
    *,
    encoders: Sequence[str] = (),
    heads: Sequence[str] = (),
    margin: float | None = None,
    workers: int | None = None,
    device: str = "auto",
    memory_gib: float = MEMORY_GIB,
    progress: Progress = no_progress,
) -> list[dict[str, Any]]:
    """Train and test every setting on every encoder, save all predictions, and judge.

    Args:
        manifest: the images.
        store: their features.
        folder: where predictions and studies are kept; what is there is not computed again.
        config: what is trained.
        encoders: names in the store; none: all that have features of this manifest.
        heads: names of heads, or ``finetune``; none: that of `config`.
        margin: accuracy differences up to this size count as equal; None claims no equivalence.
        workers: processes; default one a core.
        device: torch device of logistic heads and fine-tunes; auto: a GPU if there is one.
        memory_gib: features beyond this size are not held in memory, but read chunk by chunk in
            each pass of the solver.
        progress: how long work is shown.

    Returns:
        One study document an encoder and head (docs/results.md).
    """
    configs = [config.of_head(name) for name in dict.fromkeys(heads or (config.head,))]
    for each in configs:
        if each.head != FINETUNE:
            check_head(each.head)
    folder.mkdir(parents=True, exist_ok=True)
    chosen = _choose(store, manifest, encoders)
    if FINETUNE in [each.head for each in configs]:
        _check_networks(chosen)
    labels = store.labels()
    designs: dict[tuple[str, bool], Design] = {}
    studies = []
    for encoder in chosen:
        ids, stored, failed = store.locate(encoder, manifest)
        usable = manifest.select(~np.isin(manifest.id.astype(str), list(failed)))
        label = labels[encoder.key]
        notes = _notes(usable, encoder, label, failed)
        for each in configs:
            kind = usable.fingerprint, each.head == FINETUNE
            if kind not in designs:
                designs[kind] = make_design(usable, each)
        # Heads and fine-tunes differ in their blocks, not in the images that take part.
        study_of = designs[usable.fingerprint, configs[0].head == FINETUNE]
        text = store.read_text(encoder, study_of.study.classes)
        pool = _pool(study_of, ids, stored, text, memory_gib)
        zero_shot = None if pool.text_logits is None else pool.text_logits.argmax(axis=1)
        for each in configs:
            design = designs[usable.fingerprint, each.head == FINETUNE]
            runs = _run_keys(design, encoder.key, each, text)
            work = _Work(design, pool, each, label, workers, device, progress)
            if each.head == FINETUNE:
                fits = work.fine_tunes(encoder, store, folder, text)
            else:
                fits = work.heads()
            _solve_missing(design, pool, runs, folder, label, fits)
            judged = judge(design, runs, folder, each, label, margin, zero_shot)
            judged["warnings"] = [*notes[0], *judged["warnings"], *notes[1]]
            judged["prompts"] = None if text is None else text.prompts
            study = _document(encoder, label, usable, design, each, margin) | judged
            key = digest_of([encoder.key, usable.fingerprint, asdict(each), margin])
            results.save_study(folder, key, study)
            studies.append(study)
    return studies


def _pool(
    design: Design,
    ids: Strings,
    stored: StoredRows,
    text: TextFeatures | None,
    memory_gib: float,
) -> Pool:
    """Return the rows of a study in the order of its images."""
    study = design.study
    row = {id_: i for i, id_ in enumerate(ids)}
    own = stored.select(np.array([row[i] for i in study.id], dtype=np.intp))
    y = np.searchsorted(np.array(study.classes), study.label.astype(str))
    origins = ["", *design.generators]  # real images have no generator
    stratum = np.array([origins.index(name) for name in study.generator], dtype=np.intp)
    every = np.arange(len(own))
    fits = len(own) * own.dim * 4 <= memory_gib * 2**30
    pool = Pool(own[every] if fits else own, y, len(study.classes), stratum)
    if text is None:
        return pool
    chunks = [every[i : i + _CHUNK] for i in range(0, len(own), _CHUNK)]
    logits = [zero_shot_logits(pool.rows(chunk), text).astype(np.float32) for chunk in chunks]
    return replace(pool, text_logits=np.concatenate(logits))


def _notes(
    usable: Manifest, encoder: StoredEncoder, label: str, failed: dict[str, str]
) -> tuple[list[str], list[str]]:
    """Return what the reader of the results must know before and after all else."""
    before = []
    if encoder.spec.has_random_weights:
        before.append(
            f"{label} has RANDOM WEIGHTS, as asked: this says nothing of any trained encoder"
        )
    after = find_problems(usable)
    if failed:
        after.append(
            f"{len(failed)} images could not be embedded and take no part (see failed.csv)"
        )
    return before, after


def _choose(store: Store, manifest: Manifest, names: Sequence[str]) -> list[StoredEncoder]:
    if names:
        found = [encoder for name in names for encoder in store.find(canonical(name))]
    else:
        found = [encoder for encoder in store.encoders() if store.coverage(encoder, manifest)]
    if not found:
        raise XprobeError(
            f"{store.folder} has no features of these images; run 'xprobe embed' first"
        )
    return list({encoder.key: encoder for encoder in found}.values())


def _run_keys(
    design: Design, encoder: str, config: SweepConfig, text: TextFeatures | None
) -> list[str]:
    """Return, for each block, the digest of everything that decides its predictions.

    That is the encoder, the head, and which contents under which labels are trained on, chosen
    by and tested: not how they came to be drawn. So a further ratio, generator or repeat leaves
    what is done as it is.
    """
    study = design.study
    names = zip(study.sha256, study.label, study.id, strict=True)
    token = np.array(
        [hashlib.sha256("\0".join(each).encode()).digest()[:16] for each in names], dtype="V16"
    )
    head: list[Any] = [
        HEAD_VERSION, config.head, list(config.c_grid), config.c_rule, config.balanced,
        list(study.classes),
    ]  # fmt: skip
    if config.head == FINETUNE:
        head += [FINETUNE_VERSION, asdict(config.recipe), config.seed]
    uses_text = config.head in TEXT_HEADS or (
        config.head == FINETUNE and config.recipe.start == "text"
    )
    if uses_text and text is not None:
        head.append([hashlib.sha256(text.x.tobytes()).hexdigest(), text.logit_scale])
    keys = []
    for block in design.blocks:
        own: list[Any] = [encoder, head]
        if config.head == FINETUNE:
            own += [block.repeat, block.budget, _augmentation_of(block, config)]
        digest = hashlib.sha256(digest_of(own).encode())
        for problem in block.problems:
            for rows in (problem.train, problem.test, *(r for pair in problem.inner for r in pair)):
                digest.update(len(rows).to_bytes(8, "little"))
                digest.update(token[rows].tobytes())
        keys.append(digest.hexdigest())
    return keys


Fits = Callable[[dict[str, Block]], Iterator[tuple[int, Fit]]]
"""Blocks by run → (number of a problem of theirs, counted through, and its fit) as they end."""


@dataclass(frozen=True, eq=False)
class _Work:
    """How the blocks of a design that have no predictions yet are solved."""

    design: Design
    pool: Pool
    config: SweepConfig
    label: str
    workers: int | None
    device: str
    progress: Progress

    def heads(self) -> Fits:
        """Return what trains heads on features."""

        def fits(todo: dict[str, Block]) -> Iterator[tuple[int, Fit]]:
            config = self.config
            options = Options(config.c_grid, config.c_rule, config.balanced)
            problems = [problem for block in todo.values() for problem in block.problems]
            name = self.label if config.head == SweepConfig.head else f"{self.label} {config.head}"
            with self.progress(f"sweep {name}", len(problems)) as advance:
                for each in solve(
                    config.head, self.pool, problems, options, self.workers, self.device
                ):
                    yield each
                    advance(1)

        return fits

    def fine_tunes(
        self, encoder: StoredEncoder, store: Store, folder: Path, text: TextFeatures | None
    ) -> Fits:
        """Return what trains whole networks on pixels."""

        def fits(todo: dict[str, Block]) -> Iterator[tuple[int, Fit]]:
            from xprobe import finetune  # torch's optimisers take a second to import
            from xprobe.pixels import cached_pixels

            tasks = [
                finetune.Task(
                    problem,
                    budget,
                    block.repeat,
                    fold,
                    run,
                    block.setting.title,
                    _augmentation_of(block, self.config),
                )
                for run, block in todo.items()
                for fold, (problem, budget) in enumerate(
                    zip(block.problems, block.budget, strict=True)
                )
            ]
            network = _network(encoder, self.device)
            pixels = cached_pixels(
                self.design.study, network, store.folder / "pixels", workers=self.workers,
                progress=self.progress,
            )  # fmt: skip
            steps = sum(self.config.recipe.steps(task.budget) for task in tasks)
            with self.progress(f"fine-tune {self.label}", steps) as advance:
                yield from finetune.solve(
                    network, pixels, self.pool, tasks, self.config, folder,
                    pick_device(self.device), text=text, advance=advance,
                )  # fmt: skip

        return fits


def _augmentation_of(block: Block, config: SweepConfig) -> str:
    own = block.setting.name
    return own if own in config.alternatives else config.recipe.augment


def _network(encoder: StoredEncoder, device: str) -> Network:
    """Load the network that features were made with."""
    from xprobe.encoders import load

    spec = encoder.spec
    network = load(encoder.name, device, "fp32", spec.layer, spec.has_random_weights)
    if network.spec != replace(spec, precision="fp32"):
        raise XprobeError(
            f"{encoder.name} is not what it was when these images were embedded (other weights or "
            f"preprocessing); run 'xprobe embed --encoder {encoder.name}' again"
        )
    assert isinstance(network, Network)
    return network


def _check_networks(chosen: list[StoredEncoder]) -> None:
    without = [encoder.name for encoder in chosen if not has_network(encoder.name)]
    if without:
        raise XprobeError(
            f"{some(without)} has no network to train; name one of open_clip, timm, torchvision or "
            f"hf with --encoder, or leave {FINETUNE} out of --heads"
        )


def _solve_missing(
    design: Design, pool: Pool, runs: list[str], folder: Path, label: str, fits: Fits
) -> None:
    """Solve and save the blocks that have no predictions yet, each as soon as its folds are in."""
    todo: dict[str, Block] = {}
    for run, block in zip(runs, design.blocks, strict=True):
        if not results.predictions_file(folder, run).is_file():
            todo.setdefault(run, block)
    if not todo:
        return
    places = [(run, i) for run, block in todo.items() for i in range(len(block.problems))]
    waiting: dict[str, dict[int, Fit]] = {run: {} for run in todo}
    for number, fit in fits(todo):
        run, fold = places[number]
        waiting[run][fold] = fit
        if len(waiting[run]) == len(todo[run].problems):
            found = waiting.pop(run)
            own = [found[i] for i in sorted(found)]
            _save(folder, run, todo[run], own, design, pool.y, label)
            results.forget_fine_tunes(folder, run)


def _save(
    folder: Path,
    run: str,
    block: Block,
    fits: list[Fit],
    design: Design,
    y: Ints,
    label: str,
) -> None:
    test = block.test
    predictions = Predictions(
        run, design.study.id[test], y[test], np.concatenate([f.score for f in fits]), block.fold
    )
    about = {
        "encoder": label,
        **asdict(block.setting),
        "repeat": block.repeat,
        "classes": list(design.study.classes),
        "c": [f.c for f in fits],
        "at_edge": [f.at_edge for f in fits],
        "temperature": [f.temperature for f in fits],
        "fits": sum(f.fits for f in fits),
        "finished": sum(f.finished for f in fits),
        "unconverged": sum(f.unconverged for f in fits),
        "steps": [f.steps for f in fits],
        "notes": [note for f in fits for note in f.notes],
    }
    results.save_predictions(folder, predictions, about)


def _document(
    encoder: StoredEncoder,
    label: str,
    usable: Manifest,
    design: Design,
    config: SweepConfig,
    margin: float | None,
) -> dict[str, Any]:
    return {
        "version": results.STUDY_VERSION,
        "created": datetime.now(UTC).isoformat(timespec="microseconds"),
        "command": " ".join(["xprobe", *sys.argv[1:]]),
        "encoder": {
            "label": label,
            "name": encoder.name,
            "key": encoder.key,
            **asdict(encoder.spec),
        },
        "protocol": design.protocol,
        "config": {**asdict(config), "margin": margin},
        "generators": list(design.generators),
        "manifest": {
            "fingerprint": usable.fingerprint,
            "classes": list(usable.classes),
            "counts": counts(usable),
        },
        **results.provenance(),
    }
