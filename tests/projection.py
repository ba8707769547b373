"""Helpers for the projector's tests: batches as Lambda passes them, and the schema of the bus."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import count
from typing import Any

from callhooks.events.call_event import CallEvent
from callhooks.events.event_item import Item, event_item
from callhooks.runtime.http import Request, Response
from jsonschema import Draft202012Validator, FormatChecker

from tests.support import ROOT

HANGING_REQUEST_SECONDS = 15
"""The time of a hanging request of a worker: three attempts of 4 s, and botocore's pauses of at most 1 s and 2 s."""
_NUMBERS = count(1)


@dataclass
class Invocation:
    """An invocation context whose remaining time the test sets."""

    seconds_left: float = 60
    aws_request_id: str = "invocation-1"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds_left * 1000)


def stored_item(event: CallEvent, *, retention_days: float = 90) -> Item:
    """Return the item of an event."""
    return event_item(event, Request("POST", "/", body=b"{}"), Response(200, "[]"), retention_days=retention_days)


def stream_batch(items: Iterable[Mapping[str, Any]], *, name: str = "INSERT") -> Any:
    """Return a batch of the table's stream with new items."""
    return {"Records": [_stream_record(item, name) for item in items]}


def _stream_record(item: Mapping[str, Any], name: str) -> dict[str, Any]:
    number = next(_NUMBERS)
    return {
        "eventID": f"{number:032x}",
        "eventName": name,
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {
            "ApproximateCreationDateTime": 1795242600.0,
            "Keys": {"pk": item["pk"], "sk": item["sk"]},
            # The event is JSON, so bytes are base64.
            "NewImage": json.loads(json.dumps(item, default=lambda raw: base64.b64encode(raw).decode())),
            "SequenceNumber": f"{number:021}",
            "SizeBytes": 1000,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/events/stream/2026-11-21T06:00:00.000",
    }


def queue_batch(bodies: Iterable[str]) -> Any:
    """Return a batch of the retry queue; the message ids are message-0, message-1 and so on."""
    return {
        "Records": [
            {
                "messageId": f"message-{number}",
                "receiptHandle": "AQEB",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1", "SentTimestamp": "1795242600000"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:retries",
                "awsRegion": "us-east-1",
            }
            for number, body in enumerate(bodies)
        ]
    }


def key_message(item: Mapping[str, Any]) -> str:
    """Return the message of the retry queue for an event."""
    return json.dumps({"pk": item["pk"]["S"], "sk": item["sk"]["S"]})


def bus_section() -> str:
    """Return the section about the bus in docs/events.md."""
    page = (ROOT / "docs" / "events.md").read_text("utf-8")
    section = re.search(r"^## The bus$(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    assert section is not None
    return section[1]


@cache
def bus_schema() -> Any:
    """Return the JSON schema of a detail from docs/events.md."""
    (block,) = re.findall(r"^```json\n(.*?)^```$", bus_section(), re.DOTALL | re.MULTILINE)
    schema = json.loads(block)
    Draft202012Validator.check_schema(schema)
    formats = FormatChecker(formats=())
    # jsonschema checks this format only with another package installed.
    formats.checks("date-time", raises=ValueError)(
        lambda moment: not isinstance(moment, str) or bool(datetime.fromisoformat(moment).tzinfo)
    )
    return Draft202012Validator(schema, format_checker=formats)
