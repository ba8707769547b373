"""One vocabulary: which kind every event type and status of every provider becomes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from callhooks.events.call_event import Kind
from callhooks.providers import bird, voipstudio, wavix
from callhooks.providers.jambonz.client_auth import ClientRefusal
from callhooks.providers.jambonz.events import KIND_OF_MEMBER, KIND_OF_QUEUE_EVENT, KIND_OF_WORD
from callhooks.providers.jambonz.hook import KIND_OF_STATUS

from tests.senders import SENDERS, document_of, jambonz_event
from tests.support import ROOT

WAVIX = {
    "call_setup": "call.initiated",
    "ringing": "call.ringing",
    "early_media": "call.early_media",
    "answered": "call.answered",
    "completed": "call.completed",
    "busy": "call.busy",
    "cancelled": "call.cancelled",
    "rejected": "call.rejected",
    "on_call_event": "call.media",
    "in_call_event": "call.media",
    "incoming_call": "call.initiated",
    "teleported": "call.other",
}
WAVIX_DISPOSITIONS = ["answered", "noanswer", "busy", "failed", "teleported"]
BIRD = {
    ("voice.inbound", "starting"): "call.initiated",
    ("voice.inbound", "ringing"): "call.ringing",
    ("voice.inbound", "ongoing"): "call.answered",
    ("voice.inbound", "completed"): "call.completed",
    ("voice.inbound", "no-answer"): "call.no_answer",
    ("voice.inbound", "busy"): "call.busy",
    ("voice.inbound", "failed"): "call.failed",
    ("voice.inbound", "teleported"): "call.other",
    ("voice.outbound", "accepted"): "call.initiated",
    ("voice.outbound", "starting"): "call.initiated",
    ("voice.outbound", "ringing"): "call.ringing",
    ("voice.outbound", "ongoing"): "call.answered",
    ("voice.outbound", "completed"): "call.completed",
    ("voice.outbound", "no-answer"): "call.no_answer",
    ("voice.outbound", "busy"): "call.busy",
    ("voice.outbound", "failed"): "call.failed",
    ("voice.outbound", "cancelled"): "call.cancelled",
    ("voice.outbound", "teleported"): "call.other",
    ("voice.sideways", "completed"): "call.other",
    (None, "completed"): "call.completed",
}
VOIPSTUDIO = {
    ("call.initial", "INITIAL"): "call.initiated",
    ("call.initial", "ACCEPTED"): "call.initiated",
    ("call.ringing", "RINGING"): "call.ringing",
    ("call.missed", "HANGUP"): "call.missed",
    ("call.connected", "CONNECTED"): "call.answered",
    ("call.hangup", "HANGUP"): "call.completed",
    ("call.hold", "ON_HOLD"): "call.held",
    ("call.unhold", "CONNECTED"): "call.resumed",
    ("call.dtmf", "CONNECTED"): "call.dtmf",
    ("queue.wrapup", "START"): "queue.wrapup",
    ("queue.wrapup", "END"): "queue.wrapup",
    ("queue.wrapup", "TIMEOUT"): "queue.wrapup",
    ("queue.wrapup", "RINGING"): "queue.wrapup",
    ("call.ringing", "TELEPORTED"): "call.ringing",
    ("call.teleported", "RINGING"): "call.other",
    ("voicemail.received", None): "call.other",
}

JAMBONZ_STATUSES = {
    "queued": "call.initiated",
    "trying": "call.initiated",
    "ringing": "call.ringing",
    "early-media": "call.early_media",
    "in-progress": "call.answered",
    "completed": "call.completed",
    "busy": "call.busy",
    "no-answer": "call.no_answer",
    "failed": "call.failed",
    "teleported": "call.other",
}
JAMBONZ_WORDS = {
    ("event", "hold"): "call.held",
    ("event", "unhold"): "call.resumed",
    ("event", "reinvite"): "call.verb",
    ("event", "transfer-status"): "call.verb",
    ("type", "amd_human_detected"): "call.media",
    ("type", "amd_machine_detected"): "call.media",
    ("type", "amd_no_speech_detected"): "call.media",
    ("type", "amd_decision_timeout"): "call.media",
    ("type", "amd_machine_stopped_speaking"): "call.media",
    ("type", "amd_tone_detected"): "call.media",
    ("type", "amd_stopped"): "call.media",
    ("type", "amd_teleported"): "call.other",
    ("event_type", "stream_open"): "call.media",
    ("event_type", "stream_paused"): "call.media",
    ("event_type", "stream_resumed"): "call.media",
    ("event_type", "stream_closed"): "call.media",
    ("event_type", "user_interruption"): "call.media",
    ("event", "intent"): "call.other",
    ("event", "userMessage"): "call.other",
    ("event", "join"): "call.other",
    ("type", "response.done"): "call.other",
    ("event_type", "teleported"): "call.other",
}
JAMBONZ_MEMBERS = {
    ("error", "invalid actionHook response"): ("call.verb", "invalid actionHook response"),
    ("completion_reason", "normal conversation end"): ("call.verb", "normal conversation end"),
    ("reason", "playCompleted"): ("call.verb", "playCompleted"),
    ("dtmf", "5"): ("call.dtmf", "dtmf"),
    ("digits", "12"): ("call.verb", "digits"),
    ("speech_event", "{}"): ("call.media", "speech_event"),
    ("translation", "{}"): ("call.media", "translation"),
    ("speech", "{}"): ("call.media", "speech"),
    ("message_status", "failure"): ("call.verb", "message_status"),
    ("refer_status", "202"): ("call.verb", "refer_status"),
    ("refer_details", '{"referring_call_sid": "1"}'): ("call.verb", "refer_details"),
    ("sip_method", "INFO"): ("call.verb", "INFO"),
    ("result", "success"): ("call.verb", "result"),
    ("dial_call_status", "busy"): ("call.verb", "dial_call_status"),
    ("dial_call_duration", "17"): ("call.verb", "dial_call_duration"),
    ("queue_sid", "queue:1:support"): ("call.verb", "queue_sid"),
    ("dequeue_result", "complete"): ("call.verb", "dequeue_result"),
    ("hold_detail", "{}"): ("call.verb", "hold_detail"),
    ("dialogflow_result", "completed"): ("call.verb", "dialogflow_result"),
    ("lex_result", "completed"): ("call.verb", "lex_result"),
    ("rasa_result", "completed"): ("call.verb", "rasa_result"),
    ("parent_call_info", "{}"): ("call.other", "adulting"),
}


def without_missing(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


@pytest.mark.parametrize(("event_type", "kind"), WAVIX.items())
def test_wavix(event_type: str, kind: str) -> None:
    stored = SENDERS["wavix"]().stored({**document_of("wavix", "answered"), "event_type": event_type})
    assert (stored["kind"], stored["event_name"], stored["status"]) == (kind, event_type, event_type)


@pytest.mark.parametrize("disposition", WAVIX_DISPOSITIONS)
def test_wavix_after_the_call(disposition: str) -> None:
    stored = SENDERS["wavix"]().stored({**document_of("wavix", "post_call_answered"), "disposition": disposition})
    assert (stored["kind"], stored["event_name"], stored["status"]) == ("call.billed", "post-call", disposition)


@pytest.mark.parametrize(("event", "status", "kind"), [(*key, kind) for key, kind in BIRD.items()])
def test_bird(event: str | None, status: str, kind: str) -> None:
    document = without_missing({**document_of("bird", "voice_inbound_minimal"), "event": event})
    document["payload"]["status"] = status
    stored = SENDERS["bird"]().stored(document)
    assert (stored["kind"], stored["event_name"], stored["status"]) == (kind, event or status, status)


@pytest.mark.parametrize(("name", "state", "kind"), [(*key, kind) for key, kind in VOIPSTUDIO.items()])
def test_voipstudio(name: str, state: str | None, kind: str) -> None:
    document = without_missing({**document_of("voipstudio", "call_ringing"), "event_name": name, "state": state})
    stored = SENDERS["voipstudio"]().stored(document)
    assert (stored["kind"], stored["event_name"], stored.get("status")) == (kind, name, state)


def test_voipstudio_s_sms() -> None:
    stored = SENDERS["voipstudio"]().stored(document_of("voipstudio", "sms_received"))
    assert (stored["kind"], stored["event_name"]) == ("sms.received", "sms.received")


@pytest.mark.parametrize(("status", "kind"), JAMBONZ_STATUSES.items())
def test_jambonz(status: str, kind: str) -> None:
    stored = jambonz_event().stored({**document_of("jambonz", "call_status_dial_leg_ringing"), "call_status": status})
    assert (stored["kind"], stored["event_name"], stored["status"]) == (kind, status, status)


@pytest.mark.parametrize(("member", "word", "kind"), [(*key, kind) for key, kind in JAMBONZ_WORDS.items()])
def test_jambonz_by_a_word(member: str, word: str, kind: str) -> None:
    stored = jambonz_event().stored({**document_of("jambonz", "call_status_inbound_in_progress"), member: word})
    assert (stored["kind"], stored["event_name"], stored["status"]) == (kind, word, "in-progress")


@pytest.mark.parametrize(("event", "kind"), [("join", "queue.joined"), ("leave", "queue.left"), ("jump", "call.other")])
def test_jambonz_by_the_event_of_a_queue(event: str, kind: str) -> None:
    stored = jambonz_event().stored({**document_of("jambonz", "queue_event_join"), "event": event})
    assert (stored["kind"], stored["event_name"]) == (kind, event)


@pytest.mark.parametrize("event", ["start", "end", "join", "leave", "start-talking", "stop-talking", "teleport"])
def test_jambonz_by_the_event_of_a_conference(event: str) -> None:
    stored = jambonz_event().stored({**document_of("jambonz", "conference_status_join"), "event": event})
    assert (stored["kind"], stored["event_name"]) == ("call.verb", event)


@pytest.mark.parametrize(("member", "value", "told"), [(*key, told) for key, told in JAMBONZ_MEMBERS.items()])
def test_jambonz_by_a_member(member: str, value: str, told: tuple[str, str]) -> None:
    content = json.loads(value) if value.startswith("{") else value
    stored = jambonz_event().stored({**document_of("jambonz", "call_status_inbound_in_progress"), member: content})
    assert (stored["kind"], stored["event_name"]) == told


def test_every_word_and_member_of_jambonz_is_tried() -> None:
    assert {word for _, word in JAMBONZ_WORDS} >= KIND_OF_WORD.keys()
    assert {member for member, _ in JAMBONZ_MEMBERS} == KIND_OF_MEMBER.keys()


@pytest.mark.parametrize("document", [{"event_type": " RINGING "}, {"event_type": "Ringing"}])
def test_case_and_blanks_are_no_reason_not_to_know_a_word(document: dict[str, Any]) -> None:
    assert SENDERS["wavix"]().stored({**document_of("wavix", "answered"), **document})["kind"] == "call.ringing"


class TestTheCatalogue:
    """`docs/events.md` is what people look things up in: it says what the adapters do."""

    def rows(self, heading: str) -> dict[str, str]:
        text = (ROOT / "docs" / "events.md").read_text("utf-8")
        section = text.split(f"\n### {heading}\n", 1)[1].split("\n#", 1)[0]
        rows = re.findall(r"^\| (.+?) \| `([a-z._]+)` \|", section, re.MULTILINE)
        return {word: kind for words, kind in rows for word in re.findall(r"`([^`]+)`", words)}

    def test_wavix(self) -> None:
        assert self.rows("Wavix") == {word: kind.value for word, kind in wavix.KIND_OF_EVENT_TYPE.items()}

    def test_bird(self) -> None:
        assert self.rows("Bird") == {word: kind.value for word, kind in bird.KIND_OF_STATUS.items()}

    def test_voipstudio(self) -> None:
        assert self.rows("VoIPstudio") == {word: kind.value for word, kind in voipstudio.KIND_OF_EVENT_NAME.items()}

    def test_jambonz(self) -> None:
        assert self.rows("jambonz") == {word: kind.value for word, kind in KIND_OF_STATUS.items()}

    def test_the_clients_of_jambonz(self) -> None:
        text = (ROOT / "docs" / "events.md").read_text("utf-8")
        section = text.split("\n### jambonz: client authentication\n", 1)[1].split("\n#", 1)[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| `([a-z._]+)` \|", section, re.MULTILINE))
        assert rows == {"ok": Kind.CLIENT_REGISTERED, "fail": Kind.CLIENT_REFUSED}
        assert [reason for reason in ClientRefusal if f"`{reason}`" not in section] == []

    def test_jambonz_by_a_word(self) -> None:
        assert self.rows("jambonz: by a word") == {word: kind.value for word, kind in KIND_OF_WORD.items()}

    def test_jambonz_by_the_event_of_a_queue(self) -> None:
        rows = self.rows("jambonz: by the event of a queue")
        assert rows == {event: kind.value for event, kind in KIND_OF_QUEUE_EVENT.items()}

    def test_jambonz_by_a_member(self) -> None:
        rows = self.rows("jambonz: by a member")
        assert list(rows.items()) == [(member, kind.value) for member, kind in KIND_OF_MEMBER.items()]

    def test_every_kind_is_explained(self) -> None:
        text = (ROOT / "docs" / "events.md").read_text("utf-8")
        section = text.split("\n## Kinds\n", 1)[1].split("\n## ", 1)[0]
        assert set(re.findall(r"^\| `([a-z._]+)` \|", section, re.MULTILINE)) == {kind.value for kind in Kind}
