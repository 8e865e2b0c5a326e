"""Models of many vendors by one key, by OpenRouter's SDK; it says what each image cost."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import httpx
from openrouter import OpenRouter as Client
from openrouter.components import ContentPartImage, ContentPartImageImageURL
from openrouter.images import Images
from openrouter.utils.logger import NoOpLogger

from xprobe.generation.base import Answer, ListedModel, LostError, RefusedError, Request
from xprobe.generation.providers import parameters, replies, uploads
from xprobe.generation.providers.wire import Received, Wire
from xprobe.generation.registry import Access

_URL = "https://openrouter.ai/api/v1"

_TAKEN = set(inspect.signature(Images.generate).parameters) - {
    "self", "model", "prompt", "input_references", "n", "seed", "stream",  # filled by requests
    "provider", "trace", "session_id", "retries", "server_url", "timeout_ms", "http_headers",
    "http_referer", "x_open_router_title", "x_open_router_categories",
}  # fmt: skip


class OpenRouter:
    """The provider `openrouter`; see `base.Provider`."""

    batch = 1

    def __init__(self, access: Access) -> None:
        """Prepare it; nothing is sent.

        Raises:
            XprobeError: a parameter is none that requests may set, or as in `Wire`.
        """
        parameters.check("openrouter", access.parameters, _TAKEN)
        self._wire = Wire(httpx, access, _URL)
        self.hosts = self._wire.hosts
        # Its own logger, which a variable of the environment turns on, writes headers and bodies.
        client = Client(
            api_key=access.key,
            server_url=self._wire.url,
            client=self._wire.client,
            async_client=self._wire.async_client,
            retry_config=None,
            debug_logger=NoOpLogger(),
        )
        # The SDK loads its parts when they are asked for: not in several threads.
        self._images, self._models = client.images, client.models

    def make(self, requests: Sequence[Request]) -> list[Answer | RefusedError]:
        """Return the answer to the one request; see `base.Provider.make`."""
        (request,) = requests
        return [self._answer(request, self._wire.ask(lambda: self._send(request)))]

    def _send(self, request: Request) -> object:
        fields: dict[str, Any] = parameters.sent(request)
        if request.image is not None:
            address = ContentPartImageImageURL(url=uploads.data_url(request.image))
            fields["input_references"] = [ContentPartImage(image_url=address, type="image_url")]
        return self._images.generate(model=request.model, prompt=request.prompt, **fields)

    def _answer(self, request: Request, received: Received) -> Answer:
        document, headers = received.document, received.headers
        images = replies.items(document, "data")
        cost = replies.dollars(document, "usage", "cost")
        encoded = replies.part(images, 0, "b64_json")
        if not images or not isinstance(encoded, str):
            words = replies.text(document, "error", "message")
            words = words or replies.text(images, 0, "error", "message")
            if not words:
                raise LostError("the answer holds no image, and no words")
            raise RefusedError(self._wire.words(f"no image in the answer: {words}"), cost)
        return Answer(
            replies.content_of(encoded),
            self._wire.words(replies.text(images, 0, "media_type")),
            cost=cost,
            usage=_usage(document),
            request_id=self._wire.words(
                headers.get("x-generation-id") or headers.get("x-request-id") or ""
            ),
            seed=parameters.seed_of(request),
            n_images=len(images),
        )

    def models(self) -> list[ListedModel]:
        """Return the models that make images, each with its prices in dollars a token or image."""
        document = self._wire.listed(lambda: self._models.list(output_modalities="image"))
        return [
            ListedModel(
                self._wire.words(replies.text(model, "id")), self._wire.words(_price(model))
            )
            for model in replies.items(document, "data")
        ]


def _price(model: object) -> str:
    prices = replies.part(model, "pricing")
    if not isinstance(prices, dict):
        return ""
    # What costs nothing is not told; the words are the service's.
    return ", ".join(
        f"{name} ${price}"
        for name, price in prices.items()
        if isinstance(price, str) and price.strip("0.")
    )


def _usage(document: object) -> dict[str, int]:
    usage = replies.part(document, "usage")
    image_out = replies.count(usage, "completion_tokens_details", "image_tokens")
    # Tokens of the prompt and of its image are told as one number.
    tokens = {"image_out": image_out or replies.count(usage, "completion_tokens")}
    return {kind: n for kind, n in tokens.items() if n}
