"""Deliveries of VoIPstudio at /webhooks/voipstudio/{token}: stored events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.senders import Stored, document_of, voipstudio
from tests.support import Clock


class TestACallEvent:
    def test_is_stored_with_its_details(self) -> None:
        stored = voipstudio().stored(document_of("voipstudio", "call_hangup"))
        names = ("pk", "sk", "kind", "call_id", "direction", "from", "to", "occurred_at", "received_at", "status")
        assert {name: stored[name] for name in names} == {
            "pk": "voipstudio#151200345",
            "sk": "event#uk003.69200f085f7ac3.77053208",
            "kind": "call.completed",
            "call_id": "151200345",
            "direction": "inbound",
            "from": "447700900123",
            "to": "442079460123",
            "occurred_at": "2026-11-21T06:30:48.000Z",
            "received_at": "2026-11-21T06:30:00.250Z",
            "status": "HANGUP",
        }
        assert stored.details == {
            "context": "LOCAL_USER",
            "started_at": "2026-11-21T06:30:00.000Z",
            "answered_at": "2026-11-21T06:30:06.000Z",
            "duration_seconds": "42",
            "reason": "Normal Clearing",
            "src_id": "0",
            "src_hash": "9a3f5cefbc82fc4e924bdaa21342a49c18c5dd90",
            "caller_name": '"447700900123" <7700900123>',
            "dst_id": "10002",
            "called_name": "John Smith",
        }

    def test_for_dtmf_has_the_key_and_who_pressed_it(self) -> None:
        stored = voipstudio().stored(document_of("voipstudio", "call_dtmf"))
        assert stored["kind"] == "call.dtmf"
        assert (stored.details["digits"], stored.details["dtmf_target"]) == ("*", "U:10002")

    def test_missed_in_a_queue_has_the_queue_as_context(self) -> None:
        stored = voipstudio().stored(document_of("voipstudio", "call_missed_queue"))
        assert (stored["kind"], stored.details["context"], stored["call_id"]) == ("call.missed", "QUEUE", "151200348")

    def test_accepts_ids_as_integers_or_strings(self) -> None:
        document = document_of("voipstudio", "call_connected")
        for ids in ({"call_id": 139543232, "src_id": 0, "id": 77}, {"call_id": "139543232", "src_id": "0", "id": "77"}):
            stored = voipstudio().stored({**document, **ids})
            assert (stored["pk"], stored["sk"], stored.details["src_id"]) == ("voipstudio#139543232", "event#77", "0")

    @pytest.mark.parametrize(
        ("destination", "direction"), [("in", "inbound"), ("out", "outbound"), ("IN", "inbound"), ("side", "side")]
    )
    def test_has_a_direction_in_the_common_vocabulary(self, destination: str, direction: str) -> None:
        document = {**document_of("voipstudio", "call_ringing"), "destination": destination}
        assert voipstudio().stored(document)["direction"] == direction

    @pytest.mark.parametrize("context", ["IVR", "CONFERENCE", "HUNT_GROUP", 5])
    def test_of_any_pbx_object_is_stored(self, context: Any) -> None:
        stored = voipstudio().stored({**document_of("voipstudio", "call_ringing"), "context": context})
        assert stored.details["context"] == str(context)

    @pytest.mark.parametrize("zero", [None, "", "0000-00-00 00:00:00", "0001-01-01 00:00:00"])
    def test_with_a_zero_date_has_no_time(self, zero: str | None) -> None:
        stored = voipstudio().stored({**document_of("voipstudio", "call_connected"), "connected_at": zero})
        assert "answered_at" not in stored.details

    @pytest.mark.parametrize(
        "time", ["2026-11-21 06:30:06", "2026-11-21T06:30:06Z", "2026-11-21T07:30:06+01:00", 1795242606]
    )
    def test_has_a_time_in_utc(self, time: Any) -> None:
        stored = voipstudio().stored({**document_of("voipstudio", "call_connected"), "event_time": time})
        assert stored["occurred_at"] == "2026-11-21T06:30:06.000Z"


class TestDuplicates:
    def test_are_stored_once_unless_the_body_changes(self) -> None:
        sender = voipstudio()
        document = document_of("voipstudio", "call_ringing")
        changed = {**document, "duration": 5}
        assert [sender.send(one).replayed for one in (document, document, changed, changed)] == [False, True] * 2
        assert len(sender.items) == 2

    def test_without_an_id_are_recognised_by_their_body(self) -> None:
        sender = voipstudio()
        document = {name: value for name, value in document_of("voipstudio", "call_ringing").items() if name != "id"}
        sender.send(document)
        assert sender.send(document).replayed
        assert not sender.send({**document, "duration": 5}).replayed
        assert len(sender.items) == 2

    @pytest.mark.parametrize("numbers", [(10**40 + 1, 10**40 + 2), ("3.608920055770532951", "3.608920055770532952")])
    def test_are_not_assumed_for_almost_equal_ids(self, numbers: tuple[Any, Any]) -> None:
        sender = voipstudio()
        for number in numbers:
            sender.send(f'{{"event_name": "call.ringing", "call_id": 1, "id": {number}}}')
        assert len(sender.items) == 2

    def test_of_an_unknown_event_without_a_call_are_stored_once_even_days_later(self) -> None:
        sender = voipstudio()
        document = {"event_name": "voicemail.received", "id": "v1"}
        sender.send(document)
        later = sender.another_container()
        later.clock = Clock()
        later.clock.advance(3 * 86400)
        assert later.send(document).replayed
        assert Stored(sender.database.item)["pk"] == "voipstudio#none#undated"

    def test_of_an_unknown_event_without_a_call_are_partitioned_by_day(self) -> None:
        stored = voipstudio().stored({"event_name": "voicemail.received", "event_time": "2026-11-20 23:59:59"})
        assert stored["pk"] == "voipstudio#none#2026-11-20"


class TestAnSms:
    def test_is_stored_separately_from_calls(self) -> None:
        stored = voipstudio().stored(document_of("voipstudio", "sms_received"))
        assert stored["pk"] == "voipstudio#sms#uk003.69200f0e5f7ac3.77053214"
        names = ("kind", "direction", "from", "to", "occurred_at")
        assert {name: stored[name] for name in names} == {
            "kind": "sms.received",
            "direction": "inbound",
            "from": "447700900123",
            "to": "442079460123",
            "occurred_at": "2026-11-21T06:35:00.000Z",
        }
        assert stored.get("call_id") is None
        assert stored.details == {"customer_id": "9855", "text": "Please call me back"}

    def test_without_an_id_is_recognised_by_its_body(self) -> None:
        sender = voipstudio()
        document = {name: value for name, value in document_of("voipstudio", "sms_received").items() if name != "id"}
        sender.send(document)
        assert sender.send(document).replayed
        assert len(sender.items) == 1

    def test_with_a_call_id_is_not_part_of_the_call(self) -> None:
        stored = voipstudio().stored({**document_of("voipstudio", "sms_received"), "call_id": 5})
        assert (stored["pk"], stored.get("call_id")) == ("voipstudio#sms#uk003.69200f0e5f7ac3.77053214", None)


class TestQueueWrapUp:
    @pytest.mark.parametrize("state", ["START", "END", "TIMEOUT"])
    def test_describes_the_panel_and_not_the_call(self, state: str) -> None:
        stored = voipstudio().stored(document_of("voipstudio", f"queue_wrapup_{state.lower()}"))
        assert (stored["kind"], stored["status"], stored["call_id"]) == ("queue.wrapup", state, "151200345")


class TestTheDashboardProbe:
    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_is_answered_and_not_stored(self, method: str) -> None:
        sender = voipstudio()
        event = sender.event("")
        event["requestContext"]["http"]["method"] = method
        answer = sender.receive(event)
        assert (answer.statusCode, json.loads(answer.body)) == (200, {"status": "ignored", "reason": "probe"})
        assert sender.items == []

    @pytest.mark.parametrize("body", ["", " \r\n"])
    def test_by_an_empty_post_is_answered_and_not_stored(self, body: str) -> None:
        sender = voipstudio()
        assert sender.send(body).statusCode == 200
        assert sender.items == []

    @pytest.mark.parametrize("body", ["{}", '{"test": true}', "test=1", "[]", "null"])
    def test_with_an_unrelated_body_goes_to_quarantine(self, body: str) -> None:
        sender = voipstudio()
        assert sender.send(body).statusCode == 202
        assert len(sender.items) == 1

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST"])
    def test_needs_the_token(self, method: str) -> None:
        sender = voipstudio()
        event = sender.event("", pathParameters={"token": "wrong"})
        event["requestContext"]["http"]["method"] = method
        assert sender.receive(event).statusCode == 401
