"""``xprobe demo``: a true study that needs no images, weights or network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xprobe.cli import progress
from xprobe.cli.options import Json
from xprobe.cli.printing import notes, out, print_json, warn
from xprobe.cli.sweep import print_tables


def demo(
    folder: Annotated[Path, typer.Option("--out", help="Folder to work in.")] = Path("xprobe-demo"),
    as_json: Json = False,
) -> None:
    from xprobe import demo as demonstration
    from xprobe.report.write import write_report
    from xprobe.results.answers import DemoAnswer, answer_of
    from xprobe.results.study import with_aliases

    if not as_json:
        notes.print(*demonstration.ABOUT.strip().splitlines(), "")
    studies = with_aliases(demonstration.run(folder, progress.bar))
    with progress.busy("drawing figures"):
        written = write_report(folder / "results", folder / "report")
    headline = written.brief[0]
    answer = answer_of(studies, headline)
    if as_json:
        print_json(
            DemoAnswer(
                headline=headline, results=answer.results, families=answer.families,
                report=written.report,
            )
        )  # fmt: skip
        return
    print_tables(studies, answer)
    warn(answer.warnings)
    out.say(*written.brief, "")
    notes.print(*demonstration.CUT.strip().splitlines(), "")
    out.print(f"report: {written.report}")
