"""Contents read, hashed and decoded to what encoders see, in the calling thread or beside it.

Threads that decode side by side wait for Python's lock, the longer the more threads there are. On
many cores each thread therefore has a process that does all this for it, for a chunk of images at a
time, and whose pixels are read from a pipe straight into the batches. A file that crashes the
decoder then ends this process, and not the run.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import IO, Any, NamedTuple, cast

import numpy as np

from xprobe.base.arrays import Floats
from xprobe.base.errors import XprobeError
from xprobe.encoders.base import Encoder, Pixels
from xprobe.encoders.spec import EncoderSpec
from xprobe.images import contents
from xprobe.images.augment import augmented
from xprobe.images.decode import UnusableImageError, decode

# Up to this many threads decode themselves; with more, each has a process that decodes for it.
MOST_THREADS = 3

# Contents of so many MiB are kept between `digests` and `see`, which reads others again.
KEPT_MIB = 32

CHANGED = "changed while it was being embedded; run again"
"""Why a content that is no longer what its digest says is left out."""

# Talking to a process that has ended raises one of these errors.
_ENDED = (EOFError, OSError, pickle.UnpicklingError)

Place = tuple[str, contents.Span | None]
"""Where a content lies: the arguments of `contents.read`."""

Names = list[tuple[str, str]]
"""Digest and augmentation of some views of a content; ``""``: the image itself."""

Fill = Callable[[Pixels], object]
"""A function that writes the pixels of a view into memory (height, width, 3)."""

Add = Callable[[int, str, Fill], object]
"""A function that adds a view to a batch: number of the encoder, digest, what writes its pixels."""


class Request(NamedTuple):
    """A content to be seen: its place, its digest, and the views by number of the encoder."""

    place: Place
    digest: str
    views: list[tuple[int, Names]]


@dataclass(frozen=True)
class Failure:
    """Why a content is not seen; `lasts` if the content is to blame, and not its file or a process.

    A content that failed for good need not be tried another time.
    """

    reason: str
    lasts: bool = False


class DecoderDiedError(Exception):
    """The process ended while it worked on a content; the message says how."""


class Eyes:
    """Reads, hashes and decodes contents in the calling thread."""

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        """Take the encoders that see the contents; a request names them by their number."""
        self._encoders = encoders
        self._kept: dict[str, bytes] = {}

    def digests(self, places: Sequence[Place]) -> list[str | Failure]:
        """Return the SHA-256 digest of each content, or why it cannot be read."""
        self._kept, kept = {}, 0
        digests: list[str | Failure] = []
        for content in map(_read, places):
            if isinstance(content, Failure):
                digests.append(content)
                continue
            digests.append(digest := hashlib.sha256(content).hexdigest())
            if kept + len(content) <= KEPT_MIB * 2**20 or not kept:
                self._kept[digest] = content
                kept += len(content)
        return digests

    def see(self, requests: Sequence[Request], add: Add) -> Iterator[list[Failure | None]]:
        """Add the views of each content to the batches of the encoders that lack them.

        Yields, for each content, why each of its encoders cannot see it, or None if it does.
        """
        for request in requests:
            outcomes = self.look(request)
            for (number, names), seen in zip(request.views, outcomes, strict=True):
                if not isinstance(seen, Failure):
                    for (name, _), pixels in zip(names, seen, strict=True):
                        add(number, name, partial(np.copyto, src=pixels, casting="no"))
            yield [seen if isinstance(seen, Failure) else None for seen in outcomes]

    def look(self, request: Request) -> list[list[Pixels] | Failure]:
        """Return the pixels of the views for each encoder; the content is decoded once."""
        content: bytes | Failure | None = self._kept.pop(request.digest, None)
        if content is None:
            content = _read(request.place)
            if isinstance(content, bytes) and hashlib.sha256(content).hexdigest() != request.digest:
                content = Failure(CHANGED)
        if isinstance(content, Failure):
            return [content] * len(request.views)
        image = None
        outcomes = list[list[Pixels] | Failure]()
        for number, names in request.views:
            try:
                image = image or decode(content)
                pixels = self._encoders[number].see(image)
                outcomes.append([_view(pixels, *name) for name in names])
            except UnusableImageError as error:
                outcomes.append(Failure(str(error), lasts=not error.passing))
            except MemoryError:
                outcomes.append(Failure("not enough memory"))
        return outcomes


def _read(place: Place) -> bytes | Failure:
    try:
        return contents.read(*place)
    except OSError as error:
        return Failure((error.strerror or str(error)).lower())


def _view(pixels: Pixels, name: str, augmentation: str) -> Pixels:
    """Return a view of an image; its digest is the seed of what is random in it."""
    return augmented(pixels, augmentation, seed=int(name[:12], 16)) if augmentation else pixels


def can_see_elsewhere(encoder: Encoder) -> bool:
    """Return whether the spec alone decides what an encoder sees, so that any process can do it."""
    kind = type(encoder)
    return kind.see is Encoder.see and kind.preprocess is Encoder.preprocess


class DecodeProcess:
    """Does what `Eyes` does in another process, which starts when it is first asked.

    One thread alone may use it.
    """

    def __init__(self, encoders: Sequence[Encoder]) -> None:
        """Take the encoders as `Eyes` does; `can_see_elsewhere` must hold for all."""
        self._specs = [encoder.spec for encoder in encoders]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> DecodeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._end(self._process)

    def digests(self, places: Sequence[Place]) -> list[str | Failure]:
        """Return what `Eyes.digests` returns.

        Raises:
            XprobeError: no process can be started.
        """
        process = self._process or self._begin()
        try:
            _send(process, (_DIGESTS, places))
            return cast("list[str | Failure]", self._answer(process))
        except DecoderDiedError as error:
            if len(places) == 1:
                return [Failure(str(error))]
        # Only one content was too much for the process, and the others must not suffer for it.
        return [digest for place in places for digest in self.digests([place])]

    def see(self, requests: Sequence[Request], add: Add) -> Iterator[list[Failure | None]]:
        """Do what `Eyes.see` does; a content over which the process ends has failed for now.

        Raises:
            XprobeError: no process can be started.
        """
        waiting = deque(requests)
        while waiting:
            process = self._process or self._begin()
            _send(process, (_SEE, list(waiting)))
            while waiting and self._process is process:
                yield self._outcomes(process, waiting.popleft(), add)

    def _outcomes(
        self, process: subprocess.Popen[bytes], request: Request, add: Add
    ) -> list[Failure | None]:
        """Take the process's reply to one request: what failed, then the pixels of what did not."""
        outcomes: list[Failure | None] = []
        try:
            failures = self._answer(process)
            for (number, names), failure in zip(request.views, failures, strict=True):
                if failure is None:
                    for name, _ in names:
                        add(number, name, partial(self._receive, process))
                outcomes.append(failure)
        except DecoderDiedError as error:
            outcomes += [Failure(str(error))] * (len(request.views) - len(outcomes))
        return outcomes

    def _answer(self, process: subprocess.Popen[bytes]) -> Any:
        """Return the next message of a process, or raise the error that it met."""
        try:
            answer = pickle.load(cast(IO[bytes], process.stdout))
        except _ENDED as error:
            raise self._death(process) from error
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _receive(self, process: subprocess.Popen[bytes], memory: Pixels) -> None:
        """Read pixels from a process straight into memory; meanwhile other threads go on."""
        if cast(Any, process.stdout).readinto(memory) < memory.nbytes:
            raise self._death(process)

    def _death(self, process: subprocess.Popen[bytes]) -> DecoderDiedError:
        return DecoderDiedError(f"the decoder ended over it ({self._end(process)})")

    def _begin(self) -> subprocess.Popen[bytes]:
        # Each process has one core, which torch's resizing and the choice of decoders must know.
        settings = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1",
               "LOKY_MAX_CPU_COUNT": "1"}  # fmt: skip
        process = self._process = subprocess.Popen(
            [sys.executable, "-c", "from xprobe.features.decode_process import serve; serve()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | settings,
        )  # fmt: skip
        _widen(process.stdout)
        _send(process, self._specs)
        try:
            self._answer(process)
        except DecoderDiedError as error:
            raise XprobeError(
                f"a process that decodes images did not start ({_end_of(process)}); "
                f"--workers {MOST_THREADS} needs none"
            ) from error
        return process

    def _end(self, process: subprocess.Popen[bytes]) -> str:
        """Close the pipes of a process, upon which it ends, and return how it ended."""
        self._process = None
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # The rest of a message cannot be sent any more.
                cast(IO[bytes], pipe).close()
        process.wait()
        return _end_of(process)


def _end_of(process: subprocess.Popen[bytes]) -> str:
    """Return in words how an ended process ended."""
    code = process.returncode
    return signal.Signals(-code).name if code < 0 else f"exit {code}"


def _send(process: subprocess.Popen[bytes], message: object) -> None:
    """Send a message to a process; that it has ended shows when it does not answer."""
    requests = cast(IO[bytes], process.stdin)
    with suppress(OSError):
        pickle.dump(message, requests, pickle.HIGHEST_PROTOCOL)
        requests.flush()


def _widen(pipe: Any) -> None:
    """Let a pipe hold a few images, where the system allows it."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 1 << 19)


# --- in the process ------------------------------------------------------------------------

# What a process is asked for.
_DIGESTS, _SEE = "digests", "see"


class _Preprocessor(Encoder):
    """An encoder without its network, which only preprocesses images."""

    def __init__(self, spec: EncoderSpec) -> None:
        self.spec = spec

    def forward(self, pixels: Pixels) -> Floats:
        raise NotImplementedError


def serve() -> None:
    """Answer requests from the standard input until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The parent decides when this process ends.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What libraries print must not end up among the replies.
    requests: Any = sys.stdin.buffer

    def reply(message: object, pixels: Sequence[Pixels] = ()) -> None:
        # The parent wakes once for what is written in one piece.
        header = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        replies.write(b"".join([header, *(view.data for view in pixels)]))
        replies.flush()

    with suppress(EOFError, BrokenPipeError):
        eyes = Eyes([_Preprocessor(spec) for spec in pickle.load(requests)])
        reply("ready")
        while True:
            kind, chunk = pickle.load(requests)
            try:
                if kind == _DIGESTS:
                    reply(eyes.digests(chunk))
                    continue
                for request in chunk:
                    outcomes = eyes.look(request)
                    failures = [seen if isinstance(seen, Failure) else None for seen in outcomes]
                    views = [seen for seen in outcomes if not isinstance(seen, Failure)]
                    reply(failures, list(chain.from_iterable(views)))
            except BrokenPipeError:
                raise
            except Exception as error:  # The parent raises it.
                reply(error)
