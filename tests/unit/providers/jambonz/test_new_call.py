"""Deliveries of jambonz at /webhooks/call: responses, stored events, authentication and outages."""

from __future__ import annotations

import base64
import gzip
import io
import json
import re
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError, ReadTimeoutError
from callhooks.events.event_item import body_of_item
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
    def test_gets_the_verbs_of_the_first_matching_route(self) -> None:
        answer = Container().receive(signed(recorded("new_call")))
        assert answer.statusCode == 200
        assert answer.verbs == RECEPTION

    def test_is_stored_with_raw_body_answer_and_normalised_members(self) -> None:
        container = Container()
        answer = container.receive(signed(recorded("new_call")))
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

    def test_with_a_short_body_is_stored_uncompressed(self) -> None:
        container = Container()
        container.receive_call(CALL)
        assert container.database.item["body"]["B"] == json.dumps(CALL).encode()
        assert container.database.item["body_encoding"] == {"S": "identity"}

    @pytest.mark.parametrize("status", ["TRYING", "Trying", "trying"])
    def test_may_have_a_status_in_any_case(self, status: str) -> None:
        container = Container()
        container.receive_call({"call_sid": "abc", "call_status": status})
        assert container.database.item["sk"] == {"S": "event#new-call"}
        assert container.database.item["kind"] == {"S": "call.initiated"}

    def test_ignores_a_sip_status_that_is_not_a_number(self) -> None:
        container = Container()
        container.receive_call({"call_sid": "abc", "sip_status": False})
        assert "sip_status" not in detail_attributes(container.database.item)

    def test_requires_only_a_call_sid(self) -> None:
        container = Container()
        assert container.receive_call({"call_sid": "abc"}).verbs == VOICEMAIL
        assert container.database.item["sk"] == {"S": "event#new-call"}

    @pytest.mark.parametrize("name", ["new_call", "new_call_outbound", "new_call_siprec", "redirect_to_call_hook"])
    def test_in_every_recorded_delivery_is_answered_and_stored(self, name: str) -> None:
        container = Container()
        assert container.receive(signed(recorded(name))).statusCode == 200
        assert container.database.item["call_id"]["S"] == body_of(name)["call_sid"]

    def test_created_by_rest_is_an_answered_outbound_call(self) -> None:
        container = Container()
        container.receive(signed(recorded("new_call_outbound")))
        assert container.database.item["kind"] == {"S": "call.answered"}
        assert container.database.item["direction"] == {"S": "outbound"}

    @pytest.mark.parametrize(
        "odd",
        [
            {"from": {"user": "x"}, "to": [1], "direction": 7, "sip": "INVITE", "defaults": [], "env_vars": "no"},
            {"sip_status": "many", "has_recording": "perhaps", "call_status": {"is": "trying"}, "participants": 1},
            {"caller_name": "\ud83d", "from": "\udc00", "to": "  ", "unknown": {"deep": [None]}},
            {"sip": {"headers": {"X-CID": 5, "via": None}, "payload": [1, {"type": []}]}},
            {"from": 12125550187, "to": 14155550123, "sip_status": 1e400},
            {"sip_status": float("nan"), "env_vars": {"KEY": float("inf")}, "customerData": {"a": 10**4000}},
        ],
    )
    def test_with_members_of_unexpected_types_is_answered_and_stored(self, odd: dict[str, Any]) -> None:
        container = Container()
        answer = container.receive_call({"call_sid": "abc", **odd})
        assert answer.statusCode == 200
        assert answer.verbs
        json.dumps(container.database.item, default=repr).encode()

    @pytest.mark.parametrize(
        "body",
        [
            '{"call_sid": "abc", "n": ' + "9" * 5000 + "}",
            '\ufeff{"call_sid": "abc"}',
            '{"call_sid": "abc", "call_sid": "abc"}',
        ],
    )
    def test_in_unusual_json_is_answered(self, body: str) -> None:
        assert Container().receive_call(body).verbs == VOICEMAIL

    def test_may_have_a_phone_number_as_a_number(self) -> None:
        assert Container().receive_call({"call_sid": "abc", "to": 14155550123}).verbs == RECEPTION

    def test_in_a_base64_body_is_decoded_before_the_signature_check(self) -> None:
        container = Container()
        assert container.receive_call(CALL, base64_encoded=True).verbs == RECEPTION
        assert container.database.item["body"]["B"] == json.dumps(CALL).encode()

    def test_may_have_header_names_in_any_case(self) -> None:
        event = signed_event(CALL)
        event["headers"] = {name.title(): value for name, value in event["headers"].items()}
        assert Container().receive(event).verbs == RECEPTION

    def test_with_a_name_cut_inside_an_emoji_is_stored_with_the_rest(self) -> None:
        container = Container()
        container.receive_call({"call_sid": "abc", "caller_name": "Jane \ud83d", "from": "+1\udc00"})
        assert detail_attributes(container.database.item)["caller_name"] == {"S": "Jane \\ud83d"}
        assert container.database.item["from"] == {"S": "+1\\udc00"}


