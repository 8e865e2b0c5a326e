"""Models that make images: what one costs, under which terms, with which watermark, until when.

They are rows of data/tables/image_models.csv, or of a file of the user's in the same form. A model
may have several rows: each has the price of certain parameters, the first also has what is known of
the model. Prices that are not known stay empty, and so does what follows from them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import MappingProxyType

from xprobe.base.errors import XprobeError, cannot_read, did_you_mean, first_few
from xprobe.base.packed import packed
from xprobe.base.visible import visible
from xprobe.generation.base import Answer, Parameter, Request
from xprobe.images.sources.cells import read_cells

SOON_DAYS = 45
"""A model that is withdrawn within so many days is warned of."""

# Kind of token that is billed → column with its price, in dollars a million.
_TOKEN_COLUMNS = MappingProxyType(
    {kind: f"usd_per_m_{kind}" for kind in ("text_in", "image_in", "text_out", "image_out")}
)

_PRICES = ("usd_per_image", "usd_per_input_image", *_TOKEN_COLUMNS.values())

# What is known of a model; a row of the user's that says nothing keeps the table's.
_FACTS = ("watermark", "licence", "terms", "terms_date", "withdrawn")

COLUMNS = (
    "provider", "model", "when", *_PRICES, "tokens_per_input_image", "says_cost", *_FACTS, "seen",
    "source", "note",
)  # fmt: skip
"""Columns of a table of models; provider and model are required."""

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,18})?(e-[0-9]{1,2})?")

_DATE = re.compile(r"(before |from )?([0-9]{4}-[0-9]{2}-[0-9]{2})")

_UTF8_BYTES_PER_TOKEN = 4


@dataclass(frozen=True)
class Price:
    """What a request costs, in dollars; None: not known.

    Attributes:
        when: parameter → the values for which this is the price; an empty one: it is not given.
        per_image: an image that is made.
        per_input_image: an image that is sent; None: nothing beside its tokens.
        per_m_token: kind of token, as in `Answer.usage` → a million of them.
        input_image_tokens: at most so many tokens are billed for an image that is sent.
        seen: the day on which this was the price; None: it is not said.
        source: where it is said.
        note: what else has to be known of it.
    """

    when: Mapping[str, Sequence[str]]
    per_image: float | None = None
    per_input_image: float | None = None
    per_m_token: Mapping[str, float] = field(default_factory=dict)
    input_image_tokens: int = 0
    seen: date | None = None
    source: str = ""
    note: str = ""

    def expected_usd(self, prompt: str, has_image: bool, n_images: int = 1) -> float | None:
        """Return what a request costs, by what is known before it is made; None: not known.

        The tokens of a prompt are an estimate, a quarter of its bytes. Tokens that a model thinks
        are not counted.

        Args:
            prompt: the text that is sent.
            has_image: whether an image is sent as well.
            n_images: how many images are made.
        """
        if self.per_image is None:
            return None
        text_tokens = math.ceil(len(prompt.encode(errors="replace")) / _UTF8_BYTES_PER_TOKEN)
        usd = n_images * self.per_image + text_tokens * self.per_m_token.get("text_in", 0) / 1e6
        if has_image:
            usd += self.per_input_image or 0
            usd += self.input_image_tokens * self.per_m_token.get("image_in", 0) / 1e6
        return usd

    def usd_of(self, usage: Mapping[str, int]) -> float | None:
        """Return what billed tokens cost; None: a price is not known, or none were billed."""
        billed = {kind: n for kind, n in usage.items() if n}
        if not billed or not billed.keys() <= self.per_m_token.keys():
            return None
        return sum(n * self.per_m_token[kind] for kind, n in billed.items()) / 1e6


@dataclass(frozen=True)
class Withdrawal:
    """The day on which a model ends.

    Attributes:
        day: the day.
        kind: ``before`` if it ended before that day, ``from`` if it may end from that day on;
            empty: it ends on that day.
    """

    day: date
    kind: str = ""

    def words(self, today: date) -> str:
        """Return that a model has ended, or soon will; empty: there is nothing to warn of."""
        days = (self.day - today).days
        if self.kind == "before":
            return f"was withdrawn before {self.day}"
        if days > SOON_DAYS:
            return ""
        ahead = f", in {days} {'day' if days == 1 else 'days'}" if days > 0 else ""
        if self.kind == "from":
            return f"may be withdrawn from {self.day} on{ahead}"
        return (
            f"will be withdrawn on {self.day}{ahead}" if ahead else f"was withdrawn on {self.day}"
        )


@dataclass(frozen=True)
class Model:
    """A model of a provider, as far as it is known.

    Attributes:
        provider: name of the provider.
        name: the provider's name of the model.
        prices: prices by parameters; the first that fits is that of a request.
        says_cost: whether the provider says in its answer what was paid.
        watermark: which its images bear, such as ``SynthID; C2PA``; empty: not known.
        licence: whose the images are, in a few words; empty: not known.
        terms: address of the terms of use; empty: not known.
        terms_date: date of the terms that were read; empty: not known.
        withdrawn: when it ends; None: no day is known.
    """

    provider: str
    name: str
    prices: Sequence[Price] = ()
    says_cost: bool = False
    watermark: str = ""
    licence: str = ""
    terms: str = ""
    terms_date: str = ""
    withdrawn: Withdrawal | None = None

    def price(self, parameters: Mapping[str, Parameter]) -> Price:
        """Return the price of requests with these parameters; an empty one if it is not known."""
        values = {name: str(value).casefold() for name, value in parameters.items()}
        for price in self.prices:
            if all(values.get(name, "") in some for name, some in price.when.items()):
                return price
        return Price({})

    def priced(self, usd: float) -> Model:
        """Return the model at a price an image that the user gives, for any parameters."""
        return replace(self, prices=(Price({}, usd, source="given by the user"),))

    def expected_usd(
        self, prompt: str, parameters: Mapping[str, Parameter], has_image: bool
    ) -> float | None:
        """Return what a request costs, before it is made; None: not known. See `Price`."""
        return self.price(parameters).expected_usd(prompt, has_image)

    def usd_of(self, usage: Mapping[str, int], parameters: Mapping[str, Parameter]) -> float | None:
        """Return what the tokens of an answer cost; None: not known."""
        return self.price(parameters).usd_of(usage)

    def paid_usd(self, request: Request, answer: Answer) -> float | None:
        """Return what was paid: as the answer says, by its tokens, or else what was expected."""
        if answer.cost is not None:
            return answer.cost
        paid = self.usd_of(answer.usage, request.parameters)
        if paid is not None:
            return paid
        price = self.price(request.parameters)
        return price.expected_usd(request.prompt, request.image is not None, answer.n_images)

    def withdrawn_words(self, today: date) -> str:
        """Return a warning that the model has ended, or soon will; empty: nothing is known."""
        words = self.withdrawn.words(today) if self.withdrawn else ""
        return words and f"{self.name} of {self.provider} {words}"


Models = Mapping[tuple[str, str], Model]
"""Provider and name of a model → the model."""


def read_models(file: Path | None = None) -> Models:
    """Return the models that are known, with those of a file of the user's in their place.

    What a row of the user's leaves empty of a model's facts is that of the table; all its prices
    are the user's.

    Raises:
        XprobeError: the file cannot be read, or a cell does not fit; the message names it.
    """
    models = _read(packed("tables/image_models.csv"))
    if file is None:
        return models
    for key, mine in _read(file).items():
        known = models.get(key, mine)
        facts = {name: getattr(mine, name) or getattr(known, name) for name in _FACTS}
        models[key] = replace(mine, says_cost=mine.says_cost or known.says_cost, **facts)
    return models


def model_of(models: Models, provider: str, name: str) -> Model:
    """Return a model by its name; one of which nothing is known if there is none."""
    return models.get((provider, name), Model(provider, name))


def _read(file: Path) -> dict[tuple[str, str], Model]:
    try:
        names, rows = read_cells(file, COLUMNS)
    except PermissionError as error:
        raise cannot_read(file, error) from error
    except FileNotFoundError as error:
        raise XprobeError(f"{file}: no such table of models") from error
    for name in names:
        if name not in COLUMNS:
            raise XprobeError(
                f"{file}: unknown column {visible(name)!r}{did_you_mean(name, COLUMNS)}; known: "
                f"{', '.join(COLUMNS)}"
            )
    if missing := [name for name in COLUMNS[:2] if name not in names]:
        raise XprobeError(f"{file}: the column {first_few(missing)} is missing")
    if not rows:
        raise XprobeError(f"{file}: there are no models in it; add a row for each")
    models: dict[tuple[str, str], Model] = {}
    prices: dict[tuple[str, str], dict[str, Price]] = {}
    for i, values in enumerate(rows, 1):
        row = _Row(f"{file}, row {i}", values)
        key = row.text("provider"), row.text("model")
        if not all(key):
            raise row.error("model" if key[0] else "provider", "is empty")
        model = row.model(*key)
        first = models.setdefault(key, model)
        for fact in _FACTS:
            if getattr(model, fact) not in ("", None, getattr(first, fact)):
                raise row.error(fact, "differs from that of the model's first row; leave it empty")
        price = row.price()
        when = " ".join(f"{name}={'|'.join(some)}" for name, some in sorted(price.when.items()))
        if when in prices.setdefault(key, {}):
            raise row.error("when", "is that of an earlier row of the model; keep one")
        prices[key][when] = price
    return {key: replace(model, prices=(*prices[key].values(),)) for key, model in models.items()}


@dataclass(frozen=True)
class _Row:
    """A row of a table of models.

    Attributes:
        where: file and number of the row, for messages.
        values: column → cell.
    """

    where: str
    values: Mapping[str, object]

    def error(self, column: str, says: str) -> XprobeError:
        """Return the error of a cell."""
        return XprobeError(f"{self.where}, column {column}: {says}")

    def text(self, column: str) -> str:
        """Return a cell on one line."""
        cell = self.values.get(column)
        line = " ".join(str("" if cell is None else cell).split())
        if visible(line) != line:
            raise self.error(column, f"{visible(line)[:60]!r} has characters that nobody sees")
        return line

    def number(self, column: str) -> float | None:
        """Return a cell as a number from 0 on; None if it is empty."""
        text = self.text(column)
        if text and not _NUMBER.fullmatch(text):
            raise self.error(column, f"{text[:40]!r} is no number; write it as 0.05")
        return float(text) if text else None

    def day(self, column: str, kinds: Sequence[str] = ("",)) -> Withdrawal | None:
        """Return a cell as a day; None if it is empty."""
        text = self.text(column)
        if not text:
            return None
        match = _DATE.fullmatch(text)
        kind = (match[1] or "").strip() if match else ""
        try:
            if match and kind in kinds:
                return Withdrawal(date.fromisoformat(match[2]), kind)
        except ValueError:  # There is no such day.
            pass
        written = " or ".join(f"'{kind} 2026-11-28'" if kind else "2026-11-28" for kind in kinds)
        raise self.error(column, f"{text[:40]!r} is no day; write it as {written}")

    def when(self) -> dict[str, tuple[str, ...]]:
        """Return the parameters that a price is for: ``quality=low size=1K|2K``."""
        when: dict[str, tuple[str, ...]] = {}
        for part in self.text("when").split():
            name, equals, values = part.partition("=")
            if not name or not equals or name in when:
                raise self.error(
                    "when",
                    f"{part[:40]!r}; write each parameter once, as in quality=low size=1K|2K",
                )
            when[name] = tuple(values.casefold().split("|"))
        return when

    def model(self, provider: str, name: str) -> Model:
        """Return the model of the row, without prices."""
        says_cost = self.text("says_cost").casefold()
        if says_cost not in ("", "yes", "no"):
            raise self.error("says_cost", f"{says_cost[:40]!r}; it is yes, no or empty")
        terms_date = self.day("terms_date")
        return Model(
            provider,
            name,
            says_cost=says_cost == "yes",
            watermark=self.text("watermark"),
            licence=self.text("licence"),
            terms=self.text("terms"),
            terms_date=str(terms_date.day) if terms_date else "",
            withdrawn=self.day("withdrawn", ("", "before", "from")),
        )

    def price(self) -> Price:
        """Return the price of the row."""
        seen = self.day("seen")
        tokens = self.number("tokens_per_input_image") or 0
        if tokens != int(tokens):
            raise self.error("tokens_per_input_image", f"{tokens} is no whole number")
        per_token = {kind: self.number(column) for kind, column in _TOKEN_COLUMNS.items()}
        return Price(
            self.when(),
            self.number("usd_per_image"),
            self.number("usd_per_input_image"),
            {kind: usd for kind, usd in per_token.items() if usd is not None},
            int(tokens),
            seen.day if seen else None,
            self.text("source"),
            self.text("note"),
        )
