"""The routes of the call log, and their description (OpenAPI): what may be asked for, and what is answered."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from inspect import signature
from typing import Annotated, Literal, NoReturn, TypeAlias
from urllib.parse import parse_qsl, unquote

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler import Response as RouteResponse
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.models import APIKey, APIKeyIn, HTTPBase
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from aws_lambda_powertools.shared.cookies import Cookie
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import AfterValidator, BaseModel, BeforeValidator, StringConstraints

from callhooks.call_log.listing import (
    UNDER_WAY,
    CallList,
    CallPage,
    CallQuery,
    Cursor,
    CursorRefused,
    DayCounts,
    OutcomeOrUnderWay,
    call_path,
)
from callhooks.call_log.session import COOKIE, SECURE_COOKIE
from callhooks.call_log.timeline import CallAnswer, call_answer, call_of
from callhooks.calls.call import CallStatus, HintsLookup, Outcome
from callhooks.calls.repository import CallStore
from callhooks.events.call_event import INBOUND, OUTBOUND
from callhooks.events.event_item import is_call_partition, partition_key
from callhooks.runtime.errors import BadRequest, BodyTooLarge, HttpProblem
from callhooks.runtime.http import JSON_CONTENT_TYPE, Request, Response

LIST, CALL, STATS, SESSION, DOCUMENT = "/calls", "/calls/{provider}/{call_id}", "/stats", "/session", "/openapi.json"
METHODS = {
    LIST: ("GET", "HEAD"),
    CALL: ("GET", "HEAD"),
    STATS: ("GET", "HEAD"),
    SESSION: ("POST", "DELETE"),
    DOCUMENT: ("GET", "HEAD"),
}
PUBLIC_PLACES = frozenset({SESSION, DOCUMENT})
MAX_AT_ONCE = 200
MAX_BODY_BYTES = 4096

PROVIDER = "[a-z]+"
"""The word that a provider goes by; which ones there are is up to the webhooks alone."""

_JSON = re.compile(r"application/json *(;.*)?", re.IGNORECASE)
_FORM = re.compile(r"application/x-www-form-urlencoded *(;.*)?", re.IGNORECASE)
_HASHED_ID = re.compile(r"sha256-[0-9a-f]{64}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What the routes work with for one request.

    `hints_for` says how the events of a provider are read. `today` is the day in UTC, such as `2026-11-21`. `sign_in`
    gives the cookie of a new session for a user name and a password, and raises what it cannot; `sign_out` is the
    cookie that ends one. A route notes in `told` what is to be logged.
    """

    calls: CallList
    store: CallStore
    hints_for: HintsLookup
    today: str
    sign_in: Callable[[str, str], Cookie]
    sign_out: Cookie
    told: dict[str, object] = field(default_factory=dict)


class Problem(BaseModel):
    """Why a request was refused (RFC 9457)."""

    status: int
    title: str
    detail: str


class SignIn(BaseModel):
    """Who wants to look at calls."""

    username: str
    password: str


def _day(value: object) -> object:
    # Pydantic takes seconds since 1970 and times for dates as well.
    return value if isinstance(value, str) and _DAY.fullmatch(value) else None


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("blank")
    return text


Day: TypeAlias = Annotated[date, BeforeValidator(_day)]
OfDay: TypeAlias = Annotated[
    Day | None, Query(description="The day on which the calls began, in UTC; today, where it is left out")
]
OfNumber: TypeAlias = Annotated[
    Annotated[str, AfterValidator(_not_blank)] | None,
    Query(
        description="A number or SIP user, the caller's or the called party's; + and separators do not matter. "
        "Without a day, the calls of all days"
    ),
]
BehindCursor: TypeAlias = Annotated[
    str | None, Query(description="That of the answer before, asked for with the same parameters")
]

OfProvider: TypeAlias = Annotated[
    Annotated[str, StringConstraints(pattern=f"^{PROVIDER}$")] | None,
    Query(description="The word that its calls have for `provider`"),
]
WithLegs: TypeAlias = Annotated[bool, Query(description="false leaves out calls that are legs of others")]

EXPECTED = {
    "day": "day is not a date such as 2026-11-21.",
    "number": "number is empty.",
    "provider": "provider is not a word in small letters.",
    "status": f"status is none of {', '.join(CallStatus)}.",
    "outcome": f"outcome is none of {', '.join(Outcome)}, {UNDER_WAY}.",
    "direction": f"direction is neither {INBOUND} nor {OUTBOUND}.",
    "legs": "legs is neither true nor false.",
    "limit": f"limit is not a number from 1 to {MAX_AT_ONCE}.",
    "body": "The body is not an object, or a form, with a username and a password.",
}
"""What is wrong with a parameter, or with the body: the text of a validation error would repeat what was sent."""
_PROBLEMS = {
    400: "A parameter is not understood, or is unknown",
    401: "There are no credentials, or wrong ones; with `www-authenticate`, but for a browser's scripts",
    404: "No event tells of such a call",
    413: "The body is too large",
    415: "The body is neither JSON nor a form",
    503: "The table or the credentials cannot be read at the moment",
}


