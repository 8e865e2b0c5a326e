"""Results on disk: predictions by what decided them, and one document a study.

``predictions/<key>.npz`` holds the scores of one setting and repeat; ``studies/<key>.json`` holds
what `xprobe sweep` answered for one encoder and head, with everything needed to read it.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from xprobe import __version__
from xprobe.atomic import put
from xprobe.errors import XprobeError, nearest, some
from xprobe.types import Predictions, Result
from xprobe.verdict import holm

STUDY_VERSION = 1
DISTANCE_VERSION = 1
DISTANCE_COLUMNS = (
    "encoder", "generator", "class", "metric", "value", "ci_low", "ci_high", "floor", "p", "n",
    "n_real", "n_synthetic", "value_with_leaks", "reason",
)  # fmt: skip
# What the rows of each list of a distance document hold: texts, numbers, and numbers or none.
_DISTANCE_ROWS: dict[str, tuple[tuple[str, ...], ...]] = {
    "distances": (
        ("encoder", "generator", "metric"),
        ("n", "n_real", "n_synthetic"),
        ("value", "ci_low", "ci_high", "floor", "p", "value_with_leaks"),
    ),
    "leaks": (("path", "neighbour_path", "kind"), ("similarity",), ()),
    "shortcuts": (("generator", "property", "verdict"), (), ("auc", "low", "high")),
}
_COLUMNS = tuple(each.name for each in fields(Result))
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "torch", "open_clip_torch", "Pillow", "h5py")


def predictions_file(folder: Path, run: str) -> Path:
    """Return where the predictions of a run lie."""
    return folder / "predictions" / run[:2] / f"{run}.npz"


def save_predictions(folder: Path, predictions: Predictions, about: dict[str, Any]) -> None:
    """Put the predictions of a run whole; `about` is kept beside them as JSON."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        id=predictions.id.astype(str),
        label=predictions.label.astype(np.int32),
        score=predictions.score.astype(np.float32),
        fold=predictions.fold.astype(np.int32),
        about=np.array(json.dumps(about)),
    )
    file = predictions_file(folder, predictions.run)
    file.parent.mkdir(parents=True, exist_ok=True)
    put(file, buffer.getvalue())


def load_predictions(folder: Path, run: str) -> tuple[Predictions, dict[str, Any]] | None:
    """Return the predictions of a run and what was kept beside them, or None if there are none."""
    file = predictions_file(folder, run)
    try:
        with np.load(file, allow_pickle=False) as data:
            about = json.loads(str(data["about"]))
            columns = {name: data[name] for name in ("id", "label", "score", "fold")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise XprobeError(f"{file}: damaged; delete it and run 'xprobe sweep' again") from error
    columns["id"] = columns["id"].astype(object)
    return Predictions(run, **columns), about


def fine_tune_file(folder: Path, run: str, fold: int) -> Path:
    """Return where a fine-tune keeps its files, without their suffix."""
    return folder / "fine-tunes" / f"{run[:32]}-{fold}"


def forget_fine_tunes(folder: Path, run: str) -> None:
    """Delete what was kept of a run's fine-tunes but their curves: its predictions are saved."""
    for file in (folder / "fine-tunes").glob(f"{run[:32]}-*"):
        if file.suffix in (".npz", ".pt"):
            file.unlink(missing_ok=True)


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


def distance_file(folder: Path) -> Path:
    """Return where the answer of `xprobe distance` lies."""
    return folder / "distance.json"


def save_distance(folder: Path, document: Mapping[str, Any]) -> None:
    """Put the answer of `xprobe distance` whole."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False)
    put(distance_file(folder), f"{text}\n".encode())


def load_distance(folder: Path) -> dict[str, Any] | None:
    """Return what `save_distance` put into a folder, or None if there is nothing.

    Raises:
        XprobeError: it is damaged, or of a newer format.
    """
    file = distance_file(folder)
    try:
        document: dict[str, Any] = json.loads(file.read_bytes(), parse_constant=_refuse)
        if document["version"] > DISTANCE_VERSION:
            raise XprobeError(f"{file}: written by a newer xprobe; upgrade this one")
        _check_distance(document)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise XprobeError(f"{file}: damaged; delete it and run 'xprobe distance' again") from error
    blank = dict.fromkeys(DISTANCE_COLUMNS)  # an older xprobe may lack some
    document["distances"] = [blank | row for row in document["distances"]]
    return document


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _check_distance(document: dict[str, Any]) -> None:
    """Raise an error of Python's unless a document holds what a report shows of it."""
    for name, (texts, numbers, open_numbers) in _DISTANCE_ROWS.items():
        for row in document[name]:
            sound = all(isinstance(row[text], str) for text in texts)
            sound &= all(isinstance(row.get(text), str | None) for text in ("class", "reason"))
            sound &= all(_is_number(row[number]) for number in numbers)
            sound &= all(row.get(n) is None or _is_number(row[n]) for n in open_numbers)
            if not sound:
                raise TypeError(f"{name}: {row}")
    words = [document["fingerprint"], document["created"], document["command"]]
    words += document["warnings"]
    if found := document["leak_threshold"]:
        words.append(found["reason"] if _is_number(found["similarity"]) else None)
    if not all(isinstance(word, str) for word in words):
        raise TypeError("fingerprint, threshold or warnings")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


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


def provenance() -> dict[str, Any]:
    """Return versions of what computed a result; `commit` if xprobe runs from a git checkout."""
    versions = {"xprobe": __version__, "python": platform.python_version()}
    versions |= {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return {"versions": versions, "commit": _commit(), "platform": platform.platform()}


def _commit() -> str | None:
    here = Path(__file__).parent
    if not (here.parent / ".git").exists():
        return None
    command = ["git", "-C", str(here), "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
