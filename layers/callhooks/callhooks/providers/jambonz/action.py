"""Webhook for action hooks: a verb has ended or needs input, and jambonz requests the next verbs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from callhooks.events.call_event import CallEvent, Detail, Kind, cleaned, direction_of, known_details
from callhooks.providers.jambonz.events import EventHook, event_details
from callhooks.providers.jambonz.hook import PROVIDER, JambonzWebhook, call_details, hook_key
from callhooks.providers.jambonz.new_call import answer_details, verbs_response
from callhooks.providers.jambonz.plan.call_facts import CallFacts
from callhooks.providers.jambonz.plan.outcomes import outcome_of
from callhooks.providers.jambonz.plan.plan import NO_ANSWER, HookPlace, Links, Plan, PlanAnswer
from callhooks.providers.payload import json_object
from callhooks.runtime.http import Request, Response

ACTION = "actionHook"
MAX_HOPS = 1_000_000
CONTINUE = verbs_response(())

_WORDS = (
    "reason",
    "dial_call_status",
    "queue_result",
    "dequeue_result",
    "message_status",
    "completion_reason",
    "result",
    "type",
    "event",
)
_DETAILS = (
    "dial_call_duration",
    "dial_call_sid",
    "dial_call_status",
    "dial_sip_status",
    "playback_milliseconds",
    "queue_position",
    "queue_sid",
    "queue_size",
    "queue_time",
    "verb_id",
)


@dataclass(frozen=True, slots=True)
class ActionHook:
    """Body of an action hook, and its step in the plan according to the hook's URL.

    `hook` is the verb and the name of the hook (`gather.actionHook`). `hop` counts the responses of the call, and
    `repeated` the repetitions of the step. `answer` is the response, once it is known.
    """

    call: EventHook
    document: Mapping[str, object]
    flow: str
    step: str
    hook: str
    hop: int
    repeated: int
    answer: PlanAnswer = NO_ANSWER

    @property
    def initial_call_sid(self) -> str | None:
        """Return the call SID of the first webhook; for a dialled leg, the call SID of its parent."""
        return self.call.parent_call_sid or self.call.call_sid


def parse_action_hook(request: Request) -> ActionHook:
    """Parse an action hook.

    Raises:
        BadRequest: the body is not JSON, or neither an object nor `null`.
    """
    # jambonz sends null for a hook without data.
    document = {} if request.body.strip() == b"null" else json_object(request.body)
    query = dict(request.query)
    if request.sender.call_id and not document.get("call_sid"):
        document = {**document, "call_sid": request.sender.call_id}
    return ActionHook(
        call=EventHook.model_validate(document),
        document=document,
        flow=request.path_parameters.get("flow", ""),
        step=request.path_parameters.get("step", ""),
        hook=query.get("hook", ""),
        hop=_count(query.get("hop")),
        repeated=_count(query.get("repeated")),
    )


def normalise(hook: ActionHook, request: Request, now: datetime) -> CallEvent:
    """Return the event of an action hook. Its `status` is jambonz's word for the end of the verb."""
    call = hook.call
    words = (hook.document.get(member) for member in _WORDS)
    details: dict[str, Detail | datetime | None] = {name: _scalar(hook.document.get(name)) for name in _DETAILS}
    details |= {"flow": hook.flow, "step": hook.step, "hop": hook.hop, **answer_details(hook.answer)}
    return CallEvent(
        provider=PROVIDER,
        call_id=call.call_sid,
        dedupe_key=hook_key(request),
        kind=Kind.VERB,
        name=cleaned(hook.hook) or ACTION,
        received_at=now,
        sent_at=request.sender.sent_at,
        status=next((cleaned(word) for word in words if isinstance(word, str) and cleaned(word)), None),
        direction=direction_of(call.direction),
        from_=cleaned(call.from_),
        to=cleaned(call.to),
        details={**call_details(call), **event_details(call), **known_details(details)},
    )


def _scalar(value: object) -> Detail | None:
    return value if isinstance(value, str | int) else None


def _count(text: str | None) -> int:
    return min(int(text), MAX_HOPS) if text and len(text) <= 9 and text.isascii() and text.isdigit() else 0


class ActionWebhook(JambonzWebhook[ActionHook]):
    """Webhook that answers a verb's action hook with the next verbs.

    Args:
        plan: the call plan that answers.
        load_initial_webhook: returns the body of a call's first webhook by its call SID, or `None` if it cannot be
            read. Called only if the plan needs data that the hook does not have.
        signature_header: the header with jambonz's signature.
        public_url: the public URL of the API that jambonz calls; empty for the request's own host.
    """

    fallback = CONTINUE
    caller_waits = True

    def __init__(
        self,
        plan: Plan,
        *,
        load_initial_webhook: Callable[[str], Mapping[str, object] | None],
        signature_header: str,
        public_url: str,
    ) -> None:
        super().__init__(signature_header=signature_header)
        self._plan = plan
        self._load_initial_webhook = load_initial_webhook
        self._public_url = public_url

    def parse(self, request: Request) -> ActionHook:
        """Parse the hook."""
        return parse_action_hook(request)

    def decide(self, message: ActionHook, request: Request, now: datetime) -> ActionHook:
        """Return the hook with the next verbs."""
        call_sid = message.initial_call_sid
        facts = CallFacts(
            message.document, (lambda: self._load_initial_webhook(call_sid)) if call_sid else (lambda: None)
        )
        place = HookPlace(message.flow, message.step, message.hook, message.repeated)
        outcome = outcome_of(message.hook, message.document)
        links = Links(
            request.base_url(self._public_url), message.call.call_sid or "", message.hop, request.sender.url_key
        )
        return replace(message, answer=self._plan.answer_after(place, outcome, facts, links, now))

    def normalise(self, message: ActionHook, request: Request, now: datetime) -> CallEvent:
        """Return the event of the hook."""
        return normalise(message, request, now)

    def answer(self, message: ActionHook, _request: Request, _now: datetime) -> Response:
        """Return the next verbs."""
        return verbs_response(message.answer.verbs)
