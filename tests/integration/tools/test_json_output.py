"""`--json`: one document on standard output, and the exit code of the same command without it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from callhooks.events.call_event import QuarantinedDelivery
from callhooks.events.event_item import quarantine_item
from callhooks.providers.jambonz.sip_clients import Client, client_item
from callhooks.runtime.http import Request
from callhooks.webhooks.webhook import quarantined
from callhooks_tools.cli import app
from callhooks_tools.commands import doctor, recover, replay, upkeep
from callhooks_tools.providers.bird import command as bird_command
from callhooks_tools.providers.wavix import command as wavix_command
from callhooks_tools.stack.findings import failure
from callhooks_tools.stack.stack import StackOutputs
from typer.testing import CliRunner, Result

from tests.integration.conftest import CLIENTS_TABLE, TABLE, Aws
from tests.integration.tools.test_replay import EVENTS
from tests.projection import stored_item
from tests.provider_apis import jambonz, wavix
from tests.provider_apis.bird import BirdApi
from tests.provider_apis.jambonz import JambonzApi
from tests.provider_apis.voipstudio import VoipstudioApi
from tests.provider_apis.wavix import WavixApi
from tests.stacks import stack_outputs
from tests.support import ROOT
from tests.unit.tools.test_cli import WITHOUT_JSON, commands_that_run

PLAN = str(ROOT / "layers" / "call_plan" / "call_plan.yaml")
STACK = ("--stack", "callhooks")
ELSEWHERE = {
    "doctor": "test_the_doctor_shows_its_findings",
    "send": "tests/e2e/test_events.py",
    "call": "tests/e2e/test_calls.py",
}
"""The commands that need a running stack, and the tests of their `--json`."""
LISTS: dict[str, tuple[str, ...]] = {
    "urls": STACK,
    "secret list": ("wavix", *STACK),
    "clients list": STACK,
    "quarantine list": STACK,
    "bird list": STACK,
    "wavix list": STACK,
    "tools": (),
    "control calls": ("bird",),
    "control cdr": ("wavix", wavix.CALL_ID),
    "control recordings": ("wavix", wavix.CALL_ID),
    "plan try": ("--to", "+14155551234", "--at", "2026-12-24 18:00", "--press", "1"),
    "replay": ("--dry-run", *STACK),
    "prune": STACK,
    "check-removal": STACK,
}
OBJECTS: dict[str, tuple[str, ...]] = {
    "quarantine show": ("KEY", *STACK),
    "quarantine retry": ("--all", *STACK),
    "control show": ("jambonz", jambonz.CALL_SID),
    "jambonz application": ("--yes", *STACK),
    "plan show": (PLAN,),
    "plan check": (PLAN,),
    "rebuild": STACK,
    "recover": STACK,
}
Run = Callable[..., Result]


def documented_members(words: str) -> set[str]:
    """Return the members of a command's JSON that docs/command.md names."""
    (row,) = re.findall(rf"^\| `{words}` \| (.+) \|$", (ROOT / "docs" / "command.md").read_text("utf-8"), re.MULTILINE)
    return set(re.findall(r"`(\w+)`", row))


@pytest.fixture
def run(aws: Aws, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Run]:
    """Run commands on a stack that has something of everything, and on accounts at all providers."""
    outputs = stack_outputs(
        base_url="https://hooks.example.com", events_table=TABLE, clients_table=CLIENTS_TABLE, stack_name="callhooks"
    )
    monkeypatch.setattr(StackOutputs, "read", lambda *_: outputs)
    for module in (recover, upkeep):
        monkeypatch.setattr(module, "stack_resources", lambda *_: [])
    monkeypatch.setattr(upkeep, "stack_status", lambda *_: "UPDATE_COMPLETE")
    for module in (replay, bird_command, wavix_command):
        monkeypatch.setattr(module, "STACK_FILE", tmp_path / "stack.json")
    boto3.client("events").create_event_bus(Name="callhooks")
    aws.dynamodb.put_item(TableName=CLIENTS_TABLE, Item=client_item(Client("jane", "sip.example.com", "0" * 32)))
    for event in EVENTS:
        aws.dynamodb.put_item(TableName=TABLE, Item=stored_item(event))
    request = Request("POST", "/webhooks/wavix/t", body=b"\xff no JSON", route="POST /webhooks/wavix/{token}")
    delivery = QuarantinedDelivery("wavix", "The body is not JSON.", datetime.now(UTC))
    item = quarantine_item(delivery, request, quarantined("x"), retention_days=90)
    aws.dynamodb.put_item(TableName=TABLE, Item=item)
    key = f"wavix/{item['pk']['S'].rpartition('#')[2]}/{item['sk']['S']}"
    apis = (VoipstudioApi(), WavixApi(), BirdApi(), JambonzApi())
    apis[1].webhooks["on-call"] = "https://crm.example.com/t0ken"
    apis[1].records[wavix.CALL_ID] = wavix.a_record()
    apis[2].subscribed("voice.inbound", "https://hooks.example.com/webhooks/bird")
    with apis[0].running(), apis[1].running(), apis[2].running(), apis[3].running():
        environment = {name: value for api in apis for name, value in api.environment.items()} | {"COLUMNS": "200"}

        def run_command(words: str, arguments: tuple[str, ...], *options: str) -> Result:
            given = [key if argument == "KEY" else argument for argument in arguments]
            return CliRunner().invoke(app, [*words.split(), *given, *options], env=environment)

        yield run_command


def test_the_doctor_shows_its_findings(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    # It ends at its first check if there is no stack.
    monkeypatch.setattr(doctor, "stack_findings", lambda *_: iter([failure("stack", "There is no stack.")]))
    shown = CliRunner().invoke(app, ["doctor", "--json", *STACK])
    (finding,) = json.loads(shown.stdout)
    assert (shown.exit_code, finding["check"], finding["level"]) == (1, "stack", "failure")


def test_every_command_with_json_is_tested() -> None:
    assert {*LISTS, *OBJECTS, *ELSEWHERE} == set(commands_that_run()) - set(WITHOUT_JSON)


def test_a_list_is_an_array_of_objects_and_one_thing_is_an_object(run: Run) -> None:
    for cases, shape in ((LISTS, list), (OBJECTS, dict)):
        for words, arguments in cases.items():
            text, shown = run(words, arguments), run(words, arguments, "--json")
            assert (words, shown.exit_code) == (words, text.exit_code), (text.output, shown.output)
            document: Any = json.loads(shown.stdout)
            assert type(document) is shape, words
            if shape is list:
                assert all(isinstance(member, dict) for member in document), words
            assert document or words in ("prune", "check-removal"), words


def test_the_documentation_names_each_member(run: Run) -> None:
    for words, arguments in (LISTS | OBJECTS).items():
        if words.startswith("control ") or words in ("plan try", "tools", "check-removal", "prune"):
            continue
        document: Any = json.loads(run(words, arguments, "--json").stdout)
        members = documented_members(words)
        if words == "quarantine show":
            members |= documented_members("quarantine list") - {"body", "status"}
        shown = set(document if isinstance(document, dict) else document[0])
        assert shown <= members, words
