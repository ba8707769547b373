"""Rules of a jambonz server that no schema holds, and the check of texts in SSML."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.parsers import expat

import pytest
import yaml
from callhooks.providers.jambonz.plan.placeholders import TextContext, Value, fill_in
from callhooks_tools.cli import app
from callhooks_tools.providers.jambonz.plan.builder import CheckedPlan, check_plan_file
from callhooks_tools.providers.jambonz.plan.document import PlanProblems, place_text
from callhooks_tools.providers.jambonz.plan.server_rules import CREDENTIALS_IGNORED, markup_fault
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile, check_verb, long_form, verb_faults
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

Verbs = list[dict[str, Any]]

TABLE = yaml.safe_load(Path(__file__).with_name("verbs_on_0_9_8.yaml").read_text("utf-8"))


def faulty_places(verbs: Verbs) -> list[str]:
    return [
        place_text((number, *fault.location))
        for number, verb in enumerate(verbs)
        for fault in verb_faults(long_form(verb), Profile.OSS)
    ]


@pytest.mark.parametrize("verbs", TABLE["accepted"], ids=str)
def test_a_response_that_0_9_8_accepts_has_no_fault(verbs: Verbs) -> None:
    assert faulty_places(verbs) == []


@pytest.mark.parametrize(("place", "verbs"), [*TABLE["rejected"], *TABLE["accepted_but_reported"]], ids=str)
def test_a_response_that_0_9_8_rejects_or_fails_on_has_a_fault(place: str, verbs: Verbs) -> None:
    assert place in faulty_places(verbs)


HOOK = {"url": "/x", "username": "u", "password": "p"}
BASIC = {"username": "u", "password": "p"}


@pytest.mark.parametrize(
    ("verb", "places"),
    [
        ({"verb": "gather", "actionHook": HOOK}, ["actionHook.username", "actionHook.password"]),
        ({"verb": "gather", "actionHook": {"url": "/x", "basicAuth": BASIC}}, ["actionHook.basicAuth"]),
        ({"verb": "dial", "target": [{"type": "phone", "number": "1", "confirmHook": HOOK}]},
         ["target[0].confirmHook.username", "target[0].confirmHook.password"]),
        ({"verb": "config", "amd": {"actionHook": {"url": "/x", "username": "u"}}}, ["amd.actionHook.username"]),
        ({"verb": "gather", "partialResultHook": {"url": "wss://a.example", **BASIC}}, []),
        ({"verb": "gather", "actionHook": {"url": "/x"}}, []),
        ({"verb": "dial", "target": [{"type": "sip", "sipUri": "sip:a@b.example", "auth": BASIC}]}, []),
        ({"verb": "listen", "url": "wss://b.example", "wsAuth": BASIC, "metadata": {"aHook": HOOK}}, []),
    ],
    ids=str,
)  # fmt: skip
def test_0_9_ignores_credentials_in_a_hook(verb: dict[str, Any], places: list[str]) -> None:
    warnings = check_verb(verb, Profile.OSS)
    assert [(place_text(one.location), one.message) for one in warnings] == [(it, CREDENTIALS_IGNORED) for it in places]
    assert verb_faults(verb, Profile.OSS) == []


def test_0_9_ignores_close_stream_on_empty_at_any_depth() -> None:
    say = {"text": "Hello", "closeStreamOnEmpty": True}
    verbs: Verbs = [{"verb": "say", **say}, {"verb": "gather", "say": say}]
    for verb in verbs:
        (warning,) = check_verb(verb, Profile.OSS)
        assert (warning.is_warning, warning.message) == (True, "has no effect in jambonz 0.9")
        assert check_verb(verb, Profile.V11) == []


# SSML

WELL_FORMED = [
    "Jack & Jones",
    "a < b",
    "say <speak> aloud",
    "<speak>Jack &amp; Jones</speak>",
    "<speak>नमस्ते <break time='1s'/> 你好 &#x1F44B;</speak>",
    ' <speak>\n<prosody rate="slow">Hello</prosody>\n</speak>\n',
    "<?xml version='1.0'?><speak version='1.1' xmlns='http://www.w3.org/2001/10/synthesis'>Hello</speak>",
    "<speak><mstts:express-as style='cheerful'>Hello</mstts:express-as></speak>",
    "<speak><amazon:effect name='whispered'>Hello</amazon:effect><w:x/></speak>",
    "<speak><![CDATA[Jack & Jones]]><!-- a & b --></speak>",
    "<Speak>Hello</Speak>",
    "<speaker>Hello",
    "<!-- Hello --><speak>&",
]
MALFORMED = {
    "<speak>Jack & Jones</speak>": "write &amp; for &",
    "<speak>AT&T</speak>": "write &amp; for &",
    "<speak>Hello</prosody></speak>": "mismatched tag at line 1, column 15",
    "<speak>Hello": "no element found",
    "<speak><prosody>Hello</speak>": "mismatched tag",
    "<speak>Hello</speak> you": "junk after document element",
    "<speak>Hello<br></speak>": "mismatched tag",
    "<speak>a < b</speak>": "not well-formed (invalid token) at line 1, column 11",
    "<speak>&nbsp;</speak>": "undefined entity",
    "<speak><a b=c/></speak>": "not well-formed (invalid token)",
    "<speak>\nHello\n</Speak>": "mismatched tag at line 3",
    "<speak version='1.0'>&</speak>": "write &amp; for &",
    "<speak><!DOCTYPE a []></speak>": "must not have a DOCTYPE",
    "<speak>\ud83d & 1</speak>": "write &amp; for &",
}


@pytest.mark.parametrize("text", WELL_FORMED)
def test_well_formed_ssml_and_plain_text_have_no_fault(text: str) -> None:
    assert markup_fault(text) is None


@pytest.mark.parametrize(("text", "reason"), MALFORMED.items())
def test_malformed_ssml_is_a_fault_with_its_reason(text: str, reason: str) -> None:
    assert reason in str(markup_fault(text))


def test_a_doctype_expands_and_fetches_nothing() -> None:
    bomb = "<!ENTITY a 'aaaa'>" + "".join(f"<!ENTITY a{n} '&a{n - 1};&a{n - 1};'>" for n in range(1, 60))
    text = (
        f"<?xml version='1.0'?><speak><!DOCTYPE speak [{bomb}<!ENTITY x SYSTEM 'file:///etc/passwd'>]>&a59;&x;</speak>"
    )
    assert markup_fault(text) == "must not have a DOCTYPE"


class OneValue:
    """Values of placeholders in which every one has the same value, as a variable or as a fact."""

    def __init__(self, value: str, *, is_variable: bool) -> None:
        self._value, self._is_variable = value, is_variable

    def variable(self, name: str) -> Value | None:
        return self._value if self._is_variable else None

    def fact(self, name: str) -> str | None:
        return self._value


ODD_VALUES = ["Jack & Jones", "</speak>", "]]>", "&amp;", "'\"<b>", "\ud83d", "\uffff\x00\x0b", "{name}", "--"]


@given(
    value=st.text() | st.sampled_from(ODD_VALUES),
    is_variable=st.booleans(),
    form=st.sampled_from(["", ":spelled", "|a & b"]),
)
def test_no_value_makes_ssml_malformed(value: str, is_variable: bool, form: str) -> None:
    text = f"<speak>Hello {{name{form}}}<sub alias='{{ALIAS}}'>x</sub></speak>"
    spoken = str(fill_in(text, TextContext.SPEECH, OneValue(value, is_variable=is_variable)))
    expat.ParserCreate("utf-8").Parse(spoken.encode("utf-8"), True)


# In a plan

PLAN = """\
variables:
  GREETING: {type: string, description: Greeting, default: a}
