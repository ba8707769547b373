"""HTTP Digest authentication (RFC 2617) with MD5, as SIP clients and jambonz use it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Challenge:
    """Input of a digest response: the server's nonce and, with a quality of protection, the client's values."""

    nonce: str
    qop: str | None = None
    nc: str | None = None
    cnonce: str | None = None


def ha1_of(username: str, realm: str, password: str) -> str:
    """Return MD5(username:realm:password) as 32 hex digits, which callhooks stores instead of the password."""
    return _md5(f"{username}:{realm}:{password}")


def digest_response(ha1: str, method: str, uri: str, challenge: Challenge) -> str:
    """Return the response of a client with this HA1, as 32 hex digits.

    It contains only the values that the client sent, as in jambonz's digest-utils 0.0.9: an old client sends neither
    qop nor cnonce.
    """
    parts = [ha1, challenge.nonce]
    if challenge.cnonce:
        parts += [challenge.nc or "", challenge.cnonce]
    if challenge.qop:
        parts.append(challenge.qop)
    return _md5(":".join([*parts, _md5(f"{method}:{uri}")]))


def _md5(text: str) -> str:
    # SIP requires MD5. Without the flag, Python in FIPS mode does not provide it.
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
