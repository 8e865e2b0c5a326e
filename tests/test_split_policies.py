"""Split policies of disasters, on features whose structure is known: what each of them answers.

Every event has one class, as in xBD. In one world the features know the place and nothing else, in
the other the disaster and nothing else. Synthetic images are edits of images from before an event
into what the same scene would look like after it, so that they know what real images know.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import SPEC, digest
from msgspec import structs

from xprobe.design.config import SweepConfig
from xprobe.distance.run import measure_domain
from xprobe.engine.execution import Execution
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest
from xprobe.results.hits import load_hits
from xprobe.results.rows import Result, SettingRow
from xprobe.results.study import Study
from xprobe.study.sweep import sweep

CLASSES, EVENTS, HELD_OUT = ("fire", "flood"), 6, 2
TRAINED, TESTED, EDITS = 3, 8, 8
DIM, NOISE, NOISE_OF_EDITS, OF_DISASTER = 128, 3.0, 0.9, 0.5

CONFIG = SweepConfig(ratios=(4,), repeats=2, inner_folds=2, c_grid=(1.0,))


def official(event: int, number: int) -> str:
    """Tiles of every event are trained on, others of the same event tested."""
    return "train" if number < TRAINED else "test"


def events(event: int, number: int) -> str:
    """Whole events of every class are tested."""
    if event < HELD_OUT:
        return "test" if number >= TRAINED else ""
    return "train" if number < TRAINED else ""


def leave_one_event_out(event: int, number: int) -> str:
    """There is no test part: the sweep makes every event a fold."""
    return "train" if number < TRAINED else ""


def target_domain(event: int, number: int) -> str:
    """The same events are tested, and images are made of other tiles of theirs."""
    return "source" if event < HELD_OUT and number < TRAINED else events(event, number)


Policy = Callable[[int, int], str]


def table_of(policy: Policy) -> Manifest:
    """Return the image table that ``import xbd`` writes for a policy, with edits."""
    edited = "source" if policy is target_domain else "train"
    rows = []
    for label in CLASSES:
        for number in range(EVENTS * (TRAINED + TESTED)):
            event, tile = f"{label}-{number % EVENTS}", f"{label}-{number:03}"
            part = policy(number % EVENTS, number // EVENTS)
            group = event if policy is leave_one_event_out else tile
            shared = {"label": label, "event": event}
            real = shared | {"source": "real", "group": group}
            if part in ("train", "test"):
                rows.append(real | {"id": f"{tile}_post", "split": part})
            if part:
                rows.append(real | {"id": f"{tile}_pre", "split": "pre"})
            edit = shared | {"source": "synthetic", "parent": f"{tile}_pre", "split": "train"}
            edit["generator"] = "edits"
            if part == edited:
                rows += [edit | {"id": f"{tile}_edit{i}"} for i in range(EDITS)]
    columns: dict[str, Any] = {
        name: [row.get(name, "") for row in rows]
        for name in ("id", "label", "source", "group", "parent", "generator", "split", "prompt")
    }
    ids = columns["id"]
    further = {"event": [row["event"] for row in rows]}
    return Manifest(path=ids, sha256=[digest(id_) for id_ in ids], further=further, **columns)  # type: ignore[arg-type]


def features_of(table: Manifest, known: str) -> np.ndarray:
    """Return features (n, DIM) that know the ``place`` or the ``disaster``, with noise."""
    rng = np.random.default_rng(0)
    event = table.column("event")
    names = sorted(set(event)) if known == "place" else list(CLASSES)
    mean = dict(zip(names, rng.normal(size=(len(names), DIM)), strict=True))
    noise = np.where(table.source == "real", NOISE, NOISE_OF_EDITS)
    x = noise[:, None] * rng.normal(size=(len(table), DIM))
    for i in range(len(table)):
        if known == "place":
            x[i] += mean[event[i]]
        elif table.split[i] != "pre":
            x[i] += OF_DISASTER * mean[table.label[i]]
    return x.astype(np.float32)


def made(folder: Path, policy: Policy, known: str) -> tuple[Manifest, Store]:
    """The table of a policy, and its features in a store."""
    table = table_of(policy)
    store = Store(folder / "features", create=True)
    encoder = store.add_encoder("one", structs.replace(SPEC, source="learned:one", dim=DIM))
    store.write_shard(encoder, list(table.sha256), features_of(table, known), {})
    return table, store


def swept(folder: Path, policy: Policy, known: str, **changes: Any) -> Study:
    config = replace(
        CONFIG, leave_one_group_out=policy is leave_one_event_out,
        balanced=policy is leave_one_event_out,
    )  # fmt: skip
    data = made(folder, policy, known)
    (study,) = sweep(
        *data, folder / "results", replace(config, **changes), execution=Execution(workers=1)
    )
    return study


def mix_of(study: Study) -> Result:
    (mix,) = (r for r in study.results if (r.setting, r.metric) == ("mix", "accuracy"))
    return mix


@pytest.mark.parametrize(
    ("policy", "of_place", "of_disaster"),
    [
        (official, "helps", "helps"),
        (events, "no detectable difference", "helps"),
        (leave_one_event_out, "no detectable difference", "helps"),
        (target_domain, "helps", "helps"),
    ],
)
def test_what_edits_are_worth_depends_on_what_is_known_and_on_what_is_tested(
    tmp_path: Path, policy: Policy, of_place: str, of_disaster: str
) -> None:
    """A gain in known events, or by edits of tiles of the target, may be the place alone."""
    studies = {known: swept(tmp_path / known, policy, known) for known in ("place", "disaster")}
    verdicts = {known: mix_of(study).verdict for known, study in studies.items()}
    assert verdicts == {"place": of_place, "disaster": of_disaster}
    accuracy = {known: study.real_only.value for known, study in studies.items()}
    if policy is official:
        assert min(accuracy.values()) > 0.65
    else:  # The place of an unseen event says nothing of its class.
        assert accuracy["place"] < 0.55 < accuracy["disaster"]
    # Every edit is of an event that is left out once in each repeat.
    edits = EDITS * TRAINED * EVENTS * len(CLASSES)
    dropped = CONFIG.repeats * edits if policy is leave_one_event_out else 0
    assert mix_of(studies["place"]).dropped_by_lineage == dropped


def test_the_place_check_flags_what_knows_the_place_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xprobe.distance.run.lay_out", lambda *_: {})  # maps take most of the time
    for known in ("place", "disaster"):
        table, store = made(tmp_path / known, official, known)
        document, _ = measure_domain(
            table, store, metrics=("energy",), by_class=False, permutations=10, workers=1
        )
        (row,) = document.place
        said = any("knows the place" in text for text in document.warnings)
        assert said == (known == "place")
        assert row.low is not None
        assert row.share is not None
        assert (row.low > row.chance) == (known == "place")
        assert (row.share > 0.6) == (known == "place")


def test_a_left_out_event_reports_the_recall_of_its_class(tmp_path: Path) -> None:
    study = swept(tmp_path, leave_one_event_out, "disaster")
    assert study.real_only.estimand == "groups"
    assert study.real_only.n_groups == len(CLASSES) * EVENTS
    hits = load_hits(tmp_path / "results", study)
    for row in (study.real_only, mix_of(study)):
        setting = SettingRow(setting=row.setting, ratio=row.ratio, generator=row.generator)
        right = hits.hit[hits.settings.index(setting)].mean(axis=0)
        assert all(len(set(hits.label[hits.group == g])) == 1 for g in set(hits.group))
        recalls = [right[hits.group == group].mean() for group in sorted(set(hits.group))]
        assert row.value == pytest.approx(np.mean(recalls))
    (said,) = study.warnings
    assert said == (
        "each of the 12 groups has images of one class: what is reported of a group is the recall "
        "of its class, learned from the other groups of that class (of fire from 5), and accuracy "
        "is the mean of that over groups"
    )


def test_a_class_that_is_rarer_without_its_event_goes_below_chance(tmp_path: Path) -> None:
    """Unless classes weigh the same: then what knows nothing is about at chance."""
    rare = swept(tmp_path / "rare", leave_one_event_out, "place", balanced=False)
    fair = swept(tmp_path / "fair", leave_one_event_out, "place")
    assert rare.real_only.value < 0.3 < 0.4 < fair.real_only.value < 0.6
    assert any("--balanced lets classes weigh the same" in text for text in rare.warnings)
    assert not any("--balanced" in text for text in fair.warnings)
