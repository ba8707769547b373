"""Stored events published again: in order, at a rate, and after whatever went wrong without a gap."""

from __future__ import annotations

import asyncio
import json
import stat
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
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
    """The process ends here."""


class Table(FakeTable):
    """The table of events, with GetItem; `fault` makes it fail."""

    def get_item(self, *, Key: Any, ConsistentRead: bool, **_: object) -> dict[str, Any]:  # noqa: N803
        assert ConsistentRead
        item = self.items.get((Key["pk"]["S"], Key["sk"]["S"]))
        return {} if item is None else {"Item": item}


@dataclass
class Recorder:
    """A destination that keeps what it has taken, and does what a test tells it to at each request.

    An action is a number of entries to take and, where that is less than all, what becomes of it: `refuse` takes no
    more, `die before` and `die after` end the process before or after so many were taken.
    """

    at_once: int = 10
    actions: list[tuple[str, int]] = field(default_factory=list)
    taken: list[BusEntry] = field(default_factory=list)
    requests: list[int] = field(default_factory=list)
    repeatable: set[str] = field(default_factory=set)

    def send(self, entries: Sequence[BusEntry]) -> None:
        self.requests.append(len(entries))
        what, number = self.actions.pop(0) if self.actions else ("take", 0)
        if what == "take":
            self.taken += entries
            return
        self.taken += entries[:number]
        if what == "refuse" and entries[number:]:
            raise EntriesRejected("the bus refuses them", entries[number:])
        if what == "die":
            self.repeatable |= set(ids(entries[:number]))
            raise Killed

    @property
    def ids(self) -> list[str]:
        return ids(self.taken)


def ids(entries: Iterable[BusEntry]) -> list[str]:
    return [json.loads(entry.request["Detail"])["id"] for entry in entries]


def place_of(event: CallEvent) -> ReplayPosition:
    return ReplayPosition(utc_text(event.occurred_at), *event_key(event))


def id_of(place: ReplayPosition) -> str:
    return f"{place.pk}/{place.sk.removeprefix('event#')}"


def table_of(events: Iterable[CallEvent]) -> Table:
    table = Table()
    table.put(*map(stored_item, events))
    return table


def collected(path: Path, events: Iterable[CallEvent]) -> Order:
    """Write down a replay of these events, as the command does before it begins."""
    state = ReplayState(path)
    state.begin_collecting()
    state.add((place_of(event), event.kind.value) for event in events)
    order = state.order(url=None, rate=10)
    state.close()
    return order


