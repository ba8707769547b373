"""Whether the secrets of a stack can be read, and hold what the functions look for in them."""

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
from callhooks_tools.stack.findings import Finding, failure, fine, looked_at, warning
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
    """What a secret holds, and what does not work while it is not so.

    `owner` is who proves themselves with it: the name before a placeholder in the example of its value.
    """

    kind: SecretKind
    owner: str
    stops: str

    @property
    def secret(self) -> Secret:
        """The secret itself."""
        return self.kind.secret

    @property
    def name(self) -> str:
        """Its name in the template."""
        return self.secret.logical_id

    @property
    def texts(self) -> tuple[str, ...]:
        """The members that must be there."""
        return (*self.secret.fixed, *([self.secret.member] if self.secret.member else []))

    @property
    def example(self) -> str:
        """A value that is right but for what is secret."""
        if self.secret.member is None:
            return json.dumps({self.secret.further: []})
        return json.dumps({**dict.fromkeys(self.secret.fixed, self.owner), self.secret.member: "..."})


def secret_shapes() -> Mapping[str, SecretShape]:
    """What each secret holds, by its name in the template."""
    kinds = secret_kinds()
    of_providers = [
        SecretShape(
            kinds[secret.kind], provider.name, provider.without_credentials or f"nothing of {provider.title} is taken"
        )
        for provider in providers().values()
        for secret in provider.secrets
    ]
    console = SecretShape(kinds[CONSOLE_PASSWORD], CONSOLE, "nobody can look at the call log")
    return {shape.name: shape for shape in (*of_providers, console)}


@dataclass
class KnownSecrets:
    """What the secrets that are in order hold, the newest of several, and when each was changed."""

    values: dict[str, SecretValue] = field(default_factory=dict, repr=False)
    changed_at: dict[str, datetime] = field(default_factory=dict)

    @property
    def console(self) -> ConsoleAccess | None:
        """Who may look at the call log."""
        value = self.values.get(CONSOLE_SECRET)
        return None if value is None else ConsoleAccess.model_validate(value)

    def credentials_of(self, provider: Provider) -> Credentials | None:
        """What a provider proves itself with; `None` where one of its secrets is not in order."""
        known = [(secret, self.values.get(secret.logical_id)) for secret in provider.secrets]
        values = [
            (secret, {**value, secret.further: _usable(value.get(secret.further, []))})
            for secret, value in known
            if value is not None
        ]
        return credentials_in(values) if len(values) == len(known) else None


def secret_findings(deployment: Deployment, known: KnownSecrets) -> Iterator[Finding]:
    """Look at every secret; `known` is told what is in those that are in order."""
    before, shapes = len(known.values), secret_shapes()
    ids = {**deployment.outputs.secrets, CONSOLE_SECRET: deployment.outputs.console_credentials}
    for name, shape in shapes.items():
        if name in ids:
            yield from looked_at(f"secret {name}", _look(deployment, known, shape, ids[name]))
        else:
            yield failure(f"secret {name}", f"The stack has no such secret: {shape.stops}.", "Deploy the stack again.")
    if len(known.values) - before == len(shapes):
        yield fine(CHECK, f"All {len(shapes)} secrets can be read and hold what they should.")


def _look(deployment: Deployment, known: KnownSecrets, shape: SecretShape, secret_id: str) -> Iterator[Finding]:
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
            f"{problem}: {shape.stops} by containers that start from now on.",
            f"Put it right: {_put(deployment, shape, secret_id)}",
        )
        return
    known.values[shape.name] = value
    yield from _doubts(deployment, check, shape, value)
    changed_at = client.describe_secret(SecretId=secret_id).get("LastChangedDate")
    if changed_at is not None:
        known.changed_at[shape.name] = changed_at


def _put(deployment: Deployment, shape: SecretShape, secret_id: str) -> str:
    return deployment.aws(f"secretsmanager put-secret-value --secret-id {secret_id} --secret-string '{shape.example}'")


