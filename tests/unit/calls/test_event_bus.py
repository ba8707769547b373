"""Details on the event bus, retries of refused entries, and the subscriptions of the documentation."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from callhooks.calls.call import Call
from callhooks.calls.event_bus import (
    MAX_DETAIL_BYTES,
    MAX_ENTRIES,
    MAX_REQUEST_BYTES,
    PAUSES,
    BusEntry,
    EventBus,
    bus_entry,
    detail_of,
)
from callhooks.events.call_event import CallEvent, Detail, Kind
from callhooks_tools.stack.template import read_template
from hypothesis import given
from hypothesis import strategies as st
from moto.events.models import EventPattern

from tests.calls import START, fold, make_event
from tests.projection import bus_schema, bus_section
from tests.properties import examples
from tests.support import NOW, ROOT

PK, SK = "wavix#one-call", "event#key-1"
CHARGE = Decimal("0.0095")


def detail(event: CallEvent, call: Call | None = None) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(detail_of(event, call, pk=PK, sk=SK))
    return document


def entry(number: int = 0, *, text: str = "") -> BusEntry:
    event = make_event(Kind.MEDIA, details={"text": text}, key=f"key-{number}")
    return bus_entry(event, None, pk="jambonz#one-call", sk=f"event#key-{number}")


def entries(most: int) -> list[BusEntry]:
    return [entry(number) for number in range(most)]


def keys(*numbers: int) -> list[str]:
    return [f"key-{number}" for number in numbers]


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "of +14155550123"}}, "PutEvents")


@dataclass
class Bus:
    """A fake of EventBridge's PutEvents with answers set by the test; accepted entries are in `accepted`."""

    faults: list[Exception | None] = field(default_factory=list)
    refuses: dict[str, int] = field(default_factory=dict)
    requests: list[list[str]] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    poison: str = ""

    def put_events(self, *, Entries: Sequence[Any]) -> dict[str, Any]:  # noqa: N803
        ids = [json.loads(entry["Detail"])["id"].rpartition("/")[2] for entry in Entries]
        assert {entry["EventBusName"] for entry in Entries} == {"calls"}
        self.requests.append(ids)
        fault = self.faults.pop(0) if self.faults else None
        if self.poison in ids:
            fault = refusal("ValidationException")
        if fault is not None:
            raise fault
        results = [self._answer(key) for key in ids]
        return {"FailedEntryCount": sum("ErrorCode" in result for result in results), "Entries": results}

    def _answer(self, key: str) -> dict[str, str]:
        if self.refuses.get(key, 0):
            self.refuses[key] -= 1
            return {"ErrorCode": "ThrottlingException", "ErrorMessage": "of +14155550123"}
        self.accepted.append(key)
        return {"EventId": key}

    def publish(self, published: Sequence[BusEntry], *, times: int = 10_000) -> list[str]:
        """Publish until the time has been checked this often, and return the refused entries."""
        looks = iter(range(times))
        client: Any = self
        refused = EventBus(client, "calls", sleep=self.pauses.append).publish(
            published, has_time=lambda: next(looks, None) is not None
        )
        return [entry.sk.removeprefix("event#") for entry in refused]


class TestTheDetail:
    def test_contains_the_event_its_id_and_the_call(self) -> None:
        parties = {"direction": "inbound", "from": "+14155550123", "to": "+12125550187"}
        details: dict[str, Detail] = {"trunk": "main", "is_final": True}
        event = make_event(
            Kind.RINGING, 1.5, details, status="ringing", direction="inbound", from_="+14155550123", to="+12125550187",
            provider="wavix",
        )  # fmt: skip
        call = fold([event])
        assert detail(event, call) == {
            "id": "wavix#one-call/key-1",
            "event": {
                "provider": "wavix", "call_id": "one-call", "kind": "call.ringing", "name": "call.ringing",
                "status": "ringing", **parties, "occurred_at": "2026-11-21T06:30:01.500Z",
                "received_at": "2026-11-21T06:30:00.250Z", "details": details,
            },
            "call": call.model_dump(mode="json", by_alias=True),
        }  # fmt: skip

    def test_has_decimals_as_text_and_integers_as_numbers(self) -> None:
        details: dict[str, Detail] = {"charge": CHARGE, "duration_seconds": 42, "is_final": False}
        bill = make_event(Kind.BILLED, details=details)
        published = detail(bill, fold([bill]))
        assert published["event"]["details"] == {**details, "charge": "0.0095"}
        assert published["call"]["cost"] == "0.0095"

    @pytest.mark.parametrize("moment", [NOW, START - timedelta(days=400_000)])
    def test_is_addressed_by_provider_kind_and_time(self, moment: datetime) -> None:
        event = replace(make_event(Kind.SMS_RECEIVED, provider="wavix"), sent_at=moment)
        request = bus_entry(event, None, pk=PK, sk=SK).request
        assert (request["Source"], request["DetailType"]) == ("callhooks.wavix", "sms.received")
        assert (request["Time"], detail(event)["call"]) == (moment, None)


