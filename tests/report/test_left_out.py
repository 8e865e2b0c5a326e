"""What a report does not show, it lists: with the reason, and at its top."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from makers import Page, changed_config, claimed, make_study
from msgspec import structs

from xprobe.report.left_out import left_out
from xprobe.report.write import Written, write_report
from xprobe.results.study import Study, save_study


def reasons(shown: Study, *others: Study) -> list[str]:
    return [other.why for other in left_out([shown], [shown, *others])]


def test_the_reason_is_what_differs_from_the_study_that_is_shown() -> None:
    shown = make_study(created="2026", seeds=(0,))
    images = structs.replace(shown.manifest, fingerprint="0")
    encoder = structs.replace(shown.encoder, key="another")
    assert reasons(
        shown,
        structs.replace(changed_config(shown, seed=1), key="1", seeds=(1,)),
        structs.replace(changed_config(shown, per_class=8), key="2"),
        structs.replace(shown, key="3", manifest=images),
        structs.replace(shown, key="4", encoder=encoder),
        structs.replace(changed_config(shown, seed=2), key="5", version=1, seeds=()),
        structs.replace(changed_config(shown, head="knn"), key="6"),
        make_study("hog", source="builtin:hog"),
    ) == [
        "older; seed 1", "older; 8 real images of each class", "older; other images",
        "older; other weights or preprocessing", "older; seed 2; judged by the rules of version 1",
        "not asked for", "not asked for",
    ]  # fmt: skip


def test_every_option_that_differs_is_named_whatever_a_document_leaves_out() -> None:
    shown = make_study(created="2026", seeds=(0,))
    by_event = structs.replace(changed_config(shown, errors_by="event", overhead=True), key="1")
    assert reasons(shown, by_event) == ["older; errors by event; overhead"]
    older = structs.replace(shown, key="2", created="2025")
    assert reasons(structs.replace(by_event, created="2026"), older) == [
        "older; errors by group; no overhead"
    ]
    unknown = {"sieve": 3, "is_loud": False}
    newer = changed_config(shown, unknown=shown.config.unknown | unknown, alternatives=("classic",))
    assert reasons(structs.replace(newer, key="3"), older) == ["older; no alternatives; no sieve"]
    prompted = structs.replace(changed_config(older, seed=1), seeds=(1,), prompts="disasters-en")
    assert reasons(shown, prompted) == ["older; seed 1; other prompts"]


def test_a_study_whose_repeats_are_pooled_is_said_to_be_part_of_another() -> None:
    def of(seed: int, *seeds: int) -> Study:
        study = make_study(created=f"2026-01-0{1 + seed}", key=f"{seed}", seeds=seeds)
        return changed_config(study, seed=seed)

    both, again, alone = of(5, 1, 0), of(1, 0, 1), of(0, 0)
    part = "its repeats are part of the study of seeds 1, 0"
    assert reasons(both, again, alone) == [part, part]


def in_folder(folder: Path, *studies: Study) -> None:
    for study in studies:
        save_study(folder, claimed(study))


def report_of(tmp_path: Path, *folders: str) -> tuple[Written, str, str]:
    out = tmp_path / "report"
    said = write_report([tmp_path / folder for folder in folders], out)
    page = " ".join(Page((out / "index.html").read_text(encoding="utf-8")).texts)
    return said, page, (out / "summary.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("no_figures")
def test_every_study_that_is_not_shown_stands_at_the_top(tmp_path: Path) -> None:
    shown = make_study(created="2026", ratios=(1,))
    olds = [
        structs.replace(changed_config(shown, seed=i), key=f"{i:032d}", created=f"2025-{i:02}")
        for i in range(1, 10)
    ]
    in_folder(tmp_path / "r", shown, *olds)
    said, page, summary = report_of(tmp_path, "r")
    assert [row.study for row in said.not_shown] == [study.key for study in olds[::-1]]
    assert {row.title for row in said.not_shown} == {"clip"}
    for text, end in ((page, "Differences to real-only"), (summary, "## ")):
        top = text[: text.index(end)]
        assert "9 other studies of these results are not shown; all count in the study-wide" in top
        for i in range(1, 10):
            assert f"clip (older; seed {i}; id 00000000)" in top
    (line,) = (text for text in said.answer if "are not shown" in text)
    assert line.count("clip (older") == 6
    assert line.endswith("and 3 more ('xprobe studies' lists them).")
    # Whoever shows them all leaves none out.
    in_folder(tmp_path / "s", shown)
    said, page, summary = report_of(tmp_path, "s")
    assert said.not_shown == ()
    assert "of these results" not in page + summary


@pytest.mark.usefixtures("no_figures")
def test_several_folders_are_taken_as_one(tmp_path: Path) -> None:
    a, b = make_study("a", ratios=(1,)), make_study("b", ratios=(1,), created="2026-02")
    in_folder(tmp_path / "one", a)
    in_folder(tmp_path / "two", b, structs.replace(a, created="2025", warnings=("old",)))
    said, page, _ = report_of(tmp_path, "one", "two", "one")
    assert "(median of the 2 encoders; range +5.0 … +5.0)." in said.answer[0]
    assert said.answer[1] == "What is claimed holds over all 2 mixes of these results together."
    assert said.not_shown == ()  # the study that lies in both is one
    assert "old" not in page.split()
    whole = json.loads((tmp_path / "report" / "results.json").read_bytes())
    assert {(row["encoder"], row["study"]) for row in whole["results"]} == {
        ("a", a.key), ("b", b.key),
    }  # fmt: skip


@pytest.mark.usefixtures("no_figures")
def test_a_name_stands_in_the_report_and_its_tables(tmp_path: Path) -> None:
    in_folder(tmp_path / "r", make_study(ratios=(1,), name="16 <of> each"))
    said, page, summary = report_of(tmp_path, "r")
    assert any(text.startswith("16 <of> each · generator default · 1:1 (") for text in said.answer)
    assert "16 <of> each default 1:1" in page
    assert "16 \\<of\\> each" in summary
    assert page.count("16 <of> each clip") == 1  # what it is stands below its heading
    assert ",16 <of> each," in (tmp_path / "report" / "results.csv").read_text(encoding="utf-8")
