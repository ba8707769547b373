"""Build for the deployed stack, and update it: `python -m callhooks_tools.packaging.deploy [OPTION OF SAM DEPLOY...]`.

`make deploy` runs this. On an update, sam keeps the value of each parameter that it does not get. A layer that is built
for another processor or Python than the functions' stops all of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError

from callhooks_tools.packaging.settings import ARCHITECTURE, RUNTIME, Refused, Run, SamSettings, run_program
from callhooks_tools.stack.aws_errors import explain_aws_error
from callhooks_tools.stack.layer_target import PLATFORMS, LayerTarget, targets_in
from callhooks_tools.stack.stack import ROOT, is_missing_stack
from callhooks_tools.stack.template import read_template

BUILD = Path(".aws-sam", "build")


def deployed_parameters(session: Session, stack_name: str) -> Mapping[str, str]:
    """Return the parameters of a stack, empty if it does not exist yet.

    Raises:
        BotoCoreError, ClientError: the stack cannot be read.
    """
    try:
        stack = session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]
    except ClientError as error:
        if is_missing_stack(error):
            return {}
        raise
    if stack["StackStatus"] == "REVIEW_IN_PROGRESS":
        # Only a change set exists, and sam uses none of its parameters.
        return {}
    return {one["ParameterKey"]: one["ParameterValue"] for one in stack.get("Parameters", [])}


def target_for(settings: SamSettings, deployed: Mapping[str, str], template: Mapping[str, Any]) -> LayerTarget:
    """Return the target of the functions after the deployment.

    It comes from the given parameters, otherwise from the stack, otherwise from the defaults of the template.

    Raises:
        Refused: the template does not allow a value.
    """
    chosen = {}
    for name in (ARCHITECTURE, RUNTIME):
        parameter = template["Parameters"][name]
        chosen[name] = settings.parameters.get(name) or deployed.get(name) or parameter["Default"]
        if chosen[name] not in parameter["AllowedValues"]:
            supported = ", ".join(parameter["AllowedValues"])
            raise Refused(
                f"{name} is {chosen[name]}, which this version does not support. Set it: "
                f"make deploy PARAMETERS='{name}={parameter['Default']} ...' (or {supported})"
            )
    return LayerTarget.of_function(chosen[RUNTIME], chosen[ARCHITECTURE])


def check_build(build: Path, target: LayerTarget) -> None:
    """Check that everything in a build runs on the target.

    Raises:
        Refused: a layer is built for another processor or Python.
    """
    wrong = targets_in(path.name for path in build.rglob("*.so")) - {target}
    if wrong:
        raise Refused(
            f"The layers are built for {', '.join(sorted(map(str, wrong)))}, but the functions run {target}. Unset "
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
    """Build for the stack, delete old versions of its functions, and deploy. Return the exit status of sam.

    Raises:
        Refused: nothing was deployed.
    """
    settings = SamSettings.of_deployment(options, root)
    deployed = _deployed(settings)
    target = target_for(settings, deployed, read_template(root / "template.yaml"))
    print(f"Building for {target}.", flush=True)
    platform = PLATFORMS[target.architecture]
    status = run(["sam", "build"], {"LAYER_PYTHON": target.python, "LAYER_PLATFORM": platform, **os.environ})
    if status != 0:
        return status
    check_build(root / BUILD, target)
    restrict_template(root / BUILD / "template.yaml", target)
    # The answers to --guided may name a stack other than the one that was read.
    if settings.stack_name and deployed and not settings.is_guided:
        # Lambda does not publish content that equals the newest version, such as one of an update that was rolled back.
        # The deployment does not depend on this, so the status is ignored.
        run(["callhooks", "prune", "--stack", settings.stack_name, *settings.account_options], os.environ)
    return run(["sam", "deploy", *options], os.environ)


def _deployed(settings: SamSettings) -> Mapping[str, str]:
    """Return the parameters of the stack that the settings select, empty if there is none.

    Raises:
        Refused: the stack cannot be read.
    """
    if not settings.stack_name:
        return {}
    try:
        return deployed_parameters(settings.session(), settings.stack_name)
    except (BotoCoreError, ClientError) as error:
        raise Refused(
            f"Cannot read the stack {settings.stack_name}. {explain_aws_error(error, settings.profile_in_use)}\n"
            "Options for make: SAM_OPTIONS='--profile NAME --region REGION', or AWS_PROFILE=NAME AWS_REGION=REGION"
        ) from error


if __name__ == "__main__":
    run_program(deploy)
