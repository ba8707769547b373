"""Selection of a stack: the options of all commands that use one, and access to the selected stack."""

from __future__ import annotations

import inspect
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError

from callhooks_tools.stack.aws_errors import explain_aws_error
from callhooks_tools.stack.stack import LocalStack, StackCredentials, StackOutputs, StackUnknown, use_local_engine
from callhooks_tools.stack.terminal import fail, misuse

if TYPE_CHECKING:
    from boto3.session import Session

STACK_VARIABLE = "CALLHOOKS_STACK"
# boto3 reads the variables of profile and region itself: a given profile then takes precedence over keys in the
# environment, and AWS_PROFILE does not.
OPTIONS = {
    "stack_name": Annotated[
        str | None,
        typer.Option(
            "--stack", metavar="NAME", envvar=STACK_VARIABLE, help="Stack in AWS. Without it: the local stack."
        ),
    ],
    "profile": Annotated[
        str | None,
        typer.Option("--profile", metavar="NAME", help="AWS profile for --stack.", show_default="AWS_PROFILE"),
    ],
    "region": Annotated[
        str | None,
        typer.Option(
            "--region",
            metavar="REGION",
            help="AWS region of --stack.",
            show_default="AWS_REGION, AWS_DEFAULT_REGION, region of the profile",
        ),
    ],
}


@dataclass(frozen=True, slots=True)
class SelectedStack:
    """A stack in AWS, or the local stack if `name` is `None`. A profile and a region are only for a stack in AWS."""

    name: str | None = None
    profile: str | None = None
    region: str | None = None

    @property
    def account_options(self) -> str:
        """Return the given profile and region as options of `callhooks`, `aws` and `sam`, each after a space."""
        given = {"--profile": self.profile, "--region": self.region}
        return "".join(f" {option} {shlex.quote(value)}" for option, value in given.items() if value)

    @property
    def options(self) -> str:
        """Return the options that select the stack in a `callhooks` command, each after a space."""
        if self.name is None:
            return local_option()
        return f" --stack {shlex.quote(self.name)}{self.account_options}"


def with_stack_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with the options `--stack`, `--profile` and `--region` in place of its parameter `selected`.

    An AWS error or an unknown stack that the command does not handle ends it with one line.
    """
    signature = inspect.signature(command, eval_str=True)
    parameters = dict(signature.parameters)
    del parameters["selected"]
    for name, annotation in OPTIONS.items():
        parameters[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)

    @wraps(command)
    def run(*, stack_name: str | None, profile: str | None, region: str | None, **others: object) -> None:
        if not stack_name and (profile or region):
            misuse(
                "--profile and --region are for a stack in AWS. Add its name with --stack, or leave them out to use "
                "the local stack."
            )
        selected = SelectedStack(stack_name or None, profile or None, region or None)
        try:
            command(**others, selected=selected)
        except StackUnknown as error:
            fail(str(error))
        except (BotoCoreError, ClientError) as error:
            fail(explain_aws_error(error, selected.profile or os.environ.get("AWS_PROFILE")))

    # Typer reads both.
    run.__signature__ = signature.replace(parameters=list(parameters.values()))  # type: ignore[attr-defined]
    run.__annotations__ = {name: parameter.annotation for name, parameter in parameters.items()}
    return run


def local_option() -> str:
    """Return the option that selects the local stack in a command, after a space; empty if nothing selects another."""
    return " --stack ''" if os.environ.get(STACK_VARIABLE) else ""


def local_stack() -> LocalStack:
    """Return the local stack; end the command if none is running."""
    try:
        return LocalStack.read()
    except StackUnknown as error:
        fail(str(error))


def running_stack() -> tuple[LocalStack, StackCredentials]:
    """Return the local stack with its current credentials, which may have changed after the start."""
    from callhooks_tools.stack.secrets import read_credentials  # noqa: PLC0415 - help does not need it

    stack = local_stack()
    return stack, read_credentials(*local_stack_in_aws())


def local_stack_in_aws() -> tuple[Session, StackOutputs]:
    """Return a session for the local stack, and its outputs; end the command if it cannot be read."""
    return stack_in_aws(SelectedStack())


def stack_in_aws(selected: SelectedStack) -> tuple[Session, StackOutputs]:
    """Return a session for a stack, and its outputs; end the command if it cannot be read."""
    session, name, _ = session_of(selected)
    try:
        return session, StackOutputs.read(session, name)
    except StackUnknown as error:
        fail(str(error))


def session_of(selected: SelectedStack) -> tuple[Session, str, str | None]:
    """Return a session for a stack, its name, and the local engine's address, which is `None` for a stack in AWS.

    Raises:
        ProfileNotFound: the profile does not exist.
    """
    if selected.name is not None:
        from boto3.session import Session  # noqa: PLC0415 - help does not need it

        # boto3 reads only AWS_DEFAULT_REGION; Lambda and other SDKs use AWS_REGION.
        region = selected.region or os.environ.get("AWS_REGION")
        return Session(profile_name=selected.profile, region_name=region), selected.name, None
    local = local_stack()
    return use_local_engine(local.engine), local.stack_name, local.aws_endpoint_url
