"""Files that are written whole or not at all, even by processes that are killed or collide."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

# A temporary file lives for milliseconds; one this old was left by a process that was killed.
_STALE_S = 3600.0


def put(file: Path, content: bytes) -> None:
    """Write a file at once: its name leads to all of the old content or all of the new."""
    put_by(file, lambda stream: stream.write(content))


def put_by(file: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file, as `put` does, whose content need not be in memory as a whole.

    Args:
        file: its name leads to the old content until all of the new is written.
        write: writes the content to a stream, part by part.
    """
    temporary = _write_temporary(file, write)
    try:
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def create_if_absent(file: Path, content: bytes) -> bool:
    """Write a file at once unless it exists; return whether this call created it."""
    temporary = _write_temporary(file, lambda stream: stream.write(content))
    try:
        os.link(temporary, file)
    except FileExistsError:
        return False
    except OSError:  # Where there are no hard links (exFAT, some mounts), the last writer wins.
        if file.exists():
            return False
        temporary.replace(file)
        return True
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _write_temporary(file: Path, write: Callable[[BinaryIO], object]) -> Path:
    temporary = file.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as stream:
            write(stream)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(file)
        raise
    return temporary


def discard_stale(folder: Path, age_s: float = _STALE_S) -> None:
    """Delete temporary files older than `age_s`, which processes left that were killed."""
    for file in folder.glob(".tmp-*"):
        try:
            if time.time() - file.stat().st_mtime > age_s:
                file.unlink()
        except OSError:  # Another process has deleted the file.
            continue
