"""What commands print: results on stdout, warnings on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

if TYPE_CHECKING:
    from xprobe.base.documents import Document

PIPE_WIDTH = 160  # columns of a table in a file or a pipe, which has no width to fit into


class Lines:
    """A standard stream that lines are printed to as they are."""

    def __init__(self, name: str) -> None:
        self.name = name

    def print(self, text: str) -> None:
        """Print a line, or several."""
        getattr(sys, self.name).write(f"{text}\n")


out, err = Lines("stdout"), Lines("stderr")


def print_json(document: Document) -> None:
    """Print a document on one line."""
    from xprobe.base import documents

    text = json.dumps(documents.to_json(document), ensure_ascii=False, allow_nan=False)
    sys.stdout.write(f"{text}\n")


def print_table(table: Table) -> None:
    """Print a table."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else PIPE_WIDTH
    Console(highlight=False, markup=False, width=width).print(table)


def warn(warnings: Sequence[str]) -> None:
    """Print what the user should know."""
    for warning in warnings:
        err.print(f"warning: {warning}")
