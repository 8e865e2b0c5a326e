"""The captions of an image: the cell of the column ``prompt``, one text or a JSON list of texts."""

from __future__ import annotations

import json
from collections.abc import Sequence


def captions_of(cell: str) -> list[str]:
    """Return the captions in a cell of the column ``prompt``: one text, or a JSON list of texts."""
    if cell.startswith("["):
        try:
            captions = json.loads(cell)
        except (ValueError, RecursionError):
            return [cell]
        if isinstance(captions, list) and all(isinstance(text, str) for text in captions):
            return [text for text in captions if text.strip()]
    return [cell] if cell.strip() else []


def cell_of(captions: Sequence[str]) -> str:
    """Return the cell that `captions_of` reads as these captions; ``""`` for none."""
    if len(captions) == 1 and captions_of(captions[0]) == list(captions):
        return captions[0]
    return json.dumps(list(captions), ensure_ascii=False) if captions else ""
