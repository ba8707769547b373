"""HTTP Digest of RFC 2617 with MD5, as SIP clients use it and as jambonz checks it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a digest answers: the server's nonce, and where there is a quality of protection the client's part."""

    nonce: str
    qop: str | None = None
    nc: str | None = None
    cnonce: str | None = None


def ha1_of(username: str, realm: str, password: str) -> str:
    """What is kept in place of a password: MD5(username:realm:password), 32 hex digits."""
    return _md5(f"{username}:{realm}:{password}")


def digest_response(ha1: str, method: str, uri: str, challenge: Challenge) -> str:
    """The response of a client that has the HA1, 32 hex digits.

    Each part stands in it where it was sent, as jambonz's digest-utils 0.0.9 does: an old client sends neither qop
    nor cnonce.
    """
    parts = [ha1, challenge.nonce]
    if challenge.cnonce:
        parts += [challenge.nc or "", challenge.cnonce]
    if challenge.qop:
        parts.append(challenge.qop)
    return _md5(":".join([*parts, _md5(f"{method}:{uri}")]))


def _md5(text: str) -> str:
    # SIP leaves no choice of the hash; without the flag a Python in FIPS mode has no MD5.
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
