"""docs/control.md names every method, error and command, and its example works."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import Any

import pytest
from callhooks_tools.cli import app
from callhooks_tools.providers.bird import api as bird
from callhooks_tools.providers.jambonz import api as jambonz
from callhooks_tools.providers.rest import errors
from callhooks_tools.providers.rest.errors import ControlFailed
from callhooks_tools.providers.voipstudio import api as voipstudio
from callhooks_tools.providers.wavix import api as wavix
from typer.testing import CliRunner

from tests.provider_apis.voipstudio import CALL_ID, VoipstudioApi
from tests.support import ROOT

DOCUMENT = (ROOT / "docs" / "control.md").read_text("utf-8")
CLIENTS = [
    (voipstudio, voipstudio.VoipstudioControl),
    (wavix, wavix.WavixControl),
    (bird, bird.BirdControl),
    (jambonz, jambonz.JambonzControl),
]


def test_the_example_transfers_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    assert found is not None
    example: dict[str, Any] = {}
    exec(found[1], example)  # noqa: S102 - our own code
    event = {"detail": {"event": {"call_id": CALL_ID}}}
    api = VoipstudioApi()
    with api.running():
        for name, value in api.environment.items():
            monkeypatch.setenv(name, value)
        assert example["handler"](event, None) == {"transferred": True}
        assert api.calls[CALL_ID]["dst"] == "2002"
        api.calls.clear()
        assert example["handler"](event, None) == {"transferred": False}


def test_the_page_names_every_method_of_a_client() -> None:
    for module, client in CLIENTS:
        methods = {name for name, _ in inspect.getmembers(client, inspect.isfunction) if not name.startswith("_")}
        row = re.search(rf"\| `{module.__name__}` \| `{client.__name__}` \| (.*) \|", DOCUMENT)
        assert row is not None
        assert set(re.findall(r"`(\w+)`", row[1])) == methods - {"close"}


def test_the_clients_import_only_what_the_page_installs() -> None:
    others = {"aiohttp", "aws_lambda_powertools", "boto3", "botocore", "jambonz_sdk", "jsonschema", "typer", "yaml"}
    modules = ", ".join(module.__name__ for module, _ in CLIENTS)
    code = f"import sys, {modules}; print(*({others} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"


def test_the_page_names_every_error() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, ControlFailed)}
    assert {name for name in kinds if f"| `{name}` |" in DOCUMENT} == kinds - {"ControlFailed"}


def test_the_page_names_every_command() -> None:
    output = CliRunner().invoke(app, ["control", "--help"], env={"COLUMNS": "200"}).stdout
    commands = set(re.findall(r"^│ ([a-z]+) {2,}", output, re.MULTILINE))
    assert len(commands) == 8
    assert {command for command in commands if f"| `{command}` |" in DOCUMENT} == commands
