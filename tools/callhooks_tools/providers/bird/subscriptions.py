"""Webhook subscriptions of a Bird workspace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Self, Unpack
from urllib.parse import unquote, urlsplit

from callhooks.providers.bird import WEBHOOK
from callhooks.providers.payload import Document, Identifier, Moment, OptionalStr
from pydantic import Field

from callhooks_tools.providers.bird.api import ORGANIZATION, PROVIDER, REJECTED, bird_list, bird_rest, workspace_of
from callhooks_tools.providers.rest.client import ProviderClient
from callhooks_tools.providers.rest.configuration import checked_id
from callhooks_tools.providers.rest.errors import RequestRejected
from callhooks_tools.providers.rest.session import RestClient, RestOptions

SERVICE = "channels"
CHANNEL_KEY = "channelId"
STATUS_KEY = "status"


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

    @property
    def topic(self) -> BirdTopic | None:
        """Return the event that it sends; `None` if callhooks does not accept it."""
        return next((topic for topic in BirdTopic if (self.service, self.event) == (SERVICE, topic)), None)

    @property
    def channel_id(self) -> str:
        """Return the only channel whose calls it sends; empty for all channels."""
        return next((one.value or "" for one in self.event_filters or () if one.key == CHANNEL_KEY), "")

    @property
    def statuses(self) -> list[str]:
        """Return the only statuses that it sends; empty for all statuses."""
        return [one.value or "" for one in self.event_filters or () if one.key == STATUS_KEY]

    @property
    def effect(self) -> tuple[object, ...]:
        """Return what two subscriptions have in common if they send the same events to the same URL."""
        return self.service, self.event, self.url, self.filters

    def refiltered(self, *, statuses: Sequence[str] | None, channel_id: str | None) -> Self:
        """Return the subscription with other filters, and with the URL that goes with the channel.

        `None` keeps a filter. An empty value removes it.
        """
        others = [one for one in self.event_filters or () if one.key not in {CHANNEL_KEY, STATUS_KEY}]
        filters = event_filters(
            self.channel_id if channel_id is None else channel_id, self.statuses if statuses is None else statuses
        )
        url = self.url or ""
        if channel_id is not None:
            url = url_of_channel(url_without_channel(url, self.channel_id), channel_id)
        return self.model_copy(update={"event_filters": [*filters, *others], "url": url})


@dataclass(frozen=True, slots=True)
class StackUrl:
    """URL at which a stack receives Bird's events. It may be followed by a channel's id."""

    url: str

    def label_for(self, url: str | None) -> str:
        """Say whether a URL belongs to the stack."""
        return "this stack" if self.covers(url) else "not this stack"

    def covers(self, url: str | None) -> bool:
        """Return whether a URL belongs to the stack, also in another spelling."""
        own, other = _place_of(self.url), _place_of(url or "")
        if own is None or other is None:
            return False
        extra = len(other[1]) - len(own[1])
        return own[0] == other[0] and extra in {0, 1} and other[1][: len(own[1])] == own[1]


@dataclass(frozen=True, slots=True)
class Subscribed:
    """Result of subscribing: the subscription, and whether it is new."""

    subscription: BirdSubscription
    is_new: bool


def statuses_of(event: BirdTopic, statuses: Sequence[BirdStatus]) -> list[BirdStatus]:
    """Return the statuses that calls of an event can have, without duplicates."""
    return [status for status in dict.fromkeys(statuses) if event is BirdTopic.OUTBOUND or status not in OUTBOUND_ONLY]


def event_filters(channel_id: str, statuses: Sequence[str]) -> list[EventFilter]:
    """Return the conditions for a channel and for statuses; an empty value is no condition."""
    pairs = [*((CHANNEL_KEY, one) for one in [channel_id] if one), *((STATUS_KEY, status) for status in statuses)]
    return [EventFilter(key=key, value=value) for key, value in pairs]


def url_of_channel(url: str, channel_id: str) -> str:
    """Return a URL with a channel's id, if any, at the end, because the body may not name the channel."""
    return f"{url.rstrip('/')}/{channel_id}" if channel_id else url


def url_without_channel(url: str, channel_id: str) -> str:
    """Return a URL without a channel's id at the end: the given id, or any id after the path of the webhook."""
    base, _, last = url.rstrip("/").rpartition("/")
    return base if last == channel_id or base.endswith(WEBHOOK) else url


def _place_of(url: str) -> tuple[tuple[str, str | None, int | None], list[str]] | None:
    """Return scheme, host and port of a URL, and the segments of its path; `None` if it is not a URL."""
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        return None
    origin = parts.scheme, parts.hostname, None if (parts.scheme, port) == ("https", 443) else port
    return origin, [unquote(segment) for segment in parts.path.split("/") if segment]


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
        self, event: BirdTopic, url: str, signing_key: str, *, statuses: Sequence[BirdStatus], channel_id: str
    ) -> Subscribed:
        """Subscribe a URL to an event, unless a subscription with the same filters exists."""
        filters = event_filters(channel_id, statuses)
        wanted = BirdSubscription(service=SERVICE, event=event.value, url=url, eventFilters=filters)
        for existing in self.all():
            if existing.effect == wanted.effect:
                return Subscribed(existing, is_new=False)
        return Subscribed(self._create(wanted, signing_key), is_new=True)

    def update(self, old: BirdSubscription, new: BirdSubscription, signing_key: str | None) -> BirdSubscription:
        """Set the filters of a subscription, and its URL if it changes. Its events are sent at every moment.

        Bird's reference lists the filters among the members of an update, an earlier one did not. If Bird does not
        change them, the result is a new subscription, signed with `signing_key`, and the old one still has to be
        removed. Without a signing key this is an error.
        """
        body: dict[str, object] = {"eventFilters": _documents_of(new)}
        if new.url != old.url:
            body["url"] = new.url
        try:
            answer = self._rest.patch(self._subscription(old.id or ""), body)
        except RequestRejected as rejected:
            if signing_key is None or rejected.status not in REJECTED:
                raise
        else:
            updated = self._rest.model(BirdSubscription, answer, needs="id")
            if _folded(updated.filters) == _folded(new.filters):
                return updated
            if signing_key is None:
                raise self._rest.unexpected("the filters are unchanged")
        created = self._create(new, signing_key)
        if not new.is_active:
            self.set_active(created.id or "", active=False)
        return created

    def set_active(self, subscription_id: str, *, active: bool) -> None:
        """Resume or pause a subscription."""
        self._rest.patch(self._subscription(subscription_id), {"status": "active" if active else "inactive"})

    def remove(self, subscription_id: str) -> None:
        """Remove a subscription permanently."""
        self._rest.delete(self._subscription(subscription_id))

    def _create(self, wanted: BirdSubscription, signing_key: str) -> BirdSubscription:
        body: dict[str, object] = {
            "service": wanted.service,
            "event": wanted.event,
            "url": wanted.url,
            "signingKey": signing_key,
            "eventFilters": _documents_of(wanted),
        }
        return self._rest.model(BirdSubscription, self._rest.post(self._path, body), needs="id")

    def _subscription(self, subscription_id: str) -> str:
        return f"{self._path}/{checked_id(subscription_id, PROVIDER)}"


def _documents_of(subscription: BirdSubscription) -> list[dict[str, str]]:
    return [{"key": one.key or "", "value": one.value or ""} for one in subscription.event_filters or ()]


def _folded(filters: frozenset[tuple[str, str]]) -> set[tuple[str, str]]:
    return {(key, value.casefold()) for key, value in filters}