def _answers(description: str, *problems: int) -> dict[int, OpenAPIResponse]:
    """What a route answers, for its description."""
    answers: dict[int, OpenAPIResponse] = {200: {"description": description}}
    return answers | _problems(*problems)


def _problems(*problems: int) -> dict[int, OpenAPIResponse]:
    return {
        problem: {"description": _PROBLEMS[problem], "content": {"application/problem+json": {"model": Problem}}}
        for problem in problems
    }


app = APIGatewayHttpResolver(enable_validation=True)


@app.get(
    LIST,
    summary="List calls",
    description="The newest first. A page may be shorter than its limit, even empty, while it has a cursor: that is "
    "where the next one begins.",
    operation_id="listCalls",
    responses=_answers("The calls", 400, 401, 503),
)
def list_calls(  # noqa: PLR0913, PLR0917 - these are the parameters of the URL
    day: OfDay = None,
    number: OfNumber = None,
    provider: OfProvider = None,
    status: Annotated[CallStatus | None, Query()] = None,
    outcome: Annotated[OutcomeOrUnderWay | None, Query()] = None,
    direction: Annotated[Literal["inbound", "outbound"] | None, Query()] = None,
    legs: WithLegs = True,
    limit: Annotated[int, Query(ge=1, le=MAX_AT_ONCE)] = 50,
    cursor: BehindCursor = None,
) -> CallPage:
    """A page of the calls of a day or of a number."""
    behind = Cursor.read(cursor) if cursor is not None else None
    question = CallQuery(
        day=day.isoformat() if day else None if number else _day_asked_for(behind),
        number=number,
        provider=provider,
        status=status,
        outcome=outcome,
        direction=direction,
        legs=legs,
    )
    return _context().calls.page(question, limit=limit, after=behind.position_in(question) if behind else None)


@app.get(
    "/calls/<provider>/<call_id>",
    summary="Read a call",
    description="The call as its events tell of it at this moment, its events in their order, their raw bodies, what "
    "they were answered, and the call's legs.",
    operation_id="readCall",
    responses=_answers("The call", 400, 401, 404, 503),
)
def read_call(
    provider: Annotated[str, Path()],
    call_id: Annotated[str, Path(description="The provider's own id of the call, or what stands for it in a `path`")],
) -> CallAnswer:
    """A call with its events and its legs."""
    context = _context()
    for pk in _partition_keys(unquote(provider), unquote(call_id)):
        items = list(context.store.items_of(pk))
        if items:
            # Not the id that was asked for, which may be a number by mistake.
            context.told["call"] = call_path(pk)
            call, told = call_of(items, context.hints_for)
            return call_answer(pk, call, told, context.calls.legs(pk, call))
    raise HttpProblem(404, "Not found", "There is no such call.")


@app.get(
    STATS,
    summary="Count the calls of a day",
    description="By hour, provider and outcome. A day of very many calls comes in parts, each with a cursor to the "
    "next, to be added up.",
    operation_id="countCalls",
    responses=_answers("The counts", 400, 401, 503),
)
def count_calls(day: OfDay = None, legs: WithLegs = True, cursor: BehindCursor = None) -> DayCounts:
    """How many calls of a day went how."""
    behind = Cursor.read(cursor) if cursor is not None else None
    asked = day.isoformat() if day else _day_asked_for(behind)
    after = behind.position_in(CallQuery(day=asked, legs=legs)) if behind else None
    return _context().calls.counts(asked, legs=legs, after=after)


@app.post(
    SESSION,
    summary="Sign in",
    description="The cookie is valid for an hour and renewed while it is used, for twelve hours at most.",
    operation_id="signIn",
    responses={204: {"description": "The cookie is set"}, **_problems(400, 401, 413, 415, 503)},
)
def open_session(who: Annotated[SignIn, Body()]) -> RouteResponse[None]:
    """A new session."""
    return RouteResponse(204, cookies=[_context().sign_in(who.username, who.password)])


@app.delete(
    SESSION,
    summary="Sign out",
    description="A copy of the cookie stays valid until it ends by itself, or with its password.",
    operation_id="signOut",
    responses={204: {"description": "The cookie is removed"}},
)
def close_session() -> RouteResponse[None]:
    """No session in this browser any more."""
    return RouteResponse(204, cookies=[_context().sign_out])


@app.get(DOCUMENT, include_in_schema=False)
def read_document() -> RouteResponse[str]:
    """What this API is."""
    return RouteResponse(200, JSON_CONTENT_TYPE, openapi_text())


