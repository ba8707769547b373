"""Start of the local stack: AWS engine, `sam build`, `sam deploy`, and the HTTP front."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml
from boto3.session import Session
from botocore.config import Config

from callhooks_tools.local.build import shared_build
from callhooks_tools.local.engine import LOOPBACK, Engine
from callhooks_tools.local.http_front import CONCURRENT_INVOCATIONS, Front, routes_of
from callhooks_tools.stack.layer_target import PLATFORMS, LayerTarget
from callhooks_tools.stack.private_files import OTHERS, make_private, make_private_folder
from callhooks_tools.stack.secrets import SenderSecrets, read_credentials, secret_kinds
from callhooks_tools.stack.stack import (
    LOCAL_FOLDER,
    LOCAL_REGION,
    ROOT,
    EngineAccess,
    LocalStack,
    StackOutputs,
    local_aws_environment,
    stack_resources,
    use_local_engine,
)

STACK_NAME = "callhooks"
MAX_PORT = 65535
SECRET_BYTES = 20

Step = Callable[[str], AbstractContextManager[None]]


class LocalStackFailed(Exception):
    """The local stack did not start. The message contains the reason and the next step."""


def prepare_folder(stack_file: Path) -> Path:
    """Return the folder for the logs of the local stack, readable only by its owner.

    From now on, all files that this process creates are private. Existing files in the folder and in `.local` become
    private too.

    Raises:
        LocalStackFailed: a file belongs to another user.
    """
    os.umask(OTHERS)
    folder = stack_file.with_name("run")
    try:
        make_private_folder(folder)
        for existing in (LOCAL_FOLDER, folder):
            if existing.exists():
                make_private(existing)
    except PermissionError as error:
        raise LocalStackFailed(
            f"Cannot make {error.filename} private: {error.strerror}. If it belongs to another user, remove it."
        ) from error
    return folder


@contextmanager
def run_local_stack(
    *,
    port: int,
    parameters: Mapping[str, str],
    stack_file: Path,
    step: Step,
    on_request: Callable[[str], None],
) -> Iterator[LocalStack]:
    """Run the local stack until the block ends.

    Args:
        port: the port of the HTTP API on loopback; 0 picks a free one.
        parameters: template parameters that differ from their defaults.
        stack_file: the file that describes the stack to other programs, removed at the end. Logs and temporary files
            go to the folder of `prepare_folder`.
        step: returns a context manager for a named step of the progress.
        on_request: called with a log line for each request.

    Raises:
        LocalStackFailed, EngineFailed: the stack did not start.
    """
    folder = stack_file.with_name("run")
    with ExitStack() as stack:
        stack.enter_context(_sole_run(folder))
        listener = stack.enter_context(_listener(port))
        base_url = f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        temporary = folder / "tmp"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
        stack.callback(shutil.rmtree, temporary, ignore_errors=True)

        engine = Engine(folder)
        with step("Starting the local AWS engine"):
            stack.callback(engine.stop)
            engine.start()
        sam = Sam(folder, engine.access)
        with step("Building (sam build)"):
            build = sam.build()
        with step("Deploying (sam deploy)"):
            sam.deploy(build, {"PublicUrl": base_url, **parameters})
        with step("Starting the HTTP API"):
            session = use_local_engine(engine.access)
            outputs = StackOutputs.read(session, STACK_NAME)
            for name, kind in secret_kinds().items():
                # The engine ignores ExcludePunctuation, which URL tokens need. Secrets issued by providers are empty.
                generated = kind.secret.prefix + secrets.token_hex(SECRET_BYTES)
                SenderSecrets.of(name, session, outputs).replace(generated)
            front = _front(session, listener, on_request)
            front.start()
            stack.callback(front.stop)
        local_stack = LocalStack(
            base_url=base_url,
            aws_endpoint_url=engine.access.endpoint_url,
            aws_access_key_id=engine.access.access_key_id,
            aws_secret_access_key=engine.access.secret_access_key,
            region=LOCAL_REGION,
            stack_name=STACK_NAME,
            events_table=outputs.events_table,
            credentials=read_credentials(session, outputs),
        )
        stack.callback(stack_file.unlink, missing_ok=True)
        local_stack.write(stack_file)
        yield local_stack


class Sam:
    """The SAM CLI, pointed at the local engine.

    Args:
        folder: an existing folder for its log, with a subfolder `tmp`.
        engine: `None` if only `build` is used.
        layers: the target of `build`; `None` for this machine and this process's Python.
    """

    def __init__(self, folder: Path, engine: EngineAccess | None = None, layers: LayerTarget | None = None) -> None:
        self._log = folder / "sam.log"
        self._log.unlink(missing_ok=True)
        self._environment = (dict(os.environ) if engine is None else local_aws_environment(engine)) | {
            "PATH": f"{Path(sys.prefix) / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "TMPDIR": str(folder / "tmp"),
            "CALLHOOKS_VENV": sys.prefix,
            "LAYER_PYTHON": layers.python if layers else f"{sys.version_info.major}.{sys.version_info.minor}",
            "LAYER_PLATFORM": PLATFORMS[layers.architecture] if layers else "host",
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "0.2",
            "__SAM_CLI_APP_DIR": str(folder / "tmp" / "sam"),
        }

    def build(self) -> Path:
        """Return a folder with the built template and layers, for this machine's Python."""
        return shared_build(self.build_into)

    def build_into(self, folder: Path) -> None:
        """Build the template and the layers into a folder that does not exist yet."""
        self._run("build", "--build-dir", str(folder))
        # sam deploy parses the template seven times. JSON is valid YAML, and parses a hundred times as fast.
        template = folder / "template.yaml"
        template.write_text(json.dumps(yaml.safe_load(template.read_text("utf-8"))), "utf-8")

    def deploy(self, build: Path, parameters: Mapping[str, str]) -> None:
        """Deploy a build with these template parameters."""
        # The engine ignores the runtime parameter and runs functions in its own interpreter.
        overrides = [f'{name}="{value}"' for name, value in parameters.items()]
        template = str(build / "template.yaml")
        self._run("deploy", "--config-env", "local", "--template-file", template, "--parameter-overrides", *overrides)

    def _run(self, command: str, *arguments: str) -> None:
        with self._log.open("ab") as log:
            process = subprocess.Popen(
                [Path(sys.prefix) / "bin" / "sam", command, "--config-file", str(ROOT / "samconfig.toml"), *arguments],
                cwd=ROOT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            status = process.wait()
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
        if status != 0:
            tail = "\n".join(self._log.read_text("utf-8", "replace").splitlines()[-20:])
            raise LocalStackFailed(f"sam {command} failed. The last lines of {self._log}:\n\n{tail}")


@contextmanager
def _sole_run(folder: Path) -> Iterator[None]:
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LocalStackFailed(
                "A local stack is already running in this folder. Stop it, or start another one in a second clone."
            ) from error
        yield


@contextmanager
def _listener(port: int) -> Iterator[socket.socket]:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except (OSError, OverflowError) as error:
        listener.close()
        raise LocalStackFailed(
            f"Cannot listen on port {port}: {getattr(error, 'strerror', None) or error}. "
            f"Choose another port: make run PORT={port + 1 if port < MAX_PORT else 8080}"
        ) from error
    with listener:
        yield listener


def _front(session: Session, listener: socket.socket, on_request: Callable[[str], None]) -> Front:
    cloudformation = session.client("cloudformation")
    body: object = cloudformation.get_template(StackName=STACK_NAME, TemplateStage="Processed")["TemplateBody"]
    template: dict[str, Any] = json.loads(body if isinstance(body, str) else json.dumps(body))
    function_names = {
        resource.logical_id: resource.physical_id
        for resource in stack_resources(session, STACK_NAME)
        if resource.type in ("AWS::Lambda::Function", "AWS::Lambda::Alias")
    }
    client = session.client(
        "lambda",
        config=Config(read_timeout=30, retries={"total_max_attempts": 1}, max_pool_connections=CONCURRENT_INVOCATIONS),
    )
    return Front(routes_of(template, function_names), client, listener, on_request)