@dataclass
class Clock:
    """Time that passes only where somebody sleeps, or loses it."""

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
    """One run of the command on what is left; `problems` gets what it tells."""
    state = ReplayState(path)
    clock, problems = Clock(), [] if problems is None else problems
    replay = Replay(
        state,
        CallStore(table.as_client(), "events"),
        destination,
        Pacer(rate, clock.monotonic, clock.sleep),
        lambda place, problem: problems.append(f"{place.pk} {problem}"),
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
    def test_publishes_what_the_projector_would_with_the_call_as_it_is_now_or_none(self, path: Path) -> None:
        collected(path, [ONE_CALL[0], SMS, CLIENT])
        recorder = Recorder()
        run(path, table_of(EVENTS), recorder)
        of_call, *of_no_call = sorted(recorder.taken, key=lambda entry: "one-call" not in entry.request["Detail"])
        pk, sk = event_key(ONE_CALL[0])
        assert of_call == bus_entry(ONE_CALL[0], fold(ONE_CALL), pk=pk, sk=sk)
        bus_schema().validate(json.loads(of_call.request["Detail"]))
        assert [json.loads(entry.request["Detail"])["call"] for entry in of_no_call] == [None, None]

    def test_passes_over_what_was_forgotten_since(self, path: Path) -> None:
        collected(path, EVENTS)
        recorder = Recorder()
        replay = run(path, table_of([*ONE_CALL[1:], SMS]), recorder)
        assert recorder.ids == [id_of(place) for place in sorted(map(place_of, [*ONE_CALL[1:], SMS]))]
        assert replay.outcomes == {ReplayOutcome.PUBLISHED: 3, ReplayOutcome.GONE: 4}

    def test_leaves_out_and_names_a_call_that_cannot_be_read_and_goes_on(self, path: Path) -> None:
        collected(path, EVENTS)
        table, recorder = table_of(EVENTS), Recorder()
        table.items[event_key(ONE_CALL[1])]["kind"] = {"S": "call.unheard_of"}
        problems: list[str] = []
        replay = run(path, table, recorder, problems=problems)
        assert replay.outcomes == {ReplayOutcome.PUBLISHED: 4, ReplayOutcome.UNREADABLE: 3}
        assert not [key for key in recorder.ids if "one-call" in key]
        problem = "jambonz#one-call an item is no event (ValueError: 'call.unheard_of' is not a valid Kind)"
        assert problems == [problem] * 3

    def test_reads_each_call_once_for_what_is_sent_together(self, path: Path) -> None:
        collected(path, EVENTS)
        table = table_of(EVENTS)
        run(path, table, Recorder())
        assert table.queries == 2

    @pytest.mark.parametrize(("rate", "requests"), [(0.5, [1] * 7), (3, [3, 3, 1]), (1000, [7])])
    def test_sends_no_more_than_a_second_s_worth_at_once(self, rate: float, requests: list[int], path: Path) -> None:
        collected(path, EVENTS)
        recorder = Recorder()
        run(path, table_of(EVENTS), recorder, rate=rate)
        assert recorder.requests == requests

    def test_stops_where_the_table_cannot_be_read_and_loses_nothing(self, path: Path) -> None:
        collected(path, EVENTS)
        table = table_of(EVENTS)
        table.fault = ClientError({"Error": {"Code": "ThrottlingException"}}, "Query")
        with pytest.raises(ClientError):
            run(path, table, Recorder())
        table.fault, recorder = None, Recorder()
        run(path, table, recorder)
        assert len(recorder.taken) == len(EVENTS)


@given(
    numbers=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=40, unique=True),
    at_once=st.integers(1, 10),
    actions=st.lists(st.tuples(st.sampled_from(["take", "refuse", "die"]), st.integers(0, 10)), max_size=12),
    rate=st.sampled_from([0.5, 4, 1000]),
)
@examples(40)
def test_wherever_it_fails_and_however_often_it_goes_on_without_a_gap(
    numbers: list[tuple[int, int]], at_once: int, actions: list[tuple[str, int]], rate: float
) -> None:
    events = [
        replace(make_event(Kind.DTMF, second, key=f"{call}-{second}"), call_id=f"call-{call}")
        for second, call in numbers
    ]
    with tempfile.TemporaryDirectory() as folder:
        path, table, recorder = Path(folder) / "replay.sqlite", table_of(events), Recorder(at_once, list(actions))
        collected(path, events)
        runs = 0
        while path.exists():
            runs += 1
            assert runs <= len(actions) + 1
            try:
                run(path, table, recorder, rate=rate)
            except (EntriesRejected, Killed):
                continue
    in_order = [id_of(place) for place in sorted(map(place_of, events))]
    assert list(dict.fromkeys(recorder.ids)) == in_order
    # Only what was under way when it was killed comes again.
    assert {key for key in recorder.ids if recorder.ids.count(key) > 1} <= recorder.repeatable


