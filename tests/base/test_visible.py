"""What a terminal would obey, or nobody would see, is written out."""

from __future__ import annotations

import json

import pytest

from xprobe.base.visible import visible, visible_json

HIDDEN = {
    "\x1b]0;owned\x07": r"\x1b]0;owned\x07",
    "\x9b31m": r"\x9b31m",
    "two\nlines\r\t": r"two\nlines\r\t",
    "\x7f\x00": r"\x7f\x00",
    "\u202egnp.exe": r"\u202egnp.exe",
    "a\u200bb\u2028\ufeff": r"a\u200bb\u2028\ufeff",
    "\U000e0041": r"\U000e0041",
    "caf\udce9": r"caf\udce9",
}


@pytest.mark.parametrize("text", HIDDEN)
def test_hidden_characters_are_written_as_python_writes_them(text: str) -> None:
    assert visible(text) == HIDDEN[text]
    assert visible(visible(text)) == HIDDEN[text]


def test_all_else_stays() -> None:
    text = "Überschwemmung 帽子　𝛼 été עברית “−±…” [red] \\x1b \N{NO-BREAK SPACE}"
    assert visible(text) == text
    written = json.dumps(text, ensure_ascii=False)
    assert visible_json(written) == written


def test_json_says_the_same_without_a_hidden_character() -> None:
    value = [*HIDDEN, {"\x9b": 1}]
    text = visible_json(json.dumps(value, ensure_ascii=False, indent=1))
    assert json.loads(text) == value
    assert all(visible(line) == line for line in text.split("\n"))
    text.encode()  # no half of a character is left
