"""Results and flows of calls: calls of a simulated phone, and events of each provider."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from callhooks.calls.call import Call, Result
from callhooks.events.call_event import CallEvent, Detail, Ignored, Kind
from callhooks.providers.jambonz.action import ActionWebhook
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.events import EventWebhook
from callhooks.providers.jambonz.new_call import NewCallWebhook
from callhooks.providers.jambonz.plan.loader import installed_plan, read_plan
from callhooks.providers.jambonz.plan.plan import Plan
from callhooks.runtime.http import Request, Sender
from callhooks.webhooks.webhook import Webhook
from callhooks_tools.providers.jambonz.phone import Application, NewCall, Outside, Reply, SimulatedCall, SimulatedClock
from callhooks_tools.providers.jambonz.phone.script import ScriptedCaller
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import SEQUENCES, delivered, fold, make_event
from tests.support import ROOT
from tests.unit.calls.test_call import any_event, any_events

BASE = "https://hooks.example.com"
CALL_HOOK = f"{BASE}/webhooks/call"
APPLICATION = Application(CALL_HOOK, "jambonz", "password", "secret", call_status_hook=f"{CALL_HOOK}/events")
OPEN = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
MENU, OFFICE = "+14155550150", "+14155551234"


@cache
def default_plan() -> Plan:
    return read_plan(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml"))


@cache
def plan_of(flows: str) -> Plan:
    """A plan whose flow `main` takes every call."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "call_plan.yaml"
        file.write_text(f"routes: [{{flow: main}}]\nfallback: sorry\nflows:\n  sorry: [{{verb: hangup}}]\n{flows}\n")
        return read_plan(read_plan_file(file))


class Functions:
    """Transport that answers as the functions do, and collects the events of each call by its id."""

    def __init__(self, plan: Plan, clock: SimulatedClock) -> None:
        self._clock = clock
        self._new_call = NewCallWebhook(plan, signature_header=DEFAULT_SIGNATURE_HEADER, public_url=BASE)
        self._action = ActionWebhook(
            plan, load_initial_webhook=lambda _: None, signature_header=DEFAULT_SIGNATURE_HEADER, public_url=BASE
        )
        self._event = EventWebhook(signature_header=DEFAULT_SIGNATURE_HEADER)
        self.events: dict[str, list[CallEvent]] = defaultdict(list)

    def send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None) -> Reply:
        parts = urlsplit(url)
        *_, flow, step = parts.path.split("/")
        is_hook = "/flows/" in parts.path
        webhook: Webhook[Any, Any] = self._action if is_hook else self._event
        if url.partition("#")[0] == CALL_HOOK:
            webhook = self._new_call
        now = self._clock.now()
        request = Request(
            method, parts.path, parts.query, headers, body or b"",
            path_parameters={"flow": flow, "step": step} if is_hook else {},
            # jambonz signs whole seconds.
            sender=Sender(now.replace(microsecond=0), call_id=dict(parse_qsl(parts.query)).get("call")),
        )  # fmt: skip
        message = webhook.decide(webhook.parse(request), request, now)
        event = webhook.normalise(message, request, now)
        assert not isinstance(event, Ignored)
        self.events[event.call_id or ""].append(event)
        response = webhook.answer(message, request, now)
        return Reply(response.status, {"content-type": response.content_type}, response.body.encode())


def phoned(
    script: str, plan: Plan | None = None, *, to: str = MENU, at: datetime = OPEN, **members: Any
) -> tuple[Call, list[Call]]:
    """Make a call with a script, one decision for each comma, and return it and the legs that it dialled."""
    clock, ids = SimulatedClock(at), itertools.count()
    functions = Functions(plan or default_plan(), clock)
    caller = ScriptedCaller(script.replace(", ", "\n"))
    outside = Outside(functions, caller, lambda _: [], clock, lambda: f"00000000-0000-4000-8000-{next(ids):012}")
    call = SimulatedCall(NewCall(to=to, **{"from_": "+12125550187", **members}), APPLICATION, outside)
    for _ in call.run():
        pass
    caller.finish()
    legs = [fold(events) for call_id, events in functions.events.items() if call_id not in (call.call_sid, "")]
    return fold(functions.events[call.call_sid]), legs


