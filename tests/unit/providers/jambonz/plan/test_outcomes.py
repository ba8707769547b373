"""Outcomes of verbs, read from bodies of action hooks as jambonz really sends them."""

from __future__ import annotations

from typing import Any

import pytest
from callhooks.providers.jambonz.plan.outcomes import OUTCOMES, VerbOutcome, outcome_of
from hypothesis import given
from hypothesis import strategies as st

SPEECH = {
    "language_code": "en-US",
    "channel_tag": 1,
    "is_final": True,
    "alternatives": [{"confidence": 0.9, "transcript": "sales please"}, {"confidence": 0.4, "transcript": "sails"}],
}


@pytest.mark.parametrize(
    ("hook", "document", "names"),
    [
        ("gather.actionHook", {"reason": "dtmfDetected", "digits": "1"}, ("digits",)),
        ("gather.actionHook", {"reason": "speechDetected", "speech": SPEECH}, ("speech",)),
        ("gather.actionHook", {"reason": "stt-low-confidence", "speech": SPEECH}, ("low-confidence",)),
        ("gather.actionHook", {"reason": "timeout"}, ("timeout",)),
        ("gather.actionHook", {"reason": "error", "details": "no recognizer"}, ("error",)),
        ("config.bargeIn.actionHook", {"reason": "speechDetected", "speech": SPEECH}, ("speech",)),
        ("dial.actionHook", {"dial_call_status": "completed", "dial_sip_status": 200}, ("completed",)),
        ("dial.actionHook", {"dial_call_status": "busy", "dial_sip_status": 486}, ("busy",)),
        ("dial.actionHook", {"dial_call_status": "busy", "dial_sip_status": 600}, ("busy",)),
        ("dial.actionHook", {"dial_call_status": "no-answer", "dial_sip_status": 487}, ("no-answer",)),
        ("dial.actionHook", {"dial_call_status": "failed", "dial_sip_status": 404}, ("failed",)),
        ("dial.actionHook", {"dial_call_status": "failed", "dial_sip_status": 603}, ("declined", "failed")),
        ("dial.actionHook", {"dial_call_status": "ringing", "dial_sip_status": 180}, ("no-answer",)),
        ("dial.actionHook", {"dial_call_status": "trying"}, ("no-answer",)),
        ("dial.actionHook", {"dial_call_status": "early-media", "dial_sip_status": 183}, ("no-answer",)),
        ("dial.actionHook", {"dial_call_status": "in-progress", "dial_sip_status": 200}, ("no-answer",)),
        ("play.actionHook", {"reason": "playCompleted", "playback_seconds": 3}, ("completed",)),
        ("play.actionHook", {"reason": "playFailed", "status": "fail"}, ("failed",)),
        ("listen.actionHook", {"dial_call_duration": 12}, ("completed",)),
        ("listen.actionHook", {"dial_call_duration": 12, "digits": "#"}, ("digits", "completed")),
        ("enqueue.actionHook", {"queue_sid": "queue:a:b", "queue_time": 4, "queue_result": "bridged"}, ("bridged",)),
        ("enqueue.actionHook", {"queue_result": "leave"}, ("leave",)),
        ("dequeue.actionHook", {"dequeue_result": "timeout"}, ("timeout",)),
        ("conference.actionHook", {}, ("completed",)),
        ("transcribe.transcriptionHook", {"speech": SPEECH}, ("speech",)),
        ("transcribe.translationHook", {"translation": {"language": "nl"}}, ("translation",)),
        ("amd.actionHook", {"type": "amd_human_detected", "reason": "short greeting"}, ("human",)),
        ("amd.actionHook", {"type": "amd_machine_detected", "reason": "long greeting"}, ("machine",)),
        ("amd.actionHook", {"type": "amd_no_speech_detected"}, ("no-speech",)),
        ("amd.actionHook", {"type": "amd_decision_timeout"}, ("decision-timeout",)),
        ("amd.actionHook", {"type": "amd_machine_stopped_speaking"}, ("machine-stopped-speaking",)),
        ("amd.actionHook", {"type": "amd_tone_detected", "frequency": 440}, ("tone",)),
        ("amd.actionHook", {"type": "amd_stopped"}, ("stopped",)),
        ("sip:refer.actionHook", {"refer_status": 202}, ("completed",)),
        ("sip:refer.actionHook", {"refer_status": 202, "final_referred_call_status": 200}, ("completed",)),
        ("sip:refer.actionHook", {"refer_status": 202, "final_referred_call_status": 486}, ("failed",)),
        ("sip:refer.actionHook", {"refer_status": 405}, ("failed",)),
        ("sip:request.actionHook", {"result": "success", "sip_status": 200}, ("success",)),
        ("sip:request.actionHook", {"result": "failed", "err": "timeout"}, ("failed",)),
        ("message.actionHook", {"message_sid": "a", "message_status": "success"}, ("success",)),
        ("message.actionHook", {"message_status": "no carriers"}, ("no-carriers", "failure")),
        ("message.actionHook", {"message_status": "smpp configuration error"}, ("smpp-configuration-error", "failure")),
        ("llm.actionHook", {"completion_reason": "normal conversation end"}, ("completed",)),
        ("llm.actionHook", {"completion_reason": "connection failure - 401"}, ("connection-failure", "failed")),
        ("llm.actionHook", {"completion_reason": "disconnect from remote end"}, ("disconnected", "failed")),
        ("llm.actionHook", {"completion_reason": "server error"}, ("server-error", "failed")),
        ("llm.actionHook", {"completion_reason": "client error calling mcp function"}, ("tool-error", "failed")),
        ("llm.actionHook", {"completion_reason": "something new"}, ("failed", "failed")),
        ("dialogflow.actionHook", {"dialogflow_result": {}}, ("completed",)),
        ("dialogflow.eventHook", {"event": "no-input", "data": {}}, ("no-input",)),
        ("config.sipRequestWithinDialogHook", {"sip_method": "INFO", "sip_body": "x"}, ("info",)),
        ("enqueue.waitHook", {"queue_sid": "queue:a:b", "queue_time": 0, "queue_position": 1}, ()),
        ("redirect.actionHook", {}, ()),
    ],
)
def test_the_outcome_is_read_from_the_real_members(hook: str, document: dict[str, Any], names: tuple[str, ...]) -> None:
    call = {"call_sid": "abc", "call_status": "in-progress", "sip_status": 200, "from": "+12125550187"}
    outcome = outcome_of(hook, {**call, **document})
    assert outcome.names == names
    assert not outcome.is_interim
    if OUTCOMES.get(hook):
        assert set(names) <= set(OUTCOMES[hook]), "a plan could not name it"


