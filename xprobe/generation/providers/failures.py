"""What an answer that is no success means: whether it was paid, whether asking again can help."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from xprobe.generation.base import LostError, NotMadeError, RefusedError, StoppedError
from xprobe.generation.providers.replies import items, part, read_json, text

Failure = LostError | NotMadeError | RefusedError | StoppedError

# Codes of errors that are about this prompt or this image alone: moderation, and a picture that the
# service cannot read. OpenAI's and Azure's are words joined by `_`, Ark's are written together.
_REFUSED = re.compile(
    r"moderation|content_?(policy|filter)|sensitive|safety|riskdetection|responsibleaipolicy"
    r"|invalid_prompt|invalid_(base64_)?image(_format|_mode|_file)?$|empty_image|image_parse"
    r"|image(_file)?_too_(large|small)|unsupported_image_media_type",
    re.IGNORECASE,
)

# What Gemini says of a picture that it cannot read; its code is that of any wrong request.
_BAD_IMAGE = re.compile(r"unable to process input image|image is not valid", re.IGNORECASE)

# Codes of a limit that waiting some minutes does not lift; Gemini names its quotas by their period.
_USED_UP = re.compile(r"quota|billing|balance|overdue|perday", re.IGNORECASE)


def failure_of(
    status: int, headers: Mapping[str, str], body: bytes, words: Callable[[str], str]
) -> Failure:
    """Return the error that an answer of HTTP stands for.

    Args:
        status: its status, any but 200.
        headers: its headers; names are found in any case.
        body: its body, whole; JSON with a part ``error``, or anything.
        words: turns what a service says into what may be shown, such as `redaction.cleaned`.
    """
    errors = list(_errors(read_json(body)))
    codes = [code for error in errors for code in _codes(error)]
    said = words(f"HTTP {status}: {_message(errors, body)}")
    if 300 <= status < 400:
        place = words(headers.get("location", "") or "nowhere")
        return StoppedError(
            f"{said.rstrip(': ')}: redirected to {place}; redirects are not followed, for they "
            f"would take the image to another host"
        )
    if _passes(status, headers, codes):
        return NotMadeError(said, _after_s(headers, errors))
    if status == 413 or (400 <= status < 500 and _is_refused(codes, said)):
        return RefusedError(said)
    if status in (408, 499) or not 400 <= status < 500:
        return LostError(said)
    # Every other 4xx answer is about the key, the account, the model or a parameter, so that all
    # further requests would fail in the same way.
    return StoppedError(said)


def _passes(status: int, headers: Mapping[str, str], codes: list[str]) -> bool:
    if status == 402:  # OpenRouter, while requests under way might cost all that is left.
        return "retry-after" in headers
    return status == 429 and not any(_USED_UP.search(code) for code in codes)


def _is_refused(codes: list[str], said: str) -> bool:
    return any(_REFUSED.search(code) for code in codes) or bool(_BAD_IMAGE.search(said))


def _errors(document: object) -> Iterator[object]:
    """Yield what a service says of an error, and what the vendor behind a router said to it."""
    error = part(document, "error")
    yield error if isinstance(error, dict) else document
    vendor = read_json(text(error, "metadata", "raw").encode())
    if vendor is not None:
        yield from _errors(part(vendor, 0) or vendor)


def _message(errors: list[object], body: bytes) -> str:
    """Return the message of an error; services call this field message, error or detail."""
    words = [
        text(error, "message") or text(error, "error") or text(error, "detail") for error in errors
    ]
    if len(errors) == 1:  # Not of a vendor that says it in JSON.
        words.append(text(errors[0], "metadata", "raw"))
    line = ": ".join(word for word in words if word)
    page = body[:4000].decode(errors="replace")
    return line or re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)


def _codes(error: object) -> Iterator[str]:
    """Yield the codes of an error; Google's are in its details, OpenRouter's beside its words."""
    for name in ("code", "type", "status"):
        yield text(error, name)
    for name in ("error_type", "provider_code"):
        yield text(error, "metadata", name)
    if items(error, "metadata", "reasons"):  # the rules that a prompt broke
        yield "moderation"
    for detail in items(error, "details"):
        yield text(detail, "reason")
        # Of the name of a quota only its period counts.
        quotas = (text(violation, "quotaId") for violation in items(detail, "violations"))
        yield from ("perday" for quota in quotas if "perday" in quota.lower())


def _after_s(headers: Mapping[str, str], errors: list[object]) -> float | None:
    """Return how long a service asks to wait, seconds; None: it does not say."""
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    moment = headers.get("retry-after", "").strip()
    if moment:
        seconds = _seconds(moment)
        return _until(moment) if seconds is None else seconds
    delays = (text(detail, "retryDelay") for error in errors for detail in items(error, "details"))
    return next((_seconds(delay.removesuffix("s")) for delay in delays if delay), None)


def _seconds(number: str) -> float | None:
    try:
        seconds = float(number)
    except ValueError:
        return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _until(date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
