"""Deliveries of Bird at /webhooks/bird: authentication and stored events."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from callhooks.providers.bird import SIGNATURE_HEADER, TIMESTAMP_HEADER, read_filter, sign

from tests.senders import CHANNEL, SIGNING_KEY, bird_voice, document_of, signed_by_bird
from tests.support import NOW, PUBLIC_URL, Event, detail_attributes, with_header, without_header

BUSY = {"payload": {"id": "1", "status": "busy"}}
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

    def test_uses_a_contact_as_a_party_but_prefers_from_and_to(self) -> None:
        document = document_of("bird", "voice_outbound_ringing")
        document["payload"]["originator"]["number"]["number"] = "+31999999999"
        document["payload"]["receiver"] = {"contact": {"identifierValue": "jane@example.com"}}
        assert bird_voice().stored(document)["from"] == "+31201234567"
        del document["payload"]["from"], document["payload"]["to"]
        stored = bird_voice().stored(document)
        assert (stored["from"], stored["to"]) == ("+31999999999", "jane@example.com")

    @pytest.mark.parametrize(
        ("member", "value", "detail", "stored"),
        [
            ("hangupSipCode", "486", "sip_status", {"N": "486"}),
            ("hangupSipCode", 486, "sip_status", {"N": "486"}),
            ("hangupSipCode", "603 Decline", "sip_status", {"S": "603 Decline"}),
            ("hangupSipCode", None, "sip_status", None),
            ("tags", ["vip", "sales"], "tag", {"S": "vip, sales"}),
            ("tags", [{"a": True}, "vip", None], "tag", {"S": "vip"}),
            ("tags", "vip", "tag", None),
            ("channelId", None, "channel_id", {"S": CHANNEL}),
            ("id", "1", "bird_request_id", {"S": "ref-1"}),
        ],
    )
    def test_has_a_detail(self, member: str, value: object, detail: str, stored: dict[str, str] | None) -> None:
        sender = bird_voice(channel_id=CHANNEL)
        event = sender.event({"payload": {**BUSY["payload"], member: value}})
        sender.receive(with_header(event, "messagebird-request-id", "ref-1"))
        assert detail_attributes(sender.database.item).get(detail) == stored

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
            document = document_of("bird", f"voice_inbound_{status}")
            document["payload"]["status"] = status.title()
            answer = sender.send(document)
            assert answer.statusCode == 200
            expected = {"status": "stored"} if status in stored else {"status": "ignored", "reason": "filtered"}
            assert json.loads(answer.body) == expected
            assert sender.receive(without_header(sender.event(document), SIGNATURE_HEADER)).statusCode == 401
        assert [item["status"]["S"].lower() for item in sender.items] == stored

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
    @pytest.mark.parametrize(("status", "matches"), [("busy", True), ("failed", False)])
    def test_by_channel_check_the_body_and_the_url_besides_the_status(
        self, in_body: str | None, in_url: str | None, is_stored: bool, status: str, matches: bool
    ) -> None:
        sender = bird_voice(wanted=read_filter("busy", CHANNEL), channel_id=in_url)
        payload = {"id": "call-1", "status": status, **({"channelId": in_body} if in_body else {})}
        assert sender.send({"payload": payload}).statusCode == 200
        assert len(sender.items) == int(is_stored and matches)


VECTORS = {
    '{"service":"channels","event":"voice.inbound","payload":{"id":"call-1","from":"+61411111111","status":"starting"}}':
        "02Lu8N87/KtyUr8nME1HEpr4uE4CaMc7gIzXwFvILYU=",
    "": "ve3texM6KgjiXMgkRjz15MypWu+fYnrLUp+jtglS7yM=",
    '{"payload":{"callerIdName":"Zo\u00eb"}}': "74+WKXygrhJ0zrdKGz1CdaHaBBmFl3pbVOt9nqgTfTA=",
    '{"n":0}': "tD80LINjodTYDWdeTzoD6Jkxd7YQLM9zLywE579munc=",  # The digest contains a newline.
}  # fmt: skip
"""Computed with the documented algorithm: key `mysecretkey`, timestamp 1719823259, https://hooks.example.com/bird."""


