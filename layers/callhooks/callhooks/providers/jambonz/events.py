"""Webhook for hooks that need no verbs: statuses, queues, conferences, speech, and events of vendors.

One URL receives many hooks, so the members of the body determine the kind. Source: the requests of feature-server
0.9.8. A hook of an LLM or a bot passes on its vendor's event without the call.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from aws_lambda_powertools.utilities.parser import parse

from callhooks.events.call_event import CallEvent, Detail, Details, Kind, cleaned, direction_of, known_details
from callhooks.providers.jambonz.authentication import MAX_CLOCK_DIFFERENCE
from callhooks.providers.jambonz.hook import (
    KIND_OF_STATUS,
    PROVIDER,
    JambonzWebhook,
    call_details,
    hook_key,
)
from callhooks.providers.jambonz.models import CallInfo
from callhooks.providers.payload import (
    Document,
    Flag,
    JsonObject,
    Moment,
    Number,
    OptionalInt,
    OptionalStr,
    json_object,
)
from callhooks.runtime.http import Request, Response

ADULTING = "adulting"
NO_VERBS = Response(200, "[]")

KIND_OF_QUEUE_EVENT = {"join": Kind.QUEUE_JOINED, "leave": Kind.QUEUE_LEFT}
"""By `event`, for a body with a `queue`."""

KIND_OF_WORD = {
    "hold": Kind.HELD,
    "unhold": Kind.RESUMED,
    "reinvite": Kind.VERB,
    "transfer-status": Kind.VERB,
    "amd_human_detected": Kind.MEDIA,
    "amd_machine_detected": Kind.MEDIA,
    "amd_no_speech_detected": Kind.MEDIA,
    "amd_decision_timeout": Kind.MEDIA,
    "amd_machine_stopped_speaking": Kind.MEDIA,
    "amd_tone_detected": Kind.MEDIA,
    "amd_stopped": Kind.MEDIA,
    "stream_open": Kind.MEDIA,
    "stream_paused": Kind.MEDIA,
    "stream_resumed": Kind.MEDIA,
    "stream_closed": Kind.MEDIA,
    "user_interruption": Kind.MEDIA,
}
"""By `event`, `type` or `event_type`. Any other word is a vendor's or unknown."""

KIND_OF_MEMBER = {
    "parent_call_info": Kind.OTHER,
    "error": Kind.VERB,
    "completion_reason": Kind.VERB,
    "reason": Kind.VERB,
    "dtmf": Kind.DTMF,
    "digits": Kind.VERB,
    "speech": Kind.MEDIA,
    "speech_event": Kind.MEDIA,
    "translation": Kind.MEDIA,
    "message_status": Kind.VERB,
    "refer_status": Kind.VERB,
    "refer_details": Kind.VERB,
    "sip_method": Kind.VERB,
    "result": Kind.VERB,
    "dial_call_status": Kind.VERB,
    "dial_call_duration": Kind.VERB,
    "queue_sid": Kind.VERB,
    "dequeue_result": Kind.VERB,
    "hold_detail": Kind.VERB,
    "dialogflow_result": Kind.VERB,
    "lex_result": Kind.VERB,
    "rasa_result": Kind.VERB,
}
"""By the first of these members in a body that has a `call_sid` and no word.

`error` precedes the status: a hook with an error repeats the status of an answered call, but is not a status.
"""

VENDORS = ("llm.", "dialogflow.", "lex.", "rasa.")
"""Verbs whose `eventHook` passes on a vendor's events. Their words have other meanings elsewhere."""

_MACHINE_DETECTED = {"amd_machine_detected": True, "amd_human_detected": False}
_CAUSE_CODE = re.compile(r"\AQ\.850\s*;.*?\bcause=([0-9]{1,3})\b", re.IGNORECASE | re.ASCII)


class Alternative(Document):
    """One transcript of an utterance; `confidence` is between 0 and 1."""

    transcript: OptionalStr = None
    confidence: Number = None


class Speech(Document):
    """Utterance. `channel_tag` is 1 for the caller and 2 for the callee."""

    language_code: OptionalStr = None
    channel_tag: OptionalInt = None
    is_final: Flag = None
    alternatives: list[object] | None = None


