"""Build for the deployed stack, and update it: `python -m callhooks_tools.packaging.deploy [OPTION OF SAM DEPLOY...]`.

`make deploy` runs this. On an update, sam keeps the value of each parameter that it does not get. A layer that is built
for another processor or Python than the functions' stops all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import yaml
from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from callhooks_tools.stack.layer_target import PLATFORMS, LayerTarget, targets_in
from callhooks_tools.stack.stack import ROOT
from callhooks_tools.stack.template import read_template

ARCHITECTURE, RUNTIME = "Architecture", "PythonRuntime"
BUILD = Path(".aws-sam", "build")

Run = Callable[[Sequence[str], Mapping[str, str]], int]
"""Run a command with an environment, and return its exit status."""


class DeploymentRefused(Exception):
    """The deployment would not work. The message contains the reason and the next step."""


@dataclass(frozen=True)
class DeploySettings:
    """Settings that `sam deploy` takes from its options and from `samconfig.toml`. Absent ones are `None`."""

    stack_name: str | None
    region: str | None
    profile: str | None
    parameters: Mapping[str, str]
    """Only architecture and runtime."""

    @classmethod
    def read(cls, options: Sequence[str], root: Path = ROOT) -> Self:
        """Read the options of `sam deploy`, and the settings that they do not replace."""
        parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
        parser.add_argument("--config-file", default="samconfig.toml")
        parser.add_argument("--config-env", default="default")
        for name in ("--stack-name", "--region", "--profile"):
            parser.add_argument(name)
        parser.add_argument("--parameter-overrides", nargs="*")
        given = vars(parser.parse_known_args(options)[0])
        environment = _table(tomllib.loads((root / given["config_file"]).read_text("utf-8")), given["config_env"])
        configured = {**_parameters(environment, "global"), **_parameters(environment, "deploy")}
        settings = configured | {name: value for name, value in given.items() if value is not None}
        return cls(
            stack_name=settings.get("stack_name"),
            region=settings.get("region"),
            profile=settings.get("profile"),
            parameters=_overrides(settings.get("parameter_overrides", "")),
        )


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table: Mapping[str, Any] = document.get(name, {})
    return table


def _parameters(environment: Mapping[str, Any], command: str) -> Mapping[str, Any]:
    return _table(_table(environment, command), "parameters")


def _overrides(overrides: str | Sequence[str] | Mapping[str, str]) -> Mapping[str, str]:
    """Return architecture and runtime from any of the forms that sam accepts."""
    if isinstance(overrides, Mapping):
        overrides = [f"{name}={value}" for name, value in overrides.items()]
    text = overrides if isinstance(overrides, str) else " ".join(overrides)
    pattern = rf"""\b({ARCHITECTURE}|{RUNTIME})["']?(?:,ParameterValue)?=["']?([\w.]+)"""
    return dict(re.findall(pattern, text))


def deployed_parameters(session: Session, stack_name: str) -> Mapping[str, str]:
    """Return the parameters of a stack, empty if it does not exist yet.

    Raises:
        DeploymentRefused: the stack cannot be read.
    """
    try:
        stack = session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
    except (BotoCoreError, ClientError) as error:
        if isinstance(error, ClientError) and "does not exist" in error.response["Error"].get("Message", ""):
            return {}
        raise DeploymentRefused(
            f"Cannot read the stack {stack_name}: {error}. Check AWS_PROFILE and AWS_REGION."
        ) from error
    if stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        # Only a change set exists, and sam uses none of its parameters.
        return {}
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])}


def target_for(settings: DeploySettings, deployed: Mapping[str, str], template: Mapping[str, Any]) -> LayerTarget:
    """Return the target of the functions after the deployment.

    It comes from the given parameters, otherwise from the stack, otherwise from the defaults of the template.

    Raises:
        DeploymentRefused: the template does not allow a value.
    """
    chosen = {}
    for name in (ARCHITECTURE, RUNTIME):
        parameter = template["Parameters"][name]
        chosen[name] = settings.parameters.get(name) or deployed.get(name) or parameter["Default"]
        if chosen[name] not in parameter["AllowedValues"]:
            raise DeploymentRefused(
                f"{name} is {chosen[name]}, which this version does not support. Set it: "
                f"make deploy PARAMETERS='{name}={parameter['Default']} ...' (or {_listed(parameter['AllowedValues'])})"
            )
    return LayerTarget.of_function(chosen[RUNTIME], chosen[ARCHITECTURE])


def _listed(values: Sequence[str]) -> str:
    return ", ".join(values)


def check_build(build: Path, target: LayerTarget) -> None:
    """Check that everything in a build runs on the target.

    Raises:
        DeploymentRefused: a layer is built for another processor or Python.
    """
    wrong = targets_in(path.name for path in build.rglob("*.so")) - {target}
    if wrong:
        raise DeploymentRefused(
            f"The layers are built for {_listed(sorted(map(str, wrong)))}, but the functions run {target}. Unset "
            f"LAYER_PYTHON and LAYER_PLATFORM, or deploy with PARAMETERS that match them."
        )


def restrict_template(template_file: Path, target: LayerTarget) -> None:
    """Allow only the values that the layers are built for, so that CloudFormation rejects an answer to `--guided`."""
    template = yaml.safe_load(template_file.read_text("utf-8"))
    for name, value in ((ARCHITECTURE, target.architecture), (RUNTIME, target.runtime)):
        template["Parameters"][name] |= {"Default": value, "AllowedValues": [value]}
    # JSON is valid YAML.
    template_file.write_text(json.dumps(template), "utf-8")


def deploy(options: Sequence[str], run: Run, root: Path = ROOT) -> int:
    """Build for the stack and deploy it. Return the exit status of sam.

    Raises:
        DeploymentRefused: nothing was deployed.
    """
    settings = DeploySettings.read(options, root)
    deployed: Mapping[str, str] = {}
    if settings.stack_name:
        deployed = deployed_parameters(_session(settings), settings.stack_name)
    target = target_for(settings, deployed, read_template(root / "template.yaml"))
    print(f"Building for {target}.", flush=True)
    platform = PLATFORMS[target.architecture]
    status = run(["sam", "build"], {"LAYER_PYTHON": target.python, "LAYER_PLATFORM": platform, **os.environ})
    if status != 0:
        return status
    check_build(root / BUILD, target)
    restrict_template(root / BUILD / "template.yaml", target)
    return run(["sam", "deploy", *options], os.environ)


def _session(settings: DeploySettings) -> Session:
    try:
        return Session(profile_name=settings.profile, region_name=settings.region)
    except BotoCoreError as error:
        raise DeploymentRefused(f"Invalid AWS configuration: {error}") from error


def main() -> None:
    """Deploy, and exit with the status of sam."""
    try:
        status = deploy(sys.argv[1:], lambda command, environment: subprocess.call(command, env=environment, cwd=ROOT))
    except DeploymentRefused as refused:
        sys.exit(f"callhooks: {refused}")
    sys.exit(status)


if __name__ == "__main__":
    main()
