"""A lock that holds on network file systems, and after a kill: a file that its holder renews.

Locks of the operating system do neither everywhere. Nobody compares clocks: a lock is stale if its
content has stayed the same for as long as the one who waits has measured himself, or if its holder
was a process of this machine that is gone.
"""

from __future__ import annotations

import os
import platform
import threading
import time
import uuid
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from xprobe.base.atomic import create_if_absent, put
from xprobe.base.errors import XprobeError, XprobeWarning

# A lock is renewed every `BEAT_S`; others look at it every `LOOK_S`, and take over one that was not
# renewed for `STALE_S`.
BEAT_S, LOOK_S, STALE_S = 3.0, 1.0, 30.0


class Lock:
    """A file that one process at a time holds; others wait for it (``with Lock(file) as lock:``).

    A process that was stopped for so long that another one took the lock over learns it by `check`.
    What the lock guards must therefore be harmless where two do it at once; the lock makes it rare.
    """

    def __init__(self, file: Path, wait: Callable[[float], None] = time.sleep) -> None:
        """Take the file, in a folder that exists, and what waits so many seconds."""
        self.file, self._wait = file, wait
        self._token = uuid.uuid4().hex
        self._beats = 0
        self._is_lost = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._renew, daemon=True)

    def __enter__(self) -> Lock:
        self._acquire()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        if self._is_held():
            self.file.unlink(missing_ok=True)

    def check(self) -> None:
        """Raise XprobeError if another process has taken the lock over."""
        if self._is_lost or not self._is_held():
            raise XprobeError(
                f"{self.file}: another process took over while this one stood still; nothing is "
                f"lost, run the command again"
            )

    def _acquire(self) -> None:
        seen: bytes | None = None
        unchanged_s = 0.0
        while not create_if_absent(self.file, self._content()):
            content = self._read()
            is_left = _is_left(content)
            if seen is None and not is_left:
                warnings.warn(
                    f"{self.file}: waiting for {_holder(content)}", XprobeWarning, stacklevel=4
                )
            if content != seen and not is_left:
                seen, unchanged_s = content, 0.0
            elif is_left or unchanged_s >= STALE_S:
                put(self.file, self._content())
                self._wait(BEAT_S)  # Of several who take over, the last one has it.
                if self._is_held():
                    return
                seen, unchanged_s = self._read(), 0.0
            self._wait(LOOK_S)
            unchanged_s += LOOK_S

    def _renew(self) -> None:
        while not self._ended.wait(BEAT_S):
            if not self._is_held():
                self._is_lost = True
                return
            self._beats += 1
            with suppress(OSError):  # The disk may be full; the next beat may succeed.
                put(self.file, self._content())

    def _content(self) -> bytes:
        holder = f"process {os.getpid()} on {platform.node()}"
        lines = (holder, self._token, self._beats, f"{_machine()} {os.getpid()}")
        return "".join(f"{line}\n" for line in lines).encode(errors="replace")

    def _read(self) -> bytes:
        try:
            return self.file.read_bytes()
        except OSError:  # It was released, or is away for a moment.
            return b""

    def _is_held(self) -> bool:
        return self._token.encode() in self._read().split(b"\n")


@cache
def _machine() -> str:
    """Return what only processes have in common that see each other's numbers; else nothing.

    Linux says which start of the machine this is, and which space of process numbers.
    """
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{start} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _is_left(content: bytes) -> bool:
    """Return whether the holder of a lock of this content was of this machine, and is gone."""
    last = content.decode(errors="replace").splitlines()[-1:]
    machine, _, number = "".join(last).rpartition(" ")
    if not machine or machine != _machine() or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)  # This asks whether the process is there, and does nothing to it.
    except ProcessLookupError:
        return True
    except OSError:  # It is there, and of another user.
        return False
    return False


def _holder(content: bytes) -> str:
    """Return in words who holds a lock of this content."""
    name = content.decode(errors="replace").partition("\n")[0]
    return name if name and name.isprintable() else "another process"
