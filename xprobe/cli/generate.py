"""``xprobe generate``: images and prompts to synthetic images, with lineage, cost and consent."""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xprobe.base import atomic
from xprobe.base.errors import XprobeError, counted
from xprobe.cli import progress
from xprobe.cli.options import Data, Json, filled_in, pick
from xprobe.cli.printing import err, notes, print_json, print_table, warn
from xprobe.engine.execution import Execution
from xprobe.generation.config import GenerateConfig, Spending
from xprobe.images.config import DataConfig

if TYPE_CHECKING:
    from xprobe.generation.answers import Generated, GeneratePlan, Missing

FAILED = "failed.csv"
"""The file in the folder of the images that lists those that there are not, and why."""

WAITING_LINES = 3
"""So many reasons for which images wait for a person are shown."""

PROMPT_CELLS = 60
"""So much of a prompt is shown in a table."""

# Why there are no images → what is said of one of them, and of several.
_STATES = {
    "refused": ("was refused", "were refused"),
    "paid_unknown": (
        "may have been paid for, and its answer is lost; --retry-unknown asks for it again",
        "may have been paid for, and their answers are lost; --retry-unknown asks for them again",
    ),
    "unreadable": ("has a source that cannot be used", "have a source that cannot be used"),
    "waiting": ("waits for a person", "wait for a person"),
    "left": ("is not made yet", "are not made yet"),
}

Folder = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="Folder of the images, their manifest.csv and the ledger of requests. Running again "
        "goes on in it.",
        metavar="FOLDER",
    ),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be asked for, of whom, for how much.")
]


