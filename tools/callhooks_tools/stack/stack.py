"""The running stack: where it is and how to prove oneself to it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from boto3.session import Session
from botocore.exceptions import BotoCoreError, ClientError
from callhooks.providers.description import Credentials
from callhooks.providers.registry import providers
from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer, model_validator

from callhooks_tools.stack.private_files import make_private_folder

ROOT = Path(__file__).resolve().parents[3]
LOCAL_FOLDER = ROOT / ".local"
STACK_FILE = Path(os.environ.get("CALLHOOKS_STACK_FILE", LOCAL_FOLDER / "stack.json"))

LOCAL_REGION = "us-east-1"
CONSOLE = "console"


class StackUnknown(Exception):
    """There is no such stack; says what to do."""


@dataclass(frozen=True, slots=True)
class EngineAccess:
    """The address of the local AWS engine, and the only keys that it takes."""

    endpoint_url: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)

    @classmethod
    def generate(cls, endpoint_url: str) -> Self:
        """Return new random keys for an engine at this address."""
        return cls(endpoint_url, f"LOCAL{secrets.token_hex(16).upper()}", secrets.token_urlsafe(30))


class ConsoleAccess(BaseModel):
    """Who may look at the call log."""

    model_config = ConfigDict(frozen=True)

    username: str
    password: str


class StackCredentials(BaseModel):
    """Credentials by provider, and those of the call log; in JSON all of them are members of one object."""

    model_config = ConfigDict(frozen=True)

    providers: Mapping[str, Credentials]
    console: ConsoleAccess

    def of(self, provider: str) -> Credentials:
        """The credentials of one provider.

        Raises:
            StackUnknown: there are none: the stack knows no such provider.
        """
        credentials = self.providers.get(provider)
        if credentials is None:
            raise StackUnknown(f"The stack has no credentials for {provider}. Deploy or start it again.")
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
    """What `.local/stack.json` tells of the stack that `make run` has started."""

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
        """Return how to reach the local AWS engine."""
        return EngineAccess(self.aws_endpoint_url, self.aws_access_key_id, self.aws_secret_access_key)

    @classmethod
    def read(cls, path: Path = STACK_FILE) -> LocalStack:
        """Read the file.

        Raises:
            StackUnknown: there is none, or it is not such a file; says what to do.
        """
        try:
            return cls.model_validate_json(path.read_text("utf-8"))
        except FileNotFoundError:
            raise StackUnknown("No local stack is running. Start one with: make run") from None
        except ValidationError:
            raise StackUnknown(f"{path} was not written by this version. Start the stack again: make run") from None

    def write(self, path: Path) -> None:
        """Write the file, readable by its owner alone."""
        make_private_folder(path.parent)
        # A file that is there already may have been made readable, or belong to somebody else.
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(self.model_dump(mode="json"), indent=2) + "\n")


@dataclass(frozen=True, slots=True)
class StackOutputs:
    """The outputs of a deployed stack, and its parameters.

    `secrets` are the ids of the secrets with providers' credentials, by their names in the template.
    """

    stack_name: str
    base_url: str
    events_table: str
    clients_table: str
    call_bus: str
    spill_queue: str
    spill_dead_letter_queue: str
    projection_retry_queue: str
    projection_dead_letter_queue: str
    console_credentials: str
    retention_days: str
    public_url: str
    tool_calls_table: str = ""
    """Empty for a stack that was deployed before this was an output."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, session: Session, stack_name: str) -> StackOutputs:
        """Ask CloudFormation.

        Raises:
            StackUnknown: there is no such stack, it is not a callhooks stack, or AWS cannot be asked.
        """
        try:
            stacks = session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"]
            outputs = {output["OutputKey"]: output["OutputValue"] for output in stacks[0].get("Outputs", [])}
            secrets = _ids_of_secrets(session, stack_name, outputs)
        except (BotoCoreError, ClientError) as error:
            raise StackUnknown(f"The stack {stack_name} cannot be read: {error}") from error
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
                projection_dead_letter_queue=outputs["ProjectionDeadLetterQueue"],
                console_credentials=outputs["ConsoleCredentials"],
                retention_days=parameters["RetentionDays"],
                public_url=parameters["PublicUrl"],
                tool_calls_table=outputs.get("ToolCallsTable", ""),
                secrets=secrets,
                parameters=parameters,
            )
        except KeyError as error:
            raise StackUnknown(f"{stack_name} is not a callhooks stack: it has no {error}.") from None

    def secret_id(self, logical_id: str) -> str:
        """The id of a secret by its name in the template.

        Raises:
            StackUnknown: the stack has no such secret.
        """
        secret_id = self.secrets.get(logical_id)
        if secret_id is None:
            raise StackUnknown(f"The stack {self.stack_name} has no secret {logical_id}. Deploy it again.")
        return secret_id


def _ids_of_secrets(session: Session, stack_name: str, outputs: Mapping[str, str]) -> Mapping[str, str]:
    """The ids of the providers' secrets that the stack has: an output of the secret's name, else the resource itself.

    Raises:
        ClientError, BotoCoreError: CloudFormation could not be asked.
    """
    wanted = [secret.logical_id for provider in providers().values() for secret in provider.secrets]
    found = {name: outputs[name] for name in wanted if name in outputs}
    if len(found) < len(wanted):
        resources = {one.logical_id: one.physical_id for one in stack_resources(session, stack_name)}
        found |= {name: resources[name] for name in wanted if name in resources and name not in found}
    return found


@dataclass(frozen=True, slots=True)
class StackResource:
    """A resource of a stack: its type, its name in the template, and the one that AWS knows it by."""

    type: str
    logical_id: str
    physical_id: str


def stack_status(session: Session, stack_name: str) -> str:
    """What CloudFormation says of a stack, such as `UPDATE_COMPLETE`.

    Raises:
        StackUnknown: there is no such stack, or AWS cannot be asked.
    """
    try:
        return session.client("cloudformation").describe_stacks(StackName=stack_name)["Stacks"][0]["StackStatus"]
    except (BotoCoreError, ClientError) as error:
        raise StackUnknown(f"The stack {stack_name} cannot be read: {error}") from error


def stack_resources(session: Session, stack_name: str) -> list[StackResource]:
    """All resources of a stack that there are.

    Raises:
        ClientError, BotoCoreError: CloudFormation could not be asked.
    """
    pages = session.client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack_name)
    return [
        StackResource(one["ResourceType"], one["LogicalResourceId"], one["PhysicalResourceId"])
        for page in pages
        for one in page["StackResourceSummaries"]
        if one.get("PhysicalResourceId") and not one["ResourceStatus"].startswith("DELETE")
    ]


def local_aws_environment(engine: EngineAccess) -> dict[str, str]:
    """This process's environment with the local engine in place of every AWS setting of the user's."""
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
    """A session on the local engine; from here on this process knows no profile of the user's."""
    environment = local_aws_environment(engine)
    os.environ.clear()
    os.environ.update(environment)
    return Session(
        aws_access_key_id=engine.access_key_id,
        aws_secret_access_key=engine.secret_access_key,
        region_name=LOCAL_REGION,
    )
