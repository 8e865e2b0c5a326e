"""``xprobe import xbd``: the table that it writes, and what it prints of every step."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import Ran, error_of, put_tile, usage_error_of

from xprobe.base.packed import packed_table


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """xBD in small: all events in their official splits, a damaged tile and another in each."""
    monkeypatch.chdir(tmp_path)
    for row in packed_table("events"):
        for j, part in enumerate(("train", "tier3", "test", "hold")):
            for i in range(2 if int(row[part]) else 0):
                name = f"{row['event']}_{10 * j + i:08d}"
                put_tile(
                    tmp_path / "xbd", part, name, row["class"], [["no-damage"], ["destroyed"]][i]
                )
    return Path("xbd")


def rows() -> list[dict[str, str]]:
    with Path("study.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_study_is_made_and_every_step_is_counted(root: Path, xprobe: Callable[..., Ran]) -> None:
    arguments = ("--damage", "any", "--per-class", "2", "--test-per-class", "1")
    ran = xprobe("import", "xbd", str(root), "-o", "study.csv", *arguments)
    assert ran.code == 0
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert "class event tiles damage any could be train could be test train test" in lines
    assert "earthquake mexico-earthquake 6 3 1 2 1 1" in lines
    assert "wind all 18 9 5 4 2 1" in lines
    assert lines[-1] == "wrote study.csv: 34 images"
    assert "warning: fewer than --per-class 2 of class earthquake (1): all of them" in ran.err
    assert Counter((row["label"], row["split"]) for row in rows() if row["split"] != "pre") == {
        **{(kind, "train"): 2 for kind in ("fire", "flooding", "tsunami", "volcano", "wind")},
        ("earthquake", "train"): 1,
        **{(kind, "test"): 1 for kind in (
            "earthquake", "fire", "flooding", "tsunami", "volcano", "wind")},
    }  # fmt: skip
    assert xprobe("scan", "study.csv").code == 0


def test_the_same_seed_makes_the_same_table(root: Path, xprobe: Callable[..., Ran]) -> None:
    def made(seed: str) -> bytes:
        arguments = ("--splits", "events", "--seed", seed)
        ran = xprobe("import", "xbd", str(root), "-o", "study.csv", *arguments, "--json")
        assert ran.json["seed"] == int(seed) and ran.json["splits"] == "events"
        assert ran.json["images"] == len(rows())
        counts = {(c["step"], c["event"]): c["n"] for c in ran.json["counts"]}
        assert counts["tiles", "mexico-earthquake"] == 6
        assert ("train", "mexico-earthquake") not in counts
        assert any("held-out events, by --seed" in line for line in ran.json["notes"])
        return Path("study.csv").read_bytes()

    assert made("1") == made("1") != made("2")


def test_errors_are_one_line(root: Path, xprobe: Callable[..., Ran]) -> None:
    assert "xBD has folders train, test, hold or tier3" in error_of(
        xprobe("import", "xbd", ".", "-o", "study.csv")
    )
    said = usage_error_of(xprobe("import", "xbd", "xbd", "-o", "study.csv", "--damage", "most"))
    assert "--damage takes all, none, any, major" in said


def test_settings_have_a_table_for_it(root: Path, xprobe: Callable[..., Ran]) -> None:
    Path("xprobe.toml").write_text('[import.xbd]\nlabel = "damage"\nper-class = 3\n')
    ran = xprobe("import", "xbd", "xbd", "-o", "study.csv", "--json")
    assert {c["class"] for c in ran.json["counts"]} == {"damaged", "undamaged"}
    assert Counter(r["label"] for r in rows() if r["split"] == "train") == {
        "damaged": 3, "undamaged": 3,
    }  # fmt: skip
