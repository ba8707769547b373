"""What the projector's tests share: batches as Lambda hands them over, and the schema of what is published."""

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

SECONDS_OF_A_HANGING_REQUEST = 15
"""Of a worker's client: three attempts of four seconds, and botocore's pauses of at most one and two seconds."""
_NUMBERS = count(1)


@dataclass
class Invocation:
    """The context of an invocation, whose time is up when the test says so."""

    seconds_left: float = 60
    aws_request_id: str = "invocation-1"

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds_left * 1000)


def kept(event: CallEvent, *, retention_days: float = 90) -> Item:
    """An event as the table keeps it."""
    return event_item(event, Request("POST", "/", body=b"{}"), Response(200, "[]"), retention_days=retention_days)


def stream_batch(items: Iterable[Mapping[str, Any]], *, name: str = "INSERT") -> Any:
    """New items, as the table's stream tells of them."""
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
            # Bytes come as base64, as everything is JSON.
            "NewImage": json.loads(json.dumps(item, default=lambda raw: base64.b64encode(raw).decode())),
            "SequenceNumber": f"{number:021}",
            "SizeBytes": 1000,
            "StreamViewType": "NEW_IMAGE",
        },
        "eventSourceARN": "arn:aws:dynamodb:us-east-1:123456789012:table/events/stream/2026-11-21T06:00:00.000",
    }


def queue_batch(bodies: Iterable[str]) -> Any:
    """Messages, as the retry queue hands them over; their ids are message-0 and so on."""
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
    """An event's key, as it lies in the retry queue."""
    return json.dumps({"pk": item["pk"]["S"], "sk": item["sk"]["S"]})


def page_of_the_bus() -> str:
    """What the page of events says of the bus."""
    page = (ROOT / "docs" / "events.md").read_text("utf-8")
    section = re.search(r"^## The bus$(.*?)^## ", page, re.DOTALL | re.MULTILINE)
    assert section is not None
    return section[1]


@cache
def bus_schema() -> Any:
    """The schema of a detail, as the page of events has it."""
    (block,) = re.findall(r"^```json\n(.*?)^```$", page_of_the_bus(), re.DOTALL | re.MULTILINE)
    schema = json.loads(block)
    Draft202012Validator.check_schema(schema)
    formats = FormatChecker(formats=())
    # jsonschema itself knows this format only with a further package.
    formats.checks("date-time", raises=ValueError)(
        lambda moment: not isinstance(moment, str) or bool(datetime.fromisoformat(moment).tzinfo)
    )
    return Draft202012Validator(schema, format_checker=formats)
