"""A stack: its address, outputs and credentials, local or in AWS."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self

from botocore.exceptions import BotoCoreError, ClientError
from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer, model_validator

from callhooks_tools.stack.aws_errors import explain_aws_error
from callhooks_tools.stack.private_files import make_private_folder

if TYPE_CHECKING:
    from boto3.session import Session

ROOT = Path(__file__).resolve().parents[3]
LOCAL_FOLDER = ROOT / ".local"
STACK_FILE = Path(os.environ.get("CALLHOOKS_STACK_FILE", LOCAL_FOLDER / "stack.json"))

LOCAL_REGION = "us-east-1"
CONSOLE = "console"


class StackUnknown(Exception):
    """The stack is missing or unusable. The message contains the next step."""


@dataclass(frozen=True, slots=True)
class EngineAccess:
    """The address of the local AWS engine, and the only keys that it accepts."""

    endpoint_url: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)

    @classmethod
    def generate(cls, endpoint_url: str) -> Self:
        """Return new random keys for an engine at this address."""
        return cls(endpoint_url, f"LOCAL{secrets.token_hex(16).upper()}", secrets.token_urlsafe(30))


class ConsoleAccess(BaseModel):
    """The user name and password of the console and the call log API."""

    model_config = ConfigDict(frozen=True)

    username: str
    password: str


class StackCredentials(BaseModel):
    """Credentials by provider, and of the console. In JSON, all of them are members of one object."""

    model_config = ConfigDict(frozen=True)

    providers: Mapping[str, Mapping[str, str]]
    console: ConsoleAccess

    def of(self, provider: str) -> Mapping[str, str]:
        """Return the credentials of one provider.

        Raises:
            StackUnknown: the stack has none, because it does not know the provider.
        """
        credentials = self.providers.get(provider)
        if credentials is None:
            raise StackUnknown(
                f"The stack has no credentials for {provider}. Deploy it again, or restart the local stack: make run"
            )
        return credentials

    @model_validator(mode="before")
    @classmethod
    def _from_one_object(cls, value: object) -> object:
        if not isinstance(value, dict) or "providers" in value:
            return value
        providers = {name: credentials for name, credentials in value.items() if name != CONSOLE}
        return {"providers": providers, CONSOLE: value.get(CONSOLE)}

    @model_serializer
    def _as_one_object(self) -> dict[str, dict[str, str]]:
        providers = {name: dict(credentials) for name, credentials in self.providers.items()}
        return {**providers, CONSOLE: self.console.model_dump()}


class LocalStack(BaseModel):
    """The local stack, as described in `.local/stack.json`."""

    model_config = ConfigDict(frozen=True)

    base_url: str
    aws_endpoint_url: str
    aws_access_key_id: str
    aws_secret_access_key: str
    region: str
    stack_name: str
    events_table: str
    credentials: StackCredentials

    @property
    def engine(self) -> EngineAccess:
        """Return the address and the keys of the local AWS engine."""
        return EngineAccess(self.aws_endpoint_url, self.aws_access_key_id, self.aws_secret_access_key)

    @classmethod
    def read(cls, path: Path | None = None) -> LocalStack:
        """Read a stack file, by default `STACK_FILE`.

        Raises:
            StackUnknown: it is missing, or another version wrote it.
        """
        path = path or STACK_FILE
        try:
            return cls.model_validate_json(path.read_text("utf-8"))
        except FileNotFoundError:
            raise StackUnknown("No local stack is running. Start one with: make run") from None
        except ValidationError:
            raise StackUnknown(
                f"Another version of callhooks wrote {path}. Restart the local stack: make run"
            ) from None

    def write(self, path: Path) -> None:
        """Write the stack file, readable only by its owner."""
        make_private_folder(path.parent)
        # An existing file may be readable by others, or belong to another user.
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(self.model_dump(mode="json"), indent=2) + "\n")


@dataclass(frozen=True, slots=True)
class StackOutputs:
    """The outputs and parameters of a deployed stack.

    `secrets` maps the names of the providers' secrets in the template to their ids.
    """

    stack_name: str
    base_url: str
    events_table: str
    clients_table: str
    call_bus: str
    spill_queue: str
    spill_dead_letter_queue: str
    projection_retry_queue: str
    console_credentials: str
    retention_days: str
    public_url: str
    tool_calls_table: str = ""
    """Empty for a stack of a version without this output."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, session: Session, stack_name: str) -> StackOutputs:
        """Read outputs and parameters from CloudFormation.

        Raises:
            StackUnknown: the stack does not exist, is not a callhooks stack, or cannot be read.
        """
        try:
            stacks = session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
            outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
            secrets = _ids_of_secrets(session, stack_name, outputs)
        except (BotoCoreError, ClientError) as error:
            raise _unreadable(session, stack_name, error) from error
        parameters = {one["ParameterKey"]: one["ParameterValue"] for one in stacks[0].get("Parameters", [])}
        try:
            return cls(
                stack_name=stack_name,
                base_url=outputs["BaseUrl"].rstrip("/"),
                events_table=outputs["EventsTable"],
                clients_table=outputs["ClientsTable"],
                call_bus=outputs["CallBus"],
                spill_queue=outputs["SpillQueue"],
                spill_dead_letter_queue=outputs["SpillDeadLetterQueue"],
                projection_retry_queue=outputs["ProjectionRetryQueue"],
                console_credentials=outputs["ConsoleCredentials"],
                retention_days=parameters["RetentionDays"],
                public_url=parameters["PublicUrl"],
                tool_calls_table=outputs.get("ToolCallsTable", ""),
                secrets=secrets,
                parameters=parameters,
            )
        except KeyError as error:
            raise StackUnknown(
                f"{stack_name} is not a callhooks stack: it has no output or parameter {error}."
            ) from None

    def secret_id(self, logical_id: str) -> str:
        """Return the id of a secret by its name in the template.

        Raises:
            StackUnknown: the stack does not have the secret.
        """
        secret_id = self.secrets.get(logical_id)
        if secret_id is None:
            raise StackUnknown(
                f"The stack {self.stack_name} has no secret {logical_id}. Deploy this version to it "
                "(docs/operations.md#deploy)."
            )
        return secret_id


