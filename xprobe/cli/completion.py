"""What a shell offers when the tab key is pressed: names of encoders, heads, metrics and the like.

A shell waits for it, so nothing heavy is imported: the names of encoders in a store are read as
plain JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from xprobe.encoders.presets import ENCODERS

Completer = Callable[[typer.Context, str], list[str]]

STORE = Path("features")


def completer(names: Iterable[str]) -> Completer:
    """Return what completes one of some names, or the last one of a list with commas."""
    names = tuple(names)

    def complete(_context: typer.Context, incomplete: str) -> list[str]:
        return _completed(names, incomplete)

    return complete


def complete_stored(context: typer.Context, incomplete: str) -> list[str]:
    """Complete an encoder of the store that the command reads, or else one of xprobe's own."""
    folder = Path(context.params.get("features") or context.params.get("folder") or STORE)
    return _completed(_stored(folder) or ENCODERS, incomplete)


def _completed(names: Iterable[str], incomplete: str) -> list[str]:
    start, comma, last = incomplete.rpartition(",")
    used = start.split(",")
    return [f"{start}{comma}{name}" for name in names if name.startswith(last) and name not in used]


def _stored(store: Path) -> list[str]:
    """Return the names of the encoders in a store; a store that cannot be read has none."""
    names = []
    for file in sorted(store.glob("*/encoder.json")):
        try:
            record: Any = json.loads(file.read_bytes())
            names.append(str(record["name"]))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return list(dict.fromkeys(names))
