"""The metrics of each delivery in the embedded metric format: one line, by provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from callhooks.providers.jambonz.new_call import NewCallWebhook
from callhooks.runtime.http import Request
from callhooks.runtime.metrics import NAMESPACE, count, measure
from callhooks.webhooks import pipeline as receiver
from hypothesis import given
from hypothesis import strategies as st

from tests.senders import SENDERS, Sender, document_of, jambonz_event
from tests.support import (
    NOW,
    OUT_OF_ORDER,
    PERMANENT_REJECTION,
    PLAN,
    Clock,
    Container,
    Event,
    FakeDynamoDB,
    FakeQueue,
    FakeSecrets,
    credential_store,
    get_writer_of,
    metric_lines,
    recorded,
    signed,
    signed_event,
)

EVENT_OF = {
    "jambonz": "call_status_inbound_trying",
    "wavix": "ringing",
    "bird": "voice_inbound_ringing",
    "voipstudio": "call_ringing",
}
ALL_SENDERS: dict[str, Callable[[], Sender]] = {**SENDERS, "jambonz": jambonz_event}
CALL = {"call_sid": "d2515c3b", "call_status": "trying"}
BY_REASON = [{"service"}, {"service", "provider", "reason"}]


@pytest.fixture(params=ALL_SENDERS)
def sender(request: pytest.FixtureRequest) -> Sender:
    return ALL_SENDERS[request.param]()


@pytest.fixture
def document(sender: Sender) -> dict[str, Any]:
    return document_of(sender.provider, EVENT_OF[sender.provider])


class Lines:
    """The metric lines written since the last call."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def all(self) -> list[dict[str, Any]]:
        return metric_lines(self._capsys.readouterr().out)

    def one(self) -> dict[str, Any]:
        (line,) = self.all()
        return line

    def of_json(self) -> list[dict[str, Any]]:
        """Return all lines, also those without a metric."""
        return [json.loads(line) for line in self._capsys.readouterr().out.splitlines()]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return Lines(capsys)


def counted(line: dict[str, Any]) -> set[str]:
    (described,) = line["_aws"]["CloudWatchMetrics"]
    names = {metric["Name"] for metric in described["Metrics"]}
    assert described["Namespace"] == NAMESPACE
    assert all(len(line[name]) == 1 for name in names)
    return names


def dimensions(line: dict[str, Any]) -> list[set[str]]:
    (described,) = line["_aws"]["CloudWatchMetrics"]
    return [set(names) for names in described["Dimensions"]]


class TestADelivery:
    def test_is_counted_as_stored_then_as_repeated_by_provider(
        self, sender: Sender, document: dict[str, Any], lines: Lines
    ) -> None:
        sender.send(document)
        first = lines.one()
        assert counted(first) == {"EventStored"}
        assert (first["provider"], dimensions(first)) == (sender.provider, [{"service", "provider"}])
        assert first.keys() == {"_aws", "service", "provider", "EventStored", "answer_ms", "call_id"}
        sender.send(document)
        sender.another_container().send(document)
        assert [counted(line) for line in lines.all()] == [{"EventRepeated"}] * 2

    def test_that_is_spilled_is_not_counted_as_stored(
        self, sender: Sender, document: dict[str, Any], lines: Lines
    ) -> None:
        sender.database.fault = RuntimeError("odd")
        sender.send(document)
        spilled, answered = lines.of_json()
        assert (counted(spilled), dimensions(spilled)) == ({"EventSpilled"}, [{"service"}])
        assert (spilled["provider"], spilled["reason"]) == (sender.provider, "RuntimeError")
        assert answered.keys() == {"provider", "answer_ms", "call_id", "outcome"}
        assert answered["outcome"] == "spilled"

    def test_that_is_rejected_or_cannot_be_parsed_is_counted_by_reason(self, sender: Sender, lines: Lines) -> None:
        sender.receive({**sender.event("{}"), "headers": {}, "pathParameters": {}})
        refused = lines.one()
        assert (counted(refused), refused["provider"]) == ({"WebhookRefused"}, sender.provider)
        sender.send("not JSON")
        quarantined = lines.one()
        assert counted(quarantined) == {"EventQuarantined"}
        assert dimensions(refused) == dimensions(quarantined) == BY_REASON

    def test_that_dynamodb_will_never_accept_is_counted_as_quarantined(
        self, sender: Sender, document: dict[str, Any], lines: Lines
    ) -> None:
        sender.database.fault = ClientError(PERMANENT_REJECTION, "PutItem")
        sender.send(document)
        assert "EventQuarantined" in set().union(*map(counted, lines.all()))

    def test_is_stored_even_if_its_metrics_fail(
        self, sender: Sender, document: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object, **__: object) -> None:
            raise OSError("stdout is closed")

        monkeypatch.setattr(receiver, "emit_delivery_metrics", broken)
        assert sender.send(document).statusCode == 200
        assert len(sender.items) == 1


