"""Neither the log nor the metrics contain a number, a name, a text or a secret from a delivery.

They may contain a call's id, and words without capitals or digits, which are a provider's vocabulary. Only an event
that cannot be stored anywhere else is logged completely, in lines with a marker.
"""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aws_lambda_powertools.logging.formatter import LambdaPowertoolsFormatter
from botocore.exceptions import ClientError, EndpointConnectionError
from callhooks.events.event_item import pack_item
from callhooks.events.event_table import EventStore
from callhooks.events.event_writer import UNSTORED_MARKER
from callhooks.events.spill_queue import SpillDrainer

from tests.call_table import a_call, item_of
from tests.console import PASSWORD as CONSOLE_PASSWORD
from tests.console import Console, basic, cookie_in
from tests.hostile import at, paths_in
from tests.projection import queue_batch, stream_batch
from tests.senders import SIGNING_KEY, TOKEN
from tests.sip_clients import JANES_PASSWORD
from tests.support import PASSWORD, SPILL_QUEUE_URL, WEBHOOK_SECRET, Event, FakeDynamoDB, FakeQueue
from tests.unit.calls.test_projector import World
from tests.webhook_functions import FUNCTIONS, Function, raw_body, recordings

SECRETS = (PASSWORD, WEBHOOK_SECRET, TOKEN, SIGNING_KEY, CONSOLE_PASSWORD, JANES_PASSWORD)
IDS = frozenset({"call_sid", "call", "call_id", "id", "uuid", "callId", "src_hash"})
"""Members whose values may be call ids, which are not secret and connect a log line to its call."""

_VOCABULARY = re.compile(r"[a-z._-]*", re.ASCII)
_NUMBER = re.compile(r"\+?[0-9][0-9 ()-]{6,}", re.ASCII)

every_function = pytest.mark.parametrize("name", FUNCTIONS)


