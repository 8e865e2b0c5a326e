"""Checkpoints of fine-tunes: they are written whole, and another job's is refused."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from xprobe.base.errors import XprobeError


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, so that a kill leaves either the old one or the new one.

    Raises:
        XprobeError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        torch.save(state, temporary)
        temporary.replace(path)
    except OSError as error:
        raise XprobeError(f"{path}: {error.strerror or error}; make space and run again") from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def load_checkpoint(path: Path, key: str, device: str) -> dict[str, Any] | None:
    """Return the state of a checkpoint, or None if there is none.

    Raises:
        XprobeError: it is damaged, or of other settings.
    """
    if not path.is_file():
        return None
    try:
        state: dict[str, Any] = dict(torch.load(path, map_location=device, weights_only=True))
    except Exception as error:  # Pickle and zip raise anything on damaged input.
        raise XprobeError(f"{path}: damaged; delete it and run 'xprobe sweep' again") from error
    if state.get("key") != key:
        raise XprobeError(
            f"{path}: a checkpoint of other settings; delete it, or name another --out"
        )
    return state
