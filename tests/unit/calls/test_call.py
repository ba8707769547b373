"""The call that is built from events, in any order."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from callhooks.calls.call import Call, CallStatus, CallSummary, Outcome, position
from callhooks.calls.repository import call_item, summary_of_item
from callhooks.events.call_event import CallEvent, Detail, Kind
from callhooks.events.event_item import event_item, event_of_item
from callhooks.runtime.http import Request, Response
from hypothesis import given
from hypothesis import strategies as st

from tests.calls import SEQUENCES, START, delivered, fold, make_event, of
from tests.support import NOW, size_of

NO_ANSWER: dict[str, Detail] = {"reason": "No Answer"}


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


class TestEachProvider:
    def test_wavix(self) -> None:
        call = fold(delivered("wavix"))
        assert (call.status, call.outcome, call.direction) == (CallStatus.COMPLETED, Outcome.ANSWERED, "inbound")
        assert (call.from_, call.to) == ("+12125550187", "14155550123")
        assert (call.started_at, call.ringing_at) == (at(0.118), at(0.731))
        assert (call.answered_at, call.ended_at) == (at(6.402), at(48.9))
        assert (call.ring_seconds, call.talk_seconds) == (5.671, 42.498)
        assert call.dtmf == ("1234",)
        assert call.machine_detected is False

    def test_a_wavix_bill_adds_the_cost_and_changes_no_times(self) -> None:
        events = delivered("wavix")
        bill = make_event(
            Kind.BILLED, 0, {"charge": Decimal("0.0095"), "duration_seconds": 42}, provider="wavix", status="answered"
        )
        billed = fold([*events, bill])
        assert (billed.cost, billed.currency) == (Decimal("0.0095"), "USD")
        unmoved = billed.model_copy(update={"cost": None, "currency": None, "event_count": len(events)})
        assert unmoved == fold(events)

    def test_bird(self) -> None:
        call = fold(delivered("bird"))
        assert (call.status, call.outcome, call.direction) == (CallStatus.COMPLETED, Outcome.ANSWERED, "inbound")
        assert (call.started_at, call.ringing_at) == (at(0), at(1.5))
        assert (call.answered_at, call.ended_at) == (at(6), at(48))
        assert (call.ring_seconds, call.talk_seconds) == (4.5, 42)
        assert (call.cause_code, call.sip_status) == (16, 200)

    def test_voipstudio(self) -> None:
        call = fold(delivered("voipstudio"))
        assert (call.status, call.outcome, call.direction) == (CallStatus.COMPLETED, Outcome.ANSWERED, "inbound")
        assert (call.started_at, call.answered_at, call.ended_at) == (at(0), at(6), at(48))
        assert call.talk_seconds == 42
        assert call.hold_seconds == 10
        assert (call.cause, call.called_name) == ("Normal Clearing", "John Smith")
        assert call.conversation_id == "9a3f5cefbc82fc4e924bdaa21342a49c18c5dd90"
        assert call.dtmf == ("*",)
        assert call.queue is None

    def test_jambonz(self) -> None:
        call = fold(delivered("jambonz"))
        assert (call.status, call.outcome, call.direction) == (CallStatus.COMPLETED, Outcome.ANSWERED, "inbound")
        assert (call.ring_seconds, call.talk_seconds, call.hold_seconds) == (4, 14, 2)
        assert (call.ended_by, call.cause_code, call.cause) == ("caller", 16, None)
        assert (call.queue, call.missed_in_queue) == ("support", True)
        assert call.machine_detected is True
        assert call.customer_data["orderId"] == "A-1001"
        assert call.conversation_id == call.call_id

    def test_a_jambonz_dialled_leg(self) -> None:
        call = fold(delivered("jambonz leg"))
        assert (call.status, call.outcome, call.direction) == (CallStatus.COMPLETED, Outcome.ANSWERED, "outbound")
        assert (call.ring_seconds, call.talk_seconds) == (4, 4)
        assert call.parent_call_id == call.conversation_id == "d2515c3b-b79a-41a2-971a-445e769c823c"


class TestOutcome:
    @pytest.mark.parametrize(
        ("kind", "details", "outcome"),
        [
            (Kind.COMPLETED, {}, Outcome.ANSWERED),
            (Kind.BUSY, {"sip_status": 486}, Outcome.BUSY),
            (Kind.BUSY, {"sip_status": 603}, Outcome.REJECTED),
            (Kind.NO_ANSWER, {"sip_status": 487}, Outcome.NO_ANSWER),
            (Kind.NO_ANSWER, {"sip_status": 487, "call_termination_by": "caller"}, Outcome.CANCELLED),
            (Kind.FAILED, {"sip_status": 404}, Outcome.FAILED),
            (Kind.FAILED, {"sip_status": 603}, Outcome.REJECTED),
            (Kind.FAILED, {"sip_status": 480}, Outcome.NO_ANSWER),
            (Kind.FAILED, {}, Outcome.FAILED),
        ],
    )
    def test_the_sip_status_of_jambonz_refines_the_outcome(
        self, kind: Kind, details: dict[str, Detail], outcome: Outcome
    ) -> None:
        call = fold([make_event(Kind.INITIATED), make_event(kind, 9, details)])
        assert (f"call.{call.status}", call.outcome) == (kind, outcome)

    @pytest.mark.parametrize(
        ("cause", "outcome"),
        [
            ("Normal Clearing", Outcome.NO_ANSWER),
            ("User busy", Outcome.BUSY),
            ("No Answer", Outcome.NO_ANSWER),
            ("Call Rejected", Outcome.REJECTED),
            ("Originator Cancel", Outcome.CANCELLED),
            ("Network out of order", Outcome.FAILED),
            ("", Outcome.NO_ANSWER),
        ],
    )
    def test_the_cause_gives_the_outcome_of_an_unanswered_voipstudio_call(self, cause: str, outcome: Outcome) -> None:
        call = fold(of("voipstudio", make_event(Kind.RINGING, 1), make_event(Kind.COMPLETED, 9, {"reason": cause})))
        assert (call.status, call.outcome) == (CallStatus.COMPLETED, outcome)
        assert (call.ring_seconds, call.talk_seconds) == (8, None)

    def test_a_missed_voipstudio_call_stays_missed_after_the_hangup(self) -> None:
        missed, hung_up = make_event(Kind.MISSED, 30, NO_ANSWER), make_event(Kind.COMPLETED, 31, NO_ANSWER)
        assert fold(of("voipstudio", missed)).status is CallStatus.MISSED
        call = fold(of("voipstudio", missed, hung_up))
        assert (call.status, call.outcome, call.ended_at) == (CallStatus.MISSED, Outcome.MISSED, at(31))

    @pytest.mark.parametrize("answered_after", [5, 10, 20])
    def test_a_call_missed_on_one_phone_and_answered_on_another_is_answered(self, answered_after: float) -> None:
        rang = of(
            "voipstudio",
            make_event(Kind.RINGING, 1),
            make_event(Kind.MISSED, 10),
            make_event(Kind.ANSWERED, answered_after),
        )
        call = fold(rang)
        assert (call.status, call.outcome, call.ended_at) == (CallStatus.ANSWERED, None, None)
        over = fold([*rang, *of("voipstudio", make_event(Kind.COMPLETED, 60))])
        assert (over.status, over.outcome, over.talk_seconds) == (
            CallStatus.COMPLETED,
            Outcome.ANSWERED,
            60 - answered_after,
        )

    @pytest.mark.parametrize("provider", ["wavix", "bird", "jambonz", "voipstudio"])
    @pytest.mark.parametrize(
        ("kind", "outcome"),
        [(Kind.BUSY, Outcome.BUSY), (Kind.CANCELLED, Outcome.CANCELLED), (Kind.FAILED, Outcome.FAILED)],
    )
    def test_completed_does_not_turn_an_unanswered_call_into_an_answered_one(
        self, provider: str, kind: Kind, outcome: Outcome
    ) -> None:
        call = fold(of(provider, make_event(Kind.RINGING, 1), make_event(kind, 9), make_event(Kind.COMPLETED, 9.5)))
        assert (call.status.value, call.outcome) == (kind.removeprefix("call."), outcome)
        assert (call.answered_at, call.talk_seconds) == (None, None)

    def test_a_wavix_call_with_an_empty_answer_time_is_unanswered(self) -> None:
        call = fold(of("wavix", make_event(Kind.RINGING, 1), make_event(Kind.COMPLETED, 30)))
        assert (call.outcome, call.ring_seconds) == (Outcome.NO_ANSWER, 29)

    def test_a_call_with_several_ends_ended_with_the_last(self) -> None:
        call = fold(
            of(
                "voipstudio",
                make_event(Kind.COMPLETED, 10),
                make_event(Kind.ANSWERED, 12),
                make_event(Kind.COMPLETED, 60),
            )
        )
        assert (call.ended_at, call.talk_seconds) == (at(60), 48)

    def test_an_answer_reported_after_the_end_is_moved_before_it(self) -> None:
        late = [
            make_event(Kind.INITIATED),
            make_event(Kind.COMPLETED, 63, {"duration_seconds": 60}),
            make_event(Kind.ANSWERED, 66),
        ]
        call = fold(late)
        assert (call.answered_at, call.ring_seconds, call.talk_seconds) == (at(3), 3, 60)

    def test_a_time_days_away_from_its_event_is_ignored(self) -> None:
        reported_at = "2023-11-21T06:30:00.000Z"
        call = fold(
            [
                make_event(Kind.ANSWERED, 6, {"started_at": reported_at, "answered_at": reported_at}),
                make_event(Kind.COMPLETED, 9),
            ]
        )
        assert (call.started_at, call.talk_seconds) == (at(6), 3)

    def test_a_hangup_with_the_answer_time_is_enough(self) -> None:
        hung_up = make_event(Kind.COMPLETED, 48, {"answered_at": "2026-11-21T06:30:06.000Z"}, provider="voipstudio")
        call = fold([hung_up])
        assert (call.outcome, call.answered_at, call.talk_seconds) == (Outcome.ANSWERED, at(6), 42)

    @pytest.mark.parametrize(
        ("disposition", "status", "outcome", "talked"),
        [
            ("answered", CallStatus.COMPLETED, Outcome.ANSWERED, 42),
            ("noanswer", CallStatus.NO_ANSWER, Outcome.NO_ANSWER, None),
            ("busy", CallStatus.BUSY, Outcome.BUSY, None),
            ("failed", CallStatus.FAILED, Outcome.FAILED, None),
            ("teleported", CallStatus.COMPLETED, Outcome.ANSWERED, 42),
        ],
    )
    def test_a_bill_alone_gives_the_outcome(
        self, disposition: str, status: CallStatus, outcome: Outcome, talked: int | None
    ) -> None:
        call = fold([make_event(Kind.BILLED, 0, {"duration_seconds": 42}, provider="wavix", status=disposition)])
        assert (call.status, call.outcome, call.talk_seconds) == (status, outcome, talked)

    def test_a_bill_does_not_shorten_a_call(self) -> None:
        call = fold([make_event(Kind.BILLED, 0, {"duration_seconds": -5}, provider="wavix", status="answered")])
        assert call.talk_seconds == 0

    def test_a_contradicting_bill_does_not_undo_an_answer(self) -> None:
        call = fold(
            [make_event(Kind.ANSWERED, 6), make_event(Kind.BILLED, 0, {"duration_seconds": 42}, status="noanswer")]
        )
        assert (call.status, call.outcome, call.talk_seconds) == (CallStatus.COMPLETED, Outcome.ANSWERED, 42)

    def test_a_bill_ends_a_call_without_an_end_event(self) -> None:
        call = fold(
            [make_event(Kind.ANSWERED, 6), make_event(Kind.BILLED, 0, {"duration_seconds": 42}, status="answered")]
        )
        assert (call.ended_at, call.talk_seconds) == (at(48), 42)

    def test_the_switch_takes_precedence_over_the_bill(self) -> None:
        call = fold([make_event(Kind.CANCELLED, 20), make_event(Kind.BILLED, 0, {"charge": 0}, status="noanswer")])
        assert (call.status, call.outcome, call.cost) == (CallStatus.CANCELLED, Outcome.CANCELLED, Decimal(0))

    def test_a_call_in_progress_has_no_outcome(self) -> None:
        call = fold([make_event(Kind.INITIATED), make_event(Kind.RINGING, 1), make_event(Kind.ANSWERED, 5)])
        assert (call.status, call.outcome) == (CallStatus.ANSWERED, None)
        assert (call.ring_seconds, call.talk_seconds, call.ended_at) == (4, None, None)

    def test_a_call_on_hold_is_held_until_it_is_resumed(self) -> None:
        held = [make_event(Kind.ANSWERED), make_event(Kind.HELD, 5)]
        assert fold(held).status is CallStatus.HELD
        assert fold([*held, make_event(Kind.RESUMED, 8)]).status is CallStatus.ANSWERED

    @pytest.mark.parametrize(
        "held", [[make_event(Kind.HELD, 5), make_event(Kind.RESUMED, 99)], [make_event(Kind.HELD, 5)]]
    )
    def test_hold_ends_with_the_call(self, held: list[CallEvent]) -> None:
        assert fold([make_event(Kind.ANSWERED), *held, make_event(Kind.COMPLETED, 12)]).hold_seconds == 7

    def test_a_rejected_action_hook_is_not_an_answer(self) -> None:
        call = fold([make_event(Kind.INITIATED), make_event(Kind.VERB, 3, status="in-progress")])
        assert (call.status, call.answered_at) == (CallStatus.INITIATED, None)

    def test_without_an_answer_time_the_reported_duration_is_used(self) -> None:
        call = fold([make_event(Kind.INITIATED), make_event(Kind.COMPLETED, 70, {"duration_seconds": 64})])
        assert (call.talk_seconds, call.ring_seconds) == (64, None)

    def test_an_unanswered_queue_call_was_missed_in_the_queue(self) -> None:
        missed = make_event(Kind.MISSED, 30, {"context": "QUEUE", "called_name": "Support"}, provider="voipstudio")
        call = fold([missed])
        assert (call.missed_in_queue, call.queue) == (True, "Support")

    @pytest.mark.parametrize("clock", [-30, 0])
    def test_clocks_that_disagree_give_no_negative_duration(self, clock: float) -> None:
        call = fold(
            [make_event(Kind.RINGING, 5), make_event(Kind.ANSWERED, 5 + clock), make_event(Kind.COMPLETED, 1 + clock)]
        )
        assert (call.ring_seconds, call.talk_seconds) == (0, 0)

    @pytest.mark.parametrize(
        ("details", "machine"),
        [
            ({"machine_detected": True}, True),
            ({"answered_by": "machine"}, True),
            ({"answered_by": "human"}, False),
            ({"amd_result": "MACHINE_END_BEEP"}, True),
            ({}, None),
        ],
    )
    def test_every_word_for_a_machine_or_a_person_is_recognised(
        self, details: dict[str, Detail], machine: bool | None
    ) -> None:
        assert fold([make_event(Kind.ANSWERED, 1, details)]).machine_detected is machine

    def test_tags_appear_once_and_customer_data_with_the_last_value(self) -> None:
        events = [
            make_event(Kind.INITIATED, 0, {"tag": "reminder", "customer_data.order": "A-1", "customer_data.tries": 1}),
            make_event(Kind.ANSWERED, 1, {"tag": "reminder", "customer_data.order": "A-2"}),
            make_event(Kind.COMPLETED, 2, {"tag": "paid"}),
        ]
        call = fold(events)
        assert call.tags == ("reminder", "paid")
        assert fold(of("bird", make_event(Kind.INITIATED, 0, {"tag": "vip, gold"}))).tags == ("vip", "gold")
        assert call.customer_data == {"order": "A-2", "tries": 1}

    def test_a_call_needs_at_least_one_event(self) -> None:
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
        moments = [call.started_at, call.answered_at, call.ended_at]
        known = [moment for moment in moments if moment]
        assert known == sorted(known)
        assert all(seconds is None or seconds >= 0 for seconds in (call.ring_seconds, call.talk_seconds))
        assert call.hold_seconds is None or call.hold_seconds >= 0
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
