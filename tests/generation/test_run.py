"""A run asks once for each image, keeps what was paid for, and says what there is not."""

from __future__ import annotations

import csv
import errno
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from makers import MakeData
from scripted import Scripted, job_of, orders_of, png

from xprobe.base.errors import XprobeError
from xprobe.generation.backoff import Gate
from xprobe.generation.base import (
    Answer,
    LostError,
    NotMadeError,
    RefusedError,
    StoppedError,
    WaitingError,
)
from xprobe.generation.job import Outcome
from xprobe.generation.ledger import Ledger
from xprobe.generation.run import generate
from xprobe.images.read import read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


def gate_of(time: list[float]) -> Gate:
    """A gate whose clock moves on by what is waited for, at once."""

    def wait(seconds: float) -> None:
        time[0] += seconds

    return Gate(wait, lambda: time[0])


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def states_of(outcome: Outcome) -> dict[str, str]:
    return {failure.order.prompt: failure.state for failure in outcome.failures}


def test_images_are_kept_as_they_were_received_with_a_row_each(folder: Path) -> None:
    provider = Scripted({"a": [png(1)], "b": [png(2, kind="JPEG")]})
    orders = orders_of("a", "b")
    outcome = generate(job_of(provider, folder, parameters={"quality": "low"}), orders)
    assert (outcome.created, outcome.already, outcome.failures) == (2, 0, ())
    rows = rows_of(folder)
    assert [row["path"] for row in rows] == [
        f"flooding/{orders[0].key}.png", f"flooding/{orders[1].key}.jpg",
    ]  # fmt: skip
    assert (folder / rows[1]["path"]).read_bytes() == png(2, kind="JPEG")
    assert {name: rows[0][name] for name in ("label", "source", "generator", "prompt", "cost")} == {
        "label": "flooding", "source": "synthetic", "generator": "m", "prompt": "a", "cost": "0.01",
    }  # fmt: skip
    assert rows[0]["parameters"] == '{"quality": "low"}'
    assert rows[0]["size"] == "8x6"
    assert outcome.spent == pytest.approx(0.02)


def test_the_table_is_read_without_a_warning(
    folder: Path, make_data_in: MakeData, tmp_path: Path
) -> None:
    data = make_data_in(tmp_path / "data", real=2, synthetic=0)
    generate(job_of(Scripted(), folder), orders_of("a", "b", label="a"))
    images = read([data, folder / "manifest.csv"], whole=False)
    assert (images.source == "synthetic").sum() == 2


def test_running_again_asks_for_what_is_missing_alone(folder: Path) -> None:
    provider = Scripted()
    generate(job_of(provider, folder), orders_of("a", "b"))
    table = (folder / "manifest.csv").read_bytes()
    outcome = generate(job_of(provider, folder), orders_of("a", "b"))
    assert (outcome.created, outcome.already, provider.asked) == (0, 2, ["a", "b"])
    assert (folder / "manifest.csv").read_bytes() == table
    generate(job_of(provider, folder), orders_of("a", "b", "c"))
    assert provider.asked == ["a", "b", "c"]


def test_a_request_that_was_not_made_is_tried_again_after_a_while(folder: Path) -> None:
    provider = Scripted({"a": [NotMadeError("slow down", 7.0), NotMadeError("busy"), png()]})
    time = [0.0]
    outcome = generate(job_of(provider, folder), orders_of("a"), gate=gate_of(time))
    assert (outcome.created, provider.asked, time) == (1, ["a"] * 3, [7 + 2])
    assert outcome.spent == pytest.approx(0.01)


def test_a_provider_that_stays_away_ends_the_run_and_nothing_is_lost(folder: Path) -> None:
    provider = Scripted({"a": [NotMadeError("no connection")]})
    outcome = generate(job_of(provider, folder), orders_of("a", "b"), gate=gate_of([0.0]))
    assert provider.asked == ["a"] * 6
    assert outcome.stopped == "no connection (given up after 6 tries)"
    assert states_of(outcome) == {"a": "not-made", "b": "not-made"}
    assert outcome.spent == 0
    assert generate(job_of(Scripted(), folder), orders_of("a", "b")).created == 2


