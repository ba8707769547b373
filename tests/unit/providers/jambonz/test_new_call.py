"""Given a delivery of jambonz at /webhooks/call, what happens."""

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
    kept_details,
    recorded,
    signed,
    signed_event,
    unstored,
    with_header,
    without_header,
)

CALL = {"call_sid": "d2515c3b", "from": "+12125550187", "to": "+14155550123", "call_status": "trying"}


class TestANewCall:
    def test_is_answered_with_the_verbs_of_the_first_route_that_matches(self) -> None:
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
        assert kept_details(item)["caller_name"] == {"S": "Jane Doe"}
        assert kept_details(item)["trunk"] == {"S": "example-carrier"}
        assert item["expires_at"] == {"N": str(int(NOW.timestamp()) + 90 * 86400)}

    def test_keeps_a_short_body_as_it_is(self) -> None:
        container = Container()
        container.receive_call(CALL)
        assert container.database.item["body"]["B"] == json.dumps(CALL).encode()
        assert container.database.item["body_encoding"] == {"S": "identity"}

    @pytest.mark.parametrize("status", ["TRYING", "Trying", "trying"])
    def test_has_a_status_in_any_case(self, status: str) -> None:
        container = Container()
        container.receive_call({"call_sid": "abc", "call_status": status})
        assert container.database.item["sk"] == {"S": "event#new-call"}
        assert container.database.item["kind"] == {"S": "call.initiated"}

    def test_has_a_sip_status_only_where_it_is_a_number(self) -> None:
        container = Container()
        container.receive_call({"call_sid": "abc", "sip_status": False})
        assert "sip_status" not in kept_details(container.database.item)

    def test_needs_nothing_but_a_call_sid(self) -> None:
        container = Container()
        assert container.receive_call({"call_sid": "abc"}).verbs == VOICEMAIL
        assert container.database.item["sk"] == {"S": "event#new-call"}

    @pytest.mark.parametrize("name", ["new_call", "new_call_outbound", "new_call_siprec", "redirect_to_call_hook"])
    def test_every_recorded_delivery_is_answered_and_stored(self, name: str) -> None:
        container = Container()
        assert container.receive(signed(recorded(name))).statusCode == 200
        assert container.database.item["call_id"]["S"] == body_of(name)["call_sid"]

    def test_created_by_rest_is_answered_when_the_far_end_has_answered(self) -> None:
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
    def test_members_of_unexpected_types_are_no_reason_to_lose_a_call(self, odd: dict[str, Any]) -> None:
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
    def test_odd_json_is_no_reason_to_lose_a_call(self, body: str) -> None:
        assert Container().receive_call(body).verbs == VOICEMAIL

    def test_a_number_as_a_number_is_understood(self) -> None:
        assert Container().receive_call({"call_sid": "abc", "to": 14155550123}).verbs == RECEPTION

    def test_a_base64_body_is_decoded_before_it_is_checked(self) -> None:
        container = Container()
        assert container.receive_call(CALL, base64_encoded=True).verbs == RECEPTION
        assert container.database.item["body"]["B"] == json.dumps(CALL).encode()

    def test_header_names_come_in_any_case(self) -> None:
        event = signed_event(CALL)
        event["headers"] = {name.title(): value for name, value in event["headers"].items()}
        assert Container().receive(event).verbs == RECEPTION

    def test_a_name_cut_within_an_emoji_is_kept_as_far_as_it_goes(self) -> None:
        container = Container()
        container.receive_call({"call_sid": "abc", "caller_name": "Jane \ud83d", "from": "+1\udc00"})
        assert kept_details(container.database.item)["caller_name"] == {"S": "Jane \\ud83d"}
        assert container.database.item["from"] == {"S": "+1\\udc00"}


