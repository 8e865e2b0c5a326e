"""How the report writes numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xprobe.verdict import ALPHA


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
