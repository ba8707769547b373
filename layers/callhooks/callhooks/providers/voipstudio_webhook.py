"""VoIPstudio tells of calls, SMS and queues."""

from __future__ import annotations

from callhooks.providers.url_token import Networks, PathTokens, precheck_credentials, verify
from callhooks.providers.voipstudio import PROVIDER, VoipstudioEvent, normalise, parse_event
from callhooks.webhooks.pipeline import Webhook


def voipstudio_event_webhook(*, allowed: Networks) -> Webhook[PathTokens, VoipstudioEvent | None]:
    """VoIPstudio's webhook, from everywhere or from the allowed addresses alone."""
    return Webhook(
        provider=PROVIDER,
        precheck_credentials=lambda request, _now: precheck_credentials(request, allowed=allowed),
        verify=lambda request, credentials, _now: verify(request, credentials),
        parse=parse_event,
        normalise=normalise,
    )
