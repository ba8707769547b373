"""Webhook pipeline: authenticate, parse, normalise, answer, store, respond."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from aws_lambda_powertools import Logger

from callhooks.events.call_event import Ignored, QuarantinedDelivery
from callhooks.events.event_item import REFUSED_BY_DATABASE, Item, event_item, quarantine_item
from callhooks.events.write_result import WriteOutcome, WriteResult
from callhooks.runtime.errors import (
    CANNOT_AUTHENTICATE,
    CANNOT_STORE,
    BadRequest,
    BodyTooLarge,
    CredentialsUnavailable,
    HttpProblem,
    Unauthorized,
    describe_exception,
)
from callhooks.runtime.http import HttpApiEvent, HttpPayload, Request, Response, Sender, problem_response
from callhooks.runtime.metrics import (
    CALL_FELL_BACK,
    CALL_REFUSED,
    CALL_REFUSED_ANONYMOUS,
    EVENT_QUARANTINED,
    EVENT_REPEATED,
    EVENT_STORED,
    WEBHOOK_REFUSED,
    count,
    emit_delivery_metrics,
)
from callhooks.webhooks.credentials import CredentialStore
from callhooks.webhooks.webhook import Webhook, quarantined

if TYPE_CHECKING:
    from callhooks.events.event_writer import EventWriter

MAX_BODY_BYTES = 128 * 1024
MAX_WAIT = timedelta(seconds=30)
"""API Gateway's time-out: the sender of an earlier request no longer waits."""
NOT_PROCESSED = "The delivery could not be processed."
METRIC_OF_OUTCOME = {WriteOutcome.STORED: EVENT_STORED, WriteOutcome.REPLAYED: EVENT_REPEATED}

CredentialsT = TypeVar("CredentialsT")
MessageT = TypeVar("MessageT")

logger = Logger(child=True)


def fallback_payload(fallback: Response) -> HttpPayload:
    """Return the fallback for a call, and count it for the alarm."""
    _count_fallback()
    return fallback.as_payload()


def _count_fallback() -> None:
    try:
        count(CALL_FELL_BACK)
    except Exception as error:  # noqa: BLE001 - a metric must not stop a call from getting its fallback
        logger.error("not counted", extra={"failure": describe_exception(error)})


