"""Events of jambonz that need no verbs: stored events and responses."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError
from callhooks.providers.jambonz.authentication import signature_header_value
from callhooks_tools.stack.recordings import read_delivery

from tests.senders import Stored, document_of, jambonz_event
from tests.support import (
    EVENTS,
    JAMBONZ_EVENT_PATHS,
    NOW,
    OUT_OF_ORDER,
    PASSWORD,
    USERNAME,
    WEBHOOK_SECRET,
    Event,
    call_in_url,
    detail_attributes,
    unstored,
    with_header,
    without_header,
)

CALL = "d2515c3b-b79a-41a2-971a-445e769c823c"
DIALLED = "7bb8d1d6-8d5c-4c53-8b0b-2dd7ab9e5a43"
SIGNED = "2026-11-21T06:30:00.000Z"
RECEIVED = "2026-11-21T06:30:00.250Z"
THROTTLED: Any = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}

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
DIALLED_LEG_EVENTS = {name for name in KIND_AND_NAME if "dial_leg" in name} | {"session_adulting"}
EVENTS_WITHOUT_CALL = {"streaming_event", "tokens_result"}


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
class TestEveryRecordedEvent:
    def test_has_its_kind_and_name(self, name: str) -> None:
        stored = delivered(name)
        assert (stored["kind"], stored["event_name"]) == KIND_AND_NAME[name]

    def test_is_stored_under_its_call(self, name: str) -> None:
        call = None if name in EVENTS_WITHOUT_CALL else DIALLED if name in DIALLED_LEG_EVENTS else CALL
        stored = delivered(name)
        assert stored.get("call_id") == call
        assert stored["pk"] == f"jambonz#{call or 'none#2026-11-21'}"

    def test_is_stored_with_its_raw_body(self, name: str) -> None:
        item = delivered(name).item
        body = gzip.decompress(item["body"]["B"]) if item["body_encoding"]["S"] == "gzip" else item["body"]["B"]
        assert body == read_delivery(EVENTS / "jambonz" / f"{name}.json").request.body

    def test_occurred_at_a_time_in_the_delivery(self, name: str) -> None:
        assert delivered(name)["occurred_at"].startswith(("2026-11-21T06:30:0", "2026-11-21T06:31:2"))


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

    def test_of_a_dialled_leg_has_its_parent(self) -> None:
        stored = delivered("call_status_dial_leg_ringing")
        assert (stored["direction"], stored["to"]) == ("outbound", "+14155550199")
        assert stored.details["parent_call_sid"] == CALL

    def test_at_the_end_has_duration_and_cause(self) -> None:
        details = delivered("call_status_inbound_completed").details
        assert {name: details[name] for name in ("duration_seconds", "call_termination_by", "cause_code")} == {
            "duration_seconds": "64",
            "call_termination_by": "caller",
            "cause_code": "16",
        }

    @pytest.mark.parametrize(
        ("reason", "cause"),
        [
            ('Q.850;cause=31;text="normal unspecified"', "31"),
            ('q.850 ;text="x";cause=17', "17"),
            ("SIP;cause=200", None),
            ("Q.850;cause=many", None),
            ("Q.850;because=16", None),
            (["Q.850;cause=16"], None),
            (None, None),
        ],
    )
    def test_has_the_q_850_cause_of_the_far_end(self, reason: object, cause: str | None) -> None:
        stored = jambonz_event().stored(status(call_status="completed", headers={"reason": reason}))
        assert stored.details.get("cause_code") == cause

    @pytest.mark.parametrize("headers", [None, [], "Q.850;cause=16", {}, 5])
    def test_requires_no_headers(self, headers: object) -> None:
        stored = jambonz_event().stored(status(call_status="completed", headers=headers))
        assert (stored["kind"], "cause_code" in stored.details) == ("call.completed", False)

    def test_of_invalid_verbs_is_not_an_answered_call(self) -> None:
        stored = delivered("call_status_invalid_action_hook_response")
        assert (stored["kind"], stored["status"]) == ("call.verb", "in-progress")
        assert stored.details["reason"] == "malformed jambonz payload: must be array"

    @pytest.mark.parametrize("word", ["RINGING", " ringing ", "Ringing"])
    def test_may_be_in_any_case(self, word: str) -> None:
        assert jambonz_event().stored(status(call_status=word))["kind"] == "call.ringing"

    def test_may_have_an_unknown_termination_word(self) -> None:
        stored = jambonz_event().stored(status(call_status="completed", call_termination_by="bot"))
        assert stored.details["call_termination_by"] == "bot"

    @pytest.mark.parametrize(
        "odd",
        [
            {"sip_status": "many", "duration": "long", "direction": 7, "from": {"user": "x"}, "to": [1]},
            {"speech": "hello", "queue": ["support"], "dequeuer": CALL, "speech_event": 1, "translation": []},
            {"caller_name": "\ud83d", "from": "\udc00", "unknown": {"deep": [None]}},
            {"event": {}, "type": [], "event_type": True, "dtmf": None, "error": {"message": "x"}, "reason": ""},
            {"duration": True, "headers": {"reason": {}}, "customerData": "gold", "time": "today", "join_time": "x"},
            {"duration": float("nan"), "sip_status": 1e400},
        ],
    )
    def test_may_have_members_of_unexpected_types(self, odd: dict[str, Any]) -> None:
        stored = jambonz_event().stored(status(**odd))
        assert (stored["kind"], stored["event_name"]) == ("call.answered", "in-progress")

    def test_may_have_numbers_as_text(self) -> None:
        details = jambonz_event().stored(status(sip_status="200", duration="31")).details
        assert (details["sip_status"], details["duration_seconds"]) == ("200", "31")


class TestTags:
    def test_are_stored_by_key(self) -> None:
        details = delivered("call_status_inbound_completed").details
        assert {name: value for name, value in details.items() if name.startswith("customer_data.")} == {
            "customer_data.orderId": "A-1001",
            "customer_data.customerTier": "gold",
        }

    def test_arrive_in_snake_case_from_other_hooks(self) -> None:
        assert delivered("transcription_after_tag").details["customer_data.order_id"] == "A-1001"

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


class TestAQueueEvent:
    def test_has_the_queue_and_its_length(self) -> None:
        details = delivered("queue_event_join").details
        assert (details["queue"], details["queue_length"]) == ("support", "3")

    def test_of_leaving_has_the_reason(self) -> None:
        details = delivered("queue_event_leave_abandoned").details
        assert (details["reason"], details["queue_length"]) == ("abandoned", "2")

    def test_of_being_dequeued_has_the_other_call(self) -> None:
        details = delivered("queue_event_leave_dequeued").details
        assert details["reason"] == "dequeued"
        assert details["dequeuer_call_sid"] == "3e2f7d84-0c43-4b58-8f0a-6f0f0a1c9d52"

    def test_occurred_at_the_time_in_its_body(self) -> None:
        assert delivered("queue_event_leave_dequeued")["occurred_at"] == "2026-11-21T06:30:00.123Z"

    @pytest.mark.parametrize("millis", [0, -1, 1_732_148_000_123, 10**30, "soon", None, True, [1], 1795242600.5])
    def test_with_an_implausible_time_occurred_when_it_was_signed(self, millis: object) -> None:
        document = {**document_of("jambonz", "queue_event_join"), "join_time": millis}
        assert jambonz_event().stored(document)["occurred_at"].startswith("2026-11-21T06:30:00.")


class TestAConferenceEvent:
    def test_is_stored_with_its_details(self) -> None:
        stored = delivered("conference_status_join")
        names = ("conference_sid", "friendly_name", "members", "duration_seconds")
        assert {name: stored.details[name] for name in names} == {
            "conference_sid": "conf:bb845d4b-83a9-4cde-a6e9-50f3743bab3f:standup",
            "friendly_name": "standup",
            "members": "2",
            "duration_seconds": "12.345",
        }
        assert stored["occurred_at"] == "2026-11-21T06:30:00.120Z"

    @pytest.mark.parametrize("time", ["2024-11-21T06:30:00.120Z", "0001-01-01T00:00:00Z", "noon", 5])
    def test_with_an_implausible_time_occurred_when_it_was_signed(self, time: object) -> None:
        document = {**document_of("jambonz", "conference_status_join"), "time": time}
        assert jambonz_event().stored(document)["occurred_at"] == SIGNED


class TestSpeech:
    def test_in_a_partial_result_is_not_final(self) -> None:
        details = delivered("gather_partial_result").details
        names = ("text", "is_final", "language", "channel", "confidence")
        assert [details[name] for name in names] == ["I'd like to", False, "en-US", "1", "0.91"]

    def test_in_a_transcription_is_final(self) -> None:
        details = delivered("transcription").details
        assert (details["text"], details["is_final"]) == ("I'd like to speak to support", True)
        assert details["caller_name"] == "Jane Doe"

    def test_in_another_language_has_text_and_language(self) -> None:
        details = delivered("transcribe_translation").details
        names = ("text", "language", "channel")
        assert [details[name] for name in names] == ["Bonjour, que puis-je faire pour vous ?", "fr-FR", "2"]

    def test_may_be_only_an_event(self) -> None:
        assert delivered("transcribe_speech_event").details["type"] == "SPEECH_ACTIVITY_BEGIN"

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
    def test_of_a_key_have_the_digit(self) -> None:
        assert delivered("dial_dtmf").details["digits"] == "5"

    def test_of_hold_have_method_and_state(self) -> None:
        held, resumed = delivered("sip_request_hold").details, delivered("sip_request_unhold").details
        assert (held["sip_method"], held["on_hold"], resumed["on_hold"]) == ("INVITE", True, False)

    def test_of_a_transferred_call_have_the_other_call_s_status(self) -> None:
        stored = delivered("sip_refer_transfer_status")
        assert stored.get("status") is None
        assert stored.details == {"hook": "sip:refer.eventHook", "transfer_status": "180"}

    def test_of_machine_detection_have_who_answered(self) -> None:
        human, machine = delivered("amd_human").details, delivered("amd_machine").details
        names = ("machine_detected", "reason", "text", "language")
        assert [human[name] for name in names] == [False, "short greeting", "hello", "en-US"]
        assert (machine["machine_detected"], machine["reason"]) == (True, "long greeting")

    def test_of_a_message_have_its_outcome(self) -> None:
        details = delivered("message_success").details
        assert (details["message_status"], details["carrier"]) == ("success", "example-carrier")
        failed = status(message_sid="1", message_status="failure", message_failure_reason="no route")
        assert jambonz_event().stored(failed).details["reason"] == "no route"

    def test_of_a_transfer_have_both_statuses(self) -> None:
        details = jambonz_event().stored(status(refer_status=202, final_referred_call_status=486)).details
        assert (details["refer_status"], details["final_referred_call_status"]) == ("202", "486")

    def test_of_an_adulting_leg_belong_to_the_leg(self) -> None:
        assert delivered("session_adulting").details["parent_call_sid"] == CALL

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
    def test_names_the_call_if_the_body_does_not(self) -> None:
        stored = delivered("llm_event_openai")
        assert (stored["call_id"], stored["query"]) == (CALL, f"{call_in_url(CALL)}&hook=llm.eventHook")

    def test_does_not_override_the_call_in_the_body(self) -> None:
        stored = jambonz_event().stored(status(), rawQueryString=call_in_url("another"))
        assert stored["call_id"] == CALL

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

    def test_is_stored_under_the_signed_call_in_its_url(self) -> None:
        stored = jambonz_event().stored("null", rawQueryString=f"{call_in_url(CALL)}&hook=llm.eventHook")
        assert (stored["call_id"], stored["event_name"]) == (CALL, "llm.eventHook")

    def test_may_have_only_a_status(self) -> None:
        stored = jambonz_event().stored({"call_status": "ringing"}, rawQueryString=call_in_url(CALL))
        assert (stored["kind"], stored["status"], stored["call_id"]) == ("call.ringing", "ringing", CALL)


class TestADuplicate:
    def test_with_the_same_signature_is_one_event(self) -> None:
        sender = jambonz_event()
        event = sender.event(status())
        first, duplicate = sender.receive(event), sender.receive(event)
        assert (duplicate.statusCode, duplicate.body, duplicate.replayed) == (200, first.body, True)
        assert sender.another_container().receive(event).replayed
        assert len(sender.items) == 1

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

    def test_is_not_assumed_for_another_body_in_the_same_second(self) -> None:
        sender = jambonz_event()
        answers = [sender.send(status(call_status=word)) for word in ("ringing", "in-progress", "completed")]
        assert [answer.replayed for answer in answers] == [False] * 3
        assert len({item["sk"]["S"].partition("~")[0] for item in sender.items}) == 3

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

    def test_without_any_difference_is_one_event(self) -> None:
        sender = jambonz_event()
        ringing = document_of("jambonz", "call_status_dial_leg_ringing")
        sender.send(ringing)
        assert sender.send(ringing).replayed

    def test_is_not_assumed_a_second_later(self) -> None:
        sender = jambonz_event()
        ringing = document_of("jambonz", "call_status_dial_leg_ringing")
        sender.send(ringing)
        sender.clock.advance(1)
        assert not sender.send(ringing).replayed
        assert len(sender.items) == 2

    @pytest.mark.parametrize(
        "elsewhere",
        [{"rawPath": "/adulting"}, {"rawQueryString": "hook=dial.confirmHook"}, {"rawQueryString": call_in_url(CALL)}],
    )
    def test_is_not_assumed_for_the_same_signature_at_another_url(self, elsewhere: dict[str, str]) -> None:
        sender = jambonz_event()
        sender.send(status())
        assert not sender.send(status(), **elsewhere).replayed
        assert len(sender.items) == 2

    def test_costs_one_write(self) -> None:
        sender = jambonz_event()
        sender.send(status())
        sender.send(status())
        assert sender.database.calls == 1


class TestAMalformedBody:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("not JSON", "The body is not JSON."),
            ("", "The body is not JSON."),
            ("[]", "The body is not a JSON object."),
            ('[{"verb": "say"}]', "The body is not a JSON object."),
            ('"ringing"', "The body is not a JSON object."),
            ("nullnull", "The body is not JSON."),
            (b"\xff\xfe", "The body is not valid UTF-8."),
            ("[" * 100_000, "The body is nested too deeply."),
        ],
    )
    def test_goes_to_quarantine_and_the_answer_has_the_reason(self, body: str | bytes, reason: str) -> None:
        sender = jambonz_event()
        answer = sender.send(body)
        assert (answer.statusCode, json.loads(answer.body)) == (202, {"status": "quarantined", "reason": reason})
        assert Stored(sender.database.item)["pk"] == "quarantine#jambonz#2026-11-21"
        assert sender.send(body).replayed
        assert len(sender.items) == 1

    def test_over_128_kb_gets_413(self) -> None:
        sender = jambonz_event()
        assert sender.send(status(padding="x" * (128 * 1024))).statusCode == 413
        assert sender.items == []

    @pytest.mark.parametrize(
        "member", [*status(), "event", "type", "error", "reason", "queue", "conference_sid", "dtmf"]
    )
    def test_with_a_very_long_member_is_stored(self, member: str) -> None:
        # Random hexadecimal digits, so that the body stays large when compressed.
        long = hashlib.shake_256(b"").hexdigest(60 * 1024)
        assert jambonz_event().stored({"call_sid": CALL, "call_status": "x", member: long})["provider"] == "jambonz"


class TestAnUnauthenticatedRequest:
    @pytest.mark.parametrize("header", ["authorization", "jambonz-signature"])
    def test_without_credentials_or_signature_is_rejected(self, header: str) -> None:
        sender = jambonz_event()
        assert sender.receive(without_header(sender.event(status()), header)).statusCode == 401
        assert sender.items == []

    @pytest.mark.parametrize(
        "tampered",
        [
            lambda event: {**event, "body": event["body"].replace("in-progress", "completed")},
            lambda event: with_header(event, "jambonz-signature", event["headers"]["jambonz-signature"][:-1] + "x"),
            lambda event: with_header(event, "authorization", "Basic d3Jvbmc6d3Jvbmc="),
        ],
    )
    def test_with_a_change_is_rejected(self, tampered: Any) -> None:
        sender = jambonz_event()
        event: Event = tampered(sender.event(status()))
        assert sender.receive(event).statusCode == 401
        assert sender.items == []

    @pytest.mark.parametrize("path", JAMBONZ_EVENT_PATHS)
    def test_by_a_method_without_a_signature_is_rejected(self, path: str) -> None:
        sender = jambonz_event()
        event = without_header(sender.event(status(), rawPath=path), "jambonz-signature")
        for method in ("GET", "HEAD", "PUT"):
            event["requestContext"]["http"]["method"] = method
            assert sender.receive(event).statusCode == 401
        assert sender.items == []


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
        elsewhere = {**event, "rawPath": "/adulting"}
        sender.clock.advance(5)
        later = sender.event("not JSON")
        assert [sender.receive(one).replayed for one in (event, elsewhere, later)] == [False] * 3
        assert all(sender.receive(one).replayed for one in (event, elsewhere, later))
        assert len(sender.items) == 3


class TestAnOutage:
    def test_of_the_database_does_not_affect_the_answer(self) -> None:
        sender = jambonz_event()
        sender.database.fault = ClientError(THROTTLED, "PutItem")
        assert sender.send(status()).statusCode == 200
        assert [item["call_id"] for item in sender.queue.items] == [{"S": CALL}]

    def test_of_the_database_and_the_queue_is_a_503_so_that_jambonz_retries(self, log: io.StringIO) -> None:
        sender = jambonz_event()
        sender.database.fault = ClientError(THROTTLED, "PutItem")
        sender.queue.fault = OUT_OF_ORDER
        event = sender.event(status())
        assert sender.receive(event).statusCode == 503
        assert [item["call_id"] for item in unstored(log.getvalue())] == [{"S": CALL}]
        sender.database.fault = None
        assert (sender.receive(event).statusCode, len(sender.items)) == (200, 1)

    def test_of_the_secret_store_is_a_503(self) -> None:
        sender = jambonz_event()
        sender.secrets.fault = ConnectTimeoutError(endpoint_url="https://secretsmanager")
        assert sender.send(status()).statusCode == 503
        assert sender.items == []

    def test_leaves_nothing_personal_in_the_log(self, log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
        sender = jambonz_event()
        sender.send(document_of("jambonz", "transcription_after_tag"), rawQueryString="call=%2B12125550187&hook=x")
        sender.send("not JSON 2125550187")
        sender.receive(without_header(sender.event(status()), "jambonz-signature"))
        sender.database.fault = RuntimeError("2125550187")
        sender.send(status())
        written = log.getvalue() + capsys.readouterr().out
        assert len(written.splitlines()) >= 4
        for hidden in ("2125550187", "4155550123", "A-1001", "speak to support", PASSWORD, WEBHOOK_SECRET):
            assert hidden not in written
