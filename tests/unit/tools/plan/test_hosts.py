"""Warnings of `callhooks plan check` about other hosts: the data sent there, and the line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from callhooks.providers.jambonz.plan.plan import Flow, Plan, Variable
from callhooks_tools.cli import app
from callhooks_tools.providers.jambonz.plan.hosts import SentData, warnings_on
from callhooks_tools.providers.jambonz.plan.verb_profiles import Profile, verbs_of
from callhooks_tools.providers.jambonz.plan.verb_schemas import Schema
from typer.testing import CliRunner, Result

OTHER = "https://crm.example.net/hook"
SOCKET = "wss://crm.example.net/hook"
VARIABLES = {
    "HOOK": Variable("string", OTHER, {}),
    "HOST": Variable("string", "crm.example.net", {}),
    "LOGIN": Variable("string", "user:pass@crm.example.net", {}),
    "UNSET": Variable("string", "", {}),
    "WORD": Variable("string", "silence_stream://500", {}),
    "EITHER": Variable("string", "/ours", {"enum": ["/ours", OTHER, "http://other.example.org:81"]}),
}


def warnings(*verbs: Mapping[str, object]) -> list[str]:
    plan = Plan(routes=(), flows={"main": Flow(verbs)}, fallback=(), variables=VARIABLES)
    return [str(warning) for warning in warnings_on(plan)]


def members(schema: Schema, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield every member at any depth."""
    for name, member in schema.get("properties", {}).items():
        yield (*path, name)
        if not name.endswith("Hook"):
            yield from members(member, (*path, name))
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *filter(None, [schema.get("items")])):
        yield from members(part, path)


HOOKS = sorted(
    {
        (verb, *path)
        for profile in Profile
        for verb, schema in verbs_of(profile).items()
        for path in members(schema)
        if path[-1].endswith("Hook")
    }
)


def verb_with(path: tuple[str, ...], value: object) -> dict[str, Any]:
    nested: Any = value
    for name in reversed(path[1:]):
        nested = {name: [nested] if name == "target" else nested}
    return {"verb": path[0], **nested}


def test_hooks_of_every_kind_are_covered() -> None:
    assert len(HOOKS) > 80
    assert {("dial", "target", "confirmHook"), ("config", "amd", "actionHook"), ("dial", "listen", "actionHook")} <= {
        *HOOKS
    }


LOCAL_HOOKS = ("/gather", "sales", {"url": "/gather?x=https://crm.example.net"}, {"@hook": [OTHER]})


@pytest.mark.parametrize("path", HOOKS, ids=".".join)
def test_a_warning_says_that_a_hook_on_another_host_gets_the_credentials(path: tuple[str, ...]) -> None:
    redirected = {"redirect.actionHook": SentData.REDIRECT, "redirect.statusHook": SentData.STATUS}
    expected = redirected.get(".".join(path), SentData.CREDENTIALS)
    for written in (OTHER, {"url": OTHER}, {"url": OTHER, "method": "POST", "basicAuth": {"username": "u"}}):
        (warning,) = warnings(verb_with(path, written))
        assert warning.startswith("flows.main[0].")
        assert warning.endswith(f"points to another host, crm.example.net: {expected}")
    assert [warnings(verb_with(path, written)) for written in LOCAL_HOOKS] == [[]] * len(LOCAL_HOOKS)


ADDRESSES = sorted(
    {
        (verb, *path)
        for verb, schema in verbs_of(Profile.OSS).items()
        for path in members(schema)
        if re.search(r"(url|uri|endpoint|music|media|play)$", path[-1], re.IGNORECASE)
        and path[-1] not in ("sipUri", "play")
    }
)


def test_every_other_address_on_another_host_gives_a_warning() -> None:
    assert len(ADDRESSES) > 80
    for path in ADDRESSES:
        (warning,) = warnings(verb_with(path, OTHER))
        assert ": points to another host, crm.example.net: " in warning
        assert SentData.CREDENTIALS not in warning


