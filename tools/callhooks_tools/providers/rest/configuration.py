"""Keys and addresses of the providers' APIs, from environment variables."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from callhooks_tools.providers.rest.errors import NotConfigured, RequestRejected

_IDENTIFIER = re.compile(r"[A-Za-z0-9_~:@-][A-Za-z0-9._~:@-]{0,199}", re.ASCII)


def required(environ: Mapping[str, str], name: str, provider: str, hint: str) -> str:
    """Return a key or an id for use in a header or a path. `hint` says where the user gets it.

    Raises:
        NotConfigured: it is not set, or contains spaces or characters that no key has.
    """
    value = environ.get(name, "").strip()
    if not value:
        raise NotConfigured(provider, message=f"{name} is not set in the environment. {hint}")
    if not (value.isascii() and value.isprintable()) or " " in value:
        raise NotConfigured(provider, message=f"{name} contains characters that are not allowed. {hint}")
    return value


def base_url(environ: Mapping[str, str], name: str, provider: str, default: str) -> str:
    """Return the address of an API, without a slash at the end.

    Raises:
        NotConfigured: it is not an address, has more than host and path, or would send the key unencrypted.
    """
    value = environ.get(name, "").strip() or default
    example = default or "https://api.example.com"
    problem = NotConfigured(provider, message=f"{name} is not a valid address. Set it to one such as {example}")
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
            provider,
            message=f"{name} must start with https://. Unencrypted http:// is accepted only on this machine.",
        )
    return value.rstrip("/")


def checked_id(identifier: str, provider: str) -> str:
    """Return an id if it is safe in a path.

    Raises:
        RequestRejected: no provider has such ids; the request was not sent.
    """
    if not _IDENTIFIER.fullmatch(identifier):
        raise RequestRejected(
            provider,
            message="invalid id. An id has up to 200 letters, digits or . _ ~ : @ - and does not start with a dot",
        )
    return identifier


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
