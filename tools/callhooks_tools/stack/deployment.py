"""A deployed stack as `callhooks doctor` looks at it, and the commands that it tells an operator to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

from boto3.session import Session
from botocore.config import Config

from callhooks_tools.stack.findings import Finding, failure, fine, warning
from callhooks_tools.stack.stack import (
    STACK_FILE,
    StackOutputs,
    StackResource,
    StackUnknown,
    stack_resources,
    stack_status,
)

IMPATIENT = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2})
"""For the clients of a command that has to end."""

STACK = "stack"
FINISHED = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
TAKEN_BACK = ("UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack with its outputs and its resources.

    `endpoint_url` is where the local engine is, `None` for a stack in AWS.
    """

    session: Session
    stack_name: str
    endpoint_url: str | None
    outputs: StackOutputs
    resources: Sequence[StackResource]

    @classmethod
    def read(cls, session: Session, stack_name: str, endpoint_url: str | None) -> Self:
        """Ask CloudFormation.

        Raises:
            StackUnknown: it is no callhooks stack.
            ClientError, BotoCoreError: its resources cannot be read.
        """
        outputs = StackOutputs.read(session, stack_name)
        return cls(session, stack_name, endpoint_url, outputs, stack_resources(session, stack_name))

    @property
    def is_local(self) -> bool:
        """Whether it is the local run."""
        return self.endpoint_url is not None

    def all_of(self, resource_type: str) -> list[StackResource]:
        """The resources of a type, by their names in the template."""
        return sorted((one for one in self.resources if one.type == resource_type), key=lambda one: one.logical_id)

    def physical_id(self, logical_id: str) -> str | None:
        """What AWS knows a resource of the template by; `None` where the stack has none of that name."""
        return next((one.physical_id for one in self.resources if one.logical_id == logical_id), None)

    def callhooks(self, command: str) -> str:
        """A command of ours about this stack."""
        return f"callhooks {command}" + ("" if self.is_local else f" --stack {self.stack_name}")

    def aws(self, command: str) -> str:
        """A command of the AWS CLI about this stack."""
        return f"aws {command}" + (f" --endpoint-url {self.endpoint_url}" if self.is_local else "")

    def log_of(self, function: str, tells: str = "") -> str:
        """How to read the log of a function, by its name in the template.

        `tells` is what is found in it, such as `names the cause`.
        """
        where = (
            str(STACK_FILE.with_name("run") / "engine.log")
            if self.is_local
            else f"sam logs --stack-name {self.stack_name} --name {function}"
        )
        return f"The log of {function}{f' {tells}' if tells else ''}: {where}"


def stack_findings(session: Session, stack_name: str) -> Iterator[Finding]:
    """Whether there is such a stack, and whether its last deployment has ended well."""
    try:
        status = stack_status(session, stack_name)
    except StackUnknown as error:
        yield failure(STACK, str(error), "Name the stack with --stack, and its region with AWS_REGION.")
        return
    told = f"{stack_name} is {status}"
    if status in FINISHED:
        yield fine(STACK, f"{told}.")
    elif status in TAKEN_BACK:
        yield warning(
            STACK,
            f"{told}: the last deployment failed and was taken back. What runs is what was there before.",
            f"aws cloudformation describe-stack-events --stack-name {stack_name} says why. Mend it and deploy again.",
        )
    elif status.endswith("_IN_PROGRESS"):
        yield failure(STACK, f"{told}: a deployment is under way.", "Run this again when it has ended.")
    else:
        yield failure(
            STACK,
            f"{told}: the last deployment did not end well.",
            f"aws cloudformation describe-stack-events --stack-name {stack_name} names the cause.",
        )
