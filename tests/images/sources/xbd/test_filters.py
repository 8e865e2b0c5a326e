"""Damage filters on the tiles with public labels, and samples that are even over events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xprobe.base.packed import packed_table
from xprobe.base.streams import stream
from xprobe.images.sources.xbd.filters import (
    by_damage,
    by_study,
    damage_filter,
    sample,
    spread,
)
from xprobe.images.sources.xbd.tiles import Damage, Tile

NO_BUILDING = Damage()


def tile(event: str, number: int, damage: Damage = NO_BUILDING, kind: str = "fire") -> Tile:
    return Tile(event, f"{number:08d}", kind, "train", "p.png", "p.json", damage=damage)


def labelled_tiles() -> Iterator[Tile]:
    """Yield a tile for each of the 9,168 with public labels, with damage as published."""
    for row in packed_table("damage"):
        n, none, whole, major, ten, half = (
            int(row[name])
            for name in ("tiles", "no_building", "undamaged", "major", "damaged_10", "damaged_half")
        )
        for i in range(n):
            if i < none:
                damage = Damage((0, 0, 0, 0, i % 2))
            elif i < none + whole:
                damage = Damage((3, 0, 0, 0, i % 2))
            else:
                rank = i - none - whole
                damaged = 10 if rank < ten else 1
                is_major = rank < major
                rest = damaged if rank < half else damaged + 1
                counts = (rest, damaged * (not is_major), 0, damaged * is_major, i % 2)
                damage = Damage(counts)
            yield tile(row["event"], i, damage)


@pytest.mark.parametrize(
    ("text", "column"),
    [("all", "tiles"), ("none", "undamaged"), ("any", "damaged"), ("major", "major"),
     ("buildings:1", "damaged"), ("buildings:10", "damaged_10"), ("share:0.5", "damaged_half")],
)  # fmt: skip
def test_each_filter_leaves_what_is_published(text: str, column: str) -> None:
    left = Counter(tile.event for tile in labelled_tiles() if damage_filter(text)(tile))
    assert left == {r["event"]: int(r[column]) for r in packed_table("damage") if int(r[column])}


def test_a_share_of_nothing_is_no_damage() -> None:
    assert not damage_filter("share:0.1")(tile("a", 0, Damage((0, 0, 0, 0, 9))))


def test_classes_of_a_study_leave_other_events_out() -> None:
    tiles = [tile("a", 0), tile("b", 0)]
    (kept,) = by_study(tiles, {"a": "wildfire"})
    assert (kept.event, kept.disaster, kept.label) == ("a", "wildfire", "wildfire")


def test_damage_as_a_class_needs_graded_buildings() -> None:
    tiles = [
        tile("a", 0), tile("a", 1, Damage((0, 0, 0, 0, 1))), tile("a", 2, Damage((1, 0, 0, 0, 0))),
        tile("a", 3, Damage((5, 1, 0, 0, 0))),
    ]  # fmt: skip
    assert [(t.number[-1], t.label) for t in by_damage(tiles)] == [
        ("2", "undamaged"), ("3", "damaged"),
    ]  # fmt: skip


CAPACITY = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9), min_size=1)


@given(CAPACITY, st.integers(0, 40))
def test_events_give_evenly_and_never_more_than_they_have(
    capacity: dict[str, int], total: int
) -> None:
    order = sorted(capacity)
    given_ = spread(capacity, total, order)
    assert sum(given_.values()) == min(total, sum(capacity.values()))
    assert all(given_[event] <= capacity[event] for event in capacity)
    most = max(given_.values())
    assert all(given_[e] >= most - 1 for e in capacity if given_[e] < capacity[e])
    more = spread(capacity, total + 1, order)
    assert all(more[event] >= given_[event] for event in capacity)
    assert spread(capacity, None, order) == capacity


def unlike() -> list[Tile]:
    """Tiles of two kinds; the events of one have 2, 5 and 90 tiles."""
    tiles = [tile(event, i) for event, n in (("a", 2), ("b", 5), ("c", 90)) for i in range(n)]
    return tiles + [tile("d", i, kind="wind") for i in range(4)]


def test_samples_are_even_nested_and_follow_from_the_seed_alone() -> None:
    def names(n: int | None, tiles: list[Tile], seed: int = 0) -> list[str]:
        return [t.name for t in sample(tiles, n, partial(stream, seed))]

    tiles = unlike()
    twelve = names(12, tiles)
    assert Counter(name[0] for name in twelve) == {"a": 2, "b": 5, "c": 5, "d": 4}
    assert names(12, tiles[::-1]) == twelve
    assert names(12, tiles, seed=1) != twelve
    for n in range(12):
        assert set(names(n, tiles)) <= set(names(n + 1, tiles))
    assert len(names(None, tiles)) == len(names(1000, tiles)) == len(tiles) == 101
    without = names(12, [tile for tile in tiles if tile.event != "d"])
    assert without == [name for name in twelve if name[0] != "d"]


def test_matched_samples_have_as_many_of_each_class_in_every_event() -> None:
    damage = {"a": (9, 3), "b": (1, 20), "c": (0, 8), "d": (6, 6)}
    tiles = by_damage(
        tile(event, 100 * is_damaged + i, Damage((1, is_damaged, 0, 0, 0)))
        for event, numbers in damage.items()
        for is_damaged, n in enumerate(numbers)
        for i in range(n)
    )
    for wanted, shares in ((None, {"a": 3, "b": 1, "d": 6}), (6, {"a": 3, "b": 1, "d": 2})):
        chosen = sample(tiles, wanted, partial(stream, 3), matched=True)
        counts = Counter((t.label, t.event) for t in chosen)
        for label in ("damaged", "undamaged"):
            of_label = {event: counts[label, event] for event in shares}
            assert sum(of_label.values()) == sum(shares.values())
            assert of_label == {event: counts["damaged", event] for event in shares}
        assert not counts["damaged", "c"]
