"""What a shell offers when the tab key is pressed: names of encoders, heads, metrics and the like.

A shell waits for it, so nothing heavy is imported: stores, results and tables of images are read as
plain text, and what cannot be read offers nothing.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import typer

from xprobe.encoders.names import short_name
from xprobe.encoders.presets import ENCODERS
from xprobe.images.config import DEFAULT_DATA

Completer = Callable[[typer.Context, str], list[str]]

STORE, RESULTS = Path("features"), Path("results")

MOST_ROWS = 50_000
"""Generators are looked for in so many rows of a table, the first ones."""


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


def complete_tested(context: typer.Context, incomplete: str) -> list[str]:
    """Complete an encoder of the results that the command reads."""
    encoders = (study["encoder"] for study in _studies(context))
    return _completed((e.get("alias") or short_name(e["name"]) for e in encoders), incomplete)


def complete_mixed(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a generator of the results that the command reads."""
    names = (name for study in _studies(context) for name in study["generators"])
    return _completed(names, incomplete)


def complete_generator(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a generator of the images that the command reads."""
    named = [
        text.partition("=")[0] for text in context.params.get("synthetic") or () if "=" in text
    ]
    # An option that still lacks its value keeps what stands before it from being taken for DATA.
    data = context.params.get("data") or context.args or DEFAULT_DATA
    places = data if isinstance(data, list | tuple) else [data]
    names = (name for place in places for name in _generators(Path(place)))
    return _completed([*named, *names], incomplete)


def _completed(names: Iterable[str], incomplete: str) -> list[str]:
    start, comma, last = incomplete.rpartition(",")
    used = start.split(",")
    return [
        f"{start}{comma}{name}"
        for name in dict.fromkeys(names)
        if name.startswith(last) and name not in used
    ]


def _stored(store: Path) -> list[str]:
    """Return the names of the encoders in a store; a store that cannot be read has none."""
    return [str(record["name"]) for record in _records(store.glob("*/encoder.json"), "name")]


def _studies(context: typer.Context) -> Iterator[Any]:
    """Yield the studies of the results that a command reads."""
    for folder in context.params.get("results") or [RESULTS]:
        yield from _records(Path(folder).glob("studies/*.json"), "encoder", "generators")


def _records(files: Iterable[Path], *keys: str) -> Iterator[Any]:
    """Yield the objects of files of JSON that have these keys."""
    for file in sorted(files):
        try:
            record: Any = json.loads(file.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(record, dict) and all(key in record for key in keys):
            yield record


def _generators(data: Path) -> list[str]:
    """Return the generators of a folder of images by its folders' names, or of a table in CSV."""
    if data.is_dir():
        classes = {folder.name for depth in ("*", "*/*") for folder in data.glob(f"real/{depth}")}
        inside = (data / "synthetic").glob("*/")
        return sorted(folder.name for folder in inside if folder.name not in classes)
    try:
        with data.open(encoding="utf-8-sig", newline="") as stream:
            rows = islice(csv.DictReader(stream), MOST_ROWS)
            return sorted({row.get("generator") or "" for row in rows} - {""})
    except (OSError, ValueError, csv.Error):
        return []