class TestTheState:
    def test_is_for_its_owner_alone(self, path: Path) -> None:
        collected(path, EVENTS)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700

    def test_holds_nothing_of_what_was_sent(self, path: Path) -> None:
        collected(path, [replace(event, from_="+14155550123", to="jane") for event in EVENTS])
        assert b"4155550123" not in path.read_bytes()
        assert b"jane" not in path.read_bytes()

    def test_is_removed_when_nothing_is_left(self, path: Path) -> None:
        collected(path, EVENTS)
        run(path, table_of(EVENTS), Recorder())
        assert not path.exists()

    def test_keeps_what_was_asked_for(self, path: Path) -> None:
        state = ReplayState(path)
        state.begin_collecting()
        state.add([(place_of(SMS), "sms.received")] * 2)
        state.order(url="https://crm.example.com/?key=s3cr3t", rate=0.5)
        state.close()
        again = ReplayState(path)
        assert again.ordered() == Order(url="https://crm.example.com/?key=s3cr3t", rate=0.5, events=1)
        again.close()

    def test_of_a_replay_that_was_never_ordered_takes_the_place_of_none(self, path: Path) -> None:
        order = collected(path, EVENTS)
        state = ReplayState(path)
        state.begin_collecting()
        state.add([(place_of(SMS), "sms.received")])
        state.close()
        again = ReplayState(path)
        assert (again.ordered(), again.left) == (order, len(EVENTS))
        again.close()

    def test_is_used_by_one_replay_at_a_time(self, path: Path) -> None:
        state = ReplayState(path)
        with pytest.raises(StateUnusable, match="Another replay of this stack is running"):
            ReplayState(path)
        state.close()
        ReplayState(path).close()

    def test_that_is_broken_is_refused_with_what_to_do(self, path: Path) -> None:
        path.parent.mkdir()
        path.write_bytes(b"this is no database, but a text that is long enough" * 100)
        with pytest.raises(StateUnusable, match=r"is broken .* remove it"):
            ReplayState(path)

    def test_of_another_version_is_refused_with_what_to_do(self, path: Path) -> None:
        collected(path, EVENTS)
        state = ReplayState(path)
        state._database.execute("UPDATE replay SET told = '{}'")  # noqa: SLF001 - as another version would write it
        with pytest.raises(StateUnusable, match="not written by this version: remove it"):
            state.ordered()
        state._database.close()  # noqa: SLF001


class TestThePacer:
    @given(
        rate=st.floats(0.1, 1000),
        waits=st.lists(st.tuples(st.integers(1, 10), st.floats(0, 5)), min_size=2, max_size=30),
    )
    def test_never_goes_faster_however_long_a_request_takes(self, rate: float, waits: list[tuple[int, float]]) -> None:
        clock = Clock()
        pacer = Pacer(rate, clock.monotonic, clock.sleep)
        starts = []
        for events, lost in waits:
            pacer.wait(events)
            starts.append(clock.now)
            clock.now += lost
        for (events, _), start, following in zip(waits, starts, starts[1:], strict=False):
            assert following - start >= events / rate - 1e-6

    def test_keeps_the_rate_where_requests_take_no_time(self) -> None:
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
    """An HTTP endpoint; it answers with these, or does not answer, and then with 200."""

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
    """A body without an end; `closed` says that it was given up."""

    closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0)
            yield b"a"

    async def aclose(self) -> None:
        self.closed = True


