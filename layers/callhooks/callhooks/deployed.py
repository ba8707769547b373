"""A function's receiver as it is deployed: on AWS, the real clock and the function's environment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from aws_lambda_powertools import Logger

from callhooks.aws import dynamodb_client, queue_client, secret_reader
from callhooks.credentials import CredentialStore, SecretValue
from callhooks.failure import failure_of
from callhooks.http import HttpApiEvent, HttpPayload, Response
from callhooks.keeper import Keeper
from callhooks.receiver import Receiver, Webhook, fell_back
from callhooks.settings import SpillSettings, StoreSettings
from callhooks.spill import SpillQueue
from callhooks.store import EventStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

CredentialsT = TypeVar("CredentialsT")
MessageT = TypeVar("MessageT")

logger = Logger()


def deployed_receiver(
    webhook: Webhook[CredentialsT, MessageT],
    *,
    secrets: Sequence[str],
    read_credentials: Callable[[Sequence[SecretValue]], CredentialsT],
    store: EventStore | None = None,
) -> Receiver[CredentialsT, MessageT]:
    """The receiver of a webhook.

    Args:
        webhook: the webhook's own functions.
        secrets: the secrets that hold its senders' credentials, by ARN.
        read_credentials: makes the credentials of the secrets' values.
        store: where events are kept, where the function has made its own client; else both are made.

    Raises:
        KeyError: a variable of the environment is missing.
    """
    settings = StoreSettings.from_environment(os.environ)
    return Receiver(
        webhook,
        credentials=deployed_credentials(secrets, read_credentials),
        keeper=Keeper(
            store or deployed_store(dynamodb_client()),
            SpillQueue(queue_client, SpillSettings.from_environment(os.environ).spill_queue_url),
        ),
        clock=utc_now,
        retention_days=settings.retention_days,
    )


class LastResort(Generic[CredentialsT, MessageT]):
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
        return self._receiver.receive(event) if self._receiver else fell_back(self._fallback)

    def _made(self) -> Receiver[CredentialsT, MessageT] | None:
        try:
            return self._new_receiver()
        except Exception as error:  # noqa: BLE001 - a call gets an answer, whatever is wrong with the function
            logger.error(
                "the function cannot start, every call gets the fallback", extra={"failure": failure_of(error)}
            )
            return None


def deployed_credentials(
    secrets: Sequence[str], read_credentials: Callable[[Sequence[SecretValue]], CredentialsT]
) -> CredentialStore[CredentialsT]:
    """The credentials in these secrets, by ARN."""
    return CredentialStore(secrets, build=read_credentials, read_secret=secret_reader(), monotonic=time.monotonic)


def utc_now() -> datetime:
    """The real clock."""
    return datetime.now(UTC)


def deployed_store(client: DynamoDBClient) -> EventStore:
    """The table of events, by the one client that a function makes.

    Raises:
        KeyError: a variable of the environment is missing.
    """
    return EventStore(client, StoreSettings.from_environment(os.environ).events_table)


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
