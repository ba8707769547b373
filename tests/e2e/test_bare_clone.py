"""A clone is built and deployed by `sam` alone: no `make setup`, no settings of the user, a time zone west of UTC."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from boto3.session import Session
from callhooks_tools.local.engine import Engine
from callhooks_tools.stack.private_files import make_private_folder
from callhooks_tools.stack.recordings import as_sent_by, read_delivery
from callhooks_tools.stack.secrets import read_credentials
from callhooks_tools.stack.stack import LOCAL_REGION, StackOutputs, local_aws_environment, stack_resources
from callhooks_tools.stack.template import ALIAS

from tests.support import EVENTS, ROOT
from tests.time_zones import TIME_ZONES

FOLDER = ROOT / ".local" / f"e2e-bare{os.environ.get('PYTEST_XDIST_WORKER', '')}"
STACK = "callhooks"
NETWORK_SETTINGS = ("PIP_", "UV_", "SSL_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy")
"""Beginnings of variables by which a machine reaches its package index."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    shutil.rmtree(FOLDER, ignore_errors=True)
    make_private_folder(FOLDER / "tmp")
    yield FOLDER
    shutil.rmtree(FOLDER)


@pytest.fixture(scope="module")
def engine(folder: Path) -> Iterator[Engine]:
    engine = Engine(folder)
    engine.start()
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def clone(folder: Path) -> Path:
    """The committed files and their changes, in a path with a space."""
    clone = folder / "bare clone"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    for name in filter(None, listed.stdout.split("\0")):
        (clone / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, clone / name)
    return clone


@pytest.fixture(scope="module")
def environment(folder: Path) -> dict[str, str]:
    """The environment of a machine with the SAM CLI, make, git, Python and a shell, and an empty home folder."""
    programs, home = folder / "bin", folder / "home"
    for made in (programs, home):
        made.mkdir()
    found = {
        "sam": Path(sys.prefix, "bin", "sam"),
        "python3": Path(sys.executable).resolve(),
        **{name: Path(shutil.which(name) or name) for name in ("make", "git", "sh")},
    }
    for name, program in found.items():
        (programs / name).symlink_to(program)
    network = {name: value for name, value in os.environ.items() if name.startswith(NETWORK_SETTINGS)}
    return network | {
        "PATH": str(programs),
        "HOME": str(home),
        # The user's own settings of pip and uv, which name the package index.
        "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(Path.home() / ".config")),
        "TMPDIR": str(folder / "tmp"),
        "TZ": TIME_ZONES["Los Angeles"],
        "LANG": "C.UTF-8",
        "SAM_CLI_TELEMETRY": "0",
        "SAM_CLI_POLL_DELAY": "0.2",
        # The engine runs functions on this machine, in this Python.
        "LAYER_PLATFORM": "host",
        "LAYER_PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def sam(clone: Path, environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [environment["PATH"] + "/sam", *arguments],
        cwd=clone,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_bare_clone_is_built_and_deployed_by_sam_alone_and_answers_a_call(
    clone: Path, engine: Engine, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    built = sam(clone, environment, "build")
    assert built.count("creating an environment for builds") == 1
    assert "layer size" in built
    assert "not compiled" not in built
    access = {name: value for name, value in local_aws_environment(engine.access).items() if name.startswith("AWS_")}
    sam(clone, environment | access, "deploy", "--no-confirm-changeset")

    for name, value in access.items():
        monkeypatch.setenv(name, value)
    session = Session(engine.access.access_key_id, engine.access.secret_access_key, region_name=LOCAL_REGION)
    outputs = StackOutputs.read(session, STACK)
    credentials = read_credentials(session, outputs).of("jambonz")
    delivery = read_delivery(EVENTS / "jambonz" / "new_call.json")
    sent = as_sent_by("jambonz", delivery, credentials, datetime.now(UTC), base_url=outputs.base_url)
    (function,) = [
        one.physical_id for one in stack_resources(session, STACK) if one.logical_id == "JambonzNewCallFunction"
    ]
    invoked = session.client("lambda").invoke(FunctionName=function, Qualifier=ALIAS, Payload=json.dumps(sent.event))
    answer = json.loads(invoked["Payload"].read())
    assert answer["statusCode"] == 200, answer
    assert json.loads(answer["body"])[0]["verb"]
    items = session.client("dynamodb").scan(TableName=outputs.events_table)["Items"]
    assert "call.initiated" in {item.get("kind", {}).get("S") for item in items}
