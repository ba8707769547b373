"""What varies from one webhook to the next: a class whose methods a provider's webhook overrides."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from callhooks.events.call_event import CallEvent, Ignored
from callhooks.runtime.http import Request, Response, Sender

ANSWER_WITHIN = timedelta(seconds=7.8)
"""A function's own time-out is 8 s, and the callers of hooks with an answer wait 10 s."""
STORED = Response(200, '{"status":"stored"}')

CredentialsT = TypeVar("CredentialsT")
MessageT = TypeVar("MessageT")


class Webhook(ABC, Generic[CredentialsT, MessageT]):
    """One webhook of a provider. The pipeline calls the methods in the order in which they stand here.

    All are pure functions of their arguments, except `decide`.

    Attributes:
        provider: the provider's name, in small letters.
        signature_header: the header with the sender's signature, where it signs.
        answer_within: how long after its arrival a request is answered at the latest. What would take longer to
            store goes to the queue or the log.
        caller_waits: a person on the telephone hears nothing until the answer is there.
        fallback: the answer for a sender who must not be left without one. A webhook without a fallback is one of
            events: the sender sends again what could not be stored.
        handles_new_calls: calls begin here. A new call gets the fallback even while no sender can be authenticated, and
            whatever goes wrong; what is no call at all is refused.
        uses_builtin_plan: new calls are answered by the built-in plan, since there is no other.
    """

    provider: str
    signature_header: str | None = None
    answer_within: timedelta = ANSWER_WITHIN
    caller_waits: bool = False
    fallback: Response | None = None
    handles_new_calls: bool = False
    uses_builtin_plan: bool = False

    def unauthenticated_response(self, request: Request) -> Response | None:  # noqa: ARG002
        """Return the answer to a request that needs no authentication and is not stored; `None` for all others."""
        return None

    @abstractmethod
    def precheck_credentials(self, request: Request, now: datetime) -> None:
        """Refuse what no secret could make right, before AWS is asked for the secrets.

        Raises:
            Unauthorized: the request has no credentials, or malformed ones.
        """

    @abstractmethod
    def authenticate(self, request: Request, credentials: CredentialsT, now: datetime) -> Sender:
        """Check the credentials of a request, and return what they establish about its sender.

        Raises:
            Unauthorized: they are wrong.
        """

    @abstractmethod
    def parse(self, request: Request) -> MessageT:
        """Read the body.

        Raises:
            HttpProblem: it cannot be understood.
        """

    def decide(self, message: MessageT, request: Request, now: datetime) -> MessageT:  # noqa: ARG002
        """Return the message with what takes more than the message to know.

        Called once for each authenticated delivery. A method that acts must see to it that a repeat does not act again.
        """
        return message

    @abstractmethod
    def normalise(self, message: MessageT, request: Request, now: datetime) -> CallEvent | Ignored:
        """Return the event in the common vocabulary, or `Ignored` for what is not to be stored.

        Raises:
            BadRequest: it is no event.
        """

    def answer(self, message: MessageT, request: Request, now: datetime) -> Response:  # noqa: ARG002
        """Return what the sender gets."""
        return STORED

    def is_new_call(self, message: MessageT) -> bool:  # noqa: ARG002
        """Return whether a call begins with this message."""
        return False

    def quarantine_response(self, reason: str, request: Request) -> Response:  # noqa: ARG002
        """Return the answer to a delivery in quarantine: accepted, since a refusal only makes the sender repeat it."""
        return quarantined(reason)

    def too_large_response(self, reason: str, request: Request) -> Response | None:  # noqa: ARG002
        """Return the answer to a body over the limit, of which nothing is stored; `None` refuses it with 413."""
        return self.fallback


def quarantined(reason: str) -> Response:
    """Return the usual answer to a delivery in quarantine."""
    return Response(202, json.dumps({"status": "quarantined", "reason": reason}, separators=(",", ":")))
