"""What the report says of one study, beside the answer: tables, recalls, what images are worth.

Nothing is measured here but what the images of a data value cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from xprobe.base.documents import extend
from xprobe.learners.kinds import kind_read
from xprobe.report.class_map import ClassMap, class_maps
from xprobe.report.figures.drawing import Drawing
from xprobe.report.licences import datasets_words, encoder_licence, licences_words, makers_words
from xprobe.report.words import (
    ESTIMANDS,
    FROM_RANDOM,
    LINEAGE_IGNORED,
    METRICS,
    RANDOM_WEIGHTS,
    badge,
    count,
    family_title,
    in_order,
    number,
    percent,
    points,
    ratio_title,
    setting_title,
    signed,
    span,
    study_title,
    units_words,
    verdict_words,
    with_minus,
    worth_interval,
    worth_words,
)
from xprobe.results.rows import DataValue, MixComparison, Result, Run
from xprobe.results.study import Study
from xprobe.verdict import metrics

# What the comparisons beside those with real-only ask, by `MixComparison.kind`.
COMPARED = {
    "generators": "one generator or another",
    "ratios": "one ratio or another",
    "real-more": "synthetic, or as many further real images",
    "null-edit": "what is left without the generator's fingerprint",
    "pooled": "all generators together",
}

_BADGES = {"better": "helps", "worse": "hurts", "equivalent": "equivalent"}


def _lower_is_better() -> str:
    """Return the metrics of which less is better, in words; one of them has a comma in its own."""
    rows = metrics.METRICS.values()
    return "; ".join(metric.words for metric in rows if not metric.larger_is_better)


@dataclass(frozen=True)
class Costs:
    """What an image costs, in any one currency."""

    real: float
    synthetic: float


class Valued(DataValue, frozen=True, kw_only=True):
    """What a mix or an alternative is worth, in words, too.

    Attributes:
        study, title: titles of the study and of the setting.
        interval: the interval of `value`, as people read it.
        words: a sentence that says what they are worth, without its full stop.
        cost: which way to the same accuracy is cheaper; None without costs.
    """

    study: str
    title: str
    interval: str
    words: str
    cost: str | None


@dataclass(frozen=True)
class SettingView:
    """A row of the table of settings.

    Attributes:
        row, macro_f1: its accuracy and its macro-F1.
        verdict: the verdict in words; `badge` is its style.
        actual: the ratio, if it is not the one asked for.
        made_of: of how many images its synthetic ones were made, if there are fewer.
        left: the comparison of a mix with as many null edits; None without them.
    """

    row: Result
    macro_f1: Result | None
    title: str
    verdict: str
    badge: str
    actual: str | None
    made_of: str | None
    left: MixComparison | None


@dataclass(frozen=True)
class SettingGroup:
    """The settings of one generator; a generator of None stands for settings without one."""

    generator: str | None
    rows: list[SettingView]


@dataclass(frozen=True)
class RecallTable:
    """Recall by class; a column is a generator and setting, a row a class and its recalls."""

    columns: list[tuple[str | None, str]]
    rows: list[tuple[str, list[float]]]


@dataclass(frozen=True)
class ComparisonView:
    """A comparison that is not one with real-only.

    Attributes:
        row: the comparison.
        what: what kind of comparison it is, in words.
        shared: the generator and the ratio that both have, in words.
        badge: the style of its verdict.
    """

    row: MixComparison
    what: str
    shared: str
    badge: str


@dataclass(frozen=True)
class MetricCell:
    """A value of a metric and its difference to real-only, as shown."""

    value: str
    difference: str


@dataclass(frozen=True)
class MetricTable:
    """The metrics beside accuracy: a column is one of them, a row a setting and its cells.

    `lower` lists, in words, the metrics of which less is better.
    """

    titles: list[str]
    rows: list[tuple[str, list[MetricCell | None]]]
    lower: str = field(default_factory=_lower_is_better)


@dataclass(frozen=True)
class KeptOut:
    """How many synthetic images lineage kept out of a fold, and of its inner folds."""

    generator: str
    low: int
    high: int
    inner_low: float
    inner_high: float
    folds: int


@dataclass(frozen=True)
class TrainedView:
    """How the fine-tunes of a setting trained, as ranges over folds and repeats.

    Attributes:
        title: title of the setting, with its generator.
        steps: optimiser steps.
        accuracy: accuracy on the training images in the end, percent.
        moved: how far the encoder's weights moved, percent of their norm.
    """

    title: str
    steps: str
    accuracy: str
    moved: str


@dataclass(frozen=True)
class StudyView:
    """What the section of a study shows.

    Attributes:
        floor: whether the encoder has no learned weights, by design.
        leaky, random: warnings in its title, or nothing.
        dropped, controlled, has_null_edits, mcnemar, together: whether the table has these columns;
            the last is the study-wide p.
        estimand: what differences are the mean over, in words.
        is_shown: whether its figures and classes stand on the page by themselves.
        curves, bars: figures.
        classes: what each class gains or loses, a map a generator.
        comparisons: mixes against something else than real-only.
        trained: how fine-tunes trained; empty of heads.
        document: the study itself.
        encoder_and_head: what was trained, which the title of a named study does not say.
        licences: those of its images, in words.
        datasets: the data sets that its images are of, in words.
        makers: who made its synthetic images, and under which terms, in words.
        encoder_licence: licence of the encoder's weights; empty: not known, or none.
    """

    title: str
    floor: bool
    leaky: str
    random: str
    groups: list[SettingGroup]
    dropped: bool
    controlled: bool
    has_null_edits: bool
    mcnemar: bool
    together: bool
    estimand: str
    is_shown: bool
    curves: list[Drawing]
    bars: list[Drawing]
    recall: RecallTable
    classes: list[ClassMap]
    comparisons: list[ComparisonView]
    others: MetricTable
    kept_out: list[KeptOut]
    trained: list[TrainedView]
    document: Study
    encoder_and_head: str
    licences: str
    datasets: str
    makers: str
    encoder_licence: str


def random_words(study: Study) -> str:
    """Return a warning if the encoder's weights were never trained; else nothing."""
    if not study.encoder.has_random_weights:
        return ""
    return FROM_RANDOM if kind_read(study.config.head).takes_steps else RANDOM_WEIGHTS