class TestANewCall:
    def test_is_counted_with_the_time_that_the_caller_waited(self, lines: Lines) -> None:
        container = Container()
        container.receive_call(CALL)
        answered = lines.one()
        assert counted(answered) == {"EventStored", "CallAnswerTime"}
        (described,) = answered["_aws"]["CloudWatchMetrics"]
        assert {metric["Name"]: metric["Unit"] for metric in described["Metrics"]} == {
            "EventStored": "Count", "CallAnswerTime": "Milliseconds",
        }  # fmt: skip
        container.receive_call(CALL)
        assert counted(lines.one()) == {"EventRepeated", "CallAnswerTime"}

    def test_is_counted_even_if_it_cannot_be_stored(self, lines: Lines) -> None:
        container = Container()
        container.database.fault = RuntimeError("odd")
        container.queue.fault = OUT_OF_ORDER
        container.receive_call(CALL)
        (answered,) = [line for line in lines.all() if "CallAnswerTime" in line]
        assert counted(answered) == {"CallAnswerTime"}

    def test_that_gets_the_fallback_is_counted_for_the_alarm(self, lines: Lines) -> None:
        Container(secrets=FakeSecrets(fault=RuntimeError("down"))).receive_call(CALL)
        fell_back, waited = lines.all()
        assert (counted(fell_back), counted(waited)) == ({"CallFellBack"}, {"CallAnswerTime"})
        assert waited["outcome"] == "fell back"
        Container(plan=PLAN._replace(routes=())).receive_call(CALL)
        assert "CallFellBack" in set().union(*map(counted, lines.all()))

    def test_answered_by_the_builtin_plan_counts_as_fallback_each_time(self, lines: Lines) -> None:
        plan = PLAN._replace(uses_builtin_plan=True)
        container = Container(plan=plan)
        for number in range(2):
            container.receive_call({**CALL, "call_sid": f"call-{number}"})
        assert [counted(line) for line in lines.all()] == [
            {"CallFellBack"},
            {"EventStored", "CallAnswerTime"},
        ] * 2

    @pytest.mark.parametrize(
        "event",
        [
            signed({**recorded("new_call"), "body": "not JSON"}),
            signed({**recorded("new_call"), "body": '{"from": "+12125550187"}'}),
            signed_event(CALL, secret="wrong"),
        ],
        ids=["not JSON", "no call id", "a wrong signature"],
    )
    def test_that_is_rejected_is_counted_for_the_alarm(self, event: Event, lines: Lines) -> None:
        Container().receive(event)
        refused, of_call_hook = lines.all()
        assert (counted(refused), counted(of_call_hook)) == ({"WebhookRefused"}, {"CallRefused"})
        assert dimensions(of_call_hook) == [{"service"}]

    @pytest.mark.parametrize(
        ("headers", "is_anonymous"),
        [
            ({}, True),
            ({"content-type": "application/json", "user-agent": "scan", "cookie": "a=b"}, True),
            ({"Authorization": " \t "}, True),
            ({"authorization": "", "jambonz-signature": " "}, True),
            ({"proxy-authorization": "Basic YTpi", "x-jambonz-signature": "t=1,v1=00"}, True),
            ({"authorization": "Basic YTpi"}, False),
            ({"AUTHORIZATION": "Basic YTpi"}, False),
            ({"Authorization": "Bearer x"}, False),
            ({"authorization": "Basic"}, False),
            ({"authorization": "\u00e9"}, False),
            ({"jambonz-signature": "t=1,v1=00"}, False),
            ({"authorization": "", "JAMBONZ-SIGNATURE": "odd"}, False),
        ],
    )
    def test_without_credentials_and_signature_has_its_own_metric(
        self, headers: dict[str, str], is_anonymous: bool, lines: Lines
    ) -> None:
        container = Container()
        answer = container.receive({**signed_event(CALL), "headers": headers})
        assert (answer.statusCode, container.database.calls) == (401, 0)
        refused, of_call_hook = lines.all()
        assert counted(refused) == {"WebhookRefused"}
        assert counted(of_call_hook) == {"CallRefusedAnonymous" if is_anonymous else "CallRefused"}
        assert dimensions(of_call_hook) == [{"service"}]
        assert container.secrets.reads == (0 if is_anonymous else container.secrets.reads)

    def test_that_cannot_be_read_counts_as_anonymous(self, lines: Lines) -> None:
        Container().receive({**signed_event(CALL), "body": "%", "isBase64Encoded": True})
        assert [counted(line) for line in lines.all()] == [{"WebhookRefused"}, {"CallRefusedAnonymous"}]

    def test_with_the_configured_signature_header_is_not_anonymous(self, lines: Lines) -> None:
        clock = Clock()
        own = receiver.Receiver(
            NewCallWebhook(PLAN, signature_header="X-Own-Signature", public_url=""),
            credentials=credential_store(FakeSecrets(), clock),
            get_writer=get_writer_of(FakeDynamoDB(), FakeQueue()),
            clock=clock,
            retention_days=90,
        )
        for name in ("x-own-signature", "jambonz-signature"):
            own.receive({**signed_event(CALL), "headers": {name: "t=1,v1=00"}})
        assert [counted(line) for line in lines.all()][1::2] == [{"CallRefused"}, {"CallRefusedAnonymous"}]


