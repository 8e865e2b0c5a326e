"""OpenAI's Images API by its SDK, and servers that are compatible with it, such as ByteDance's."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
from openai.resources.images import Images

from xprobe.base.errors import XprobeError, did_you_mean
from xprobe.generation.base import Answer, ListedModel, LostError, RefusedError, Request
from xprobe.generation.providers import replies, uploads
from xprobe.generation.providers.wire import Received, Wire
from xprobe.generation.registry import Access

_URL = "https://api.openai.com/v1"

# Parameters of the SDK's methods that requests themselves fill, and those of a call, not an image.
_FILLED = {"self", "prompt", "model", "image", "mask", "markup", "n", "stream", "partial_images"}
_OF_CALLS = {"timeout", "extra_headers", "extra_query", "extra_body"}

_EDIT, _GENERATE = (
    set(inspect.signature(method).parameters) - _FILLED - _OF_CALLS
    for method in (Images.edit, Images.generate)
)


@dataclass(frozen=True)
class _Server:
    """What is peculiar to a compatible server.

    Attributes:
        answer_hosts: hosts at which it lets images be fetched.
        edits_in_generate: whether an image to edit is a field of images/generations.
    """

    answer_hosts: tuple[str, ...] = ()
    edits_in_generate: bool = False


_STORE = "ark-content-generation"

_SERVERS = {
    "ark.cn-beijing.volces.com": _Server(
        (f"{_STORE}-cn-beijing.tos-cn-beijing.volces.com",
         f"{_STORE}-v2-cn-beijing.tos-cn-beijing.volces.com"), True,
    ),
    "ark.ap-southeast.bytepluses.com": _Server(
        (f"{_STORE}-ap-southeast-1.tos-ap-southeast-1.volces.com",
         f"{_STORE}-v2-ap-southeast-1.tos-ap-southeast-1.volces.com"), True,
    ),
}  # fmt: skip


class OpenAI:
    """The provider `openai`; see `base.Provider`."""

    batch = 1

    def __init__(self, access: Access) -> None:
        """Prepare it; nothing is sent.

        Raises:
            XprobeError: a parameter is none that requests may set, or as in `Wire`.
        """
        self._is_compatible = bool(access.base_url)
        self._check(access)
        self._wire = Wire(httpx2, access, _URL)
        self.hosts = self._wire.hosts
        self._server = _SERVERS.get(self.hosts[0], _Server())
        # Names of an account at OpenAI are nothing to other servers.
        account = ("OpenAI-Organization", "OpenAI-Project")
        client = openai.OpenAI(
            api_key=access.key,
            base_url=self._wire.url,
            max_retries=0,
            http_client=self._wire.client,
            default_headers=dict.fromkeys(account, openai.Omit()) if self._is_compatible else None,  # type: ignore[arg-type]  # what leaves one out
        )
        self._images = client.images.with_raw_response
        self._models = client.models.with_raw_response

    def _check(self, access: Access) -> None:
        for name in access.parameters:
            if name in _FILLED | _OF_CALLS:
                raise XprobeError(f"provider openai: the parameter {name!r} is not yours to set")
            if name not in _EDIT | _GENERATE and not self._is_compatible:
                known = sorted(_EDIT | _GENERATE)
                raise XprobeError(
                    f"provider openai: unknown parameter {name!r}{did_you_mean(name, known)}; "
                    f"known: {', '.join(known)} (others are sent to a --base-url alone)"
                )

    def make(self, requests: Sequence[Request]) -> list[Answer | RefusedError]:
        """Return the answer to the one request; see `base.Provider.make`."""
        (request,) = requests
        return [self._answer(self._wire.ask(lambda: self._send(request)))]

    def _send(self, request: Request) -> object:
        image, extra = request.image, {}
        edits = image is not None and not self._server.edits_in_generate
        taken = _EDIT if edits else _GENERATE
        extra = {name: v for name, v in request.parameters.items() if name not in taken}
        if extra and not self._is_compatible:
            method = "images.edit" if edits else "images.generate"
            raise ValueError(f"{method} takes no parameter {', '.join(extra)}")
        fields: dict[str, Any] = {
            "model": request.model,
            "prompt": request.prompt,
            **{name: v for name, v in request.parameters.items() if name in taken},
        }
        if image is None:
            return self._images.generate(**fields, extra_body=extra)
        if self._server.edits_in_generate:
            extra["image"] = uploads.data_url(image)
            return self._images.generate(**fields, extra_body=extra)
        file = (uploads.file_name(image), image, uploads.media_type(image))
        return self._images.edit(**fields, image=file, extra_body=extra)

    def _answer(self, received: Received) -> Answer:
        document = received.document
        images = replies.items(document, "data")
        if not images:
            words = replies.text(document, "error", "message") or "no list of images"
            raise LostError(self._wire.words(f"the answer holds no image: {words}"))
        encoded, address = replies.part(images, 0, "b64_json"), replies.text(images, 0, "url")
        if isinstance(encoded, str):
            content = replies.content_of(encoded)
            kind = replies.text(document, "output_format")
            media_type = f"image/{kind}" if kind else ""
        elif address:
            content, media_type = self._wire.fetch(address, self._server.answer_hosts)
        else:
            words = replies.text(images, 0, "error", "message") or replies.text(
                images, 0, "revised_prompt"
            )
            raise RefusedError(self._wire.words(f"no image in the answer: {words}"))
        return Answer(
            content,
            self._wire.words(media_type),
            usage=_usage(document),
            request_id=self._wire.words(received.headers.get("x-request-id", "")),
            n_images=len(images),
        )

    def models(self) -> list[ListedModel]:
        """Return the models whose names speak of images; it lists no prices, nor what they make."""
        document = self._wire.listed(self._models.list)
        names = (replies.text(model, "id") for model in replies.items(document, "data"))
        return [
            ListedModel(self._wire.words(name))
            for name in sorted(names)
            if self._is_compatible or "image" in name
        ]


def _usage(document: object) -> dict[str, int]:
    usage = replies.part(document, "usage")
    into, out = "input_tokens_details", "output_tokens_details"
    tokens = {
        "text_in": replies.count(usage, into, "text_tokens"),
        "image_in": replies.count(usage, into, "image_tokens"),
        "text_out": replies.count(usage, out, "text_tokens"),
        "image_out": replies.count(usage, out, "image_tokens")
        or replies.count(usage, "output_tokens"),
    }
    return {kind: n for kind, n in tokens.items() if n}
