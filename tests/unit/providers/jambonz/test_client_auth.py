"""Authentication of SIP clients that register or call, and the stored events."""

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
from tests.sip_clients import ADDRESS, REALM, ClientContainer, FakeClientsTable, attempt, client, md5, result_of
from tests.support import (
    NOW,
    OUT_OF_ORDER,
    FakeDynamoDB,
    FakeSecrets,
    detail_attributes,
    metric_lines,
    recorded,
    resource,
    signed,
    unstored,
    with_header,
    without_header,
)

OK = {"status": "ok"}
FAIL = {"status": "fail"}
RECORDED = ["client_auth_register", "client_auth_invite", "client_auth_register_get", "client_auth_register_no_qop"]
TIMEOUT = ReadTimeoutError(endpoint_url="https://dynamodb")
DENIED: Any = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}


class TestDigest:
    """The example of RFC 2617, section 3.5."""

    HA1 = ha1_of("Mufasa", "testrealm@host.com", "Circle Of Life")
    NONCE = "dcd98b7102dd2f0e8b11d0f600bfb0c093"

    def test_with_qop_matches_the_rfc(self) -> None:
        challenge = Challenge(self.NONCE, qop="auth", nc="00000001", cnonce="0a4f113b")
        response = digest_response(self.HA1, "GET", "/dir/index.html", challenge)
        assert response == "6629fae49393a05397450978507c4ef1"

    def test_without_qop_matches_rfc_2069(self) -> None:
        # RFC 2069, section 2.4, with the response from erratum 749.
        ha1 = ha1_of("Mufasa", "testrealm@host.com", "CircleOfLife")
        response = digest_response(ha1, "GET", "/dir/index.html", Challenge(self.NONCE))
        assert response == "1949323746fe6a43ef61f9606e7febea"

    def test_of_a_name_beyond_ascii_uses_utf_8(self) -> None:
        assert ha1_of("zoë", "realm", "пароль") == md5("zoë:realm:пароль")


def without_webhook_secret() -> ClientContainer:
    return ClientContainer(secrets=FakeSecrets(webhook_secrets=[]))


class TestAClientWithTheRightPassword:
    @pytest.mark.parametrize("name", RECORDED)
    def test_is_accepted_in_every_recorded_delivery(self, name: str) -> None:
        assert result_of(without_webhook_secret().receive(signed(recorded(name)))) == OK

    @pytest.mark.parametrize("method", ["REGISTER", "INVITE"])
    @pytest.mark.parametrize("qop", ["auth", None])
    def test_is_accepted_with_and_without_qop(self, method: str, qop: str | None) -> None:
        assert ClientContainer().result(attempt(method=method, qop=qop)) == OK
        assert ClientContainer().result(attempt(method=method, qop=qop, nc=None, cnonce=None)) == OK

    @pytest.mark.parametrize(
        ("requested", "granted"),
        [
            (3600, 1800),
            (1800, 1800),
            (60, 60),
            ("60", 60),
            (" 60 ", 60),
            (0, 0),
            ("0", 0),
            (-1, 0),
            (None, 1800),
            ("", 1800),
            ("never", 1800),
            (True, 1800),
            ([60], 1800),
            (10**30, 1800),
        ],
    )
    def test_is_not_registered_for_longer_than_it_requests(self, requested: object, granted: int) -> None:
        container = ClientContainer()
        container.add(client(expires=1800))
        assert container.result(attempt(expires=requested)) == {**OK, "expires": granted}
        assert container.result(attempt(expires=requested, method="INVITE")) == OK
        assert ClientContainer().result(attempt(expires=requested)) == OK, "without a limit, jambonz decides"

    def test_gets_its_expiry_when_it_registers_and_its_application_always(self) -> None:
        container = ClientContainer()
        container.add(client(expires=1800, application_sid="72c5c38f"))
        assert container.result(attempt()) == {**OK, "expires": 1800, "application_sid": "72c5c38f"}
        assert container.result(attempt(method="INVITE", nc="00000002")) == {**OK, "application_sid": "72c5c38f"}

    def test_may_have_a_number_as_its_name_or_be_asked_about_by_get(self) -> None:
        container = without_webhook_secret()
        container.add(client(username="1001"))
        assert container.result({**attempt(username="1001"), "username": 1001}) == OK
        assert result_of(container.get(attempt(method="INVITE", nc="00000002"))) == OK

    def test_is_stored_as_an_event(self) -> None:
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
        assert container.clients.calls == ["GetItem", "PutItem"]
        assert container.details == {
            "realm": REALM,
            "uri": "sip:sip.example.com",
            "source_address": ADDRESS,
            "expires_seconds": "3600",
            "user_agent": "ExampleSoftphone/1.0",
            "sip_call_id": "reg-1@192.0.2.44",
        }


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
        # The dummy HA1 does not authenticate an unknown client.
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


