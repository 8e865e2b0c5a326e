"""Google's Gemini API by its SDK: models that answer with images, and at times with words."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2
from google import genai
from google.genai import types

from xprobe.generation.base import Answer, ListedModel, LostError, RefusedError, Request
from xprobe.generation.providers import parameters, replies, uploads
from xprobe.generation.providers.wire import Received, Wire
from xprobe.generation.registry import Access

_URL = "https://generativelanguage.googleapis.com"

# Parameters of the image, and those of the request that are single values.
_OF_IMAGE = {"aspect_ratio", "image_size", "person_generation"}
_OF_REQUEST = {
    "service_tier", "temperature", "top_p", "top_k", "max_output_tokens", "media_resolution",
    "presence_penalty", "frequency_penalty",
}  # fmt: skip


class Gemini:
    """The provider `gemini`; see `base.Provider`."""

    batch = 1

    def __init__(self, access: Access) -> None:
        """Prepare it; nothing is sent.

        Raises:
            XprobeError: a parameter is none that requests may set, or as in `Wire`.
        """
        parameters.check("gemini", access.parameters, _OF_IMAGE | _OF_REQUEST)
        self._wire = Wire(httpx2, access, _URL)
        self.hosts = self._wire.hosts
        # What the environment would choose instead is said: the other API of Google's, its
        # version, and its address.
        client = genai.Client(
            vertexai=False,
            api_key=access.key,
            http_options=types.HttpOptions(
                base_url=self._wire.url,
                api_version="v1beta",
                httpx_client=self._wire.client,
                httpx_async_client=self._wire.async_client,
            ),
        )
        self._models = client.models

    def make(self, requests: Sequence[Request]) -> list[Answer | RefusedError]:
        """Return the answer to the one request; see `base.Provider.make`."""
        (request,) = requests
        return [self._answer(request, self._wire.ask(lambda: self._send(request)))]

    def _send(self, request: Request) -> object:
        fields = parameters.sent(request)
        config = types.GenerateContentConfig(
            should_return_http_response=True,  # it is read here
            response_modalities=["IMAGE"],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
            image_config=types.ImageConfig.model_validate(
                {name: v for name, v in fields.items() if name in _OF_IMAGE}
            ),
            **{name: v for name, v in fields.items() if name not in _OF_IMAGE},  # type: ignore[arg-type]  # the SDK checks them
        )
        contents = [types.Part.from_text(text=request.prompt)]
        if request.image is not None:
            kind = uploads.media_type(request.image)
            contents.insert(0, types.Part.from_bytes(data=request.image, mime_type=kind))
        return self._models.generate_content(
            model=request.model,
            contents=contents,  # type: ignore[arg-type]  # a list of one more type than these
            config=config,
        )

    def _answer(self, request: Request, received: Received) -> Answer:
        document = received.document
        # Models that think show their drafts as parts of their own.
        parts = [
            piece
            for candidate in replies.items(document, "candidates")
            for piece in replies.items(candidate, "content", "parts")
            if replies.part(piece, "thought") is not True
        ]
        images = [piece for piece in parts if replies.part(piece, "inlineData") is not None]
        if not images:
            words = [*_reasons(document), *(replies.text(piece, "text") for piece in parts)]
            if not any(words):
                raise LostError("the answer holds no image, and no words")
            line = ": ".join(word for word in words if word)
            raise RefusedError(self._wire.words(f"no image in the answer: {line}"))
        return Answer(
            replies.content_of(replies.text(images, 0, "inlineData", "data")),
            self._wire.words(replies.text(images, 0, "inlineData", "mimeType")),
            usage=_usage(document),
            request_id=self._wire.words(replies.text(document, "responseId")),
            seed=parameters.seed_of(request),
            n_images=len(images),
        )

    def models(self) -> list[ListedModel]:
        """Return the models that answer requests and whose names speak of images; no prices."""
        config = types.ListModelsConfig(page_size=1000)
        document = self._wire.listed(lambda: self._models.list(config=config))
        return [
            ListedModel(self._wire.words(name.removeprefix("models/")))
            for model in replies.items(document, "models")
            if "generateContent" in replies.items(model, "supportedGenerationMethods")
            and any(word in (name := replies.text(model, "name")) for word in ("image", "banana"))
        ]


def _reasons(document: object) -> list[str]:
    """Return why an answer holds no image, in the service's words."""
    words = [
        replies.text(document, "promptFeedback", "blockReason"),
        replies.text(document, "promptFeedback", "blockReasonMessage"),
    ]
    for candidate in replies.items(document, "candidates"):
        words += [replies.text(candidate, "finishReason"), replies.text(candidate, "finishMessage")]
    return words


def _usage(document: object) -> dict[str, int]:
    usage = replies.part(document, "usageMetadata")
    tokens = dict.fromkeys(("text_in", "image_in", "text_out", "image_out"), 0)
    for field, kind in (("promptTokensDetails", "in"), ("candidatesTokensDetails", "out")):
        for detail in replies.items(usage, field):
            name = f"{replies.text(detail, 'modality').lower()}_{kind}"
            if name in tokens:
                tokens[name] += replies.count(detail, "tokenCount")
    tokens["text_out"] += replies.count(usage, "thoughtsTokenCount")
    if not replies.items(usage, "candidatesTokensDetails"):
        tokens["image_out"] = replies.count(usage, "candidatesTokenCount")
    return {kind: n for kind, n in tokens.items() if n}
