"""The functions work with each boto3 of Lambda's runtimes, although they rely on details of botocore.

boto3 is not in the layer: it would add 30 MB, and Lambda's runtimes include it. AWS updates it there without notice,
and the version also depends on the region (Lambda's developer guide, "Runtime-included SDK versions"). The oldest
version here is the first one of python3.12: boto3 1.28.72, according to the table of runtimes in the guide of December
2023. The newest one is the newest release; `make lock UPGRADE=--upgrade` takes a newer one.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from bench.artifacts import Builder
from bench.deliveries import SECRETS, fresh
from bench.process import Process
from bench.subjects import OUR_ENVIRONMENT, environment_of
from tests.support import ROOT

PROBE = Path(__file__).with_name("boto3_probe.py")
FUNCTION = "jambonz_new_call"
STORES = ["PutItem"]
READS_SECRETS = ["GetSecretValue", "GetSecretValue"]
MAX_HANG_SECONDS = 4


@pytest.fixture(params=["oldest", "newest"])
def requirements(request: pytest.FixtureRequest) -> Path:
    return ROOT / "requirements" / f"boto3-{request.param}.txt"


@pytest.fixture
def runtime(requirements: Path, tmp_path: Path) -> Iterator[Path]:
    """The packages of a runtime. They are large, so they are removed after the test."""
    folder = Builder(tmp_path / "build", Path(sys.executable)).installed("runtime", requirements, compiled=False)
    yield folder
    shutil.rmtree(folder)


def test_a_call_is_stored_or_spilled_in_time_with_the_boto3_of_a_runtime(
    requirements: Path, runtime: Path, call_plan: Path
) -> None:
    own = (ROOT / "functions" / FUNCTION, ROOT / "layers" / "callhooks", call_plan)
    path = (*own, runtime, Path(boto3.__file__).parents[1])
    spec: dict[str, object] = {
        "path": [str(folder) for folder in path],
        "secrets": {name: json.dumps(secret) for name, secret in SECRETS.items()},
        "queue": OUR_ENVIRONMENT["SPILL_QUEUE"],
        "deliveries": fresh("jambonz/new_call", 5),
    }
    probe = Process(Path(sys.executable), path, environment_of(FUNCTION, ""))
    results: dict[str, Any] = json.loads(probe.run_probe(PROBE, spec))
    versions = [
        re.findall(rf"^{name}==(\S+)", requirements.read_text("utf-8"), re.MULTILINE) for name in ("boto3", "botocore")
    ]
    assert [[version] for version in results.pop("versions")] == versions
    assert all(file.startswith(f"{runtime}/") for file in results.pop("files"))
    (user_agent,) = results.pop("user agents")
    assert user_agent.startswith("callhooks Boto3/{} Botocore/{} ".format(*(found for (found,) in versions)))
    assert results.pop("workers") == ["Query", "GetItem", "PutEvents", "ChangeMessageVisibility"]

    assert {result["status"] for result in results.values()} == {200}
    assert {name: result["requests"] for name, result in results.items()} == {
        "stored": [*READS_SECRETS, *STORES],
        # A secret is requested again at once if the connection is closed.
        "duplicate in another container": ["GetSecretValue", *READS_SECRETS, *STORES],
        "DynamoDB fails once": ["PutItem", "PutItem"],
        "DynamoDB fails, SQS closes a connection": ["PutItem", "PutItem", "SendMessage", "SendMessage"],
        "DynamoDB hangs": ["PutItem", "PutItem", "SendMessage"],
        "DynamoDB has just hung": ["SendMessage"],
    }
    assert [name for name, result in results.items() if result["is_duplicate"]] == ["duplicate in another container"]
    assert results["stored"]["body"] == results["duplicate in another container"]["body"]
    assert results["DynamoDB hangs"]["seconds"] < MAX_HANG_SECONDS
    assert results["DynamoDB has just hung"]["seconds"] < 1
