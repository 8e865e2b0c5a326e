"""The table of generated images, ``manifest.csv``: made from the ledger, and from nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path

from xprobe.generation.ledger import Ended, Ledger, Sent
from xprobe.images.manifest import DESCRIBED, Manifest
from xprobe.images.sources.rewrite import rewrite_table
from xprobe.images.sources.table import write_table

FILE = "manifest.csv"

TO_DO, DONE, UNUSABLE = "to-do", "done", "unusable"
"""Folders beside those of the classes: sources to be taken to a web page, images that come back,
and answers that are no images but may have been paid for."""

_MOST_CHARACTERS = 60  # of a folder's name, which has up to 255 bytes


def folder_of(label: str) -> str:
    """Return the name of the folder of a class; the class itself stands in the table.

    It is no name that anything else in the folder of the images has: files have names with a dot.
    """
    name = re.sub(r"[^\w-]+", "_", label)[:_MOST_CHARACTERS] or "_"
    return f"{name}_" if name.lower() in (TO_DO, DONE, UNUSABLE) else name


def write_images(folder: Path, ledger: Ledger, *, checks: bool = False) -> None:
    """Write the table of the images that a ledger says are kept, and that are in the folder.

    Its rows stand in the order in which the images were asked for. Without images there is none.

    Args:
        folder: folder of the images.
        ledger: its ledger.
        checks: whether a table that says otherwise, as after it was corrected by hand, is an error.

    Raises:
        XprobeError: the table that is there says otherwise.
    """
    rows = [
        (sent, ended)
        for key, sent in list(ledger.sent.items())  # Other threads add to it.
        if (ended := ledger.ended.get(key)) is not None
        and ended.state == "kept"
        and (folder / ended.file).is_file()
    ]
    if not rows and not (folder / FILE).exists():
        return
    columns = {name: [""] * len(rows) for name in Manifest.columns()}
    columns["id"] = [sent.key for sent, _ in rows]
    columns["path"] = [str(folder / ended.file) for _, ended in rows]
    columns["source"], columns["split"] = ["synthetic"] * len(rows), ["train"] * len(rows)
    for name in ("label", "parent", "generator", "prompt"):
        columns[name] = [getattr(sent, name) for sent, _ in rows]
    further: dict[str, list[str]] = {}
    for row in rows:
        for name, cell in _cells(*row).items():
            further.setdefault(name, []).append(cell)
    manifest = Manifest(**columns, further=further)  # type: ignore[arg-type]  # It freezes them.
    if checks:
        rewrite_table(manifest, folder / FILE, facts=("date", *DESCRIBED))
    else:
        write_table(manifest, folder / FILE)


def _cells(sent: Sent, ended: Ended) -> dict[str, str]:
    """Return what the table says of an image beyond the columns of `Manifest`: column → text."""
    seed, cost = ended.seed, ended.cost
    return {
        "event": sent.event,
        "licence": sent.licence,
        "control": sent.control,
        "date": ended.time,
        "provider": sent.provider,
        "model": sent.model,
        "parameters": json.dumps(sent.parameters, sort_keys=True, ensure_ascii=False),
        "seed": "" if seed is None else str(seed),
        "size": f"{ended.width}x{ended.height}",
        "cost": "" if cost is None else f"{cost:.6g}",
        "request_id": ended.request_id,
        "watermark": sent.watermark,
        "terms": sent.terms,
    }
