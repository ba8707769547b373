"""The imports of a cold start, during which a caller hears silence. Rejected requests import as little as possible.

Each function starts in new processes and is compared with a handler that has only boto3 and one Pydantic model. The
limits leave room for a noisy machine; `make bench` shows the real figures.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import boto3
import pytest

from bench.artifacts import Package
from bench.deliveries import forged, fresh, without_credentials
from bench.measure import Calls, calls_of
from bench.process import Measured, Process, ProcessFailed
from bench.steps import steps
from bench.subjects import OUR_ENVIRONMENT, PEER_ENVIRONMENT, RECORDING_OF, Subject, environment_of, new_double
from tests.support import ROOT, resource, template

ROUNDS = 5
OF_EVENTS = ("jambonz_event", "wavix_call", "bird_voice", "voipstudio_event")
FOR_A_CALLER = ("jambonz_new_call", "jambonz_action", "jambonz_client_auth", "jambonz_tool")
MAX_FOR_A_NEW_CALL = 1.35
MAX_FOR_A_REJECTION = 0.75
NEVER = (
    "yaml",
    "aws_xray_sdk",
    "aws_lambda_powertools.event_handler",
    "aws_lambda_powertools.utilities.batch",
    "aws_lambda_powertools.utilities.parser.models",
    "jsonschema",
    "requests",
    "httpx",
    "callhooks.calls.call",
    "callhooks.call_log.app",
    "callhooks.calls.projector",
    "callhooks.providers.jambonz.plan.speech",
)
NOT_FOR_A_REJECTION = (
    "boto3",
    "botocore.session",
    "urllib3",
    "aws_lambda_powertools.utilities.idempotency",
    "callhooks.events.event_table",
)


@cache
def site_packages() -> Path:
    return Path(boto3.__file__).parents[1]


def function(name: str, layer: Path, call_plan: Path, endpoint_url: str = "http://127.0.0.1:9") -> Process:
    path = (ROOT / "functions" / name, layer / "python", call_plan, site_packages())
    return Process(Path(sys.executable), path, environment_of(name, endpoint_url))


def floor(layer: Path) -> Process:
    peers = ROOT / "bench" / "peers"
    path = (peers / "bare_pydantic", peers / "shared", layer / "python", site_packages())
    return Process(Path(sys.executable), path, {**PEER_ENVIRONMENT, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"})


def imported(measured: Measured, names: Sequence[str]) -> list[str]:
    return [name for name in names if name in measured.modules]


@pytest.mark.parametrize("name", OF_EVENTS)
def test_requests_without_credentials_are_rejected_without_importing_boto3(
    name: str, layer: Path, call_plan: Path
) -> None:
    (delivery,) = fresh(RECORDING_OF[name], 1)
    measured = function(name, layer, call_plan).run(first=[without_credentials(delivery)])
    assert measured.statuses == (401,)
    assert imported(measured, (*NEVER, *NOT_FOR_A_REJECTION)) == []


@pytest.mark.parametrize("name", FOR_A_CALLER)
def test_functions_with_a_waiting_caller_import_only_what_they_need(name: str, layer: Path, call_plan: Path) -> None:
    never = [module for module in NEVER if (name, module) not in NEEDED]
    measured = function(name, layer, call_plan).run()
    assert imported(measured, never) == []
    assert "boto3" in measured.modules


NEEDED = {("jambonz_tool", "callhooks.calls.call")}
"""Tools can look up calls."""


def test_a_cold_start_takes_little_longer_than_boto3_and_pydantic(layer: Path, call_plan: Path) -> None:
    bare, new_call = floor(layer), function("jambonz_new_call", layer, call_plan)
    refusing = function("jambonz_event", layer, call_plan)
    (delivery,) = fresh(RECORDING_OF["jambonz_event"], 1)
    took: Mapping[str, list[float]] = {"bare": [], "new call": [], "refusal": []}
    for _ in range(ROUNDS):
        took["bare"].append(bare.run().import_cpu)
        took["new call"].append(new_call.run().import_cpu)
        refused = refusing.run(first=[without_credentials(delivery)])
        took["refusal"].append(refused.import_cpu + refused.first_cpu)
    quickest = {name: min(times) for name, times in took.items()}
    assert quickest["new call"] / quickest["bare"] <= MAX_FOR_A_NEW_CALL
    assert quickest["refusal"] / quickest["bare"] <= MAX_FOR_A_REJECTION


def test_deliveries_cost_the_same_aws_calls_on_the_built_layer(layer: Path, call_plan: Path) -> None:
    name, recording = "jambonz_new_call", RECORDING_OF["jambonz_new_call"]
    (delivery,) = fresh(recording, 1)
    with new_double().running() as double:
        subject = Subject(
            name,
            Package((), site_packages()),
            function(name, layer, call_plan, double.url),
            partial(fresh, recording),
            rejected=without_credentials(delivery),
            forged=forged(delivery),
        )
        counted = calls_of(subject, double)
    assert counted == Calls(cold_start=2, fresh=1, duplicate_elsewhere=1, duplicate=0, rejected=0, forged=0)


def test_the_steps_of_a_delivery_are_measured_on_the_built_layer(layer: Path, call_plan: Path) -> None:
    measured = steps(function("jambonz_event", layer, call_plan))
    assert {"parse", "put the item (botocore, no network)", "write the log line"} <= measured.keys()
    with pytest.raises(ProcessFailed, match="No module named 'callhooks'"):
        steps(replace(function("jambonz_event", layer, call_plan), path=(site_packages(),)))


def test_functions_are_measured_with_the_environment_of_the_template() -> None:
    common = template()["Globals"]["Function"]["Environment"]["Variables"]
    for name in RECORDING_OF:
        logical_id = "".join(part.capitalize() for part in name.split("_")) + "Function"
        own = resource(logical_id).get("Environment", {}).get("Variables", {})
        assert {*common, *own} <= {*environment_of(name, "")}
        plain = {member: value for member, value in {**common, **own}.items() if isinstance(value, str)}
        assert plain.items() <= environment_of(name, "").items()
    assert OUR_ENVIRONMENT["PYDANTIC_DISABLE_PLUGINS"] == "__all__"