class TestTheSameCallAgain:
    def test_is_stored_once_and_gets_the_first_answer_marked_as_a_repeat(self) -> None:
        container = Container()
        first = container.receive_call(CALL)
        container.clock.advance(1)
        again = container.receive_call(CALL, request_id="request-2")
        assert (again.statusCode, again.body) == (first.statusCode, first.body)
        assert (first.replayed, again.replayed) == (False, True)
        assert len(container.database.items) == 1

    def test_gets_the_first_answer_from_another_container_whose_plan_has_changed(self) -> None:
        database = FakeDynamoDB()
        first = Container(database).receive_call(CALL)
        changed = Plan(routes=(Route("new"),), flows={"new": Flow([{"verb": "hangup"}])}, fallback=APOLOGY)
        again = Container(database, plan=changed).receive_call(CALL, request_id="request-2")
        assert again.body == first.body
        assert again.replayed

    def test_costs_one_write_in_another_container_and_none_in_the_same(self) -> None:
        container = Container()
        container.receive_call(CALL)
        assert container.database.calls == 1
        container.receive_call(CALL, request_id="request-2")
        assert container.database.calls == 1
        Container(container.database).receive_call(CALL, request_id="request-3")
        assert container.database.calls == 2

    def test_with_a_reply_that_was_lost_on_the_way_is_not_taken_for_a_repeat(self) -> None:
        container = Container(FakeDynamoDB(lose_reply=True))
        answer = container.receive_call(CALL)
        assert answer.verbs == RECEPTION
        assert not answer.replayed

    def test_asking_for_verbs_later_is_an_event_of_its_own(self) -> None:
        container = Container()
        container.receive(signed(recorded("new_call")))
        container.receive(signed(recorded("redirect_to_call_hook")))
        kinds = {key[1]: item["kind"]["S"] for key, item in container.database.items.items()}
        assert kinds.pop("event#new-call") == "call.initiated"
        assert list(kinds.values()) == ["call.verb"]

    def test_asking_later_is_kept_once_when_retried_and_again_when_asked_anew(self) -> None:
        container = Container()
        redirect = signed(recorded("redirect_to_call_hook"))
        container.receive(redirect)
        container.receive(redirect)
        assert len(container.database.items) == 1
        container.receive({**redirect, "rawQueryString": "again=1"})
        container.receive(signed(recorded("redirect_to_call_hook"), now=NOW.replace(second=1)))
        assert len(container.database.items) == 3

    def test_an_event_file_that_is_sent_twice_gets_the_stored_answer_even_so(self) -> None:
        # Its request id is that of the first delivery, as with a reply that was lost; the plan is another one by now.
        database = FakeDynamoDB()
        first = Container(database).receive_call(CALL)
        changed = Plan(routes=(Route("new"),), flows={"new": Flow([{"verb": "hangup"}])}, fallback=APOLOGY)
        assert Container(database, plan=changed).receive_call(CALL).body == first.body

    def test_without_a_request_id_is_a_repeat(self) -> None:
        database = FakeDynamoDB()
        Container(database).receive_call(CALL, request_id="")
        assert Container(database).receive_call(CALL, request_id="").replayed

    def test_redirected_before_it_is_answered_is_an_event_of_its_own(self) -> None:
        container = Container()
        container.receive(signed(recorded("new_call")))
        redirect = {**body_of("redirect_to_call_hook"), "call_status": "trying", "sip_status": 100}
        assert not container.receive_call(redirect).replayed
        assert len(container.database.items) == 2


class TestAnEventThatApiGatewayDoesNotMake:
    """Whoever may invoke the function can send it anything."""

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
    def test_is_understood_as_far_as_it_goes(self, changes: dict[str, Any]) -> None:
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
    def test_or_refused(self, changes: dict[str, Any], status: int) -> None:
        assert Container().receive({**signed_event(CALL), **changes}).statusCode == status

    def test_an_empty_one_is_refused(self) -> None:
        assert Container().receive({}).statusCode == 401


