"""The way of every webhook, once: verify, parse, normalise, answer, commit, respond."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Generic, NamedTuple, TypeVar

from aws_lambda_powertools import Logger

from callhooks.events.call_event import CallEvent, Ignored, NotUnderstood
from callhooks.events.event_item import REFUSED_BY_DATABASE, Item, event_item, quarantine_item
from callhooks.events.write_result import ItemWriter, WriteOutcome, WriteResult
from callhooks.runtime.errors import describe_exception
from callhooks.runtime.http import (
    BadRequest,
    BodyTooLarge,
    HttpApiEvent,
    HttpPayload,
    HttpProblem,
    Request,
    Response,
    Sender,
    Unauthorized,
)
from callhooks.runtime.metrics import (
    CALL_ANSWERED,
    CALL_FELL_BACK,
    CALL_REFUSED,
    CALL_REFUSED_ANONYMOUS,
    EVENT_REPEATED,
    EVENT_STORED,
    count,
    emit_delivery_metrics,
)
from callhooks.webhooks.credentials import CredentialStore, CredentialsUnavailable

MAX_BODY_BYTES = 128 * 1024
MAX_WAIT = timedelta(seconds=30)
"""API Gateway's own time-out: who arrived earlier than that is not waiting any more."""
ANSWER_WITHIN = timedelta(seconds=7.8)
"""A function's own time-out is 8 s, and jambonz waits 10."""
NOT_PROCESSED = "The delivery could not be processed."
COUNTED_AS = {WriteOutcome.STORED: EVENT_STORED, WriteOutcome.REPLAYED: EVENT_REPEATED}
STORED = Response(200, '{"status":"stored"}')


def fallback_payload(fallback: Response) -> HttpPayload:
    """The answer to a call for which there is no better one; an alarm goes off."""
    _count_fallback()
    return fallback.as_payload()


def _count_fallback() -> None:
    try:
        count(CALL_FELL_BACK)
    except Exception as error:  # noqa: BLE001 - nothing stands between a call and its last resort
        logger.error("not counted", extra={"failure": describe_exception(error)})


def quarantined(reason: str, _request: Request) -> Response:
    """Accepted, but kept aside: a refusal would only make the sender repeat what is not understood."""
    return Response(202, _json({"status": "quarantined", "reason": reason}))


CredentialsT = TypeVar("CredentialsT")
MessageT = TypeVar("MessageT")

logger = Logger(child=True)


class Webhook(NamedTuple, Generic[CredentialsT, MessageT]):
    """What is particular to one webhook: pure functions, but for `decide`.

    `precheck_credentials` raises `Unauthorized` where a request shows no proof, or one that is wrong for any secret:
    AWS is asked nothing for that. `verify` raises it where the proof is wrong, and returns what it has
    established. `parse` raises `HttpProblem`.
    `decide` puts into the message what takes more than the message to know, and is called once for each delivery of a
    proven sender; where it acts, it has to see to it that a repeat does not act again. `answer` says what the sender
    gets. `fallback` is the answer of a sender who waits for one and must not be left without. Without a fallback this
    is a webhook of events: the sender sends again what could not be stored. `is_new_call` is there where calls begin:
    these get the fallback even while no sender can be verified, and whatever goes wrong.
    `not_understood` answers what is put into quarantine, by the reason and the request; where it is `None`, what is
    not understood is refused. `unauthenticated_response` answers what needs no
    verification, and is not kept.
    `signature_header` is the header with the sender's signature, where it signs.
    `caller_waits` says that somebody on the telephone hears nothing until it is answered. `uses_builtin_plan` says that
    there is no plan to answer new calls by, but what is built in.
    `answer_within` is how long after its arrival a request is answered at the latest: what would take longer to keep
    than there is time is kept in the next place.
    """

    provider: str
    precheck_credentials: Callable[[Request, datetime], None]
    verify: Callable[[Request, CredentialsT, datetime], Sender]
    parse: Callable[[Request], MessageT]
    normalise: Callable[[MessageT, Request, datetime], CallEvent | Ignored]
    decide: Callable[[MessageT, Request, datetime], MessageT] = lambda message, _request, _now: message
    answer: Callable[[MessageT, Request, datetime], Response] = lambda _message, _request, _now: STORED
    fallback: Response | None = None
    not_understood: Callable[[str, Request], Response] | None = quarantined
    is_new_call: Callable[[MessageT], bool] | None = None
    unauthenticated_response: Callable[[Request], Response | None] = lambda _: None
    signature_header: str | None = None
    answer_within: timedelta = ANSWER_WITHIN
    caller_waits: bool = False
    uses_builtin_plan: bool = False