TO_SALES = "reception sales"
TO_VOICEMAIL = "wait, wait, wait"
QUEUE = "reception support support_queue"


@pytest.mark.parametrize(
    ("script", "result", "flows"),
    [
        ("press 1, dial answered 30", Result.REACHED, TO_SALES),
        ("press 1, dial answered 30 hang up", Result.REACHED, TO_SALES),
        ("press 1, dial busy, listen 12 #", Result.VOICEMAIL, f"{TO_SALES} voicemail message_taken"),
        ("press 1, dial no-answer, hang up", Result.ABANDONED, f"{TO_SALES} voicemail"),
        ("press 1, dial no-answer, interrupt hang up", Result.ABANDONED, f"{TO_SALES} voicemail"),
        ("press 1, hang up", Result.ABANDONED, TO_SALES),
        ("press 1, dial failed, press 4155550177#, press 1", Result.SELF_SERVICE,
         f"{TO_SALES} call_back call_back_number call_back_confirm call_back_noted"),
        ("press 1, dial failed, hang up", Result.ABANDONED, f"{TO_SALES} call_back"),
        ("hang up", Result.ABANDONED, "reception"),
        ("press *, press 2, press 9, hang up", Result.ABANDONED, "reception support reception"),
        (f"{TO_VOICEMAIL}, listen 12", Result.VOICEMAIL, "reception voicemail message_taken"),
        ("press 2, press 2, queue waits 2, queue bridged 30", Result.REACHED, f"{QUEUE} waiting"),
        ("press 2, press 2, queue waits 2, hang up", Result.ABANDONED, f"{QUEUE} waiting"),
        ("press 2, press 2, queue error, listen 5", Result.VOICEMAIL, f"{QUEUE} waiting voicemail message_taken"),
    ],
)  # fmt: skip
def test_a_call_on_the_default_plan_has_its_result_and_flows(script: str, result: Result, flows: str) -> None:
    call, _ = phoned(script)
    assert (call.result, " ".join(call.flows)) == (result, flows)


@pytest.mark.parametrize(
    ("to", "members", "script", "result", "flows"),
    [
        ("+14155550999", {}, "", Result.SELF_SERVICE, "not_in_service"),
        ("+14155550999", {}, "interrupt hang up", Result.SELF_SERVICE, "not_in_service"),
        (OFFICE, {"from_": "anonymous"}, "", Result.NOT_ANSWERED, "no_anonymous_calls"),
        (OFFICE, {"at": NIGHT}, "press 1, dial busy, hang up", Result.ABANDONED, "closed emergency voicemail"),
        (OFFICE, {"at": NIGHT}, "wait, hang up", Result.ABANDONED, "closed voicemail"),
        (OFFICE, {"at": NIGHT}, "press 1, dial answered 30, press 1", Result.REACHED, "closed emergency"),
        ("+12125550199", {"direction": "outbound"}, "", Result.REACHED, "reminder"),
    ],
)
def test_other_routes_of_the_default_plan_have_their_results(
    to: str, members: dict[str, Any], script: str, result: Result, flows: str
) -> None:
    call, _ = phoned(script, to=to, **members)
    assert (call.result, " ".join(call.flows)) == (result, flows)


def test_a_dialled_phone_that_answers_is_reached_and_the_other_is_not() -> None:
    _, legs = phoned("press 1, dial answered 30")
    # jambonz does not report the end of the other leg.
    assert [leg.result for leg in legs] == [Result.REACHED, Result.IN_PROGRESS]
    _, legs = phoned("press 1, dial busy, hang up")
    assert {leg.result for leg in legs} == {Result.NOT_ANSWERED}


