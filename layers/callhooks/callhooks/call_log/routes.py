"""Routes of the call log's API and their OpenAPI description: parameters and responses."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, tzinfo
from functools import cache
from inspect import signature
from typing import Annotated, Literal, NoReturn, TypeAlias
from urllib.parse import parse_qsl, unquote, urlencode

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler import Response as RouteResponse
from aws_lambda_powertools.event_handler.openapi.exceptions import RequestValidationError
from aws_lambda_powertools.event_handler.openapi.models import APIKey, APIKeyIn, HTTPBase
from aws_lambda_powertools.event_handler.openapi.params import Body, Path, Query
from aws_lambda_powertools.event_handler.openapi.types import OpenAPIResponse
from aws_lambda_powertools.shared.cookies import Cookie
from aws_lambda_powertools.utilities.typing import LambdaContext
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, StringConstraints, WithJsonSchema

from callhooks.call_log.csv_export import CSV_CONTENT_TYPE, csv_text
from callhooks.call_log.listing import (
    MAX_CURSOR_LENGTH,
    UNDER_WAY,
    CallCounts,
    CallList,
    CallPage,
    CallQuery,
    Cursor,
    InvalidCursor,
    OutcomeOrUnderWay,
    Per,
    Position,
    call_path,
)
from callhooks.call_log.search import MIN_DIGITS, SEARCHABLE, Search
from callhooks.call_log.session import COOKIE, SECURE_COOKIE
from callhooks.call_log.spans import YEARS, ZONE, Span, Unit, find_zone, parse_date, parse_moment, start_of_day
from callhooks.call_log.timeline import CallAnswer, call_answer, call_from_items
from callhooks.calls.call import CallStatus, HintsLookup, Outcome, Result
from callhooks.calls.repository import CallStore
from callhooks.events.call_event import INBOUND, OUTBOUND, utc_text
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
READ_TO = "callhooks-read-to"
"""Header of a list with the `read_to` of its page, for CSV."""
DEFAULT_LIMIT, DEFAULT_CSV_LIMIT = 50, 1_000
MAX_BODY_BYTES = 4096

PROVIDER = "[a-z]+"
"""Pattern of a provider's name. Any name is allowed, because the call log does not depend on the providers."""

_JSON = re.compile(r"application/json *(;.*)?", re.IGNORECASE)
_FORM = re.compile(r"application/x-www-form-urlencoded *(;.*)?", re.IGNORECASE)
_HASHED_ID = re.compile(r"sha256-[0-9a-f]{64}", re.ASCII)
_MAX_TEXT_LENGTH = 200
_DAY = timedelta(days=1)
_YEAR = timedelta(days=366)


@dataclass(frozen=True, slots=True)
class RequestContext:
    """Dependencies and state of one request, for the routes.

    `hints_for` returns a provider's hints for the fold, `providers` the names of all providers. `now` is the time of
    the request, and `public_url` the public address of the API, or empty. `sign_in` returns the cookie of a new session
    for a user name and a password, or raises `Unauthorized`; `sign_out` is the cookie that ends a session. Routes add
    fields for the log to `log_fields`.
    """

    calls: CallList
    store: CallStore
    hints_for: HintsLookup
    providers: Callable[[], Iterable[str]]
    request: Request
    now: datetime
    public_url: str
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


def _day(value: object) -> date:
    # Pydantic would also accept times, and seconds since 1970.
    return parse_date(str(value))


def _checked_zone(name: str) -> str:
    find_zone(name)
    return name


_DAY_SCHEMA = {"type": "string", "format": "date", "pattern": YEARS}
_TIME_SCHEMA = {"type": "string", "format": "date-time", "pattern": YEARS}
Day: TypeAlias = Annotated[date, BeforeValidator(_day), WithJsonSchema(_DAY_SCHEMA)]
MomentOrDay: TypeAlias = Annotated[
    date | datetime,
    BeforeValidator(parse_moment),
    WithJsonSchema({"anyOf": [_TIME_SCHEMA, _DAY_SCHEMA]}),
]
DayParameter: TypeAlias = Annotated[
    Day | None, Query(description="Day on which the calls started, in the zone of `tz`. Default: today")
]
SinceParameter: TypeAlias = Annotated[
    MomentOrDay | None,
    Query(
        description="Calls that started at this time or later: ISO 8601 with a zone, or a day in the zone of `tz`. "
        "Default: a year before `until`"
    ),
]
UntilParameter: TypeAlias = Annotated[
    MomentOrDay | None,
    Query(
        description="Calls that started before this time: ISO 8601 with a zone, or a day in the zone of `tz`. "
        "Default: the end of today"
    ),
]
ZoneParameter: TypeAlias = Annotated[
    Annotated[str, StringConstraints(pattern=ZONE), AfterValidator(_checked_zone)],
    Query(description="Time zone of days and hours: a name of the IANA database, such as Europe/Berlin"),
]
ShortText: TypeAlias = Annotated[str, StringConstraints(max_length=_MAX_TEXT_LENGTH, pattern=r"\S")]
NumberParameter: TypeAlias = Annotated[
    ShortText | None,
    Query(
        description="Number or SIP user of the caller or the callee. + and separators do not matter. "
        "Without a day or a span, all days are searched"
    ),
]
SearchParameter: TypeAlias = Annotated[
    Annotated[str, StringConstraints(max_length=_MAX_TEXT_LENGTH, pattern=SEARCHABLE)] | None,
    Query(
        description="A call id or a whole number, on all days; or, within the day or the span, "
        f"at least {MIN_DIGITS} digits of a number, or a part of a caller's name or SIP user"
    ),
]
CursorParameter: TypeAlias = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_CURSOR_LENGTH, pattern="^[A-Za-z0-9_=-]+$")] | None,
    Query(description="Cursor of the previous page. Repeat its other parameters"),
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
    ShortText | None,
    Query(description="Kind of PBX object, such as QUEUE. Case does not matter"),
]
QueueParameter: TypeAlias = Annotated[
    ShortText | None,
    Query(description="The queue that the calls were in. Case does not matter"),
]
LimitParameter: TypeAlias = Annotated[
    Annotated[int, Field(ge=1, le=MAX_LIMIT)] | None,
    Query(description=f"Calls of a page. Default: {DEFAULT_LIMIT}; for CSV, {DEFAULT_CSV_LIMIT}"),
]
FormatParameter: TypeAlias = Annotated[
    Literal["json", "csv"] | None, Query(description="Format of the response. Default: as `accept` asks")
]
LegsParameter: TypeAlias = Annotated[bool, Query(description="false leaves out call legs")]

