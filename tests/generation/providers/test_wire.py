"""What holds for each service, driven by its real SDK: what goes out, and what failures mean."""

from __future__ import annotations

import gzip
import itertools
import logging
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import httpx2
import pytest
from generation.server import Reply, json_reply, png, running
from generation.services import KEY, SERVICES, SOURCE, Service, asked, error_reply

from xprobe.base.errors import XprobeError
from xprobe.generation.base import LostError, NotMadeError, RefusedError, StoppedError
from xprobe.generation.providers import wire
from xprobe.generation.providers.wire import Wire
from xprobe.generation.registry import PROVIDERS, Access

Serve = Callable[..., Service]


@pytest.fixture(params=SERVICES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def service(name: str, serve: Serve) -> Service:
    return serve(name)


@pytest.fixture
def brief(name: str, serve: Serve) -> Service:
    """A service that is not waited for long."""
    return serve(name, timeout_s=0.2)


def good(service: Service) -> Reply:
    return service.server.protocol.images(png("answer"))


# --- success ---


@pytest.mark.parametrize("source", [SOURCE, None], ids=["edit", "text"])
def test_an_image_comes_as_the_service_sent_it(service: Service, source: bytes | None) -> None:
    service.says(good(service))
    answer = service.make(asked("a flood\nby night", source))
    (seen,) = service.server.seen
    assert (seen.prompt, seen.image) == ("a flood\nby night", source)
    assert KEY in " ".join(seen.headers.values())
    assert (answer.content, answer.media_type, answer.n_images) == (png("answer"), "image/png", 1)


def test_of_several_images_the_first_is_kept_and_their_number_told(service: Service) -> None:
    service.says(service.server.protocol.images(png("1"), png("2")))
    answer = service.make()
    assert (answer.content, answer.n_images) == (png("1"), 2)


def test_an_empty_image_is_what_came(service: Service) -> None:
    service.says(service.server.protocol.images(b""))
    assert service.make().content == b""


def test_threads_share_a_provider(service: Service) -> None:
    service.server.reply = lambda seen: service.server.protocol.images(png(seen.prompt))
    prompts = [f"flood {i}" for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda prompt: service.make(asked(prompt)), prompts))
    assert [answer.content for answer in answers] == [png(prompt) for prompt in prompts]


def test_no_more_requests_are_under_way_than_there_are_slots(service: Service) -> None:
    url, under_way, most = service.server.url, 0, 0
    counting, together = threading.Lock(), threading.Barrier(3)

    def reply(_seen: object) -> Reply:
        nonlocal under_way, most
        with counting:
            under_way += 1
            most = max(most, under_way)
        together.wait(10)  # Three are there at once, and a fourth would be counted.
        with counting:
            under_way -= 1
        return good(service)

    service.server.reply = reply
    name = {"/v1": "openai", "/api/v1": "openrouter"}.get(service.server.protocol.path, "gemini")
    access = Access("m-1", Path(), {}, url, KEY, slots=threading.Semaphore(3))
    provider = PROVIDERS[name].open(access)
    with ThreadPoolExecutor(9) as pool:
        assert len(list(pool.map(lambda i: provider.make([asked(f"{i}")]), range(9)))) == 9
    assert most == 3


def test_sdks_tell_nothing_of_the_machine(service: Service) -> None:
    service.make()
    assert set(service.server.seen[0].headers) <= {
        "host", "connection", "accept", "accept-encoding", "user-agent", "content-type",
        "content-length", "authorization", "x-goog-api-key",
    }  # fmt: skip


def test_an_answer_may_be_compressed(service: Service) -> None:
    reply = good(service)
    headers = {"content-encoding": "gzip"}
    service.says(Reply(gzip.compress(reply.body), headers=headers))
    assert service.make().content == png("answer")


# --- failures: each after one request, for SDKs try none again ---


