"""The way of every webhook, once: verify, parse, normalise, answer, commit, respond."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.idempotency import IdempotencyConfig, idempotent_function

from callhooks.credentials import CredentialStore, CredentialsUnavailable
from callhooks.event import CallEvent, Ignored, NotUnderstood
from callhooks.failure import failure_of
from callhooks.http import (
    BadRequest,
    BodyTooLarge,
    HttpApiEvent,
    HttpPayload,
    HttpProblem,
    Request,
    Response,
    Unauthorized,
)
from callhooks.metrics import count
from callhooks.store import EventStore, Item, answer_of, event_item, quarantine_item

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.idempotency.persistence.datarecord import DataRecord

LARGEST_BODY_BYTES = 128 * 1024
REPLAYED_HEADER = "idempotent-replayed"
COMMIT_WITHIN = timedelta(seconds=4)
"""With the 3 s of a commit that hangs, a function has ended before its time-out of 8 s."""
UNSTORED_MARKER = "CALLHOOKS_UNSTORED_EVENT"
STORED = Response(200, '{"status":"stored"}')


def quarantined(reason: str, _request: Request) -> Response:
    """Accepted, but kept aside: a refusal would only make the sender repeat what is not understood."""
    return Response(202, _json({"status": "quarantined", "reason": reason}))


CredentialsT = TypeVar("CredentialsT")
MessageT = TypeVar("MessageT")

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class Webhook(Generic[CredentialsT, MessageT]):
    """What is particular to one webhook: pure functions, but for `decide`.

    `verify` raises `Unauthorized`. `parse` raises `HttpProblem`. `decide` puts into the message what takes more than
    the message to know, and is called once for each delivery of a proven sender; where it acts, it has to see to it
    that a repeat does not act again. `answer` says what the sender gets. `fallback` is the answer of a sender who
    waits for one and must not be left without; while no sender can be verified, it is for a message that
    `is_new_call`. Without a fallback this is a webhook of events: the sender sends again what could not be stored.
    `not_understood` answers what is put into quarantine, by the reason and the request; where it is `None`, what is
    not understood is refused. `sent_at` is the sender's clock where a request tells it besides its body, and a retry
    repeats it. `answer_to_anybody` is for what is answered before anything is verified, and not kept.
    `commit_within` is how long after its arrival a request may still be committed: one that hangs takes 3 s more.
    """

    provider: str
    verify: Callable[[Request, CredentialsT, datetime], None]
    parse: Callable[[Request], MessageT]
    normalise: Callable[[MessageT, Request, datetime], CallEvent | Ignored]
    decide: Callable[[MessageT, Request, datetime], MessageT] = lambda message, _request, _now: message
    answer: Callable[[MessageT, Request, datetime], Response] = lambda _message, _request, _now: STORED
    fallback: Response | None = None
    not_understood: Callable[[str, Request], Response] | None = quarantined
    is_new_call: Callable[[MessageT], bool] = lambda _: False
    sent_at: Callable[[Request], datetime | None] = lambda _: None
    answer_to_anybody: Callable[[Request], Response | None] = lambda _: None
    commit_within: timedelta = COMMIT_WITHIN


class Receiver(Generic[CredentialsT, MessageT]):
    """Takes HTTP API events of one webhook.

    Args:
        webhook: the webhook's own functions.
        credentials: what senders are verified with.
        store: where events are kept.
        clock: the time now, aware.
        retention_days: how long events are kept; 0 is for ever.
    """

    def __init__(
        self,
        webhook: Webhook[CredentialsT, MessageT],
        *,
        credentials: CredentialStore[CredentialsT],
        store: EventStore,
        clock: Callable[[], datetime],
        retention_days: float,
    ) -> None:
        self._webhook = webhook
        self._credentials = credentials
        self._store = store
        self._clock = clock
        self._retention_days = retention_days
        idempotency = IdempotencyConfig(use_local_cache=True, response_hook=_mark_as_replayed)
        # With idempotency switched off Powertools never configures the store, which is asked all the same.
        store.configure(idempotency)
        self._commit_once = idempotent_function(
            _payload, data_keyword_argument="item", persistence_store=store, config=idempotency
        )

    def receive(self, event: HttpApiEvent) -> HttpPayload:
        """Answer one event. Never raises for a proven sender of a webhook that has a fallback."""
        deadline = self._clock() + self._webhook.commit_within
        try:
            request = Request.from_event(event)
            open_answer = self._webhook.answer_to_anybody(request)
            if open_answer is not None:
                return open_answer.as_payload()
            try:
                self._verify(request)
            except CredentialsUnavailable as error:
                logger.error("credentials unavailable, sender not verified", extra={"reason": str(error)})
                return self._answer_unverified(request)
            return self._take(request, deadline)
        except HttpProblem as problem:
            return self._refuse(problem)

    def _answer_unverified(self, request: Request) -> HttpPayload:
        """A new call gets the fallback, which discloses nothing; nothing is stored of a sender who is not proven."""
        if self._webhook.fallback is not None and self._webhook.is_new_call(self._parse(request)):
            return self._webhook.fallback.as_payload()
        raise HttpProblem(503, "Unavailable", "The sender cannot be verified at the moment.")

    def _verify(self, request: Request) -> None:
        now = self._clock()
        try:
            self._webhook.verify(request, self._credentials.current(), now)
        except Unauthorized:
            newer = self._credentials.newer()
            if newer is None:
                raise
            self._webhook.verify(request, newer, now)

    def _parse(self, request: Request) -> MessageT:
        if len(request.body) > LARGEST_BODY_BYTES:
            raise BodyTooLarge(LARGEST_BODY_BYTES)
        return self._webhook.parse(request)

    def _take(self, request: Request, deadline: datetime) -> HttpPayload:
        now = self._clock()
        try:
            message = self._webhook.decide(self._parse(request), request, now)
            event = self._webhook.normalise(message, request, now)
            if isinstance(event, Ignored):
                return self._ignore(event)
            answer = self._webhook.answer(message, request, now)
            item = event_item(event, request, answer, retention_days=self._retention_days)
        except BadRequest as problem:
            if self._webhook.not_understood is None:
                raise
            return self._quarantine(request, problem.detail, deadline)
        except BodyTooLarge as problem:
            return self._answer_too_large(request, problem)
        except HttpProblem:
            raise
        except Exception as error:
            # No fault of ours may lose what a proven sender has sent, or leave a call without an answer.
            failure = failure_of(error)
            if self._webhook.not_understood is not None:
                logger.error("not processed", extra={"provider": self._webhook.provider, "failure": failure})
                return self._quarantine(request, "The delivery could not be processed.", deadline)
            _log_unstored(
                {"method": request.method, "path": request.path, "query": request.query, "body": request.body},
                failure=failure,
            )
            if self._webhook.fallback is None:
                raise HttpProblem(500, "Internal error", "The delivery could not be processed.") from error
            return self._webhook.fallback.as_payload()
        call_id = item["pk"]["S"].partition("#")[2]
        payload, outcome = self._commit(item, answer, deadline)
        logger.info(
            "answered",
            extra={"provider": event.provider, "call_id": call_id, "kind": event.kind.value, **outcome},
        )
        return payload

    def _answer_too_large(self, request: Request, problem: BodyTooLarge) -> HttpPayload:
        """Who waits for an answer gets one, though what was sent is larger than anything that could be kept."""
        webhook = self._webhook
        if webhook.fallback is None or webhook.not_understood is None:
            raise problem
        logger.warning("not kept", extra={"provider": webhook.provider, "reason": problem.reason})
        if webhook.not_understood is quarantined:
            return webhook.fallback.as_payload()
        return webhook.not_understood(problem.detail, request).as_payload()

    def _ignore(self, ignored: Ignored) -> HttpPayload:
        logger.info("ignored", extra={"provider": self._webhook.provider, "reason": ignored.reason})
        return Response(200, _json({"status": "ignored", "reason": ignored.reason})).as_payload()

    def _quarantine(self, request: Request, reason: str, deadline: datetime) -> HttpPayload:
        """Accept and keep what was not understood; a repeat is the same item."""
        provider = self._webhook.provider
        try:
            answer = (self._webhook.not_understood or quarantined)(reason, request)
        except Exception as error:  # noqa: BLE001 - what made a delivery unreadable may make its answer so
            logger.error("not answered", extra={"provider": provider, "failure": failure_of(error)})
            answer = self._webhook.fallback or quarantined(reason, request)
        delivery = NotUnderstood(provider, reason, self._clock(), self._webhook.sent_at(request))
        item = quarantine_item(delivery, request, answer, retention_days=self._retention_days)
        payload, outcome = self._commit(item, answer, deadline)
        body_hash = item["sk"]["S"]
        logger.warning("quarantined", extra={"provider": provider, "reason": reason, "body_hash": body_hash, **outcome})
        if not outcome["replayed"]:
            count("EventQuarantined", provider=provider, reason=reason)
        return payload

    def _refuse(self, problem: HttpProblem) -> HttpPayload:
        provider = self._webhook.provider
        told = {"provider": provider, "status": problem.status, "reason": problem.reason, **problem.seen}
        logger.warning("refused", extra=told)
        if problem.status < 500:
            count("WebhookRefused", provider=provider, reason=problem.reason)
        return problem.as_response().as_payload()

    def _commit(self, item: Item, answer: Response, deadline: datetime) -> tuple[HttpPayload, Mapping[str, bool]]:
        payload = answer.as_payload()
        failure = "no time was left"
        if self._clock() < deadline:
            failure = "the store has not seen it"
            try:
                payload = self._commit_once(item=item)
            except Exception as error:  # noqa: BLE001 - whatever the database does, the answer is there
                failure = type(error.__cause__ or error).__name__
        stored = self._store.holds(item)
        if not stored:
            _log_unstored(item, failure=failure)
            if self._webhook.fallback is None:
                raise HttpProblem(503, "Unavailable", "The event could not be stored.")
        return payload, {"stored": stored, "replayed": REPLAYED_HEADER in payload["headers"]}


def _payload(*, item: Item) -> HttpPayload:
    return answer_of(item).as_payload()


def _mark_as_replayed(response: Any, idempotent_data: DataRecord) -> Any:  # noqa: ARG001
    response["headers"][REPLAYED_HEADER] = "true"
    return response


def _json(document: Mapping[str, str]) -> str:
    return json.dumps(document, separators=(",", ":"))


def _log_unstored(delivery: Mapping[str, object], *, failure: str) -> None:
    """Write all of a delivery to the log, packed: the last place where an accepted event is kept."""
    whole = json.dumps(delivery, default=lambda value: {"base64": base64.b64encode(value).decode("ascii")})
    packed = base64.b64encode(gzip.compress(whole.encode("utf-8"))).decode("ascii")
    logger.error(UNSTORED_MARKER, extra={"failure": failure, "delivery": packed})