class TestARejectedClient:
    @pytest.mark.parametrize(
        ("reason", "document"), [(reason, one) for reason, documents in REFUSED.items() for one in documents]
    )
    def test_gets_no_reason_but_the_event_has_it(self, reason: str, document: dict[str, Any]) -> None:
        container = ClientContainer()
        assert container.result(document) == FAIL
        assert container.kinds == ["client.refused"]
        assert container.database.item["status"] == {"S": "fail"}
        assert container.details["reason"] == reason

    def test_cannot_distinguish_an_unknown_name_from_a_wrong_password(self) -> None:
        observed = []
        for document in (attempt(username="john"), attempt(password="wrong")):
            container = ClientContainer()
            answer = container.post(document)
            observed.append((answer, container.clients.calls, container.database.calls))
        assert observed[0] == observed[1]
        assert observed[0][1:] == (["GetItem", "UpdateItem"], 1)

    def test_cannot_use_the_names_of_another_client(self) -> None:
        # Joined with a colon, both names and realms are the same text.
        container = ClientContainer()
        container.add(client(username="a", realm="b:c"))
        assert container.result(attempt(username="a:b", realm="c", uri="sip:b:c")) == FAIL


class TestAReplay:
    def test_with_the_same_bytes_in_the_same_second_is_rejected(self) -> None:
        container = ClientContainer()
        event = signed(recorded("client_auth_register"))
        replay = {**event, "requestContext": {**event["requestContext"], "requestId": "another"}}
        assert result_of(container.receive(event)) == OK
        answer = container.receive(replay)
        assert result_of(answer) == FAIL
        assert not answer.replayed
        assert container.kinds == ["client.registered", "client.refused"]
        assert [item.get("request_id") for item in container.database.items.values()][1] == {"S": "another"}

    def test_is_not_assumed_if_any_part_differs_or_after_a_failure(self) -> None:
        container = ClientContainer()
        container.add(client(username="john"))
        assert container.result(attempt(password="wrong")) == FAIL
        accepted: list[dict[str, Any]] = [
            {},
            {"cnonce": "another"},
            {"cnonce": "03D8D2AAFD5A975F"},
            {"method": "INVITE"},
            {"nc": "00000002"},
            {"nc": "0000000a"},
            {"nc": "00000002", "cnonce": "another"},
            {"nc": "1"},
            {"nc": None},
            {"nonce": "another"},
            {"qop": None},
            {"username": "john"},
        ]
        for changes in accepted:
            assert container.result(attempt(**changes)) == OK, changes
        for changes in accepted:
            assert container.result(attempt(**changes)) == FAIL, changes
        assert ClientContainer(clients=FakeClientsTable(lose_reply=True)).result(attempt()) == OK

    def test_is_recognised_by_its_digest_whatever_else_changes(self) -> None:
        container = ClientContainer()
        assert container.result(attempt()) == OK
        for changes in ({"expires": 0}, {"source_address": "192.0.2.45"}, {"opaque": "x"}, {"algorithm": "md5"}):
            assert container.result({**attempt(), **changes}) == FAIL, changes

    def test_is_not_detected_without_a_cnonce(self) -> None:
        container = ClientContainer()
        for _ in range(2):
            assert container.result(attempt(nc=None, cnonce=None, qop=None)) == OK
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
    def test_with_the_same_response_split_in_another_way_is_rejected(self, parts: dict[str, str]) -> None:
        container = ClientContainer()
        first = attempt(nonce="N", nc="00000001", cnonce="c0ffee")
        assert container.result(first) == OK
        replay = {name: value for name, value in first.items() if name not in ("nonce", "nc", "cnonce", "qop")} | parts
        assert container.result(replay) == FAIL

    @pytest.mark.parametrize("request_id", ["", "another"])
    def test_in_another_container_is_rejected_for_a_day(self, request_id: str) -> None:
        container = ClientContainer()
        assert container.result(attempt(), request_id="") == OK
        (claim,) = [item for key, item in container.clients.items.items() if key.startswith("nonce#")]
        assert claim["expires_at"] == {"N": str(int((NOW + timedelta(days=1)).timestamp()))}
        another = ClientContainer(clients=container.clients)
        assert another.result(attempt(), request_id=request_id) == FAIL
        assert another.details["reason"] == "replayed"
        another.clients.items = {key: item for key, item in another.clients.items.items() if "ha1" not in item}
        assert another.result(attempt(nc="00000002")) == FAIL, "the client was removed"

    @given(
        nonce=st.text(st.characters(exclude_characters=":", exclude_categories=["Cs"]), min_size=1, max_size=20),
        cnonce=st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        nc=st.from_regex("[0-9a-f]{8}", fullmatch=True),
        times=st.integers(2, 4),
    )
    @examples(100)
    def test_to_any_container_any_number_of_times_is_rejected(
        self, nonce: str, cnonce: str, nc: str, times: int
    ) -> None:
        table = FakeClientsTable()
        answers = []
        for _ in range(times):
            answers += [ClientContainer(clients=table).result(attempt(nonce=f"n{nonce}", cnonce=f"c{cnonce}", nc=nc))]
        assert answers == [OK, *[FAIL] * (times - 1)]


