"""`make run` from its user's point of view: its output, its security, and what it leaves behind."""

from __future__ import annotations

import base64
import ctypes
import hashlib
import io
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import boto3
import httpx
import psutil
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from callhooks_tools.local.build import BUILDS, build_key
from callhooks_tools.stack.recordings import read_delivery

from bench.subjects import environment_of
from tests.e2e.breakage import physical_ids
from tests.running_stack import CALLHOOKS, STOP_SECONDS, RunningStack, start
from tests.support import EVENTS, ROOT


def processes_of(running: RunningStack) -> list[psutil.Process]:
    """Return the process of `callhooks run` and all its descendants."""
    own = psutil.Process(running.process.pid)
    return [own, *own.children(recursive=True)]


@pytest.fixture(scope="module")
def own_run() -> Iterator[RunningStack]:
    """Start a separate stack with parameters, in a folder that everyone can read. A test may stop it."""
    folder = ROOT / ".local" / "e2e-run"
    (folder / "run").mkdir(parents=True, exist_ok=True)
    (folder / "run" / "engine.log").touch()
    (folder / "run" / "engine.log").chmod(0o644)
    for path in (ROOT / ".local", folder, folder / "run"):
        path.chmod(0o755)
    own_run = start(folder, "--parameter", "BirdStatuses=completed, busy")
    yield own_run
    if own_run.process.poll() is None:
        own_run.stop()


def test_template_parameters_are_applied(own_run: RunningStack) -> None:
    answers = {}
    for status in ("ringing", "busy", "completed"):
        delivery = own_run.signed(read_delivery(EVENTS / "bird" / f"voice_inbound_{status}.json"))
        answers[status] = own_run.post(delivery).json()["status"]
    assert answers == {"ringing": "ignored", "busy": "stored", "completed": "stored"}
    assert {item["status"]["S"] for item in own_run.items()} == {"busy", "completed"}


def test_only_the_owner_can_read_the_written_files(own_run: RunningStack) -> None:
    assert own_run.post(own_run.recorded("new_call")).status_code == 200
    # Files in the builds folder may be links into uv's cache, so only the folder itself is checked.
    written = [ROOT / ".local", BUILDS, own_run.folder, *own_run.folder.rglob("*")]
    assert [path for path in written if path.stat().st_mode & 0o077] == []
    folders = (BUILDS, own_run.folder / "run", own_run.folder / "run" / "tmp")
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}
    for log in ("engine.log", "front.log", "sam.log"):
        assert stat.S_IMODE((own_run.folder / "run" / log).stat().st_mode) == 0o600


def test_the_printed_curl_command_works_and_a_stop_leaves_nothing_behind(own_run: RunningStack, tmp_path: Path) -> None:
    stack_file = own_run.folder / "stack.json"
    assert stat.S_IMODE(stack_file.stat().st_mode) == 0o600
    for step in ("Starting the local AWS engine", "sam build", "sam deploy", "Ready", own_run.stack.base_url):
        assert step in own_run.output

    (curl,) = [line for line in own_run.output.splitlines() if line.strip().startswith("curl ")]
    environment = {**os.environ, "CALLHOOKS_STACK_FILE": str(stack_file)}
    pasted = [
        subprocess.run(["bash", "-c", curl], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True)
        for _ in range(2)
    ]
    assert '"verb"' in pasted[0].stdout
    assert pasted[0].stdout == pasted[1].stdout
    assert len([item for item in own_run.items() if item["provider"]["S"] == "jambonz"]) == 1

    table = own_run.stack.events_table
    with pytest.raises(ClientError, match=r"[Dd]eletion.?[Pp]rotection"):
        own_run.client("dynamodb").delete_table(TableName=table)
    own_run.client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
    own_run.client("dynamodb").delete_table(TableName=table)
    assert own_run.post(own_run.recorded("new_call_outbound")).status_code == 200
    # Without the table, an event waits in the spill queue.
    event = own_run.signed(read_delivery(EVENTS / "wavix" / "ringing.json"))
    assert own_run.post(event).status_code == 200

    temporary = own_run.folder / "run" / "tmp"
    assert temporary.exists()
    started = processes_of(own_run)
    assert len(started) >= 3  # the command, the engine, a function's container
    # The kernel may hand a signal to any thread.
    other_thread = max(thread.id for thread in psutil.Process(own_run.process.pid).threads())
    assert ctypes.CDLL(None).tgkill(own_run.process.pid, other_thread, signal.SIGINT) == 0
    assert own_run.process.wait(STOP_SECONDS) == 0
    _, alive = psutil.wait_procs(started, timeout=5)
    assert not alive
    assert not temporary.exists()
    assert not stack_file.exists()


