"""Outcomes of verbs, read from the bodies of action hooks, under the names that a plan uses.

The names of members are from real requests of feature-server 0.9.8. Its documentation often names them differently:
`dial_status` for `dial_call_status`, `queueResult` for `queue_result`; an AMD event has a `type`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

GATHER = ("digits", "speech", "timeout", "error", "low-confidence")
LLM = ("completed", "failed", "connection-failure", "disconnected", "server-error", "tool-error")
AMD = ("human", "machine", "no-speech", "decision-timeout", "machine-stopped-speaking", "tone", "stopped")

OUTCOMES: Mapping[str, tuple[str, ...]] = {
    "gather.actionHook": GATHER,
    "config.bargeIn.actionHook": GATHER,
    "dial.actionHook": ("completed", "busy", "no-answer", "declined", "failed"),
    "play.actionHook": ("completed", "failed"),
    "listen.actionHook": ("completed", "digits"),
    "enqueue.actionHook": ("bridged", "hangup", "leave", "error"),
    "dequeue.actionHook": ("complete", "timeout", "hangup"),
    "conference.actionHook": ("completed",),
    "transcribe.transcriptionHook": ("speech",),
    "transcribe.translationHook": ("translation",),
    "amd.actionHook": AMD,
    "sip:refer.actionHook": ("completed", "failed"),
    "sip:request.actionHook": ("success", "failed"),
    "message.actionHook": ("success", "failure", "no-carriers", "smpp-configuration-error", "system-error"),
    "llm.actionHook": LLM,
    "dialogflow.actionHook": ("completed",),
    "lex.actionHook": ("completed",),
    "rasa.actionHook": ("completed",),
    "redirect.actionHook": (),
    "config.sipRequestWithinDialogHook": ("info", "message"),
}
"""Outcomes that a hook can report, by verb (without aliases) and the hook's position in it.

