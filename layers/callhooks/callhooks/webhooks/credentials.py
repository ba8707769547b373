"""A provider's secrets, cached in the container; an outage of the secret store does not undo what is cached."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from aws_lambda_powertools import Logger

from callhooks.runtime.errors import CredentialsUnavailable

MAX_AGE_SECONDS = 300.0
REFRESH_INTERVAL_SECONDS = 60.0
PAUSE_AFTER_FAILURE_SECONDS = 1.0

CredentialsT = TypeVar("CredentialsT")
SecretValue = Mapping[str, object]

logger = Logger(child=True)


class CredentialStore(Generic[CredentialsT]):
    """Credentials made of one or more secrets, each a JSON object.

    Args:
        secret_ids: ARNs or names; a text that begins with `{` is the secret itself (`sam local --env-vars`).
        build: makes the credentials of the secrets' values, in the order of `secret_ids`.
        read_secret: gives a secret's text by its ARN or name.
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        secret_ids: Sequence[str],
        *,
        build: Callable[[Sequence[SecretValue]], CredentialsT],
        read_secret: Callable[[str], str],
        monotonic: Callable[[], float],
    ) -> None:
        self._secret_ids = tuple(secret_ids)
        self._build = build
        self._read_secret = read_secret
        self._monotonic = monotonic
        self._cached: CredentialsT | None = None
        self._read_at = 0.0
        self._tried_at = float("-inf")

    def current(self) -> CredentialsT:
        """The credentials, read again when they are older than five minutes.

        Raises:
            CredentialsUnavailable: they were never read, and cannot be read now.
        """
        now = self._monotonic()
        if self._cached is None:
            if now - self._tried_at < PAUSE_AFTER_FAILURE_SECONDS:
                raise CredentialsUnavailable("they could not be read a moment ago")
            return self._read(now)
        if now - self._read_at >= MAX_AGE_SECONDS:
            self._refresh(now)
        return self._cached

    def newer(self) -> CredentialsT | None:
        """Credentials read again, to be tried after a failed check; `None` where it is too early for that.

        At most one read a minute, so that refused requests cannot become load on the secret store.

        Raises:
            CredentialsUnavailable: they could not be read for so long that the sender may know newer ones.
        """
        now = self._monotonic()
        if self._refresh(now):
            return self._cached
        if now - self._read_at >= MAX_AGE_SECONDS:
            raise CredentialsUnavailable("they could not be read again for minutes")
        return None

    def _refresh(self, now: float) -> bool:
        if now - self._tried_at < REFRESH_INTERVAL_SECONDS:
            return False
        try:
            self._read(now)
        except CredentialsUnavailable as error:
            logger.warning("secrets not refreshed, the cached ones go on", extra={"reason": str(error)})
            return False
        return True

    def _read(self, now: float) -> CredentialsT:
        self._tried_at = now
        try:
            self._cached = self._build([self._value(secret_id) for secret_id in self._secret_ids])
        except CredentialsUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - no fault of the secret store may leave a call unanswered
            # Whatever botocore or a malformed secret raises, only its type is told: its text may hold the value.
            raise CredentialsUnavailable(type(error).__name__) from None
        self._read_at = now
        return self._cached

    def _value(self, secret_id: str) -> SecretValue:
        value = json.loads(secret_id if secret_id.startswith("{") else self._read_secret(secret_id))
        if not isinstance(value, dict):
            raise CredentialsUnavailable("a secret is not a JSON object")
        return value


def secret_text(value: object, name: str) -> str:
    """A member of a secret that must be text.

    Raises:
        CredentialsUnavailable: it is missing, or is something else.
    """
    # A lone surrogate cannot be encoded, so that nothing could be compared with it.
    if not (isinstance(value, str) and value.strip()) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise CredentialsUnavailable(f"{name} is missing, or is no text")
    return value


def secret_texts(secret: SecretValue, name: str, *, shortest: int = 0) -> tuple[str, ...]:
    """The generated member of a secret, and those of the list `further_<name>s`, which an operator may have added.

    What has fewer than `shortest` characters is not used.

    Raises:
        CredentialsUnavailable: the generated member is missing or of a wrong type, or all are too short.
    """
    generated = secret_text(secret.get(name), name)
    further = secret.get(f"further_{name}s", [])
    added = usable_texts(further if isinstance(further, list) else [further], name, shortest=shortest)
    if len(generated.strip()) >= shortest:
        return generated, *added
    if not added:
        raise CredentialsUnavailable(f"{name} has fewer than {shortest} characters")
    logger.error("a secret is not used, it is too short", extra={"member": name})
    return added


def usable_texts(values: Iterable[object], name: str, *, shortest: int = 0) -> tuple[str, ...]:
    """Those of the secrets that an operator has added which are texts, and are not too short.

    Blanks at the ends of a text are no characters of it.
    """
    texts = []
    for value in values:
        try:
            text = secret_text(value, name)
        except CredentialsUnavailable:
            # A slip in what was added must not lock out those who use another one.
            logger.error("a secret that was added is not used, it is no text", extra={"member": name})
            continue
        if len(text.strip()) < shortest:
            logger.error("a secret that was added is not used, it is too short", extra={"member": name})
            continue
        texts.append(text)
    return tuple(texts)
