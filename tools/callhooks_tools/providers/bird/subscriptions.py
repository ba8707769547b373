"""Webhook subscriptions of a Bird workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from callhooks.providers.payload import Document, Identifier, Moment, OptionalStr
from pydantic import Field

from callhooks_tools.providers.bird.api import ORGANIZATION, PROVIDER, bird_list, bird_rest, workspace_of
from callhooks_tools.providers.rest.client import ProviderClient
from callhooks_tools.providers.rest.configuration import checked_id
from callhooks_tools.providers.rest.retries import RetryPolicy
from callhooks_tools.providers.rest.session import RestClient

SERVICE = "channels"


class BirdTopic(StrEnum):
    """The events that callhooks takes, as Bird's subscriptions name them."""

    INBOUND = "voice.inbound"
    OUTBOUND = "voice.outbound"


class BirdStatus(StrEnum):
    """The statuses of a call."""

    ACCEPTED = "accepted"
    STARTING = "starting"
    RINGING = "ringing"
    ONGOING = "ongoing"
    COMPLETED = "completed"
    NO_ANSWER = "no-answer"
    BUSY = "busy"
    FAILED = "failed"
    CANCELLED = "cancelled"


OUTBOUND_ALONE = frozenset({BirdStatus.ACCEPTED, BirdStatus.CANCELLED})


class EventFilter(Document):
    """One condition of a subscription."""

    key: OptionalStr = None
    value: OptionalStr = None


class BirdSubscription(Document):
    """A subscription, without its signing key."""

    id: Identifier = None
    service: OptionalStr = None
    event: OptionalStr = None
    url: OptionalStr = None
    status: OptionalStr = None
    event_filters: list[EventFilter] | None = Field(default=None, alias="eventFilters")
    created_at: Moment = Field(default=None, alias="createdAt")

    @property
    def is_active(self) -> bool:
        """Whether Bird delivers by it."""
        return self.status != "inactive"

    @property
    def filters(self) -> frozenset[tuple[str, str]]:
        """Its conditions, in no order."""
        return frozenset((one.key or "", one.value or "") for one in self.event_filters or ())


@dataclass(frozen=True, slots=True)
class Subscribed:
    """A subscription that was asked for, and whether it was made just now."""

    subscription: BirdSubscription
    is_new: bool


def statuses_of(event: BirdTopic, statuses: Sequence[BirdStatus]) -> list[BirdStatus]:
    """Those of the statuses that calls of an event can have, each once."""
    kept = dict.fromkeys(statuses)
    return [status for status in kept if event is BirdTopic.OUTBOUND or status not in OUTBOUND_ALONE]


def url_of_channel(url: str, channel_id: str | None) -> str:
    """The URL with a channel's id at its end, which tells the channel where the body may not."""
    return url if channel_id is None else f"{url.rstrip('/')}/{channel_id}"


class BirdSubscriptions(ProviderClient):
    """The subscriptions of one workspace. Every method raises the errors of `RestClient`."""

    def __init__(self, rest: RestClient, workspace_id: str, organization_id: str | None) -> None:
        super().__init__(rest)
        # Bird's reference names the path under the organization first; the other one is in use, too.
        organization = "" if organization_id is None else f"/organizations/{organization_id}"
        self._path = f"{organization}/workspaces/{workspace_id}/webhook-subscriptions"

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str], *, signing_key: str = "", retry_policy: RetryPolicy | None = None
    ) -> Self:
        """With `BIRD_ACCESS_KEY`, for `BIRD_WORKSPACE_ID`, and under `BIRD_ORGANIZATION_ID` where that is set.

        `signing_key` is what no error may show.

        Raises:
            NotConfigured: something is missing or wrong.
        """
        workspace_id, organization = workspace_of(environ), environ.get(ORGANIZATION, "").strip()
        organization_id = checked_id(organization, PROVIDER) if organization else None
        return cls(
            bird_rest(environ, confidential=signing_key, retry_policy=retry_policy), workspace_id, organization_id
        )

    def all(self) -> list[BirdSubscription]:
        """All subscriptions of the workspace, of every service."""
        rows = bird_list(self._rest, self._path, {}, "subscriptions")
        return [self._rest.model(BirdSubscription, row, needs="id") for row in rows]

    def subscribe(
        self, event: BirdTopic, url: str, signing_key: str, *, statuses: Sequence[BirdStatus], channel_id: str | None
    ) -> Subscribed:
        """Have an event sent to a URL, unless it is already, with the same filters."""
        filters = [{"key": "status", "value": status.value} for status in statuses]
        if channel_id is not None:
            filters.insert(0, {"key": "channelId", "value": channel_id})
        wanted = frozenset((one["key"], one["value"]) for one in filters)
        for known in self.all():
            if (known.service, known.event, known.url, known.filters) == (SERVICE, event.value, url, wanted):
                return Subscribed(known, is_new=False)
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
        """Have Bird deliver by a subscription, or not."""
        self._rest.patch(self._one(subscription_id), {"status": "active" if active else "inactive"})

    def remove(self, subscription_id: str) -> None:
        """Remove a subscription for good."""
        self._rest.delete(self._one(subscription_id))

    def _one(self, subscription_id: str) -> str:
        return f"{self._path}/{checked_id(subscription_id, PROVIDER)}"
