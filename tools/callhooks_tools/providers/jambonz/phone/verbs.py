"""The verbs between the caller and jambonz alone."""

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
    Choice,
    Did,
    HangUp,
    Heard,
    Noted,
    Nothing,
    Played,
    Pressed,
    Recorded,
    Recording,
    Refused,
    Said,
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
    """Say or play; whether it was broken into."""
    seconds = yield from _sound(session, verb)
    if (yield from session.interrupted()):
        return True
    session.line.wait(seconds)
    if verb.data.get("loop") == "forever":
        yield Noted(f"this {verb.name} never ends: only hanging up does")
        yield from session.hang_up()
        return True
    return False


def _sound(session: Session, verb: Verb) -> Walk[float]:
    """Speak or play it, and tell how many seconds that takes."""
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
    """Play; the hook is told how long, or that the file was not there."""
    started = session.line.seconds
    if verb.hook("actionHook") is None:
        yield from prompt(session, verb)
        return
    choice = Choice("play", ("completed", "failed"))
    yield choice
    if session.line.caller.at_choice(choice) == "failed":
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
    asked = asked_by(session, verb)
    spoken = next((Verb(name, verb.part(name)) for name in ("say", "play") if verb.part(name)), None)
    prompt_seconds = (yield from _sound(session, spoken)) if spoken is not None else 0.0
    while not session.is_over():
        yield asked
        decision = session.line.caller.at_gather(asked)
        if isinstance(decision, Pressed) and decision.early:
            # Keys end the prompt, if they are listened to before it is over.
            if spoken is not None and verb.data.get("listenDuringPrompt") is False:
                yield Noted("gather: listenDuringPrompt is off, keys pressed during the prompt are lost")
                decision = Nothing()
            else:
                prompt_seconds = 0.0
        session.line.wait(prompt_seconds)
        prompt_seconds = 0.0
        if (yield from collect(session, verb, asked, decision)):
            return


def asked_by(session: Session, verb: Verb) -> Asked:
    """What a gather asks for, with jambonz's defaults."""
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
    session: Session, verb: Verb, asked: Asked, decision: Pressed | Said | Nothing | SpeechFailed | HangUp
) -> Walk[bool]:
    """What a gather makes of what was pressed or said; whether it is over."""
    line = session.line
    if isinstance(decision, HangUp):
        # The call is gone, and jambonz asks nobody any more.
        yield from session.hang_up()
        return True
    result: Body = {"reason": "timeout"}
    if isinstance(decision, Pressed):
        result = yield from _digits(session, verb, asked, decision.keys)
    elif isinstance(decision, SpeechFailed):
        result = {"reason": "error", "details": SPEECH_FAILURE}
    elif isinstance(decision, Said):
        if asked.speech:
            result = yield from _speech(session, verb, decision)
        else:
            yield Noted("gather: it listens to keys alone, what was said is not heard")
    if result["reason"] == "timeout":
        if not asked.timeout_seconds:
            yield Noted("gather: it has no time-out and waits on")
            return False
        line.wait(asked.timeout_seconds)
    problem = yield from session.perform(verb, "actionHook", _body(session, result))
    if problem is not None and problem.malformed:
        yield from line.status(session.leg, {"error": "invalid actionHook response", "reason": problem.reason})
    return True


def _digits(session: Session, verb: Verb, asked: Asked, keys: str) -> Walk[Body]:
    if not asked.digits:
        yield Noted("gather: it listens to speech alone, the keys are not heard")
        return {"reason": "timeout"}
    digits = ""
    for position, key in enumerate(keys, 1):
        lost = len(keys) - position
        if key == asked.finish_on_key:
            break
        digits += key
        if len(digits) in (asked.num_digits, asked.max_digits):
            break
    else:
        return (yield from _too_few_digits(session, verb, asked, digits))
    if lost:
        yield Noted(f"gather: it was over after {digits!r}; {lost} more of the keys are lost")
    return {"digits": digits, "reason": "dtmfDetected"}


