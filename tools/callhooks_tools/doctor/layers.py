"""Check of the layers' contents: they run on the processor and the Python of their functions."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

import httpx

from callhooks_tools.stack.deployment import IMPATIENT, Deployment
from callhooks_tools.stack.findings import Finding, catch_aws_errors, existing, failure, or_ok, warning
from callhooks_tools.stack.layer_target import LayerTarget, targets_in
from callhooks_tools.stack.template import ALIAS

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import FunctionConfigurationResponseTypeDef

CHECK = "layers"


def layer_findings(deployment: Deployment, http: httpx.Client) -> Iterator[Finding]:
    """Check that each layer is built for its functions. The local engine runs every function in its own Python."""
    if deployment.is_local:
        return
    client = deployment.session.client("lambda", config=IMPATIENT)
    versions = deployment.all_of("AWS::Lambda::LayerVersion")
    found = (
        finding
        for version in versions
        for finding in catch_aws_errors(
            _check_of(version.physical_id), _layer(deployment, client, http, version.physical_id)
        )
    )
    yield from or_ok(found, CHECK, f"All {len(versions)} are built for the processor and the Python of the functions.")


def _layer(deployment: Deployment, client: LambdaClient, http: httpx.Client, arn: str) -> Iterator[Finding]:
    check = _check_of(arn)
    users = _targets_of_functions(deployment, client, arn)
    *_, name, version = arn.split(":")
    layer = existing(lambda: client.get_layer_version(LayerName=name, VersionNumber=int(version)))
    if layer is None or not users:
        # The check of functions reports a layer that is missing or not attached.
        return
    try:
        # The URL is signed, so it must not be part of a message.
        names = _file_names(http.get(layer["Content"]["Location"]).raise_for_status().content)
    except (httpx.HTTPError, httpx.InvalidURL, zipfile.BadZipFile) as error:
        yield warning(check, f"Not checked: its content cannot be downloaded ({type(error).__name__}).")
        return
    built_for = targets_in(names)
    for target, functions in users.items():
        if built_for and target not in built_for:
            yield failure(
                check,
                f"It is built for {' and '.join(sorted(map(str, built_for)))}, but {_counted(functions)} {target}: "
                "they cannot start, and callers hear silence.",
                f"Run make deploy, which builds it for the functions: {deployment.redeploy}.",
            )
    if built_for and not any(file.endswith(".pyc") for file in names):
        yield warning(
            check,
            "It is not compiled: cold starts take more than twice as long.",
            f"Install Python {min(target.python for target in built_for)} where you build, and {deployment.redeploy}.",
        )


def _check_of(arn: str) -> str:
    return f"layer {arn.split(':')[6]}"


def _counted(functions: Sequence[str]) -> str:
    return f"{functions[0]} runs" if len(functions) == 1 else f"{len(functions)} functions run"


def _targets_of_functions(
    deployment: Deployment, client: LambdaClient, layer: str
) -> Mapping[LayerTarget, Sequence[str]]:
    """Return the functions with this layer, by processor and Python."""
    found: dict[LayerTarget, list[str]] = {}
    for function in deployment.all_of("AWS::Lambda::Function"):
        request = partial(client.get_function_configuration, FunctionName=function.physical_id, Qualifier=ALIAS)
        configuration = existing(request)
        if configuration is not None and layer in [one.get("Arn") for one in configuration.get("Layers", [])]:
            found.setdefault(_target_of(configuration), []).append(function.logical_id)
    return found


def _target_of(configuration: FunctionConfigurationResponseTypeDef) -> LayerTarget:
    architectures = configuration.get("Architectures", ["x86_64"])
    return LayerTarget.of_function(configuration.get("Runtime", ""), architectures[0])


def _file_names(content: bytes) -> list[str]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.namelist()
