"""The headline: what holds over all comparisons together, and nothing that one family claims alone.

Studies outside of the set over which the study-wide p is computed claim nothing: what they found is
told, and why it is no claim.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from xprobe.learners.kinds import kind_read
from xprobe.report.words import LINEAGE_IGNORED, count, p_value, percent
from xprobe.results.families import family_of
from xprobe.results.rows import Result, family_kind
from xprobe.results.study import STUDY_VERSION, Study
from xprobe.verdict.family import ALPHA, HELPS, HURTS, NOT_SEPARABLE


class Said(NamedTuple):
    """A headline in parts.

    Attributes:
        beginning: the answer in a word or two.
        clause: what was found; it begins with a small letter.
        more: a further sentence, or nothing.
    """

    beginning: str
    clause: str
    more: str = ""


class Outside(NamedTuple):
    """A reason why studies claim nothing (`xprobe.study.claims.is_of_set`).

    Attributes:
        words: what such studies are.
        meaning: a sentence for the case that all of them are such.
    """

    words: str
    meaning: str


OLDER = Outside(
    "judged by the rules of an older version",
    "Every study here was judged by the rules of an older version: run the same sweep again; "
    "only the pooled arm is trained.",
)
FLOORS = Outside(
    "of floors without learned weights",
    "Every encoder here is a floor without learned weights: this says nothing of learned ones.",
)
RANDOM = Outside(
    "of random weights",
    "Every encoder here has random weights: this says nothing of trained ones.",
)
FROM_RANDOM = Outside(
    "fine-tuned from random weights",
    "Every network here began with random weights: pretrained ones may answer otherwise.",
)
PARTS = Outside(
    "of a part of the real images",
    "Every study here trains on a part of the real images: with all of them it may be otherwise.",
)


def _outside(study: Study) -> Outside:
    """Return why a study claims nothing."""
    if study.version < STUDY_VERSION:
        return OLDER
    if study.encoder.is_floor:
        return FLOORS
    if study.encoder.has_random_weights:
        return FROM_RANDOM if kind_read(study.config.head).takes_steps else RANDOM
    return PARTS


def headline(studies: Sequence[Study], compared: int) -> str:
    """Return the answer in one or two sentences.

    Args:
        studies: the studies that are shown.
        compared: how many mixes of all studies of the folder are judged together.
    """
    inside = [row for study in studies for row in _mixes(study) if row.p_study_wide is not None]
    said = _claimed(inside, compared) if inside else _unclaimed(studies)
    more = f" {said.more}" if said.more else ""
    if any(study.config.ignore_lineage for study in studies):
        return f"{LINEAGE_IGNORED}. With the leak, {said.clause}.{more}"
    return f"{said.beginning}: {said.clause}.{more}"


def _mixes(study: Study) -> list[Result]:
    """Return the judged mixes of a study."""
    return [
        row
        for row in study.results
        if row.verdict is not None and family_kind(row.setting, row.augment) == "mix"
    ]


def _claimed(mixes: Sequence[Result], compared: int) -> Said:
    """Say what holds over all comparisons together."""
    claims = [row for row in mixes if row.kind in (HELPS, HURTS)]
    certain = [row for row in claims if (row.p_study_wide or 0) <= ALPHA]
    if certain or not claims:
        together = ", all judged together" if compared > 1 else ""
        if len(mixes) < compared:
            together = f", judged together with all {compared} of the folder"
        return Said(_beginning(mixes, certain), _found(mixes, certain, together))
    least = min(row.p_study_wide or 0 for row in claims)
    where = f"all {compared} comparisons together" if compared > 1 else "the study"
    words = f"{_found(mixes, claims)}; over {where} none of this holds"
    return Said("Not certain", f"{_alone(mixes)} {words} (least study-wide p {p_value(least)})")


def _unclaimed(studies: Sequence[Study]) -> Said:
    """Say what was found where no study may claim anything, and why."""
    spoken = _spoken_of(studies)
    mixes = [row for study in spoken for row in _mixes(study)]
    if not mixes:
        return Said("Nothing was judged", "there is no mix of real and synthetic images")
    reasons = list(dict.fromkeys(map(_outside, spoken)))
    more = f"No study here may claim more, being {' or '.join(r.words for r in reasons)}."
    if len(reasons) == 1:
        more = reasons[0].meaning
    claims = [row for row in mixes if row.kind in (HELPS, HURTS)]
    return Said("No study-wide claim", f"{_alone(mixes)} {_found(mixes, claims)}", more)


def _spoken_of(studies: Sequence[Study]) -> list[Study]:
    """Return those studies of a headline that claims nothing.

    Learned encoders go before others, and of several sizes of a learning curve the largest one
    alone counts: sizes are no comparisons of their own.
    """
    learned = [s for s in studies if not (s.encoder.is_floor or s.encoder.has_random_weights)]
    largest: dict[tuple[str, str], Study] = {}
    for study in learned or studies:
        name = study.encoder.label, study.config.head
        other = largest.setdefault(name, study)
        if study.real_only.n_train_real > other.real_only.n_train_real:
            largest[name] = study
    return list(largest.values())


def _beginning(mixes: Sequence[Result], claims: Sequence[Result]) -> str:
    """Return the answer in a word or two: yes and no only where all comparisons say so."""
    kinds = {row.kind for row in claims}
    if len(kinds) > 1:
        return "Mixed"
    if not kinds:
        return "No difference that matters" if _all_equal(mixes) else "Not detected"
    if len(claims) == len(mixes):
        return "Yes" if kinds == {HELPS} else "No, they hurt"
    return "In part" if kinds == {HELPS} else "They hurt in part"


def _found(mixes: Sequence[Result], claims: Sequence[Result], together: str = "") -> str:
    """Return what adding synthetic images did in how many of the comparisons."""
    n, helps = len(mixes), sum(row.kind == HELPS for row in claims)
    hurts = len(claims) - helps
    apart = sum(row.kind == NOT_SEPARABLE for row in mixes)
    if helps and hurts:
        text = f"raised accuracy in {helps} and lowered it in {hurts} of {n} comparisons"
    elif claims:
        text = f"{'raised' if helps else 'lowered'} accuracy in {_share(len(claims), n)}"
    elif _all_equal(mixes):
        text = f"changed accuracy by less than the margin in {_share(n, n)}"
    else:
        where = "the only comparison" if n == 1 else f"any of {n} comparisons"
        text = f"was not detected to change accuracy in {where}{_equal_and_detectable(mixes)}"
    text = f"{_subject(mixes)} {text}{together if claims else ''}"
    if claims and (others := n - len(claims) - apart):
        text += f"; in the other {others if others > 1 else 'one'} no difference was detected"
    if apart:
        text += f"; in {apart} it could not be told from training longer"
    return text


def _all_equal(mixes: Sequence[Result]) -> bool:
    """Return whether all comparisons are equivalent.

    That all of them are needs no correction, unlike that some are: it is wrong if one of them is.
    """
    return all(row.kind == "equivalent" for row in mixes)


def _equal_and_detectable(mixes: Sequence[Result]) -> str:
    equal = sum(row.kind == "equivalent" for row in mixes)
    sizes = sorted(row.detectable or 0 for row in mixes)
    ends = "–".join(dict.fromkeys(percent(size) for size in (sizes[0], sizes[-1])))
    words = f"; {ends} points could have been detected"
    if equal:
        words += f"; {equal} of them {'was' if equal == 1 else 'were'} equivalent within the margin"
    return words


def _alone(mixes: Sequence[Result]) -> str:
    several = len({family_of(row) for row in mixes}) > 1
    return "each family for itself," if several else "in its family alone,"


def _subject(mixes: Sequence[Result]) -> str:
    """Return what was added to how many real images."""
    numbers = sorted({row.n_train_real for row in mixes})
    real = "–".join(dict.fromkeys(count(n) for n in (numbers[0], numbers[-1])))
    return f"adding these synthetic images to {real} real ones"


def _share(k: int, n: int) -> str:
    """Return how people read k of n comparisons."""
    if n == 1:
        return "the only comparison"
    if k == n == 2:
        return "both comparisons"
    return f"all {n} comparisons" if k == n else f"{k} of {n} comparisons"
