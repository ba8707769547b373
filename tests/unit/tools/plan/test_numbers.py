"""Numbers in a plan as people paste them: prepared, reported or noted by `callhooks plan check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks_tools.cli import app
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file
from typer.testing import CliRunner

from tests.support import NOW
from tests.unit.tools.plan.test_builder import problems_of

PLAN = {
    "variables": {"SALES": {"type": "string", "description": "Sales", "default": "+14155550100"}},
    "routes": [{"to": "+14155551234", "flow": "main"}, {"flow": "sorry"}],
    "fallback": "sorry",
    "flows": {
        "main": [{"verb": "dial", "target": [{"type": "phone", "number": "+14155550100"}]}],
        "sorry": [{"verb": "hangup"}],
    },
}


@pytest.fixture
def plan_file(tmp_path: Path) -> Path:
    return tmp_path / "call_plan.yaml"


def written(file: Path, **members: object) -> Path:
    """Write a plan; JSON is YAML, and `ensure_ascii=False` keeps the pasted characters."""
    file.write_text(json.dumps({**PLAN, **members}, ensure_ascii=False, indent=1), "utf-8")
    return file


def with_route(file: Path, **conditions: object) -> Path:
    return written(file, routes=[{**conditions, "flow": "main"}, {"flow": "sorry"}])


def with_verb(file: Path, default: object = "+14155550100", **members: object) -> Path:
    verb = {"verb": "dial", "target": [{"type": "phone", "number": "+14155550100"}], **members}
    variables = {"SALES": {"type": "string", "description": "Sales", "default": default}}
    return written(file, variables=variables, flows={"main": [verb], "sorry": [{"verb": "hangup"}]})


def prepared(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(read_plan_file(file))
    return document


def check(file: Path) -> tuple[int, list[str]]:
    done = CliRunner().invoke(app, ["plan", "check", str(file)])
    return done.exit_code, [line for line in done.output.splitlines() if "public" not in line and "anyone" not in line]


@pytest.mark.parametrize(
    ("pattern", "party", "other"),
    [
        ("\u202a+14155551234\u202c", "+14155551234", "+14155551235"),
        ("\u2066+1\u00a0(415)\u2009555\u20111234\u2069", "14155551234", "1415"),
        ("\uff0b\uff11\uff14\uff11\uff15", "+1415", "+1416"),
        ("+\u0661\u0664\u0661\u0665", "+1415", "+1416"),
        ("+1\u00a0415\u200b*", "+14155551234", "+1416"),
        ("+1 415\uff0a\u200e", "+14155551234", "+1416"),
        ("+32 (0)470*", "+32470555010", "+320470555010"),
        ("+32 (0)*", "+32470555010", "+33"),
        ("+32 (0)470 55 50 10", "+32470555010", "+320470555010"),
        ("_1 415 555\u2011[2\u20135]XX", "+14155553XX".replace("X", "0"), "+14155556000"),
        ("\uff3f\uff11\uff14\uff11\uff15X.", "+14155551", "+1416"),
        ("anonymous\u200b", "anonymous", "anon"),
        ("%2B14155551234", "+14155551234", "1415"),
        ("%2B1415*", "%2B14155551234", "+1416"),
        ("%2B1%20415%20555%201234", "+14155551234", "1415"),
        ('"Sales" <sip:%2B14155551234@carrier.example>', "+14155551234", "1415"),
        ("sip:\u202a+1 415 555 1234\u202c@carrier.example", "+14155551234", "1415"),
    ],
)
@pytest.mark.parametrize("condition", ["to", "from"])
def test_a_route_matches_a_number_however_it_is_written(
    plan_file: Path, pattern: str, party: str, other: str, condition: str
) -> None:
    for patterns in (pattern, ["+49301234567", pattern]):
        plan = read_plan(read_plan_file(with_route(plan_file, **{condition: patterns})))
        assert plan.flow_for(CallFacts({condition: party}), NOW) == "main"
        assert plan.flow_for(CallFacts({condition: other}), NOW) == "sorry"


@pytest.mark.parametrize(
    ("number", "found"),
    [
        ("+1415555\u041e100", "U+041E CYRILLIC CAPITAL LETTER O"),
        ("+1415555O100", "U+004F LATIN CAPITAL LETTER O"),
        ("0470 55 5\u041e 10", "U+041E CYRILLIC CAPITAL LETTER O"),
        ("+1415555\u00b2", "U+00B2 SUPERSCRIPT TWO"),
        ("+1415\u2460", "U+2460 CIRCLED DIGIT ONE"),
        ("\u260e +14155551234", "U+260E BLACK TELEPHONE"),
        ("+14155551234,,5", "U+002C COMMA"),
        ("+1415\x07555", "U+0007 (Cc)"),
        ("+1415\ufffd555", "U+FFFD REPLACEMENT CHARACTER"),
        ("jane\u2764doe", "U+2764 HEAVY BLACK HEART"),
        ("++14155551234", "is not a number"),
    ],
)
def test_any_other_character_in_a_number_is_reported_with_line_and_code_point(
    plan_file: Path, number: str, found: str
) -> None:
    plans = [
        with_route(plan_file.with_name("1"), to=["+49301234567", number]),
        with_route(plan_file.with_name("2"), **{"from": f"{number}*"}),
        with_verb(plan_file.with_name("3"), target=[{"type": "phone", "number": number}]),
        with_verb(plan_file.with_name("4"), callerId=number),
        with_verb(plan_file.with_name("5"), callerId=f"{{from|{number}}}"),
        with_verb(plan_file.with_name("6"), number, callerId="{SALES}"),
    ]
    for file in plans:
        problems = problems_of(file, file.read_text("utf-8"))
        line = next(
            place for place, text in enumerate(file.read_text("utf-8").splitlines(), 1) if json_text(number) in text
        )
        assert [problem.line for problem in problems if found in problem.message] == [line], file.name


def json_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("_1415\u0425\u0425", "U+0425 CYRILLIC CAPITAL LETTER HA"),
        ("_+32 (0)470XXXXXX", "a zero in brackets"),
        ("+1415\u2042", "U+2042 ASTERISM"),
        ("{SALES}", "U+007B LEFT CURLY BRACKET"),
        ("<jane", "U+003C LESS-THAN SIGN"),
    ],
)
def test_a_pattern_that_matches_no_number_is_reported(plan_file: Path, pattern: str, found: str) -> None:
    file = with_route(plan_file, to=pattern)
    assert found in str(problems_of(file, file.read_text("utf-8"))[0])


@pytest.mark.parametrize(
    ("member", "pasted", "sent"),
    [
        ("callerId", "\u202a+1 (415) 555-0177\u202c", "+14155550177"),
        ("callerId", "\u202a%2B1\u2011415\u202c", "+1415"),
        ("callerId", "*31%23%2B1 415", "*31#+1415"),
        ("callerId", "{SALES|%2B1\u2011415}", "{SALES|+1415}"),
        ("callerId", "{SALES|+1\u2011415}", "{SALES|+1415}"),
        ("callerId", "\u200b+{digits} ", "+{digits}"),
        ("callerId", "anonymous\ufeff", "anonymous"),
        ("callerId", "Jane Doe", "Jane Doe"),
        ("target", [{"type": "phone", "number": "+32 (0)470 55 50 10"}], [{"type": "phone", "number": "+32470555010"}]),
        ("target", [{"type": "phone", "number": "+\u0663\u0662 {digits}"}],
         [{"type": "phone", "number": "+32{digits}"}]),
        ("target", [{"type": "sip", "sipUri": "sip:+1 (415) 555-0100@sbc.example"}],
         [{"type": "sip", "sipUri": "sip:+14155550100@sbc.example"}]),
        ("target", [{"type": "sip", "sipUri": "sip:\u200b{to}@sbc.example"}],
         [{"type": "sip", "sipUri": "sip:{to}@sbc.example"}]),
        ("target", [{"type": "user", "name": "10.01@pbx.example\u200e"}],
         [{"type": "user", "name": "10.01@pbx.example"}]),
        ("headers", {"to": "\uff11 (2)"}, {"to": "\uff11 (2)"}),
        ("tag", {"number": "\uff11 (2)"}, {"number": "\uff11 (2)"}),
    ],
)  # fmt: skip
def test_numbers_in_verbs_are_prepared_as_they_are_dialled(
    plan_file: Path, member: str, pasted: object, sent: object
) -> None:
    (verb,) = prepared(with_verb(plan_file, **{member: pasted}))["flows"]["main"]["verbs"]
    assert verb[member] == sent


def test_messages_and_keys_are_prepared_like_numbers(plan_file: Path) -> None:
    verbs = [
        {"verb": "message", "to": "+1 415\u2011555 0100", "from": "Caf\u00e9 24", "text": "\uff11 (2)"},
        {"verb": "dtmf", "dtmf": "\uff11\uff12w#"},
    ]
    file = written(plan_file, flows={"main": verbs, "sorry": [{"verb": "hangup"}]})
    message, dtmf = prepared(file)["flows"]["main"]["verbs"]
    assert (message["to"], message["from"], message["text"]) == ("+14155550100", "Caf\u00e9 24", "\uff11 (2)")
    assert dtmf["dtmf"] == "12w#"


def test_only_variables_that_are_dialled_are_read_as_numbers(plan_file: Path) -> None:
    variables = {
        name: {
            "type": "string",
            "description": name,
            "default": "+1 (415) 555-0100",
            "enum": ["+1 (415) 555-0100", "\uff11"],
        }
        for name in ("CALLED", "SPOKEN")
    }
    flow = [
        {"verb": "say", "text": "{SPOKEN} {CALLED}"},
        {"verb": "dial", "target": [{"type": "phone", "number": "{CALLED}"}]},
    ]
    file = written(plan_file, variables=variables, flows={"main": flow, "sorry": [{"verb": "hangup"}]})
    plain = {"default": "+14155550100", "enum": ["+14155550100", "1"]}
    assert prepared(file)["variables"]["CALLED"] == {**variables["CALLED"], **plain}
    assert prepared(file)["variables"]["SPOKEN"] == variables["SPOKEN"]
    plan = read_plan(read_plan_file(file))
    assert {name: variable.is_number for name, variable in plan.variables.items()} == {"CALLED": True, "SPOKEN": False}


@pytest.mark.parametrize(
    ("number", "note"),
    [
        ("0470 55 50 10", "is a national number"),
        ("(415) 555-0100", "is a national number"),
        ("555-0100", "is a national number"),
        ("\u0660\u0664\u0667\u0660\u0665\u0665\u0665", "is a national number"),
        ("+32 (0)470 55 50 10", "the zero in brackets is left out: +32470555010"),
        ("+32 0470 55 50 10", "has a 0 after the country code"),
        ("+39 (0)6 1234 5678", None),
        ("+39 06 1234 5678", None),
        ("+1 (415) 555-0100", None),
        ("14155550100", None),
        ("0014155550100", None),
        ("1001", None),
        ("112", None),
    ],
)
def test_a_number_that_is_probably_not_dialled_as_intended_is_noted(
    plan_file: Path, number: str, note: str | None
) -> None:
    file = with_verb(plan_file, target=[{"type": "phone", "number": number}])
    code, lines = check(file)
    assert (code, len(lines)) == (0, 2 if note else 1), lines
    if note:
        assert lines[0].startswith(f"{file}:{line_of(file, number)}: note: flows.main[0].target[0].number: {note}")
    code, lines = check(with_verb(plan_file, number, target=[{"type": "phone", "number": "{SALES}"}]))
    assert (code, [str(note) in line for line in lines[:-1]]) == (0, [True] if note else [])


def line_of(file: Path, text: str) -> int:
    return next(line for line, written in enumerate(file.read_text("utf-8").splitlines(), 1) if f'"{text}"' in written)


def test_a_zero_left_out_of_a_route_is_noted(plan_file: Path) -> None:
    file = with_route(plan_file, to=["+49301234567", "+32 (0)470*"])
    code, (note, _) = check(file)
    line = line_of(file, "+32 (0)470*")
    assert (code, note) == (0, f"{file}:{line}: note: routes[0].to[1]: the zero in brackets is left out: +32470")


def test_a_variable_of_the_wrong_type_for_a_number_is_noted(plan_file: Path) -> None:
    variables = {"SALES": {"type": "number", "description": "Sales", "default": 14155550100}}
    flow = [{"verb": "dial", "target": [{"type": "phone", "number": "{SALES}"}]}]
    file = written(plan_file, variables=variables, flows={"main": flow, "sorry": [{"verb": "hangup"}]})
    assert any("variables.SALES.type: is used as a phone number: with type string" in line for line in check(file)[1])


def test_a_character_that_yaml_does_not_allow_is_reported_with_its_line(plan_file: Path) -> None:
    (problem,) = problems_of(plan_file, "routes:\n- {to: '+1415\x02555', flow: main}\n")
    assert (problem.message, problem.line) == ("not YAML: contains U+0002, which YAML does not allow", 2)


@pytest.mark.parametrize("name", ["originating_sip_ip", "local_sip_address"])
def test_a_network_as_the_address_of_a_route_is_reported(plan_file: Path, name: str) -> None:
    file = with_route(plan_file, **{name: "198.51.100.0/24"})
    assert "must be an address or its beginning" in str(problems_of(file, file.read_text("utf-8"))[0])
