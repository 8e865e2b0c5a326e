"""The learners by name."""

from __future__ import annotations

HEADS = ("logistic", "ridge", "knn", "text", "text-soft")

FINETUNE = "finetune"  # instead of the name of a head: the whole network is trained

C_RULES = ("best", "one-se")

MEMORY_GIB = 2.0  # features of up to this size are held in memory

WHOLE_HEADS = ("ridge", "knn")  # cannot read features chunk by chunk

TEXT_HEADS = ("text", "text-soft")  # need text features

WEIGHTED_HEADS = ("logistic", *TEXT_HEADS)  # know rows that count less than others
