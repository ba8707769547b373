"""Behaviour common to Wavix, Bird, VoIPstudio and jambonz's events: authentication, storage and responses."""

from __future__ import annotations

import hashlib
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from callhooks.events.event_item import body_of_item

from tests.senders import SENDERS, TOKEN, Sender, Stored, bird_voice, document_of, jambonz_event, voipstudio, wavix
from tests.support import OUT_OF_ORDER, PERMANENT_REJECTION, metric_lines, unstored, with_header

EVENT_OF = {
    "wavix": "ringing", "bird": "voice_inbound_ringing", "voipstudio": "call_ringing",
    "jambonz": "call_status_inbound_in_progress",
}  # fmt: skip
THROTTLED = ClientError({"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow"}}, "PutItem")
NO_SECRETS = ConnectTimeoutError(endpoint_url="https://secretsmanager")
WITHOUT_CREDENTIALS: dict[str, Any] = {"headers": {}, "pathParameters": {}}

every_fault = pytest.mark.parametrize(
    "fault", [THROTTLED, ReadTimeoutError(endpoint_url="https://dynamodb"), RuntimeError("odd")]
)
every_sender_with_a_token = pytest.mark.parametrize("make", [wavix, voipstudio])


@pytest.fixture(params=EVENT_OF)
def sender(request: pytest.FixtureRequest) -> Sender:
    return {**SENDERS, "jambonz": jambonz_event}[request.param]()


@pytest.fixture
def document(sender: Sender) -> dict[str, Any]:
    return document_of(sender.provider, EVENT_OF[sender.provider])


def metrics(printed: str) -> list[dict[str, Any]]:
    """Return the metrics in the output."""
    return [
        {name: value for name, value in line.items() if name not in ("_aws", "service")}
        for line in metric_lines(printed)
    ]


class TestADelivery:
    def test_that_is_duplicated_is_stored_once_and_gets_the_first_answer(
        self, sender: Sender, document: dict[str, Any]
    ) -> None:
        first, again = sender.send(document), sender.send(document)
        assert sender.database.calls == 1
        assert (first.statusCode, first.replayed) == (200, False)
        assert (again.statusCode, again.body, again.replayed) == (200, first.body, True)
        assert sender.another_container().send(document).replayed
        assert len(sender.items) == 1

    def test_is_stored_completely_with_times_in_utc_until_it_expires(
        self, sender: Sender, document: dict[str, Any]
    ) -> None:
        body = json.dumps({**document, "hologram": {"colour": ["blue"]}})
        stored = sender.stored(body)
        assert body_of_item(stored.item) == body.encode()
        assert {datetime.fromisoformat(stored[name]).tzinfo for name in ("occurred_at", "received_at")} == {UTC}
        assert stored.item["expires_at"] == {"N": str(int(sender.clock.now.timestamp()) + 90 * 86400)}


class TestAnUnauthenticatedRequest:
    @every_sender_with_a_token
    @pytest.mark.parametrize(
        "parameters",
        [None, {}, {"token": ""}, {"token": "wrong"}, {"token": TOKEN.upper()}, {"token": f"{TOKEN}x"},
         {"token": TOKEN[:-1]}, {"token": "\u00e9"}, {"token": "\ud800"}, {"token": None}, {"token": 5}],
    )  # fmt: skip
    def test_with_a_wrong_token_is_rejected(self, make: Any, parameters: Any) -> None:
        sender = make()
        answer = sender.send(document_of(sender.provider, EVENT_OF[sender.provider]), pathParameters=parameters)
        without_token = sender.send("", pathParameters={})
        assert answer.statusCode == 401
        assert (answer.body, answer.headers) == (without_token.body, without_token.headers)
        assert sender.items == []

    def test_without_credentials_is_rejected_without_reading_a_secret(
        self, sender: Sender, capsys: pytest.CaptureFixture[str]
    ) -> None:
        sender.secrets.fault = NO_SECRETS
        answer = sender.receive({**sender.event("{}"), **WITHOUT_CREDENTIALS})
        assert (answer.statusCode, sender.secrets.reads) == (401, 0)
        assert ("www-authenticate" in answer.headers) is (sender.provider == "jambonz"), "only jambonz has a password"
        reason = {"bird": "no signature", "jambonz": "no Authorization header"}.get(sender.provider, "no token")
        counted = {"WebhookRefused": [1.0], "provider": sender.provider, "reason": reason}
        assert metrics(capsys.readouterr().out) == [counted]