def test_digits_and_transcripts_are_returned_and_interim_results_marked() -> None:
    gather, transcribe = "gather.actionHook", "transcribe.transcriptionHook"
    assert outcome_of(gather, {"reason": "dtmfDetected", "digits": "12#"}).digits == "12#"
    assert outcome_of(gather, {"reason": "dtmfDetected", "digits": 12}).digits == "12"
    assert outcome_of(gather, {"reason": "speechDetected", "speech": SPEECH}).speech == ("sales please", "sails")
    assert outcome_of(gather, {"reason": "stt-low-confidence", "speech": SPEECH}).speech == (), "matches no phrase"
    assert outcome_of("listen.actionHook", {"dial_call_duration": 3, "digits": "#"}).digits == "#"
    assert outcome_of(transcribe, {"speech": {**SPEECH, "is_final": False}}).is_interim
    assert outcome_of(transcribe, {"speech_event": {"type": "start-of-speech"}}).is_interim
    hold = {"sip_method": "INVITE", "event": "hold", "on_hold": True}
    assert outcome_of("config.sipRequestWithinDialogHook", hold).is_interim


@pytest.mark.parametrize(
    "hook", ["gather.actionHook", "dial.actionHook", "play.actionHook", "listen.actionHook", "llm.actionHook",
             "enqueue.actionHook", "sip:refer.actionHook", "message.actionHook", "amd.actionHook"],
)  # fmt: skip
@pytest.mark.parametrize("document", [{}, {"reason": None}, {"call_status": "in-progress", "reason": "new"}])
def test_a_body_without_an_outcome_has_no_name_that_a_plan_uses(hook: str, document: dict[str, Any]) -> None:
    assert not set(outcome_of(hook, document).names) & set(OUTCOMES[hook])


def test_a_member_of_another_hook_is_ignored() -> None:
    stray = {"type": "x", "result": "x", "translation": None, "dial_call_status": "busy", "event": "hold"}
    assert outcome_of("gather.actionHook", {**stray, "reason": "dtmfDetected", "digits": "1"}).digits == "1"
    refer = {"refer_status": 202, "final_referred_call_status": None, "reason": "timeout"}
    assert outcome_of("sip:refer.actionHook", refer).names == ("completed",)
    failed = {"dial_call_status": "failed", "dial_sip_status": "603"}
    assert outcome_of("dial.actionHook", failed).names[0] == "declined"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda members: st.lists(members, max_size=3) | st.dictionaries(st.text(max_size=8), members, max_size=3),
    max_leaves=8,
)
MEMBERS = st.sampled_from(
    ["reason", "digits", "speech", "dial_call_status", "dial_sip_status", "queue_result", "type", "event",
     "sip_method", "refer_status", "final_referred_call_status", "message_status", "completion_reason", "result",
     "dial_call_duration"]
)  # fmt: skip


@given(st.dictionaries(MEMBERS, JSON), st.sampled_from(sorted(OUTCOMES)) | st.text())
def test_any_body_has_an_outcome(document: dict[str, Any], hook: str) -> None:
    assert isinstance(outcome_of(hook, document), VerbOutcome)