@pytest.mark.parametrize(
    ("verb", "sent"),
    [
        ({"verb": "listen", "url": SOCKET}, SentData.CALL),
        ({"stream": {"url": SOCKET}, "verb": "config"}, SentData.CALL),
        ({"verb": "dial", "target": [], "listen": {"url": SOCKET, "wsAuth": {"username": "u"}}}, SentData.CALL),
        ({"verb": "play", "url": ["silence_stream://1", OTHER]}, SentData.FETCHED),
        ({"verb": "gather", "play": {"url": OTHER}}, SentData.FETCHED),
        ({"verb": "gather", "fillerNoise": {"url": OTHER}}, SentData.FETCHED),
        ({"verb": "gather", "actionHookDelayAction": {"actions": [{"play": {"url": OTHER}}]}}, SentData.FETCHED),
        ({"verb": "config", "actionHookDelayAction": {"actions": [{"verb": "play", "url": OTHER}]}}, SentData.FETCHED),
        ({"verb": "gather", "actionHookDelayAction": {"giveUpActions": [{"redirect": {"actionHook": OTHER}}]}},
         SentData.REDIRECT),
        ({"verb": "dub", "action": "playOnTrack", "play": OTHER}, SentData.FETCHED),
        ({"verb": "dial", "dub": [{"play": OTHER}]}, SentData.FETCHED),
        ({"verb": "dial", "dialMusic": OTHER}, SentData.FETCHED),
        ({"verb": "config", "onHoldMusic": OTHER}, SentData.FETCHED),
        ({"verb": "dialogflow", "thinkingMusic": OTHER}, SentData.FETCHED),
        ({"verb": "message", "media": [OTHER], "text": "https://crm.example.net"}, SentData.FETCHED),
        ({"verb": "rasa", "url": OTHER}, SentData.WORDS),
        ({"verb": "llm", "mcpServers": [{"url": OTHER}]}, SentData.TOOLS),
        ({"verb": "llm", "connectOptions": {"host": "crm.example.net"}}, SentData.AUDIO),
        ({"verb": "config", "record": {"siprecServerURL": "sip:srs@crm.example.net;lr"}}, SentData.AUDIO),
        ({"verb": "config", "record": {"siprecServerURL": ["crm.example.net"]}}, SentData.AUDIO),
        ({"verb": "transcribe", "recognizer": {"azureServiceEndpoint": SOCKET}}, SentData.AUDIO),
        ({"verb": "gather", "recognizer": {"customOptions": {"uri": SOCKET}}}, SentData.AUDIO),
        ({"verb": "gather", "recognizer": {"nvidiaOptions": {"rivaUri": "crm.example.net"}}}, SentData.AUDIO),
        ({"verb": "gather", "recognizer": {"deepgramOptions": {"deepgramSttUri": "crm.example.net"}}}, SentData.AUDIO),
        ({"verb": "gather", "recognizer": {"speechmaticsOptions": {"host": "crm.example.net"}}}, SentData.AUDIO),
        ({"verb": "transfer", "disposition": {"voicemailUrl": OTHER}}, SentData.OTHER),
        ({"verb": "llm", "llmOptions": {"tools": [{"http": {"baseUrlPattern": OTHER}}]}}, SentData.OTHER),
        ({"verb": "gather", "partialResultHook": SOCKET}, SentData.SOCKET),
        ({"verb": "dial", "confirmHook": {"url": "WSS://crm.example.net"}}, SentData.SOCKET),
        ({"verb": "redirect", "actionHook": SOCKET}, SentData.REDIRECT),
        ({"verb": "gather", "actionHook": {"url": "//crm.example.net/hook"}}, SentData.PATH),
    ],
)  # fmt: skip
def test_a_warning_names_the_data_sent_to_the_host(verb: Mapping[str, object], sent: SentData) -> None:
    (warning,) = warnings(verb)
    assert warning.endswith(f"points to another host, crm.example.net: {sent}")


