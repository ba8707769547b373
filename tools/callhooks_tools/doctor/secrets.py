"""Whether the secrets of a stack can be read, and hold what the functions look for in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import ClientError
from callhooks.call_log.session import MIN_PASSWORD_CHARACTERS
from callhooks.runtime.errors import CredentialsUnavailable
from callhooks.webhooks.credentials import SecretValue, secret_text

from callhooks_tools.doctor.deployment import IMPATIENT, Deployment
from callhooks_tools.doctor.findings import Finding, failure, fine, looked_at, warning
from callhooks_tools.stack.secrets import SHORTEST_TOKEN, TOKEN
from callhooks_tools.stack.stack import BirdAccess, ConsoleAccess, JambonzAccess, TokenAccess

CHECK = "secrets"
NEW_STACK = "docs/operations.md#remove"


@dataclass(frozen=True, slots=True)
class SecretShape:
    """What a secret holds: texts that must be there, and a list of such as were added.

    `stops` says what does not work while it is not so.
    """

    name: str
    texts: tuple[str, ...]
    added: str
    stops: str
    example: str

    @property
    def is_in_urls(self) -> bool:
        """Whether its texts stand in URLs."""
        return self.texts == ("token",)


NEW_CALLS_FALL_BACK = "new calls get the plan's fallback, and nothing else of jambonz is taken"
SHAPES = {
    "jambonz_credentials": SecretShape(
        "JambonzCredentials", ("username", "password"), "further_passwords", NEW_CALLS_FALL_BACK,
        '{"username": "jambonz", "password": "..."}',
    ),
    "jambonz_webhook_secrets": SecretShape(
        "JambonzWebhookSecrets", (), "webhook_secrets", NEW_CALLS_FALL_BACK, '{"webhook_secrets": []}'
    ),
    "wavix_credentials": SecretShape(
        "WavixCredentials", ("token",), "further_tokens", "nothing of Wavix is taken", '{"token": "..."}'
    ),
    "bird_credentials": SecretShape(
        "BirdCredentials", ("signing_key",), "further_signing_keys", "nothing of Bird is taken",
        '{"signing_key": "..."}',
    ),
    "voipstudio_credentials": SecretShape(
        "VoipstudioCredentials", ("token",), "further_tokens", "nothing of VoIPstudio is taken", '{"token": "..."}'
    ),
    "console_credentials": SecretShape(
        "ConsoleCredentials", ("username", "password"), "further_passwords", "nobody can look at the call log",
        '{"username": "console", "password": "..."}',
    ),
}  # fmt: skip
"""By the member of `StackOutputs` that has its id."""


@dataclass
class KnownSecrets:
    """What the secrets that are in order hold, the newest of several, and when each was changed."""

    values: dict[str, SecretValue] = field(default_factory=dict, repr=False)
    changed_at: dict[str, datetime] = field(default_factory=dict)

    @property
    def jambonz(self) -> JambonzAccess | None:
        """What jambonz proves itself with."""
        value, webhook = self.values.get("jambonz_credentials"), self.values.get("jambonz_webhook_secrets")
        if value is None or webhook is None:
            return None
        usable = _usable(webhook["webhook_secrets"])
        return JambonzAccess.model_validate({**value, "webhook_secret": next(iter(usable), None)})

    @property
    def bird(self) -> BirdAccess | None:
        """What Bird signs with."""
        value = self.values.get("bird_credentials")
        return None if value is None else BirdAccess.model_validate(value)

    @property
    def console(self) -> ConsoleAccess | None:
        """Who may look at the call log."""
        value = self.values.get("console_credentials")
        return None if value is None else ConsoleAccess.model_validate(value)

    def token_of(self, provider: str) -> TokenAccess | None:
        """The token in a provider's URL."""
        value = self.values.get(f"{provider}_credentials")
        return None if value is None else TokenAccess.model_validate(value)


def secret_findings(deployment: Deployment, known: KnownSecrets) -> Iterator[Finding]:
    """Look at every secret; `known` is told what is in those that are in order."""
    before = len(known.values)
    for member, shape in SHAPES.items():
        secret_id = getattr(deployment.outputs, member)
        yield from looked_at(f"secret {shape.name}", _look(deployment, known, member, shape, secret_id))
    if len(known.values) - before == len(SHAPES):
        yield fine(CHECK, f"All {len(SHAPES)} secrets can be read and hold what they should.")


def _look(
    deployment: Deployment, known: KnownSecrets, member: str, shape: SecretShape, secret_id: str
) -> Iterator[Finding]:
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
    known.values[member] = value
    yield from _doubts(deployment, check, shape, value)
    changed_at = client.describe_secret(SecretId=secret_id).get("LastChangedDate")
    if changed_at is not None:
        known.changed_at[member] = changed_at


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
    added = value.get(shape.added)
    if not shape.texts and not isinstance(added, list):
        return f"Its member {shape.added} is missing, or is no list"
    if not shape.texts and added and not _usable(added):
        return f"No entry of its member {shape.added} is a text"
    return ""


def _doubts(deployment: Deployment, check: str, shape: SecretShape, value: Mapping[str, Any]) -> Iterator[Finding]:
    added = value.get(shape.added) or []
    if not isinstance(added, list):
        added = [added]
    if len(_usable(added)) < len(added):
        yield warning(
            check,
            f"An entry of its member {shape.added} is no text, and is not used.",
            "Write the list again with texts alone; docs/operations.md says how.",
        )
    if shape.name == "ConsoleCredentials" and any(
        len(password.strip()) < MIN_PASSWORD_CHARACTERS for password in [value["password"], *_usable(added)]
    ):
        yield warning(
            check,
            f"A password in it has fewer than {MIN_PASSWORD_CHARACTERS} characters, and is not used.",
            f"Make another one, and remove the short one: "
            f"{deployment.callhooks('secret add console-password --generate')}",
        )
    if not shape.texts and not added:
        yield warning(
            check,
            "No webhook secret of jambonz is configured: its signatures are not checked, the password alone is.",
            f"Take it from jambonz's portal (account, Webhook secret): {deployment.callhooks('secret add jambonz')}",
        )
    tokens = [value[name] for name in shape.texts if shape.is_in_urls] + (_usable(added) if shape.is_in_urls else [])
    if not all(TOKEN.fullmatch(token) for token in tokens):
        provider = shape.name.removesuffix("Credentials").lower()
        yield failure(
            check,
            f"A token in it cannot stand in a URL, or is shorter than {SHORTEST_TOKEN} characters and can be guessed.",
            f"Make another one, give the provider its URL, and remove the old one: "
            f"{deployment.callhooks(f'secret add {provider} --generate')}",
        )


def _usable(values: object) -> list[str]:
    texts = []
    for value in values if isinstance(values, list) else [values]:
        try:
            texts.append(secret_text(value, ""))
        except CredentialsUnavailable:
            continue
    return texts
