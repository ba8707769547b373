"""Routes of the call log's API and their OpenAPI description: parameters and responses."""

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
    DayCounts,
    InvalidCursor,
    OutcomeOrUnderWay,
    call_path,
)
from callhooks.call_log.session import COOKIE, SECURE_COOKIE
from callhooks.call_log.timeline import CallAnswer, call_answer, call_from_items
from callhooks.calls.call import CallStatus, HintsLookup, Outcome, Result
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
PUBLIC_ROUTES = frozenset({SESSION, DOCUMENT})
MAX_LIMIT = 200
MAX_BODY_BYTES = 4096

PROVIDER = "[a-z]+"
"""Pattern of a provider's name. Any name is allowed, because the call log does not depend on the providers."""

_JSON = re.compile(r"application/json *(;.*)?", re.IGNORECASE)
_FORM = re.compile(r"application/x-www-form-urlencoded *(;.*)?", re.IGNORECASE)
_HASHED_ID = re.compile(r"sha256-[0-9a-f]{64}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Dependencies and state of one request, for the routes.

    `hints_for` returns a provider's hints for the fold. `today` is the day in UTC, such as `2026-11-21`. `sign_in`
    returns the cookie of a new session for a user name and a password, or raises `Unauthorized`; `sign_out` is the
    cookie that ends a session. Routes add fields for the log to `log_fields`.
    """

    calls: CallList
    store: CallStore
    hints_for: HintsLookup
    today: str
    sign_in: Callable[[str, str], Cookie]
    sign_out: Cookie
    log_fields: dict[str, object] = field(default_factory=dict)


class Problem(BaseModel):
    """Reason why a request was rejected (RFC 9457)."""

    status: int
    title: str
    detail: str


class SignIn(BaseModel):
    """Credentials of the console."""

    username: str
    password: str


def _day(value: object) -> object:
    # Pydantic would also accept times, and seconds since 1970.
    return value if isinstance(value, str) and _DAY.fullmatch(value) else None


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("blank")
    return text


Day: TypeAlias = Annotated[date, BeforeValidator(_day)]
DayParameter: TypeAlias = Annotated[
    Day | None, Query(description="Day on which the calls started, in UTC. Default: today")
]
NumberParameter: TypeAlias = Annotated[
    Annotated[str, AfterValidator(_not_blank)] | None,
    Query(
        description="Number or SIP user of the caller or the callee. + and separators do not matter. "
        "Without a day, all days are searched"
    ),
]
CursorParameter: TypeAlias = Annotated[
    str | None, Query(description="Cursor of the previous page. Repeat its other parameters")
]

ProviderParameter: TypeAlias = Annotated[
    Annotated[str, StringConstraints(pattern=f"^{PROVIDER}$")] | None,
    Query(description="Name of a provider, as in `provider` of its calls"),
]
FlowParameter: TypeAlias = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,64}$")] | None,
    Query(description="A flow of the call plan that the calls went through"),
]
ContextParameter: TypeAlias = Annotated[
    Annotated[str, AfterValidator(_not_blank)] | None,
    Query(description="VoIPstudio: kind of PBX object, such as QUEUE. Case does not matter"),
]
QueueParameter: TypeAlias = Annotated[
    Annotated[str, AfterValidator(_not_blank)] | None,
    Query(description="The queue that the calls were in. Case does not matter"),
]
LegsParameter: TypeAlias = Annotated[bool, Query(description="false leaves out call legs")]

PARAMETER_ERRORS = {
    "day": "day must be a date such as 2026-11-21.",
    "number": "number must not be blank.",
    "provider": "provider must consist of lower-case letters.",
    "status": f"status must be one of {', '.join(CallStatus)}.",
    "outcome": f"outcome must be one of {', '.join(Outcome)}, {UNDER_WAY}.",
    "direction": f"direction must be {INBOUND} or {OUTBOUND}.",
    "result": f"result must be one of {', '.join(Result)}.",
    "flow": "flow must be the name of a flow: letters, digits, - and _.",
    "context": "context must not be blank.",
    "queue": "queue must not be blank.",
    "legs": "legs must be true or false.",
    "limit": f"limit must be a number from 1 to {MAX_LIMIT}.",
    "body": "The body must be a JSON object or a form with username and password.",
}
"""Error texts for parameters and the body. Pydantic's own texts would quote the request."""
_PROBLEM_DESCRIPTIONS = {
    400: "Unknown parameter or invalid value",
    401: "Missing or wrong credentials. Sent with `www-authenticate`, except to a browser's scripts",
    404: "No events of this call are stored",
    413: "Body too large",
    415: "Body is neither JSON nor a form",
    503: "The table or the credentials are temporarily unavailable",
}
_NAME = re.compile(r"[a-z_]{1,20}", re.ASCII)


def _responses(description: str, *problems: int) -> dict[int, OpenAPIResponse]:
    """Return the responses of a route for its OpenAPI description."""
    responses: dict[int, OpenAPIResponse] = {200: {"description": description}}
    return responses | _problem_responses(*problems)


def _problem_responses(*problems: int) -> dict[int, OpenAPIResponse]:
    return {
        problem: {
            "description": _PROBLEM_DESCRIPTIONS[problem],
            "content": {"application/problem+json": {"model": Problem}},
        }
        for problem in problems
    }


app = APIGatewayHttpResolver(enable_validation=True)


@app.get(
    LIST,
    summary="List calls",
    description="Newest first. A page with filters can be short or even empty and still have a cursor. Request "
    "further pages until `cursor` is null.",
    operation_id="listCalls",
    responses=_responses("The calls", 400, 401, 503),
)
def list_calls(  # noqa: PLR0913, PLR0917 - these are the parameters of the URL
    day: DayParameter = None,
    number: NumberParameter = None,
    provider: ProviderParameter = None,
    status: Annotated[CallStatus | None, Query()] = None,
    outcome: Annotated[OutcomeOrUnderWay | None, Query()] = None,
    direction: Annotated[Literal["inbound", "outbound"] | None, Query()] = None,
    result: Annotated[Result | None, Query()] = None,
    flow: FlowParameter = None,
    context: ContextParameter = None,
    queue: QueueParameter = None,
    legs: LegsParameter = True,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT)] = 50,
    cursor: CursorParameter = None,
) -> CallPage:
    """Return a page of the calls of a day or of a number."""
    start = Cursor.parse(cursor) if cursor is not None else None
    query = CallQuery(
        day=day.isoformat() if day else None if number else _default_day(start),
        number=number,
        provider=provider,
        status=status,
        outcome=outcome,
        direction=direction,
        result=result,
        flow=flow,
        context=context,
        queue=queue,
        legs=legs,
    )
    return _context().calls.page(query, limit=limit, after=start.position_for(query) if start else None)


