"""The function of every webhook as one thing: containers on one table, its recordings, and how they are proven."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TypeAlias

from callhooks.events.event_item import Item
from callhooks.events.event_table import EventStore
from callhooks.providers.jambonz.action import ActionWebhook
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.initial_webhook import initial_webhook_loader
from callhooks.providers.jambonz.llm_tools.toolbox import Toolbox, load_toolbox
from callhooks.providers.jambonz.plan.loader import read_plan
from callhooks.providers.jambonz.plan.plan import Plan
from callhooks.webhooks.pipeline import Receiver
from callhooks_tools.providers.jambonz.plan.builder import read_plan_file

from tests.senders import TOKEN, Sender, bird_voice, jambonz_event, signed_by_bird, signed_by_jambonz, voipstudio, wavix
from tests.sip_clients import ClientContainer
from tests.support import (
    EVENTS,
    NOW,
    PUBLIC_URL,
    ROOT,
    Answer,
    Clock,
    Container,
    Event,
    FakeQueue,
    FakeSecrets,
    credential_store,
    get_writer_of,
)
from tests.tool_caller import FakeEvents, ToolContainer

Receive: TypeAlias = Callable[[Event], Answer]
Containers: TypeAlias = Callable[[FakeEvents], Callable[[], Receive]]

_REQUESTS = itertools.count()


@cache
def own_plan() -> Plan:
    """The plan that comes along."""
    return read_plan(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml"))


@cache
def own_tools() -> Toolbox:
    """The tools that come along."""
    return load_toolbox(ROOT / "functions" / "jambonz_tool" / "tools")


@dataclass
class Function:
    """The function of one webhook, and whoever calls it.

    `sign` makes a delivery that of a proven sender. `waits` says that the sender waits for an answer of its own, and
    `takes_repeats_anew` that what looks like a repeat is none.
    """

    name: str
    containers: Containers
    sign: Callable[[Event], Event]
    waits: bool = False
    takes_repeats_anew: bool = False
    table: FakeEvents = field(default_factory=FakeEvents)

    def __post_init__(self) -> None:
        self._new_container = self.containers(self.table)
        self.receive = self._new_container()

    def take(self, event: Event, *, elsewhere: bool = False) -> Answer:
        """Deliver an event as a request of its own, to the warm container or to a fresh one on the same table."""
        context = event.get("requestContext")
        if isinstance(context, dict):
            event = {**event, "requestContext": {**context, "requestId": f"request-{next(_REQUESTS)}"}}
        return (self._new_container() if elsewhere else self.receive)(event)

    @property
    def items(self) -> list[Item]:
        """What is kept."""
        return list(self.table.items.values())


def raw_body(event: Event) -> bytes:
    """The bytes that a delivery was made of."""
    body: str = event["body"]
    return base64.b64decode(body) if event["isBase64Encoded"] else body.encode("utf-8")


@cache
def recordings(name: str) -> Sequence[Event]:
    """The recorded deliveries to one function."""
    provider = name.partition(" ")[0]
    events = [json.loads(path.read_text("utf-8")) for path in sorted((EVENTS / provider).glob("*.json"))]
    found = [{"body": "", **event} for event in events if _function_of(event) == name]
    assert found
    return tuple(found)


def _function_of(event: Event) -> str:
    path = event["rawPath"]
    for beginning, name in _PATHS.items():
        if path == beginning or path.startswith(f"{beginning}/"):
            return name
    raise LookupError(path)


_PATHS = {
    "/webhooks/call/flows": "jambonz action",
    "/webhooks/call/events": "jambonz event",
    "/adulting": "jambonz event",
    "/streaming-event": "jambonz event",
    "/tokens-result": "jambonz event",
    "/webhooks/call": "jambonz call",
    "/webhooks/client-auth": "jambonz client",
    "/webhooks/tool": "jambonz tool",
    "/webhooks/wavix": "wavix",
    "/webhooks/bird": "bird",
    "/webhooks/voipstudio": "voipstudio",
}


def _signed_by_jambonz(event: Event) -> Event:
    return signed_by_jambonz(event, NOW)


def _with_token(event: Event) -> Event:
    given: Mapping[str, str] = event.get("pathParameters") or {}
    return {**event, "pathParameters": {**given, "token": TOKEN}}


def _calls(table: FakeEvents) -> Callable[[], Receive]:
    return lambda: Container(table, plan=own_plan()).receive


def _actions(table: FakeEvents) -> Callable[[], Receive]:
    clock = Clock()

    def container() -> Receive:
        store = EventStore(table.as_client(), "events")
        webhook = ActionWebhook(
            own_plan(),
            load_initial_webhook=initial_webhook_loader(store),
            signature_header=DEFAULT_SIGNATURE_HEADER,
            public_url=PUBLIC_URL,
        )
        credentials = credential_store(FakeSecrets(), clock)
        receiver = Receiver(
            webhook,
            credentials=credentials,
            get_writer=get_writer_of(store, FakeQueue()),
            clock=clock,
            retention_days=90,
        )
        return lambda event: Answer(**receiver.receive(event))

    return container


def _clients(table: FakeEvents) -> Callable[[], Receive]:
    return lambda: ClientContainer(database=table).receive


def _tools(table: FakeEvents) -> Callable[[], Receive]:
    first = ToolContainer(own_tools(), table)

    def container() -> Receive:
        receiver = first.another_container().receiver
        return lambda event: Answer(**receiver.receive(event))

    return container


def _of_sender(make: Callable[..., Sender]) -> Containers:
    return lambda table: lambda: make(database=table).deliver


FUNCTIONS: dict[str, Callable[[], Function]] = {
    "jambonz call": lambda: Function("jambonz call", _calls, _signed_by_jambonz, waits=True),
    "jambonz action": lambda: Function("jambonz action", _actions, _signed_by_jambonz, waits=True),
    "jambonz event": lambda: Function("jambonz event", _of_sender(jambonz_event), _signed_by_jambonz),
    "jambonz client": lambda: Function(
        "jambonz client", _clients, _signed_by_jambonz, waits=True, takes_repeats_anew=True
    ),
    "jambonz tool": lambda: Function("jambonz tool", _tools, _signed_by_jambonz, waits=True),
    "wavix": lambda: Function("wavix", _of_sender(wavix), _with_token),
    "bird": lambda: Function("bird", _of_sender(bird_voice), signed_by_bird),
    "voipstudio": lambda: Function("voipstudio", _of_sender(voipstudio), _with_token),
}
