"""The words of the report, made from values: numbers, titles, and the sentences of its answer.

Nothing is drawn here, so that whoever needs words alone does not load matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xprobe.base.errors import counted
from xprobe.design.config import SweepConfig
from xprobe.design.design import HOLD_OUT
from xprobe.design.setting import head_title, part_title
from xprobe.design.setting import setting_title as title_of
from xprobe.results.distance import DistanceRow, LeakThreshold, PlaceRow
from xprobe.results.families import Family
from xprobe.results.rows import ClassResult, DataValue, OfSetting, Result
from xprobe.results.study import Study
from xprobe.verdict.correlation import FEWEST_TESTED, Correlation
from xprobe.verdict.family import ALPHA, HELPS, HURTS, NOT_DETECTED, NOT_SEPARABLE

QUESTION = "Do AI-generated images help image recognition?"

FLOOR = "a floor, not a learned encoder"

RANDOM_WEIGHTS = "RANDOM WEIGHTS: says nothing of a trained encoder"

FROM_RANDOM = "FROM RANDOM WEIGHTS: pretrained ones may answer otherwise"

LINEAGE_IGNORED = "LINEAGE IGNORED: shows the size of a leak, and nothing else"

# The family without a generator is called so: it compares augmentations of real images.
ALTERNATIVES = "alternatives"

# Settings that add nothing to the real images, but stand in their place, are better or worse.
_INSTEAD = {HELPS: "better than real-only", HURTS: "worse than real-only"}

METRICS = {"accuracy": "Accuracy", "macro_f1": "Macro-F1"}

ESTIMANDS = {
    "images": "mean over test images",
    "groups": "mean over groups: a group never seen",
}
"""What a difference is the mean over, by `Result.estimand`."""

BADGES = {
    HELPS: "helps", HURTS: "hurts", "equivalent": "equivalent", NOT_SEPARABLE: "apart",
    NOT_DETECTED: "no", "": "",
}  # fmt: skip
"""The style of a verdict, by its kind."""

# The part of the real images that was trained on: a share, and a number of each class, if any.
Part = tuple[float, int | None]


@dataclass(frozen=True)
class Warned:
    """A warning, and the studies that gave it; an empty `who` stands for all of them."""

    who: str
    text: str


# --- numbers -------------------------------------------------------------------------------


def points(fraction: float) -> str:
    """Return a difference of fractions as signed percentage points: ``+12.9``, ``−0.4``, ``0.0``.

    Further decimals keep the sign of a difference that one decimal would call 0.
    """
    value = 100 * fraction
    for digits in (1, 2, 3):
        if round(value, digits):
            return signed(value, digits)
    return "0.0"


def span(low: float, high: float) -> str:
    """Return an interval of differences in percentage points: ``[+8.5, +17.4]``."""
    return f"[{points(low)}, {points(high)}]"


def signed(value: float, digits: int) -> str:
    """Return a number with its sign, the minus being a true one."""
    return with_minus(f"{value:+.{digits}f}")


def with_minus(digits: str) -> str:
    """Return the digits of a number with a true minus, also in an exponent."""
    return digits.replace("-", "−")


def estimate(row: Result) -> str:
    """Return an accuracy and its interval, in percent: ``81.2 [79.0, 83.3]``."""
    if row.ci_low is None or row.ci_high is None:
        return percent(row.value)
    return f"{percent(row.value)} [{percent(row.ci_low)}, {percent(row.ci_high)}]"


def percent(fraction: float) -> str:
    """Return a fraction as percent, without the sign: ``81.2``."""
    return f"{100 * fraction:.1f}"


def p_value(p: float | None) -> str:
    """Return a p-value, never rounded to the other side of .05; a dash where there is none."""
    if p is None:
        return "–"
    if p < 0.001:
        return "< 0.001"
    return f"{p:.4f}" if abs(p - ALPHA) < 0.0005 else f"{p:.3f}"


def count(n: float) -> str:
    """Return a number of images, which are whole: ``1,234``, and ``about 667`` for an average."""
    return whole(n) if float(n).is_integer() else f"about {whole(n)}"


def whole(n: float) -> str:
    """Return a number to the nearest whole one, for tables whose heading says what it is."""
    return f"{n:,.0f}"


def number(value: float | None) -> str:
    """Return a number of any size, to three digits: ``0.120``, ``12.3``, ``1,234``."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")
    return with_minus(text)


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of numbers of any size; nothing where an end is missing."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"


