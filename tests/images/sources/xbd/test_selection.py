"""The steps from all tiles to those of a study, and what each of them leaves."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from makers import tiles_of_xbd

from xprobe.base.errors import XprobeError
from xprobe.images.sources.xbd.config import XbdConfig
from xprobe.images.sources.xbd.selection import Selection, select
from xprobe.images.sources.xbd.tiles import Damage, Tile


@pytest.fixture(scope="module")
def tiles() -> list[Tile]:
    """All tiles of xBD; a third of them are damaged, and a third have no building."""
    damage = (Damage((2, 0, 0, 1, 0)), Damage((3, 0, 0, 0, 0)), Damage())
    return [replace(tile, damage=damage[int(tile.number) % 3]) for tile in tiles_of_xbd()]


def totals(selection: Selection) -> dict[str, int]:
    return {step.name: step.counts.total() for step in selection.steps}


def test_without_options_there_is_one_step(tiles: list[Tile]) -> None:
    selection = select(tiles, XbdConfig())
    assert totals(selection) == {"tiles": 11034, "train": 11034}
    assert selection.steps[0].counts["earthquake", "mexico-earthquake"] == 193
    assert selection.warnings == ()


def test_every_step_says_what_it_leaves(tiles: list[Tile]) -> None:
    config = XbdConfig(damage="any", per_class=50, test_per_class=10)
    selection = select(tiles, config)
    damaged = sum(tile.damage.damaged > 0 for tile in tiles)
    assert list(totals(selection)) == [
        "tiles", "damage any", "could be train", "could be test", "train", "test",
    ]  # fmt: skip
    assert totals(selection)["damage any"] == damaged
    assert totals(selection)["could be train"] + totals(selection)["could be test"] == damaged
    assert (totals(selection)["train"], totals(selection)["test"]) == (291, 54)
    assert "fewer than --per-class 50 of class earthquake (41): all" in selection.warnings[0]
    assert "fewer than --test-per-class 10 of class volcano (4): all" in selection.warnings[1]


def test_the_table_of_a_study_names_other_classes(tiles: list[Tile]) -> None:
    stray = [replace(tiles[0], event="new-fire", number=f"{i:08d}") for i in range(4)]
    selection = select([*tiles, *stray], XbdConfig(classes="study"))
    counts = Counter(tile.label for tile in selection.division.train)
    assert counts == {
        "earthquake": 193, "wildfire": 6372, "flooding": 619 + 522 + 550 + 445, "tsunami": 344,
        "volcano": 319, "storm": 343 + 149 + 227 + 405 + 546,
    }  # fmt: skip
    assert selection.warnings == (
        "4 tiles are of 1 unknown event (left out, since the study names no class for them): "
        "new-fire (4)",
    )
    assert "taken with the class" in select([*tiles, *stray], XbdConfig()).warnings[0]


def test_damage_as_the_class_counts_graded_tiles_and_matches_events(tiles: list[Tile]) -> None:
    selection = select(tiles, XbdConfig(label="damage"))
    graded = sum(tile.damage.graded > 0 for tile in tiles)
    assert totals(selection)["graded tiles"] == graded
    counts = selection.steps[-1].counts
    assert all(counts["damaged", event] == counts["undamaged", event] for _, event in counts)


def test_nothing_left_is_an_error_and_one_class_a_warning(tiles: list[Tile]) -> None:
    with pytest.raises(XprobeError, match="no tile is left after --damage buildings:9"):
        select(tiles, XbdConfig(damage="buildings:9"))
    fires = [tile for tile in tiles if tile.label == "fire"]
    assert "needs two classes, and there is fire" in select(fires, XbdConfig()).warnings[-1]


def test_a_study_without_a_tile_to_train_on_is_no_table(tiles: list[Tile]) -> None:
    one_event_each = [t for t in tiles if t.event in ("mexico-earthquake", "joplin-tornado")]
    with pytest.raises(XprobeError, match="to train on with --splits events; left out class"):
        select(one_event_each, XbdConfig(splits="events"))
    tested = [tile for tile in tiles if tile.part == "test"]
    with pytest.raises(XprobeError, match="to train on with --splits official; no tile of class"):
        select(tested, XbdConfig(splits="official"))
