"""Results on disk: predictions by what decided them, and one document a study.

``predictions/<key>.npz`` holds the scores of one setting and repeat; ``studies/<key>.json`` holds
what `xprobe sweep` answered for one encoder and head, with everything needed to read it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xprobe.base.atomic import put
from xprobe.base.errors import XprobeError

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
