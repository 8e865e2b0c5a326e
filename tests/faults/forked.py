"""Commands of xprobe in forked children, which load no library again: so thousands take minutes."""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

# A child that takes longer, or more memory, is a fault of its own.
TIMEOUT_S, MEMORY = 300.0, 8 * 2**30


@dataclass
class Ended:
    """How a command ended: exit status (negative: the signal), and what it printed."""

    code: int
    out: str
    err: str

    @property
    def is_told(self) -> bool:
        """Whether it ended with an error, or said anything but what it had to."""
        return self.code != 0 or "warning" in self.err or "error" in self.err

    @property
    def is_fault(self) -> bool:
        """Whether it ended in a way in which no command may end."""
        return self.code not in (0, 1, 2, 130) or "Traceback" in self.err


class Child:
    """A command in a process of its own."""

    def __init__(
        self, arguments: list[str], folder: Path, log: Path, prepare: Callable[[], None]
    ) -> None:
        """Start ``xprobe ARGUMENTS`` in a folder, after `prepare` was called in the child."""
        self._logs = [Path(f"{log}{suffix}") for suffix in (".out", ".err")]
        for file in self._logs:  # A child may be killed before it opens them.
            file.write_bytes(b"")
        self._start = time.monotonic()
        self.process = os.fork()
        if self.process == 0:
            self._be(arguments, folder, prepare)

    def _be(self, arguments: list[str], folder: Path, prepare: Callable[[], None]) -> None:
        """Run the command in the child, which never returns from here."""
        code = 70
        try:
            os.setpgid(0, 0)
            for number, file in enumerate(self._logs, start=1):
                os.dup2(os.open(file, os.O_WRONLY), number)
            os.chdir(folder)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            from xprobe.cli import app

            prepare()
            sys.argv = ["xprobe", *arguments]
            try:
                app.main()
                code = 0
            except SystemExit as end:
                code = int(end.code or 0)
            except BaseException:
                import traceback

                traceback.print_exc()
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)

    @property
    def has_ended(self) -> bool:
        """Whether it has ended; it may be waited for all the same."""
        how = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process, how) is not None

    def kill(self) -> None:
        """End it at once, with all that it has started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, signal.SIGKILL)

    def wait(self, timeout_s: float = TIMEOUT_S) -> Ended:
        """Wait until it has ended, or end it after a time."""
        while not self.has_ended:
            if time.monotonic() - self._start > timeout_s:
                self.kill()
            time.sleep(0.005)
        code = os.waitstatus_to_exitcode(os.waitpid(self.process, 0)[1])
        return Ended(code, *(file.read_text(errors="replace") for file in self._logs))


def run(arguments: list[str], folder: Path, prepare: Callable[[], None] = lambda: None) -> Ended:
    """Run ``xprobe ARGUMENTS`` in a folder to its end."""
    return Child(arguments, folder, folder / ".log", prepare).wait()


def load(folder: Path, *commands: list[str], libraries: Sequence[str] = ()) -> None:
    """Load what commands load when they run in a folder, so that children have it from the start.

    The parent itself runs none of them: a thread that one of them starts would not be in a child.
    `libraries` are slow ones among what they load: otherwise a child would load them, too.
    """
    for name in libraries:
        importlib.import_module(name)
    names = folder / ".modules"

    def tell() -> None:
        leave = os._exit

        def write_and_leave(code: int) -> None:
            names.write_text("\n".join(sys.modules))
            leave(code)

        os._exit = write_and_leave  # type: ignore[assignment]

    for command in commands:
        ended = run(command, folder, tell)
        assert ended.code == 0, ended
        for name in names.read_text().splitlines():
            with contextlib.suppress(Exception):
                importlib.import_module(name)


def make_data(folder: Path, real: int = 8, synthetic: int = 16, size_px: int = 16) -> None:
    """Write a study of noise: two classes, one generator."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for name in "ab":
        for part, n in (("real", real), ("synthetic/g", synthetic)):
            (folder / part / name).mkdir(parents=True)
            for i in range(n):
                pixels = rng.integers(0, 256, (size_px, size_px, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / part / name / f"{i:03}.png")
