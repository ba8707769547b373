"""A SIP client registers or calls, and jambonz asks who it is: parse, compare, normalise, answer.

Written from what jambonz's sbc-inbound and sbc-sip-sidecar send by way of digest-utils 0.0.9. Members are not in snake
case; a `GET` has the same ones in its query, without `headers`.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from aws_lambda_powertools import Logger
from aws_lambda_powertools.utilities.parser import ValidationError, parse
from pydantic import AfterValidator, StringConstraints

from callhooks.events.call_event import CallEvent, Kind, cleaned, known_details
from callhooks.providers.jambonz.authentication import JambonzCredentials, verify_or_take_get
from callhooks.providers.jambonz.digest import Challenge, digest_response
from callhooks.providers.jambonz.hook import PROVIDER, JambonzWebhook
from callhooks.providers.jambonz.sip_clients import Client, ClientStore, ClientsUnavailable, NonceCount
from callhooks.providers.payload import (
    Document,
    Identifier,
    JsonObject,
    OptionalInt,
    OptionalStr,
    json_object,
    not_blank,
)
from callhooks.runtime.errors import BadRequest
from callhooks.runtime.http import Request, Response, Sender
from callhooks.runtime.metrics import count, measure

REGISTER = "REGISTER"

logger = Logger(child=True)

_HA1_OF_NOBODY = "0" * 32

_Exact = Annotated[str, StringConstraints(strip_whitespace=False), AfterValidator(not_blank)]
_Method = Annotated[str, StringConstraints(to_upper=True, pattern="(?i)^(REGISTER|INVITE)$")]


class ClientRefusal(StrEnum):
    """Why a client is refused. Only the log, the event and the metric tell it, never the answer."""

    UNKNOWN_CLIENT = "unknown client"
    WRONG_PASSWORD = "wrong password"
    REPLAYED = "replayed"
    UNSUPPORTED_DIGEST = "unsupported digest"
    NOT_CHECKED = "not checked"
    NOT_SIGNED = "sent by GET, which is not signed"


class ClientAttempt(Document):
    """What a client has sent in its `Authorization` header, and where from. Its digest is over exact texts.

    `expires` is the time in seconds that a REGISTER asks for; 0 ends the registration. Well-known `headers` come in
    lower case, others as they were sent.
    """

    headers: JsonObject = None
    method: _Method
    username: _Exact
    realm: _Exact
    nonce: _Exact
    uri: _Exact
    response: _Exact
    algorithm: OptionalStr = None
    qop: Identifier = None
    nc: Identifier = None
    cnonce: Identifier = None
    source_address: OptionalStr = None
    expires: OptionalInt = None

    @property
    def is_supported(self) -> bool:
        """Whether it is a digest as jambonz has asked for it: MD5, and where there is a qop, `auth`.

        A colon in `nonce` or `nc` would let the same response be taken apart in two ways, and be used twice.
        """
        return (
            (self.algorithm or "MD5").upper() == "MD5"
            and (self.qop or "auth").lower() == "auth"
            and ":" not in self.nonce + (self.nc or "")
        )

    @property
    def nonce_count(self) -> NonceCount | None:
        """What may be used once; `None` where the response covers no count."""
        return NonceCount(self.username, self.realm, self.nonce, self.nc or "") if self.cnonce else None

    def header(self, name: str) -> str | None:
        """A header's value, whatever the case of its name."""
        wanted = name.lower()
        values = (value for header, value in (self.headers or {}).items() if header.lower() == wanted)
        return next((str(value) for value in values), None)


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """An attempt and what came of it: the client that it has proven to be, or why it is refused."""

    attempt: ClientAttempt
    outcome: Client | ClientRefusal = ClientRefusal.NOT_CHECKED


def parse_client_auth(request: Request) -> ClientAuth:
    """The attempt in a request, which nobody has checked yet.

    Raises:
        BadRequest: this is no attempt of a client.
    """
    document = dict(request.query) if request.method == "GET" else json_object(request.body)
    try:
        return ClientAuth(parse(event=document, model=ClientAttempt))
    except ValidationError as error:
        # Every other member is lenient, so that this names one that is indispensable.
        name = error.errors(include_input=False)[0]["loc"][0]
        raise BadRequest(f"{name} is missing or cannot be used.") from None


def proves(attempt: ClientAttempt, client: Client | None) -> bool:
    """Whether the response is that of the client; for a client that does not exist, the same work for nothing."""
    ha1 = client.ha1 if client else _HA1_OF_NOBODY
    challenge = Challenge(attempt.nonce, attempt.qop, attempt.nc, attempt.cnonce)
    expected = digest_response(ha1, attempt.method, attempt.uri, challenge)
    matches = hmac.compare_digest(attempt.response.encode("utf-8"), expected.encode("ascii"))
    return matches and client is not None


