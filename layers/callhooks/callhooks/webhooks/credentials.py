"""A provider's credentials, cached in the container so that they survive an outage of Secrets Manager."""

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
    """Credentials built from one or more secrets, each a JSON object.

    Args:
        secret_ids: ARNs or names; a string that begins with `{` is the secret itself (`sam local --env-vars`).
        build: builds the credentials from the secrets' values, in the order of `secret_ids`.
        read_secret: returns a secret's text by its ARN or name.
        monotonic: returns the seconds of a monotonic clock.
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
        """Return the credentials, and refresh them if they are older than five minutes.

        Raises:
            CredentialsUnavailable: they have never been read, and cannot be read now.
        """
        now = self._monotonic()
        if self._cached is None:
            if now - self._tried_at < PAUSE_AFTER_FAILURE_SECONDS:
                raise CredentialsUnavailable("the last read failed a moment ago")
            return self._read(now)
        if now - self._read_at >= MAX_AGE_SECONDS:
            self._refresh(now)
        return self._cached

    def newer(self) -> CredentialsT | None:
        """Return refreshed credentials for a second check; `None` if the last refresh was less than a minute ago.

        Refreshes at most once a minute, so that rejected requests do not become load on Secrets Manager.

        Raises:
            CredentialsUnavailable: the refresh failed, and the cached credentials are so old that the sender may have
                newer ones.
        """
        now = self._monotonic()
        if self._refresh(now):
            return self._cached
        if now - self._read_at >= MAX_AGE_SECONDS:
            raise CredentialsUnavailable("the cached secrets are too old to reject a sender")
        return None

    def _refresh(self, now: float) -> bool:
        if now - self._tried_at < REFRESH_INTERVAL_SECONDS:
            return False
        try:
            self._read(now)
        except CredentialsUnavailable as error:
            logger.warning("secrets not refreshed, using the cached ones", extra={"reason": str(error)})
            return False
        return True

    def _read(self, now: float) -> CredentialsT:
        self._tried_at = now
        try:
            self._cached = self._build([self._value(secret_id) for secret_id in self._secret_ids])
        except CredentialsUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of the secret store must not leave a call unanswered
            # Only the type is reported: the text of the error may contain the secret.
            raise CredentialsUnavailable(type(error).__name__) from None
        self._read_at = now
        return self._cached

    def _value(self, secret_id: str) -> SecretValue:
        value = json.loads(secret_id if secret_id.startswith("{") else self._read_secret(secret_id))
        if not isinstance(value, dict):
            raise CredentialsUnavailable("a secret is not a JSON object")
        return value


def secret_text(value: object, name: str) -> str:
    """Return a member of a secret that must be text.

    Raises:
        CredentialsUnavailable: the member is missing, or is not text.
    """
    # A lone surrogate cannot be encoded, so it could not be compared.
    if not (isinstance(value, str) and value.strip()) or any("\ud800" <= letter <= "\udfff" for letter in value):
        raise CredentialsUnavailable(f"{name} is missing or not text")
    return value


def secret_texts(secret: SecretValue, name: str, *, min_length: int = 0) -> tuple[str, ...]:
    """Return the generated member of a secret and the members that an operator added to the list `further_<name>s`.

    Members of fewer than `min_length` characters are not used.

    Raises:
        CredentialsUnavailable: the generated member is missing or has the wrong type, or all members are too short.
    """
    generated = secret_text(secret.get(name), name)
    further = secret.get(f"further_{name}s", [])
    added = usable_texts(further if isinstance(further, list) else [further], name, min_length=min_length)
    if len(generated.strip()) >= min_length:
        return generated, *added
    if not added:
        raise CredentialsUnavailable(f"{name} has fewer than {min_length} characters")
    logger.error("secret not used: too short", extra={"member": name})
    return added


def usable_texts(values: Iterable[object], name: str, *, min_length: int = 0) -> tuple[str, ...]:
    """Return the secrets added by an operator, except non-text and too short ones.

    Spaces at either end do not count towards the length.
    """
    texts = []
    for value in values:
        try:
            text = secret_text(value, name)
        except CredentialsUnavailable:
            # A mistake in one added secret must not lock out senders that use another one.
            logger.error("added secret not used: not text", extra={"member": name})
            continue
        if len(text.strip()) < min_length:
            logger.error("added secret not used: too short", extra={"member": name})
            continue
        texts.append(text)
    return tuple(texts)
