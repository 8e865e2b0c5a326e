"""Two folders of results beside each other: paired on the same test images, or with the reason."""

from __future__ import annotations

from dataclasses import replace as replaced
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from makers import changed_config, digest, make_study
from msgspec import structs

from xprobe.base.errors import XprobeError
from xprobe.results.hits import Hits, save_hits
from xprobe.results.rows import SettingRow
from xprobe.results.study import Study, save_study
from xprobe.study.beside import StudyPair, compare_results

N = 200


def hits_of(study: Study, *, gained: int = 0, repeats: int = 2, seed: int = 0) -> Hits:
    """Hits on 200 images in an order of its own; the mixes gain so many over real-only."""
    rows = [r for r in study.results if r.metric == "accuracy" and r.setting != "synthetic-only"]
    base = np.random.default_rng(9).random(N) < 0.6
    hit = np.repeat(base[None, None], len(rows), axis=0).repeat(repeats, axis=1)
    for i, row in enumerate(rows):
        if row.setting == "mix":
            hit[i][:, np.flatnonzero(~base)[:gained]] = True
    order = np.random.default_rng(seed).permutation(N)
    return Hits(
        settings=tuple(
            SettingRow(setting=r.setting, ratio=r.ratio, generator=r.generator) for r in rows
        ),
        hit=hit[:, :, order], fold=np.zeros((repeats, N), int), seed=np.arange(repeats),
        image=np.array([digest(str(i)) for i in order], object),
        group=np.array([f"{seed}-{i}" for i in order], object),
        label=np.arange(N)[order] % 2,
    )  # fmt: skip


def put(folder: Path, study: Study, hits: Hits) -> Path:
    """Save a study, the values of its rows being those of its hits."""
    value = {
        (row.setting, row.ratio): float(hits.hit[i].mean()) for i, row in enumerate(hits.settings)
    }
    rows = tuple(
        structs.replace(row, value=value.get((row.setting, row.ratio), row.value))
        for row in study.results
    )
    key = save_hits(folder, study.key, hits)
    save_study(folder, structs.replace(study, results=rows, hits=key))
    return folder


def one_pair(a: Path, b: Path) -> StudyPair:
    (pair,) = compare_results(a, b).pairs
    return pair


def test_the_same_test_images_are_paired_in_whatever_order_and_number_of_repeats(
    tmp_path: Path,
) -> None:
    study = make_study(ratios=(1,))
    a = put(tmp_path / "a", study, hits_of(study, gained=4))
    b = put(tmp_path / "b", study, hits_of(study, gained=30, repeats=3, seed=1))
    pair = one_pair(a, b)
    assert (pair.is_paired, pair.why, pair.n_train_a) == (True, "", 80)
    real, mix, alone = pair.rows
    assert (real.setting, real.difference, real.verdict) == (
        "real-only",
        0,
        "no detectable difference",
    )
    assert mix.difference == pytest.approx(26 / N)
    assert mix.difference == pytest.approx(mix.value_b - mix.value_a)  # type: ignore[operator]
    assert mix.verdict == "better"
    assert mix.low is not None and 0 < mix.low < 26 / N < (mix.high or 0)
    assert (alone.setting, alone.low, alone.p) == ("synthetic-only", None, None)  # it has no hits
    back = one_pair(b, a).rows[1]
    assert back.difference == pytest.approx(-26 / N)
    assert (back.verdict, back.p) == ("worse", mix.p)


def test_generators_of_other_names_go_together_where_each_has_one(tmp_path: Path) -> None:
    one, two = (make_study(generators=(name,), ratios=(1,)) for name in ("flux", "sdxl"))
    a, b = (put(tmp_path / s.generators[0], s, hits_of(s)) for s in (one, two))
    names = [(row.generator_a, row.generator_b) for row in one_pair(a, b).rows]
    assert names == [(None, None), ("flux", "sdxl"), ("flux", "sdxl")]
    three = make_study(generators=("sdxl", "new"), ratios=(1,))
    c = put(tmp_path / "three", three, hits_of(three))
    rows = one_pair(a, c).rows
    assert [(row.generator_a, row.generator_b) for row in rows] == [
        (None, None), ("flux", None), ("flux", None), (None, "sdxl"), (None, "sdxl"),
        (None, "new"), (None, "new"),
    ]  # fmt: skip
    assert rows[1].difference is None


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        (
            {"image": np.array([digest(f"{'x' * (i < 50)}{i}") for i in range(N)], object)},
            "tested on other images (150 of 200 and 200 are the same)",
        ),
        ({"label": (np.arange(N) + 1) % 2}, "test images have other classes"),
        (
            {"group": np.array([str(i // 2) for i in range(N)], object)},
            "test images are in other groups",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_paired_stands_side_by_side_with_the_reason(
    fields: dict[str, Any], why: str, tmp_path: Path
) -> None:
    study = make_study(ratios=(1,))
    hits = hits_of(study, gained=30)
    order = np.argsort(np.random.default_rng(0).permutation(N))
    a = put(
        tmp_path / "a",
        study,
        replaced(
            hits,
            hit=hits.hit[:, :, order],
            image=hits.image[order],
            group=hits.group[order],
            label=hits.label[order],
        ),
    )
    other = {"group": hits.group[order], "label": np.arange(N) % 2,
             "image": hits.image[order]} | fields  # fmt: skip
    b = put(tmp_path / "b", study, replaced(hits, hit=hits.hit[:, :, order], **other))
    pair = one_pair(a, b)
    assert (pair.is_paired, pair.why) == (False, why)
    assert {(row.low, row.p, row.verdict) for row in pair.rows} == {(None, None, None)}
    assert pair.rows[1].difference == 0


def test_fine_tunes_are_paired_by_their_models(tmp_path: Path) -> None:
    study = changed_config(make_study(ratios=(1,)), head="finetune")
    a = put(tmp_path / "a", study, hits_of(study))
    b = put(tmp_path / "b", study, hits_of(study, gained=30, seed=2))
    assert one_pair(a, b).is_paired
    c = put(tmp_path / "c", study, hits_of(study, repeats=3))
    assert (
        one_pair(a, c).why
        == "fine-tunes of other folds or repeats, whose models do not go together"
    )


def test_studies_of_version_1_kept_no_single_images(tmp_path: Path) -> None:
    study = make_study(ratios=(1,))
    a = put(tmp_path / "a", study, hits_of(study))
    save_study(tmp_path / "b", structs.replace(study, version=1))
    assert one_pair(a, tmp_path / "b").why.startswith("b: of version 1, which kept no single")


def test_folders_without_anything_in_common_are_an_error(tmp_path: Path) -> None:
    save_study(tmp_path / "a", make_study("clip"))
    save_study(tmp_path / "b", make_study("dino"))
    with pytest.raises(XprobeError, match=r"no encoder .* has clip \(logistic\); .* dino \(logist"):
        compare_results(tmp_path / "a", tmp_path / "b")
    with pytest.raises(XprobeError, match="are the same folder"):
        compare_results(tmp_path / "a", tmp_path / "b" / ".." / "a")
    with pytest.raises(XprobeError, match="no results; run 'xprobe sweep' first"):
        compare_results(tmp_path / "a", tmp_path / "none")


def test_studies_without_a_counterpart_are_named(tmp_path: Path) -> None:
    clip, dino = make_study("clip"), make_study("dino")
    a = put(tmp_path / "a", clip, hits_of(clip))
    put(a, dino, hits_of(dino))
    b = put(tmp_path / "b", clip, hits_of(clip))
    beside = compare_results(a, b)
    assert (beside.only_a, beside.only_b) == ((dino.key,), ())
