"""Files that are put whole or not at all, whoever is killed or writes beside."""

from __future__ import annotations

import os
import time
import uuid
from pathlib import Path

_STALE_S = 3600.0  # a temporary file lives for milliseconds; one this old was left by a kill


def put(file: Path, content: bytes) -> None:
    """Write a whole file: under its name there is the old content or all of the new."""
    temporary = _write_temporary(file, content)
    try:
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def create_if_absent(file: Path, content: bytes) -> bool:
    """Write a whole file unless there is one; return whether this call made it."""
    temporary = _write_temporary(file, content)
    try:
        os.link(temporary, file)
    except FileExistsError:
        return False
    except OSError:  # no hard links here (exFAT, some mounts): the last writer wins
        if file.exists():
            return False
        temporary.replace(file)
        return True
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _write_temporary(file: Path, content: bytes) -> Path:
    temporary = file.with_name(f".tmp-{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(file)
        raise
    return temporary


def discard_stale(folder: Path, age_s: float = _STALE_S) -> None:
    """Delete temporary files of that age: what a process that was killed has left."""
    for file in folder.glob(".tmp-*"):
        try:
            if time.time() - file.stat().st_mtime > age_s:
                file.unlink()
        except OSError:  # another process was faster
            continue
