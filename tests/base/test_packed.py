"""Tables and prompts that xprobe brings along: they are found, and say what is published."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from xprobe.base import packed as packed_module
from xprobe.base.errors import XprobeError
from xprobe.base.packed import packed, packed_table


def test_the_events_of_xbd_are_those_of_its_splits() -> None:
    events = packed_table("events")
    pairs: Counter[str] = Counter()
    for row in events:
        pairs[row["class"]] += sum(int(row[part]) for part in ("train", "tier3", "test", "hold"))
    assert pairs == {
        "earthquake": 193, "fire": 6372, "flooding": 2132, "tsunami": 344, "volcano": 319,
        "wind": 1674,
    }  # fmt: skip
    assert len(events) == 19
    differ = {row["event"] for row in events if row["study_class"] != row["class"]} - {
        row["event"] for row in events if (row["class"], row["study_class"])
        in (("fire", "wildfire"), ("wind", "storm"))
    }  # fmt: skip
    assert differ == {"hurricane-florence", "hurricane-michael"}


def test_the_damage_of_tiles_adds_up() -> None:
    rows = packed_table("damage")
    numbers = [{k: int(v) for k, v in row.items() if k not in ("event", "part")} for row in rows]
    assert sum(row["tiles"] for row in numbers) == 9168
    for row in numbers:
        assert row["tiles"] == row["no_building"] + row["undamaged"] + row["damaged"]
        assert row["major"] <= row["damaged"] <= row["damaged_buildings"]
    assert {row["event"] for row in rows} == {row["event"] for row in packed_table("events")}


def test_no_image_of_xbd_may_be_passed_on() -> None:
    marks = {row["licence"]: row["mark"] for row in packed_table("licences") if row["mark"]}
    assert marks == {"xBD": "no-redistribution"}


def test_the_published_table_has_its_means() -> None:
    rows = packed_table("he2023")
    (eurosat,) = [r for r in rows if r["dataset"] == "EuroSAT" and r["encoder"] == "CLIP-RN50"]
    assert (eurosat["zero_shot_percent"], eurosat["with_synthetic_percent"]) == ("37.51", "55.37")


def test_what_lies_below_the_package_goes_before_what_lies_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packed_module, "_PACKAGE", tmp_path / "xprobe")
    with pytest.raises(XprobeError, match=r"lacks data/tables/a\.csv; install it again"):
        packed("tables/a.csv")
    for folder in (tmp_path, tmp_path / "xprobe"):
        (folder / "data/tables").mkdir(parents=True)
        (folder / "data/tables/a.csv").write_text(f"n\n{len(folder.parts)}\n")
        assert packed_table("a") == [{"n": str(len(folder.parts))}]
