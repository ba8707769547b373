"""Webhook for tool calls of jambonz's `llm` and speech-to-speech verbs, with the response format of each vendor.

Sources: jambonz's reference (New Client Tool Request), and the vendors' adapters in feature-server 0.9.8. An adapter
drops a response that is not in its vendor's format, and the model waits forever. Any response other than 200 with a
JSON object ends the model's session.
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
"""Together with a body of 128 KB, this fits into an item of 400 KB."""
MAX_ANSWERED = 8_000
"""Maximum number of tool calls to parse; even their errors do not all fit into the response."""
GOOGLE = "google"
ANSWER_WITHIN = timedelta(seconds=8.8)
"""The function's time-out is 9 s; tools may use 5 s."""


class _FunctionCall(Document):
    id: Identifier = None
    name: OptionalStr = None
    args: JsonValue = None


class _ToolHookBody(Document):
    """One call, or a list of calls from Google's models, which always have the same `tool_call_id`."""

    tool_call_id: Identifier = None
    name: OptionalStr = None
    args: JsonValue = None
    function_calls: list[object] | None = None


@dataclass(frozen=True, slots=True)
class ToolHook:
    """Tool calls of a model and, after they have run, an outcome for each."""

    vendor: str
    call_sid: str | None
    requests: tuple[ToolRequest, ...]
    outcomes: tuple[ToolOutcome, ...] = ()


def parse_tool_hook(request: Request) -> ToolHook:
    """Parse the tool calls in a request.

    Raises:
        BadRequest: it names no tool.
    """
    hook = _read(request, json_object(request.body, parse_float=finite_float))
    if not any(tool.name for tool in hook.requests):
        raise BadRequest("There is no name of a tool.")
    return hook


def normalise(hook: ToolHook, request: Request, now: datetime) -> CallEvent:
    """Return the event of a tool call. The outcomes are in the response that is stored with it."""
    return CallEvent(
        provider=PROVIDER,
        call_id=hook.call_sid,
        dedupe_key=hook_key(request),
        kind=Kind.TOOL_CALLED,
        name=_joined(tool.name for tool in hook.requests),
        received_at=now,
        sent_at=request.sender.sent_at,
        details=known_details(
            {"vendor": hook.vendor, "tool_call_id": _joined(tool.id or "" for tool in hook.requests)}
        ),
    )


def tool_response(hook: ToolHook) -> Response:
    """Return the outcomes in the vendor's format."""
    if hook.vendor == GOOGLE:
        return _response(_google(hook))
    to_format = _FORMATS.get(hook.vendor, _documented)
    return _response(to_format(hook.requests[0], hook.outcomes[0]))


def error_response(reason: str, request: Request) -> Response:
    """Return an error in the vendor's format, with the ids of the request as far as they can be read."""
    try:
        hook = _read(request, json_object(request.body))
    except BadRequest:
        hook = _read(request, {})
    return tool_response(replace(hook, outcomes=(failed(reason),) * len(hook.requests)))


def _read(request: Request, document: Mapping[str, object]) -> ToolHook:
    body = parse(event=dict(document), model=_ToolHookBody)
    calls = (body.function_calls or [])[:MAX_ANSWERED]
    vendor = clean_text(request.path_parameters.get("vendor", "")).lower()
    requests = (*map(_tool_request, calls[:MAX_CALLS]), *map(_skipped_request, calls[MAX_CALLS:]))
    return ToolHook(
        # Only the adapter of Google's models sends and accepts a list, regardless of the vendor in the URL.
        vendor=GOOGLE if requests else vendor,
        call_sid=request.sender.call_id,
        requests=requests or (ToolRequest(body.name or "", body.args, body.tool_call_id),),
    )


def _tool_request(call: object) -> ToolRequest:
    # An invalid entry must not affect the others.
    read = _FunctionCall.model_validate(call if isinstance(call, dict) else {})
    return ToolRequest(read.name or "", read.args, read.id)


