"""The errors of services, as they write them."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx2
import pytest

from xprobe.generation.base import LostError, NotMadeError, RefusedError, StoppedError
from xprobe.generation.providers.failures import Failure, failure_of


def told(status: int, document: object = None, **headers: str) -> Failure:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    body = json.dumps(document).encode() if document is not None else b""
    return failure_of(status, httpx2.Headers(names), body, lambda text: " ".join(text.split()))


def openai(message: str, code: str | None, type_: str = "invalid_request_error") -> object:
    return {"error": {"message": message, "type": type_, "param": None, "code": code}}


def google(code: int, message: str, status: str, *details: Any) -> object:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": error}


def router(code: int, vendor: object) -> object:
    metadata = {"raw": json.dumps(vendor), "provider_name": "X"}
    return {"error": {"code": code, "message": "Provider returned error", "metadata": metadata}}


def violation(quota: str) -> object:
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaId": quota}]}  # fmt: skip


RETRY = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.07s"}

CASES: list[tuple[int, object, type[Exception]]] = [
    # A prompt or an image that this service will not have.
    (400, openai("Your request was rejected by the safety system.", "moderation_blocked",
                 "image_generation_user_error"), RefusedError),
    (400, openai("Your prompt may contain text that is not allowed.", "content_policy_violation"),
     RefusedError),
    (400, openai("Invalid image file or mode for image 1.", "invalid_image_file"), RefusedError),
    (400, openai("Filtered.", "content_filter"), RefusedError),
    (400, openai("The input image may contain sensitive information.",
                 "InputImageSensitiveContentDetected", "BadRequest"), RefusedError),
    (403, {"error": {"code": 403, "message": "flagged",
                     "metadata": {"reasons": ["violence"], "flagged_input": "…"}}}, RefusedError),
    (403, {"error": {"code": 403, "message": "flagged",
                     "metadata": {"error_type": "content_policy_violation"}}}, RefusedError),
    (400, router(400, openai("Not this one.", "OutputImageSensitiveContentDetected")),
     RefusedError),
    (400, router(400, [google(400, "Unable to process input image.", "INVALID_ARGUMENT")]),
     RefusedError),
    (400, google(400, "Unable to process input image.", "INVALID_ARGUMENT"), RefusedError),
    (413, None, RefusedError),
    # What every further request would meet, too.
    (401, openai("Incorrect API key provided.", "invalid_api_key"), StoppedError),
    (400, google(400, "API key not valid.", "INVALID_ARGUMENT",
                 {"reason": "API_KEY_INVALID", "domain": "googleapis.com"}), StoppedError),
    (403, google(403, "Permission denied.", "PERMISSION_DENIED"), StoppedError),
    (403, openai("Country not supported.", "unsupported_country_region_territory"), StoppedError),
    (403, openai("Your account is overdue.", "AccountOverdueError", "Forbidden"), StoppedError),
    (402, {"error": {"code": 402, "message": "Insufficient credits"}}, StoppedError),
    (400, openai("Billing hard limit has been reached.", "billing_hard_limit_reached"),
     StoppedError),
    (400, openai("Unknown parameter: 'x'.", "unknown_parameter"), StoppedError),
    (400, openai("Invalid value: 'huge'.", "invalid_value", "image_generation_user_error"),
     StoppedError),
    (404, openai("The model 'x' does not exist.", "model_not_found"), StoppedError),
    (400, router(400, openai("Invalid size.", "invalid_value")), StoppedError),
    (422, {"detail": "no such size"}, StoppedError),
    (429, openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
     StoppedError),
    (429, openai("The free quota is used up.", "QuotaExceeded", "TooManyRequests"), StoppedError),
    (429, google(429, "You exceeded your current quota.", "RESOURCE_EXHAUSTED",
                 violation("GenerateRequestsPerDayPerProjectPerModel"), RETRY), StoppedError),
    # What passes.
    (429, openai("Rate limit reached.", "rate_limit_exceeded", "requests"), NotMadeError),
    (429, google(429, "You exceeded your current quota, please check your plan and billing.",
                 "RESOURCE_EXHAUSTED",
                 violation("GenerateRequestsPerMinutePerProjectPerModel-FreeTier"), RETRY),
     NotMadeError),
    (429, {"error": {"code": 429, "message": "Provider returned error",
                     "metadata": {"raw": "try later", "provider_name": "X"}}}, NotMadeError),
    (429, router(429, google(429, "Slow down.", "RESOURCE_EXHAUSTED", RETRY)), NotMadeError),
    (429, "what is this", NotMadeError),
    # What may have been paid.
    (408, None, LostError),
    (500, openai("The server had an error.", None, "server_error"), LostError),
    (503, google(503, "The model is overloaded.", "UNAVAILABLE"), LostError),
    (599, None, LostError),
    (202, None, LostError),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "document", "kind"), CASES, ids=[f"{c[0]}-{c[2].__name__}" for c in CASES]
)
def test_the_errors_of_services(status: int, document: object, kind: type[Exception]) -> None:
    failure = told(status, document)
    assert type(failure) is kind
    assert f"HTTP {status}" in str(failure)
    if isinstance(document, dict) and "error" in document:
        assert document["error"]["message"] in str(failure)


def test_words_of_the_vendor_behind_a_router_are_told() -> None:
    error = {"message": "Provider returned error", "metadata": {"raw": "no birds"}}
    for document in ({"error": error}, router(500, openai("no birds", None))):
        assert str(told(500, document)) == "HTTP 500: Provider returned error: no birds"


def test_credits_that_are_only_set_aside_pass() -> None:
    document = {"error": {"code": 402, "message": "Requests under way may cost the rest."}}
    failure = told(402, document, retry_after="20")
    assert isinstance(failure, NotMadeError)
    assert failure.after_s == 20
    assert type(told(402, document)) is StoppedError


def test_the_words_of_a_page_are_told_without_its_tags() -> None:
    page = b"<html><style>b {}</style><h1>502 Bad\nGateway</h1></html>"
    failure = failure_of(502, {}, page, lambda text: " ".join(text.split()))
    assert str(failure) == "HTTP 502: 502 Bad Gateway"


def in_an_hour() -> str:
    return format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "after_s"),
    [({"retry_after": "3"}, 3), ({"retry_after": "0.5"}, 0.5), ({"retry_after": "-3"}, 0),
     ({"retry_after_ms": "1500", "retry_after": "9"}, 1.5), ({"retry_after": "soon"}, None),
     ({"retry_after": "nan"}, None), ({"retry_after": "inf"}, None), ({}, None),
     ({"retry_after": "Sat, 01 Jan 2000 00:00:00 GMT"}, 0),
     ({"retry_after": "Sat, 01 Jan 2000 00:00:00 -0000"}, 0)],
)  # fmt: skip
def test_the_time_to_wait(headers: dict[str, str], after_s: float | None) -> None:
    failure = told(429, {}, **headers)
    assert isinstance(failure, NotMadeError)
    assert failure.after_s == after_s


def test_the_time_to_wait_may_be_a_date() -> None:
    failure = told(429, {}, retry_after=in_an_hour())
    assert isinstance(failure, NotMadeError)
    assert failure.after_s == pytest.approx(3600, abs=60)


def test_google_says_the_time_to_wait_in_its_details() -> None:
    document = google(429, "Slow down.", "RESOURCE_EXHAUSTED", RETRY)
    for error in (document, router(429, document), router(429, [document])):
        failure = told(429, error)
        assert isinstance(failure, NotMadeError)
        assert failure.after_s == 34.07
