"""A language model in a call asks jambonz for a tool, and waits for its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from callhooks.calls.caller_history import PastCalls
from callhooks.events.call_event import direction_of
from callhooks.providers.jambonz.authentication import JambonzCredentials, precheck_credentials, verify
from callhooks.providers.jambonz.hook import PROVIDER, tool_key
from callhooks.providers.jambonz.llm_tools.runner import ToolRunner
from callhooks.providers.jambonz.llm_tools.toolbox import Parties, PlanFacts, ToolCall, ToolRequest, failed
from callhooks.providers.jambonz.models import CallInfo
from callhooks.providers.jambonz.tool_hook import ToolHook, normalise, not_understood, parse_tool_hook, tool_response
from callhooks.runtime.http import Request
from callhooks.webhooks.pipeline import Webhook

# Whatever fails, there is a better answer in the vendor's shape; this one tells the receiver that the sender waits.
NO_ANSWER = tool_response(ToolHook("", None, (ToolRequest(""),), (failed("The tool cannot be run."),)))
ANSWER_WITHIN = timedelta(seconds=8.8)
"""The function's time-out is 9 s: tools have 5 of them."""


def tool_webhook(
    runner: ToolRunner,
    *,
    plan: PlanFacts,
    load_initial_webhook: Callable[[str], Mapping[str, object] | None],
    past_calls: PastCalls,
    signature_header: str,
) -> Webhook[JambonzCredentials, ToolHook]:
    """The tool webhook.

    `load_initial_webhook` gives the body of a call's first webhook by its call SID, `None` where it is not to be had.
    """

    def run(hook: ToolHook, request: Request, now: datetime) -> ToolHook:
        call = ToolCall(
            call_sid=hook.call_sid,
            now=now,
            plan=plan,
            parties=lambda: _parties(load_initial_webhook(hook.call_sid)) if hook.call_sid else Parties(),
            past_calls=past_calls,
        )
        return replace(hook, outcomes=tuple(runner.run(hook.requests, call, key=tool_key(request))))

    return Webhook(
        provider=PROVIDER,
        precheck_credentials=precheck_credentials,
        verify=verify,
        signature_header=signature_header,
        parse=parse_tool_hook,
        decide=run,
        normalise=normalise,
        answer=lambda hook, _request, _now: tool_response(hook),
        fallback=NO_ANSWER,
        not_understood=not_understood,
        answer_within=ANSWER_WITHIN,
    )


def _parties(first_webhook: Mapping[str, object] | None) -> Parties:
    call = CallInfo.model_validate(first_webhook or {})
    return Parties(call.from_, call.to, direction_of(call.direction))
