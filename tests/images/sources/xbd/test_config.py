"""Options of ``xprobe import xbd``: what no data could make right is refused before any is read."""

from __future__ import annotations

from typing import Any

import pytest

from xprobe.base.declared import options
from xprobe.base.errors import OptionError
from xprobe.images.sources.xbd.config import XbdConfig


def test_the_default_has_a_test_part_exactly_if_one_is_asked_for() -> None:
    assert XbdConfig().splits == "none"
    assert XbdConfig(test_per_class=3).splits == "official"
    assert XbdConfig(test_per_class=3, splits="events").splits == "events"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"splits": "offical"}, r"--splits 'offical' \(did you mean official\?\); it is none, off"),
        ({"classes": "x"}, "--classes 'x'; it is metadata or study"),
        ({"group": "scene"}, "--group 'scene'.*it is tile, strip or event"),
        ({"per_class": 0}, "--per-class must be 1 or more"),
        ({"label": "damage", "damage": "any"}, "leave out --damage"),
        ({"splits": "none", "test_per_class": 3}, "--splits none has no test part"),
        ({"splits": "leave-one-event-out", "test_per_class": 3}, "has no test part"),
        ({"splits": "official", "group": "event"}, "the official splits share their events"),
        ({"splits": "target-domain"}, "goes with --train-events and --test-events"),
        ({"train_events": ("a",)}, "goes with --train-events and --test-events"),
        (
            {"splits": "target-domain", "train_events": ("a", "b"), "test_events": ("b",)},
            "both name b",
        ),
        (
            {"splits": "target-domain", "train_events": ("a",), "test_events": ("b",),
             "group": "event"},
            "no image of a test event could be a source",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        XbdConfig(**fields)


@pytest.mark.parametrize(
    "text",
    ["", "some", "buildings:0", "buildings:", "buildings:" + "9" * 5000, "share:0", "share:2"],
)
def test_damage_is_one_of_six(text: str) -> None:
    (parse,) = [words.parse for field, words in options(XbdConfig) if field.name == "damage"]
    assert parse is not None
    with pytest.raises(ValueError, match="takes all, none, any, major"):
        parse(text)
    for known in (
        "all",
        "none",
        "any",
        "major",
        "buildings:10",
        "share:0.5",
        "share:1",
        "share:.2",
    ):
        assert parse(known) == known
