"""`sam local` against the running local stack: what the containers need, and what they may reach."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError
from pydantic import TypeAdapter, ValidationError

from callhooks_tools.local.build import shared_build
from callhooks_tools.local.containers import Bridge, Processor, SamLocalFailed
from callhooks_tools.local.relay import relay_to
from callhooks_tools.local.run import LocalStackFailed, Sam
from callhooks_tools.stack.layer_target import LayerTarget
from callhooks_tools.stack.private_files import make_private_folder
from callhooks_tools.stack.stack import (
    LOCAL_REGION,
    ROOT,
    EngineAccess,
    LocalStack,
    StackUnknown,
    stack_resources,
    use_local_engine,
)
from callhooks_tools.stack.template import read_template

SAM = Path(sys.prefix) / "bin" / "sam"
TEMPLATE = "sam-local.yaml"
FUNCTION = "AWS::Serverless::Function"
ALL_FUNCTIONS = "Parameters"
"""The member of a file for `sam local --env-vars` with variables for all functions."""
ENGINE_VARIABLES = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
)
"""Variables that connect a function to the engine. `sam local --env-vars` sets only variables of the template."""

Variables = Mapping[str, Mapping[str, str]]
"""Environment variables by the function's name in the template."""
_VARIABLES: TypeAdapter[dict[str, dict[str, str]]] = TypeAdapter(dict[str, dict[str, str]])


def function_names() -> list[str]:
    """Return the names of all functions in the template."""
    resources = read_template(ROOT / "template.yaml")["Resources"]
    return [name for name, resource in resources.items() if resource["Type"] == FUNCTION]


def runtime_version() -> str:
    """Return the Python version of the functions, as the template sets it by default."""
    runtime: str = read_template(ROOT / "template.yaml")["Parameters"]["PythonRuntime"]["Default"]
    return runtime.removeprefix("python")


def build(folder: Path, processor: Processor) -> Path:
    """Return the template for `sam local`, built for this machine's processor and the functions' Python.

    The unchanged template, which a plain `sam local` takes, is next to it.

    Raises:
        SamLocalFailed: `sam build` failed.
    """
    target = LayerTarget(runtime_version(), processor.sam)

    def build_into(build: Path) -> None:
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        Sam(folder, layers=target).build_into(build)
        shutil.rmtree(temporary)
        built: dict[str, Any] = json.loads((build / "template.yaml").read_text("utf-8"))
        (build / TEMPLATE).write_text(json.dumps(for_containers(built, processor)), "utf-8")

    try:
        return shared_build(build_into, target=f"{target} {TEMPLATE}") / TEMPLATE
    except LocalStackFailed as error:
        raise SamLocalFailed(str(error)) from error


def for_containers(template: Mapping[str, Any], processor: Processor) -> Mapping[str, Any]:
    """Return a template whose functions have the variables of the engine, and run on a processor by default."""
    parameters, common = template["Parameters"], template["Globals"]["Function"]
    variables = {**common["Environment"]["Variables"], **dict.fromkeys(ENGINE_VARIABLES, "")}
    return {
        **template,
        "Parameters": {**parameters, "Architecture": {**parameters["Architecture"], "Default": processor.sam}},
        "Globals": {"Function": {**common, "Environment": {"Variables": variables}}},
    }


def variables_of_stack(stack: LocalStack) -> Variables:
    """Return the environment variables of all functions of the running local stack.

    Raises:
        SamLocalFailed: the local stack has stopped.
    """
    session: Session = use_local_engine(stack.engine)
    try:
        pages = session.client("lambda").get_paginator("list_functions").paginate()
        deployed = {
            one["FunctionName"]: one.get("Environment", {}).get("Variables", {})
            for page in pages
            for one in page["Functions"]
        }
        resources = stack_resources(session, stack.stack_name)
    except (BotoCoreError, ClientError) as error:
        raise SamLocalFailed(
            f"The local stack does not respond at {stack.aws_endpoint_url}. Start it with: make run"
        ) from error
    return {one.logical_id: deployed[one.physical_id] for one in resources if one.physical_id in deployed}