def forgeries(event: Event) -> Iterator[Event]:
    """Yield a delivery with each part covered by its signature changed, and with wrong signatures."""
    signature, timestamp, body = event["headers"][SIGNATURE_HEADER], event["headers"][TIMESTAMP_HEADER], event["body"]
    for at, letter in enumerate(signature):
        for other in {"A", "B", "z", "-", "=", chr(ord(letter) ^ 1)} - {letter}:
            yield with_header(event, SIGNATURE_HEADER, signature[:at] + other + signature[at + 1 :])
    for at, letter in enumerate(body):
        yield {**event, "body": body[:at] + chr(ord(letter) ^ 1) + body[at + 1 :]}
    for other in (str(int(timestamp) + 1), f"0{timestamp}", f" {timestamp}", f"{timestamp}.0", f"+{timestamp}"):
        yield with_header(event, TIMESTAMP_HEADER, other)
    for name in (SIGNATURE_HEADER, TIMESTAMP_HEADER):
        yield without_header(event, name)
        for value in ("", "\u00e9", "\ud800", "0", "9" * 400, "\u0661\u0662\u0663"):
            yield with_header(event, name, value)
    for path in ("/webhooks/birD", f"/webhooks/bird/{CHANNEL}", "/webhooks/bird/"):
        yield {**event, "rawPath": path}
    yield {**event, "rawQueryString": "a=1"}
    yield signed_by_bird(event, key="another")


class TestSignature:
    @pytest.mark.parametrize(("body", "signature"), VECTORS.items())
    def test_matches_the_documented_algorithm(self, body: str, signature: str) -> None:
        assert sign("mysecretkey", "1719823259", "https://hooks.example.com/bird", body.encode()) == signature
        sender = bird_voice()
        sender.clock.now = datetime.fromtimestamp(1719823259 + 3600, UTC)
        event = with_header({**sender.event(body), "rawPath": "/bird"}, TIMESTAMP_HEADER, "1719823259")
        assert sender.receive(with_header(event, SIGNATURE_HEADER, signature)).statusCode in (200, 202)
        for changed in (signature.swapcase(), signature[:-1], signature + "="):
            assert sender.receive(with_header(event, SIGNATURE_HEADER, changed)).statusCode == 401

    def test_that_does_not_match_is_rejected(self) -> None:
        sender = bird_voice()
        for forged in forgeries(sender.event(BUSY)):
            assert sender.receive(forged).statusCode == 401
        assert sender.items == []

    def test_covers_the_public_url_instead_of_the_request_s_host(self) -> None:
        sender = bird_voice()
        event = sender.event(BUSY)
        event["requestContext"]["domainName"] = "another.example.com"
        assert sender.receive(event).statusCode == 200
        assert sender.receive(signed_by_bird(event, public_url="https://another.example.com")).statusCode == 401

    def test_covers_the_request_s_host_if_no_public_url_is_set(self) -> None:
        sender = bird_voice(public_url="")
        event = sender.event(BUSY)
        host = event["requestContext"]["domainName"]
        assert sender.receive(signed_by_bird(event, public_url=f"https://{host}")).statusCode == 200
        assert sender.receive(event).statusCode == 401

    @pytest.mark.parametrize("path", ["/webhooks/bird", "/voice/webhooks/bird"])
    def test_covers_a_public_url_with_a_path_once(self, path: str) -> None:
        # API Gateway does not always pass on the path of an API mapping.
        sender = bird_voice(public_url="https://hooks.example.com/voice/")
        signed = signed_by_bird(sender.event(BUSY), public_url="https://hooks.example.com/voice")
        assert sender.receive({**signed, "rawPath": path}).statusCode == 200

    def test_covers_the_query_and_the_bytes_of_a_base64_body(self) -> None:
        sender = bird_voice()
        event = sender.event(json.dumps(BUSY).encode())
        assert sender.receive(signed_by_bird({**event, "rawQueryString": "b=2&a=%20"})).statusCode == 200


