"""Deliveries of Bird at /webhooks/bird: authentication and stored events."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from callhooks.providers.bird import TIMESTAMP_HEADER, read_filter, sign

from tests.senders import CHANNEL, SIGNING_KEY, Stored, bird_voice, document_of, signed_by_bird
from tests.support import NOW, PUBLIC_URL, Event, detail_attributes, template, with_header, without_header

CALL = "0a5e9219-2da2-4aa2-bf0f-8cc34775e6a1"


class TestACallEvent:
    def test_is_stored_with_its_details(self) -> None:
        stored = bird_voice().stored(document_of("bird", "voice_inbound_completed"))
        names = ("pk", "kind", "event_name", "call_id", "direction", "from", "to", "occurred_at", "status")
        assert {name: stored[name] for name in names} == {
            "pk": f"bird#{CALL}",
            "kind": "call.completed",
            "event_name": "voice.inbound",
            "call_id": CALL,
            "direction": "inbound",
            "from": "+31612345678",
            "to": "+31201234567",
            "occurred_at": "2026-11-21T06:30:48.000Z",
            "status": "completed",
        }
        assert stored.details == {
            "channel_id": CHANNEL,
            "created_at": "2026-11-21T06:30:00.000Z",
            "ringing_at": "2026-11-21T06:30:01.500Z",
            "answered_at": "2026-11-21T06:30:06.000Z",
            "ended_at": "2026-11-21T06:30:48.000Z",
            "duration_seconds": "42",
            "cause_code": "16",
            "sip_status": "200",
            "hangup_source": "callee",
            "type": "pstn",
        }

    def test_requires_only_the_call_id_and_the_status(self) -> None:
        stored = bird_voice().stored({"payload": {"id": "call-1", "status": "ringing"}})
        assert (stored["kind"], stored["call_id"], stored.get("direction")) == ("call.ringing", "call-1", None)

    @pytest.mark.parametrize(
        "document",
        [
            {"id": "call-1", "status": "ringing", "direction": "outgoing"},
            {"event": "voice.outbound", "payload": {"callId": "call-1", "status": "ringing"}},
            {"event": "voice.outbound", "callId": "call-1", "payload": {"id": None, "status": "ringing"}},
            {"event": "voice.outbound", "status": "ringing", "payload": {"id": "call-1"}},
            {"event": "voice.outbound", "id": "call-1", "status": "ringing", "payload": "none"},
            {"event": "voice.outbound", "id": "event-1", "callId": "call-1", "status": "ringing"},
            {"event": "voice.outbound", "payload": {"id": "", "callId": "call-1", "status": "ringing"}},
            {
                "event": "voice.outbound",
                "callId": "no",
                "status": "busy",
                "payload": {"id": "call-1", "status": "ringing"},
            },
            {"event": "voice.outbound", "payload": {"id": "call-1", "status": "ringing", "direction": "incoming"}},
        ],
    )
    def test_is_accepted_without_an_envelope_or_with_members_outside_the_payload(
        self, document: dict[str, Any]
    ) -> None:
        stored = bird_voice().stored(document)
        assert (stored["call_id"], stored["kind"], stored["direction"]) == ("call-1", "call.ringing", "outbound")

    def test_uses_a_contact_as_a_party(self) -> None:
        document = document_of("bird", "voice_outbound_ringing")
        del document["payload"]["from"], document["payload"]["to"]
        document["payload"]["receiver"] = {"contact": {"identifierValue": "jane@example.com"}}
        stored = bird_voice().stored(document)
        assert (stored["from"], stored["to"]) == ("+31201234567", "jane@example.com")

    def test_prefers_from_and_to_over_the_descriptions_of_the_parties(self) -> None:
        document = document_of("bird", "voice_outbound_ringing")
        document["payload"]["originator"]["number"]["number"] = "+31999999999"
        assert bird_voice().stored(document)["from"] == "+31201234567"

    @pytest.mark.parametrize(
        ("code", "stored"),
        [("486", {"N": "486"}), (486, {"N": "486"}), ("603 Decline", {"S": "603 Decline"}), (None, None)],
    )
    def test_stores_a_numeric_sip_status_as_a_number(self, code: Any, stored: object) -> None:
        document = {"payload": {"id": "1", "status": "busy", "hangupSipCode": code}}
        assert detail_attributes(bird_voice().stored(document).item).get("sip_status") == stored

    @pytest.mark.parametrize(
        ("tags", "tag"), [(["vip", "sales"], "vip, sales"), ([{"a": True}, "vip", None], "vip"), ("vip", None)]
    )
    def test_stores_its_tags(self, tags: Any, tag: str | None) -> None:
        stored = bird_voice().stored({"payload": {"id": "1", "status": "busy", "tags": tags}})
        assert stored.details.get("tag") == tag

    def test_takes_a_missing_channel_from_the_url(self) -> None:
        sender = bird_voice(channel_id=CHANNEL)
        stored = sender.stored({"payload": {"id": "call-1", "status": "starting"}})
        assert stored.details["channel_id"] == CHANNEL

    @pytest.mark.parametrize(
        ("members", "occurred_at"),
        [
            ({"status": "ringing", "ringingAt": "2026-11-21T06:29:58Z"}, "2026-11-21T06:29:58.000Z"),
            ({"status": "ongoing", "answeredAt": "2026-11-21T06:29:58Z"}, "2026-11-21T06:29:58.000Z"),
            ({"status": "busy", "endedAt": "2026-11-21T06:29:58Z"}, "2026-11-21T06:29:58.000Z"),
            ({"status": "ringing", "updatedAt": "2026-11-21T06:29:57Z"}, "2026-11-21T06:29:57.000Z"),
            (
                {"status": "odd", "updatedAt": "2026-11-21T06:29:57Z", "endedAt": "2026-01-01"},
                "2026-11-21T06:29:57.000Z",
            ),
            ({"status": "starting", "createdAt": "2026-11-21T06:29:56Z"}, "2026-11-21T06:29:56.000Z"),
            (
                {"status": "starting", "createdAt": "2026-11-21T06:29:56Z", "updatedAt": "2026-11-21T06:29:59Z"},
                "2026-11-21T06:29:59.000Z",
            ),
            # The time of creation is not the end of the call.
            ({"status": "completed", "createdAt": "2026-11-21T05:29:56Z"}, "2026-11-21T06:30:00.000Z"),
            ({"status": "completed", "endedAt": "0001-01-01T00:00:00Z"}, "2026-11-21T06:30:00.000Z"),
        ],
    )
    def test_occurred_when_its_status_began_or_was_first_sent(self, members: dict[str, Any], occurred_at: str) -> None:
        assert bird_voice().stored({"payload": {"id": "call-1", **members}})["occurred_at"] == occurred_at

    def test_stores_bird_s_request_id(self) -> None:
        sender = bird_voice()
        event = with_header(sender.event({"payload": {"id": "1", "status": "busy"}}), "messagebird-request-id", "ref-1")
        sender.receive(event)
        assert Stored(sender.database.item).details["bird_request_id"] == "ref-1"

    def test_delivered_to_two_urls_is_stored_once(self) -> None:
        document = document_of("bird", "voice_inbound_ringing")
        first = bird_voice()
        first.send(document)
        assert bird_voice(channel_id=CHANNEL, database=first.database).send(document).replayed
        assert len(first.items) == 1


class TestFilters:
    @pytest.mark.parametrize(
        ("statuses", "stored"),
        [
            ("", ["starting", "ringing", "completed"]),
            ("completed", ["completed"]),
            (" Completed, starting ", ["starting", "completed"]),
            ("failed", []),
        ],
    )
    def test_by_status_accept_any_of_several(self, statuses: str, stored: list[str]) -> None:
        sender = bird_voice(wanted=read_filter(statuses, ""))
        for status in ("starting", "ringing", "completed"):
            assert sender.send(document_of("bird", f"voice_inbound_{status}")).statusCode == 200
        assert [item["status"]["S"] for item in sender.items] == stored

    def test_by_status_ignore_case(self) -> None:
        sender = bird_voice(wanted=read_filter("completed", ""))
        sender.send({"payload": {"id": "1", "status": "Completed"}})
        assert len(sender.items) == 1

    def test_answer_200_with_the_reason(self) -> None:
        answer = bird_voice(wanted=read_filter("failed", "")).send(document_of("bird", "voice_inbound_busy"))
        assert (answer.statusCode, json.loads(answer.body)) == (200, {"status": "ignored", "reason": "filtered"})

    @pytest.mark.parametrize(
        ("in_body", "in_url", "is_stored"),
        [
            (CHANNEL, None, True),
            (CHANNEL.upper(), None, True),
            ("another", None, False),
            (None, CHANNEL, True),
            (None, "another", False),
            ("another", CHANNEL, False),
            # An event without a channel is not lost.
            (None, None, True),
        ],
    )
    def test_by_channel_check_the_body_and_the_url(
        self, in_body: str | None, in_url: str | None, is_stored: bool
    ) -> None:
        sender = bird_voice(wanted=read_filter("", CHANNEL), channel_id=in_url)
        payload = {"id": "call-1", "status": "busy", **({"channelId": in_body} if in_body else {})}
        assert sender.send({"payload": payload}).statusCode == 200
        assert len(sender.items) == int(is_stored)

    def test_must_both_match(self) -> None:
        sender = bird_voice(wanted=read_filter("busy", CHANNEL))
        sender.send({"payload": {"id": "1", "status": "busy", "channelId": "another"}})
        sender.send({"payload": {"id": "2", "status": "failed", "channelId": CHANNEL}})
        assert sender.items == []

    def test_do_not_replace_the_signature(self) -> None:
        sender = bird_voice(wanted=read_filter("failed", ""))
        event = without_header(sender.event(document_of("bird", "voice_inbound_busy")), "messagebird-signature")
        assert sender.receive(event).statusCode == 401


VECTORS = [
    (
        "simple",
        '{"service":"channels","event":"voice.inbound","payload":{"id":"call-1","from":"+61411111111","status":"starting"}}',
        "02Lu8N87/KtyUr8nME1HEpr4uE4CaMc7gIzXwFvILYU=",
    ),
    ("empty", "", "ve3texM6KgjiXMgkRjz15MypWu+fYnrLUp+jtglS7yM="),
    ("utf8", '{"payload":{"callerIdName":"Zo\u00eb"}}', "74+WKXygrhJ0zrdKGz1CdaHaBBmFl3pbVOt9nqgTfTA="),
    ("a digest with a newline in it", '{"n":0}', "tD80LINjodTYDWdeTzoD6Jkxd7YQLM9zLywE579munc="),
]
"""Computed with the documented algorithm: key `mysecretkey`, timestamp 1719823259, https://hooks.example.com/bird."""