def _hand_on(error: Exception) -> NoReturn:
    raise error


# Powertools would log an exception with its text, which may hold what was sent.
app.exception_handler(Exception)(_hand_on)

_PARAMETERS = {LIST: set(signature(list_calls).parameters), STATS: set(signature(count_calls).parameters)}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a request goes: the path as it is described, and the same with the values in it, encoded."""

    route: str
    path: str


def route(request: Request, place: Place, context: RequestContext) -> Response:
    """Answer a request for one of the places that `METHODS` lists, by one of its methods.

    Raises:
        HttpProblem: it is refused.
        Exception: whatever the table or the credentials raise.
    """
    event = _routed(request, place)
    app.append_context(request=context)  # type: ignore[no-untyped-call]
    try:
        payload = app.resolve(event, LambdaContext())
    except CursorRefused:
        raise BadRequest("cursor is not one of this list. Leave it out to begin again.") from None
    except RequestValidationError as error:
        places = [part for problem in error.errors() for part in problem["loc"] if part in EXPECTED]
        if not places:
            raise
        raise BadRequest(EXPECTED[places[0]]) from None
    except RecursionError:
        raise BadRequest(EXPECTED["body"]) from None
    headers = {name.lower(): value for name, value in payload["headers"].items()}
    return Response(
        payload["statusCode"],
        payload["body"] or "",
        headers.pop("content-type", JSON_CONTENT_TYPE),
        headers,
        tuple(payload["cookies"]),
    )


@cache
def openapi_text() -> str:
    """The description of this API (OpenAPI 3.1), as JSON."""
    text = app.get_openapi_json_schema(
        title="callhooks call log",
        version="1",
        description="Calls as their providers' webhooks tell of them: lists, timelines, counts. Times are UTC.",
        security_schemes={
            "basic": HTTPBase(scheme="basic", description="The credentials that `callhooks urls --credentials` shows"),
            "session": APIKey(
                in_=APIKeyIn.cookie,
                name=SECURE_COOKIE,
                description=f"The cookie that POST /session gives; over http its name is `{COOKIE}`",
            ),
        },
        security=[{"basic": []}, {"session": []}],
    )
    document = json.loads(text)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            # Powertools describes its own answer to a failed validation for every route.
            del operation["responses"]["422"]
            operation["responses"].get("204", {}).pop("content", None)
            if path in PUBLIC_PLACES:
                operation["security"] = []
    for name in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        del document["components"]["schemas"][name]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _context() -> RequestContext:
    context: RequestContext = app.context["request"]
    return context


def _day_asked_for(behind: Cursor | None) -> str:
    """The day of a question that names none: today, and for a further page what was today at the first one."""
    return (behind and behind.day) or _context().today


def _partition_keys(provider: str, call_id: str) -> Iterator[str]:
    """The keys that a call may be kept under: of its id, as it came or still encoded, or of the hash in its place."""
    if not (re.fullmatch(PROVIDER, provider) and is_call_partition(partition_key(provider, call_id))):
        return
    for identifier in dict.fromkeys((call_id, unquote(call_id))):
        if _HASHED_ID.fullmatch(identifier):
            yield f"{provider}#{identifier}"
        yield partition_key(provider, identifier)


def _routed(request: Request, place: Place) -> dict[str, object]:
    """The event that a route is found by: HEAD is GET, and every parameter is known and there once."""
    known = _PARAMETERS.get(place.route, set())
    names = [name for name, _ in request.query]
    if not known.issuperset(names):
        told = f"There are no parameters but {', '.join(sorted(known))}." if known else "There are no parameters here."
        raise BadRequest(told)
    if len(set(names)) < len(names):
        raise BadRequest("A parameter is there twice.")
    return {
        "version": "2.0",
        "rawPath": place.path,
        # A form sends the fields that were left empty, too.
        "queryStringParameters": {name: value for name, value in request.query if value},
        "headers": {"content-type": JSON_CONTENT_TYPE},
        "requestContext": {
            "stage": "$default",
            "http": {"method": "GET" if request.method == "HEAD" else request.method, "path": place.path},
        },
        "body": _json_body(request) if request.method == "POST" else None,
        "isBase64Encoded": False,
    }


def _json_body(request: Request) -> str:
    """The body of a request as JSON: it comes as that, or as a form."""
    content_type = request.header("content-type") or ""
    if not _JSON.fullmatch(content_type) and not _FORM.fullmatch(content_type):
        raise HttpProblem(415, "Unsupported media type", "The body is neither application/json nor a form.")
    if len(request.body) > MAX_BODY_BYTES:
        raise BodyTooLarge(MAX_BODY_BYTES)
    try:
        text = request.body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(EXPECTED["body"]) from None
    return json.dumps(dict(parse_qsl(text))) if _FORM.fullmatch(content_type) else text
