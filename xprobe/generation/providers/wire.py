"""The line to a service, below its SDK: what may go out, what comes back, and what failures mean.

Each SDK is given a client of its HTTP library whose transport is a `Wire`. So whatever an SDK does
by itself, requests go to one host alone, over https, and without redirects; answers are read whole,
within limits of time and size; and failures are told apart by whether an image may have been paid.
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit
from urllib.request import getproxies, proxy_bypass

from xprobe import __version__
from xprobe.base.errors import XprobeError, first_line
from xprobe.generation.addresses import checked, is_loopback
from xprobe.generation.base import LostError, NotMadeError, RefusedError, StoppedError
from xprobe.generation.providers.failures import failure_of
from xprobe.generation.providers.redaction import cleaned
from xprobe.generation.providers.replies import count, part, read_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xprobe.generation.registry import Access

MOST_BYTES = 64 * 2**20
"""Bytes of the largest body that is read."""

CONNECT_S = 10.0
"""Seconds within which a host must take a connection."""

# Headers that go out; what else an SDK tells of the machine and of itself stays here.
_SENT = frozenset(
    ("host", "connection", "accept", "content-type", "content-length", "transfer-encoding",
     "authorization", "x-goog-api-key", "openai-organization", "openai-project")
)  # fmt: skip

# How a body may be packed though this is not asked for: once, and not to less than a thousandth.
_PACKED = frozenset(("", "identity", "gzip", "deflate"))

_FETCHES = 3
"""How often a paid image is asked for at its address before it counts as lost."""


@dataclass(frozen=True, eq=False)
class Received:
    """A good answer as it came.

    Attributes:
        headers: its headers; names are found in any case.
        document: the JSON that the body holds; None: it holds none.
    """

    headers: Mapping[str, str]
    document: object


class Wire:
    """The line to one service; it may be used by several threads.

    Attributes:
        url: address that the service's paths are appended to.
        hosts: the one host that requests go to.
        client: client of the HTTP library that the SDK is to use.
        async_client: client for SDKs that want one beside it; it sends nothing.
    """

    def __init__(self, library: Any, access: Access, url: str) -> None:
        """Prepare a line; nothing is sent.

        Args:
            library: ``httpx`` or ``httpx2``, whichever the SDK is made for.
            access: how the service is reached.
            url: the service's own address, unless `access` has another.

        Raises:
            XprobeError: the address or the key cannot be one, or a proxy cannot be used.
        """
        if not access.key.isascii() or not access.key.isprintable() or " " in access.key:
            raise XprobeError("the key holds characters that no key has; set it again")
        self.url = (access.base_url or url).rstrip("/")
        self._origin = checked(self.url)
        host = self._origin.hostname or ""
        self.hosts = (host,)
        self._key = access.key
        self._timeout_s = access.timeout_s
        self._slots = access.slots
        self._library = library
        self._last = threading.local()
        # A transport of one's own leaves out what the library takes from the environment; proxies
        # for https are taken all the same, as they see nothing but the name of the host.
        try:
            self._inner = library.HTTPTransport(
                limits=library.Limits(max_connections=None, max_keepalive_connections=100),
                proxy=None if is_loopback(host) else _proxy(host),
                verify=self._origin.scheme == "https",
            )
        except (ImportError, ValueError, library.InvalidURL) as error:
            # Only what says which package is missing is shown: an address may hold a password.
            reason = first_line(error) if isinstance(error, ImportError) else "it is no address"
            raise XprobeError(
                f"the proxy of the environment (https_proxy or all_proxy) cannot be used: {reason}"
            ) from None
        # Connections that are kept for the next request are closed with the line.
        weakref.finalize(self, self._inner.close)
        self.client = library.Client(transport=_transport(library, self), trust_env=False)
        self.async_client = library.AsyncClient(
            transport=library.AsyncBaseTransport(), trust_env=False
        )

    def words(self, text: str) -> str:
        """Return what a service says as it may be shown: on one line, cut, without the key."""
        return cleaned(text, self._key)

    def ask(self, call: Callable[[], object]) -> Received:
        """Return the answer to a request that a call of the SDK sends, as it came.

        The SDK sees nothing of the answer, and whatever it says of that does not count: an image
        that is paid is not lost because a field beside it is new.

        Raises:
            NotMadeError, RefusedError, LostError, StoppedError: as `failures.failure_of` has it.
            StoppedError: the SDK itself refuses the request.
        """
        self._last.outcome = None
        refusal = ""
        try:
            call()
        except Exception as error:  # SDKs have errors of all types.
            refusal = f"{type(error).__name__}: {error}"
        # Raised here, errors hold no context: those of SDKs have requests with the key.
        outcome = self._last.outcome
        self._last.outcome = None
        if isinstance(outcome, Received):
            return outcome
        raise outcome or StoppedError(self.words(f"the request cannot be sent: {refusal}"))

    def listed(self, call: Callable[[], object]) -> object:
        """Return the document that answers a question which costs nothing.

        Raises:
            NotMadeError, StoppedError: there is none now.
        """
        try:
            document = self.ask(call).document
        except (LostError, RefusedError) as error:
            raise NotMadeError(str(error)) from None
        if document is None:
            raise NotMadeError(f"{self.hosts[0]} answered with something else than a list")
        return document

    def fetch(self, url: str, hosts: Sequence[str] = ()) -> tuple[bytes, str]:
        """Return the image at an address that an answer gives, and its media type.

        It is asked for without the key, over https and of the service's hosts only; a service on
        the loopback address may name a plain one there.

        Args:
            url: the address.
            hosts: hosts beside its own at which the service keeps images.

        Raises:
            LostError: it may not be fetched from there, or does not come.
        """
        if not self._may_fetch(url, hosts):
            raise LostError(
                self.words(
                    f"the answer gives an address for its image that is not one of "
                    f"{self.hosts[0]}, and nothing was asked of it: {url.partition('?')[0]}"
                )
            )
        for _ in range(_FETCHES):
            status, headers, body, failure = self._exchange(self._library.Request("GET", url))
            if failure is None and status == 200:
                return body, headers.get("content-type", "").partition(";")[0].strip()
        reason = failure or failure_of(status, headers, body, self.words)
        raise LostError(f"the image did not come from the address in the answer: {reason}")

    def _may_fetch(self, url: str, hosts: Sequence[str]) -> bool:
        try:
            parts = checked(url)
        except XprobeError:
            return False
        host = parts.hostname or ""
        if is_loopback(host):
            return is_loopback(self.hosts[0])
        is_origin = host == self.hosts[0] and parts.port == self._origin.port
        return host in (*self.hosts, *hosts) and (is_origin or parts.port in (None, 443))

    def carry(self, request: Any) -> Any:
        """Send a request of the SDK and keep its answer for `ask`; return a success without a body.

        The answer is read by xprobe, so that an SDK need not spend time on megabytes of base64.

        Raises:
            NotMadeError, RefusedError, LostError, StoppedError: there is none, or no good one.
        """
        outcome = self._outcome(request)
        self._last.outcome = outcome
        if not isinstance(outcome, Received):
            raise outcome
        return self._library.Response(200)

    def _outcome(self, request: Any) -> Received | Exception:
        parts = urlsplit(str(request.url))
        if _place(parts) != _place(self._origin):
            return StoppedError(f"nothing was sent to {parts.hostname}: it is not {self.hosts[0]}")
        status, headers, body, failure = self._exchange(request)
        if failure is not None:
            return failure
        document = read_json(body)
        # A router that has passed a request on answers 200, and writes here what became of it.
        code = count(document, "error", "code")
        if status == 200 and code >= 400 and not part(document, "data"):
            status = code
        if status != 200:
            return failure_of(status, headers, body, self.words)
        return Received(headers, document)

    def _exchange(self, request: Any) -> tuple[int, Any, bytes, Exception | None]:
        """Return status, headers and body of an answer, or the failure if there is none."""
        library, host = self._library, request.url.host
        headers = {name: value for name, value in request.headers.items() if name in _SENT}
        headers |= {"accept-encoding": "identity", "user-agent": f"xprobe/{__version__}"}
        silence = dict.fromkeys(("read", "write", "pool"), self._timeout_s)
        failure: Exception
        try:
            with self._slots:
                response = self._inner.handle_request(
                    library.Request(
                        request.method, request.url, headers=headers, content=request.read(),
                        extensions={"timeout": {"connect": CONNECT_S, **silence}},
                    )
                )  # fmt: skip
                try:
                    body = b"".join(self._limited(response))
                finally:
                    response.close()
            return response.status_code, response.headers, body, None
        except (
            library.ConnectError, library.ConnectTimeout, library.PoolTimeout,
            library.ProxyError, library.LocalProtocolError, library.UnsupportedProtocol,
        ) as error:  # fmt: skip
            failure = NotMadeError(self.words(f"{host} cannot be reached: {_reason(error)}"))
        except (library.TransportError, library.DecodingError) as error:
            failure = LostError(self.words(f"the answer of {host} was lost: {_reason(error)}"))
        except LostError as error:
            failure = error
        return 0, library.Headers(), b"", failure

    def _limited(self, response: Any) -> Iterator[bytes]:
        if response.headers.get("content-encoding", "").strip().lower() not in _PACKED:
            raise LostError("the answer is packed in a way that was not asked for")
        size, end = 0, time.monotonic() + self._timeout_s
        for chunk in response.iter_bytes():
            size += len(chunk)
            if size > MOST_BYTES:
                raise LostError(f"the answer is longer than {MOST_BYTES // 2**20} MiB")
            if time.monotonic() > end:
                raise LostError(f"the answer did not end within {self._timeout_s:g} s")
            yield chunk


def _place(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or {"https": 443}.get(parts.scheme, 80)


def _proxy(host: str) -> str | None:
    """Return the address of the proxy through which https to a host goes; None: none."""
    proxies = getproxies()
    address = proxies.get("https") or proxies.get("all") or ""
    if not address or proxy_bypass(host):
        return None
    return address if "://" in address else f"http://{address}"


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}, {first_line(error)}" if str(error) else type(error).__name__


def _transport(library: Any, wire: Wire) -> Any:
    """Return a wire as the library's own kind of transport."""

    class Transport(library.BaseTransport):
        def handle_request(self, request: Any) -> Any:
            return wire.carry(request)

    return Transport()
