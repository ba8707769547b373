"""`callhooks forget` on the table of the template, with the projector running alongside."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from aws_lambda_powertools.utilities.idempotency.exceptions import IdempotencyItemAlreadyExistsError
from callhooks.calls.repository import CallStore, call_item
from callhooks.events.call_event import CallEvent, Kind, QuarantinedDelivery
from callhooks.events.event_item import Item, event_item, event_key, quarantine_item
from callhooks.events.event_table import EventStore, PendingWrite
from callhooks.providers.jambonz.llm_tools.toolbox import ToolOutcome, ToolRequest
from callhooks.providers.jambonz.tool_hook import ToolHook, tool_response
from callhooks.runtime.http import Request, Response
from callhooks_tools.cli import app
from callhooks_tools.commands import forget as forget_command
from callhooks_tools.recovery.forget import PROJECTION_SECONDS, EventsStillArriving, Person, Removal, find
from callhooks_tools.recovery.stored_events import scan
from typer.testing import CliRunner, Result

from tests.calls import fold, make_event
from tests.commands import done, failed
from tests.decoding import items_with
from tests.integration.conftest import TABLE, TOOL_CALLS_TABLE, Aws, loaded_handler, subscribe_to_all_events
from tests.projection import Invocation, key_message, queue_batch, stored_item, stream_batch
from tests.stacks import stack_outputs
from tests.support import NOW

NUMBER = "+14155550123"
DIGITS = "14155550123"
OTHER = "+12125550187"
LATER = NOW + timedelta(days=2)


def call(call_id: str, *, from_: str = OTHER, parent: str | None = None) -> list[Item]:
    """Return the items of a call. Its own item and only one of its events have caller and callee."""
    events = [
        replace(make_event(Kind.RINGING, key="ringing"), call_id=call_id),
        replace(make_event(Kind.INITIATED, key="initiated", from_=from_, to=OTHER), call_id=call_id),
        replace(
            make_event(Kind.COMPLETED, 9, {"parent_call_sid": parent} if parent else {}, key="completed"),
            call_id=call_id,
        ),
    ]
    return [*map(stored_item, events), call_item(event_key(events[0])[0], fold(events), expires_at=None)]


def alone(key: str, *, from_: str) -> Item:
    return stored_item(replace(make_event(Kind.CLIENT_REFUSED, from_=from_, key=key), call_id=None))


def sms(sms_id: str, *, from_: str) -> Item:
    event = make_event(Kind.SMS_RECEIVED, provider="voipstudio", from_=from_, key=sms_id)
    return stored_item(replace(event, call_id=None, sms_id=sms_id))


def quarantined(body: bytes, answer: str = "") -> Item:
    delivery = QuarantinedDelivery("wavix", "no call", NOW)
    return quarantine_item(delivery, Request("POST", "/", body=body), Response(202, answer), retention_days=90)


def tool_call(call_id: str, result: object) -> Item:
    """Return the event of a tool call in another person's call, with the result in its answer."""
    hook = ToolHook("openai", call_id, (ToolRequest("who_answers", {}, "call_1"),), (ToolOutcome(result),))
    event = replace(make_event(Kind.TOOL_CALLED, key="tool", from_=None), call_id=call_id)
    request = Request("POST", "/", body=b'{"name": "who_answers"}')
    return event_item(event, request, tool_response(hook), retention_days=90)


