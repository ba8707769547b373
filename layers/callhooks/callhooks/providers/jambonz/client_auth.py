"""Authentication of SIP clients that register or call: parse, compare, normalise, answer.

Source: the requests of jambonz's sbc-inbound and sbc-sip-sidecar through digest-utils 0.0.9. Members are not in snake
case. A `GET` has the same members in its query, without `headers`.
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
from callhooks.providers.jambonz.authentication import JambonzCredentials, verify_or_accept_get
from callhooks.providers.jambonz.digest import Challenge, digest_response
from callhooks.providers.jambonz.hook import PROVIDER, JambonzWebhook
from callhooks.providers.jambonz.sip_clients import Client, ClientStore, ClientsUnavailable, UsedDigest
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

_DUMMY_HA1 = "0" * 32

_Exact = Annotated[str, StringConstraints(strip_whitespace=False), AfterValidator(not_blank)]
_Method = Annotated[str, StringConstraints(to_upper=True, pattern="(?i)^(REGISTER|INVITE)$")]


class ClientRefusal(StrEnum):
    """Reason why a client is rejected. It appears in the log, the event and the metric, never in the response."""

    UNKNOWN_CLIENT = "unknown client"
    WRONG_PASSWORD = "wrong password"
    REPLAYED = "replayed"
    UNSUPPORTED_DIGEST = "unsupported digest"
    NOT_CHECKED = "not checked"
    NOT_SIGNED = "sent by GET, which is not signed"


class ClientAttempt(Document):
    """A client's `Authorization` header and its address. The digest covers the exact strings.

    `expires` is the duration in seconds that a REGISTER requests; 0 ends the registration. Names of well-known
    `headers` are in lower case, others as the client wrote them.
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
        """True if the digest is of the kind that jambonz requests: MD5, with no qop or with `auth`.

        Colons in `nonce` or `nc` are rejected: the same response could be split in two ways and used twice.
        """
        return (
            (self.algorithm or "MD5").upper() == "MD5"
            and (self.qop or "auth").lower() == "auth"
            and ":" not in self.nonce + (self.nc or "")
        )

    @property
    def digest_to_claim(self) -> UsedDigest | None:
        """Return the response, which may be used once; `None` if the client may repeat it.

        The response covers nonce, count, `cnonce`, method and URI: a client that changes any of them knows the
        password. Without a `cnonce`, clients repeat the same response until they get another nonce.
        """
        return UsedDigest(self.username, self.realm, self.response) if self.cnonce else None

    def granted_expires(self, limit: int) -> int:
        """Return the smaller of the limit and the duration that the client requests.

        jambonz registers the client for the granted duration, even if the client requests a shorter one.
        """
        return limit if self.expires is None else min(limit, max(self.expires, 0))

    def header(self, name: str) -> str | None:
        """Return a header's value; its name is case-insensitive."""
        wanted = name.lower()
        values = (value for header, value in (self.headers or {}).items() if header.lower() == wanted)
        return next((str(value) for value in values), None)


@dataclass(frozen=True, slots=True)
class ClientAuth:
    """Attempt and its outcome: the authenticated client, or the reason for the rejection."""

    attempt: ClientAttempt
    outcome: Client | ClientRefusal = ClientRefusal.NOT_CHECKED


def parse_client_auth(request: Request) -> ClientAuth:
    """Parse the attempt in a request, without checking its credentials.

    Raises:
        BadRequest: the request is not an attempt of a client.
    """
    document = dict(request.query) if request.method == "GET" else json_object(request.body)
    try:
        return ClientAuth(parse(event=document, model=ClientAttempt))
    except ValidationError as error:
        # All other members are lenient, so the error names a required member.
        name = error.errors(include_input=False)[0]["loc"][0]
        raise BadRequest(f"{name} is missing or cannot be used.") from None


def authenticates(attempt: ClientAttempt, client: Client | None) -> bool:
    """Return whether the response matches the client. An unknown client takes the same time as a known one."""
    ha1 = client.ha1 if client else _DUMMY_HA1
    challenge = Challenge(attempt.nonce, attempt.qop, attempt.nc, attempt.cnonce)
    expected = digest_response(ha1, attempt.method, attempt.uri, challenge)
    matches = hmac.compare_digest(attempt.response.encode("utf-8"), expected.encode("ascii"))
    return matches and client is not None


