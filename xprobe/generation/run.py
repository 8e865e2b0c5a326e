"""Images are asked for, received and kept; what was done before is not done again."""

from __future__ import annotations

import threading
import time
import warnings
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from xprobe.base.errors import XprobeError, XprobeWarning, counted
from xprobe.base.lock import Lock
from xprobe.base.progress import Advance, Progress, no_progress
from xprobe.generation import table
from xprobe.generation.asking import Asking
from xprobe.generation.backoff import Gate
from xprobe.generation.base import LostError
from xprobe.generation.job import Failure, Job, Outcome
from xprobe.generation.keep import ElsewhereError
from xprobe.generation.ledger import Ledger
from xprobe.generation.pictures import SUFFIXES, picture_of
from xprobe.generation.plan import Order

LOCK = "requests.lock"

ANSWERS_WITHIN_S = 60.0
"""How long an interrupted run waits for answers that are under way."""

REQUESTS_A_SPARE = 4
"""For so many requests under way there is a thread more."""

# So often it is looked how far the work is.
_LOOK_S = 0.2

# The table is written anew every so often; at the end it is whole.
_TABLE_EVERY_S = 10.0


def generate(
    job: Job,
    orders: Sequence[Order],
    *,
    retry_unknown: bool = False,
    progress: Progress = no_progress,
    gate: Gate | None = None,
) -> Outcome:
    """Ask for all images of a plan that there are not, and say what became of them.

    An interrupt (KeyboardInterrupt) waits for the answers that are under way, keeps them, and is
    raised again.

    Args:
        job: who makes them, and where they go.
        orders: the images.
        retry_unknown: whether those are asked for again that may have been paid for.
        progress: how progress is shown.
        gate: what requests pass before they leave; None: one that ends with the run.

    Raises:
        XprobeError: the ledger or the table of the folder cannot be used.
    """
    job.folder.mkdir(parents=True, exist_ok=True)
    with Lock(job.folder / LOCK) as lock, Ledger(job.folder) as ledger:
        run = _Run(Asking(job, ledger, lock.check, gate), orders, retry_unknown)
        table.write_images(job.folder, ledger, checks=True)
        try:
            with progress(f"generate {job.generator}", len(run.waiting)) as advance:
                run.go(advance)
        finally:
            table.write_images(job.folder, ledger)
        return run.outcome()


