"""One call of a provider: what leaves, what comes back, and what becomes of it.

Several threads do this at once, and share the ledger, the purse and the gate.
"""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from xprobe.base.errors import XprobeError
from xprobe.generation import table
from xprobe.generation.backoff import Gate, pause_after
from xprobe.generation.base import (
    Answer,
    LostError,
    NotMadeError,
    Parameter,
    Provider,
    RefusedError,
    Request,
    StoppedError,
    WaitingError,
)
from xprobe.generation.job import Job
from xprobe.generation.keep import ElsewhereError, keep
from xprobe.generation.ledger import Ended, Ledger, Sent, State, now
from xprobe.generation.pictures import Picture, picture_of, source_content
from xprobe.generation.plan import Order, seed_of
from xprobe.generation.purse import Purse
from xprobe.images.decode import UnusableImageError


class WrongAnswerError(Exception):
    """A provider, perhaps of another package, does not keep to `base.Provider`."""


class Asking:
    """Asks a provider for images, and keeps what it gives.

    Attributes:
        is_over: set once no further request may leave.
        stopped: why, in words.
        under_way: how many calls have no answer yet.
        created: how many images were made.
        failures: key → state and words of the images that there are not.
        remarks: what is odd about images that were kept, in words → of how many.
    """

    def __init__(
        self,
        job: Job,
        ledger: Ledger,
        check: Callable[[], None],
        gate: Gate | None = None,
    ) -> None:
        """Take the job and its ledger.

        Args:
            job: who makes the images, and where they go.
            ledger: the ledger of the folder.
            check: raises an error if the ledger may no longer be written.
            gate: what requests pass; None: one that lets nobody wait once `is_over` is set.
        """
        self.job, self.ledger, self._check = job, ledger, check
        self.is_over, self.stopped = threading.Event(), ""
        self._gate = gate or Gate(self.is_over.wait)
        self.purse = Purse(job.max_cost, ledger.spent)
        self.under_way = 0
        self.created = 0
        self.failures: dict[str, tuple[str, str]] = {}
        self.remarks: Counter[str] = Counter()
        self._counting = threading.Lock()

    @property
    def provider(self) -> Provider:
        """Who is asked."""
        assert self.job.provider is not None, "there was nothing to be made"
        return self.job.provider

    @property
    def ended(self) -> int:
        """How many images were made, or will not be made by this run."""
        return self.created + len(self.failures)

    def expected(self, order: Order) -> float:
        """Return the dollars that are set aside for an image."""
        return self.job.expected(order) or 0.0

    def stop(self, words: str) -> None:
        """Let no further request leave; only the first reason counts."""
        with self._counting:
            if not self.is_over.is_set():
                self.stopped = words
                self.is_over.set()

    def serve(self, batch: Sequence[Order]) -> None:
        """Ask for the images of a call, whose money is set aside, until the provider answers.

        Raises:
            XprobeError: the ledger may no longer be written, or a local provider cannot go on.
            OSError: the ledger cannot be written.
        """
        orders, requests = self._readable(batch)
        tries = 0
        while orders:
            self._gate.wait()
            if self.is_over.is_set():
                for order in orders:
                    self.purse.settle(self.expected(order), 0.0)
                return
            # Where this fails nothing has left, so that it is no failure of the provider.
            self._check()
            self._note_sent(orders)
            try:
                answers = self._ask(requests)
            except NotMadeError as error:
                tries += 1
                self.ledger.add(*(self._ended(order, "not-made", str(error)) for order in orders))
                pause = pause_after(tries, error.after_s)
                if pause is None:
                    self.stop(f"{error} (given up after {tries} tries)")
                else:
                    self._gate.shut(pause)
                continue
            except Exception as error:
                self._give_up(orders, error)
                return
            for order, request, answer in zip(orders, requests, answers, strict=True):
                self._receive(order, request, answer)
            return

    def _ask(self, requests: Sequence[Request]) -> Sequence[Answer | RefusedError]:
        """Return the answers to a call, which counts as under way meanwhile."""
        with self._counting:
            self.under_way += 1
        try:
            answers = self.provider.make(requests)
        finally:
            with self._counting:
                self.under_way -= 1
        if len(answers) != len(requests) or not all(map(_is_answer, answers)):
            raise WrongAnswerError("a provider answered otherwise than base.Provider says")
        return answers

    def _readable(self, batch: Sequence[Order]) -> tuple[list[Order], list[Request]]:
        """Return the orders whose source can be read, and their requests."""
        orders, requests = [], []
        for order in batch:
            try:
                image = source_content(order.path) if order.path else None
            except UnusableImageError as error:
                self._fail(order, "unreadable", str(error), cost=0.0)
                continue
            orders.append(order)
            requests.append(
                Request(
                    order.key, self.job.maker[1], order.prompt, self.job.parameters,
                    seed_of(order.key), image, order.polygons,
                )
            )  # fmt: skip
        return orders, requests

    def _note_sent(self, orders: Sequence[Order]) -> None:
        """Write into the ledger that requests are about to be sent.

        A request to a local provider costs nothing, and is written down once, however often it is
        repeated.
        """
        is_local = not self.job.hosts
        new = [
            o for o in orders if not (is_local and self.ledger.state_of(o.key) == "paid-unknown")
        ]
        if new:
            self.ledger.add(*map(self.sent, new))

    def _give_up(self, orders: Sequence[Order], error: Exception) -> None:
        """Enter how a call ended that will not be made again in this run.

        Raises:
            Exception: `error`, if it is a fault of this machine.
        """
        if isinstance(error, WaitingError):
            for order in orders:
                self._fail(order, "waiting", str(error), cost=0.0)
            return
        is_local = not self.job.hosts
        if isinstance(error, XprobeError) or (is_local and not _is_known(error)):
            raise error
        state: State = "paid-unknown"
        words, cost = str(error), None
        if isinstance(error, RefusedError):
            state, cost = "refused", error.cost or 0.0
        elif isinstance(error, StoppedError):
            state, cost = "not-made", 0.0
        elif not isinstance(error, LostError):
            # Its text is of a library, and might hold a secret.
            words = f"unexpected {type(error).__name__}"
        for order in orders:
            self.ledger.add(self._ended(order, state, words, cost))
            self._fail(order, state, words, cost)
        if not isinstance(error, RefusedError | LostError):
            self.stop(words)

    def _receive(self, order: Order, request: Request, answer: Answer | RefusedError) -> None:
        """Keep an image, or enter why it is none."""
        if isinstance(answer, RefusedError):
            self._give_up([order], answer)
            return
        if (secret := self.job.secret.encode()) and secret in answer.content:
            self._give_up([order], LostError("the answer repeats the key, and is not kept"))
            return
        try:
            picture = picture_of(answer.content)
        except LostError as error:
            place = self.job.folder / table.UNUSABLE / order.key
            keep(place, answer.content, self._gate.pause)
            self._give_up([order], LostError(f"{error}; it is kept in {table.UNUSABLE}"))
            return
        cost = self.job.cost_of(request, answer)
        try:
            file = self.place_of(order, picture)
            keep(file, answer.content, self._gate.pause)
            self.ledger.add(self.kept(order, file, picture, answer, cost))
        except ElsewhereError as error:
            with suppress(OSError):  # The ledger lies on the same full disk.
                self.ledger.add(self._ended(order, "paid-unknown", str(error), cost))
            raise
        self.purse.settle(self.expected(order), self.expected(order) if cost is None else cost)
        with self._counting:
            self.created += 1
            self.remarks.update(_remarks(answer, picture, self.job))

    def _fail(self, order: Order, state: str, words: str, cost: float | None) -> None:
        """Count an image that there is not; `cost` is None where it is not known."""
        expected = self.expected(order)
        self.purse.settle(expected, expected if cost is None else cost)
        with self._counting:
            self.failures[order.key] = state, words

    def place_of(self, order: Order, picture: Picture) -> Path:
        """Return the file of an image."""
        return self.job.folder / table.folder_of(order.label) / f"{order.key}{picture.suffix}"

    def sent(self, order: Order) -> Sent:
        """Return the entry of a request that leaves."""
        job = self.job
        # A local provider says what else decides its images, such as the commit of its weights.
        provenance: Mapping[str, Parameter] = getattr(job.provider, "provenance", {})
        return Sent(
            key=order.key, time=now(), provider=job.maker[0], model=job.maker[1],
            prompt=order.prompt, parameters={**provenance, **job.parameters},
            seed=seed_of(order.key), generator=job.generator, label=order.label,
            parent=order.parent, event=order.event, licence=order.licence, control=order.control,
            content=order.content, k=order.k,
            expected=job.expected(order), watermark=job.watermark, terms=job.terms,
        )  # fmt: skip

    def kept(
        self,
        order: Order,
        file: Path,
        picture: Picture,
        answer: Answer | None = None,
        cost: float | None = None,
    ) -> Ended:
        """Return the entry of an image that is kept; without its answer little is known of it."""
        return Ended(
            key=order.key, time=now(), state="kept", cost=cost,
            file=file.relative_to(self.job.folder).as_posix(), format=picture.format,
            width=picture.width, height=picture.height,
            seed=None if answer is None else answer.seed,
            request_id="" if answer is None else answer.request_id,
        )  # fmt: skip

    @staticmethod
    def _ended(order: Order, state: State, words: str, cost: float | None = None) -> Ended:
        return Ended(key=order.key, time=now(), state=state, words=words, cost=cost)


def _is_answer(answer: object) -> bool:
    """Return whether the ledger can take what a provider gave: a sum may be neither below 0 nor
    NaN, else a limit of money would not hold."""
    if not isinstance(answer, Answer | RefusedError):
        return False
    if answer.cost is not None and not 0 <= answer.cost < math.inf:
        return False
    return isinstance(answer, RefusedError) or (
        isinstance(answer.content, bytes)
        and isinstance(answer.request_id, str)
        and isinstance(answer.seed, int | None)
    )


def _is_known(error: Exception) -> bool:
    return isinstance(error, RefusedError | LostError | StoppedError)


def _remarks(answer: Answer, picture: Picture, job: Job) -> list[str]:
    """Return what is odd about an image that is kept."""
    remarks = []
    stated = answer.media_type.partition("/")[2].upper().replace("JPG", "JPEG")
    if stated and stated != picture.format:
        remarks.append(f"sent as {stated}, and are {picture.format}")
    size = str(job.parameters.get("size", ""))
    if "x" in size and size != f"{picture.width}x{picture.height}":
        remarks.append(f"not of the size that was asked for, {size}")
    if answer.n_images > 1:
        remarks.append("one of several in an answer, of which the first is kept")
    return remarks
