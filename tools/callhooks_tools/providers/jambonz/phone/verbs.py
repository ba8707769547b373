"""Verbs between the caller and jambonz, without another party."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from callhooks_tools.providers.jambonz.phone.bodies import Body, speech_body, speech_figures
from callhooks_tools.providers.jambonz.phone.requests import Hook, RequestFailed, shown_url
from callhooks_tools.providers.jambonz.phone.session import Handler, Session, Verb
from callhooks_tools.providers.jambonz.phone.steps import (
    AgentEnded,
    AgentTalks,
    Asked,
    Did,
    HangUp,
    Heard,
    Noted,
    Played,
    Pressed,
    Recorded,
    Recording,
    Refused,
    Said,
    Silence,
    SpeechFailed,
    Transcribing,
    Walk,
)

LETTERS_PER_SECOND = 15
RECORDING_SECONDS = 3
GATHER_TIMEOUT_SECONDS = 15
SPEECH_FAILURE = "connection to speech vendor failed"
AMD_EVENTS: Mapping[str, tuple[Body, ...]] = {
    "human": ({"type": "amd_human_detected", "reason": "short greeting", "greeting": "hello", "language": "en-US"},),
    "machine": (
        {
            "type": "amd_machine_detected",
            "reason": "long greeting",
            "greeting": "please leave a message after the tone",
            "language": "en-US",
        },
        {"type": "amd_machine_stopped_speaking"},
    ),
    "no speech": ({"type": "amd_no_speech_detected"},),
    "undecided": ({"type": "amd_decision_timeout"},),
}
REFER_OUTCOMES = ("200", "404", "486", "503", "rejected", "no notify")
_AGENT_ERROR = "client error calling function"


def prompt(session: Session, verb: Verb) -> Walk[bool]:
    """Say or play; return whether it was interrupted."""
    seconds = yield from _sound(session, verb)
    if (yield from session.interrupted()):
        return True
    session.line.wait(seconds)
    if verb.data.get("loop") == "forever":
        yield Noted(f"this {verb.name} loops for ever: only hanging up ends it")
        yield from session.hang_up()
        return True
    return False


def _sound(session: Session, verb: Verb) -> Walk[float]:
    """Speak or play, and return the duration in seconds."""
    seconds = 0.0
    for text in verb.texts("text") if verb.name == "say" else verb.texts("url"):
        yield Heard(session.side, text) if verb.name == "say" else Played(session.side, shown_url(text))
        seconds += max(1.0, len(text) / LETTERS_PER_SECOND) if verb.name == "say" else RECORDING_SECONDS
    loops = str(verb.data.get("loop", 1))
    return seconds * (int(loops) if loops.isdecimal() else 1)


def say(session: Session, verb: Verb) -> Walk[None]:
    """Speak."""
    yield from prompt(session, verb)


def play(session: Session, verb: Verb) -> Walk[None]:
    """Play; report the duration to the hook, or that the file is missing."""
    started = session.line.seconds
    if verb.hook("actionHook") is None:
        yield from prompt(session, verb)
        return
    if (yield from session.choose("play", "completed", "failed")) == "failed":
        yield from session.perform(verb, "actionHook", _body(session, {"reason": "playFailed", "status": "fail"}))
    elif not (yield from prompt(session, verb)):
        seconds = session.line.seconds - started
        figures: Body = {
            "playback_seconds": int(seconds),
            "playback_milliseconds": int(1000 * seconds),
            "playback_last_offset_pos": str(int(8000 * seconds)),
            "reason": "playCompleted",
        }
        yield from session.perform(verb, "actionHook", _body(session, figures))


def pause(session: Session, verb: Verb) -> Walk[None]:
    """Wait."""
    seconds = verb.number("length") or 0
    yield Did("pause", f"{seconds:g} s")
    if not (yield from session.interrupted()):
        session.line.wait(seconds)


def gather(session: Session, verb: Verb) -> Walk[None]:
    """Collect digits or speech."""
    if session.barge_in is not None:
        yield Noted("gather: jambonz skips it while config has bargeIn on")
        return
    question = gather_question(session, verb)
    prompt_verb = next((Verb(name, verb.part(name)) for name in ("say", "play") if verb.part(name)), None)
    prompt_seconds = (yield from _sound(session, prompt_verb)) if prompt_verb is not None else 0.0
    while not session.is_over():
        yield question
        decision = session.line.caller.at_gather(question)
        if isinstance(decision, Pressed) and decision.early:
            # Keys end the prompt, unless listenDuringPrompt is off.
            if prompt_verb is not None and verb.data.get("listenDuringPrompt") is False:
                yield Noted("gather: listenDuringPrompt is off, so keys pressed during the prompt are lost")
                decision = Silence()
            else:
                prompt_seconds = 0.0
        session.line.wait(prompt_seconds)
        prompt_seconds = 0.0
        if (yield from collect(session, verb, question, decision)):
            return


def gather_question(session: Session, verb: Verb) -> Asked:
    """Return the input that a gather accepts, with jambonz's defaults."""
    inputs = verb.texts("input") or ("digits",)
    timeout = verb.number("timeout")
    return Asked(
        side=session.side,
        digits="digits" in inputs,
        speech="speech" in inputs,
        num_digits=verb.whole_number("numDigits"),
        min_digits=verb.whole_number("minDigits"),
        max_digits=verb.whole_number("maxDigits"),
        finish_on_key=verb.text("finishOnKey"),
        timeout_seconds=GATHER_TIMEOUT_SECONDS if timeout is None else timeout,
    )