def worth_interval(row: DataValue) -> str:
    """Return how people read the interval of a data value: ``[≤ 0, 12]``."""
    low = "≤ 0" if row.at_most else f"{row.low:.0f}"
    high = f"≥ {row.high:.0f}" if row.at_least else f"{row.high:.0f}"
    return f"[{low}, {high}]"


def moment(created: str) -> str:
    """Return a moment as people read it, to the minute: ``2026-01-02 18:25 UTC``."""
    day, _, time = created.partition("T")
    is_utc = time.endswith("+00:00")
    return f"{day} {time[:5]} UTC" if is_utc else created


# --- titles --------------------------------------------------------------------------------


def study_title(study: Study) -> str:
    """Return how people read a study: its name, or its encoder, and its head unless the default."""
    return study.name or family_title(study.encoder.title, study.config.head, study.part)


def family_title(encoder: str, head: str, part: Part, *more: str) -> str:
    """Return how people read an encoder and a head, which is left out if it is the default."""
    words = part_title(*part) if head == SweepConfig.head else head_title(head, *part)
    return " · ".join([encoder, *([words] if words else []), *more])


def title_of_family(family: Family) -> str:
    """Return how people read a family of comparisons: encoder, head, part and generator."""
    part = family.real_fraction, family.train_per_class
    words = [family.generator or ALTERNATIVES]
    words += ["in place of real"] if family.setting == "synthetic-only" else []
    return family_title(family.title, family.head, part, *words)


def setting_title(row: OfSetting) -> str:
    """Return how people read the setting of a row."""
    return title_of(row.setting, row.ratio, row.augment)


def ratio_title(ratio: float) -> str:
    """Return how people read a ratio of real to synthetic images: ``1:2``."""
    return f"1:{ratio:g}"


def in_order(row: OfSetting) -> tuple[str, bool, bool, float]:
    """Sort key: real-only, then for each generator its mixes by ratio, then synthetic-only."""
    return row.generator or "", bool(row.augment), row.setting != "mix", row.ratio or 0


def badge(row: Result | ClassResult) -> str:
    """Return the style of a verdict: helps, hurts, equivalent, apart, no; nothing without one."""
    return BADGES[row.kind]


@dataclass(frozen=True)
class Protocol:
    """How a study was tested, read from the words that its document has for it.

    Attributes:
        text: the words of the document.
        short: the same without the part of the real images that was trained on.
        hold_out: whether the test images are fixed.
        folds: number of folds of a cross-validation; None of other protocols.
    """

    text: str
    short: str
    hold_out: bool
    folds: int | None

    @classmethod
    def read(cls, text: str) -> Protocol:
        """Return what the words of a protocol say."""
        folds, _, repeats = text.partition("-fold cross-validation")
        k = int(folds) if repeats and folds.isdecimal() and len(folds) < 10 else None
        parts = enumerate(text.split(", "))
        short = ", ".join(part for i, part in parts if i < 2 or part.startswith("errors over "))
        return cls(text, short, text.startswith(HOLD_OUT), k)


# --- sentences -----------------------------------------------------------------------------


def verdict_word(row: Result | ClassResult) -> str:
    """Return a verdict as people read it, without the margin; empty if there is none."""
    return of_setting(row.verdict or "", row)


def of_setting(verdict: str, row: OfSetting) -> str:
    """Return a verdict as people read it: only mixes help or hurt, others are better or worse."""
    return verdict if row.setting == "mix" else _INSTEAD.get(verdict, verdict)