class _Run:
    """The threads of a run."""

    def __init__(self, asking: Asking, orders: Sequence[Order], retry_unknown: bool) -> None:
        self.asking, self.job, self.ledger = asking, asking.job, asking.ledger
        self.orders = orders
        self.errors: list[Exception] = []
        self.kept_before = self._take_stock()
        self.waiting = deque(order for order in orders if self._is_open(order, retry_unknown))
        self.taking = threading.Lock()
        self.threads = self.working = 0  # threads that are to end, and those at work
        self.all_ended = threading.Event()

    def _take_stock(self) -> set[str]:
        """Return the keys of the images that there are.

        An image that lies in its place is one, even if a kill or an editor took its last entry.
        """
        kept = set()
        folders = {table.folder_of(order.label) for order in self.orders}
        lying = {
            file.stem: file
            for name in folders
            for file in self.job.folder.joinpath(name).glob("*")
            if file.suffix in SUFFIXES.values()
        }
        for order in self.orders:
            file = lying.get(order.key)
            if self.ledger.state_of(order.key) == "kept" and order.key in self.ledger.sent:
                kept.add(order.key)
            elif file is not None:
                with suppress(LostError):  # It is no image.
                    entry = self.asking.kept(order, file, picture_of(file.read_bytes()))
                    is_new = order.key not in self.ledger.sent
                    self.ledger.add(*[self.asking.sent(order)] * is_new, entry)
                    kept.add(order.key)
        return kept

    def _is_open(self, order: Order, retry_unknown: bool) -> bool:
        """Return whether an image may be asked for now."""
        state = self.ledger.state_of(order.key)
        if state == "paid-unknown":
            # On this machine nothing is paid for, so that what was lost is simply made again.
            return retry_unknown or not self.job.hosts
        return state in ("", "not-made")

    def go(self, advance: Advance) -> None:
        """Make the images in threads, and wait for them."""
        # While some wait for answers, others prepare requests and keep images. A pipeline on this
        # machine uses all of it for one call.
        n = self.job.concurrency
        n = n + n // REQUESTS_A_SPARE if self.job.hosts else 1
        self.threads = n = min(n, len(self.waiting))
        if not n:
            return
        whole = self.asking.purse.spent + sum(map(self.asking.expected, self.waiting))
        try:
            for _ in range(n):
                threading.Thread(target=self._work, daemon=True).start()
            self._look_on(advance, whole)
        except KeyboardInterrupt:
            self.asking.stop("interrupted")
            if under_way := self.asking.under_way:
                warnings.warn(
                    f"waiting up to {ANSWERS_WITHIN_S:.0f} s for "
                    f"{counted(under_way, 'answer', 'answers')} under way, which may be paid for; "
                    f"a second interrupt gives them up",
                    XprobeWarning,
                    stacklevel=2,
                )
            # Not all threads need have begun, so that no event says that none works any more.
            deadline = time.monotonic() + ANSWERS_WITHIN_S
            while self.working and time.monotonic() < deadline:
                time.sleep(_LOOK_S / 10)
            raise
        if self.errors:
            raise _whole_of(self.errors)

    def _look_on(self, advance: Advance, whole: float) -> None:
        """Show how far the work is, and write the table now and then, until all threads end.

        `whole` are the dollars that all images of the folder are expected to cost.
        """
        asking = self.asking
        shown, written = 0, time.monotonic()
        is_going_on = True
        while is_going_on:
            is_going_on = not self.all_ended.wait(_LOOK_S)
            if (ended := asking.ended) > shown:
                words = f"${asking.purse.spent:.2f} of about ${whole:.2f}" if whole else ""
                advance(ended - shown, words)
                shown = ended
            if time.monotonic() - written > _TABLE_EVERY_S:
                table.write_images(self.job.folder, self.ledger)
                written = time.monotonic()

    def _work(self) -> None:
        """Serve orders until there are none left, or the run ends; this is a thread."""
        with self.taking:
            self.working += 1
        try:
            while batch := self._next():
                self.asking.serve(batch)
        except Exception as error:  # The thread that waits for all of them raises it.
            self.errors.append(error)
            self.asking.stop(str(error))
        finally:
            with self.taking:
                self.working -= 1
                self.threads -= 1
                if not self.threads:
                    self.all_ended.set()

    def _next(self) -> list[Order]:
        """Take the next orders of a call, whose money is set aside; none where the run ends."""
        batch: list[Order] = []
        asking, purse = self.asking, self.asking.purse
        with self.taking:
            while self.waiting and len(batch) < asking.provider.batch:
                if asking.is_over.is_set():
                    break
                if not purse.reserve(asking.expected(self.waiting[0])):
                    asking.stop(
                        f"the next image might pass --max-cost {purse.most:g}: ${purse.spent:.2f} "
                        f"spent, ${purse.under_way:.2f} under way"
                    )
                    break
                batch.append(self.waiting.popleft())
        return batch

    def outcome(self) -> Outcome:
        """Return what the run did; call it once it has ended."""
        failures = []
        for order in self.orders:
            state, ended = self.ledger.state_of(order.key), self.ledger.ended.get(order.key)
            if order.key in self.asking.failures:
                failures.append(Failure(order, *self.asking.failures[order.key]))
            elif state != "kept":
                usual = "the answer was lost" if state == "paid-unknown" else "not asked for yet"
                words = ended.words if ended is not None else ""
                failures.append(Failure(order, state or "not-made", words or usual))
        gone = [
            key
            for key in self.kept_before
            if not (self.job.folder / self.ledger.ended[key].file).exists()
        ]
        return Outcome(
            already=len(self.kept_before), created=self.asking.created, gone=len(gone),
            failures=tuple(failures), spent=self.ledger.spent, stopped=self.asking.stopped,
            remarks=dict(self.asking.remarks),
        )  # fmt: skip


def _whole_of(errors: Sequence[Exception]) -> Exception:
    """Return the first error of the threads, or one that says where all images are that were paid
    for and lie elsewhere, which nothing else may say."""
    elsewhere = [str(error) for error in errors if isinstance(error, ElsewhereError)]
    return XprobeError("\n".join(elsewhere)) if elsewhere else errors[0]