def collect(
    session: Session, verb: Verb, question: Asked, decision: Pressed | Said | Silence | SpeechFailed | HangUp
) -> Walk[bool]:
    """Process the input to a gather; return whether the gather has ended."""
    line = session.line
    if isinstance(decision, HangUp):
        # The call has ended, so jambonz sends no action hook.
        yield from session.hang_up()
        return True
    result: Body = {"reason": "timeout"}
    if isinstance(decision, Pressed):
        result = yield from _digits(session, verb, question, decision.keys)
    elif isinstance(decision, SpeechFailed):
        result = {"reason": "error", "details": SPEECH_FAILURE}
    elif isinstance(decision, Said):
        if question.speech:
            result = yield from _speech(session, verb, decision)
        else:
            yield Noted("gather: input has no speech, so jambonz ignores the words")
    if result["reason"] == "timeout":
        if not question.timeout_seconds:
            yield Noted("gather: the timeout is 0, so it keeps waiting")
            return False
        line.wait(question.timeout_seconds)
    problem = yield from session.perform(verb, "actionHook", _body(session, result))
    if problem is not None and problem.malformed:
        yield from line.status(session.leg, {"error": "invalid actionHook response", "reason": problem.reason})
    return True


def _digits(session: Session, verb: Verb, question: Asked, keys: str) -> Walk[Body]:
    if not question.digits:
        yield Noted("gather: input has no digits, so jambonz ignores the keys")
        return {"reason": "timeout"}
    digits = ""
    for position, key in enumerate(keys, 1):
        lost = len(keys) - position
        if key == question.finish_on_key:
            break
        digits += key
        if len(digits) in (question.num_digits, question.max_digits):
            break
    else:
        return (yield from _too_few_digits(session, verb, question, digits))
    if lost:
        keys = "key is" if lost == 1 else f"{lost} keys are"
        yield Noted(f"gather: ended after {digits!r}; the last {keys} lost")
    return {"digits": digits, "reason": "dtmfDetected"}


def _too_few_digits(session: Session, verb: Verb, question: Asked, digits: str) -> Walk[Body]:
    # Without minDigits, jambonz never has enough digits, not even when the inter-digit timer expires.
    if question.min_digits is None or len(digits) < question.min_digits:
        yield Noted(
            f"gather: {digits!r} is not complete, so it is lost and the gather times out; set or lower minDigits"
        )
        return {"reason": "timeout"}
    session.line.wait(verb.number("interDigitTimeout") or question.timeout_seconds)
    return {"digits": digits, "reason": "dtmfDetected"}


def _speech(session: Session, verb: Verb, spoken: Said) -> Walk[Body]:
    line, recognizer = session.line, verb.part("recognizer")
    partial = speech_body(spoken.text, confident=True, recognizer=recognizer, final=False)
    hook = verb.hook("partialResultHook")
    yield from line.notify("gather.partialResultHook", hook, _body(session, {"speech": partial}))
    seconds = max(1.0, len(spoken.text) / LETTERS_PER_SECOND)
    line.wait(seconds)
    return {
        "speech": speech_body(spoken.text, confident=spoken.confident, recognizer=recognizer),
        "reason": "speechDetected" if spoken.confident else "stt-low-confidence",
        **speech_figures(line.clock.now().timestamp() - seconds, seconds),
    }


