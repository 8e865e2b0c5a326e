"""What a sweep answered for one encoder and learner, on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from xprobe.base.atomic import put
from xprobe.base.errors import XprobeError, nearest, some
from xprobe.verdict.family import holm


@dataclass(frozen=True)
class Result:
    """One metric of one setting over all its folds and repeats: one flat JSON object.

    Intervals are 95 %. `difference` is to real-only, on the same test images; its interval and
    `p_adjusted` hold for all comparisons of the family together. `control_*` are of the difference
    to the setting's control, real images trained on as long (fine-tunes only); `p_adjusted` is
    then the larger of both. `p_mcnemar` is of the first repeat on a fixed hold-out, uncorrected.
    All but `n_*`, `dropped_by_lineage` and some metrics (`metrics.per_image`) are fractions.
    """

    encoder: str
    generator: str | None
    head: str
    protocol: str
    setting: str
    ratio: float | None
    augment: str | None
    metric: str
    value: float
    ci_low: float
    ci_high: float
    difference: float | None
    difference_low: float | None
    difference_high: float | None
    p_adjusted: float | None
    p_mcnemar: float | None
    control_difference: float | None
    control_low: float | None
    control_high: float | None
    verdict: str | None
    detectable: float | None
    n_test: int
    n_groups: int
    dropped_by_lineage: int
    real_fraction: float
    train_per_class: int | None
    n_train_real: float
    n_train_synthetic: float
    ratio_actual: float | None


STUDY_VERSION = 1

_COLUMNS = tuple(each.name for each in fields(Result))


def save_study(folder: Path, key: str, study: dict[str, Any]) -> None:
    """Put the document of a study whole."""
    (folder / "studies").mkdir(parents=True, exist_ok=True)
    text = json.dumps(study, indent=1, ensure_ascii=False, allow_nan=False)
    put(folder / "studies" / f"{key[:32]}.json", f"{text}\n".encode())


def load_studies(folder: Path, encoders: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Return the newest study of each encoder, head and fraction, sorted; of `encoders` if named.

    Raises:
        XprobeError: there is none, or one of a newer format.
    """
    files = sorted((folder / "studies").glob("*.json"))
    if not files:
        raise XprobeError(f"{folder}: no results; run 'xprobe sweep' first, or name --results")
    studies = []
    for file in files:
        study = json.loads(file.read_text(encoding="utf-8"))
        if study["version"] > STUDY_VERSION:
            raise XprobeError(f"{file}: written by a newer xprobe; upgrade this one")
        # Those of an older xprobe lack what it did not know.
        study["results"] = [dict.fromkeys(_COLUMNS) | row for row in study["results"]]
        studies.append(study)
    newest: dict[tuple[str, str, float, int], dict[str, Any]] = {}
    seen: set[tuple[str, str, float, int]] = set()
    for study in sorted(studies, key=lambda study: str(study["created"]), reverse=True):
        # An encoder's label changes when another of its name joins it; its key does not.
        about, config = study["encoder"], study["config"]
        kind = config["head"], config.get("real_fraction", 1.0), config.get("train_per_class") or 0
        names = {(about["label"], *kind), (about["key"], *kind)}
        if not names & seen:
            newest[(about["label"], *kind)] = study
            seen |= names
    known = {label for label, *_ in newest}
    if unknown := [name for name in encoders if name not in known]:
        raise XprobeError(
            f"{folder} has no results of {some(unknown)}{nearest(unknown[0], known)}; there are: "
            f"{some(sorted(known), 9)}"
        )
    chosen = set(encoders) or known
    return [study for (label, *_), study in sorted(newest.items()) if label in chosen]


Family = tuple[str, str | None, str, float, int | None]

FAMILY = ("encoder", "generator", "head", "real_fraction", "train_per_class")


def family_of(row: Mapping[str, Any]) -> Family:
    """Return which family a `Result` row is of, the values of `FAMILY`.

    Alternatives are of none's generator.
    """
    generator = None if row["augment"] else row["generator"]
    fraction = 1.0 if row["real_fraction"] is None else row["real_fraction"]
    return row["encoder"], generator, row["head"], fraction, row["train_per_class"]


def families(studies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return every family of comparisons with its smallest adjusted p, and that over all families.

    The last is Holm's: what may be claimed if the families were looked through for the best.
    """
    found: dict[Family, list[float]] = {}
    for study in studies:
        for row in study["results"]:
            if row["p_adjusted"] is not None:
                found.setdefault(family_of(row), []).append(row["p_adjusted"])
    smallest = [min(p) for p in found.values()]
    return [
        {
            **dict(zip(FAMILY, family, strict=True)),
            "comparisons": len(of_all), "p_smallest": p, "p_study_wide": q,
        }
        for (family, of_all), p, q in zip(found.items(), smallest, holm(smallest), strict=True)
    ]  # fmt: skip
