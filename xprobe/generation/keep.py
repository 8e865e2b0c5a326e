"""Images that were paid for are kept: whole, as they were received, and even on a full disk."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from xprobe.base import atomic
from xprobe.base.errors import XprobeError

# Where a disk is full, writing is tried again after so many seconds.
PATIENCE_S = (0.5, 2.0, 8.0)


class ElsewhereError(XprobeError):
    """An image that was paid for was written to another folder, as its own has no room.

    The message names the file and how to move it back.

    Attributes:
        file: where it is.
    """

    def __init__(self, words: str, file: Path) -> None:
        super().__init__(words)
        self.file = file


def keep(file: Path, content: bytes, wait: Callable[[float], object]) -> None:
    """Write an image that was paid for; its name leads to all of it or to nothing.

    Args:
        file: its place.
        content: what was received.
        wait: waits so many seconds.

    Raises:
        ElsewhereError: it cannot be written there even at the fourth try, and lies in the system's
            folder for temporary files.
        OSError: it can be written nowhere.
    """
    for pause in (*PATIENCE_S, None):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            atomic.put(file, content)
            return
        except OSError as error:
            reason = error
            if pause is not None:
                wait(pause)
    refuge = Path(tempfile.gettempdir()) / file.name
    atomic.put(refuge, content)
    raise ElsewhereError(
        f"{file}: {(reason.strerror or str(reason)).lower()}; the image, which may be paid for, is "
        f"in {refuge}: free some space, run 'mv {refuge} {file}' and then the command again",
        refuge,
    ) from reason