def listen(session: Session, verb: Verb) -> Walk[None]:
    """Stream the audio; the simulation does not open the WebSocket."""
    finish_on_key, limit = verb.text("finishOnKey"), verb.number("maxLength")
    recording = Recording(shown_url(verb.text("url") or ""), limit, finish_on_key)
    yield recording
    decision = session.line.caller.at_listen(recording)
    seconds, digits = 0.0, None
    if isinstance(decision, Recorded):
        seconds = min(decision.seconds, limit or decision.seconds)
        if decision.key is not None and decision.key == finish_on_key and seconds == decision.seconds:
            digits = decision.key
        elif decision.key is not None:
            yield Noted(f"listen: the key {decision.key} does not end it (finishOnKey)")
    session.line.wait(seconds)
    if isinstance(decision, HangUp):
        yield from session.hang_up()
    result: Body = {**({"digits": digits} if digits else {}), "dial_call_duration": int(seconds)}
    yield from session.perform(verb, "actionHook", _body(session, result))


def transcribe(session: Session, verb: Verb) -> Walk[None]:
    """Send speech to a hook, until it returns verbs or the call ends."""
    question = Transcribing()
    while not session.is_over():
        yield question
        decision = session.line.caller.at_transcribe(question)
        if isinstance(decision, HangUp):
            yield from session.hang_up()
            return
        speech = speech_body(decision.text, confident=decision.confident, recognizer=verb.part("recognizer"))
        body: Body = {**session.leg.raw_call_info(), "b3": f"{session.leg.trace_id}-{'0' * 16}-1", "speech": speech}
        before = session.generation
        yield from session.perform(verb, "transcriptionHook", body)
        if session.generation != before:
            return


def config(session: Session, verb: Verb) -> Walk[None]:
    """Set options for the rest of the call."""
    yield Did("config", ", ".join(verb.data))
    enable = verb.part("bargeIn").get("enable")
    if enable is True:
        background = Verb("config.bargeIn", {"input": ["speech"], **verb.part("bargeIn"), "timeout": 0})
        question = gather_question(session, background)

        def barge_in(decision: Pressed | Said) -> Walk[None]:
            if background.data.get("sticky") is not True:
                session.barge_in = None
            yield from collect(session, background, question, decision)

        session.barge_in = barge_in
    elif enable is False:
        session.barge_in = None
    yield from detect_machine(session, verb)


def detect_machine(session: Session, verb: Verb) -> Walk[None]:
    """Send the result of answering machine detection to its hook, if there is one."""
    hook = Hook.read(verb.part("amd").get("actionHook"))
    if hook is None:
        return
    outcome = yield from session.choose("amd", *AMD_EVENTS)
    before = session.generation
    for event in AMD_EVENTS[outcome]:
        if session.generation == before:
            amd = Verb("amd", verb.part("amd"))
            yield from session.perform(amd, "actionHook", _body(session, event), name=f"{verb.name}.amd.actionHook")


def tag(session: Session, verb: Verb) -> Walk[None]:
    """Set the customer data of the call, replacing the previous data."""
    session.leg.customer_data = verb.part("data")
    yield Did("tag", ", ".join(verb.part("data")))


def hangup(session: Session, _verb: Verb) -> Walk[None]:
    """End the call."""
    yield from session.hang_up("jambonz")


def decline(session: Session, verb: Verb) -> Walk[None]:
    """Reject the call with a SIP status."""
    status = verb.whole_number("status") or 603
    yield Did("sip:decline", f"{status} {verb.text('reason') or ''}".strip())
    session.ended_by = "jambonz"
    session.leg.change("failed", status, verb.text("reason"))
    yield from session.line.status(session.leg, {})


def redirect(session: Session, verb: Verb) -> Walk[None]:
    """Continue with the verbs of another hook; an error there ends the call."""
    hook = verb.hook("actionHook")
    if hook is not None and (note := session.line.requestor.hand_over(hook)) is not None:
        yield note
    if (yield from session.perform(verb, "actionHook", _body(session, {}))) is not None:
        session.give_up()


def refer(session: Session, verb: Verb) -> Walk[None]:
    """Refer the call to another party."""
    outcome = yield from session.choose("sip:refer", *REFER_OUTCOMES)
    result: Body = {"refer_status": 603 if outcome == "rejected" else 202}
    if outcome.isdecimal():
        session.line.wait(1)
        event: Body = {"event": "transfer-status", "call_status": int(outcome)}
        yield from session.line.notify("sip:refer.eventHook", verb.hook("eventHook"), event)
        result["final_referred_call_status"] = int(outcome)
    elif outcome == "no notify":
        session.line.wait(15)
    yield from session.perform(verb, "actionHook", _body(session, result))


def sip_request(session: Session, verb: Verb) -> Walk[None]:
    """Send a SIP request in the call; on an error at the hook, jambonz reports it again as a failure."""
    succeeded = (yield from session.choose("sip:request", "success", "failed")) == "success"
    problem = None
    if succeeded:
        problem = yield from session.perform(
            verb, "actionHook", _body(session, {"result": "success", "sip_status": 200})
        )
    if not succeeded or problem is not None:
        reason = problem.reason if problem else "Request Timeout"
        if (
            yield from session.perform(verb, "actionHook", _body(session, {"result": "failed", "err": reason}))
        ) is not None:
            session.give_up()