def normalise(auth: ClientAuth, request: Request, now: datetime) -> CallEvent:
    """Return the event of an attempt.

    jambonz never retries this hook. A request that looks like a duplicate is a new attempt with its own outcome.
    """
    attempt, outcome = auth.attempt, auth.outcome
    is_refused = isinstance(outcome, ClientRefusal)
    kind = Kind.CLIENT_REFUSED if is_refused else Kind.CLIENT_REGISTERED
    return CallEvent(
        provider=PROVIDER,
        call_id=None,
        dedupe_key=f"{kind.value}-{request.request_id or now.isoformat()}",
        kind=kind,
        name=attempt.method.lower(),
        received_at=now,
        sent_at=request.sender.sent_at,
        status="fail" if is_refused else "ok",
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
    """Return the response to an attempt. All rejected clients get the same response."""
    client = auth.outcome
    if isinstance(client, ClientRefusal):
        return refused()
    members: dict[str, str | int] = {"status": "ok"}
    if client.expires is not None and auth.attempt.method == REGISTER:
        members["expires"] = auth.attempt.granted_expires(client.expires)
    if client.application_sid is not None:
        members["application_sid"] = client.application_sid
    return _answer(members)


def refused(message: str | None = None) -> Response:
    """Return the rejection, with status 200: jambonz sends the client a 403, but passes other statuses through."""
    return _answer({"status": "fail"} | ({"message": message} if message else {}))


def _answer(members: Mapping[str, str | int]) -> Response:
    return Response(200, json.dumps(members, separators=(",", ":")))


class ClientAuthWebhook(JambonzWebhook[ClientAuth]):
    """Webhook that authenticates a SIP client for jambonz (`registration_hook`).

    Args:
        clients: the store of SIP clients.
        signature_header: the header with jambonz's signature.
    """

    def __init__(self, clients: ClientStore, *, signature_header: str) -> None:
        super().__init__(signature_header=signature_header)
        self._clients = clients
        self.fallback = refused()

    def authenticate(self, request: Request, credentials: JambonzCredentials, now: datetime) -> Sender:
        """Check Basic and, except for a `GET`, the signature: `decide` rejects the client of an unsigned `GET`."""
        return verify_or_accept_get(request, credentials, now)

    def parse(self, request: Request) -> ClientAuth:
        """Parse the attempt."""
        return parse_client_auth(request)

    def decide(self, message: ClientAuth, request: Request, now: datetime) -> ClientAuth:
        """Look up the client and compare its digest."""
        return _checked(self._clients, message, request, now)

    def normalise(self, message: ClientAuth, request: Request, now: datetime) -> CallEvent:
        """Return the event of the attempt."""
        return normalise(message, request, now)

    def answer(self, message: ClientAuth, _request: Request, _now: datetime) -> Response:
        """Return whether the client is authenticated."""
        return auth_response(message)

    def quarantine_response(self, reason: str, _request: Request) -> Response:
        """Reject the client of a delivery that cannot be parsed."""
        return refused(reason)

    def too_large_response(self, reason: str, _request: Request) -> Response:
        """Reject the client of a body that is too large."""
        return refused(reason)


def _checked(clients: ClientStore, auth: ClientAuth, request: Request, now: datetime) -> ClientAuth:
    attempt = auth.attempt
    if request.sender.lacks_signature:
        # Do not count a failure: the address is not signed either.
        return replace(auth, outcome=_log_refusal(ClientRefusal.NOT_SIGNED))
    try:
        outcome = _outcome(clients, attempt, request, now)
    except ClientsUnavailable as error:
        # Fail closed.
        logger.error("client not checked, clients table unavailable", extra={"failure": str(error)})
        outcome = ClientRefusal.NOT_CHECKED
    if isinstance(outcome, ClientRefusal):
        _log_refusal(outcome)
        # An outage is not a failure of the client.
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
    authenticated = authenticates(attempt, client)
    if client is None:
        return ClientRefusal.UNKNOWN_CLIENT
    if not authenticated:
        return ClientRefusal.WRONG_PASSWORD
    used = attempt.digest_to_claim
    if used and not clients.claim_digest(used, request_id=request.request_id, now=now):
        return ClientRefusal.REPLAYED
    return client


def _count_failure(clients: ClientStore, attempt: ClientAttempt, now: datetime) -> None:
    try:
        failures = clients.count_failure(attempt.source_address or "", now)
    except ClientsUnavailable as error:
        logger.error("client failure not counted, clients table unavailable", extra={"failure": str(error)})
    else:
        measure("ClientFailuresFromOneAddress", failures, provider=PROVIDER)
