"""Names of figures' files: letters of any script, safe everywhere, none twice."""

from __future__ import annotations

import unicodedata

import pytest

from xprobe.report.figures.drawing import Names


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("confusion-hog · SDXL 基线 · 1:1", "confusion-hog-SDXL-基线-1-1"),
        ("accuracy-हिन्दी", "accuracy-हिन्दी"),
        ("accuracy-مرحبا", "accuracy-مرحبا"),
        (unicodedata.normalize("NFD", "é"), "é"),
        ("<script>alert('x')</script>", "script-alert-x-script"),
        ("$\\frac{a}{b}$", "frac-a-b"),
        ('a<b>c:d"e/f\\g|h?i*j\0k\nl', "a-b-c-d-e-f-g-h-i-j-k-l"),
        ("../../etc/passwd", "etc-passwd"),
        (" end. . ", "end"),
        ("\u202egpj", "gpj"),
        ("می\u200cخواهم", "میخواهم"),
        ("NUL", "figure-NUL"),
        ("com1.txt", "figure-com1.txt"),
        ("…", "figure"),
    ],
)
def test_a_file_is_called_as_file_systems_allow(text: str, name: str) -> None:
    assert Names().new(text) == name


def test_no_two_names_are_alike() -> None:
    """File systems may ignore case and the form of letters."""
    names = Names()
    given = [names.new(t) for t in ("É", "é", "e\u0301", "ﬁ", "FI", "STRASSE", "straße", "É-2")]
    assert given == ["É", "é-2", "é-3", "ﬁ", "FI-2", "STRASSE", "straße-2", "É-2-2"]


def test_long_names_end_within_bytes_and_at_a_whole_character() -> None:
    names = Names()
    given = [names.new("帽" * 60) for _ in range(12)]
    assert max(len(name.encode()) for name in given) <= 120
    assert given[0] == "帽" * 40 and given[1] == f"{'帽' * 39}-2" and len(set(given)) == 12
    assert names.new("x" * 119 + " y") == "x" * 119
