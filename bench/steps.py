"""Where the processor time of a warm delivery goes, step by step; a part of `make bench`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from callhooks.aws import dynamodb_client
from callhooks.http import Request
from callhooks.items import event_item
from callhooks.keeper import Keeper
from callhooks.metrics import EVENT_STORED, tell_answer
from callhooks.providers.jambonz.verify import DEFAULT_SIGNATURE_HEADER, JambonzCredentials
from callhooks.spill import SpillQueue
from callhooks.store import EventStore
from callhooks.webhooks.jambonz_event import jambonz_event_webhook
from callhooks_tools.terminal import console
from rich.table import Table

from bench.deliveries import CREDENTIALS, fresh
from bench.subjects import CALL_STATUS

ROUNDS = 300


def microseconds(step: Callable[[int], object]) -> float:
    """The median processor time of a step, which gets the number of its round."""
    taken = []
    for number in range(ROUNDS):
        began = time.process_time_ns()
        step(number)
        taken.append(time.process_time_ns() - began)
    return median(taken) / 1000


def steps() -> dict[str, float]:
    """The steps of an event of jambonz, from the event of the HTTP API to its answer."""
    access, now = CREDENTIALS.jambonz, datetime.now(UTC)
    credentials = JambonzCredentials(access.username, (access.password,), (str(access.webhook_secret),))
    webhook = jambonz_event_webhook(signature_header=DEFAULT_SIGNATURE_HEADER)
    events = fresh(CALL_STATUS, ROUNDS)
    requests = [Request.from_event(event) for event in events]
    messages = [webhook.parse(request) for request in requests]
    told = [webhook.normalise(message, request, now) for message, request in zip(messages, requests, strict=True)]
    answer = webhook.answer(messages[0], requests[0], now)

    def item(number: int) -> Any:
        event: Any = told[number]
        return event_item(event, requests[number], answer, retention_days=90)

    items = [item(number) for number in range(ROUNDS)]
    client = _client()
    keeper = Keeper(EventStore(client, "events"), SpillQueue(lambda: client, "none"))
    told_of = {"call_id": "d2515c3b-b79a-41a2-971a-445e769c823c"}
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):

        def put(number: int) -> None:
            client.put_item(TableName="events", Item=items[number], ConditionExpression="attribute_not_exists(pk)")

        put_alone = microseconds(put)
        return {
            "read the HTTP API event": microseconds(lambda number: Request.from_event(events[number])),
            "check the proof, verify": microseconds(lambda number: webhook.verify(requests[number], credentials, now)),
            "parse": microseconds(lambda number: webhook.parse(requests[number])),
            "normalise": microseconds(lambda number: webhook.normalise(messages[number], requests[number], now)),
            "answer": microseconds(lambda number: webhook.answer(messages[number], requests[number], now)),
            "make the item": microseconds(item),
            "put it (botocore, no network)": put_alone,
            "keep it once (Powertools, our store)": (
                microseconds(lambda number: keeper.keep(items[number], lambda: 7.0)) - put_alone
            ),
            "write the line": microseconds(lambda _: tell_answer([EVENT_STORED], 12, provider="jambonz", told=told_of)),
        }


def _client() -> Any:
    """DynamoDB's client as functions have it, with a network that takes no time."""
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    client: Any = dynamodb_client()

    def answered(request: Any, **_: object) -> AWSResponse:
        response: Any = AWSResponse(request.url, 200, HTTPHeaders(), None)
        response._content = b"{}"  # noqa: SLF001 - there is no other way to make a response with a body
        return response  # type: ignore[no-any-return]

    client.meta.events.register("before-send.dynamodb", answered)
    return client


def show() -> None:
    """Print them."""
    measured = steps()
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    table = Table(f"a warm event of jambonz, Python {version}", "microseconds", "%")
    whole = sum(measured.values())
    for name, taken in measured.items():
        table.add_row(name, f"{taken:.0f}", f"{100 * taken / whole:.0f}")
    table.add_section()
    table.add_row("all", f"{whole:.0f}", "100")
    console.print(table)


if __name__ == "__main__":
    show()