class TestDuplicatesAndLaterRequests:
    def test_a_duplicate_is_stored_once_and_gets_the_first_answer(self) -> None:
        container = Container()
        first = container.receive_call(CALL)
        container.clock.advance(1)
        duplicate = container.receive_call(CALL, request_id="request-2")
        assert (duplicate.statusCode, duplicate.body) == (first.statusCode, first.body)
        assert (first.replayed, duplicate.replayed) == (False, True)
        assert len(container.database.items) == 1

    def test_a_duplicate_gets_the_first_answer_after_a_change_of_the_plan(self) -> None:
        database = FakeDynamoDB()
        first = Container(database).receive_call(CALL)
        changed = Plan(routes=(Route("new"),), flows={"new": Flow([{"verb": "hangup"}])}, fallback=APOLOGY)
        duplicate = Container(database, plan=changed).receive_call(CALL, request_id="request-2")
        assert duplicate.body == first.body
        assert duplicate.replayed

    def test_a_duplicate_costs_one_write_in_another_container_and_none_in_the_same(self) -> None:
        container = Container()
        container.receive_call(CALL)
        assert container.database.calls == 1
        container.receive_call(CALL, request_id="request-2")
        assert container.database.calls == 1
        Container(container.database).receive_call(CALL, request_id="request-3")
        assert container.database.calls == 2

    def test_a_lost_reply_does_not_make_a_call_a_duplicate(self) -> None:
        container = Container(FakeDynamoDB(lose_reply=True))
        answer = container.receive_call(CALL)
        assert answer.verbs == RECEPTION
        assert not answer.replayed

    def test_a_later_request_for_verbs_is_a_separate_event(self) -> None:
        container = Container()
        container.receive(signed(recorded("new_call")))
        container.receive(signed(recorded("redirect_to_call_hook")))
        kinds = {key[1]: item["kind"]["S"] for key, item in container.database.items.items()}
        assert kinds.pop("event#new-call") == "call.initiated"
        assert list(kinds.values()) == ["call.verb"]

    def test_a_later_request_is_stored_once_and_a_new_one_separately(self) -> None:
        container = Container()
        redirect = signed(recorded("redirect_to_call_hook"))
        container.receive(redirect)
        container.receive(redirect)
        assert len(container.database.items) == 1
        container.receive({**redirect, "rawQueryString": "again=1"})
        container.receive(signed(recorded("redirect_to_call_hook"), now=NOW.replace(second=1)))
        assert len(container.database.items) == 3

    def test_a_recording_that_is_sent_twice_gets_the_stored_answer(self) -> None:
        # It has the request id of the first delivery, as after a lost reply, but the plan has changed.
        database = FakeDynamoDB()
        first = Container(database).receive_call(CALL)
        changed = Plan(routes=(Route("new"),), flows={"new": Flow([{"verb": "hangup"}])}, fallback=APOLOGY)
        assert Container(database, plan=changed).receive_call(CALL).body == first.body

    def test_a_duplicate_may_have_no_request_id(self) -> None:
        database = FakeDynamoDB()
        Container(database).receive_call(CALL, request_id="")
        assert Container(database).receive_call(CALL, request_id="").replayed

    def test_a_redirect_before_the_answer_is_a_separate_event(self) -> None:
        container = Container()
        container.receive(signed(recorded("new_call")))
        redirect = {**body_of("redirect_to_call_hook"), "call_status": "trying", "sip_status": 100}
        assert not container.receive_call(redirect).replayed
        assert len(container.database.items) == 2


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
        container = Container()
        assert container.receive({**signed_event(CALL), **changes}).verbs == RECEPTION
        redirect = signed_event(body_of("redirect_to_call_hook"))
        assert container.receive({**redirect, **changes}).verbs == RECEPTION

    @pytest.mark.parametrize(
        ("changes", "status"),
        [
            ({"headers": None}, 401),
            ({"headers": ["a"]}, 401),
            ({"headers": {"authorization": 5, "jambonz-signature": ["x"]}}, 401),
            ({"body": {}, "isBase64Encoded": True}, 401),
            ({"body": {"call_sid": "abc"}}, 400),
            ({"body": 5}, 400),
            ({"body": None}, 401),
        ],
    )
    def test_without_credentials_or_body_is_rejected(self, changes: dict[str, Any], status: int) -> None:
        assert Container().receive({**signed_event(CALL), **changes}).statusCode == status

    def test_that_is_empty_is_rejected(self) -> None:
        assert Container().receive({}).statusCode == 401