def _too_few_digits(session: Session, verb: Verb, asked: Asked, digits: str) -> Walk[Body]:
    # In jambonz no number of digits is enough where there is no minDigits, not even for the inter-digit timer.
    if asked.min_digits is None or len(digits) < asked.min_digits:
        yield Noted(f"gather: neither complete nor minDigits: {digits!r} is lost, and it is a time-out")
        return {"reason": "timeout"}
    session.line.wait(verb.number("interDigitTimeout") or asked.timeout_seconds)
    return {"digits": digits, "reason": "dtmfDetected"}


def _speech(session: Session, verb: Verb, said: Said) -> Walk[Body]:
    line, recognizer = session.line, verb.part("recognizer")
    if (partial := verb.hook("partialResultHook")) is not None:
        speech = speech_body(said.text, confident=True, recognizer=recognizer, final=False)
        try:
            yield from line.ask("gather.partialResultHook", partial, _body(session, {"speech": speech}))
        except RequestFailed as error:
            yield Refused("gather.partialResultHook", str(error))
    seconds = max(1.0, len(said.text) / LETTERS_PER_SECOND)
    line.wait(seconds)
    return {
        "speech": speech_body(said.text, confident=said.confident, recognizer=recognizer),
        "reason": "speechDetected" if said.confident else "stt-low-confidence",
        **speech_figures(line.clock.now().timestamp() - seconds, seconds),
    }


def listen(session: Session, verb: Verb) -> Walk[None]:
    """Stream the audio; the WebSocket itself is not opened."""
    finish_on_key, longest = verb.text("finishOnKey"), verb.number("maxLength")
    recording = Recording(shown_url(verb.text("url") or ""), longest, finish_on_key)
    yield recording
    decision = session.line.caller.at_listen(recording)
    seconds, digits = 0.0, None
    if isinstance(decision, Recorded):
        seconds = min(decision.seconds, longest or decision.seconds)
        if decision.key is not None and decision.key == finish_on_key and seconds == decision.seconds:
            digits = decision.key
        elif decision.key is not None:
            yield Noted(f"listen: the key {decision.key} does not end it")
    session.line.wait(seconds)
    if isinstance(decision, HangUp):
        yield from session.hang_up()
    result: Body = {**({"digits": digits} if digits else {}), "dial_call_duration": int(seconds)}
    yield from session.perform(verb, "actionHook", _body(session, result))


def transcribe(session: Session, verb: Verb) -> Walk[None]:
    """Send what is said to a hook, until that answers with verbs or the call ends."""
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
    """Set what holds for the rest of the call."""
    yield Did("config", ", ".join(verb.data))
    enable = verb.part("bargeIn").get("enable")
    if enable is True:
        background = Verb("config.bargeIn", {"input": ["speech"], **verb.part("bargeIn"), "timeout": 0})
        asked = asked_by(session, background)

        def barge_in(decision: Pressed | Said) -> Walk[None]:
            if background.data.get("sticky") is not True:
                session.barge_in = None
            yield from collect(session, background, asked, decision)

        session.barge_in = barge_in
    elif enable is False:
        session.barge_in = None
    yield from detect_machine(session, verb)


def detect_machine(session: Session, verb: Verb) -> Walk[None]:
    """Tell the hook of an answering machine detection what it found, where there is one."""
    hook = Hook.read(verb.part("amd").get("actionHook"))
    if hook is None:
        return
    choice = Choice("amd", tuple(AMD_EVENTS))
    yield choice
    before = session.generation
    for event in AMD_EVENTS[session.line.caller.at_choice(choice)]:
        if session.generation == before:
            amd = Verb("amd", verb.part("amd"))
            yield from session.perform(amd, "actionHook", _body(session, event), name=f"{verb.name}.amd.actionHook")


def tag(session: Session, verb: Verb) -> Walk[None]:
    """Give the call data of its own; it replaces what was there."""
    session.leg.customer_data = verb.part("data")
    yield Did("tag", ", ".join(verb.part("data")))


def hangup(session: Session, _verb: Verb) -> Walk[None]:
    """End the call."""
    yield from session.hang_up("jambonz")


