"""Addresses that a key or an image may travel to: https anywhere, plain http on this machine."""

from __future__ import annotations

import ipaddress
from urllib.parse import SplitResult, urlsplit

from xprobe.base.errors import OptionError


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, whatever the network says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked(url: str) -> SplitResult:
    """Return the parts of an address that a key or an image may travel to.

    Raises:
        OptionError: it is no address, none of https (http: on the loopback address), or holds a
            user or a password.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        is_whole = bool(host) and (parts.port or 1) > 0
    except ValueError:
        is_whole = False
    if not is_whole or parts.scheme not in ("https", "http"):
        raise OptionError("--base-url is no address such as https://example.org/v1")
    if parts.scheme == "http" and not is_loopback(host):
        raise OptionError(
            f"--base-url: {host} by plain http, which anybody on the way can read; use https (http "
            f"is for this machine alone, such as http://127.0.0.1:8000)"
        )
    if parts.username is not None or parts.password is not None:
        raise OptionError(
            f"--base-url of {host} holds a user or password; keys come from the environment"
        )
    return parts