class TestAGet:
    def test_without_parameters_is_answered_by_the_last_route_and_stored(self) -> None:
        container = Container()
        event = signed(recorded("new_call_get"))
        assert container.receive(event).verbs == VOICEMAIL
        assert container.receive(event).replayed
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

    def test_retried_after_midnight_is_a_duplicate(self) -> None:
        container = Container(clock=Clock(NOW.replace(hour=23, minute=59, second=59)))
        event = signed_event("", method="GET", now=container.clock.now)
        container.receive(event)
        container.clock.advance(2)
        assert container.receive(event).replayed

    def test_is_accepted_with_a_wrong_signature(self) -> None:
        event = signed_event("", method="GET", secret="another")
        assert Container().receive(event).statusCode == 200

    def test_requires_the_basic_credentials(self) -> None:
        event = without_header(signed_event("", method="GET"), "authorization")
        assert Container().receive(event).statusCode == 401


class TestAnUnauthenticatedRequest:
    @pytest.mark.parametrize(
        "authorization",
        [None, "", "Basic", "Basic !!!", "Basic d3Jvbmc=", "Bearer abc", "Basic amFtYm9uejp3cm9uZw==", "Basic \u00e9"],
    )
    def test_with_missing_or_wrong_basic_credentials_is_rejected(self, authorization: str | None) -> None:
        event = without_header(signed_event(CALL), "authorization")
        if authorization is not None:
            event = with_header(event, "authorization", authorization)
        self.assert_rejected(event)

    @pytest.mark.parametrize("authorization", [None, "", "Basic !!!", "Bearer abc"])
    def test_without_credentials_is_rejected_before_a_secret_is_read(self, authorization: str | None) -> None:
        container = Container()
        container.secrets.fault = ConnectTimeoutError(endpoint_url="https://secretsmanager")
        event = without_header(signed_event(CALL), "authorization")
        if authorization is not None:
            event = with_header(event, "authorization", authorization)
        assert container.receive(event).statusCode == 401
        assert container.secrets.reads == 0

    @pytest.mark.parametrize(
        "signature",
        [
            None,
            "",
            "t=1,v1=",
            "garbage",
            "v1=00",
            f"t={int(NOW.timestamp())}",
            f"t={int(NOW.timestamp())},v1=\u00e9\u0000",
            f"t={int(NOW.timestamp())},v1={'0' * 64}",
            f"t={'9' * 5000},v1={'0' * 64}",
            "t=\u0661\u0662,v1=00",
        ],
    )
    def test_with_a_missing_or_wrong_signature_is_rejected(self, signature: str | None) -> None:
        event = without_header(signed_event(CALL), "jambonz-signature")
        if signature is not None:
            event = with_header(event, "jambonz-signature", signature)
        self.assert_rejected(event)

    def test_with_a_changed_body_is_rejected(self) -> None:
        self.assert_rejected({**signed_event(CALL), "body": json.dumps({**CALL, "to": "+19005550000"})})

    @pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-299, 200), (299, 200), (301, 401)])
    def test_with_a_signature_more_than_five_minutes_off_is_rejected(self, seconds: int, status: int) -> None:
        container = Container()
        event = signed_event(CALL, now=container.clock.now)
        container.clock.advance(seconds)
        assert container.receive(event).statusCode == status

    def assert_rejected(self, event: Any) -> None:
        container = Container()
        answer = container.receive(event)
        assert answer.statusCode == 401
        assert answer.problem["title"] == "Unauthorized"
        assert "www-authenticate" in answer.headers
        assert container.database.calls == 0


