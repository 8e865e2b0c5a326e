"""Licences and makers of images, counted."""

from __future__ import annotations

from dataclasses import replace

from xprobe.images.manifest import Manifest
from xprobe.study.rights import dataset_counts, licence_counts, maker_counts

NAMES = ("source", "generator", "licence", "provider", "model", "terms", "watermark", "date")
ROWS = (
    ("real", "", "xBD", "", "", "", "", ""),
    ("synthetic", "flare", "xBD", "openai", "m", "https://terms", "SynthID", "2026-11-02T09:00"),
    ("synthetic", "flare", "xBD", "openai", "m", "https://terms", "SynthID", "2026-11-01T09:00"),
    ("synthetic", "flare", "xBD", "openai", "m", "https://terms", "turned off", "2026-11-03T09:00"),
    ("synthetic", "old", "", "", "", "", "", "2020"),
)  # fmt: skip


def images() -> Manifest:
    columns = dict(zip(NAMES, zip(*ROWS, strict=True), strict=True))
    ids = [str(i) for i in range(len(ROWS))]
    usual = dict.fromkeys(Manifest.columns(), [""] * len(ROWS))
    known = {"id": ids, "path": ids, "split": ["train"] * len(ROWS)}
    known |= {name: list(columns[name]) for name in ("source", "generator")}
    further = {name: list(columns[name]) for name in NAMES[2:]}
    return Manifest(**usual | known, further=further)  # type: ignore[arg-type]


def test_images_are_counted_by_who_made_them_and_how() -> None:
    rows = maker_counts(images())
    assert [(row.watermark, row.n, row.first, row.last) for row in rows] == [
        ("SynthID", 2, "2026-11-01", "2026-11-02"),
        ("turned off", 1, "2026-11-03", "2026-11-03"),
    ]
    assert {(row.generator, row.provider, row.model, row.terms) for row in rows} == {
        ("flare", "openai", "m", "https://terms")
    }


def test_images_are_counted_by_licence_and_source() -> None:
    rows = [(row.licence, row.source, row.n) for row in licence_counts(images())]
    assert rows == [("", "synthetic", 1), ("xBD", "real", 1), ("xBD", "synthetic", 3)]


def test_images_are_counted_by_data_set_as_far_as_it_is_said() -> None:
    table = images()
    assert dataset_counts(table) == []
    named = ["EuroSAT", "mine", "mine", "EuroSAT", ""]
    table = replace(table, further={**table.further, "dataset": named})
    rows = [(row.dataset, row.source, row.n) for row in dataset_counts(table)]
    assert rows == [("EuroSAT", "real", 1), ("EuroSAT", "synthetic", 1), ("mine", "synthetic", 2)]
