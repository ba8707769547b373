"""`callhooks forget` on a table as the template describes it, and the projector beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from typing import Any

import boto3
import pytest
from callhooks.call import fold
from callhooks.call_store import CallStore, call_item
from callhooks.event import CallEvent, Kind, NotUnderstood
from callhooks.http import Request, Response
from callhooks.items import Item, event_key, quarantine_item
from callhooks_tools import forget_command
from callhooks_tools.cli import app
from callhooks_tools.forget import PROJECTION_SECONDS, Person, Removal, StillComing, find
from callhooks_tools.rebuild_command import partitions_of_calls
from callhooks_tools.stack import StackOutputs
from callhooks_tools.stored_events import scan
from typer.testing import CliRunner, Result

from tests.calls import told
from tests.integration.conftest import CALL_BUS, TABLE, Aws, loaded_handler
from tests.projection import Invocation, kept, key_message, queue_batch, stream_batch
from tests.support import NOW

NUMBER = "+14155550123"
OTHER = "+12125550187"
LATER = NOW + timedelta(days=2)


class Killed(BaseException):
    """The process ends here."""


def call(call_id: str, *, from_: str = OTHER, parent: str | None = None) -> list[Item]:
    """A call's items. Of its events only one names a party, and its own item does as well."""
    events = [
        replace(told(Kind.RINGING, key="ringing"), call_id=call_id),
        replace(told(Kind.INITIATED, key="initiated", from_=from_, to=OTHER), call_id=call_id),
        replace(
            told(Kind.COMPLETED, 9, {"parent_call_sid": parent} if parent else {}, key="completed"), call_id=call_id
        ),
    ]
    return [*map(kept, events), call_item(event_key(events[0])[0], fold(events), expires_at=None)]


def alone(key: str, *, from_: str) -> Item:
    return kept(replace(told(Kind.CLIENT_REFUSED, from_=from_, key=key), call_id=None))


def sms(sms_id: str, *, from_: str) -> Item:
    event = told(Kind.SMS_RECEIVED, provider="voipstudio", from_=from_, key=sms_id)
    return kept(replace(event, call_id=None, sms_id=sms_id))


def quarantined(body: bytes) -> Item:
    delivery = NotUnderstood("wavix", "no call", NOW)
    return quarantine_item(delivery, Request("POST", "/", body=body), Response(202, ""), retention_days=90)


THEIRS = [
    *call("theirs", from_="+1 (415) 555-0123"),
    *call("leg", parent="theirs"),
    *call("leg-of-leg", parent="leg")[:-1],
    sms("1", from_="14155550123"),
    alone("theirs", from_=f"{NUMBER}@sip.example.com"),
    quarantined(b'{"from": "\\u002b14155550123"}'),
    quarantined(b"to=%2B1-415-555-0123"),
    kept(replace(told(Kind.MEDIA, details={"text": "It is 1 415 555 0123."}), call_id="mentions")),
]
NOT_THEIRS = [
    *call("other"),
    *call("other-leg", parent="other"),
    sms("2", from_=OTHER),
    alone("another", from_="jane@sip.example.com"),
    quarantined(b'{"from": "+141555501234"}'),
]


@dataclass
class World:
    """The table, and what removes from it; `sleeps` are done in turn when it waits."""

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
            removal.remove_what_came_back()
        return removal


@pytest.fixture
def world(aws: Aws) -> World:
    return World(aws)


def keys_of(items: Iterable[Item]) -> set[tuple[str, str]]:
    return {(item["pk"]["S"], item["sk"]["S"]) for item in items}


class TestForgetting:
    def test_removes_what_is_theirs_and_nothing_else(self, world: World) -> None:
        world.put([*THEIRS, *NOT_THEIRS])
        assert world.forget().items == len(THEIRS)
        assert world.keys() == keys_of(NOT_THEIRS)

    def test_again_removes_nothing(self, world: World) -> None:
        world.put([*THEIRS, *NOT_THEIRS])
        world.forget()
        assert world.forget().items == 0
        assert world.keys() == keys_of(NOT_THEIRS)

    def test_takes_calls_out_of_the_indexes(self, world: World) -> None:
        world.put(THEIRS)
        world.forget()
        for index in ("by_day", "by_from", "by_to", "by_conversation"):
            assert world.aws.dynamodb.scan(TableName=TABLE, IndexName=index)["Items"] == []
        assert list(partitions_of_calls(world.aws.dynamodb, TABLE)) == []

    def test_removes_the_item_of_a_call_that_lost_its_events(self, world: World) -> None:
        world.put(call("theirs", from_=NUMBER)[-1:])
        world.forget()
        assert world.keys() == set()

    def test_of_a_short_number_touches_only_those_who_have_it(self, world: World) -> None:
        told_of = kept(replace(told(Kind.MEDIA, details={"digits": "200", "text": "200"}), call_id="digits"))
        world.put([*call("theirs", from_="200"), told_of, quarantined(b'{"from": "200"}')])
        world.forget(number="200")
        left = world.keys()
        assert {pk for pk, _ in left} == {"jambonz#digits", "quarantine#wavix#2026-11-21"}

    def test_of_a_call_whose_events_never_end_gives_up(self, world: World) -> None:
        world.put(call("theirs", from_=NUMBER))

        class Busy:
            """DynamoDB, where an event comes in after each that is removed."""

            get_paginator = world.aws.dynamodb.get_paginator
            removed = 0

            def delete_item(self, **request: Any) -> None:
                self.removed += 1
                world.aws.dynamodb.delete_item(**request)
                world.put([kept(replace(told(Kind.DTMF, key=f"late-{self.removed}"), call_id="theirs"))])

        busy = Busy()
        with pytest.raises(StillComing):
            world.forget(busy)
        assert busy.removed < 100