class SpeechEvent(Document):
    """Event of the speech recognizer."""

    type: OptionalStr = None


class Translation(Document):
    """Utterance in another language."""

    channel: OptionalInt = None
    language: OptionalStr = None
    translation: OptionalStr = None


class EventHook(CallInfo):
    """Any hook that needs no verbs. Each hook has different members.

    `join_time` and `leave_time` are epoch milliseconds, `time` is ISO 8601; all three come from jambonz's clock. In a
    `transfer-status`, `call_status` is a number: the SIP status of the other call. `dtmf` is a pressed key.
    """

    event: OptionalStr = None
    type: OptionalStr = None
    event_type: OptionalStr = None

    error: OptionalStr = None
    reason: OptionalStr = None
    leave_reason: OptionalStr = None
    completion_reason: OptionalStr = None
    headers: JsonObject = None

    parent_call_info: JsonObject = None
    queue: OptionalStr = None
    length: OptionalInt = None
    join_time: Moment = None
    leave_time: Moment = None
    dequeuer: CallInfo | None = None

    conference_sid: OptionalStr = None
    friendly_name: OptionalStr = None
    members: OptionalInt = None
    time: Moment = None

    dtmf: OptionalStr = None
    digits: OptionalStr = None
    speech: Speech | None = None
    speech_event: SpeechEvent | None = None
    translation: Translation | None = None
    greeting: OptionalStr = None
    language: OptionalStr = None

    on_hold: Flag = None
    sip_method: OptionalStr = None
    refer_status: OptionalInt = None
    final_referred_call_status: OptionalInt = None
    message_sid: OptionalStr = None
    message_status: OptionalStr = None
    message_failure_reason: OptionalStr = None
    carrier: OptionalStr = None

    @property
    def word(self) -> str | None:
        """jambonz's or the vendor's word for the event."""
        return self.event or self.type or self.event_type or None

    @property
    def defining_member(self) -> str | None:
        """Return the member that determines the kind of a hook without a word."""
        if self.call_sid is None:
            return None
        members = {**(self.model_extra or {}), **vars(self)}
        return next((name for name in KIND_OF_MEMBER if members.get(name) not in (None, "")), None)

    @property
    def call(self) -> CallInfo:
        """Return the call; empty for a vendor's event, whose members can have the same names."""
        return CallInfo() if self.word and self.call_sid is None else self


def parse_event(request: Request) -> EventHook:
    """Parse the event in a request. jambonz posts `null` for a hook without data.

    Raises:
        BadRequest: the body is not a JSON object.
    """
    document = {} if request.body.strip() == b"null" else json_object(request.body)
    return parse(event=document, model=EventHook)


def normalise(hook: EventHook, request: Request, now: datetime) -> CallEvent:
    """Return the event in the common vocabulary.

    The URL's query names the hook of the verb (`hook`) and, if the body does not, the call (`call`, signed by
    callhooks).
    """
    verb_hook = cleaned(dict(request.query).get("hook"))
    kind, name = _kind_and_name(hook, verb_hook, request)
    is_known = kind is not Kind.OTHER
    own_clock = _own_clock(hook, now) if is_known else None
    call = hook.call
    return CallEvent(
        provider=PROVIDER,
        call_id=hook.call_sid or request.sender.call_id,
        dedupe_key=hook_key(request),
        kind=kind,
        name=name,
        received_at=now,
        sent_at=own_clock or request.sender.sent_at,
        status=cleaned(call.call_status),
        direction=direction_of(call.direction),
        from_=cleaned(call.from_),
        to=cleaned(call.to),
        details={
            **known_details({"hook": verb_hook}),
            **call_details(call),
            **(event_details(hook) if is_known else {}),
        },
    )


