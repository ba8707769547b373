"""Deliveries of jambonz at /webhooks/call: responses, stored events, authentication and outages."""

from __future__ import annotations

import gzip
import io
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from callhooks.events.event_item import body_of_item, party_key
from callhooks.providers.jambonz.authentication import basic_header_value
from callhooks.providers.jambonz.plan.plan import Flow, Plan, Route

from tests.support import (
    APOLOGY,
    NOW,
    OUT_OF_ORDER,
    PASSWORD,
    PLAN,
    RECEPTION,
    USERNAME,
    VOICEMAIL,
    WEBHOOK_SECRET,
    Clock,
    Container,
    FakeDynamoDB,
    FakeQueue,
    FakeSecrets,
    body_of,
    detail_attributes,
    recorded,
    signed,
    signed_event,
    unstored,
    with_header,
    without_header,
)

CALL = {"call_sid": "d2515c3b", "from": "+12125550187", "to": "+14155550123", "call_status": "trying"}


class TestANewCall:
    def test_is_stored_with_raw_body_answer_and_normalised_members(self) -> None:
        container = Container()
        answer = container.receive(signed(recorded("new_call")))
        assert (answer.statusCode, answer.verbs) == (200, RECEPTION)
        item = container.database.item
        assert item["pk"] == {"S": "jambonz#d2515c3b-b79a-41a2-971a-445e769c823c"}
        assert item["sk"] == {"S": "event#new-call"}
        assert gzip.decompress(item["body"]["B"]).decode() == recorded("new_call")["body"]
        assert item["body_encoding"] == {"S": "gzip"}
        assert item["answer"] == {"S": answer.body}
        plain = {name: value["S"] for name, value in item.items() if "S" in value}
        assert {
            "provider": "jambonz",
            "call_id": "d2515c3b-b79a-41a2-971a-445e769c823c",
            "kind": "call.initiated",
            "direction": "inbound",
            "from": "+12125550187",
            "to": "+14155550123",
            "occurred_at": "2026-11-21T06:30:00.000Z",
            "received_at": "2026-11-21T06:30:00.250Z",
        }.items() <= plain.items()
        assert detail_attributes(item)["caller_name"] == {"S": "Jane Doe"}
        assert detail_attributes(item)["trunk"] == {"S": "example-carrier"}
        assert item["expires_at"] == {"N": str(int(NOW.timestamp()) + 90 * 86400)}

    @pytest.mark.parametrize(
        ("body", "verbs"),
        [
            ({"call_sid": "abc"}, VOICEMAIL),
            ({"call_sid": "abc", "call_status": "TRYING"}, VOICEMAIL),
            ({"call_sid": "abc", "call_status": "Trying", "sip_status": False}, VOICEMAIL),
            ({"call_sid": "abc", "to": 14155550123}, RECEPTION),
            ('{"call_sid": "abc", "n": ' + "9" * 5000 + "}", VOICEMAIL),
            ('\ufeff{"call_sid": "abc"}', VOICEMAIL),
            ('{"call_sid": "abc", "call_sid": "abc"}', VOICEMAIL),
        ],
    )
    def test_requires_only_a_call_sid(self, body: object, verbs: object) -> None:
        container = Container()
        assert container.receive_call(body).verbs == verbs
        item = container.database.item
        assert (item["sk"], item["kind"]) == ({"S": "event#new-call"}, {"S": "call.initiated"})
        assert "sip_status" not in detail_attributes(item)

    def test_may_have_a_base64_body_and_header_names_in_any_case(self) -> None:
        container = Container()
        event = signed_event(CALL, base64_encoded=True)
        event["headers"] = {name.title(): value for name, value in event["headers"].items()}
        assert container.receive(event).verbs == RECEPTION
        assert container.database.item["body"]["B"] == json.dumps(CALL).encode()
        assert container.database.item["body_encoding"] == {"S": "identity"}

    @pytest.mark.parametrize("to", ["%2B14155550123", "%2b14155550123", "sip:%2B14155550123@203.0.113.5;user=phone"])
    def test_with_an_escaped_number_is_routed_and_found_by_the_number(self, to: str) -> None:
        container = Container()
        body = {**CALL, "to": to, "from": "x%40evil.example"}
        assert container.receive_call(body).verbs == RECEPTION
        item = container.database.item
        assert item["body"]["B"] == json.dumps(body).encode(), "the raw body is kept"
        assert (party_key(item["to"]["S"]), item["from"]["S"]) == ("14155550123", "x%40evil.example")

    def test_created_by_rest_is_an_answered_outbound_call(self) -> None:
        container = Container()
        container.receive(signed(recorded("new_call_outbound")))
        assert container.database.item["kind"] == {"S": "call.answered"}
        assert container.database.item["direction"] == {"S": "outbound"}

    def test_with_a_name_cut_inside_an_emoji_is_stored_with_the_rest(self) -> None:
        container = Container()
        container.receive_call({"call_sid": "abc", "caller_name": "Jane \ud83d", "from": "+1\udc00"})
        assert detail_attributes(container.database.item)["caller_name"] == {"S": "Jane \\ud83d"}
        assert container.database.item["from"] == {"S": "+1\\udc00"}