DOCUMENT = json.dumps({"from": NUMBER, "note": "called at noon"}).encode()
HIDDEN = [
    quarantined(json.dumps({"data": base64.encodebytes(gzip.compress(DOCUMENT)).decode()}).encode()),
    quarantined(DOCUMENT.decode().encode("utf-16")),
]
ANSWERS = [
    tool_call("other", f"Ring {NUMBER}, or 001 (415) 555-0123."),
    tool_call("other-leg", {"rings": [NUMBER, 14155550123, {NUMBER: "Jane"}], "open": True, "name": "Zo\u00eb"}),
    tool_call("third", {"vcard": base64.b64encode(DOCUMENT).decode(), "link": "/?to=%2B14155550123&a=1"}),
    quarantined(b"{}", json.dumps([{"verb": "dial", "target": [{"type": "phone", "number": NUMBER}]}])),
]
THEIRS = [
    *HIDDEN,
    *call("theirs", from_="+1 (415) 555-0123"),
    *call("leg", parent="theirs"),
    *call("leg-of-leg", parent="leg")[:-1],
    sms("1", from_="14155550123"),
    alone("theirs", from_=f"{NUMBER}@sip.example.com"),
    quarantined(b'{"from": "\\u002b14155550123"}'),
    quarantined(b"to=%2B1-415-555-0123"),
    stored_item(replace(make_event(Kind.MEDIA, details={"text": "It is 1 415 555 0123."}), call_id="mentions")),
]
NOT_THEIRS = [
    *call("other"),
    *call("other-leg", parent="other"),
    sms("2", from_=OTHER),
    alone("another", from_="jane@sip.example.com"),
    quarantined(b'{"from": "+141555501234"}'),
]
LONGER = items_with(DIGITS, NOT_THEIRS)
"""Items of others with a longer number that begins with the same digits."""
assert len(LONGER) == 1


@dataclass
class World:
    """The table, with a removal; each wait runs the next of `sleeps`."""

    aws: Aws
    now: datetime = LATER
    sleeps: list[Callable[[], None]] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)

    def put(self, items: Iterable[Item]) -> None:
        for item in items:
            self.aws.dynamodb.put_item(TableName=TABLE, Item=item)

    def keys(self) -> set[tuple[str, str]]:
        return {(item["pk"]["S"], item["sk"]["S"]) for item in self.aws.items()}

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if self.sleeps:
            self.sleeps.pop(0)()

    def forget(self, client: Any = None, number: str = NUMBER) -> Removal:
        person = Person.of(number)
        found = find((page.items for page in scan(self.aws.dynamodb, {"TableName": TABLE})), person)
        removal = Removal(client or self.aws.dynamodb, TABLE, person, lambda: self.now, self.sleep)
        removal.remove(found, lambda: None)
        if removal.recent:
            removal.remove_reappeared()
        return removal


@pytest.fixture
def world(aws: Aws) -> World:
    return World(aws)


def key_of(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def keys_of(items: Iterable[Item]) -> set[tuple[str, str]]:
    return set(map(key_of, items))


def openai(output: str) -> object:
    return {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "call_id": "call_1", "output": output},
    }


