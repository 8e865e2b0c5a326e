"""What commands print: results on stdout, warnings on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from xprobe.base import documents
from xprobe.base.documents import Document
from xprobe.cli import progress

# In a file or a pipe there is no width to fit into.
out = Console(
    highlight=False, markup=False, soft_wrap=True, width=None if sys.stdout.isatty() else 160
)

err = progress.console


def print_json(document: Document) -> None:
    """Print a document on one line."""
    text = json.dumps(documents.to_json(document), ensure_ascii=False, allow_nan=False)
    sys.stdout.write(f"{text}\n")


def print_table(table: Table) -> None:
    """Print a table."""
    out.print(table, soft_wrap=False)


def warn(warnings: Sequence[str]) -> None:
    """Print what the user should know."""
    for warning in warnings:
        err.print(f"warning: {warning}")