def _kind_and_name(hook: EventHook, verb_hook: str | None, request: Request) -> tuple[Kind, str]:
    word, member, status = cleaned(hook.word), hook.defining_member, cleaned(hook.call_status)
    if word:
        return _kind_of_word(hook, word.lower(), verb_hook or ""), word
    if member == "parent_call_info":
        return KIND_OF_MEMBER[member], ADULTING
    if member:
        own_word = hook.completion_reason or hook.error or hook.reason or hook.sip_method
        return KIND_OF_MEMBER[member], cleaned(own_word) or member
    if verb_hook:
        # The end of a verb can contain only the call with its unchanged status. This is not a status event.
        return (Kind.VERB if status else Kind.OTHER), verb_hook
    if status:
        return KIND_OF_STATUS.get(status.lower(), Kind.OTHER), status
    return Kind.OTHER, cleaned(request.path.rstrip("/").rpartition("/")[2]) or ""


def _kind_of_word(hook: EventHook, word: str, verb_hook: str) -> Kind:
    if hook.call_sid is None and verb_hook.startswith(VENDORS):
        return Kind.OTHER
    if hook.conference_sid:
        return Kind.VERB
    if hook.queue and word in KIND_OF_QUEUE_EVENT:
        return KIND_OF_QUEUE_EVENT[word]
    return KIND_OF_WORD.get(word, Kind.OTHER)


def _own_clock(hook: EventHook, now: datetime) -> datetime | None:
    moment = hook.leave_time or hook.join_time or hook.time
    if moment is None or abs(now - moment) > MAX_CLOCK_DIFFERENCE:
        return None
    return moment


def event_details(hook: EventHook) -> Details:
    """Return the details of a hook for an event, without the details of the call."""
    return known_details(
        {
            "duration_seconds": hook.duration,
            "reason": hook.reason or hook.leave_reason or hook.message_failure_reason,
            "cause_code": _cause_code(hook.headers),
            "queue": hook.queue,
            "queue_length": hook.length,
            "dequeuer_call_sid": hook.dequeuer.call_sid if hook.dequeuer else None,
            "conference_sid": hook.conference_sid,
            "friendly_name": hook.friendly_name,
            "members": hook.members,
            "digits": hook.dtmf or hook.digits,
            **_speech_details(hook),
            "machine_detected": _MACHINE_DETECTED.get((hook.word or "").lower()),
            "on_hold": hook.on_hold,
            "sip_method": hook.sip_method,
            "transfer_status": hook.call_status if hook.event == "transfer-status" else None,
            "refer_status": hook.refer_status,
            "final_referred_call_status": hook.final_referred_call_status,
            "message_sid": hook.message_sid,
            "message_status": hook.message_status,
            "carrier": hook.carrier,
        }
    )


def _speech_details(hook: EventHook) -> dict[str, Detail | None]:
    if hook.speech is None and hook.translation is None and hook.speech_event is None:
        return {"text": hook.greeting, "language": hook.language}
    speech, translation = hook.speech or Speech(), hook.translation or Translation()
    # Only the first, most likely alternative is stored.
    first = next(iter(speech.alternatives or ()), None)
    best = Alternative.model_validate(first if isinstance(first, dict) else {})
    return {
        "type": hook.speech_event.type if hook.speech_event else None,
        "text": best.transcript or translation.translation or hook.greeting,
        "confidence": best.confidence,
        "is_final": speech.is_final,
        "language": speech.language_code or translation.language or hook.language,
        "channel": speech.channel_tag if translation.channel is None else translation.channel,
    }


def _cause_code(bye_headers: Mapping[str, object] | None) -> int | None:
    found = _CAUSE_CODE.match(str((bye_headers or {}).get("reason", "")))
    return int(found[1]) if found else None


class EventWebhook(JambonzWebhook[EventHook]):
    """Webhook for events of calls, queues and conferences. The response has no verbs."""

    def parse(self, request: Request) -> EventHook:
        """Parse the event."""
        return parse_event(request)

    def normalise(self, message: EventHook, request: Request, now: datetime) -> CallEvent:
        """Return the event in the common vocabulary."""
        return normalise(message, request, now)

    def answer(self, _message: EventHook, _request: Request, _now: datetime) -> Response:
        """Return no verbs, so that a call continues with the verbs it has if a hook does expect some."""
        return NO_VERBS