class TestForgetting:
    def test_removes_all_digits_and_changes_only_the_answers_of_others(self, world: World) -> None:
        world.put([*THEIRS, *NOT_THEIRS, *ANSWERS])
        assert items_with(DIGITS, ANSWERS) == sorted(keys_of(ANSWERS), key=list(map(key_of, ANSWERS)).index)
        removal = world.forget()
        assert (removal.items, removal.redacted) == (len(THEIRS), len(ANSWERS))
        left = {key_of(item): item for item in world.aws.items()}
        assert items_with(DIGITS, left.values()) == LONGER
        assert left.keys() == keys_of([*NOT_THEIRS, *ANSWERS])
        assert [left[key_of(item)] for item in NOT_THEIRS] == NOT_THEIRS
        for item in ANSWERS:
            assert {**left[key_of(item)], "answer": item["answer"]} == item
        assert [json.loads(left[key_of(item)]["answer"]["S"]) for item in ANSWERS] == [
            openai("Ring ***, or ***."),
            openai('{"rings": ["***", "***", {"***": "Jane"}], "open": true, "name": "Zo\u00eb"}'),
            openai('{"vcard": "***", "link": "/?to=***&a=1"}'),
            [{"verb": "dial", "target": [{"type": "phone", "number": "***"}]}],
        ]
        second = world.forget()
        assert (second.items, second.redacted) == (0, 0)
        assert {key_of(item): item for item in world.aws.items()} == left

    def test_gives_a_duplicate_the_redacted_answer(self, world: World) -> None:
        world.put(ANSWERS[:1])
        world.forget()
        store = EventStore(world.aws.dynamodb, TABLE)
        with pytest.raises(IdempotencyItemAlreadyExistsError) as repeat:
            store.save_inprogress(PendingWrite({**ANSWERS[0], "request_id": {"S": "another"}}, Response(200, "[]")))
        assert repeat.value.old_data_record is not None
        assert "Ring ***, or ***." in str(repeat.value.old_data_record.response_data)

    @pytest.mark.parametrize("changed", [[], [{**ANSWERS[0], "answer": {"S": '{"result": "newer"}'}}]])
    def test_does_not_overwrite_an_answer_that_has_changed(self, changed: list[Item], world: World) -> None:
        world.put(ANSWERS[:1])

        class Racing:
            """DynamoDB where the item changes between the read and the write."""

            get_item = world.aws.dynamodb.get_item
            get_paginator = world.aws.dynamodb.get_paginator

            def update_item(self, **request: Any) -> None:
                world.aws.dynamodb.delete_item(TableName=TABLE, Key=request["Key"])
                world.put(changed)
                world.aws.dynamodb.update_item(**request)

        assert world.forget(Racing()).redacted == 0
        assert world.aws.items() == changed

    def test_gives_up_on_a_call_that_keeps_getting_events(self, world: World) -> None:
        world.put(call("theirs", from_=NUMBER))

        class Busy:
            """DynamoDB where a new event arrives after each removal."""

            get_paginator = world.aws.dynamodb.get_paginator
            removed = 0

            def delete_item(self, **request: Any) -> None:
                self.removed += 1
                world.aws.dynamodb.delete_item(**request)
                world.put([stored_item(replace(make_event(Kind.DTMF, key=f"late-{self.removed}"), call_id="theirs"))])

        busy = Busy()
        with pytest.raises(EventsStillArriving):
            world.forget(busy)
        assert busy.removed < 100