MAILBOX = """
  main: [{verb: say, text: Hi}, {verb: redirect, next: mailbox}]
  mailbox:
    counts_as: voicemail
    verbs: [{verb: dial, target: [{type: user, name: mailbox@sip.example.com}], next: end}]"""
RECORDER = """
  main:
    counts_as: voicemail
    verbs: [{verb: say, text: Hi}, {verb: listen, url: "wss://media.example.com/record"}]"""
MODEL = """
  main:
    - {verb: llm, vendor: openai, auth: {apiKey: k}, llmOptions: {response_create: {}},
       next: {failed: apology, otherwise: end}}
  apology: {counts_as: not_answered, verbs: [{verb: say, text: Sorry}, {verb: hangup}]}"""
SPEECH = """
  main:
    counts_as: voicemail
    verbs: [{verb: gather, input: [speech], say: {text: Your message}, next: {speech: {"help": help}, otherwise: end}}]
  help: [{verb: dial, target: [{type: phone, number: "+14155550100"}], next: end}]"""
REFER = "\n  main: [{verb: answer}, {verb: 'sip:refer', referTo: '+14155550100', next: end}]"
DIAL = """
  main: [{verb: answer}, {verb: dial, target: [{type: phone, number: "+14155550100"}], next: {completed: survey,
          otherwise: bye}}]
  survey: {counts_as: self_service, verbs: [{verb: say, text: How was it}, {verb: hangup}]}
  bye: [{verb: say, text: Nobody is here.}, {verb: hangup}]"""
INFO = "\n  main: [{verb: say, text: We are open from 9 to 5.}]"
ROOM = "\n  main: {counts_as: reached, verbs: [{verb: conference, name: standup, next: end}]}"
GIVES_UP = """
  main: [{verb: gather, input: [digits], say: {text: Press 1}, next: {digits: {"1": end}, otherwise: given_up}}]
  given_up: {counts_as: abandoned, verbs: [{verb: say, text: Good bye}, {verb: hangup}]}"""


@pytest.mark.parametrize(
    ("flows", "script", "result"),
    [
        (MAILBOX, "dial answered 20", Result.VOICEMAIL),
        (MAILBOX, "dial busy", Result.NOT_ANSWERED),
        (RECORDER, "listen 9", Result.VOICEMAIL),
        (RECORDER, "hang up", Result.VOICEMAIL),
        (MODEL, "llm ends", Result.SELF_SERVICE),
        (MODEL, "hang up", Result.SELF_SERVICE),
        (MODEL, "llm ends server error", Result.NOT_ANSWERED),
        (SPEECH, "say please call me", Result.VOICEMAIL),
        (SPEECH, "hang up", Result.ABANDONED),
        (SPEECH, "say help, dial answered 9", Result.REACHED),
        (REFER, "refer 200", Result.REACHED),
        (REFER, "refer 486", Result.NOT_ANSWERED),
        (DIAL, "dial answered 9", Result.REACHED),
        (DIAL, "dial busy", Result.NOT_ANSWERED),
        (DIAL, "hang up", Result.ABANDONED),
        (INFO, "", Result.SELF_SERVICE),
        (INFO, "interrupt hang up", Result.ABANDONED),
        (ROOM, "conference over 60", Result.REACHED),
        (GIVES_UP, "wait", Result.ABANDONED),
    ],
)
def test_what_a_flow_counts_as_decides_the_result(flows: str, script: str, result: Result) -> None:
    call, _ = phoned(script, plan_of(flows))
    assert call.result == result


def test_a_call_that_hears_the_built_in_message_is_not_answered() -> None:
    call, _ = phoned("", installed_plan())
    assert (call.result, call.flows) == (Result.NOT_ANSWERED, ("builtin",))


