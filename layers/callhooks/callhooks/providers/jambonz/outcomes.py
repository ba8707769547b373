"""How a verb has ended: the outcome that an action hook tells, in the words that a plan names it by.

Written from what feature-server 0.9.8 really sends, which its documents often name otherwise (`dial_call_status` and
not `dial_status`, `queue_result` and not `queueResult`, an AMD's `type`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

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
"""The outcomes that a hook can tell, by the verb (without aliases) and the hook's place in it.

A hook that is not here tells nothing that could be told apart, or, for the event hooks of bots, any word.
"""

_GATHERED = {
    "dtmfdetected": "digits",
    "speechdetected": "speech",
    "timeout": "timeout",
    "error": "error",
    "stt-low-confidence": "low-confidence",
}
_UNANSWERED = {"trying", "ringing", "early-media", "queued"}
_COMPLETION = (
    ("normal conversation end", "completed"),
    ("connection failure", "connection-failure"),
    ("disconnect from remote end", "disconnected"),
    ("server failure", "server-error"),
    ("server error", "server-error"),
    ("client error calling", "tool-error"),
)
DECLINED = 603


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a verb has ended. `names` are its words, the most particular first; none where the hook only asks.

    `digits` and `speech` (the transcripts, the likeliest first) are what the caller has entered or said. An outcome
    that is no end (an interim transcript, a call put on hold) `changes_nothing`, whatever a plan says.
    """

    names: tuple[str, ...] = ()
    digits: str | None = None
    speech: tuple[str, ...] = ()
    changes_nothing: bool = False


def outcome_of(hook: str, document: Mapping[str, object]) -> Outcome:
    """The outcome that a hook's body tells; `hook` as in `OUTCOMES`, the body as it was parsed."""
    # What the body holds is surer than the hook's name, which a plan may have changed in mid-call.
    for member, read in _READERS.items():
        if member in document:
            return read(document)
    reason = _word(document, "reason")
    if reason in _GATHERED:
        return _gathered(reason, document)
    if reason in ("playcompleted", "playfailed"):
        return Outcome((reason.removeprefix("play"),))
    event = _word(document, "event")
    if event:
        return Outcome((event,))
    return Outcome(("completed",) if "completed" in OUTCOMES.get(hook, ()) else ())


def transcripts_of(document: Mapping[str, object]) -> tuple[str, ...]:
    """What was said, the likeliest first, from the form that jambonz brings every recognizer's result into."""
    speech = document.get("speech")
    alternatives = speech.get("alternatives") if isinstance(speech, dict) else None
    said = [one.get("transcript") for one in _sequence(alternatives) if isinstance(one, dict)]
    return tuple(text for text in said if isinstance(text, str) and text.strip())


def _gathered(reason: str, document: Mapping[str, object]) -> Outcome:
    name = _GATHERED[reason]
    if name == "digits":
        return Outcome((name,), digits=_text(document, "digits"))
    return Outcome((name,), speech=transcripts_of(document))


def _dialled(document: Mapping[str, object]) -> Outcome:
    status = _word(document, "dial_call_status")
    if status in _UNANSWERED:
        # After a ring time-out 0.9.8 tells the last status there was.
        return Outcome(("no-answer",))
    if status == "in-progress":
        return Outcome(("completed",))
    if document.get("dial_sip_status") == DECLINED:
        return Outcome(("declined", status))
    return Outcome((status,))


def _listened(document: Mapping[str, object]) -> Outcome:
    digits = _text(document, "digits")
    return Outcome(("digits", "completed"), digits=digits) if digits else Outcome(("completed",))


def _detected(document: Mapping[str, object]) -> Outcome:
    word = _word(document, "type")
    return Outcome((word.removeprefix("amd_").removesuffix("_detected").replace("_", "-"),))


def _referred(document: Mapping[str, object]) -> Outcome:
    answers = (document.get("refer_status"), document.get("final_referred_call_status", 200))
    return Outcome(("completed" if all(_is_success(answer) for answer in answers) else "failed",))


def _sent(document: Mapping[str, object]) -> Outcome:
    status = _word(document, "message_status")
    return Outcome((status,) if status == "success" else (status, "failure"))


def _conversed(document: Mapping[str, object]) -> Outcome:
    reason = _word(document, "completion_reason", dashed=False)
    name = next((name for beginning, name in _COMPLETION if reason.startswith(beginning)), "failed")
    return Outcome((name,) if name == "completed" else (name, "failed"))


def _heard(document: Mapping[str, object]) -> Outcome:
    speech = document.get("speech")
    # `reason` is that of a gather, `speech` alone that of a transcription.
    reason = _word(document, "reason")
    if reason in _GATHERED:
        return _gathered(reason, document)
    is_final = isinstance(speech, dict) and speech.get("is_final") is True
    return Outcome(("speech",), speech=transcripts_of(document), changes_nothing=not is_final)


def _requested(document: Mapping[str, object]) -> Outcome:
    method = _word(document, "sip_method")
    return Outcome((method,), changes_nothing=method not in ("info", "message"))


_READERS = {
    "dial_call_status": _dialled,
    "dial_call_duration": _listened,
    "queue_result": lambda document: Outcome((_word(document, "queue_result"),)),
    "dequeue_result": lambda document: Outcome((_word(document, "dequeue_result"),)),
    "message_status": _sent,
    "completion_reason": _conversed,
    "refer_status": _referred,
    "result": lambda document: Outcome((_word(document, "result"),)),
    "sip_method": _requested,
    "translation": lambda _: Outcome(("translation",)),
    "speech_event": lambda _: Outcome(changes_nothing=True),
    "speech": _heard,
    "type": _detected,
}


def _word(document: Mapping[str, object], name: str, *, dashed: bool = True) -> str:
    text = (_text(document, name) or "").strip().lower()
    return text.replace(" ", "-").replace("_", "-") if dashed and name != "type" else text


def _text(document: Mapping[str, object], name: str) -> str | None:
    value = document.get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _is_success(status: object) -> bool:
    return isinstance(status, int) and 200 <= status < 300


def _sequence(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else ()
