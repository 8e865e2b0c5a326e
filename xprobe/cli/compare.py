"""``xprobe compare``: two folders of results beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xprobe.cli.options import Json
from xprobe.cli.printing import out, print_json, print_table, warn


def compare(
    results_a: Annotated[
        Path, typer.Argument(metavar="RESULTS_A", help="Folder that xprobe sweep wrote.")
    ],
    results_b: Annotated[Path, typer.Argument(metavar="RESULTS_B", help="Another one.")],
    as_json: Json = False,
) -> None:
    from xprobe.cli import tables
    from xprobe.study.beside import compare_results

    beside = compare_results(results_a, results_b)
    if as_json:
        print_json(beside)
        return
    out.say(f"A: {beside.a}", f"B: {beside.b}")
    for pair in beside.pairs:
        for table in tables.of_pair(pair):
            print_table(table)
        out.say(tables.pair_words(pair))
    alone = [
        f"{side}: {n}" for side, n in (("A", len(beside.only_a)), ("B", len(beside.only_b))) if n
    ]
    if alone:
        warn([f"studies without a counterpart in the other folder: {', '.join(alone)}"])