class TestFailures:
    def counts(self, capsys: pytest.CaptureFixture[str]) -> list[float]:
        lines = metric_lines(capsys.readouterr().out)
        return [line["ClientFailuresFromOneAddress"][0] for line in lines if "ClientFailuresFromOneAddress" in line]

    def test_are_counted_for_each_address_and_hour(self, capsys: pytest.CaptureFixture[str]) -> None:
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
            container.result(document)
        failures = {key: item for key, item in container.clients.items.items() if key.startswith("failures#")}
        assert {item["expires_at"]["N"] for item in failures.values()} == {str(int(NOW.timestamp()) + 7200)}
        assert not any(ADDRESS in key for key in failures)
        for seconds in (29 * 60, 60, 3600):
            container.clock.advance(seconds)
            container.result(attempt(password="wrong"))
        assert self.counts(capsys) == [1, 2, 3, 1, 1, 4, 5, 1, 1]

    def test_have_a_metric_for_each_reason(self, capsys: pytest.CaptureFixture[str]) -> None:
        container = ClientContainer()
        for document in (attempt(), attempt(), attempt(password="wrong"), attempt(username="john"), attempt(qop="x")):
            container.result(document)
        container.clients.faults = {"GetItem": TIMEOUT}
        container.result(attempt())
        refused = [line for line in metric_lines(capsys.readouterr().out) if "ClientRefused" in line]
        assert [line["reason"] for line in refused] == [
            "replayed",
            "wrong password",
            "unknown client",
            "unsupported digest",
            "not checked",
        ]
        assert {line["provider"] for line in refused} == {"jambonz"}

    def test_are_the_metric_of_the_alarm(self, capsys: pytest.CaptureFixture[str]) -> None:
        ClientContainer().result(attempt(password="wrong"))
        (line,) = [line for line in metric_lines(capsys.readouterr().out) if "ClientFailuresFromOneAddress" in line]
        ((described,), alarm) = (line["_aws"]["CloudWatchMetrics"], resource("ClientFailuresAlarm"))
        assert alarm["Namespace"] == described["Namespace"]
        assert [{"Name": alarm["MetricName"], "Unit": "Count"}] == described["Metrics"]
        (dimensions,) = described["Dimensions"]
        values = {name: {"Ref": "AWS::StackName"} if name == "service" else line[name] for name in dimensions}
        assert {one["Name"]: one["Value"] for one in alarm["Dimensions"]} == values

    def test_that_cannot_be_counted_are_still_rejected(
        self, capsys: pytest.CaptureFixture[str], log: io.StringIO
    ) -> None:
        container = ClientContainer()
        container.clients.faults = {"UpdateItem": ClientError(DENIED, "UpdateItem")}
        assert container.result(attempt(password="wrong")) == FAIL
        assert container.kinds == ["client.refused"]
        assert self.counts(capsys) == []
        assert "client failure not counted" in log.getvalue()