def _skipped_request(call: object) -> ToolRequest:
    """Return only name and id for an error. Validating thousands of calls would take too long."""
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
    # Do not escape: six characters for each one beyond ASCII would make the response too large for an item.
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    # backslashreplace escapes a lone surrogate as JSON does.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _documented(_request: ToolRequest, outcome: ToolOutcome) -> Mapping[str, object]:
    # jambonz adds Ultravox's `type` and the right `invocation_id` to an object without a `type`.
    return {"result": _text(outcome)}


def _openai(request: ToolRequest, outcome: ToolOutcome) -> Mapping[str, object]:
    item = {"type": "function_call_output", "call_id": request.id, "output": _text(outcome)}
    return {"type": "conversation.item.create", "item": _without_none(item)}


def _elevenlabs(request: ToolRequest, outcome: ToolOutcome) -> Mapping[str, object]:
    data = {
        "type": "client_tool_result",
        "tool_call_id": request.id,
        "result": _text(outcome),
        "is_error": outcome.is_error,
    }
    return {"data": _without_none(data)}


def _deepgram(request: ToolRequest, outcome: ToolOutcome) -> Mapping[str, object]:
    data = {"type": "FunctionCallResponse", "id": request.id, "name": request.name, "content": _text(outcome)}
    return {"data": _without_none(data)}


def _google(hook: ToolHook) -> Mapping[str, object]:
    responses: list[Mapping[str, object]] = []
    remaining_bytes = MAX_ANSWER_BYTES
    for request, outcome in zip(hook.requests, hook.outcomes, strict=True):
        response = _without_none({"id": request.id, "name": request.name, "response": _object(outcome)})
        remaining_bytes -= len(_json(response).encode("utf-8")) + 1
        # Always return the outcomes of tools that ran.
        if remaining_bytes < 0 and len(responses) >= MAX_CALLS:
            break
        responses.append(response)
    return {"toolResponse": {"functionResponses": responses}}


_FORMATS: Mapping[str, Callable[[ToolRequest, ToolOutcome], Mapping[str, object]]] = {
    "openai": _openai,
    "microsoft": _openai,
    "elevenlabs": _elevenlabs,
    "deepgram": _deepgram,
    "voiceagent": _deepgram,
}
"""By the verb's vendor. Ultravox's models use the documented format."""


def _text(outcome: ToolOutcome) -> str:
    """Return the outcome as text, for every vendor except Google."""
    return outcome.value if isinstance(outcome.value, str) else json.dumps(outcome.value, ensure_ascii=False)


def _object(outcome: ToolOutcome) -> object:
    # Gemini accepts only an object and expects other values under `output`.
    return outcome.value if isinstance(outcome.value, dict) else {"output": outcome.value}


def _without_none(members: Mapping[str, object]) -> Mapping[str, object]:
    return {name: value for name, value in members.items() if value is not None}


class ToolWebhook(JambonzWebhook[ToolHook]):
    """Webhook that runs tools for a language model in a call and returns their outcomes.

    Args:
        runner: runs the tools.
        plan: the parts of the call plan that tools may use.
        load_initial_webhook: returns the body of a call's first webhook by its call SID, or `None` if there is none.
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
        # Other methods answer every failure in the vendor's format. A fallback marks a sender that waits.
        self.fallback = tool_response(ToolHook("", None, (ToolRequest(""),), (failed("The tool cannot be run."),)))

    def parse(self, request: Request) -> ToolHook:
        """Parse the tool calls."""
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
        """Return the outcomes in the vendor's format."""
        return tool_response(message)

    def quarantine_response(self, reason: str, request: Request) -> Response:
        """Return an error in the vendor's format."""
        return error_response(reason, request)

    def too_large_response(self, reason: str, request: Request) -> Response:
        """Return an error in the vendor's format."""
        return error_response(reason, request)
