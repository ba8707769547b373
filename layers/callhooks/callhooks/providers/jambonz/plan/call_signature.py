"""Signatures of calls, for the URLs of hooks whose body does not identify the call.

The key is a webhook secret, so neither such a URL nor the password is enough to forge a URL for another call. Without
a webhook secret, the key is the password, which then protects everything else as well.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

_PURPOSE = b"callhooks call in a hook's URL\0"
_HEX_DIGITS = 32


def call_signature(key: str, call_id: str) -> str:
    """Return the first 128 bits, in hex, of the HMAC-SHA256 over a call's id."""
    message = _PURPOSE + call_id.encode("utf-8", "surrogatepass")
    return hmac.new(key.encode("utf-8"), message, hashlib.sha256).hexdigest()[:_HEX_DIGITS]


def is_signed_call(call_id: str, signature: str, keys: Iterable[str]) -> bool:
    """Return whether the signature was made with one of the keys."""
    if not call_id or not signature:
        return False
    received = signature.encode("utf-8", "surrogatepass")
    # Compare with every key, so that the response time does not reveal which one matched.
    return bool(sum(hmac.compare_digest(received, call_signature(key, call_id).encode("ascii")) for key in keys))
