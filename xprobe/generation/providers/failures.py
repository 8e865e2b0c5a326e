"""What an answer that is no success means: whether it was paid, whether asking again can help."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from xprobe.generation.base import LostError, NotMadeError, RefusedError, StoppedError
from xprobe.generation.providers.replies import part, read_json

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
    document = read_json(body)
    said = words(f"HTTP {status}: {_message(document, body)}")
    codes = list(_codes(document))
    if 300 <= status < 400:
        place = words(headers.get("location", "") or "nowhere")
        return StoppedError(
            f"{said.rstrip(': ')}: redirected to {place}; redirects are not followed, for they "
            f"would take the image to another host"
        )
    if status == 429 and not any(_USED_UP.search(code) for code in codes):
        return NotMadeError(said, _after_s(headers, document))
    if status == 413 or (400 <= status < 500 and _is_refused(status, codes, document)):
        return RefusedError(said)
    if status in (408, 499) or not 400 <= status < 500:
        return LostError(said)
    # What is left is wrong with every request: the key, the account, the model or a parameter.
    return StoppedError(said)


def _is_refused(status: int, codes: list[str], document: object) -> bool:
    if status in (402, 429):
        return False
    # OpenRouter says which rules a prompt broke beside the code 403.
    flagged = part(document, "error", "metadata", "reasons")
    message = part(document, "error", "message")
    return (
        any(_REFUSED.search(code) for code in codes)
        or bool(flagged)
        or (isinstance(message, str) and bool(_BAD_IMAGE.search(message)))
    )


def _message(document: object, body: bytes) -> str:
    """Return what a service says of its error, by whichever name it says it."""
    for path in (("error", "message"), ("message",), ("error",), ("detail",)):
        message = part(document, *path)
        if isinstance(message, str) and message:
            # OpenRouter passes on what the vendor said as a text beside its own words.
            raw = part(document, "error", "metadata", "raw")
            return f"{message} ({raw})" if isinstance(raw, str) and raw else message
    text = body[:4000].decode(errors="replace")
    return re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", text, flags=re.DOTALL)


def _codes(document: object) -> Iterator[str]:
    """Yield the codes of an error; Google's are in its details."""
    for name in ("code", "type", "status"):
        code = part(document, "error", name)
        if isinstance(code, str):
            yield code
    for detail in _details(document):
        reason = part(detail, "reason")
        if isinstance(reason, str):
            yield reason
        violations = part(detail, "violations")
        for violation in violations if isinstance(violations, list) else []:
            quota = part(violation, "quotaId")
            if isinstance(quota, str):
                # "FreeTier-…Quota" is a name; only the period in it decides.
                yield "perday" if "perday" in quota.lower() else ""


def _details(document: object) -> list[object]:
    details = part(document, "error", "details")
    return details if isinstance(details, list) else []


def _after_s(headers: Mapping[str, str], document: object) -> float | None:
    """Return how long a service asks to wait, seconds; None: it does not say."""
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after", "").strip()
    if text:
        seconds = _seconds(text)
        return _until(text) if seconds is None else seconds
    for detail in _details(document):
        delay = part(detail, "retryDelay")
        if isinstance(delay, str):
            return _seconds(delay.removesuffix("s"))
    return None


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
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