class TestTheProjector:
    """The projector may have read a call before its removal, receive its events later, or retry them."""

    @pytest.fixture
    def projector(self, world: World) -> Callable[[Any], Any]:
        subscribe_to_all_events()
        boto3.client("sqs").create_queue(QueueName="retries")
        handler = loaded_handler("call_projector")
        return lambda batch: handler(batch, Invocation())

    def queue_depth(self, queue: str) -> int:
        sqs = boto3.client("sqs")
        return len(sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"]).get("Messages", []))

    @pytest.mark.parametrize("batch_of", [stream_batch, lambda items: queue_batch(map(key_message, items))])
    def test_that_receives_the_events_later_restores_nothing(
        self, batch_of: Callable[[list[Item]], Any], world: World, projector: Callable[[Any], Any]
    ) -> None:
        items = call("theirs", from_=NUMBER)
        world.put(items)
        world.forget()
        assert world.slept == [], "the events are days old"
        assert projector(batch_of(items[:3])) == {"batchItemFailures": []}
        assert world.keys() == set()
        assert (self.queue_depth("subscriber"), self.queue_depth("retries")) == (0, 0)

    def test_that_had_read_the_call_restores_it_for_at_most_a_minute(self, world: World) -> None:
        items = call("theirs", from_=NUMBER)
        world.put(items[:3])
        calls = CallStore(world.aws.dynamodb, TABLE)
        read = calls.events_of("jambonz#theirs")
        world.now = NOW
        world.sleeps.append(lambda: write_back(world, calls, read.events))
        removal = world.forget()
        assert world.slept == [PROJECTION_SECONDS]
        assert (world.keys(), removal.items) == (set(), 4)

    def test_ignores_a_redaction(self, world: World, projector: Callable[[Any], Any]) -> None:
        world.put(ANSWERS)
        world.forget()
        assert projector(stream_batch(world.aws.items(), name="MODIFY")) == {"batchItemFailures": []}
        assert world.keys() == keys_of(ANSWERS)
        assert (self.queue_depth("subscriber"), self.queue_depth("retries")) == (0, 0)

    def test_that_writes_the_call_during_its_removal_does_not_restore_it(self, world: World) -> None:
        items = call("theirs", from_=NUMBER)
        world.put(items)
        calls = CallStore(world.aws.dynamodb, TABLE)

        class Racing:
            """DynamoDB where the projector writes the call from the remaining events after each removal."""

            get_paginator = world.aws.dynamodb.get_paginator

            def delete_item(self, **request: Any) -> None:
                read = calls.events_of("jambonz#theirs")
                world.aws.dynamodb.delete_item(**request)
                if read.events:
                    calls.write_if_newer("jambonz#theirs", fold(read.events), expires_at=None)

        world.forget(Racing())
        assert world.keys() == set()


def write_back(world: World, calls: CallStore, events: tuple[CallEvent, ...]) -> None:
    """Write the call as a slow projector would, after everything has been removed."""
    assert world.keys() == set()
    assert calls.write_if_newer("jambonz#theirs", fold(events), expires_at=None)


def received_long_ago(items: Iterable[Item]) -> list[Item]:
    """Return the items with an old time of receipt, because the command uses the real clock."""
    return [{**item, "received_at": {"S": "2020-11-21T06:30:00.000Z"}} for item in items]


class TestTheCommand:
    @pytest.fixture
    def forget(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        sqs = boto3.client("sqs")
        urls = {
            f"spill_{name}": sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("queue", "dead_letter_queue")
        }
        members = {"events_table": TABLE, "tool_calls_table": TOOL_CALLS_TABLE, **urls}
        outputs = stack_outputs(secrets={}, parameters={}, **members)
        monkeypatch.setattr(forget_command, "stack_in_aws", lambda _name: (boto3.session.Session(), outputs))
        return lambda *arguments, stdin="", **environment: CliRunner().invoke(
            app, ["forget", *arguments], env={"COLUMNS": "200", **environment}, input=stdin
        )

    def test_shows_the_matches_and_removes_them(self, forget: Callable[..., Result], world: World) -> None:
        world.put(received_long_ago([*THEIRS, *NOT_THEIRS]))
        forgotten = forget(NUMBER, "--yes")
        assert done(forgotten).splitlines() == [
            f"Matches in {len(THEIRS) + len(NOT_THEIRS)} items (jambonz, voipstudio, wavix, 2020-11-21 to 2026-11-21):",
            "  calls as caller or callee       1",
            "  calls with a mention            1",
            "  legs of these calls             2",
            "  SMS                             1",
            "  events without a call           1",
            "  deliveries in quarantine        4",
            f"Removed {len(THEIRS)} items. docs/personal-data.md lists where else data is stored, and for how long.",
        ]
        assert "555" not in forgotten.output
        assert world.keys() == keys_of(NOT_THEIRS)
        assert done(forget(NUMBER, "--yes")) == f"No matches in {len(NOT_THEIRS)} items.\n"

    def test_shows_answers_and_tool_results_and_redacts_them(self, forget: Callable[..., Result], world: World) -> None:
        world.put(received_long_ago([*NOT_THEIRS, *ANSWERS]))
        for number, result in enumerate((NUMBER, {"rings": ["+1 (415) 555-0123", OTHER]}, OTHER)):
            record = {
                "id": {"S": f"tool#{number}"},
                "status": {"S": "COMPLETED"},
                "expiration": {"N": "1795242600"},
                "data": {"S": json.dumps([{"value": result, "is_error": False}])},
            }
            world.aws.dynamodb.put_item(TableName=TOOL_CALLS_TABLE, Item=record)
        in_progress = {"id": {"S": "tool#3"}, "status": {"S": "INPROGRESS"}}
        world.aws.dynamodb.put_item(TableName=TOOL_CALLS_TABLE, Item=in_progress)
        forgotten = forget(NUMBER, "--yes")
        assert done(forgotten).splitlines() == [
            f"Matches in {len(NOT_THEIRS) + len(ANSWERS)} items (jambonz, wavix, 2020-11-21 to 2026-11-21):",
            "  responses in other calls        4",
            "  tool results                    2",
            "Responses and tool results are not removed; *** replaces the number in them.",
            (
                "Removed 0 items and redacted the number in 6 responses. "
                "docs/personal-data.md lists where else data is stored, and for how long."
            ),
        ]
        assert "555" not in forgotten.output
        records = world.aws.dynamodb.scan(TableName=TOOL_CALLS_TABLE)["Items"]
        assert len(records) == 4
        assert {
            record["id"]["S"]: json.loads(record["data"]["S"])[0]["value"] for record in records if "data" in record
        } == {"tool#0": "***", "tool#1": {"rings": ["***", OTHER]}, "tool#2": OTHER}
        assert items_with(DIGITS, world.aws.items()) == LONGER
        assert forget(NUMBER, "--yes").stdout.startswith("No matches in ")

    def test_redacts_tool_results_if_nothing_else_matches(self, forget: Callable[..., Result], world: World) -> None:
        record = {"id": {"S": "tool#1"}, "data": {"S": f'[{{"value": {NUMBER[1:]}}}]'}}
        world.aws.dynamodb.put_item(TableName=TOOL_CALLS_TABLE, Item=record)
        assert forget(NUMBER, "--yes").stdout.startswith("Matches in 0 items:\n  tool results                    1\n")
        (left,) = world.aws.dynamodb.scan(TableName=TOOL_CALLS_TABLE)["Items"]
        assert left == {**record, "data": {"S": '[{"value": "***"}]'}}

    def test_warns_of_events_in_the_spill_queues(self, forget: Callable[..., Result]) -> None:
        sqs = boto3.client("sqs")
        for name in ("queue", "dead_letter_queue"):
            sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], MessageBody="packed")
        forgotten = forget(NUMBER, "--yes")
        assert forgotten.exit_code == 0
        assert "2 events in the spill queues cannot be searched and may match." in forgotten.stderr

    def test_shows_the_number_on_a_terminal_only_and_how_a_short_one_is_compared(
        self, forget: Callable[..., Result], world: World
    ) -> None:
        world.put(received_long_ago(call("theirs", from_="200")))
        forgotten = forget("200", "--yes")
        assert "is only compared with from and to. Other text is not searched." in forgotten.stdout
        assert world.keys() == set()
        for given in ("0014155550123", "+1 (0) 415 555-0123"):
            assert "Searching for 14155550123.\n" in forget(given, "--yes", FORCE_COLOR="1").stdout
            assert "Searching" not in forget(given, "--yes").output, "not a terminal"

    def test_needs_confirmation_and_reads_the_number_from_standard_input(
        self, forget: Callable[..., Result], world: World
    ) -> None:
        world.put(received_long_ago([*THEIRS, *NOT_THEIRS]))
        message = failed(forget(NUMBER))
        assert message == "Permanently remove all of this? Not a terminal. Re-run with --yes.\n"
        assert world.keys() == keys_of([*THEIRS, *NOT_THEIRS])
        assert forget("-", "--yes", stdin=f"{NUMBER}\n").exit_code == 0
        assert world.keys() == keys_of(NOT_THEIRS)
        assert forget("-", "--yes").stderr == "Give a number with its country code, or a SIP user.\n"

    def test_says_how_to_continue_after_an_aws_error(self, forget: Callable[..., Result], world: World) -> None:
        world.aws.dynamodb.delete_table(TableName=TABLE)
        message = failed(forget(NUMBER, "--yes"))
        assert "ResourceNotFoundException" in message
        assert message.endswith("Run the command again to remove the rest.\n")