class TestAGet:
    def test_without_parameters_is_answered_by_the_last_route_and_kept(self) -> None:
        container = Container()
        event = signed(recorded("new_call_get"))
        assert container.receive(event).verbs == VOICEMAIL
        assert container.receive(event).replayed
        assert container.database.item["pk"] == {"S": "jambonz#none#undated"}

    def test_without_signature_is_kept_for_each_request(self) -> None:
        container = Container()
        for number in range(2):
            event = signed_event("", method="GET", request_id=f"request-{number}")
            container.receive(without_header(event, "jambonz-signature"))
        assert len(container.database.items) == 2

    def test_with_parameters_is_routed_by_them_where_no_webhook_secret_is_set(self) -> None:
        container = Container(secrets=FakeSecrets(webhook_secrets=[]))
        query = "call_sid=abc&from=%2B12125550187&to=+14155550123&call_status=trying&direction=inbound"
        assert container.receive_call("", method="GET", query=query).verbs == RECEPTION
        assert container.database.item["to"] == {"S": "+14155550123"}
        assert container.database.item["sk"] == {"S": "event#new-call-get"}
        assert container.database.item["query"] == {"S": query}

    def test_cannot_answer_a_post_in_advance(self) -> None:
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
    def test_that_names_a_call_is_refused_where_a_webhook_secret_is_set(self, query: str) -> None:
        container = Container()
        container.receive_call(CALL)
        kept = dict(container.database.items)
        stale = f"t={int(NOW.timestamp()) - 22 * 3600},v1=00"
        answer = container.receive_call("", method="GET", query=query, headers={"jambonz-signature": stale})
        assert answer.problem["status"] == 401
        assert container.database.items == kept

    @pytest.mark.parametrize("hours", [0, 3, 22])
    def test_has_no_time_of_its_own_where_a_webhook_secret_is_set(self, hours: int) -> None:
        container = Container()
        stale = f"t={int(NOW.timestamp()) - hours * 3600},v1=00"
        assert container.receive_call("", method="GET", headers={"jambonz-signature": stale}).verbs == VOICEMAIL
        item = container.database.item
        assert (item["pk"], item["occurred_at"]) == ({"S": "jambonz#none#undated"}, item["received_at"])
        assert "call_id" not in item

    def test_retried_over_midnight_is_still_the_same(self) -> None:
        container = Container(clock=Clock(NOW.replace(hour=23, minute=59, second=59)))
        event = signed_event("", method="GET", now=container.clock.now)
        container.receive(event)
        container.clock.advance(2)
        assert container.receive(event).replayed

    def test_cannot_be_held_to_its_signature(self) -> None:
        event = signed_event("", method="GET", secret="another")
        assert Container().receive(event).statusCode == 200

    def test_needs_the_basic_credentials(self) -> None:
        event = without_header(signed_event("", method="GET"), "authorization")
        assert Container().receive(event).statusCode == 401


class TestWhoIsNotJambonz:
    @pytest.mark.parametrize(
        "authorization",
        [None, "", "Basic", "Basic !!!", "Basic d3Jvbmc=", "Bearer abc", "Basic amFtYm9uejp3cm9uZw==", "Basic \u00e9"],
    )
    def test_is_refused_without_the_basic_credentials(self, authorization: str | None) -> None:
        event = without_header(signed_event(CALL), "authorization")
        if authorization is not None:
            event = with_header(event, "authorization", authorization)
        self.assert_refused(event)

    @pytest.mark.parametrize("authorization", [None, "", "Basic !!!", "Bearer abc"])
    def test_is_refused_without_reading_a_secret_where_no_credentials_are_shown(
        self, authorization: str | None
    ) -> None:
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
    def test_is_refused_without_a_right_signature(self, signature: str | None) -> None:
        event = without_header(signed_event(CALL), "jambonz-signature")
        if signature is not None:
            event = with_header(event, "jambonz-signature", signature)
        self.assert_refused(event)

    def test_is_refused_when_the_body_was_changed(self) -> None:
        self.assert_refused({**signed_event(CALL), "body": json.dumps({**CALL, "to": "+19005550000"})})

    @pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-299, 200), (299, 200), (301, 401)])
    def test_is_refused_when_the_signature_is_five_minutes_off(self, seconds: int, status: int) -> None:
        container = Container()
        event = signed_event(CALL, now=container.clock.now)
        container.clock.advance(seconds)
        assert container.receive(event).statusCode == status

    def assert_refused(self, event: Any) -> None:
        container = Container()
        answer = container.receive(event)
        assert answer.statusCode == 401
        assert answer.problem["title"] == "Unauthorized"
        assert "www-authenticate" in answer.headers
        assert container.database.calls == 0


