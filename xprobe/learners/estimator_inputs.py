"""What scikit-learn estimators are given, checked and in one form."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.model_selection import check_cv
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, validate_data

from xprobe.base.arrays import Floats, Ints
from xprobe.base.errors import XprobeWarning

# Principal axes cannot tell a column from a constant if it varies less than this share of the
# widest one.
_NARROW = 2e-6


def strengths(name: str, values: Any) -> tuple[float, ...]:
    """Return strengths of penalties as floats.

    Raises:
        ValueError: there are none, or one is not a finite number above 0.
    """
    try:
        numbers = tuple(float(value) for value in values)
    except TypeError:
        numbers = (np.nan,)
    if not numbers or not all(np.isfinite(value) and value > 0 for value in numbers):
        raise ValueError(f"{name} must be given as finite numbers above 0; got {values!r}")
    return numbers


def training_data(
    head: Any, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None
) -> tuple[Floats, Ints, Floats]:
    """Return checked rows (n, d), numbers of their classes (n,) and weights (n,), all float64.

    `classes_` and `n_features_in_` of the head are set. A class needs a row of weight above 0; rows
    of weight 0 have the number 0.
    """
    rows, labels = validate_data(head, X, y, dtype=np.float64)
    check_classification_targets(labels)
    weight = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
    used = weight > 0
    if not used.any():
        raise ValueError("all sample weights are zero; nothing can be learned")
    head.classes_, codes_used = np.unique(labels[used], return_inverse=True)
    if len(head.classes_) < 2:
        raise ValueError(
            f"two classes or more are needed; all rows (of weight above 0) are of one class, "
            f"{head.classes_[0]}"
        )
    _warn_of_columns(rows[used])
    codes = np.zeros(len(labels), dtype=np.intp)
    codes[used] = codes_used
    return rows, codes, weight


def _warn_of_columns(rows: Floats) -> None:
    spread, largest = np.ptp(rows, axis=0), np.abs(rows).max(axis=0)
    varied = spread > 8 * np.finfo(np.float64).eps * largest
    if few := int(np.count_nonzero(varied & (spread < _NARROW * spread.max()))):
        warnings.warn(
            f"{few} of {rows.shape[1]} columns vary a million times less than the widest one and "
            f"count as constant; standardise the features",
            XprobeWarning,
            stacklevel=4,
        )


def weights_of_classes(head: Any) -> tuple[bool, Floats]:
    """Return whether classes are balanced, and the factor (K,) of each.

    Raises:
        ValueError: `class_weight` is neither None nor ``balanced`` nor weights above 0 of labels
            that there are.
    """
    given, classes = head.class_weight, list(head.classes_)
    factors = np.ones(len(classes))
    if given is None or given == "balanced":
        return given == "balanced", factors
    if not isinstance(given, Mapping):
        raise ValueError(f"class_weight must be None, 'balanced' or a dict; got {given!r}")
    for label, factor in given.items():
        if label not in classes:
            raise ValueError(f"class_weight names {label!r}, which no row is of")
        if not (np.isfinite(factor) and factor > 0):
            raise ValueError(f"class_weight of {label!r} must be above 0; got {factor!r}")
        factors[classes.index(label)] = factor
    return False, factors


def folds_of(cv: Any, X: Floats, y: Ints, weight: Floats) -> list[tuple[Ints, Ints]]:
    """Return pairs of training and validation rows, those of weight 0 left out.

    Raises:
        ValueError: a training part lacks a class, or there are no validation rows.
    """
    used = weight > 0
    folds: list[tuple[Ints, Ints]] = []
    for pair in check_cv(cv, y, classifier=True).split(X, y):
        train, validation = (_numbers(rows, len(y)) for rows in pair)
        folds.append((train[used[train]], validation[used[validation]]))
        if len(np.unique(y[folds[-1][0]])) < len(np.unique(y[used])):
            raise ValueError(
                "the training part of a fold lacks a class: each class needs 2 rows or more, "
                "spread over the folds; choose other folds (cv)"
            )
    if not sum(len(validation) for _, validation in folds):
        raise ValueError("no fold has validation rows; choose other folds (cv)")
    return folds


def _numbers(rows: Any, n: int) -> Ints:
    """Return row numbers (m,) of row numbers or of a mask (n,)."""
    return np.asarray(np.arange(n)[np.asarray(rows)])
