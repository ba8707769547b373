"""A deployed stack, as `callhooks doctor` inspects it, and the commands that it suggests to the operator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from boto3.session import Session
from botocore.config import Config

from callhooks_tools.stack.findings import Finding, failure, ok, warning
from callhooks_tools.stack.selection import local_option
from callhooks_tools.stack.stack import (
    STACK_FILE,
    StackOutputs,
    StackResource,
    StackUnknown,
    stack_resources,
    stack_status,
)
from callhooks_tools.stack.terminal import callhooks

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType

IMPATIENT = Config(connect_timeout=5, read_timeout=15, retries={"total_max_attempts": 2})
"""Client configuration for commands that must not hang."""

DEPTH: Sequence[QueueAttributeNameType] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)
"""Attributes of a queue: the messages that wait, are being processed, or are delayed."""
STACK = "stack"
DEPLOYING = "docs/operations.md#deploy"
COMPLETE = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
ROLLED_BACK = ("UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE")


@dataclass(frozen=True, slots=True)
class Deployment:
    """A stack with its outputs and resources.

    `endpoint_url` is the address of the local AWS engine; `None` for a stack in AWS. `account_options` are the options
    of the user's command that select the AWS account and region, each after a space.
    """

    session: Session
    stack_name: str
    endpoint_url: str | None
    outputs: StackOutputs
    resources: Sequence[StackResource]
    account_options: str = ""

    @classmethod
    def read(cls, session: Session, stack_name: str, endpoint_url: str | None, account_options: str = "") -> Self:
        """Read the stack from CloudFormation.

        Raises:
            StackUnknown: it is not a callhooks stack.
            ClientError, BotoCoreError: its resources cannot be read.
        """
        outputs = StackOutputs.read(session, stack_name)
        resources = stack_resources(session, stack_name)
        return cls(session, stack_name, endpoint_url, outputs, resources, account_options)

    @property
    def is_local(self) -> bool:
        """Return whether this is the local stack."""
        return self.endpoint_url is not None

    def all_of(self, resource_type: str) -> list[StackResource]:
        """Return the resources of a type, sorted by their names in the template."""
        return sorted((one for one in self.resources if one.type == resource_type), key=lambda one: one.logical_id)

    def physical_id(self, logical_id: str) -> str | None:
        """Return the physical id of a resource in the template; `None` if the stack does not have it."""
        return next((one.physical_id for one in self.resources if one.logical_id == logical_id), None)

    def callhooks(self, command: str) -> str:
        """Return a `callhooks` command for this stack."""
        return callhooks(
            command + (local_option() if self.is_local else f" --stack {self.stack_name}{self.account_options}")
        )

    def aws(self, command: str) -> str:
        """Return an AWS CLI command for this stack."""
        return f"aws {command}" + (f" --endpoint-url {self.endpoint_url}" if self.is_local else self.account_options)

    @property
    def redeploy(self) -> str:
        """Return how to deploy this version to this stack, for a remedy."""
        return "restart the local stack: make run" if self.is_local else f"deploy {self.stack_name} ({DEPLOYING})"

    def log_of(self, function: str, contents: str = "") -> str:
        """Return a sentence with the location of a function's log, for a finding.

        Args:
            function: its name in the template.
            contents: what the log contains, such as `names the cause`.
        """
        location = (
            str(STACK_FILE.with_name("run") / "engine.log")
            if self.is_local
            else f"sam logs --stack-name {self.stack_name} --name {function}{self.account_options}"
        )
        return f"The log of {function}{f' {contents}' if contents else ''}: {location}"

    def log_events(self, function: str, wanted: str, start: float) -> Iterator[tuple[int, str]]:
        """Yield the time (milliseconds since 1970) and text of each line of a function's log that contains a text.

        Args:
            function: its name in the template.
            start: the earliest time, in seconds since 1970.
        """
        group = self.physical_id(f"{function.removesuffix('Function')}LogGroup")
        if group is None:
            return
        pages = self.session.client("logs", config=IMPATIENT).get_paginator("filter_log_events")
        for page in pages.paginate(logGroupName=group, filterPattern=f'"{wanted}"', startTime=int(start * 1000)):
            for event in page["events"]:
                yield event["timestamp"], event["message"]


def depth_of(attributes: Mapping[QueueAttributeNameType, str]) -> int:
    """Return the approximate number of messages in a queue, from its attributes."""
    return sum(int(attributes.get(name, "0")) for name in DEPTH)


def stack_findings(session: Session, stack_name: str, account_options: str = "") -> Iterator[Finding]:
    """Check that the stack exists and that its last deployment succeeded."""
    show_cause = f"aws cloudformation describe-stack-events --stack-name {stack_name}{account_options}"
    try:
        status = stack_status(session, stack_name)
    except StackUnknown as error:
        yield failure(STACK, str(error))
        return
    state = f"{stack_name} is {status}"
    if status in COMPLETE:
        yield ok(STACK, f"{state}.")
    elif status in ROLLED_BACK:
        yield warning(
            STACK,
            f"{state}: the last deployment failed and was rolled back. The previous version is running.",
            f"Deploy again after fixing the cause, which this command shows: {show_cause}",
        )
    elif status.endswith("_IN_PROGRESS"):
        yield failure(STACK, f"{state}: a deployment is in progress.", "Run this command again when it has finished.")
    else:
        yield failure(
            STACK,
            f"{state}: the last deployment failed.",
            f"Fix the cause, which this command shows: {show_cause}. Then deploy again. A stack in "
            "ROLLBACK_COMPLETE must be removed first (docs/operations.md#remove).",
        )
