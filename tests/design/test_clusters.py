"""Standard errors may be taken over events, while folds and lineage stay those of scenes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from makers import MakeManifest

from xprobe.base.arrays import frozen_strings
from xprobe.base.errors import OptionError, XprobeError
from xprobe.design.clusters import check_clusters, cluster_warnings, clusters_of
from xprobe.design.config import SweepConfig
from xprobe.design.design import Design, make_design
from xprobe.design.power import plan
from xprobe.images.manifest import Manifest
from xprobe.study.keys import run_keys

BY_EVENT = SweepConfig(ratios=(1,), repeats=2, errors_by="event")

Row = Mapping[str, str]


def table(make_manifest: MakeManifest, rows: Sequence[Row]) -> Manifest:
    """Return the image table of rows, which may have an event."""
    names = ("label", "id", "source", "split", "group", "parent")
    default = {"source": "real", "split": "train", "parent": ""}
    filled: list[dict[str, Any]] = [
        default | {"group": "" if "source" in row else row["id"]} | {**row} for row in rows
    ]
    manifest = make_manifest(**{name: [row[name] for row in filled] for name in names})
    event = [row.get("event", "") for row in filled]
    columns = {name: getattr(manifest, name) for name in Manifest.columns()}
    return Manifest(**columns, further={"event": frozen_strings(event)})


def images_of(make_manifest: MakeManifest, *rows: tuple[str, str]) -> Manifest:
    """Return test images of (group, event)."""
    return table(
        make_manifest,
        [
            {"id": f"i{i}", "label": "a", "group": group, "event": event}
            for i, (group, event) in enumerate(rows)
        ],
    )


@pytest.fixture
def target_domain(make_manifest: MakeManifest) -> Manifest:
    """Of each class 6 tiles of two events to train on, and 4 tiles of two other events to test on.

    Of these events there are as many tiles of which only the image from before is known. Each
    image from before has an edit: half of them are of tested tiles.
    """
    rows: list[Row] = []
    for c in "ab":
        for i in range(6):
            rows.append({"label": c, "id": f"train-{c}{i}", "event": f"old {c}{i % 2}"})
        for i in range(8):
            tile = {"label": c, "group": f"tile {c}{i}", "event": f"new {c}{i % 2}"}
            rows.append(tile | {"id": f"pre-{c}{i}", "split": "pre"})
            if i < 4:
                rows.append(tile | {"id": f"post-{c}{i}", "split": "test"})
            for n in range(2):
                edit = {"label": c, "id": f"edit-{c}{i}-{n}", "parent": f"pre-{c}{i}"}
                rows.append(edit | {"source": "synthetic"})
    return table(make_manifest, rows)


def trained_on(design: Design) -> set[str]:
    """Return the parents of all synthetic images that are trained on."""
    rows = np.concatenate([p.train for b in design.blocks for p in b.problems])
    return set(design.study.parent[rows]) - {""}


def test_the_errors_are_over_events_and_lineage_is_guarded_by_scene(
    target_domain: Manifest,
) -> None:
    design = make_design(target_domain, BY_EVENT)
    assert design.protocol == "fixed hold-out, 2 repeats, errors over 4 events"
    assert sorted(set(design.clusters)) == ["new a0", "new a1", "new b0", "new b1"]
    assert trained_on(design) <= {f"pre-{c}{i}" for c in "ab" for i in range(4, 8)}
    assert {n for b in design.blocks for n in b.dropped} == {0, 16}
    assert len(trained_on(design)) > 4


def test_nothing_else_that_is_trained_or_tested_changes(target_domain: Manifest) -> None:
    design = make_design(target_domain, BY_EVENT)
    plain = make_design(target_domain, replace(BY_EVENT, errors_by=""))
    keys = [
        run_keys(d, "encoder", config, None)
        for d, config in ((design, BY_EVENT), (plain, replace(BY_EVENT, errors_by="")))
    ]
    assert keys[0] == keys[1]
    assert plain.clusters.tolist() == plain.study.group[plain.tested].tolist()
    assert plain.protocol == "fixed hold-out, 2 repeats"
    folded = replace(BY_EVENT, folds=3)
    assert make_design(target_domain, folded).protocol == (
        "3-fold cross-validation, 2 repeats, errors over 4 events"
    )


def test_a_plan_counts_events(target_domain: Manifest) -> None:
    assert {row.groups for row in plan(target_domain, BY_EVENT, ()) if row.test_images == 8} == {4}
    plain = plan(target_domain, replace(BY_EVENT, errors_by=""), ())
    assert {row.groups for row in plain if row.test_images == 8} == {8}


def test_test_images_of_one_event_are_refused(target_domain: Manifest) -> None:
    columns = {name: getattr(target_domain, name) for name in Manifest.columns()}
    event = ["new" if e.startswith("new") else e for e in target_domain.column("event")]
    one = Manifest(**columns, further={"event": frozen_strings(event)})
    assert make_design(one, replace(BY_EVENT, errors_by=""))
    with pytest.raises(
        XprobeError,
        match=r"all 8 test images are of one event \(new\): how much events vary cannot be told "
        r"from one; put a second one into the test part, or leave out --errors-by",
    ):
        make_design(one, BY_EVENT)


def test_a_test_image_without_an_event_is_refused(make_manifest: MakeManifest) -> None:
    images = images_of(make_manifest, ("g", "x"), ("h", ""), ("k", "y"))
    with pytest.raises(
        XprobeError, match=r"--errors-by event: 1 of 3 test images have no event, such as i1; name"
    ):
        check_clusters(images, "event")
    assert check_clusters(images) == 3


def test_events_that_share_a_group_are_one(make_manifest: MakeManifest) -> None:
    images = images_of(make_manifest, ("g", "y"), ("h", "z"), ("g", "x"), ("k", "v"))
    assert clusters_of(images, "event").tolist() == ["x", "z", "x", "v"]
    assert check_clusters(images, "event") == 3
    shared, dominant = cluster_warnings(images, "event")
    assert shared.startswith("events that share a group of test images, or a copy, are one")
    assert ": y with others" in shared
    assert dominant.startswith("2 of 4 test images are of one event (x): the intervals, which are")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"errors_by": "strip"}, "--errors-by strip: it takes event"),
        ({"errors_by": "event", "leave_one_group_out": True}, "leave out --errors-by"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], words: str) -> None:
    with pytest.raises(OptionError, match=words):
        SweepConfig(**options)
