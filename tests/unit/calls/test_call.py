"""The call that is built from events, in any order."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from callhooks.calls.call import Call, CallStatus, CallSummary, Outcome, position
from callhooks.calls.repository import call_item, summary_of_item
from callhooks.events.call_event import CallEvent, Detail, Kind, utc_text
from callhooks.events.event_item import event_item, event_of_item
from callhooks.runtime.http import Request, Response
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import SEQUENCES, START, delivered, fold, make_event
from tests.properties import examples
from tests.support import NOW, size_of

A_CALL = "d2515c3b-b79a-41a2-971a-445e769c823c"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


ANSWERED = {"status": "completed", "outcome": Outcome.ANSWERED, "direction": "inbound"}


@pytest.mark.parametrize(
    ("sequence", "members"),
    [
        (
            "wavix",
            {
                "from_": "+12125550187", "to": "14155550123", "started_at": at(0.118), "ringing_at": at(0.731),
                "answered_at": at(6.402), "ended_at": at(48.9), "ring_seconds": 5.671, "talk_seconds": 42.498,
                "dtmf": ("1234",), "machine_detected": False,
            },
        ),
        (
            "bird",
            {
                "started_at": at(0), "ringing_at": at(1.5), "answered_at": at(6), "ended_at": at(48),
                "ring_seconds": 4.5, "talk_seconds": 42, "cause_code": 16, "sip_status": 200,
            },
        ),
        (
            "voipstudio",
            {
                "started_at": at(0), "answered_at": at(6), "ended_at": at(48), "talk_seconds": 42, "hold_seconds": 10,
                "wrapup_seconds": 9, "cause": "Normal Clearing", "called_name": "John Smith", "dtmf": ("*",),
                "queue": None,
                "conversation_id": "9a3f5cefbc82fc4e924bdaa21342a49c18c5dd90",
            },
        ),
        (
            "jambonz",
            {
                "ring_seconds": 4, "talk_seconds": 14, "hold_seconds": 2, "ended_by": "caller", "cause_code": 16,
                "cause": None, "queue": "support", "missed_in_queue": True, "machine_detected": True,
                "customer_data": {"orderId": "A-1001", "customerTier": "gold"}, "conversation_id": A_CALL,
            },
        ),
        (
            "jambonz leg",
            {
                "direction": "outbound", "ring_seconds": 4, "talk_seconds": 8, "parent_call_id": A_CALL,
                "conversation_id": A_CALL,
            },
        ),
    ],
)  # fmt: skip
def test_the_recorded_events_of_each_provider_give_a_call(sequence: str, members: dict[str, object]) -> None:
    call = fold(delivered(sequence))
    expected = {**ANSWERED, **members}
    assert {name: getattr(call, name) for name in expected} == expected


def test_a_wavix_bill_adds_the_cost_and_changes_no_times() -> None:
    events = delivered("wavix")
    details: dict[str, Detail] = {"charge": Decimal("0.0095"), "duration_seconds": 42}
    billed = fold([*events, make_event(Kind.BILLED, 0, details, provider="wavix", status="answered")])
    assert (billed.cost, billed.currency) == (Decimal("0.0095"), "USD")
    unmoved = billed.model_copy(update={"cost": None, "currency": None, "event_count": len(events)})
    assert unmoved == fold(events)


VOIPSTUDIO_CAUSES = {
    "Normal Clearing": Outcome.NO_ANSWER,
    "User busy": Outcome.BUSY,
    "No Answer": Outcome.NO_ANSWER,
    "Call Rejected": Outcome.REJECTED,
    "Originator Cancel": Outcome.CANCELLED,
    "Network out of order": Outcome.FAILED,
    "": Outcome.NO_ANSWER,
}
DISPOSITIONS = {
    "answered": (CallStatus.COMPLETED, Outcome.ANSWERED, 42),
    "noanswer": (CallStatus.NO_ANSWER, Outcome.NO_ANSWER, None),
    "busy": (CallStatus.BUSY, Outcome.BUSY, None),
    "failed": (CallStatus.FAILED, Outcome.FAILED, None),
    "teleported": (CallStatus.COMPLETED, Outcome.ANSWERED, 42),
}
YEARS_AGO = "2023-11-21T06:30:00.000Z"
BILL: dict[str, Detail] = {"duration_seconds": 42}

CALLS: dict[str, tuple[str, list[Any], dict[str, object]]] = {
    **{
        f"the SIP status of jambonz refines the outcome: {kind} {details}": (
            "jambonz", [(Kind.INITIATED, 0), (kind, 9, details)],
            {"status": kind.removeprefix("call."), "outcome": outcome},
        )
        for kind, details, outcome in [
            (Kind.COMPLETED, {}, Outcome.ANSWERED),
            (Kind.BUSY, {"sip_status": 486}, Outcome.BUSY),
            (Kind.BUSY, {"sip_status": 603}, Outcome.REJECTED),
            (Kind.NO_ANSWER, {"sip_status": 487}, Outcome.NO_ANSWER),
            (Kind.NO_ANSWER, {"sip_status": 487, "call_termination_by": "caller"}, Outcome.CANCELLED),
            (Kind.FAILED, {"sip_status": 404}, Outcome.FAILED),
            (Kind.FAILED, {"sip_status": 603}, Outcome.REJECTED),
            (Kind.FAILED, {"sip_status": 480}, Outcome.NO_ANSWER),
            (Kind.FAILED, {}, Outcome.FAILED),
        ]
    },
    **{
        f"the cause gives the outcome of an unanswered VoIPstudio call: {cause}": (
            "voipstudio", [(Kind.RINGING, 1), (Kind.COMPLETED, 9, {"reason": cause})],
            {"status": "completed", "outcome": outcome, "ring_seconds": 8, "talk_seconds": None},
        )
        for cause, outcome in VOIPSTUDIO_CAUSES.items()
    },
    **{
        f"completed does not make an unanswered call an answered one: {provider} {outcome}": (
            provider, [(Kind.RINGING, 1), (Kind(f"call.{outcome}"), 9), (Kind.COMPLETED, 9.5)],
            {"status": outcome.value, "outcome": outcome, "answered_at": None, "talk_seconds": None},
        )
        for provider in ("wavix", "bird", "jambonz", "voipstudio")
        for outcome in (Outcome.BUSY, Outcome.CANCELLED, Outcome.FAILED)
    },
    **{
        f"a bill alone gives the outcome: {disposition}": (
            "wavix", [(Kind.BILLED, 0, BILL, disposition)],
            {"status": status, "outcome": outcome, "talk_seconds": talked},
        )
        for disposition, (status, outcome, talked) in DISPOSITIONS.items()
    },
    **{
        f"a call missed on one phone and answered on another is answered: after {after}": (
            "voipstudio", [(Kind.RINGING, 1), (Kind.MISSED, 10), (Kind.ANSWERED, after), (Kind.COMPLETED, 60)],
            {"status": "completed", "outcome": Outcome.ANSWERED, "talk_seconds": 60 - after},
        )
        for after in (5, 10, 20)
    },
    "a call missed on one phone and answered on another goes on": (
        "voipstudio", [(Kind.RINGING, 1), (Kind.MISSED, 10), (Kind.ANSWERED, 20)],
        {"status": "answered", "outcome": None, "ended_at": None},
    ),
    "a missed VoIPstudio call is missed": ("voipstudio", [(Kind.MISSED, 30)], {"status": "missed"}),
    "a missed VoIPstudio call stays missed after the hangup": (
        "voipstudio", [(Kind.MISSED, 30, {"reason": "No Answer"}), (Kind.COMPLETED, 31, {"reason": "No Answer"})],
        {"status": "missed", "outcome": Outcome.MISSED, "ended_at": at(31)},
    ),
    "a Wavix call with an empty answer time is unanswered": (
        "wavix", [(Kind.RINGING, 1), (Kind.COMPLETED, 30)], {"outcome": Outcome.NO_ANSWER, "ring_seconds": 29},
    ),
    "a call with several ends ended with the last": (
        "voipstudio", [(Kind.COMPLETED, 10), (Kind.ANSWERED, 12), (Kind.COMPLETED, 60)],
        {"ended_at": at(60), "talk_seconds": 48},
    ),
    "an answer reported after the end is moved before it": (
        "jambonz", [(Kind.INITIATED, 0), (Kind.COMPLETED, 63, {"duration_seconds": 60}), (Kind.ANSWERED, 66)],
        {"answered_at": at(3), "ring_seconds": 3, "talk_seconds": 60},
    ),
    "a time days away from its event is ignored": (
        "jambonz",
        [(Kind.ANSWERED, 6, {"started_at": YEARS_AGO, "answered_at": YEARS_AGO}), (Kind.COMPLETED, 9)],
        {"started_at": at(6), "talk_seconds": 3},
    ),
    "a hangup with the answer time is enough": (
        "voipstudio", [(Kind.COMPLETED, 48, {"answered_at": "2026-11-21T06:30:06.000Z"})],
        {"outcome": Outcome.ANSWERED, "answered_at": at(6), "talk_seconds": 42},
    ),
    "a bill does not shorten a call": (
        "wavix", [(Kind.BILLED, 0, {"duration_seconds": -5}, "answered")], {"talk_seconds": 0},
    ),
    "a contradicting bill does not undo an answer": (
        "jambonz", [(Kind.ANSWERED, 6), (Kind.BILLED, 0, BILL, "noanswer")],
        {"status": "completed", "outcome": Outcome.ANSWERED, "talk_seconds": 42},
    ),
    "a bill ends a call without an end event": (
        "jambonz", [(Kind.ANSWERED, 6), (Kind.BILLED, 0, BILL, "answered")], {"ended_at": at(48), "talk_seconds": 42},
    ),
    "the switch takes precedence over the bill": (
        "jambonz", [(Kind.CANCELLED, 20), (Kind.BILLED, 0, {"charge": 0}, "noanswer")],
        {"status": "cancelled", "outcome": Outcome.CANCELLED, "cost": 0},
    ),
    "a call in progress has no outcome": (
        "jambonz", [(Kind.INITIATED, 0), (Kind.RINGING, 1), (Kind.ANSWERED, 5)],
        {"status": "answered", "outcome": None, "ring_seconds": 4, "talk_seconds": None, "ended_at": None},
    ),
    "a call on hold is held": ("jambonz", [(Kind.ANSWERED, 0), (Kind.HELD, 5)], {"status": "held"}),
    "a resumed call is answered": (
        "jambonz", [(Kind.ANSWERED, 0), (Kind.HELD, 5), (Kind.RESUMED, 8)], {"status": "answered"},
    ),
    "hold ends with the call": (
        "jambonz", [(Kind.ANSWERED, 0), (Kind.HELD, 5), (Kind.COMPLETED, 12)], {"hold_seconds": 7},
    ),
    "hold ends with the call and not with a later resumption": (
        "jambonz", [(Kind.ANSWERED, 0), (Kind.HELD, 5), (Kind.RESUMED, 99), (Kind.COMPLETED, 12)], {"hold_seconds": 7},
    ),
    "a rejected action hook is not an answer": (
        "jambonz", [(Kind.INITIATED, 0), (Kind.VERB, 3, {}, "in-progress")],
        {"status": "initiated", "answered_at": None},
    ),
    **{
        f"progress after the answer moves nothing: {provider}": (
            provider,
            [
                (Kind.INITIATED, 0), *([(Kind.RINGING, 2)] if rang else []), (Kind.ANSWERED, 5), (Kind.INITIATED, 99),
                (Kind.RINGING, 100), (Kind.EARLY_MEDIA, 100.5), (Kind.ANSWERED, 101), (Kind.COMPLETED, 150),
            ],
            {
                "status": "completed", "outcome": Outcome.ANSWERED, "started_at": at(0),
                "ringing_at": at(2) if rang else None, "answered_at": at(5), "ended_at": at(150),
                "ring_seconds": 3 if rang else 5, "talk_seconds": 145,
            },
        )
        for provider, rang in [
            ("jambonz", False), ("jambonz", True), ("wavix", True), ("bird", True), ("voipstudio", True),
        ]
    },
    "a transferred call stays answered": (
        "jambonz", [(Kind.INITIATED, 0), (Kind.ANSWERED, 5), (Kind.RINGING, 100)],
        {"status": "answered", "ringing_at": None, "ring_seconds": 5},
    ),
    "call times that are reported again move nothing": (
        "bird",
        [
            (Kind.RINGING, 1), (Kind.ANSWERED, 5),
            (Kind.RINGING, 100, {"ringing_at": "2026-11-21T06:31:40.000Z"}),
            (Kind.ANSWERED, 101, {"answered_at": "2026-11-21T06:31:41.000Z"}), (Kind.COMPLETED, 150),
        ],
        {"ringing_at": at(1), "answered_at": at(5), "talk_seconds": 145},
    ),
    "early media before ringing is the begin of ringing": (
        "jambonz", [(Kind.INITIATED, 0), (Kind.EARLY_MEDIA, 1), (Kind.RINGING, 3), (Kind.ANSWERED, 5)],
        {"ringing_at": at(1), "ring_seconds": 4},
    ),
    "a queue that rings several users before the answer rings from the first": (
        "voipstudio",
        [
            (Kind.INITIATED, 0, {"context": "QUEUE"}), (Kind.RINGING, 1, {"context": "LOCAL_USER", "dst_id": "1"}),
            (Kind.MISSED, 20, {"context": "LOCAL_USER", "dst_id": "1"}),
            (Kind.RINGING, 21, {"context": "LOCAL_USER", "dst_id": "2"}),
            (Kind.ANSWERED, 30, {"context": "LOCAL_USER", "dst_id": "2"}), (Kind.COMPLETED, 60),
        ],
        {"ringing_at": at(1), "answered_at": at(30), "ring_seconds": 29, "talk_seconds": 30},
    ),
    "ringing after the end of an unanswered call moves nothing": (
        "jambonz", [(Kind.INITIATED, 0), (Kind.BUSY, 9), (Kind.RINGING, 12)],
        {"status": "busy", "ringing_at": None, "ended_at": at(9), "ring_seconds": 9},
    ),
    "an answer that is reported again after the end moves nothing": (
        "jambonz", [(Kind.INITIATED, 0), (Kind.ANSWERED, 5), (Kind.COMPLETED, 50), (Kind.ANSWERED, 53)],
        {"answered_at": at(5), "ended_at": at(50), "talk_seconds": 45},
    ),
    **{
        f"an end that is reported again moves nothing: {provider} {kind}": (
            provider, [(Kind.INITIATED, 0), *answer, (kind, 50, {"reason": "first"}), (kind, 55, {"reason": "second"})],
            {"ended_at": at(50), "cause": "first"},
        )
        for provider in ("wavix", "bird", "jambonz", "voipstudio")
        for kind, answer in [
            (Kind.COMPLETED, [(Kind.ANSWERED, 5)]), (Kind.COMPLETED, []), (Kind.BUSY, []), (Kind.MISSED, []),
        ]
    },
    "a call ends with the last of its PBX objects": (
        "voipstudio",
        [
            (Kind.ANSWERED, 5), (Kind.COMPLETED, 48, {"context": "LOCAL_USER", "dst_id": "10002"}),
            (Kind.COMPLETED, 60, {"context": "QUEUE", "dst_id": "7"}),
            (Kind.COMPLETED, 62, {"context": "LOCAL_USER", "dst_id": "10002"}),
        ],
        {"ended_at": at(60)},
    ),
    "a call that rings again before any answer ends later": (
        "voipstudio", [(Kind.RINGING, 1), (Kind.COMPLETED, 10), (Kind.RINGING, 11), (Kind.COMPLETED, 40)],
        {"ringing_at": at(1), "ended_at": at(40), "ring_seconds": 39},
    ),
    "a call that rings after its reported answer does not end later": (
        "voipstudio",
        [
            (Kind.RINGING, 1), (Kind.COMPLETED, 48, {"answered_at": "2026-11-21T06:30:06.000Z"}), (Kind.RINGING, 50),
            (Kind.COMPLETED, 55),
        ],
        {"answered_at": at(6), "ended_at": at(48), "talk_seconds": 42},
    ),
    "a hold that is reported again starts once, and lasts through progress": (
        "jambonz",
        [
            (Kind.ANSWERED, 0), (Kind.HELD, 5), (Kind.HELD, 7), (Kind.RINGING, 8), (Kind.ANSWERED, 9),
            (Kind.RESUMED, 12), (Kind.RESUMED, 14), (Kind.COMPLETED, 20),
        ],
        {"hold_seconds": 7, "answered_at": at(0)},
    ),
    "progress does not end a hold": (
        "jambonz", [(Kind.ANSWERED, 0), (Kind.HELD, 5), (Kind.ANSWERED, 9)], {"status": "held", "hold_seconds": 0},
    ),
    **{
        f"a wrap-up lasts while its panel is open: {' '.join(f'{after} {state}' for after, state in panels)}": (
            "voipstudio",
            [
                (Kind.ANSWERED, 0), (Kind.COMPLETED, 48),
                *((Kind.QUEUE_WRAPUP, after, {}, state) for after, state in panels),
            ],
            {"wrapup_seconds": seconds, "ended_at": at(48), "talk_seconds": 48},
        )
        for panels, seconds in [
            ([(49, "START"), (58, "END")], 9),
            ([(49, "START"), (79, "TIMEOUT")], 30),
            ([(49, "start"), (51, "START"), (58, "end"), (60, "END")], 9),
            ([(49, "START"), (59, "END"), (70, "START"), (72, "END")], 12),
            ([(49, "END"), (49, "START")], 0),
            ([(49, "START")], None),
            ([(49, "START"), (51, "EXTENDED")], None),
            ([(58, "END")], None),
            ([], None),
        ]
    },
    "the reason of a playback is not the cause of the end": (
        "wavix", [(Kind.RINGING, 1), (Kind.COMPLETED, 9, {"media": "collect", "reason": "max_digits"})],
        {"cause": None, "outcome": Outcome.NO_ANSWER},
    ),
    "without an answer time the reported duration is used": (
        "jambonz", [(Kind.INITIATED, 0), (Kind.COMPLETED, 70, {"duration_seconds": 64})],
        {"talk_seconds": 64, "ring_seconds": None},
    ),
    "an unanswered queue call was missed in the queue": (
        "voipstudio", [(Kind.MISSED, 30, {"context": "QUEUE", "called_name": "Support"})],
        {"missed_in_queue": True, "queue": "Support"},
    ),
    **{
        f"clocks that disagree give no negative duration: {clock}": (
            "jambonz", [(Kind.RINGING, 5), (Kind.ANSWERED, 5 + clock), (Kind.COMPLETED, 1 + clock)],
            {"ring_seconds": 0, "talk_seconds": 0},
        )
        for clock in (-30, 0)
    },
    **{
        f"every word for a machine or a person is recognised: {details}": (
            "jambonz", [(Kind.ANSWERED, 1, details)], {"machine_detected": machine},
        )
        for details, machine in [
            ({"machine_detected": True}, True), ({"answered_by": "machine"}, True), ({"answered_by": "human"}, False),
            ({"amd_result": "MACHINE_END_BEEP"}, True), ({}, None),
        ]
    },
    "tags appear once and customer data with the last value": (
        "jambonz",
        [
            (Kind.INITIATED, 0, {"tag": "reminder", "customer_data.order": "A-1", "customer_data.tries": 1}),
            (Kind.ANSWERED, 1, {"tag": "reminder", "customer_data.order": "A-2"}),
            (Kind.COMPLETED, 2, {"tag": "paid"}),
        ],
        {"tags": ("reminder", "paid"), "customer_data": {"order": "A-2", "tries": 1}},
    ),
    "the tags of Bird are separated by commas": (
        "bird", [(Kind.INITIATED, 0, {"tag": "vip, gold"})], {"tags": ("vip", "gold")},
    ),
}  # fmt: skip
"""For each promise: the provider of a call, its events, and members of the call.