def study_view(
    i: int, study: Study, drawings: Sequence[Drawing], is_shown: bool = False
) -> StudyView:
    """Return what the section of the i-th study shows, with its drawings."""
    figures = [drawing for drawing in drawings if drawing.study == i]
    return StudyView(
        title=study_title(study),
        floor=study.encoder.is_floor,
        leaky=LINEAGE_IGNORED if study.config.ignore_lineage else "",
        random=random_words(study),
        groups=_setting_groups(study),
        dropped=any(row.dropped_by_lineage for row in study.results),
        controlled=any(row.control_difference is not None for row in study.results),
        has_null_edits=any(row.kind == "null-edit" for row in study.comparisons),
        mcnemar=any(row.p_mcnemar is not None for row in study.results),
        together=any(row.p_study_wide is not None for row in study.results),
        estimand=ESTIMANDS.get(study.real_only.estimand, ""),
        is_shown=is_shown,
        curves=[drawing for drawing in figures if drawing.kind in METRICS],
        bars=[drawing for drawing in figures if drawing.kind == "settings"],
        recall=_recall(study),
        classes=class_maps(study),
        comparisons=[_comparison(row) for row in study.comparisons],
        others=_other_metrics(study),
        kept_out=_kept_out(study),
        trained=_trained(study),
        document=study,
        encoder_and_head=family_title(study.encoder.title, study.config.head, study.part),
        licences=licences_words(study.manifest),
        datasets=datasets_words(study.manifest),
        makers=makers_words(study.manifest),
        encoder_licence=encoder_licence(study.encoder.source),
    )


def _setting_groups(study: Study) -> list[SettingGroup]:
    """Return the table of settings: a group for real-only, then one per generator."""
    macro_f1 = {_key(row): row for row in study.results if row.metric == "macro_f1"}
    accuracy = {_key(row): row for row in study.results if row.metric == "accuracy"}
    groups: dict[str | None, list[SettingView]] = {}
    for row in sorted(accuracy.values(), key=in_order):
        view = SettingView(
            row=row,
            macro_f1=macro_f1.get(_key(row)),
            title=setting_title(row),
            verdict=verdict_words(row),
            badge=badge(row),
            actual=_other_ratio(row),
            made_of=units_words(row),
            left=study.without_fingerprint(row),
        )
        groups.setdefault(row.generator, []).append(view)
    return [SettingGroup(generator, rows) for generator, rows in groups.items()]


def _other_ratio(row: Result) -> str | None:
    """Return the ratio that was trained on, if it is not the one that was asked for."""
    ratio, actual = row.ratio, row.ratio_actual
    if ratio is None or actual is None or abs(actual - ratio) <= 0.01 * ratio:
        return None
    return ratio_title(actual)


def _key(row: Result) -> tuple[str | None, str, float | None, str | None]:
    return row.generator, row.setting, row.ratio, row.augment


def _recall(study: Study) -> RecallTable:
    settings = sorted(study.settings, key=in_order)
    several = len(study.generators) > 1
    columns = [(s.generator if several else None, setting_title(s)) for s in settings]
    classes = study.manifest.classes
    rows = [(name, [s.recall[c] for s in settings]) for c, name in enumerate(classes)]
    return RecallTable(columns, list(rows))


