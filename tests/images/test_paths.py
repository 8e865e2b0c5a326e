"""Paths as other systems and people write them."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from xprobe.images.paths import as_on_disk, why_no_path

COMPOSED = unicodedata.normalize("NFC", "été.png")
DECOMPOSED = unicodedata.normalize("NFD", "été.png")


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("a/1.png", "a\\1.png", "a/1.png"),
        ("a\\1.png", "a\\1.png", "a\\1.png"),  # a file may have a backslash in its name
        (f"a/{COMPOSED}", f"a/{DECOMPOSED}", f"a/{COMPOSED}"),
        (f"a/{DECOMPOSED}", f"a\\{COMPOSED}", f"a/{DECOMPOSED}"),
        (COMPOSED, "\udce9t\udce9.png", COMPOSED),
        ("a/b.tar", "a\\b.tar::c.png", "a/b.tar::c.png"),
        ("other.png", "a\\1.png", "a\\1.png"),
        ("other.png", "\udce9t\udce9.png", "\udce9t\udce9.png"),
    ],
)
def test_a_path_is_spelt_as_on_disk(tmp_path: Path, name: str, written: str, read: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    assert as_on_disk(tmp_path, written) == read


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("http://example.org/a.png", "download"),
        ("s3://bucket/a.png", "download"),
        ("file:///home/a.png", "leave out 'file://'"),
        ("a\0.png", "NUL"),
        ("100%/a%20b.png", ""),
        ("C:\\images\\a.png", ""),
        ("~/a.png", ""),
        ("a:/b.png", ""),
    ],
)
def test_what_is_no_path_is_said_with_the_remedy(path: str, why: str) -> None:
    assert why in why_no_path(path)
    assert bool(why) == bool(why_no_path(path))
