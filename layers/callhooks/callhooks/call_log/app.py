"""Call log application: sign-in, routing and error responses for the JSON API and the console page.

API Gateway decodes the path before it invokes the function (payload 2.0), so an id with a slash arrives as two
segments. The local front passes the path undecoded. A call is looked up both ways; the paths in responses are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote, urlsplit

from aws_lambda_powertools import Logger
from aws_lambda_powertools.shared.cookies import Cookie
from botocore.exceptions import BotoCoreError, ClientError

from callhooks.call_log.listing import CallList
from callhooks.call_log.routes import CALL, LIST, METHODS, PUBLIC_ROUTES, MatchedRoute, RequestContext, route
from callhooks.call_log.session import (
    CHALLENGE,
    WRONG_CREDENTIALS,
    ConsoleCredentials,
    ConsoleSession,
    check_basic,
    cookie_name,
    expired_cookie,
    find_session,
    session_cookie,
    sign_in,
)
from callhooks.calls.call import HintsLookup
from callhooks.calls.repository import CallStore, ReadsThrottled
from callhooks.runtime.errors import CredentialsUnavailable, HttpProblem, Unauthorized, describe_exception
from callhooks.runtime.http import HttpApiEvent, HttpPayload, Request, Response, problem_response
from callhooks.runtime.metrics import count
from callhooks.webhooks.credentials import CredentialStore

CONSOLE = "console"
PAGE = "/"
WRONG_SIGN_IN = "wrong user name or password"

_METHODS = {PAGE: ("GET", "HEAD"), **METHODS}
_NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
# No includeSubDomains: subdomains of the API's host name may belong to somebody else.
_TLS_ONLY = {"strict-transport-security": "max-age=31536000"}

CheckedT = TypeVar("CheckedT")

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class CallLog:
    """Application that answers the requests of the call log.

    `page` is the response for `/`, and `clock` returns the current time with a time zone. `hints_for` returns a
    provider's hints for the fold, and `providers` the names of all providers. `public_url` is the public address of the
    API, or empty if clients use the API's own address. If it is http, as on the local stack, the session cookie is not
    `Secure` and responses have no HSTS header.
    """

    page: Response
    calls: CallList
    store: CallStore
    credentials: CredentialStore[ConsoleCredentials]
    clock: Callable[[], datetime]
    public_url: str
    hints_for: HintsLookup
    providers: Callable[[], Iterable[str]]

    def answer(self, event: HttpApiEvent) -> HttpPayload:
        """Answer one event of the HTTP API. Errors become problem responses; nothing is raised."""
        started = self.clock()
        log_fields: dict[str, object] = {}
        request: Request | None = None
        try:
            request = Request.from_event(event)
            response = self._answer(request, log_fields)
        except Exception as error:  # noqa: BLE001 - an uncaught error would be logged with its text, which may quote the request
            problem = _as_problem(error)
            log_fields["reason"] = (
                problem.reason if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR else describe_exception(error)
            )
            response = _error_response(problem, request)
        log_fields |= {
            "status": response.status,
            "milliseconds": round((self.clock() - started).total_seconds() * 1000),
        }
        log = {4: logger.warning, 5: logger.error}.get(response.status // 100, logger.info)
        log("answered", extra=log_fields)
        if request is not None and request.method == "HEAD":
            response = response._replace(body="")
        if self._needs_tls:
            response = response._replace(headers={**response.headers, **_TLS_ONLY})
        return response.as_payload()

    def _answer(self, request: Request, log_fields: dict[str, object]) -> Response:
        matched = _match_route(request.path, mapped=urlsplit(self.public_url).path.rstrip("/"))
        log_fields["route"] = f"{request.method} {matched.route}"
        methods = _METHODS[matched.route]
        if request.method not in methods:
            allowed = ", ".join(methods)
            raise HttpProblem(405, "Method not allowed", f"Allowed methods: {allowed}.", headers={"allow": allowed})
        if matched.route == PAGE:
            return self.page
        session = None if matched.route in PUBLIC_ROUTES else self._authenticate(request)
        now = self.clock()
        context = RequestContext(
            self.calls,
            self.store,
            self.hints_for,
            self.providers,
            request,
            now,
            self.public_url,
            self._sign_in,
            expired_cookie(secure=self._needs_tls),
            log_fields,
        )
        response = route(request, matched, context)
        renewed = session.renewed(now) if session else None
        new_cookies = (*response.cookies, str(self._cookie(renewed))) if renewed else response.cookies
        return response._replace(headers={**_NO_STORE, **response.headers}, cookies=new_cookies)

    def _authenticate(self, request: Request) -> ConsoleSession | None:
        """Return the session of a request, or `None` if it uses Basic credentials."""
        header = request.header("authorization")
        name = cookie_name(secure=self._needs_tls)
        if header is None and not any(cookie.startswith(f"{name}=") for cookie in request.cookies):
            raise Unauthorized("no credentials")

        def check(credentials: ConsoleCredentials) -> ConsoleSession | None:
            if header is not None:
                check_basic(header, credentials)
                return None
            session = find_session(request.cookies, credentials, self.clock(), secure=self._needs_tls)
            if session is None:
                raise Unauthorized("no valid session")
            return session

        return self._check_credentials(check)

    def _sign_in(self, username: str, password: str) -> Cookie:
        def check(credentials: ConsoleCredentials) -> ConsoleSession:
            session = sign_in(username, password, credentials, self.clock())
            if session is None:
                raise Unauthorized(WRONG_SIGN_IN)
            return session

        return self._cookie(self._check_credentials(check))

    def _check_credentials(self, check: Callable[[ConsoleCredentials], CheckedT]) -> CheckedT:
        """Run a check; if it fails, read the credentials again and retry it once."""
        try:
            try:
                return check(self.credentials.current())
            except Unauthorized:
                newer = self.credentials.newer()
                if newer is None:
                    raise
                return check(newer)
        except Unauthorized as error:
            # Count wrong passwords only: an expired session is not an attempt to get in.
            if error.reason in (WRONG_CREDENTIALS, WRONG_SIGN_IN):
                count("ConsoleRefused", provider=CONSOLE, reason=error.reason)
            raise

    def _cookie(self, session: ConsoleSession) -> Cookie:
        return session_cookie(session, self.clock(), secure=self._needs_tls)

    @property
    def _needs_tls(self) -> bool:
        return not self.public_url.startswith("http://")


def _match_route(path: str, *, mapped: str) -> MatchedRoute:
    """Return the route of a path. An API mapping may prefix the path with the path of PublicUrl."""
    path = path.removeprefix(mapped) if path.startswith(f"{mapped}/") else path
    provider, _, call_id = path.removeprefix(f"{LIST}/").partition("/")
    if path.startswith(f"{LIST}/") and provider and call_id:
        return MatchedRoute(CALL, f"{LIST}/{_percent_encode(provider)}/{_percent_encode(call_id)}")
    if path in _METHODS and path != CALL:
        return MatchedRoute(path, path)
    raise HttpProblem(404, "Not found", "No such path. /openapi.json describes the API.")


def _percent_encode(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _as_problem(error: Exception) -> HttpProblem:
    if isinstance(error, HttpProblem):
        return error
    if isinstance(error, ClientError | BotoCoreError | ReadsThrottled | CredentialsUnavailable):
        return HttpProblem(503, "Unavailable", "Calls are temporarily unavailable.")
    return HttpProblem(500, "Internal error", "The request failed. The function's log has the reason.")


def _error_response(problem: HttpProblem, request: Request | None) -> Response:
    response = problem_response(problem)
    headers = {**_NO_STORE, **response.headers}
    # With this header, a browser would open its own prompt on top of the page's form.
    if problem.status == HTTPStatus.UNAUTHORIZED and request and request.header("sec-fetch-mode") is None:
        headers["www-authenticate"] = CHALLENGE
    return response._replace(headers=headers)
