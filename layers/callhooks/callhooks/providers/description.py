"""What a provider's module says about its provider to the command, and to who folds its calls.

A webhook function imports none of this: `describe` of a provider's module imports it when it is called.
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
"""The user agent and the caller of test deliveries."""
TEST_NUMBER = "+12025550123"
"""The number that is called in test deliveries: it is for examples."""

Credentials: TypeAlias = Mapping[str, str]
"""What a provider proves itself with, by the names that `.local/stack.json` has for it."""
Parameters: TypeAlias = Mapping[str, str]
"""The parameters of a stack, by their names in the template."""
MessageT = TypeVar("MessageT")


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret of the stack that holds credentials, of which several are valid at once.

    Attributes:
        logical_id: its name in the template.
        kind: its name for `callhooks secret`.
        words: what one of its texts is called.
        credential: the name of the newest one among the credentials.
        member: the member that must be there; `None` where there are only such as an operator has added.
        further: the member with a list of those that an operator has added.
        fixed: members that must be there besides, and are credentials as they are.
        is_in_url: whether it stands in a URL.
        is_theirs: whether the provider makes it, so that there is nothing to generate.
        prefix: how the ones that the local run generates begin.
        unchecked: what follows where there is none, for a secret without `member`.
    """

    logical_id: str
    kind: str
    words: str
    credential: str
    member: str | None
    further: str
    fixed: tuple[str, ...] = ()
    is_in_url: bool = False
    is_theirs: bool = False
    prefix: str = ""
    unchecked: str = ""

    @property
    def variable(self) -> str:
        """The variable of a function's environment that has its ARN, or for `sam local` its value."""
        return variable_of(self.logical_id)


def variable_of(name: str) -> str:
    """The variable of a function's environment for a parameter or a resource of the template, by its name there."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A delivery that was not understood: its request, how it was answered, and the stack that has received it."""

    request: Request
    answer: Response
    received_at: datetime
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class Route:
    """One webhook.

    Attributes:
        path: as the template writes it.
        function: the function's name in the template.
        read: reads one of its deliveries again, and raises `HttpProblem` where it still does not understand it.
        names_call: whether its body names the call.
        variables: what the template gives the function to read from its environment, besides what all functions have.
        layers: the layers that the function has besides the one that all have.
    """

    path: str
    function: str
    read: Callable[[Quarantined], CallEvent | Ignored]
    names_call: bool = True
    variables: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()

    @property
    def fixed_path(self) -> str:
        """The path up to its first parameter."""
        return self.path.partition("/{")[0]


@dataclass(frozen=True, slots=True)
class Signing:
    """What a delivery is signed with.

    `base_url` is where the API believes to be, empty for the request's own host.
    """

    credentials: Credentials = field(repr=False)
    now: datetime
    base_url: str = ""
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """A delivery that the provider could send now, not signed yet.

    Attributes:
        what: what it tells, in two words.
        request: with a method, a path, headers and a body.
        problem_of: says what is wrong with the JSON of an answer of 200, `None` for what is not JSON; empty where
            nothing is wrong.
        has_fallback: whether a sender gets an answer of 200 even while nobody can be verified.
        is_for_refusal: whether it is sent with wrong credentials alone.
    """

    what: str
    request: Request
    problem_of: Callable[[object], str]
    has_fallback: bool = False
    is_for_refusal: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """A field of a form, or a member of a request, and what is to be entered."""

    name: str
    value: str


@dataclass(frozen=True, slots=True)
class SettingGroup:
    """Where fields are, and what is to be known about them."""

    where: str
    fields: Sequence[Setting]
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Setup:
    """What the settings at a provider are made of.

    `credentials` may hold placeholders, where secrets are not to be shown. `stack_option` is what a command needs to
    find the stack, such as ` --stack callhooks`.
    """

    base_url: str
    credentials: Credentials
    stack_option: str = ""


def accepts_any_url(_base_url: str) -> str:
    """Refuse no URL."""
    return ""


@dataclass(frozen=True, slots=True)
class Provider:
    """A provider, as its module's `describe` returns it.

    Attributes:
        name: as in keys and paths: small letters alone.
        title: as it writes itself.
        secrets: what holds its credentials.
        routes: its webhooks; a body alone is sent to the first.
        call_ids: the members of a body that hold ids of calls.
        sign: makes a request one that the provider sends: with its credentials, signed, or addressed with its token.
        samples: test deliveries of a call, by its id, the time and the stack's parameters.
        settings: what is to be entered at the provider.
        nested: the members of a body that hold documents with ids of calls.
        refusal_of_url: says why the provider takes no URL on such a base URL; empty where it does.
        signs_url: whether its signature covers the URL.
        without_credentials: what follows while its secrets cannot be used.
        fold_hints: how its events are read when they become a call.
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
    refusal_of_url: Callable[[str], str] = accepts_any_url
    signs_url: bool = False
    without_credentials: str = ""
    fold_hints: FoldHints = field(default_factory=FoldHints)

    def route_of(self, path: str) -> Route | None:
        """The route of a path as it was sent, or as the template writes it; `None` where it is none of them."""
        of_path = [one for one in self.routes if path == one.fixed_path or path.startswith(f"{one.fixed_path}/")]
        return max(of_path, key=lambda one: len(one.fixed_path), default=None)


def token_secret(name: str, *, logical_id: str) -> Secret:
    """The secret of a provider that proves itself by a token in the URL."""
    return Secret(logical_id, name, "token", "token", "token", "further_tokens", is_in_url=True)


def with_token(request: Request, signing: Signing) -> Request:
    """The request with the token at the end of its path, where `url_token` looks for it."""
    token = signing.credentials["token"]
    # A recorded delivery has a token of its own.
    base = "/".join(request.path.split("/")[:3])
    return request._replace(path=f"{base}/{token}", path_parameters={"token": token})


def with_headers(request: Request, headers: Mapping[str, str]) -> Request:
    """The request with headers, whose names become lower case, in place of any of the same name."""
    return request._replace(headers={**request.headers, **{name.lower(): text for name, text in headers.items()}})


def json_delivery(path: str, document: Mapping[str, object]) -> Request:
    """A test delivery of JSON."""
    return _delivery(path, json.dumps(document, separators=(",", ":")), "application/json")


def form_delivery(path: str, fields: Mapping[str, str]) -> Request:
    """A test delivery of a form."""
    return _delivery(path, urlencode(fields), "application/x-www-form-urlencoded")


def _delivery(path: str, body: str, content_type: str) -> Request:
    return Request("POST", path, headers={"content-type": content_type, "user-agent": TEST_SENDER}, body=body.encode())


def not_stored(document: object) -> str:
    """What is wrong with the answer to an event; empty where it says that the event is stored."""
    status = document.get("status") if isinstance(document, dict) else None
    if status == "ignored":
        return "It was left out by a filter, which is another one than the stack's parameters say."
    return "" if status == "stored" else "It was answered 200, but not as this version answers: something else did."


def reads(
    parse: Callable[[Request], MessageT], normalise: Callable[[MessageT, Request, datetime], CallEvent | Ignored]
) -> Callable[[Quarantined], CallEvent | Ignored]:
    """What reads a delivery again as its webhook would."""
    return lambda aside: normalise(parse(aside.request), aside.request, aside.received_at)
