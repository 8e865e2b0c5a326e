"""A report has the tables that the documentation lists, with just their columns."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from draw_map import ROOT
from makers import make_study

from xprobe.report.tables.classes import CLASSES, CONFUSION
from xprobe.report.tables.columns import OF_STUDY
from xprobe.report.tables.predictions import PREDICTIONS
from xprobe.report.tables.results import RESULTS
from xprobe.report.tables.write import Contents, write_tables
from xprobe.results.study import Study
from xprobe.verdict.metrics import METRICS

PAGE = (ROOT / "docs/reference/tables.md").read_text(encoding="utf-8")


def documented(title: str) -> list[str]:
    """Return the columns that a section of the page lists, METRIC being every metric but one."""
    section = PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`.*?`) \|", section, flags=re.M)
    names = [name for cell in cells for name in re.findall(r"`([\w ]+)`", cell)]
    first = next((i for i, name in enumerate(names) if "METRIC" in name), 0)
    ends = [name.removeprefix("METRIC") for name in names if name.startswith("METRIC")]
    others = [f"{metric}{end}" for metric in list(METRICS)[1:] for end in ends]
    return names[:first] + others + names[first + len(ends) :]


def written(out: Path, *studies: Study) -> tuple[list[str], list[str]]:
    """Write the tables of studies; return their names, and what they lack."""
    tables, lacks = write_tables(out, Contents(out, studies, (), None, ()))
    return [file.name for file in tables], lacks


@pytest.mark.parametrize(
    ("title", "columns"),
    [
        ("results.csv and results.parquet", list(RESULTS)),
        ("predictions.parquet", list(PREDICTIONS)),
        ("classes.csv", list(CLASSES)),
        ("confusion.csv", list(CONFUSION)),
    ],
)
def test_every_column_is_documented_in_its_place(title: str, columns: list[str]) -> None:
    assert documented(title) == columns


def test_the_tables_are_those_that_are_documented(tmp_path: Path) -> None:
    study = make_study(generators=("g,1", "=g"))
    for name in ("distances.csv", "predictions.parquet"):
        (tmp_path / name).write_text("of a former report")
    names, lacks = written(tmp_path, study)
    listed = re.findall(r"`([\w.]+\.(?:csv|parquet|json))`", PAGE.split("\n## ")[0])
    assert set(listed) == {*names, "distances.csv", "predictions.parquet"}
    assert sorted([*names, "README.md"]) == sorted(file.name for file in tmp_path.iterdir())
    assert len(lacks) == 1
    assert lacks[0].startswith("predictions.parquet lacks clip: an older xprobe")
    columns = {"results": RESULTS, "classes": CLASSES, "confusion": CONFUSION}
    rows = {
        name: list(csv.reader(io.StringIO((tmp_path / f"{name}.csv").read_text("utf-8"))))
        for name in (*columns, "runs")
    }
    assert {name: rows[name][0] for name in columns} == {k: list(v) for k, v in columns.items()}
    assert rows["runs"][0][-len(OF_STUDY) :] == list(OF_STUDY)
    settings = len(study.settings)
    counted = {name: len(table) - 1 for name, table in rows.items() if name != "confusion"}
    assert counted == {"results": settings, "classes": settings * 2, "runs": settings}


def test_results_are_the_same_in_csv_and_parquet(tmp_path: Path) -> None:
    written(tmp_path, make_study(generators=("g,1", "h\n2")), make_study("other", margin=0.1))
    with (tmp_path / "results.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    table = pq.read_table(tmp_path / "results.parquet").to_pylist()
    assert [list(row) for row in table] == [list(row) for row in rows]
    for row, typed in zip(rows, table, strict=True):
        for name, cell in row.items():
            value = typed[name]
            is_number = RESULTS[name] in (int, float)
            assert cell == ("" if value is None else cell if is_number else str(value))
            assert value is None or not is_number or float(cell) == value


def test_the_card_lists_the_tables_and_leaves_another_readme_alone(tmp_path: Path) -> None:
    study = make_study()
    names, before = written(tmp_path, study)
    card = (tmp_path / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r'path: "(.+)"', card)
    assert sorted(listed) == sorted(name for name in names if name.endswith(".csv"))
    assert listed[0] == "results.csv" and written(tmp_path, study)[1] == before
    (tmp_path / "README.md").write_text("mine")
    _, lacks = written(tmp_path, study)
    assert lacks[:-1] == before and "README.md is another file, and stays" in lacks[-1]
    assert (tmp_path / "README.md").read_text() == "mine"