def variables_of_file(path: Path) -> Variables:
    """Return the environment variables in a file for `sam local --env-vars`.

    Raises:
        SamLocalFailed: the file is missing or has another form.
    """
    try:
        return _VARIABLES.validate_json(path.read_bytes())
    except OSError as error:
        raise SamLocalFailed(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        raise SamLocalFailed(
            f"{path}: not a file for sam local --env-vars with an object of strings for each function"
        ) from error


def variables_for_containers(
    deployed: Variables, own: Variables, engine: EngineAccess, address: str, public_url: str
) -> Variables:
    """Return the environment variables with which functions in containers use the local stack.

    Args:
        deployed: the variables of the local stack.
        own: variables that replace those of the local stack, such as test credentials.
        engine: the engine, as programs on this machine reach it.
        address: the engine's URL for containers.
        public_url: the URL of the API; empty for the host of each request.

    Raises:
        SamLocalFailed: `own` names a function that does not exist.
    """
    if unknown := own.keys() - deployed.keys() - {ALL_FUNCTIONS}:
        raise SamLocalFailed(f"--env-vars has variables for unknown functions: {', '.join(sorted(unknown))}")
    connection = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": engine.access_key_id,
        "AWS_SECRET_ACCESS_KEY": engine.secret_access_key,
        # The user's own session may have one.
        "AWS_SESSION_TOKEN": "",
        "AWS_REGION": LOCAL_REGION,
        "AWS_DEFAULT_REGION": LOCAL_REGION,
    }
    return {
        function: {
            **{name: value.replace(engine.endpoint_url, address) for name, value in variables.items()},
            "PUBLIC_URL": public_url,
            **connection,
            **own.get(ALL_FUNCTIONS, {}),
            **own.get(function, {}),
        }
        for function, variables in deployed.items()
    }


def with_new_request_id(event: str) -> str:
    """Return an event with a new request id if it has one, because each request to API Gateway gets its own.

    callhooks does not count a second write with the same request id as a repeat.

    Raises:
        SamLocalFailed: the event is not JSON.
    """
    try:
        document: Any = json.loads(event)
    except ValueError as error:
        raise SamLocalFailed(f"The event is not JSON: {error}") from error
    request = document.get("requestContext") if isinstance(document, dict) else None
    if isinstance(request, dict) and "requestId" in request:
        document = {**document, "requestContext": {**request, "requestId": uuid.uuid4().hex}}
    return json.dumps(document)


@contextmanager
def private_file(folder: Path, name: str, text: str) -> Iterator[Path]:
    """Write a JSON file that only its owner can read; remove it at the end of the block."""
    descriptor, path = tempfile.mkstemp(prefix=f"{name}-", suffix=".json", dir=folder)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        yield Path(path)
    finally:
        Path(path).unlink(missing_ok=True)


def make_folder(stack_file: Path) -> Path:
    """Return the folder for logs and variables, accessible only to its owner."""
    folder = stack_file.with_name("sam-local")
    make_private_folder(folder)
    return folder


@contextmanager
def engine_for_containers(engine: EngineAccess, bridge: Bridge | None) -> Iterator[str]:
    """Yield the URL of the engine for containers. It works until the end of the block.

    Args:
        engine: the engine, as programs on this machine reach it.
        bridge: the network of the containers; `None` if Docker itself forwards to this machine's loopback.

    Raises:
        SamLocalFailed: this machine has no address in that network.
    """
    port = int(engine.endpoint_url.rpartition(":")[2])
    if bridge is None:
        yield f"http://host.docker.internal:{port}"
        return
    with relay_to(port, bridge) as own_port:
        yield f"http://{bridge.gateway}:{own_port}"


def read_stack() -> LocalStack:
    """Return the running local stack.

    Raises:
        SamLocalFailed: it is not running, or the SAM CLI is not installed.
    """
    if not SAM.exists():
        raise SamLocalFailed(f"The SAM CLI is not installed: {SAM} is missing. Run: make setup")
    try:
        return LocalStack.read()
    except StackUnknown as error:
        raise SamLocalFailed(str(error)) from error