def verdict_words(row: Result) -> str:
    """Return how people read a verdict; one that is certain may be of less than the margin."""
    words = verdict_word(row)
    is_small = row.within_margin and row.kind in (HELPS, HURTS)
    return f"{words}, by less than the margin" if is_small else words


def p_words(row: Result) -> str:
    """Return the p of a comparison: the family's, and that of all studies together beside it."""
    if row.p_study_wide is not None:
        return f"p {p_value(row.p_adjusted)} in its family, {p_value(row.p_study_wide)} study-wide"
    return f"p {p_value(row.p_adjusted)} in its family{' alone' if row.setting == 'mix' else ''}"


def control_words(row: Result) -> str:
    """Return the difference to a control and the interval that is judged; nothing without one."""
    if row.control_difference is None:
        return ""
    words = f"{points(row.control_difference)} points"
    words += f" {span(row.control_low or 0, row.control_high or 0)} against its control"
    if row.judged_low is None or row.judged_high is None:
        return words
    return f"{words}, judged by {span(row.judged_low, row.judged_high)}"


def units_words(row: Result) -> str | None:
    """Return of how many images the synthetic ones were made; None if they were made one by one."""
    units = row.n_train_synthetic if row.synthetic_units is None else row.synthetic_units
    words = count(units)
    return None if words == count(row.n_train_synthetic) else words


def images_words(row: Result, real_only: Result) -> str:
    """Return what a setting was trained on, with numbers: ``these synthetic images`` and no others.

    Synthetic images that were made of the same image are said to be: they say less than as many
    that were made one by one.
    """
    real, synthetic = count(real_only.n_train_real), count(row.n_train_synthetic)
    if not row.n_train_synthetic:
        return f"{real} real images"
    units = units_words(row)
    words = f"{synthetic} of these synthetic images{f', made of {units},' if units else ''}"
    place = "in place of" if row.setting == "synthetic-only" else "added to"
    return f"{words} {place} {real} real ones"


def families_note(families: Sequence[Family], most: int = 3) -> str:
    """Say that there are several families, with the study-wide p of the first ones."""
    judged = [family for family in families if family.p_study_wide is not None]
    first = [f"{title_of_family(f)} {p_value(f.p_study_wide)}" for f in judged[:most]]
    more = f" and {len(judged) - most} more (see the table)" if len(judged) > most else ""
    note = (
        f"There are {len(families)} families of comparisons, each with its own error rate of 5 %."
    )
    if judged:
        note += f" Least study-wide p of the mixes: {', '.join(first)}{more}."
    return note


def left_out_note(n: int, counting: int) -> str:
    """Say that so many studies are not shown, of which some count in the study-wide p."""
    words = counted(
        n, "other study of these results is not shown",
        "other studies of these results are not shown",
    )  # fmt: skip
    if not counting:
        return words
    if n == 1:
        return f"{words}, but counts in the study-wide p"
    many = "all" if counting == n else f"{counting} of them"
    return f"{words}; {many} count{'s' if counting == 1 else ''} in the study-wide p"


def worth_words(row: DataValue) -> str:
    """Say what the synthetic images of a mix are worth, or an augmentation of the real ones."""
    n = f"{row.real_per_class:.0f}"
    if row.generator is None:
        valued = f"augmenting {n} real images of each class ({row.setting}) is worth"
    else:
        valued = f"{row.synthetic_per_class:.0f} of these synthetic images of each class, added to "
        valued += f"{n} real ones{' and augmented' if row.augment else ''}, are worth"
    end, value = row.most - row.real_per_class, round(row.value)
    if row.value >= end:
        return f"{valued} {end:.0f} real ones or more (the end of the curve)"
    if row.value <= 0:
        return f"{valued} no real one"
    words = "less than one real one" if row.value < 0.5 else f"{value} further real one"
    words += "s" * (value > 1)
    return f"{valued} {words}{', and maybe none' if row.at_most else ''}"