class TestAQuarantinedDelivery:
    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            ("not JSON", "The body is not JSON."),
            ("nullnull", "The body is not JSON."),
            ('"text"', "The body is not a JSON object."),
            ("[]", "The body is not a JSON object."),
            (b"\xff\xfe", "The body is not valid UTF-8."),
            ("[" * 100_000, "The body is nested too deeply."),
        ],
    )
    def test_is_stored_and_counted_once_with_its_reason(
        self, sender: Sender, body: str | bytes, reason: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answers = [one.send(body) for one in (sender, sender, sender.another_container())]
        assert [(answer.statusCode, answer.replayed) for answer in answers] == [(202, False), (202, True), (202, True)]
        assert json.loads(answers[0].body) == {"status": "quarantined", "reason": reason}
        counted = {"EventQuarantined": [1.0], "provider": sender.provider, "reason": reason}
        assert metrics(capsys.readouterr().out) == [counted]
        stored = Stored(sender.database.item)
        assert (stored["pk"], len(stored["sk"])) == (f"quarantine#{sender.provider}#2026-11-21", 64)
        assert (stored["provider"], stored["reason"]) == (sender.provider, reason)
        assert body_of_item(stored.item) == (body if isinstance(body, bytes) else body.encode())

    @pytest.mark.parametrize(
        ("provider", "reason", "documents"),
        [
            (
                "wavix",
                "There is neither an event_type nor a disposition.",
                [{}, {"uuid": "1"}, {"event_type": ["ringing"], "uuid": "1"},
                 {"event_type": "", "event": " ", "uuid": "1"}, {"disposition": "", "uuid": "1"}],
            ),
            (
                "wavix",
                "There is no id or uuid of a call.",
                [{"event_type": "ringing"}, {"event_type": "ringing", "uuid": " ", "id": None},
                 {"disposition": "answered", "charge": "1"}],
            ),
            (
                "bird",
                "There is no id of a call.",
                [{"service": "channels", "event": "voice.inbound"}, {"payload": {"status": "busy"}},
                 {"payload": {"id": "", "status": "busy"}}],
            ),
            (
                "bird",
                "There is no status of a call.",
                [{"payload": {"id": "1"}}, {"payload": {"id": "1", "status": ""}}],
            ),
            (
                "voipstudio",
                "There is no event_name.",
                [{"call_id": 5}, {"event_name": "  ", "call_id": 5},
                 {"data": {"id": 139543232, "state": 3}, "links": {}}],
            ),
            (
                "voipstudio",
                "There is no call_id.",
                [{"event_name": "call.ringing"}, {"event_name": "queue.wrapup", "call_id": ""}],
            ),
        ],
    )  # fmt: skip
    def test_may_lack_required_members(self, provider: str, reason: str, documents: list[dict[str, Any]]) -> None:
        for document in documents:
            answer = SENDERS[provider]().send(document)
            assert (answer.statusCode, json.loads(answer.body)["reason"]) == (202, reason)

    def test_is_stored_with_everything_for_a_retry_except_credentials(self, sender: Sender) -> None:
        event = with_header(sender.event("not JSON"), "user-agent", "sender/1.0")
        sender.receive({**event, "headers": {"authorization": "Basic abc", **event["headers"]}})
        item = sender.database.item
        assert item["route"] == {"S": "POST /webhooks/recorded"}
        assert item["headers"]["M"]["user-agent"] == {"S": "sender/1.0"}
        assert "authorization" not in item["headers"]["M"]
        assert TOKEN not in json.dumps(item, default=repr)

    def test_at_two_bird_urls_is_two_items_because_the_url_may_name_the_channel(self) -> None:
        first = bird_voice(channel_id="channel-1")
        first.send("not JSON")
        item = first.database.item
        assert item["path_parameters"]["M"] == {"channel_id": {"S": "channel-1"}}
        assert item["headers"]["M"]["messagebird-request-timestamp"] == {"S": "1795242600"}
        assert not bird_voice(channel_id="channel-2", database=first.database).send("not JSON").replayed
        assert len(first.items) == 2

    def test_from_bird_is_one_item_even_if_retried_after_midnight(self) -> None:
        sender = bird_voice()
        event = sender.event("not JSON")
        sender.receive(event)
        sender.clock.advance(20 * 3600)
        assert sender.another_container().receive(event).replayed
        assert len(sender.items) == 1

    def test_is_accepted_if_it_is_spilled_and_not_if_it_is_only_in_the_log(self, sender: Sender) -> None:
        sender.database.fault = THROTTLED
        assert sender.send("not JSON").statusCode == 202
        (item,) = sender.queue.items
        assert (item["reason"], body_of_item(item)) == ({"S": "The body is not JSON."}, b"not JSON")
        sender.queue.fault = OUT_OF_ORDER
        assert sender.another_container().send("not JSON").statusCode == 503

    def test_may_be_due_to_a_fault_of_callhooks(self, monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
        sender = wavix()
        monkeypatch.setattr("callhooks.webhooks.pipeline.event_item", lambda *_, **__: 1 / 0)
        answer = sender.send(document_of("wavix", "ringing"))
        assert answer.statusCode == 202
        assert json.loads(answer.body)["reason"] == "The delivery could not be processed."
        assert Stored(sender.database.item)["pk"] == "quarantine#wavix#2026-11-21"
        assert "ZeroDivisionError at pipeline.py" in log.getvalue()


class TestTheLimits:
    def test_a_body_over_128_kb_is_413(self, sender: Sender, document: dict[str, Any]) -> None:
        assert sender.send({**document, "padding": "x" * (128 * 1024)}).statusCode == 413
        assert sender.items == []
        assert sender.send({**document, "padding": "x" * (127 * 1024)}).statusCode == 200

    @pytest.mark.parametrize("text", ["", "\u0130", "\ud83d", "\U0001f600"])
    def test_a_member_of_any_length_is_stored(self, sender: Sender, document: dict[str, Any], text: str) -> None:
        # Random hexadecimal digits, so that the body does not compress well.
        long = "".join(
            f"{hashlib.sha256(bytes([number % 251, number // 251])).hexdigest()}{text}" for number in range(5000)
        )
        short = {"event_type": "x", "event_name": "x", "status": "x", "id": "1", "call_id": "1", "call_sid": "1"}
        others = {"channelId", "reason", "event", "type", "error", "queue", "conference_sid", "dtmf"}
        for name in sorted(others.union(document)):
            left = 127 * 1024 - len(json.dumps({**short, name: ""}))
            fitting = long[: int(left * len(long) / len(json.dumps(long)))]
            assert sender.send({**short, name: fitting}).statusCode in (200, 202)


class TestAnOutage:
    @every_fault
    def test_of_dynamodb_is_invisible_to_the_sender_and_spills_the_event(
        self, sender: Sender, document: dict[str, Any], fault: Exception, log: io.StringIO
    ) -> None:
        first = sender.send(document)
        (stored,) = sender.items
        sender.database.items.clear()
        broken = sender.another_container()
        broken.database.fault = fault
        assert broken.send(document) == first
        (spilled,) = broken.queue.items
        assert {**spilled, "request_id": None} == {**stored, "request_id": None}
        assert unstored(log.getvalue()) == []

    def test_of_dynamodb_spills_a_duplicate_once_per_container(self, sender: Sender, document: dict[str, Any]) -> None:
        sender.database.fault = THROTTLED
        first, second = sender.send(document), sender.send(document)
        assert (second.replayed, second.body) == (True, first.body)
        assert len(sender.queue.items) == 1

    @every_fault
    def test_of_dynamodb_and_queue_returns_503_and_logs_the_event(
        self, sender: Sender, document: dict[str, Any], fault: Exception, log: io.StringIO
    ) -> None:
        sender.database.fault = fault
        sender.queue.fault = ConnectTimeoutError(endpoint_url="https://sqs")
        answer = sender.send(document)
        assert (answer.statusCode, answer.problem["title"]) == (503, "Unavailable")
        (item,) = unstored(log.getvalue())
        assert item["provider"] == {"S": sender.provider}
        assert TOKEN not in str(item)
        sender.database.fault = None
        assert sender.send(document).statusCode == 200
        assert len(sender.items) == 1

    def test_of_only_the_queue_has_no_effect(self, sender: Sender, document: dict[str, Any]) -> None:
        sender.queue.fault = OUT_OF_ORDER
        assert sender.send(document).statusCode == 200
        assert (len(sender.items), sender.queue.clients_made) == (1, 0)

    def test_because_of_a_permanent_rejection_quarantines_the_delivery(
        self, sender: Sender, document: dict[str, Any]
    ) -> None:
        sender.database.refuses_events = True
        assert sender.send(document).statusCode == 200
        assert sender.database.item["reason"] == {"S": "The database refuses it."}
        assert json.loads(body_of_item(sender.database.item)) == document
        assert sender.send(document).replayed
        assert (len(sender.items), sender.queue.items) == (1, [])

    def test_that_also_affects_quarantine_returns_503_and_logs_the_delivery(
        self, sender: Sender, document: dict[str, Any], log: io.StringIO
    ) -> None:
        sender.database.fault = ClientError(PERMANENT_REJECTION, "PutItem")
        assert sender.send(document).statusCode == 503
        (item,) = unstored(log.getvalue())
        assert json.loads(body_of_item(item)) == document
        assert sender.queue.items == []

    def test_of_the_secret_store_returns_503_without_cached_secrets(
        self, sender: Sender, document: dict[str, Any]
    ) -> None:
        sender.secrets.fault = NO_SECRETS
        assert sender.send(document).statusCode == 503
        assert sender.items == []
        sender.secrets.fault = None
        sender.clock.advance(61)
        for number in range(3):
            assert sender.send({**document, "n": number}).statusCode == 200
        assert sender.secrets.reads == 2, "one failed and one successful"
        sender.secrets.fault = NO_SECRETS
        sender.clock.advance(3600)
        assert sender.send({**document, "more": 1}).statusCode == 200

    def test_is_not_counted_as_a_rejection(
        self, sender: Sender, document: dict[str, Any], capsys: pytest.CaptureFixture[str]
    ) -> None:
        sender.database.fault = RuntimeError("odd")
        sender.send(document)
        sender.queue.fault = OUT_OF_ORDER
        sender.another_container().send(document)
        counted = [line for line in metrics(capsys.readouterr().out) if "answer_ms" not in line]
        assert counted == [
            {"provider": sender.provider, "reason": "RuntimeError", "EventSpilled": [1.0]},
            {"EventUnstored": [1.0]},
        ]


@every_sender_with_a_token
class TestTokens:
    def test_can_be_several_at_once(self, make: Any) -> None:
        sender = make(secret={"token": "new", "further_tokens": [TOKEN, "older"]})
        document = document_of(sender.provider, EVENT_OF[sender.provider])
        statuses = [
            sender.send(document, pathParameters={"token": token}).statusCode
            for token in ("new", TOKEN, "older", "gone")
        ]
        assert statuses == [200, 200, 200, 401]

    def test_that_were_rotated_are_read_after_the_first_failed_check(self, make: Any) -> None:
        sender = make()
        document = document_of(sender.provider, EVENT_OF[sender.provider])
        sender.send(document)
        sender.secrets.text = json.dumps({"token": "rotated", "further_tokens": [TOKEN]})
        sender.clock.advance(61)
        assert sender.send({**document, "n": 1}, pathParameters={"token": "rotated"}).statusCode == 200

    @pytest.mark.parametrize(
        ("secret", "status"),
        [({}, 503), ({"token": ""}, 503), ({"token": None}, 503), ({"token": "a", "further_tokens": ["", None]}, 401)],
    )
    def test_that_are_empty_authenticate_no_sender(self, make: Any, secret: dict[str, Any], status: int) -> None:
        sender = make(secret=secret)
        for parameters in ({}, {"token": ""}):
            assert sender.send("{}", pathParameters=parameters).statusCode == 401
        assert sender.send("{}", pathParameters={"token": "None"}).statusCode == status
