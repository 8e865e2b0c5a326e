"""The ledger of a folder of generated images: what was asked for, and what became of it.

``requests.jsonl`` is only ever appended to, one line an entry, and a line is on the disk before the
next step is taken: that a request leaves, before it does, and how it ended, after its answer. So a
kill at any moment leaves each request in one of three states: it never left; it left, and nobody
knows whether it was paid for; or its end is known.
"""

from __future__ import annotations

import json
import math
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Literal

import msgspec

from xprobe.base import documents
from xprobe.base.documents import Document, Number
from xprobe.base.errors import XprobeError
from xprobe.base.visible import visible_json

FILE = "requests.jsonl"

FORMAT, VERSION = "xprobe-requests", 1

State = Literal["kept", "refused", "paid-unknown", "not-made"]
"""How a request ended: ``kept``, the image is in the folder; ``refused`` for good;
``paid-unknown``: it may have been paid for, and there is no image; ``not-made``: nothing was paid,
and it may be asked again. A request that left, and of which nothing else is known, is
``paid-unknown``, too."""


class Head(Document, frozen=True, kw_only=True):
    """The first line of a ledger."""

    format: str
    version: int


class Sent(Document, frozen=True, kw_only=True):
    """A request that is about to leave.

    Attributes:
        key: identifies it (`plan.key_of`).
        time: when, in UTC.
        provider, model, prompt, parameters, seed: what is asked, and whom.
        generator: what the image will be called.
        label, parent, event, licence, control, content, k: as in `plan.Order`.
        expected: dollars that it is expected to cost; None: not known.
        watermark: what is known of watermarks in the model's images; empty: nothing.
        terms: address of the terms that hold for its images; empty: not known.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = (
        "parent", "event", "licence", "control", "content", "expected", "watermark", "terms",
    )  # fmt: skip

    state: Literal["sent"] = "sent"
    key: str
    time: str
    provider: str
    model: str
    prompt: str
    parameters: dict[str, str | int | float | bool]
    seed: int
    generator: str
    label: str
    parent: str = ""
    event: str = ""
    licence: str = ""
    control: str = ""
    content: str = ""
    k: int = 0
    expected: Number | None = None
    watermark: str = ""
    terms: str = ""


class Ended(Document, frozen=True, kw_only=True):
    """How a request ended.

    Attributes:
        key: identifies it.
        time: when, in UTC.
        state: how it ended.
        words: why, in the provider's words; empty for images that are kept.
        cost: dollars that it cost, as the provider says or by the tokens that it billed; None: not
            known.
        file: the image, relative to the folder of the ledger.
        format, width, height: what the image is, in pixels.
        seed: the seed that it was made with; None: the provider takes none.
        request_id: the provider's name of the request.
    """

    OPTIONAL: ClassVar[tuple[str, ...]] = (
        "words", "cost", "file", "format", "width", "height", "seed", "request_id",
    )  # fmt: skip

    state: State
    key: str
    time: str
    words: str = ""
    cost: Number | None = None
    file: str = ""
    format: str = ""
    width: int = 0
    height: int = 0
    seed: int | None = None
    request_id: str = ""


def now() -> str:
    """Return the time, in UTC to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


