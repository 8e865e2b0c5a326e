"""What ``xprobe generate`` prints with ``--json``: a plan, or what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from xprobe.base.documents import Document, Number
from xprobe.generation import table
from xprobe.generation.job import Outcome
from xprobe.generation.prepare import Prepared
from xprobe.generation.supply import ratio_left
from xprobe.images.manifest import Manifest


class ClassCount(Document, frozen=True, kw_only=True):
    """How many images of a class are planned.

    Attributes:
        class_: the class.
        sources: how many images they are made from, or whose captions are their prompts.
        images: how many there are to be in all.
        open: how many of them this run asks for.
        prompt: the first prompt, as it is sent.
    """

    class_: str = msgspec.field(name="class")
    sources: int
    images: int
    open: int
    prompt: str


class LicenceCount(Document, frozen=True, kw_only=True):
    """How many images are sent under a licence.

    Attributes:
        licence: its name; empty: none is known.
        images: how many different ones.
    """

    licence: str
    images: int


class GeneratePlan(Document, frozen=True, kw_only=True):
    """Output of ``xprobe generate --dry-run --json``.

    Attributes:
        folder: folder of the images.
        provider, model, generator: who makes them, and what they are called.
        origin: what they are made from: ``pre``, ``real`` or ``text``.
        control: ``null-edit`` if they are that control, else empty.
        parameters: what is asked beside the prompt.
        hosts: where requests go; none: nothing leaves this machine.
        images: how many images there are to be.
        kept, refused, paid_unknown: how many of them are there, were refused, or may have been
            paid for and are not there.
        open: how many this run asks for.
        expected_usd: dollars that this is expected to cost; None: not known.
        price_source, price_seen: where the price is said, and the day on which it was read there;
            empty: not known.
        terms, watermark: what is known of the model's images.
        ratio: synthetic images of the scarcest class for each real one in a fold of a sweep, when
            edits of what it tests are left out; None: the real images make no study.
        counts: image counts of each class.
        licences: what is sent under which licence.
        notes, warnings: what was decided, and what the user should know.
    """

    folder: str
    provider: str
    model: str
    generator: str
    origin: str
    control: str
    parameters: dict[str, str | int | float | bool]
    hosts: tuple[str, ...]
    images: int
    kept: int
    refused: int
    paid_unknown: int
    open: int
    expected_usd: Number | None
    price_source: str
    price_seen: str
    terms: str
    watermark: str
    ratio: Number | None
    counts: tuple[ClassCount, ...]
    licences: tuple[LicenceCount, ...]
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


class Missing(Document, frozen=True, kw_only=True):
    """An image that there is not.

    Attributes:
        key: identifies its request.
        state: ``refused``, ``paid-unknown`` (it may have been paid for), ``not-made``,
            ``unreadable`` (its source) or ``waiting`` (for a person).
        class_: class that it is to be of.
        parent: image that it is to be made from.
        prompt: what is asked.
        words: why there is none, in the provider's words where it says.
    """

    key: str
    state: str
    class_: str = msgspec.field(name="class")
    parent: str
    prompt: str
    words: str


class Generated(Document, frozen=True, kw_only=True):
    """Output of ``xprobe generate --json``.

    Attributes:
        folder, table: folder of the images, and their table.
        provider, model, generator: who made them, and what they are called.
        images: how many were to be made in all.
        created, already: how many this run made, and how many there were before.
        gone: how many of these are no longer in the folder; the table lacks them.
        refused, paid_unknown, unreadable, waiting, left: how many there are not, by reason; what
            is left is asked for when the command is run again.
        spent_usd: dollars that all requests of the folder cost, as far as is known.
        stopped: why the run ended before all were asked for; empty: it did not.
        missing: the images that there are not.
        warnings: what the user should know.
    """

    folder: str
    table: str
    provider: str
    model: str
    generator: str
    images: int
    created: int
    already: int
    gone: int
    refused: int
    paid_unknown: int
    unreadable: int
    waiting: int
    left: int
    spent_usd: Number
    stopped: str
    missing: tuple[Missing, ...]
    warnings: tuple[str, ...]


def plan_answer(prepared: Prepared, manifest: Manifest) -> GeneratePlan:
    """Return what a run would do.

    Args:
        prepared: the run.
        manifest: the images of the study.
    """
    orders, config, model = prepared.plan.orders, prepared.config, prepared.model
    price = model.price(prepared.parameters)
    return GeneratePlan(
        folder=str(prepared.folder), provider=config.provider, model=config.model,
        generator=prepared.generator, origin=prepared.plan.origin,
        control=next((order.control for order in orders), ""),
        parameters=dict(prepared.parameters), hosts=prepared.hosts, images=len(orders),
        kept=prepared.count("kept"), refused=prepared.count("refused"),
        paid_unknown=prepared.count("paid-unknown"), open=len(prepared.open),
        expected_usd=_rounded(prepared.expected_usd),
        price_source=price.source if prepared.hosts else "",
        price_seen=str(price.seen or "") if prepared.hosts else "",
        terms=model.terms, watermark=prepared.watermark, ratio=ratio_left(manifest, orders),
        counts=tuple(_counts(prepared)),
        licences=tuple(
            LicenceCount(licence=name, images=n) for name, n in sorted(prepared.licences.items())
        ),
        notes=prepared.plan.notes, warnings=prepared.warnings,
    )  # fmt: skip


def _counts(prepared: Prepared) -> Iterable[ClassCount]:
    orders = prepared.plan.orders
    images, unmade = Counter(o.label for o in orders), Counter(o.label for o in prepared.open)
    sources = Counter(label for label, parent in {(o.label, o.parent) for o in orders if o.parent})
    first = {order.label: order.prompt for order in reversed(orders)}
    for label in images:
        yield ClassCount(
            class_=label, sources=sources[label], images=images[label], open=unmade[label],
            prompt=first[label],
        )  # fmt: skip


def run_answer(prepared: Prepared, outcome: Outcome) -> Generated:
    """Return what became of a plan."""
    remarks = [f"{n:,} images are {words}" for words, n in sorted(outcome.remarks.items())]
    return Generated(
        folder=str(prepared.folder), table=str(prepared.folder / table.FILE),
        provider=prepared.config.provider, model=prepared.config.model,
        generator=prepared.generator, images=len(prepared.plan.orders), created=outcome.created,
        already=outcome.already, gone=outcome.gone, refused=outcome.count("refused"),
        paid_unknown=outcome.count("paid-unknown"), unreadable=outcome.count("unreadable"),
        waiting=outcome.count("waiting"), left=outcome.count("not-made"),
        spent_usd=_rounded(outcome.spent) or 0.0, stopped=outcome.stopped,
        missing=tuple(
            Missing(
                key=f.order.key, state=f.state, class_=f.order.label, parent=f.order.parent,
                prompt=f.order.prompt, words=f.words,
            )
            for f in outcome.failures
        ),
        warnings=(*prepared.warnings, *remarks),
    )  # fmt: skip


def _rounded(dollars: float | None) -> float | None:
    """Return an amount to a millionth of a dollar, below which sums of prices are not exact."""
    return None if dollars is None else round(dollars, 6)