BY_APPLICATION: dict[str, Detail] = {"call_termination_by": "jambonz"}
BY_CALLER: dict[str, Detail] = {"call_termination_by": "caller"}
MACHINE: dict[str, Detail] = {"machine_detected": True}
PLAN: dict[str, Detail] = {"next_flows": "menu"}
NOTHING: dict[str, Detail] = {}
BUSY, CANCELLED, MISSED = (Kind.BUSY, NOTHING), (Kind.CANCELLED, NOTHING), (Kind.MISSED, NOTHING)
ANSWERED, ENDED = (Kind.ANSWERED, NOTHING), (Kind.COMPLETED, NOTHING)
STARTED = (Kind.INITIATED, PLAN)


@pytest.mark.parametrize(
    ("provider", "direction", "events", "result"),
    [
        *(
            (provider, "inbound", events, result)
            for provider in ("wavix", "bird", "voipstudio", "jambonz")
            for events, result in (
                ([ANSWERED], Result.IN_PROGRESS),
                ([ANSWERED, ENDED], Result.REACHED),
                ([(Kind.RINGING, {}), CANCELLED], Result.ABANDONED),
                ([BUSY], Result.NOT_ANSWERED),
                ([(Kind.NO_ANSWER, {})], Result.NOT_ANSWERED),
                ([(Kind.REJECTED, {})], Result.NOT_ANSWERED),
                ([(Kind.FAILED, {})], Result.NOT_ANSWERED),
                ([ANSWERED, (Kind.MEDIA, MACHINE), ENDED], Result.VOICEMAIL),
                ([ANSWERED, (Kind.MEDIA, {"answered_by": "human"}), ENDED], Result.REACHED),
            )
        ),
        ("voipstudio", "inbound", [(Kind.MISSED, {"context": "QUEUE"})], Result.NOT_ANSWERED),
        ("voipstudio", "inbound", [MISSED, ANSWERED], Result.REACHED),
        ("voipstudio", "inbound", [(Kind.COMPLETED, {"reason": "Originator Cancel"})], Result.ABANDONED),
        ("wavix", "outbound", [(Kind.BILLED, {"duration_seconds": 9})], Result.REACHED),
        ("jambonz", "inbound", [ANSWERED, (Kind.QUEUE_LEFT, {"reason": "abandoned"}), ENDED], Result.ABANDONED),
        ("jambonz", "inbound", [ANSWERED, (Kind.QUEUE_LEFT, {"reason": "dequeued"}), ENDED], Result.REACHED),
        ("jambonz", "inbound", [STARTED, ANSWERED, (Kind.COMPLETED, BY_CALLER)], Result.ABANDONED),
        ("jambonz", "inbound", [STARTED, ANSWERED, (Kind.COMPLETED, BY_APPLICATION)], Result.SELF_SERVICE),
        ("jambonz", "inbound", [STARTED, ANSWERED, ENDED], Result.ABANDONED),
        ("jambonz", "inbound", [STARTED, (Kind.NO_ANSWER, {"sip_status": 487, **BY_CALLER})], Result.ABANDONED),
        ("jambonz", "inbound", [STARTED, ANSWERED, (Kind.VERB, {"members": 2}), ENDED], Result.REACHED),
        ("jambonz", "inbound", [STARTED, ANSWERED, (Kind.VERB, {"transfer_status": "200"}), ENDED], Result.REACHED),
        ("jambonz", "inbound", [STARTED, ANSWERED, (Kind.VERB, {"transfer_status": "180"}), ENDED], Result.ABANDONED),
        ("jambonz", "outbound", [STARTED, ANSWERED, (Kind.COMPLETED, BY_APPLICATION)], Result.REACHED),
        ("jambonz", "outbound", [STARTED, ANSWERED, (Kind.MEDIA, MACHINE), ENDED], Result.VOICEMAIL),
        ("jambonz", "outbound", [STARTED, BUSY], Result.NOT_ANSWERED),
        ("jambonz", "outbound", [STARTED, ANSWERED, (Kind.VERB, {"dial_call_status": "busy"}),
                                 (Kind.COMPLETED, BY_APPLICATION)], Result.NOT_ANSWERED),
        ("jambonz", "inbound", [STARTED, (Kind.VERB, {"counts_as": "self_service"}), CANCELLED], Result.ABANDONED),
        ("jambonz", "inbound", [STARTED, (Kind.EARLY_MEDIA, {"counts_as": "self_service"}), BUSY],
         Result.SELF_SERVICE),
    ],
)  # fmt: skip
def test_events_of_each_provider_give_a_result(
    provider: str, direction: str, events: list[tuple[Kind, dict[str, Detail]]], result: Result
) -> None:
    made = [
        make_event(kind, 3 * number, details, provider=provider, direction=direction)
        for number, (kind, details) in enumerate(events)
    ]
    assert fold(made).result == result


