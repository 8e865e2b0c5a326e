from __future__ import annotations

import base64
import os

import pytest

from xprobe.generation.base import LostError
from xprobe.generation.providers import replies

DOCUMENT = {"a": [{"b": "x", "n": 3, "cost": 0.5}], "none": None, "yes": True}


def test_what_is_missing_is_missing() -> None:
    assert replies.part(DOCUMENT, "a", 0, "b") == "x"
    for path in (("a", 1), ("a", "b"), (0,), ("none", "x"), ("a", 0, "b", 0)):
        assert replies.part(DOCUMENT, *path) is None
    assert (replies.text(DOCUMENT, "a", 0, "b"), replies.text(DOCUMENT, "a")) == ("x", "")
    assert (replies.items(DOCUMENT, "a"), replies.items(DOCUMENT, "none")) == (DOCUMENT["a"], [])


def test_counts_and_sums_are_none_that_cannot_be() -> None:
    document = [3, -3, True, "3", 2.5, None, float("nan"), 1e9]
    assert [replies.count(document, i) for i in range(8)] == [3, *[0] * 7]
    sums = [replies.dollars(document, i) for i in range(8)]
    assert sums == [3.0, None, None, None, 2.5, None, None, None]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"<html>", b"[" * 10**5])
def test_what_is_no_json_is_no_document(body: bytes) -> None:
    assert replies.read_json(body) is None


def test_both_alphabets_of_base64_are_read() -> None:
    content = os.urandom(1000)
    assert replies.content_of(base64.b64encode(content).decode()) == content
    assert replies.content_of(base64.urlsafe_b64encode(content).decode()) == content


@pytest.mark.parametrize("encoded", ["abc", "YWI", "a b=", "????", "http://example.org/x.png"])
def test_what_is_no_base64_is_a_lost_image(encoded: str) -> None:
    with pytest.raises(LostError, match="no base64"):
        replies.content_of(encoded)
