"""The example plan, walked through every outcome: both versions of jambonz accept each response."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks.providers.jambonz.plan.outcomes import OUTCOMES
from callhooks.providers.jambonz.plan.plan import BUILTIN_VERBS
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file
from callhooks_tools.providers.jambonz.plan.notes import notes_on
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile, verb_faults
from jambonz_sdk.validator import JambonzValidator

from tests.support import ROOT, Clock
from tests.unit.providers.jambonz.test_action import CALL, FIRST, Phone, verbs_of

PLAN = read_plan(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml"))
OFFICE_HOURS = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)
NIGHT = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
WAITING = {"call_sid": CALL["call_sid"], "call_id": "x", "queue_position": 2, "queue_size": 3, "queue_time": 12}
BODIES: Mapping[str, Mapping[str, object]] = {
    "gather.actionHook timeout": {"reason": "timeout"},
    "gather.actionHook error": {"reason": "error", "details": "no recognizer"},
    "gather.actionHook low-confidence": {"reason": "stt-low-confidence"},
    "dial.actionHook completed": {"dial_call_status": "completed", "dial_sip_status": 200},
    "dial.actionHook busy": {"dial_call_status": "busy", "dial_sip_status": 486},
    "dial.actionHook no-answer": {"dial_call_status": "no-answer", "dial_sip_status": 487},
    "dial.actionHook declined": {"dial_call_status": "failed", "dial_sip_status": 603},
    "dial.actionHook failed": {"dial_call_status": "failed", "dial_sip_status": 503},
    "listen.actionHook completed": {"dial_call_duration": 12},
    "listen.actionHook digits": {"dial_call_duration": 12, "digits": "#"},
    "enqueue.actionHook bridged": {"queue_sid": "q", "queue_result": "bridged"},
    "enqueue.actionHook hangup": {"queue_sid": "q", "queue_result": "hangup"},
    "enqueue.actionHook leave": {"queue_sid": "q", "queue_result": "leave"},
    "enqueue.actionHook error": {"queue_sid": "q", "queue_result": "error"},
}
DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "*", "#", "12", "2125", "4155550100", "")


def documents(hook: str) -> Iterator[Mapping[str, object]]:
    """Yield every body that a hook of the plan may have, and one with an unknown reason."""
    yield {**CALL, "reason": "something new"}
    for word in OUTCOMES.get(hook, ()):
        if word not in ("digits", "speech") or f"{hook} {word}" in BODIES:
            yield {**CALL, **BODIES[f"{hook} {word}"]}
    if hook == "gather.actionHook":
        yield from ({**CALL, "reason": "dtmfDetected", "digits": digits} for digits in DIGITS)
        for words in ("sales", "I need SUPPORT, please", "a new order", "call me back", "what?"):
            speech = {"is_final": True, "alternatives": [{"transcript": words, "confidence": 0.9}]}
            yield {**CALL, "reason": "speechDetected", "speech": speech}
    if hook == "enqueue.waitHook":
        yield WAITING


def hooks_in(value: object) -> Iterator[str]:
    """Yield every URL into the plan in verbs."""
    if isinstance(value, str) and "/webhooks/call/flows/" in value:
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from hooks_in(member)


def walk(phone: Phone) -> Iterator[list[Any]]:
    """Yield every response that a call can get."""
    numbers, callers = ("+14155551234", "+14155550199"), ("+12125550187", "anonymous")
    ahead: list[str] = []
    seen: set[str] = set()
    for number, caller, direction in itertools.product(numbers, callers, ("inbound", "outbound")):
        sid = f"{number}{caller}{direction}"
        verbs = phone.call(call_sid=sid, to=number, direction=direction, **{"from": caller})
        yield verbs
        ahead += hooks_in(verbs)
    while ahead:
        hook = ahead.pop()
        place = hook.partition("hop=")[0] + hook.partition("repeated=")[2]
        if place in seen:
            continue
        seen.add(place)
        name = hook.partition("hook=")[2].partition("&")[0]
        for document in documents(name):
            phone.clock.advance(1)
            verbs = verbs_of(phone.post(hook, document, base={}))
            yield verbs
            ahead += hooks_in(verbs)


@pytest.mark.parametrize("now", [OFFICE_HOURS, NIGHT], ids=["by day", "by night"])
def test_jambonz_accepts_every_response(now: datetime) -> None:
    schemas = JambonzValidator()
    phone = Phone(PLAN, clock=Clock(now))
    answers = {json.dumps(verbs): verbs for verbs in walk(phone)}
    assert len(answers) > 10
    for answer in answers.values():
        if answer:
            assert schemas.validate_app(answer) == []
        for verb in answer:
            assert schemas.validate_verb(verb) == []
            assert verb_faults(verb, Profile.OSS) == []
            assert verb_faults(verb, Profile.V11) == []


@pytest.mark.parametrize("verbs", [PLAN.fallback, BUILTIN_VERBS])
def test_jambonz_accepts_the_fallback_and_the_built_in_message(verbs: Any) -> None:
    assert verbs
    assert [fault for verb in verbs for profile in Profile for fault in verb_faults(verb, profile)] == []


@pytest.mark.parametrize(
    ("members", "now", "flow"),
    [
        ({"to": "+14155550123", "from": "+12125550187", "direction": "inbound"}, OFFICE_HOURS, "reception"),
        ({"to": "+14155550123", "from": "+12125550187", "direction": "inbound"}, NIGHT, "closed"),
        ({"to": "14155550199", "from": "+12125550187", "direction": "outbound"}, OFFICE_HOURS, "reminder"),
        ({"to": "+14155550199", "from": "+12125550187", "direction": "inbound"}, OFFICE_HOURS, "not_in_service"),
        ({"to": "+14155551234", "from": "anonymous", "direction": "inbound"}, OFFICE_HOURS, "no_anonymous_calls"),
        ({}, OFFICE_HOURS, "not_in_service"),
    ],
)
def test_recorded_calls_reach_their_flows(members: dict[str, object], now: datetime, flow: str) -> None:
    assert PLAN.flow_for(CallFacts(members), now) == flow


def test_a_call_from_the_menu_to_the_voicemail() -> None:
    phone = Phone(PLAN, clock=Clock(OFFICE_HOURS))
    verbs = phone.call(to="+14155551234", env_vars={"COMPANY": "Smith & Sons"})
    assert "Smith & Sons" in verbs[0]["say"]["text"]
    verbs = phone.press(verbs, "7")
    assert verbs[0] == {"verb": "say", "text": "Sorry, that is not one of the choices."}
    dial = phone.press(verbs, "1")
    assert (dial[1]["timeout"], dial[1]["callerId"]) == (25, FIRST["from"])
    voicemail = phone.post_to_hook(dial, dial_call_status="busy", dial_sip_status=486)
    assert voicemail[1]["metadata"] == {"mailbox": "general", "caller": FIRST["from"], "name": "Jane Doe"}
    assert phone.post_to_hook(voicemail, dial_call_duration=7)[-1] == {"verb": "hangup"}


def test_the_callback_number_is_read_back() -> None:
    phone = Phone(PLAN, clock=Clock(OFFICE_HOURS))
    callback_menu = phone.press(phone.call(to="+14155551234"), "3")
    tag, redirect = phone.press(callback_menu, "4155550177")
    assert tag == {"verb": "tag", "data": {"callback": "4155550177"}}
    tagged = {**CALL, "customerData": {"callback": "4155550177"}}
    (confirm,) = verbs_of(phone.post(redirect["actionHook"], tagged))
    assert confirm["say"]["text"].startswith("You have entered 4 1 5 5 5 5 0 1 7 7.")
    wrong_key = {"reason": "dtmfDetected", "digits": "7"}
    (confirm,) = verbs_of(phone.post(confirm["actionHook"], {**tagged, **wrong_key}))
    assert confirm["say"]["text"].startswith("You have entered 4 1 5 5 5 5 0 1 7 7."), "not the wrong key"
    noted = verbs_of(phone.post(confirm["actionHook"], {**tagged, **wrong_key, "digits": "1"}))
    assert noted[0]["text"].startswith("We will call you back at 4 1 5 5 5 5 0 1 7 7.")


def test_the_plan_has_no_unreachable_flow_and_no_endless_loop() -> None:
    assert list(notes_on(PLAN)) == []
