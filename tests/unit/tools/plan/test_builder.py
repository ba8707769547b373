"""Check and preparation of a call plan, as the build does it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.call_signature import call_signature
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks.providers.jambonz.plan.plan import HOOK, Links, Turn
from callhooks_tools.providers.jambonz.plan.builder import RESULTS, read_plan_file, write_package
from callhooks_tools.providers.jambonz.plan.document import PlanProblem, PlanProblems
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile

from tests.support import NOW

PLAN = """
routes:
  - {to: "+14155551234", flow: sales}
  - {flow: sorry}
fallback: sorry
flows:
  sales: [{verb: dial, target: [{type: phone, number: "+14155550100"}], next: {busy: sorry}}]
  sorry: [{verb: say, text: Sorry}, {verb: hangup}]
"""


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    return tmp_path / "call_plan.yaml"


def prepared(plan_file: Path, text: str = PLAN, profile: Profile | None = None) -> dict[str, Any]:
    plan_file.write_text(text, "utf-8")
    document: dict[str, Any] = json.loads(read_plan_file(plan_file, profile))
    return document


def problems_of(plan_file: Path, text: str, profile: Profile | None = None) -> tuple[PlanProblem, ...]:
    with pytest.raises(PlanProblems) as problems:
        prepared(plan_file, text, profile)
    return problems.value.problems


def messages(plan_file: Path, text: str) -> list[str]:
    return [str(problem) for problem in problems_of(plan_file, text)]


def assert_reported(plan_file: Path, text: str, problem: str) -> None:
    problems = messages(plan_file, text)
    assert any(problem in line for line in problems), problems


def flow(verbs: str, more: str = "") -> str:
    """A plan whose flow `main` has these verbs."""
    return f"{more}\nroutes: [{{flow: main}}]\nfallback: sorry\nflows:\n  sorry: [{{verb: hangup}}]\n  main:\n{verbs}\n"


def test_a_plan_is_prepared_as_the_functions_read_it(plan_file: Path, tmp_path: Path) -> None:
    plan_file.write_text(PLAN, "utf-8")
    target = write_package(read_plan_file(plan_file), tmp_path)
    assert target.with_name("__init__.py").exists()
    plan = read_plan(target.read_text("utf-8"))
    assert plan.flow_for(CallFacts({"to": "14155551234"}), NOW) == "sales"
    assert plan.flow_for(CallFacts({"to": "14155550000"}), NOW) == "sorry"


def test_the_prepared_verbs_are_as_written_without_defaults(plan_file: Path) -> None:
    assert prepared(plan_file) == prepared(plan_file), "the same bytes each time"
    (verb,) = prepared(plan_file)["flows"]["sales"]["verbs"]
    assert verb.pop("actionHook")[HOOK][:2] == ["flows", "sales"]
    assert verb == {"verb": "dial", "target": [{"type": "phone", "number": "+14155550100"}]}


@pytest.mark.parametrize(
    ("written", "instead", "problem"),
    [
        ("text: Sorry", "txt: Sorry", "flows.sorry[0].txt: "),
        ("{verb: hangup}", "{verb: pause, length: '1'}", "flows.sorry[1].length: must be a number, not text"),
        ("verb: say", "verb: sya", "flows.sorry[0]: unknown verb 'sya'; did you mean 'say'?"),
        ("verb: say, ", "", "flows.sorry[0]: "),
        ("type: phone, ", "", "flows.sales[0].target[0].type: "),
        ("type: phone", "type: fax", "flows.sales[0].target[0].type: "),
        ("flow: sales", "flow: sale", "routes[0].flow: there is no flow 'sale'; did you mean 'sales'?"),
        ("flow: sales", "flow: 5", "routes[0].flow: there is no flow 5"),
        ("fallback: sorry", "fallback: sory", "fallback: there is no flow 'sory'; did you mean 'sorry'?"),
        ("fallback: sorry", "", "fallback: is missing"),
        ("fallback: sorry", "fallback: sorry\nroute: 1", "route: unknown member; did you mean 'routes'?"),
        ('to: "+14155551234"', "until: 1", "routes[0].until: unknown member"),
        ('to: "+14155551234", ', "", "routes[0]: takes every call, so no later route is reached"),
        ("- {flow: sorry}", "", "routes[0]: the last route must take every call"),
        ('to: "+14155551234"', "to: []", "routes[0].to: is empty: write a number"),
        ('to: "+14155551234"', "to: 0301234567", "routes[0].to: must be a number in quotes, a pattern"),
        ('to: "+14155551234"', 'to: "+1*5"', "routes[0].to: '+1*5': * is allowed only at the end"),
        ('to: "+14155551234"', 'to: "_12Y"', "routes[0].to: '_12Y' is not a dial pattern"),
        ('to: "+14155551234"', 'to: "_1.2"', "routes[0].to: '_1.2' is not a dial pattern"),
        ('to: "+14155551234"', "during: office", "routes[0].during: there is no calendar 'office'"),
        ('to: "+14155551234"', "trunk: ''", "routes[0].trunk: must be a string"),
        ('to: "+14155551234"', "header: sales", "routes[0].header: must be a mapping"),
        ('to: "+14155551234"', "header: {'X Y': a}", "routes[0].header.X Y: is not a valid name of a SIP header"),
        ("- {flow: sorry}", "- 5", "routes[1]: must be a mapping"),
        ("fallback: sorry", "fallback: sales",
         "fallback: the flow 'sales' must work while everything else is broken: remove dial"),
        ("text: Sorry", 'text: "Sorry {from}"',
         "fallback: the flow 'sorry' must work while everything else is broken: remove the placeholders"),
        ('to: "+14155551234"', 'to: "+*"', "routes[0].to: '+*' matches no number"),
        ("text: Sorry", "text: Sorry, loop: .inf", "flows.sorry[0].loop: "),
        ("flows:", "flows:\n  [a]: 1", "flows: a key must be a plain text"),
        ('to: "+14155551234"', "direction: sideways", "routes[0].direction: must be inbound or outbound"),
        ("[{verb: say, text: Sorry}, {verb: hangup}]", "[]", "flows.sorry: has no verbs"),
        ("[{verb: say, text: Sorry}, {verb: hangup}]", "5", "flows.sorry: must be a list of verbs"),
        *(
            ("[{verb: say, text: Sorry}, {verb: hangup}]", f"{{{instead}}}", f"flows.sorry{problem}")
            for instead, problem in (
                ("counts_as: voicemial, verbs: [{verb: hangup}]",
                 f".counts_as: must be one of {', '.join(RESULTS)}; did you mean 'voicemail'?"),
                ("counts_as: in_progress, verbs: [{verb: hangup}]", ".counts_as: must be one of reached, voicemail, "),
                ("counts_as: [voicemail], verbs: [{verb: hangup}]", ".counts_as: must be one of reached, voicemail, "),
                ("counts_as:, verbs: [{verb: hangup}]", ".counts_as: must be one of reached, voicemail, "),
                ("count_as: voicemail, verbs: [{verb: hangup}]",
                 ".count_as: unknown member; did you mean 'counts_as'?"),
                ("counts_as: voicemail", ": must be a list of verbs, or a mapping with counts_as and verbs"),
                ("verbs: []", ": has no verbs"),
                ("verbs: [{verb: hangup}, {verb: sya}]", "[1]: unknown verb 'sya'"),
            )
        ),
        ("{verb: say, text: Sorry}", "say", "flows.sorry[0]: must be a verb"),
        ("  sorry:", "  sales: [{verb: hangup}]\n  sorry:", "flows: duplicate key 'sales'"),
        ("  sorry:", "  end: [{verb: hangup}]\n  sorry:", "flows.end: 'end' is not a valid flow name"),
        ("flows:", "flows: [", "not YAML: "),
        ("text: Sorry", "text: &a [*a]", "flows.sorry[0].text[0]: contains itself"),
        ("text: Sorry}", "text: Sorry}, {verb: gather, input: [digits], next: end}",
         "everything else is broken: remove next"),
        ("{verb: hangup}", "{verb: play, url: 'https://a.example/b', actionHook: events}",
         "everything else is broken: remove next"),
        ('to: "+14155551234"', 'to: "+1415[2-5]XX"', "looks like a dial pattern: begin it with _"),
        ('to: "+14155551234"', "during: []", "routes[0].during: is empty: name at least one calendar"),
        ("flow: sales", "direction: inbound", "routes[0]: has no flow"),
        ("next: {busy: sorry}", "next: []", "flows.sales[0].next: must be the name of a flow, end, continue"),
        ("text: Sorry", "text: Sorry, next: end", "flows.sorry[0].next: say does not report back"),
        ("text: Sorry", 'text: "Hello {caller-name}"', "'{caller-name}' is not a valid placeholder"),
        ("text: Sorry", 'text: "Hello {from"', "'{from' is not a valid placeholder"),
        ("next: {busy: sorry}", "tag: {'@hook': 1}", "the key @hook is not allowed"),
        ("type: phone,", "<<: {type: phone},", "the key << is not allowed"),
        ("text: Sorry", "text: !!bool maybe", "flows.sorry[0].text: not YAML"),
        ("text: Sorry", f"text: 0x{'f' * 6000}", "flows.sorry[0].text: the number is too large"),
        ("{verb: say, text: Sorry}", "{verb: say, text: Press [1]}", "{ } [ or ] needs quotes"),
        ("next: {busy: sorry}", "next: {busi: sorry}", "did you mean 'busy'?"),
        ("next: {busy: sorry}", "next: {busy: sory}",
         "flows.sales[0].next.busy: there is no flow 'sory'; did you mean"),
        ("next: {busy: sorry}", "next: {busy: {repeat: 2}}", "flows.sales[0].next.busy: needs then"),
        ("next: {busy: sorry}", "next: {busy: {repeat: 99, then: end}}",
         "flows.sales[0].next.busy.repeat: must be a number"),
        ("next: {busy: sorry}", "next: {busy: {repeat: 1, thn: end}}", "unknown member; did you mean 'then'?"),
        ("next: {busy: sorry}", "next: {busy: {flow: sorry}}",
         "flows.sales[0].next.busy: must be the name of a flow, end, continue"),
        ("next: {busy: sorry}", "next: {busy: [{to: '5', flow: sorry}]}", "the last route must take every call"),
        ("next: {busy: sorry}", "next: sorry, actionHook: sorry", "next is another name for actionHook"),
        ("next: {busy: sorry}", "actionHook: /dialled",
         "flows.sales[0].actionHook: must be the name of a flow or a whole URL"),
        ("next: {busy: sorry}", "dtmfHook: sorry",
         "flows.sales[0].dtmfHook: jambonz ignores the response to this hook"),
        ("next: {busy: sorry}", "confirmHook: sales", "leads to 'sales', but jambonz does not accept dial here"),
        ("next: {busy: sorry}", "id: 'a b', next: end", "flows.sales[0].id: must consist of letters"),
        ("fallback: sorry", "fallback: sorry\njambonz: 0.8", "jambonz: must be one of '0.9', '11'"),
        ("fallback: sorry", "fallback: sorry\npython: flows.py", "python: flows.py: FileNotFoundError"),
    ],
)  # fmt: skip
def test_each_fault_is_reported_with_its_place(plan_file: Path, written: str, instead: str, problem: str) -> None:
    assert written in PLAN
    assert_reported(plan_file, PLAN.replace(written, instead, 1), problem)


@pytest.mark.parametrize(
    ("phrases", "problem"),
    [
        ('{"…!": sorry}', "next.speech.…!: '…!' never matches: it has no letter and no digit"),
        ('{"ــ": sorry}', "'ــ' never matches: it has no letter and no digit"),
        ('{"{caller_name}": sorry}', "'{caller_name}' is compared as written: a phrase has no placeholders"),
        ("{Sales: main, sales: sorry}", "speech.sales: 'sales' never matches: 'Sales' comes first and is the same"),
        ('{"१": main, "1": sorry}', "'1' never matches: '१' comes first and is the same phrase; remove one"),
        ("{order: main, new order: sorry}", "'order' comes first and is part of it; move the longer phrase up"),
        ('{"要": main, "不要": sorry}', "'不要' never matches: '要' comes first and is part of it"),
        ('{"고객": main, "고객센터": sorry}', "'고객센터' never matches: '고객' comes first and is part of it"),
        ("{sales: yes}", "or a list of routes; put yes, no, on and off in quotes"),
    ],
)  # fmt: skip
def test_a_phrase_that_never_matches_is_reported(plan_file: Path, phrases: str, problem: str) -> None:
    text = flow(f"    - verb: gather\n      next:\n        speech: {phrases}")
    (reported,) = problems_of(plan_file, text)
    assert problem in str(reported)
    assert reported.line == text.splitlines().index(f"        speech: {phrases}") + 1


@pytest.mark.parametrize(
    "phrases",
    [
        *("{new order: main, order: sorry}", "{order: main, orders: sorry}", '{"네": main, "네트": sorry}'),
        '{"不要": main, "要": sorry}',
    ],
)
def test_phrases_that_can_each_match_are_accepted(plan_file: Path, phrases: str) -> None:
    assert prepared(plan_file, flow(f"    - {{verb: gather, input: [speech], next: {{speech: {phrases}}}}}"))


def test_a_fault_is_reported_with_its_line(plan_file: Path) -> None:
    (problem,) = problems_of(plan_file, PLAN.replace("text: Sorry", "text: Sorry, loup: 2"))
    assert problem.line == PLAN.splitlines().index("  sorry: [{verb: say, text: Sorry}, {verb: hangup}]") + 1
    assert "loup" in str(problem)
    assert "did you mean 'loop'?" in str(problem)


def test_all_faults_are_reported_at_once_in_the_order_of_lines(plan_file: Path) -> None:
    text = PLAN.replace("text: Sorry", "txt: Sorry").replace("flow: sales", "flow: sale")
    problems = problems_of(plan_file, text)
    assert len(problems) >= 2
    assert [problem.line for problem in problems] == sorted(problem.line or 0 for problem in problems)


def test_a_file_without_a_mapping_or_not_in_utf_8_is_reported(plan_file: Path) -> None:
    for text in ("", "[]", "just text"):
        assert messages(plan_file, text) == ["the plan must be a mapping with routes, flows and fallback"]
    plan_file.write_bytes(b"\xff")
    with pytest.raises(PlanProblems, match="not UTF-8"):
        read_plan_file(plan_file)


class TestVerbs:
    def test_may_be_in_the_short_form(self, plan_file: Path) -> None:
        text = flow(
            "    - say: {text: Hello}\n    - gather: {input: [digits], next: {timeout: end}}\n    - {hangup: {}}"
        )
        verbs = prepared(plan_file, text)["flows"]["main"]["verbs"]
        assert [verb["verb"] for verb in verbs] == ["say", "gather", "hangup"]
        assert verbs[0] == {"verb": "say", "text": "Hello"}

    def test_are_checked_for_the_version_that_the_plan_names(self, plan_file: Path) -> None:
        room = flow("    - {verb: room, name: lobby}")
        assert messages(plan_file, room)
        for written in ("11", '"11"', "10", '"10"'):
            assert prepared(plan_file, f"jambonz: {written}\n{room}")["jambonz"] == "11"
        assert prepared(plan_file, room, Profile.V11)["jambonz"] == "11"
        assert problems_of(plan_file, f"jambonz: 11\n{room}", Profile.OSS)

    def test_that_report_back_are_identified_by_id_or_content(self, plan_file: Path) -> None:
        text = flow(
            "    - {verb: gather, id: menu, input: [digits], next: end}\n"
            "    - {verb: gather, input: [digits], numDigits: 4, next: {timeout: end}}"
        )
        steps = prepared(plan_file, text)["flows"]["main"]["steps"]
        assert [step["index"] for step in steps.values()] == [0, 1]
        assert "menu" in steps
        (other,) = set(steps) - {"menu"}
        changed = prepared(plan_file, text.replace("{timeout: end}", "{timeout: sorry}"))["flows"]["main"]["steps"]
        assert other in changed, "next is not part of the content"
        changed = prepared(plan_file, text.replace("numDigits: 4", "numDigits: 5"))["flows"]["main"]["steps"]
        assert other not in changed

    def test_with_the_same_content_need_an_id(self, plan_file: Path) -> None:
        gather = "    - {verb: gather, input: [digits], next: end}\n"
        assert "is the same as an earlier verb" in messages(plan_file, flow(gather * 2))[0]


class TestPlaceholders:
    VARIABLES = (
        "variables:\n  MUSIC: {type: string, description: Music, default: 'https://media.example.com/a.mp3'}\n"
        "  SECONDS: {type: number, description: Seconds, default: 5}\n"
        "  NOBODY: {type: string, description: A number, default: ''}\n"
    )

    @pytest.mark.parametrize(
        "verb",
        [
            "{verb: say, text: 'Hello {caller_name|you}, {customerData.name}, {sip.X-Account}, {queue_position}'}",
            "{verb: play, url: '{MUSIC}'}",
            "{verb: play, url: '{MUSIC}/{digits}'}",
            "{verb: play, url: 'https://media.example.com/{digits}'}",
            "{verb: gather, input: [digits], timeout: '{SECONDS}'}",
            "{verb: dial, target: [{type: sip, sipUri: 'sip:{digits}@pbx.example.com'}]}",
            "{verb: say, text: '<speak><say-as interpret-as=\"telephone\">{from}</say-as></speak>'}",
            "{verb: say, text: 'A brace: {{x}}'}",
            "{verb: say, text: '{customerData.\u00fcber_Fall} {customerData.order.items.0}'}",
            "{verb: dial, callerId: '{from}', target: [{type: phone, number: '+1 {digits}'}]}",
            "{verb: dial, target: [{type: phone, number: '{NOBODY}'}, {type: user, name: '{to}@pbx.example.com'}]}",
        ],
    )
    def test_may_use_variables_facts_headers_and_tags(self, plan_file: Path, verb: str) -> None:
        prepared(plan_file, flow(f"    - {verb}", self.VARIABLES))

    @pytest.mark.parametrize(
        ("verb", "problem"),
        [
            ("{verb: say, text: 'Hello {caler_name}'}", "placeholder {caler_name}; did you mean 'caller_name'?"),
            ("{verb: say, text: 'Hello {MUSICK}'}", "unknown placeholder {MUSICK}; did you mean 'MUSIC'?"),
            ("{verb: say, text: '{from:shouted}'}", "unknown form; write {from:spelled}"),
            *((f"{{verb: play, url: '{url}'}}", "must not choose a host") for url in (
                "{digits}", "https://{digits}.example.com/", "{MUSIC}{digits}", "{MUSIC}://{digits}/a",
                "{MUSIC}@{digits}/a", "//{digits}/a", " https://{digits}/a", "file://{digits}/a",
            )),
            ("{verb: config, recognizer: {vendor: x, azureServiceEndpoint: '{sip.X-H}'}}", "must not choose a host"),
            ("{verb: dial, target: [{type: sip, sipUri: 'sip:{to}'}]}", "must not choose a host"),
            ("{verb: dial, target: [{type: sip, sipUri: 'sip:a@{speech}'}]}", "must not choose a host"),
            ("{verb: gather, input: [digits], actionHook: 'https://{to}/x'}", "must not choose a host"),
            ("{verb: say, text: '<speak><audio src=\"{digits}\"/></speak>'}", "must not be inside a tag"),
            ("{verb: gather, input: [digits], timeout: '{MUSIC}'}", "flows.main[0].timeout: "),
            ("{verb: gather, input: [digits], timeout: '{digits}'}", "flows.main[0].timeout: "),
            ("{verb: gather, input: [digits], next: {timeout: {repeat: 1, say: '{x}', then: end}}}",
             "unknown placeholder {x}"),
            ("{verb: dial, target: [{type: phone, number: '{digits}x'}]}",
             "target[0].number: '{digits}x' can never be a number"),
            ("{verb: dial, callerId: '{MUSIC}', target: [{type: phone, number: '+14155550100'}]}",
             "callerId: must be a number, but {MUSIC} can be 'https://media.example.com/a.mp3'"),
            ("{verb: dial, target: [{type: phone, number: '{NOBODY}', colour: red}]}", "colour: unknown member"),
        ],
    )  # fmt: skip
    def test_with_faults_are_reported(self, plan_file: Path, verb: str, problem: str) -> None:
        assert_reported(plan_file, flow(f"    - {verb}", self.VARIABLES), problem)


class TestVariables:
    @pytest.mark.parametrize(
        ("variables", "problem"),
        [
            ("[]", "variables: must be a mapping"),
            ("{A-B: {}}", "'A-B' is not a valid variable name"),
            ("{A: {type: text}}", "variables.A.type: must be one of string"),
            ("{A: {type: string}}", "variables.A.description: must be a string"),
            ("{A: {type: number, description: a}}", "variables.A: a number needs a default"),
            ("{A: {type: number, description: a, default: yes}}", "variables.A.default: must be a number"),
            ("{A: {type: number, description: a, default: .inf}}", "variables.A.default: must be a number"),
            ("{A: {type: number, description: a, default: .nan}}", "variables.A.default: must be a number"),
            ("{A: {type: string, description: a}}", "variables.A: a string needs a default"),
            ("{A: {type: string, description: a, default: }}", "variables.A.default: must be a string"),
            ("{A: {type: string, description: a, default: b, enum: }}", "variables.A.enum: must be a list"),
            ("{A: {type: string, description: a, default: c, enum: [a, b]}}",
             "variables.A.default: must be one of the values in enum"),
        ],
    )  # fmt: skip
    def test_with_faults_are_reported(self, plan_file: Path, variables: str, problem: str) -> None:
        assert_reported(plan_file, flow("    - {verb: hangup}", f"variables: {variables}\n"), problem)

    def test_may_lack_a_default_if_they_are_required(self, plan_file: Path) -> None:
        schema = "variables: {A: {type: string, description: a, required: true}}\n"
        assert prepared(plan_file, flow("    - {verb: hangup}", schema))["variables"]["A"]["required"] is True


class TestAPlanMayHave:
    @pytest.mark.parametrize(
        "fallback", ["[{say: {text: Sorry}}, {hangup: {}}]", "[{verb: answer}, {verb: say, text: 'a {{b}}'}]"]
    )
    def test_a_fallback_in_any_form(self, plan_file: Path, fallback: str) -> None:
        text = PLAN.replace("[{verb: say, text: Sorry}, {verb: hangup}]", fallback)
        assert "{{" not in json.dumps(prepared(plan_file, text)["fallback"])

    def test_an_emoji_written_as_two_escapes(self, plan_file: Path) -> None:
        text = PLAN.replace("text: Sorry", 'text: "Sorry \\ud83d\\ude00"')
        assert prepared(plan_file, text)["fallback"][0]["text"] == "Sorry \U0001f600"

    def test_outcomes_that_a_bot_defines(self, plan_file: Path) -> None:
        verb = "{verb: rasa, url: 'https://a.example/b', eventHook: {userMessage: sorry}}"
        (step,) = prepared(plan_file, flow(f"    - {verb}"))["flows"]["main"]["steps"].values()
        assert list(step["hooks"]["rasa.eventHook"]["outcomes"]) == ["usermessage"]

    def test_a_prompt_of_the_sdk_s_builder(self, plan_file: Path) -> None:
        plan_file.with_name("flows.py").write_text(
            "from jambonz_sdk.verb_builder import VerbBuilder\n"
            "def flows(): return {'main': VerbBuilder().gather(input=['digits'], say={'text': 'Press 1'})}\n",
            "utf-8",
        )
        (verb,) = prepared(plan_file, TestFlowsInPython.TEXT)["flows"]["main"]["verbs"]
        assert "verb" not in verb["say"]


@pytest.mark.parametrize(
    ("written", "counts_as"),
    [
        ("{counts_as: voicemail, verbs: [{verb: hangup}]}", "voicemail"),
        ("{verbs: [{verb: hangup}]}", None),
        ("[{verb: hangup}]", None),
        ("[{verb: dialogflow, project: p, lang: en, credentials: c}]", "self_service"),
        ("{counts_as: voicemail, verbs: [{verb: dialogflow, project: p, lang: en, credentials: c}]}", "voicemail"),
    ],
)
def test_a_flow_says_what_it_counts_as(plan_file: Path, written: str, counts_as: str | None) -> None:
    text = PLAN.replace("[{verb: say, text: Sorry}, {verb: hangup}]", written).replace("fallback: sorry", "fallback: f")
    document = prepared(plan_file, f"{text}\n  f: [{{verb: hangup}}]")
    assert document["flows"]["sorry"].get("counts_as") == counts_as
    assert read_plan(json.dumps(document)).flows["sorry"].counts_as == counts_as


def test_a_fault_in_the_long_form_of_a_flow_is_reported_with_its_line(plan_file: Path) -> None:
    text = flow(
        "    counts_as: voice\n    verbs:\n      - verb: gather\n        numDigts: 1\n"
        "      - say:\n          txt: Hello\n"
    )
    lines = {problem.place[-1]: problem.line for problem in problems_of(plan_file, text)}
    written = text.splitlines()
    for name, line in (("counts_as", "    counts_as: voice"), ("numDigts", "        numDigts: 1"),
                       ("txt", "          txt: Hello")):  # fmt: skip
        assert lines[name] == written.index(line) + 1


def test_a_fault_in_the_short_form_is_reported_with_its_line(plan_file: Path) -> None:
    text = flow("    - gather:\n        input: [digits]\n        numDigts: 1\n      next: {timeot: end}")
    lines = {problem.place[-1]: problem.line for problem in problems_of(plan_file, text)}
    written = text.splitlines()
    assert lines["numDigts"] == written.index("        numDigts: 1") + 1
    assert lines["timeot"] == written.index("      next: {timeot: end}") + 1


def test_a_plan_whose_yaml_aliases_explode_is_rejected(plan_file: Path) -> None:
    aliases = "".join(f"  - &a{level} [{', '.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 9))
    (problem,) = problems_of(plan_file, f"extra:\n  - &a0 [x, x, x, x, x, x, x, x, x]\n{aliases}")
    assert "parts" in str(problem)


CONFIRMED = "{verb: dial, target: [{type: phone, number: '1'}], confirmHook: confirm}"


class TestHooks:
    @pytest.mark.parametrize(
        ("verb", "member", "leads_to"),
        [
            ("{verb: gather, input: [digits], next: end}", "actionHook", "gather.actionHook"),
            ("{verb: play, url: 'https://a.example/b', next: {failed: end}}", "actionHook", "play.actionHook"),
            ("{verb: stream, url: 'wss://a.example/b', next: {digits: {'#': end}}}", "actionHook", "listen.actionHook"),
            ("{verb: enqueue, name: q, waitHook: music}", "waitHook", "enqueue.waitHook"),
            ("{verb: enqueue, name: q, waitHook: end}", "waitHook", "enqueue.waitHook"),
            ("{verb: dequeue, name: q, next: {timeout: end}}", "actionHook", "dequeue.actionHook"),
            ("{verb: conference, name: c, waitHook: music, next: end}", "actionHook", "conference.actionHook"),
            ("{verb: conference, name: c, enterHook: music}", "enterHook", "conference.enterHook"),
            ("{verb: transcribe, next: {speech: {help: end}}}", "transcriptionHook", "transcribe.transcriptionHook"),
            ("{verb: 'sip:refer', referTo: 'sip:a@b.example', next: end}", "actionHook", "sip:refer.actionHook"),
            ("{verb: 'sip:request', method: INFO, next: {failed: end}}", "actionHook", "sip:request.actionHook"),
            ("{verb: message, to: '1', from: '2', next: {no carriers: end}}", "actionHook", "message.actionHook"),
            ("{verb: redirect, next: music}", "actionHook", "redirect.actionHook"),
            ("{verb: config, sipRequestWithinDialogHook: {info: end}}", "sipRequestWithinDialogHook",
             "config.sipRequestWithinDialogHook"),
            ("{verb: config, referHook: music}", "referHook", "config.referHook"),
            ("{verb: llm, vendor: openai, auth: {apiKey: k}, llmOptions: {response_create: {}}, next: {failed: end}}",
             "actionHook", "llm.actionHook"),
            ("{verb: ultravox_s2s, auth: {apiKey: k}, llmOptions: {}, next: {completed: end}}", "actionHook",
             "llm.actionHook"),
            ("{verb: dial, target: [{type: user, name: a}], onHoldHook: music}", "onHoldHook", "dial.onHoldHook"),
        ],
    )  # fmt: skip
    def test_lead_into_the_plan(self, plan_file: Path, verb: str, member: str, leads_to: str) -> None:
        text = flow(f"    - {verb}\n  music: [{{verb: play, url: 'https://a.example/b.mp3'}}]")
        main = prepared(plan_file, text)["flows"]["main"]
        ((step_id, step),) = main["steps"].items()
        assert main["verbs"][0][member] == {HOOK: ["flows", "main", step_id, leads_to]}
        assert leads_to in step["hooks"]

    def test_inside_a_verb_also_lead_into_the_plan(self, plan_file: Path) -> None:
        text = flow(
            "    - verb: config\n      bargeIn: {enable: true, input: [digits], next: {digits: {'0': sorry}}}\n"
            "      amd: {next: {machine: end}}\n"
            "    - verb: dial\n      target: [{type: phone, number: '1', confirmHook: confirm}]\n"
            "      amd: {actionHook: {human: continue}}\n"
            "  confirm: [{verb: say, text: Press}]"
        )
        main = prepared(plan_file, text)["flows"]["main"]
        hooks = [set(step["hooks"]) for step in main["steps"].values()]
        assert hooks == [{"config.bargeIn.actionHook", "amd.actionHook"}, {"dial.confirmHook", "amd.actionHook"}]
        assert set(main["verbs"][1]["target"][0]["confirmHook"]) == {"url", "method"}

    def test_may_store_events_or_run_tools(self, plan_file: Path) -> None:
        text = flow(
            "    - {verb: conference, name: c, statusEvents: [join], statusHook: events}\n"
            "    - {verb: gather, input: [speech], partialResultHook: events, next: end}\n"
            "    - {verb: ultravox_s2s, auth: {apiKey: k}, llmOptions: {}, toolHook: tools, eventHook: events}"
        )
        plan = read_plan(json.dumps(prepared(plan_file, text)))
        links = Links("https://hooks.example.com", "a b", 4)
        conference, gather, llm = plan.answer(Turn("main"), CallFacts({}), links, NOW).verbs
        assert conference["statusHook"] == (
            "https://hooks.example.com/webhooks/call/events?call=a+b&hook=conference.statusHook#rc=2&rp=all"
        )
        assert "hook=gather.partialResultHook#" in str(gather["partialResultHook"])
        assert llm["toolHook"] == "https://hooks.example.com/webhooks/tool/ultravox?call=a+b#rc=2&rp=all"
        assert "hook=llm.eventHook#" in str(llm["eventHook"])

    def test_sign_the_call_if_their_body_does_not_identify_it(self, plan_file: Path) -> None:
        text = flow(
            "    - {verb: gather, input: [digits], next: end}\n"
            "    - {verb: ultravox_s2s, auth: {apiKey: k}, llmOptions: {}, toolHook: tools, eventHook: events}\n"
            "    - {verb: lex, botId: a, botAlias: b, credentials: {}, region: us-east-1, eventHook: {intent: end}}"
        )
        plan = read_plan(json.dumps(prepared(plan_file, text)))
        verbs = plan.answer(
            Turn("main"), CallFacts({}), Links("https://hooks.example.com", "a b", key="s3cr3t"), NOW
        ).verbs
        urls = [str(verb[hook]) for verb in verbs for hook in ("actionHook", "toolHook", "eventHook") if hook in verb]
        signed = f"call=a+b&sig={call_signature('s3cr3t', 'a b')}"
        assert [signed in url for url in urls] == [False, True, True, True]

    def test_may_be_a_url_elsewhere(self, plan_file: Path) -> None:
        text = flow("    - {verb: gather, input: [digits], actionHook: {url: 'https://a.example/b', method: POST}}")
        main = prepared(plan_file, text)["flows"]["main"]
        elsewhere = {"url": "https://a.example/b", "method": "POST"}
        assert (main["verbs"][0]["actionHook"], main["steps"]) == (elsewhere, {})

    @pytest.mark.parametrize(
        ("verb", "confirmation", "problem"),
        [
            ("{verb: enqueue, name: q, waitHook: sorry}", "",
         "leads to 'sorry', but jambonz does not accept hangup here"),
            ("{verb: conference, name: c, waitHook: end}", "", "must not end the call"),
            ("{verb: dial, target: [{type: phone, number: '1'}], onHoldHook: end}", "", "must not end the call"),
            ("{verb: enqueue, name: q, waitHook: {repeat: 2, then: end}}", "",
             "must not repeat: jambonz requests this hook again"),
            (CONFIRMED, "[{verb: gather, input: [digits], next: {digits: {'1': continue}, otherwise: end}}]",
             "must not end a call that is being confirmed"),
            (CONFIRMED, "[{verb: gather, input: [digits], next: {digits: {'1': taken}}}]\n  taken: [{verb: hangup}]",
             "leads to 'taken' while a call is being confirmed"),
        ],
    )  # fmt: skip
    def test_of_waiting_and_confirming_accept_only_the_verbs_that_jambonz_does(
        self, plan_file: Path, verb: str, confirmation: str, problem: str
    ) -> None:
        text = flow(f"    - {verb}" + (f"\n  confirm: {confirmation}" if confirmation else ""))
        assert_reported(plan_file, text, problem)


class TestFlowsInPython:
    SDK = (
        "from jambonz_sdk.verb_builder import VerbBuilder\n\n"
        "def flows():\n"
        "    greeting = VerbBuilder().say(text='Hello').gather(input=['digits'], actionHook='sorry')\n"
        "    return {'main': {'counts_as': 'voicemail', 'verbs': greeting}, 'other': [{'verb': 'hangup'}]}\n"
    )
    TEXT = "python: flows.py\nroutes: [{flow: main}]\nfallback: sorry\nflows: {sorry: [{verb: hangup}]}\n"

    def test_come_from_the_file_that_the_plan_names(self, plan_file: Path) -> None:
        plan_file.with_name("flows.py").write_text(self.SDK, "utf-8")
        flows = prepared(plan_file, self.TEXT)["flows"]
        assert [verb["verb"] for verb in flows["main"]["verbs"]] == ["say", "gather"]
        assert flows["main"]["steps"]
        assert flows["main"]["counts_as"] == "voicemail"
        assert set(flows) == {"sorry", "main", "other"}

    @pytest.mark.parametrize(
        ("source", "problem"),
        [
            ("def flows(): return {'main': [{'verb': 'sya'}]}", "flows.main[0]: unknown verb"),
            ("def flows(): return {'main': 5}", "flows.main: must be a list of verbs"),
            ("def flows(): return {'sorry': []}", "flows.sorry: is defined in the plan and in its Python file"),
            ("def flows(): raise ValueError('boo')", "python: flows.py:1: ValueError: boo"),
            ("x =", "python: flows.py: SyntaxError"),
            ("raise SystemExit", "python: flows.py:1: SystemExit: "),
            ("def flows(): raise SystemExit(0)", "python: flows.py:1: SystemExit: 0"),
            ("", "python: flows.py: ValueError: has no function flows()"),
            ("def flows(): return []", "python: flows.py: TypeError: flows() must return a dictionary"),
        ],
    )
    def test_are_checked_like_all_other_flows(self, plan_file: Path, source: str, problem: str) -> None:
        plan_file.with_name("flows.py").write_text(source, "utf-8")
        assert_reported(plan_file, self.TEXT, problem)
