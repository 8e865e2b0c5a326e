"""The providers of generated images: one row each; those of other packages are entry points."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from xprobe.base.errors import XprobeError
from xprobe.base.registry import Registry, by_name

if TYPE_CHECKING:
    from pathlib import Path

    from xprobe.generation.base import Parameter, Provider


@dataclass(frozen=True)
class Access:
    """How a provider is reached and what it is to use.

    Attributes:
        model: the provider's name of the model, or for local ones a folder or a name of the hub.
        folder: folder of the generated images.
        parameters: what is asked of the provider beside the prompt, defaults filled in.
        base_url: address of a compatible server; empty: the provider's own.
        key: secret key from the environment; empty: the provider needs none.
        device: where a local pipeline runs, as `engine.device` names it; empty: the best one.
        allow_remote_code: whether code that a checkpoint brings may run.
        timeout_s: seconds after which a service that says nothing counts as lost.
        slots: what a service is to enter (``with access.slots:``) for as long as a request is under
            way, so that no more are than the user asked for.
    """

    model: str
    folder: Path
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    base_url: str = ""
    key: str = field(default="", repr=False)
    device: str = ""
    allow_remote_code: bool = False
    timeout_s: float = 300.0
    slots: AbstractContextManager[object] = field(default_factory=nullcontext, repr=False)


@dataclass(frozen=True)
class ProviderKind:
    """A row of the registry.

    Attributes:
        name: name that users write.
        words: what it is, for help and lists.
        target: ``module:class`` of the provider, which is called with an `Access`.
        extra: the extra of xprobe that it needs; empty: none.
        key_variable: variable of the environment that holds its key; empty: it needs none.
        defaults: parameters that are sent unless others are given; they are recorded like these.
        hosts: names of the hosts that requests go to; empty: it works on this machine, for nothing.
        takes_base_url: whether it can speak to a compatible server.
        model_words: what its model is called by, for messages.
    """

    name: str
    words: str
    target: str
    extra: str = ""
    key_variable: str = ""
    defaults: Mapping[str, Parameter] = field(default_factory=lambda: MappingProxyType({}))
    hosts: tuple[str, ...] = ()
    takes_base_url: bool = False
    model_words: str = "the provider's name of the model"

    def open(self, access: Access) -> Provider:
        """Return the provider.

        Raises:
            XprobeError: a package that it needs is not installed, or it cannot take what is asked.
        """
        module, _, name = self.target.partition(":")
        try:
            provider: Provider = getattr(importlib.import_module(module), name)(access)
        except ImportError as error:
            raise XprobeError(
                f"provider {self.name}: {error}; install what it needs: pip install "
                f"'xprobe[{self.extra}]'"
            ) from error
        return provider

    def key(self) -> str:
        """Return the key from the environment; empty if the provider needs none.

        Raises:
            XprobeError: it needs one, and there is none.
        """
        if not self.key_variable:
            return ""
        key = os.environ.get(self.key_variable, "").strip()
        if not key:
            raise XprobeError(
                f"provider {self.name} needs a key, and the environment has none: set "
                f"{self.key_variable}"
            )
        return key


_FOLDER = "xprobe.generation.providers"

PROVIDERS: Registry[ProviderKind] = Registry(
    "xprobe.providers",
    "provider",
    ProviderKind,
    by_name(
        ProviderKind(
            "openai", "OpenAI's Images API, or a compatible server by --base-url.",
            f"{_FOLDER}.openai:OpenAI", "openai", "OPENAI_API_KEY",
            {"quality": "medium", "size": "1024x1024", "output_format": "png"},
            hosts=("api.openai.com",), takes_base_url=True,
        ),
        ProviderKind(
            "openrouter", "OpenRouter: models of many vendors by one key.",
            f"{_FOLDER}.openrouter:OpenRouter", "openrouter", "OPENROUTER_API_KEY",
            hosts=("openrouter.ai",), takes_base_url=True,
        ),
        ProviderKind(
            "gemini", "Google's Gemini API.", f"{_FOLDER}.gemini:Gemini", "gemini",
            "GEMINI_API_KEY", hosts=("generativelanguage.googleapis.com",), takes_base_url=True,
        ),
        ProviderKind(
            "diffusers", "A pipeline of the library diffusers, on this machine.",
            f"{_FOLDER}.diffusers:Diffusers", "diffusers",
            model_words="a folder with model_index.json, or owner/name of the hub",
        ),
        ProviderKind(
            "folder", "Files to be taken to a web page by hand, and brought back.",
            f"{_FOLDER}.folder:Folder",
            model_words="a name for what makes the images by hand, such as seedream-web",
        ),
    ),
)  # fmt: skip