class Ledger:
    """The ledger of a folder, read whole and appended to (``with Ledger(folder) as ledger:``).

    Attributes:
        sent: the last request of each key.
        ended: how the last request of a key ended, if that is known.
        spent: dollars that all requests cost; where an answer was lost or says nothing, what it was
            expected to cost.
    """

    def __init__(self, folder: Path) -> None:
        """Read the ledger of a folder, which may have none yet; nothing is written.

        Raises:
            XprobeError: a line is damaged, or a newer xprobe wrote the ledger.
        """
        self.file = folder / FILE
        self.sent: dict[str, Sent] = {}
        self.ended: dict[str, Ended] = {}
        self._lost = 0.0  # what requests may have cost whose keys were asked for again
        self._size = self._read()
        self._descriptor = -1
        self._writing, self._syncing = threading.Lock(), threading.Lock()
        self._written = self._synced = 0

    def __enter__(self) -> Ledger:
        is_new = not self._size
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT, 0o666)
        # A line that a kill cut off is no entry, and what follows must not be tied to it.
        os.ftruncate(self._descriptor, self._size)
        os.lseek(self._descriptor, 0, os.SEEK_END)
        if is_new:
            self._append(Head(format=FORMAT, version=VERSION))
        return self

    def __exit__(self, *_: object) -> None:
        with self._writing:
            os.close(self._descriptor)
            self._descriptor = -1

    def state_of(self, key: str) -> str:
        """Return the state of a request; empty: it never left."""
        if key in self.ended:
            return self.ended[key].state
        return "paid-unknown" if key in self.sent else ""

    @property
    def spent(self) -> float:
        return self._lost + sum(self._cost_of(key) for key in self.sent)

    def _cost_of(self, key: str) -> float:
        ended, expected = self.ended.get(key), self.sent[key].expected or 0.0
        if ended is None or ended.state == "paid-unknown":
            return expected
        if ended.state == "not-made":
            return 0.0
        usual = expected if ended.state == "kept" else 0.0
        return usual if ended.cost is None else ended.cost

    def add(self, *entries: Sent | Ended) -> None:
        """Append entries, and return when they are on the disk.

        Raises:
            OSError: they cannot be written.
        """
        self._append(*entries)
        with self._writing:
            for entry in entries:
                self._take(entry)

    def _take(self, entry: Sent | Ended) -> None:
        if isinstance(entry, Sent):
            if entry.key in self.sent:
                self._lost += self._cost_of(entry.key)
            self.sent[entry.key] = entry
            self.ended.pop(entry.key, None)
        else:
            self.ended[entry.key] = entry

    def _append(self, *entries: Document) -> None:
        lines = b"".join(_line(entry) for entry in entries)
        with self._writing:
            try:
                rest = lines
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:  # The disk is full; half a line must not stay.
                os.ftruncate(self._descriptor, self._size)
                os.lseek(self._descriptor, self._size, os.SEEK_SET)
                raise
            self._size += len(lines)
            self._written += 1
            number = self._written
        # One sync serves all that was written before it, however many threads wait for theirs.
        with self._syncing:
            if self._synced < number:
                newest = self._written
                os.fsync(self._descriptor)
                self._synced = newest

    def _read(self) -> int:
        """Read the entries, and return how many bytes of the file hold whole lines."""
        try:
            content = self.file.read_bytes()
        except FileNotFoundError:
            return 0
        whole = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(whole.splitlines(), 1):
            try:
                entry = _entry(json.loads(line), is_first=number == 1)
            except (ValueError, msgspec.ValidationError) as error:
                raise XprobeError(
                    f"{self.file}, line {number}: {error}; the ledger says what was paid for: put "
                    f"the line right, or take it out if you know what it said"
                ) from error
            if isinstance(entry, Sent | Ended):
                self._take(entry)
            elif entry.version > VERSION:
                raise XprobeError(
                    f"{self.file}: written by a newer xprobe (version {entry.version}, this one "
                    f"reads {VERSION}); upgrade xprobe"
                )
        return len(whole)


def _line(entry: Document) -> bytes:
    text = json.dumps(documents.to_json(entry), ensure_ascii=False, allow_nan=False)
    return f"{visible_json(text)}\n".encode()


def _entry(raw: Any, is_first: bool) -> Head | Sent | Ended:
    """Return the entry of a line.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(raw, Mapping):
        raise ValueError("no entry of a ledger")
    if is_first:
        head = documents.from_json(Head, raw)
        if head.format != FORMAT:
            raise ValueError(f"the format is {head.format!r}, not {FORMAT!r}")
        return head
    is_sent = raw.get("state") == "sent"
    entry = documents.from_json(Sent, raw) if is_sent else documents.from_json(Ended, raw)
    dollars = entry.expected if isinstance(entry, Sent) else entry.cost
    # A limit of money is kept only if no sum is less than nothing, or NaN.
    if dollars is not None and not 0 <= dollars < math.inf:
        raise ValueError(f"{dollars} is no sum of dollars")
    return entry