def test_an_invalid_parameter_is_rejected(tmp_path: Path) -> None:
    for parameter in ("BirdStatuses", "=completed", 'BirdStatuses="x"'):
        ended = subprocess.run(
            [CALLHOOKS, "run", "--parameter", parameter], capture_output=True, text=True, check=False, cwd=tmp_path
        )
        assert ended.returncode == 2
        assert f"Invalid --parameter {parameter!r}. Use NAME=VALUE" in ended.stderr


def test_a_request_to_an_unknown_route_is_logged_without_its_token(running: RunningStack) -> None:
    token = running.stack.credentials.of("wavix")["token"]
    assert httpx.post(f"{running.stack.base_url}/webhooks/wavix/{token}/").status_code == 404
    assert httpx.get(f"{running.stack.base_url}/webhook/call").status_code == 404
    assert httpx.post(f"{running.stack.base_url}/{token}").status_code == 404
    lines = [line for line in running.output.splitlines() if "no matching route in template.yaml" in line]
    assert any("POST /webhooks/wavix/.../  404" in line for line in lines)
    assert any("GET /.../call  404" in line for line in lines)
    assert token not in "".join(lines)


def test_it_listens_on_loopback_only(running: RunningStack) -> None:
    listening = {
        connection.laddr.ip
        for process in processes_of(running)
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


@dataclass(frozen=True)
class Operation:
    """Request that another user of the machine might send to the engine."""

    service: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


def operations(running: RunningStack) -> dict[str, Operation]:
    physical = physical_ids(running)
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "def handler(event, context):\n    return 'done'\n")
    json_1_0, json_1_1 = "application/x-amz-json-1.0", "application/x-amz-json-1.1"
    function = {
        "FunctionName": "of-another-user",
        "Runtime": "python3.13",
        "Handler": "app.handler",
        "Role": f"arn:aws:iam::000000000000:role/{physical['WavixCallRole']}",
        "Code": {"ZipFile": base64.b64encode(code.getvalue()).decode()},
    }
    return {
        "GetSecretValue": Operation(
            "secretsmanager",
            "/",
            {"X-Amz-Target": "secretsmanager.GetSecretValue", "Content-Type": json_1_1},
            {"SecretId": physical["JambonzCredentials"]},
        ),
        "Scan": Operation(
            "dynamodb",
            "/",
            {"X-Amz-Target": "DynamoDB_20120810.Scan", "Content-Type": json_1_0},
            {"TableName": running.stack.events_table},
        ),
        "CreateFunction": Operation("lambda", "/2015-03-31/functions", {"Content-Type": "application/json"}, function),
    }


def keys_derived_from_names(running: RunningStack) -> Credentials:
    """Derive the keys of a function from public names, as the unprotected engine does."""
    # The engine creates a function's keys when the function first runs.
    assert running.post(running.signed(read_delivery(EVENTS / "wavix" / "ringing.json"))).status_code == 200
    functions = running.client("lambda").list_functions()["Functions"]
    (function,) = [one for one in functions if "WavixCallFunction" in one["FunctionName"]]
    digest = hashlib.sha256(f"{function['FunctionArn']}:{function['Role']}".encode()).hexdigest()
    secret, token = (hashlib.sha256(f"{kind}:{digest}".encode()).hexdigest() for kind in ("secret", "token"))
    return Credentials(f"ASIA{digest[:16].upper()}", secret, token)


