"""Deliveries of VoIPstudio at /webhooks/voipstudio/{token}: stored events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.senders import Stored, document_of, voipstudio


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

    @pytest.mark.parametrize(
        ("name", "kind", "status", "details"),
        [
            ("call_dtmf", "call.dtmf", "CONNECTED", {"digits": "*", "dtmf_target": "U:10002"}),
            ("call_missed_queue", "call.missed", "HANGUP", {"context": "QUEUE"}),
            *((f"queue_wrapup_{state}", "queue.wrapup", state.upper(), {}) for state in ("start", "end", "timeout")),
        ],
    )
    def test_has_the_details_of_its_kind(self, name: str, kind: str, status: str, details: dict[str, str]) -> None:
        stored = voipstudio().stored(document_of("voipstudio", name))
        assert (stored["kind"], stored.get("status")) == (kind, status)
        assert stored["call_id"] == str(document_of("voipstudio", name)["call_id"])
        assert {name: stored.details[name] for name in details} == details

    @pytest.mark.parametrize(
        ("member", "value", "detail", "stored"),
        [
            *(("context", value, "context", str(value)) for value in ("IVR", "CONFERENCE", "HUNT_GROUP", 5)),
            *(
                ("connected_at", zero, "answered_at", None)
                for zero in (None, "", "0000-00-00 00:00:00", "0001-01-01 00:00:00")
            ),
        ],
    )
    def test_may_have_any_pbx_object_and_zero_dates(
        self, member: str, value: object, detail: str, stored: str | None
    ) -> None:
        document = {**document_of("voipstudio", "call_connected"), member: value}
        assert voipstudio().stored(document).details.get(detail) == stored

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

    @pytest.mark.parametrize(
        "time", ["2026-11-21 06:30:06", "2026-11-21T06:30:06Z", "2026-11-21T07:30:06+01:00", 1795242606]
    )
    def test_has_a_time_in_utc(self, time: Any) -> None:
        stored = voipstudio().stored({**document_of("voipstudio", "call_connected"), "event_time": time})
        assert stored["occurred_at"] == "2026-11-21T06:30:06.000Z"


class TestDuplicates:
    @pytest.mark.parametrize("name", ["call_ringing", "sms_received"])
    @pytest.mark.parametrize("has_id", [True, False])
    def test_are_stored_once_unless_the_body_changes(self, name: str, has_id: bool) -> None:
        sender = voipstudio()
        document = document_of("voipstudio", name)
        document = document if has_id else {name: value for name, value in document.items() if name != "id"}
        changed = {**document, "duration": 5}
        assert [sender.send(one).replayed for one in (document, document, changed, changed)] == [False, True] * 2
        assert len(sender.items) == 2

    @pytest.mark.parametrize(
        ("members", "day"),
        [({"id": "v1"}, "undated"), ({"event_time": "2026-11-20 23:59:59"}, "2026-11-20")],
    )
    def test_of_an_unknown_event_without_a_call_are_stored_once_even_days_later(
        self, members: dict[str, str], day: str
    ) -> None:
        sender = voipstudio()
        document = {"event_name": "voicemail.received", **members}
        sender.send(document)
        sender.clock.advance(3 * 86400)
        assert sender.another_container().send(document).replayed
        assert Stored(sender.database.item)["pk"] == f"voipstudio#none#{day}"

    @pytest.mark.parametrize("numbers", [(10**40 + 1, 10**40 + 2), ("3.608920055770532951", "3.608920055770532952")])
    def test_are_not_assumed_for_almost_equal_ids(self, numbers: tuple[Any, Any]) -> None:
        sender = voipstudio()
        for number in numbers:
            sender.send(f'{{"event_name": "call.ringing", "call_id": 1, "id": {number}}}')
        assert len(sender.items) == 2


class TestAnSms:
    @pytest.mark.parametrize("members", [{}, {"call_id": 5}])
    def test_is_stored_separately_from_calls(self, members: dict[str, int]) -> None:
        stored = voipstudio().stored({**document_of("voipstudio", "sms_received"), **members})
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


class TestTheDashboardProbe:
    @pytest.mark.parametrize(
        ("method", "body"), [("GET", ""), ("HEAD", ""), ("OPTIONS", ""), ("POST", ""), ("POST", " \r\n")]
    )
    def test_is_answered_and_not_stored_and_needs_the_token(self, method: str, body: str) -> None:
        sender = voipstudio()
        event = sender.event(body)
        event["requestContext"]["http"]["method"] = method
        answer = sender.receive(event)
        assert (answer.statusCode, json.loads(answer.body)) == (200, {"status": "ignored", "reason": "probe"})
        assert sender.items == []
        assert sender.receive({**event, "pathParameters": {"token": "wrong"}}).statusCode == 401

    @pytest.mark.parametrize("body", ["{}", '{"test": true}', "test=1", "[]", "null"])
    def test_with_an_unrelated_body_goes_to_quarantine(self, body: str) -> None:
        sender = voipstudio()
        assert sender.send(body).statusCode == 202
        assert len(sender.items) == 1
