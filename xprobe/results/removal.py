"""Studies by their ids, and taking them out of a folder of results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xprobe.base.declared import split_names
from xprobe.base.documents import Document
from xprobe.base.errors import XprobeError, did_you_mean, first_few
from xprobe.results.hits import hits_file
from xprobe.results.predictions import predictions_file
from xprobe.results.study import Study, read_studies, study_file

_FEWEST_DIGITS = 4  # An id may be shortened to so many digits.


class Removed(Document, frozen=True, kw_only=True):
    """What of some studies was deleted.

    Attributes:
        studies: ids of the studies.
        files: paths that were deleted, those of predictions left out.
        predictions: number of predictions that were deleted.
        predictions_kept: number of predictions of the studies that are still there.
        why_kept: why these are kept; empty if there are none.
    """

    studies: tuple[str, ...]
    files: tuple[str, ...]
    predictions: int
    predictions_kept: int
    why_kept: str


def find_studies(studies: Sequence[Study], ids: Sequence[str], where: str) -> list[Study]:
    """Return the studies of these ids, which may be shortened, or names.

    Args:
        studies: all studies.
        ids: ids or names.
        where: where the studies lie, for messages.

    Raises:
        XprobeError: there is no study of an id, or there are several.
    """
    chosen = []
    for id_ in dict.fromkeys(ids):
        matches = [study for study in studies if id_ in (study.key, study.name)]
        if not matches and len(id_) >= _FEWEST_DIGITS:
            matches = [study for study in studies if study.key.startswith(id_)]
        if len(matches) != 1:
            known = [word for study in studies for word in (study.key, study.name) if word]
            many = f"several studies {id_!r}; give more of the id"
            none = f"no study {id_!r}{did_you_mean(id_, known, most=1)}"
            raise XprobeError(
                f"{where}: there {'are ' + many if matches else 'is ' + none}; 'xprobe studies' "
                f"lists them"
            )
        chosen += matches
    return list({study.key: study for study in chosen}.values())


def remove_studies(folder: Path, ids: Sequence[str], *, with_predictions: bool) -> Removed:
    """Delete studies, and if asked to the predictions that no other study uses.

    What is deleted, the same sweep makes again; without predictions it has to train anew.

    Args:
        folder: that of the results.
        ids: ids, which may be shortened, names, or lists of them with commas.
        with_predictions: whether to delete predictions, too.

    Raises:
        XprobeError: there is no study of an id; nothing is deleted then.
    """
    every = read_studies(folder)
    names = {study.name for study in every}
    studies = find_studies(every, split_names(ids, names.__contains__), str(folder))
    keys = {study.key for study in studies}
    others = [study for study in every if study.key not in keys]
    used = [run for study in studies for run in study.predictions]
    stored = {run for run in used if predictions_file(folder, run).is_file()}
    deleted, why = _deletable(stored, studies, others, with_predictions)
    files = [path(folder, study.key) for study in studies for path in (study_file, hits_file)]
    gone = [file for file in files if file.is_file()]
    for file in gone:
        file.unlink()
    for run in deleted:
        predictions_file(folder, run).unlink()
        for curve in (folder / "fine-tunes").glob(f"{run[:32]}-*"):
            curve.unlink()
    return Removed(
        studies=tuple(study.key for study in studies), files=tuple(map(str, gone)),
        predictions=len(deleted), predictions_kept=len(stored) - len(deleted), why_kept=why,
    )  # fmt: skip


def _deletable(
    stored: set[str], studies: Sequence[Study], others: Sequence[Study], is_asked: bool
) -> tuple[set[str], str]:
    """Return which predictions of studies may be deleted, and why the others may not."""
    if not is_asked:
        return set(), "--predictions deletes those that no other study uses"
    older = [study.key[:8] for study in (*studies, *others) if not study.predictions]
    if older:
        return set(), (
            f"which of them {first_few(older)} uses is not known, since an older xprobe made it; "
            f"its sweep, run again, trains nothing anew and says so"
        )
    shared = {run for study in others for run in study.predictions}
    return stored - shared, "other studies use them" if stored & shared else ""
