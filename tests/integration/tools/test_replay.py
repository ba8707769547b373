"""`callhooks replay` on the table of the template, with a bus and a subscriber."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from callhooks.calls.repository import CallStore
from callhooks.events.call_event import CallEvent, Kind
from callhooks.events.event_item import event_key
from callhooks_tools.cli import app
from callhooks_tools.commands import replay as replay_command
from callhooks_tools.recovery.stored_events import Selection
from typer.testing import CliRunner, Result

from tests.calls import START, fold, make_event
from tests.commands import done, failed, misused
from tests.integration.conftest import CALL_BUS, TABLE, Aws, received, subscribe_to_all_events
from tests.projection import bus_schema, stored_item
from tests.stacks import stack_outputs
from tests.support import LONG_TEXT, NOW

NUMBER = "14155550123"
CALL = [
    make_event(Kind.INITIATED, 0, from_=f"+{NUMBER}", to="+12125550187", key="a"),
    make_event(Kind.ANSWERED, 5, from_="jane", to=f"+{NUMBER}", key="b"),
    make_event(Kind.COMPLETED, 9, key="c"),
]
BILL = replace(make_event(Kind.BILLED, 60, provider="wavix", from_="+1 (415) 555-0123", key="d"), call_id="another")
SMS = replace(make_event(Kind.SMS_RECEIVED, 3600, provider="voipstudio", key="e"), call_id=None, sms_id="77")
CLIENT = replace(make_event(Kind.CLIENT_REFUSED, 86400, from_="jane@sip.example.com", key="f"), call_id=None)
EVENTS = [*CALL, BILL, SMS, CLIENT]


@dataclass
class Stack:
    """The simulated account as a stack, with `callhooks replay` and a subscriber of all events.

    `interruptions` is the number of requests to the bus before Ctrl-C.
    """

    aws: Aws
    subscriber: str
    session: boto3.session.Session
    interruptions: list[int] = field(default_factory=list)

    def store(self, events: Iterable[CallEvent]) -> None:
        for event in events:
            self.aws.dynamodb.put_item(TableName=TABLE, Item=stored_item(event))

    def replay(self, *arguments: str) -> Result:
        return CliRunner().invoke(app, ["replay", "--rate", "1000", *arguments], env={"COLUMNS": "200"})

    def published(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in received(self.subscriber)]

    def ids(self) -> list[str]:
        return [event["detail"]["id"] for event in self.published()]

    def interrupt(self, **_: object) -> None:
        if self.interruptions:
            self.interruptions[0] -= 1
            if self.interruptions[0] < 0:
                self.interruptions.clear()
                raise KeyboardInterrupt


def id_of(event: CallEvent) -> str:
    pk, sk = event_key(event)
    return f"{pk}/{sk.removeprefix('event#')}"


@pytest.fixture
def stack(aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Stack:
    outputs = stack_outputs(events_table=TABLE, call_bus=CALL_BUS)
    stack = Stack(aws, subscribe_to_all_events(), boto3.session.Session())
    stack.session.events.register("before-call.events.PutEvents", stack.interrupt)
    monkeypatch.setattr(replay_command, "stack_in_aws", lambda _name: (stack.session, outputs))
    monkeypatch.setattr(replay_command, "STACK_FILE", tmp_path / "stack.json")
    return stack


SELECTIONS: dict[str, tuple[Selection, Sequence[CallEvent]]] = {
    "all": (Selection(), EVENTS),
    "since": (Selection(since=START + timedelta(seconds=5)), EVENTS[1:]),
    "until": (Selection(until=START + timedelta(seconds=5)), EVENTS[:1]),
    "between": (Selection(START + timedelta(seconds=5), START + timedelta(seconds=60, milliseconds=1)), EVENTS[1:4]),
    "before all came in": (Selection(until=NOW, by_arrival=True), []),
    "last to come in": (Selection(since=NOW, by_arrival=True), EVENTS),
    "provider": (Selection(provider="wavix"), [BILL]),
    "kinds": (Selection(kinds=[Kind.SMS_RECEIVED, Kind.COMPLETED]), [CALL[2], SMS]),
    "number": (Selection(number=NUMBER), [*CALL[:2], BILL]),
    "SIP user": (Selection(number="jane"), [CALL[1], CLIENT]),
    "all of these": (Selection(provider="jambonz", kinds=[Kind.ANSWERED], number=NUMBER), [CALL[1]]),
    "none": (Selection(provider="bird"), []),
}


class TestASelection:
    def test_finds_the_chosen_events_and_no_calls(self, stack: Stack) -> None:
        stack.store(EVENTS)
        CallStore(stack.aws.dynamodb, TABLE).write_if_newer("jambonz#one-call", fold(CALL), expires_at=None)
        for name, (selection, chosen) in SELECTIONS.items():
            pages = list(selection.pages(stack.aws.dynamodb, TABLE))
            found = sorted(item["sk"]["S"] for page in pages for item in page.items)
            assert (name, found) == (name, sorted(event_key(event)[1] for event in chosen))
            assert sum(page.scanned for page in pages) == len(EVENTS) + 1

    def test_finds_each_event_once_in_a_table_of_many_pages(self, stack: Stack) -> None:
        large = [replace(make_event(Kind.MEDIA, details={"text": LONG_TEXT}), call_id=f"call-{n}") for n in range(150)]
        stack.store(large)
        pages = list(Selection().pages(stack.aws.dynamodb, TABLE))
        assert sorted(item["pk"]["S"] for page in pages for item in page.items) == sorted(
            f"jambonz#call-{n}" for n in range(150)
        )
        assert len(pages) > 4


class TestTheBus:
    def test_gets_each_event_in_order_as_the_projector_publishes_it(self, stack: Stack) -> None:
        stack.store(EVENTS)
        output = done(stack.replay())
        published = stack.published()
        assert [event["detail"]["id"] for event in published] == [id_of(event) for event in EVENTS]
        for event in published:
            bus_schema().validate(event["detail"])
        assert published[0]["detail"]["call"] == fold(CALL).model_dump(mode="json", by_alias=True)
        assert output.endswith(f"Replayed 6 events to the bus {CALL_BUS}.\n")

    def test_gets_nothing_in_a_dry_run_which_shows_the_events(self, stack: Stack, tmp_path: Path) -> None:
        stack.store(EVENTS)
        shown = stack.replay("--provider", "jambonz", "--dry-run")
        assert (shown.exit_code, stack.ids()) == (0, [])
        first, *kinds = shown.stdout.splitlines()
        span = "2026-11-21T06:30:00.000Z to 2026-11-22T06:30:00.000Z"
        assert first == f"4 events from {span}, 0:00:00 at 1000 per second, to the bus {CALL_BUS}:"
        assert kinds == [
            "  jambonz     call.answered              1",
            "  jambonz     call.completed             1",
            "  jambonz     call.initiated             1",
            "  jambonz     client.refused             1",
        ]
        assert not list((tmp_path / "replay").iterdir())

    def test_gets_the_events_that_the_options_choose(self, stack: Stack) -> None:
        stack.store(EVENTS)
        chosen = ("--from", "2026-11-21T06:30:05Z", "--to", "2026-11-21", "--number", "+1 415 555-0123")
        assert stack.replay(*chosen, "--kind", "call.answered", "--kind", "call.billed").exit_code == 0
        assert stack.ids() == [id_of(CALL[1]), id_of(BILL)]


class TestAnInterruptedReplay:
    def test_continues_after_ctrl_c_at_the_same_event(self, stack: Stack) -> None:
        stack.store(EVENTS)
        stack.interruptions.append(1)
        stopped = stack.replay("--rate", "4")
        assert stopped.exit_code == 130
        assert stopped.stderr == "Stopped after 4 of 6 events: interrupted. To continue: callhooks replay --resume\n"
        assert stack.ids() == [id_of(event) for event in EVENTS[:4]]
        resumed = stack.replay("--resume")
        assert (resumed.exit_code, resumed.stdout) == (0, f"Replayed 2 events to the bus {CALL_BUS}.\n")
        assert stack.ids() == [id_of(event) for event in EVENTS[4:]]

    def test_shows_the_command_with_its_stack_and_account(self, stack: Stack) -> None:
        stack.store(EVENTS)
        stack.interruptions.append(0)
        options = ("--stack", "production", "--profile", "ops", "--region", "eu-central-1")
        stopped = stack.replay(*options)
        assert f"To continue: callhooks replay --resume {' '.join(options)}\n" in stopped.stderr

    def test_is_not_discarded_without_confirmation(self, stack: Stack) -> None:
        stack.store(EVENTS)
        stack.interruptions.append(0)
        stack.replay()
        message = failed(stack.replay("--provider", "wavix"))
        assert "An interrupted replay has 6 events left (callhooks replay --resume). Discard it?" in message
        assert stack.replay("--dry-run").exit_code == 0
        assert stack.replay("--provider", "wavix", "--yes").exit_code == 0
        assert stack.ids() == [id_of(BILL)]
        assert stack.replay("--resume").stderr == "This stack has no replay to resume.\n"

    def test_stops_if_the_bus_is_gone(self, stack: Stack) -> None:
        stack.store(CALL)
        stack.session.events.register("before-call.events.PutEvents", refuse)
        assert failed(stack.replay()) == (
            "Stopped after 0 of 3 events: the bus rejects events: EndpointConnectionError. "
            "To continue: callhooks replay --resume\n"
        )
        stack.session.events.unregister("before-call.events.PutEvents", refuse)
        assert stack.replay("--resume").exit_code == 0
        assert stack.ids() == [id_of(event) for event in CALL]

    def test_stops_soon_if_the_bus_hangs(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        clients: list[Any] = []
        stack.store(CALL)
        create = stack.session.client

        def recorded(name: str, **options: Any) -> Any:
            client: Any = create(name, **options)  # type: ignore[call-overload]
            clients.append(client)
            return client

        monkeypatch.setattr(stack.session, "client", recorded)
        assert stack.replay().exit_code == 0
        (config,) = (client.meta.config for client in clients if client.meta.service_model.service_name == "events")
        assert (config.connect_timeout, config.read_timeout) == (1, 3)
        assert config.retries["total_max_attempts"] == 1


def refuse(**_: object) -> None:
    raise EndpointConnectionError(endpoint_url="")


def test_an_event_that_cannot_be_read_is_reported_and_skipped(stack: Stack) -> None:
    stack.store(EVENTS)
    stack.aws.dynamodb.put_item(TableName=TABLE, Item={**stored_item(SMS), "kind": {"S": "sms.unheard_of"}})
    replayed = stack.replay()
    problem = "voipstudio/sms#77: an item is not a valid event (ValueError: 'sms.unheard_of' is not a valid Kind)"
    assert problem in failed(replayed)
    assert replayed.stdout.endswith("Replayed 5 events to the bus calls, 1 unreadable.\n")
    assert len(stack.ids()) == 5


INVALID: list[tuple[list[str], str]] = [
    (["--from", "tomorrow"], "tomorrow is not a valid time. Use 2026-11-21"),
    (["--from", "2026-11-22", "--to", "2026-11-21"], "--to 2026-11-21 is not after --from 2026-11-22."),
    (["--from", "1h", "--to", "1h"], "--to 1h is not after --from 1h."),
    (["--kind", "answered"], "Unknown kind answered. Did you mean call.answered"),
    (["--kind", "call.compleated"], "Did you mean call.completed"),
    (["--kind", "xyz"], "Unknown kind xyz. Allowed: call.initiated, call.ringing"),
    (["--number", " "], "Invalid --number. Use a number with its country code, or a SIP user."),
    (["--url", "ftp://jane:s3cr3t@example.com"], "an address that starts with https:// or http://"),
    (["--url", "https://"], "an address that starts with https:// or http://"),
    (["--url", "https://jane:s3cr3t@example.com:port/"], "Use an address such as https://crm.example.com"),
    (["--url", "http://crm.example.com/calls?key=s3cr3t"], "--url allows http:// only on this machine."),
    (["--url", "http://127.0.0.1.example.com/"], "--url allows http:// only on this machine."),
    (["--url", "http://10.0.0.1/"], "--url allows http:// only on this machine."),
    (["--url", "http://[2001:db8::1]/"], "--url allows http:// only on this machine."),
    (["--resume", "--provider", "bird"], "--resume continues an interrupted replay and can only be combined with"),
]
NOTHING_TO_REPLAY: list[tuple[list[str], str]] = [
    (["--provider", "bird"], "No stored events match these options."),
    (["--resume"], "This stack has no replay to resume."),
]


def test_invalid_options_are_rejected_with_the_reason(stack: Stack) -> None:
    stack.store(EVENTS)
    for arguments, message in INVALID:
        refused = stack.replay(*arguments)
        assert message in misused(refused)
        assert "s3cr3t" not in refused.output
    for arguments, message in NOTHING_TO_REPLAY:
        assert message in failed(stack.replay(*arguments))
    assert stack.ids() == []


def test_more_than_a_thousand_events_need_confirmation(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay_command, "CONFIRM_ABOVE", 5)
    stack.store(EVENTS)
    refused = stack.replay()
    assert (refused.exit_code, stack.ids()) == (1, [])
    assert refused.stderr == "Publish these events? Not a terminal. Re-run with --yes.\n"
    assert stack.replay("--yes").exit_code == 0
    assert len(stack.ids()) == 6
