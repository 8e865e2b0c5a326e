"""Predictions of a design → what a study answers: rows with verdicts, confusions, single runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from xprobe.base.arrays import Floats, Ints
from xprobe.base.documents import replace
from xprobe.base.streams import stream
from xprobe.design.config import SweepConfig
from xprobe.design.design import HOLD_OUT, Design
from xprobe.design.setting import Setting
from xprobe.learners.kinds import Kind, kind_of
from xprobe.results.rows import ClassResult, Result, Run, SettingResult
from xprobe.study.tested import Tested, gather
from xprobe.verdict import family as verdict
from xprobe.verdict import metrics

# The intervals of macro-F1 and of the calibration error come from so many bootstrap draws.
F1_DRAWS, CALIBRATION_DRAWS = 1000, 300


@dataclass(frozen=True)
class Judged:
    """The rows and the warnings that answer what a study asks."""

    results: tuple[Result, ...]
    classes: tuple[ClassResult, ...]
    settings: tuple[SettingResult, ...]
    runs: tuple[Run, ...]
    warnings: tuple[str, ...]


class _Named(TypedDict):
    """The fields that name a setting in a row."""

    setting: str
    ratio: float | None
    generator: str | None
    augment: str | None


def judge(
    design: Design,
    runs: list[str],
    folder: Path,
    config: SweepConfig,
    label: str,
    margin: float | None,
    zero_shot: Ints | None = None,
) -> Judged:
    """Return what the predictions of a design answer.

    `zero_shot` are the classes that text features predict for the images of the study, or None.
    """
    tested, y, group = gather(design, runs, folder)
    maker = _ResultRows(design, config, label, y, group)
    real = tested[Setting("real-only")]
    rows = maker.alone(Setting("real-only"), real)
    controls = {s: t for s, t in tested.items() if s.name in ("real-duplicated", "real-more")}
    if controls:
        rows += maker.controls(real, controls)
    alternatives = {s: t for s, t in tested.items() if s.is_alternative}
    if alternatives:
        rows += maker.family(real, alternatives, margin, tested)
    if zero_shot is not None:
        setting = Setting("zero-shot")
        predicted = zero_shot[design.tested]
        tested[setting] = Tested(predicted[None], {}, (), ())
        rows += maker.alone(setting, tested[setting])
    for generator in design.generators:
        settings = {
            s: t for s, t in tested.items() if s.generator == generator and not s.is_alternative
        }
        rows += maker.family(real, settings, margin, tested)
    k = len(design.study.classes)
    return Judged(
        results=tuple(rows),
        classes=tuple(_class_rows(design, tested, y, group)),
        settings=tuple(_setting_result(s, t, y, k) for s, t in tested.items()),
        runs=tuple(
            row for s, t in tested.items() if t.blocks for row in _run_rows(s, t, y, design)
        ),
        warnings=(*design.warnings, *_choice_warnings(tested, config)),
    )


class _ResultRows:
    """Makes the `Result` rows of one encoder and head."""

    def __init__(
        self, design: Design, config: SweepConfig, label: str, y: Ints, group: Ints
    ) -> None:
        self.design, self.config, self.label, self.y, self.group = design, config, label, y, group
        self.k = len(design.study.classes)
        self.n_groups = len(np.unique(group))
        self.t = float(stats.t.ppf(1 - verdict.ALPHA / 2, self.n_groups - 1))

    def alone(self, setting: Setting, tested: Tested) -> list[Result]:
        """Return the rows of a setting that is compared with nothing."""
        f1 = self._macro_f1([tested])[0]
        return [
            self._row(setting, tested, "accuracy", self._accuracy(tested), None),
            self._row(setting, tested, "macro_f1", self._around(f1), None),
            *self._others(setting, tested, None, 0.0),
        ]

    def controls(self, real: Tested, settings: dict[Setting, Tested]) -> list[Result]:
        """Return what longer training on real images changes; it claims nothing: no verdict."""
        family = self._compare(real.predicted, list(settings.values()), None)
        rows = []
        for (setting, tested), comparison in zip(settings.items(), family.comparisons, strict=True):
            interval = (comparison.difference, comparison.low, comparison.high)
            rows.append(
                self._row(setting, tested, "accuracy", self._accuracy(tested), None, interval)
            )
        return rows

    def family(
        self,
        real: Tested,
        settings: dict[Setting, Tested],
        margin: float | None,
        every: dict[Setting, Tested],
    ) -> list[Result]:
        """Return the rows of one generator's settings, or of the alternatives, against real-only.

        Accuracy is judged; macro-F1 stands beside it. A setting that has a control must beat it.
        """
        family = self._compare(real.predicted, list(settings.values()), margin)
        against = self._against_controls(settings, every)
        f1 = self._macro_f1([real, *settings.values()])
        rows = []
        for (setting, tested), comparison, draws in zip(
            settings.items(), family.comparisons, f1[1:], strict=True
        ):
            control = against.get(setting)
            if control is not None:
                comparison = verdict.with_control(comparison, control)
            accuracy = self._accuracy(tested)
            row = self._row(setting, tested, "accuracy", accuracy, comparison)
            if self.design.protocol.startswith(HOLD_OUT) and self.n_groups == len(self.y):
                p = verdict.mcnemar(real.predicted[0] == self.y, tested.predicted[0] == self.y)
                row = replace(row, p_mcnemar=p)
            rows.append(row if control is None else _with_control(row, control))
            interval = _between(f1[0], draws, family.critical)
            rows.append(self._row(setting, tested, "macro_f1", self._around(draws), None, interval))
            rows += self._others(setting, tested, real, family.critical)
        return rows

    def _others(
        self, setting: Setting, tested: Tested, real: Tested | None, critical: float
    ) -> list[Result]:
        """Return the metrics that stand beside accuracy, and what they differ by from real-only."""
        rows = []
        for name, value in tested.values.items():
            if name == "accuracy" or name not in metrics.METRICS:
                continue
            mean, low, high = verdict.interval(value, self.group)
            most = metrics.METRICS[name].largest
            difference = None
            if real is not None:
                difference = verdict.difference_of(real.values[name], value, self.group, critical)
            # Rounding may lift a mean above the largest value of the metric.
            estimate = min(mean, most), low, min(high, most)
            rows.append(self._row(setting, tested, name, estimate, None, difference))
        if tested.values:
            error = self._calibration(tested)
            half = self.t * float(error[1:].std(ddof=1))
            estimate = float(error[0]), float(error[0]) - half, float(error[0]) + half
            difference = None
            if real is not None:
                difference = _between(self._calibration(real), error, critical)
            rows.append(self._row(setting, tested, "squared_ece", estimate, None, difference))
        return rows

    def _calibration(self, tested: Tested) -> NDArray[np.float64]:
        """Return the squared calibration error (1 + draws): the estimate, then bootstrap draws."""
        weight = self._weight[:CALIBRATION_DRAWS]
        weight = np.concatenate([np.ones((1, len(self.y)), weight.dtype), weight])
        repeats = zip(tested.values["confidence"], tested.values["accuracy"], strict=True)
        errors = [metrics.squared_calibration_error(*one, weight) for one in repeats]
        return np.asarray(np.mean(errors, axis=0))

    @cached_property
    def _weight(self) -> Floats:
        rng = stream(self.config.seed, "bootstrap")
        return metrics.bootstrap_weights(self.y, self.group, rng, F1_DRAWS)

    def _compare(
        self, reference: NDArray[np.intp], compared: list[Tested], margin: float | None
    ) -> verdict.Family:
        """Compare settings with predictions (R, N) of real-only, or (S, R, N) of their controls."""
        return verdict.compare(
            reference == self.y,
            np.stack([t.predicted for t in compared]) == self.y,
            self.group,
            stream(self.config.seed, "max-t"),
            margin=margin,
            model=self._models(compared[0]) if kind_of(self.config.head).takes_steps else None,
        )

    def _against_controls(
        self, settings: dict[Setting, Tested], every: dict[Setting, Tested]
    ) -> dict[Setting, verdict.Comparison]:
        """Compare settings with their controls: the real images alone, for as many steps.

        A mix with an augmentation is compared with the real images with that augmentation.
        """
        same = {
            s: every[c] for s in settings if (c := self._control_of(s)) is not None and c in every
        }
        if not same:
            return {}
        reference = np.stack([tested.predicted for tested in same.values()])
        family = self._compare(reference, [settings[setting] for setting in same], None)
        return dict(zip(same, family.comparisons, strict=True))

    def _control_of(self, setting: Setting) -> Setting | None:
        if setting.name == "synthetic-only":
            return None
        if setting.augment:
            return Setting(setting.augment)
        return Setting("real-duplicated", setting.ratio or max(self.config.ratios))

    def _models(self, tested: Tested) -> Ints:
        """Return the number of the fitted model (R, N) that tested each image."""
        order = self.design.tested
        models = []
        for repeat, block in enumerate(tested.blocks):
            fold = np.empty(len(order), dtype=np.intp)
            fold[np.searchsorted(order, block.test)] = block.fold
            models.append(repeat * len(block.problems) + fold)
        return np.stack(models)

    def _accuracy(self, tested: Tested) -> tuple[float, float, float]:
        value, low, high = verdict.interval(tested.predicted == self.y, self.group)
        return value, low, min(1.0, high)

    def _macro_f1(self, tested: list[Tested]) -> NDArray[np.float64]:
        """Return macro-F1 (S, 1 + draws): the estimate, then draws that all settings share."""
        predicted = np.stack([t.predicted for t in tested])
        estimate = [
            np.mean([metrics.macro_f1(metrics.confusion(self.y, p, self.k)) for p in t.predicted])
            for t in tested
        ]
        draws = metrics.bootstrap_macro_f1(self.y, predicted, self._weight, self.k)
        return np.concatenate([np.array(estimate)[:, None], draws], axis=1)

    def _around(self, draws: NDArray[np.float64]) -> tuple[float, float, float]:
        value, half = float(draws[0]), self.t * float(draws[1:].std(ddof=1))
        return value, max(0.0, value - half), min(1.0, value + half)

    def _row(
        self,
        setting: Setting,
        tested: Tested,
        metric: str,
        value: tuple[float, float, float],
        comparison: verdict.Comparison | None,
        difference: tuple[float, float, float] | None = None,
    ) -> Result:
        if comparison is not None:
            difference = (comparison.difference, comparison.low, comparison.high)
        trained = tested.blocks or (None,)  # Zero-shot has no blocks, as it trains on nothing.
        real = float(np.mean([b.n_real if b else 0 for b in trained]))
        synthetic = float(np.mean([b.n_synthetic if b else 0 for b in trained]))
        return Result(
            encoder=self.label,
            generator=setting.generator,
            head=self.config.head,
            protocol=self.design.protocol,
            setting=setting.name,
            ratio=setting.ratio,
            augment=setting.augment or None,
            metric=metric,
            value=value[0],
            ci_low=value[1],
            ci_high=value[2],
            difference=difference[0] if difference else None,
            difference_low=difference[1] if difference else None,
            difference_high=difference[2] if difference else None,
            p_adjusted=comparison.p_adjusted if comparison else None,
            p_mcnemar=None,
            control_difference=None,
            control_low=None,
            control_high=None,
            verdict=comparison.verdict if comparison else None,
            detectable=comparison.detectable if comparison else None,
            n_test=len(self.y),
            n_groups=self.n_groups,
            dropped_by_lineage=sum(sum(b.dropped) for b in tested.blocks),
            real_fraction=self.config.real_fraction,
            train_per_class=self.config.train_per_class,
            n_train_real=real,
            n_train_synthetic=synthetic,
            ratio_actual=round(synthetic / real, 3) if setting.name == "mix" else None,
        )


def _between(
    real: NDArray[np.float64], draws: NDArray[np.float64], critical: float
) -> tuple[float, float, float]:
    """Return (difference, low, high) from two rows of (1 + draws) values, the estimate first."""
    difference = float(draws[0] - real[0])
    half = critical * float((draws[1:] - real[1:]).std(ddof=1))
    return difference, difference - half, difference + half


def _class_rows(
    design: Design, tested: dict[Setting, Tested], y: Ints, group: Ints
) -> list[ClassResult]:
    """Return the difference of each class's recall to real-only's, family by family."""
    real = tested[Setting("real-only")].predicted == y
    families = [
        [s for s in tested if s.generator == name and not s.is_alternative]
        for name in design.generators
    ]
    rows = []
    for settings in [*families, [s for s in tested if s.is_alternative]]:
        if not settings:
            continue
        hit = np.stack([tested[setting].predicted == y for setting in settings])
        for (s, c), comparison in verdict.compare_classes(real, hit, y, group).items():
            name = design.study.classes[c]
            rows.append(ClassResult(**_named(settings[s]), class_=name, **asdict(comparison)))
    return rows


def _with_control(row: Result, control: verdict.Comparison) -> Result:
    return replace(
        row,
        control_difference=control.difference,
        control_low=control.low,
        control_high=control.high,
    )


def _setting_result(setting: Setting, tested: Tested, y: Ints, k: int) -> SettingResult:
    confusion = np.asarray(sum(metrics.confusion(y, p, k) for p in tested.predicted))
    recall, precision, f1 = (tuple(values.tolist()) for values in metrics.per_class(confusion))
    return SettingResult(
        **_named(setting), confusion=tuple(map(tuple, confusion.tolist())), recall=recall,
        precision=precision, f1=f1, short=any(b.short for b in tested.blocks),
    )  # fmt: skip


def _named(setting: Setting) -> _Named:
    return {
        "setting": setting.name,
        "ratio": setting.ratio,
        "generator": setting.generator,
        "augment": setting.augment or None,
    }


def _run_rows(setting: Setting, tested: Tested, y: Ints, design: Design) -> list[Run]:
    """Return a row for each fold of each repeat."""
    order = design.tested
    place = {row: i for i, row in enumerate(order)}
    k = len(design.study.classes)
    rows = []
    for block, record, predicted in zip(
        tested.blocks, tested.records, tested.predicted, strict=True
    ):
        for fold, problem in enumerate(block.problems):
            rows_of_fold = np.array([place[r] for r in problem.test])
            counts = metrics.confusion(y[rows_of_fold], predicted[rows_of_fold], k)
            rows.append(
                Run(
                    **_named(setting),
                    repeat=block.repeat,
                    fold=fold,
                    n_train_real=block.n_real[fold],
                    n_train_synthetic=block.n_synthetic[fold],
                    dropped_by_lineage=block.dropped[fold],
                    dropped_in_inner_folds=block.dropped_inner[fold],
                    n_test=len(rows_of_fold),
                    c=record.c[fold],
                    accuracy=metrics.accuracy(y[rows_of_fold], predicted[rows_of_fold]),
                    macro_f1=float(metrics.macro_f1(counts)),
                )
            )
    return rows


def _choice_warnings(tested: dict[Setting, Tested], config: SweepConfig) -> list[str]:
    """Return warnings about the choices of C, the solver and the fine-tunes."""
    warnings = []
    records = [(setting, record) for setting, t in tested.items() for record in t.records]
    edges = [
        (setting, c)
        for setting, record in records
        for c, is_edge in zip(record.c, record.at_edge, strict=True)
        if is_edge and c is not None
    ]
    if edges:
        titles = ", ".join(sorted({setting.title for setting, _ in edges}))
        choices = sum(len(record.c) for _, record in records)
        warnings.append(_edge_warning(config, [c for _, c in edges], choices, titles))
    unconverged = sum(record.unconverged for _, record in records)
    if unconverged:
        warnings.append(f"{unconverged} logistic regressions did not converge")
    notes = Counter(note for _, record in records for note in record.notes)
    return [*warnings, *(f"{note} ({n} fine-tunes)" for note, n in notes.items())]


def _edge_warning(config: SweepConfig, edges: list[float], choices: int, titles: str) -> str:
    strength = kind_of(config.head).strength
    if strength != Kind.strength:
        return (
            f"{strength} was chosen at an edge of its grid in {len(edges)} of "
            f"{choices} cases (settings {titles})"
        )
    low, high = config.c_grid[0], config.c_grid[-1]
    at_low = sum(c == low for c in edges)
    return (
        f"C of the {config.head} head was chosen at an edge of its grid in {len(edges)} of "
        f"{choices} cases ({at_low} × {low:g}, {len(edges) - at_low} × {high:g}; settings "
        f"{titles}): a wider --c-grid may fit better"
    )
