"""One vocabulary: which kind every event type and status of every provider becomes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from callhooks.event import Kind
from callhooks.providers import bird, voipstudio, wavix
from callhooks.providers.jambonz.client_auth import Refusal
from callhooks.providers.jambonz.hook import KIND_OF_STATUS

from tests.senders import SENDERS, document_of
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
        section = text.split("\n#### Client authentication\n", 1)[1].split("\n#", 1)[0]
        rows = dict(re.findall(r"^\| `(\w+)` \| `([a-z._]+)` \|", section, re.MULTILINE))
        assert rows == {"ok": Kind.CLIENT_REGISTERED, "fail": Kind.CLIENT_REFUSED}
        assert [reason for reason in Refusal if f"`{reason}`" not in section] == []

    def test_every_kind_is_explained(self) -> None:
        text = (ROOT / "docs" / "events.md").read_text("utf-8")
        section = text.split("\n## Kinds\n", 1)[1].split("\n## ", 1)[0]
        assert set(re.findall(r"^\| `([a-z._]+)` \|", section, re.MULTILINE)) == {kind.value for kind in Kind}