def leaks_sentence(kinds: Mapping[str, int], looked_for: bool) -> str:
    """Say how many images are copies or duplicates, by kind."""
    if kinds:
        n = sum(kinds.values())
        many = counted(n, "image was", "images were")
        counts = "; ".join(f"{n:,} × {kind}" for kind, n in kinds.items())
        return f"{many} found to be copies or duplicates: {counts}."
    if looked_for:
        return "No copies of real images were found, and no duplicates."
    return "Copies and duplicates were not looked for."


def threshold_sentence(threshold: LeakThreshold) -> str:
    """Say what is taken for a copy, and why."""
    near = threshold.similarity
    return (
        f"Taken for a copy is what has a similarity above {near:.3g}, a distance below "
        f"{1 - near:.3g}. Why: {threshold.reason}."
    )


def shortcut_sentence(generator: str, aucs: Mapping[str | None, float | None]) -> str:
    """Say which properties of files tell a generator's images from real ones.

    Args:
        generator: its name.
        aucs: property in words → its AUC, where one is known; None: all of them together.
    """
    alone = {name: auc for name, auc in aucs.items() if name is not None}
    *some, last = alone or [""]
    names = f"each of {', '.join(some)} and {last}" if some else last
    parts = [f"{names} alone{_aucs(list(alone.values()))}"] if alone else []
    if None in aucs:
        parts.append(f"all file properties together{_aucs([aucs[None]])}")
    return f"Real and generator {generator} can be told apart by {', and by '.join(parts)}."


def _aucs(values: Sequence[float | None]) -> str:
    known = sorted(f"{value:.2f}" for value in values if value is not None)
    return f" (AUC {' to '.join(dict.fromkeys((known[0], known[-1])))})" if known else ""


def place_estimate(row: PlaceRow) -> str:
    """Return the accuracy before the event and its interval, in percent: ``63.3 [50.0, 76.7]``."""
    if row.low is None or row.high is None:
        return percent(row.before)
    return f"{percent(row.before)} [{percent(row.low)}, {percent(row.high)}]"


def place_share(row: PlaceRow) -> str:
    """Return which share of what an encoder knows the place explains: ``71 %``; a dash if none."""
    return "–" if row.share is None else f"{100 * row.share:.0f} %"


def place_words(row: PlaceRow) -> str:
    """Say whether an encoder knows the place where an image was taken."""
    if row.low is None:
        return "a single scene says nothing"
    return "knows the place" if row.low > row.chance else "no sign that it knows the place"


def retrieval_sentence(row: DistanceRow) -> str:
    """Say how many images of a generator find their own prompt."""
    start = f"{row.title}, {row.generator}:"
    if row.value is None or row.floor is None:
        return f"{start} no R@1; {row.reason}."
    between = ""
    if row.ci_low is not None and row.ci_high is not None:
        between = f" [{percent(row.ci_low)}, {percent(row.ci_high)}]"
    given = f", {row.assumption}" if row.assumption else ""
    return (
        f"{start} {percent(row.value)} %{between} of {row.n_synthetic:,} images find their own "
        f"prompt among {row.n:,} (R@1{given}); by chance {number(100 * row.floor)} % would."
    )


def gain_sentence(head: str, part: Part, ratio: float, correlation: Correlation) -> str:
    """Say how distance and gain go together."""
    title = head_title(head, *part)
    encoders = correlation.encoders
    mean = f", the mean over {encoders} encoders," if encoders > 1 else ""
    if correlation.p is None:
        tested = f"too few for a test, which needs {FEWEST_TESTED}"
    else:
        tested = f"p {p_value(correlation.p)}"
    return (
        f"{title[:1].upper()}{title[1:]}, {ratio_title(ratio)}: Spearman's rank correlation of "
        f"MMD² and the difference in accuracy{mean} is {signed(correlation.rho, 2)} over "
        f"{correlation.generators} generators ({tested})."
    )
