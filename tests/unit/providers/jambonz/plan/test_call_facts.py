"""Facts of a call from a hook and from the first webhook."""

from __future__ import annotations

import json
from collections.abc import Mapping
from unittest.mock import Mock

import pytest
from callhooks.providers.jambonz.models import CallHook
from callhooks.providers.jambonz.new_call import facts_of, normalise
from callhooks.providers.jambonz.plan.call_facts import CallFacts, snake_case
from callhooks.providers.jambonz.plan.plan import Variable
from callhooks.runtime.http import Request

from tests.support import NOW

FIRST: Mapping[str, object] = {
    "from": "+12125550187",
    "caller_name": '"Jane Doe"',
    "sip": {"headers": {"X-Account": "42", "diversion": "<sip:+1@a.example>", "Count": 3}},
    "env_vars": {"SALES": "+14155550177"},
}


def test_the_first_webhook_is_loaded_once_and_only_for_facts_that_the_hook_lacks() -> None:
    load = Mock(return_value=FIRST)
    facts = CallFacts({"call_sid": "a", "digits": "5", "customerData": {"a": "b"}}, load)
    assert (facts.fact("digits"), facts.fact("customerData.a")) == ("5", "b")
    assert (facts.fact("customerData.b"), facts.fact("queue_position"), facts.fact("unknown")) == (None, None, None)
    assert CallFacts({"sip": {}}, load).fact("caller_name") is None, "the hook is the first webhook itself"
    load.assert_not_called()
    assert (facts.fact("caller_name"), facts.fact("from")) == ("Jane Doe", "+12125550187")
    assert (facts.header("x-account"), facts.env_vars()) == ("42", {"SALES": "+14155550177"})
    load.assert_called_once()


def test_a_missing_first_webhook_is_requested_only_once() -> None:
    load = Mock(return_value=None)
    facts = CallFacts({}, load)
    assert (facts.fact("from"), facts.fact("caller_name"), facts.env_vars()) == (None, None, {})
    load.assert_called_once()


CALL_HOOK = {
    "call_sid": "d2515c3b",
    "call_id": "6f0b1b0e",
    "application_sid": "72c5c38f",
    "account_sid": "bad98250",
    "direction": "inbound",
    "from": "+12125551212",
    "to": "+14155551234",
    "caller_name": "Jane Doe",
    "sip_status": 100,
    "sip_reason": "Trying",
    "call_status": "trying",
    "sbc_callid": "2b9d2f0a",
    "originating_sip_ip": "198.51.100.10",
    "originating_sip_trunk_name": "example-carrier",
    "local_sip_address": "10.0.21.7:5060",
    "service_provider_sid": "2708b1b3",
    "trace_id": "18228daa",
    "sip": {
        "raw": "INVITE sip:+14155551234@10.0.21.7 SIP/2.0",
        "headers": {"X-Account": "42", "Method": "of a header"},
        "body": "v=0",
        "method": "INVITE",
        "version": "2.0",
        "uri": "sip:+14155551234@10.0.21.7:5060",
        "payload": [{"type": "application/sdp", "content": "v=0"}],
    },
    "env_vars": {"SALES": "+14155550177", "RETRIES": 3, "DEBUG": False},
    "defaults": {"recognizer": {"vendor": "google", "language": "en-US"}},
}
"""The documented members (CallHook, New Call) and the members that 0.9.8 adds, with a value for each."""
PARTS = {
    "sip.method": "INVITE",
    "sip.version": "2.0",
    "sip.uri": "sip:+14155551234@10.0.21.7:5060",
    "sip.body": "v=0",
    "sip.raw": "INVITE sip:+14155551234@10.0.21.7 SIP/2.0",
    "sip.payload.0.type": "application/sdp",
    "sip.payload.0.content": "v=0",
    "sip.payload": '[{"type":"application/sdp","content":"v=0"}]',
    "sip.headers": '{"X-Account":"42","Method":"of a header"}',
    "sip.headers.x-account": "42",
    "sip.X-Account": "42",
    "sip.headers.Method": "of a header",
    "env_vars.SALES": "+14155550177",
    "env_vars.RETRIES": "3",
    "env_vars.DEBUG": "false",
    "defaults.recognizer.language": "en-US",
    "sip.payload.1.type": None,
    "sip.payload.type": None,
    "sip.uri.host": None,
    "env_vars.OTHER": None,
}