class TestSignature:
    @pytest.mark.parametrize(("body", "signature"), [vector[1:] for vector in VECTORS], ids=[v[0] for v in VECTORS])
    def test_matches_the_documented_algorithm(self, body: str, signature: str) -> None:
        assert sign("mysecretkey", "1719823259", "https://hooks.example.com/bird", body.encode()) == signature

    @pytest.mark.parametrize(("body", "signature"), [vector[1:] for vector in VECTORS], ids=[v[0] for v in VECTORS])
    def test_of_every_vector_authenticates_a_delivery(self, body: str, signature: str) -> None:
        sender = bird_voice()
        sender.clock.now = sender.clock.now.fromtimestamp(1719823259 + 3600, tz=sender.clock.now.tzinfo)
        event = sender.event(body)
        event["rawPath"] = "/bird"
        event = with_header(event, "messagebird-request-timestamp", "1719823259")
        event = with_header(event, "messagebird-signature", signature)
        assert sender.receive(event).statusCode in (200, 202)
        for changed in (signature.swapcase(), signature[:-1], signature + "="):
            assert sender.receive(with_header(event, "messagebird-signature", changed)).statusCode == 401

    def test_with_one_character_changed_is_rejected(self) -> None:
        sender = bird_voice()
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        signature = event["headers"]["messagebird-signature"]
        for at, byte in enumerate(signature):
            for other in {"A", "B", "z", "-", "=", chr(ord(byte) ^ 1)} - {byte}:
                changed = signature[:at] + other + signature[at + 1 :]
                assert sender.receive(with_header(event, "messagebird-signature", changed)).statusCode == 401

    def test_over_a_changed_body_is_rejected(self) -> None:
        sender = bird_voice()
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        for at in range(len(event["body"])):
            body = event["body"][:at] + chr(ord(event["body"][at]) ^ 1) + event["body"][at + 1 :]
            assert sender.receive({**event, "body": body}).statusCode == 401

    def test_over_a_changed_timestamp_is_rejected(self) -> None:
        sender = bird_voice()
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        timestamp = event["headers"]["messagebird-request-timestamp"]
        changes = [str(int(timestamp) + 1), f"0{timestamp}", f" {timestamp}", f"{timestamp}.0", f"+{timestamp}"]
        for changed in changes:
            assert sender.receive(with_header(event, "messagebird-request-timestamp", changed)).statusCode == 401

    @pytest.mark.parametrize(
        "change",
        [
            {"rawPath": "/webhooks/birD"},
            {"rawPath": f"/webhooks/bird/{CHANNEL}"},
            {"rawPath": "/webhooks/bird/"},
            {"rawQueryString": "a=1"},
        ],
    )
    def test_over_another_url_is_rejected(self, change: Event) -> None:
        sender = bird_voice()
        event = {**sender.event({"payload": {"id": "1", "status": "busy"}}), **change}
        assert sender.receive(event).statusCode == 401

    @pytest.mark.parametrize("name", ["messagebird-signature", "messagebird-request-timestamp"])
    @pytest.mark.parametrize("value", [None, "", "\u00e9", "\ud800", "0", "9" * 400, "\u0661\u0662\u0663"])
    def test_that_is_missing_or_malformed_is_rejected(self, name: str, value: str | None) -> None:
        sender = bird_voice()
        event = without_header(sender.event({"payload": {"id": "1", "status": "busy"}}), name)
        if value is not None:
            event = with_header(event, name, value)
        answer = sender.receive(event)
        assert answer.statusCode == 401
        assert "www-authenticate" not in answer.headers

    def test_covers_the_public_url_instead_of_the_request_s_host(self) -> None:
        sender = bird_voice()
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        event["requestContext"]["domainName"] = "another.example.com"
        assert sender.receive(event).statusCode == 200
        assert sender.receive(signed_by_bird(event, public_url="https://another.example.com")).statusCode == 401

    def test_covers_the_request_s_host_if_no_public_url_is_set(self) -> None:
        sender = bird_voice(public_url="")
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        host = event["requestContext"]["domainName"]
        assert sender.receive(signed_by_bird(event, public_url=f"https://{host}")).statusCode == 200
        assert sender.receive(event).statusCode == 401

    @pytest.mark.parametrize("path", ["/webhooks/bird", "/voice/webhooks/bird"])
    def test_covers_a_public_url_with_a_path_once(self, path: str) -> None:
        # API Gateway does not always pass on the path of an API mapping.
        sender = bird_voice(public_url="https://hooks.example.com/voice/")
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        signed = signed_by_bird({**event, "rawPath": "/webhooks/bird"}, public_url="https://hooks.example.com/voice")
        assert sender.receive({**signed, "rawPath": path}).statusCode == 200

    def test_covers_the_query(self) -> None:
        sender = bird_voice()
        event = signed_by_bird(
            {**sender.event({"payload": {"id": "1", "status": "busy"}}), "rawQueryString": "b=2&a=%20"}
        )
        assert sender.receive(event).statusCode == 200

    def test_covers_the_bytes_of_a_base64_body(self) -> None:
        assert bird_voice().send(json.dumps({"payload": {"id": "1", "status": "busy"}}).encode()).statusCode == 200


