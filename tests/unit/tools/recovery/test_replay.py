"""Replay of stored events: in order, at a steady rate, and without a gap after any failure."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError
from callhooks.calls.event_bus import BusEntry, bus_entry
from callhooks.calls.repository import CallStore
from callhooks.events.call_event import CallEvent, Kind, utc_text
from callhooks.events.event_item import event_key
from callhooks_tools.recovery import replay as replay_module
from callhooks_tools.recovery.replay import (
    POST_PAUSES,
    BusDestination,
    EntriesRejected,
    Pacer,
    Replay,
    ReplayOutcome,
    UrlDestination,
    envelope_of,
)
from callhooks_tools.recovery.replay_state import Order, ReplayPosition, ReplayState, StateUnusable
from hypothesis import given
from hypothesis import strategies as st

from tests.call_table import FakeTable
from tests.calls import fold, make_event
from tests.projection import bus_schema, stored_item
from tests.properties import examples

ONE_CALL = [
    make_event(Kind.INITIATED, 0, key="a"),
    make_event(Kind.ANSWERED, 2, key="b"),
    make_event(Kind.COMPLETED, 4, key="c"),
]
ANOTHER = [
    replace(event, call_id="another") for event in (make_event(Kind.INITIATED, 1), make_event(Kind.BUSY, 2, key="b"))
]
SMS = replace(make_event(Kind.SMS_RECEIVED, 3, provider="voipstudio"), call_id=None, sms_id="77")
CLIENT = replace(make_event(Kind.CLIENT_REFUSED, 0.5), call_id=None)
EVENTS = [*ONE_CALL, *ANOTHER, SMS, CLIENT]


class Killed(BaseException):
    """The process is killed."""


class Table(FakeTable):
    """The events table, with GetItem; `fault` makes it fail."""

    def get_item(self, *, Key: Any, ConsistentRead: bool, **_: object) -> dict[str, Any]:  # noqa: N803
        assert ConsistentRead
        item = self.items.get((Key["pk"]["S"], Key["sk"]["S"]))
        return {} if item is None else {"Item": item}


@dataclass
class Recorder:
    """Destination that records accepted entries, and performs one action for each request.

    An action is a name and a number of entries: `take` accepts all, `refuse` accepts the number and rejects the rest,
    `die` accepts the number and kills the process.
    """

    batch_size: int = 10
    actions: list[tuple[str, int]] = field(default_factory=list)
    accepted: list[BusEntry] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    repeatable: set[str] = field(default_factory=set)

    def send(self, entries: Sequence[BusEntry]) -> None:
        self.requests.append(len(entries))
        action, number = self.actions.pop(0) if self.actions else ("take", 0)
        if action == "take":
            self.accepted += entries
            return
        self.accepted += entries[:number]
        if action == "refuse" and entries[number:]:
            raise EntriesRejected("the bus rejects events", entries[number:])
        if action == "die":
            self.repeatable |= set(ids(entries[:number]))
            raise Killed

    @property
    def ids(self) -> list[str]:
        return ids(self.accepted)


def ids(entries: Iterable[BusEntry]) -> list[str]:
    return [json.loads(entry.request["Detail"])["id"] for entry in entries]


def position_of(event: CallEvent) -> ReplayPosition:
    return ReplayPosition(utc_text(event.occurred_at), *event_key(event))


def id_of(position: ReplayPosition) -> str:
    return f"{position.pk}/{position.sk.removeprefix('event#')}"


def table_of(events: Iterable[CallEvent]) -> Table:
    table = Table()
    table.put(*map(stored_item, events))
    return table


def collected(path: Path, events: Iterable[CallEvent]) -> Order:
    """Create the state of a replay of these events, as the command does."""
    state = ReplayState(path)
    state.begin_collecting()
    state.add((position_of(event), event.kind.value) for event in events)
    order = state.order(url=None, rate=10)
    state.close()
    return order


@dataclass
class Clock:
    """Clock that advances only by sleeping, or when a test sets it."""

    now: float = 100.0
    pauses: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def run(
    path: Path, table: Table, destination: Recorder, *, rate: float = 1000, problems: list[str] | None = None
) -> Replay:
    """Run a replay of the events that are left; `problems` collects its reports."""
    state = ReplayState(path)
    clock, problems = Clock(), [] if problems is None else problems
    replay = Replay(
        state,
        CallStore(table.as_client(), "events"),
        destination,
        Pacer(rate, clock.monotonic, clock.sleep),
        lambda position, problem: problems.append(f"{position.pk} {problem}"),
        lambda _: None,
    )
    try:
        replay.run()
    finally:
        state.close()
    return replay


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay" / "events.sqlite"


class TestAReplay:
    def test_publishes_what_the_projector_would_with_the_present_call(self, path: Path) -> None:
        collected(path, [ONE_CALL[0], SMS, CLIENT])
        recorder = Recorder()
        run(path, table_of(EVENTS), recorder)
        with_call, *without_call = sorted(
            recorder.accepted, key=lambda entry: "one-call" not in entry.request["Detail"]
        )
        pk, sk = event_key(ONE_CALL[0])
        assert with_call == bus_entry(ONE_CALL[0], fold(ONE_CALL), pk=pk, sk=sk)
        bus_schema().validate(json.loads(with_call.request["Detail"]))
        assert [json.loads(entry.request["Detail"])["call"] for entry in without_call] == [None, None]

    def test_skips_events_that_were_removed_since(self, path: Path) -> None:
        collected(path, EVENTS)
        recorder = Recorder()
        replay = run(path, table_of([*ONE_CALL[1:], SMS]), recorder)
        assert recorder.ids == [id_of(position) for position in sorted(map(position_of, [*ONE_CALL[1:], SMS]))]
        assert replay.outcomes == {ReplayOutcome.PUBLISHED: 3, ReplayOutcome.GONE: 4}

    def test_reports_and_skips_a_call_that_cannot_be_read(self, path: Path) -> None:
        collected(path, EVENTS)
        table, recorder = table_of(EVENTS), Recorder()
        table.items[event_key(ONE_CALL[1])]["kind"] = {"S": "call.unheard_of"}
        problems: list[str] = []
        replay = run(path, table, recorder, problems=problems)
        assert replay.outcomes == {ReplayOutcome.PUBLISHED: 4, ReplayOutcome.UNREADABLE: 3}
        assert not [key for key in recorder.ids if "one-call" in key]
        problem = "jambonz#one-call an item is not a valid event (ValueError: 'call.unheard_of' is not a valid Kind)"
        assert problems == [problem] * 3

    def test_reads_each_call_once_per_batch(self, path: Path) -> None:
        collected(path, EVENTS)
        table = table_of(EVENTS)
        run(path, table, Recorder())
        assert table.queries == 2

    @pytest.mark.parametrize(("rate", "requests"), [(0.5, [1] * 7), (3, [3, 3, 1]), (1000, [7])])
    def test_sends_at_most_a_second_s_worth_in_a_request(self, rate: float, requests: list[int], path: Path) -> None:
        collected(path, EVENTS)
        recorder = Recorder()
        run(path, table_of(EVENTS), recorder, rate=rate)
        assert recorder.requests == requests

    def test_stops_without_loss_if_the_table_cannot_be_read(self, path: Path) -> None:
        collected(path, EVENTS)
        table = table_of(EVENTS)
        table.fault = ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")
        with pytest.raises(ClientError):
            run(path, table, Recorder())
        table.fault, recorder = None, Recorder()
        run(path, table, recorder)
        assert len(recorder.accepted) == len(EVENTS)


@given(
    numbers=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=40, unique=True),
    batch_size=st.integers(1, 10),
    actions=st.lists(st.tuples(st.sampled_from(["take", "refuse", "die"]), st.integers(0, 10)), max_size=12),
    rate=st.sampled_from([0.5, 4, 1000]),
)
@examples(40)
def test_a_replay_continues_without_a_gap_after_any_failures(
    numbers: list[tuple[int, int]], batch_size: int, actions: list[tuple[str, int]], rate: float
) -> None:
    events = [
        replace(make_event(Kind.DTMF, second, key=f"{call}-{second}"), call_id=f"call-{call}")
        for second, call in numbers
    ]
    with tempfile.TemporaryDirectory() as folder:
        path, table, recorder = Path(folder) / "replay.sqlite", table_of(events), Recorder(batch_size, list(actions))
        collected(path, events)
        runs = 0
        while path.exists():
            runs += 1
            assert runs <= len(actions) + 1
            try:
                run(path, table, recorder, rate=rate)
            except (EntriesRejected, Killed):
                continue
    in_order = [id_of(position) for position in sorted(map(position_of, events))]
    assert list(dict.fromkeys(recorder.ids)) == in_order
    # Only events in flight during a kill are sent twice.
    assert {key for key in recorder.ids if recorder.ids.count(key) > 1} <= recorder.repeatable


class TestTheState:
    def test_is_readable_only_by_its_owner_and_contains_no_data_of_the_events(self, path: Path) -> None:
        collected(path, [replace(event, from_="+14155550123", to="jane") for event in EVENTS])
        assert [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)] == [0o600, 0o700]
        assert not [text for text in (b"4155550123", b"jane") if text in path.read_bytes()]

    def test_stores_the_destination_and_the_rate(self, path: Path) -> None:
        state = ReplayState(path)
        state.begin_collecting()
        state.add([(position_of(SMS), "sms.received")] * 2)
        state.order(url="https://crm.example.com/?key=s3cr3t", rate=0.5)
        state.close()
        reopened = ReplayState(path)
        assert reopened.ordered() == Order(url="https://crm.example.com/?key=s3cr3t", rate=0.5, events=1)
        reopened.close()

    def test_of_a_replay_that_never_started_does_not_replace_another(self, path: Path) -> None:
        order = collected(path, EVENTS)
        state = ReplayState(path)
        state.begin_collecting()
        state.add([(position_of(SMS), "sms.received")])
        state.close()
        reopened = ReplayState(path)
        assert (reopened.ordered(), reopened.left) == (order, len(EVENTS))
        reopened.close()

    def test_can_be_open_in_one_replay_only(self, path: Path) -> None:
        state = ReplayState(path)
        with pytest.raises(StateUnusable, match="Another replay of this stack is running"):
            ReplayState(path)
        state.close()
        ReplayState(path).close()

    def test_that_is_damaged_is_rejected_with_the_next_step(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"this is no database, but a text that is long enough" * 100)
        with pytest.raises(StateUnusable, match=r"is damaged .* Delete it and start the replay again"):
            ReplayState(path)

    def test_of_version_0_1_is_continued(self, path: Path) -> None:
        path.parent.mkdir()
        with closing(sqlite3.connect(path)) as file, file:
            file.executescript("""
                CREATE TABLE events (
                    occurred_at TEXT, pk TEXT, sk TEXT, kind TEXT, PRIMARY KEY (occurred_at, pk, sk)
                ) WITHOUT ROWID;
                CREATE TABLE replay ("told" TEXT);
                INSERT INTO replay VALUES ('{"url":null,"rate":0.5,"events":9}');
            """)
            positions = map(position_of, EVENTS)
            rows = [(position.occurred_at, position.pk, position.sk, "call.ringing") for position in positions]
            file.executemany("INSERT INTO events VALUES (?, ?, ?, ?)", rows)
        state = ReplayState(path)
        assert state.ordered() == Order(url=None, rate=0.5, events=9)
        state.close()
        recorder = Recorder()
        run(path, table_of(EVENTS), recorder)
        assert recorder.ids == [id_of(position) for position in sorted(map(position_of, EVENTS))]

    def test_of_another_version_is_rejected_with_the_next_step(self, path: Path) -> None:
        collected(path, EVENTS)
        state = ReplayState(path)
        state._database.execute("UPDATE replay SET parameters = '{}'")  # noqa: SLF001 - as another version would write it
        with pytest.raises(StateUnusable, match="was written by another version"):
            state.ordered()
        state._database.close()  # noqa: SLF001


class TestThePacer:
    @given(
        rate=st.floats(0.1, 1000),
        waits=st.lists(st.tuples(st.integers(1, 10), st.floats(0, 5)), min_size=2, max_size=30),
    )
    def test_never_exceeds_the_rate_after_slow_requests(self, rate: float, waits: list[tuple[int, float]]) -> None:
        clock = Clock()
        pacer = Pacer(rate, clock.monotonic, clock.sleep)
        starts = []
        for events, lost in waits:
            pacer.wait(events)
            starts.append(clock.now)
            clock.now += lost
        for (events, _), start, following in zip(waits, starts, starts[1:], strict=False):
            assert following - start >= events / rate - 1e-6

    def test_keeps_the_rate_with_fast_requests(self) -> None:
        clock = Clock()
        pacer = Pacer(10, clock.monotonic, clock.sleep)
        for _ in range(101):
            pacer.wait(5)
        assert clock.now - 100 == pytest.approx(50)


ENTRY = bus_entry(ONE_CALL[0], fold(ONE_CALL), pk="jambonz#one-call", sk="event#a")
SECOND = bus_entry(ONE_CALL[1], fold(ONE_CALL), pk="jambonz#one-call", sk="event#b")
URL = "https://jane:s3cr3t@crm.example.com:8443/calls?token=t0ken"


@dataclass
class Endpoint:
    """HTTP endpoint that gives these answers or errors first, and then 200."""

    answers: list[int | Exception | httpx.Response] = field(default_factory=list)
    requests: list[httpx.Request] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if self.answers else 200
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return answer
        return httpx.Response(answer, headers={"location": "https://elsewhere.example.com"})

    def send(self, *entries: BusEntry, transport: httpx.MockTransport | None = None) -> None:
        client = httpx.AsyncClient(transport=transport or httpx.MockTransport(self.answer))
        with asyncio.Runner() as runner:
            UrlDestination(client, httpx.URL(URL), runner=runner, sleep=self.pauses.append).send(entries)
            runner.run(client.aclose())


class Body(httpx.AsyncByteStream):
    """Endless body; `closed` is set when the client aborts it."""

    closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b"a"

    async def aclose(self) -> None:
        self.closed = True


class TestAUrl:
    def test_gets_each_event_as_the_bus_would_deliver_it(self) -> None:
        endpoint = Endpoint()
        endpoint.send(ENTRY, SECOND)
        first, second = endpoint.requests
        assert (first.method, first.headers["content-type"]) == ("POST", "application/json")
        assert json.loads(first.content) == {
            "version": "0",
            "id": "jambonz#one-call/a",
            "source": "callhooks.jambonz",
            "detail-type": "call.initiated",
            "time": "2026-11-21T06:30:00Z",
            "detail": json.loads(ENTRY.request["Detail"]),
        }
        assert json.loads(second.content)["id"] == "jambonz#one-call/b"
        assert first.headers["authorization"].startswith("Basic ")
        assert first.url.params["token"] == "t0ken"

    @pytest.mark.parametrize("answer", [500, 503, 408, 425, 429, httpx.ReadTimeout(URL), httpx.ConnectError(URL)])
    def test_that_fails_briefly_is_retried(self, answer: int | Exception) -> None:
        endpoint = Endpoint([answer, answer])
        endpoint.send(ENTRY)
        assert [request.content for request in endpoint.requests] == [envelope_of(ENTRY)] * 3
        assert endpoint.pauses == list(POST_PAUSES[:2])

    @pytest.mark.parametrize(
        ("answer", "problem"),
        [
            (503, "answered 503"),
            (httpx.ConnectTimeout(URL), "did not answer (ConnectTimeout)"),
            (httpx.DecodingError("of +14155550123"), "did not answer (DecodingError)"),
        ],
    )
    def test_that_fails_every_retry_stops_the_replay(self, answer: int | Exception, problem: str) -> None:
        endpoint = Endpoint([answer] * 9)
        with pytest.raises(EntriesRejected) as rejected:
            endpoint.send(ENTRY, SECOND)
        assert str(rejected.value).startswith(
            f"https://crm.example.com:8443 {problem} for event jambonz#one-call/a of 2"
        )
        assert (len(endpoint.requests), endpoint.pauses) == (1 + len(POST_PAUSES), list(POST_PAUSES))
        assert rejected.value.rejected == {("jambonz#one-call", "event#a"), ("jambonz#one-call", "event#b")}

    @pytest.mark.parametrize("status", [302, 400, 401, 404, 410])
    def test_that_rejects_an_event_is_not_retried(self, status: int) -> None:
        endpoint = Endpoint([200, status])
        with pytest.raises(EntriesRejected, match=f"https://crm.example.com:8443 answered {status}") as rejected:
            endpoint.send(ENTRY, SECOND)
        assert (len(endpoint.requests), endpoint.pauses) == (2, [])
        assert rejected.value.rejected == {("jambonz#one-call", "event#b")}

    @pytest.mark.parametrize("headers", [{}, {"content-encoding": "gzip"}], ids=["endless", "broken"])
    def test_has_accepted_an_event_whatever_its_response_body_is(self, headers: dict[str, str]) -> None:
        body = Body()
        endpoint = Endpoint([httpx.Response(200, headers=headers, stream=body)])
        endpoint.send(ENTRY)
        assert (len(endpoint.requests), endpoint.pauses, body.closed) == (1, [], True)

    def test_that_never_completes_its_response_stops_the_replay(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def silent(_: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            return httpx.Response(200)

        monkeypatch.setattr(replay_module, "POST_SECONDS", 0.01)
        endpoint = Endpoint()
        with pytest.raises(
            EntriesRejected, match=r"\Ahttps://crm.example.com:8443 did not answer within 0.01 seconds for event "
        ):
            endpoint.send(ENTRY, transport=httpx.MockTransport(silent))
        assert endpoint.pauses == list(POST_PAUSES)


@dataclass
class Bus:
    """EventBridge's PutEvents, which rejects all events, or these ids."""

    code: str | None = None
    rejected_ids: frozenset[str] = frozenset()

    def put_events(self, *, Entries: Sequence[Any]) -> dict[str, Any]:  # noqa: N803
        if self.code:
            raise ClientError({"Error": {"Code": self.code, "Message": "of +14155550123"}}, "PutEvents")
        rejected = [json.loads(entry["Detail"])["id"] in self.rejected_ids for entry in Entries]
        return {
            "FailedEntryCount": sum(rejected),
            "Entries": [
                {"ErrorCode": "ThrottlingException"} if is_rejected else {"EventId": "1"} for is_rejected in rejected
            ],
        }


class TestTheBus:
    def send(self, bus: Bus) -> EntriesRejected:
        client: Any = bus
        with pytest.raises(EntriesRejected) as rejected:
            BusDestination(client, "calls", sleep=lambda _: None).send([ENTRY, SECOND])
        return rejected.value

    def test_that_rejects_all_events_is_reported_by_error_code(self, capfd: pytest.CaptureFixture[str]) -> None:
        rejection = self.send(Bus("AccessDeniedException"))
        assert str(rejection) == "the bus rejects events: AccessDeniedException"
        assert len(rejection.rejected) == 2
        assert capfd.readouterr() == ("", "")

    def test_that_rejects_one_event_has_accepted_the_others(self) -> None:
        rejection = self.send(Bus(rejected_ids=frozenset({"jambonz#one-call/b"})))
        assert rejection.rejected == {("jambonz#one-call", "event#b")}
