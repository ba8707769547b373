"""Given a SIP client that registers or calls, whether it is let in, and what is kept of it."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from callhooks.providers.jambonz.digest import Challenge, digest_response, ha1_of
from callhooks.providers.jambonz.sip_clients import Client
from hypothesis import example, given
from hypothesis import strategies as st

from tests.properties import examples
from tests.sip_clients import ADDRESS, REALM, ClientContainer, FakeClientsTable, attempt, client, md5, told
from tests.support import (
    NOW,
    OUT_OF_ORDER,
    PASSWORD,
    WEBHOOK_SECRET,
    FakeDynamoDB,
    FakeSecrets,
    kept_details,
    metric_lines,
    recorded,
    resource,
    signed,
    signed_event,
    template,
    unstored,
    with_header,
    without_header,
)

OK = {"status": "ok"}
FAIL = {"status": "fail"}
RECORDED = ["client_auth_register", "client_auth_invite", "client_auth_register_get", "client_auth_register_no_qop"]
TIMEOUT = ReadTimeoutError(endpoint_url="https://dynamodb")
DENIED: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}


class TestTheDigest:
    """The example of RFC 2617, section 3.5."""

    HA1 = ha1_of("Mufasa", "testrealm@host.com", "Circle Of Life")
    NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"

    def test_with_qop_is_that_of_the_rfc(self) -> None:
        challenge = Challenge(self.NONCE, qop="auth", nc="00000001", cnonce="0a4f113b")
        response = digest_response(self.HA1, "GET", "/dir/index.html", challenge)
        assert response == "6629fae49393a05397450978507c4ef1"

    def test_without_qop_is_that_of_its_forerunner(self) -> None:
        # RFC 2069, section 2.4, with the response as its erratum 749 has it.
        ha1 = ha1_of("Mufasa", "testrealm@host.com", "CircleOfLife")
        response = digest_response(ha1, "GET", "/dir/index.html", Challenge(self.NONCE))
        assert response == "1949323746fe6a43ef61f9606e7febea"

    def test_of_a_name_beyond_ascii_is_over_utf_8(self) -> None:
        assert ha1_of("zoë", "realm", "пароль") == md5("zoë:realm:пароль")


def without_webhook_secret() -> ClientContainer:
    return ClientContainer(secrets=FakeSecrets(webhook_secrets=[]))


class TestAClientWithItsPassword:
    @pytest.mark.parametrize("name", RECORDED)
    def test_is_let_in_as_it_was_recorded(self, name: str) -> None:
        assert told(without_webhook_secret().receive(signed(recorded(name)))) == OK

    @pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
    @pytest.mark.parametrize("qop", ["auth", None])
    def test_is_let_in_with_and_without_qop(self, method: str, qop: str | None) -> None:
        assert ClientContainer().told(attempt(method=method, qop=qop)) == OK
        assert ClientContainer().told(attempt(method=method, qop=qop, nc=None, cnonce=None)) == OK

    def test_is_let_in_by_get_where_numbers_are_texts_and_there_are_no_headers(self) -> None:
        container = without_webhook_secret()
        assert told(container.get(attempt())) == OK
        assert told(container.get(attempt(method="INVITE", nc="00000002"))) == OK

    def test_is_told_its_expiry_when_it_registers_and_its_application_always(self) -> None:
        container = ClientContainer()
        container.add(client(expires=1800, application_sid="72c5c38f"))
        assert container.told(attempt()) == {**OK, "expires": 1800, "application_sid": "72c5c38f"}
        assert container.told(attempt(method="INVITE", nc="00000002")) == {**OK, "application_sid": "72c5c38f"}

    def test_may_have_a_number_for_a_name(self) -> None:
        container = ClientContainer()
        container.add(client(username="1001"))
        assert container.told({**attempt(username="1001"), "username": 1001}) == OK

    @pytest.mark.parametrize(
        "odd",
        [
            {"source_address": None, "source_port": "many", "headers": "none", "expires": {"in": 1}, "scheme": 7},
            {"headers": {"user-agent": ["a", 1], "call-id": None}, "source_address": ["192.0.2.44"], "unknown": [{}]},
            {"algorithm": None},
            {"algorithm": ""},
            {"algorithm": " \n"},
            {"algorithm": True},
            {"algorithm": ["SHA-256"]},
            {"algorithm": "md5"},
            {"algorithm": "\tMD5 "},
            {"method": " register\n"},
            {"qop": ""},
        ],
    )
    def test_is_let_in_whatever_else_is_odd(self, odd: dict[str, Any]) -> None:
        document = attempt(qop=None) if "qop" in odd else attempt()
        assert ClientContainer().told({**document, **odd}) == OK

    def test_is_kept_as_an_event(self) -> None:
        container = ClientContainer()
        container.receive(signed(recorded("client_auth_register")))
        item = container.database.item
        assert item["pk"] == {"S": "jambonz#none#2026-11-21"}
        assert item["answer"] == {"S": '{"status":"ok"}'}
        assert {name: item[name]["S"] for name in ("kind", "event_name", "status", "from")} == {
            "kind": "client.registered",
            "event_name": "register",
            "status": "ok",
            "from": "jane@sip.example.com",
        }
        assert "call_id" not in item
        assert container.details == {
            "realm": REALM,
            "uri": "sip:sip.example.com",
            "source_address": ADDRESS,
            "expires_seconds": "3600",
            "user_agent": "ExampleSoftphone/1.0",
            "sip_call_id": "reg-1@192.0.2.44",
        }

    def test_proves_itself_by_a_call_too(self) -> None:
        container = ClientContainer()
        container.receive(signed(recorded("client_auth_invite")))
        assert container.kinds == ["client.registered"]
        assert container.database.item["event_name"] == {"S": "invite"}

    def test_costs_one_read_and_one_write_of_the_clients(self) -> None:
        container = ClientContainer()
        container.told(attempt())
        assert container.clients.calls == ["GetItem", "PutItem"]


REFUSED = {
    "wrong password": [
        attempt(password="wrong"),
        attempt(response=attempt()["response"].upper()),
        attempt(response="é" * 32),
        attempt(uri="sip:another.example.com"),
        attempt(cnonce="0a4f113b", response=attempt()["response"]),
        {**attempt(), "method": "INVITE"},
        {**attempt(method="INVITE"), "method": "REGISTER"},
    ],
    "unknown client": [
        attempt(username="john"),
        attempt(username="Jane"),
        attempt(username="jane "),
        attempt(realm="another.example.com"),
        attempt(realm="SIP.example.com"),
        # Whoever knows what a client that does not exist is compared with gains nothing by it.
        {
            **attempt(username="nobody", cnonce=None, nc=None, qop=None),
            "response": md5(f"{'0' * 32}:InFriVGWVoKeCckYrTx7wg==:{md5(f'REGISTER:sip:{REALM}')}"),
        },
    ],
    "unsupported digest": [
        attempt(algorithm="SHA-256"),
        attempt(algorithm="MD5-sess"),
        attempt(qop="auth-int"),
    ],
}


class TestWhoIsRefused:
    @pytest.mark.parametrize(
        ("reason", "document"), [(reason, one) for reason, documents in REFUSED.items() for one in documents]
    )
    def test_is_told_nothing_else_and_the_event_says_why(self, reason: str, document: dict[str, Any]) -> None:
        container = ClientContainer()
        assert container.told(document) == FAIL
        assert container.kinds == ["client.refused"]
        assert container.database.item["status"] == {"S": "fail"}
        assert container.details["reason"] == reason

    def test_cannot_tell_an_unknown_name_from_a_wrong_password(self) -> None:
        seen = []
        for document in (attempt(username="john"), attempt(password="wrong")):
            container = ClientContainer()
            answer = container.post(document)
            seen.append((answer, container.clients.calls, container.database.calls))
        assert seen[0] == seen[1]
        assert seen[0][1:] == (["GetItem", "UpdateItem"], 1)

    def test_does_not_use_up_the_nonce_of_who_is_let_in(self) -> None:
        container = ClientContainer()
        assert container.told(attempt(password="wrong")) == FAIL
        assert container.told(attempt()) == OK

    def test_was_removed_a_moment_ago(self) -> None:
        container = ClientContainer()
        assert container.told(attempt()) == OK
        container.clients.items = {key: item for key, item in container.clients.items.items() if "ha1" not in item}
        assert container.told(attempt(nc="00000002")) == FAIL

    def test_is_not_let_in_by_another_client_s_names(self) -> None:
        # Both have the same user name and realm as one text.
        container = ClientContainer()
        container.add(client(username="a", realm="b:c"))
        assert container.told(attempt(username="a:b", realm="c", uri="sip:b:c")) == FAIL


class TestAReplay:
    def test_is_refused_even_byte_for_byte_in_the_same_second(self) -> None:
        container = ClientContainer()
        event = signed(recorded("client_auth_register"))
        again = {**event, "requestContext": {**event["requestContext"], "requestId": "another"}}
        assert told(container.receive(event)) == OK
        answer = container.receive(again)
        assert told(answer) == FAIL
        assert not answer.replayed
        assert container.kinds == ["client.registered", "client.refused"]
        assert [item.get("request_id") for item in container.database.items.values()][1] == {"S": "another"}

    def test_is_refused_in_another_container(self) -> None:
        container = ClientContainer()
        assert container.told(attempt()) == OK
        another = ClientContainer(clients=container.clients)
        assert another.told(attempt()) == FAIL
        assert another.details["reason"] == "replayed"

    def test_is_refused_by_another_method(self) -> None:
        container = ClientContainer()
        assert container.told(attempt()) == OK
        assert told(container.get(attempt())) == FAIL

    def test_is_no_next_count_and_no_other_nonce(self) -> None:
        container = ClientContainer()
        for changes in ({}, {"nc": "00000002"}, {"nc": "0000000a"}, {"nonce": "another"}):
            assert container.told(attempt(**changes)) == OK

    def test_is_not_another_client_with_the_same_nonce(self) -> None:
        container = ClientContainer()
        container.add(client(username="john"))
        assert container.told(attempt()) == OK
        assert container.told(attempt(username="john")) == OK

    def test_cannot_be_told_where_nothing_is_counted(self) -> None:
        container = ClientContainer()
        for _ in range(2):
            assert container.told(attempt(nc=None, cnonce=None, qop=None)) == OK
        assert container.clients.calls == ["GetItem", "GetItem"]

    @pytest.mark.parametrize(
        "parts",
        [
            {"nonce": "N:00000001:c0ffee:auth"},
            {"nonce": "N:00000001:c0ffee", "qop": "auth"},
            {"nonce": "N:00000001", "nc": "c0ffee", "cnonce": "auth"},
            {"nonce": "N", "nc": "00000001:c0ffee", "cnonce": "auth"},
            {"nonce": "N", "nc": "00000001", "cnonce": "c0ffee:auth"},
            {"nonce": "N", "qop": "00000001:c0ffee:auth"},
        ],
    )
    def test_cannot_be_hidden_by_taking_the_same_response_apart_in_another_way(self, parts: dict[str, str]) -> None:
        container = ClientContainer()
        first = attempt(nonce="N", nc="00000001", cnonce="c0ffee")
        assert container.told(first) == OK
        again = {name: value for name, value in first.items() if name not in ("nonce", "nc", "cnonce", "qop")} | parts
        assert container.told(again) == FAIL

    def test_is_not_a_write_whose_reply_was_lost(self) -> None:
        assert ClientContainer(clients=FakeClientsTable(lose_reply=True)).told(attempt()) == OK

    def test_without_a_request_id_is_refused_all_the_same(self) -> None:
        container = ClientContainer()
        assert container.told(attempt(), request_id="") == OK
        assert container.told(attempt(), request_id="") == FAIL
        assert container.kinds == ["client.registered", "client.refused"]

    def test_is_remembered_for_a_day(self) -> None:
        container = ClientContainer()
        container.told(attempt())
        (claim,) = [item for key, item in container.clients.items.items() if key.startswith("nonce#")]
        assert claim["expires_at"] == {"N": str(int((NOW + timedelta(days=1)).timestamp()))}

    @given(
        nonce=st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), min_size=1, max_size=20),
        cnonce=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        nc=st.from_regex("[0-9a-f]{8}", fullmatch=True),
        times=st.integers(2, 4),
    )
    @examples(100)
    def test_is_refused_however_often_and_wherever_it_comes(self, nonce: str, cnonce: str, nc: str, times: int) -> None:
        table = FakeClientsTable()
        answers = []
        for _ in range(times):
            answers += [ClientContainer(clients=table).told(attempt(nonce=f"n{nonce}", cnonce=f"c{cnonce}", nc=nc))]
        assert answers == [OK, *[FAIL] * (times - 1)]


class TestFailures:
    def counted(self, capsys: pytest.CaptureFixture[str]) -> list[float]:
        lines = metric_lines(capsys.readouterr().out)
        return [line["ClientFailuresFromOneAddress"][0] for line in lines if "ClientFailuresFromOneAddress" in line]

    def test_are_counted_for_each_address(self, capsys: pytest.CaptureFixture[str]) -> None:
        container = ClientContainer()
        for document in (
            attempt(password="wrong"),
            attempt(username="john"),
            attempt(algorithm="SHA-256"),
            attempt(password="wrong", source_address="192.0.2.45"),
            attempt(password="wrong", source_address=7),
            attempt(),
            attempt(),
        ):
            container.told(document)
        assert self.counted(capsys) == [1, 2, 3, 1, 1, 4]

    def test_are_counted_for_each_hour(self, capsys: pytest.CaptureFixture[str]) -> None:
        container = ClientContainer()
        for seconds in (0, 29 * 60, 60, 3600):
            container.clock.advance(seconds)
            container.told(attempt(password="wrong"))
        assert self.counted(capsys) == [1, 2, 1, 1]

    def test_are_forgotten_and_name_no_address(self) -> None:
        container = ClientContainer()
        container.told(attempt(password="wrong"))
        ((key, item),) = [pair for pair in container.clients.items.items() if pair[0].startswith("failures#")]
        assert ADDRESS not in key
        assert item["expires_at"] == {"N": str(int((NOW + timedelta(hours=2)).timestamp()))}

    def test_have_a_metric_for_each_reason(self, capsys: pytest.CaptureFixture[str]) -> None:
        container = ClientContainer()
        for document in (attempt(), attempt(), attempt(password="wrong"), attempt(username="john"), attempt(qop="x")):
            container.told(document)
        container.clients.faults = {"GetItem": TIMEOUT}
        container.told(attempt())
        refused = [line for line in metric_lines(capsys.readouterr().out) if "ClientRefused" in line]
        assert [line["reason"] for line in refused] == [
            "replayed",
            "wrong password",
            "unknown client",
            "unsupported digest",
            "not checked",
        ]
        assert {line["provider"] for line in refused} == {"jambonz"}

    def test_set_off_the_alarm_of_the_template(self, capsys: pytest.CaptureFixture[str]) -> None:
        ClientContainer().told(attempt(password="wrong"))
        (line,) = [line for line in metric_lines(capsys.readouterr().out) if "ClientFailuresFromOneAddress" in line]
        (described,) = line["_aws"]["CloudWatchMetrics"]
        alarm = resource("ClientFailuresAlarm")
        assert (alarm["Namespace"], [{"Name": alarm["MetricName"], "Unit": "Count"}]) == (
            described["Namespace"],
            described["Metrics"],
        )
        (dimensions,) = described["Dimensions"]
        stack = {"Ref": "AWS::StackName"}
        told = {name: stack if name == "service" else line[name] for name in dimensions}
        assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == told
        assert (alarm["Statistic"], alarm["TreatMissingData"]) == ("Maximum", "notBreaching")
        assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
        assert alarm["Threshold"] == {"Ref": "ClientFailureAlarmThreshold"}
        assert template()["Parameters"]["ClientFailureAlarmThreshold"]["Default"] == 20

    def test_that_cannot_be_counted_are_refused_all_the_same(
        self, capsys: pytest.CaptureFixture[str], log: io.StringIO
    ) -> None:
        container = ClientContainer()
        container.clients.faults = {"UpdateItem": ClientError(DENIED, "UpdateItem")}
        assert container.told(attempt(password="wrong")) == FAIL
        assert container.kinds == ["client.refused"]
        assert self.counted(capsys) == []
        assert "failure of a client not counted" in log.getvalue()


class TestAnOutage:
    @pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
    @pytest.mark.parametrize("fault", [TIMEOUT, ClientError(DENIED, "GetItem")], ids=["timeout", "denied"])
    def test_of_the_clients_lets_nobody_in_and_blames_nobody(self, operation: str, fault: Exception) -> None:
        container = ClientContainer()
        container.clients.faults = {operation: fault}
        assert container.told(attempt()) == FAIL
        assert container.kinds == ["client.refused"]
        assert container.details["reason"] == "not checked"
        assert "UpdateItem" not in container.clients.calls

    def test_of_the_events_costs_no_client_its_answer_and_loses_no_event(self) -> None:
        container = ClientContainer(database=FakeDynamoDB(fault=TIMEOUT))
        assert container.told(attempt()) == OK
        assert container.told(attempt()) == FAIL
        assert len(container.queue.items) == 2

    def test_of_events_and_queue_costs_no_client_its_answer_and_loses_no_event(self, log: io.StringIO) -> None:
        container = ClientContainer(database=FakeDynamoDB(fault=TIMEOUT))
        container.queue.fault = OUT_OF_ORDER
        assert container.told(attempt()) == OK
        assert container.told(attempt()) == FAIL
        assert len(unstored(log.getvalue())) == 2

    def test_of_both_lets_nobody_in(self) -> None:
        container = ClientContainer(database=FakeDynamoDB(fault=TIMEOUT))
        container.clients.faults = dict.fromkeys(("GetItem", "PutItem", "UpdateItem"), TIMEOUT)
        assert container.told(attempt()) == FAIL

    def test_of_the_secrets_lets_nobody_in_and_asks_for_no_client(self) -> None:
        container = ClientContainer()
        container.secrets.fault = TIMEOUT
        assert container.post(attempt()).statusCode == 503
        assert container.clients.calls == []

    @pytest.mark.parametrize("operation", ["GetItem", "PutItem", "UpdateItem"])
    def test_that_nobody_foresaw_lets_nobody_in_and_loses_nothing(self, operation: str) -> None:
        container = ClientContainer()
        container.clients.faults = {operation: RuntimeError("whatever else")}
        document = attempt(password="wrong" if operation == "UpdateItem" else "s3cr3t")
        assert container.told(document)["status"] == "fail"
        assert container.database.item["reason"] == {"S": "The delivery could not be processed."}


ODD: list[object] = [None, "", "  ", [], True]
MALFORMED: dict[str | bytes, str] = {
    "not JSON": "The body is not JSON.",
    "[]": "The body is not a JSON object.",
    b"\xff": "The body is not valid UTF-8.",
    "[" * 100_000: "The body is nested too deeply.",
    "{}": "method is missing or cannot be used.",
    **{
        json.dumps({**attempt(), name: value}): f"{name} is missing or cannot be used."
        for name in ("username", "realm", "nonce", "uri", "response")
        for value in ODD
    },
    json.dumps(attempt(method="OPTIONS")): "method is missing or cannot be used.",
    '{"method":"REGISTER","username":"\\ud800"}': "realm is missing or cannot be used.",
}


class TestWhatIsNotUnderstood:
    @pytest.mark.parametrize(("body", "message"), MALFORMED.items())
    def test_is_refused_with_the_reason_and_kept_in_quarantine(self, body: str | bytes, message: str) -> None:
        container = ClientContainer()
        assert container.told(body) == {**FAIL, "message": message}
        assert container.database.item["pk"] == {"S": "quarantine#jambonz#2026-11-21"}
        assert container.database.item["reason"] == {"S": message}
        assert container.clients.calls == []

    def test_is_kept_apart_by_its_query(self) -> None:
        container = ClientContainer()
        for query in ("", "method=REGISTER", "method=INVITE&username=jane", "method=INVITE&username=jane"):
            assert told(container.post("", method="GET", query=query))["status"] == "fail"
        assert len(container.database.items) == 3

    def test_over_128_kb_is_a_failure_as_well(self) -> None:
        answer = ClientContainer().post(attempt(unknown="x" * 140_000))
        assert (answer.statusCode, json.loads(answer.body)["status"]) == (200, "fail")


class TestWhoIsNotJambonz:
    @pytest.mark.parametrize(
        "event",
        [
            without_header(signed(recorded("client_auth_register")), "authorization"),
            with_header(signed(recorded("client_auth_register")), "authorization", "Basic d3Jvbmc6d3Jvbmc="),
            recorded("client_auth_register"),
            signed(recorded("client_auth_register"), secret="another"),
            signed(recorded("client_auth_register"), now=NOW - timedelta(hours=1)),
            without_header(recorded("client_auth_register_get"), "authorization"),
        ],
    )
    def test_gets_401_and_learns_and_leaves_nothing(self, event: dict[str, Any]) -> None:
        container = ClientContainer()
        assert container.receive(event).statusCode == 401
        assert container.clients.calls == []
        assert container.database.calls == 0

    def test_is_refused_by_get_where_a_webhook_secret_is_set_and_the_client_is_not_looked_up(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        container = ClientContainer()
        right, wrong = attempt(), attempt(password="wrong", nc="00000002")
        answers = [told(container.get(document)) for document in (right, right, wrong, attempt(username="john"))]
        assert answers == [FAIL] * 4
        assert container.clients.calls == []
        reasons = {line["reason"] for line in metric_lines(capsys.readouterr().out) if "ClientRefused" in line}
        assert reasons == {"sent by GET, which is not signed"}
        assert {kept_details(item)["reason"]["S"] for item in container.database.items.values()} == reasons


class TestWhatIsKept:
    def test_of_a_client_is_no_password(self) -> None:
        known = client(password="a long password")
        container = ClientContainer()
        container.add(known)
        assert "a long password" not in json.dumps(container.clients.items)

    def test_shows_no_ha1_where_a_client_is_printed(self) -> None:
        assert client().ha1 not in repr(client())

    def test_in_the_log_is_nothing_secret_or_personal(
        self, log: io.StringIO, capsys: pytest.CaptureFixture[str]
    ) -> None:
        container = ClientContainer()
        documents = [attempt(), attempt(), attempt(password="wrong"), attempt(username="john")]
        documents.append({**attempt(), "nonce": None})
        for document in documents:
            container.told(document)
        container.clients.faults = {"GetItem": TIMEOUT}
        container.told(attempt())
        told_everywhere = log.getvalue() + capsys.readouterr().out
        assert log.getvalue().count("\n") >= len(documents)
        hidden = [PASSWORD, WEBHOOK_SECRET, client().ha1, "jane", "john", ADDRESS, "InFriVGWVoKeCckYrTx7wg"]
        hidden += [document["response"] for document in documents if "response" in document]
        assert [secret for secret in hidden if secret in told_everywhere] == []


texts = st.text(st.characters(), max_size=40)  # lone surrogates included
whole_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
DIGEST_MEMBERS = ["method", "username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce"]
harmless_texts = st.sampled_from(["", " ", "\u3000", "md5", " MD5\n", "register", "\tRegister "])
# Unicode's White_Space, which is not quite that of Python.
WHITE_SPACE = "".join(
    letter for letter in map(chr, range(0x3001)) if letter.isspace() and not "\x1c" <= letter <= "\x1f"
)
OTHER_MEMBERS = ["source_address", "source_port", "headers", "expires", "scheme", "opaque"]


def is_read_as_before(name: str, value: object) -> bool:
    """Whether a digest of REGISTER and MD5 is the same with this value of a member."""
    match name, value:
        case "algorithm", str():  # without one it is MD5
            return value.strip(WHITE_SPACE).upper() in ("", "MD5")
        # A number is read as a text; a flag, NaN and Infinity as absent.
        case "algorithm", int() | float() if str(value) not in ("True", "False", "nan", "inf", "-inf"):
            return False
        case "algorithm", _:
            return True
        case "method", str():
            return value.strip(WHITE_SPACE).upper() == "REGISTER"
        case _:
            return bool(value == attempt()[name])


class TestWhateverIsSent:
    @given(body=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
    @examples(200)
    def test_is_answered_with_fail(self, body: bytes) -> None:
        assert ClientContainer().told(body)["status"] == "fail"

    @given(query=texts | st.dictionaries(st.sampled_from(DIGEST_MEMBERS + OTHER_MEMBERS), st.text(max_size=20)))
    @examples(200)
    def test_in_a_query_is_answered_with_fail(self, query: str | dict[str, str]) -> None:
        text = query if isinstance(query, str) else urlencode(query, errors="surrogatepass")
        for container in (ClientContainer(), without_webhook_secret()):
            assert told(container.post("", method="GET", query=text))["status"] == "fail"

    @given(
        members=st.dictionaries(st.sampled_from(DIGEST_MEMBERS), json_values | harmless_texts, min_size=1, max_size=3)
    )
    @example(members={"algorithm": ""})
    @example(members={"algorithm": "\x1f"})
    @example(members={"algorithm": float("nan")})
    @examples(300)
    def test_in_the_members_of_a_digest_lets_in_only_who_proves_it(self, members: dict[str, Any]) -> None:
        container = ClientContainer()
        answer = container.told({**attempt(), **members})
        unchanged = all(is_read_as_before(name, value) for name, value in members.items())
        assert answer["status"] == ("ok" if unchanged else "fail")
        assert len(container.database.items) == 1

    @given(members=st.dictionaries(st.sampled_from(OTHER_MEMBERS) | texts.map("x{}".format), json_values, max_size=6))
    @examples(200)
    def test_beside_the_digest_of_a_client_does_not_keep_it_out(self, members: dict[str, Any]) -> None:
        container = ClientContainer()
        assert container.told({**attempt(), **members}) == OK
        assert container.kinds == ["client.registered"]
        json.dumps(container.database.item, default=repr, ensure_ascii=False).encode()  # no lone surrogate is left

    @given(username=whole_texts, realm=whole_texts, password=whole_texts)
    @examples(100)
    def test_as_the_names_of_a_client_is_exact(self, username: str, realm: str, password: str) -> None:
        container = ClientContainer()
        known = Client(f"u{username}", f"r{realm}", ha1_of(f"u{username}", f"r{realm}", password))
        container.add(known)
        document = attempt(username=known.username, realm=known.realm, password=password)
        assert container.told(document) == OK
        assert container.told({**document, "username": f"{known.username} "}) == FAIL


def test_a_get_as_it_lies_there_is_what_jambonz_sends_by_post_too() -> None:
    query = dict(part.split("=", 1) for part in recorded("client_auth_register_get")["rawQueryString"].split("&"))
    assert set(query) == set(json.loads(recorded("client_auth_register")["body"])) - {"headers"}


def test_the_webhook_takes_base64_as_any_other() -> None:
    event = signed_event(attempt(), base64_encoded=True, path="/webhooks/client-auth")
    assert told(ClientContainer().receive(event)) == OK
