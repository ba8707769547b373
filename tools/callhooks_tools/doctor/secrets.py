"""Check that a stack's secrets can be read and have the members that the functions use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from callhooks.providers.description import Credentials, Provider, Secret
from callhooks.providers.registry import providers
from callhooks.runtime.errors import CredentialsUnavailable
from callhooks.webhooks.credentials import SecretValue, secret_text

from callhooks_tools.stack.deployment import IMPATIENT, Deployment
from callhooks_tools.stack.findings import Finding, catch_aws_errors, failure, ok, warning
from callhooks_tools.stack.secrets import (
    CONSOLE_PASSWORD,
    MIN_TOKEN_LENGTH,
    TOKEN,
    SecretKind,
    credentials_in,
    secret_kinds,
)
from callhooks_tools.stack.stack import CONSOLE, ConsoleAccess

CHECK = "secrets"
CONSOLE_SECRET = "ConsoleCredentials"
NEW_STACK = "docs/operations.md#remove"


@dataclass(frozen=True, slots=True)
class SecretShape:
    """Expected shape of a secret.

    Attributes:
        owner: the user name in the example of its value.
        impact: the consequence while the secret cannot be used.
    """

    kind: SecretKind
    owner: str
    impact: str

    @property
    def secret(self) -> Secret:
        """Return the secret itself."""
        return self.kind.secret

    @property
    def name(self) -> str:
        """Return its name in the template."""
        return self.secret.logical_id

    @property
    def texts(self) -> tuple[str, ...]:
        """Return the required members."""
        return (*self.secret.fixed, *([self.secret.member] if self.secret.member else []))

    @property
    def example(self) -> str:
        """Return a valid value with a placeholder for the secret."""
        if self.secret.member is None:
            return json.dumps({self.secret.further: ["..."]})
        return json.dumps({**dict.fromkeys(self.secret.fixed, self.owner), self.secret.member: "..."})


def secret_shapes() -> Mapping[str, SecretShape]:
    """Return the expected shape of each secret, by its name in the template."""
    kinds = secret_kinds()
    of_providers = [
        SecretShape(
            kinds[secret.kind],
            provider.name,
            provider.without_credentials or f"all deliveries of {provider.title} are rejected",
        )
        for provider in providers().values()
        for secret in provider.secrets
    ]
    console = SecretShape(kinds[CONSOLE_PASSWORD], CONSOLE, "nobody can sign in to the call log")
    return {shape.name: shape for shape in (*of_providers, console)}


@dataclass
class KnownSecrets:
    """Values of the usable secrets, and when each was changed."""

    values: dict[str, SecretValue] = field(default_factory=dict, repr=False)
    changed_at: dict[str, datetime] = field(default_factory=dict)

    @property
    def console(self) -> ConsoleAccess | None:
        """Return the user name and password of the call log, or `None` if its secret cannot be used."""
        value = self.values.get(CONSOLE_SECRET)
        return None if value is None else ConsoleAccess.model_validate(value)

    def credentials_of(self, provider: Provider) -> Credentials | None:
        """Return a provider's newest credentials, or `None` if one of its secrets cannot be used."""
        known = [(secret, self.values.get(secret.logical_id)) for secret in provider.secrets]
        values = [
            (secret, {**value, secret.further: _usable(value.get(secret.further, []))})
            for secret, value in known
            if value is not None
        ]
        return credentials_in(values) if len(values) == len(known) else None


def secret_findings(deployment: Deployment, known: KnownSecrets) -> Iterator[Finding]:
    """Check every secret, and add the values of the usable ones to `known`."""
    before, shapes = len(known.values), secret_shapes()
    ids = {**deployment.outputs.secrets, CONSOLE_SECRET: deployment.outputs.console_credentials}
    for name, shape in shapes.items():
        if name in ids:
            yield from catch_aws_errors(f"secret {name}", _secret(deployment, known, shape, ids[name]))
        else:
            yield failure(
                f"secret {name}",
                f"The stack does not have this secret: {shape.impact}.",
                f"To add it, {deployment.redeploy}.",
            )
    if len(known.values) - before == len(shapes):
        yield ok(CHECK, f"All {len(shapes)} secrets can be read and have the required members.")


def _secret(deployment: Deployment, known: KnownSecrets, shape: SecretShape, secret_id: str) -> Iterator[Finding]:
    check = f"secret {shape.name}"
    client = deployment.session.client("secretsmanager", config=IMPATIENT)
    try:
        text = client.get_secret_value(SecretId=secret_id).get("SecretString", "")
    except ClientError as error:
        yield _unreadable(error, deployment, check, shape, secret_id)
        return
    problem, value = _read(text, shape)
    if problem or value is None:
        yield failure(
            check,
            f"{problem}. In containers that start from now on, {shape.impact}.",
            f"Replace its value, with the secret that is in use in place of the dots: "
            f"{_put_command(deployment, shape, secret_id)}",
        )
        return
    known.values[shape.name] = value
    yield from _warnings(deployment, check, shape, value, secret_id)
    changed_at = client.describe_secret(SecretId=secret_id).get("LastChangedDate")
    if changed_at is not None:
        known.changed_at[shape.name] = changed_at


