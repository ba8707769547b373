"""Facts of a call from a hook and from the first webhook."""

from __future__ import annotations

from collections.abc import Mapping
from unittest.mock import Mock

import pytest
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.plan import Variable

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


@pytest.mark.parametrize("name", ["sip.X-Account", "sip.x-account", "sip.X-ACCOUNT"])
def test_header_names_are_case_insensitive(name: str) -> None:
    assert CallFacts(FIRST).fact(name) == "42"
    assert CallFacts(FIRST).fact("sip.count") == "3"
    assert CallFacts({"sip": {"headers": [1]}}).fact(name) is None


@pytest.mark.parametrize(
    ("key", "sent"),
    [("orderId", "order_id"), ("Order-Id", "order_id"), ("order.id", "order_id"), ("order id", "order_id"),
     ("maskedITN", "masked_i_t_n"), ("order", "order")],
)  # fmt: skip
def test_customer_data_is_found_in_both_spellings(key: str, sent: str) -> None:
    assert CallFacts({"customerData": {key: "7"}}).fact(f"customerData.{key}") == "7"
    assert CallFacts({"customerdata": {key: "7"}}).fact(f"customerData.{key}") == "7"
    assert CallFacts({"customerdata": {sent: "7"}}).fact(f"customerData.{key}") == "7"


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
