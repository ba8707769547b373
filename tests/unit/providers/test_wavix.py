"""Deliveries of Wavix at /webhooks/wavix/{token}: stored events."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from callhooks.events.event_item import body_of_item
from callhooks.providers.url_token import read_networks

from tests.senders import TOKEN, Stored, document_of, wavix
from tests.support import EVENTS, detail_attributes

CALL = "1c1cf4b6-52d6-4b5e-9d0b-6f1f6f0f8a01"


class TestACallEvent:
    def test_is_stored_with_its_details(self) -> None:
        sender = wavix()
        answer = sender.send(document_of("wavix", "answered"))
        assert (answer.statusCode, json.loads(answer.body)) == (200, {"status": "stored"})
        stored = Stored(sender.database.item)
        names = ("pk", "kind", "provider", "call_id", "direction", "from", "to", "occurred_at", "received_at", "status")
        assert {name: stored[name] for name in names} == {
            "pk": f"wavix#{CALL}",
            "kind": "call.answered",
            "provider": "wavix",
            "call_id": CALL,
            "direction": "inbound",
            "from": "+12125550187",
            "to": "14155550123",
            "occurred_at": "2026-11-21T06:30:06.402Z",
            "received_at": "2026-11-21T06:30:00.250Z",
            "status": "answered",
        }
        assert stored.details == {
            "started_at": "2026-11-21T06:30:00.118Z",
            "answered_at": "2026-11-21T06:30:06.402Z",
            "machine_detected": False,
        }
        body = body_of_item(stored.item)
        assert json.loads(body) == document_of("wavix", "answered")
        assert stored["sk"] == f"event#{hashlib.sha256(body).hexdigest()}"

    @pytest.mark.parametrize(
        ("members", "occurred_at"),
        [
            ({"date": "2020-01-01T00:00:00Z"}, "2026-11-21T06:30:00.731Z"),
            ({"event_time": "yesterday"}, "2026-11-21T06:30:00.250Z"),
            ({"event_time": "2026-11-21T07:30:00.5+01:00"}, "2026-11-21T06:30:00.500Z"),
        ],
    )
    def test_occurred_at_its_own_time_or_when_it_was_received(self, members: dict[str, Any], occurred_at: str) -> None:
        assert wavix().stored({**document_of("wavix", "ringing"), **members})["occurred_at"] == occurred_at

    @pytest.mark.parametrize(
        ("name", "details"),
        [
            ("audio_started", {"media": "audio", "media_status": "started"}),
            ("audio_completed", {"media": "audio", "media_status": "completed"}),
            ("collect_started", {"media": "collect", "media_status": "started"}),
            ("collect_completed", {"media": "collect", "media_status": "completed", "digits": "1234"}),
            ("collect_failed", {"media": "collect", "media_status": "failed"}),
        ],
    )
    def test_during_the_call_has_playback_and_digits(self, name: str, details: dict[str, str]) -> None:
        stored = wavix().stored(document_of("wavix", f"on_call_event_{name}"))
        assert stored["kind"] == "call.media"
        media = {name: stored.details[name] for name in ("media", "media_status", "digits") if name in stored.details}
        assert media == details
        assert ("playback_id" in stored.details) is (media["media"] == "audio")
        odd: list[object] = [None, {}, [], "audio", {"type": 5, "payload": "x"}, {"payload": None}]
        for payload in odd:
            document = {**document_of("wavix", f"on_call_event_{name}"), "event_payload": payload}
            assert wavix().stored(document)["kind"] == "call.media", "the payload is not required"

    def test_may_be_inconsistent(self) -> None:
        # The example in Wavix's documentation: a call_setup with a playback payload, answered two years earlier.
        document = {
            "uuid": CALL,
            "event_type": "call_setup",
            "event_time": "2025-09-22T12:56:38.547Z",
            "event_payload": {"type": "audio", "payload": {"status": "completed", "playback_id": "3fa85f64"}},
            "call_started": "2025-09-22T12:56:38.547Z",
            "call_answered": "2023-11-07T05:31:56Z",
        }
        stored = wavix().stored(document)
        assert (stored["kind"], stored["occurred_at"]) == ("call.initiated", "2025-09-22T12:56:38.547Z")
        assert stored.details == {
            "started_at": "2025-09-22T12:56:38.547Z",
            "answered_at": "2023-11-07T05:31:56.000Z",
            "media": "audio",
            "media_status": "completed",
            "playback_id": "3fa85f64",
        }


class TestOtherGenerations:
    @pytest.mark.parametrize(
        "document",
        [
            *(
                {"event_type": "ringing", **ids}
                for ids in (
                    {"uuid": CALL}, {"id": CALL}, {"id": None, "uuid": CALL}, {"id": "", "uuid": CALL},
                    {"call_id": CALL}, {"id": CALL, "uuid": "old"},
                )
            ),
            {"event": "ringing", "call": {"id": CALL}},
            {"type": "ringing", "call_id": CALL},
            {"data": {"event": "ringing", "call_id": CALL, "from": "1", "to": "2"}},
            {"event_type": None, "data": {"event_type": "ringing", "uuid": CALL}},
            {"id": "event-1", "event": "ringing", "call": {"id": CALL}},
            {"id": "event-1", "event": "ringing", "call_id": CALL},
            {"id": "event-1", "data": {"event": "ringing", "uuid": CALL}},
            {"event_type": "ringing", "uuid": CALL, "data": {"event_type": "busy", "from": "1"}, "from": "2"},
        ],
    )  # fmt: skip
    def test_may_have_any_shape_that_wavix_s_sample_receiver_accepts(self, document: dict[str, Any]) -> None:
        stored = wavix().stored(document)
        assert (stored["kind"], stored["call_id"]) == ("call.ringing", CALL)

    def test_of_2024_have_digits_in_another_member_or_at_the_top_level(self) -> None:
        document = document_of("wavix", "in_call_event_2024")
        stored = wavix().stored(document)
        assert stored["kind"] == "call.media"
        media = {"media": "collect", "media_status": "completed", "digits": "1234", "reason": "max_digits"}
        assert {name: stored.details[name] for name in media} == media
        document.update(document.pop("event_payload"))
        assert wavix().stored(document).details["digits"] == "1234"

    def test_of_2025_end_a_call_with_another_member_and_no_direction(self) -> None:
        stored = wavix().stored(document_of("wavix", "completed_2025"))
        assert stored["kind"] == "call.completed"
        assert stored.details["ended_at"] == "2026-11-21T06:30:48.900Z"
        assert stored.get("direction") is None


class TestAPostCallEvent:
    def test_has_the_cost_of_the_call(self) -> None:
        stored = wavix().stored(document_of("wavix", "post_call_answered"))
        assert (stored["kind"], stored["occurred_at"]) == ("call.billed", "2026-11-21T06:30:00.000Z")
        assert stored.details == {
            "disposition": "answered",
            "duration_seconds": "42",
            "charge": "0.0095",
            "per_minute": "0.0135",
            "destination": "United States",
        }
        numbers = detail_attributes(stored.item)
        assert [numbers[name] for name in ("charge", "per_minute", "duration_seconds")] == [
            {"N": "0.0095"},
            {"N": "0.0135"},
            {"N": "42"},
        ]

    @pytest.mark.parametrize(
        ("sent", "charge"),
        [
            ('"0.822"', {"N": "0.822"}),
            ("0.822", {"N": "0.822"}),
            ("0.1000000000000000055511151231", {"N": "0.1000000000000000055511151231"}),
            ("1", {"N": "1"}),
            ('"1e2"', {"N": "100"}),
            (f'"{"9" * 60}"', {"S": "9" * 60}),
            ('"free"', None),
            ("null", None),
        ],
    )
    def test_has_an_exact_decimal_charge(self, sent: str, charge: dict[str, str] | None) -> None:
        body = json.dumps(document_of("wavix", "post_call_answered")).replace('"charge": "0.0095"', f'"charge": {sent}')
        stored = wavix().stored(body)
        assert (stored["kind"], detail_attributes(stored.item).get("charge")) == ("call.billed", charge)

    @pytest.mark.parametrize(
        ("document", "status"),
        [
            ({"event_type": "post-call", "uuid": CALL, "disposition": "noanswer"}, "noanswer"),
            ({**document_of("wavix", "post_call_failed"), "from": None, "to": None}, "failed"),
        ],
    )
    def test_is_also_known_by_its_event_type_and_may_have_no_parties(
        self, document: dict[str, Any], status: str
    ) -> None:
        stored = wavix().stored(document)
        assert (stored["kind"], stored["status"], stored.get("from")) == ("call.billed", status, None)

    def test_of_an_older_generation_has_who_answered(self) -> None:
        more = {"answered_by": "machine", "parent_uuid": "parent", "sip_trunk": "trunk", "forward_fee": "0.01"}
        details = wavix().stored({**document_of("wavix", "post_call_answered"), **more}).details
        expected = {"answered_by": "machine", "parent_call_id": "parent", "trunk": "trunk", "forward_fee": "0.01"}
        assert {name: details[name] for name in expected} == expected


class TestAllowedAddresses:
    @pytest.mark.parametrize(
        ("source", "status"),
        [("62.212.73.112", 200), ("198.51.100.7", 200), ("62.212.73.113", 401), ("", 401), ("::1", 401)],
    )
    def test_are_the_only_ones_accepted(self, source: str, status: int) -> None:
        sender = wavix(allowed=read_networks("62.212.73.112, 198.51.100.0/24"))
        event = sender.event(document_of("wavix", "ringing"))
        event["requestContext"]["http"]["sourceIp"] = source
        assert sender.receive(event).statusCode == status

    def test_do_not_replace_the_token(self) -> None:
        sender = wavix(allowed=read_networks("62.212.73.112"))
        event = json.loads((EVENTS / "wavix" / "ringing.json").read_text())
        assert sender.receive(event).statusCode == 401
        assert sender.receive({**event, "pathParameters": {"token": TOKEN}}).statusCode == 200

    def test_that_are_malformed_raise_an_error(self) -> None:
        with pytest.raises(ValueError, match=r"62\.212\.73"):
            read_networks("62.212.73")