PARAMETER_ERRORS = {
    "day": "day must be a date such as 2026-11-21.",
    "since": "since must be a time with a zone such as 2026-11-21T06:30:00Z, or a date.",
    "until": "until must be a time with a zone such as 2026-11-21T06:30:00Z, or a date.",
    "tz": "tz must be the name of a time zone such as Europe/Berlin.",
    "number": f"number must have 1 to {_MAX_TEXT_LENGTH} characters.",
    "q": f"q must have at least {MIN_DIGITS} digits of a number, or 1 to {_MAX_TEXT_LENGTH} other characters.",
    "by": f"by must be one of {', '.join(Unit)}.",
    "per": f"per must be one of {', '.join(Per)}.",
    "format": "format must be json or csv.",
    "provider": "provider must consist of lower-case letters.",
    "status": f"status must be one of {', '.join(CallStatus)}.",
    "outcome": f"outcome must be one of {', '.join(Outcome)}, {UNDER_WAY}.",
    "direction": f"direction must be {INBOUND} or {OUTBOUND}.",
    "result": f"result must be one of {', '.join(Result)}.",
    "flow": "flow must be the name of a flow: letters, digits, - and _.",
    "context": f"context must have 1 to {_MAX_TEXT_LENGTH} characters.",
    "queue": f"queue must have 1 to {_MAX_TEXT_LENGTH} characters.",
    "legs": "legs must be true or false.",
    "limit": f"limit must be a number from 1 to {MAX_LIMIT}.",
    "cursor": "cursor does not belong to this list. Leave it out to start again.",
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
_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


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


_LIST_HEADERS = {
    "link": "URL of the next page, with rel=next; missing at the end of the list",
    READ_TO: "The page's `read_to`; missing if that is null",
}

app = APIGatewayHttpResolver(enable_validation=True)


@app.get(
    LIST,
    summary="List calls",
    description="Newest first. A page can be short or even empty and still have a cursor: with filters, a search or a "
    "long span, it ends after a number of calls or days. Request further pages until `cursor` is null, or follow the "
    "header `link`, which has the URL of the next page.",
    operation_id="listCalls",
    responses={
        200: {
            "description": "The calls",
            "headers": {
                name: {"description": text, "schema": {"type": "string"}} for name, text in _LIST_HEADERS.items()
            },
            "content": {JSON_CONTENT_TYPE: {"model": CallPage}, CSV_CONTENT_TYPE: {"schema": {"type": "string"}}},
        },
        **_problem_responses(400, 401, 503),
    },
)
def list_calls(  # noqa: PLR0913, PLR0917 - these are the parameters of the URL
    day: DayParameter = None,
    since: SinceParameter = None,
    until: UntilParameter = None,
    tz: ZoneParameter = "UTC",
    number: NumberParameter = None,
    q: SearchParameter = None,
    provider: ProviderParameter = None,
    status: Annotated[CallStatus | None, Query()] = None,
    outcome: Annotated[OutcomeOrUnderWay | None, Query()] = None,
    direction: Annotated[Literal["inbound", "outbound"] | None, Query()] = None,
    result: Annotated[Result | None, Query()] = None,
    flow: FlowParameter = None,
    context: ContextParameter = None,
    queue: QueueParameter = None,
    legs: LegsParameter = True,
    limit: LimitParameter = None,
    format: FormatParameter = None,  # noqa: A002 - the name of the parameter
    cursor: CursorParameter = None,
) -> RouteResponse[CallPage | str]:
    """Return a page of the calls of a span, of a number or of a search."""
    if q and number:
        raise BadRequest("Give q or number, not both.")
    start, zone = Cursor.parse(cursor) if cursor is not None else None, find_zone(tz)
    has_span = not number or day or since or until
    query = CallQuery(
        span=_span(day, since, until, zone, start) if has_span else None,
        number=number,
        search=_search(q, provider) if q else None,
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
    is_csv = format == "csv" if format else _prefers_csv(_context().request.header("accept") or "")
    limit = limit or (DEFAULT_CSV_LIMIT if is_csv else DEFAULT_LIMIT)
    page = _context().calls.page(query, limit=limit, after=_position(start, query))
    headers: dict[str, str | list[str]] = {READ_TO: page.read_to} if page.read_to else {}
    if page.cursor:
        headers["link"] = f'<{_next_page(page.cursor)}>; rel="next"'
    if not is_csv:
        return RouteResponse(200, JSON_CONTENT_TYPE, page, headers)
    # Only the first page has a header row, so that all pages together are one file.
    presence = "present" if start is None else "absent"
    text = csv_text(page.calls, zone, header=start is None)
    return RouteResponse(200, f"{CSV_CONTENT_TYPE}; charset=utf-8; header={presence}", text, headers)


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
    summary="Count calls",
    description="By hour, day, week or month, and by provider, outcome and result; also per number or trunk. A busy or "
    "long span has several pages: follow `cursor` until it is null and add up their counts.",
    operation_id="countCalls",
    responses=_responses("The counts", 400, 401, 503),
)
def count_calls(  # noqa: PLR0913, PLR0917 - these are the parameters of the URL
    day: DayParameter = None,
    since: SinceParameter = None,
    until: UntilParameter = None,
    tz: ZoneParameter = "UTC",
    by: Annotated[Unit, Query(description="Unit of time. Weeks start on Monday")] = Unit.HOUR,
    per: Annotated[Per | None, Query(description="Count each of your numbers, or each SIP trunk, separately")] = None,
    legs: LegsParameter = True,
    cursor: CursorParameter = None,
) -> CallCounts:
    """Return the number of calls of a span by unit of time, provider, outcome and result."""
    start, zone = Cursor.parse(cursor) if cursor is not None else None, find_zone(tz)
    query = CallQuery(span=_span(day, since, until, zone, start), legs=legs)
    return _context().calls.counts(query, by=by, zone=zone, per=per, after=_position(start, query))


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
        raise BadRequest(PARAMETER_ERRORS["cursor"]) from None
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
        description="Calls built from their providers' webhooks: lists, timelines and counts. Times in JSON are UTC, "
        "unless they have an offset.",
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


def _span(day: date | None, since: date | None, until: date | None, zone: tzinfo, start: Cursor | None) -> Span:
    """Return the span of a query: a day, the time between two ends, or today.

    An end that is left out is the one of the first page: today ends while somebody follows the cursors.

    Raises:
        BadRequest: the parameters contradict each other.
    """
    if day and (since or until):
        raise BadRequest("Give day, or since and until, not both.")
    if day:
        return Span.of_day(day, zone)
    if start and start.span and not since and not until:
        return start.span
    today = _context().now.astimezone(zone).date()
    if not since and not until:
        return Span.of_day(today, zone)
    first = _moment(since, zone) if since else None
    last = _moment(until, zone) if until else None
    if first and last and last <= first:
        raise BadRequest("until must be later than since.")
    if first and start and start.span and not last:
        return Span.between(first, datetime.fromisoformat(start.span.until))
    last = last or max(start_of_day(today + _DAY, zone), *([first] if first else []))
    return Span.between(first or last - _YEAR, last)


def _moment(moment: date, zone: tzinfo) -> datetime:
    return moment if isinstance(moment, datetime) else start_of_day(moment, zone)


def _position(start: Cursor | None, query: CallQuery) -> Position | None:
    """Return the position after which a page starts; `None` for the newest call."""
    if start:
        return start.position_for(query)
    # The end of such a span is no date but "open": do not read the empty days before it.
    is_open = query.span and query.span.until > utc_text(_context().now + _YEAR)
    return Position(Span.of_day(_context().now.date() + _DAY).until, "") if is_open else None


def _search(text: str, provider: str | None) -> Search:
    names = [provider] if provider else _context().providers()
    return Search(text.strip(), tuple(key for name in names for key in _partition_keys(name, text.strip())))


def _prefers_csv(accept: str) -> bool:
    """Return whether a client accepts CSV and likes JSON no better."""
    weights: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, *parameters = (text.strip() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        weights[name] = float(weight) if _WEIGHT.fullmatch(weight) else 0
    return weights.get(CSV_CONTENT_TYPE, 0) > 0 and weights[CSV_CONTENT_TYPE] >= weights.get(JSON_CONTENT_TYPE, 0)


def _next_page(cursor: str) -> str:
    """Return the URL of the next page, with the parameters of this request."""
    context = _context()
    parameters = [(name, value) for name, value in context.request.query if name != "cursor"]
    url = context.request.url(context.public_url).partition("?")[0]
    return f"{url}?{urlencode([*parameters, ('cursor', cursor)])}"


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
        "queryStringParameters": dict(request.query),
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
