"""Lists of events: xBD's, those of a file, and those of a cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from xprobe.base.errors import XprobeError, XprobeWarning
from xprobe.images.events import as_cell, event_key, keys_in, read_events, unify_events


def test_spellings_of_an_event_are_one() -> None:
    spellings = ("hurricane-harvey", "Hurricane Harvey", " HURRICANE__harvey ")
    assert {event_key(name) for name in spellings} == {"hurricane-harvey"}
    assert keys_in("a; Big  Storm;;") == {"a", "big-storm"}
    assert keys_in(as_cell(read_events("xbd"))) == set(read_events("xbd"))
    assert keys_in("") == frozenset()


def test_xbd_stands_for_its_19_events() -> None:
    assert len(set(read_events("xbd"))) == 19


def test_a_file_has_one_event_a_line(tmp_path: Path) -> None:
    file = tmp_path / "seen.txt"
    file.write_text("# the training part\nflood-a\n\nstorm b\nFlood_A\n", encoding="utf-8-sig")
    assert read_events(str(file)) == ("flood-a", "storm b")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n# nothing\n", "names no event"),
        ("event,type\nflood,wind\n", "line 1: 'event,type' is no event"),
        ("a\nb\x1b[1m\n", "line 2"),
        ("x" * 300, "line 1"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "seen.txt"
    file.write_text(text)
    with pytest.raises(XprobeError, match=said):
        read_events(str(file))


def test_a_file_that_is_missing_is_refused() -> None:
    with pytest.raises(XprobeError, match=r"no such file; .* name xbd for its 19 events"):
        read_events("nowhere.txt")


def test_an_event_has_one_spelling_also_as_a_group() -> None:
    rows = [
        {"event": "Big Storm", "group": "Big Storm"}, {"event": "big-storm", "group": "big-storm"},
        {"event": "", "parent": "big-storm"}, {"event": "flood", "group": "7"}, {},
    ]  # fmt: skip
    with pytest.warns(XprobeWarning, match=r"t: .* are one: big-storm \(Big Storm\)"):
        unify_events(rows, "t")
    assert rows == [
        {"event": "Big Storm", "group": "Big Storm"}, {"event": "Big Storm", "group": "Big Storm"},
        {"event": "", "parent": "Big Storm"}, {"event": "flood", "group": "7"}, {},
    ]  # fmt: skip