class TestTimestamp:
    @pytest.mark.parametrize(
        ("window", "age", "status"),
        [
            *[(timedelta(hours=24), age, 200) for age in (0, 1, -1, 9 * 3600, 24 * 3600 - 1, 24 * 3600, -299, -300)],
            *[(timedelta(hours=24), age, 401) for age in (24 * 3600 + 1, 48 * 3600, -301, -3600, -23 * 3600)],
            *[(timedelta(hours=2), age, 200) for age in (2 * 3600, -300)],
            *[(timedelta(hours=2), age, 401) for age in (2 * 3600 + 1, -301)],
            *[(timedelta(hours=168), age, 200) for age in (168 * 3600, -300)],
            *[(timedelta(hours=168), age, 401) for age in (168 * 3600 + 1, -301)],
        ],
    )
    def test_may_be_as_old_as_the_window_and_five_minutes_ahead(self, window: timedelta, age: int, status: int) -> None:
        sender = bird_voice(window=window)
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        sender.clock.now = NOW.replace(microsecond=0) + timedelta(seconds=age)
        assert sender.receive(event).statusCode == status

    def test_may_be_a_day_old_by_default(self) -> None:
        assert template()["Parameters"]["BirdSignatureWindowHours"]["Default"] == 24

    @pytest.mark.parametrize("ahead", [False, True])
    def test_outside_the_window_by_a_millisecond_is_rejected(self, ahead: bool) -> None:
        sender = bird_voice()
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        away = -timedelta(seconds=300.001) if ahead else timedelta(hours=24, milliseconds=1)
        sender.clock.now = NOW.replace(microsecond=0) + away
        assert sender.receive(event).statusCode == 401

    @pytest.mark.parametrize(
        "timestamp",
        ["0", "1", "99999999999", "999999999999", "253402300800", "-1", "9" * 400, "1e10", "NaN", "Infinity", "", " "],
    )
    def test_that_is_invalid_is_rejected_without_a_request_to_aws(self, timestamp: str) -> None:
        sender = bird_voice()
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        assert sender.receive(with_header(event, TIMESTAMP_HEADER, timestamp)).statusCode == 401
        assert (sender.secrets.reads, sender.database.calls) == (0, 0)

    def test_of_a_retry_hours_later_is_known_as_a_duplicate(self) -> None:
        sender = bird_voice()
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        sender.receive(event)
        later = sender.another_container()
        later.clock.advance(8 * 3600)
        assert later.receive(event).replayed
        assert len(sender.items) == 1


