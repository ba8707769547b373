"""Verbs that involve another party: dial, queues, conferences."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from callhooks_tools.providers.jambonz.phone.bodies import ACCOUNT_SID, CARRIER_ADDRESS, Body, Leg
from callhooks_tools.providers.jambonz.phone.requests import Hook, span_id
from callhooks_tools.providers.jambonz.phone.session import Ends, Handler, Role, Session, Verb
from callhooks_tools.providers.jambonz.phone.steps import (
    Answered,
    ConferenceOver,
    Conferencing,
    Did,
    HangUp,
    Joins,
    NotAnswered,
    Noted,
    Queued,
    Rang,
    Refused,
    Unanswered,
    Waits,
    Walk,
)
from callhooks_tools.providers.jambonz.phone.verbs import detect_machine

DIAL_TIMEOUT_SECONDS = 60
MAX_TARGETS = 10
RING_SECONDS = 4
MIN_WAIT_SECONDS = 1
_QUEUE_VERBS = ("play", "say", "pause", "leave", "tag")
_CONFERENCE_VERBS = ("play", "say", "pause")
_FINAL: Mapping[Unanswered, tuple[str, int, str]] = {
    Unanswered.BUSY: ("busy", 486, "Busy Here"),
    Unanswered.NO_ANSWER: ("no-answer", 487, "Request Terminated"),
    Unanswered.FAILED: ("failed", 503, "Service Unavailable"),
    Unanswered.DECLINED: ("failed", 603, "Decline"),
}
_STATUS_OF_SIP = {486: "busy", 600: "busy", 487: "no-answer"}
_BYE_OF_CALLEE: Body = {"reason": 'Q.850;cause=16;text="NORMAL_CLEARING"', "user_agent": "ExamplePhone/1.2"}


@dataclass(slots=True)
class _Target:
    """A dialled leg, with its confirm hook."""

    leg: Leg
    shown: str
    confirm_hook: Hook | None
    answered_at: float = 0.0


def dial(session: Session, verb: Verb) -> Walk[None]:
    """Ring the targets and connect the first that is accepted."""
    if verb.data.get("answerOnBridge") is not True:
        yield from session.answer()
    ringing = deque(_targets(session, verb))
    if not ringing:
        yield Refused("dial", "no target has a number, a name or a SIP URI")
        return
    for target in ringing:
        yield from session.line.status(target.leg, {})
    for target in ringing:
        target.leg.sbc_callid = f"{span_id(session.line.new_id)}@{CARRIER_ADDRESS}"
        yield from _changed(session, target, "ringing", 180, "Ringing")
    results = _Results()
    results.update(ringing[-1].leg)
    winner, decision = yield from _ring(session, verb, ringing, results)
    if winner is not None:
        yield from _talk(session, verb, winner, decision, results)
    yield from session.perform(
        verb, "actionHook", {**session.leg.call_info(), **results.members()}, replaces=not results.replaced
    )


@dataclass(slots=True)
class _Results:
    """Results of the dialled legs, as jambonz stores them."""

    call_status: str = ""
    sip_status: int = 0
    call_sid: str = ""
    sbc_callid: str | None = None
    replaced: bool = False

    def update(self, leg: Leg) -> None:
        """Store the latest status of a leg, unless the stored one is final for the dial."""
        if self.call_status not in ("completed", "no-answer"):
            self.call_status, self.sip_status = leg.call_status, leg.sip_status
            self.call_sid, self.sbc_callid = leg.call_sid, leg.sbc_callid

    def connect(self, leg: Leg) -> None:
        """Record that the leg was accepted; from now on it counts as completed."""
        self.call_status, self.sip_status, self.call_sid, self.sbc_callid = (
            "completed",
            200,
            leg.call_sid,
            leg.sbc_callid,
        )

    def members(self) -> Body:
        """Return the members for the action hook; jambonz sends no duration."""
        return {
            "dial_call_status": self.call_status,
            "dial_sip_status": self.sip_status,
            "dial_call_sid": self.call_sid,
            "dial_sbc_callid": self.sbc_callid,
        }


def _ring(
    session: Session, verb: Verb, ringing: deque[_Target], results: _Results
) -> Walk[tuple[_Target | None, Answered]]:
    """Ring the targets until one is accepted or none is left."""
    line, timeout = session.line, verb.number("timeout") or DIAL_TIMEOUT_SECONDS
    no_winner = (None, Answered())
    while ringing:
        rang = Rang(tuple(target.shown for target in ringing), timeout)
        yield rang
        decision = line.caller.at_dial(rang)
        if isinstance(decision, HangUp):
            # jambonz cancels the ringing legs without a final status.
            yield from session.hang_up()
            return no_winner
        if isinstance(decision, NotAnswered):
            yield from _not_answered(session, decision, ringing, results, timeout)
            return no_winner
        target = ringing.popleft()
        line.wait(RING_SECONDS)
        target.answered_at = line.seconds
        yield from _changed(session, target, "in-progress", 200, "OK")
        results.update(target.leg)
        hook = target.confirm_hook or verb.hook("confirmHook")
        if hook is None or (yield from _is_accepted(session, hook, target, results)):
            results.connect(target.leg)
            yield from session.answer()
            return target, decision
    return no_winner


def _not_answered(
    session: Session, decision: NotAnswered, ringing: deque[_Target], results: _Results, timeout: float
) -> Walk[None]:
    if decision.outcome is Unanswered.TIMEOUT:
        session.line.wait(timeout)
        yield Noted("dial: after a ring timeout, jambonz reports the last provisional status and no final one")
        return
    session.line.wait(RING_SECONDS)
    call_status, sip_status, reason = _FINAL[decision.outcome]
    if decision.sip_status is not None:
        call_status = _STATUS_OF_SIP.get(decision.sip_status, "failed")
        sip_status, reason = decision.sip_status, ""
    for target in ringing:
        yield from _changed(session, target, call_status, sip_status, reason)
        results.update(target.leg)


def _talk(session: Session, verb: Verb, winner: _Target, decision: Answered, results: _Results) -> Walk[None]:
    line, before = session.line, session.generation
    if session.is_over():
        return
    yield from detect_machine(session, verb)
    results.replaced = session.generation != before
    seconds = min(decision.seconds, verb.number("timeLimit") or decision.seconds)
    if not results.replaced:
        line.wait(seconds)
    caller_hangs_up = decision.caller_hangs_up and seconds == decision.seconds and not results.replaced
    if caller_hangs_up:
        yield from session.hang_up()
    elif seconds == decision.seconds and not results.replaced:
        winner.leg.bye_headers = _BYE_OF_CALLEE
    yield from _end_leg(session, winner)
    yield Did("dial", f"they talked for {seconds:g} s" if not results.replaced else "the hook's verbs take over")
    if verb.part("listen"):
        nested = Verb("listen", verb.part("listen"))
        body: Body = {**session.leg.call_info(), "dial_call_duration": int(seconds)}
        yield from session.perform(nested, "actionHook", body, replaces=False, name="dial.listen.actionHook")


def _is_accepted(session: Session, hook: Hook, target: _Target, results: _Results) -> Walk[bool]:
    """Run the confirm hook's verbs on the dialled leg; it is accepted if it is still connected at the end."""
    name = "dial.confirmHook"
    verbs = yield from session.line.request_verbs(name, hook, target.leg.call_info(), traced=False)
    if verbs is None:
        yield Did(name, "declined: jambonz drops the leg")
        return False
    if any(verb.name == "sip:decline" for verb in verbs):
        yield Refused(name, "unsupported verb in dial url")
        return False

    def hang_up(by: str) -> Walk[None]:
        if by != "jambonz":
            target.leg.bye_headers = _BYE_OF_CALLEE
            yield from _end_leg(session, target)
            results.update(target.leg)

    callee = Session(session.line, target.leg, verbs, Role.CALLEE, Ends(hang_up))
    yield from callee.run()
    yield Did(name, "declined" if callee.is_over() else "accepted")
    return not callee.is_over()


