"""A simulated call: its first webhook, verbs, status events and end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from callhooks_tools.providers.jambonz.phone import parties, verbs
from callhooks_tools.providers.jambonz.phone.bodies import (
    CARRIER_ADDRESS,
    Body,
    Leg,
    NewCall,
    new_call_body,
    outdial_body,
)
from callhooks_tools.providers.jambonz.phone.requests import (
    Application,
    Hook,
    Outside,
    RequestFailed,
    Requestor,
    TooManyHooks,
    span_id,
)
from callhooks_tools.providers.jambonz.phone.session import Ends, Line, Malformed, Role, Session, Verb, read_verbs
from callhooks_tools.providers.jambonz.phone.steps import CALL_STATUS, Ended, Refused, Step, Walk

MAX_HOOKS = 200
_BYE_OF_CALLER: Body = {"reason": "Q.850;cause=16", "user_agent": "ExampleCarrier SBC 1.0"}


class SimulatedCall:
    """One call as jambonz 0.9.8 would handle it, independent of HTTP, terminals and real time.

    Args:
        call: the parties and headers of the call.
        application: the jambonz application.
        outside: transport, caller, clock and other dependencies.
        max_hooks: limit of requests; the call is aborted after it.
    """

    def __init__(
        self, call: NewCall, application: Application, outside: Outside, *, max_hooks: int = MAX_HOOKS
    ) -> None:
        self._call = call
        self._application = application
        self._max_hooks = max_hooks
        new_id = outside.new_id
        trace_id = new_id().replace("-", "")
        inbound = call.direction == "inbound"
        self._leg = Leg(
            call_sid=new_id(),
            direction=call.direction,
            from_=call.from_,
            to=call.to,
            call_id=new_id(),
            trace_id=trace_id,
            sbc_callid=f"{span_id(new_id)}@{CARRIER_ADDRESS}" if inbound else None,
            caller_name=call.caller_name,
            trunk=call.trunk,
        )
        self._answered_at = 0.0
        requestor = Requestor(application, outside, trace_id=trace_id, max_hooks=max_hooks)
        self._check = outside.check
        self._line = Line(outside, requestor, {**verbs.HANDLERS, **parties.HANDLERS}, self._status)

    @property
    def call_sid(self) -> str:
        """Return the id of the call."""
        return self._leg.call_sid

    def run(self) -> Iterator[Step]:
        """Make the call and yield its steps; the last one is `Ended`.

        An exception that the `Caller` raises ends the call at once.
        """
        try:
            yield from self._inbound() if self._call.direction == "inbound" else self._outbound()
        except TooManyHooks:
            reason = f"more than {self._max_hooks} hooks: the call is in an endless loop"
            yield Refused("call", reason)
            yield self._ended("phone", reason)

    def _inbound(self) -> Walk[None]:
        try:
            first = yield from self._first_verbs(new_call_body(self._call, self._leg))
        except (RequestFailed, Malformed) as error:
            yield Refused("new call", str(error))
            self._leg.sip_status = 480
            yield self._ended("jambonz", "the caller gets 480")
            return
        yield from self._status(self._leg, {})
        yield from self._walk(first, on_answer=self._answer)

    def _outbound(self) -> Walk[None]:
        yield from self._status(self._leg, {})
        self._leg.change("ringing", 180, "Ringing")
        yield from self._status(self._leg, {})
        yield from self._answer()
        first: list[Verb] = []
        try:
            first = yield from self._first_verbs(outdial_body(self._call, self._leg))
        except (RequestFailed, Malformed) as error:
            yield Refused("new call", str(error))
        yield from self._walk(first, on_answer=None)

    def _first_verbs(self, body: Body) -> Walk[list[Verb]]:
        answer = yield from self._line.request("new call", Hook(self._application.call_hook), body)
        first = read_verbs(answer, self._check)
        if not first:
            raise Malformed("no application provided")
        return first

    def _walk(self, first: list[Verb], *, on_answer: Callable[[], Walk[None]] | None) -> Walk[None]:
        session = Session(self._line, self._leg, first, Role.CALLER, Ends(self._hang_up, on_answer))
        yield from session.run()
        if session.is_over():
            by = session.ended_by or "caller"
            yield self._ended(by, "hung up" if self._leg.call_status == "completed" else self._leg.sip_reason)
        elif session.answered:
            yield from session.hang_up("jambonz")
            yield self._ended("jambonz", "no verbs are left")
        else:
            self._leg.sip_status = 603
            yield self._ended("jambonz", "no verbs are left and none of them answered the call: the caller gets 603")

    def _answer(self) -> Walk[None]:
        self._answered_at = self._line.seconds
        self._leg.change("in-progress", 200, "OK")
        yield from self._status(self._leg, {})

    def _hang_up(self, by: str) -> Walk[None]:
        self._leg.call_termination_by = by
        if self._leg.call_status != "in-progress":
            self._leg.change("no-answer", 487, "Request Terminated")
        else:
            self._leg.change("completed")
            self._leg.duration = int(self._line.seconds - self._answered_at)
            self._leg.bye_headers = _BYE_OF_CALLER if by == "caller" else None
        yield from self._status(self._leg, {})

    def _status(self, leg: Leg, members: Body) -> Walk[None]:
        hook, body = Hook.read(self._application.call_status_hook), {**leg.call_info(), **members}
        yield from self._line.notify(CALL_STATUS, hook, body, traced=leg.parent_call_sid is None)

    def _ended(self, by: str, reason: str) -> Ended:
        return Ended(by, reason, self._leg.call_status, self._leg.sip_status, self._leg.duration or 0)
