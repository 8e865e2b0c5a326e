"""What a run would ask for, of whom, under which licences and at what price, before it does."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from xprobe.base.errors import OptionError, XprobeError, counted, first_few
from xprobe.generation.addresses import checked
from xprobe.generation.base import NotMadeError, Parameter, Provider, StoppedError
from xprobe.generation.config import GenerateConfig, Spending
from xprobe.generation.job import Job
from xprobe.generation.ledger import Ledger
from xprobe.generation.models import Model, model_of, read_models
from xprobe.generation.plan import Order, Plan, make_plan, maker_of
from xprobe.generation.prompts import read_prompts
from xprobe.generation.registry import PROVIDERS, Access, ProviderKind
from xprobe.images.licence import is_withheld
from xprobe.images.manifest import Manifest, check_generator

MANY_MODELS = 12  # that a provider lists, as far as a message names them


@dataclass(frozen=True)
class Prepared:
    """A run before it begins.

    Attributes:
        folder: folder of the images.
        config, spending: what the user chose.
        kind: the provider's row.
        hosts: hosts that requests go to; empty: nothing leaves this machine.
        parameters: what is asked beside the prompt, the provider's defaults among them.
        generator: what the images are called.
        model: what is known of the model.
        plan: all images.
        states: key of each image → its state in the folder's ledger; empty: never asked for.
        warnings: what the user should know.
    """

    folder: Path
    config: GenerateConfig
    spending: Spending
    kind: ProviderKind
    hosts: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    generator: str
    model: Model
    plan: Plan
    states: Mapping[str, str]
    warnings: tuple[str, ...]

    @property
    def open(self) -> list[Order]:
        """The images that the run asks for."""
        states = {"", "not-made"} | ({"paid-unknown"} if self.spending.retry_unknown else set())
        return [order for order in self.plan.orders if self.states[order.key] in states]

    def count(self, state: str) -> int:
        """Return how many images are in a state already."""
        return sum(self.states[order.key] == state for order in self.plan.orders)

    @property
    def watermark(self) -> str:
        """What is known of watermarks in the images, and whether a visible one is turned off."""
        known = self.model.watermark
        if self.parameters.get("watermark") is False:
            return f"a visible one was turned off (watermark=false); {known}".rstrip("; ")
        return known

    def expected(self, order: Order) -> float | None:
        """Return the dollars that an image is expected to cost; None: not known."""
        if not self.hosts:
            return 0.0
        return self.model.expected_usd(order.prompt, self.parameters, bool(order.path))

    @property
    def expected_usd(self) -> float | None:
        """The dollars that the run is expected to cost; None: not known."""
        costs = [self.expected(order) for order in self.open]
        return None if None in costs else sum(cost or 0.0 for cost in costs)

    @property
    def licences(self) -> Counter[str]:
        """How many different images are sent under each licence; empty: none is known."""
        sent = {order.content: order.licence for order in self.open if order.content}
        return Counter(sent.values())

    def check(self, has_terminal: bool) -> None:
        """Check that the run may be made.

        Args:
            has_terminal: whether somebody can be asked.

        Raises:
            XprobeError: it needs a consent that is not given, or a limit that cannot be kept.
        """
        if not self.hosts:
            return
        withheld = [name for name in self.licences if is_withheld(name)]
        if withheld and not self.spending.send_restricted:
            n = sum(self.licences[name] for name in withheld)
            raise XprobeError(
                f"{counted(n, 'image', 'images')} under licence {first_few(withheld)}, which "
                f"forbids to pass them on, would be sent to {', '.join(self.hosts)}; "
                f"--send-restricted does it all the same, diffusers edits them on this machine"
            )
        if self.spending.max_cost is not None and self.expected_usd is None:
            raise XprobeError(
                f"--max-cost cannot be kept: no price is known of {self.config.model} at "
                f"{self.config.provider}; give one, such as --price 0.05"
            )
        if not has_terminal and not (self.spending.yes and self.spending.max_cost is not None):
            raise XprobeError(
                f"{counted(len(self.open), 'request goes', 'requests go')} to "
                f"{', '.join(self.hosts)}, and nobody can be asked without a terminal: give --yes "
                f"and --max-cost (--dry-run says what it costs)"
            )

    def provider(self, device: str) -> Provider:
        """Return the provider, ready to be asked.

        Raises:
            XprobeError: its package or its key is missing, or it cannot take what is asked.
        """
        return self.kind.open(
            Access(
                self.config.model, self.folder, self.parameters, self.config.base_url,
                self.kind.key(), device, self.config.allow_remote_code, self.spending.timeout_s,
                threading.Semaphore(self.spending.concurrency),
            )
        )  # fmt: skip

    def job(self, provider: Provider | None) -> Job:
        """Return what `run.generate` takes; without a provider nothing is to be made."""
        return Job(
            folder=self.folder, hosts=self.hosts, provider=provider, maker=maker_of(self.config),
            generator=self.generator, parameters=self.parameters, expected=self.expected,
            cost_of=self.model.paid_usd if self.hosts else (lambda *_: None),
            max_cost=self.spending.max_cost,
            concurrency=self.spending.concurrency,
            secret=self.kind.key() if provider is not None else "", watermark=self.watermark,
            terms=self.model.terms,
        )  # fmt: skip

    def models_left(self, provider: Provider) -> str:
        """Return in words what a provider lists, if the model is withdrawn; else nothing."""
        withdrawn = self.model.withdrawn
        if withdrawn is None or withdrawn.day > _today():
            return ""
        try:
            listed = [
                f"{model.name} ({model.price})" if model.price else model.name
                for model in provider.models()
            ]
        except (NotMadeError, StoppedError) as error:
            return f"{self.kind.name} cannot say now which models it has: {error}"
        return f"{self.kind.name} lists {first_few(listed, MANY_MODELS) or 'no models'}"


def prepare(
    manifest: Manifest, config: GenerateConfig, spending: Spending, folder: Path
) -> Prepared:
    """Return what a run would do; nothing is written, and nothing leaves this machine.

    Args:
        manifest: the images of the study, contents hashed.
        config: what is generated.
        spending: what it may cost.
        folder: folder of the images.

    Raises:
        XprobeError: it cannot be done so.
    """
    kind = PROVIDERS[config.provider]
    if not config.model:
        raise OptionError(f"--model is needed: {kind.model_words}")
    hosts = kind.hosts
    if config.base_url:
        if not kind.takes_base_url:
            raise OptionError(f"--base-url: provider {kind.name} has no other servers")
        hosts = (_host_of(config.base_url),)
    last = config.model.rstrip("/").rpartition("/")[2]
    generator = config.generator or last.partition("@")[0]  # without a revision
    check_generator(generator, "--name" if config.generator else "--model")
    # What the provider takes need not be what another server takes.
    parameters = {**({} if config.base_url else kind.defaults), **config.asked()}
    plan = make_plan(manifest, read_prompts(config.prompts), config, parameters)
    model = model_of(read_models(spending.models), config.provider, config.model)
    if spending.price is not None:
        model = model.priced(spending.price)
    ledger = Ledger(folder)
    states = {order.key: ledger.state_of(order.key) for order in plan.orders}
    if not hosts:  # On this machine nothing is paid for, so that what was lost is made again.
        states = {key: "" if state == "paid-unknown" else state for key, state in states.items()}
    warnings = [*plan.warnings, *filter(None, [model.withdrawn_words(_today())])]
    return Prepared(
        folder=folder, config=config, spending=spending, kind=kind, hosts=hosts,
        parameters=parameters, generator=generator, model=model, plan=plan,
        states=states,
        warnings=tuple(warnings),
    )  # fmt: skip


def _today() -> date:
    return datetime.now(UTC).date()


def _host_of(url: str) -> str:
    """Return the host of a server.

    Raises:
        OptionError: the address is none that a secret key and images may be sent to.
    """
    parts = checked(url)
    if parts.query or parts.fragment:
        raise OptionError(
            f"--base-url of {parts.hostname} holds more than an address; keys come from the "
            f"environment"
        )
    return parts.hostname or ""