class Slow(Clock):
    """A clock that advances with each reading."""

    def __call__(self) -> Any:
        now = super().__call__()
        self.advance(0.1)
        return now


class TestTheAnswerTime:
    def event(self, since: timedelta) -> dict[str, Any]:
        event = signed(recorded("new_call"))
        arrived = int((NOW - since).timestamp() * 1000)
        return {**event, "requestContext": {**event["requestContext"], "timeEpoch": arrived}}

    def test_begins_when_the_request_reaches_api_gateway(self, lines: Lines) -> None:
        Container().receive(self.event(timedelta(seconds=1.5)))
        assert lines.one()["CallAnswerTime"] == [1500]

    @pytest.mark.parametrize("since", [timedelta(days=30), timedelta(seconds=31), timedelta(seconds=-5)])
    def test_begins_with_the_function_if_that_time_is_implausible(self, since: timedelta, lines: Lines) -> None:
        Container(clock=Slow()).receive(self.event(since))
        assert 0 < lines.one()["CallAnswerTime"][0] < 2000

    @pytest.mark.parametrize("time_epoch", [None, "1795242600000", True, [], {}])
    def test_begins_with_the_function_if_that_time_is_missing(self, time_epoch: object, lines: Lines) -> None:
        event = self.event(timedelta())
        Container().receive({**event, "requestContext": {**event["requestContext"], "timeEpoch": time_epoch}})
        assert lines.one()["CallAnswerTime"] == [0]


@given(arrived=st.integers(-(10**20), 10**20))
def test_the_answer_time_is_plausible_for_any_arrival_time(arrived: int) -> None:
    event = signed(recorded("new_call"))
    request = Request.from_event({"requestContext": {**event["requestContext"], "timeEpoch": arrived}})
    assert 0 <= receiver.milliseconds_waited(request, NOW, NOW) <= 30_000


def test_a_measured_value_has_the_provider_as_dimension(lines: Lines) -> None:
    measure("ClientFailuresFromOneAddress", 7, provider="jambonz")
    line = lines.one()
    assert (line["ClientFailuresFromOneAddress"], dimensions(line)) == ([7], [{"service", "provider"}])


def test_metrics_carry_the_name_of_the_stack(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "callhooks-prod")
    count("EventUnstored")
    assert json.dumps(lines.one()).count('"service": "callhooks-prod"') == 1
