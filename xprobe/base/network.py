"""Whether the network may be asked, and whether it answers, before a library tries it for long."""

from __future__ import annotations

import os
import socket
import urllib.parse
import urllib.request

from xprobe.base.errors import XprobeError

# So long a connection is waited for, seconds.
_TIMEOUT_S = 3.0


def is_offline() -> bool:
    """Return whether the network must not be asked: ``--offline``, or HF_HUB_OFFLINE is set."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def is_reachable(url: str) -> bool:
    """Return whether a host, or the proxy before it, accepts a connection.

    Without a network, the hub's library retries for over 20 s; one connection tells as much.

    Args:
        url: an address at the host.
    """
    parts = urllib.parse.urlsplit(url)
    scheme = parts.scheme or "https"
    proxy = urllib.request.getproxies().get(scheme)
    if proxy and not urllib.request.proxy_bypass(parts.hostname or ""):
        parts = urllib.parse.urlsplit(proxy if "//" in proxy else f"//{proxy}")
    port = parts.port or (80 if parts.scheme == "http" else 443)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_TIMEOUT_S).close()
    except OSError:
        return False
    return True


def check_network(url: str, missing: str) -> None:
    """Refuse to go on unless an address may be asked and can be reached.

    Args:
        url: the address.
        missing: what is missing on this machine, and the remedy, for the message.

    Raises:
        XprobeError: the network must not be asked, or nothing answers.
    """
    if is_offline():
        raise XprobeError(f"{missing} [offline, as asked]")
    if not is_reachable(url):
        raise XprobeError(f"{missing} [{url} cannot be reached]")