@filled_in(
    config=GenerateConfig,
    spending=Spending,
    execution=pick(Execution, "device"),
    images=pick(DataConfig, "real", "test", "extra", "val", "limit"),
)
def generate(
    config: GenerateConfig,
    spending: Spending,
    execution: Execution,
    images: DataConfig,
    folder: Folder,
    data: Data = None,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    from xprobe.generation import answers
    from xprobe.generation.prepare import prepare
    from xprobe.generation.run import generate as run
    from xprobe.images import read as manifests

    manifest = manifests.read(data, whole=False, config=images)
    prepared = prepare(manifest, config, spending, folder)
    warn(prepared.warnings)
    if dry_run:
        plan = answers.plan_answer(prepared, manifest)
        print_json(plan) if as_json else _print_plan(plan)
        return
    provider = None
    if prepared.open:
        prepared.check(has_terminal())
        provider = prepared.provider(execution.device)
        warn([words for words in [prepared.models_left(provider)] if words])
        if prepared.hosts:
            _ask(answers.plan_answer(prepared, manifest), is_asked=not spending.yes)
    outcome = run(
        prepared.job(provider), prepared.plan.orders, retry_unknown=spending.retry_unknown,
        progress=progress.bar,
    )  # fmt: skip
    answer = answers.run_answer(prepared, outcome)
    _write_missing(folder / FAILED, answer.missing)
    print_json(answer) if as_json else _print_answer(answer)
    warn(answer.warnings)
    if answer.stopped or answer.left:
        raise XprobeError(_end_words(answer))


def has_terminal() -> bool:
    """Return whether somebody is there who can be asked."""
    return sys.stdin.isatty()


def _ask(plan: GeneratePlan, is_asked: bool) -> None:
    """Say what is sent where, under which licences and at what price, and ask, if it is to be.

    Raises:
        XprobeError: the answer is no.
    """
    sent = sum(row.images for row in plan.licences)
    licences = ", ".join(
        f"{row.licence or 'no licence known'}: {row.images:,}" for row in plan.licences
    )
    err.say(
        f"{counted(plan.open, 'request', 'requests')} to {', '.join(plan.hosts)} for images of "
        f"{plan.model}, {_price(plan)}",
        f"{counted(sent, 'image is', 'images are')} sent there ({licences})"
        if sent
        else "no image is sent there, text alone",
        f"terms of the provider: {plan.terms or 'not known'}; watermark: "
        f"{plan.watermark or 'not known'}",
    )
    if is_asked and not typer.confirm("Go on?", err=True):
        raise XprobeError("nothing was sent")


def _price(plan: GeneratePlan) -> str:
    if plan.expected_usd is None:
        return "at a price that is not known"
    seen = f", read on {plan.price_seen}" if plan.price_seen else ""
    source = f" ({plan.price_source}{seen})" if plan.price_source else ""
    return f"about {dollars(plan.expected_usd)}{source}"


def dollars(amount: float) -> str:
    """Return an amount as people read it; what is less than ten cents has four digits."""
    return f"${amount:,.2f}" if amount >= 0.1 or not amount else f"${amount:.4f}"


def _print_plan(plan: GeneratePlan) -> None:
    from xprobe.cli import tables
    from xprobe.cli.sheets import shortened

    title = f"images of {plan.generator} by {plan.provider}, made from {plan.origin}"
    columns = ("class", "sources", "images", "open", "the first prompt")
    rows = [
        (row.class_, row.sources, row.images, row.open, shortened(row.prompt, PROMPT_CELLS))
        for row in plan.counts
    ]
    print_table(tables.table(title, columns, rows, columns[-1:]))
    lines = [*plan.notes]
    if plan.kept or plan.refused or plan.paid_unknown:
        lines.append(
            f"of {plan.images:,} images {plan.kept:,} are there, {plan.refused:,} were refused, "
            f"{plan.paid_unknown:,} may have been paid for without an answer"
        )
    where = ", ".join(plan.hosts) or "this machine, for nothing"
    price = f", {_price(plan)}" if plan.hosts else ""
    lines.append(f"{counted(plan.open, 'request', 'requests')} to {where}{price}")
    lines += [f"{row.images:,} images sent under licence {row.licence or '(none known)'}"
              for row in plan.licences if plan.hosts]  # fmt: skip
    if plan.ratio is not None and not plan.control:
        lines.append(
            f"a sweep of DATA and these images can go up to the ratio 1:{_down(plan.ratio):g}, as "
            f"what is made from a scene is never trained on where that scene is tested"
        )
    if plan.control and plan.ratio is not None:
        lines.append(
            f"they are the control of mixes up to the ratio 1:{_down(plan.ratio):g}; --per-image "
            f"makes more of them"
        )
    notes.print(*lines)


def _down(ratio: float) -> float:
    """Return a ratio of at most two digits that is not larger."""
    return int(ratio) if ratio >= 1 else int(100 * ratio) / 100


def _print_answer(answer: Generated) -> None:
    from xprobe.cli import tables

    columns = (
        "images",
        "created",
        "already",
        "refused",
        "paid_unknown",
        "unreadable",
        "waiting",
        "left",
    )
    print_table(
        tables.of_rows(f"images of {answer.generator} in {answer.folder}", columns, [answer])
    )
    for name, words in _STATES.items():
        if n := getattr(answer, name):
            notes.print(counted(n, f"image {words[0]}", f"images {words[1]}"))
    waiting = Counter(m.words for m in answer.missing if m.state == "waiting")
    for reason, n in waiting.most_common(WAITING_LINES):
        notes.print(f"of these {n:,} {'each ' if n > 1 else ''}{reason}")
    if answer.missing:
        notes.print(f"{Path(answer.folder) / FAILED} lists them, and why")
    if answer.gone:
        notes.print(
            counted(answer.gone, "image was", "images were")
            + " removed from the folder after they were made; the table lacks them"
        )
    if answer.spent_usd:
        notes.print(f"spent in all: {dollars(answer.spent_usd)}")
    if answer.created or answer.already:
        notes.print(f"table: {answer.table}")


def _write_missing(file: Path, missing: tuple[Missing, ...]) -> None:
    """Write the table of the images that there are not; there is none if there are all."""
    if not missing:
        file.unlink(missing_ok=True)
        return
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(("key", "state", "class", "parent", "prompt", "words"))
    writer.writerows((m.key, m.state, m.class_, m.parent, m.prompt, m.words) for m in missing)
    atomic.put(file, text.getvalue().encode())


def _end_words(answer: Generated) -> str:
    """Return why the run ended, and how to go on."""
    if not answer.left:
        return f"the run ended early: {answer.stopped}"
    left = counted(answer.left, "image is", "images are")
    reason = answer.stopped or next(m.words for m in answer.missing if m.state == "not-made")
    return f"{left} not made: {reason}; what is there is kept, run the command again to go on"