def _ids_of_secrets(session: Session, stack_name: str, outputs: Mapping[str, str]) -> Mapping[str, str]:
    """Return the ids of the providers' secrets, from the stack's outputs, otherwise from its resources.

    Raises:
        ClientError, BotoCoreError: the request to CloudFormation failed.
    """
    from callhooks.providers.registry import providers  # noqa: PLC0415 - help does not need it

    wanted = [secret.logical_id for provider in providers().values() for secret in provider.secrets]
    found = {name: outputs[name] for name in wanted if name in outputs}
    if len(found) < len(wanted):
        resources = {one.logical_id: one.physical_id for one in stack_resources(session, stack_name)}
        found |= {name: resources[name] for name in wanted if name in resources and name not in found}
    return found


@dataclass(frozen=True, slots=True)
class StackResource:
    """A resource of a stack: its type, its name in the template (logical id) and its physical id."""

    type: str
    logical_id: str
    physical_id: str


def stack_status(session: Session, stack_name: str) -> str:
    """Return the status of a stack, such as `UPDATE_COMPLETE`.

    Raises:
        StackUnknown: the stack does not exist or cannot be read.
    """
    try:
        return session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"]
    except (BotoCoreError, ClientError) as error:
        raise _unreadable(session, stack_name, error) from error


def is_missing_stack(error: BotoCoreError | ClientError) -> bool:
    """Return whether CloudFormation says that a stack does not exist."""
    return isinstance(error, ClientError) and "does not exist" in error.response["Error"].get("Message", "")


def _unreadable(session: Session, stack_name: str, error: BotoCoreError | ClientError) -> StackUnknown:
    if is_missing_stack(error):
        return StackUnknown(
            f"There is no stack {stack_name} in {session.region_name}. Pass its name with --stack, and its account and "
            "region with --profile and --region."
        )
    return StackUnknown(f"Cannot read the stack {stack_name}: {explain_aws_error(error, session.profile_name)}")


def stack_resources(session: Session, stack_name: str) -> list[StackResource]:
    """Return the existing resources of a stack.

    Raises:
        ClientError, BotoCoreError: the request to CloudFormation failed.
    """
    pages = session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
    return [
        StackResource(one["ResourceType"], one["LogicalResourceId"], one["PhysicalResourceId"])
        for page in pages
        for one in page["StackResourceSummaries"]
        if one.get("PhysicalResourceId") and not one["ResourceStatus"].startswith("DELETE")
    ]


def published_versions(resources: Iterable[StackResource]) -> Mapping[str, int]:
    """Return the number of the version that the last complete update of a stack published, by the function's name.

    A version that a rolled back update leaves behind has a higher number and is not a resource of the stack.
    """
    # The physical id is arn:aws:lambda:<region>:<account>:function:<name>:<version>.
    found = [one.physical_id.split(":") for one in resources if one.type == "AWS::Lambda::Version"]
    return {name: int(version) for *_, name, version in found}


def local_aws_environment(engine: EngineAccess) -> dict[str, str]:
    """Return this process's environment, with the local engine in place of all AWS settings of the user."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return environment | {
        "AWS_ENDPOINT_URL": engine.endpoint_url,
        "AWS_ACCESS_KEY_ID": engine.access_key_id,
        "AWS_SECRET_ACCESS_KEY": engine.secret_access_key,
        "AWS_DEFAULT_REGION": LOCAL_REGION,
        "AWS_REGION": LOCAL_REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def use_local_engine(engine: EngineAccess) -> Session:
    """Return a session for the local engine. Removes the AWS settings of the user from this process."""
    from boto3.session import Session  # noqa: PLC0415 - help does not need it

    environment = local_aws_environment(engine)
    os.environ.clear()
    os.environ.update(environment)
    return Session(
        aws_access_key_id=engine.access_key_id,
        aws_secret_access_key=engine.secret_access_key,
        region_name=LOCAL_REGION,
    )