class Mortal:
    """DynamoDB, which is gone after so many removals."""

    def __init__(self, aws: Aws, removals: int) -> None:
        self._client = aws.dynamodb
        self._left = iter(range(removals))
        self.get_paginator = self._client.get_paginator

    def delete_item(self, **request: Any) -> None:
        if next(self._left, None) is None:
            raise Killed
        self._client.delete_item(**request)


@pytest.mark.parametrize("removals", range(0, len(THEIRS), 3))
def test_wherever_it_is_killed_the_next_run_ends_right(removals: int, world: World) -> None:
    world.put([*THEIRS, *NOT_THEIRS])
    with pytest.raises(Killed):
        world.forget(Mortal(world.aws, removals))
    left = world.keys() - keys_of(NOT_THEIRS)
    assert len(left) == len(THEIRS) - removals
    world.forget()
    assert world.keys() == keys_of(NOT_THEIRS)


class TestTheProjector:
    """It may have read a call before it was forgotten, be told of it later, or try it again."""

    @pytest.fixture
    def projector(self, world: World) -> Callable[[Any], Any]:
        sqs, events = boto3.client("sqs"), boto3.client("events")
        for name in ("retries", "subscriber"):
            sqs.create_queue(QueueName=name)
        events.create_event_bus(Name=CALL_BUS)
        events.put_rule(Name="everything", EventBusName=CALL_BUS, EventPattern='{"source": [{"prefix": "callhooks."}]}')
        queue = "arn:aws:sqs:us-east-1:123456789012:subscriber"
        events.put_targets(Rule="everything", EventBusName=CALL_BUS, Targets=[{"Id": "queue", "Arn": queue}])
        handler = loaded_handler("call_projector")
        return lambda batch: handler(batch, Invocation())

    def waiting(self, queue: str) -> int:
        sqs = boto3.client("sqs")
        return len(sqs.receive_message(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"]).get("Messages", []))

    @pytest.mark.parametrize("batch_of", [stream_batch, lambda items: queue_batch(map(key_message, items))])
    def test_that_is_told_of_the_events_later_brings_nothing_back(
        self, batch_of: Callable[[list[Item]], Any], world: World, projector: Callable[[Any], Any]
    ) -> None:
        items = call("theirs", from_=NUMBER)
        world.put(items)
        world.forget()
        assert projector(batch_of(items[:3])) == {"batchItemFailures": []}
        assert world.keys() == set()
        assert (self.waiting("subscriber"), self.waiting("retries")) == (0, 0)

    def test_that_had_read_the_call_before_brings_it_back_for_a_minute_at_most(self, world: World) -> None:
        items = call("theirs", from_=NUMBER)
        world.put(items[:3])
        calls = CallStore(world.aws.dynamodb, TABLE)
        read = calls.events_of("jambonz#theirs")
        world.now = NOW
        world.sleeps.append(lambda: write_back(world, calls, read.events))
        removal = world.forget()
        assert world.slept == [PROJECTION_SECONDS]
        assert (world.keys(), removal.items) == (set(), 4)

    def test_is_not_waited_for_where_the_events_are_days_old(self, world: World) -> None:
        world.put(call("theirs", from_=NUMBER))
        world.forget()
        assert world.slept == []

    def test_that_writes_the_call_while_its_events_are_removed_does_not_keep_it(self, world: World) -> None:
        items = call("theirs", from_=NUMBER)
        world.put(items)
        calls = CallStore(world.aws.dynamodb, TABLE)

        class Racing:
            """DynamoDB, where the projector writes a call of what is left after each removal."""

            get_paginator = world.aws.dynamodb.get_paginator

            def delete_item(self, **request: Any) -> None:
                read = calls.events_of("jambonz#theirs")
                world.aws.dynamodb.delete_item(**request)
                if read.events:
                    calls.keep("jambonz#theirs", fold(read.events), expires_at=None)

        world.forget(Racing())
        assert world.keys() == set()


def write_back(world: World, calls: CallStore, events: tuple[CallEvent, ...]) -> None:
    """What a slow projector does at last; by then nothing is left."""
    assert world.keys() == set()
    assert calls.keep("jambonz#theirs", fold(events), expires_at=None)


def of_old(items: Iterable[Item]) -> list[Item]:
    """The items as they were received long ago by the command's own clock, which no test sets."""
    return [{**item, "received_at": {"S": "2020-11-21T06:30:00.000Z"}} for item in items]


class TestTheCommand:
    @pytest.fixture
    def forget(self, world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
        sqs = boto3.client("sqs")
        urls = {
            f"spill_{name}": sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("queue", "dead_letter_queue")
        }
        outputs = StackOutputs(
            **dict.fromkeys((member.name for member in fields(StackOutputs)), "") | {"events_table": TABLE, **urls}
        )
        monkeypatch.setattr(forget_command, "stack_in_aws", lambda _name: (boto3.session.Session(), outputs))
        return lambda *arguments, stdin="", **environment: CliRunner().invoke(
            app, ["forget", *arguments], env={"COLUMNS": "200", **environment}, input=stdin
        )

    def test_shows_what_it_has_found_and_removes_it(self, forget: Callable[..., Result], world: World) -> None:
        world.put(of_old([*THEIRS, *NOT_THEIRS]))
        forgotten = forget(NUMBER, "--yes")
        assert forgotten.exit_code == 0, forgotten.output
        assert forgotten.stdout.splitlines() == [
            f"Of jambonz, voipstudio, wavix, from 2020-11-21 to 2026-11-21, in {len(THEIRS) + len(NOT_THEIRS)} items:",
            "  calls from or to it             1",
            "  calls that mention it           1",
            "  legs of these calls             2",
            "  SMS                             1",
            "  events without a call           1",
            "  deliveries in quarantine        2",
            f"Removed {len(THEIRS)} items. docs/personal-data.md says what lies elsewhere, and for how long.",
        ]
        assert "555" not in forgotten.output
        assert world.keys() == keys_of(NOT_THEIRS)
        again = forget(NUMBER, "--yes")
        assert (again.exit_code, again.stdout) == (0, f"Nothing is stored of it, in {len(NOT_THEIRS)} items.\n")

    def test_removes_nothing_unasked(self, forget: Callable[..., Result], world: World) -> None:
        world.put(of_old([*THEIRS, *NOT_THEIRS]))
        refused = forget(NUMBER)
        assert refused.exit_code == 1
        assert refused.stderr == "Remove all of this for good? Nobody can be asked here: --yes does it.\n"
        assert world.keys() == keys_of([*THEIRS, *NOT_THEIRS])

    def test_tells_of_events_that_wait_elsewhere(self, forget: Callable[..., Result]) -> None:
        sqs = boto3.client("sqs")
        for name in ("queue", "dead_letter_queue"):
            sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName=name)["QueueUrl"], MessageBody="packed")
        told_of = forget(NUMBER, "--yes")
        assert told_of.exit_code == 0
        assert "2 events are in the spill queues, not to be looked into, and may be of it" in told_of.stderr

    def test_says_what_a_short_number_is_compared_with(self, forget: Callable[..., Result], world: World) -> None:
        world.put(of_old(call("theirs", from_="200")))
        forgotten = forget("200", "--yes")
        assert "compared with from and to, and not looked for in texts" in forgotten.stdout
        assert world.keys() == set()

    def test_shows_on_a_terminal_alone_what_it_looks_for(self, forget: Callable[..., Result]) -> None:
        for given in ("0014155550123", "+1 (0) 415 555-0123"):
            assert "Looking for 14155550123.\n" in forget(given, "--yes", FORCE_COLOR="1").stdout
            assert "Looking" not in forget(given, "--yes").output

    def test_reads_the_number_from_standard_input(self, forget: Callable[..., Result], world: World) -> None:
        world.put(of_old([*THEIRS, *NOT_THEIRS]))
        assert forget("-", "--yes", stdin=f"{NUMBER}\n").exit_code == 0
        assert world.keys() == keys_of(NOT_THEIRS)
        assert forget("-", "--yes").stderr == "A number with its country code is wanted, or a SIP user.\n"

    def test_wants_somebody(self, forget: Callable[..., Result]) -> None:
        refused = forget(" ", "--yes")
        assert (refused.exit_code, refused.stderr) == (1, "A number with its country code is wanted, or a SIP user.\n")

    def test_says_how_to_go_on_where_aws_refuses(self, forget: Callable[..., Result], world: World) -> None:
        world.aws.dynamodb.delete_table(TableName=TABLE)
        refused = forget(NUMBER, "--yes")
        assert refused.exit_code == 1
        assert "ResourceNotFoundException" in refused.stderr
        assert refused.stderr.endswith("Run it again: it finds what is left.\n")