def as_placeholder(value: object) -> str:
    return json.dumps(value, separators=(",", ":")) if isinstance(value, dict) else str(value)


@pytest.mark.parametrize(
    ("name", "value"), [*((name, as_placeholder(one)) for name, one in CALL_HOOK.items()), *PARTS.items()]
)
def test_every_member_of_the_call_hook_is_a_fact_of_the_new_call(name: str, value: str | None) -> None:
    assert facts_of(CallHook.model_validate(CALL_HOOK)).fact(name) == value


OF_ONE_HOOK = {"call_sid", "sip_status", "sip_reason", "call_status"}


@pytest.mark.parametrize("name", [*sorted(CALL_HOOK.keys() - OF_ONE_HOOK), *PARTS])
def test_what_only_the_first_webhook_has_is_known_in_every_later_hook(name: str) -> None:
    later = CallFacts({"call_sid": "d2515c3b"}, lambda: CALL_HOOK)
    assert later.fact(name) == facts_of(CallHook.model_validate(CALL_HOOK)).fact(name)


def test_every_member_of_the_call_hook_is_in_the_event_or_in_an_object_of_its_body() -> None:
    event = normalise(CallHook.model_validate(CALL_HOOK), Request("POST", "/webhooks/call"), NOW)
    shown = {event.call_id, event.direction, event.from_, event.to, event.status, *event.details.values()}
    assert {name for name, value in CALL_HOOK.items() if not isinstance(value, dict) and value not in shown} == set()


@pytest.mark.parametrize("name", ["sip.X-Account", "sip.x-account", "sip.X-ACCOUNT"])
def test_header_names_are_case_insensitive(name: str) -> None:
    assert CallFacts(FIRST).fact(name) == "42"
    assert CallFacts(FIRST).fact("sip.count") == "3"
    assert CallFacts({"sip": {"headers": [1]}}).fact(name) is None


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("order", "order"), ("ORDER", "order"), ("Order", "order"), ("orderId", "order_id"), ("orderID", "order_i_d"),
        ("OrderID", "order_i_d"), ("orderId-x", "orderid_x"), ("Order-Id", "order_id"), ("order_id", "order_id"),
        ("ORDER_ID", "order_id"), ("_order", "order"), ("__x__", "x"), ("x--y", "x_y"), ("order.id", "order_id"),
        ("camelCase.with.dots", "camelcase_with_dots"), ("maskedITN", "masked_i_t_n"), ("AB", "ab"), ("Ab", "ab"),
        ("aB", "a_b"), ("XMLHttpRequest", "x_m_l_http_request"), ("order1Id", "order1_id"), ("1order", "1order"),
        ("ordnungsNummer2Teil", "ordnungs_nummer2_teil"), ("X-Account-Id", "x_account_id"),
        ("\u00fcber_Fall", "ber_fall"), ("\u00dcber", "ber"), ("Fall_\u00fcber", "fall_ber"),
        ("stra\u00dfeNr", "stra_e_nr"),
        ("\u00c9tatCivil", "tat_civil"), ("\u6ce8\u6587Id", "id"), ("\u05e9\u05dcId", "id"), ("\u65e5\u672c", ""),
        ("\u0130d", "i_d"), ("Kelvin\u212a", "kelvink"),
    ],
)  # fmt: skip
def test_customer_data_is_found_under_every_spelling_of_its_key(key: str, sent: str) -> None:
    """The spellings are the results of npm's `to-snake-case` 1.0.0."""
    for data in ({"customerData": {key: "7"}}, {"customerdata": {key: "7"}}, {"customerdata": {sent: "7"}}):
        assert CallFacts(data).fact(f"customerData.{key}") == "7"
    assert CallFacts({"customerData": {"other": "8", key: "7"}}).fact(f"customerData.{sent}") == "7"
    assert CallFacts({"customerdata": {"other": "8"}}).fact(f"customerData.{key}") is None


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("order id", "order_id"), ("Order Id", "order_id"), ("userName Id", "username_id"), ("order/Id", "order_id"),
        ("order$Id", "order_id"), ("a\u00a0b", "a_b"), ("a\u200bB", "a_b"), ("\U0001f600Id", "id"),
        ("ID\U0001f600x", "id_x"),
        ("order\nid", "order_id"), ("a\x1cB", "a_b"), ("order:id", "order_id"), ("\u0391\u03a3", ""), ("", ""),
    ],
)  # fmt: skip
def test_snake_case_follows_npm_for_keys_that_no_placeholder_can_name(key: str, sent: str) -> None:
    assert snake_case(key) == sent


