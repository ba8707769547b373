"""Webhook subscriptions of a Wavix account: one URL for each kind of event."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Self, Unpack

from callhooks.providers.payload import Document, OptionalStr

from callhooks_tools.providers.rest.client import ProviderClient
from callhooks_tools.providers.rest.session import RestOptions
from callhooks_tools.providers.wavix.api import wavix_rest

PATH = "/v1/calls/webhooks"


class WavixTopic(StrEnum):
    """Kinds of events, as Wavix names them."""

    ON_CALL = "on-call"
    POST_CALL = "post-call"


class WavixSubscription(Document):
    """URL that receives events of one kind."""

    event_type: OptionalStr = None
    url: OptionalStr = None


class WavixSubscriptions(ProviderClient):
    """Client for the subscriptions of one account. Every method raises the errors of `RestClient`."""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], **options: Unpack[RestOptions]) -> Self:
        """Create a client with the key `WAVIX_API_KEY`."""
        return cls(wavix_rest(environ, **options))

    def all(self) -> list[WavixSubscription]:
        """Return all subscriptions."""
        rows = self._rest.objects(self._rest.get(PATH), "webhooks")
        return [self._rest.model(WavixSubscription, row, needs="event_type") for row in rows]

    def subscribe(self, event: WavixTopic, url: str) -> None:
        """Send events of one kind to a URL, in place of any URL set before."""
        self._rest.post(PATH, {"url": url, "event_type": event.value})

    def remove(self, event: WavixTopic) -> None:
        """Stop sending events of one kind."""
        self._rest.delete(PATH, {"event_type": event.value})
