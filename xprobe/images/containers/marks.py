"""Marks of files, which change when a file does, so that nothing outdated is read from memory.

The disk is asked for a mark a hundred times a second at most: to ask it for every image would take
as long as to read one from a file of its own.
"""

from __future__ import annotations

import os
import time

# For so many seconds a file is taken to be what it was.
FRESH_S = 0.01

_MOST_MARKS = 1024

Mark = tuple[int, int, int, int]
"""Device and inode of a file, the time of its last change in nanoseconds, and its size in bytes."""

_marks: dict[str, tuple[float, Mark]] = {}


def mark_of(file: str) -> Mark:
    """Return the mark of a file; it differs after the file was changed or replaced.

    Raises:
        OSError: there is no such file.
    """
    now = time.monotonic()
    known = _marks.get(file)
    if known is None or now - known[0] >= FRESH_S:
        status = os.stat(file)  # noqa: PTH116  # It is a text.
        if len(_marks) >= _MOST_MARKS:
            _marks.clear()
        mark = status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
        known = _marks[file] = now, mark
    return known[1]
