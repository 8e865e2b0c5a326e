"""The study that the tests of commands run on."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from makers import MakeData


@pytest.fixture
def data(make_data: MakeData) -> Path:
    """Two classes of 5 real and 10 synthetic images each, in the folder that commands start in."""
    return make_data(real=5, synthetic=10)


@pytest.fixture
def misspelt(data: Path) -> str:
    """The same study as a manifest in which the images of class b name parents that are not there.

    Those of class a name the file of a real image alone.
    """
    file = data.parent / "misspelt.csv"
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(("path", "label", "source", "parent"))
        for path in sorted(data.rglob("*.png")):
            name, label, source = path.stem, path.parent.name, path.parent.parent.name
            real = path.with_name(f"{label}-{name}.png")
            if source == "real":
                path.rename(real)
                rows.writerow((real.relative_to(data.parent), label, source, ""))
            else:
                parent = f"{label}-{int(name) % 5}.png" if label == "a" else f"lost/{name}"
                rows.writerow((path.relative_to(data.parent), label, source, parent))
    return file.name
