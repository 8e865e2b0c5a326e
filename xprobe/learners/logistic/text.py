"""Logistic heads that start from the text features of the classes (He et al. 2023)."""

from __future__ import annotations

from xprobe.learners.logistic.head import Logistic


class TextHead(Logistic):
    """A logistic head that starts from the zero-shot logits."""

    text = True


class SoftTextHead(TextHead):
    """A text head with zero-shot probabilities in the targets of synthetic rows."""

    soft = True