@pytest.mark.parametrize(
    "verb",
    [
        {"verb": "say", "text": OTHER},
        {"verb": "say", "text": [f"Visit {OTHER}", OTHER]},
        {"verb": "gather", "say": {"text": OTHER}},
        {"verb": "dub", "say": OTHER},
        {"verb": "lex", "welcomeMessage": OTHER},
        {"verb": "message", "text": OTHER},
        {"verb": "alert", "message": OTHER},
        {"verb": "sip:request", "body": OTHER},
        {"verb": "sip:decline", "reason": OTHER},
        {"verb": "tag", "data": {"actionHook": OTHER, "url": OTHER}},
        {"verb": "listen", "url": "/socket", "metadata": {"url": OTHER}},
        {"verb": "dial", "headers": {"X-Url": OTHER}, "tag": {"eventHook": OTHER}},
        {
            "verb": "dial",
            "target": [{"type": "sip", "sipUri": "sip:crm@crm.example.net", "proxy": "sip:crm.example.net"}],
        },
        {"verb": "sip:refer", "referTo": "sip:crm@crm.example.net"},
        {"verb": "play", "url": "silence_stream://1000"},
        {"verb": "play", "url": "//not/a/host.wav"},
        {"verb": "play", "url": "{WORD}"},
        {"verb": "llm", "llmOptions": {"instructions": OTHER, "system": f"{OTHER} is our site."}},
        {"verb": "gather", "finishOnKey": "{UNSET}"},
        {"verb": "gather", "actionHook": {"url": "/{HOST}/x"}},
    ],
)
def test_a_text_that_is_not_an_address_gives_no_warning(verb: Mapping[str, object]) -> None:
    assert warnings(verb) == []


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("HTTPS://CRM.example.net/x", "crm.example.net"),
        ("http://crm.example.net:8080", "crm.example.net:8080"),
        ("https://ours.example.com@crm.example.net/x", "crm.example.net"),
        ("https://user:hidden@crm.example.net/x?token=hidden#hidden", "crm.example.net"),
        ("https:/\\crm.example.net\\x", "crm.example.net"),
        (" https://crm.example.net", "crm.example.net"),
        ("https://[2001:db8::1]:8443/x", "[2001:db8::1]:8443"),
        ("https://crm.example.net?x=1", "crm.example.net"),
        ("https://crm.example.net/{HOST}", "crm.example.net"),
        ("https://crm.example.net/{call_sid}", "crm.example.net"),
        ("{HOOK}", "crm.example.net, which the variable HOOK names"),
        ("{HOOK}/{HOST}", "crm.example.net, which the variable HOOK names"),
        ("https://{HOST}/x", "crm.example.net, which the variable HOST names"),
        ("https://{HOST}:8080/{WORD}", "crm.example.net:8080, which the variable HOST names"),
        ("https://{LOGIN}/x", "crm.example.net, which the variable LOGIN names"),
        ("https://eu.{HOST}", "eu.crm.example.net, which the variable HOST names"),
        ("{EITHER}", "crm.example.net or other.example.org:81, which the variable EITHER names"),
    ],
)
def test_a_warning_names_the_host_but_no_secret(url: str, host: str) -> None:
    for verb in ({"verb": "gather", "actionHook": {"url": url}}, {"verb": "enqueue", "name": "q", "waitHook": url}):
        (warning,) = warnings(verb)
        assert f": points to another host, {host}: {SentData.CREDENTIALS}" in warning
        assert "hidden" not in warning


def test_a_warning_names_the_variable_if_it_has_no_default() -> None:
    for url in ("{UNSET}", "{UNSET}/x"):
        (warning,) = warnings({"verb": "dial", "actionHook": url})
        assert f": points to the host that the variable UNSET names: {SentData.CREDENTIALS}" in warning


PLAN = """\
variables:
  CRM: {type: string, description: URL of the CRM, default: "https://crm.example.net"}
routes: [{flow: main}]
fallback: sorry
python: flows.py
flows:
  main:
    - verb: gather
      input: [digits]
      say: {text: Hello}
      actionHook: https://user:hidden@crm.example.net/menu
    - dial:
        timeout: 20
        amd:
          actionHook: "{CRM}/amd"
        target:
          - type: phone
            number: "+14155550100"
            confirmHook:
              url: https://crm.example.net/confirm
    - verb: enqueue
      name: q
      next: https://crm.example.net/queued
    - verb: gather
      input: [digits]
      next: sorry
  sorry: [{verb: hangup}]
"""
FLOWS = "def flows():\n    return {'built': [{'verb': 'redirect', 'actionHook': 'https://crm.example.net'}]}\n"


def check(folder: Path, text: str, flows: str = FLOWS) -> tuple[Result, Path]:
    file = folder / "plan.yaml"
    file.write_text(text, "utf-8")
    (folder / "flows.py").write_text(flows, "utf-8")
    return CliRunner().invoke(app, ["plan", "check", str(file)], env={"COLUMNS": "60"}), file


def test_a_check_with_warnings_names_their_lines_and_succeeds(tmp_path: Path) -> None:
    done, file = check(tmp_path, PLAN)
    assert done.exit_code == 0, done.output
    *warned, _, last = done.output.splitlines()
    assert [line.partition(": points to")[0] for line in warned] == [
        f"{file}:5: warning: flows.built[0].actionHook",
        f"{file}:11: warning: flows.main[0].actionHook",
        f"{file}:15: warning: flows.main[1].amd.actionHook",
        f"{file}:20: warning: flows.main[1].target[0].confirmHook.url",
        f"{file}:23: warning: flows.main[2].next",
    ]
    assert all("crm.example.net" in line for line in warned)
    assert "hidden" not in done.output
    assert "is a valid call plan" in last


def test_a_plan_without_other_hosts_gets_no_warning(tmp_path: Path) -> None:
    flows = "{sorry: [{verb: hangup}], main: [{verb: gather, next: {digits: main, otherwise: end}}, {verb: hangup}]}"
    done, file = check(tmp_path, f"routes: [{{flow: main}}]\nfallback: sorry\nflows: {flows}\n")
    assert done.output == f"{file} is a valid call plan: 1 routes, 2 flows, 3 verbs.\n"


def test_a_fault_in_a_python_flow_has_the_line_that_names_the_file(tmp_path: Path) -> None:
    done, file = check(tmp_path, PLAN, FLOWS.replace("redirect", "redirekt"))
    assert (done.exit_code, f"{file}:5: flows.built[0]" in done.output) == (1, True)