def message(session: Session, verb: Verb) -> Walk[None]:
    """Send a text message."""
    outcomes = ("success", "failure", "no carriers", "smpp configuration error", "system error")
    outcome = yield from session.choose("message", *outcomes)
    result: Body = {"message_sid": session.line.new_id(), "message_status": outcome}
    if outcome == "success":
        result |= {"carrier": "example-carrier", "carrier_message_id": "b1946ac9"}
    elif outcome == "failure":
        result |= {"carrier": "example-carrier", "message_failure_reason": "rejected"}
    yield from session.perform(verb, "actionHook", _body(session, result))


def llm(session: Session, verb: Verb) -> Walk[None]:
    """Connect the caller with a language model; an error at its action hook ends the call."""
    talks = AgentTalks(verb.text("vendor") or "")
    result: Body = {"completion_reason": "normal conversation end"}
    while True:
        yield talks
        decision = session.line.caller.at_agent(talks)
        if isinstance(decision, HangUp):
            yield from session.hang_up()
            break
        if isinstance(decision, AgentEnded):
            result = {"completion_reason": decision.reason}
            break
        if not (yield from _use_tool(session, verb, decision.name, decision.arguments)):
            result = {"completion_reason": _AGENT_ERROR}
            break
    if (yield from session.perform(verb, "actionHook", _body(session, result))) is not None:
        session.give_up()


def _use_tool(session: Session, verb: Verb, name: str, arguments: Mapping[str, JsonValue]) -> Walk[bool]:
    """Send a tool call to the hook, whose body does not identify the call; return whether the session continues."""
    hook, vendor, call_id = verb.hook("toolHook"), verb.text("vendor"), session.line.new_id()
    if hook is None:
        yield Noted(f"llm: the model calls {name}, but the verb has no toolHook")
        return True
    body: Body = {"tool_call_id": call_id, "name": name, "args": dict(arguments)}
    if vendor == "google":
        call: JsonValue = {"id": call_id, "name": name, "args": dict(arguments)}
        body = {"tool_call_id": "function_call_id", "type": "toolCall", "function_calls": [call]}
    try:
        answer = yield from session.line.request("llm.toolHook", hook, body, traced=False)
    except RequestFailed as error:
        yield Refused("llm.toolHook", str(error))
        return False
    if answer == "" or not isinstance(answer, dict | list):
        yield Refused("llm.toolHook", f"{_AGENT_ERROR}: the response is not a JSON object")
        return False
    if not _model_accepts(vendor, answer):
        yield Refused(
            "llm.toolHook",
            f"not the shape that {vendor} accepts: jambonz drops the response and the model waits for ever",
        )
    return True


def _model_accepts(vendor: str | None, answer: JsonValue) -> bool:
    if not isinstance(answer, dict):
        return False
    item, data, response = answer.get("item"), answer.get("data"), answer.get("toolResponse")
    match vendor:
        case "openai" | "microsoft":
            return (
                answer.get("type") == "conversation.item.create"
                and isinstance(item, dict)
                and item.get("type") == "function_call_output"
                and isinstance(item.get("call_id"), str)
                and isinstance(item.get("output"), str)
            )
        case "elevenlabs":
            return isinstance(data, dict) and data.get("type") == "client_tool_result" and "tool_call_id" in data
        case "deepgram" | "voiceagent":
            return isinstance(data, dict) and data.get("type") == "FunctionCallResponse" and "content" in data
        case "google":
            return isinstance(response, dict) and isinstance(response.get("functionResponses"), list)
        case _:
            return "result" in answer


def _silent(session: Session, verb: Verb) -> Walk[None]:
    text = verb.text("dtmf") or verb.text("message") or verb.text("action") or ""
    yield Did(verb.name, text)
    if verb.name == "dtmf":
        session.line.wait(len(text) * 0.75)


def _body(session: Session, members: Body) -> Body:
    return {**session.leg.call_info(), **members}


HANDLERS: Mapping[str, Handler] = {
    "alert": _silent,
    "answer": _silent,
    "config": config,
    "dtmf": _silent,
    "dub": _silent,
    "gather": gather,
    "hangup": hangup,
    "leave": _silent,
    "listen": listen,
    "llm": llm,
    "message": message,
    "pause": pause,
    "play": play,
    "redirect": redirect,
    "say": say,
    "sip:decline": decline,
    "sip:refer": refer,
    "sip:request": sip_request,
    "tag": tag,
    "transcribe": transcribe,
}
