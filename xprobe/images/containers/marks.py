"""Marks of files by which a changed one is known, asked of the disk a hundred times a second.

To ask for every image would take as long as to read one from a file of its own.
"""

from __future__ import annotations

import os
import time

# For so many seconds a file is taken to be what it was.
FRESH_S = 0.01

_MOST_MARKS = 1024

_marks: dict[str, tuple[float, int, int]] = {}


def mark_of(file: str) -> tuple[int, int]:
    """Return the time, in nanoseconds, and the size, in bytes, of a file.

    Raises:
        OSError: there is no such file.
    """
    now = time.monotonic()
    known = _marks.get(file)
    if known is None or now - known[0] >= FRESH_S:
        status = os.stat(file)  # noqa: PTH116  # It is a text.
        if len(_marks) >= _MOST_MARKS:
            _marks.clear()
        known = _marks[file] = now, status.st_mtime_ns, status.st_size
    return known[1], known[2]