def error(name: str, status: int, code: str = "", **headers: str) -> Reply:
    return error_reply(name, status, "what the service says", code, headers)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, StoppedError), (401, StoppedError), (402, StoppedError), (403, StoppedError),
     (404, StoppedError), (422, StoppedError), (413, RefusedError), (408, LostError),
     (429, NotMadeError), (500, LostError), (502, LostError), (503, LostError), (529, LostError),
     (204, LostError)],
)  # fmt: skip
def test_a_status_says_whether_an_image_was_paid(
    service: Service, name: str, status: int, kind: type[Exception]
) -> None:
    failure = service.failure(error(name, status) if status != 204 else Reply(status=204))
    assert type(failure) is kind
    assert "what the service says" in str(failure) or status == 204
    assert len(service.server.seen) == 1


def test_what_a_service_asks_to_wait_is_told(service: Service, name: str) -> None:
    failure = service.failure(error(name, 429, retry_after="3"))
    assert isinstance(failure, NotMadeError)
    assert failure.after_s == 3
    assert len(service.server.seen) == 1


def test_a_service_that_is_not_there_made_nothing(name: str) -> None:
    with running(name) as server:
        provider = opened(name, base_url=server.url)
    failure = Service(server, provider).failure()
    assert type(failure) is NotMadeError
    assert "127.0.0.1 cannot be reached" in str(failure)


def test_a_slow_service_may_have_been_paid(brief: Service, never: threading.Event) -> None:
    has_come = threading.Event()

    def late(_seen: object) -> Reply:
        has_come.set()
        return Reply(good(brief).body, after=never)

    brief.server.reply = late
    failure = brief.failure()
    assert has_come.wait(10)  # The service may take longer to read a request than it is waited for.
    assert type(failure) is LostError
    assert "ReadTimeout" in str(failure)
    assert len(brief.server.seen) == 1


