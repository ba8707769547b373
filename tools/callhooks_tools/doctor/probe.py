"""Test deliveries as each provider sends them, through the public URL and back out of the table.

Every id in them begins with `callhooks-doctor-`, and the caller is `callhooks-doctor`, so that nobody takes them for
calls and `callhooks forget callhooks-doctor` finds what was left.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import httpx
from callhooks.events.event_item import EVENT_PREFIX, QUARANTINE, Item, body_of_item, partition_key
from callhooks.providers.description import TEST_SENDER, Provider, Sample, Signing
from callhooks.runtime.http import Request

from callhooks_tools.doctor.secrets import KnownSecrets
from callhooks_tools.stack.deployment import IMPATIENT, Deployment

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

CALL = "call"
MAX_LOOKS = 5
SPILLED = '"outcome":"spilled"'
EVENT_SPILLED = "EventSpilled"
REASON_MILLISECONDS = 5_000
MAX_RUN = timedelta(minutes=15)


class NoAnswer(Exception):
    """No answer came from the public URL; says why, and what to do."""

    def __init__(self, words: str, remedy: str) -> None:
        super().__init__(words)
        self.words, self.remedy = words, remedy


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, and after how long."""

    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float

    @property
    def document(self) -> object:
        """The body as JSON; `None` where it is none."""
        try:
            document: object = json.loads(self.text)
        except ValueError:
            return None
        return document

    @property
    def is_json(self) -> bool:
        """Whether it says of itself that it is JSON."""
        return "application/json" in self.headers.get("content-type", "")

    @property
    def detail(self) -> str:
        """Our own words of a problem; empty where another has answered."""
        document = self.document
        is_ours = "application/problem+json" in self.headers.get("content-type", "")
        return str(document.get("detail", "")) if is_ours and isinstance(document, dict) else ""


@dataclass(frozen=True, slots=True)
class TestDelivery:
    """A delivery that a provider could have sent: a sample, and the request that was made of it."""

    __test__ = False  # for pytest it is no test

    provider: Provider
    sample: Sample
    request: Request = field(repr=False)
    call_id: str

    @property
    def name(self) -> str:
        """The provider and what it tells."""
        return f"{self.provider.title} {self.sample.title}"

    @property
    def function(self) -> str:
        """The function that takes it, by its name in the template."""
        route = self.provider.route_of(self.sample.request.path)
        if route is None:
            raise LookupError(f"{self.name} is for no route of its provider")
        return route.function

    @property
    def shown_path(self) -> str:
        """Its path, without a token in it."""
        has_token = any(secret.is_in_url for secret in self.provider.secrets)
        return f"{self.sample.request.path}{'/<token>' if has_token else ''}"

    @property
    def pk(self) -> str:
        """The partition key of the call that it tells of."""
        return partition_key(self.provider.name, self.call_id)

    @classmethod
    def unsigned(cls, provider: Provider, sample: Sample, call_id: str) -> Self:
        """A sample as nobody sends it: without credentials."""
        return cls(provider, sample, sample.request, call_id)

    @classmethod
    def signed(cls, provider: Provider, sample: Sample, call_id: str, signing: Signing) -> Self:
        """A sample as its provider sends it now."""
        return cls(provider, sample, provider.sign(sample.request, signing), call_id)


@dataclass(frozen=True, slots=True)
class Spill:
    """Something went into the spill queue; `reason` is what the table was like, empty where the log does not tell."""

    reason: str


@dataclass(frozen=True, slots=True)
class _LogLine:
    """`at` is in milliseconds since 1970."""

    at: int
    text: str


