"""Description of a provider, for the command, the doctor and the fold.

Webhook functions do not import this module. Only `describe` in a provider's module does, when it is called.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias, TypeVar
from urllib.parse import urlencode

from callhooks.calls.call import FoldHints
from callhooks.events.call_event import CallEvent, Ignored
from callhooks.runtime.http import Request, Response

TEST_SENDER = "callhooks-doctor"
"""User agent and caller of test deliveries."""
TEST_NUMBER = "+12025550123"
"""Callee of test deliveries. The number is reserved for examples."""

Credentials: TypeAlias = Mapping[str, str]
"""A provider's credentials, by their names in `.local/stack.json`."""
Parameters: TypeAlias = Mapping[str, str]
"""Parameters of a stack, by their names in the template."""
MessageT = TypeVar("MessageT")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of the stack. Several of its credentials can be valid at once.

    Attributes:
        logical_id: its name in the template.
        kind: its name in `callhooks secret`.
        words: the noun for one credential in messages, such as `signing key`.
        credential: the name of the newest credential in `Credentials`.
        member: the required member; `None` if the secret holds only credentials that an operator has added.
        further: the member with the list of credentials that an operator has added.
        fixed: further required members, used as credentials under their own names.
        is_in_url: whether the credential is part of the webhook's URL.
        is_issued_by_provider: whether the provider issues the credential, so that callhooks does not generate one.
        prefix: the prefix of credentials that the local stack generates.
        unchecked: the consequence of having no credential, for a secret without `member`.
    """

    logical_id: str
    kind: str
    words: str
    credential: str
    member: str | None
    further: str
    fixed: tuple[str, ...] = ()
    is_in_url: bool = False
    is_issued_by_provider: bool = False
    prefix: str = ""
    unchecked: str = ""

    @property
    def variable(self) -> str:
        """Return the environment variable with the secret's ARN, or with its value for `sam local`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", self.logical_id).upper()


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A delivery in quarantine: its request, the response it got, and the parameters of the stack."""

    request: Request
    answer: Response
    received_at: datetime
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Route:
    """One webhook.

    Attributes:
        path: the path in the template.
        function: the function's name in the template.
        read: turns a delivery from quarantine into an event; raises `HttpProblem` if it still cannot be parsed.
        names_call: whether the body contains the call id.
    """

    path: str
    function: str
    read: Callable[[Quarantined], CallEvent | Ignored]
    names_call: bool = True

    @property
    def fixed_path(self) -> str:
        """Return the path up to its first parameter."""
        return self.path.partition("/{")[0]


@dataclass(frozen=True, slots=True)
class Signing:
    """Input for signing a delivery.

    `base_url` is the URL that the API is configured with; empty for the request's own host.
    """

    credentials: Credentials = field(repr=False)
    now: datetime
    base_url: str = ""
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """An unsigned test delivery that the provider could send now.

    Attributes:
        title: a short name, such as `call status`.
        request: method, path, headers and body.
        check_answer: returns the problem in the JSON of a 200 response (`None` if it is not JSON) or an empty string.
        has_fallback: whether the response is 200 even while no sender can be authenticated.
        only_unauthenticated: whether the delivery is sent only with wrong credentials.
        other_path: another spelling of the path, which must get the same response; empty if there is none.
    """

    title: str
    request: Request
    check_answer: Callable[[object], str]
    has_fallback: bool = False
    only_unauthenticated: bool = False
    other_path: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A form field or request member at the provider, and the value to enter."""

    name: str
    value: str
    is_nested: bool = False
    """The setting belongs to the last one that is not nested."""


@dataclass(frozen=True, slots=True)
class SettingGroup:
    """Settings in one place at the provider, with notes."""

    location: str
    fields: Sequence[Setting]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """Input for listing the settings to enter in a provider's portal.

    `credentials` may hold placeholders instead of secrets. `stack_options` are the options that select the stack in
    a command, such as ` --stack callhooks`; `program` is how the user calls `callhooks`.
    """

    base_url: str
    credentials: Credentials
    stack_options: str = ""
    program: str = "callhooks"


