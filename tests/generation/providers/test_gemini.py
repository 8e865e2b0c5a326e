from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from generation.server import Fields, gemini_parts, json_reply, png
from generation.services import KEY, SOURCE, Service, asked, error_reply

from xprobe.base.errors import XprobeError
from xprobe.generation.base import ListedModel, LostError, RefusedError, StoppedError
from xprobe.generation.registry import PROVIDERS, Access


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve("gemini")


def opened(**parameters: Any) -> Any:
    return PROVIDERS["gemini"].open(Access("m-1", Path(), parameters, "", KEY))


def test_an_edit_sends_the_image_and_its_parameters(service: Service) -> None:
    answer = service.make(asked(service_tier="flex", image_size="1K", aspect_ratio="1:1"))
    (seen,) = service.server.seen
    assert seen.path == "/v1beta/models/m-1:generateContent"
    assert (seen.image, seen.prompt) == (SOURCE, "a flood")
    assert seen.fields["generationConfig"] == {
        "seed": 7,
        "responseModalities": ["IMAGE"],
        "imageConfig": {"imageSize": "1K", "aspectRatio": "1:1"},
    }
    assert seen.fields["serviceTier"] == "flex"
    assert (answer.cost, answer.seed, answer.request_id) == (None, 7, "resp-1")
    assert answer.usage == {"text_in": 10, "image_in": 1120, "text_out": 7, "image_out": 1290}


def test_text_alone_is_sent(service: Service) -> None:
    service.make(asked(image=None, seed=False))
    (seen,) = service.server.seen
    assert (seen.image, seen.seed) == (None, None)


def test_parameters_are_known_before_anything_is_sent() -> None:
    with pytest.raises(XprobeError, match=r"unknown parameter 'image_siz' \(did you mean image_s"):
        opened(image_siz="1K")
    for name in ("model", "contents", "response_modalities", "tools", "candidate_count"):
        with pytest.raises(XprobeError, match="unknown parameter"):
            opened(**{name: "1"})
    opened(service_tier="flex", image_size="1K", temperature=0.5, seed=False)


@pytest.mark.parametrize("finish", ["IMAGE_SAFETY", "PROHIBITED_CONTENT", "NO_IMAGE"])
def test_words_instead_of_an_image_are_a_refusal(service: Service, finish: str) -> None:
    failure = service.failure(gemini_parts({"text": "I cannot\nedit this."}, finish=finish))
    assert isinstance(failure, RefusedError)
    assert f"{finish}: I cannot edit this." in str(failure)


def test_a_blocked_prompt_is_refused(service: Service) -> None:
    feedback = {"blockReason": "PROHIBITED_CONTENT", "blockReasonMessage": "No."}
    failure = service.failure(json_reply({"promptFeedback": feedback}))
    assert isinstance(failure, RefusedError)
    assert "PROHIBITED_CONTENT: No." in str(failure)


def test_an_answer_of_nothing_is_lost(service: Service) -> None:
    assert type(service.failure(json_reply({"candidates": []}))) is LostError


def test_drafts_of_a_model_that_thinks_are_no_images(service: Service) -> None:
    def inline(image: bytes) -> Fields:
        part = service.server.protocol.images(image).body
        return dict(json.loads(part)["candidates"][0]["content"]["parts"][0])

    draft = {**inline(png("draft")), "thought": True}
    service.says(gemini_parts(draft, {"text": "Here it is."}, inline(png("final"))))
    answer = service.make()
    assert (answer.content, answer.n_images) == (png("final"), 1)


def test_a_wrong_key_stops(service: Service) -> None:
    reply = error_reply("gemini", 400, "API key not valid.", "INVALID_ARGUMENT")
    assert type(service.failure(reply)) is StoppedError


def test_models_are_those_that_make_images(service: Service) -> None:
    methods = {"supportedGenerationMethods": ["generateContent"]}
    models = [
        {"name": "models/gemini-3-pro-image", **methods},
        {"name": "models/gemini-nano-banana-2.1", **methods},
        {"name": "models/gemini-3-pro", **methods},
        {"name": "models/imagen-4", "supportedGenerationMethods": ["predict"]},
    ]
    service.says(json_reply({"models": models}))
    assert list(service.provider.models()) == [
        ListedModel("gemini-3-pro-image"), ListedModel("gemini-nano-banana-2.1")
    ]  # fmt: skip
