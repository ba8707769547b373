"""Base class of all webhooks: its methods are the steps that differ between them."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from callhooks.events.call_event import CallEvent, Ignored
from callhooks.runtime.http import Request, Response, Sender

ANSWER_WITHIN = timedelta(seconds=7.8)
"""The function's time-out is 8 s, and a sender that needs an answer waits 10 s."""
STORED = Response(200, '{"status":"stored"}')

CredentialsT = TypeVar("CredentialsT")
MessageT = TypeVar("MessageT")


class Webhook(ABC, Generic[CredentialsT, MessageT]):
    """One webhook of a provider. The pipeline calls the methods in the order in which they are defined here.

    All are pure functions of their arguments, except `decide`.

    Attributes:
        provider: the provider's name, in lower case.
        signature_header: the header with the sender's signature, if the provider signs.
        answer_within: the longest time from a request's arrival to its answer. If storing would take longer, the event
            goes to the queue or the log.
        caller_waits: whether a caller hears nothing until the answer arrives.
        fallback: the answer for a sender that must always get one. A webhook without a fallback receives events that
            the sender retries if they could not be stored.
        handles_new_calls: whether calls start here. A new call gets the fallback even if no sender can be authenticated
            or something else fails; a request that is not a call is rejected.
        uses_builtin_plan: whether new calls are answered by the built-in plan, because no other plan can be read.
    """

    provider: str
    signature_header: str | None = None
    answer_within: timedelta = ANSWER_WITHIN
    caller_waits: bool = False
    fallback: Response | None = None
    handles_new_calls: bool = False
    uses_builtin_plan: bool = False

    def unauthenticated_response(self, request: Request) -> Response | None:  # noqa: ARG002
        """Return the answer to a request that needs no authentication and is not stored; `None` for any other."""
        return None

    @abstractmethod
    def precheck_credentials(self, request: Request, now: datetime) -> None:
        """Reject a request that no secret could authenticate, before the secrets are read from AWS.

        Raises:
            Unauthorized: the request has no credentials, or malformed ones.
        """

    @abstractmethod
    def authenticate(self, request: Request, credentials: CredentialsT, now: datetime) -> Sender:
        """Check the credentials of a request, and return its sender.

        Raises:
            Unauthorized: the credentials are wrong.
        """

    @abstractmethod
    def parse(self, request: Request) -> MessageT:
        """Read the body.

        Raises:
            HttpProblem: the body cannot be parsed.
        """

    def decide(self, message: MessageT, request: Request, now: datetime) -> MessageT:  # noqa: ARG002
        """Return the message, completed with results that need other data, such as a lookup.

        Called once for each authenticated delivery. An override with side effects must make sure that a duplicate does
        not repeat them.
        """
        return message

    @abstractmethod
    def normalise(self, message: MessageT, request: Request, now: datetime) -> CallEvent | Ignored:
        """Return the event in the common vocabulary, or `Ignored` for a delivery that is not stored.

        Raises:
            BadRequest: the message is not an event.
        """

    def answer(self, message: MessageT, request: Request, now: datetime) -> Response:  # noqa: ARG002
        """Return the response to the sender."""
        return STORED

    def is_new_call(self, message: MessageT) -> bool:  # noqa: ARG002
        """Return whether this message starts a call."""
        return False

    def quarantine_response(self, reason: str, request: Request) -> Response:  # noqa: ARG002
        """Return the answer to a quarantined delivery: accepted, because a rejection would only cause retries."""
        return quarantined(reason)

    def too_large_response(self, reason: str, request: Request) -> Response | None:  # noqa: ARG002
        """Return the answer to a body over the limit, which is not stored; `None` rejects it with 413."""
        return self.fallback


def quarantined(reason: str) -> Response:
    """Return the default answer to a quarantined delivery."""
    return Response(202, json.dumps({"status": "quarantined", "reason": reason}, separators=(",", ":")))