def accept_any_url(_base_url: str) -> str:
    """Accept every URL."""
    return ""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, as `describe` in its module returns it.

    Attributes:
        name: the name in keys and paths; only lower-case letters.
        title: the name as the provider spells it.
        secrets: the secrets with its credentials.
        routes: its webhooks. A body without a path is sent to the first one.
        call_ids: the members of a body that hold call ids.
        sign: adds the provider's credentials to a request: headers, a signature, or a token in the path.
        samples: returns test deliveries for a call id, a time and the stack's parameters.
        settings: returns the settings to enter at the provider.
        nested: the members of a body that hold documents with call ids.
        check_url: returns why the provider rejects webhooks under a base URL; empty if it accepts them.
        signs_url: whether its signature covers the URL.
        without_credentials: the consequence while its secrets cannot be used.
        fold_hints: how to fold its events into a call.
    """

    name: str
    title: str
    secrets: tuple[Secret, ...]
    routes: tuple[Route, ...]
    call_ids: tuple[str, ...]
    sign: Callable[[Request, Signing], Request]
    samples: Callable[[str, datetime, Parameters], Sequence[Sample]]
    settings: Callable[[Setup], Sequence[SettingGroup]]
    nested: tuple[str, ...] = ()
    check_url: Callable[[str], str] = accept_any_url
    signs_url: bool = False
    without_credentials: str = ""
    fold_hints: FoldHints = field(default_factory=FoldHints)

    def route_of(self, path: str) -> Route | None:
        """Return the route of a request path or of a path in the template; `None` if no route matches."""
        matching = [
            route for route in self.routes if path == route.fixed_path or path.startswith(f"{route.fixed_path}/")
        ]
        return max(matching, key=lambda route: len(route.fixed_path), default=None)


def token_secret(name: str, *, logical_id: str) -> Secret:
    """Return the secret of a provider that authenticates with a token in the URL."""
    return Secret(logical_id, name, "token", "token", "token", "further_tokens", is_in_url=True)


def with_token(request: Request, signing: Signing) -> Request:
    """Return the request with the token at the end of its path, where `url_token` expects it."""
    token = signing.credentials["token"]
    # A recorded delivery already has a token.
    base = "/".join(request.path.split("/")[:3])
    return request._replace(path=f"{base}/{token}", path_parameters={"token": token})


def with_headers(request: Request, headers: Mapping[str, str]) -> Request:
    """Return the request with these headers added or replaced. Their names become lower case."""
    return request._replace(headers={**request.headers, **{name.lower(): text for name, text in headers.items()}})


def json_delivery(path: str, document: Mapping[str, object]) -> Request:
    """Return a test delivery with a JSON body."""
    return _delivery(path, json.dumps(document, separators=(",", ":")), "application/json")


def form_delivery(path: str, fields: Mapping[str, str]) -> Request:
    """Return a test delivery with a form body."""
    return _delivery(path, urlencode(fields), "application/x-www-form-urlencoded")


def _delivery(path: str, body: str, content_type: str) -> Request:
    return Request("POST", path, headers={"content-type": content_type, "user-agent": TEST_SENDER}, body=body.encode())


def check_stored(document: object) -> str:
    """Return the problem with the response to an event; empty if it confirms that the event is stored."""
    status = document.get("status") if isinstance(document, dict) else None
    if status == "ignored":
        return "A filter ignored the event, although the stack's parameters let it through."
    return "" if status == "stored" else "The response is 200, but it does not come from this version of callhooks."


def reads(
    parse: Callable[[Request], MessageT], normalise: Callable[[MessageT, Request, datetime], CallEvent | Ignored]
) -> Callable[[Quarantined], CallEvent | Ignored]:
    """Return a function that parses and normalises a delivery from quarantine as its webhook would."""
    return lambda delivery: normalise(parse(delivery.request), delivery.request, delivery.received_at)
