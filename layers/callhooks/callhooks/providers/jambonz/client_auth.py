"""A SIP client registers or calls, and jambonz asks who it is: parse, compare, normalise, answer.

Written from what jambonz's sbc-inbound and sbc-sip-sidecar send by way of digest-utils 0.0.9. Members are not in snake
case; a `GET` has the same ones in its query, without `headers`.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from aws_lambda_powertools.utilities.parser import ValidationError, parse
from pydantic import AfterValidator, StringConstraints

from callhooks.events.call_event import CallEvent, Kind, cleaned, known_details
from callhooks.providers.jambonz.digest import Challenge, digest_response
from callhooks.providers.jambonz.hook import PROVIDER
from callhooks.providers.jambonz.sip_clients import Client, NonceCount
from callhooks.providers.payload import (
    Document,
    Identifier,
    JsonObject,
    OptionalInt,
    OptionalStr,
    json_object,
    not_blank,
)
from callhooks.runtime.http import BadRequest, Request, Response

REGISTER = "REGISTER"

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
