"""Settings as they were tested → rows of results: values, intervals, and what is judged of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xprobe.base.arrays import Ints
from xprobe.base.documents import replace
from xprobe.base.streams import stream
from xprobe.design.config import SweepConfig
from xprobe.design.design import HOLD_OUT, Design
from xprobe.design.setting import Setting
from xprobe.learners.kinds import kind_of
from xprobe.results.hits import models_of
from xprobe.results.rows import Result
from xprobe.study.tested import Tested, folds_of
from xprobe.verdict import family as verdict
from xprobe.verdict import intervals, metrics

ACCURACY = metrics.METRICS["accuracy"]

# A value with the ends of its interval, which are None where no interval holds what it claims.
Estimate = tuple[float, float | None, float | None]


@dataclass(frozen=True, eq=False)
class ResultRows:
    """Makes the `Result` rows of one encoder and head.

    Attributes:
        design: what was trained and tested.
        config: how.
        label: how the encoder is shown.
        y, group: (N,) class and group of each test image.
    """

    design: Design
    config: SweepConfig
    label: str
    y: Ints
    group: Ints

    @cached_property
    def n_groups(self) -> int:
        """G, the number of groups of test images."""
        return len(np.unique(self.group))

    def alone(self, setting: Setting, tested: Tested) -> list[Result]:
        """Return the rows of a setting that is compared with nothing: one for each metric."""
        n_real, n_synthetic, units = self._training_images(tested)
        rows = []
        for metric in _metrics_of(tested):
            value, low, high = self._own(metric, tested)
            row = Result(
                encoder=self.label,
                generator=setting.generator,
                head=self.config.head,
                protocol=self.design.protocol,
                estimand="groups" if self._is_by_group(metric) else "images",
                setting=setting.name,
                ratio=setting.ratio,
                augment=setting.augment or None,
                metric=metric.name,
                value=value,
                ci_low=low,
                ci_high=high,
                n_test=len(self.y),
                n_groups=self.n_groups,
                dropped_by_lineage=sum(sum(b.dropped) for b in tested.blocks),
                real_fraction=self.config.real_fraction,
                train_per_class=self.config.train_per_class,
                n_train_real=n_real,
                n_train_synthetic=n_synthetic,
                synthetic_units=units,
                ratio_actual=_actual(setting, n_real, n_synthetic),
            )
            rows.append(row)
        return rows

    def controls(self, real: Tested, settings: Mapping[Setting, Tested]) -> list[Result]:
        """Return what controls change against real-only; they claim nothing: no verdict."""
        family = self.compare(real.predicted, list(settings.values()))
        return [
            _with_difference(self._accuracy_row(setting, tested), comparison)
            for (setting, tested), comparison in zip(
                settings.items(), family.comparisons, strict=True
            )
        ]

    def family(
        self, real: Tested, settings: Mapping[Setting, Tested], every: Mapping[Setting, Tested]
    ) -> list[Result]:
        """Return the rows of settings that are judged together against real-only.

        Accuracy is judged; other metrics stand beside it. A setting that has a control must differ
        from it, too.

        Args:
            real: real-only.
            settings: the family.
            every: all settings of the study, the controls among them.
        """
        family = self.compare(real.predicted, list(settings.values()))
        against = self._against_controls(settings, every)
        rows = []
        for (setting, tested), comparison in zip(settings.items(), family.comparisons, strict=True):
            for row, metric in zip(self.alone(setting, tested), _metrics_of(tested), strict=True):
                if metric is ACCURACY:
                    rows.append(self._judged(row, tested, real, comparison, against.get(setting)))
                    continue
                difference, low, high = self._difference(metric, tested, real, family.level)
                rows.append(
                    replace(row, difference=difference, difference_low=low, difference_high=high)
                )
        return rows

    def compare(self, reference: NDArray[np.intp], compared: Sequence[Tested]) -> verdict.Family:
        """Compare settings with predictions (R, N) of real-only, or (S, R, N) of their controls."""
        takes_steps = kind_of(self.config.head).takes_steps
        return verdict.compare(
            reference == self.y,
            np.stack([t.predicted for t in compared]) == self.y,
            self.group,
            stream(self.config.seed, "max-t"),
            model=models_of(folds_of(compared[0], self.design.tested)) if takes_steps else None,
            by_group=self.config.leave_one_group_out,
        )

    def _judged(
        self, row: Result, tested: Tested, real: Tested, comparison: verdict.Comparison,
        control: verdict.Comparison | None,
    ) -> Result:  # fmt: skip
        """Return the row of an accuracy with its verdict."""
        judgement = verdict.judge(comparison, control, self.config.margin)
        row = replace(
            _with_difference(row, comparison),
            judged_low=judgement.low,
            judged_high=judgement.high,
            p_adjusted=judgement.p_adjusted,
            verdict=judgement.verdict,
            within_margin=judgement.within_margin,
            detectable=comparison.detectable,
        )
        if control is not None:
            row = replace(
                row, control_difference=control.difference, control_low=control.low,
                control_high=control.high,
            )  # fmt: skip
        if self.design.protocol.startswith(HOLD_OUT) and self.n_groups == len(self.y):
            p = intervals.mcnemar(real.predicted[0] == self.y, tested.predicted[0] == self.y)
            row = replace(row, p_mcnemar=p)
        return row

    def _accuracy_row(self, setting: Setting, tested: Tested) -> Result:
        return next(row for row in self.alone(setting, tested) if row.metric == ACCURACY.name)

    def _is_by_group(self, metric: metrics.Metric) -> bool:
        return self.config.leave_one_group_out and metric.is_mean

    def _own(self, metric: metrics.Metric, tested: Tested) -> Estimate:
        """Return the value of a metric with its interval, given these training images."""
        value, by_group = tested.values[metric.name], self._is_by_group(metric)
        if metric.unit == "%":
            return intervals.share_interval(value, self.group, by_group=by_group)
        mean, low, high = intervals.mean_interval(value, self.group, by_group=by_group)
        if metric.of_probabilities and not tested.is_calibrated:
            return mean, None, None
        return mean, max(low, 0.0) if metric.is_mean else low, high

    def _difference(
        self, metric: metrics.Metric, tested: Tested, real: Tested, level: float
    ) -> Estimate:
        """Return the difference of a metric to real-only's, paired by test image."""
        difference = intervals.mean_interval(
            tested.values[metric.name] - real.values[metric.name], self.group,
            by_group=self._is_by_group(metric),
            level=level,
        )  # fmt: skip
        if metric.of_probabilities and not (tested.is_calibrated and real.is_calibrated):
            return difference[0], None, None
        return difference

    def _against_controls(
        self, settings: Mapping[Setting, Tested], every: Mapping[Setting, Tested]
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
        family = self.compare(reference, [settings[setting] for setting in same])
        return dict(zip(same, family.comparisons, strict=True))

    def _control_of(self, setting: Setting) -> Setting | None:
        if setting.name == "synthetic-only":
            return None
        if setting.augment:
            return Setting(setting.augment)
        return Setting("real-duplicated", setting.ratio or max(self.config.ratios))

    def _training_images(self, tested: Tested) -> tuple[float, float, float]:
        """Return real and synthetic training images of a fold, and units of the latter, as means.

        A unit is what was made independently of others: all images with one parent are one. A
        setting that trains on nothing, such as zero-shot, has none of them.
        """
        if not tested.blocks:
            return 0.0, 0.0, 0.0
        study, numbers = self.design.study, []
        is_synthetic = study.source == "synthetic"
        names = np.where(study.parent.astype(str) == "", study.id, study.parent).astype(str)
        _, unit = np.unique(names, return_inverse=True)
        for block in tested.blocks:
            for real, problem in zip(block.n_real, block.problems, strict=True):
                images = problem.train[problem.train < len(study)]
                synthetic = images[is_synthetic[images]]
                numbers.append((real, len(synthetic), len(np.unique(unit[synthetic]))))
        real, n_synthetic, units = np.mean(numbers, axis=0).tolist()
        return real, n_synthetic, units


def _actual(setting: Setting, n_real: float, n_synthetic: float) -> float | None:
    """Return the ratio that was trained on, which is that of the images there were."""
    return round(n_synthetic / n_real, 3) if setting.name in ("mix", "null-edit") else None


def _metrics_of(tested: Tested) -> list[metrics.Metric]:
    return [metric for metric in metrics.METRICS.values() if metric.name in tested.values]


def _with_difference(row: Result, comparison: verdict.Comparison) -> Result:
    return replace(
        row, difference=comparison.difference, difference_low=comparison.low,
        difference_high=comparison.high, se=comparison.se, df=comparison.df,
    )  # fmt: skip
