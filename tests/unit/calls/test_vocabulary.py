"""Every word of every provider maps to the kind documented in `docs/events.md`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import pytest
from callhooks.events.call_event import Kind
from callhooks.providers import bird, voipstudio, wavix
from callhooks.providers.jambonz.client_auth import ClientRefusal
from callhooks.providers.jambonz.events import KIND_OF_MEMBER, KIND_OF_QUEUE_EVENT, KIND_OF_WORD
from callhooks.providers.jambonz.hook import KIND_OF_STATUS

from tests.senders import SENDERS, document_of, jambonz_event
from tests.support import ROOT

PAGE = (ROOT / "docs" / "events.md").read_text("utf-8")
UNKNOWN = {"teleported": "call.other"}


def section(heading: str, end: str = "\n#") -> str:
    return PAGE.split(f"\n{heading}\n", 1)[1].split(end, 1)[0]


def rows(heading: str) -> dict[str, str]:
    """Return the kind of each word in a table of the page."""
    found = re.findall(r"^\| (.+?) \| `([a-z._]+)` \|", section(f"### {heading}"), re.MULTILINE)
    return {word: kind for words, kind in found for word in re.findall(r"`([^`]+)`", words)}


WAVIX = rows("Wavix")
AFTER_THE_CALL = WAVIX.pop("post-call")
VOIPSTUDIO = rows("VoIPstudio")
OF_SMS = VOIPSTUDIO.pop("sms.received")
BIRD = [(event, *row) for event in ("voice.inbound", "voice.outbound") for row in (rows("Bird") | UNKNOWN).items()]
NO_WORDS_OF_AN_EVENT = ("intent", "userMessage", "join", "response.done", "amd_teleported", "teleported")
JAMBONZ_WORDS = rows("jambonz: named events") | dict.fromkeys(NO_WORDS_OF_AN_EVENT, "call.other")
JAMBONZ_MEMBERS = {
    ("error", "invalid actionHook response"): "invalid actionHook response",
    ("completion_reason", "normal conversation end"): "normal conversation end",
    ("reason", "playCompleted"): "playCompleted",
    ("sip_method", "INFO"): "INFO",
    ("parent_call_info", "{}"): "adulting",
    ("refer_details", '{"referring_call_sid": "1"}'): "refer_details",
    **{(member, "{}"): member for member in ("speech_event", "translation", "speech", "hold_detail")},
    **{
        (member, "1"): member
        for member in (
            "dtmf", "digits", "message_status", "refer_status", "result", "dial_call_status", "dial_call_duration",
            "queue_sid", "dequeue_result", "dialogflow_result", "lex_result", "rasa_result",
        )
    },
}  # fmt: skip
"""Members of an event's body with a value, and the name of the resulting event."""