def normalise(auth: ClientAuth, request: Request, now: datetime) -> CallEvent:
    """The event of an attempt.

    jambonz never sends this hook again: whatever looks like a repeat is a request of its own, which may have had
    another outcome.
    """
    attempt, outcome = auth.attempt, auth.outcome
    refused = isinstance(outcome, ClientRefusal)
    kind = Kind.CLIENT_REFUSED if refused else Kind.CLIENT_REGISTERED
    return CallEvent(
        provider=PROVIDER,
        call_id=None,
        dedupe_key=f"{kind.value}-{request.request_id or now.isoformat()}",
        kind=kind,
        name=attempt.method.lower(),
        received_at=now,
        sent_at=request.sender.sent_at,
        status="fail" if refused else "ok",
        from_=cleaned(f"{attempt.username}@{attempt.realm}"),
        details=known_details(
            {
                "reason": outcome.value if isinstance(outcome, ClientRefusal) else None,
                "realm": attempt.realm,
                "uri": attempt.uri,
                "source_address": attempt.source_address,
                "expires_seconds": attempt.expires,
                "user_agent": attempt.header("user-agent"),
                "sip_call_id": attempt.header("call-id"),
            }
        ),
    )


def auth_response(auth: ClientAuth) -> Response:
    """The answer to an attempt: the same for everybody who is refused."""
    client = auth.outcome
    if isinstance(client, ClientRefusal):
        return refused()
    members: dict[str, str | int] = {"status": "ok"}
    if client.expires is not None and auth.attempt.method == REGISTER:
        members["expires"] = client.expires
    if client.application_sid is not None:
        members["application_sid"] = client.application_sid
    return _answer(members)


def refused(message: str | None = None) -> Response:
    """The answer that makes jambonz send the client a 403: any other status than 200 would be sent to it as it is."""
    return _answer({"status": "fail"} | ({"message": message} if message else {}))


def _answer(members: Mapping[str, str | int]) -> Response:
    return Response(200, json.dumps(members, separators=(",", ":")))


class ClientAuthWebhook(JambonzWebhook[ClientAuth]):
    """jambonz asks whether a SIP client is who it claims to be (`registration_hook`).

    Args:
        clients: the SIP clients.
        signature_header: the header with jambonz's signature.
    """

    def __init__(self, clients: ClientStore, *, signature_header: str) -> None:
        super().__init__(signature_header=signature_header)
        self._clients = clients
        self.fallback = refused()

    def authenticate(self, request: Request, credentials: JambonzCredentials, now: datetime) -> Sender:
        """Check Basic, and the signature of what has one: `decide` refuses every client of a `GET`."""
        return verify_or_take_get(request, credentials, now)

    def parse(self, request: Request) -> ClientAuth:
        """Read the attempt."""
        return parse_client_auth(request)

    def decide(self, message: ClientAuth, request: Request, now: datetime) -> ClientAuth:
        """Look the client up, and compare."""
        return _checked(self._clients, message, request, now)

    def normalise(self, message: ClientAuth, request: Request, now: datetime) -> CallEvent:
        """Return the event of the attempt."""
        return normalise(message, request, now)

    def answer(self, message: ClientAuth, _request: Request, _now: datetime) -> Response:
        """Return whether the client may go on."""
        return auth_response(message)

    def quarantine_response(self, reason: str, _request: Request) -> Response:
        """Refuse a client of whom nothing can be read."""
        return refused(reason)

    def too_large_response(self, reason: str, _request: Request) -> Response:
        """Refuse a client of whom too much is said."""
        return refused(reason)


def _checked(clients: ClientStore, auth: ClientAuth, request: Request, now: datetime) -> ClientAuth:
    attempt = auth.attempt
    if request.sender.lacks_signature:
        # The address that failures are counted by is not signed either.
        return replace(auth, outcome=_log_refusal(ClientRefusal.NOT_SIGNED))
    try:
        outcome = _outcome(clients, attempt, request, now)
    except ClientsUnavailable as error:
        # Nobody is let in whom nothing has checked.
        logger.error("client not checked", extra={"failure": str(error)})
        outcome = ClientRefusal.NOT_CHECKED
    if isinstance(outcome, ClientRefusal):
        _log_refusal(outcome)
        # An outage is no failure of the client's.
        if outcome is not ClientRefusal.NOT_CHECKED:
            _count_failure(clients, attempt, now)
    return replace(auth, outcome=outcome)


def _log_refusal(reason: ClientRefusal) -> ClientRefusal:
    logger.warning("client refused", extra={"provider": PROVIDER, "reason": reason.value})
    count("ClientRefused", provider=PROVIDER, reason=reason.value)
    return reason


def _outcome(clients: ClientStore, attempt: ClientAttempt, request: Request, now: datetime) -> Client | ClientRefusal:
    if not attempt.is_supported:
        return ClientRefusal.UNSUPPORTED_DIGEST
    client = clients.find(attempt.username, attempt.realm)
    proven = proves(attempt, client)
    if client is None:
        return ClientRefusal.UNKNOWN_CLIENT
    if not proven:
        return ClientRefusal.WRONG_PASSWORD
    used = attempt.nonce_count
    if used and not clients.claim_nonce(used, request_id=request.request_id, now=now):
        return ClientRefusal.REPLAYED
    return client


def _count_failure(clients: ClientStore, attempt: ClientAttempt, now: datetime) -> None:
    try:
        failures = clients.count_failure(attempt.source_address or "", now)
    except ClientsUnavailable as error:
        logger.error("failure of a client not counted", extra={"failure": str(error)})
    else:
        measure("ClientFailuresFromOneAddress", failures, provider=PROVIDER)
