"""Events of jambonz that need no verbs: stored events and responses."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from callhooks.events.event_item import body_of_item
from callhooks.providers.jambonz.authentication import signature_header_value
from callhooks_tools.stack.recordings import read_delivery

from tests.senders import Stored, document_of, jambonz_event
from tests.support import (
    EVENTS,
    JAMBONZ_EVENT_PATHS,
    NOW,
    PASSWORD,
    USERNAME,
    WEBHOOK_SECRET,
    call_in_url,
    detail_attributes,
    with_header,
    without_header,
)

CALL = "d2515c3b-b79a-41a2-971a-445e769c823c"
DIALLED = "7bb8d1d6-8d5c-4c53-8b0b-2dd7ab9e5a43"
SIGNED = "2026-11-21T06:30:00.000Z"
RECEIVED = "2026-11-21T06:30:00.250Z"
QUERY = call_in_url(CALL)

KIND_AND_NAME = {
    "call_status_inbound_trying": ("call.initiated", "trying"),
    "call_status_inbound_in_progress": ("call.answered", "in-progress"),
    "call_status_inbound_completed": ("call.completed", "completed"),
    "call_status_inbound_no_answer": ("call.no_answer", "no-answer"),
    "call_status_inbound_failed": ("call.failed", "failed"),
    "call_status_dial_leg_trying": ("call.initiated", "trying"),
    "call_status_dial_leg_ringing": ("call.ringing", "ringing"),
    "call_status_dial_leg_early_media": ("call.early_media", "early-media"),
    "call_status_dial_leg_in_progress": ("call.answered", "in-progress"),
    "call_status_dial_leg_busy": ("call.busy", "busy"),
    "call_status_dial_leg_completed": ("call.completed", "completed"),
    "call_status_invalid_action_hook_response": ("call.verb", "invalid actionHook response"),
    "queue_event_join": ("queue.joined", "join"),
    "queue_event_leave_abandoned": ("queue.left", "leave"),
    "queue_event_leave_dequeued": ("queue.left", "leave"),
    "conference_status_join": ("call.verb", "join"),
    "conference_status_start_talking": ("call.verb", "start-talking"),
    "conference_status_end": ("call.verb", "end"),
    "gather_partial_result": ("call.media", "speech"),
    "transcription": ("call.media", "speech"),
    "transcription_after_tag": ("call.media", "speech"),
    "transcribe_translation": ("call.media", "translation"),
    "transcribe_speech_event": ("call.media", "speech_event"),
    "dial_dtmf": ("call.dtmf", "dtmf"),
    "sip_request_hold": ("call.held", "hold"),
    "sip_request_unhold": ("call.resumed", "unhold"),
    "amd_human": ("call.media", "amd_human_detected"),
    "amd_machine": ("call.media", "amd_machine_detected"),
    "message_success": ("call.verb", "message_status"),
    "sip_refer_transfer_status": ("call.verb", "transfer-status"),
    "session_adulting": ("call.other", "adulting"),
    "streaming_event": ("call.media", "stream_open"),
    "tokens_result": ("call.other", "tokens-result"),
    "llm_event_openai": ("call.other", "response.done"),
    "lex_event_intent": ("call.other", "intent"),
    "dialogflow_event_transcription": ("call.other", "transcription"),
}


def delivered(name: str) -> Stored:
    """Send a recorded delivery and return the stored event."""
    sender = jambonz_event()
    event = sender.sign(dict(read_delivery(EVENTS / "jambonz" / f"{name}.json").event), NOW)
    event["rawQueryString"] = event["rawQueryString"].replace(f"call={CALL}", call_in_url(CALL))
    answer = sender.receive(event)
    assert (answer.statusCode, answer.body, answer.headers) == (200, "[]", {"content-type": "application/json"})
    return Stored(sender.database.item)


def status(**changes: Any) -> dict[str, Any]:
    return {**document_of("jambonz", "call_status_inbound_in_progress"), **changes}


def test_every_recorded_event_is_listed_here() -> None:
    deliveries = [(path.stem, read_delivery(path)) for path in (EVENTS / "jambonz").glob("*.json")]
    assert {
        name for name, delivery in deliveries if delivery.request.path in JAMBONZ_EVENT_PATHS
    } == KIND_AND_NAME.keys()


@pytest.mark.parametrize("name", KIND_AND_NAME)
def test_every_recorded_event_is_stored_under_its_call_with_its_raw_body(name: str) -> None:
    call: str | None = DIALLED if "dial_leg" in name or name == "session_adulting" else CALL
    call = None if name in ("streaming_event", "tokens_result") else call
    stored = delivered(name)
    assert (stored["kind"], stored["event_name"]) == KIND_AND_NAME[name]
    assert (stored.get("call_id"), stored["pk"]) == (call, f"jambonz#{call or 'none#2026-11-21'}")
    assert body_of_item(stored.item) == read_delivery(EVENTS / "jambonz" / f"{name}.json").request.body
    assert stored["occurred_at"].startswith(("2026-11-21T06:30:0", "2026-11-21T06:31:2"))


ODD_HEADERS: list[object] = [None, [], "Q.850;cause=16", {}, 5]
DETAILS: dict[str, dict[str, object]] = {
    "call_status_dial_leg_ringing": {"parent_call_sid": CALL},
    "call_status_inbound_completed": {
        "duration_seconds": "64", "call_termination_by": "caller", "cause_code": "16",
        "customer_data.orderId": "A-1001", "customer_data.customerTier": "gold",
    },
    "call_status_invalid_action_hook_response": {"reason": "malformed jambonz payload: must be array"},
    "transcription_after_tag": {"customer_data.order_id": "A-1001"},
    "queue_event_join": {"queue": "support", "queue_length": "3"},
    "queue_event_leave_abandoned": {"reason": "abandoned", "queue_length": "2"},
    "queue_event_leave_dequeued": {
        "reason": "dequeued", "dequeuer_call_sid": "3e2f7d84-0c43-4b58-8f0a-6f0f0a1c9d52",
    },
    "conference_status_join": {
        "conference_sid": "conf:bb845d4b-83a9-4cde-a6e9-50f3743bab3f:standup", "friendly_name": "standup",
        "members": "2", "duration_seconds": "12.345",
    },
    "gather_partial_result": {
        "text": "I'd like to", "is_final": False, "language": "en-US", "channel": "1", "confidence": "0.91",
    },
    "transcription": {"text": "I'd like to speak to support", "is_final": True, "caller_name": "Jane Doe"},
    "transcribe_translation": {
        "text": "Bonjour, que puis-je faire pour vous ?", "language": "fr-FR", "channel": "2",
    },
    "transcribe_speech_event": {"type": "SPEECH_ACTIVITY_BEGIN"},
    "dial_dtmf": {"digits": "5"},
    "sip_request_hold": {"sip_method": "INVITE", "on_hold": True},
    "sip_request_unhold": {"on_hold": False},
    "amd_human": {"machine_detected": False, "reason": "short greeting", "text": "hello", "language": "en-US"},
    "amd_machine": {"machine_detected": True, "reason": "long greeting"},
    "message_success": {"message_status": "success", "carrier": "example-carrier"},
    "session_adulting": {"parent_call_sid": CALL},
}  # fmt: skip


@pytest.mark.parametrize("name", DETAILS)
def test_a_recorded_event_has_its_details(name: str) -> None:
    details = delivered(name).details
    assert {member: details.get(member) for member in DETAILS[name]} == DETAILS[name]


@pytest.mark.parametrize(
    ("members", "details"),
    [
        ({"call_termination_by": "bot"}, {"call_termination_by": "bot"}),
        ({"sip_status": "200", "duration": "31"}, {"sip_status": "200", "duration_seconds": "31"}),
        (
            {"message_sid": "1", "message_status": "failure", "message_failure_reason": "no route"},
            {"reason": "no route"},
        ),
        (
            {"refer_status": 202, "final_referred_call_status": 486},
            {"refer_status": "202", "final_referred_call_status": "486"},
        ),
        *(
            ({"headers": headers}, {"cause_code": cause})
            for headers, cause in [
                ({"reason": 'Q.850;cause=31;text="normal unspecified"'}, "31"),
                ({"reason": 'q.850 ;text="x";cause=17'}, "17"),
                ({"reason": "SIP;cause=200"}, None),
                ({"reason": "Q.850;cause=many"}, None),
                ({"reason": "Q.850;because=16"}, None),
                ({"reason": ["Q.850;cause=16"]}, None),
                ({"reason": None}, None),
                *((odd, None) for odd in ODD_HEADERS),
            ]
        ),
    ],
)
def test_a_member_becomes_a_detail(members: dict[str, Any], details: dict[str, str | None]) -> None:
    stored = jambonz_event().stored(status(call_status=" Completed ", **members))
    assert {name: stored.details.get(name) for name in details} == details


@pytest.mark.parametrize("headers", ODD_HEADERS)
def test_odd_headers_do_not_change_the_kind(headers: object) -> None:
    assert jambonz_event().stored(status(call_status=" Completed ", headers=headers))["kind"] == "call.completed"


@pytest.mark.parametrize(
    ("name", "member", "value", "occurred_at"),
    [
        ("queue_event_leave_dequeued", "", None, "2026-11-21T06:30:00.123Z"),
        ("conference_status_join", "", None, "2026-11-21T06:30:00.120Z"),
        *(
            ("queue_event_join", "join_time", odd, SIGNED)
            for odd in (0, -1, 1_732_148_000_123, 10**30, "soon", None, True, [1])
        ),
        *(
            ("conference_status_join", "time", odd, SIGNED)
            for odd in ("2024-11-21T06:30:00.120Z", "0001-01-01T00:00:00Z", "noon", 5)
        ),
    ],
)
def test_an_event_occurred_at_its_time_or_when_it_was_signed(
    name: str, member: str, value: object, occurred_at: str
) -> None:
    assert jambonz_event().stored({**document_of("jambonz", name), member: value})["occurred_at"] == occurred_at


class TestACallStatus:
    def test_is_stored_with_its_details(self) -> None:
        stored = delivered("call_status_inbound_trying")
        names = ("status", "direction", "from", "to", "occurred_at", "received_at")
        assert {name: stored[name] for name in names} == {
            "status": "trying",
            "direction": "inbound",
            "from": "+12125550187",
            "to": "+14155550123",
            "occurred_at": SIGNED,
            "received_at": RECEIVED,
        }
        assert stored.details == {
            "sip_status": "100",
            "sip_reason": "Trying",
            "sip_call_id": "6f0b1b0e-2c5a-123e-0fa1-0a4f6a1b2c3d",
            "sbc_callid": "2b9d2f0a1c4e4d0d@198.51.100.10",
            "account_sid": "bb845d4b-83a9-4cde-a6e9-50f3743bab3f",
            "application_sid": "72c5c38f-9bba-40ce-aa83-aaa6be55e1b5",
            "trunk": "example-carrier",
            "originating_sip_ip": "198.51.100.10",
            "trace_id": "18228daa536f82e0ec29074e7bf47b89",
        }


@pytest.mark.parametrize("name", ["call_status_dial_leg_ringing", "queue_event_leave_dequeued", "session_adulting"])
def test_the_parties_of_every_hook_are_decoded_and_its_body_is_kept(name: str) -> None:
    body = {**document_of("jambonz", name), "from": "%2B12125550187", "to": "*31%23%2b4930123456"}
    stored = jambonz_event().stored(body)
    assert (stored["from"], stored["to"]) == ("+12125550187", "*31#+4930123456")
    assert json.loads(body_of_item(stored.item)) == body


class TestTags:
    def test_may_be_numbers_and_flags(self) -> None:
        tags = {"n": 7, "big": 10**50, "part": 1.5, "vip": False, "none": None, "blank": " ", "list": [1]}
        details = detail_attributes(jambonz_event().stored(status(customerData=tags)).item)
        assert {name: value for name, value in details.items() if name.startswith("customer_data.")} == {
            "customer_data.n": {"N": "7"},
            "customer_data.big": {"S": str(10**50)},
            "customer_data.part": {"S": "1.5"},
            "customer_data.vip": {"BOOL": False},
        }

    def test_are_limited_in_number(self) -> None:
        details = jambonz_event().stored(status(customerData={f"k{n}": n for n in range(1000)})).details
        assert len([name for name in details if name.startswith("customer_data.")]) == 50

    @pytest.mark.parametrize("key", ["", " ", "#", "\ud800", "k" * 2000])
    def test_may_have_any_key(self, key: str) -> None:
        details = jambonz_event().stored(status(customerData={key: "gold"})).details
        assert "gold" in details.values()


class TestSpeech:
    @pytest.mark.parametrize("alternatives", [None, [], [{}], "hello", [5], {"transcript": "x"}])
    def test_may_be_empty(self, alternatives: object) -> None:
        stored = jambonz_event().stored(status(speech={"is_final": True, "alternatives": alternatives}))
        assert (stored["kind"], "text" in stored.details) == ("call.media", False)

    def test_with_a_reason_is_the_end_of_a_verb(self) -> None:
        speech = document_of("jambonz", "transcription")["speech"]
        stored = jambonz_event().stored(status(speech=speech, reason="speechDetected"))
        assert (stored["kind"], stored["event_name"]) == ("call.verb", "speechDetected")
        assert stored.details["text"] == "I'd like to speak to support"


class TestOtherHooks:
    def test_of_a_transferred_call_have_the_other_call_s_status(self) -> None:
        stored = delivered("sip_refer_transfer_status")
        assert stored.get("status") is None
        assert stored.details == {"hook": "sip:refer.eventHook", "transfer_status": "180"}

    @pytest.mark.parametrize(
        "document",
        [
            {"type": "response.audio.done", "call_id": "call_1", "duration": 5, "from": "model", "reason": "stop"},
            {"type": "error", "error": "overloaded", "call_status": "completed"},
            {"event": "response-text", "data": "hello"},
            {"event": "userMessage", "message": "hello", "time": "2026-11-21T06:29:00Z"},
            {"event": "transcription", "type": 5},
        ],
    )
    def test_of_a_vendor_have_its_name_and_no_call_details(self, document: dict[str, Any]) -> None:
        stored = jambonz_event().stored(document, rawQueryString=call_in_url(CALL))
        assert (stored["kind"], stored["event_name"]) == ("call.other", document.get("event") or document["type"])
        assert (stored["call_id"], stored.details, stored["occurred_at"]) == (CALL, {}, SIGNED)
        assert [stored.get(name) for name in ("status", "from", "to", "direction")] == [None] * 4


class TestTheQuery:
    def test_does_not_override_the_call_in_the_body(self) -> None:
        stored = jambonz_event().stored(status(), rawQueryString=call_in_url("another"))
        assert stored["call_id"] == CALL
        stored = delivered("llm_event_openai")
        assert (stored["call_id"], stored["query"]) == (CALL, f"{QUERY}&hook=llm.eventHook")

    @pytest.mark.parametrize(
        "query",
        [
            "",
            "call=",
            call_in_url(""),
            "call",
            "hook=x",
            "=1&&",
            f"call={CALL}",
            f"call={CALL}&sig=",
            f"call={CALL}&sig={'0' * 32}",
            call_in_url("another").replace("another", CALL),
            call_in_url(CALL, key="another"),
            call_in_url(CALL, key=PASSWORD),
            f"{call_in_url(CALL)}&call=another",
        ],
    )
    def test_with_a_missing_or_unsigned_call_leaves_the_event_without_a_call(self, query: str) -> None:
        stored = jambonz_event().stored({"type": "ping"}, rawQueryString=query)
        assert (stored["pk"], stored.get("call_id")) == ("jambonz#none#2026-11-21", None)

    @pytest.mark.parametrize(
        ("changes", "keys"),
        [
            ({"webhook_secrets": ["wh_secret_newest", WEBHOOK_SECRET]}, ["wh_secret_newest", WEBHOOK_SECRET]),
            ({"webhook_secrets": [], "further_passwords": ["older", "oldest"]}, [PASSWORD, "older", "oldest"]),
        ],
    )
    def test_may_be_signed_with_any_webhook_secret_or_without_one_any_password(
        self, changes: dict[str, Any], keys: list[str]
    ) -> None:
        for key in keys:
            sender = jambonz_event()
            sender.secrets.text = json.dumps({"username": USERNAME, "password": PASSWORD, **changes})
            stored = sender.stored({"type": "ping"}, rawQueryString=call_in_url(CALL, key=key))
            assert stored["call_id"] == CALL

    @pytest.mark.parametrize("call", ["+12125550187", "x" * 3000, "\U0001f4de", "sip:jane@example.com"])
    def test_may_name_a_call_that_cannot_be_a_key(self, call: str) -> None:
        stored = jambonz_event().stored({"type": "ping"}, rawQueryString=call_in_url(call))
        assert stored["pk"].startswith("jambonz#sha256-")

    def test_names_the_hook(self) -> None:
        stored = jambonz_event().stored(
            document_of("jambonz", "conference_status_join"), rawQueryString="hook=conference.statusHook"
        )
        assert (stored["event_name"], stored.details["hook"]) == ("join", "conference.statusHook")

    def test_names_the_event_if_the_body_does_not(self) -> None:
        stored = jambonz_event().stored({"server_content": {}}, rawQueryString="hook=llm.eventHook")
        assert (stored["kind"], stored["event_name"]) == ("call.other", "llm.eventHook")

    def test_turns_a_body_with_only_the_call_into_the_end_of_a_verb(self) -> None:
        # The body of a conference's actionHook is only the call, the same bytes as a status.
        stored = jambonz_event().stored(status(), rawQueryString="hook=conference.actionHook")
        assert (stored["kind"], stored["event_name"]) == ("call.verb", "conference.actionHook")
        assert stored["status"] == "in-progress"

    def test_may_be_in_any_order(self) -> None:
        sender = jambonz_event()
        sender.send({"type": "ping"}, rawQueryString=f"{call_in_url('1')}&hook=x")
        assert sender.send({"type": "ping"}, rawQueryString=f"hook=x&{call_in_url('1')}").replayed


class TestABodyWithoutData:
    @pytest.mark.parametrize("body", ["null", " null\n", "{}", '{"unrelated": true}'])
    @pytest.mark.parametrize(
        ("path", "name"),
        [
            ("/webhooks/call/events", "events"),
            ("/adulting", "adulting"),
            ("/streaming-event", "streaming-event"),
            ("/tokens-result", "tokens-result"),
        ],
    )
    def test_is_stored_and_named_after_its_path(self, body: str, path: str, name: str) -> None:
        stored = jambonz_event().stored(body, rawPath=path)
        assert (stored["kind"], stored["event_name"], stored["pk"]) == (
            "call.other",
            name,
            "jambonz#none#2026-11-21",
        )

    def test_may_have_only_a_status(self) -> None:
        stored = jambonz_event().stored({"call_status": "ringing"}, rawQueryString=call_in_url(CALL))
        assert (stored["kind"], stored["status"], stored["call_id"]) == ("call.ringing", "ringing", CALL)


@pytest.mark.parametrize("path", JAMBONZ_EVENT_PATHS)
def test_no_method_is_accepted_without_a_signature(path: str) -> None:
    sender = jambonz_event()
    event = without_header(sender.event(status(), rawPath=path), "jambonz-signature")
    for method in ("GET", "HEAD", "PUT", "POST"):
        event["requestContext"]["http"]["method"] = method
        assert sender.receive(event).statusCode == 401
    assert sender.items == []


class TestADuplicate:
    @pytest.mark.parametrize("body", [json.dumps(status()), "not JSON"])
    def test_is_one_event_for_any_spelling_of_its_header(self, body: str) -> None:
        sender = jambonz_event()
        event = sender.event(body)
        signature = event["headers"]["jambonz-signature"]
        time, _, digest = signature.partition(",")
        answers = [
            sender.receive(with_header(event, "jambonz-signature", spelt))
            for spelt in (
                signature,
                f"{time}, {digest}",
                f" {time} ,\t{digest} ",
                f"{signature},v1=junk",
                f"v1=junk,{signature}",
                f"{digest},{time}",
                f"{signature},x=1",
                f"{signature},",
            )
        ]
        assert [answer.replayed for answer in answers] == [False] + [True] * 7
        assert len(sender.items) == 1

    def test_is_one_event_if_it_is_signed_with_another_secret(self) -> None:
        sender = jambonz_event()
        sender.secrets.text = json.dumps({**sender.secret, "webhook_secrets": [WEBHOOK_SECRET, "wh_secret_new"]})
        event = sender.event(status())
        rotated = signature_header_value("wh_secret_new", NOW, event["body"].encode())
        assert not sender.receive(event).replayed
        assert sender.receive(with_header(event, "jambonz-signature", rotated)).replayed

    def test_is_not_assumed_for_another_body_second_or_url(self) -> None:
        sender = jambonz_event()
        answers = [sender.send(status(call_status=word)) for word in ("ringing", "in-progress", "completed")]
        elsewhere = ({"rawPath": "/adulting"}, {"rawQueryString": "hook=dial.confirmHook"}, {"rawQueryString": QUERY})
        answers += [sender.send(status(), **url) for url in elsewhere]
        sender.clock.advance(1)
        answers.append(sender.send(status()))
        assert [answer.replayed for answer in answers] == [False] * 7
        assert len({item["sk"]["S"].partition("~")[0] for item in sender.items}) == 7

    @pytest.mark.parametrize("second", ["t=1795242600", "t=1", "t=", "t=x"])
    def test_with_two_times_is_rejected(self, second: str) -> None:
        sender = jambonz_event()
        event = sender.event(status())
        signature = event["headers"]["jambonz-signature"]
        for spelt in (f"{signature},{second}", f"{second},{signature}", f"{second}, {signature}"):
            assert sender.receive(with_header(event, "jambonz-signature", spelt)).statusCode == 401
        assert sender.items == []

    def test_is_known_by_the_exact_header_if_no_webhook_secret_is_set(self) -> None:
        sender = jambonz_event()
        sender.secrets.text = json.dumps({**sender.secret, "webhook_secrets": []})
        event = sender.event(status())
        respelt = with_header(event, "jambonz-signature", event["headers"]["jambonz-signature"] + ",x=1")
        assert [sender.receive(one).replayed for one in (event, event, respelt)] == [False, True, False]
        assert {item["occurred_at"]["S"] for item in sender.items} == {SIGNED}


class TestQuarantine:
    def test_stores_all_data_that_distinguishes_hooks(self) -> None:
        sender = jambonz_event()
        query = f"{call_in_url('1')}&hook=gather.partialResultHook"
        event = sender.event("not JSON", rawQueryString=query)
        assert sender.receive(event).statusCode == 202
        item = sender.database.item
        members = ("method", "path", "query", "sent_at", "signed_call", "sender_mark")
        assert {name: item[name]["S"] for name in members} == {
            "method": "POST",
            "path": "/webhooks/call/events",
            "query": query,
            "sent_at": SIGNED,
            "signed_call": "1",
            "sender_mark": f"{int(NOW.timestamp())}.{hashlib.sha256(b'not JSON').hexdigest()}",
        }
        assert item["headers"] == {"M": {"content-type": {"S": "application/json"}}}

    def test_stores_the_same_body_separately_by_url_and_signature(self) -> None:
        sender = jambonz_event()
        event = sender.event("not JSON")
        elsewhere = [{**event, "rawPath": "/adulting"}, {**event, "rawQueryString": "hook=x"}]
        sender.clock.advance(5)
        events = [event, *elsewhere, sender.event("not JSON")]
        assert [sender.receive(one).replayed for one in events * 2] == [False] * 4 + [True] * 4
        assert len(sender.items) == 4