routes: [{flow: main}]
fallback: sorry
flows:
  main:
    - verb: gather
      input: [digits]
      say: {text: Hello}
      next:
        timeout: {repeat: 1, say: Again, then: end}
    - {verb: hangup}
  sorry: [{verb: hangup}]
"""


def checked(folder: Path, *replaced: tuple[str, str]) -> CheckedPlan:
    return check_plan_file(plan_file(folder, *replaced))


def plan_file(folder: Path, *replaced: tuple[str, str]) -> Path:
    text = PLAN
    for written, instead in replaced:
        assert written in text
        text = text.replace(written, instead)
    file = folder / "plan.yaml"
    file.write_text(text, "utf-8")
    return file


@pytest.mark.parametrize("profile", Profile)
@pytest.mark.parametrize(("written", "line"), [("default: a", 2), ("text: Hello", 9), ("say: Again", 11)])
def test_malformed_ssml_in_a_plan_is_an_error_with_its_line(
    profile: Profile, written: str, line: int, tmp_path: Path
) -> None:
    member = written.partition(":")[0]
    assert checked(tmp_path, (written, f"{member}: <speak>Jack &amp; Jones</speak>"))
    with pytest.raises(PlanProblems) as raised:
        check_plan_file(plan_file(tmp_path, (written, f"{member}: <speak>Jack & Jones</speak>")), profile)
    (problem,) = raised.value.problems
    assert problem.line == line
    assert "begins with <speak> but is not well-formed XML" in problem.message


def test_placeholders_and_lists_of_texts_are_checked_as_they_are_spoken(tmp_path: Path) -> None:
    assert checked(tmp_path, ("text: Hello", "text: '<speak>{caller_name|you & me} {GREETING:spelled}</speak>'"))
    with pytest.raises(PlanProblems, match=r"say\.text\[1\]: begins with <speak> but is not"):
        checked(tmp_path, ("text: Hello", "text: [Hello, '<speak>{caller_name}']"))


@pytest.mark.parametrize(
    ("verb", "is_reported"),
    [
        ("{verb: conference, name: '{sip.X-Room}'}", True),
        ("{verb: conference, name: '{customerData.room}'}", True),
        ("{verb: dub, action: addTrack, track: '{sip.X-Room}'}", True),
        ("{verb: conference, name: '{sip.X-Room|lobby}'}", False),
        ("{verb: conference, name: 'room-{sip.X-Room}'}", False),
        ("{verb: conference, name: '{GREETING}'}", False),
        ("{verb: conference, name: '{from}'}", False),
    ],
)
def test_a_name_that_a_missing_header_leaves_empty_is_a_warning(
    verb: str,
    is_reported: bool,
    tmp_path: Path,
) -> None:
    warnings = checked(tmp_path, ("    - {verb: hangup}", f"    - {verb}")).warnings
    assert [warning.line for warning in warnings] == [12] * is_reported
    assert all("is empty in a call without this header" in warning.message for warning in warnings)


PLAY = "{verb: play, url: /a.wav, timout: 5, actionHook: {url: 'https://b.example/x', username: u, password: p}}"


@pytest.mark.parametrize(
    ("profile", "exit_code", "message"),
    [
        ("0.9", 1, "timout: unknown member"),
        ("0.9", 0, f"warning: flows.main[1].actionHook.username: {CREDENTIALS_IGNORED} (play, jambonz 0.9)"),
        ("11", 0, "warning: flows.main[1].timout: unknown member; did you mean 'timeoutSecs'? (play, jambonz 11)"),
        ("10", 0, "warning: flows.main[1].actionHook.username: unknown member; write basicAuth"),
        ("12", 2, "'12' is not one of '0.9', '11'"),
    ],
)
def test_the_command_prints_warnings_with_their_lines_and_succeeds(
    profile: str, exit_code: int, message: str, tmp_path: Path
) -> None:
    verb = PLAY if (profile, exit_code) != ("0.9", 0) else PLAY.replace(" timout: 5,", "")
    file = plan_file(tmp_path, ("    - {verb: hangup}", f"    - {verb}"))
    done = CliRunner().invoke(app, ["plan", "check", str(file), "--jambonz", profile], env={"COLUMNS": "200"})
    assert done.exit_code == exit_code
    assert (f"{file}:12: {message}" if exit_code == 0 else message) in done.output
