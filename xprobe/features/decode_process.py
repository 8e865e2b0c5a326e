"""Contents decoded to what encoders see, in the calling thread or in a process beside it.

Threads that decode side by side wait for Python's lock, the longer the more threads there are. On
many cores each thread therefore has a process that decodes for it. A file that crashes the decoder
then ends this process, and not the run.
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
"""What an encoder sees of a content: its pixels, or the reason why the content is unusable."""

Look = Callable[[bytes, Sequence[Encoder]], list[Seen]]
"""`look`, in this process or in another."""

# Up to this many threads decode themselves; with more, each has a process that decodes for it.
MOST_THREADS = 3

# Talking to a process that has ended raises one of these errors.
_ENDED = (EOFError, OSError, pickle.UnpicklingError)


class DecoderDiedError(Exception):
    """The process ended while it decoded a content; the message says how."""


def look(content: bytes, encoders: Sequence[Encoder]) -> list[Seen]:
    """Return what each encoder sees of a content, which is decoded once."""
    image, seen = None, list[Seen]()
    for encoder in encoders:
        try:
            image = image or decode(content)
            seen.append(encoder.see(image))
        except UnusableImageError as error:
            seen.append(error)
    return seen


def can_see_elsewhere(encoder: Encoder) -> bool:
    """Return whether the spec alone decides what an encoder sees, so that any process can do it."""
    kind = type(encoder)
    return kind.see is Encoder.see and kind.preprocess is Encoder.preprocess


class DecodeProcess:
    """A function that does `look` in another process; the process starts with the first content.

    One thread alone may call it.
    """

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        """Take every encoder that will be asked for; `can_see_elsewhere` must hold for all."""
        self._number = {id(encoder): i for i, encoder in enumerate(encoders)}
        self._specs = [encoder.spec for encoder in encoders]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DecodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._end(self._process)

    def __call__(self, content: bytes, encoders: Sequence[Encoder]) -> list[Seen]:
        """Return what `look` returns.

        Raises:
            DecoderDiedError: the process ended over this content; the next one gets a new process.
            XprobeError: no process can be started.
        """
        process = self._process or self._begin()
        try:
            answer = _answer_of(
                process, ([self._number[id(encoder)] for encoder in encoders], content)
            )
        except _ENDED as error:
            raise DecoderDiedError(f"the decoder ended over it ({self._end(process)})") from error
        if isinstance(answer, BaseException):
            raise answer
        seen: list[Seen] = answer
        return seen

    def _begin(self) -> subprocess.Popen[bytes]:
        # Each process has one core, which torch's resizing and the choice of decoders must know.
        settings = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1",
               "LOKY_MAX_CPU_COUNT": "1"}  # fmt: skip
        process = self._process = subprocess.Popen(
            [sys.executable, "-c", "from xprobe.features.decode_process import serve; serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | settings,
        )  # fmt: skip
        for pipe in (process.stdin, process.stdout):
            _widen(pipe)
        try:
            _answer_of(process, self._specs)
        except _ENDED as error:
            raise XprobeError(
                f"a process that decodes images did not start ({self._end(process)}); "
                f"--workers {MOST_THREADS} needs none"
            ) from error
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> str:
        """Close the pipes of a process, upon which it ends, and return how it ended."""
        self._process = None
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # The rest of a message cannot be sent any more.
                cast(IO[bytes], pipe).close()
        code = process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _answer_of(process: subprocess.Popen[bytes], message: object) -> Any:
    """Return what a process answers to a message."""
    requests, replies = cast(IO[bytes], process.stdin), cast(IO[bytes], process.stdout)
    pickle.dump(message, requests, pickle.HIGHEST_PROTOCOL)
    requests.flush()
    return pickle.load(replies)


def _widen(pipe: Any) -> None:
    """Let a pipe hold a whole image, where the system allows it."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 18)


class _Preprocessor(Encoder):
    """An encoder without its network, which only preprocesses images."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec

    def forward(self, pixels: Pixels) -> Floats:
        raise NotImplementedError


def serve() -> None:
    """Answer contents from the standard input until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides when this process ends.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What libraries print must not end up among the replies.
    requests: Any = sys.stdin.buffer
    with suppress(EOFError, BrokenPipeError):
        preprocessors = [_Preprocessor(spec) for spec in pickle.load(requests)]
        answer: list[Seen] | BaseException = []
        while True:
            pickle.dump(answer, replies, pickle.HIGHEST_PROTOCOL)
            replies.flush()
            numbers, content = pickle.load(requests)
            try:
                answer = look(content, [preprocessors[i] for i in numbers])
            except Exception as error:  # The parent raises it.
                answer = error
