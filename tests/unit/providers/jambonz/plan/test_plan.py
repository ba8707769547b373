"""Selection of the flow for a call, and plans that cannot be read."""

from __future__ import annotations

import io
import json
import sys
import time
from pathlib import Path

import pytest
from callhooks.events.call_event import canonical_party
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.loader import PlanUnavailable, installed_plan, read_plan
from callhooks.providers.jambonz.plan.patterns import TEXT_CONDITIONS, Phrase, elements_of, parse_pattern
from callhooks.providers.jambonz.plan.plan import BUILTIN_VERBS, End, Flow, Go, Links, Plan, Route, Turn
from hypothesis import given
from hypothesis import strategies as st

from tests.support import NOW

HANGUP = [{"verb": "hangup"}]


def call(**members: str) -> CallFacts:
    return CallFacts({name.removesuffix("_"): value for name, value in members.items()})


def plan_of(*routes: Route) -> Plan:
    return Plan(routes=routes, flows={route.flow: Flow(HANGUP) for route in routes}, fallback=HANGUP)


@pytest.mark.parametrize(
    ("sent", "canonical"),
    [
        ("+14155551234", "14155551234"),
        ("14155551234", "14155551234"),
        (" +1 (415) 555-1234 ", "14155551234"),
        ("sip:+14155551234@carrier.example;user=phone", "14155551234"),
        ("tel:+1-415-555-1234;ext=5", "14155551234"),
        ("SIP:Jane.Doe@example.com", "jane.doe"),
        ("Anonymous", "anonymous"),
        ("+", "+"),
        ("\u0661\u0662", "\u0661\u0662"),
        ("", ""),
    ],
)
def test_parties_are_compared_without_carrier_specific_parts(sent: str, canonical: str) -> None:
    assert canonical_party(sent) == canonical


@pytest.mark.parametrize(
    ("pattern", "party", "matches"),
    [
        ("+14155551234", "14155551234", True),
        ("+14155551234", "141555512345", False),
        ("+1415*", "14155551234", True),
        ("+1415*", "13105551234", False),
        ("+1415*", "1415", True),
        ("*", "anything", True),
        ("*", "", True),
        ("sales", "sales", True),
        ("sales", "salesman", False),
    ],
)
def test_a_pattern_matches_a_party_or_its_prefix(pattern: str, party: str, matches: bool) -> None:
    assert parse_pattern(pattern).matches(party) is matches


def test_the_first_matching_route_takes_the_call() -> None:
    plan = plan_of(
        Route("blocked", from_=(parse_pattern("anonymous"),)),
        Route("sales", to=(parse_pattern("+14155551234"), parse_pattern("+14155551235"))),
        Route("california", to=(parse_pattern("+1415*"),), direction="inbound"),
        Route("rest"),
    )
    assert plan.flow_for(call(to="+14155551234", from_="anonymous", direction="inbound"), NOW) == "blocked"
    assert plan.flow_for(call(to="14155551235", from_="+12125550187", direction="inbound"), NOW) == "sales"
    assert plan.flow_for(call(to="+14155550000", from_="+12125550187", direction="inbound"), NOW) == "california"
    assert plan.flow_for(call(to="+14155550000", from_="+12125550187", direction="outbound"), NOW) == "rest"
    assert plan.flow_for(call(to="+14155550000", from_="1", direction=" Inbound"), NOW) == "california"
    assert plan.flow_for(call(), NOW) == "rest"


@pytest.mark.parametrize(
    ("pattern", "sent", "matches"),
    [
        ("support", "support", True),
        ("support", "sales,support", True),
        ("support", "support,sales", True),
        ("support", " sales ,\tSupport ", True),
        ("support", "sales,support-2", False),
        ("supp*", "sales,support-2,billing", True),
        ("*-2", "support-2,billing", True),
        ("s*t", "sales,support", True),
        ("s*g", "sales,support", False),
        ("sales,support", "sales,support", True),
        ("sales*", "billing,sales,support", True),
        ('"sales, emea"', 'billing,"sales, emea"', True),
        ("emea", 'billing,"sales, emea"', False),
        ('emea"', 'billing,"sales, emea"', False),
        (r'"a \"b\", c"', r'billing,"a \"b\", c"', True),
        (r"c", r'billing,"a \"b\", c"', False),
        ("<sip:a,b@c.example>*", "<sip:x@c.example>;reason=busy,<sip:a,b@c.example>;reason=no", True),
        ("b@c.example>", "<sip:a,b@c.example>", False),
        ("support", 'say "hi,support', True),
        ("support", "a<b,support", True),
        ("support", r"a\,support", True),
        ("support", "", False),
        ("support", None, False),
    ],
)
def test_a_header_matches_as_a_whole_or_by_one_of_its_repeats(pattern: str, sent: str | None, matches: bool) -> None:
    headers = {} if sent is None else {"x-dept": sent}
    route = {"flow": "a", "header": {"X-Dept": [pattern]}}
    plan = read_plan(json.dumps({**PREPARED, "routes": [route, {"flow": "b"}]}))
    assert (plan.flow_for(CallFacts({"sip": {"headers": headers}}), NOW) == "a") is matches


@given(
    st.lists(
        st.text(st.characters(exclude_characters=',"<>\\'), max_size=8)
        | st.text(st.characters(exclude_characters='"\\'), max_size=8).map(lambda text: f'"{text}"'),
        min_size=1,
        max_size=6,
    )
)
def test_repeated_headers_are_split_where_they_were_joined(values: list[str]) -> None:
    assert elements_of(",".join(values)) == tuple(value.strip() if len(values) > 1 else value for value in values)


