"""Requests of a language model as jambonz forwards them, and a warm container of the tool function."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.idempotency import DynamoDBPersistenceLayer
from botocore.exceptions import ClientError
from callhooks.calls.caller_history import PastCalls
from callhooks.events.event_item import Item
from callhooks.events.event_table import EventStore
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.initial_webhook import initial_webhook_loader
from callhooks.providers.jambonz.llm_tools.runner import TOOLS_TIMEOUT_SECONDS, ToolRunner
from callhooks.providers.jambonz.llm_tools.toolbox import Parties, Toolbox, ToolCall, tool_of
from callhooks.providers.jambonz.tool_hook import ToolWebhook
from callhooks.webhooks.pipeline import Receiver

from tests.support import (
    NOW,
    Answer,
    Clock,
    Event,
    FakeDynamoDB,
    FakeQueue,
    FakeSecrets,
    call_in_url,
    credential_store,
    get_writer_of,
    signed_event,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CALL_SID = "d2515c3b"
_IDS = itertools.count()


@dataclass(frozen=True)
class Answering:
    flow: str
    rings: tuple[str, ...]


@dataclass
class FakePlan:
    """A plan with two calendars and one flow."""

    calendars: dict[str, tuple[bool, datetime | None]] = field(default_factory=dict)
    answering: Answering = field(default_factory=lambda: Answering("reception", ("+14155550100", "queue support")))

    def open_calendars(self, now: datetime) -> Mapping[str, bool]:
        return {name: is_open for name, (is_open, _) in self.calendars.items()}

    def next_change(self, calendar: str, now: datetime) -> datetime | None:
        return self.calendars[calendar][1]

    def who_answers(self, number: str, now: datetime) -> Answering:
        return self.answering


@dataclass
class FakeEvents(FakeDynamoDB):
    """Table of events that supplies the first webhook and the calls of a caller."""

    reads: int = 0
    queries: list[dict[str, Any]] = field(default_factory=list)
    calls_found: list[Item] = field(default_factory=list)
    query_fault: Exception | None = None

    def get_item(self, *, Key: Item, **_: object) -> dict[str, Item]:  # noqa: N803
        self.reads += 1
        item = self.items.get((Key["pk"]["S"], Key["sk"]["S"]))
        return {} if item is None else {"Item": item}

    def query(self, **parameters: Any) -> dict[str, list[Item]]:
        self.queries.append(parameters)
        if self.query_fault is not None:
            raise self.query_fault
        found = self.calls_found[: parameters["Limit"]]
        return {"Items": [{name: item[name] for name in ("pk", "sk", "started_at")} for item in found]}

    def batch_get_item(self, *, RequestItems: Mapping[str, Any]) -> dict[str, Any]:  # noqa: N803
        ((table, requested),) = RequestItems.items()
        found = [item for item in self.calls_found if {"pk": item["pk"], "sk": item["sk"]} in requested["Keys"]]
        return {"Responses": {table: found}}

    def has_call(self, document: Mapping[str, object]) -> None:
        """Store the first webhook of the call in which tools are requested."""
        key = (f"jambonz#{CALL_SID}", "event#new-call")
        self.items[key] = {"body": {"B": json.dumps(document).encode()}, "body_encoding": {"S": "identity"}}


@dataclass
class FakeToolCalls:
    """Table for Powertools' idempotency; `fault` and `update_fault` make its operations fail."""

    items: dict[str, Item] = field(default_factory=dict)
    puts: int = 0
    fault: Exception | None = None
    update_fault: Exception | None = None

    def put_item(self, *, Item: Item, **_: object) -> None:  # noqa: N803
        self.puts += 1
        if self.fault is not None:
            raise self.fault
        key = Item["id"]["S"]
        if key in self.items:
            reply: Any = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": self.items[key]}
            raise ClientError(reply, "PutItem")
        self.items[key] = Item

    def update_item(self, *, Key: Item, ExpressionAttributeValues: Item, **_: object) -> None:  # noqa: N803
        if self.update_fault is not None:
            raise self.update_fault
        values = ExpressionAttributeValues
        changes: Item = {"status": values[":status"], "data": values[":response_data"], "expiration": values[":expiry"]}
        self.items[Key["id"]["S"]] |= changes

    @property
    def item(self) -> Item:
        """Return the only item."""
        (item,) = self.items.values()
        return item