class Receiver(Generic[CredentialsT, MessageT]):
    """The pipeline of one webhook.

    Args:
        webhook: the steps that differ between webhooks.
        credentials: the credentials of its senders.
        get_writer: returns the writer of events; called when there is an event to write.
        clock: returns the time now, aware.
        retention_days: how long events are stored; 0 means indefinitely.
    """

    def __init__(
        self,
        webhook: Webhook[CredentialsT, MessageT],
        *,
        credentials: CredentialStore[CredentialsT],
        get_writer: Callable[[], EventWriter],
        clock: Callable[[], datetime],
        retention_days: float,
    ) -> None:
        self._webhook = webhook
        self._credentials = credentials
        self._get_writer = get_writer
        self._clock = clock
        self._retention_days = retention_days

    def receive(self, event: HttpApiEvent) -> HttpPayload:
        """Answer one event; never raises."""
        started = self._clock()
        request: Request | None = None
        try:
            request = Request.from_event(event)
            unauthenticated = self._webhook.unauthenticated_response(request)
            if unauthenticated is not None:
                return unauthenticated.as_payload()
            try:
                request = request._replace(sender=self._authenticate(request))
            except CredentialsUnavailable as error:
                logger.error("credentials unavailable, sender not authenticated", extra={"reason": str(error)})
                return self._answer_unauthenticated(request, started)
            return self._process(request, started)
        except HttpProblem as problem:
            return self._refuse(problem, request)
        except Exception as error:  # noqa: BLE001 - a caller waits, and Lambda would log the text of the error
            logger.error("failed", extra={"provider": self._webhook.provider, "failure": describe_exception(error)})
            if self._webhook.handles_new_calls and self._webhook.fallback is not None:
                return self._fall_back(self._webhook.fallback, request, started)
            return self._refuse(HttpProblem(500, "Internal error", NOT_PROCESSED), request)

    def _authenticate(self, request: Request) -> Sender:
        now = self._clock()
        self._webhook.precheck_credentials(request, now)
        try:
            return self._webhook.authenticate(request, self._credentials.current(), now)
        except Unauthorized:
            newer = self._credentials.newer()
            if newer is None:
                raise
            return self._webhook.authenticate(request, newer, now)

    def _answer_unauthenticated(self, request: Request, started: datetime) -> HttpPayload:
        """Give a new call the fallback, which discloses nothing. An unauthenticated delivery is never stored."""
        webhook = self._webhook
        if webhook.fallback is not None and webhook.handles_new_calls and webhook.is_new_call(self._parse(request)):
            return self._fall_back(webhook.fallback, request, started)
        raise HttpProblem(503, "Unavailable", CANNOT_AUTHENTICATE)

    def _fall_back(self, fallback: Response, request: Request | None, started: datetime) -> HttpPayload:
        payload = fallback_payload(fallback)
        self._record_latency((), request or Request("POST", "/"), started, {"outcome": "fell back"})
        return payload

    def _parse(self, request: Request) -> MessageT:
        if len(request.body) > MAX_BODY_BYTES:
            raise BodyTooLarge(MAX_BODY_BYTES)
        return self._webhook.parse(request)

    def _process(self, request: Request, started: datetime) -> HttpPayload:
        webhook, now, deadline = self._webhook, self._clock(), started + self._webhook.answer_within
        try:
            message = webhook.decide(self._parse(request), request, now)
            event = webhook.normalise(message, request, now)
            if isinstance(event, Ignored):
                return self._ignore(event)
            answer = webhook.answer(message, request, now)
            item = event_item(event, request, answer, retention_days=self._retention_days)
        except BadRequest as problem:
            if webhook.handles_new_calls:
                raise
            return self._quarantine(request, problem.detail, deadline)
        except BodyTooLarge as problem:
            return self._answer_too_large(request, problem)
        except HttpProblem:
            raise
        except Exception as error:  # noqa: BLE001 - a fault of ours must not lose an authenticated delivery
            logger.error("not processed", extra={"provider": webhook.provider, "failure": describe_exception(error)})
            if webhook.handles_new_calls:
                _count_fallback()
            return self._quarantine(request, NOT_PROCESSED, deadline)
        result = self._write(item, answer, deadline)
        self._record_delivery(item, result.outcome, message, request, started)
        if result.outcome is WriteOutcome.REFUSED:
            return self._quarantine(request, REFUSED_BY_DATABASE, deadline, answer)
        return self._respond(result)

    def _write(self, item: Item, answer: Response, deadline: datetime) -> WriteResult:
        def seconds_left() -> float:
            return (deadline - self._clock()).total_seconds()

        return self._get_writer().write(item, answer, seconds_left)

    def _record_delivery(
        self, item: Item, outcome: WriteOutcome, message: MessageT, request: Request, started: datetime
    ) -> None:
        """Write the log line of a delivery, which is short because every byte is billed."""
        fields = {"call_id": item["pk"]["S"].partition("#")[2]}
        counter = METRIC_OF_OUTCOME.get(outcome)
        if counter is None:
            fields["outcome"] = outcome.value
        if (
            outcome is not WriteOutcome.REPLAYED
            and self._webhook.uses_builtin_plan
            and self._webhook.is_new_call(message)
        ):
            _count_fallback()
        self._record_latency([counter] if counter else [], request, started, fields)

    def _record_latency(
        self, metrics: Sequence[str], request: Request, started: datetime, log_fields: Mapping[str, str]
    ) -> None:
        webhook = self._webhook
        try:
            emit_delivery_metrics(
                metrics,
                milliseconds_waited(request, started, self._clock()),
                provider=webhook.provider,
                caller_waits=webhook.caller_waits,
                log_fields=log_fields,
            )
        except Exception as error:  # noqa: BLE001 - a metric must not stop the sender from getting its answer
            logger.error("not counted", extra={"failure": describe_exception(error)})

    def _answer_too_large(self, request: Request, problem: BodyTooLarge) -> HttpPayload:
        """Answer a sender who waits, although the body is too large to store."""
        response = self._webhook.too_large_response(problem.detail, request)
        if response is None:
            raise problem
        logger.warning("not stored", extra={"provider": self._webhook.provider, "reason": problem.reason})
        return response.as_payload()

    def _ignore(self, ignored: Ignored) -> HttpPayload:
        logger.info("ignored", extra={"provider": self._webhook.provider, "reason": ignored.reason})
        body = json.dumps({"status": "ignored", "reason": ignored.reason}, separators=(",", ":"))
        return Response(200, body).as_payload()

    def _quarantine(
        self, request: Request, reason: str, deadline: datetime, answer: Response | None = None
    ) -> HttpPayload:
        """Accept a delivery that could not be processed, and store it in quarantine."""
        provider = self._webhook.provider
        answer = answer or self._quarantine_response(reason, request)
        delivery = QuarantinedDelivery(provider, reason, self._clock())
        item = quarantine_item(delivery, request, answer, retention_days=self._retention_days)
        result = self._write(item, answer, deadline)
        if result.outcome is WriteOutcome.REFUSED:
            self._get_writer().log(item, result.outcome.value)
            result = WriteResult(WriteOutcome.LOGGED, result.payload)
        fields = {"provider": provider, "reason": reason, "hash": item["sk"]["S"], "outcome": result.outcome.value}
        logger.warning("quarantined", extra=fields)
        if result.outcome is not WriteOutcome.REPLAYED:
            count(EVENT_QUARANTINED, provider=provider, reason=reason)
        return self._respond(result)

    def _quarantine_response(self, reason: str, request: Request) -> Response:
        webhook = self._webhook
        if webhook.handles_new_calls and webhook.fallback is not None:
            return webhook.fallback
        try:
            return webhook.quarantine_response(reason, request)
        except Exception as error:  # noqa: BLE001 - the fault in a delivery may also affect its answer
            logger.error("not answered", extra={"provider": webhook.provider, "failure": describe_exception(error)})
            return webhook.fallback or quarantined(reason)

    def _refuse(self, problem: HttpProblem, request: Request | None) -> HttpPayload:
        provider = self._webhook.provider
        fields = {"provider": provider, "status": problem.status, "reason": problem.reason, **problem.log_fields}
        logger.warning("refused", extra=fields)
        if problem.status < 500:
            count(WEBHOOK_REFUSED, provider=provider, reason=problem.reason)
            if self._webhook.handles_new_calls:
                count(CALL_REFUSED if self._has_credentials(request) else CALL_REFUSED_ANONYMOUS)
        return problem_response(problem).as_payload()

    def _has_credentials(self, request: Request | None) -> bool:
        """Return whether a request has credentials or a signature, valid or not. An empty header counts as neither."""
        names = ("authorization", self._webhook.signature_header)
        return request is not None and any((request.header(name) or "").strip() for name in names if name)

    def _respond(self, result: WriteResult) -> HttpPayload:
        """Return the answer, or raise 503 for an event that is only in the log if its sender will retry."""
        if result.outcome is WriteOutcome.LOGGED and self._webhook.fallback is None:
            raise HttpProblem(503, "Unavailable", CANNOT_STORE)
        return result.payload


def milliseconds_waited(request: Request, started: datetime, now: datetime) -> int:
    """Return milliseconds since a request reached API Gateway, or the function if API Gateway's time is implausible."""
    invoked = started.timestamp() * 1000
    arrived = request.arrived_at
    since = arrived if invoked - MAX_WAIT.total_seconds() * 1000 <= arrived <= invoked else invoked
    return round(now.timestamp() * 1000 - since)