@pytest.mark.parametrize("text", ['"' * 100_001 + ",", '\\"' * 50_000 + ",a", "<," * 50_000, ",<\\" * 30_000])
def test_splitting_a_header_takes_time_in_proportion_to_its_length(text: str) -> None:
    start = time.process_time()
    assert elements_of(text)
    assert time.process_time() - start < 1


CONDITIONS = {
    "trunk": "example-carrier",
    "application": "72c5c38f",
    "account_sid": "bad98250",
    "application_sid": "72c5c38f",
    "caller_name": "Jane Doe",
    "local_sip_address": "10.0.21.7:5060",
    "originating_sip_ip": "198.51.100.10",
    "originating_sip_trunk_name": "example-carrier",
    "sbc_callid": "2b9d2f0a",
    "service_provider_sid": "2708b1b3",
    "sip.method": "INVITE",
    "sip.uri": "sip:+14155551234@10.0.21.7:5060",
}


def test_every_text_condition_has_a_case() -> None:
    assert CONDITIONS.keys() == TEXT_CONDITIONS.keys()


@pytest.mark.parametrize(("name", "value"), CONDITIONS.items())
def test_a_route_can_have_a_condition_on_a_member_of_the_call(name: str, value: str) -> None:
    sip = {"method": value, "uri": value}
    members = {"sip": sip} if name.startswith("sip.") else {TEXT_CONDITIONS[name]: value, "sip": {}}
    for patterns, flow in (([value.upper()], "a"), (["x", f"{value[:4]}*"], "a"), (["x"], "b"), (["*"], "a")):
        plan = read_plan(json.dumps({**PREPARED, "routes": [{"flow": "a", name: patterns}, {"flow": "b"}]}))
        assert plan.flow_for(CallFacts(members), NOW) == flow
        assert plan.flow_for(CallFacts({"sip": {}}), NOW) == "b", "a member that the call lacks does not match"


@pytest.mark.parametrize(
    ("sent", "matches"), [("10.0.21.7:5060", True), ("10.0.21.7", True), ("10.0.21.70:5060", False)]
)
def test_an_address_matches_with_or_without_its_port(sent: str, matches: bool) -> None:
    route = {"flow": "a", "local_sip_address": ["10.0.21.7"]}
    plan = read_plan(json.dumps({**PREPARED, "routes": [route, {"flow": "b"}]}))
    assert (plan.flow_for(CallFacts({"local_sip_address": sent, "sip": {}}), NOW) == "a") is matches


PREPARED = {
    "format": 2,
    "variables": {},
    "calendars": {},
    "routes": [{"flow": "a"}],
    "flows": {name: {"verbs": [{"verb": "hangup"}], "steps": {}} for name in "ab"},
    "fallback": [{"verb": "hangup"}],
}


@pytest.mark.parametrize(
    "broken",
    [
        *("", "[]", "null", "{}", '{"format": 2}', "[" * 100_000),
        {"format": 1},
        {"routes": []},
        {"routes": [5]},
        {"routes": [{"flow": "c"}]},
        {"routes": [{"flow": "a", "to": "+1"}]},
        {"routes": [{"flow": "a", "to": ["_oops"]}]},
        {"routes": [{"flow": "a", "during": ["office"]}]},
        {"flows": {}},
        {"flows": {"a": []}},
        {"flows": {"a": {"verbs": [], "steps": {}}}},
        {"flows": {"a": {"verbs": [{"verb": "hangup"}], "steps": {"x": {"index": 0}}}}},
        {"fallback": []},
        {"fallback": "sorry"},
        {"calendars": {"office": {"timezone": "UTC", "zone": "?", "week": [[]] * 7, "closed": [], "special": {}}}},
        {"variables": {"A": {}}},
    ],
)
def test_a_broken_plan_is_rejected(broken: str | dict[str, object]) -> None:
    assert read_plan(json.dumps(PREPARED)).flow_for(call(), NOW) == "a"
    with pytest.raises(PlanUnavailable):
        read_plan(broken if isinstance(broken, str) else json.dumps({**PREPARED, **broken}))


def test_phrases_of_a_plan_that_was_built_earlier_are_read() -> None:
    hooks = {"gather.actionHook": {"phrases": [["new order", {"flow": "a"}], ["Sales!", "end", "sales"]]}}
    flow = {"verbs": HANGUP, "steps": {"x": {"index": 0, "verb": "gather", "hooks": hooks}}}
    plan = read_plan(json.dumps({**PREPARED, "flows": {"a": flow}}))
    assert plan.flows["a"].steps["x"].hooks["gather.actionHook"].phrases == (
        (Phrase("new order", "new order"), Go("a")),
        (Phrase("Sales!", "sales"), End()),
    )


@pytest.mark.parametrize("text", [None, "{", b"\xff"])
def test_without_a_plan_every_call_gets_the_built_in_message(
    text: str | bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: io.StringIO
) -> None:
    if text is not None:
        package = tmp_path / "callhooks_plan"
        package.mkdir()
        (package / "__init__.py").touch()
        (package / "plan.json").write_bytes(text.encode() if isinstance(text, str) else text)
    monkeypatch.delitem(sys.modules, "callhooks_plan", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    plan = installed_plan()
    sys.modules.pop("callhooks_plan", None)
    verbs = plan.answer(Turn(plan.flow_for(call(), NOW)), call(), Links("", ""), NOW).verbs
    assert verbs == list(plan.fallback) == list(BUILTIN_VERBS)
    assert json.loads(log.getvalue())["level"] == "ERROR"
