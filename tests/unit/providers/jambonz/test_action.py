"""Action hooks: the verbs in the response, by hook and call plan."""

from __future__ import annotations

import io
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urljoin, urlsplit

import pytest
from botocore.exceptions import EndpointConnectionError
from callhooks.events.event_item import Item
from callhooks.events.event_table import EventStore
from callhooks.providers.jambonz.action import ActionWebhook
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.initial_webhook import initial_webhook_loader
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks.providers.jambonz.plan.plan import Links, Plan, Turn
from callhooks.webhooks.pipeline import Receiver
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file
from hypothesis import given
from hypothesis import strategies as st

from tests.support import (
    NOW,
    PUBLIC_URL,
    Answer,
    Clock,
    Container,
    Event,
    FakeQueue,
    FakeSecrets,
    credential_store,
    detail_attributes,
    get_writer_of,
    signed_event,
    unstored,
    without_header,
)
from tests.tool_caller import FakeEvents

MENU = """
variables:
  SALES: {type: string, description: Sales, default: "+14155550100"}
  RING_SECONDS: {type: number, description: Seconds, default: 20}
calendars:
  office: {timezone: UTC, open: {mon-sun: "06:00-07:00"}}
routes:
  - {flow: menu}
fallback: sorry
flows:
  menu:
    - {verb: say, text: "Hello {caller_name|stranger}"}
    - verb: gather
      id: choice
      input: [digits, speech]
      numDigits: 1
      say: {text: Press 1}
      next:
        digits:
          "1": sales
          "2": [{during: office, flow: sales}, {flow: sorry}]
          "3": end
          "4": continue
          "_[5-7]": five
          "*": menu
        speech: {"new order": sales, "sales": five}
        low-confidence: sorry
        timeout: {repeat: 2, say: "Are you there?", then: sorry}
        otherwise: {repeat: 1, then: end}
    - {verb: hangup}
  sales:
    - verb: dial
      timeout: "{RING_SECONDS}"
      target: [{type: phone, number: "{SALES}"}]
      next: {busy: sorry, no-answer: five, failed: menu}
  five:
    - {verb: say, text: "{digits} {speech} for {to}"}
    - {verb: enqueue, name: q, waitHook: music, next: {bridged: end}}
  music:
    - {verb: say, text: "You are number {queue_position}, {caller_name}"}
  sorry:
    - {verb: say, text: Sorry}
    - {verb: hangup}
"""
CALL = {
    "call_sid": "d2515c3b-b79a-41a2-971a-445e769c823c",
    "direction": "inbound",
    "from": "+12125550187",
    "to": "+14155550123",
    "call_status": "in-progress",
    "sip_status": 200,
    "fs_sip_address": "10.0.21.7:5060",
}
FIRST = {
    **CALL,
    "call_status": "trying",
    "caller_name": '"Jane Doe"',
    "sip": {"headers": {"X-Account": "42"}},
    "env_vars": {"SALES": "+14155550177", "RING_SECONDS": "30"},
}
ROUTE = "POST /webhooks/call"
REDIRECT = """
routes: [{flow: main}]
fallback: sorry
flows:
  main: [{verb: redirect, next: sorry, statusHook: events}]
  sorry: [{verb: say, text: Sorry}]
"""
INJECTION = """
variables: {SALES: {type: string, description: Sales, default: "+14155550100"}}
routes: [{flow: first}]
fallback: sorry
flows:
  first:
    - {verb: say, text: "Hello {caller_name} from {from}"}
    - {verb: gather, input: [digits], next: second}
  second:
    - {verb: say, text: "{digits} {speech}"}
    - {verb: play, url: "https://media.example.com/{digits}{speech}"}
    - {verb: dial, target: [{type: sip, sipUri: "sip:{digits}{speech}@pbx.example.com"}]}
  sorry: [{verb: hangup}]
"""
REQUESTS = itertools.count()
SORRY = [{"verb": "say", "text": "Sorry"}, {"verb": "hangup"}]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_of(MENU, tmp_path_factory.mktemp("plan"))


