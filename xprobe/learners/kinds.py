"""What can be named in ``--heads``: one row a learner; nothing asks for a learner by its name.

Another package adds a learner with a `Kind` of its own, registered under the entry point
``xprobe.learners`` (docs/concepts/heads.md).
"""

from __future__ import annotations

import importlib
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any

from xprobe.base.errors import XprobeError
from xprobe.base.registry import Registry, by_name

# Ten values from 0.01 to 10,000, evenly spaced in their logarithm. They are written out because
# keys of studies and predictions hold every bit of them, and powers may differ among machines.
C_GRID = (
    0.01, 0.046415888336127774, 0.21544346900318834, 1.0, 4.6415888336127775, 21.54434690031882,
    100.0, 464.1588833612773, 2154.4346900318824, 10000.0,
)  # fmt: skip

DENSE_C_GRID = tuple(10.0 ** (-6 + 0.25 * i) for i in range(45))

C_RULES = ("best", "one-se")


@dataclass(frozen=True)
class Kind:
    """A kind of learner, described without importing anything heavy.

    Attributes:
        name: the name in ``--heads`` and in results.
        words: what the report says of the learner.
        made_by: ``module:class``. A head is made of a `Pool`, `Options` and the name of a torch
            device, and solves problems (`problem.Head`); what takes steps is made as
            `finetune.trainer.Trainer` is.
        needs_text: whether it starts from the text features of the classes.
        needs_memory: whether it needs all features in memory, and cannot read them in chunks.
        weighs_rows: whether it knows rows that count less than others, as mixed ones do.
        uses_device: whether a head computes on the torch device; others compute on the CPU.
        takes_steps: whether it trains a network on images, step by step. Then it has controls that
            train as long, augments images as it trains, and varies by its seed.
        strength: what is chosen on the inner folds, in words; empty: nothing is.
        version: part of the keys of predictions, if not 0; raised when a change of the learner
            changes its scores.
    """

    name: str
    words: str
    made_by: str
    needs_text: bool = False
    needs_memory: bool = False
    weighs_rows: bool = False
    uses_device: bool = False
    takes_steps: bool = False
    strength: str = "C"
    version: int = 0

    @property
    def title(self) -> str:
        """How people read it."""
        return self.name if self.takes_steps else f"{self.name} head"

    def load(self) -> Any:
        """Return what makes a learner of this kind.

        Raises:
            XprobeError: it cannot be imported.
        """
        module, _, name = self.made_by.partition(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise XprobeError(f"{self.title}: {error}; install what it needs") from error


_LOGISTIC = (
    "Multinomial logistic regression {}on frozen features of unit length, solved to the optimum"
)
_FROM_TEXT = "; its L2 penalty is on what it deviates from the zero-shot classifier"

KINDS = Registry(
    "xprobe.learners", "head", Kind,
    by_name(
        Kind(
            "logistic", _LOGISTIC.format("with an L2 penalty ") + ".",
            "xprobe.learners.logistic.head:Logistic", weighs_rows=True, uses_device=True,
        ),
        Kind(
            "ridge",
            "Ridge regression on frozen features of unit length to targets of 1 for the class and "
            "−1 for the others, solved exactly.",
            "xprobe.learners.ridge:RidgeHead", needs_memory=True,
        ),
        Kind(
            "knn",
            "Votes of the training images nearest in cosine, weighted by exp(cosine / 0.07).",
            "xprobe.learners.knn:NearestNeighbors", needs_memory=True,
            strength="the number of neighbours",
        ),
        Kind(
            "text", _LOGISTIC.format("") + _FROM_TEXT + ".",
            "xprobe.learners.logistic.text:TextHead", needs_text=True, weighs_rows=True,
            uses_device=True,
        ),
        Kind(
            "text-soft",
            _LOGISTIC.format("") + _FROM_TEXT + ", and targets of synthetic images are half the "
            "label, half the zero-shot probabilities at temperature 2.",
            "xprobe.learners.logistic.text:SoftTextHead", needs_text=True, weighs_rows=True,
            uses_device=True,
        ),
        Kind(
            "finetune", "None apart: the whole network is trained, from pixels.",
            "xprobe.learners.finetune.trainer:Trainer", takes_steps=True,
        ),
    ),
)  # fmt: skip


def kind_of(name: str) -> Kind:
    """Return the kind of a name; other packages are asked only if it is not xprobe's own.

    Raises:
        XprobeError: there is none of that name; offers the nearest names.
    """
    return KINDS.rows[name] if name in KINDS.rows else _outside(name, tuple(sys.path))


def kind_read(name: str) -> Kind:
    """Return the kind of a name that a document holds, though its package may be gone by now."""
    try:
        return kind_of(name)
    except XprobeError:
        return Kind(name, name, "")


@cache  # A look-up reads the metadata of all packages.
def _outside(name: str, _path: tuple[str, ...]) -> Kind:
    return KINDS[name]