class TestSigningKeys:
    @pytest.mark.parametrize("key", [SIGNING_KEY, "older", "KeV+/HGo0qk=", "cl\u00e9"])
    def test_are_all_valid_and_never_decoded(self, key: str) -> None:
        further = ["older", "KeV+/HGo0qk=", "cl\u00e9"]
        sender = bird_voice(secret={"signing_key": SIGNING_KEY, "further_signing_keys": further})
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        assert sender.receive(signed_by_bird(event, key=key)).statusCode == 200

    def test_that_are_unknown_are_rejected(self) -> None:
        sender = bird_voice()
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        assert sender.receive(signed_by_bird(event, key="another")).statusCode == 401

    @pytest.mark.parametrize("further", ["older", [5], ["\n"], [None, ""], {"a": 1}])
    def test_that_are_invalid_do_not_affect_the_others(self, further: object, log: io.StringIO) -> None:
        sender = bird_voice(secret={"signing_key": SIGNING_KEY, "further_signing_keys": further})
        assert sender.send({"payload": {"id": "1", "status": "busy"}}).statusCode == 200
        assert ("added secret not used" in log.getvalue()) is (further != "older")

    @pytest.mark.parametrize("secret", [{}, {"signing_key": ""}, {"signing_key": 5}])
    def test_that_are_all_invalid_make_bird_retry(self, secret: dict[str, object]) -> None:
        sender = bird_voice(secret=secret)
        assert sender.send({"payload": {"id": "1", "status": "busy"}}).statusCode == 503
        assert sender.items == []


class TestTheLogOfARejection:
    def test_shows_the_url_that_was_checked(self, log: io.StringIO) -> None:
        sender = bird_voice(channel_id=CHANNEL)
        event = sender.event({"payload": {"id": "1", "status": "busy"}})
        sender.receive(signed_by_bird(event, public_url="https://elsewhere.example.com"))
        sender.receive({**event, "rawQueryString": "a=secret"})
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        assert {line["url"] for line in lines} == {f"{PUBLIC_URL}/webhooks/recorded"}