class TestSecrets:
    def test_several_webhook_secrets_are_valid_at_once(self) -> None:
        container = Container()
        container.secrets.webhook_secrets = ["new", WEBHOOK_SECRET]
        for secret in ("new", WEBHOOK_SECRET):
            assert container.receive_call(CALL, secret=secret).statusCode == 200

    def test_a_slip_in_one_locks_nobody_out_who_uses_another(self) -> None:
        container = Container()
        container.secrets.webhook_secrets = ["", WEBHOOK_SECRET, "\ud800"]
        assert container.receive_call(CALL).verbs == RECEPTION

    def test_that_were_changed_while_they_could_not_be_read_again_are_nobody_s_fault(self) -> None:
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

    def test_that_cannot_be_read_are_not_asked_for_by_everybody(self) -> None:
        container = Container()
        container.secrets.fault = ReadTimeoutError(endpoint_url="https://secretsmanager")
        for _ in range(5):
            assert container.receive_call(CALL).verbs == APOLOGY
        assert container.secrets.reads == 1
        container.secrets.fault = None
        container.clock.advance(1.1)
        assert container.receive_call(CALL).verbs == RECEPTION

    def test_several_passwords_are_valid_at_once(self) -> None:
        container = Container()
        container.secrets.password, container.secrets.further_passwords = "new", [PASSWORD]
        for password, status in (("new", 200), (PASSWORD, 200), ("old", 401), ("", 401)):
            event = with_header(signed_event(CALL), "authorization", basic_header_value(USERNAME, password))
            assert container.receive(event).statusCode == status

    def test_with_a_blank_at_the_end_do_not_make_the_others_invalid(self) -> None:
        container = Container()
        container.secrets.webhook_secrets = ["pasted with its line end\n", WEBHOOK_SECRET]
        assert container.receive_call(CALL).verbs == RECEPTION

    def test_one_right_digest_of_several_is_enough(self) -> None:
        event = signed_event(CALL)
        signature = event["headers"]["jambonz-signature"]
        event = with_header(event, "jambonz-signature", f"{signature.replace('v1=', 'v1=00,v1=')}, v1=zz,v0=1")
        assert Container().receive(event).statusCode == 200

    def test_without_a_webhook_secret_the_signature_is_not_looked_at(self) -> None:
        container = Container()
        container.secrets.webhook_secrets = []
        assert container.receive(without_header(signed_event(CALL), "jambonz-signature")).statusCode == 200

    def test_are_read_once(self) -> None:
        container = Container()
        for number in range(3):
            container.receive_call({"call_sid": f"call-{number}"})
        assert container.secrets.reads == 2

    def test_a_refusal_asks_the_secret_store_again_at_most_once_a_minute(self) -> None:
        container = Container()
        wrong = signed_event(CALL, secret="wrong")
        for _ in range(5):
            container.receive(wrong)
        assert container.secrets.reads == 2
        container.clock.advance(61)
        for _ in range(5):
            container.receive(wrong)
        assert container.secrets.reads == 4

    def test_a_rotated_one_is_taken_up_by_the_first_check_that_fails(self) -> None:
        container = Container()
        container.receive_call(CALL)
        container.secrets.webhook_secrets = ["rotated"]
        container.clock.advance(61)
        assert container.receive_call(CALL, secret="rotated").statusCode == 200

    def test_a_removed_one_is_forgotten_after_five_minutes(self) -> None:
        container = Container()
        container.receive_call(CALL)
        container.secrets.webhook_secrets = ["rotated"]
        container.clock.advance(301)
        assert container.receive_call(CALL, secret=WEBHOOK_SECRET).statusCode == 401

    def test_go_on_being_used_when_they_cannot_be_read_again(self) -> None:
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
    def test_that_make_no_sense_leave_a_call_the_fallback(self, value: str) -> None:
        container = Container()
        container.secrets.text = value
        assert container.receive_call(CALL).verbs == APOLOGY

    def test_that_make_no_sense_any_more_leave_the_cached_ones_in_use(self) -> None:
        container = Container()
        container.receive_call(CALL)
        container.secrets.webhook_secrets = ["\ud800"]
        container.clock.advance(301)
        assert container.receive_call(CALL).statusCode == 200


class TestWhatIsNotACall:
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

    def test_broken_base64_gets_400(self) -> None:
        event = {**signed_event(CALL, base64_encoded=True), "body": "!!!"}
        assert Container().receive(event).problem["detail"] == "The body is marked as base64 and is not."

    def test_a_body_over_128_kb_gets_413(self) -> None:
        container = Container()
        largest = json.dumps({"call_sid": "abc", "x": ""})
        padding = "x" * (128 * 1024 - len(largest))
        assert container.receive_call(largest.replace('""', f'"{padding}"')).statusCode == 200
        assert container.receive_call(largest.replace('""', f'"{padding}x"')).statusCode == 413
        assert container.database.calls == 1


class TestIdentifiers:
    @pytest.mark.parametrize(
        "call_sid",
        ["x" * 201, "a#b", "none#2026-11-21", "sms#1", "\u0000", "\u001c", "\ud800", "a b", "sha256-0", "+14155550123",
         "sip:jane@example.com", "\u00e9"],
    )  # fmt: skip
    def test_odd_ones_and_long_ones_are_hashed_into_the_key(self, call_sid: str) -> None:
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
    def test_that_differ_stay_apart(self, one: str, other: str) -> None:
        container = Container()
        container.receive_call({"call_sid": one})
        assert not container.receive_call({"call_sid": other}).replayed
        assert len(container.database.items) == 2