class Receiver(Generic[CredentialsT, MessageT]):
    """Takes HTTP API events of one webhook.

    Args:
        webhook: the webhook's own functions.
        credentials: what senders are verified with.
        keeper: keeps events.
        clock: the time now, aware.
        retention_days: how long events are kept; 0 is for ever.
    """

    def __init__(
        self,
        webhook: Webhook[CredentialsT, MessageT],
        *,
        credentials: CredentialStore[CredentialsT],
        keeper: ItemWriter,
        clock: Callable[[], datetime],
        retention_days: float,
    ) -> None:
        self._webhook = webhook
        self._credentials = credentials
        self._keeper = keeper
        self._clock = clock
        self._retention_days = retention_days

    def receive(self, event: HttpApiEvent) -> HttpPayload:
        """Answer one event; never raises."""
        started = self._clock()
        request: Request | None = None
        try:
            request = Request.from_event(event)
            open_answer = self._webhook.unauthenticated_response(request)
            if open_answer is not None:
                return open_answer.as_payload()
            try:
                request = request._replace(sender=self._verify(request))
            except CredentialsUnavailable as error:
                logger.error("credentials unavailable, sender not verified", extra={"reason": str(error)})
                return self._answer_unverified(request, started)
            return self._take(request, started)
        except HttpProblem as problem:
            return self._refuse(problem, request)
        except Exception as error:  # noqa: BLE001 - a caller waits, and Lambda would write what was sent into the log
            logger.error("failed", extra={"provider": self._webhook.provider, "failure": describe_exception(error)})
            if self._webhook.fallback is not None and self._webhook.is_new_call is not None:
                return self._fall_back(self._webhook.fallback, request, started)
            return self._refuse(HttpProblem(500, "Internal error", NOT_PROCESSED), request)

    def _answer_unverified(self, request: Request, started: datetime) -> HttpPayload:
        """A new call gets the fallback, which discloses nothing; nothing is stored of a sender who is not proven."""
        webhook = self._webhook
        if webhook.fallback is not None and webhook.is_new_call and webhook.is_new_call(self._parse(request)):
            return self._fall_back(webhook.fallback, request, started)
        raise HttpProblem(503, "Unavailable", "The sender cannot be verified at the moment.")

    def _fall_back(self, fallback: Response, request: Request | None, started: datetime) -> HttpPayload:
        payload = fallback_payload(fallback)
        self._record_latency([], request or Request("POST", "/"), started, {"fate": "fell back"})
        return payload

    def _verify(self, request: Request) -> Sender:
        now = self._clock()
        self._webhook.precheck_credentials(request, now)
        try:
            return self._webhook.verify(request, self._credentials.current(), now)
        except Unauthorized:
            newer = self._credentials.newer()
            if newer is None:
                raise
            return self._webhook.verify(request, newer, now)

    def _parse(self, request: Request) -> MessageT:
        if len(request.body) > MAX_BODY_BYTES:
            raise BodyTooLarge(MAX_BODY_BYTES)
        return self._webhook.parse(request)

    def _take(self, request: Request, started: datetime) -> HttpPayload:
        now, deadline = self._clock(), started + self._webhook.answer_within
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
        except Exception as error:  # noqa: BLE001 - no fault of ours may lose what a proven sender has sent
            logger.error(
                "not processed", extra={"provider": self._webhook.provider, "failure": describe_exception(error)}
            )
            if self._webhook.is_new_call is not None:
                _count_fallback()
            return self._quarantine(request, NOT_PROCESSED, deadline)
        kept = self._keep(item, deadline)
        self._tell(item, kept.fate, message, request, started)
        if kept.fate is WriteOutcome.REFUSED:
            return self._quarantine(request, REFUSED_BY_DATABASE, deadline, answer)
        return self._answer_kept(kept)

    def _tell(self, item: Item, fate: WriteOutcome, message: MessageT, request: Request, started: datetime) -> None:
        """Write the one line of a delivery: each byte of it is billed a million times for a million events."""
        told = {"call_id": item["pk"]["S"].partition("#")[2]}
        counted = [COUNTED_AS[fate]] if fate in COUNTED_AS else []
        if not counted:
            told["fate"] = fate.value
        webhook = self._webhook
        if webhook.is_new_call is not None and fate is not WriteOutcome.REPLAYED and webhook.is_new_call(message):
            if webhook.uses_builtin_plan:
                _count_fallback()
            else:
                counted.append(CALL_ANSWERED)
        self._record_latency(counted, request, started, told)

    def _record_latency(
        self, counted: Sequence[str], request: Request, started: datetime, told: Mapping[str, str]
    ) -> None:
        webhook = self._webhook
        try:
            milliseconds = waited(request, started, self._clock())
            emit_delivery_metrics(
                counted, milliseconds, provider=webhook.provider, caller_waits=webhook.caller_waits, told=told
            )
        except Exception as error:  # noqa: BLE001 - the event is kept, and its sender gets the answer
            logger.error("not counted", extra={"failure": describe_exception(error)})

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

    def _quarantine(
        self, request: Request, reason: str, deadline: datetime, answer: Response | None = None
    ) -> HttpPayload:
        """Accept and keep what was not understood; a repeat is the same item."""
        provider = self._webhook.provider
        answer = answer or self._answer_to_quarantined(reason, request)
        delivery = NotUnderstood(provider, reason, self._clock())
        item = quarantine_item(delivery, request, answer, retention_days=self._retention_days)
        kept = self._keep(item, deadline)
        if kept.fate is WriteOutcome.REFUSED:
            self._keeper.log(item, kept.fate.value)
            kept = WriteResult(WriteOutcome.LOGGED, kept.payload)
        told = {"provider": provider, "reason": reason, "hash": item["sk"]["S"], "fate": kept.fate.value}
        logger.warning("quarantined", extra=told)
        if kept.fate is not WriteOutcome.REPLAYED:
            count("EventQuarantined", provider=provider, reason=reason)
        return self._answer_kept(kept)

    def _answer_to_quarantined(self, reason: str, request: Request) -> Response:
        fallback = self._webhook.fallback or quarantined(reason, request)
        if self._webhook.not_understood is None:
            return fallback
        try:
            return self._webhook.not_understood(reason, request)
        except Exception as error:  # noqa: BLE001 - what made a delivery unreadable may make its answer so
            logger.error(
                "not answered", extra={"provider": self._webhook.provider, "failure": describe_exception(error)}
            )
            return fallback

    def _refuse(self, problem: HttpProblem, request: Request | None) -> HttpPayload:
        provider = self._webhook.provider
        told = {"provider": provider, "status": problem.status, "reason": problem.reason, **problem.seen}
        logger.warning("refused", extra=told)
        if problem.status < 500:
            count("WebhookRefused", provider=provider, reason=problem.reason)
            if self._webhook.is_new_call is not None:
                count(CALL_REFUSED if self._shows_a_proof(request) else CALL_REFUSED_ANONYMOUS)
        return problem.as_response().as_payload()

    def _shows_a_proof(self, request: Request | None) -> bool:
        """Whether a request has credentials or a signature, whatever they are worth; an empty header is neither."""
        names = ("authorization", self._webhook.signature_header)
        return request is not None and any((request.header(name) or "").strip() for name in names if name)

    def _keep(self, item: Item, deadline: datetime) -> WriteResult:
        def seconds_left() -> float:
            return (deadline - self._clock()).total_seconds()

        return self._keeper.keep(item, seconds_left)

    def _answer_kept(self, kept: WriteResult) -> HttpPayload:
        """What is in the log alone is not acknowledged to a sender who will send it again."""
        if kept.fate is WriteOutcome.LOGGED and self._webhook.fallback is None:
            raise HttpProblem(503, "Unavailable", "The event could not be stored.")
        return kept.payload


def waited(request: Request, started: datetime, now: datetime) -> int:
    """Milliseconds since a request reached API Gateway, or since the function took it, where that is not to be had."""
    begun = started.timestamp() * 1000
    arrived = request.arrived_at
    since = arrived if begun - MAX_WAIT.total_seconds() * 1000 <= arrived <= begun else begun
    return round(now.timestamp() * 1000 - since)


def _json(document: Mapping[str, str]) -> str:
    return json.dumps(document, separators=(",", ":"))
