"""The five policies on all 11,034 pairs of xBD: what is trained on, tested, and left out."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from makers import tiles_of_xbd

from xprobe.base.errors import OptionError
from xprobe.images.sources.xbd.config import XbdConfig
from xprobe.images.sources.xbd.filters import by_damage
from xprobe.images.sources.xbd.splits import Division, divide, events_of, held_out_events
from xprobe.images.sources.xbd.tiles import Damage, Tile, group_of


@pytest.fixture(scope="module")
def tiles() -> list[Tile]:
    return tiles_of_xbd()


def by_class(tiles: list[Tile]) -> dict[str, int]:
    return dict(sorted(Counter(tile.label for tile in tiles).items()))


def names(tiles: list[Tile]) -> set[str]:
    return {tile.name for tile in tiles}


def events(tiles: list[Tile]) -> set[str]:
    return {tile.event for tile in tiles}


def said(division: Division) -> str:
    return "\n".join([*division.warnings, *division.notes])


def test_without_a_policy_all_are_trained_on(tiles: list[Tile]) -> None:
    division = divide(tiles, XbdConfig())
    assert names(division.train) == names(tiles)
    assert not division.test and not division.sources and not said(division)
    few = divide(tiles, XbdConfig(per_class=200))
    assert by_class(few.train) == dict.fromkeys(by_class(tiles), 200) | {"earthquake": 193}
    assert "fewer than --per-class 200 of class earthquake (193): all of them" in said(few)
    share = Counter(tile.event for tile in few.train if tile.label == "volcano")
    assert share == {"guatemala-volcano": 28, "lower-puna-volcano": 172}
    fires = Counter(tile.event for tile in few.train if tile.label == "fire")
    assert len(fires) == 5 and set(fires.values()) == {40}


def test_the_official_splits_test_events_that_are_trained_on(tiles: list[Tile]) -> None:
    division = divide(tiles, XbdConfig(splits="official"))
    assert by_class(division.test) == {
        "earthquake": 72, "fire": 731, "flooding": 596, "tsunami": 83, "volcano": 10, "wind": 374,
    }  # fmt: skip
    assert len(division.train) == 11034 - 1866
    assert not names(division.train) & names(division.test)
    assert events(division.test) <= events(division.train)


def test_a_test_part_alone_is_official(tiles: list[Tile]) -> None:
    config = XbdConfig(per_class=100, test_per_class=20)
    assert config.splits == "official"
    division = divide(tiles, config)
    assert by_class(division.train) == dict.fromkeys(by_class(tiles), 100)
    assert by_class(division.test) == dict.fromkeys(by_class(tiles), 20) | {"volcano": 10}
    assert {tile.part for tile in division.test} == {"test", "hold"}
    assert "fewer than --test-per-class 20 of class volcano (10)" in said(division)


def test_strips_are_never_divided(tiles: list[Tile]) -> None:
    config = XbdConfig(splits="official", group="strip", test_per_class=5)
    division = divide(tiles, config)
    tested = {group_of(tile, "strip") for tile in division.test}
    assert not tested & {group_of(tile, "strip") for tile in division.train}
    lost = sum(t.part in ("train", "tier3") and group_of(t, "strip") in tested for t in tiles)
    assert lost and f"left out of training {lost} tiles that share a strip" in said(division)


def test_unknown_strips_of_an_event_are_one() -> None:
    tile = Tile("a", "00000001", "fire", "train", "a.png", "a.json")
    assert [group_of(tile, unit) for unit in ("tile", "strip", "event")] == [
        "a_00000001", "a_unknown-strip", "a",
    ]  # fmt: skip


def test_a_set_of_events_is_held_out_with_one_of_each_class(tiles: list[Tile]) -> None:
    chosen = set()
    for seed in range(5):
        division = divide(tiles, XbdConfig(splits="events", seed=seed, test_per_class=15))
        assert not events(division.train) & events(division.test)
        kinds = {kind: len(held) for kind, held in events_of(division.test).items()}
        assert kinds == {"fire": 2, "flooding": 1, "tsunami": 1, "volcano": 1, "wind": 2}
        assert set(by_class(division.train)) == set(kinds)
        assert set(by_class(division.test).values()) == {15}
        assert "left out class earthquake (mexico-earthquake): a class of one event" in said(
            division
        )
        assert "fewer than 5 events in the test part of class fire (2), flooding (1)" in said(
            division
        )
        chosen.add(frozenset(events(division.test)))
    assert len(chosen) > 1
    again = divide(tiles[::-1], XbdConfig(splits="events", seed=4, test_per_class=15))
    assert names(again.test) == names(division.test)


def test_every_event_but_a_single_one_is_held_out_by_some_seed(tiles: list[Tile]) -> None:
    held = [held_out_events(tiles, np.random.default_rng(seed)) for seed in range(40)]
    assert set.union(*held) == events(tiles) - {"mexico-earthquake"}


def test_each_event_can_be_left_out_in_turn(tiles: list[Tile]) -> None:
    division = divide(tiles, XbdConfig(splits="leave-one-event-out", per_class=100))
    assert not division.test
    assert events(division.train) == events(tiles) - {"mexico-earthquake"}
    assert all(len(names) > 1 for names in events_of(division.train).values())
    assert "--leave-one-group-out --group event --balanced'" in said(division)
    assert "fewer than 5 events to test in turn of class flooding (4), tsunami (2), vol" in said(
        division
    )


def test_a_target_domain_gives_sources_beside_its_test_part(tiles: list[Tile]) -> None:
    config = XbdConfig(
        splits="target-domain", train_events=("hurricane-harvey", "joplin-tornado", "palu-tsunami"),
        test_events=("nepal-flooding", "moore-tornado"), per_class=50, test_per_class=20,
    )  # fmt: skip
    division = divide(tiles, config)
    assert by_class(division.train) == {"flooding": 50, "wind": 50}
    assert by_class(division.test) == {"flooding": 20, "wind": 20}
    assert by_class(division.sources) == {"flooding": 619 - 20, "wind": 227 - 20}
    assert not names(division.sources) & names(division.test)
    assert events(division.sources) == events(division.test) == set(config.test_events)
    assert "left out class tsunami: it has no event to train on, or none to test on" in said(
        division
    )
    assert "806 tiles of the test events lie outside the test part" in said(division)
    assert "--errors-by event' takes the standard errors over the 2 test events" in said(division)
    half = divide(tiles, replace(config, test_per_class=None))
    assert by_class(half.test) == {"flooding": 310, "wind": 114}
    assert len(half.sources) == 619 + 227 - 310 - 114
    strips = divide(tiles, replace(config, test_per_class=None, group="strip"))
    used = [{group_of(t, "strip") for t in part} for part in (strips.test, strips.sources)]
    assert used[0] and used[1] and not used[0] & used[1]


def test_a_target_domain_that_tests_all_its_tiles_has_no_sources(tiles: list[Tile]) -> None:
    config = XbdConfig(
        splits="target-domain", train_events=("hurricane-harvey", "nepal-flooding"),
        test_events=("joplin-tornado", "midwest-flooding"), test_per_class=10_000,
    )  # fmt: skip
    warnings = divide(tiles, config).warnings
    assert any("choose a smaller --test-per-class" in warning for warning in warnings)


def test_unknown_events_of_a_target_domain_are_refused(tiles: list[Tile]) -> None:
    config = XbdConfig(
        splits="target-domain", train_events=("hurricane-harvy",), test_events=("nepal-flooding",)
    )
    with pytest.raises(OptionError, match=r"'hurricane-harvy' \(did you mean hurricane-harvey"):
        divide(tiles, config)


def test_damage_is_told_apart_inside_events(tiles: list[Tile]) -> None:
    graded = by_damage(
        replace(tile, damage=Damage((1, int(tile.number) % 3 == 0, 0, 0, 0))) for tile in tiles
    )
    for policy in ("official", "events", "leave-one-event-out"):
        division = divide(graded, XbdConfig(label="damage", splits=policy, per_class=60))
        for part in (division.train, division.test):
            counts = Counter((tile.label, tile.event) for tile in part)
            assert all(n == counts["undamaged", event] for (_, event), n in counts.items())
        assert by_class(division.train) == {"damaged": 60, "undamaged": 60}
        assert "mexico-earthquake" in events(division.train)


def test_a_part_without_a_class_is_told(tiles: list[Tile]) -> None:
    left = [t for t in tiles if not (t.label == "tsunami" and t.part in ("test", "hold"))]
    division = divide(left, XbdConfig(splits="official"))
    assert "no tile of class tsunami is in the test part" in said(division)