def normalised(sender: str, document: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """Return the kind, the name and the status of an event; members that are `None` are not sent."""
    sent = {name: value for name, value in document.items() if value is not None}
    stored = (jambonz_event() if sender == "jambonz" else SENDERS[sender]()).stored(sent)
    return stored["kind"], stored["event_name"], stored.get("status")


@pytest.mark.parametrize(("event_type", "kind"), (WAVIX | UNKNOWN).items())
def test_wavix(event_type: str, kind: str) -> None:
    for written in (event_type, f" {event_type.upper()} "):
        document = {**document_of("wavix", "answered"), "event_type": written}
        assert normalised("wavix", document)[0] == kind
    assert normalised("wavix", {**document, "event_type": event_type}) == (kind, event_type, event_type)


@pytest.mark.parametrize("disposition", ["answered", "noanswer", "busy", "failed", "teleported"])
def test_wavix_after_the_call(disposition: str) -> None:
    document = {**document_of("wavix", "post_call_answered"), "disposition": disposition}
    assert normalised("wavix", document) == (AFTER_THE_CALL, "post-call", disposition)


@pytest.mark.parametrize(
    ("event", "status", "kind"),
    [*BIRD, ("voice.sideways", "completed", "call.other"), (None, "completed", "call.completed")],
)
def test_bird(event: str | None, status: str, kind: str) -> None:
    document = {**document_of("bird", "voice_inbound_minimal"), "event": event}
    document["payload"]["status"] = status
    assert normalised("bird", document) == (kind, event or status, status)


@pytest.mark.parametrize(("name", "kind"), (VOIPSTUDIO | UNKNOWN).items())
@pytest.mark.parametrize("state", ["RINGING", "HANGUP", "TELEPORTED", None])
def test_voipstudio(name: str, state: str | None, kind: str) -> None:
    document = {**document_of("voipstudio", "call_ringing"), "event_name": name, "state": state}
    assert normalised("voipstudio", document) == (kind, name, state)


def test_voipstudio_s_sms() -> None:
    assert normalised("voipstudio", document_of("voipstudio", "sms_received"))[:2] == (OF_SMS, "sms.received")


@pytest.mark.parametrize(("status", "kind"), (rows("jambonz") | UNKNOWN).items())
def test_jambonz(status: str, kind: str) -> None:
    document = {**document_of("jambonz", "call_status_dial_leg_ringing"), "call_status": status}
    assert normalised("jambonz", document) == (kind, status, status)


@pytest.mark.parametrize("word", JAMBONZ_WORDS)
@pytest.mark.parametrize("member", ["event", "type", "event_type"])
def test_jambonz_by_a_value(member: str, word: str) -> None:
    document = {**document_of("jambonz", "call_status_inbound_in_progress"), member: word}
    assert normalised("jambonz", document) == (JAMBONZ_WORDS[word], word, "in-progress")


@pytest.mark.parametrize(
    ("recording", "events"),
    [
        ("queue_event_join", rows("jambonz: queue events") | UNKNOWN),
        (
            "conference_status_join",
            dict.fromkeys(["start", "end", "join", "leave", "start-talking", "stop-talking", "teleport"], "call.verb"),
        ),
    ],
)
def test_jambonz_by_the_event_of_a_queue_or_a_conference(recording: str, events: dict[str, str]) -> None:
    for event, kind in events.items():
        document = {**document_of("jambonz", recording), "event": event}
        assert normalised("jambonz", document)[:2] == (kind, event)


@pytest.mark.parametrize(("member", "value"), JAMBONZ_MEMBERS)
def test_jambonz_by_a_member(member: str, value: str) -> None:
    content = json.loads(value) if value.startswith("{") else value
    document = {**document_of("jambonz", "call_status_inbound_in_progress"), member: content}
    expected = rows("jambonz: unnamed deliveries")[member], JAMBONZ_MEMBERS[member, value]
    assert normalised("jambonz", document)[:2] == expected


class TestThePage:
    @pytest.mark.parametrize(
        ("heading", "kinds"),
        [
            ("Wavix", wavix.KIND_OF_EVENT_TYPE),
            ("Bird", bird.KIND_OF_STATUS),
            ("VoIPstudio", voipstudio.KIND_OF_EVENT_NAME),
            ("jambonz", KIND_OF_STATUS),
            ("jambonz: named events", KIND_OF_WORD),
            ("jambonz: queue events", KIND_OF_QUEUE_EVENT),
            ("jambonz: unnamed deliveries", KIND_OF_MEMBER),
        ],
    )
    def test_lists_every_known_word(self, heading: str, kinds: Mapping[str, Kind]) -> None:
        assert rows(heading) == {word: kind.value for word, kind in kinds.items()}

    def test_lists_the_members_of_jambonz_in_order_of_precedence(self) -> None:
        assert list(rows("jambonz: unnamed deliveries")) == list(KIND_OF_MEMBER)
        assert {member for member, _ in JAMBONZ_MEMBERS} == KIND_OF_MEMBER.keys()

    def test_lists_the_outcomes_of_client_authentication(self) -> None:
        text = section("### jambonz: client authentication")
        found = dict(re.findall(r"^\| `(\w+)` \| `([a-z._]+)` \|", text, re.MULTILINE))
        assert found == {"ok": Kind.CLIENT_REGISTERED, "fail": Kind.CLIENT_REFUSED}
        assert [reason for reason in ClientRefusal if f"`{reason}`" not in text] == []

    def test_explains_every_kind(self) -> None:
        explained = re.findall(r"^\| `([a-z._]+)` \|", section("## Kinds", "\n## "), re.MULTILINE)
        assert set(explained) == {kind.value for kind in Kind}
