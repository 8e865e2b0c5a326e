"""Studies on disk: which one counts, what is damage, and what they say together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from makers import changed, changed_config, make_study
from msgspec import structs

from xprobe.base import documents
from xprobe.base.errors import XprobeError
from xprobe.encoders.spec import EncoderSpec
from xprobe.results.answers import answer_of
from xprobe.results.families import families
from xprobe.results.hits import load_hits
from xprobe.results.rows import SettingRow, verdict_kind
from xprobe.results.study import (
    STUDY_VERSION,
    EncoderUsed,
    Study,
    load_studies,
    newest,
    save_study,
    with_aliases,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "results-v1"
STUDIES = sorted((GOLDEN / "studies").glob("*.json"))


def test_optional_fields_are_written_where_they_say_something(tmp_path: Path) -> None:
    plain = documents.to_json(make_study())
    assert not {"data_value", "option_sources"} & set(plain)
    study = make_study(data_value=(), option_sources={"ratios": "command line"})
    save_study(tmp_path, study)
    (raw,) = (json.loads(file.read_bytes()) for file in (tmp_path / "studies").iterdir())
    assert raw == plain | {"data_value": [], "option_sources": {"ratios": "command line"}}
    assert load_studies(tmp_path) == [study]


def test_the_encoder_of_a_study_has_every_field_of_a_spec() -> None:
    names = documents.field_names(EncoderUsed)
    assert names == ["label", "alias", "name", "key", *documents.field_names(EncoderSpec)]


def named_study(name: str, alias: str = "", **extra: Any) -> Study:
    study = make_study(name, **extra)
    return structs.replace(study, encoder=structs.replace(study.encoder, alias=alias))


def test_a_study_of_an_older_xprobe_has_a_short_title(tmp_path: Path) -> None:
    golden = documents.read(Study, STUDIES[0], "")
    assert not golden.encoder.alias and golden.encoder.title == golden.encoder.name
    study = named_study("timm:vit//home/me/w.pth")
    assert study.encoder.title == "vit"
    save_study(tmp_path, study)
    (file,) = (tmp_path / "studies").iterdir()
    assert "alias" not in file.read_text() and load_studies(tmp_path) == [study]


def test_an_encoder_has_one_alias_and_no_two_have_the_same() -> None:
    path = "timm:vit//home/me/w.pth"
    old, new = named_study(path, "old"), named_study(path, "new", created="2027")
    bare, other = named_study(path, created="2028"), named_study("timm:vit//other.pth", "new")
    for studies in ([bare, new, old], [old, new, bare]):
        assert {study.encoder.alias for study in with_aliases(studies)} == {"new"}
    studies = with_aliases([new, other])
    first, second = (study.encoder for study in studies)
    assert (first.alias, second.alias) == (f"new@{first.key[:8]}", f"new@{second.key[:8]}")
    assert {row.alias for row in studies[0].results} == {first.alias}
    assert {row.encoder for row in studies[0].results} == {path}
    assert with_aliases([old], {path: "asked"})[0].encoder.title == "asked"
    assert with_aliases([old], {"old": "asked"})[0].encoder.title == "asked"
    (family, *_) = families(studies[0].results)
    assert (family.encoder, family.title) == (path, first.alias)


def test_any_name_of_an_encoder_picks_its_studies() -> None:
    study = named_study("timm:vit//home/me/w.pth", "lite")
    other = named_study("hog")
    for name in ("lite", "timm:vit//home/me/w.pth"):
        assert newest([study, other], [name]) == [study]
    with pytest.raises(
        XprobeError, match=r"no results of light \(did you mean lite\?\).*hog, lite"
    ):
        newest([study, other], ["light"])


def test_an_older_study_counts_for_a_generator_that_no_newer_one_has() -> None:
    new, old, oldest = (
        make_study(generators=names, created=created)
        for names, created in ((("a", "b"), "3"), (("b", "c"), "2"), (("a", "c"), "1"))
    )
    assert newest([new, old, oldest]) == [new, old]


def test_the_newest_study_of_a_kind_counts(tmp_path: Path) -> None:
    old, new = (make_study(created=f"2026-01-0{day}") for day in (1, 2))
    old = structs.replace(old, key="b")
    half = changed_config(make_study(created="2025", key="c"), real_fraction=0.5)
    for study in (new, old, half):
        save_study(tmp_path, study)
    every = load_studies(tmp_path)
    assert every == [new, old, half]
    assert newest(every) == [half, new]


def test_a_study_that_another_holds_with_more_seeds_is_left_out(tmp_path: Path) -> None:
    def of(seed: int, *seeds: int) -> Study:
        study = make_study(created=f"2026-01-0{1 + seed}", key=f"{seed}", seeds=seeds)
        return changed_config(study, seed=seed)

    first, second, both, other = of(0, 0), of(1, 1), of(2, 2, 0, 1), of(3, 3)
    for study in (first, second, both, other):
        save_study(tmp_path, study)
    assert load_studies(tmp_path) == [other, both]
    wider = changed_config(structs.replace(both, key="9"), ratios=(1,))
    save_study(tmp_path, wider)  # other ratios are no repeat of the same study
    assert {study.key for study in load_studies(tmp_path)} == {"2", "3", "9"}


def test_no_number_that_is_none_reaches_the_disk(tmp_path: Path) -> None:
    study = changed(make_study(), "results", lambda _row: True, value=float("nan"))
    with pytest.raises(ValueError, match="JSON compliant"):
        save_study(tmp_path, study)
    assert not list((tmp_path / "studies").iterdir())


def test_studies_and_encoders_that_are_missing_are_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(XprobeError, match="no results; run 'xprobe sweep' first"):
        load_studies(tmp_path)
    save_study(tmp_path, make_study())
    with pytest.raises(XprobeError, match=r"no results of clop \(did you mean clip\?\)"):
        newest(load_studies(tmp_path), ["clop"])
    save_study(tmp_path, structs.replace(make_study(), key="b", version=STUDY_VERSION + 1))
    with pytest.raises(XprobeError, match=r"b\.json: written by a newer xprobe; upgrade"):
        load_studies(tmp_path)


@pytest.mark.parametrize(
    ("place", "rows", "fields"),
    [
        ("results[0]", "results", {"verdict": "helps"}),
        ("results[0]", "results", {"difference": 0.1, "difference_low": 0.0}),
        ("results[0]", "results", {"ci_low": None}),
        ("results[0]", "results", {"setting": "mix"}),
        ("results[0]", "results", {"ratio": -1}),
        ("results[0]", "results", {"verdict": "may help"}),
        ("settings[0]", "settings", {"confusion": ((1, 2),)}),
        ("settings[0]", "settings", {"recall": (0.5,)}),
    ],
)
def test_fields_that_do_not_go_together_are_damage(
    tmp_path: Path, place: str, rows: str, fields: dict[str, object]
) -> None:
    raw = documents.to_json(make_study())
    raw[rows][0] |= fields
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "a.json").write_text(json.dumps(raw))
    with pytest.raises(XprobeError) as error:
        load_studies(tmp_path)
    assert f"at `$.{place}`); delete it and run 'xprobe sweep' again" in str(error.value)


def test_a_study_has_real_only_and_a_row_for_each_class() -> None:
    raw = documents.to_json(make_study())
    for part in ({"results": raw["results"][2:]}, {"manifest": raw["manifest"] | {"classes": []}}):
        with pytest.raises(ValueError, match=r"no accuracy of real-only|other than 0 classes"):
            documents.from_json(Study, raw | part)


def test_families_are_statistics_over_results() -> None:
    study = make_study(generators=("x", "y"))
    rows = [structs.replace(row, p_adjusted=row.p_adjusted and 0.03) for row in study.results]
    rows[2] = structs.replace(rows[2], p_study_wide=0.2)
    rows[4] = structs.replace(rows[4], p_study_wide=0.07)
    alternative = structs.replace(rows[2], augment="strong", p_adjusted=0.5, p_study_wide=None)
    judged = families([*rows, alternative])
    assert [(f.generator, f.setting, f.comparisons, f.p_smallest) for f in judged] == [
        ("x", "mix", 3, 0.03), ("x", "synthetic-only", 1, 0.03), ("y", "mix", 3, 0.03),
        ("y", "synthetic-only", 1, 0.03), (None, "alternatives", 1, 0.5),
    ]  # fmt: skip
    assert [f.p_study_wide for f in judged] == [0.07, None, None, None, None]


def test_an_answer_has_the_rows_of_all_studies_and_every_warning_once() -> None:
    studies = [make_study("a", warnings=("x", "y")), make_study("b", warnings=("y",))]
    answer = answer_of(studies, "Yes.")
    assert answer.headline == "Yes."
    assert answer.results == (*studies[0].results, *studies[1].results)
    assert [family.encoder for family in answer.families] == ["a", "a", "b", "b"]
    assert (answer.data_value, answer.warnings) == ((), ("x", "y"))


def test_the_kind_of_a_verdict_leaves_the_margin_out() -> None:
    assert verdict_kind("equivalent within ±2 points") == "equivalent"
    assert verdict_kind("no detectable difference") == "no detectable difference"
    with pytest.raises(ValueError, match="no verdict"):
        verdict_kind("equivalently")


# --- documents of the first format -------------------------------------------------------


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem[:8])
def test_a_study_is_written_again_with_all_that_it_said(file: Path) -> None:
    """What later versions added stands beside it, and says nothing."""
    study = documents.read(Study, file, "", STUDY_VERSION)
    raw, again = json.loads(file.read_bytes()), documents.to_json(study)
    assert [again.pop(name) for name in STUDY_SINCE_2] == ["", "", [], []]
    assert again["config"].pop("pooled") is True
    assert again | {"results": strip(again["results"], *ROWS_SINCE_2)} == raw
    assert (
        {row.p_study_wide for row in study.results} == {row.se for row in study.results} == {None}
    )
    parts = [study, study.encoder, study.config, study.config.recipe, study.manifest]
    parts += [*study.results, *study.classes, *study.settings, *study.runs]
    assert not any(part.unknown for part in parts if part is not None)


def test_there_are_studies_of_every_kind() -> None:
    studies = load_studies(GOLDEN)
    assert {study.config.head for study in studies} == {"logistic", "knn", "finetune"}
    assert any(study.data_value for study in studies)
    assert any(row.setting == "noise" for study in studies for row in study.results)


def strip(raw: Any, *names: str) -> Any:
    """The same JSON without fields of these names, however deep."""
    if isinstance(raw, dict):
        return {name: strip(part, *names) for name, part in raw.items() if name not in names}
    return [strip(part, *names) for part in raw] if isinstance(raw, list) else raw


LATER = (
    "p_mcnemar", "control_difference", "control_low", "control_high", "real_fraction",
    "train_per_class", "augment", "ratio_actual", "dropped_in_inner_folds", "prompts",
    "holdout", "leave_one_group_out", "ignore_lineage", "finetune_repeats", "recipe",
    "alternatives", "with_synthetic", "activation", "resize_px", "codec", "resampling",
)  # fmt: skip


def test_what_an_older_xprobe_did_not_know_has_its_default() -> None:
    raw = strip(json.loads(STUDIES[0].read_bytes()), *LATER)
    study = documents.from_json(Study, raw | {"data_value": None})
    assert study.part == (1.0, None)
    assert {row.train_per_class for row in study.results} == {None}
    assert {run.dropped_in_inner_folds for run in study.runs} == {0}
    assert (study.config.recipe, study.config.alternatives, study.prompts) == (None, (), None)


STUDY_SINCE_2 = ("key", "hits", "seeds", "comparisons")

ROWS_SINCE_2 = (
    "estimand", "se", "df", "judged_low", "judged_high", "p_study_wide",
    "within_margin", "synthetic_units",
)  # fmt: skip


def added(raw: Any) -> Any:
    """The same JSON with a further field in every object."""
    if isinstance(raw, dict):
        return {name: added(part) for name, part in raw.items()} | {"newer": [1, {"a": None}]}
    return [added(part) for part in raw] if isinstance(raw, list) else raw


def test_what_a_newer_xprobe_added_is_kept_everywhere() -> None:
    raw = added(json.loads(STUDIES[0].read_bytes()))
    del raw["versions"]["newer"]  # versions are no document: every name is a library
    again = documents.to_json(documents.from_json(Study, raw))
    kept = {name: part for name, part in again.items() if name not in STUDY_SINCE_2}
    del kept["config"]["pooled"]
    assert kept | {"results": strip(kept["results"], *ROWS_SINCE_2)} == raw
    assert all(row["newer"] == [1, {"a": None}] for row in again["results"])


# --- documents of the second format ------------------------------------------------------

GOLDEN_2 = GOLDEN.parent / "results-v2"


def test_a_study_of_version_2_is_written_again_byte_by_byte_and_has_its_hits() -> None:
    (file,) = (GOLDEN_2 / "studies").glob("*.json")
    study = documents.read(Study, file, "", STUDY_VERSION)
    assert study.version == 2
    assert documents.encode(study) == file.read_bytes()
    hits = load_hits(GOLDEN_2, study)
    assert (hits.hit.shape[1:], set(hits.seed)) == ((2, 16), {0})
    of_real = hits.settings.index(SettingRow(setting="real-only"))
    assert study.real_only.value == pytest.approx(hits.hit[of_real].mean())
    assert {c.kind for c in study.comparisons} == {"generators", "pooled"}
