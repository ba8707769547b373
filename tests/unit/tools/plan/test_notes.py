"""Notes of `callhooks plan check` on a valid plan."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from callhooks.providers.jambonz.plan.plan import Plan, Variable
from callhooks_tools.cli import app
from callhooks_tools.providers.jambonz.plan.notes import notes_on, public_numbers, undialled_values
from typer.testing import CliRunner

from tests.unit.providers.jambonz.test_action import plan_of

GATHER = "{verb: gather, input: [digits], next: %s}"


def notes(folder: Path, **flows: str) -> list[str]:
    written = "".join(f"  {name}: [{GATHER % following}]\n" for name, following in flows.items())
    text = f"routes: [{{flow: main}}]\nfallback: sorry\nflows:\n  sorry: [{{verb: hangup}}]\n{written}"
    return list(notes_on(plan_of(text, folder)))


@pytest.mark.parametrize(
    "following",
    ["main", "{timeout: main}", "{digits: {'1': end}, otherwise: main}", "{timeout: {repeat: 2, then: main}}"],
)
def test_a_loop_that_a_silent_caller_never_leaves_is_noted_once(tmp_path: Path, following: str) -> None:
    (note,) = notes(tmp_path, main=following)
    assert note == "flows.main: a silent caller never leaves this loop: main \u2192 main"
    (note,) = notes(tmp_path, main="{timeout: other}", other=following)
    assert note.endswith("main \u2192 other \u2192 main")


@pytest.mark.parametrize(
    "following",
    ["end", "continue", "{digits: main}", "{timeout: end, otherwise: main}", "{timeout: {repeat: 2, then: end}}"],
)
def test_a_loop_that_ends_is_not_noted(tmp_path: Path, following: str) -> None:
    assert notes(tmp_path, main=following) == []


def test_an_unreachable_flow_is_noted(tmp_path: Path) -> None:
    assert notes(tmp_path, main="end", lonely="end") == ["flows.lonely: no route and no hook leads to this flow"]


@pytest.mark.parametrize(
    "number",
    [
        "+14155550100", "14155550100", "4155550100", "+1 415 555-0100", "+1 (415) 555-0100", "(415) 555-0100",
        "415.555.0100", "555-0100", "0014155550100", "00 44 20 7946 0123", "+44 (0)20 7946 0123", "020 7946 0123",
        "030/1234567", "+49-30-1234567", " +14155550100 ", "+1\u00a0415\u2011555\u20110100", "\u202a+14155550100\u202c",
        "\uff0b\uff11\uff14\uff11\uff15\uff15\uff15\uff15\uff10\uff11\uff10\uff10",
        "\u0664\u0661\u0665\u0665\u0665\u0665\u0660\u0661\u0660\u0660",
        "tel:+14155550100", "TEL:+1-415-555-0100;ext=5", "+1 415 555 0100 ext. 5", "+1 415 555 0100 x5",
        "sip:+14155550100@sip.example.com", "sips:14155550100@sip.example.com;transport=tls", "sip:4155550100",
        "14155550100@sip.example.com", "+14155550100, +14155550101", "none,+14155550100", "sales|4155550100",
        "Sales: +1 415 555 0100", "call 0044 20 7946 0123 now", 14155550100, 4155550100,
    ],
)  # fmt: skip
def test_a_phone_number_as_the_default_of_a_variable_is_noted(number: str | int) -> None:
    for member, schema in (("default", {"default": number}), ("enum", {"default": "", "enum": ["", number, number]})):
        plan = Plan(routes=(), flows={}, fallback=(), variables={"SALES": Variable("string", "", schema)})
        (note,) = public_numbers(plan)
        assert str(note).startswith(f"variables.SALES.{member}: contains a phone number that anyone can read")
        assert str(number).strip() not in str(note)


@pytest.mark.parametrize(
    "text",
    [
        "", "Acme", "25", 25, 86_400_000, 3.14, True, "en-US", "1001", "911", "112", "sip:1001@pbx.example.com",
        "sip:alice@sip.example.com", "2026-12-24", "2026-12-24..2027-01-01", "192.168.100.200", "09:00-17:30",
        "https://media.example.com/20261124123/waiting.mp3", "wss://voicemail.example.com/record",
        "12345678901234567890",
        "3f9c2a74-1b1e-4f0a-9c53-0d7e2a1b6c88", "order 20261124", "#123456", "v1.2.3", "a1234567890", "{from}",
    ],
)  # fmt: skip
def test_any_other_default_is_not_noted(text: object) -> None:
    plan = Plan(routes=(), flows={}, fallback=(), variables={"X": Variable("string", "", {"default": text})})
    assert list(public_numbers(plan)) == []


def test_a_check_shows_the_line_of_a_phone_number_but_not_the_number(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(
        "variables:\n  SALES:\n    type: string\n    description: Sales\n    default: '+14155550100'\n"
        "routes: [{flow: main}]\nfallback: main\nflows: {main: [{verb: hangup}]}\n",
        "utf-8",
    )
    done = CliRunner().invoke(app, ["plan", "check", str(file)])
    first, last = done.output.splitlines()
    assert first.startswith(f"{file}:5: note: variables.SALES.default: contains a phone number")
    assert ("14155550100" in done.output, done.exit_code) == (False, 0)
    assert "is a valid call plan" in last


def test_a_phrase_that_is_not_needed_is_noted_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text(
        "routes: [{flow: main}]\nfallback: main\nflows:\n  main: [{verb: hangup}]\n  menu:\n    - verb: gather\n"
        "      next:\n        speech:\n          销售: main\n          sales: main\n          销售部: main\n",
        "utf-8",
    )
    first = CliRunner().invoke(app, ["plan", "check", str(file)]).output.splitlines()[0]
    place = "flows.menu[0].next.speech.销售部"
    assert first == f"{file}:11: note: {place}: not needed: '销售' comes first and has the same target"


def test_a_check_of_the_example_plan_notes_its_numbers_and_hosts() -> None:
    done = CliRunner().invoke(app, ["plan", "check"])
    assert done.exit_code == 0
    assert re.findall(r"call_plan\.yaml:[0-9]+: (note|warning): ([^:]+):", done.output) == [
        ("note", "variables.SALES_NUMBER.default"),
        ("note", "variables.SALES_NUMBER_2.default"),
        ("note", "variables.EMERGENCY_NUMBER.default"),
        ("note", "flows.sales[1].callerId"),
        ("warning", "flows.sales[1].dialMusic"),
        ("warning", "flows.waiting[1].url"),
        ("warning", "flows.voicemail[1].url"),
    ]


DIAL = "{verb: dial, target: [{type: %s}], next: %s}"
NOT_RUNG = "jambonz does not ring this target, and without another target"
OTHERWISE = "the target of otherwise"
NEXT_VERB = "the next verb follows; write otherwise in next to choose a flow"


@pytest.mark.parametrize(
    ("verb", "notes"),
    [
        (DIAL % ("phone, number: '{digits}'", "{otherwise: sorry}"),
         [f"target.0.number: {{digits}} might not be a number: then {NOT_RUNG} {OTHERWISE} (sorry) follows"]),
        (DIAL % ("phone, number: '+1{digits}'", "{otherwise: {repeat: 2, then: sorry}}"),
         [f"target.0.number: {{digits}} might not be a number: then {NOT_RUNG} {OTHERWISE} (sorry) follows"]),
        (DIAL % ("user, name: '{to}@a.example'", "{busy: sorry}"),
         [f"target.0.name: {{to}} might not be a number or SIP user: then {NOT_RUNG} {NEXT_VERB}"]),
        ("{verb: dial, callerId: '{from}', target: [{type: phone, number: '+14155550100', overrideTo: '{to}'}]}",
         ["callerId: {from} might not be a number: then callerId is left out",
          "target.0.overrideTo: {to} might not be a number or SIP user: then overrideTo is left out"]),
        ("{verb: message, to: '{from}', from: '{SENDER}', text: '{digits}', next: {otherwise: end}}",
         [f"to: {{from}} might not be a number: then {OTHERWISE} follows"]),
        ("{verb: dtmf, dtmf: '{customerData.pin}'}",
         [f"dtmf: {{customerData.pin}} might not be phone keys: then {NEXT_VERB}"]),
        ("{verb: dial, callerId: '{from|+14155550100}', target: [{type: phone, number: '{SENDER}'}]}", []),
        ("{verb: dial, target: [{type: sip, sipUri: 'sip:{to}@pbx.example'}]}", []),
        ("{verb: tag, data: {number: '{digits}', to: '{from}'}}", []),
    ],
)  # fmt: skip
def test_a_value_that_may_not_be_dialled_is_noted(tmp_path: Path, verb: str, notes: list[str]) -> None:
    plan = plan_of(
        "variables: {SENDER: {type: string, description: Sender, default: '+14155550100'}}\n"
        f"routes: [{{flow: main}}]\nfallback: sorry\nflows:\n  main: [{verb}]\n  sorry: [{{verb: hangup}}]\n",
        tmp_path,
    )
    found = [str(note).replace("[0]", ".0") for note in undialled_values(plan)]
    assert found == [f"flows.main.0.{note}" for note in notes]