class TestADetailThatWouldBeTooLarge:
    def test_has_its_longest_texts_cut_and_is_marked(self) -> None:
        event = make_event(Kind.MEDIA, details={"text": "é" * 150_000, "digits": "1234"}, from_="+14155550123")
        cut = detail(event, fold([event]))
        assert cut["truncated"] is True
        assert cut["event"]["details"]["digits"] == "1234"
        assert cut["event"]["from"] == "+14155550123"
        text = cut["event"]["details"]["text"]
        assert text == "é" * len(text)
        assert 20_000 < len(text) < 150_000
        assert bus_schema().is_valid(cut)

    def test_is_unchanged_if_it_just_fits(self) -> None:
        event = make_event(Kind.MEDIA, details={"text": ""})
        room = MAX_DETAIL_BYTES - len(detail_of(event, None, pk=PK, sk=SK).encode())
        fits = replace(event, details={"text": "x" * room})
        assert len(detail_of(fits, None, pk=PK, sk=SK).encode()) == MAX_DETAIL_BYTES
        assert "truncated" not in detail(fits)
        assert detail(replace(event, details={"text": "x" * (room + 1)}))["truncated"] is True

    def test_drops_members_only_if_cutting_texts_is_not_enough(self) -> None:
        event = make_event(Kind.OTHER, details={f"customer_data.{number}": "x" * 50 for number in range(9000)})
        cut = detail(event, fold([event]))
        assert cut["truncated"] is True
        assert 1000 < len(cut["event"]["details"]) < 9000
        assert bus_schema().is_valid(cut)

    @given(
        text=st.sampled_from(["\x00", "\U0001f4de", "x", '"']),
        lengths=st.lists(st.integers(1, 200_000), min_size=1, max_size=6),
        members=st.integers(1, 3000),
        names=st.integers(1, 500),
    )
    @examples(40)
    def test_always_fits_into_a_request(self, text: str, lengths: list[int], members: int, names: int) -> None:
        details = {f"customer_data.{number:05}{text * names}": text * 1000 for number in range(members)}
        details |= {f"text{number}": text * length for number, length in enumerate(lengths)}
        event = make_event(Kind.OTHER, details=details, status=text * 100_000, from_=text * 100_000, to=text * 100_000)
        event = replace(event, name=text * 100_000, call_id=text * 100_000)
        published = bus_entry(event, fold([event]), pk=f"jambonz#{'x' * 200}", sk=f"event#{'x' * 200}")
        assert published.size <= MAX_REQUEST_BYTES
        assert json.loads(published.request["Detail"])["truncated"] is True
        assert bus_schema().is_valid(json.loads(published.request["Detail"]))


MUTANTS: dict[str, list[object]] = {
    "id": ["one-call", None],
    "truncated": [False],
    "body": ["raw"],
    "event": [None],
    "call": [{}],
    **{name: [None] for name in ("event.provider", "event.received_at", "event.name", "event.details")},
    "event.kind": [None, "call.unheard_of"],
    "event.occurred_at": [None, "2026-11-21T06:30:00Z", "2026-13-21T06:30:00.000Z"],
    "event.details.charge": [None, 0.0095],
    "event.answer": ["[]"],
    "call.status": ["unheard_of"],
    "call.started_at": [None],
    "call.cost": [0.0095, "a lot"],
    "call.event_count": [0],
    "call.body": ["raw"],
}
"""Members of a detail with invalid values."""