def test_what_is_refused_is_never_asked_for_again(folder: Path) -> None:
    provider = Scripted({"a": [RefusedError("moderation: no", 0.002)]})
    for _ in range(2):
        outcome = generate(job_of(provider, folder), orders_of("a", "b"), retry_unknown=True)
        assert states_of(outcome) == {"a": "refused"}
        assert outcome.failures[0].words == "moderation: no"
        assert outcome.spent == pytest.approx(0.012)
    assert provider.asked == ["a", "b"]


def test_an_answer_that_was_lost_is_asked_for_again_only_if_told(folder: Path) -> None:
    provider = Scripted({"a": [LostError("the line broke"), png()]})
    orders = orders_of("a", "b")
    for _ in range(2):
        outcome = generate(job_of(provider, folder), orders)
        assert states_of(outcome) == {"a": "paid-unknown"}
        assert outcome.spent == pytest.approx(0.02)
    outcome = generate(job_of(provider, folder), orders, retry_unknown=True)
    assert (outcome.created, outcome.failures, provider.asked) == (1, (), ["a", "b", "a"])
    assert outcome.spent == pytest.approx(0.03)  # The lost one may have been paid for, too.


def test_on_this_machine_what_was_lost_is_made_again(folder: Path) -> None:
    provider = Scripted({"a": [LostError("killed"), png()]}, hosts=())
    generate(job_of(provider, folder), orders_of("a"))
    assert generate(job_of(provider, folder), orders_of("a")).created == 1


def test_a_wrong_key_ends_the_run_and_may_be_mended(folder: Path) -> None:
    provider = Scripted({"a": [StoppedError("wrong key"), png()]})
    outcome = generate(job_of(provider, folder), orders_of("a", "b"))
    assert (outcome.stopped, provider.asked) == ("wrong key", ["a"])
    assert states_of(outcome) == {"a": "not-made", "b": "not-made"}
    assert generate(job_of(provider, folder), orders_of("a", "b")).created == 2


def test_an_error_that_nobody_expected_says_its_name_alone(folder: Path) -> None:
    provider = Scripted({"a": [ValueError("sk-secret")]})
    outcome = generate(job_of(provider, folder), orders_of("a", "b"))
    assert states_of(outcome) == {"a": "paid-unknown", "b": "not-made"}
    assert outcome.stopped == "unexpected ValueError"
    assert b"secret" not in b"".join(f.read_bytes() for f in folder.iterdir() if f.is_file())


