"""What a study answers, in words: a headline, and a sentence for each comparison."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xprobe.images.augment import AUGMENTATIONS
from xprobe.report.study_section import (
    LINEAGE_IGNORED,
    badge,
    is_floor,
    is_leaky,
    random_words,
    worth_view,
)
from xprobe.report.words import (
    ALTERNATIVES,
    count,
    family_title,
    in_order,
    p_value,
    percent,
    points,
    setting_title,
    span,
    study_title,
    verdict_kind,
)
from xprobe.results import study as study_module
from xprobe.verdict.family import ALPHA

Study = dict[str, Any]

Row = dict[str, Any]

_OTHER_WORDS = {"helps": "better than real-only", "hurts": "worse than real-only"}


def answer(studies: Sequence[Study], families: Sequence[Row]) -> dict[str, Any]:
    """Say what was found: a headline, then a sentence for each comparison."""
    rows = ((s, r) for s in studies for r in sorted(s["results"], key=in_order))
    judged = [(s, r) for s, r in rows if r["verdict"] is not None]
    mixes = [(s, r) for s, r in judged if r["setting"] == "mix" and not r["augment"]]
    headline = _headline([r for _, r in mixes], families)
    if any(map(is_leaky, studies)):
        headline = f"{LINEAGE_IGNORED}. With the leak: {headline[0].lower()}{headline[1:]}"
    notes = _notes(studies, families)
    lines = [_line(s, r) for s, r in mixes]
    valued = [
        f"{row['study']} · generator {row['generator']} · {row['setting']} — {row['words']} "
        f"{row['interval']}."
        for row in worth_view(studies, None)
    ]
    others = [_line(s, r) for s, r in judged if r["setting"] == "synthetic-only"]
    alternatives = [_line(s, r) for s, r in judged if r["augment"] or r["setting"] in AUGMENTATIONS]
    every = (*lines, *others, *alternatives)
    sentences = [headline, *notes, *(line["sentence"] for line in every), *valued]
    grouped: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        grouped.setdefault(line["who"], []).append(line)
    return {
        "headline": headline, "notes": notes, "lines": lines, "grouped": list(grouped.items()),
        "others": others, "alternatives": alternatives, "valued": valued, "sentences": sentences,
    }  # fmt: skip


def _headline(mixes: Sequence[Row], families: Sequence[Row]) -> str:
    n = len(mixes)
    kinds = [verdict_kind(row["verdict"]) for row in mixes]
    helps, hurts, equal = (kinds.count(kind) for kind in ("helps", "hurts", "equivalent"))
    if not helps and not hurts:
        if n and equal == n:
            return f"No difference that matters: equivalent within the margin in {_of(n, n)}."
        some = f"; {equal} of them were equivalent within the margin" if equal else ""
        where = "the only comparison" if n == 1 else f"any of {n} comparisons"
        return (
            f"No detectable difference: adding synthetic images did not change accuracy detectably "
            f"in {where}{some}."
        )
    if helps and hurts:
        text = f"raised accuracy in {helps} and lowered it in {hurts} of {n} comparisons"
    else:
        text = f"{'raised' if helps else 'lowered'} accuracy in {_of(helps or hurts, n)}"
    if rest := n - helps - hurts:
        text += f"; in the other {rest if rest > 1 else 'one'} no difference was detected"
    best = _study_wide(mixes, families)
    if best > ALPHA:
        return (
            f"Not certain: adding synthetic images {text}. This does not hold over all "
            f"{len(families)} families of comparisons together (study-wide p {p_value(best)})."
        )
    start = "Mixed" if helps and hurts else "Yes" if helps else "No, they hurt"
    return f"{start}: adding synthetic images {text}."


def _of(k: int, n: int) -> str:
    if n == 1:
        return "the only comparison"
    if k == n == 2:
        return "both comparisons"
    return f"all {n} comparisons" if k == n else f"{k} of {n} comparisons"


def _study_wide(mixes: Sequence[Row], families: Sequence[Row]) -> float:
    """Return the smallest study-wide p of the families in which a mix helps or hurts."""
    claims = [r for r in mixes if verdict_kind(r["verdict"]) in ("helps", "hurts")]
    claimed = {study_module.family_of(r) for r in claims}
    return min(
        float(f["p_study_wide"])
        for f in families
        if tuple(f[name] for name in study_module.FAMILY) in claimed
    )


def _notes(studies: Sequence[Study], families: Sequence[Row]) -> list[str]:
    notes = []
    if all(map(is_floor, studies)):
        notes.append(
            "Every encoder here is a floor without learned weights: ask a learned one too."
        )
    if len(families) > 1:
        first = [f"{title_of(f)} {p_value(f['p_study_wide'])}" for f in families[:6]]
        more = f" and {len(families) - 6} more (see the table)" if len(families) > 6 else ""
        notes.append(
            f"There are {len(families)} families of comparisons, each with its own error rate of "
            f"5 %. Study-wide p over all of them (Holm): {', '.join(first)}{more}."
        )
    return notes


def title_of(family: Row) -> str:
    """Return the title of a family of comparisons: encoder, head, part and generator."""
    of = family["generator"] or ALTERNATIVES
    part = family["real_fraction"], family["train_per_class"]
    return family_title(family["encoder"], family["head"], part, of)


def _line(study: Study, row: Row) -> dict[str, Any]:
    setting = setting_title(row)
    verdict = row["verdict"]
    if row["setting"] == "synthetic-only":
        real = next(r for r in study["results"] if r["setting"] == "real-only")
        setting += (
            f" ({count(row['n_train_synthetic'])} synthetic in place of "
            f"{count(real['n_train_real'])} real images)"
        )
    if row["setting"] != "mix":
        verdict = _OTHER_WORDS.get(verdict, verdict)
    of = [f"generator {row['generator']}"] if row["generator"] else []
    if row["augment"] or not of:
        of.insert(0, ALTERNATIVES)
    who = " · ".join([study_title(study), *of])
    difference = f"{points(row['difference'])} points"
    interval = span(row["difference_low"], row["difference_high"])
    could = f"a difference of {percent(row['detectable'])} points could have been detected"
    if row["control_difference"] is not None:
        control = points(row["control_difference"])
        could = f"{control} points to its control; {could}"
    return {
        "who": who, "floor": is_floor(study), "random": random_words(study),
        "setting": setting, "difference": difference,
        "interval": interval, "verdict": verdict, "badge": badge(row), "could": could,
        "sentence": f"{who} · {setting} — {difference} {interval}, {verdict}; {could}.",
    }  # fmt: skip