def _end_leg(session: Session, target: _Target) -> Walk[None]:
    target.leg.duration = int(session.line.seconds - target.answered_at)
    yield from _changed(session, target, "completed")


def _changed(
    session: Session, target: _Target, call_status: str, sip_status: int | None = None, reason: str | None = None
) -> Walk[None]:
    target.leg.change(call_status, sip_status, reason)
    yield from session.line.status(target.leg, {})


def _targets(session: Session, verb: Verb) -> list[_Target]:
    """Return a leg for each of the first ten different targets."""
    written = verb.data.get("target")
    targets: dict[str, Mapping[str, JsonValue]] = {}
    for target in written if isinstance(written, list) else []:
        if isinstance(target, dict):
            address = target.get("number") or target.get("name") or target.get("sipUri")
            if isinstance(address, str):
                targets.setdefault(address, target)
    tag = verb.part("tag")
    return [
        _Target(
            Leg(
                call_sid=session.line.new_id(),
                direction="outbound",
                from_=verb.text("callerId") or session.leg.from_,
                to=address,
                call_id=session.line.new_id(),
                trace_id=session.leg.trace_id,
                parent_call_sid=session.leg.call_sid,
                customer_data=tag or None,
            ),
            address,
            Hook.read(target.get("confirmHook")),
        )
        for address, target in list(targets.items())[:MAX_TARGETS]
    ]


