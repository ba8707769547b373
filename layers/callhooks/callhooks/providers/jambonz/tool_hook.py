"""The tool hook of jambonz's `llm` and speech-to-speech verbs: parse, normalise, and the answer of each vendor.

Written from jambonz's reference (New Client Tool Request) and from what the vendors' adapters in feature-server 0.9.8
send and take. An answer without its vendor's shape is dropped by the adapter and the model waits for ever; anything
but 200 with a JSON object ends the model's session.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from aws_lambda_powertools.utilities.parser import parse
from pydantic import JsonValue

from callhooks.calls.caller_history import PastCalls
from callhooks.events.call_event import CallEvent, Kind, clean_text, direction_of, known_details
from callhooks.providers.jambonz.hook import PROVIDER, JambonzWebhook, hook_key, tool_key
from callhooks.providers.jambonz.llm_tools.runner import ToolRunner
from callhooks.providers.jambonz.llm_tools.toolbox import (
    MAX_CALLS,
    Parties,
    PlanFacts,
    ToolCall,
    ToolOutcome,
    ToolRequest,
    failed,
)
from callhooks.providers.jambonz.models import CallInfo
from callhooks.providers.payload import Document, Identifier, OptionalStr, json_object
from callhooks.runtime.errors import BadRequest
from callhooks.runtime.http import Request, Response
from callhooks.runtime.json_values import finite_float

MAX_EVENT_NAME = 200
MAX_ANSWER_BYTES = 256 * 1024
"""With a body of 128 KB it fits into an item of 400 KB."""
MAX_ANSWERED = 8_000
"""More errors than fit into the answer, so that no more entries than these need to be read."""
GOOGLE = "google"
ANSWER_WITHIN = timedelta(seconds=8.8)
"""The function's time-out is 9 s: tools have 5 of them."""


class _FunctionCall(Document):
    id: Identifier = None
    name: OptionalStr = None
    args: JsonValue = None


class _ToolHookBody(Document):
    """One call, or for Google's models a list of them under one `tool_call_id` that is always the same."""

    tool_call_id: Identifier = None
    name: OptionalStr = None
    args: JsonValue = None
    function_calls: list[object] | None = None


@dataclass(frozen=True, slots=True)
class ToolHook:
    """What a model asks for, and once it was run, an outcome for each request."""

    vendor: str
    call_sid: str | None
    requests: tuple[ToolRequest, ...]
    outcomes: tuple[ToolOutcome, ...] = ()


def parse_tool_hook(request: Request) -> ToolHook:
    """The tool calls of a request.

    Raises:
        BadRequest: it names no tool.
    """
    hook = _read(request, json_object(request.body, parse_float=finite_float))
    if not any(wanted.name for wanted in hook.requests):
        raise BadRequest("There is no name of a tool.")
    return hook


def normalise(hook: ToolHook, request: Request, now: datetime) -> CallEvent:
    """The event of a tool call; what the tools ended with is in the answer that is stored with it."""
    return CallEvent(
        provider=PROVIDER,
        call_id=hook.call_sid,
        dedupe_key=hook_key(request),
        kind=Kind.TOOL_CALLED,
        name=_joined(wanted.name for wanted in hook.requests),
        received_at=now,
        sent_at=request.sender.sent_at,
        details=known_details(
            {"vendor": hook.vendor, "tool_call_id": _joined(wanted.id or "" for wanted in hook.requests)}
        ),
    )


def tool_response(hook: ToolHook) -> Response:
    """The outcomes in the shape that the vendor's adapter takes."""
    if hook.vendor == GOOGLE:
        return _response(_google(hook))
    shape = _SHAPES.get(hook.vendor, _documented)
    return _response(shape(hook.requests[0], hook.outcomes[0]))


def not_understood(reason: str, request: Request) -> Response:
    """An error in the vendor's shape for a request that names no tool, with as much of its id as can be read."""
    try:
        hook = _read(request, json_object(request.body))
    except BadRequest:
        hook = _read(request, {})
    return tool_response(replace(hook, outcomes=(failed(reason),) * len(hook.requests)))


def _read(request: Request, document: Mapping[str, object]) -> ToolHook:
    body = parse(event=dict(document), model=_ToolHookBody)
    calls = (body.function_calls or [])[:MAX_ANSWERED]
    vendor = clean_text(request.path_parameters.get("vendor", "")).lower()
    requests = (*map(_tool_request, calls[:MAX_CALLS]), *map(_request_not_run, calls[MAX_CALLS:]))
    return ToolHook(
        # Only the adapter of Google's models sends a list, and takes one, whatever vendor the URL names.
        vendor=GOOGLE if requests else vendor,
        call_sid=request.sender.call_id,
        requests=requests or (ToolRequest(body.name or "", body.args, body.tool_call_id),),
    )


def _tool_request(call: object) -> ToolRequest:
    # One entry that is none must not silence the others.
    read = _FunctionCall.model_validate(call if isinstance(call, dict) else {})
    return ToolRequest(read.name or "", read.args, read.id)


def _request_not_run(call: object) -> ToolRequest:
    """Read what an error is sent back with: a validator takes too long for thousands of calls."""
    members = call if isinstance(call, dict) else {}
    return ToolRequest((_echoed(members.get("name")) or "").strip(), id=_echoed(members.get("id")))


def _echoed(value: object) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) and value.strip(" \t\r\n") else None


