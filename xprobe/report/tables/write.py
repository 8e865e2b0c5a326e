"""All tables of a report → its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from xprobe.base import documents
from xprobe.base.atomic import put
from xprobe.report.tables.card import CARD, card, is_card
from xprobe.report.tables.classes import CLASSES, CONFUSION, classes, confusion
from xprobe.report.tables.columns import study_fields
from xprobe.report.tables.formats import csv_bytes, parquet_bytes
from xprobe.report.tables.predictions import write_predictions
from xprobe.report.tables.results import RESULTS, comparisons, runs
from xprobe.results.distance import DistanceRow, Distances
from xprobe.results.families import Family
from xprobe.results.study import Results, Study


class Contents(NamedTuple):
    """What a report shows.

    Attributes:
        results: folders that it is of.
        studies: its studies.
        compared: families of their comparisons.
        document: what `xprobe distance` found; None if it was not run.
        distances: those of the encoders that are contents.
    """

    results: Results
    studies: Sequence[Study]
    compared: Sequence[Family]
    document: Distances | None
    distances: Sequence[DistanceRow]


def write_tables(
    out: Path, contents: Contents, predictions: bool | None = None
) -> tuple[list[Path], list[str]]:
    """Write the tables of a report, and delete those of a former one that it does not have.

    Args:
        out: the folder of the report.
        contents: what the report shows.
        predictions: whether to write predictions.parquet; None: unless it would be large.

    Returns:
        The tables, and sentences on what they lack.
    """
    studies = contents.studies
    rows = comparisons(studies)
    tables = {
        "results.csv": csv_bytes(RESULTS, rows),
        "results.parquet": parquet_bytes(RESULTS, rows),
        "classes.csv": csv_bytes(CLASSES, classes(studies)),
        "confusion.csv": csv_bytes(CONFUSION, confusion(studies)),
        "runs.csv": csv_bytes(*runs(studies)),
        "results.json": documents.encode(_whole(contents)),
    }
    if contents.document is not None:
        tables["distances.csv"] = _distances_csv(contents.document, contents.distances)
    else:
        (out / "distances.csv").unlink(missing_ok=True)  # a former report has left it
    for name, content in tables.items():
        put(out / name, content)
    files = [out / name for name in tables]
    large = out / "predictions.parquet"
    lacks = write_predictions(large, contents.results, studies, predictions)
    if large.is_file():
        files.append(large)
    return files, [*lacks, *_write_card(out, files)]


def _write_card(out: Path, files: Sequence[Path]) -> list[str]:
    """Write the card by which the datasets library opens the tables, unless another file is there.

    Returns:
        What there is to say if it is not written.
    """
    place = out / CARD
    if place.exists() and not is_card(place.read_bytes()):
        return [
            f"{place} is another file, and stays: 'load_dataset' does not find the tables by it"
        ]
    # The library opens files of one format in a folder.
    tables = {file.stem: {"train": file.name} for file in files if file.suffix == ".csv"}
    lines = [
        f"Tables of a report of xprobe, each of which opens by its name: {', '.join(tables)}. All "
        f"rows are in a split train, since the library names one.",
        '```python\nimport datasets\n\nresults = datasets.load_dataset("PATH OF THIS FOLDER", '
        '"results", split="train")\n```',
        'Parquet files open with `load_dataset("parquet", data_files="results.parquet")`.',
    ]
    put(place, card(tables, "Do synthetic images help?", lines, ()))
    return []


def _distances_csv(document: Distances, rows: Sequence[DistanceRow]) -> bytes:
    """Return the text of distances.csv, which has one row for each distance that was measured."""
    last = {"created": document.created, "command": document.command}
    columns = [*documents.field_names(DistanceRow), *last]
    return csv_bytes(columns, [documents.to_json(row) | last for row in rows])


def _whole(contents: Contents) -> Mapping[str, object]:
    """Return results.json: every number of the report, a row a setting and metric."""
    whole: dict[str, object] = {
        "results": [
            documents.to_json(row) | of_study
            for study in contents.studies
            for of_study in (study_fields(study),)
            for row in study.results
        ],
        "families": contents.compared,
        "studies": [_about(study) for study in contents.studies],
    }
    return whole if contents.document is None else whole | {"distance": contents.document}


def _about(study: Study) -> Mapping[str, object]:
    """Return a study as JSON without its results and runs, which have tables of their own."""
    apart = ("results", "runs", "predictions")
    return {name: part for name, part in documents.to_json(study).items() if name not in apart}