class TestAnOutage:
    @pytest.mark.parametrize("operation", ["GetItem", "PutItem"])
    @pytest.mark.parametrize("fault", [TIMEOUT, ClientError(DENIED, "GetItem")], ids=["timeout", "denied"])
    def test_of_the_clients_table_rejects_clients_without_counting_failures(
        self, operation: str, fault: Exception
    ) -> None:
        container = ClientContainer()
        container.clients.faults = {operation: fault}
        assert container.result(attempt()) == FAIL
        assert container.kinds == ["client.refused"]
        assert container.details["reason"] == "not checked"
        assert "UpdateItem" not in container.clients.calls

    @pytest.mark.parametrize("queue_fault", [None, OUT_OF_ORDER])
    def test_of_the_events_table_affects_no_client_and_loses_no_event(
        self, queue_fault: Exception | None, log: io.StringIO
    ) -> None:
        container = ClientContainer(database=FakeDynamoDB(fault=TIMEOUT))
        container.queue.fault = queue_fault
        assert container.result(attempt()) == OK
        assert container.result(attempt()) == FAIL
        assert len([*container.queue.items, *unstored(log.getvalue())]) == 2
        container.clients.faults = dict.fromkeys(("GetItem", "PutItem", "UpdateItem"), TIMEOUT)
        assert container.result(attempt(nc="00000002")) == FAIL

    def test_of_the_secret_store_is_a_503_without_a_client_lookup(self) -> None:
        container = ClientContainer()
        container.secrets.fault = TIMEOUT
        assert container.post(attempt()).statusCode == 503
        assert container.clients.calls == []

    @pytest.mark.parametrize("operation", ["GetItem", "PutItem", "UpdateItem"])
    def test_of_an_unexpected_kind_rejects_clients_and_loses_no_event(self, operation: str) -> None:
        container = ClientContainer()
        container.clients.faults = {operation: RuntimeError("unexpected")}
        document = attempt(password="wrong" if operation == "UpdateItem" else "s3cr3t")
        assert container.result(document)["status"] == "fail"
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


class TestAMalformedDelivery:
    @pytest.mark.parametrize(("body", "message"), MALFORMED.items())
    def test_is_rejected_with_the_reason_and_goes_to_quarantine(self, body: str | bytes, message: str) -> None:
        container = ClientContainer()
        assert container.result(body) == {**FAIL, "message": message}
        assert container.database.item["pk"] == {"S": "quarantine#jambonz#2026-11-21"}
        assert container.database.item["reason"] == {"S": message}
        assert container.clients.calls == []