def _joined(texts: Iterable[str]) -> str:
    return clean_text(", ".join(text for text in texts if text))[:MAX_EVENT_NAME]


def _response(document: Mapping[str, object]) -> Response:
    return Response(200, _json(document))


def _json(document: Mapping[str, object]) -> str:
    # As it was sent: six letters for each of an id that is not ASCII would make the answer larger than an item.
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    # The escape of a lone surrogate is the same in JSON.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _documented(_request: ToolRequest, outcome: ToolOutcome) -> Mapping[str, object]:
    # jambonz adds Ultravox's `type` and `invocation_id` to an object without a `type`, and knows the id for certain.
    return {"result": _text(outcome)}


def _openai(request: ToolRequest, outcome: ToolOutcome) -> Mapping[str, object]:
    item = {"type": "function_call_output", "call_id": request.id, "output": _text(outcome)}
    return {"type": "conversation.item.create", "item": _known(item)}


def _elevenlabs(request: ToolRequest, outcome: ToolOutcome) -> Mapping[str, object]:
    data = {
        "type": "client_tool_result",
        "tool_call_id": request.id,
        "result": _text(outcome),
        "is_error": outcome.is_error,
    }
    return {"data": _known(data)}


def _deepgram(request: ToolRequest, outcome: ToolOutcome) -> Mapping[str, object]:
    data = {"type": "FunctionCallResponse", "id": request.id, "name": request.name, "content": _text(outcome)}
    return {"data": _known(data)}


def _google(hook: ToolHook) -> Mapping[str, object]:
    responses: list[Mapping[str, object]] = []
    room = MAX_ANSWER_BYTES
    for request, outcome in zip(hook.requests, hook.outcomes, strict=True):
        response = _known({"id": request.id, "name": request.name, "response": _object(outcome)})
        room -= len(_json(response).encode("utf-8")) + 1
        # What was run is told in any case.
        if room < 0 and len(responses) >= MAX_CALLS:
            break
        responses.append(response)
    return {"toolResponse": {"functionResponses": responses}}


_SHAPES: Mapping[str, Callable[[ToolRequest, ToolOutcome], Mapping[str, object]]] = {
    "openai": _openai,
    "microsoft": _openai,
    "elevenlabs": _elevenlabs,
    "deepgram": _deepgram,
    "voiceagent": _deepgram,
}
"""By the verb's vendor. Ultravox's models take the documented shape."""


def _text(outcome: ToolOutcome) -> str:
    """The outcome as a text, which is what every vendor but Google wants."""
    return outcome.value if isinstance(outcome.value, str) else json.dumps(outcome.value, ensure_ascii=False)


def _object(outcome: ToolOutcome) -> object:
    # Gemini takes an object alone, and reads anything else under `output`.
    return outcome.value if isinstance(outcome.value, dict) else {"output": outcome.value}


def _known(members: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in members.items() if value is not None}


class ToolWebhook(JambonzWebhook[ToolHook]):
    """A language model in a call asks jambonz for a tool, and waits for its result.

    Args:
        runner: runs tools.
        plan: what tools may ask of the call plan.
        load_initial_webhook: returns the body of a call's first webhook by its call SID, `None` where there is none.
        past_calls: the caller's earlier calls.
        signature_header: the header with jambonz's signature.
    """

    answer_within = ANSWER_WITHIN

    def __init__(
        self,
        runner: ToolRunner,
        *,
        plan: PlanFacts,
        load_initial_webhook: Callable[[str], Mapping[str, object] | None],
        past_calls: PastCalls,
        signature_header: str,
    ) -> None:
        super().__init__(signature_header=signature_header)
        self._runner = runner
        self._plan = plan
        self._load_initial_webhook = load_initial_webhook
        self._past_calls = past_calls
        # Whatever fails, there is a better answer in the vendor's shape; this one says that the sender waits.
        self.fallback = tool_response(ToolHook("", None, (ToolRequest(""),), (failed("The tool cannot be run."),)))

    def parse(self, request: Request) -> ToolHook:
        """Read the tool calls."""
        return parse_tool_hook(request)

    def decide(self, message: ToolHook, request: Request, now: datetime) -> ToolHook:
        """Run the tools, once for each signed body and call."""
        call = ToolCall(
            call_sid=message.call_sid,
            now=now,
            plan=self._plan,
            parties=lambda: self._parties(message.call_sid) if message.call_sid else Parties(),
            past_calls=self._past_calls,
        )
        return replace(message, outcomes=tuple(self._runner.run(message.requests, call, key=tool_key(request))))

    def _parties(self, call_sid: str) -> Parties:
        call = CallInfo.model_validate(self._load_initial_webhook(call_sid) or {})
        return Parties(call.from_, call.to, direction_of(call.direction))

    def normalise(self, message: ToolHook, request: Request, now: datetime) -> CallEvent:
        """Return the event of a tool call."""
        return normalise(message, request, now)

    def answer(self, message: ToolHook, _request: Request, _now: datetime) -> Response:
        """Return the outcomes in the shape that the vendor's adapter takes."""
        return tool_response(message)

    def quarantine_response(self, reason: str, request: Request) -> Response:
        """Return an error in the vendor's shape."""
        return not_understood(reason, request)

    def too_large_response(self, reason: str, request: Request) -> Response:
        """Return an error in the vendor's shape."""
        return not_understood(reason, request)
