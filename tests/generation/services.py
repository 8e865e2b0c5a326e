"""What tests of the services of images share: the key, requests, and what may come of one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from generation.server import Fields, Reply, Server, json_reply, png

from xprobe.generation.base import Answer, Provider, Request

SERVICES = ("openai", "openrouter", "gemini")

KEY = "sk-test-Zq7Yw3Kp9Lm/2Nb5Vc8"  # a key that is written otherwise in an address

SOURCE = png("source")


def asked(prompt: str = "a flood", image: bytes | None = SOURCE, **parameters: Any) -> Request:
    return Request("k", "m-1", prompt, parameters, 7, image)


@dataclass(frozen=True)
class Service:
    """A service on this machine, and the provider that speaks to it."""

    server: Server
    provider: Provider

    def make(self, request: Request | None = None) -> Answer:
        """Return the answer to one request."""
        (answer,) = self.provider.make([asked() if request is None else request])
        assert isinstance(answer, Answer)
        return answer

    def says(self, reply: Reply) -> None:
        self.server.reply = lambda _: reply

    def failure(self, reply: Reply | None = None, request: Request | None = None) -> Exception:
        """Return the error that a request ends with; none may show the key, nor hold another."""
        if reply is not None:
            self.says(reply)
        try:
            self.make(request)
        except Exception as error:
            said = f"{error!r} {error}"
            assert KEY not in said
            assert quote(KEY, safe="") not in said
            assert KEY[8:] not in said
            assert len(str(error)) < 600
            assert "\n" not in str(error)
            assert error.__cause__ is None
            assert error.__context__ is None
            return error
        raise AssertionError("the request succeeded")


def error_reply(
    service: str, status: int, message: str, code: str = "", headers: Fields | None = None
) -> Reply:
    """Return an error as a service writes it."""
    error: Fields = {"message": message}
    if service == "openai":
        error |= {"type": "invalid_request_error", "param": None, "code": code or None}
    elif service == "openrouter":
        error |= {"code": status}
    else:
        error |= {"code": status, "status": code or "UNKNOWN"}
    return json_reply({"error": error}, status, **(headers or {}))
