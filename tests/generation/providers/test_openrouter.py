from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from generation.server import COST, Reply, json_reply, png
from generation.services import KEY, SOURCE, Service, asked, error_reply

from xprobe.base.errors import XprobeError
from xprobe.generation.base import ListedModel, LostError, NotMadeError, RefusedError, StoppedError
from xprobe.generation.registry import PROVIDERS, Access


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve("openrouter")


def opened(**parameters: Any) -> Any:
    return PROVIDERS["openrouter"].open(Access("m-1", Path(), parameters, "", KEY))


def test_an_edit_sends_the_image_and_its_parameters(service: Service) -> None:
    answer = service.make(asked(quality="low", aspect_ratio="1:1"))
    (seen,) = service.server.seen
    assert seen.path == "/api/v1/images"
    assert seen.image == SOURCE
    assert {name: v for name, v in seen.fields.items() if name != "input_references"} == {
        "model": "m-1", "prompt": "a flood", "quality": "low", "aspect_ratio": "1:1", "seed": 7
    }  # fmt: skip
    assert (answer.cost, answer.seed, answer.request_id) == (COST, 7, "gen-1")
    assert answer.usage == {"image_out": 1120}


def test_text_alone_is_generated(service: Service) -> None:
    service.make(asked(image=None))
    assert service.server.seen[0].fields == {"model": "m-1", "prompt": "a flood", "seed": 7}


def test_a_model_may_take_no_seed(service: Service) -> None:
    answer = service.make(asked(seed=False))
    assert (service.server.seen[0].seed, answer.seed) == (None, None)


def test_parameters_are_known_before_anything_is_sent() -> None:
    with pytest.raises(XprobeError, match=r"unknown parameter 'qualty' \(did you mean quality"):
        opened(qualty="low")
    with pytest.raises(XprobeError, match="each image has a seed of its own"):
        opened(seed=3)
    for name in ("prompt", "model", "input_references", "n", "stream", "server_url", "retries"):
        with pytest.raises(XprobeError, match="unknown parameter"):
            opened(**{name: "1"})
    opened(quality="low", seed=False)


def test_fields_that_are_not_as_the_sdk_has_them_lose_no_image(service: Service) -> None:
    body = service.server.protocol.images(png("x")).body
    for old, new in ((b'"created": 1', b'"x": 1'), (b'"total_tokens": 1420', b'"x": 1'),
                     (b'"usage": {', b'"x": {')):  # fmt: skip
        assert old in body
        service.says(Reply(body.replace(old, new)))
        assert service.make().content == png("x")


def test_moderation_and_credits_are_told_apart(service: Service) -> None:
    error = {"code": 403, "message": "Flagged.", "metadata": {"reasons": ["violence"]}}
    assert type(service.failure(json_reply({"error": error}, 403))) is RefusedError
    assert type(service.failure(error_reply("openrouter", 403, "Key disabled."))) is StoppedError
    assert type(service.failure(error_reply("openrouter", 402, "No credits."))) is StoppedError


@pytest.mark.parametrize(
    ("code", "kind"), [(400, StoppedError), (429, NotMadeError), (502, LostError)]
)
def test_an_error_may_stand_in_a_good_answer(
    service: Service, code: int, kind: type[Exception]
) -> None:
    failure = service.failure(json_reply({"error": {"code": code, "message": "Vendor."}}))
    assert type(failure) is kind
    assert str(failure) == f"HTTP {code}: Vendor."


def test_words_instead_of_an_image_are_a_refusal_with_its_cost(service: Service) -> None:
    document = {"data": [], "error": {"message": "I will not."}, "usage": {"cost": 0.001}}
    failure = service.failure(json_reply(document))
    assert isinstance(failure, RefusedError)
    assert "I will not." in str(failure)
    assert failure.cost == 0.001


def test_models_come_with_their_prices(service: Service) -> None:
    pricing = {"prompt": "0.0000003", "completion": "0", "image_output": "0.00003", "x": 1}
    service.says(json_reply({"data": [{"id": "google/x", "pricing": pricing}, {"id": "y"}]}))
    assert list(service.provider.models()) == [
        ListedModel("google/x", "prompt $0.0000003, image_output $0.00003"), ListedModel("y")
    ]  # fmt: skip
    assert "output_modalities=image" in service.server.seen[0].path


def test_a_list_that_does_not_come_is_not_made(service: Service) -> None:
    for reply in (error_reply("openrouter", 500, "x"), Reply(b"<html>"), Reply(b"{}", cut=1)):
        service.says(reply)
        with pytest.raises(NotMadeError):
            service.provider.models()
    service.says(error_reply("openrouter", 401, "x"))
    with pytest.raises(StoppedError):
        service.provider.models()