def enqueue(session: Session, verb: Verb) -> Walk[None]:
    """Let the caller wait in a queue, with the verbs of the wait hook, until another call connects to them."""
    line, name = session.line, verb.text("name") or ""
    started, requests = line.seconds, 0
    queue_sid = f"queue:{ACCOUNT_SID}:{name}"
    hook = verb.hook("waitHook")
    result = "hangup"
    while not session.is_over():
        if hook is not None:
            requests += 1
            body: Body = {
                "queue_sid": queue_sid,
                "queue_time": int(line.seconds - started),
                "queue_size": 1,
                "queue_position": 0,
                "call_sid": session.leg.call_sid,
                "call_id": session.leg.call_id,
                **({"customerData": dict(session.leg.customer_data)} if session.leg.customer_data else {}),
            }
            verbs = yield from _waiting_verbs(session, "enqueue.waitHook", hook, body, _QUEUE_VERBS)
            before_leave = _up_to_leave(verbs)
            yield from session.within(before_leave)
            if len(before_leave) < len(verbs) and not session.is_over():
                result = "leave"
                break
            if not before_leave:
                hook = None
                yield Noted("enqueue: jambonz does not request the wait hook again; the caller waits in silence")
            if session.is_over():
                break
        question = Queued(name, requests)
        yield question
        decision = line.caller.at_queue(question)
        if isinstance(decision, HangUp):
            yield from session.hang_up()
        elif isinstance(decision, Waits):
            line.wait(MIN_WAIT_SECONDS)
        else:
            result = "bridged" if decision.bridged else "error"
            waited = int(line.seconds - started)
            line.wait(decision.seconds if decision.bridged else 0)
            yield Did("enqueue", f"{result} after {waited} s")
            break
    outcome: Body = {"queue_sid": queue_sid, "queue_time": int(line.seconds - started), "queue_result": result}
    yield from session.perform(verb, "actionHook", {**session.leg.call_info(), **outcome})


def dequeue(session: Session, verb: Verb) -> Walk[None]:
    """Connect to the first caller of a queue."""
    outcome = yield from session.choose("dequeue", "complete", "timeout", "hangup")
    session.line.wait(verb.number("timeout") or 1)
    yield from session.perform(verb, "actionHook", {**session.leg.call_info(), "dequeue_result": outcome})