class TestTheSchema:
    def valid(self) -> dict[str, Any]:
        event = make_event(Kind.BILLED, details={"charge": CHARGE}, provider="wavix", status="answered")
        return detail(event, fold([event]))

    @pytest.mark.parametrize("path", MUTANTS)
    def test_rejects_a_wrong_value(self, path: str) -> None:
        *parents, name = path.split(".")
        for value in MUTANTS[path]:
            part = document = self.valid()
            bus_schema().validate(document)
            for parent in parents:
                part = part[parent]
            part[name] = value
            assert not bus_schema().is_valid(document), value

    def test_rejects_a_missing_member(self) -> None:
        for part in ((), ("event",), ("call",)):
            for name in self.valid()[part[0]] if part else self.valid():
                document = self.valid()
                del (document[part[0]] if part else document)[name]
                assert not bus_schema().is_valid(document), name


class TestPublishing:
    @pytest.mark.parametrize(
        ("published", "requests"),
        [
            ([], []),
            (entries(25), [MAX_ENTRIES, MAX_ENTRIES, 5]),
            ([entry(number, text="x" * 100_000) for number in range(5)], [2, 2, 1]),
        ],
        ids=["of nothing", "of so many entries", "of so many bytes"],
    )
    def test_uses_as_few_requests_as_possible(self, published: list[BusEntry], requests: list[int]) -> None:
        bus = Bus()
        assert bus.publish(published) == []
        assert ([len(request) for request in bus.requests], bus.pauses) == (requests, [])

    def test_counts_bytes_and_not_characters(self) -> None:
        short, long = entry(text="e" * 1000), entry(text="é" * 1000)
        assert long.size - short.size == 1000

    def test_retries_only_refused_entries_with_growing_pauses_and_then_gives_up(self) -> None:
        bus = Bus(refuses={"key-1": 1, "key-2": 100, "key-3": 2})
        assert bus.publish(entries(5)) == ["key-2"]
        assert bus.requests[1:] == [keys(1, 2, 3), keys(2, 3), *[keys(2)] * (len(PAUSES) - 2)]
        assert sorted(bus.accepted) == keys(0, 1, 3, 4)
        assert bus.pauses == sorted(PAUSES) == [*PAUSES]

    @pytest.mark.parametrize(("number", "times", "refused"), [(12, 0, range(12)), (25, 2, range(20, 25)), (3, 1, [1])])
    def test_stops_when_the_time_is_up(self, number: int, times: int, refused: Sequence[int]) -> None:
        bus = Bus(refuses={"key-1": 100} if number == 3 else {})
        assert bus.publish(entries(number), times=times) == keys(*refused)
        assert (len(bus.requests), bus.pauses) == (times, [])

    @pytest.mark.parametrize(
        ("bus", "refused", "sizes"),
        [
            (Bus(faults=[ReadTimeoutError(endpoint_url=""), ReadTimeoutError(endpoint_url="")]), [], None),
            (Bus(poison="key-4"), keys(4), None),
            (Bus(faults=[refusal("ThrottlingException")]), [], [10, 10]),
        ],
        ids=["hangs temporarily", "rejects one entry", "throttles"],
    )
    def test_survives_a_bus_that(self, bus: Bus, refused: list[str], sizes: list[int] | None) -> None:
        assert bus.publish(entries(10)) == refused
        assert sorted([*bus.accepted, *refused]) == keys(*range(10))
        assert sizes is None or [len(request) for request in bus.requests] == sizes

    def test_logs_error_codes_but_not_error_messages(self, log: io.StringIO) -> None:
        Bus(refuses={"key-1": 1, "key-2": 1}, faults=[refusal("ValidationException")]).publish(entries(3))
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        assert [line["entries_by_code"] for line in lines] == [
            {"ValidationException": 3}, {"ThrottlingException": 1}, {"ThrottlingException": 1},
        ]  # fmt: skip
        assert "4155550123" not in log.getvalue()


