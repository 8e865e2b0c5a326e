"""What may be claimed over all studies of a folder: one set, whatever is shown or tried again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from makers import featured
from msgspec import structs
from numpy.testing import assert_allclose

from xprobe.base.errors import XprobeError
from xprobe.design.config import Grid, SweepConfig
from xprobe.engine.execution import Execution
from xprobe.features.store import Store
from xprobe.images.manifest import Manifest
from xprobe.results.hits import Hits, hits_file, load_hits, save_hits
from xprobe.results.rows import SettingRow
from xprobe.results.study import Study, load_studies, newest
from xprobe.study.claims import is_of_set, with_claims
from xprobe.study.sweep import sweep
from xprobe.verdict.errors import mean_differences
from xprobe.verdict.joint import two_sided

CONFIG = SweepConfig(ratios=(1, 2), repeats=2, c_grid=(10.0,), inner_folds=2, folds=3)
ALONE = Execution(workers=1)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Study]]:
    """Two encoders, two generators, two ratios: eight comparisons, and what the sweep returned."""
    folder = tmp_path_factory.mktemp("claims")
    table, store = featured(folder, ("one", "two"))
    return folder / "results", sweep(table, store, folder / "results", CONFIG, execution=ALONE)


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> tuple[Manifest, Store, Path, Study]:
    """Images and features of one encoder, a folder of results, and the one study in it."""
    folder = tmp_path_factory.mktemp("single")
    table, store = featured(folder)
    (study,) = sweep(table, store, folder / "results", CONFIG, execution=ALONE)
    return table, store, folder / "results", study


def claims(studies: list[Study]) -> dict[tuple[str, str | None, float | None], float]:
    return {
        (row.encoder, row.generator, row.ratio): float(row.p_study_wide)
        for study in studies
        for row in study.results
        if row.p_study_wide is not None
    }


def test_the_set_is_every_mix_against_real_only(swept: tuple[Path, list[Study]]) -> None:
    _, studies = swept
    assert set(claims(studies)) == {
        (e, g, r) for e in ("one", "two") for g in ("x", "y") for r in (1, 2)
    }
    of_mixes = [r for s in studies for r in s.results if r.setting == "mix"]
    assert all((r.p_study_wide is None) == (r.metric != "accuracy") for r in of_mixes)


def test_it_is_never_below_the_p_of_one_comparison(swept: tuple[Path, list[Study]]) -> None:
    folder, studies = swept
    for study in studies:
        hits = load_hits(folder, study)
        real = hits.settings.index(SettingRow(setting="real-only"))
        for row in study.results:
            if row.p_study_wide is None:
                continue
            name = SettingRow(setting="mix", ratio=row.ratio, generator=row.generator)
            i = hits.settings.index(name)
            estimates = mean_differences(hits.hit[real], hits.hit[i : i + 1], hits.group)
            assert row.difference == pytest.approx(estimates.difference[0])
            assert row.se == pytest.approx(estimates.se[0])
            single = two_sided(estimates.t, estimates.df)[0]
            assert row.p_study_wide >= single - 0.01  # the error of 20,000 draws


def test_what_is_shown_changes_nothing(swept: tuple[Path, list[Study]]) -> None:
    folder, studies = swept
    every = with_claims(folder, load_studies(folder))
    assert claims(newest(every, ["one"])) == {
        name: p for name, p in claims(studies).items() if name[0] == "one"
    }
    backwards = with_claims(folder, load_studies(folder)[::-1])
    assert claims(backwards) == claims(studies)


def test_several_folders_claim_what_one_folder_does(
    swept: tuple[Path, list[Study]], tmp_path: Path
) -> None:
    folder, studies = swept
    folders = [tmp_path / name for name in ("one", "two", "both")]
    for into, parts in zip(folders, (studies[:1], studies[1:], studies), strict=True):
        (into / "studies").mkdir(parents=True)
        for study in parts:
            for file in (folder / "studies").glob(f"{study.key}.*"):
                shutil.copy(file, into / "studies")
    every = with_claims(folders[:2], load_studies(folders[:2]))
    assert claims(every) == claims(studies)
    # A file that is damaged in one folder is taken from the other.
    hits_file(folders[0], studies[0].key).write_bytes(b"")
    assert claims(with_claims(folders, load_studies(folders))) == claims(studies)
    with pytest.raises(XprobeError, match="damaged, or of another study"):
        with_claims(folders[:2], load_studies(folders[:2]))


def test_a_second_try_counts(single: tuple[Manifest, Store, Path, Study], tmp_path: Path) -> None:
    """Another configuration of the folder makes every p larger or leaves it, but for draws."""
    table, store, before, study = single
    shutil.copytree(before, tmp_path / "results")
    first = claims([study])
    second = sweep(
        table, store, tmp_path / "results", replace(CONFIG, ratios=(1, 2, 3)), execution=ALONE
    )
    again = claims(with_claims(tmp_path / "results", load_studies(tmp_path / "results")))
    assert len(load_studies(tmp_path / "results")) == 2
    assert set(claims(second)) == {("one", g, r) for g in ("x", "y") for r in (1, 2, 3)}
    assert all(again[name] >= p - 0.02 for name, p in first.items())


def test_curves_floors_and_random_weights_are_outside(swept: tuple[Path, list[Study]]) -> None:
    _, studies = swept
    study = studies[0]
    assert is_of_set(study)

    def of(**fields: str) -> Study:
        return structs.replace(study, encoder=structs.replace(study.encoder, **fields))

    assert not is_of_set(of(source="builtin:hog"))
    assert not is_of_set(of(weights="random:0"))
    half = structs.replace(study, config=structs.replace(study.config, real_fraction=0.5))
    assert not is_of_set(half)
    assert not is_of_set(structs.replace(study, hits="", key="", version=1))


def test_comparisons_on_other_images_are_taken_as_independent(
    swept: tuple[Path, list[Study]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xprobe.study import claims as module

    folder, studies = swept
    seen: list[np.ndarray] = []
    monkeypatch.setattr(
        module.joint, "step_down", lambda p, correlation, rng: seen.append(correlation) or p
    )
    with_claims(folder, studies)
    (together,) = seen
    assert_allclose(np.diag(together), 1)
    assert abs(together[:4, 4:]).max() > 0
    other = load_hits(folder, studies[1])
    moved = replace(other, image=[f"{i:064x}" for i in range(len(other.image))])
    for study, hits in ((studies[0], load_hits(folder, studies[0])), (studies[1], moved)):
        key = save_hits(tmp_path, study.key, hits)
        studies = [structs.replace(s, hits=key) if s.key == study.key else s for s in studies]
    with_claims(tmp_path, studies)
    assert_allclose(seen[1][:4, 4:], 0)
    assert_allclose(seen[1][:4, :4], together[:4, :4])


# --- hits on disk --------------------------------------------------------------------------


def test_hits_come_back_as_they_were(swept: tuple[Path, list[Study]], tmp_path: Path) -> None:
    folder, (study, _) = swept
    hits = load_hits(folder, study)
    assert hits.hit.shape == (len(hits.settings), 2, 24)
    assert set(hits.seed) == {0}
    assert len(set(hits.scene)) == len(set(hits.group)) == 12
    digest = save_hits(tmp_path, study.key, hits)
    assert digest == study.hits
    again = load_hits(tmp_path, study)
    assert again.settings == hits.settings
    for name in ("hit", "fold", "seed", "label", "image", "group"):
        np.testing.assert_array_equal(getattr(again, name), getattr(hits, name))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), "missing, and one cannot be judged with other studies"),
        (lambda file: file.write_bytes(file.read_bytes()[:-9]), "damaged, or of another study"),
        (lambda file: file.write_bytes(b""), "damaged, or of another study"),
    ],
    ids=["missing", "cut", "empty"],
)
def test_a_file_that_is_not_the_studys_is_said_with_its_remedy(
    swept: tuple[Path, list[Study]], tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    folder, (study, _) = swept
    save_hits(tmp_path, study.key, load_hits(folder, study))
    damage(hits_file(tmp_path, study.key))
    with pytest.raises(XprobeError, match=said) as error:
        with_claims(tmp_path, [study])
    assert "run" in str(error.value) and "xprobe sweep" in str(error.value)


def test_hits_that_do_not_fit_together_are_no_hits() -> None:
    fold = np.zeros((1, 3), dtype=int)
    with pytest.raises(ValueError, match="differ in length"):
        Hits((SettingRow(setting="real-only"),), np.zeros((1, 1, 3), dtype=bool), fold,
             np.zeros(1, dtype=int), ["a"] * 3, ["g"] * 3, np.zeros(2, dtype=int))  # fmt: skip


# --- seeds ---------------------------------------------------------------------------------


def test_another_seed_is_repeats_of_the_same_study(
    single: tuple[Manifest, Store, Path, Study], tmp_path: Path
) -> None:
    table, store, before, first = single
    folder = tmp_path / "results"
    shutil.copytree(before, folder)
    (both,) = sweep(table, store, folder, replace(CONFIG, seed=7), execution=ALONE)
    assert (first.seeds, both.seeds) == ((0,), (7, 0))
    assert both.protocol == "3-fold cross-validation, 4 repeats of 2 seeds"
    assert load_hits(folder, both).seed.tolist() == [7, 7, 0, 0]
    assert [study.key for study in load_studies(folder)] == [both.key]
    assert {run.repeat for run in both.runs} == {0, 1, 2, 3}
    hits = load_hits(folder, both)
    for row in both.results:
        if row.metric == "accuracy" and row.setting == "mix":
            name = SettingRow(setting="mix", ratio=row.ratio, generator=row.generator)
            assert row.value == pytest.approx(hits.hit[hits.settings.index(name)].mean())
    (again,) = sweep(table, store, folder, CONFIG, execution=ALONE)
    assert again.seeds == (0, 7)
    assert len(load_studies(folder)) == 1


def test_a_seed_that_draws_other_images_is_no_repeat(tmp_path: Path) -> None:
    table, store = featured(tmp_path)
    for number, changes in enumerate(({"holdout": 0.4, "folds": None}, {"per_class": 8})):
        config, folder = (
            replace(CONFIG, ratios=(1,), repeats=1, **changes),
            tmp_path / f"results-{number}",
        )
        for seed in (0, 1):
            (study,) = sweep(table, store, folder, replace(config, seed=seed), execution=ALONE)
        assert study.seeds == (1,)
        assert len(load_studies(folder)) == 2


# --- mixes against each other --------------------------------------------------------------


def test_mixes_are_compared_with_each_other_and_with_further_real_images(tmp_path: Path) -> None:
    table, store = featured(tmp_path, extra=24)
    (study,) = sweep(table, store, tmp_path / "results", CONFIG, Grid(), ALONE)
    named = [(c.kind, c.subject, c.against, c.generator, c.ratio) for c in study.comparisons]
    assert named == [
        ("generators", "x", "y", None, 1),
        ("generators", "x", "y", None, 2),
        ("ratios", "1:2", "1:1", "x", None),
        ("ratios", "1:2", "1:1", "y", None),
        *(("real-more", "mix", "real-more", g, r) for g in ("x", "y") for r in (1, 2)),
        ("pooled", "mix-pooled", "real-only", None, 1),
        ("pooled", "mix-pooled", "real-only", None, 2),
    ]
    value = {
        (r.setting, r.generator, r.ratio): r.value for r in study.results if r.metric == "accuracy"
    }
    expected = [
        value["mix", "x", 1] - value["mix", "y", 1],
        value["mix", "x", 2] - value["mix", "y", 2],
        value["mix", "x", 2] - value["mix", "x", 1],
        value["mix", "y", 2] - value["mix", "y", 1],
        *(value["mix", g, r] - value["real-more", None, r] for g in ("x", "y") for r in (1, 2)),
        value["mix-pooled", None, 1] - value["real-only", None, None],
        value["mix-pooled", None, 2] - value["real-only", None, None],
    ]
    assert_allclose([c.difference for c in study.comparisons], expected, atol=1e-12)
    for c in study.comparisons:
        assert c.low < c.difference < c.high
        assert (c.verdict in ("better", "worse")) == (c.p <= 0.05) == (c.low > 0 or c.high < 0)


def test_the_pooled_arm_draws_from_all_generators_alike_and_can_be_left_out(
    single: tuple[Manifest, Store, Path, Study], tmp_path: Path
) -> None:
    table, store, _, study = single
    of = {(r.setting, r.ratio): r for r in study.results if r.metric == "accuracy"}
    assert of["mix-pooled", 2].n_train_synthetic == of["mix", 2].n_train_synthetic
    assert of["mix-pooled", 2].verdict is None
    (without,) = sweep(table, store, tmp_path / "b", replace(CONFIG, pooled=False), execution=ALONE)
    assert "mix-pooled" not in {r.setting for r in without.results}
    alone = table.select(table.generator != "y")
    (single,) = sweep(alone, store, tmp_path / "c", CONFIG, execution=ALONE)
    assert "mix-pooled" not in {r.setting for r in single.results}
    assert {c.kind for c in single.comparisons} == {"ratios"}


# --- groups --------------------------------------------------------------------------------


def test_a_test_part_of_one_group_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    table, store = featured(tmp_path)
    is_test = np.array([i in ("r0-0", "r0-1") for i in table.id])
    split = np.where(is_test, "test", table.split)
    one = replace(table, split=split)
    with pytest.raises(XprobeError, match=r"all 2 test images are of one group \(scener0-0\)"):
        sweep(one, store, tmp_path / "results", replace(CONFIG, folds=None), execution=ALONE)
    assert not (tmp_path / "results").exists() or not list((tmp_path / "results").rglob("*.npz"))


def test_a_group_of_more_than_a_third_of_the_test_images_is_warned_of(tmp_path: Path) -> None:
    table, store = featured(tmp_path)
    large = [f"r{c}-{i}" for c in range(2) for i in range(5)]
    group = np.array([
        "all" if i in large else g for i, g in zip(table.id, table.group, strict=True)
    ])  # fmt: skip
    (study,) = sweep(
        replace(table, group=group), store, tmp_path / "results", CONFIG, execution=ALONE
    )
    assert any("10 of 24 test images are of one group (all)" in w for w in study.warnings)
    row = next(r for r in study.results if r.setting == "mix" and r.metric == "accuracy")
    assert row.df is not None and row.df < row.n_groups - 1
