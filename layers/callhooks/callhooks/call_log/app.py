"""The call log: calls, their timelines and their counts, for programs and for the page.

API Gateway decodes the path that it hands on (payload 2.0), so that an id with a slash comes as two segments; the local
front hands it on as it was sent. A call is looked up by both readings, and the paths in answers are the same in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import TypeVar
from urllib.parse import quote, urlsplit

from aws_lambda_powertools import Logger
from aws_lambda_powertools.shared.cookies import Cookie
from botocore.exceptions import BotoCoreError, ClientError

from callhooks.call_log.listing import CallList
from callhooks.call_log.routes import CALL, LIST, METHODS, PUBLIC_PLACES, Place, RequestContext, route
from callhooks.call_log.session import (
    CHALLENGE,
    WRONG_CREDENTIALS,
    ConsoleCredentials,
    ConsoleSession,
    check_basic,
    cookie_name,
    cookie_of,
    no_cookie,
    session_of,
    sign_in,
)
from callhooks.calls.call import HintsLookup
from callhooks.calls.repository import CallStore, CallsUnread
from callhooks.events.call_event import utc_text
from callhooks.runtime.errors import CredentialsUnavailable, HttpProblem, Unauthorized, describe_exception
from callhooks.runtime.http import HttpApiEvent, HttpPayload, Request, Response, problem_response
from callhooks.runtime.metrics import count
from callhooks.webhooks.credentials import CredentialStore

CONSOLE = "console"
PAGE = "/"
WRONG_SIGN_IN = "wrong user name or password"

_METHODS = {PAGE: ("GET", "HEAD"), **METHODS}
_NO_STORE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
# Without includeSubDomains: the API's name may be the parent of others that are not ours.
_TLS_ONLY = {"strict-transport-security": "max-age=31536000"}

CheckedT = TypeVar("CheckedT")

logger = Logger(child=True)


@dataclass(frozen=True, slots=True)
class CallLog:
    """Answers the requests of the call log.

    `page` is what is answered at `/`, `credentials` are those of who may look, `clock` gives the time now, aware, and
    `hints_for` says how the events of a provider are read. `public_url` is the address under which the API is known,
    where it is not the API's own. Where that has no TLS, as on one's own machine, the session cookie needs none either,
    and no answer asks for it.
    """

    page: Response
    calls: CallList
    store: CallStore
    credentials: CredentialStore[ConsoleCredentials]
    clock: Callable[[], datetime]
    public_url: str
    hints_for: HintsLookup

    def answer(self, event: HttpApiEvent) -> HttpPayload:
        """Answer one event of the HTTP API. Whatever goes wrong is answered as a problem; nothing is raised."""
        started = self.clock()
        told: dict[str, object] = {}
        request: Request | None = None
        try:
            request = Request.from_event(event)
            response = self._answer(request, told)
        except Exception as error:  # noqa: BLE001 - its text may hold what was sent, and would be logged
            problem = _problem_of(error)
            told["reason"] = (
                problem.reason if problem.status < HTTPStatus.INTERNAL_SERVER_ERROR else describe_exception(error)
            )
            response = _refusal(problem, request)
        told |= {"status": response.status, "milliseconds": round((self.clock() - started).total_seconds() * 1000)}
        log = {4: logger.warning, 5: logger.error}.get(response.status // 100, logger.info)
        log("answered", extra=told)
        if request is not None and request.method == "HEAD":
            response = response._replace(body="")
        if self._needs_tls:
            response = response._replace(headers={**response.headers, **_TLS_ONLY})
        return response.as_payload()

    def _answer(self, request: Request, told: dict[str, object]) -> Response:
        place = _place(request.path, mapped=urlsplit(self.public_url).path.rstrip("/"))
        told["route"] = f"{request.method} {place.route}"
        methods = _METHODS[place.route]
        if request.method not in methods:
            allowed = ", ".join(methods)
            raise HttpProblem(405, "Method not allowed", f"This takes {allowed}.", headers={"allow": allowed})
        if place.route == PAGE:
            return self.page
        session = None if place.route in PUBLIC_PLACES else self._authenticate(request)
        now = self.clock()
        context = RequestContext(
            self.calls,
            self.store,
            self.hints_for,
            utc_text(now)[:10],
            self._sign_in,
            no_cookie(secure=self._needs_tls),
            told,
        )
        response = route(request, place, context)
        renewed = session.renewed(now) if session else None
        new_cookies = (*response.cookies, str(self._cookie(renewed))) if renewed else response.cookies
        return response._replace(headers={**_NO_STORE, **response.headers}, cookies=new_cookies)

    def _authenticate(self, request: Request) -> ConsoleSession | None:
        """The session of a request, `None` where it has Basic credentials."""
        header = request.header("authorization")
        name = cookie_name(secure=self._needs_tls)
        if header is None and not any(cookie.startswith(f"{name}=") for cookie in request.cookies):
            raise Unauthorized("no credentials")

        def check(credentials: ConsoleCredentials) -> ConsoleSession | None:
            if header is not None:
                check_basic(header, credentials)
                return None
            session = session_of(request.cookies, credentials, self.clock(), secure=self._needs_tls)
            if session is None:
                raise Unauthorized("no valid session")
            return session

        return self._checked(check)

    def _sign_in(self, username: str, password: str) -> Cookie:
        def check(credentials: ConsoleCredentials) -> ConsoleSession:
            session = sign_in(username, password, credentials, self.clock())
            if session is None:
                raise Unauthorized(WRONG_SIGN_IN)
            return session

        return self._cookie(self._checked(check))

    def _checked(self, check: Callable[[ConsoleCredentials], CheckedT]) -> CheckedT:
        """Check once more, with credentials that are read again, where the first check fails."""
        try:
            try:
                return check(self.credentials.current())
            except Unauthorized:
                newer = self.credentials.newer()
                if newer is None:
                    raise
                return check(newer)
        except Unauthorized as refused:
            # A session that has ended is nobody's attempt.
            if refused.reason in (WRONG_CREDENTIALS, WRONG_SIGN_IN):
                count("ConsoleRefused", provider=CONSOLE, reason=refused.reason)
            raise

    def _cookie(self, session: ConsoleSession) -> Cookie:
        return cookie_of(session, self.clock(), secure=self._needs_tls)

    @property
    def _needs_tls(self) -> bool:
        return not self.public_url.startswith("http://")


def _place(path: str, *, mapped: str) -> Place:
    """The place that a path names, without the path of the public address, which an API mapping puts before it."""
    path = path.removeprefix(mapped) if path.startswith(f"{mapped}/") else path
    provider, _, call_id = path.removeprefix(f"{LIST}/").partition("/")
    if path.startswith(f"{LIST}/") and provider and call_id:
        return Place(CALL, f"{LIST}/{_encoded(provider)}/{_encoded(call_id)}")
    if path in _METHODS and path != CALL:
        return Place(path, path)
    raise HttpProblem(404, "Not found", "There is nothing at this path.")


def _encoded(text: str) -> str:
    return quote(text.encode("utf-8", "surrogatepass"), safe="")


def _problem_of(error: Exception) -> HttpProblem:
    if isinstance(error, HttpProblem):
        return error
    if isinstance(error, ClientError | BotoCoreError | CallsUnread | CredentialsUnavailable):
        return HttpProblem(503, "Unavailable", "Calls cannot be read at the moment.")
    return HttpProblem(500, "Internal error", "The request could not be answered.")


def _refusal(problem: HttpProblem, request: Request | None) -> Response:
    answer = problem_response(problem)
    headers = {**_NO_STORE, **answer.headers}
    # A browser that is told would put its own window before the page's form.
    if problem.status == HTTPStatus.UNAUTHORIZED and request and request.header("sec-fetch-mode") is None:
        headers["www-authenticate"] = CHALLENGE
    return answer._replace(headers=headers)