A hook that is not listed has no distinguishable outcomes; the event hooks of bots may report any word.
"""

_GATHERED = {
    "dtmfdetected": "digits",
    "speechdetected": "speech",
    "timeout": "timeout",
    "error": "error",
    "stt-low-confidence": "low-confidence",
}
_NOT_ANSWERED = {"trying", "ringing", "early-media", "queued", "in-progress"}
_COMPLETION = (
    ("normal conversation end", "completed"),
    ("connection failure", "connection-failure"),
    ("disconnect from remote end", "disconnected"),
    ("server failure", "server-error"),
    ("server error", "server-error"),
    ("client error calling", "tool-error"),
)
DECLINED = "603"


class VerbOutcome(NamedTuple):
    """Result of a verb. `names` are its outcomes, the most specific first; empty if the hook only requests verbs.

    `digits` and `speech` (transcripts, the most likely first) are the caller's input. If `is_interim` is set, the verb
    has not ended (an interim transcript, a call put on hold), and the plan is not consulted.
    """

    names: tuple[str, ...] = ()
    digits: str | None = None
    speech: tuple[str, ...] = ()
    is_interim: bool = False


def outcome_of(hook: str, document: Mapping[str, object]) -> VerbOutcome:
    """Read the outcome from the parsed body of a hook; `hook` as in `OUTCOMES`.

    A missing or unknown outcome has no name that a plan can use.
    """
    read = _READERS.get(hook)
    if read is not None:
        return read(document)
    if hook.endswith(".eventHook"):
        return VerbOutcome((_word(document, "event"),))
    return VerbOutcome(OUTCOMES.get(hook, ()))


def transcripts(document: Mapping[str, object]) -> tuple[str, ...]:
    """Return the transcripts, the most likely first, from the form into which jambonz converts every result."""
    speech = document.get("speech")
    alternatives = speech.get("alternatives") if isinstance(speech, dict) else None
    found = [one.get("transcript") for one in _sequence(alternatives) if isinstance(one, dict)]
    return tuple(text for text in found if isinstance(text, str) and text.strip())


def _gathered(document: Mapping[str, object]) -> VerbOutcome:
    name = _GATHERED.get(_word(document, "reason"))
    if name == "digits":
        return VerbOutcome((name,), digits=_text(document, "digits") or "")
    if name == "speech":
        return VerbOutcome((name,), speech=transcripts(document))
    return VerbOutcome((name,) if name else ())


def _played(document: Mapping[str, object]) -> VerbOutcome:
    return VerbOutcome((_word(document, "reason").removeprefix("play"),))


def _dialled(document: Mapping[str, object]) -> VerbOutcome:
    status = _word(document, "dial_call_status")
    if status in _NOT_ANSWERED:
        # 0.9.8 reports the last status after a ring timeout, and if no party confirmed the call.
        return VerbOutcome(("no-answer",))
    if _text(document, "dial_sip_status") == DECLINED:
        return VerbOutcome(("declined", status))
    return VerbOutcome((status,))


def _listened(document: Mapping[str, object]) -> VerbOutcome:
    digits = _text(document, "digits")
    if digits:
        return VerbOutcome(("digits", "completed"), digits=digits)
    return VerbOutcome(("completed",) if _text(document, "dial_call_duration") else ())


def _detected(document: Mapping[str, object]) -> VerbOutcome:
    return VerbOutcome((_word(document, "type").removeprefix("amd-").removesuffix("-detected"),))


def _referred(document: Mapping[str, object]) -> VerbOutcome:
    accepted, final = _status(document, "refer_status"), _status(document, "final_referred_call_status")
    if accepted is None:
        return VerbOutcome()
    return VerbOutcome(("completed" if accepted // 100 == 2 and (final is None or final // 100 == 2) else "failed",))


def _sent(document: Mapping[str, object]) -> VerbOutcome:
    status = _word(document, "message_status")
    return VerbOutcome((status,) if status in ("", "success") else (status, "failure"))


def _conversed(document: Mapping[str, object]) -> VerbOutcome:
    reason = (_text(document, "completion_reason") or "").strip().lower()
    if not reason:
        return VerbOutcome()
    name = next((name for beginning, name in _COMPLETION if reason.startswith(beginning)), "failed")
    return VerbOutcome((name,) if name == "completed" else (name, "failed"))


def _transcribed(document: Mapping[str, object]) -> VerbOutcome:
    speech = document.get("speech")
    is_final = isinstance(speech, dict) and speech.get("is_final") is True
    return VerbOutcome(("speech",), speech=transcripts(document), is_interim=not is_final)


def _requested(document: Mapping[str, object]) -> VerbOutcome:
    method = _word(document, "sip_method")
    return VerbOutcome((method,), is_interim=method not in ("info", "message"))


def _word_of(member: str) -> Callable[[Mapping[str, object]], VerbOutcome]:
    return lambda document: VerbOutcome((_word(document, member),))


_READERS: Mapping[str, Callable[[Mapping[str, object]], VerbOutcome]] = {
    "gather.actionHook": _gathered,
    "config.bargeIn.actionHook": _gathered,
    "dial.actionHook": _dialled,
    "play.actionHook": _played,
    "listen.actionHook": _listened,
    "enqueue.actionHook": _word_of("queue_result"),
    "dequeue.actionHook": _word_of("dequeue_result"),
    "transcribe.transcriptionHook": _transcribed,
    "amd.actionHook": _detected,
    "sip:refer.actionHook": _referred,
    "sip:request.actionHook": _word_of("result"),
    "message.actionHook": _sent,
    "llm.actionHook": _conversed,
    "config.sipRequestWithinDialogHook": _requested,
}
"""Reader for each hook; a hook that is not listed has at most one outcome, or the word in its `event`."""


def _word(document: Mapping[str, object], name: str) -> str:
    return (_text(document, name) or "").strip().lower().replace(" ", "-").replace("_", "-")


def _status(document: Mapping[str, object], name: str) -> int | None:
    text = _text(document, name)
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 3 else None


def _text(document: Mapping[str, object], name: str) -> str | None:
    value = document.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()