class TestAnAddress:
    def test_gets_each_event_as_the_bus_would_deliver_it(self) -> None:
        endpoint = Endpoint()
        endpoint.send(ENTRY, SECOND)
        first, second = endpoint.requests
        assert first.headers["content-type"] == "application/json"
        assert first.method == "POST"
        assert json.loads(first.content) == {
            "version": "0",
            "id": "jambonz#one-call/a",
            "source": "callhooks.jambonz",
            "detail-type": "call.initiated",
            "time": "2026-11-21T06:30:00Z",
            "detail": json.loads(ENTRY.request["Detail"]),
        }
        assert json.loads(second.content)["id"] == "jambonz#one-call/b"

    def test_gets_the_same_bytes_each_time(self) -> None:
        endpoint = Endpoint([503])
        endpoint.send(ENTRY)
        assert [request.content for request in endpoint.requests] == [envelope_of(ENTRY)] * 2

    def test_is_given_the_user_name_and_the_query_of_the_url(self) -> None:
        endpoint = Endpoint()
        endpoint.send(ENTRY)
        (request,) = endpoint.requests
        assert request.headers["authorization"].startswith("Basic ")
        assert request.url.params["token"] == "t0ken"

    @pytest.mark.parametrize("answer", [500, 503, 408, 425, 429, httpx.ReadTimeout(URL), httpx.ConnectError(URL)])
    def test_that_fails_for_a_moment_is_tried_again(self, answer: int | Exception) -> None:
        endpoint = Endpoint([answer, answer])
        endpoint.send(ENTRY)
        assert (len(endpoint.requests), endpoint.pauses) == (3, list(POST_PAUSES[:2]))

    @pytest.mark.parametrize(
        ("answer", "why"), [(503, "answers 503"), (httpx.ConnectTimeout(URL), "does not answer (ConnectTimeout)")]
    )
    def test_that_goes_on_failing_is_given_up(self, answer: int | Exception, why: str) -> None:
        endpoint = Endpoint([answer] * 9)
        with pytest.raises(EntriesRejected) as refused:
            endpoint.send(ENTRY, SECOND)
        assert str(refused.value).startswith(f"https://crm.example.com:8443 {why} to jambonz#one-call/a of 2")
        assert (len(endpoint.requests), endpoint.pauses) == (1 + len(POST_PAUSES), list(POST_PAUSES))
        assert refused.value.refused == {("jambonz#one-call", "event#a"), ("jambonz#one-call", "event#b")}

    @pytest.mark.parametrize("status", [302, 400, 401, 404, 410])
    def test_that_refuses_is_not_asked_again(self, status: int) -> None:
        endpoint = Endpoint([200, status])
        with pytest.raises(EntriesRejected, match=f"https://crm.example.com:8443 answers {status}") as refused:
            endpoint.send(ENTRY, SECOND)
        assert (len(endpoint.requests), endpoint.pauses) == (2, [])
        assert refused.value.refused == {("jambonz#one-call", "event#b")}

    @pytest.mark.parametrize("headers", [{}, {"content-encoding": "gzip"}], ids=["endless", "broken"])
    def test_has_taken_an_event_when_it_says_so_whatever_body_comes_then(self, headers: dict[str, str]) -> None:
        body = Body()
        endpoint = Endpoint([httpx.Response(200, headers=headers, stream=body)])
        endpoint.send(ENTRY)
        assert (len(endpoint.requests), endpoint.pauses, body.closed) == (1, [], True)

    def test_whose_answer_cannot_be_read_is_given_up(self) -> None:
        endpoint = Endpoint([httpx.DecodingError("of +14155550123")] * 9)
        with pytest.raises(
            EntriesRejected, match=r"\Ahttps://crm.example.com:8443 does not answer \(DecodingError\) to "
        ):
            endpoint.send(ENTRY)

    def test_that_begins_an_answer_and_never_ends_it_is_given_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def silent(_: httpx.Request) -> httpx.Response:
            await asyncio.Event().wait()
            return httpx.Response(200)

        monkeypatch.setattr(replay_module, "POST_SECONDS", 0.01)
        endpoint = Endpoint()
        with pytest.raises(
            EntriesRejected, match=r"\Ahttps://crm.example.com:8443 does not answer within 0.01 seconds to "
        ):
            endpoint.send(ENTRY, transport=httpx.MockTransport(silent))
        assert endpoint.pauses == list(POST_PAUSES)


@dataclass
class Bus:
    """EventBridge's PutEvents, which refuses all, or these ids."""

    code: str | None = None
    refuses: frozenset[str] = frozenset()

    def put_events(self, *, Entries: Sequence[Any]) -> dict[str, Any]:  # noqa: N803
        if self.code:
            raise ClientError({"Error": {"Code": self.code, "Message": "of +14155550123"}}, "PutEvents")
        refused = [json.loads(entry["Detail"])["id"] in self.refuses for entry in Entries]
        return {
            "FailedEntryCount": sum(refused),
            "Entries": [{"ErrorCode": "ThrottlingException"} if no else {"EventId": "1"} for no in refused],
        }


class TestTheBus:
    def send(self, bus: Bus) -> EntriesRejected:
        client: Any = bus
        with pytest.raises(EntriesRejected) as refused:
            BusDestination(client, "calls", sleep=lambda _: None).send([ENTRY, SECOND])
        return refused.value

    def test_that_refuses_all_is_named_by_its_error_code_alone(self, capfd: pytest.CaptureFixture[str]) -> None:
        refused = self.send(Bus("AccessDeniedException"))
        assert str(refused) == "the bus refuses them: AccessDeniedException"
        assert len(refused.refused) == 2
        assert capfd.readouterr() == ("", "")

    def test_that_refuses_one_event_has_taken_the_others(self) -> None:
        refused = self.send(Bus(refuses=frozenset({"jambonz#one-call/b"})))
        assert refused.refused == {("jambonz#one-call", "event#b")}