class TestAnUnauthenticatedRequest:
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
    def test_gets_401_without_a_lookup_or_an_event(self, event: dict[str, Any]) -> None:
        container = ClientContainer()
        assert container.receive(event).statusCode == 401
        assert container.clients.calls == []
        assert container.database.calls == 0

    def test_by_get_is_rejected_without_a_client_lookup_if_a_webhook_secret_is_set(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        container = ClientContainer()
        right, wrong = attempt(), attempt(password="wrong", nc="00000002")
        answers = [result_of(container.get(document)) for document in (right, right, wrong, attempt(username="john"))]
        assert answers == [FAIL] * 4
        assert container.clients.calls == []
        reasons = {line["reason"] for line in metric_lines(capsys.readouterr().out) if "ClientRefused" in line}
        assert reasons == {"sent by GET, which is not signed"}
        assert {detail_attributes(item)["reason"]["S"] for item in container.database.items.values()} == reasons


texts = st.text(st.characters(), max_size=40)  # lone surrogates included
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
encodable_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
DIGEST_MEMBERS = ["method", "username", "realm", "nonce", "uri", "response", "algorithm", "qop", "nc", "cnonce"]
harmless_texts = st.sampled_from(["", " ", "\u3000", "md5", " MD5\n", "register", "\tRegister "])
# Unicode's White_Space, which differs slightly from Python's.
WHITE_SPACE = "".join(
    letter for letter in map(chr, range(0x3001)) if letter.isspace() and not "\x1c" <= letter <= "\x1f"
)
OTHER_MEMBERS = ["source_address", "source_port", "headers", "expires", "scheme", "opaque"]


def is_equivalent(name: str, value: object) -> bool:
    """Return whether the digest of a REGISTER with MD5 stays valid with this value of a member."""
    match name, value:
        case "algorithm", str():  # the default is MD5
            return value.strip(WHITE_SPACE).upper() in ("", "MD5")
        # A number counts as text; a boolean, NaN and Infinity as absent.
        case "algorithm", int() | float() if str(value) not in ("True", "False", "nan", "inf", "-inf"):
            return False
        case "algorithm", _:
            return True
        case "method", str():
            return value.strip(WHITE_SPACE).upper() == "REGISTER"
        case _:
            return bool(value == attempt()[name])


def test_the_table_contains_no_password_and_the_repr_of_a_client_no_ha1() -> None:
    container = ClientContainer()
    container.add(client(password="a long password"))
    assert "a long password" not in json.dumps(container.clients.items)
    assert client().ha1 not in repr(client())


class TestAnyInput:
    @given(query=texts | st.dictionaries(st.sampled_from(DIGEST_MEMBERS + OTHER_MEMBERS), st.text(max_size=20)))
    @examples(200)
    def test_as_a_query_is_rejected(self, query: str | dict[str, str]) -> None:
        text = query if isinstance(query, str) else urlencode(query, errors="surrogatepass")
        for container in (ClientContainer(), without_webhook_secret()):
            assert result_of(container.post("", method="GET", query=text))["status"] == "fail"

    @given(
        members=st.dictionaries(st.sampled_from(DIGEST_MEMBERS), json_values | harmless_texts, min_size=1, max_size=3),
        others=st.dictionaries(st.sampled_from(OTHER_MEMBERS) | texts.map("x{}".format), json_values, max_size=3),
    )
    @example(members={"algorithm": ""}, others={})
    @example(members={"algorithm": "\x1f"}, others={})
    @example(members={"algorithm": float("nan")}, others={})
    @examples(300)
    def test_is_accepted_only_if_the_digest_stays_valid(self, members: dict[str, Any], others: dict[str, Any]) -> None:
        container = ClientContainer()
        answer = container.result({**attempt(), **others, **members})
        unchanged = all(is_equivalent(name, value) for name, value in members.items())
        assert answer["status"] == ("ok" if unchanged else "fail")
        assert len(container.database.items) == 1

    @given(username=encodable_texts, realm=encodable_texts, password=encodable_texts)
    @examples(100)
    def test_as_a_client_s_names_is_compared_exactly(self, username: str, realm: str, password: str) -> None:
        container = ClientContainer()
        known = Client(f"u{username}", f"r{realm}", ha1_of(f"u{username}", f"r{realm}", password))
        container.add(known)
        document = attempt(username=known.username, realm=known.realm, password=password)
        assert container.result(document) == OK
        assert container.result({**document, "username": f"{known.username} "}) == FAIL
