"""The doctor compares the content of each layer with its functions."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest
from callhooks_tools.doctor.layers import layer_findings
from callhooks_tools.stack.deployment import Deployment
from callhooks_tools.stack.findings import Finding, FindingLevel
from callhooks_tools.stack.stack import StackResource
from callhooks_tools.stack.template import ALIAS
from moto import mock_aws

from tests.stacks import stack_outputs

if TYPE_CHECKING:
    from mypy_boto3_lambda.literals import ArchitectureType

STACK, LAYER = "callhooks", "callhooks-callhooks"
SIGNED_URL = "https://layers.example.com/content?X-Amz-Signature=secret"
FUNCTIONS: dict[str, ArchitectureType] = {"WavixCallFunction": "arm64", "BirdVoiceFunction": "arm64"}
PLATFORMS = {"arm64": "aarch64-linux-gnu", "x86_64": "x86_64-linux-gnu"}


def packed(names: Iterable[str]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "")
    return content.getvalue()


def layer_for(python: str, architecture: str, *, compiled: bool = True) -> bytes:
    names = ["python/callhooks/__init__.py", f"python/core.cpython-{python}-{PLATFORMS[architecture]}.so"]
    return packed([*names, *([f"python/callhooks/__pycache__/a.cpython-{python}.pyc"] if compiled else [])])


Findings = Callable[..., list[Finding]]


@pytest.fixture
def findings(monkeypatch: pytest.MonkeyPatch) -> Iterable[Findings]:
    """Return the findings for a stack with two functions on Python 3.13, and a layer with this content."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        session = boto3.session.Session()
        client = session.client("lambda")
        role = session.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        code = packed(["app.py"])
        arn = client.publish_layer_version(LayerName=LAYER, Content={"ZipFile": code})["LayerVersionArn"]

        def located(parsed: dict[str, Any], **_: object) -> None:
            parsed["Content"]["Location"] = SIGNED_URL

        session.events.register("after-call.lambda.GetLayerVersion", located)

        def found(
            content: bytes | httpx.Response,
            architectures: dict[str, ArchitectureType] = FUNCTIONS,
            endpoint_url: str | None = None,
        ) -> list[Finding]:
            resources = [StackResource("AWS::Lambda::LayerVersion", "CallhooksLayer0a1b2c3d4e", arn)]
            for name, architecture in architectures.items():
                client.create_function(
                    FunctionName=name, Role=role, Runtime="python3.13", Handler="app.handler", Code={"ZipFile": code},
                    Layers=[arn], Architectures=[architecture], Publish=True,
                )  # fmt: skip
                client.create_alias(FunctionName=name, Name=ALIAS, FunctionVersion="1")
                resources.append(StackResource("AWS::Lambda::Function", name, name))
            answer = content if isinstance(content, httpx.Response) else httpx.Response(200, content=content)
            deployment = Deployment(session, STACK, endpoint_url, stack_outputs(stack_name=STACK), resources)

            def respond(request: httpx.Request) -> httpx.Response:
                assert str(request.url) == SIGNED_URL
                return answer

            with httpx.Client(transport=httpx.MockTransport(respond)) as http:
                return list(layer_findings(deployment, http))

        yield found


@pytest.mark.parametrize("content", [layer_for("313", "arm64"), packed(["python/callhooks_plan/plan.json"])])
def test_a_layer_of_the_right_target_or_of_any_passes(findings: Findings, content: bytes) -> None:
    (finding,) = findings(content)
    assert finding.level is FindingLevel.OK
    assert finding.message == "All 1 are built for the processor and the Python of the functions."


@pytest.mark.parametrize(
    ("content", "built_for"),
    [
        (layer_for("313", "x86_64"), "Python 3.13 on x86_64"),
        (layer_for("312", "arm64"), "Python 3.12 on arm64"),
        (packed(["python/core.cpython-313-darwin.so", "python/a.pyc"]), "Python 3.13 on darwin"),
    ],
)
def test_a_layer_of_another_target_fails_with_a_remedy(findings: Findings, content: bytes, built_for: str) -> None:
    (finding,) = findings(content)
    assert (finding.check, finding.level) == (f"layer {LAYER}", FindingLevel.FAILURE)
    assert finding.message.startswith(f"It is built for {built_for}, but 2 functions run Python 3.13 on arm64")
    assert "Run make deploy" in finding.remedy


def test_each_function_is_compared_on_its_own(findings: Findings) -> None:
    (finding,) = findings(layer_for("313", "arm64"), FUNCTIONS | {"BirdVoiceFunction": "x86_64"})
    assert "but BirdVoiceFunction runs Python 3.13 on x86_64" in finding.message


def test_a_layer_without_bytecode_is_a_warning(findings: Findings) -> None:
    (finding,) = findings(layer_for("313", "arm64", compiled=False))
    assert finding.level is FindingLevel.WARNING
    assert "not compiled" in finding.message
    assert "Install Python 3.13" in finding.remedy


@pytest.mark.parametrize("content", [b"no archive", httpx.Response(403)])
def test_content_that_cannot_be_read_is_a_warning_without_the_signed_url(
    findings: Findings, content: bytes | httpx.Response
) -> None:
    (finding,) = findings(content)
    assert finding.level is FindingLevel.WARNING
    assert "cannot be downloaded" in finding.message
    assert "secret" not in f"{finding.message}{finding.remedy}"


def test_the_layers_of_the_local_stack_are_not_compared(findings: Findings) -> None:
    assert findings(layer_for("313", "x86_64"), endpoint_url="http://127.0.0.1:4566") == []
