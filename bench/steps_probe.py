"""Measure the steps of a warm jambonz event, in a process that contains only the built layer and boto3."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from callhooks.events.event_item import event_item
from callhooks.events.event_table import EventStore
from callhooks.events.event_writer import EventWriter
from callhooks.events.spill_queue import SpillQueue
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER, JambonzCredentials
from callhooks.providers.jambonz.events import EventWebhook
from callhooks.runtime.aws_clients import dynamodb_client
from callhooks.runtime.http import HttpApiEvent, Request
from callhooks.runtime.metrics import EVENT_STORED, emit_delivery_metrics


def microseconds(step: Callable[[int], object], rounds: int) -> float:
    """Return the median processor time of a step. The step gets the number of its round."""
    durations = []
    for number in range(rounds):
        began = time.process_time_ns()
        step(number)
        durations.append(time.process_time_ns() - began)
    return median(durations) / 1000


def steps(events: Sequence[HttpApiEvent], credentials: JambonzCredentials) -> dict[str, float]:
    """Return the duration of each step, from the HTTP API event to the log line."""
    now = datetime.now(UTC)
    webhook = EventWebhook(signature_header=DEFAULT_SIGNATURE_HEADER)
    requests = [Request.from_event(event) for event in events]
    messages = [webhook.parse(request) for request in requests]
    call_events = [
        webhook.normalise(message, request, now) for message, request in zip(messages, requests, strict=True)
    ]
    answer = webhook.answer(messages[0], requests[0], now)

    def item(number: int) -> Any:
        event: Any = call_events[number]
        return event_item(event, requests[number], answer, retention_days=90)

    items = [item(number) for number in range(len(events))]
    client = _client()
    writer = EventWriter(EventStore(client, "events"), SpillQueue(lambda: client, "none"))
    each = partial(microseconds, rounds=len(events))
    log_fields = {"call_id": "d2515c3b-b79a-41a2-971a-445e769c823c"}
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):

        def put(number: int) -> None:
            client.put_item(TableName="events", Item=items[number], ConditionExpression="attribute_not_exists(pk)")

        put_only = each(put)
        return {
            "read the HTTP API event": each(lambda number: Request.from_event(events[number])),
            "authenticate": each(lambda number: webhook.authenticate(requests[number], credentials, now)),
            "parse": each(lambda number: webhook.parse(requests[number])),
            "normalise": each(lambda number: webhook.normalise(messages[number], requests[number], now)),
            "answer": each(lambda number: webhook.answer(messages[number], requests[number], now)),
            "build the item": each(item),
            "put the item (botocore, no network)": put_only,
            "store it once (Powertools, event store)": (
                each(lambda number: writer.write(items[number], answer, lambda: 7.0)) - put_only
            ),
            "write the log line": each(
                lambda _: emit_delivery_metrics([EVENT_STORED], 12, provider="jambonz", log_fields=log_fields)
            ),
        }


def _client() -> Any:
    """Return the functions' DynamoDB client, with a network that takes no time."""
    client: Any = dynamodb_client()

    def answered(request: Any, **_: object) -> AWSResponse:
        response: Any = AWSResponse(request.url, 200, HTTPHeaders(), None)
        response._content = b"{}"  # noqa: SLF001 - there is no public way to set the body
        return response  # type: ignore[no-any-return]

    client.meta.events.register("before-send.dynamodb", answered)
    return client


if __name__ == "__main__":
    spec = json.load(sys.stdin)
    username, password, webhook_secret = spec["credentials"]
    json.dump(steps(spec["events"], JambonzCredentials(username, (password,), (webhook_secret,))), sys.stdout)