def decline(session: Session, verb: Verb) -> Walk[None]:
    """Refuse the call with a SIP status."""
    status = verb.whole_number("status") or 603
    yield Did("sip:decline", f"{status} {verb.text('reason') or ''}".strip())
    session.ended_by = "jambonz"
    session.leg.changed("failed", status, verb.text("reason"))
    yield from session.line.status(session.leg, {})


def redirect(session: Session, verb: Verb) -> Walk[None]:
    """Take verbs from another hook; an error there ends the call."""
    hook = verb.hook("actionHook")
    if hook is not None and (note := session.line.requestor.hand_over(hook)) is not None:
        yield note
    if (yield from session.perform(verb, "actionHook", _body(session, {}))) is not None:
        session.give_up()


def refer(session: Session, verb: Verb) -> Walk[None]:
    """Hand the call to somebody else."""
    choice = Choice("sip:refer", REFER_OUTCOMES)
    yield choice
    outcome = session.line.caller.at_choice(choice)
    result: Body = {"refer_status": 603 if outcome == "rejected" else 202}
    if outcome.isdecimal():
        session.line.wait(1)
        if (event_hook := verb.hook("eventHook")) is not None:
            event: Body = {"event": "transfer-status", "call_status": int(outcome)}
            try:
                yield from session.line.ask("sip:refer.eventHook", event_hook, event)
            except RequestFailed as error:
                yield Refused("sip:refer.eventHook", str(error))
        result["final_referred_call_status"] = int(outcome)
    elif outcome == "no notify":
        session.line.wait(15)
    yield from session.perform(verb, "actionHook", _body(session, result))


def sip_request(session: Session, verb: Verb) -> Walk[None]:
    """Send a SIP request in the call; an error at the hook makes jambonz tell it again, as a failure."""
    choice = Choice("sip:request", ("success", "failed"))
    yield choice
    succeeded = session.line.caller.at_choice(choice) == "success"
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
    choice = Choice("message", ("success", "failure", "no carriers", "smpp configuration error", "system error"))
    yield choice
    outcome = session.line.caller.at_choice(choice)
    result: Body = {"message_sid": session.line.new_id(), "message_status": outcome}
    if outcome == "success":
        result |= {"carrier": "example-carrier", "carrier_message_id": "b1946ac9"}
    elif outcome == "failure":
        result |= {"carrier": "example-carrier", "message_failure_reason": "rejected"}
    yield from session.perform(verb, "actionHook", _body(session, result))


def llm(session: Session, verb: Verb) -> Walk[None]:
    """Let a language model talk with the caller; an error at its action hook ends the call."""
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
    """Whether the session with the model goes on; the hook is not even told of which call it is."""
    hook, vendor, call_id = verb.hook("toolHook"), verb.text("vendor"), session.line.new_id()
    if hook is None:
        yield Noted(f"llm: the model asks for {name}, but there is no toolHook")
        return True
    body: Body = {"tool_call_id": call_id, "name": name, "args": dict(arguments)}
    if vendor == "google":
        call: JsonValue = {"id": call_id, "name": name, "args": dict(arguments)}
        body = {"tool_call_id": "function_call_id", "type": "toolCall", "function_calls": [call]}
    try:
        answer = yield from session.line.ask("llm.toolHook", hook, body, traced=False)
    except RequestFailed as error:
        yield Refused("llm.toolHook", str(error))
        return False
    if answer == "" or not isinstance(answer, dict | list):
        yield Refused("llm.toolHook", f"{_AGENT_ERROR}: the answer is no JSON object")
        return False
    if not _model_takes(vendor, answer):
        yield Refused(
            "llm.toolHook", f"not the object that {vendor} takes: it is dropped, and the model waits for ever"
        )
    return True


def _model_takes(vendor: str | None, answer: JsonValue) -> bool:
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
    what = verb.text("dtmf") or verb.text("message") or verb.text("action") or ""
    yield Did(verb.name, what)
    if verb.name == "dtmf":
        session.line.wait(len(what) * 0.75)


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
