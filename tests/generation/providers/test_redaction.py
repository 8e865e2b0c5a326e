from __future__ import annotations

from urllib.parse import quote

import pytest

from xprobe.generation.providers.redaction import MOST_CHARACTERS, cleaned

KEY = "sk-proj-Zq7Yw3Kp9Lm/2Nb5Vc8=="
UUID_KEY = "0b9e4a1c-7d52-4f3e-9a61-c2d8f0e5b713"


@pytest.mark.parametrize("key", [KEY, UUID_KEY])
@pytest.mark.parametrize(
    "echo",
    ["{key}", "'{key}'.", "Bearer {key}", "?key={quoted}&x=1", "{head}***{tail}", "{head}…{rest}",
     "无效的密钥{key}", "{half}\n{rest}", "*****{tail}", "https://example.org/?k={twice}"],
)  # fmt: skip
def test_no_echo_of_the_key_is_shown(key: str, echo: str) -> None:
    half = len(key) // 2
    parts = {
        "key": key, "quoted": quote(key, safe=""), "head": key[:4], "tail": key[-4:],
        "half": key[:half], "rest": key[half:], "twice": "".join(f"%{ord(c):x}" for c in key),
    }  # fmt: skip
    shown = cleaned(f"Wrong key {echo.format(**parts)}, see our page", key)
    assert "[key]" in shown
    assert not any(part in shown for part in parts.values() if part != parts["head"])
    assert shown.endswith("see our page")


@pytest.mark.parametrize("other", ["sk-other12345", "AIzaSyD-other", "ya29.other", "ab***cd"])
def test_what_looks_like_a_key_is_not_shown_either(other: str) -> None:
    assert cleaned(f"key {other} is wrong", KEY) == "key [key] is wrong"
    assert cleaned(f"key {other} is wrong", "") == "key [key] is wrong"


def test_other_words_stay_as_they_are() -> None:
    words = "Your prompt “task-force” was rejected by the safety system (code 400, req_12): 水灾。"
    assert cleaned(words, KEY) == words
    assert cleaned(words, "") == words


def test_words_are_one_line_and_cut() -> None:
    assert cleaned(" a\n\n b\t", KEY) == "a b"
    assert cleaned("x " * 10**6, KEY) == ("x " * 10**6)[:MOST_CHARACTERS] + "…"


def test_a_key_is_not_cut_into_sight() -> None:
    for start in range(MOST_CHARACTERS - len(KEY), MOST_CHARACTERS + 1):
        shown = cleaned("x" * (start - 1) + " " + KEY, KEY)
        assert KEY[:6] not in shown