def conference(session: Session, verb: Verb) -> Walk[None]:
    """Join a conference, after waiting for its moderator if the verb says so."""
    line, name = session.line, verb.text("name") or ""
    meeting = _Meeting(session, verb, name, started=line.seconds)
    if verb.data.get("startConferenceOnEnter") is False:
        yield from _wait_for_moderator(session, verb, name)
    else:
        yield from meeting.notify("start", members=0)
    if not session.is_over():
        yield from _enter(session, verb)
    if not session.is_over():
        yield from meeting.notify("join", members=1)
        question = Conferencing(name, waiting=False)
        while True:
            yield question
            decision = line.caller.at_conference(question)
            if isinstance(decision, HangUp):
                yield from session.hang_up()
                break
            if isinstance(decision, ConferenceOver):
                line.wait(decision.seconds)
                break
            line.wait(MIN_WAIT_SECONDS)
        yield from meeting.notify("leave", members=0)
        yield from meeting.notify("end", members=0)
    yield from session.perform(verb, "actionHook", session.leg.call_info())


@dataclass(frozen=True, slots=True)
class _Meeting:
    """Status events of a conference, for the events that its verb subscribes to."""

    session: Session
    verb: Verb
    name: str
    started: float

    def notify(self, event: str, *, members: int) -> Walk[None]:
        hook, line = self.verb.hook("statusHook"), self.session.line
        if hook is None or event not in self.verb.texts("statusEvents"):
            return
        body: Body = {
            "event": event,
            "duration": round(line.seconds - self.started, 3),
            "time": line.clock.now().isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "members": members,
            "conference_sid": f"conf:{ACCOUNT_SID}:{self.name}",
            "friendly_name": self.name,
            **self.session.leg.call_info(),
            "b3": f"{self.session.leg.trace_id}-{span_id(line.new_id)}-1",
        }
        yield from line.notify("conference.statusHook", hook, body)


def _wait_for_moderator(session: Session, verb: Verb, name: str) -> Walk[None]:
    hook, question = verb.hook("waitHook"), Conferencing(name, waiting=True)
    while not session.is_over():
        if hook is not None:
            body = session.leg.raw_call_info()
            verbs = yield from _waiting_verbs(session, "conference.waitHook", hook, body, _CONFERENCE_VERBS)
            yield from session.within(verbs)
            if not verbs:
                hook = None
                yield Noted("conference: jambonz does not request the wait hook again; the caller waits in silence")
            if session.is_over():
                return
        yield question
        decision = session.line.caller.at_conference(question)
        if isinstance(decision, HangUp):
            yield from session.hang_up()
        elif isinstance(decision, Joins | ConferenceOver):
            return
        session.line.wait(MIN_WAIT_SECONDS)


def _enter(session: Session, verb: Verb) -> Walk[None]:
    if (hook := verb.hook("enterHook")) is not None:
        body = session.leg.raw_call_info()
        verbs = yield from _waiting_verbs(session, "conference.enterHook", hook, body, _CONFERENCE_VERBS)
        yield from session.within(verbs)


def _waiting_verbs(session: Session, name: str, hook: Hook, body: Body, allowed: tuple[str, ...]) -> Walk[list[Verb]]:
    verbs = yield from session.line.request_verbs(name, hook, body)
    if any(verb.name not in allowed for verb in verbs or ()):
        listed = ",".join(f'"{verb}"' for verb in allowed)
        yield Refused(name, f"unsupported verb in {name.replace('.', ' ')}: only [{listed}]")
        return []
    return verbs or []


def _up_to_leave(verbs: list[Verb]) -> list[Verb]:
    names = [verb.name for verb in verbs]
    return verbs[: names.index("leave")] if "leave" in names else verbs


HANDLERS: Mapping[str, Handler] = {
    "conference": conference,
    "dequeue": dequeue,
    "dial": dial,
    "enqueue": enqueue,
}