An event is its kind, its seconds from the start of the call, its details and its status.
"""


@pytest.mark.parametrize("promise", CALLS)
def test_a_call_is_built_as_promised(promise: str) -> None:
    provider, steps, members = CALLS[promise]
    events = [
        make_event(kind, after, *rest[:1], provider=provider, status=rest[1] if rest[1:] else None)
        for kind, after, *rest in steps
    ]
    call = fold(events)
    assert {name: getattr(call, name) for name in members} == members


def test_a_call_needs_at_least_one_event() -> None:
    with pytest.raises(ValueError, match="at least one event"):
        fold([])


DELIVERED = {sequence: delivered(sequence) for sequence in SEQUENCES}


@pytest.mark.parametrize("sequence", SEQUENCES)
class TestAnyOrder:
    """A call is a function of the set of its events."""

    @given(data=st.data())
    def test_any_order_and_duplicates_of_a_partial_sequence_give_the_same_call(
        self, sequence: str, data: st.DataObject
    ) -> None:
        events = DELIVERED[sequence]
        part = data.draw(st.lists(st.sampled_from(events), min_size=1, unique_by=lambda event: event.dedupe_key))
        again = data.draw(st.lists(st.sampled_from(part)))
        arrived = data.draw(st.permutations([*part, *again]))
        in_order = sorted(part, key=events.index)
        assert fold(arrived) == fold(in_order)

    @given(data=st.data())
    def test_a_call_only_moves_forward(self, sequence: str, data: st.DataObject) -> None:
        arrived = data.draw(st.permutations(DELIVERED[sequence]))
        progress = [fold(arrived[:number]) for number in range(1, len(arrived) + 1)]
        ended = [call.outcome is not None for call in progress]
        assert ended == sorted(ended)
        assert [call.event_count for call in progress] == list(range(1, len(arrived) + 1))


def without_counts(call: Call) -> dict[str, Any]:
    return call.model_dump(exclude={"event_count", "last_event_at"})


class TestProgressReportedAgain:
    """An event that is reported again has a new time and a new key, and sometimes new call times."""

    def again(self, data: st.DataObject, event: CallEvent, since: datetime, until: datetime) -> CallEvent:
        seconds = data.draw(st.integers(0, int((until - since).total_seconds())))
        moment = since + timedelta(seconds=seconds)
        names = data.draw(st.sets(st.sampled_from(["started_at", "ringing_at", "answered_at", "ended_at"])))
        times = dict.fromkeys(names & event.details.keys(), utc_text(moment))
        key = data.draw(st.text("0123456789abcdef", min_size=12, max_size=12))
        return replace(event, dedupe_key=key, sent_at=moment, details={**event.details, **times})

    @examples(300)
    @given(st.sampled_from(list(DELIVERED.values())), st.data())
    def test_changes_only_the_number_of_events(self, events: list[CallEvent], data: st.DataObject) -> None:
        call = fold(events)
        assert call.answered_at is not None
        assert call.ended_at is not None
        hours_later = call.ended_at + timedelta(hours=3)
        spans = {
            Kind.INITIATED: (call.answered_at, hours_later),
            Kind.RINGING: (call.answered_at + timedelta(seconds=1), hours_later),
            Kind.EARLY_MEDIA: (call.answered_at + timedelta(seconds=1), hours_later),
            # An answer after the end means that the call went on, if it ends again.
            Kind.ANSWERED: (call.answered_at, call.ended_at),
            Kind.COMPLETED: (call.ended_at, hours_later),
        }
        # Some calls are only reported as ringing when they are transferred.
        ringing = [replace(events[0], kind=kind, name=kind) for kind in (Kind.RINGING, Kind.EARLY_MEDIA)]
        progress = st.sampled_from([*(event for event in events if event.kind in spans), *ringing])
        repeated = data.draw(st.lists(progress, min_size=1, max_size=6))
        reported_again = [self.again(data, event, *spans[event.kind]) for event in repeated]
        arrived = data.draw(st.permutations([*events, *reported_again, *reported_again]))
        assert without_counts(fold(arrived)) == without_counts(call)


LAST_MILLISECOND = int((datetime(9999, 12, 30, tzinfo=UTC) - START).total_seconds()) * 1000
moments = st.integers(-(10**12), LAST_MILLISECOND).map(
    lambda milliseconds: START + timedelta(milliseconds=milliseconds)
)
moment_texts = moments.map(lambda moment: moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
numbers = st.integers(-(10**37), 10**37) | st.decimals(-(10**9), 10**9, places=4)
details_of_any_event = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(
            ("started_at", "created_at", "ringing_at", "answered_at", "ended_at"), moment_texts | st.text()
        ),
        **dict.fromkeys(("duration_seconds", "charge", "sip_status", "cause_code"), numbers | st.text(max_size=4)),
        **dict.fromkeys(
            ("reason", "digits", "tag", "queue", "context", "answered_by", "parent_call_sid", "src_hash"), st.text()
        ),
        "machine_detected": st.booleans(),
        "customer_data.": st.text(),
        "customer_data.order": st.text() | st.integers() | st.booleans(),
    },
)
any_event = st.builds(
    CallEvent,
    provider=st.just("wavix"),
    call_id=st.just("one-call"),
    dedupe_key=st.text("abcdef0123456789", min_size=8, max_size=8),
    kind=st.sampled_from(Kind),
    name=st.text(),
    received_at=st.just(NOW),
    sent_at=st.none() | moments | st.integers(0, 3).map(at),
    status=st.none() | st.text(max_size=8),
    direction=st.none() | st.sampled_from(["inbound", "outbound"]),
    from_=st.none() | st.text(min_size=1, max_size=8),
    to=st.none() | st.text(min_size=1, max_size=8),
    details=details_of_any_event,
)
any_events = st.lists(any_event, min_size=1, max_size=8, unique_by=lambda event: event.dedupe_key)


class TestAnyEvents:
    @given(any_events, st.randoms(use_true_random=False))
    def test_any_events_in_any_order_give_one_call(self, events: list[CallEvent], chance: random.Random) -> None:
        arrived = [*events, *chance.choices(events, k=3)]
        chance.shuffle(arrived)
        assert fold(arrived) == fold(events)

    @given(any_events, any_event)
    def test_only_an_answer_reopens_a_call_and_only_a_missed_one(
        self, events: list[CallEvent], late: CallEvent
    ) -> None:
        before, after = fold(events), fold([*events, replace(late, dedupe_key="later-than-all")])
        if before.outcome not in (None, Outcome.MISSED):
            assert after.outcome is not None

    @given(any_events)
    def test_the_times_of_a_call_are_in_order_and_match_its_outcome(self, events: list[CallEvent]) -> None:
        call = fold(events)
        moments = [call.started_at, call.ringing_at, call.answered_at, call.ended_at]
        known = [moment for moment in moments if moment]
        assert known == sorted(known)
        assert all(seconds is None or seconds >= 0 for seconds in (call.ring_seconds, call.talk_seconds))
        assert all(seconds is None or seconds >= 0 for seconds in (call.hold_seconds, call.wrapup_seconds))
        assert (call.ended_at is None) or (call.outcome is not None)
        if call.outcome not in (None, Outcome.ANSWERED):
            assert (call.answered_at, call.talk_seconds) == (None, None)

    @given(any_events)
    def test_a_call_is_stored_and_listed_unchanged(self, events: list[CallEvent]) -> None:
        call = fold(events)
        item = call_item("wavix#one-call", call, expires_at=1)
        assert size_of({"M": item}) < 200_000
        assert summary_of_item(item) == CallSummary.model_validate(
            call.model_dump(include=set(CallSummary.model_fields))
        )
        assert Call.model_validate_json(call.model_dump_json(by_alias=True)) == call

    @given(any_event)
    def test_an_event_is_read_back_as_stored(self, event: CallEvent) -> None:
        item = event_item(event, Request("POST", "/"), Response(200, "[]"), retention_days=1)
        read = event_of_item(item)
        assert position(read)[2:] == position(event)[2:]
        assert fold([read]).model_dump() == fold([event_of_item(item)]).model_dump()

    def test_the_largest_possible_call_fits_into_an_item(self) -> None:
        text = "\U0001f600" * 30_000
        details = {f"customer_data.{number}{text}": text for number in range(100)}
        details |= dict.fromkeys(("caller_name", "called_name", "trunk", "reason", "queue", "src_hash"), text)
        events = [
            make_event(Kind.DTMF, number, {**details, "digits": text, "tag": f"{number}{text}"}, from_=text, to=text)
            for number in range(200)
        ]
        assert size_of({"M": call_item("jambonz#one-call", fold(events), expires_at=None)}) < 250_000
