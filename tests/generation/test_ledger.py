"""The ledger of requests says of each what is known, whenever it was cut off."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError
from xprobe.generation.ledger import Ended, Ledger, Sent


def sent(key: str, expected: float | None = 0.5) -> Sent:
    return Sent(
        key=key, time="t", provider="p", model="m", prompt="flood it", parameters={"steps": 3},
        seed=1, generator="m", label="flooding", expected=expected,
    )  # fmt: skip


def ended(key: str, state: str = "kept", **fields: object) -> Ended:
    return Ended(key=key, time="t", state=state, **fields)  # type: ignore[arg-type]


def test_what_was_added_is_read_again(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(sent("a"), sent("b"), sent("c"), sent("d"))
        ledger.add(ended("a", cost=0.2), ended("b", "refused", words="no"), ended("c", "not-made"))
    again = Ledger(tmp_path)
    assert again.sent == ledger.sent
    assert again.ended == ledger.ended
    states = {key: again.state_of(key) for key in "abcde"}
    assert states == {"a": "kept", "b": "refused", "c": "not-made", "d": "paid-unknown", "e": ""}


def test_it_counts_what_was_spent_and_what_may_have_been(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(sent("a"), ended("a", cost=0.2))  # as it says
        ledger.add(sent("b"), ended("b"))  # as expected
        ledger.add(sent("c"), ended("c", "refused"))  # nothing
        ledger.add(sent("d"), ended("d", "not-made"))  # nothing
        ledger.add(sent("e"))  # perhaps
        ledger.add(sent("f"), sent("f"), ended("f", cost=0.1))  # perhaps twice
    assert Ledger(tmp_path).spent == pytest.approx(0.2 + 0.5 + 0.5 + 0.5 + 0.1)


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_line_that_was_cut_off_is_none_and_what_follows_is_whole(
    tmp_path: Path, cut: int
) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(sent("a"), ended("a"), sent("b"))
    file = tmp_path / "requests.jsonl"
    file.write_bytes(file.read_bytes()[:-cut])
    with Ledger(tmp_path) as ledger:
        assert ledger.state_of("b") == ""
        ledger.add(sent("c"))
    assert set(Ledger(tmp_path).sent) == {"a", "c"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('{"state": "sent", "key": "z"}', "line 3: Object missing required field `time`"),
        ('{"state": "paid", "key": "z", "time": "t"}', "line 3: Invalid enum value 'paid'"),
        ("[]", "line 3: no entry of a ledger"),
        ("{", "line 3: Expecting property name"),
        ('{"state": "kept", "key": "z", "time": "t", "cost": -9}', "line 3: -9 is no sum of"),
        ('{"state": "kept", "key": "z", "time": "t", "cost": NaN}', "line 3: nan is no sum of"),
    ],
)
def test_a_line_that_was_edited_is_named(tmp_path: Path, line: str, words: str) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(sent("a"))
    file = tmp_path / "requests.jsonl"
    file.write_text(file.read_text() + line + "\n" + file.read_text().splitlines()[1] + "\n")
    with pytest.raises(XprobeError, match=words):
        Ledger(tmp_path)


def test_a_newer_or_another_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"format": "xprobe-requests", "version": 2}\n')
    with pytest.raises(XprobeError, match="written by a newer xprobe"):
        Ledger(tmp_path)
    file.write_text('{"format": "other", "version": 1}\n')
    with pytest.raises(XprobeError, match="the format is 'other'"):
        Ledger(tmp_path)


def test_fields_of_a_newer_xprobe_are_no_damage(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        ledger.add(sent("a"))
    file = tmp_path / "requests.jsonl"
    lines = file.read_text().splitlines()
    file.write_text(f"{lines[0]}\n{json.dumps(json.loads(lines[1]) | {'new': 1})}\n")
    assert Ledger(tmp_path).state_of("a") == "paid-unknown"


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write

    def full(descriptor: int, content: bytes) -> int:
        if content.startswith(b'"') or len(content) < 40:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, content[:-30])

    with Ledger(tmp_path) as ledger:
        ledger.add(sent("a"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(OSError, match="No space left"):
                ledger.add(sent("b"))
        assert ledger.state_of("b") == ""
        ledger.add(sent("c"))
    assert set(Ledger(tmp_path).sent) == {"a", "c"}


def test_many_threads_add_whole_lines(tmp_path: Path) -> None:
    with Ledger(tmp_path) as ledger:
        threads = [
            threading.Thread(target=lambda i=i: [ledger.add(sent(f"{i}-{j}")) for j in range(50)])
            for i in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(Ledger(tmp_path).sent) == 400


def test_an_entry_is_on_the_disk_before_it_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    with Ledger(tmp_path) as ledger:
        monkeypatch.setattr(os, "fsync", lambda _file: seen.append(ledger.state_of("a")))
        ledger.add(sent("a"))
    assert seen == [""]
