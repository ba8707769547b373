"""Wavix tells what happens to a call, and afterwards what it cost."""

from __future__ import annotations

from callhooks.providers.url_token import Networks, PathTokens, precheck_credentials, verify
from callhooks.providers.wavix import PROVIDER, WavixEvent, normalise, parse_event
from callhooks.webhooks.pipeline import Webhook


def wavix_call_webhook(*, allowed: Networks) -> Webhook[PathTokens, WavixEvent]:
    """Wavix's webhook, from everywhere or from the allowed addresses alone."""
    return Webhook(
        provider=PROVIDER,
        precheck_credentials=lambda request, _now: precheck_credentials(request, allowed=allowed),
        verify=lambda request, credentials, _now: verify(request, credentials),
        parse=parse_event,
        normalise=normalise,
    )
