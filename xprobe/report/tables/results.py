"""results.csv, a row a comparison with all of its metrics, and runs.csv, a row a fold of it."""

from __future__ import annotations

from collections.abc import Sequence

from xprobe.base import documents
from xprobe.report.tables.columns import (
    OF_STUDY,
    Columns,
    Row,
    named,
    seed_of,
    study_fields,
    types_of,
)
from xprobe.report.words import verdict_word
from xprobe.results.rows import Result
from xprobe.results.study import Study
from xprobe.verdict.metrics import METRICS

ACCURACY = "accuracy"

# The fields of a `Result` that every metric has, by the end of their column's name, which begins
# with the metric's. All other fields are those of a setting, or of its accuracy alone.
_OF_METRIC = {
    "": "value", "_low": "ci_low", "_high": "ci_high", "_difference": "difference",
    "_difference_low": "difference_low", "_difference_high": "difference_high",
}  # fmt: skip


def _of_metric(metric: str) -> dict[str, str]:
    """Return the fields of a metric by the names of its columns."""
    return {f"{metric}{end}": field for end, field in _OF_METRIC.items()}


def _columns() -> dict[str, type]:
    """Return the columns of results.csv: in place of one metric of a `Result` there are all."""
    fields = documents.field_names(Result)
    is_apart = ("metric", *_OF_METRIC.values())
    start = fields.index("metric")
    before, after = (
        types_of(Result, [name for name in part if name not in is_apart])
        for part in (fields[:start], fields[start:])
    )
    of_metrics = [dict.fromkeys(_of_metric(metric), float) for metric in METRICS]
    return before | of_metrics[0] | after | {k: v for d in of_metrics[1:] for k, v in d.items()}


RESULTS: Columns = _columns() | dict(OF_STUDY)
"""The columns of results.csv and results.parquet; accuracy, which is judged, is the first metric.

They are those of every report, so that tables can be put under each other: a metric that says
nothing of so many classes leaves its cells empty.
"""


def comparisons(studies: Sequence[Study]) -> list[Row]:
    """Return the rows of results.csv: one a setting of a study.

    The parts of a protocol are parted by semicolons, so that only names and commands have commas. A
    verdict is the word of the page.
    """
    return [row for study in studies for row in _comparisons(study)]


def _comparisons(study: Study) -> list[Row]:
    by_setting: dict[tuple[object, ...], list[Result]] = {}
    for result in study.results:
        by_setting.setdefault(tuple(named(result).values()), []).append(result)
    rows: list[Row] = []
    of_study = study_fields(study)
    for metrics in by_setting.values():
        # Accuracy says what is judged, and over what the mean is; all else is the same for each.
        judged = next((row for row in metrics if row.metric == ACCURACY), metrics[0])
        cells = {
            column: getattr(row, field)
            for row in metrics
            for column, field in _of_metric(row.metric).items()
        }
        words = {
            "protocol": judged.protocol.replace(", ", "; "),
            "verdict": verdict_word(judged) or None,
        }
        rows.append(documents.to_json(judged) | cells | of_study | words)
    return rows


def runs(studies: Sequence[Study]) -> tuple[list[str], list[Row]]:
    """Return the columns and rows of runs.csv: one a setting, repeat and fold, with its seed."""
    rows: list[Row] = []
    for study in studies:
        of_study = study_fields(study)
        first = {
            "encoder": study.encoder.label,
            "alias": study.encoder.title,
            "head": study.config.head,
        }
        rows += [
            first | documents.to_json(run) | of_study | {"seed": seed_of(study, run)}
            for run in study.runs
        ]
    columns = dict.fromkeys(name for row in rows for name in row if name not in OF_STUDY)
    return [*columns, *OF_STUDY], rows
