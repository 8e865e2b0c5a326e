"""Shaded tables as figures."""

from __future__ import annotations

import re

import numpy as np
from makers import make_study
from msgspec import structs

from xprobe.report.figures import maps
from xprobe.report.figures.style import finish


def numbers_of(classes: int) -> int:
    """Draw a confusion matrix; return how many numbers stand in it, the colour bar's included."""
    names = tuple(f"class {i:02d} of a long list of names" for i in range(classes))
    values = np.full((classes, classes), 100 / classes)
    values[0] = np.nan  # a class without test images
    drawing = finish("n", "confusion", 0, "t", maps.confusion, names, values, "t")
    return len(re.findall(rb"<text[^>]*>\d+</text>", drawing.svg))


def test_many_classes_hide_the_numbers() -> None:
    assert numbers_of(30) == 6
    assert numbers_of(3) == 6 + 6


def test_a_matrix_says_verdict_and_difference_in_every_cell() -> None:
    study = make_study(effect=0.05, half=0.02, ratios=(1, 2))
    mixes = [row for row in study.results if row.setting == "mix" and row.metric == "accuracy"]
    one = structs.replace(mixes[1], verdict="hurts", difference=-0.031)
    drawing = finish("n", "matrix", None, "t", maps.matrix, [("clip", [mixes[0], one])])
    texts = re.findall(rb"<text[^>]*>([^<]*)</text>", drawing.svg)
    shown = {text.decode() for text in texts}
    assert {"▲ +5.0", "▼ −3.1", "clip"} <= shown
