"""Bird tells what happens to a call."""

from __future__ import annotations

from datetime import timedelta

from callhooks.providers.bird import (
    PROVIDER,
    SIGNATURE_HEADER,
    BirdEvent,
    SigningKeys,
    SubscriptionFilter,
    normalise,
    parse_event,
    precheck_credentials,
    verify,
)
from callhooks.webhooks.pipeline import Webhook


def bird_voice_webhook(
    *, public_url: str, window: timedelta, wanted: SubscriptionFilter
) -> Webhook[SigningKeys, BirdEvent]:
    """Bird's webhook.

    Args:
        public_url: the address under which Bird calls the API; empty for the request's own host.
        window: how old a signature may be.
        wanted: the events that are kept.
    """
    return Webhook(
        provider=PROVIDER,
        precheck_credentials=lambda request, now: precheck_credentials(request, now, window=window),
        verify=lambda request, credentials, _now: verify(request, credentials, public_url=public_url),
        parse=parse_event,
        normalise=lambda event, request, now: normalise(event, request, now, wanted=wanted),
        signature_header=SIGNATURE_HEADER,
    )
