"""Set up a function with the real clock, its environment and AWS."""

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

# Log lines are billed by the byte, so they omit the code location and the service name.
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
        secrets: the ARNs of the secrets with its senders' credentials.
        read_credentials: builds the credentials from the secrets' values.
        aws: the function's resources, if it has created them already.

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
    """Return the credential store for these secrets, given by ARN."""
    return CredentialStore(secrets, build=read_credentials, read_secret=read_secret, monotonic=time.monotonic)


class FallbackReceiver(Generic[CredentialsT, MessageT]):
    """Wrapper for a receiver whose sender must get an answer even if the receiver cannot be built.

    Args:
        new_receiver: builds the receiver; called at the container's start, then for each event until it succeeds.
        fallback: the answer until then. The sender is not authenticated, and the event is not stored.
    """

    def __init__(self, new_receiver: Callable[[], Receiver[CredentialsT, MessageT]], fallback: Response) -> None:
        self._new_receiver = new_receiver
        self._fallback = fallback
        self._receiver = self._try_build()

    def receive(self, event: HttpApiEvent) -> HttpPayload:
        """Answer one event; never raises."""
        self._receiver = self._receiver or self._try_build()
        return self._receiver.receive(event) if self._receiver else fallback_payload(self._fallback)

    def _try_build(self) -> Receiver[CredentialsT, MessageT] | None:
        try:
            return self._new_receiver()
        except Exception as error:  # noqa: BLE001 - a call gets an answer even if the function is broken
            logger.error("function cannot start, calls get the fallback", extra={"failure": describe_exception(error)})
            return None


def utc_now() -> datetime:
    """Return the time now, aware UTC."""
    return datetime.now(UTC)


def log_invocation(context: object) -> None:
    """Add the id of the invocation to all following log lines."""
    # Powertools' decorator would add the function's ARN to every line, and can be configured to log whole events.
    logger.append_keys(function_request_id=getattr(context, "aws_request_id", None))


class LambdaContext(Protocol):
    """The part of Lambda's invocation context that callhooks uses."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the remaining time of the invocation."""
        ...


def seconds_left(context: LambdaContext) -> Callable[[], float]:
    """Return a function that returns the remaining seconds of the invocation."""
    return lambda: context.get_remaining_time_in_millis() / 1000
