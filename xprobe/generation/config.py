"""What is generated, by whom and for how much: what a user may choose, checked once; no I/O."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from xprobe.base.declared import EXECUTION, GENERATED, MONEY, check_least, option
from xprobe.base.errors import OptionError
from xprobe.generation.base import Parameter
from xprobe.generation.presets import PROMPTS
from xprobe.generation.registry import PROVIDERS

ORIGINS = ("pre", "real", "text")
"""What a synthetic image is made from: an image from before, a real image, or text alone."""

# What no provider takes as a parameter, since it is a secret or has an option of its own.
_SECRET = re.compile(r"key|token|secret|password|authorization", re.IGNORECASE)
_ELSEWHERE = {"model": "--model", "prompt": "--prompts", "seed": "--seed", "n": "--per-image"}


@dataclass(frozen=True)
class GenerateConfig:
    """What is generated.

    Attributes:
        provider: name of the provider, one of `registry.PROVIDERS`.
        model: the provider's name of the model, or a folder.
        prompts: file of prompts, or the name of a set that xprobe brings along.
        origin: one of `ORIGINS`; empty: ``pre`` where the data have such images, else ``real``.
        per_image: how many images are made from each source.
        per_class: how many images of each class are made from text alone.
        parameters: what the provider is asked for beside the prompt, ``NAME=VALUE`` each.
        seed: another seed gives other images of the same prompts, where a provider takes seeds.
        generator: what the images are called; empty: the last part of the model's name.
        base_url: address of a server that speaks the provider's protocol; empty: its own.
        allow_remote_code: whether code that a local checkpoint brings may run.
    """

    provider: str = option(
        "", "Who makes the images: openai, openrouter, gemini, diffusers (on this machine), or "
        "folder (by hand).",
        panel=GENERATED, metavar="NAME", values=tuple(PROVIDERS.rows),
    )  # fmt: skip
    model: str = option(
        "", "The provider's name of the model; for diffusers a folder or a name of the hub.",
        panel=GENERATED, metavar="ID",
    )  # fmt: skip
    prompts: str = option(
        "", "Prompts: a .txt file with one template a line, taken in turn, a .json file with those "
        "of each class, or a set that xprobe brings along, such as disasters-en, or null (return "
        "the image unchanged).",
        panel=GENERATED, metavar="FILE", values=PROMPTS,
    )  # fmt: skip
    origin: str = option(
        "", "What images are made from: pre (twins from before the event), real, or text. Default: "
        "pre where DATA has them, else real.",
        panel=GENERATED, flag="--from", metavar="ORIGIN", values=ORIGINS,
    )  # fmt: skip
    per_image: int | None = option(
        None, "Images made from each source. Default: 1.", panel=GENERATED, metavar="K", least=1
    )
    per_class: int | None = option(
        None, "With --from text: images of each class.", panel=GENERATED, metavar="N", least=1
    )
    parameters: tuple[str, ...] = option(
        (), "A parameter of the provider, such as quality=low or num_inference_steps=30; repeat "
        "for several.",
        panel=GENERATED, flag="--param", metavar="NAME=VALUE",
    )  # fmt: skip
    seed: int = option(
        0, "Another seed makes other images, where the provider takes seeds.",
        panel=GENERATED, least=0,
    )  # fmt: skip
    generator: str = option(
        "", "What the images are called. Default: the last part of the model's name.",
        panel=GENERATED, flag="--name", metavar="NAME",
    )  # fmt: skip
    base_url: str = option(
        "", "Address of a server that speaks the provider's protocol.",
        panel=GENERATED, metavar="URL",
    )  # fmt: skip
    allow_remote_code: bool = option(
        False, "Run Python code that a checkpoint of diffusers brings; only if you trust its "
        "author.",
        panel=GENERATED,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_least(self, OptionError)
        for flag, value, example in (
            ("--provider", self.provider, "openai"),
            ("--prompts", self.prompts, "disasters-en"),
        ):
            if not value:
                raise OptionError(f"{flag} is needed, such as {flag} {example}")
        if self.origin not in ("", *ORIGINS):
            raise OptionError(f"--from is {', '.join(ORIGINS)}, not {self.origin!r}")
        if self.per_class is not None and self.per_image is not None:
            raise OptionError("--per-class is of text alone, --per-image of sources; give one")
        if self.per_class is not None and self.origin not in ("", "text"):
            raise OptionError(
                f"--per-class is of images made from text alone; with --from {self.origin} use "
                f"--per-image"
            )
        self.asked()

    def asked(self) -> Mapping[str, Parameter]:
        """Return the parameters by name; numbers and true and false are read as such.

        Raises:
            OptionError: one is no ``NAME=VALUE``, stands twice, or is none for a provider.
        """
        asked: dict[str, Parameter] = {}
        for text in self.parameters:
            name, is_pair, value = text.partition("=")
            if not is_pair or not name.isidentifier():
                raise OptionError(f"--param takes NAME=VALUE, such as quality=low, not {text!r}")
            if name in asked:
                raise OptionError(f"--param {name} is given twice")
            if name in _ELSEWHERE:
                raise OptionError(f"--param {name}: that is {_ELSEWHERE[name]}")
            if _SECRET.search(name):
                raise OptionError(
                    f"--param {name}: keys are taken from the environment alone, where no list of "
                    f"commands and no file shows them"
                )
            asked[name] = _value_of(value)
        return MappingProxyType(asked)


@dataclass(frozen=True)
class Spending:
    """What may be spent and sent, and how fast.

    Attributes:
        max_cost: dollars that this run may cost at most; None: no limit.
        price: dollars that an image costs; None: what the table of models says.
        models: the user's own table of models, whose rows replace those that xprobe brings along.
        concurrency: how many requests are under way at once.
        timeout_s: seconds without a word after which an answer counts as lost.
        retry_unknown: whether images that may have been paid for already are asked for again.
        send_restricted: whether images may be sent whose licence forbids to pass them on.
        yes: whether nobody is asked before images are sent.
    """

    max_cost: float | None = option(
        None, "Dollars that this run may cost at most; it stops before they are passed.",
        panel=MONEY, metavar="USD", least=0,
    )  # fmt: skip
    price: float | None = option(
        None, "Dollars that an image costs, where the table of models does not say.",
        panel=MONEY, metavar="USD", least=0,
    )  # fmt: skip
    models: Path | None = option(
        None, "Your own table of models and prices, as data/tables/image_models.csv; its rows "
        "replace those.",
        panel=MONEY, metavar="FILE",
    )  # fmt: skip
    retry_unknown: bool = option(
        False, "Ask again for images whose answer was lost; they may be paid for twice.",
        panel=MONEY,
    )  # fmt: skip
    send_restricted: bool = option(
        False, "Send images whose licence forbids to pass them on.", panel=MONEY
    )
    yes: bool = option(
        False, "Do not ask before images are sent; without a terminal --max-cost is needed, too.",
        panel=MONEY,
    )  # fmt: skip
    concurrency: int = option(
        8, "Requests under way at once.", panel=EXECUTION, metavar="N", least=1
    )
    timeout_s: float = option(
        300.0, "Seconds without a word after which an answer counts as lost.",
        panel=EXECUTION, flag="--timeout", metavar="S", least=1,
    )  # fmt: skip

    def __post_init__(self) -> None:
        check_least(self, OptionError)


def _value_of(text: str) -> Parameter:
    """Return the value that a text means: a truth value, a number, or the text itself."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        # Text such as 1_000 or inf is no number here.
        return number if re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", text) else text
    return text