@pytest.fixture(scope="module")
def injection(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    return plan_of(INJECTION, tmp_path_factory.mktemp("plan"))


def plan_of(text: str, folder: Path) -> Plan:
    file = folder / "call_plan.yaml"
    file.write_text(text, "utf-8")
    return read_plan(read_plan_file(file))


def plan_with(verb: str, folder: Path) -> Plan:
    """Return the plan with a first flow that consists of this verb."""
    text = MENU.replace("flows:\n", f"flows:\n  first: [{verb}]\n")
    return plan_of(text.replace("- {flow: menu}", "- {flow: first}"), folder)


@dataclass
class Table(FakeEvents):
    """Table of events from which the first webhook cannot be read if there is a `read_fault`."""

    read_fault: Exception | None = None

    def get_item(self, **key: Any) -> dict[str, Item]:
        if self.read_fault is not None:
            raise self.read_fault
        return super().get_item(**key)


@dataclass
class Phone:
    """Warm containers of the new call and action functions, and jambonz with one call."""

    plan: Plan
    table: Table = field(default_factory=Table)
    secrets: FakeSecrets = field(default_factory=FakeSecrets)
    clock: Clock = field(default_factory=Clock)
    queue: FakeQueue = field(default_factory=FakeQueue, kw_only=True)

    def __post_init__(self) -> None:
        store = EventStore(self.table.as_client(), "events")
        self.receiver = Receiver(
            ActionWebhook(
                self.plan,
                load_initial_webhook=initial_webhook_loader(store),
                signature_header=DEFAULT_SIGNATURE_HEADER,
                public_url=PUBLIC_URL,
            ),
            credentials=credential_store(self.secrets, self.clock),
            get_writer=get_writer_of(store, self.queue),
            clock=self.clock,
            retention_days=90,
        )
        self.new_calls = Container(self.table, self.secrets, self.clock, self.plan)

    @property
    def database(self) -> Table:
        return self.table

    def receive(self, event: Event) -> Answer:
        """Deliver an action hook unchanged."""
        return Answer(**self.receiver.receive(event))

    def call(self, **members: object) -> list[Any]:
        """Send the first webhook."""
        return verbs_of(self.new_calls.receive_call({**FIRST, **members}))

    def post(self, url: str, members: Mapping[str, object], *, base: Mapping[str, object] = CALL) -> Answer:
        """Call a hook from an earlier response."""
        return self.receive(self.event(url, {**base, **members}))

    def event(self, url: str, body: object) -> Event:
        parts = urlsplit(urljoin(PUBLIC_URL, url))
        assert f"{parts.scheme}://{parts.netloc}" == PUBLIC_URL
        *_, flow, step = parts.path.split("/")
        request_id = f"hook-{next(REQUESTS)}"
        event = signed_event(body, now=self.clock.now, path=parts.path, query=parts.query, request_id=request_id)
        return {**event, "pathParameters": {"flow": flow, "step": step}}

    def press(self, verbs: list[Any], digits: str) -> list[Any]:
        return verbs_of(self.post(hook_of(verbs), {"reason": "dtmfDetected", "digits": digits}))

    def post_to_hook(self, verbs: list[Any], **members: object) -> list[Any]:
        return verbs_of(self.post(hook_of(verbs), members))

    @property
    def events(self) -> list[str]:
        return [
            f"{item['event_name']['S']} {item.get('status', {'S': '-'})['S']}" for item in self.table.items.values()
        ]


def verbs_of(answer: Answer) -> list[Any]:
    assert answer.statusCode == 200
    assert isinstance(answer.verbs, list)
    return answer.verbs


def hook_of(verbs: list[Any], member: str = "actionHook") -> str:
    (hook,) = (str(verb[member]) for verb in verbs if member in verb)
    return hook


def spoken(verbs: list[Any]) -> str:
    return str(verbs[0]["text"])


@pytest.fixture
def phone(plan: Plan) -> Phone:
    return Phone(plan)


def said(transcript: str, reason: str = "speechDetected") -> dict[str, object]:
    return {"reason": reason, "speech": {"is_final": True, "alternatives": [{"transcript": transcript}]}}


UNDIALLED = """
routes: [{flow: ask}]
variables:
  SALES: {type: string, description: Sales, default: ""}
  COUNTRY: {type: string, description: Country code, default: ""}
calendars: {never: {timezone: UTC, open: {}}}
fallback: sorry
flows:
  ask:
    - {verb: gather, input: [digits], next: {otherwise: FLOW}}
  one:
    - {verb: say, text: Please wait}
    - {verb: dial, target: [{type: phone, number: "+1{digits}"}], next: {completed: end, otherwise: sorry}}
  two:
    - verb: dial
      callerId: "{from}"
      target: [{type: phone, number: "{SALES}"}, {type: phone, number: "{COUNTRY}{digits}", overrideTo: "{from}"}]
      next: {otherwise: {repeat: 2, say: Again, then: [{during: never, flow: ask}, {flow: sorry}]}}
  last:
    - {verb: dial, target: [{type: user, name: "{digits}"}]}
  next_verb:
    - {verb: message, to: "{digits}", from: "{to}", text: Hello, next: {success: end}}
    - {verb: dtmf, dtmf: "{digits}"}
    - {verb: say, text: Bye}
  leave: [{verb: dial, target: [{type: phone, number: "{digits}"}], next: {otherwise: end}}]
  circle: [{verb: dial, target: [{type: phone, number: "{digits}"}], next: {otherwise: back}}]
  back:
    - {verb: say, text: Back}
    - {verb: redirect, next: circle}
    - {verb: dial, target: [{type: phone, number: "{digits}"}], next: circle}
  sorry: [{verb: say, text: Sorry}, {verb: hangup}]
"""


class TestAVerbThatDials:
    @pytest.fixture
    def answer(self, tmp_path: Path) -> Callable[..., list[Any]]:
        def press(flow: str, digits: str, **members: str) -> list[Any]:
            plan = plan_of(UNDIALLED.replace("FLOW", flow), tmp_path)
            facts = CallFacts({**FIRST, "digits": digits, "env_vars": {}, **members})
            return list(plan.answer(Turn(flow), facts, Links(PUBLIC_URL, "a"), NOW).verbs)

        return press

    def test_dials_what_its_values_stand_for(self, answer: Callable[..., list[Any]]) -> None:
        (target,) = answer("one", "4155550150")[1]["target"]
        assert target == {"type": "phone", "number": "+14155550150"}
        (dial,) = answer("two", "201", **{"from": "%2B12125550187"})
        assert dial["callerId"] == "+12125550187"
        assert dial["target"] == [{"type": "phone", "number": "201", "overrideTo": "+12125550187"}]
        assert answer("last", "jane")[0]["target"] == [{"type": "user", "name": "jane"}]

    @pytest.mark.parametrize("caller", ["jane@host", "anonymous", "jane", "x%40evil.example", ""])
    def test_leaves_out_a_caller_id_that_is_no_number(self, answer: Callable[..., list[Any]], caller: str) -> None:
        (dial,) = answer("two", "201", **{"from": caller})
        assert "callerId" not in dial
        assert dial["target"][0].get("overrideTo") in (None, caller)

    @pytest.mark.parametrize(
        ("flow", "verbs"),
        [
            ("one", [{"verb": "say", "text": "Please wait"}, *SORRY]),
            ("two", SORRY),
            ("last", [{"verb": "hangup"}]),
            ("next_verb", [{"verb": "say", "text": "Bye"}]),
            ("leave", [{"verb": "hangup"}]),
        ],
    )
    def test_without_a_number_leads_to_otherwise_or_the_next_verb(
        self, answer: Callable[..., list[Any]], flow: str, verbs: list[Any]
    ) -> None:
        for digits in ("jane@host", "", "4155550150@evil.example", "@"):
            assert answer(flow, digits) == verbs

    def test_without_a_number_never_leads_in_a_circle(self, answer: Callable[..., list[Any]]) -> None:
        said, redirect, hangup = answer("circle", "")
        assert (said["text"], redirect["verb"], hangup) == ("Back", "redirect", {"verb": "hangup"})

    def test_without_a_number_has_the_hooks_of_the_flow_that_follows(self, tmp_path: Path) -> None:
        phone = Phone(plan_of(UNDIALLED.replace("FLOW", "one").replace("otherwise: sorry", "otherwise: ask"), tmp_path))
        said, gather = phone.press(phone.call(), "*")
        assert said == {"verb": "say", "text": "Please wait"}
        assert phone.press([gather], "4155550150")[1]["target"][0]["number"] == "+14155550150"


class TestTheNextVerbs:
    @pytest.mark.parametrize(
        ("outcome", "verbs"),
        [
            ({"reason": "dtmfDetected", "digits": "1"}, ["dial"]),
            ({"reason": "dtmfDetected", "digits": "3"}, ["hangup"]),
            ({"reason": "dtmfDetected", "digits": "4"}, []),
            *(({"reason": "dtmfDetected", "digits": digit}, ["say", "enqueue"]) for digit in "567"),
            (said("I have a NEW order, please"), ["dial"]),
            (said("Sales!"), ["say", "enqueue"]),
            (said("wholesales"), ["gather", "hangup"]),
            (said(""), ["gather", "hangup"]),
            (said("new order", "stt-low-confidence"), ["say", "hangup"]),
            ({"reason": "error", "details": "no recognizer"}, ["gather", "hangup"]),
        ],
    )
    def test_come_from_the_branch_or_otherwise(
        self, phone: Phone, outcome: dict[str, object], verbs: list[str]
    ) -> None:
        assert [verb["verb"] for verb in phone.post_to_hook(phone.call(), **outcome)] == verbs

    def test_the_next_flow_can_depend_on_a_calendar(self, phone: Phone) -> None:
        assert phone.press(phone.call(), "2")[0]["verb"] == "dial"
        phone.clock.advance(3600)
        assert phone.press(phone.call(), "2") == SORRY

    @pytest.mark.parametrize(
        ("status", "sip_status", "verbs"),
        [
            ("completed", 200, []),
            # a time-out while ringing, and a dial that was not confirmed
            ("ringing", 180, ["say", "enqueue"]),
            ("in-progress", 200, ["say", "enqueue"]),
        ],
    )
    def test_a_dial_without_an_answer_leads_to_no_answer(
        self, phone: Phone, status: str, sip_status: int, verbs: list[str]
    ) -> None:
        dial = phone.press(phone.call(), "1")
        answer = phone.post_to_hook(dial, dial_call_status=status, dial_sip_status=sip_status)
        assert [verb["verb"] for verb in answer] == verbs

    def test_a_wait_hook_is_answered_each_time(self, phone: Phone) -> None:
        hook = hook_of(phone.press(phone.call(), "5"), "waitHook")
        caller = {"call_sid": CALL["call_sid"], "call_id": "x", "queue_size": 3}
        for position in (2, 1, 1):
            phone.clock.advance(1)
            answer = phone.post(hook, {"queue_position": position}, base=caller)
            assert spoken(verbs_of(answer)) == f"You are number {position}, Jane Doe"

    def test_end_in_a_wait_hook_leaves_the_queue(self, tmp_path: Path) -> None:
        phone = Phone(plan_of(MENU.replace("waitHook: music", "waitHook: end"), tmp_path))
        hook = hook_of(phone.press(phone.call(), "5"), "waitHook")
        assert verbs_of(phone.post(hook, {"queue_position": 1})) == [{"verb": "leave"}]

    def test_an_interim_transcript_has_no_verbs(self, tmp_path: Path) -> None:
        phone = Phone(plan_with("{verb: transcribe, next: {speech: {help: sales}, otherwise: sorry}}", tmp_path))
        hook = hook_of(phone.call(), "transcriptionHook")
        speech = {"alternatives": [{"transcript": "help me"}]}
        assert verbs_of(phone.post(hook, {"speech": {**speech, "is_final": False}})) == []
        assert verbs_of(phone.post(hook, {"speech": {**speech, "is_final": True}}))[0]["verb"] == "dial"
        assert verbs_of(phone.post(hook, {"speech": {"is_final": True, "alternatives": []}})) == SORRY

    @pytest.mark.parametrize(
        ("transcript", "verb"),
        [("जी हाँ", "dial"), ("नहीं है", "say"), ("我要找销售部", "dial"), ("그렇네요", "hangup")],
    )
    def test_a_phrase_can_be_in_any_script(self, tmp_path: Path, transcript: str, verb: str) -> None:
        table = '{"हाँ": sales, "नहीं": sorry, "销售": sales, "네": sales}'
        phone = Phone(
            plan_with(f"{{verb: gather, input: [speech], next: {{speech: {table}, otherwise: end}}}}", tmp_path)
        )
        assert phone.post_to_hook(phone.call(), **said(transcript))[0]["verb"] == verb

    def test_a_bot_s_event_belongs_to_the_signed_call_in_its_url(self, tmp_path: Path) -> None:
        bot = "{verb: lex, botId: a, botAlias: b, credentials: {}, region: us-east-1, eventHook: {intent: sales}}"
        phone = Phone(plan_with(bot, tmp_path))
        hook = hook_of(phone.call(), "eventHook")
        dial = verbs_of(phone.post(hook, {"event": "intent", "data": {}}, base={}))
        assert dial[0]["timeout"] == 30, "a variable from the first webhook"
        assert {item["call_id"]["S"] for item in phone.table.items.values()} == {CALL["call_sid"]}

    @pytest.mark.parametrize("forged", ["", "&sig=", f"&sig={'0' * 32}"])
    def test_an_event_with_an_unsigned_call_in_its_url_belongs_to_no_call(self, phone: Phone, forged: str) -> None:
        hook = hook_of(phone.call()).partition("#")[0] + f"&call={CALL['call_sid']}{forged}"
        verbs_of(phone.post(hook, {"event": "intent", "data": {}}, base={}))
        *_, last = phone.table.items.values()
        assert "call_id" not in last
        assert last["pk"]["S"].startswith("jambonz#none#")


class TestRepeats:
    def test_are_limited(self, phone: Phone) -> None:
        verbs = phone.call()
        for _ in range(2):
            verbs = phone.post_to_hook(verbs, reason="timeout")
            assert [verb["verb"] for verb in verbs] == ["say", "gather", "hangup"]
            assert spoken(verbs) == "Are you there?"
        assert phone.post_to_hook(verbs, reason="timeout") == SORRY

    def test_start_over_when_the_caller_returns_to_the_step(self, phone: Phone) -> None:
        verbs = phone.post_to_hook(phone.call(), reason="timeout")
        verbs = phone.press(phone.press(verbs, "*"), "*")
        assert [verb["verb"] for verb in phone.post_to_hook(verbs, reason="timeout")] == ["say", "gather", "hangup"]

    def test_count_all_outcomes_together(self, phone: Phone) -> None:
        verbs = phone.press(phone.call(), "9")
        assert verbs[0]["verb"] == "gather"
        assert phone.press(verbs, "9") == [{"verb": "hangup"}]

    def test_in_a_malformed_url_count_as_zero(self, phone: Phone) -> None:
        hook = hook_of(phone.call())
        first = phone.post(hook, {"reason": "timeout"}).body
        for repeated in ("", "-1", "x", "9" * 30, "\u0661"):
            malformed = hook.replace("hop=1", f"hop=1&repeated={repeated}")
            assert phone.post(malformed, {"reason": "timeout"}).body == first


def test_a_bare_get_uses_the_last_route_regardless_of_calendars(tmp_path: Path) -> None:
    text = MENU.replace("  - {flow: menu}", "  - {during: office, flow: menu}\n  - {flow: sorry}")
    container = Container(plan=plan_of(text, tmp_path))
    assert verbs_of(container.receive(signed_event("", method="GET"))) == SORRY
    assert verbs_of(container.receive_call(FIRST)) != SORRY


class TestHooks:
    def test_are_absolute_urls_with_retries_turned_on(self, phone: Phone) -> None:
        url = urlsplit(hook_of(phone.call()))
        assert f"{url.scheme}://{url.netloc}{url.path}" == f"{PUBLIC_URL}/webhooks/call/flows/menu/choice"
        assert url.fragment == "rc=2&rp=all"
        assert parse_qs(url.query) == {"hook": ["gather.actionHook"], "hop": ["1"]}

    @pytest.mark.parametrize("stage", ["", "/prod"])
    def test_use_the_request_s_address_without_a_public_url(self, plan: Plan, stage: str) -> None:
        event = signed_event(FIRST, path=f"{stage}/webhooks/call")
        event["requestContext"] |= {"domainName": "abc.execute-api.eu-west-1.amazonaws.com", "routeKey": ROUTE}
        hook = hook_of(verbs_of(Container(plan=plan, public_url="").receive(event)))
        base = f"https://abc.execute-api.eu-west-1.amazonaws.com{stage}"
        assert hook.startswith(f"{base}/webhooks/call/flows/menu/choice?")

    @pytest.mark.parametrize(
        ("public_url", "path", "before"),
        [
            ("https://hooks.example.com", "/webhooks/call", ""),
            ("https://hooks.example.com", "/prod/webhooks/call", ""),
            ("https://hooks.example.com/voice", "/webhooks/call", "/voice"),
            ("https://hooks.example.com/voice/", "/voice/webhooks/call", "/voice"),
            ("", "/webhooks/call", ""),
            ("", "/prod/webhooks/call", "/prod"),
        ],
    )
    def test_of_a_redirect_are_paths_without_a_fragment(
        self, public_url: str, path: str, before: str, tmp_path: Path
    ) -> None:
        plan = plan_of(REDIRECT, tmp_path)
        event = signed_event(FIRST, path=path)
        event["requestContext"]["routeKey"] = ROUTE
        (redirect,) = verbs_of(Container(plan=plan, public_url=public_url).receive(event))
        action, status = redirect["actionHook"], redirect["statusHook"]
        assert action.startswith(f"{before}/webhooks/call/flows/main/")
        assert action.endswith("?hook=redirect.actionHook&hop=1")
        assert status.startswith(f"{before}/webhooks/call/events?call={FIRST['call_sid']}&sig=")
        assert status.endswith("&hook=redirect.statusHook")

    def test_of_a_redirect_lead_to_its_flow(self, tmp_path: Path) -> None:
        phone = Phone(plan_of(REDIRECT, tmp_path))
        (redirect,) = phone.call()
        assert verbs_of(phone.post(redirect["actionHook"], {})) == [{"verb": "say", "text": "Sorry"}]

    def test_a_key_pressed_again_in_a_loop_is_a_new_event(self, phone: Phone) -> None:
        verbs = phone.call()
        for _ in range(3):
            verbs = phone.press(verbs, "*")
        assert phone.events.count("gather.actionHook dtmfDetected") == 3

    def test_after_a_plan_change_in_mid_call_the_step_is_found_by_its_id(self, phone: Phone, tmp_path: Path) -> None:
        hook = hook_of(phone.call())
        changed = MENU.replace('    - {verb: say, text: "Hello {caller_name|stranger}"}\n', "").replace(
            '"1": sales', '"1": five'
        )
        after = Phone(plan_of(changed, tmp_path), phone.table)
        assert spoken(verbs_of(after.post(hook, {"reason": "dtmfDetected", "digits": "1"}))).startswith("1")

    @pytest.mark.parametrize(
        ("known", "gone"),
        [
            *(("flows/menu/choice", path) for path in ("flows/gone/choice", "flows/menu/gone", "flows/five/choice")),
            ("gather.actionHook", "gather.otherHook"),
        ],
    )
    def test_of_a_removed_flow_or_step_or_an_unknown_kind_continue_the_call(
        self, phone: Phone, known: str, gone: str
    ) -> None:
        hook = hook_of(phone.call()).replace(known, gone)
        assert verbs_of(phone.post(hook, {"reason": "timeout"})) == []


class TestTheFirstWebhook:
    def test_is_read_once_and_only_for_data_that_only_it_has(self, phone: Phone) -> None:
        phone.press(phone.call(call_sid="other"), "5")
        assert phone.table.reads == 0
        dial = phone.press(phone.call(), "1")
        assert dial[0]["timeout"] == 30
        assert dial[0]["target"] == [{"type": "phone", "number": "+14155550177"}]
        assert phone.table.reads == 1

    def test_of_the_parent_is_used_for_a_dialled_leg(self, phone: Phone) -> None:
        hook = hook_of(phone.call())
        leg = {"call_sid": "7bb8d1d6", "parent_call_sid": CALL["call_sid"]}
        dial = verbs_of(phone.post(hook, {**leg, "reason": "dtmfDetected", "digits": "1"}))
        assert dial[0]["timeout"] == 30

    @pytest.mark.parametrize(
        "break_it",
        [
            lambda table: setattr(table, "read_fault", EndpointConnectionError(endpoint_url="https://dynamodb")),
            lambda table: table.items.clear(),
        ],
    )
    def test_that_cannot_be_read_is_replaced_by_defaults(self, phone: Phone, break_it: Callable[[Table], None]) -> None:
        verbs = phone.call()
        break_it(phone.table)
        dial = phone.press(verbs, "1")
        assert dial[0]["timeout"] == 20
        assert dial[0]["target"] == [{"type": "phone", "number": "+14155550100"}]


class TestFaults:
    @pytest.mark.parametrize("queue_fault", [None, EndpointConnectionError(endpoint_url="https://sqs")])
    def test_an_event_that_cannot_be_stored_is_answered_and_spilled_or_logged(
        self, phone: Phone, queue_fault: Exception | None, log: io.StringIO
    ) -> None:
        verbs = phone.call()
        phone.table.fault = EndpointConnectionError(endpoint_url="https://dynamodb")
        phone.queue.fault = queue_fault
        assert phone.press(verbs, "5")[1]["verb"] == "enqueue"
        assert [item["kind"] for item in [*phone.queue.items, *unstored(log.getvalue())]] == [{"S": "call.verb"}]

    def test_an_unsigned_get_is_rejected(self, phone: Phone) -> None:
        event = without_header(phone.event(hook_of(phone.call()), CALL), "jambonz-signature")
        event["requestContext"]["http"]["method"] = "GET"
        assert phone.receive(event).statusCode == 401
        assert len(phone.table.items) == 1

    def test_a_malformed_body_goes_to_quarantine_and_the_call_continues(self, phone: Phone) -> None:
        answer = phone.receive(phone.event(hook_of(phone.call()), "[]"))
        assert answer.statusCode == 202, "jambonz continues the call"
        assert any(key[0].startswith("quarantine#jambonz#") for key in phone.table.items)

    def test_a_body_of_null_is_a_hook_without_data(self, phone: Phone) -> None:
        answer = phone.receive(phone.event(hook_of(phone.call()), "null"))
        assert verbs_of(answer)[0]["verb"] == "gather"


def test_an_event_has_the_digits_and_the_step(phone: Phone) -> None:
    phone.press(phone.call(), "1")
    item = next(item for item in phone.table.items.values() if item["kind"]["S"] == "call.verb")
    details = detail_attributes(item)
    assert {name: details[name]["S"] for name in ("digits", "reason", "flow", "step")} == {
        "digits": "1",
        "reason": "dtmfDetected",
        "flow": "menu",
        "step": "choice",
    }
    assert (item["from"]["S"], item["to"]["S"], item["direction"]["S"]) == (CALL["from"], CALL["to"], "inbound")


TEXTS = st.text(max_size=40) | st.sampled_from(
    ["{SALES}", "<speak>", "say:{x}", '"},{"verb":"dial"', "https://evil.example"]
)


@given(name=TEXTS, digits=TEXTS, speech=TEXTS)
def test_caller_input_never_becomes_a_verb_a_url_or_a_placeholder(
    injection: Plan, name: str, digits: str, speech: str
) -> None:
    phone = Phone(injection)
    verbs = phone.call(caller_name=name, **{"from": digits})
    members = {"is_final": True, "alternatives": [{"transcript": speech}]}
    answered = phone.post(hook_of(verbs), {"digits": digits, "reason": "dtmfDetected", "speech": members})
    for verb in (*verbs, *verbs_of(answered)):
        assert verb["verb"] in {"gather", "play", "say", "dial", "hangup"}
        text = json.dumps(verb)
        assert "+14155550100" not in text
        if verb["verb"] == "play":
            assert verb["url"].startswith("https://media.example.com/")
            assert urlsplit(verb["url"]).path.count("/") == 1
        if verb["verb"] == "say":
            assert not set("<>{}") & set(verb["text"])
        if verb["verb"] == "dial":
            assert urlsplit(f"//{verb['target'][0]['sipUri'].removeprefix('sip:')}").hostname == "pbx.example.com"
