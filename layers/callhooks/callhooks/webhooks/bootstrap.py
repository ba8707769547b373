"""How a function is put together: on the real clock, its environment, and AWS."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Generic, Protocol, TypeVar

from aws_lambda_powertools import Logger

from callhooks.runtime.errors import describe_exception
from callhooks.runtime.http import HttpApiEvent, HttpPayload, Response
from callhooks.runtime.settings import StoreSettings
from callhooks.webhooks.aws_resources import AwsResources
from callhooks.webhooks.credentials import CredentialStore, SecretValue
from callhooks.webhooks.pipeline import Receiver, fallback_payload
from callhooks.webhooks.webhook import Webhook

CredentialsT = TypeVar("CredentialsT")
MessageT = TypeVar("MessageT")

# Each line is billed by its bytes: where in the code it stands can be looked up, and its group is the stack's.
logger = Logger(location=None, datefmt="%Y-%m-%dT%H:%M:%SZ", utc=True)
logger.remove_keys(["service"])


def build_receiver(
    webhook: Webhook[CredentialsT, MessageT],
    *,
    secrets: Sequence[str],
    read_credentials: Callable[[Sequence[SecretValue]], CredentialsT],
    aws: AwsResources | None = None,
) -> Receiver[CredentialsT, MessageT]:
    """Return the receiver of a webhook.

    Args:
        webhook: the webhook.
        secrets: the secrets that hold its senders' credentials, by ARN.
        read_credentials: makes the credentials from the secrets' values.
        aws: the function's resources, where it has them already.

    Raises:
        KeyError: a variable of the environment is missing.
    """
    resources = aws or AwsResources.from_env()
    return Receiver(
        webhook,
        credentials=build_credentials(secrets, read_credentials, resources.read_secret),
        get_writer=lambda: resources.writer,
        clock=utc_now,
        retention_days=StoreSettings.from_environment(os.environ).retention_days,
    )


def build_credentials(
    secrets: Sequence[str],
    read_credentials: Callable[[Sequence[SecretValue]], CredentialsT],
    read_secret: Callable[[str], str],
) -> CredentialStore[CredentialsT]:
    """The credentials in these secrets, by ARN."""
    return CredentialStore(secrets, build=read_credentials, read_secret=read_secret, monotonic=time.monotonic)


class FallbackReceiver(Generic[CredentialsT, MessageT]):
    """The receiver of a webhook whose sender must get an answer, even where that receiver cannot be made.

    Args:
        new_receiver: makes it; tried when a container starts, and at each event until it succeeds.
        fallback: the answer meanwhile; nothing is verified for it, and nothing stored.
    """

    def __init__(self, new_receiver: Callable[[], Receiver[CredentialsT, MessageT]], fallback: Response) -> None:
        self._new_receiver = new_receiver
        self._fallback = fallback
        self._receiver = self._made()

    def receive(self, event: HttpApiEvent) -> HttpPayload:
        """Answer one event; never raises."""
        self._receiver = self._receiver or self._made()
        return self._receiver.receive(event) if self._receiver else fallback_payload(self._fallback)

    def _made(self) -> Receiver[CredentialsT, MessageT] | None:
        try:
            return self._new_receiver()
        except Exception as error:  # noqa: BLE001 - a call gets an answer, whatever is wrong with the function
            logger.error(
                "the function cannot start, every call gets the fallback", extra={"failure": describe_exception(error)}
            )
            return None


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


def log_invocation(context: object) -> None:
    """Name the invocation in every line that is logged from here on."""
    # Powertools' decorator would repeat the function's ARN in every line, and log whole events where it is told to.
    logger.append_keys(function_request_id=getattr(context, "aws_request_id", None))


class LambdaContext(Protocol):
    """What Lambda tells of an invocation, as far as it is asked."""

    def get_remaining_time_in_millis(self) -> int:
        """How long the invocation may still take."""
        ...


def seconds_left(context: LambdaContext) -> Callable[[], float]:
    """The clock of an invocation that runs backwards."""
    return lambda: context.get_remaining_time_in_millis() / 1000
