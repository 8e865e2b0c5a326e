"""The names of metrics of distance, apart from their code, which imports NumPy."""

from __future__ import annotations

from collections.abc import Iterable

from xprobe.base.errors import OptionError, did_you_mean

METRICS = (
    "mmd", "energy", "frechet", "frechet_infinity", "kid", "cmmd", "sliced_wasserstein",
    "precision", "recall", "density", "coverage", "authenticity", "vendi", "auc",
)  # fmt: skip
"""All of them, in the order of `metrics.DISTANCES`."""


def check_metrics(names: Iterable[str], known: Iterable[str] = METRICS) -> None:
    """Refuse a name that no metric has.

    Args:
        names: names of metrics.
        known: those that there are.

    Raises:
        OptionError: there is no metric of that name; offers the nearest names.
    """
    known = tuple(known)
    for name in names:
        if name not in known:
            raise OptionError(
                f"--metrics: there is no metric {name!r}{did_you_mean(name, known)}; known: "
                f"{', '.join(known)}"
            )