@pytest.mark.parametrize(
    "answers",
    [
        None, [], ["text"], [Answer(png(), cost=-9.0)], [Answer(png(), cost=float("nan"))],
        [RefusedError("no", cost=-9.0)], [Answer("text")],  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_a_provider_that_does_not_keep_its_word_ends_the_run(
    folder: Path, answers: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Scripted()
    monkeypatch.setattr(provider, "make", lambda _requests: answers, raising=False)
    outcome = generate(job_of(provider, folder), orders_of("a", "b"))
    assert states_of(outcome) == {"a": "paid-unknown", "b": "not-made"}
    assert outcome.stopped.startswith("unexpected ")
    assert generate(job_of(Scripted(), folder), orders_of("a", "b")).created == 1


def test_what_waits_for_a_person_is_no_failure_of_the_run(folder: Path) -> None:
    provider = Scripted({"a": [WaitingError("by hand"), png()]}, hosts=())
    outcome = generate(job_of(provider, folder), orders_of("a", "b"))
    assert states_of(outcome) == {"a": "waiting"}
    assert generate(job_of(provider, folder), orders_of("a", "b")).created == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Bad gateway", "no image; it begins with '<!DOCTYPE html>"),
        (png()[:60], "PNG image that cannot be used"),
    ],
)
def test_an_answer_that_is_no_image_may_have_been_paid_for(
    folder: Path, content: bytes, words: str
) -> None:
    outcome = generate(job_of(Scripted({"a": [content]}), folder), orders_of("a", "b"))
    assert states_of(outcome) == {"a": "paid-unknown"}
    assert words in outcome.failures[0].words
    assert [file.read_bytes() for file in (folder / "unusable").iterdir()] == [content]
    assert len(rows_of(folder)) == 1


def test_an_answer_that_repeats_the_key_is_kept_nowhere(folder: Path) -> None:
    provider = Scripted({"a": [b"sorry, not with sk-very-secret"]})
    outcome = generate(job_of(provider, folder, secret="sk-very-secret"), orders_of("a", "b"))
    assert states_of(outcome) == {"a": "paid-unknown"}
    assert outcome.failures[0].words == "the answer repeats the key, and is not kept"
    assert not any(b"secret" in f.read_bytes() for f in folder.rglob("*") if f.is_file())


def test_odd_answers_are_kept_and_told(folder: Path) -> None:
    odd = Answer(png(kind="JPEG"), "image/png", n_images=2)
    job = job_of(Scripted({"a": [odd]}), folder, parameters={"size": "9x9"})
    outcome = generate(job, orders_of("a"))
    assert outcome.created == 1
    assert dict(outcome.remarks) == {
        "sent as PNG, and are JPEG": 1,
        "not of the size that was asked for, 9x9": 1,
        "one of several in an answer, of which the first is kept": 1,
    }


def test_the_limit_is_kept_with_what_is_under_way(folder: Path) -> None:
    ready, go_on = threading.Semaphore(0), threading.Event()

    def slow() -> bytes:
        ready.release()
        assert go_on.wait(10)
        return png()

    provider = Scripted({name: [slow] for name in "abcdefgh"})
    job = job_of(provider, folder, max_cost=0.035, concurrency=8)
    ended: list[Outcome] = []
    thread = threading.Thread(target=lambda: ended.append(generate(job, orders_of(*"abcdefgh"))))
    thread.start()
    for _ in range(3):
        assert ready.acquire(timeout=10)
    go_on.set()
    thread.join()
    assert (len(provider.asked), ended[0].created) == (3, 3)
    assert ended[0].stopped.startswith("the next image might pass --max-cost 0.035")
    again = generate(job, orders_of(*"abcdefgh"))  # The limit is of all that the folder cost.
    assert (again.created, again.already) == (0, 3)


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Let an interrupt be one; in the background of a shell it is ignored."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


@pytest.mark.usefixtures("_interruptible")
def test_an_interrupt_keeps_the_answers_that_are_under_way(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_told, told = threading.Event(), []

    def tell(words: str, *_: object, **__: object) -> None:
        told.append(words)
        is_told.set()

    def interrupted() -> bytes:
        os.kill(os.getpid(), signal.SIGINT)
        assert is_told.wait(10)
        return png()

    monkeypatch.setattr("xprobe.generation.run.warnings.warn", tell)
    provider = Scripted({"a": [interrupted]})
    with pytest.raises(KeyboardInterrupt):
        generate(job_of(provider, folder), orders_of(*"abcdefgh"))
    assert "for 1 answer under way, which may be paid for" in told[0]
    monkeypatch.undo()
    kept = len(rows_of(folder))
    assert kept == len(provider.asked) >= 1
    outcome = generate(job_of(Scripted(), folder), orders_of(*"abcdefgh"))
    assert (outcome.already, outcome.created) == (kept, 8 - kept)


def test_a_full_disk_says_where_the_image_is(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: Path, _content: bytes) -> None:
        if file.suffix == ".png" and file.is_relative_to(folder):
            raise OSError(errno.ENOSPC, "No space left on device")
        file.write_bytes(_content)

    monkeypatch.setattr("xprobe.generation.keep.atomic.put", full)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    order, *_ = orders = orders_of("a", "b")
    with pytest.raises(XprobeError, match=r"no space left on device.*run 'mv ") as caught:
        generate(job_of(Scripted(), folder), orders, gate=gate_of([0.0]))
    refuge, place = tmp_path / f"{order.key}.png", folder / "flooding" / f"{order.key}.png"
    assert f"mv {refuge} {place}" in str(caught.value)
    monkeypatch.undo()
    refuge.rename(place)
    outcome = generate(job_of(Scripted(), folder), orders)
    assert (outcome.already, outcome.created) == (1, 1)


def test_a_full_disk_says_where_all_images_are_that_were_under_way(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)

    def full(file: Path, _content: bytes) -> None:
        if file.suffix == ".png" and file.is_relative_to(folder):
            raise OSError(errno.ENOSPC, "No space left on device")
        file.write_bytes(_content)

    def late() -> bytes:
        both.wait(10)
        return png()

    monkeypatch.setattr("xprobe.generation.keep.atomic.put", full)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    orders, provider = orders_of("a", "b"), Scripted({"a": [late], "b": [late]})
    with pytest.raises(XprobeError) as caught:
        generate(job_of(provider, folder, concurrency=2), orders, gate=gate_of([0.0]))
    assert all(f"mv {tmp_path / order.key}.png" in str(caught.value) for order in orders)


def test_an_image_whose_entry_was_lost_is_taken_in(folder: Path) -> None:
    generate(job_of(Scripted(), folder), orders_of("a", "b"))
    ledger = folder / "requests.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:-2]) + lines[-2][:20])  # b was cut off, within a line.
    provider = Scripted()
    outcome = generate(job_of(provider, folder), orders_of("a", "b"))
    assert (outcome.already, provider.asked) == (2, [])
    assert [row["prompt"] for row in rows_of(folder)] == ["a", "b"]


def test_an_image_whose_request_was_taken_out_of_the_ledger_stays_in_the_table(
    folder: Path,
) -> None:
    generate(job_of(Scripted(), folder), orders_of("a", "b"))
    ledger = folder / "requests.jsonl"
    lines = ledger.read_bytes().splitlines(keepends=True)
    ledger.write_bytes(b"".join(lines[:1] + lines[2:]))
    provider = Scripted()
    outcome = generate(job_of(provider, folder), orders_of("a", "b"))
    assert (outcome.already, provider.asked) == (2, [])
    assert sorted(row["prompt"] for row in rows_of(folder)) == ["a", "b"]


def test_a_request_that_cannot_be_entered_does_not_leave(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_ledger: Ledger, *_entries: object) -> None:
        monkeypatch.undo()  # Some space is free a moment later.
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Ledger, "add", full)
    provider = Scripted()
    with pytest.raises(OSError, match="No space left"):
        generate(job_of(provider, folder), orders_of("a", "b"))
    assert provider.asked == []
    assert generate(job_of(provider, folder), orders_of("a", "b")).created == 2


def test_images_that_were_taken_out_by_hand_are_not_paid_for_again(folder: Path) -> None:
    generate(job_of(Scripted(), folder), orders_of("a", "b"))
    (folder / rows_of(folder)[0]["path"]).unlink()
    provider = Scripted()
    outcome = generate(job_of(provider, folder), orders_of("a", "b"))
    assert (outcome.already, outcome.gone, provider.asked) == (2, 1, [])
    assert [row["prompt"] for row in rows_of(folder)] == ["b"]


def test_a_table_that_was_corrected_by_hand_is_not_overwritten(folder: Path) -> None:
    generate(job_of(Scripted(), folder), orders_of("a", "b"))
    table = folder / "manifest.csv"
    table.write_text(table.read_text().replace("flooding,synthetic", "wind,synthetic", 1))
    with pytest.raises(XprobeError, match="says otherwise of 1 images"):
        generate(job_of(Scripted(), folder), orders_of("a", "b", "c"))
    assert "wind,synthetic" in table.read_text()


def test_calls_of_several_images_are_for_providers_of_this_machine(folder: Path) -> None:
    provider = Scripted({"b": [Answer(png(9))]}, hosts=(), batch=3)
    sizes: list[int] = []
    make = provider.make
    provider.make = lambda requests: sizes.append(len(requests)) or make(requests)  # type: ignore
    outcome = generate(job_of(provider, folder), orders_of(*"abcdefgh"))
    assert (outcome.created, sizes) == (8, [3, 3, 2])


def test_progress_counts_images_and_money(folder: Path) -> None:
    shown: list[tuple[int, str]] = []

    class Shown:
        def __init__(self, title: str, total: int | None) -> None:
            assert (title, total) == ("generate m", 3)

        def __enter__(self) -> Callable[..., None]:
            return lambda n, words="": shown.append((n, words))

        def __exit__(self, *_: object) -> None:
            pass

    generate(job_of(Scripted(), folder), orders_of(*"abc"), progress=Shown)  # type: ignore[arg-type]
    assert sum(n for n, _ in shown) == 3
    assert shown[-1][1] == "$0.03 of about $0.03"
