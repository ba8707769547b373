"""Test deliveries as each provider sends them: sent to the public URL, then read back from the table.

All their ids begin with `callhooks-doctor-`, and the caller is `callhooks-doctor`. This distinguishes them from real
calls, and `callhooks forget callhooks-doctor` removes any that are left.
"""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Self

import httpx
from callhooks.events.event_item import EVENT_PREFIX, QUARANTINE, Item, body_of_item, partition_key
from callhooks.providers.description import TEST_SENDER, Provider, Sample, Signing
from callhooks.runtime.http import Request

from callhooks_tools.doctor.secrets import KnownSecrets
from callhooks_tools.stack.deployment import DEPTH, IMPATIENT, Deployment, depth_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CALL = "call"
MAX_PASSES = 5
SPILLED = '"outcome":"spilled"'
EVENT_SPILLED = "EventSpilled"
REASON_WINDOW_SECONDS = 5
MAX_RUN = timedelta(minutes=15)


class NoAnswer(Exception):
    """The public URL did not answer; has the cause and the remedy."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.message, self.remedy = message, remedy


@dataclass(frozen=True, slots=True)
class Answer:
    """Response to a request, and the seconds it took."""

    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float

    @property
    def document(self) -> object:
        """Return the body as JSON, or `None` if it is not JSON."""
        try:
            document: object = json.loads(self.text)
        except ValueError:
            return None
        return document

    @property
    def is_json(self) -> bool:
        """True if its content type is JSON."""
        return "application/json" in self.headers.get("content-type", "")

    @property
    def detail(self) -> str:
        """Return the detail of a problem document from callhooks; empty if something else answered."""
        document = self.document
        is_ours = "application/problem+json" in self.headers.get("content-type", "")
        return str(document.get("detail", "")) if is_ours and isinstance(document, dict) else ""


@dataclass(frozen=True, slots=True)
class TestDelivery:
    """A delivery that a provider could have sent: a sample, and its request."""

    __test__ = False  # pytest must not collect it

    provider: Provider
    sample: Sample
    request: Request = field(repr=False)
    call_id: str

    @property
    def name(self) -> str:
        """Return the provider and the kind of delivery."""
        return f"{self.provider.title} {self.sample.title}"

    @property
    def function(self) -> str:
        """Return the function that receives it, by its name in the template."""
        route = self.provider.route_of(self.sample.request.path)
        if route is None:
            raise LookupError(f"{self.name} matches no route of its provider")
        return route.function

    @property
    def redacted_path(self) -> str:
        """Return its path, with a placeholder for the token."""
        has_token = any(secret.is_in_url for secret in self.provider.secrets)
        return f"{self.sample.request.path}{'/<token>' if has_token else ''}"

    @property
    def pk(self) -> str:
        """Return the partition key of its call."""
        return partition_key(self.provider.name, self.call_id)

    @classmethod
    def unsigned(cls, provider: Provider, sample: Sample, call_id: str) -> Self:
        """Return a sample without credentials."""
        return cls(provider, sample, sample.request, call_id)

    @classmethod
    def signed(cls, provider: Provider, sample: Sample, call_id: str, signing: Signing) -> Self:
        """Return a sample, signed as its provider would sign it now."""
        return cls(provider, sample, provider.sign(sample.request, signing), call_id)


@dataclass
class Probe:
    """Test deliveries of one run of the doctor, and their traces in the stack.

    Every method that reads or changes the stack raises `ClientError` or `BotoCoreError` if a request to AWS fails.

    Attributes:
        run_id: random, part of every id that is sent.
        sent: all deliveries that were sent.
        accepted: the deliveries that were stored.
        spilling_functions: functions that sent an event to the spill queue.
        flagged_checks: earlier checks with a warning or a failure.
        retries_before: messages in the retry queue before the first delivery; `None` if unknown.
        projected_at: when, by `monotonic`, all events had become calls; `None` if they have not.
    """

    deployment: Deployment
    known: KnownSecrets
    http: httpx.Client
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    sleep: Callable[[float], None]
    run_id: str = field(repr=False)
    is_reachable: bool = False
    accepted: list[TestDelivery] = field(default_factory=list)
    sent: list[TestDelivery] = field(default_factory=list)
    spilling_functions: set[str] = field(default_factory=set)
    flagged_checks: frozenset[str] = frozenset()
    retries_before: int | None = None
    projected_at: float | None = None
    _table: DynamoDBClient | None = None

    @property
    def call_id(self) -> str:
        """Return the call id of all valid test deliveries."""
        return f"{TEST_SENDER}-{self.run_id}"

    @property
    def rejected_call_id(self) -> str:
        """Return the call id of all test deliveries that must be rejected."""
        return f"{self.call_id}-refused"

    @property
    def table(self) -> DynamoDBClient:
        """Return the events table."""
        if self._table is None:
            self._table = self.deployment.session.client("dynamodb", config=IMPATIENT)
        return self._table

    def send(self, delivery: TestDelivery) -> Answer:
        """Send a delivery, and note it for the cleanup.

        Raises:
            NoAnswer: the public URL did not answer.
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
        """Send a request to the public URL; `basic` is a user name and password for Basic authentication.

        Raises:
            NoAnswer: the public URL did not answer.
        """
        base_url = self.deployment.outputs.base_url
        started = self.monotonic()
        try:
            url = f"{base_url}{path}"
            response = self.http.request(method, url, headers=headers, content=content or None, auth=basic)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise _no_answer(error, base_url, self.monotonic() - started) from None
        return Answer(response.status_code, response.headers, response.text, self.monotonic() - started)

    def is_stored(self, delivery: TestDelivery) -> bool:
        """Return whether the table has the delivery as an event."""
        return any(_has_body(item, delivery.request.body) for item in self._items(delivery.pk, EVENT_PREFIX))

    def event_count(self, pk: str) -> int:
        """Return the number of events of a call in the table."""
        return len(self._items(pk, EVENT_PREFIX))

    def projected_event_count(self, pk: str) -> int:
        """Return the number of events in a call's item; 0 if there is no item."""
        return next((int(item["event_count"]["N"]) for item in self._items(pk, CALL)), 0)

    def find_quarantined(self, delivery: TestDelivery) -> Item | None:
        """Return the delivery's item in quarantine, or `None`."""
        day = f"{QUARANTINE}{delivery.provider.name}#{self.clock().astimezone(UTC):%Y-%m-%d}"
        return next((item for item in self._items(day, "") if _has_body(item, delivery.request.body)), None)

    def spill_queue_depth(self) -> int:
        """Return the approximate number of events in the spill queue."""
        return self._messages(self.deployment.outputs.spill_queue)

    def retry_queue_depth(self) -> int:
        """Return the approximate number of events in the projector's retry queue."""
        return self._messages(self.deployment.outputs.projection_retry_queue)

    def _messages(self, queue_url: str) -> int:
        client = self.deployment.session.client("sqs", config=IMPATIENT)
        return depth_of(client.get_queue_attributes(QueueUrl=queue_url, AttributeNames=DEPTH)["Attributes"])

    def find_spill(self, function: str) -> str | None:
        """Return why a function has spilled a test event, from its log; empty if unknown, `None` if it has not.

        Args:
            function: its name in the template.
        """
        # Early enough for a clock that is a few minutes off.
        lines = self.deployment.log_events(function, self.call_id, (self.clock() - MAX_RUN).timestamp())
        spilled_at = next((at for at, text in lines if SPILLED in text), None)
        if spilled_at is None:
            return None
        # The reason is in the metric's line just before, which has no call id.
        counted = self.deployment.log_events(function, EVENT_SPILLED, spilled_at / 1000 - REASON_WINDOW_SECONDS)
        reasons = [reason for at, text in counted if at <= spilled_at and (reason := _reason_in(text))]
        return reasons[-1] if reasons else ""

    def clean(self) -> int:
        """Remove all test deliveries and their calls, and return the number of removed items."""
        removed = 0
        for pk in sorted({delivery.pk for delivery in self.sent}):
            for _ in range(MAX_PASSES):
                items = self._items(pk, "")
                for item in items:
                    self._remove(item)
                    removed += 1
                if not items:
                    break
        for delivery in self.sent:
            quarantined = self.find_quarantined(delivery)
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
    """Return the reason in a line of the metric; empty if it has none."""
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
    """Return why no answer came, from the chain of causes below an exception of the HTTP client."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    host = httpx.URL(base_url).host if not isinstance(error, httpx.InvalidURL) else base_url
    if any(isinstance(one, socket.gaierror) for one in causes):
        return NoAnswer(
            f"The name {host} cannot be resolved.",
            "Check the DNS record of the custom domain and the parameter PublicUrl.",
        )
    for one in causes:
        if isinstance(one, ssl.SSLCertVerificationError):
            reason = getattr(one, "verify_message", "it cannot be verified")
            return NoAnswer(
                f"The certificate of {host} is not valid ({reason}), so providers do not call it.",
                "Check that the certificate of the custom domain covers this host (AWS Certificate Manager).",
            )
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return NoAnswer(f"The TLS handshake with {host} failed.", "Check any proxy or CDN in front of the API.")
    if isinstance(error, httpx.TimeoutException):
        return NoAnswer(f"{host} did not answer within {seconds:.0f} s.", "Check any proxy or CDN in front of the API.")
    return NoAnswer(
        f"{base_url} does not answer ({type(error).__name__}).",
        "Check that the address is right (parameter PublicUrl), and that this machine can reach it.",
    )