@dataclass
class Probe:
    """What one run of the doctor sends, and finds again.

    `mark` is random, a part of every id; `taken` are the deliveries that were stored; `spilled_by` are
    the functions that could not store theirs. `found_wrong` are the checks before it that found something,
    `retries_before` is what the retry queue held before anything was sent, `None` where that is not known;
    `projected_at` is when, by `monotonic`, all of it had become calls, `None` where it has not.
    """

    deployment: Deployment
    known: KnownSecrets
    http: httpx.Client
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    mark: str = field(repr=False)
    is_reachable: bool = False
    taken: list[TestDelivery] = field(default_factory=list)
    sent: list[TestDelivery] = field(default_factory=list)
    spilled_by: set[str] = field(default_factory=set)
    found_wrong: frozenset[str] = frozenset()
    retries_before: int | None = None
    projected_at: float | None = None
    _table: DynamoDBClient | None = None

    @property
    def call_id(self) -> str:
        """The id of the calls that are sent."""
        return f"{TEST_SENDER}-{self.mark}"

    @property
    def refused_call_id(self) -> str:
        """That of calls which nobody may get in."""
        return f"{self.call_id}-refused"

    @property
    def table(self) -> DynamoDBClient:
        """The table of events."""
        if self._table is None:
            self._table = self.deployment.session.client("dynamodb", config=IMPATIENT)
        return self._table

    def send(self, delivery: TestDelivery) -> Answer:
        """Deliver, and remember that it has to be looked for.

        Raises:
            NoAnswer: none came.
        """
        self.sent.append(delivery)
        sent = delivery.request
        return self.request(sent.method, sent.path, headers=sent.headers, content=sent.body)

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes = b"",
        basic: tuple[str, str] | None = None,
    ) -> Answer:
        """Ask the public URL, with a user name and a password where it wants Basic authentication.

        Raises:
            NoAnswer: none came.
        """
        base_url = self.deployment.outputs.base_url
        started = self.monotonic()
        try:
            url = f"{base_url}{path}"
            response = self.http.request(method, url, headers=headers, content=content or None, auth=basic)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _no_answer(error, base_url, self.monotonic() - started) from None
        return Answer(response.status_code, response.headers, response.text, self.monotonic() - started)

    def stored(self, delivery: TestDelivery) -> bool:
        """Whether the table has the delivery as an event.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        return any(_has_body(item, delivery.request.body) for item in self._items(delivery.pk, EVENT_PREFIX))

    def events_of(self, pk: str) -> int:
        """How many events the table has of a call.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        return len(self._items(pk, EVENT_PREFIX))

    def projected(self, pk: str) -> int:
        """Of how many events the item of a call was made; 0 where there is none.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        return next((int(item["event_count"]["N"]) for item in self._items(pk, CALL)), 0)

    def quarantined(self, delivery: TestDelivery) -> Item | None:
        """The delivery where it lies in quarantine.

        Raises:
            ClientError, BotoCoreError: the table could not be read.
        """
        day = f"{QUARANTINE}{delivery.provider.name}#{self.clock().astimezone(UTC):%Y-%m-%d}"
        return next((item for item in self._items(day, "") if _has_body(item, delivery.request.body)), None)

    def spilled(self) -> int:
        """About how many events wait in the spill queue.

        Raises:
            ClientError, BotoCoreError: the queue could not be asked.
        """
        return self._messages(self.deployment.outputs.spill_queue)

    def retried(self) -> int:
        """About how many events wait in the retry queue of the projector.

        Raises:
            ClientError, BotoCoreError: the queue could not be asked.
        """
        return self._messages(self.deployment.outputs.projection_retry_queue)

    def _messages(self, queue_url: str) -> int:
        names: list[QueueAttributeNameType] = [
            "ApproximateNumberOfMessages",
            "ApproximateNumberOfMessagesNotVisible",
            "ApproximateNumberOfMessagesDelayed",
        ]
        reply = self.deployment.session.client("sqs", config=IMPATIENT).get_queue_attributes(
            QueueUrl=queue_url, AttributeNames=names
        )
        return sum(int(reply["Attributes"].get(name, "0")) for name in names)

    def spill(self, function: str) -> Spill | None:
        """What the log of a function, by its name in the template, says of something sent that went into the queue.

        Raises:
            ClientError, BotoCoreError: the log could not be read.
        """
        lines = self._lines(function, self.call_id, self._log_start)
        at = next((line.at for line in lines if SPILLED in line.text), None)
        if at is None:
            return None
        # The reason is counted just before, in a line that names no call.
        counted = self._lines(function, EVENT_SPILLED, at - REASON_MILLISECONDS)
        reasons = [reason for line in counted if line.at <= at and (reason := _reason_in(line.text))]
        return Spill(reasons[-1] if reasons else "")

    def _lines(self, function: str, wanted: str, start: int) -> Iterator[_LogLine]:
        group = self.deployment.physical_id(f"{function.removesuffix('Function')}LogGroup")
        if group is None:
            return
        pages = (
            self.deployment.session.client("logs", config=IMPATIENT)
            .get_paginator("filter_log_events")
            .paginate(logGroupName=group, filterPattern=f'"{wanted}"', startTime=start)
        )
        for page in pages:
            for event in page["events"]:
                yield _LogLine(event["timestamp"], event["message"])

    @property
    def _log_start(self) -> int:
        """In milliseconds since 1970; the clock may be some minutes wrong."""
        return int((self.clock() - MAX_RUN).timestamp() * 1000)

    def clean(self) -> int:
        """Remove all that was sent, with the calls that were made of it, and return how many items there were.

        Raises:
            ClientError, BotoCoreError: the table refuses.
        """
        removed = 0
        for pk in sorted({delivery.pk for delivery in self.sent}):
            for _ in range(MAX_LOOKS):
                items = self._items(pk, "")
                for item in items:
                    self._remove(item)
                    removed += 1
                if not items:
                    break
        for delivery in self.sent:
            quarantined = self.quarantined(delivery)
            if quarantined is not None:
                self._remove(quarantined)
                removed += 1
        return removed

    def _remove(self, item: Item) -> None:
        self.table.delete_item(TableName=self.deployment.outputs.events_table, Key={"pk": item["pk"], "sk": item["sk"]})

    def _items(self, pk: str, prefix: str) -> list[Item]:
        condition, values = "pk = :pk", {":pk": {"S": pk}}
        if prefix:
            condition, values = f"{condition} AND begins_with(sk, :sk)", {**values, ":sk": {"S": prefix}}
        pages = self.table.get_paginator("query").paginate(
            TableName=self.deployment.outputs.events_table,
            KeyConditionExpression=condition,
            ExpressionAttributeValues=values,
            ConsistentRead=True,
        )
        return [item for page in pages for item in page["Items"]]


def _reason_in(line: str) -> str:
    """The reason in a line of the metric; empty where there is none."""
    try:
        document: object = json.loads(line)
    except ValueError:
        return ""
    reason = document.get("reason") if isinstance(document, dict) else None
    return reason if isinstance(reason, str) else ""


def _has_body(item: Item, body: bytes) -> bool:
    try:
        return body_of_item(item) == body
    except (KeyError, ValueError):
        return False


def _no_answer(error: Exception, base_url: str, seconds: float) -> NoAnswer:
    """Why no answer came: the exceptions of the HTTP client have the cause somewhere below them."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    host = httpx.URL(base_url).host if not isinstance(error, httpx.InvalidURL) else base_url
    if any(isinstance(one, socket.gaierror) for one in causes):
        return NoAnswer(
            f"{host} is not a known name.",
            "Look at the DNS record of the custom domain, and at the parameter PublicUrl.",
        )
    for one in causes:
        if isinstance(one, ssl.SSLCertVerificationError):
            why = getattr(one, "verify_message", "it cannot be verified")
            return NoAnswer(
                f"The certificate of {host} is not valid ({why}): no provider calls it.",
                "Look at the certificate of the custom domain (AWS Certificate Manager): whether it names this host.",
            )
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return NoAnswer(f"{host} does not speak TLS as it should.", "Look at what stands before the API.")
    if isinstance(error, httpx.TimeoutException):
        return NoAnswer(f"{host} gave no answer within {seconds:.0f} s.", "Look at what stands before the API.")
    return NoAnswer(
        f"{base_url} does not answer ({type(error).__name__}).",
        "Look whether it is the right address (PublicUrl), and whether this machine may reach it.",
    )