HOUR = 3600


class TestTimestamp:
    @pytest.mark.parametrize("hours", [2, 24, 168])
    @pytest.mark.parametrize(
        ("windows", "seconds", "status"),
        [
            *((1, seconds, 200) for seconds in (-1, 0)),
            *((1, seconds, 401) for seconds in (0.001, 1, 24 * HOUR)),
            *((0, seconds, 200) for seconds in (0, 1, -1, -299, -300)),
            *((0, seconds, 401) for seconds in (-300.001, -301, -HOUR, -23 * HOUR)),
        ],
    )
    def test_may_be_as_old_as_the_window_and_five_minutes_ahead(
        self, hours: int, windows: int, seconds: float, status: int
    ) -> None:
        sender = bird_voice(window=timedelta(hours=hours))
        event = sender.event(BUSY)
        sender.clock.now = NOW.replace(microsecond=0) + timedelta(hours=windows * hours, seconds=seconds)
        assert sender.receive(event).statusCode == status

    @pytest.mark.parametrize(
        "timestamp",
        ["0", "1", "99999999999", "999999999999", "253402300800", "-1", "9" * 400, "1e10", "NaN", "Infinity", "", " "],
    )
    def test_that_is_invalid_is_rejected_without_a_request_to_aws(self, timestamp: str) -> None:
        sender = bird_voice()
        assert sender.receive(with_header(sender.event(BUSY), TIMESTAMP_HEADER, timestamp)).statusCode == 401
        assert (sender.secrets.reads, sender.database.calls) == (0, 0)

    def test_of_a_retry_hours_later_is_known_as_a_duplicate(self) -> None:
        sender = bird_voice()
        event = sender.event(BUSY)
        sender.receive(event)
        sender.clock.advance(8 * HOUR)
        assert sender.another_container().receive(event).replayed
        assert len(sender.items) == 1


class TestSigningKeys:
    @pytest.mark.parametrize("key", [SIGNING_KEY, "older", "KeV+/HGo0qk=", "cl\u00e9"])
    def test_are_all_valid_and_never_decoded(self, key: str) -> None:
        further = ["older", "KeV+/HGo0qk=", "cl\u00e9"]
        sender = bird_voice(secret={"signing_key": SIGNING_KEY, "further_signing_keys": further})
        assert sender.receive(signed_by_bird(sender.event(BUSY), key=key)).statusCode == 200

    @pytest.mark.parametrize("further", ["older", [5], ["\n"], [None, ""], {"a": 1}])
    def test_that_are_invalid_do_not_affect_the_others(self, further: object, log: io.StringIO) -> None:
        sender = bird_voice(secret={"signing_key": SIGNING_KEY, "further_signing_keys": further})
        assert sender.send(BUSY).statusCode == 200
        assert ("added secret not used" in log.getvalue()) is (further != "older")

    @pytest.mark.parametrize("secret", [{}, {"signing_key": ""}, {"signing_key": 5}])
    def test_that_are_all_invalid_make_bird_retry(self, secret: dict[str, object]) -> None:
        sender = bird_voice(secret=secret)
        assert sender.send(BUSY).statusCode == 503
        assert sender.items == []


class TestTheLogOfARejection:
    def test_shows_the_url_that_was_checked(self, log: io.StringIO) -> None:
        sender = bird_voice(channel_id=CHANNEL)
        event = sender.event(BUSY)
        sender.receive(signed_by_bird(event, public_url="https://elsewhere.example.com"))
        sender.receive({**event, "rawQueryString": "a=secret"})
        lines = [json.loads(line) for line in log.getvalue().splitlines()]
        assert {line["url"] for line in lines} == {f"{PUBLIC_URL}/webhooks/recorded"}
