"""Webhook subscriptions of a Bird workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, Unpack

from callhooks.providers.payload import Document, Identifier, Moment, OptionalStr
from pydantic import Field

from callhooks_tools.providers.bird.api import ORGANIZATION, PROVIDER, bird_list, bird_rest, workspace_of
from callhooks_tools.providers.rest.client import ProviderClient
from callhooks_tools.providers.rest.configuration import checked_id
from callhooks_tools.providers.rest.session import RestClient, RestOptions

SERVICE = "channels"


class BirdTopic(StrEnum):
    """Events that callhooks accepts, as Bird's subscriptions name them."""

    INBOUND = "voice.inbound"
    OUTBOUND = "voice.outbound"


class BirdStatus(StrEnum):
    """Status of a call."""

    ACCEPTED = "accepted"
    STARTING = "starting"
    RINGING = "ringing"
    ONGOING = "ongoing"
    COMPLETED = "completed"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    FAILED = "failed"
    CANCELLED = "cancelled"


OUTBOUND_ONLY = frozenset({BirdStatus.ACCEPTED, BirdStatus.CANCELLED})


class EventFilter(Document):
    """Condition of a subscription."""

    key: OptionalStr = None
    value: OptionalStr = None


class BirdSubscription(Document):
    """Subscription, without its signing key."""

    id: Identifier = None
    service: OptionalStr = None
    event: OptionalStr = None
    url: OptionalStr = None
    status: OptionalStr = None
    event_filters: list[EventFilter] | None = Field(default=None, alias="eventFilters")
    created_at: Moment = Field(default=None, alias="createdAt")

    @property
    def is_active(self) -> bool:
        """True unless the subscription is paused."""
        return self.status != "inactive"

    @property
    def filters(self) -> frozenset[tuple[str, str]]:
        """Return the conditions as pairs of key and value, unordered."""
        return frozenset((condition.key or "", condition.value or "") for condition in self.event_filters or ())


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Result of subscribing: the subscription, and whether it is new."""

    subscription: BirdSubscription
    is_new: bool


def statuses_of(event: BirdTopic, statuses: Sequence[BirdStatus]) -> list[BirdStatus]:
    """Return the statuses that calls of an event can have, without duplicates."""
    return [status for status in dict.fromkeys(statuses) if event is BirdTopic.OUTBOUND or status not in OUTBOUND_ONLY]


def url_of_channel(url: str, channel_id: str | None) -> str:
    """Return a URL with a channel's id at the end, because the body may not name the channel."""
    return url if channel_id is None else f"{url.rstrip('/')}/{channel_id}"


class BirdSubscriptions(ProviderClient):
    """Client for the subscriptions of one workspace. Every method raises the errors of `RestClient`."""

    def __init__(self, rest: RestClient, workspace_id: str, organization_id: str | None) -> None:
        super().__init__(rest)
        # Bird's reference lists the path under the organization first, but the path without it also works.
        organization = "" if organization_id is None else f"/organizations/{organization_id}"
        self._path = f"{organization}/workspaces/{workspace_id}/webhook-subscriptions"

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, signing_key: str = "", **options: Unpack[RestOptions]
    ) -> Self:
        """Create a client from `BIRD_ACCESS_KEY`, `BIRD_WORKSPACE_ID` and, optionally, `BIRD_ORGANIZATION_ID`.

        `signing_key` is redacted in errors.
        """
        workspace_id, organization = workspace_of(environ), environ.get(ORGANIZATION, "").strip()
        organization_id = checked_id(organization, PROVIDER) if organization else None
        return cls(bird_rest(environ, confidential=signing_key, **options), workspace_id, organization_id)

    def all(self) -> list[BirdSubscription]:
        """Return all subscriptions of the workspace, for every service."""
        rows = bird_list(self._rest, self._path, {}, "subscriptions")
        return [self._rest.model(BirdSubscription, row, needs="id") for row in rows]

    def subscribe(
        self, event: BirdTopic, url: str, signing_key: str, *, statuses: Sequence[BirdStatus], channel_id: str | None
    ) -> Subscribed:
        """Subscribe a URL to an event, unless a subscription with the same filters exists."""
        filters = [{"key": "status", "value": status.value} for status in statuses]
        if channel_id is not None:
            filters.insert(0, {"key": "channelId", "value": channel_id})
        wanted = frozenset((condition["key"], condition["value"]) for condition in filters)
        for existing in self.all():
            if (existing.service, existing.event, existing.url, existing.filters) == (SERVICE, event, url, wanted):
                return Subscribed(existing, is_new=False)
        body: dict[str, object] = {
            "service": SERVICE,
            "event": event.value,
            "url": url,
            "signingKey": signing_key,
            "eventFilters": filters,
        }
        answer = self._rest.post(self._path, body)
        return Subscribed(self._rest.model(BirdSubscription, answer, needs="id"), is_new=True)

    def set_active(self, subscription_id: str, *, active: bool) -> None:
        """Resume or pause a subscription."""
        self._rest.patch(self._subscription(subscription_id), {"status": "active" if active else "inactive"})

    def remove(self, subscription_id: str) -> None:
        """Remove a subscription permanently."""
        self._rest.delete(self._subscription(subscription_id))

    def _subscription(self, subscription_id: str) -> str:
        return f"{self._path}/{checked_id(subscription_id, PROVIDER)}"
