"""Damage of a document, wherever it is, is one line; whatever is read can be reported on."""

from __future__ import annotations

import copy
import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from xprobe.base.errors import XprobeError
from xprobe.report import write as report
from xprobe.results.distance import load_distance
from xprobe.results.study import load_studies

GOLDEN = Path(__file__).parent / "golden" / "results-v1"
FINE_TUNES = "studies/89685fd158877fec384e376b7519df17.json"
CURVE = "studies/55f1a54010addfc5c537c7ce22e338ef.json"
OTHERS = (None, -1, "text", [], {}, float("nan"))

Place = tuple[Any, ...]


def nodes(raw: Any, path: Place = ()) -> Iterator[Place]:
    """Every place in a JSON value; of lists the first entry alone."""
    if path:
        yield path
    if isinstance(raw, dict):
        for name, part in raw.items():
            yield from nodes(part, (*path, name))
    elif isinstance(raw, list) and raw:
        yield from nodes(raw[0], (*path, 0))


def mutations(raw: Any) -> Iterator[tuple[Place, Any]]:
    """The value with each node left out, or something else in its place."""
    for path in nodes(raw):
        for other in (..., *OTHERS):
            new = copy.deepcopy(raw)
            part = new
            for name in path[:-1]:
                part = part[name]
            if other is ...:
                del part[path[-1]]
            else:
                part[path[-1]] = other
            yield path, new


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("name", [FINE_TUNES, CURVE, "distance.json"])
def test_a_node_that_is_something_else_is_one_line_or_harmless(tmp_path: Path, name: str) -> None:
    results = tmp_path / "results"
    (results / "studies").mkdir(parents=True)
    if name == "distance.json":
        shutil.copy(GOLDEN / CURVE, results / CURVE)
    raw = json.loads((GOLDEN / name).read_bytes())
    if "maps" in raw:
        raw["maps"] = [m | {"points": m["points"][:1]} for m in raw["maps"]]
    refused = reported = 0
    # A third of them, which meets every node, each with two kinds of damage or three.
    for number, (path, damaged) in enumerate(itertools.islice(mutations(raw), 0, None, 3)):
        (results / name).write_text(json.dumps(damaged))
        try:
            load_studies(results)
            load_distance(results)
        except XprobeError as error:
            refused += 1
            command = "distance" if name == "distance.json" else "sweep"
            said = str(error)
            assert said.startswith(f"{results / name}: damaged ("), path
            assert said.endswith(f"); delete it and run 'xprobe {command}' again"), path
            places = ("`$", "missing required field", "(results have", "(settings have")
            assert any(place in said for place in places), said
            assert "\n" not in said
            continue
        if number % 11 == 0:  # a page takes its time
            report.write_report(results, tmp_path / "out")
            reported += 1
    assert refused > 9 * reported > 0


@pytest.mark.parametrize("name", [CURVE, "distance.json"])
@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"[]", b"null", b"3", b'{"version": 1', b"[" * 100_000, None]
)
def test_a_file_that_is_no_document_is_one_line(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    (tmp_path / "studies").mkdir()
    shutil.copy(GOLDEN / CURVE, tmp_path / CURVE)
    whole = (GOLDEN / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(XprobeError, match=r"\.json: damaged \(.*\); delete it and run") as error:
        report.write_report(tmp_path, tmp_path / "out")
    assert "\n" not in str(error.value)


@pytest.mark.usefixtures("no_figures")
def test_fields_of_a_newer_xprobe_reach_the_reports_results(tmp_path: Path) -> None:
    raw = json.loads((GOLDEN / CURVE).read_bytes())
    raw["newer"] = {"a": [1]}
    raw["config"]["newer"] = raw["results"][0]["newer"] = raw["runs"][0]["newer"] = 2
    (tmp_path / "studies").mkdir()
    (tmp_path / CURVE).write_text(json.dumps(raw))
    distances = json.loads((GOLDEN / "distance.json").read_bytes())
    distances["distances"][0]["newer"] = distances["newer"] = 3
    (tmp_path / "distance.json").write_text(json.dumps(distances))
    report.write_report(tmp_path, tmp_path / "out")
    whole = json.loads((tmp_path / "out" / "results.json").read_bytes())
    assert (whole["studies"][0]["newer"], whole["studies"][0]["config"]["newer"]) == ({"a": [1]}, 2)
    assert whole["results"][0]["newer"] == 2
    assert (whole["distance"]["newer"], whole["distance"]["distances"][0]["newer"]) == (3, 3)
    header = (tmp_path / "out" / "runs.csv").read_text().splitlines()[0]
    assert "newer" in header.split(",")