@dataclass
class ToolContainer:
    """Warm container of the tool function, with fakes for everything outside."""

    toolbox: Toolbox
    database: FakeEvents = field(default_factory=FakeEvents)
    queue: FakeQueue = field(default_factory=FakeQueue, kw_only=True)
    tool_calls: FakeToolCalls = field(default_factory=FakeToolCalls)
    secrets: FakeSecrets = field(default_factory=FakeSecrets)
    clock: Clock = field(default_factory=Clock)
    plan: FakePlan = field(default_factory=FakePlan)
    seconds: float = TOOLS_TIMEOUT_SECONDS

    def __post_init__(self) -> None:
        client: Any = self.tool_calls
        store = EventStore(self.database.as_client(), "events")
        runner = ToolRunner(
            self.toolbox,
            store=DynamoDBPersistenceLayer(table_name="tool-calls", boto3_client=client),
            monotonic=self.clock.monotonic,
            seconds=self.seconds,
        )
        self.receiver = Receiver(
            ToolWebhook(
                runner,
                plan=self.plan,
                load_initial_webhook=initial_webhook_loader(store),
                past_calls=PastCalls(self.database.as_client(), "events"),
                signature_header=DEFAULT_SIGNATURE_HEADER,
            ),
            credentials=credential_store(self.secrets, self.clock),
            get_writer=get_writer_of(store, self.queue),
            clock=self.clock,
            retention_days=90,
        )

    def another_container(self) -> ToolContainer:
        """Return a new container of the same function, on the same tables."""
        return ToolContainer(self.toolbox, self.database, self.tool_calls, self.secrets, self.clock, self.plan)

    def receive(self, event: Event) -> Answer:
        """Deliver an event as a separate request."""
        context = {**event["requestContext"], "requestId": f"request-{next(_IDS)}"}
        return Answer(**self.receiver.receive({**event, "requestContext": context}))

    def ask(self, name: str, arguments: object = None, **changes: Any) -> Answer:
        """Request a tool in a call, as jambonz does for all vendors except Google."""
        return self.receive(tool_event(tool_request(name, arguments), now=self.clock.now, **changes))

    def result(self, name: str, arguments: object = None) -> Any:
        """Request a tool and return the result that the model gets."""
        return openai_result(self.ask(name, arguments))


def container_with(*functions: Callable[..., object], **changes: Any) -> ToolContainer:
    """Return a container with these functions as tools."""
    return ToolContainer(toolbox_of(*functions), **changes)


def toolbox_of(*functions: Callable[..., object]) -> Toolbox:
    return Toolbox({tool.name: tool for tool in map(tool_of, functions)})


def tool_request(name: str, arguments: object = None) -> dict[str, object]:
    """Return the body of a request with a unique id."""
    return {"tool_call_id": f"call_{next(_IDS)}", "name": name, "args": {} if arguments is None else arguments}


def tool_event(
    body: object, *, vendor: str = "openai", query: str = call_in_url(CALL_SID), now: datetime = NOW, **changes: Any
) -> Event:
    """Return a tool hook as API Gateway passes it on."""
    event = signed_event(body, path=f"/webhooks/tool/{vendor}", query=query, now=now)
    return {**event, "pathParameters": {"vendor": vendor}, **changes}


def openai_result(answer: Answer) -> Any:
    """Return the result in a response in the shape for OpenAI, decoded if it is JSON."""
    assert answer.statusCode == 200
    output = json.loads(answer.body)["item"]["output"]
    assert isinstance(output, str)
    try:
        return json.loads(output)
    except ValueError:
        return output


def call_with(database: FakeEvents, **members: Any) -> ToolCall:
    """Return a tool's context outside of any request."""
    parties = members.pop("parties", Parties("+12125550187", "+14155550123", "inbound"))
    client: DynamoDBClient = database.as_client()
    context: dict[str, Any] = {"call_sid": CALL_SID, "now": NOW, "plan": FakePlan(), **members}
    return ToolCall(parties=lambda: parties, past_calls=PastCalls(client, "events"), **context)
