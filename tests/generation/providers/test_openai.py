from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from generation.server import Reply, json_reply, png, running
from generation.services import KEY, SOURCE, Service, asked, error_reply

from xprobe.base.errors import XprobeError
from xprobe.generation.base import ListedModel, LostError, RefusedError, StoppedError
from xprobe.generation.providers import openai
from xprobe.generation.registry import PROVIDERS, Access


@pytest.fixture
def service(serve: Callable[..., Service]) -> Service:
    return serve("openai")


def opened(base_url: str = "", **parameters: Any) -> Any:
    return PROVIDERS["openai"].open(Access("m-1", Path(), parameters, base_url, KEY))


def test_an_edit_sends_the_image_and_its_parameters(service: Service) -> None:
    answer = service.make(asked(quality="low", output_compression=90))
    (seen,) = service.server.seen
    assert seen.path == "/v1/images/edits"
    assert seen.image == SOURCE
    assert seen.fields == {
        "model": "m-1", "prompt": "a flood", "quality": "low", "output_compression": "90"
    }  # fmt: skip
    assert answer.usage == {"text_in": 12, "image_in": 323, "image_out": 1056}
    assert (answer.cost, answer.seed, answer.request_id) == (None, None, "req_1")


def test_text_alone_is_generated(service: Service) -> None:
    service.make(asked(image=None, quality="low"))
    (seen,) = service.server.seen
    assert seen.path == "/v1/images/generations"
    assert seen.fields == {"model": "m-1", "prompt": "a flood", "quality": "low"}


def test_a_compatible_server_gets_parameters_of_its_own(service: Service) -> None:
    service.make(asked(watermark=False))
    service.make(asked(image=None, watermark=False))
    edit, text = service.server.seen
    assert edit.fields["watermark"] == "false"
    assert text.fields["watermark"] is False


def test_organisations_are_not_told_to_a_compatible_server(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-1")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-1")
    Service(service.server, opened(service.server.url)).make()
    assert not {"openai-organization", "openai-project"} & set(service.server.seen[0].headers)


def test_parameters_are_known_before_anything_is_sent() -> None:
    with pytest.raises(XprobeError, match=r"unknown parameter 'qualty' \(did you mean quality"):
        opened(qualty="low")
    for name in ("prompt", "model", "image", "mask", "n", "stream", "timeout", "extra_headers"):
        for url in ("", "https://example.org/v1"):
            with pytest.raises(XprobeError, match=f"'{name}' is not yours to set"):
                opened(url, **{name: "1"})
    opened(quality="low", moderation="low", input_fidelity="high")
    opened("https://example.org/v1", watermark=False)


def test_a_parameter_of_the_other_method_stops() -> None:
    for image, name in ((SOURCE, "moderation"), (None, "input_fidelity")):
        with pytest.raises(StoppedError, match=f"takes no parameter {name}"):
            opened().make([asked(image=image, **{name: "low"})])


def test_refusals_and_quotas_are_told_apart(service: Service) -> None:
    said = "Your request was rejected by the safety system."
    failure = service.failure(error_reply("openai", 400, said, "moderation_blocked"))
    assert isinstance(failure, RefusedError)
    assert said in str(failure)
    for status, code in ((429, "insufficient_quota"), (400, "billing_hard_limit_reached")):
        reply = error_reply("openai", status, "Limit.", code)
        assert type(service.failure(reply)) is StoppedError
    assert len(service.server.seen) == 3


def test_an_item_without_an_image_is_refused_with_its_words(service: Service) -> None:
    item = {"error": {"code": "OutputImageSensitiveContentDetected", "message": "Not this one."}}
    failure = service.failure(json_reply({"data": [item]}))
    assert isinstance(failure, RefusedError)
    assert "Not this one." in str(failure)


def test_fields_that_are_not_as_the_sdk_has_them_lose_no_image(service: Service) -> None:
    body = service.server.protocol.images(png("x")).body
    for old, new in (
        (b'"created": 1', b'"x": 1'), (b'"input_tokens": 335', b'"x": 1'),
        (b'{"text_tokens": 12, "image_tokens": 323}', b"null"), (b'"usage": {', b'"x": {'),
    ):  # fmt: skip
        assert old in body
        service.says(Reply(body.replace(old, new)))
        assert service.make().content == png("x")


# --- addresses ---


def at_address(url: str) -> Reply:
    return json_reply({"data": [{"url": url}]})


def test_an_image_may_be_at_an_address(service: Service) -> None:
    with running("openai") as store:
        store.reply = lambda _: Reply(png("x"), media_type="image/png")
        service.says(at_address(f"{store.origin}/x.png"))
        answer = service.make()
        assert (answer.content, answer.media_type) == (png("x"), "image/png")
        assert KEY not in repr(store.seen)


def test_an_address_elsewhere_is_not_asked(service: Service) -> None:
    failure = service.failure(at_address("https://example.org/x.png"))
    assert isinstance(failure, LostError)
    assert "example.org" in str(failure)


# --- ByteDance's Ark ---


def test_ark_edits_by_generating(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(openai._SERVERS, "127.0.0.1", openai._Server(("x.org",), True))
    Service(service.server, opened(service.server.url)).make(asked(watermark=False, size="2K"))
    (seen,) = service.server.seen
    assert seen.path == "/v1/images/generations"
    assert seen.image == SOURCE
    assert seen.fields["image"].startswith("data:image/png;base64,")
    assert (seen.fields["watermark"], seen.fields["size"]) == (False, "2K")


def test_ark_keeps_images_at_hosts_of_its_own() -> None:
    for api, server in openai._SERVERS.items():
        assert opened(f"https://{api}/api/v3").hosts == (api,)
        assert all(host.endswith(".volces.com") for host in server.answer_hosts)


# --- models ---


def test_a_compatible_server_lists_what_it_has(service: Service) -> None:
    service.says(json_reply({"data": [{"id": "seedream"}, {"id": "gpt-image-2"}]}))
    assert list(service.provider.models()) == [ListedModel("gpt-image-2"), ListedModel("seedream")]