def _unreadable(error: ClientError, deployment: Deployment, check: str, shape: SecretShape, secret_id: str) -> Finding:
    code, text = error.response["Error"]["Code"], error.response["Error"].get("Message", "")
    if code == "InvalidRequestException" and re.search("delet", text, re.IGNORECASE):
        restore = deployment.aws(f"secretsmanager restore-secret --secret-id {secret_id}")
        return failure(check, f"It is scheduled for deletion: {shape.stops}.", f"Take that back: {restore}")
    if code == "ResourceNotFoundException" and "value" in text:
        return failure(check, f"It has no value: {shape.stops}.", f"Give it one: {_put(deployment, shape, secret_id)}")
    if code == "ResourceNotFoundException":
        restore = deployment.aws(f"secretsmanager restore-secret --secret-id {secret_id}")
        return failure(
            check,
            f"It is not there: {shape.stops}.",
            f"Restore it while it is in its recovery window: {restore}. Else deploy a new stack ({NEW_STACK}: tables "
            "and their events stay): a new secret of this name has another ARN, which the functions do not know.",
        )
    raise error


def _read(text: str, shape: SecretShape) -> tuple[str, SecretValue | None]:
    """What is wrong with the text of a secret, and its value where it can be read. No word of it is repeated."""
    if not text.strip():
        return "It is empty", None
    try:
        value: Any = json.loads(text)
    except ValueError:
        return "It is not JSON", None
    if not isinstance(value, dict):
        return "It is no JSON object", None
    problem = _missing(value, shape)
    return problem, None if problem else value


def _missing(value: Mapping[str, object], shape: SecretShape) -> str:
    try:
        for name in shape.texts:
            secret_text(value.get(name), name)
    except CredentialsUnavailable as problem:
        return f"Its member {problem}"
    added = value.get(shape.secret.further)
    if not shape.texts and not isinstance(added, list):
        return f"Its member {shape.secret.further} is missing, or is no list"
    if not shape.texts and added and not _usable(added):
        return f"No entry of its member {shape.secret.further} is a text"
    return ""


def _doubts(deployment: Deployment, check: str, shape: SecretShape, value: Mapping[str, Any]) -> Iterator[Finding]:
    added = value.get(shape.secret.further) or []
    if not isinstance(added, list):
        added = [added]
    if len(_usable(added)) < len(added):
        yield warning(
            check,
            f"An entry of its member {shape.secret.further} is no text, and is not used.",
            "Write the list again with texts alone; docs/operations.md says how.",
        )
    secret, shortest = shape.secret, shape.kind.min_length
    if secret.member and any(len(text.strip()) < shortest for text in [value[secret.member], *_usable(added)]):
        yield warning(
            check,
            f"A {secret.words} in it has fewer than {shortest} characters, and is not used.",
            f"Make another one, and remove the short one: "
            f"{deployment.callhooks(f'secret add {secret.kind} --generate')}",
        )
    if secret.member is None and not added:
        yield warning(
            check,
            f"No {secret.words} of {shape.kind.owner} is configured: its {secret.unchecked}.",
            f"Take it from its portal (callhooks urls says where): {deployment.callhooks(f'secret add {secret.kind}')}",
        )
    tokens = [value[secret.member], *_usable(added)] if secret.is_in_url and secret.member else []
    if not all(TOKEN.fullmatch(token) for token in tokens):
        yield failure(
            check,
            f"It has a token that is not valid in a URL or is shorter than {MIN_TOKEN_LENGTH} characters.",
            f"Make another one, give the provider its URL, and remove the old one: "
            f"{deployment.callhooks(f'secret add {secret.kind} --generate')}",
        )


def _usable(values: object) -> list[str]:
    texts = []
    for value in values if isinstance(values, list) else [values]:
        try:
            texts.append(secret_text(value, ""))
        except CredentialsUnavailable:
            continue
    return texts
