"""The tables of a report as CSV: every row says of which study it is."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence

from xprobe.base import documents
from xprobe.base.visible import visible
from xprobe.results.distance import DistanceRow, Distances
from xprobe.results.rows import Result
from xprobe.results.study import Study

Row = Mapping[str, object]


def study_fields(study: Study) -> dict[str, object]:
    """Return what tells the rows of a study from those of others; the command stands last."""
    return {
        "study": study.key,
        "name": study.name,
        "seed": " ".join(map(str, study.seeds or (study.config.seed,))),
        "per_class": study.config.per_class,
        "folds": len({run.fold for run in study.runs}),
        "created": study.created,
        "command": study.command,
    }


def result_rows(study: Study) -> list[dict[str, object]]:
    """Return the results of a study, and beside each of which study it is."""
    return [documents.to_json(row) | study_fields(study) for row in study.results]


def results_csv(studies: Sequence[Study]) -> bytes:
    """Return results.csv: a row a setting and metric.

    The parts of a protocol are parted by semicolons, so that only names and commands have commas.
    """
    rows = [row for study in studies for row in result_rows(study)]
    for row in rows:
        row["protocol"] = str(row["protocol"]).replace(", ", "; ")
    return _csv([*documents.field_names(Result), *study_fields(studies[0])], rows)


def runs_csv(studies: Sequence[Study]) -> bytes:
    """Return runs.csv: a row a setting, repeat and fold, with the seed of its repeat."""
    rows: list[Row] = []
    for study in studies:
        encoder = study.encoder
        named = {"encoder": encoder.label, "alias": encoder.title, "head": study.config.head}
        for run in study.runs:
            shared = study_fields(study)
            if study.seeds:
                shared["seed"] = study.seeds[run.repeat // study.config.repeats % len(study.seeds)]
            rows.append(named | documents.to_json(run) | shared)
    last = study_fields(studies[0])
    columns = dict.fromkeys(name for row in rows for name in row if name not in last)
    return _csv([*columns, *last], rows)


def distances_csv(document: Distances, rows: Iterable[DistanceRow]) -> bytes:
    """Return the text of distances.csv, which has one row for each distance that was measured."""
    last = {"created": document.created, "command": document.command}
    columns = [*documents.field_names(DistanceRow), *last]
    return _csv(columns, [documents.to_json(row) | last for row in rows])


def _csv(columns: Sequence[str], rows: Iterable[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({k: visible(v) if isinstance(v, str) else v for k, v in row.items()})
    return text.getvalue().encode()