class TestDuplicatesAndLaterRequests:
    def test_a_duplicate_gets_the_first_answer_for_one_write_at_most(self) -> None:
        container = Container()
        first = container.receive_call(CALL)
        container.clock.advance(1)
        again = container.receive_call(CALL, request_id="request-2")
        assert (first.replayed, again.replayed, again.statusCode, again.body) == (False, True, 200, first.body)
        assert container.database.calls == 1
        Container(container.database).receive_call(CALL, request_id="request-3")
        assert (container.database.calls, len(container.database.items)) == (2, 1)

    # A recording that is sent twice has the request id of the first delivery, as after a lost reply.
    @pytest.mark.parametrize(("first_id", "second_id"), [("request-1", "request-2"), ("request-1",) * 2, ("", "")])
    def test_a_duplicate_gets_the_first_answer_after_a_change_of_the_plan(self, first_id: str, second_id: str) -> None:
        database = FakeDynamoDB()
        first = Container(database).receive_call(CALL, request_id=first_id)
        changed = Plan(routes=(Route("new"),), flows={"new": Flow([{"verb": "hangup"}])}, fallback=APOLOGY)
        duplicate = Container(database, plan=changed).receive_call(CALL, request_id=second_id)
        assert (duplicate.body, duplicate.replayed) == (first.body, True)

    def test_a_later_request_for_verbs_is_a_separate_event_and_stored_once(self) -> None:
        container = Container()
        redirect = signed(recorded("redirect_to_call_hook"))
        requests = [
            signed(recorded("new_call")),
            redirect,
            redirect,
            {**redirect, "rawQueryString": "again=1"},
            signed(recorded("redirect_to_call_hook"), now=NOW.replace(second=1)),
            # before the answer
            signed_event({**body_of("redirect_to_call_hook"), "call_status": "trying", "sip_status": 100}),
        ]
        assert [container.receive(one).replayed for one in requests] == [False, False, True, False, False, False]
        kinds = [item["kind"]["S"] for item in container.database.items.values()]
        assert kinds == ["call.initiated", *["call.verb"] * 3, kinds[4]]

    @pytest.mark.parametrize("paths", [("/webhooks/call", "/webhooks/call/"), ("/webhooks/call/", "/webhooks/call")])
    @pytest.mark.parametrize("later", [False, True], ids=["first webhook", "later request"])
    def test_a_slash_at_the_end_of_the_url_is_the_same_hook(self, paths: tuple[str, str], later: bool) -> None:
        container = Container()
        body = body_of("redirect_to_call_hook") if later else CALL
        answers = [container.receive(signed_event(body, path=path)) for path in paths]
        assert [answer.replayed for answer in answers] == [False, True]
        assert answers[0].body == answers[1].body
        assert len(container.database.items) == 1

    @pytest.mark.parametrize("method", ["POST", "OPTIONS"])
    def test_a_path_that_continues_after_the_slash_is_not_found(self, method: str) -> None:
        container = Container()
        event = signed_event(CALL, method=method, path="/webhooks/call/event")
        assert container.receive({**event, "pathParameters": {"rest": "event"}}).statusCode == 404
        assert container.receive({**event, "pathParameters": {"rest": ""}}).statusCode in (200, 204)
        assert len(container.database.items) == (method == "POST")

    def test_a_lost_reply_does_not_make_a_call_a_duplicate(self) -> None:
        container = Container(FakeDynamoDB(lose_reply=True))
        answer = container.receive_call(CALL)
        assert answer.verbs == RECEPTION
        assert not answer.replayed