@pytest.mark.parametrize(
    ("sequence", "result"),
    [("wavix", Result.REACHED), ("bird", Result.REACHED), ("voipstudio", Result.REACHED),
     ("jambonz", Result.ABANDONED), ("jambonz leg", Result.REACHED)],
)  # fmt: skip
def test_the_recorded_events_of_each_provider_give_a_result(sequence: str, result: Result) -> None:
    assert fold(delivered(sequence)).result == result


def test_flows_of_one_second_are_in_the_order_of_their_responses() -> None:
    hops = [
        make_event(Kind.VERB, 5, {"flow": f"f{hop - 1}", "next_flows": f"f{hop}", "hop": hop}, key=f"k{9 - hop}")
        for hop in range(1, 8)
    ]
    call = fold([make_event(Kind.INITIATED, 5, {"next_flows": "f0"}), *reversed(hops)])
    assert call.flows == tuple(f"f{hop}" for hop in range(8))


def test_a_flow_that_reports_is_listed_even_if_its_first_event_is_missing() -> None:
    call = fold([make_event(Kind.VERB, 1, {"flow": "menu", "next_flows": "sales"}), make_event(Kind.COMPLETED, 2)])
    assert call.flows == ("menu", "sales")


RECORDED = {sequence: delivered(sequence) for sequence in SEQUENCES}
plan_details = st.fixed_dictionaries(
    {},
    optional={
        "flow": st.sampled_from(["menu", "sales"]),
        "next_flows": st.sampled_from(["menu", "sales voicemail"]),
        "counts_as": st.sampled_from([*Result, "unknown"]),
        "dial_call_status": st.sampled_from(["completed", "busy"]),
        "refer_status": st.integers(-1, 700),
        "members": st.integers(-1, 3),
    },
)


class TestAFinalResult:
    @given(any_events, any_event, st.lists(plan_details, min_size=9, max_size=9))
    def test_is_never_in_progress_again(
        self, events: list[CallEvent], late: CallEvent, more: list[dict[str, Detail]]
    ) -> None:
        known = [*events, late]
        arrived = [
            make_event(one.kind, 0, {**one.details, **details}, provider=one.provider, key=f"{number}")
            for number, (one, details) in enumerate(zip(known, more, strict=False))
        ]
        before, after = fold(arrived[:-1]), fold(arrived)
        assert after.result is not Result.IN_PROGRESS or before.result is Result.IN_PROGRESS
        assert fold([*reversed(arrived), *arrived]).result == after.result

    @pytest.mark.parametrize("sequence", SEQUENCES)
    @given(data=st.data())
    def test_stays_one_while_the_recorded_events_arrive(self, sequence: str, data: st.DataObject) -> None:
        arrived = data.draw(st.permutations(RECORDED[sequence]))
        results = [fold(arrived[:number]).result for number in range(1, len(arrived) + 1)]
        under_way = [result is Result.IN_PROGRESS for result in results]
        assert under_way == sorted(under_way, reverse=True)
