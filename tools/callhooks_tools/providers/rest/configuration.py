"""Keys and addresses of providers, from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from callhooks_tools.providers.rest.errors import NotConfigured, RequestRejected

_IDENTIFIER = re.compile(r"[A-Za-z0-9_~:@-][A-Za-z0-9._~:@-]{0,199}", re.ASCII)


def required(environ: Mapping[str, str], name: str, provider: str, where: str) -> str:
    """A key or an id that stands in a header or a path.

    Raises:
        NotConfigured: it is not set, or has blanks or other characters in it that none has.
    """
    value = environ.get(name, "").strip()
    if not value:
        raise NotConfigured(provider, message=f"{name} is not set in the environment: {where}")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise NotConfigured(provider, message=f"{name} has characters in it that no key has: {where}")
    return value


def base_url(environ: Mapping[str, str], name: str, provider: str, usual: str) -> str:
    """The address of an API, without a slash at its end.

    Raises:
        NotConfigured: it is no address, has more than host and path, or would send the key over a network unencrypted.
    """
    value = environ.get(name, "").strip() or usual
    problem = NotConfigured(provider, message=f"{name} takes an address such as {usual or 'https://api.example.com'}.")
    if not value.isascii() or not value.isprintable():
        raise problem
    try:
        parts = urlsplit(value)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise problem from None
    if not host or parts.scheme not in ("https", "http") or parts.query or parts.fragment or parts.username is not None:
        raise problem
    if parts.scheme == "http" and not is_loopback(host):
        raise NotConfigured(
            provider, message=f"{name} takes http:// on this machine alone: else the key could be read on its way."
        )
    return value.rstrip("/")


def checked_id(identifier: str, provider: str) -> str:
    """An id as it may stand in a path.

    Raises:
        RequestRejected: no provider has such ids; the provider is not asked.
    """
    if not _IDENTIFIER.fullmatch(identifier):
        raise RequestRejected(
            provider, message="an id has letters, digits and any of . _ ~ : @ - in it, and no dot at first"
        )
    return identifier


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
