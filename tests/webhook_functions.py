"""A common interface to every webhook function: its containers, its recorded deliveries, and how to sign them."""

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
def example_plan() -> Plan:
    """Return the example plan of the repository."""
    return read_plan(read_plan_file(ROOT / "layers" / "call_plan" / "call_plan.yaml"))


@cache
def example_tools() -> Toolbox:
    """Return the example tools of the repository."""
    return load_toolbox(ROOT / "functions" / "jambonz_tool" / "tools")


@dataclass
class Function:
    """The function of one webhook, and its sender.

    `sign` authenticates a delivery. `waits`: the sender needs an answer. `handles_repeats_as_new`: the same body again
    is not a duplicate.
    """

    name: str
    containers: Containers
    sign: Callable[[Event], Event]
    waits: bool = False
    handles_repeats_as_new: bool = False
    table: FakeEvents = field(default_factory=FakeEvents)

    def __post_init__(self) -> None:
        self._new_container = self.containers(self.table)
        self.receive = self._new_container()

    def deliver(self, event: Event, *, new_container: bool = False) -> Answer:
        """Send an event as a new request, to the warm container or to a new one on the same table."""
        context = event.get("requestContext")
        if isinstance(context, dict):
            event = {**event, "requestContext": {**context, "requestId": f"request-{next(_REQUESTS)}"}}
        return (self._new_container() if new_container else self.receive)(event)

    @property
    def items(self) -> list[Item]:
        """Return the stored items."""
        return list(self.table.items.values())


def raw_body(event: Event) -> bytes:
    """Return the bytes of a delivery's body."""
    body: str = event["body"]
    return base64.b64decode(body) if event["isBase64Encoded"] else body.encode("utf-8")


@cache
def recordings(name: str) -> Sequence[Event]:
    """Return the recorded deliveries for one function."""
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
    return lambda: Container(table, plan=example_plan()).receive


def _actions(table: FakeEvents) -> Callable[[], Receive]:
    clock = Clock()

    def container() -> Receive:
        store = EventStore(table.as_client(), "events")
        webhook = ActionWebhook(
            example_plan(),
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
    first = ToolContainer(example_tools(), table)

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
        "jambonz client", _clients, _signed_by_jambonz, waits=True, handles_repeats_as_new=True
    ),
    "jambonz tool": lambda: Function("jambonz tool", _tools, _signed_by_jambonz, waits=True),
    "wavix": lambda: Function("wavix", _of_sender(wavix), _with_token),
    "bird": lambda: Function("bird", _of_sender(bird_voice), signed_by_bird),
    "voipstudio": lambda: Function("voipstudio", _of_sender(voipstudio), _with_token),
}
