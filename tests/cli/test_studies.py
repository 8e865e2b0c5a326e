"""``xprobe studies``: lists, names and removes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from makers import Ran, changed_config, claimed, error_of, make_study
from msgspec import structs

from xprobe.results.study import load_studies, save_study

SCHEMA = Path(__file__).parents[2] / "docs" / "schema"


@pytest.fixture(autouse=True)
def results(tmp_path: Path) -> Path:
    """Two studies of one encoder, of other seeds."""
    new = claimed(make_study(key="ab" * 16, created="2026-01-02", seeds=(0,)))
    old = structs.replace(
        changed_config(new, seed=1), key="cd" * 16, created="2026-01-01", seeds=(1,)
    )
    for study in (new, old):
        save_study(tmp_path / "results", study)
    return tmp_path / "results"


def test_studies_are_listed_with_what_the_report_shows(xprobe: Callable[..., Ran]) -> None:
    listed = xprobe("studies")
    assert listed.code == 0
    lines = listed.out.splitlines()
    assert any("abababab" in line and "2026-01-02" in line and "yes" in line for line in lines)
    assert any("cdcdcdcd" in line and "older; seed 1" in line for line in lines)
    document = xprobe("studies", "--json").json
    Draft202012Validator(json.loads((SCHEMA / "studies.json").read_text())).validate(document)
    new, old = document["studies"]
    assert (new["id"], new["shown"], new["why"], new["seeds"]) == ("ab" * 16, True, "", [0])
    assert (old["id"], old["shown"], old["why"], old["seeds"]) == (
        "cd" * 16, False, "older; seed 1", [1],
    )  # fmt: skip
    assert (new["ratios"], new["n_train_real"], new["head"]) == ([1, 2, 4], 80.0, "logistic")
    assert new["files"] == [f"results/studies/{'ab' * 16}.json"]


def test_a_name_is_given_kept_by_a_sweep_and_taken_away(
    results: Path, xprobe: Callable[..., Ran]
) -> None:
    named = xprobe("studies", "name", "abab", " CLIP,\n16 a class ")
    assert named.out == "abababab is called CLIP, 16 a class now\n"
    assert "CLIP, 16 a class" in xprobe("studies").out
    assert [study.name for study in load_studies(results)] == ["CLIP, 16 a class", ""]
    taken = error_of(xprobe("studies", "name", "cdcd", "CLIP, 16 a class"))
    assert "another study has the name 'CLIP, 16 a class'" in taken
    assert "at most 60 characters" in error_of(xprobe("studies", "name", "cdcd", "x" * 61))
    (shown,) = xprobe("studies", "name", "CLIP, 16 a class", "", "--json").json["studies"]
    assert shown["name"] == ""
    assert [study.name for study in load_studies(results)] == ["", ""]


def test_studies_are_removed_and_it_is_said_what_is_kept(
    results: Path, xprobe: Callable[..., Ran]
) -> None:
    assert "there is no study 'efef'" in error_of(xprobe("studies", "remove", "abab", "efef"))
    removed = xprobe("studies", "remove", "abab")
    assert removed.out == f"deleted results/studies/{'ab' * 16}.json\n"
    assert [study.key for study in load_studies(results)] == ["cd" * 16]
    document = xprobe("studies", "remove", "cdcd", "--predictions", "--json").json
    Draft202012Validator(json.loads((SCHEMA / "studies-remove.json").read_text())).validate(
        document
    )
    assert document["studies"] == ["cd" * 16]
    assert "no results" in error_of(xprobe("studies"))


def test_a_list_with_commas_is_removed_at_once(results: Path, xprobe: Callable[..., Ran]) -> None:
    save_study(results, make_study("dino", key="ef" * 16))
    assert xprobe("studies", "name", "cdcd", "16, seed 1").code == 0
    assert "no study 'gh'" in error_of(xprobe("studies", "remove", "abab,gh"))
    assert xprobe("studies", "remove", "16, seed 1", "abab,efef").code == 0
    assert list((results / "studies").glob("*.json")) == []


def test_several_folders_are_listed_together(results: Path, xprobe: Callable[..., Ran]) -> None:
    save_study(Path("more"), make_study("dino", key="ef" * 16))
    save_study(Path("more"), load_studies(results)[0])
    document = xprobe("studies", "--results", "results", "--results", "more", "--json").json
    assert {row["id"] for row in document["studies"]} == {"ab" * 16, "cd" * 16, "ef" * 16}
    (both,) = (row for row in document["studies"] if row["id"] == "ab" * 16)
    assert [Path(file).parts[0] for file in both["files"]] == ["results", "more"]


def test_the_folder_stands_after_the_command(xprobe: Callable[..., Ran]) -> None:
    ran = xprobe("studies", "--results", "results", "remove", "abab")
    assert ran.code == 2
    assert "--results stands after remove" in ran.err