@app.get(
    "/calls/<provider>/<call_id>",
    summary="Read a call",
    description="The call, built from its events at the time of the request; its events in order, with their raw "
    "bodies and responses; and the call's legs.",
    operation_id="readCall",
    responses=_responses("The call", 400, 401, 404, 503),
)
def read_call(
    provider: Annotated[str, Path()],
    call_id: Annotated[str, Path(description="The provider's id of the call, or the hash that replaces it in `path`")],
) -> CallAnswer:
    """Return a call with its events and its legs."""
    context = _context()
    for pk in _partition_keys(unquote(provider), unquote(call_id)):
        items = list(context.store.items_of(pk))
        if items:
            # Log the path of a stored call only: the requested id may be a phone number by mistake.
            context.log_fields["call"] = call_path(pk)
            call, event_items = call_from_items(items, context.hints_for)
            return call_answer(pk, call, event_items, context.calls.legs(pk, call))
    raise HttpProblem(404, "Not found", "No such call.")


@app.get(
    STATS,
    summary="Count the calls of a day",
    description="By hour, provider, outcome and result. A very busy day has several pages: follow `cursor` until it is "
    "null and add up their counts.",
    operation_id="countCalls",
    responses=_responses("The counts", 400, 401, 503),
)
def count_calls(day: DayParameter = None, legs: LegsParameter = True, cursor: CursorParameter = None) -> DayCounts:
    """Return the number of calls of a day by hour, provider, outcome and result."""
    start = Cursor.parse(cursor) if cursor is not None else None
    counted_day = day.isoformat() if day else _default_day(start)
    after = start.position_for(CallQuery(day=counted_day, legs=legs)) if start else None
    return _context().calls.counts(counted_day, legs=legs, after=after)


@app.post(
    SESSION,
    summary="Sign in",
    description="Sets a session cookie. It is valid for an hour and renewed while in use, up to twelve hours.",
    operation_id="signIn",
    responses={204: {"description": "The cookie is set"}, **_problem_responses(400, 401, 413, 415, 503)},
)
def open_session(credentials: Annotated[SignIn, Body()]) -> RouteResponse[None]:
    """Start a session."""
    return RouteResponse(204, cookies=[_context().sign_in(credentials.username, credentials.password)])


@app.delete(
    SESSION,
    summary="Sign out",
    description="Removes the session cookie. A copy of it stays valid until it expires or its password is removed.",
    operation_id="signOut",
    responses={204: {"description": "The cookie is removed"}},
)
def close_session() -> RouteResponse[None]:
    """End the session of this browser."""
    return RouteResponse(204, cookies=[_context().sign_out])


@app.get(DOCUMENT, include_in_schema=False)
def read_document() -> RouteResponse[str]:
    """Return the OpenAPI description."""
    return RouteResponse(200, JSON_CONTENT_TYPE, openapi_text())


def _reraise(error: Exception) -> NoReturn:
    raise error


# Powertools would log an exception with its text, which may quote the request.
app.exception_handler(Exception)(_reraise)

_PARAMETERS = {LIST: set(signature(list_calls).parameters), STATS: set(signature(count_calls).parameters)}