@pytest.fixture
def written(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """Returns all output that CloudWatch would receive, except for events that could not be stored."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LambdaPowertoolsFormatter())
    logging.getLogger().addHandler(handler)

    def read() -> str:
        output = capsys.readouterr()
        lines = f"{stream.getvalue()}\n{output.out}\n{output.err}".splitlines()
        stream.seek(0)
        stream.truncate()
        return "\n".join(line for line in lines if UNSTORED_MARKER not in line)

    yield read
    logging.getLogger().removeHandler(handler)


def data_in(event: Event) -> set[str]:
    """Return the texts and numbers of a delivery that are more than a word, and the digits of phone numbers."""
    try:
        document = json.loads(raw_body(event))
    except ValueError:
        document = None
    contents = {"document": document, "event": {**event, "body": None}}
    found = set()
    for path in paths_in(contents):
        value = at(contents, path)
        if isinstance(value, dict | list | bool | None) or path[-1] in IDS or path[-1] in ("requestId", "routeKey"):
            continue
        text = str(value)
        if len(text) >= 5 and not _VOCABULARY.fullmatch(text):
            found |= {text, *(re.sub(r"\D", "", number) for number in _NUMBER.findall(text))}
    return found - {event["rawPath"]}


def assert_silent(written: str, event: Event) -> None:
    assert written, "something is always written"
    assert [text for text in data_in(event) if text in written] == []
    assert [secret for secret in SECRETS if secret in written] == []
    for header in CREDENTIAL_HEADERS:
        given = event["headers"].get(header, "\0")
        assert given not in written
        assert given.rpartition("=v1")[2].rpartition(" ")[2] not in written


def refused_by(event: Event) -> Exception:
    """Return a fault whose text repeats the request, as botocore's errors can."""
    return ClientError({"Error": {"Code": "Throttled", "Message": f"{data_in(event)} {event['body']}"}}, "PutItem")


CREDENTIAL_HEADERS = ("authorization", "jambonz-signature", "messagebird-signature")
WAYS: dict[str, Callable[[Function, Event], Event]] = {
    "accepted": lambda _, event: event,
    "cut": lambda function, event: function.sign({**event, "body": event["body"][: len(event["body"]) // 2]}),
    "of another shape": lambda function, event: function.sign(
        {**event, "body": json.dumps([json.loads(event["body"] or '["Jane Doe", "+14155550177"]')])}
    ),
    "forged": lambda _, event: {
        **event,
        "headers": {
            name: f"{value}x" if name in CREDENTIAL_HEADERS else value for name, value in event["headers"].items()
        },
        "pathParameters": {"token": f"{TOKEN[:-1]}+14155550177"} if "token" in event.get("pathParameters", {}) else {},
    },
}
FAULTS: dict[str, Callable[[Event], Exception]] = {
    "throttled": refused_by,
    "unreachable": lambda event: EndpointConnectionError(endpoint_url=f"https://{event['body']}"),
}


@every_function
@pytest.mark.parametrize("way", [*WAYS, *FAULTS])
def test_no_outcome_of_a_delivery_writes_its_data(name: str, way: str, written: Callable[[], str]) -> None:
    for recorded in recordings(name):
        if recorded["requestContext"]["http"]["method"] == "OPTIONS":
            continue  # needs no authentication, and is not logged
        function = FUNCTIONS[name]()
        event = function.sign(recorded)
        if way in FAULTS:
            function.table.fault = FAULTS[way](event)
        else:
            event = WAYS[way](function, event)
        function.deliver(event)
        function.deliver(event, new_container=True)
        assert_silent(written(), event)


@every_function
def test_the_drainer_and_the_projector_write_no_event_data(name: str, written: Callable[[], str]) -> None:
    for recorded in recordings(name):
        function, world = FUNCTIONS[name](), World()
        event = function.sign(recorded)
        function.deliver(event)
        items = [item for item in function.items if item["sk"]["S"].startswith("event#")]
        world.table |= {(item["pk"]["S"], item["sk"]["S"]): item for item in items}
        world.stream(items)
        poisoned: Any = [{**item, "kind": item.get("from", {"S": "Jane Doe"})} for item in items]
        world.project(stream_batch(poisoned))
        table = FakeDynamoDB()
        drainer = SpillDrainer(EventStore(table.as_client(), "events"), FakeQueue().as_client(), SPILL_QUEUE_URL)
        drainer.drain(queue_batch(map(pack_item, items)), lambda: 60)
        table.fault = refused_by(event)
        drainer.drain(queue_batch([*map(pack_item, items), event["body"]]), lambda: 60)
        assert_silent(written(), event)


NUMBER, NAME = "+14155550177", "Jane.Doe@example.com"


def test_the_call_log_writes_no_request_data(written: Callable[[], str]) -> None:
    console = Console()
    console.table.put(item_of(a_call("one", from_=NUMBER, to=NAME, caller_name=NAME)))
    signed_in = console.sign_in()
    cookie = cookie_in(signed_in)
    for query in (
        {"number": NUMBER},
        {"number": NAME},
        {"day": NUMBER},
        {"number": NUMBER, "cursor": NAME},
        {NAME: NUMBER},
    ):
        console.get("/calls", **query)
    console.get(f"/calls/jambonz/{NUMBER}")
    console.get("/calls/jambonz/one")
    console.with_cookies("/calls", cookie)
    console.with_cookies("/calls", f"{cookie}0")
    console.sign_in(password=NUMBER, username=NAME)
    console.post(json.dumps({"username": NAME}))
    console.table.fault = ClientError({"Error": {"Code": "Throttled", "Message": NUMBER}}, "Query")
    console.get("/calls", number=NUMBER)
    console.table.fault = RuntimeError(NUMBER)
    console.get("/calls", number=NUMBER)
    text = written()
    assert text.count('"message":"answered"') == 14, "every request is logged"
    for value in (NUMBER, NUMBER[1:], NAME, CONSOLE_PASSWORD, cookie.partition("=")[2], basic().partition(" ")[2]):
        assert value not in text