def _put_command(deployment: Deployment, shape: SecretShape, secret_id: str) -> str:
    return deployment.aws(f"secretsmanager put-secret-value --secret-id {secret_id} --secret-string '{shape.example}'")


def _unreadable(error: ClientError, deployment: Deployment, check: str, shape: SecretShape, secret_id: str) -> Finding:
    code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code == "InvalidRequestException" and re.search("delet", text, re.IGNORECASE):
        restore = deployment.aws(f"secretsmanager restore-secret --secret-id {secret_id}")
        return failure(check, f"It is scheduled for deletion: {shape.impact}.", f"To cancel the deletion: {restore}")
    if code == "ResourceNotFoundException" and "value" in text:
        put = _put_command(deployment, shape, secret_id)
        return failure(
            check, f"It has no value: {shape.impact}.", f"Set it, with the secret in place of the dots: {put}"
        )
    if code == "ResourceNotFoundException":
        restore = deployment.aws(f"secretsmanager restore-secret --secret-id {secret_id}")
        return failure(
            check,
            f"It does not exist: {shape.impact}.",
            f"Within its recovery window, restore it: {restore}. After that, deploy a new stack ({NEW_STACK}; the "
            "tables and their events remain). A new secret with this name would have a different ARN, which the "
            "functions do not know.",
        )
    raise error


def _read(text: str, shape: SecretShape) -> tuple[str, SecretValue | None]:
    """Return the problem with a secret's text and its value, one of them empty. The problem never quotes the text."""
    if not text.strip():
        return "It is empty", None
    try:
        value: Any = json.loads(text)
    except ValueError:
        return "It is not JSON", None
    if not isinstance(value, dict):
        return "It is not a JSON object", None
    problem = _member_problem(value, shape)
    return problem, None if problem else value


def _member_problem(value: Mapping[str, object], shape: SecretShape) -> str:
    try:
        for name in shape.texts:
            secret_text(value.get(name), name)
    except CredentialsUnavailable as problem:
        return f"Its member {problem}"
    added = value.get(shape.secret.further)
    if not shape.texts and not isinstance(added, list):
        return f"Its member {shape.secret.further} is missing or not a list"
    if not shape.texts and added and not _usable(added):
        return f"Its member {shape.secret.further} has no entry that is a string"
    return ""


def _warnings(
    deployment: Deployment, check: str, shape: SecretShape, value: Mapping[str, Any], secret_id: str
) -> Iterator[Finding]:
    added = value.get(shape.secret.further) or []
    if not isinstance(added, list):
        added = [added]
    if len(_usable(added)) < len(added):
        yield warning(
            check,
            f"An entry of its member {shape.secret.further} is not a string and is ignored.",
            _edit_list(deployment, shape, secret_id),
        )
    secret, shortest = shape.secret, shape.kind.min_length
    if secret.member and any(len(text.strip()) < shortest for text in [value[secret.member], *_usable(added)]):
        yield warning(
            check,
            f"It has a {secret.words} with fewer than {shortest} characters, which is ignored.",
            _replace_command(deployment, secret.kind),
        )
    if secret.member is None and not added:
        yield warning(
            check,
            f"No {secret.words} of {shape.kind.owner} is configured: its {secret.unchecked}.",
            f"Copy it from the portal ({deployment.callhooks('urls')} shows where), then add it: "
            f"{deployment.callhooks(f'secret add {secret.kind}')}",
        )
    tokens = [value[secret.member], *_usable(added)] if secret.is_in_url and secret.member else []
    if not all(TOKEN.fullmatch(token) for token in tokens):
        yield failure(
            check,
            f"It has a token that is not valid in a URL or is shorter than {MIN_TOKEN_LENGTH} characters.",
            _replace_command(deployment, secret.kind),
        )


def _replace_command(deployment: Deployment, kind: str) -> str:
    add = deployment.callhooks(f"secret add {kind} --generate")
    recipient = "give it to everyone who signs in" if kind == CONSOLE_PASSWORD else "enter it at the provider"
    return (
        f"1. Add a new one: {add}. 2. After five minutes, {recipient}: {deployment.callhooks('urls --credentials')}. "
        f"3. Remove the old one: {deployment.callhooks(f'secret remove {kind}')}"
    )


def _edit_list(deployment: Deployment, shape: SecretShape, secret_id: str) -> str:
    get = f"secretsmanager get-secret-value --secret-id {secret_id} --query SecretString --output text"
    put = f"secretsmanager put-secret-value --secret-id {secret_id} --secret-string file://value.json"
    return (
        f"Save the value in a file that only you can read: (umask 077; {deployment.aws(get)} > value.json) Then remove "
        f"the entry from {shape.secret.further}, store the value, and delete the file: {deployment.aws(put)}"
    )


def _usable(values: object) -> list[str]:
    texts = []
    for value in values if isinstance(values, list) else [values]:
        try:
            texts.append(secret_text(value, ""))
        except CredentialsUnavailable:
            continue
    return texts