def test_an_answer_that_drips_comes_to_an_end(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = itertools.count()
    monkeypatch.setattr(wire, "time", SimpleNamespace(monotonic=lambda: next(seconds)))
    failure = service.failure(Reply(good(service).body, drip_s=0.02))
    assert type(failure) is LostError
    assert "did not end within 5 s" in str(failure)


@pytest.mark.parametrize("length", [0, 50])
def test_an_answer_that_is_cut_may_have_been_paid(service: Service, length: int) -> None:
    failure = service.failure(Reply(good(service).body, cut=length))
    assert type(failure) is LostError
    assert len(service.server.seen) == 1


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>Bad gateway</html>", b"{", b"[]", b"null", b'{"data": 1, "candidates": 1}'],
)
def test_an_answer_without_an_image_or_words_is_lost(service: Service, body: bytes) -> None:
    assert type(service.failure(Reply(body, media_type="text/html"))) is LostError
    assert type(service.failure(Reply(body))) is LostError


def test_a_broken_image_is_lost(service: Service) -> None:
    body = good(service).body.replace(b"iVBOR", b"iV?OR")
    failure = service.failure(Reply(body))
    assert type(failure) is LostError
    assert "no base64" in str(failure)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_long_answer_is_not_read_to_its_end(
    service: Service, compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "MOST_BYTES", 1000)
    body = b" " * 10**6
    headers = {"content-encoding": "gzip"} if compressed else {}
    failure = service.failure(Reply(gzip.compress(body) if compressed else body, headers=headers))
    assert type(failure) is LostError
    assert "longer than" in str(failure)


@pytest.mark.parametrize("packed", ["gzip, gzip", "br", "zstd"])
def test_an_answer_that_may_unpack_to_anything_is_not_read(service: Service, packed: str) -> None:
    body = gzip.compress(gzip.compress(good(service).body))
    failure = service.failure(Reply(body, headers={"content-encoding": packed}))
    assert type(failure) is LostError
    assert "not asked for" in str(failure)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_no_redirect_is_followed(service: Service, name: str, status: int) -> None:
    with running(name) as other:
        failure = service.failure(
            Reply(status=status, headers={"location": f"{other.url}/x?key={KEY}"})
        )
        assert type(failure) is StoppedError
        assert "redirects are not followed" in str(failure)
        assert other.seen == []


@pytest.mark.parametrize("name", ["openrouter", "gemini"])
def test_a_request_that_the_sdk_refuses_is_not_sent(service: Service) -> None:
    wrong: dict[str, Any] = {"size\n": object()}
    failure = service.failure(request=asked(**wrong))
    assert type(failure) is StoppedError
    assert service.server.seen == []


# --- the key ---


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
def test_a_service_that_shows_the_key_is_not_repeated(
    service: Service, name: str, status: int
) -> None:
    words = f"Incorrect API key provided: {KEY} ({KEY[:5]}***{KEY[-4:]}, …{KEY[8:]}), see our page"
    failure = service.failure(error_reply(name, status, words, KEY))
    assert "***" not in str(failure)
    assert KEY[:5] not in str(failure)
    assert "[key]" in str(failure) or status == 200


def test_ids_that_show_the_key_are_not_kept(service: Service) -> None:
    reply = good(service)
    body = reply.body.replace(b"resp-1", KEY.encode()).replace(b"image/png", KEY.encode())
    service.says(Reply(body, headers={"x-request-id": KEY, "x-generation-id": KEY}))
    answer = service.make()
    assert KEY not in repr(answer)
    assert "[key]" in answer.request_id


def test_logs_and_tracebacks_hold_neither_the_key_nor_what_is_sent(
    name: str,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in ("OPENROUTER_DEBUG", "OPENAI_LOG"):
        monkeypatch.setenv(variable, "debug")
    caplog.set_level(logging.DEBUG)
    with running(name) as server:
        service = Service(server, opened(name, base_url=server.url))
        service.make()
        failure = service.failure(error(name, 401))
    lines = traceback.format_exception(failure)
    assert caplog.text
    written = "".join([caplog.text, *capfd.readouterr(), *lines, repr(service.provider)])
    assert KEY not in written
    assert repr(KEY) not in written
    assert asked().prompt not in written


# --- where requests go ---


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """Requests that would have gone out, and the options of what they would have gone through."""
    asked_for: list[Any] = []

    for library in (httpx, httpx2):

        def transport(library: Any = library, **options: Any) -> object:
            def answer(request: Any) -> Any:
                asked_for.append(request)
                return library.Response(200, content=b"")

            asked_for.append(options)
            return library.MockTransport(answer)

        monkeypatch.setattr(library, "HTTPTransport", transport)
    yield asked_for


def opened(name: str, **fields: Any) -> Any:
    return PROVIDERS[name].open(Access("m-1", Path(), **({"key": KEY} | fields)))


PLACES = {
    "openai": "https://api.openai.com/v1/images/edits",
    "openrouter": "https://openrouter.ai/api/v1/images",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/models/m-1:generateContent",
}


def test_the_environment_chooses_neither_host_nor_key(
    name: str, network: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL", "GOOGLE_VERTEX_BASE_URL"):
        monkeypatch.setenv(variable, "https://example.org/v9")
    for variable in ("OPENAI_API_KEY", "GOOGLE_API_KEY", "GEMINI_API_KEY", "OPENROUTER_API_KEY"):
        monkeypatch.setenv(variable, "another")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GENAI_USE_ENTERPRISE", "true")
    monkeypatch.setenv("GOOGLE_GENAI_API_VERSION", "v9")
    provider = opened(name)
    with pytest.raises(LostError):
        provider.make([asked()])
    request = network[-1]
    assert str(request.url) == PLACES[name]
    assert provider.hosts == (request.url.host,)
    assert KEY in " ".join(request.headers.values())
    assert request.extensions["timeout"] == {
        "connect": 10.0, "read": 300.0, "write": 300.0, "pool": 300.0
    }  # fmt: skip


def test_an_sdk_may_not_send_to_another_host(network: list[Any]) -> None:
    line = Wire(httpx2, Access("m", Path(), key=KEY), "https://api.openai.com/v1")
    for url in ("https://example.org", "http://api.openai.com", "https://api.openai.com:8443"):
        with pytest.raises(StoppedError, match="nothing was sent to"):
            line.client.get(url)
    assert len(network) == 1  # the options


def test_a_proxy_carries_https_alone(
    name: str, network: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1:7890")
    monkeypatch.setenv("no_proxy", "")
    opened(name)
    opened(name, base_url="http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "openai.com,openrouter.ai,googleapis.com")
    opened(name)
    assert [options["proxy"] for options in network] == ["http://127.0.0.1:7890", None, None]


@pytest.mark.parametrize("address", ["gopher://u:secret@127.0.0.1:70", "http://u:secret@x:y"])
def test_a_proxy_that_cannot_be_used_is_told(
    name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", address)
    with pytest.raises(XprobeError, match="the proxy of the environment") as caught:
        opened(name)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "words"),
    [("http://example.org/v1", "plain http"), ("http://127.0.0.1.example.org", "plain http"),
     ("http://10.0.0.1/v1", "plain http"), ("ftp://example.org", "no address"),
     ("example.org", "no address"), ("https://", "no address"),
     ("https://example.org:x", "no address"), ("https://u:secret@example.org", "user or password")],
)  # fmt: skip
def test_a_base_url_is_https_or_this_machine(name: str, url: str, words: str) -> None:
    with pytest.raises(XprobeError, match=words) as caught:
        opened(name, base_url=url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-1\n2", "sk 1", "sk-é"])
def test_a_key_that_is_none_is_told(name: str, key: str) -> None:
    with pytest.raises(XprobeError, match="holds characters") as caught:
        opened(name, key=key)
    assert key not in str(caught.value)


# --- images at addresses ---


@pytest.fixture
def local() -> Wire:
    return Wire(httpx2, Access("m", Path(), key=KEY, timeout_s=5), "http://127.0.0.1:9")


def test_an_image_is_fetched_without_the_key(local: Wire) -> None:
    with running("openai") as store:
        store.reply = lambda _: Reply(png("x"), media_type="image/png; x=1")
        assert local.fetch(f"{store.origin}/x.png?y=1") == (png("x"), "image/png")
        (seen,) = store.seen
    assert seen.path == "/x.png?y=1"
    assert KEY not in repr(seen)


def test_a_paid_image_is_asked_for_thrice(local: Wire) -> None:
    with running("openai") as store:
        store.reply = lambda _: Reply(png("x"), cut=3 if len(store.seen) < 3 else None)
        assert local.fetch(store.origin)[0] == png("x")
        store.reply = lambda _: json_reply({}, 404)
        with pytest.raises(LostError, match="404"):
            local.fetch(store.origin)
        assert len(store.seen) == 6


def test_a_fetch_follows_no_redirect(local: Wire) -> None:
    with running("openai") as store, running("openai") as other:
        store.reply = lambda _: Reply(status=302, headers={"location": other.origin})
        with pytest.raises(LostError, match="redirects are not followed"):
            local.fetch(store.origin)
        assert other.seen == []


FOREIGN = [
    "https://example.org/x.png", "http://example.org/x.png", "file:///etc/passwd", "x.png", "",
    "https://127.0.0.1@example.org/x.png", "https://api.openai.com.example.org/x.png", "https://[",
    "http://api.openai.com/x.png", "https://u:p@api.openai.com/x.png",
    "https://api.openai.com:8443/x.png", "https://api.openai.com./x.png",
]  # fmt: skip


@pytest.mark.parametrize("url", FOREIGN)
def test_nothing_is_fetched_from_elsewhere(url: str, network: list[Any]) -> None:
    line = Wire(httpx2, Access("m", Path(), key=KEY), "https://api.openai.com/v1")
    with pytest.raises(LostError, match="nothing was asked of it") as caught:
        line.fetch(f"{url}?signature={KEY}")
    assert KEY not in str(caught.value)
    assert len(network) == 1


def test_a_service_elsewhere_names_no_address_of_this_machine(network: list[Any]) -> None:
    line = Wire(httpx2, Access("m", Path(), key=KEY), "https://api.openai.com/v1")
    for url in ("http://127.0.0.1/x", "https://localhost/x", "https://[::1]/x"):
        with pytest.raises(LostError, match="nothing was asked of it"):
            line.fetch(url, ("cdn.org",))
    assert line.fetch("https://cdn.org/x", ("cdn.org",)) == (b"", "")
    assert line.fetch("https://api.openai.com/x") == (b"", "")
    assert "authorization" not in network[-1].headers
