"""Given a call plan as an operator writes it, what the build says to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from callhooks.plan import LAST_RESORT, CallToRoute, Verbs, read_plan
from callhooks_tools.plan_builder import PlanProblems, prepare, read_plan_file, verb_problems, write_package
from jambonz_sdk.validator import JambonzValidator

from tests.support import ROOT

PLAN = """
routes:
  - {to: "+14155551234", flow: sales}
  - {flow: sorry}
fallback: sorry
flows:
  sales: [{verb: dial, target: [{type: phone, number: "+14155550100"}]}]
  sorry: [{verb: say, text: Sorry}, {verb: hangup}]
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    return tmp_path / "call_plan.yaml"


def problems_of(plan_file: Path, text: str) -> tuple[str, ...]:
    plan_file.write_text(text, "utf-8")
    with pytest.raises(PlanProblems) as problems:
        read_plan_file(plan_file)
    return problems.value.problems


def test_a_plan_is_prepared_as_the_functions_read_it(plan_file: Path, tmp_path: Path) -> None:
    plan_file.write_text(PLAN, "utf-8")
    target = write_package(read_plan_file(plan_file), tmp_path)
    assert target.with_name("__init__.py").exists()
    plan = read_plan(target.read_text("utf-8"))
    assert plan.verbs_for(CallToRoute(to="14155551234"))[0]["verb"] == "dial"
    assert plan.verbs_for(CallToRoute(to="14155550000")) == plan.fallback


def test_the_answer_is_what_was_written_without_any_default(plan_file: Path) -> None:
    plan_file.write_text(PLAN, "utf-8")
    flows = json.loads(prepare(read_plan_file(plan_file)))["flows"]
    assert flows["sales"] == [{"verb": "dial", "target": [{"type": "phone", "number": "+14155550100"}]}]


@pytest.mark.parametrize(
    ("written", "instead", "problem"),
    [
        ("text: Sorry", "txt: Sorry", "flows.sorry[0] (say).txt: unknown member"),
        ("verb: say", "verb: sya", "flows.sorry[0]: unknown verb 'sya'; did you mean 'say'?"),
        ("verb: say, ", "", "flows.sorry[0]: has no verb; write it as jambonz does: {verb: say, text: Hello}"),
        ("type: phone, ", "", "flows.sales[0] (dial).target[0].type: field required"),
        ("type: phone", "type: fax", "flows.sales[0] (dial).target[0].type: "),
        ("flow: sales", "flow: sale", "routes[0]: there is no flow 'sale'"),
        ("fallback: sorry", "fallback: oops", "fallback: there is no flow 'oops'"),
        ("fallback: sorry", "", "fallback: field required"),
        ("fallback: sorry", "fallback: sorry\nextra: 1", "extra: unknown member"),
        ('to: "+14155551234"', "until: 1", "routes[0].until: unknown member"),
        ('to: "+14155551234", ', "", "routes[0]: takes every call, so that no later route is ever reached"),
        ("- {flow: sorry}", "", "routes: the last route must take every call"),
        ('to: "+14155551234"', "to: []", "routes[0].to: has no number"),
        ('to: "+14155551234"', "to: 0301234567", "routes[0].to: must be a number in quotes, a pattern"),
        ('to: "+14155551234"', 'to: "+1*5"', "routes[0].to: '+1*5': a * belongs at the end"),
        ('to: "+14155551234"', "to: 5", "routes[0].to: must be a number in quotes"),
        ("- {flow: sorry}", "- 5", "routes[1]: must be a mapping"),
        ("fallback: sorry", "fallback: sales", "fallback: the flow 'sales' must work when nothing else does: no dial"),
        ('to: "+14155551234"', 'to: "+*"', "routes[0].to: '+*' matches nobody"),
        ("text: Sorry", "text: Sorry, loop: .inf", "flows.sorry[0] (say): JSON has no infinite number"),
        ("flows:", "flows:\n  [a]: 1", "not YAML: a key is not a plain text"),
        ('to: "+14155551234"', "direction: sideways", "routes[0].direction: input should be 'inbound' or 'outbound'"),
        ("[{verb: say, text: Sorry}, {verb: hangup}]", "[]", "flows.sorry: has no verbs"),
        ("  sorry:", "  sales: [{verb: hangup}]\n  sorry:", "not YAML: 'sales' stands twice"),
        ("flows:", "flows: [", "not YAML: "),
    ],
)
def test_every_fault_is_told_with_its_place(plan_file: Path, written: str, instead: str, problem: str) -> None:
    assert written in PLAN
    problems = problems_of(plan_file, PLAN.replace(written, instead, 1))
    assert any(line.startswith(problem) for line in problems), problems


def test_all_faults_are_told_at_once(plan_file: Path) -> None:
    text = PLAN.replace("text: Sorry", "txt: Sorry")
    assert len(problems_of(plan_file, text.replace("flow: sales", "flow: sale"))) == 2
    assert len(problems_of(plan_file, text.replace("direction", "way").replace("flow: sales", "flw: sales"))) == 3


@pytest.mark.parametrize("text", ["", "[]", "just text"])
def test_what_is_no_plan_is_told(plan_file: Path, text: str) -> None:
    assert problems_of(plan_file, text) == ("the plan must be a mapping with routes, flows and fallback",)


def test_a_text_for_a_number_is_refused_as_jambonz_does() -> None:
    assert list(verb_problems([{"verb": "pause", "length": "1"}], "flow"))
    assert not list(verb_problems([{"verb": "pause", "length": 1.5}], "flow"))


def test_the_python_name_of_a_member_is_refused_as_jambonz_does() -> None:
    assert list(verb_problems([{"verb": "gather", "action_hook": "/x"}], "flow")) == [
        "flow[0] (gather).action_hook: unknown member"
    ]


class TestTheDefaultPlan:
    PLAN = read_plan(prepare(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml")))
    ANSWERS = (*PLAN.flows.values(), PLAN.fallback, LAST_RESORT)

    @pytest.mark.parametrize("verbs", ANSWERS)
    def test_answers_pass_jambonz_s_own_schemas(self, verbs: Verbs) -> None:
        validator = JambonzValidator()
        answer = json.loads(json.dumps(verbs))
        assert answer
        assert validator.validate_app(answer) == []
        assert [error for verb in answer for error in validator.validate_verb(verb)] == []
        assert list(verb_problems(answer, "answer")) == []

    def test_takes_the_recorded_calls(self) -> None:
        assert self.PLAN.flow_for(CallToRoute("+14155550123", "+12125550187", "inbound")) == "reception"
        assert self.PLAN.flow_for(CallToRoute("14155550199", "+12125550187", "outbound")) == "reminder"
        assert self.PLAN.flow_for(CallToRoute("+14155551234", "anonymous", "inbound")) == "no_anonymous_calls"
        assert self.PLAN.flow_for(CallToRoute()) == "not_in_service"