def send_operation(
    running: RunningStack, operation: Operation, keys: Credentials | None, headers: Mapping[str, str] = {}
) -> httpx.Response:
    """Send an operation to the engine, signed if `keys` is given."""
    url = f"{running.stack.aws_endpoint_url}{operation.path}"
    request = AWSRequest("POST", url, {**operation.headers, **headers}, json.dumps(operation.body))
    if keys is not None:
        SigV4Auth(keys, operation.service, running.stack.region).add_auth(request)
    return httpx.post(url, headers=dict(request.headers), content=request.data, timeout=30, trust_env=False)


def own_keys(running: RunningStack) -> Credentials:
    return Credentials(running.stack.aws_access_key_id, running.stack.aws_secret_access_key)


Keys: TypeAlias = Callable[[RunningStack], Credentials | None]

# tests/unit/tools/local/test_engine_guard.py has the other cases.
REJECTED: dict[str, tuple[Keys, dict[str, str], str]] = {
    "the well-known key": (lambda _: Credentials("test", "test"), {}, "does not belong to this local stack"),
    "derived keys of a function": (keys_derived_from_names, {}, "does not belong to this local stack"),
    "no signature": (lambda _: None, {}, "exactly one signature"),
    "a web page": (own_keys, {"Origin": "https://example.com"}, "web pages"),
    "another name": (own_keys, {"Host": "example.com"}, "127.0.0.1, localhost"),
}


@pytest.mark.parametrize(("keys", "headers", "reason"), REJECTED.values(), ids=list(REJECTED))
def test_the_engine_rejects_other_users_and_web_pages(
    running: RunningStack, keys: Keys, headers: dict[str, str], reason: str
) -> None:
    for operation in operations(running).values():
        answer = send_operation(running, operation, keys(running), headers)
        assert answer.status_code == 403
        assert reason in answer.text
        assert running.stack.aws_access_key_id not in answer.text
        assert running.stack.credentials.of("jambonz")["password"] not in answer.text
        assert not [name for name in answer.headers if name.startswith("access-control-")]
    functions = running.client("lambda").list_functions()["Functions"]
    assert "of-another-user" not in {function["FunctionName"] for function in functions}


def test_the_key_id_without_its_secret_is_rejected(running: RunningStack) -> None:
    keys = Credentials(running.stack.aws_access_key_id, "test")
    for operation in operations(running).values():
        answer = send_operation(running, operation, keys)
        assert answer.is_client_error
        assert "signature we calculated does not match" in answer.text


