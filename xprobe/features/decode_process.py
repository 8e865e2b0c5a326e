"""From contents to what encoders see of them: in the calling thread, or in a process beside it.

Threads that decode side by side wait for Python's lock: the more of them, the longer. On many
cores each has a process of its own for it, which a file that brings a decoder down does not take
the run with.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import IO, Any, cast

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError
from xprobe.encoders.base import Encoder, Pixels
from xprobe.encoders.spec import EncoderSpec
from xprobe.images.decode import UnusableImageError, decode

Seen = Pixels | UnusableImageError

Look = Callable[[bytes, Sequence[Encoder]], list[Seen]]

MOST_THREADS = 3  # that decode themselves; of more each has a process for it

_GONE = (EOFError, OSError, pickle.UnpicklingError)


class DecoderDiedError(Exception):
    """The process ended while it decoded a content; the message says how."""


def look(content: bytes, encoders: Sequence[Encoder]) -> list[Seen]:
    """Return what each encoder sees of a content, decoded once; or why it cannot be used."""
    image, seen = None, list[Seen]()
    for encoder in encoders:
        try:
            image = image or decode(content)
            seen.append(encoder.see(image))
        except UnusableImageError as error:
            seen.append(error)
    return seen


def can_see_elsewhere(encoder: Encoder) -> bool:
    """Return whether the spec alone says what an encoder sees, so that a process can tell."""
    kind = type(encoder)
    return kind.see is Encoder.see and kind.preprocess is Encoder.preprocess


class DecodeProcess:
    """`look` in another process, for one thread; it begins with the first content."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        """Take every encoder that will be asked for; `can_see_elsewhere` holds for each."""
        self._number = {id(encoder): i for i, encoder in enumerate(encoders)}
        self._specs = [encoder.spec for encoder in encoders]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DecodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._end(self._process)

    def __call__(self, content: bytes, encoders: Sequence[Encoder]) -> list[Seen]:
        """Return what `look` does.

        Raises:
            DecoderDiedError: the process ended over it; the next content finds a new one.
            XprobeError: none can be started.
        """
        process = self._process or self._begin()
        try:
            answer = _asked(process, ([self._number[id(each)] for each in encoders], content))
        except _GONE as error:
            raise DecoderDiedError(f"the decoder ended over it ({self._end(process)})") from error
        if isinstance(answer, BaseException):
            raise answer
        seen: list[Seen] = answer
        return seen

    def _begin(self) -> subprocess.Popen[bytes]:
        # One core each: for torch's resizing, and for the choice of decoders.
        own = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1",
               "LOKY_MAX_CPU_COUNT": "1"}  # fmt: skip
        process = self._process = subprocess.Popen(
            [sys.executable, "-c", "from xprobe.features.decode_process import serve; serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | own,
        )  # fmt: skip
        for pipe in (process.stdin, process.stdout):
            _widen(pipe)
        try:
            _asked(process, self._specs)
        except _GONE as error:
            raise XprobeError(
                f"a process that decodes images did not start ({self._end(process)}); "
                f"--workers {MOST_THREADS} needs none"
            ) from error
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> str:
        """Say how a process ended, which it does by itself when nothing more can come."""
        self._process = None
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not sent yet
                cast(IO[bytes], pipe).close()
        code = process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _asked(process: subprocess.Popen[bytes], message: object) -> Any:
    """Return the answer of a process."""
    requests, replies = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    pickle.dump(message, requests, pickle.HIGHEST_PROTOCOL)
    requests.flush()
    return pickle.load(replies)


def _widen(pipe: Any) -> None:
    """Let a pipe hold a whole image, where the system has a way to say so and room for it."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 18)


class _Eyes(Encoder):
    """What an encoder sees, without its network."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec

    def forward(self, pixels: Pixels) -> Floats:
        raise NotImplementedError


def serve() -> None:
    """Answer contents from the standard input until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when to end
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints is no reply
    requests: Any = sys.stdin.buffer
    with suppress(EOFError, BrokenPipeError):
        eyes = [_Eyes(spec) for spec in pickle.load(requests)]
        answer: list[Seen] | BaseException = []
        while True:
            pickle.dump(answer, replies, pickle.HIGHEST_PROTOCOL)
            replies.flush()
            which, content = pickle.load(requests)
            try:
                answer = look(content, [eyes[i] for i in which])
            except Exception as error:  # raised where it was asked for
                answer = error