class TestSecrets:
    def test_allow_several_webhook_secrets_at_once(self) -> None:
        container = Container()
        container.secrets.webhook_secrets = ["new", WEBHOOK_SECRET]
        for secret in ("new", WEBHOOK_SECRET):
            assert container.receive_call(CALL, secret=secret).statusCode == 200

    def test_that_are_invalid_do_not_affect_the_others(self) -> None:
        container = Container()
        container.secrets.webhook_secrets = ["", WEBHOOK_SECRET, "\ud800"]
        assert container.receive_call(CALL).verbs == RECEPTION

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
        assert container.secrets.reads == 1
        container.secrets.fault = None
        container.clock.advance(1.1)
        assert container.receive_call(CALL).verbs == RECEPTION

    def test_allow_several_passwords_at_once(self) -> None:
        container = Container()
        container.secrets.password, container.secrets.further_passwords = "new", [PASSWORD]
        for password, status in (("new", 200), (PASSWORD, 200), ("old", 401), ("", 401)):
            event = with_header(signed_event(CALL), "authorization", basic_header_value(USERNAME, password))
            assert container.receive(event).statusCode == status

    def test_with_a_trailing_newline_do_not_affect_the_others(self) -> None:
        container = Container()
        container.secrets.webhook_secrets = ["pasted with its newline\n", WEBHOOK_SECRET]
        assert container.receive_call(CALL).verbs == RECEPTION

    def test_match_any_of_several_digests(self) -> None:
        event = signed_event(CALL)
        signature = event["headers"]["jambonz-signature"]
        event = with_header(event, "jambonz-signature", f"{signature.replace('v1=', 'v1=00,v1=')}, v1=zz,v0=1")
        assert Container().receive(event).statusCode == 200

    def test_without_a_webhook_secret_turn_signature_checks_off(self) -> None:
        container = Container()
        container.secrets.webhook_secrets = []
        assert container.receive(without_header(signed_event(CALL), "jambonz-signature")).statusCode == 200

    def test_are_read_once(self) -> None:
        container = Container()
        for number in range(3):
            container.receive_call({"call_sid": f"call-{number}"})
        assert container.secrets.reads == 2

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

    def test_are_read_again_when_a_check_fails_after_a_rotation(self) -> None:
        container = Container()
        container.receive_call(CALL)
        container.secrets.webhook_secrets = ["rotated"]
        container.clock.advance(61)
        assert container.receive_call(CALL, secret="rotated").statusCode == 200

    def test_that_were_removed_stop_working_after_five_minutes(self) -> None:
        container = Container()
        container.receive_call(CALL)
        container.secrets.webhook_secrets = ["rotated"]
        container.clock.advance(301)
        assert container.receive_call(CALL, secret=WEBHOOK_SECRET).statusCode == 401

    def test_stay_in_use_while_they_cannot_be_read_again(self) -> None:
        container = Container()
        container.receive_call(CALL)
        container.secrets.fault = ReadTimeoutError(endpoint_url="https://secretsmanager")
        container.clock.advance(3600)
        assert container.receive_call({"call_sid": "later"}).statusCode == 200
        reads = container.secrets.reads
        container.receive_call({"call_sid": "much later"})
        assert container.secrets.reads == reads

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

    def test_that_become_invalid_leave_the_cached_ones_in_use(self) -> None:
        container = Container()
        container.receive_call(CALL)
        container.secrets.webhook_secrets = ["\ud800"]
        container.clock.advance(301)
        assert container.receive_call(CALL).statusCode == 200