ENDS = {kind for kind in Kind if fold([make_event(kind)]).outcome} - {Kind.BILLED}
ENDED_CALL = (
    make_event(Kind.INITIATED, to="+14155550123"),
    make_event(Kind.RINGING, 1),
    make_event(Kind.NO_ANSWER, 30),
)


def chosen(pattern: str, events: Sequence[CallEvent], *, known: int | None = None) -> set[Kind]:
    """Return the kinds of the events that a rule forwards, each published after `known` events had arrived."""
    kinds = set()
    for event in events:
        call = fold(events[:known] if known else [event])
        request = bus_entry(event, call, pk=PK, sk=SK).request
        published: Any = {
            "source": request["Source"],
            "detail-type": request["DetailType"],
            "detail": json.loads(request["Detail"]),
        }
        if EventPattern.load(pattern).matches_event(published):
            kinds.add(event.kind)
    return kinds


PATTERNS: dict[str, str] = dict(re.findall(r"^\| ([^|`]+) \| `(\{.*\})` \|$", bus_section(), re.MULTILINE))
EACH_KIND = tuple(make_event(kind, provider="wavix") for kind in Kind)


class TestSubscribing:
    @pytest.mark.parametrize(
        ("heading", "kinds"), [("everything", set(Kind)), ("ended calls", ENDS), ("the cost of calls", {Kind.BILLED})]
    )
    def test_to_kinds_of_events(self, heading: str, kinds: set[Kind]) -> None:
        assert chosen(PATTERNS[heading], EACH_KIND) == kinds
        assert len(PATTERNS) == 7

    def test_to_ended_calls_without_their_legs(self) -> None:
        legs = [replace(event, details={"parent_call_sid": "parent"}) for event in EACH_KIND]
        assert chosen(PATTERNS["ended calls"], legs) == set()

    def test_to_jambonz_calls_that_were_never_bridged(self) -> None:
        pattern = PATTERNS["jambonz: calls that were never bridged"]
        rang = make_event(Kind.VERB, 5, {"dial_call_status": "busy"})
        accepted = make_event(Kind.VERB, 9, {"dial_call_status": "completed"})
        over = make_event(Kind.COMPLETED, 20)
        assert chosen(pattern, [rang, over], known=2) == {Kind.COMPLETED}
        assert chosen(pattern, [rang, accepted, over], known=3) == set()

    def test_to_ended_calls_that_reached_nobody(self) -> None:
        pattern = PATTERNS["ended calls that reached nobody"]
        answered, over = make_event(Kind.ANSWERED, 5), make_event(Kind.COMPLETED, 20)
        message = make_event(Kind.VERB, 9, {"flow": "mailbox", "counts_as": "voicemail"})
        assert chosen(pattern, [answered, message], known=2) == set()
        assert chosen(pattern, [answered, message, over], known=3) == {Kind.ANSWERED, Kind.VERB, Kind.COMPLETED}
        assert chosen(pattern, [answered, over], known=2) == set()
        assert chosen(pattern, ENDED_CALL, known=3) == {event.kind for event in ENDED_CALL}

    def test_to_unanswered_calls(self) -> None:
        pattern = PATTERNS["unanswered calls"]
        assert chosen(pattern, ENDED_CALL, known=2) == set()
        assert chosen(pattern, ENDED_CALL, known=3) == {event.kind for event in ENDED_CALL}
        assert chosen(pattern, [*ENDED_CALL, make_event(Kind.ANSWERED, 40)], known=4) == set()

    def test_to_a_number(self) -> None:
        pattern = PATTERNS["calls to a number, as the provider writes it"]
        assert chosen(pattern, ENDED_CALL, known=3) == {event.kind for event in ENDED_CALL}
        assert chosen(pattern, [replace(event, to="+12125550187") for event in ENDED_CALL], known=3) == set()

    def test_over_http_forwards_ended_calls(self) -> None:
        document = read_template(ROOT / "docs" / "examples" / "forward-to-http.yaml")
        rule = document["Resources"]["EndedCalls"]["Properties"]
        assert chosen(json.dumps(rule["EventPattern"]), EACH_KIND) == ENDS
        assert document["Parameters"]["ApiKey"]["NoEcho"] is True