THROTTLED: Any = {"Error": {"Code": "ProvisionedThroughputExceededException", "Message": "slow down"}}
DENIED: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}


class TestTheDatabaseDown:
    @pytest.mark.parametrize(
        "fault",
        [
            ClientError(THROTTLED, "PutItem"),
            ClientError(DENIED, "PutItem"),
            ConnectTimeoutError(endpoint_url="https://dynamodb"),
            ReadTimeoutError(endpoint_url="https://dynamodb"),
            RuntimeError("whatever else"),
        ],
    )
    def test_the_verbs_go_out_and_the_event_is_spilled(self, fault: Exception, log: io.StringIO) -> None:
        container = Container(FakeDynamoDB(fault=fault))
        answer = container.receive_call(CALL)
        assert answer.verbs == RECEPTION
        (item,) = container.queue.items
        assert (item["call_id"], json.loads(item["answer"]["S"])) == ({"S": CALL["call_sid"]}, RECEPTION)
        assert unstored(log.getvalue()) == []

    def test_and_the_queue_as_well_the_verbs_go_out_and_the_event_is_in_the_log(self, log: io.StringIO) -> None:
        container = Container(FakeDynamoDB(fault=ClientError(DENIED, "PutItem")))
        container.queue.fault = OUT_OF_ORDER
        assert container.receive_call(CALL).verbs == RECEPTION
        (item,) = unstored(log.getvalue())
        assert (item["call_id"], json.loads(item["answer"]["S"])) == ({"S": CALL["call_sid"]}, RECEPTION)
        assert '"failure":"AccessDeniedException"' in log.getvalue()

    def test_is_asked_again_for_the_next_delivery(self) -> None:
        container = Container(FakeDynamoDB(fault=ClientError(THROTTLED, "PutItem")))
        container.receive_call(CALL)
        container.database.fault = None
        assert not container.receive_call({**CALL, "call_sid": "another"}).replayed
        assert len(container.database.items) == 1

    def test_for_good_leaves_a_call_its_verbs_and_puts_the_delivery_into_quarantine(self) -> None:
        container = Container(FakeDynamoDB(refuses_events=True))
        assert container.receive_call(CALL).verbs == RECEPTION
        assert container.database.item["reason"] == {"S": "The database refuses it."}
        assert container.queue.items == []

    @pytest.mark.parametrize(("seconds", "writes"), [(1.6, 1), (1.8, 0)])
    def test_is_not_asked_when_the_secret_store_has_taken_the_time(self, seconds: float, writes: int) -> None:
        container = Container()
        container.secrets.on_read = lambda: container.clock.advance(seconds)
        assert container.receive_call(CALL).verbs == RECEPTION
        assert (container.database.calls, len(container.queue.items)) == (writes, 1 - writes)

    def test_powertools_idempotency_switched_off_acknowledges_nothing_in_silence(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("POWERTOOLS_IDEMPOTENCY_DISABLED", "true")
        monkeypatch.setenv("POWERTOOLS_DEV", "true")
        container = Container()
        with pytest.warns(UserWarning, match="Disabling idempotency"):
            assert container.receive_call(CALL).verbs == RECEPTION
        assert len(container.queue.items) == 1


class TestTheLastResort:
    def test_the_secret_store_down_on_a_cold_start_leaves_a_call_the_fallback(self) -> None:
        container = Container()
        container.secrets.fault = ConnectTimeoutError(endpoint_url="https://secretsmanager")
        answer = container.receive_call(CALL)
        assert (answer.statusCode, answer.verbs) == (200, APOLOGY)
        assert container.database.calls == 0

    @pytest.mark.parametrize(
        ("body", "status"),
        [("not JSON", 400), ("{}", 400), (" " * 140_000, 413), (json.dumps(body_of("redirect_to_call_hook")), 503)],
    )
    def test_and_only_a_new_call(self, body: str, status: int) -> None:
        container = Container()
        container.secrets.fault = ConnectTimeoutError(endpoint_url="https://secretsmanager")
        assert container.receive_call(body).statusCode == status

    def test_a_plan_that_breaks_leaves_a_call_the_fallback_and_its_delivery_in_quarantine(
        self, log: io.StringIO
    ) -> None:
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
    def test_whatever_is_broken_a_call_gets_verbs(
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
    def test_tells_nothing_that_is_secret_or_personal(
        self, log: io.StringIO, capsys: pytest.CaptureFixture[str]
    ) -> None:
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