def test_a_key_of_customer_data_as_written_wins_over_other_spellings() -> None:
    fact = CallFacts({"customerData": {"orderId": "7", "order_id": "8", "ORDER_ID": "9"}}).fact
    assert [fact(f"customerData.{key}") for key in ("orderId", "order_id", "ORDER_ID")] == ["7", "8", "9"]


def test_customer_data_can_be_nested_in_objects_and_lists() -> None:
    tagged = {"Order": {"lineItems": [{"sku": "A"}, {"sku": 5}], "a.b": {"c": True}}, "order.id": "7", "order": "flat"}
    fact = CallFacts({"customerData": tagged}).fact
    assert [fact(f"customerData.{path}") for path in ("Order.lineItems.1.sku", "Order.a.b.c", "order.id", "order")] == [
        "5", "true", "7", "flat",
    ]  # fmt: skip
    in_snake_case = {"order": {"line_items": [{"sku": "A"}, {"sku": 5}]}}
    assert CallFacts({"customerdata": in_snake_case}).fact("customerData.Order.lineItems.1.sku") == "5"
    older_server = {"order": {"line_items": {"0": {"sku": "A"}}}}
    assert CallFacts({"customerdata": older_server}).fact("customerData.Order.lineItems.0.sku") == "A"
    for path in ("Order", "Order.lineItems", "Order.lineItems.2.sku", "Order.lineItems.x", "Order.lineItems.0.sku.x"):
        assert fact(f"customerData.{path}") is None


@pytest.mark.parametrize("name", ["from", "to", "caller_id"])
def test_a_party_is_decoded_in_every_hook(name: str) -> None:
    assert CallFacts({name: "%2B14155550150"}).fact(name) == "+14155550150"
    assert CallFacts({name: "x%40evil.example"}).fact(name) == "x%40evil.example"
    assert CallFacts({name: 4155550150}).fact(name) == "4155550150"
    if name != "caller_id":
        assert CallFacts({}, lambda: {name: "21%23"}).fact(name) == "21#"


@pytest.mark.parametrize(
    ("kind", "default", "given", "value"),
    [
        ("string", "a", None, "a"),
        ("string", "a", "", "a"),
        ("string", "a", "b", "b"),
        ("string", "a", 5, "5"),
        ("string", "a", True, "a"),
        ("string", "a", ["b"], "a"),
        ("number", 5, "7", 7),
        ("number", 5, 7, 7),
        ("number", 5, "2.5", 2.5),
        ("number", 5, "seven", 5),
        ("number", 5, True, 5),
        ("number", 5, "1e400", 5),
        ("number", 5, "nan", 5),
        ("number", 5, "1e16", 5),
        ("boolean", False, "true", True),
        ("boolean", True, False, False),
        ("boolean", False, 1, True),
        ("boolean", True, "maybe", True),
    ],
)
def test_a_variable_has_its_declared_type_or_its_default(kind: str, default: str, given: object, value: object) -> None:
    read = Variable(kind, default, {}).value_of(given)
    assert read == value
    assert isinstance(read, type(value))


def test_a_variable_is_one_of_its_choices_or_its_default() -> None:
    voice = Variable("string", "MALE", {"enum": ["MALE", "FEMALE"]})
    assert [voice.value_of(given) for given in ("FEMALE", "OTHER", None)] == ["FEMALE", "MALE", "MALE"]