@dataclass(frozen=True, slots=True)
class MatchedRoute:
    """Route of a request: the path template, and the path with its encoded values."""

    route: str
    path: str


def route(request: Request, matched: MatchedRoute, context: RequestContext) -> Response:
    """Answer a request for a route and method listed in `METHODS`.

    Raises:
        HttpProblem: the request is rejected.
        Exception: the table or the credentials cannot be read.
    """
    event = _resolver_event(request, matched)
    app.append_context(request=context)  # type: ignore[no-untyped-call]
    try:
        payload = app.resolve(event, LambdaContext())
    except InvalidCursor:
        raise BadRequest("cursor does not belong to this list. Leave it out to start again.") from None
    except RequestValidationError as error:
        names = [part for problem in error.errors() for part in problem["loc"] if part in PARAMETER_ERRORS]
        if not names:
            raise
        raise BadRequest(PARAMETER_ERRORS[names[0]]) from None
    except RecursionError:
        raise BadRequest(PARAMETER_ERRORS["body"]) from None
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
    """Return the OpenAPI 3.1 description of this API as JSON."""
    text = app.get_openapi_json_schema(
        title="callhooks call log",
        version="1",
        description="Calls built from their providers' webhooks: lists, timelines and counts. All times are UTC.",
        security_schemes={
            "basic": HTTPBase(
                scheme="basic", description="To get the credentials, run `callhooks urls --credentials --stack NAME`"
            ),
            "session": APIKey(
                in_=APIKeyIn.cookie,
                name=SECURE_COOKIE,
                description=f"Cookie set by POST /session. Over http its name is `{COOKIE}`",
            ),
        },
        security=[{"basic": []}, {"session": []}],
    )
    document = json.loads(text)
    for path, operations in document["paths"].items():
        for operation in operations.values():
            # Powertools adds its own response to a failed validation to every route.
            del operation["responses"]["422"]
            operation["responses"].get("204", {}).pop("content", None)
            if path in PUBLIC_ROUTES:
                operation["security"] = []
    for name in ("HTTPValidationError", "ResponseValidationError", "ValidationError"):
        del document["components"]["schemas"][name]
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _context() -> RequestContext:
    context: RequestContext = app.context["request"]
    return context


def _default_day(start: Cursor | None) -> str:
    """Return the day of a query without one: today or, for a further page, the day of the first page."""
    return (start and start.day) or _context().today


def _partition_keys(provider: str, call_id: str) -> Iterator[str]:
    """Yield the partition keys that a call may have: by its id, by its id decoded again, or by its hash."""
    if not (re.fullmatch(PROVIDER, provider) and is_call_partition(partition_key(provider, call_id))):
        return
    for identifier in dict.fromkeys((call_id, unquote(call_id))):
        if _HASHED_ID.fullmatch(identifier):
            yield f"{provider}#{identifier}"
        yield partition_key(provider, identifier)


def _resolver_event(request: Request, matched: MatchedRoute) -> dict[str, object]:
    """Return the event for Powertools' resolver. HEAD becomes GET; unknown and repeated parameters are rejected."""
    known = _PARAMETERS.get(matched.route, set())
    names = [name for name, _ in request.query]
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise _unknown_parameter(unknown, known)
    if len(set(names)) < len(names):
        raise BadRequest("Give each parameter only once.")
    return {
        "version": "2.0",
        "rawPath": matched.path,
        # A form also sends its empty fields.
        "queryStringParameters": {name: value for name, value in request.query if value},
        "headers": {"content-type": JSON_CONTENT_TYPE},
        "requestContext": {
            "stage": "$default",
            "http": {"method": "GET" if request.method == "HEAD" else request.method, "path": matched.path},
        },
        "body": _json_body(request) if request.method == "POST" else None,
        "isBase64Encoded": False,
    }


def _unknown_parameter(name: str, known: set[str]) -> HttpProblem:
    # Quote a name only if it looks like one: errors must not repeat numbers or markup. The log gets the fixed text.
    quoted = f" '{name}'" if _NAME.fullmatch(name) else ""
    allowed = f"Allowed: {', '.join(sorted(known))}." if known else "This path takes no parameters."
    return HttpProblem(400, "Bad request", f"Unknown parameter{quoted}. {allowed}", reason="unknown parameter")


def _json_body(request: Request) -> str:
    """Return the body of a request as JSON; a form is converted."""
    content_type = request.header("content-type") or ""
    if not _JSON.fullmatch(content_type) and not _FORM.fullmatch(content_type):
        raise HttpProblem(
            415,
            "Unsupported media type",
            "Send the body as application/json or application/x-www-form-urlencoded.",
        )
    if len(request.body) > MAX_BODY_BYTES:
        raise BodyTooLarge(MAX_BODY_BYTES)
    try:
        text = request.body.decode("utf-8")
    except UnicodeDecodeError:
        raise BadRequest(PARAMETER_ERRORS["body"]) from None
    return json.dumps(dict(parse_qsl(text))) if _FORM.fullmatch(content_type) else text