def test_the_engine_accepts_its_own_keys(running: RunningStack) -> None:
    answers = {
        name: send_operation(running, operation, own_keys(running)) for name, operation in operations(running).items()
    }
    running.client("lambda").delete_function(FunctionName="of-another-user")
    assert {name: answer.is_success for name, answer in answers.items()} == dict.fromkeys(answers, True)
    assert running.stack.credentials.of("jambonz")["password"] in answers["GetSecretValue"].text
    assert not [name for answer in answers.values() for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("OPTIONS", "/", {"Origin": "https://example.com", "Access-Control-Request-Method": "POST"}),
        ("GET", "/_ministack/health", {}),
        ("POST", "/_ministack/reset", {}),
        ("GET", "/_aws/execute-api/api/stage", {"Connection": "Upgrade", "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}),
    ],
)  # fmt: skip
def test_the_other_endpoints_of_the_engine_are_closed(
    running: RunningStack, method: str, path: str, headers: dict[str, str]
) -> None:
    url = f"{running.stack.aws_endpoint_url}{path}"
    answer = httpx.request(method, url, headers=headers, timeout=30, trust_env=False)
    assert answer.status_code == 403
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    # The reset did not happen.
    assert running.client("dynamodb").list_tables()["TableNames"]


def test_the_keys_of_the_engine_are_new_and_only_in_the_stack_file(
    running: RunningStack, own_run: RunningStack
) -> None:
    assert running.post(running.new_call()).status_code == 200
    keys = {running.stack.aws_access_key_id, running.stack.aws_secret_access_key}
    assert not keys & {own_run.stack.aws_access_key_id, own_run.stack.aws_secret_access_key}
    started = processes_of(running)
    workers = [process for process in started if "_worker.py" in " ".join(process.cmdline())]
    assert workers
    visible = [" ".join(process.cmdline()) for process in started]
    visible += [str(worker.environ()) for worker in workers]
    visible += [running.output, *(log.read_text() for log in (running.folder / "run").glob("*.log"))]
    assert not [text for text in visible if any(key in text for key in keys)]


def test_a_second_stack_in_the_same_folder_is_refused(running: RunningStack) -> None:
    second = running.command("run", "--port", "0")
    assert second.returncode == 1
    assert "already running in this folder" in second.stderr
    assert running.post(running.new_call()).status_code == 200


def test_the_engine_stops_when_its_parent_is_killed(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    program = f"""
import os, signal
from pathlib import Path
from callhooks_tools.local.engine import Engine
engine = Engine(Path({str(tmp_path)!r}))
engine.start()
print(engine.access.endpoint_url.rpartition(":")[2], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 10
    while True:
        with socket.socket() as client:
            refused = client.connect_ex(("127.0.0.1", int(killed.stdout)))
        if refused or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert refused


def test_a_port_in_use_is_reported_immediately(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        environment = {**os.environ, "CALLHOOKS_STACK_FILE": str(tmp_path / "stack.json")}
        ended = subprocess.run(
            [CALLHOOKS, "run", "--port", str(port)], capture_output=True, text=True, env=environment, check=False
        )
    assert ended.returncode == 1
    assert f"Cannot listen on port {port}: Address already in use." in ended.stderr
    assert "make run PORT=" in ended.stderr


def test_a_missing_python_is_reported() -> None:
    made = subprocess.run(
        ["make", "run", "PYTHON=", "VENV=.local/no-such-venv"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert made.returncode != 0
    assert "callhooks needs Python 3.11 or later" in made.stderr


# The packages of the Lambda runtime, in addition to the standard library.
RUNTIME_PACKAGES = ("boto3", "botocore", "s3transfer", "urllib3", "dateutil", "six.py")


@pytest.mark.parametrize("folder", ["jambonz_new_call", "wavix_call", "bird_voice", "voipstudio_event"])
def test_the_layers_contain_all_dependencies_of_a_function_as_bytecode(
    running: RunningStack, folder: str, tmp_path: Path
) -> None:
    build = BUILDS / build_key(ROOT)
    for package in RUNTIME_PACKAGES:
        (tmp_path / package).symlink_to(Path(boto3.__file__).parents[1] / package)
    attached = ["CallhooksLayer", "CallPlanLayer"] if folder == "jambonz_new_call" else ["CallhooksLayer"]
    layers = [build / layer / "python" for layer in attached]
    assert list(layers[0].glob("callhooks/webhooks/__pycache__/pipeline.*.pyc"))
    assert list(layers[0].glob("aws_lambda_powertools/**/*.pyc"))
    program = f"""
import sys
import time
sys.path[:0] = {[str(path) for path in (ROOT / "functions" / folder, *layers, tmp_path)]!r}
import app
assert app.receiver
# The function for new calls builds its receiver lazily, with a fallback.
getattr(app, "new_receiver", lambda: None)()
"""
    # -I and -S exclude site-packages, so that the development environment cannot supply a missing package.
    subprocess.run([sys.executable, "-I", "-S", "-c", program], env=environment_of(folder, ""), check=True)
