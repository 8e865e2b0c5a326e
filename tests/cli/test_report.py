"""``xprobe report``: worth, costs and warnings on the page and in the summary."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from makers import FAST, Ran, claimed, error_of, make_study

from xprobe.report.study_section import LINEAGE_IGNORED
from xprobe.results.study import save_study


def test_a_learning_curve_becomes_a_worth_in_images_and_in_money(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    xprobe("embed", "--encoder", "pixels")
    curve = (*FAST, "--real-curve", "2,3,4")
    planned = xprobe("sweep", *curve, "--dry-run", "--json").json["studies"]
    assert [row["train_per_class"] for row in planned] == [2, 3, 4]
    swept = xprobe("sweep", *curve)
    assert swept.code == 0
    for size in (2, 3, 4):
        assert f"pixels · logistic head, {size} real of each class · generator" in swept.out
    ran = xprobe("report", "--cost-real", "2", "--cost-synthetic", "0.1", "--json")
    assert ran.code == 0
    valued = ran.json["valued"]
    assert [row["title"] for row in valued] == ["1:1", "1:2"] * 2
    assert [row["synthetic_per_class"] for row in valued] == [2, 4, 3, 6]
    for row, cost in zip(valued, ("0.40", "0.80", "0.60", "1.20"), strict=True):
        assert row["cost"].startswith(f"{cost} for the synthetic, ")
        assert f"added to {row['real_per_class']:.0f} real ones, are worth" in row["words"]
    page = Path("report/index.html").read_text()
    summary = Path("report/summary.md").read_text()
    assert "What synthetic images are worth" in page
    assert "What the synthetic images are worth:" in summary
    for row in valued:
        assert row["cost"] in page
        assert row["cost"] in page
        assert row["words"] in summary
    assert "0.40 for the synthetic" in page
    assert {Path(file).stem for file in ran.json["figures"]} >= {"sizes-pixels-default"}
    plain = xprobe("report", "--json").json
    # The sweep ends in the headline that the report of its folder has.
    assert swept.out.splitlines()[-1] == plain["answer"][0]
    assert [row["cost"] for row in plain["valued"]] == [None] * 4
    assert "for the synthetic," not in Path("report/index.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_costs_without_a_learning_curve_are_a_warning(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    xprobe("embed", "--encoder", "pixels")
    xprobe("sweep", *FAST)
    ran = xprobe("report", "--cost-real", "2", "--cost-synthetic", "0.1")
    assert ran.code == 0
    assert (
        "warning: which way is cheaper needs a learning curve: run 'xprobe sweep --real-curve"
        in ran.err
    )
    assert "What synthetic images are worth" not in Path("report/index.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_a_report_holds_no_pictures_of_images_that_may_not_be_passed_on(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    """Nor once the table is gone. The labels of synthetic images are wrong, which changes much."""
    lines = ["path,label,source,parent,licence"]
    for file in sorted(data.rglob("*.png")):
        label, path = file.parent.name, file.relative_to(data.parent)
        if file.parent.parent.name == "real":
            lines.append(f"{path},{label},real,,xBD")
        else:
            wrong = "b" if label == "a" else "a"
            lines.append(f"{path},{wrong},synthetic,data/real/{label}/0.png,mine")
    table = data.parent / "table.csv"
    table.write_text("\n".join(lines))
    assert xprobe("embed", "table.csv", "--encoder", "pixels").code == 0
    assert xprobe("sweep", "table.csv", *FAST, "--ignore-lineage").code == 0
    table.unlink()
    ran = xprobe("report")
    assert ran.code == 0
    page = Path("report/index.html").read_text()
    assert "data:image/jpeg" not in page
    assert "What the mix changes" in page
    licences = "xBD (may not be passed on): 10 real and 20 synthetic images"
    assert licences in page and licences in Path("report/summary.md").read_text()
    (said,) = [line for line in ran.err.splitlines() if "left out" in line]
    assert said.endswith("'xprobe report --images' shows them in a report to keep to yourself.")
    assert said.removeprefix("warning: ").split(":")[0] in page
    (said,) = xprobe("report", "--images", "--json").json["pictures"]
    assert "keep this report to yourself" in said
    assert "data:image/jpeg" in Path("report/index.html").read_text()
    xprobe("report", "--no-images")
    assert "data:image/jpeg" not in Path("report/index.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_ignored_lineage_is_told_in_red_and_first_of_all(
    data: Path, xprobe: Callable[..., Ran]
) -> None:
    xprobe("embed", "--encoder", "pixels")
    ran = xprobe("sweep", *FAST, "--ignore-lineage")
    assert ran.code == 0
    assert ran.err.splitlines()[0].startswith("warning: LINEAGE WAS IGNORED, as asked: ")
    answer = xprobe("report", "--json").json["answer"]
    assert answer[0].startswith(f"{LINEAGE_IGNORED}. ")
    page = Path("report/index.html").read_text()
    assert f'<span class="random">{LINEAGE_IGNORED}</span>' in page
    assert re.search(r"\.random \{ color: var\(--alarm\)", page)
    assert "LINEAGE WAS IGNORED" in page
    summary = Path("report/summary.md").read_text()
    assert summary.startswith(f"# {LINEAGE_IGNORED}. ")
    assert f"({LINEAGE_IGNORED})" in summary
    xprobe("sweep", *FAST)
    assert LINEAGE_IGNORED not in xprobe("report", "--json").json["answer"][0]
    assert LINEAGE_IGNORED not in Path("report/index.html").read_text()


@pytest.mark.usefixtures("no_figures")
def test_only_some_generators_are_shown(tmp_path: Path, xprobe: Callable[..., Ran]) -> None:
    study = claimed(make_study(generators=("A", "B"), effect={"A": 0.05}))
    save_study(tmp_path / "r", study)
    report = ("report", "--results", str(tmp_path / "r"), "--out", str(tmp_path / "out"))
    said = xprobe(*report, "--generator", "B", "--json").json
    assert "Generator B" in said["answer"][0]
    assert not any("enerator A" in text for text in said["answer"])
    assert set(said["brief"]) < set(said["answer"])
    table = (tmp_path / "out" / "results.csv").read_text(encoding="utf-8")
    assert ",B," in table
    assert ",A," not in table
    both = ("answer", "figures", "tables")
    listed, repeated = (
        xprobe(*report, *names, "--json").json
        for names in (("--generator", "B,A"), ("--generator", "A", "--generator", "B"))
    )
    assert [listed[name] for name in both] == [repeated[name] for name in both]
    assert any("enerator A" in text for text in listed["answer"])
    error = error_of(xprobe(*report, "--generator", "C"))
    assert error.startswith("error: there are no results of generator C")


@pytest.mark.usefixtures("no_figures")
def test_only_some_encoders_are_shown(tmp_path: Path, xprobe: Callable[..., Ran]) -> None:
    comma = "timm:vit//weights/a,b.safetensors"
    for name in ("clip", "dino", "hog", comma):
        save_study(tmp_path / "results", claimed(make_study(name, ratios=(1,))))

    def shown(*names: str) -> set[str]:
        assert xprobe("report", *(w for n in names for w in ("--encoder", n))).code == 0
        with Path("report/results.csv").open(encoding="utf-8", newline="") as stream:
            return {row["alias"] for row in csv.DictReader(stream)}

    assert shown("clip,dino") == shown("dino", "clip") == {"clip", "dino"}
    assert shown(comma) == shown("vit") == {"vit"}
    assert shown(f"mine={comma}", "hog,clip") == {"mine", "hog", "clip"}
    error = error_of(xprobe("report", "--encoder", "clip,dinno"))
    assert error.startswith("error: there are no results of dinno (did you mean dino?)")


def test_a_report_without_results_names_the_command(xprobe: Callable[..., Ran]) -> None:
    assert "run 'xprobe sweep' first" in error_of(xprobe("report"))