def _comparison(row: MixComparison) -> ComparisonView:
    shared = [row.generator] if row.generator else []
    shared += [ratio_title(row.ratio)] if row.ratio is not None else []
    kind = row.verdict.split(" within")[0]
    return ComparisonView(
        row, COMPARED.get(row.kind, row.kind), ", ".join(shared), _BADGES.get(kind, "no")
    )


def _other_metrics(study: Study) -> MetricTable:
    """Return the table of the metrics beside accuracy and macro-F1, a row a setting."""
    given = {row.metric for row in study.results}
    names = [name for name in metrics.METRICS if name not in METRICS and name in given]
    cells: dict[tuple[str | None, str], dict[str, Result]] = {}
    for row in sorted(study.results, key=in_order):
        cells.setdefault((row.generator, setting_title(row)), {})[row.metric] = row
    rows = [
        (" · ".join(filter(None, key)), [_metric_cell(by_metric.get(name)) for name in names])
        for key, by_metric in cells.items()
        if any(name in by_metric for name in names)
    ]
    return MetricTable([metrics.METRICS[name].title for name in names], rows)


def _metric_cell(row: Result | None) -> MetricCell | None:
    if row is None:
        return None
    metric = metrics.METRICS[row.metric]
    is_share, digits = metric.unit == "%", metric.digits
    scale = 100 if is_share else 1

    def shown(value: float) -> str:
        return with_minus(f"{scale * value:.{digits}f}")

    low, high = row.difference_low, row.difference_high
    if row.difference is None:
        return MetricCell(shown(row.value), "")
    difference = points(row.difference) if is_share else signed(row.difference, digits)
    if low is None or high is None:
        return MetricCell(shown(row.value), f"{difference}, no interval")
    ends = span(low, high) if is_share else f"[{shown(low)}, {shown(high)}]"
    return MetricCell(shown(row.value), f"{difference} {ends}")


def _kept_out(study: Study) -> list[KeptOut]:
    """Return how many images the lineage guard kept out of folds, by generator."""
    counts = []
    for generator in study.generators:
        mixes = [r for r in study.runs if r.generator == generator and r.setting == "mix"]
        first = [run for run in mixes if run.ratio == mixes[0].ratio and not run.augment]
        dropped = [run.dropped_by_lineage for run in first]
        inner = [run.dropped_in_inner_folds for run in first]
        if any(dropped) or any(inner):
            counts.append(
                KeptOut(generator, min(dropped), max(dropped), min(inner), max(inner), len(first))
            )
    return counts


def _trained(study: Study) -> list[TrainedView]:
    """Return how the fine-tunes of each setting trained."""
    by_title: dict[str, list[Run]] = {}
    for run in sorted((run for run in study.runs if run.steps), key=in_order):
        title = " · ".join(filter(None, [run.generator, setting_title(run)]))
        by_title.setdefault(title, []).append(run)
    return [
        TrainedView(
            title,
            _range([run.steps for run in runs], count),
            _range([run.training_accuracy for run in runs], percent),
            _range([run.moved for run in runs], lambda moved: number(100 * moved)),
        )
        for title, runs in by_title.items()
    ]


def _range(values: Sequence[float | None], words: Callable[[float], str]) -> str:
    """Return the smallest and the largest of some values in words; a dash if none is known."""
    known = [value for value in values if value is not None]
    ends = (words(min(known)), words(max(known))) if known else ()
    return "–".join(dict.fromkeys(ends)) or "–"


def worth_view(studies: Sequence[Study], costs: Costs | None) -> list[Valued]:
    """Return what mixes and alternatives are worth: a row for each one of a learning curve."""
    return [
        extend(
            Valued,
            row,
            study=study_title(study),
            title=setting_title(row),
            interval=worth_interval(row),
            words=worth_words(row),
            cost=_cost(row, len(study.manifest.classes), costs) if costs else None,
        )
        for study in studies
        for row in study.data_value or ()
    ]


def _cost(row: DataValue, classes: int, costs: Costs) -> str:
    """Say what the synthetic images cost, what real ones of their worth do, and which is less.

    Augmenting costs no image, so that nothing is cheaper than it.
    """
    synthetic = row.synthetic_per_class * classes * costs.synthetic
    value, low, high = (n * classes * costs.real for n in (row.value, row.low, row.high))
    if row.generator is None:
        return f"{value:,.2f} for as many real ones"
    said = f"{synthetic:,.2f} for the synthetic, {value:,.2f} for as many real ones"
    if low > synthetic:
        return f"{said}: synthetic images are cheaper"
    if high < synthetic and not row.at_least:
        return f"{said}: real images are cheaper"
    return f"{said}: which is cheaper cannot be told"