class TestAMalformedLambdaEvent:
    """Anyone with permission to invoke the function can send it any event."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"requestContext": None},
            {"requestContext": []},
            {"requestContext": {"http": None}},
            {"requestContext": {"http": {"method": None, "path": 5}, "requestId": 5}},
            {"rawPath": None, "rawQueryString": None},
            {"isBase64Encoded": None},
            {"rawQueryString": "\ud800=%ff&&=&a"},
        ],
    )
    def test_is_processed_as_far_as_possible(self, changes: dict[str, Any]) -> None:
        for body in (CALL, body_of("redirect_to_call_hook")):
            assert Container().receive({**signed_event(body), **changes}).verbs == RECEPTION


class TestAGet:
    def test_without_parameters_is_answered_by_the_last_route_and_stored(self) -> None:
        container = Container(clock=Clock(NOW.replace(hour=23, minute=59, second=59)))
        event = signed(recorded("new_call_get"), now=container.clock.now)
        assert container.receive(event).verbs == VOICEMAIL
        wrong_password = with_header(event, "authorization", "Basic amFtYm9uejp3cm9uZw==")
        assert container.receive(wrong_password).statusCode == 401
        unchecked = with_header(event, "jambonz-signature", "t=1,v1=00")
        assert Container().receive(unchecked).verbs == VOICEMAIL, "the signature of a GET cannot be checked"
        container.clock.advance(2)
        assert container.receive(event).replayed, "after midnight too"
        assert container.database.item["pk"] == {"S": "jambonz#none#undated"}

    def test_without_a_signature_is_stored_for_each_request(self) -> None:
        container = Container()
        for number in range(2):
            event = signed_event("", method="GET", request_id=f"request-{number}")
            container.receive(without_header(event, "jambonz-signature"))
        assert len(container.database.items) == 2

    def test_with_parameters_is_routed_by_them_if_no_webhook_secret_is_set(self) -> None:
        container = Container(secrets=FakeSecrets(webhook_secrets=[]))
        query = "call_sid=abc&from=%2B12125550187&to=+14155550123&call_status=trying&direction=inbound"
        assert container.receive_call("", method="GET", query=query).verbs == RECEPTION
        assert container.database.item["to"] == {"S": "+14155550123"}
        assert container.database.item["sk"] == {"S": "event#new-call-get"}
        assert container.database.item["query"] == {"S": query}

    def test_does_not_determine_the_answer_to_a_post(self) -> None:
        container = Container(secrets=FakeSecrets(webhook_secrets=[]))
        container.receive_call("", method="GET", query="call_sid=d2515c3b&call_status=trying")
        answer = container.receive_call(CALL)
        assert answer.verbs == RECEPTION
        assert not answer.replayed

    @pytest.mark.parametrize(
        "query",
        [
            "call_sid=d2515c3b&from=%2B1900&direction=outbound&caller_name=Eve&call_status=completed",
            "call_sid=d2515c3b",
            "from=%2B1900&call_sid=d2515c3b",
            "call_sid=&call_sid=d2515c3b",
            "call_sid=d2515c3b&call_sid=",
            "call%5Fsid=d2515c3b",
            "call_sid=%20",
        ],
    )
    def test_that_names_a_call_is_rejected_if_a_webhook_secret_is_set(self, query: str) -> None:
        container = Container()
        container.receive_call(CALL)
        before = dict(container.database.items)
        stale = f"t={int(NOW.timestamp()) - 22 * 3600},v1=00"
        answer = container.receive_call("", method="GET", query=query, headers={"jambonz-signature": stale})
        assert answer.problem["status"] == 401
        assert container.database.items == before

    @pytest.mark.parametrize("hours", [0, 3, 22])
    def test_occurs_when_it_is_received_if_a_webhook_secret_is_set(self, hours: int) -> None:
        container = Container()
        stale = f"t={int(NOW.timestamp()) - hours * 3600},v1=00"
        assert container.receive_call("", method="GET", headers={"jambonz-signature": stale}).verbs == VOICEMAIL
        item = container.database.item
        assert (item["pk"], item["occurred_at"]) == ({"S": "jambonz#none#undated"}, item["received_at"])
        assert "call_id" not in item


TIME = int(NOW.timestamp())


class TestAnUnauthenticatedRequest:
    @pytest.mark.parametrize(
        ("header", "value", "is_prechecked"),
        [
            *(("authorization", value, True) for value in (None, "", "Basic !!!", "Bearer x", "Basic \u00e9")),
            *(("authorization", value, False) for value in ("Basic", "Basic d3Jvbmc=", "Basic amFtYm9uejp3cm9uZw==")),
            *(
                ("jambonz-signature", value, False)
                for value in (
                    None, "", "t=1,v1=", "garbage", "v1=00", f"t={TIME}", f"t={TIME},v1=\u00e9\u0000",
                    f"t={TIME},v1={'0' * 64}", f"t={'9' * 5000},v1={'0' * 64}", "t=\u0661\u0662,v1=00",
                    signed_event({**CALL, "to": "+19005550000"})["headers"]["jambonz-signature"],
                )
            ),
        ],
    )  # fmt: skip
    def test_with_a_missing_or_wrong_header_is_rejected(
        self, header: str, value: str | None, is_prechecked: bool
    ) -> None:
        container = Container()
        event = without_header(signed_event(CALL), header)
        answer = container.receive(event if value is None else with_header(event, header, value))
        assert (answer.statusCode, answer.problem["title"]) == (401, "Unauthorized")
        assert "www-authenticate" in answer.headers
        assert container.database.calls == 0
        assert (container.secrets.reads == 0) is is_prechecked

    @pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-299, 200), (299, 200), (301, 401)])
    def test_with_a_signature_more_than_five_minutes_off_is_rejected(self, seconds: int, status: int) -> None:
        container = Container()
        event = signed_event(CALL, now=container.clock.now)
        container.clock.advance(seconds)
        assert container.receive(event).statusCode == status


class TestSecrets:
    @pytest.mark.parametrize("others", [["new"], ["", "\ud800"], ["pasted with its newline\n"]])
    def test_may_be_several_of_which_any_valid_one_is_accepted(self, others: list[str]) -> None:
        container = Container()
        container.secrets.webhook_secrets = [*others, WEBHOOK_SECRET]
        for secret in {"new", WEBHOOK_SECRET} & {*others, WEBHOOK_SECRET}:
            assert container.receive_call(CALL, secret=secret).verbs == RECEPTION

    @pytest.mark.parametrize(("seconds", "secret", "status"), [(61, "rotated", 200), (301, WEBHOOK_SECRET, 401)])
    def test_that_rotate_are_read_again_after_a_failed_check_or_five_minutes(
        self, seconds: float, secret: str, status: int
    ) -> None:
        container = Container()
        container.receive_call(CALL)
        container.secrets.webhook_secrets = ["rotated"]
        container.clock.advance(seconds)
        assert container.receive_call(CALL, secret=secret).statusCode == status

    @pytest.mark.parametrize(
        "broken", [{"fault": ReadTimeoutError(endpoint_url="https://secretsmanager")}, {"webhook_secrets": ["\ud800"]}]
    )
    def test_stay_in_use_while_they_cannot_be_read_again(self, broken: dict[str, Any]) -> None:
        container = Container()
        container.receive_call(CALL)
        vars(container.secrets).update(broken)
        container.clock.advance(3600)
        assert container.receive_call({"call_sid": "later"}).statusCode == 200
        reads = container.secrets.reads
        container.receive_call({"call_sid": "much later"})
        assert container.secrets.reads == reads

    def test_that_change_during_an_outage_leave_calls_the_fallback(self) -> None:
        container = Container()
        container.receive_call(CALL)
        container.secrets.password, container.secrets.further_passwords = "new", [PASSWORD]
        container.secrets.fault = ReadTimeoutError(endpoint_url="https://secretsmanager")
        container.clock.advance(1800)
        event = signed_event(CALL, now=container.clock.now)
        changed = with_header(event, "authorization", basic_header_value(USERNAME, "new"))
        assert container.receive(changed).verbs == APOLOGY
        container.secrets.fault = None
        container.clock.advance(61)
        event = signed_event(CALL, now=container.clock.now)
        changed = with_header(event, "authorization", basic_header_value(USERNAME, "new"))
        assert container.receive(changed).replayed

    def test_that_cannot_be_read_are_not_requested_for_every_delivery(self) -> None:
        container = Container()
        container.secrets.fault = ReadTimeoutError(endpoint_url="https://secretsmanager")
        for _ in range(5):
            assert container.receive_call(CALL).verbs == APOLOGY
        assert (container.secrets.reads, container.database.calls) == (1, 0)
        container.secrets.fault = None
        container.clock.advance(1.1)
        assert container.receive_call(CALL).verbs == RECEPTION

    def test_allow_several_passwords_at_once(self) -> None:
        container = Container()
        container.secrets.password, container.secrets.further_passwords = "new", [PASSWORD]
        for password, status in (("new", 200), (PASSWORD, 200), ("old", 401), ("", 401)):
            event = with_header(signed_event(CALL), "authorization", basic_header_value(USERNAME, password))
            assert container.receive(event).statusCode == status

    def test_match_any_of_several_digests(self) -> None:
        event = signed_event(CALL)
        signature = event["headers"]["jambonz-signature"]
        event = with_header(event, "jambonz-signature", f"{signature.replace('v1=', 'v1=00,v1=')}, v1=zz,v0=1")
        assert Container().receive(event).statusCode == 200

    def test_without_a_webhook_secret_turn_signature_checks_off(self) -> None:
        container = Container()
        container.secrets.webhook_secrets = []
        assert container.receive(without_header(signed_event(CALL), "jambonz-signature")).statusCode == 200

    def test_are_read_again_at_most_once_a_minute_after_rejections(self) -> None:
        container = Container()
        wrong = signed_event(CALL, secret="wrong")
        for _ in range(5):
            container.receive(wrong)
        assert container.secrets.reads == 2
        container.clock.advance(61)
        for _ in range(5):
            container.receive(wrong)
        assert container.secrets.reads == 4

    @pytest.mark.parametrize(
        "value",
        [
            "not JSON",
            "[]",
            "{}",
            '{"username": "jambonz", "password": "", "webhook_secrets": []}',
            '{"username": "jambonz", "password": "\\ud800", "webhook_secrets": []}',
            '{"username": "jambonz", "password": "s3cr3t", "webhook_secret": "misnamed"}',
            '{"username": "jambonz", "password": "s3cr3t", "webhook_secrets": "one"}',
            '{"username": "jambonz", "password": "s3cr3t", "webhook_secrets": ["\\ud800", ""]}',
        ],
    )
    def test_that_are_all_invalid_leave_a_call_the_fallback(self, value: str) -> None:
        container = Container()
        container.secrets.text = value
        assert container.receive_call(CALL).verbs == APOLOGY


class TestAMalformedBody:
    @pytest.mark.parametrize(
        ("body", "detail"),
        [
            ("", "The body is not JSON."),
            ('"call_sid"', "The body is not a JSON object."),
            ("{}", "call_sid is missing or empty."),
            ('{"call_sid": ""}', "call_sid is missing or empty."),
            ('{"call_sid": null}', "call_sid is missing or empty."),
            ('{"call_sid": "   "}', "call_sid is missing or empty."),
            ('{"call_sid": 5}', "call_sid is not a string."),
            ('{"call_sid": ["abc"]}', "call_sid is not a string."),
            ('{"call_sid": {"a": 1}}', "call_sid is not a string."),
        ],
    )
    def test_gets_400_with_the_reason(self, body: str | bytes, detail: str) -> None:
        container = Container()
        answer = container.receive_call(body)
        assert (answer.statusCode, answer.problem["detail"]) == (400, detail)
        assert container.database.calls == 0

    def test_in_broken_base64_gets_400(self) -> None:
        event = {**signed_event(CALL, base64_encoded=True), "body": "!!!"}
        assert Container().receive(event).problem["detail"] == "The body is marked as base64 and is not."

    def test_over_128_kb_gets_413(self) -> None:
        container = Container()
        body = json.dumps({"call_sid": "abc", "x": ""})
        padding = "x" * (128 * 1024 - len(body))
        assert container.receive_call(body.replace('""', f'"{padding}"')).statusCode == 200
        assert container.receive_call(body.replace('""', f'"{padding}x"')).statusCode == 413
        assert container.database.calls == 1


class TestIdentifiers:
    @pytest.mark.parametrize(
        "call_sid",
        ["x" * 201, "a#b", "none#2026-11-21", "sms#1", "\u0000", "\u001c", "\ud800", "a b", "sha256-0", "+14155550123",
         "sip:jane@example.com", "\u00e9"],
    )  # fmt: skip
    def test_that_cannot_be_a_key_are_hashed(self, call_sid: str) -> None:
        container = Container()
        assert container.receive_call({"call_sid": call_sid}).statusCode == 200
        ((partition_key, _),) = container.database.items
        assert re.fullmatch("jambonz#sha256-[0-9a-f]{64}", partition_key)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("x" * 300 + "1", "x" * 300 + "2"),
            ("\ud800", "\ud801"),
            ("a\ud800", "a?"),
            ("\u001c", "\u001f"),
            ("\u001cabc", "abc"),
            (" abc", "abc"),
        ],
    )
    def test_that_differ_are_different_calls(self, one: str, other: str) -> None:
        container = Container()
        container.receive_call({"call_sid": one})
        assert not container.receive_call({"call_sid": other}).replayed
        assert len(container.database.items) == 2


THROTTLED: Any = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}
DENIED: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}


class TestADatabaseOutage:
    @pytest.mark.parametrize(
        "fault",
        [
            ClientError(THROTTLED, "PutItem"),
            ClientError(DENIED, "PutItem"),
            ConnectTimeoutError(endpoint_url="https://dynamodb"),
            ReadTimeoutError(endpoint_url="https://dynamodb"),
            RuntimeError("unexpected"),
        ],
    )
    @pytest.mark.parametrize("queue_fault", [None, OUT_OF_ORDER])
    def test_sends_the_event_to_the_queue_or_the_log_and_the_call_gets_its_verbs(
        self, fault: Exception, queue_fault: Exception | None, log: io.StringIO
    ) -> None:
        container = Container(FakeDynamoDB(fault=fault), queue=FakeQueue(fault=queue_fault))
        assert container.receive_call(CALL).verbs == RECEPTION
        queued, logged = container.queue.items, unstored(log.getvalue())
        assert (len(queued), len(logged)) == ((0, 1) if queue_fault else (1, 0))
        (item,) = queued or logged
        assert (item["call_id"], json.loads(item["answer"]["S"])) == ({"S": CALL["call_sid"]}, RECEPTION)

    def test_does_not_stop_requests_for_the_next_delivery(self) -> None:
        container = Container(FakeDynamoDB(fault=ClientError(THROTTLED, "PutItem")))
        container.receive_call(CALL)
        container.database.fault = None
        assert not container.receive_call({**CALL, "call_sid": "another"}).replayed
        assert len(container.database.items) == 1

    def test_of_a_permanent_kind_quarantines_the_delivery_and_the_call_gets_its_verbs(self) -> None:
        container = Container(FakeDynamoDB(refuses_events=True))
        assert container.receive_call(CALL).verbs == RECEPTION
        assert container.database.item["reason"] == {"S": "The database refuses it."}
        assert container.queue.items == []

    @pytest.mark.parametrize(("seconds", "writes"), [(1.6, 1), (1.8, 0)])
    def test_is_assumed_if_the_secret_store_used_up_the_time(self, seconds: float, writes: int) -> None:
        container = Container()
        container.secrets.on_read = lambda: container.clock.advance(seconds)
        assert container.receive_call(CALL).verbs == RECEPTION
        assert (container.database.calls, len(container.queue.items)) == (writes, 1 - writes)

    def test_is_assumed_if_idempotency_is_disabled_in_powertools(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("POWERTOOLS_IDEMPOTENCY_DISABLED", "true")
        monkeypatch.setenv("POWERTOOLS_DEV", "true")
        container = Container()
        with pytest.warns(UserWarning, match="Disabling idempotency"):
            assert container.receive_call(CALL).verbs == RECEPTION
        assert len(container.queue.items) == 1


class TestTheFallback:
    @pytest.mark.parametrize(
        ("body", "status"),
        [("not JSON", 400), ("{}", 400), (" " * 140_000, 413), (json.dumps(body_of("redirect_to_call_hook")), 503)],
    )
    def test_answers_only_new_calls(self, body: str, status: int) -> None:
        container = Container()
        container.secrets.fault = ConnectTimeoutError(endpoint_url="https://secretsmanager")
        assert container.receive_call(body).statusCode == status

    def test_answers_a_call_if_the_plan_fails_and_quarantines_the_delivery(self, log: io.StringIO) -> None:
        plan = Plan(routes=(Route("missing"),), flows={}, fallback=APOLOGY)
        container = Container(plan=plan)
        answer = container.receive_call(CALL)
        assert (answer.statusCode, answer.verbs) == (200, APOLOGY)
        assert container.database.item["reason"] == {"S": "The delivery could not be processed."}
        assert json.loads(body_of_item(container.database.item)) == CALL
        assert '"failure":"KeyError at pipeline.py' in log.getvalue()
        assert container.receive_call(CALL).replayed

    @pytest.mark.parametrize(
        "broken",
        [
            "callhooks.webhooks.pipeline.Request.from_event",
            "callhooks.webhooks.pipeline.Receiver._authenticate",
            "callhooks.webhooks.pipeline.event_item",
            "callhooks.webhooks.pipeline.quarantine_item",
            "callhooks.events.event_writer.EventWriter.write",
            "callhooks.events.event_writer.pack_item",
            "callhooks.webhooks.pipeline.count",
        ],
    )
    @pytest.mark.parametrize("plan", [PLAN, Plan(routes=(Route("missing"),), flows={}, fallback=APOLOGY)])
    def test_answers_a_call_if_any_part_of_the_pipeline_fails(
        self, broken: str, plan: Plan, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise RuntimeError("of +12125550187")

        container = Container(FakeDynamoDB(fault=OUT_OF_ORDER), plan=plan)
        container.queue.fault = OUT_OF_ORDER
        monkeypatch.setattr(broken, fail)
        answer = container.receive_call(CALL)
        assert answer.statusCode == 200
        assert answer.verbs in (RECEPTION, APOLOGY)
        assert "2125550187" not in log.getvalue()


class TestTheLog:
    def test_has_one_line_for_a_call(self, log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
        Container().receive_call(CALL)
        (line,) = [*log.getvalue().splitlines(), *capsys.readouterr().out.splitlines()]
        assert json.loads(line)["call_id"] == CALL["call_sid"]