class TestAMalformedBody:
    @pytest.mark.parametrize(
        ("body", "detail"),
        [
            ("", "The body is not JSON."),
            ("call_sid=abc", "The body is not JSON."),
            ('{"call_sid": "abc"', "The body is not JSON."),
            ("[" * 100_000, "The body is nested too deeply."),
            (b'{"call_sid": "\xff"}', "The body is not valid UTF-8."),
            ("null", "The body is not a JSON object."),
            ("[]", "The body is not a JSON object."),
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
        assert answer.statusCode == 400
        assert answer.problem["detail"] == detail
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
    def test_sends_the_event_to_the_queue_and_the_call_gets_its_verbs(self, fault: Exception, log: io.StringIO) -> None:
        container = Container(FakeDynamoDB(fault=fault))
        answer = container.receive_call(CALL)
        assert answer.verbs == RECEPTION
        (item,) = container.queue.items
        assert (item["call_id"], json.loads(item["answer"]["S"])) == ({"S": CALL["call_sid"]}, RECEPTION)
        assert unstored(log.getvalue()) == []

    def test_with_a_queue_outage_logs_the_event_and_the_call_gets_its_verbs(self, log: io.StringIO) -> None:
        container = Container(FakeDynamoDB(fault=ClientError(DENIED, "PutItem")))
        container.queue.fault = OUT_OF_ORDER
        assert container.receive_call(CALL).verbs == RECEPTION
        (item,) = unstored(log.getvalue())
        assert (item["call_id"], json.loads(item["answer"]["S"])) == ({"S": CALL["call_sid"]}, RECEPTION)
        assert '"failure":"AccessDeniedException"' in log.getvalue()

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
    def test_answers_a_call_if_the_secret_store_fails_on_a_cold_start(self) -> None:
        container = Container()
        container.secrets.fault = ConnectTimeoutError(endpoint_url="https://secretsmanager")
        answer = container.receive_call(CALL)
        assert (answer.statusCode, answer.verbs) == (200, APOLOGY)
        assert container.database.calls == 0

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
    def test_contains_no_secrets_or_personal_data(self, log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
        container = Container()
        container.receive(signed(recorded("new_call")))
        container.receive(signed_event(CALL, secret="wrong"))
        container.receive_call('{"call_sid": 5, "from": "+12125550187"}')
        container.secrets.fault = RuntimeError(WEBHOOK_SECRET)
        container.clock.advance(3600)
        container.receive_call(CALL)
        written = log.getvalue() + capsys.readouterr().out
        assert written.count("\n") >= 4
        for hidden in ("2125550187", "4155550123", "Jane", "s3cr3t", "amFtYm9uejpzM2NyM3Q", WEBHOOK_SECRET):
            assert hidden not in written

    def test_has_one_line_for_a_call(self, log: io.StringIO, capsys: pytest.CaptureFixture[str]) -> None:
        Container().receive_call(CALL)
        (line,) = [*log.getvalue().splitlines(), *capsys.readouterr().out.splitlines()]
        assert json.loads(line)["call_id"] == CALL["call_sid"]


def unpack(packed: str) -> bytes:
    return gzip.decompress(base64.b64decode(packed))
