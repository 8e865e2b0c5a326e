"""How the report writes numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xprobe.design.config import SweepConfig
from xprobe.design.setting import head_title
from xprobe.design.setting import setting_title as title_of
from xprobe.verdict.family import ALPHA

Row = dict[str, Any]

ALTERNATIVES = "alternatives"  # the family without a generator: augmentations of real images

METRICS = {"accuracy": "Accuracy", "macro_f1": "Macro-F1"}


def study_title(study: dict[str, Any]) -> str:
    """Return how people read a study: its encoder, and its head unless that is the default."""
    config = study["config"]
    return family_title(study["encoder"]["label"], config["head"], part_of(config))


def part_of(config: Row) -> tuple[float, int | None]:
    """Return what part of the real images a study trained on: a share, or so many of each class."""
    return config.get("real_fraction", 1.0), config.get("train_per_class")


def family_title(encoder: str, head: str, part: tuple[float, int | None], *more: str) -> str:
    """Return how people read an encoder and a head, which is left out if it is the default."""
    words = head_title(head, *part)
    if head == SweepConfig.head:
        words = words.partition(", ")[2]
    return " · ".join([encoder, *([words] if words else []), *more])


def setting_title(row: Row) -> str:
    """Return how people read the setting of a row."""
    return title_of(row["setting"], row["ratio"], row.get("augment"))


def in_order(row: Row) -> tuple[str, bool, bool, float]:
    """Sort key: real-only, then for each generator its mixes by ratio, then synthetic-only."""
    alternative = bool(row.get("augment"))
    return row["generator"] or "", alternative, row["setting"] != "mix", row["ratio"] or 0


def points(fraction: float) -> str:
    """Return a difference of fractions as signed percentage points: ``+12.9``, ``−0.4``, ``0.0``.

    Further decimals keep the sign of a difference that one decimal would call 0.
    """
    value = 100 * fraction
    for digits in (1, 2, 3):
        if round(value, digits):
            return f"{value:+.{digits}f}".replace("-", "−")
    return "0.0"


def span(low: float, high: float) -> str:
    """Return an interval of differences in percentage points: ``[+8.5, +17.4]``."""
    return f"[{points(low)}, {points(high)}]"


def verdict_kind(verdict: str) -> str:
    """Return which of the four verdicts it is, without the margin of an equivalence."""
    return "equivalent" if verdict.startswith("equivalent") else verdict


def estimate(row: Mapping[str, Any]) -> str:
    """Return an accuracy and its interval, in percent: ``81.2 [79.0, 83.3]``."""
    return f"{percent(row['value'])} [{percent(row['ci_low'])}, {percent(row['ci_high'])}]"


def percent(fraction: float) -> str:
    """Return a fraction as percent, without the sign: ``81.2``."""
    return f"{100 * fraction:.1f}"


def p_value(p: float) -> str:
    """Return a p-value, never rounded to the other side of .05."""
    if p < 0.001:
        return "< 0.001"
    return f"{p:.4f}" if abs(p - ALPHA) < 0.0005 else f"{p:.3f}"


def count(n: float) -> str:
    """Return a number of images, which may be an average: ``1,234`` or ``80.5``."""
    return f"{n:,.0f}" if float(n).is_integer() else f"{n:,.1f}"


def number(value: float | None) -> str:
    """Return a number of any size, to three digits: ``0.120``, ``12.3``, ``1,234``."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")
    return text.replace("-", "−")


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of numbers of any size; nothing where an end is missing."""
    return "" if low is None or high is None else f"[{number(low)}, {number(high)}]"
