"""Alarms and dashboard of the processed template: existing metrics, thresholds and notifications."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from callhooks.runtime import metrics
from callhooks_tools.stack.template import ALIAS

from tests.processed_template import processed_template, resources, texts_in
from tests.support import ROOT, metric_lines

LAYER = ROOT / "layers" / "callhooks" / "callhooks"
STACK = {"Ref": "AWS::StackName"}
ALARMS = resources("AWS::CloudWatch::Alarm")
OWN = [name for name, alarm in ALARMS.items() if alarm["Namespace"] == metrics.NAMESPACE]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")

LATER = {
    "AnonymousCallsRefusedAlarm": (180, 360), "AnswerTimeAlarm": (3, 5), "SpilledAlarm": (15, 15),
    "SpillNotDrainedAlarm": (15, 15), "ProjectorThrottledAlarm": (15, 15),
}  # fmt: skip
"""Minutes of failures, of how many minutes, that set off these alarms. All others go off at the first failure."""
LIMITS: dict[str, object] = {
    "AnonymousCallsRefusedAlarm": 1,
    "AnswerTimeAlarm": {"Ref": "AnswerTimeAlarmMilliseconds"},
    "RefusalsAlarm": {"Ref": "RefusalAlarmThreshold"},
    "ClientFailuresAlarm": {"Ref": "ClientFailureAlarmThreshold"},
    "ProjectorBehindAlarm": 300_000,
}
"""The threshold of these alarms, which is 0 for the others."""
LEVELS = {"CallAnswerTime": "p99", "ClientFailuresFromOneAddress": "Maximum", "IteratorAge": "Maximum"}
VISIBLE, NOT_VISIBLE = "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesNotVisible"


def counted_in_code() -> set[str]:
    """Return the names of the metrics that the layer writes."""
    names = "".join(file.read_text("utf-8") for file in LAYER.rglob("*.py"))
    return set(re.findall(r'(?:count|measure)\(\s*"(\w+)"', names)) | set(
        re.findall(r'^[A-Z_]+ = "(\w+)"$', (LAYER / "runtime" / "metrics.py").read_text("utf-8"), re.MULTILINE)
    )


def dimensions_of(alarm: Mapping[str, Any]) -> dict[str, Any]:
    return {one["Name"]: one["Value"] for one in alarm["Dimensions"]}


class TestAnAlarm:
    def test_is_documented_and_no_other_is(self) -> None:
        assert set(re.findall(r"^\| `(\w+Alarm)` \|", OPERATIONS, re.MULTILINE)) == set(ALARMS)

    @pytest.mark.parametrize("name", ALARMS)
    def test_notifies_the_topic_with_a_description_when_it_starts_and_ends(self, name: str) -> None:
        alarm = ALARMS[name]
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": "AlarmTopic"}]
        assert alarm.get("ActionsEnabled", True) is True
        assert len(alarm["AlarmDescription"]) > 80
        # A stopped projector sends no metric: the alarm must stay as it is.
        assert alarm["TreatMissingData"] == ("ignore" if name == "ProjectorBehindAlarm" else "notBreaching")

    @pytest.mark.parametrize("name", ALARMS)
    def test_goes_off_at_the_first_failure_or_after_its_minutes_of_failures(self, name: str) -> None:
        alarm = ALARMS[name]
        of, period = alarm["EvaluationPeriods"], alarm["Period"] // 60
        periods = alarm.get("DatapointsToAlarm", of), of
        assert periods == (1, 1) if name not in LATER else tuple(one * period for one in periods) == LATER[name]
        assert period <= 5 or name == "AnonymousCallsRefusedAlarm"
        assert alarm["Threshold"] == LIMITS.get(name, 0)
        # An operator sets how many failures set off an alarm, and how long an answer may take.
        is_count = name in ("RefusalsAlarm", "ClientFailuresAlarm")
        assert alarm["ComparisonOperator"] == f"GreaterThan{'OrEqualTo' if is_count else ''}Threshold"
        # A queue that was empty for a moment does not hold the same messages.
        of_queue = "Minimum" if name in LATER else "Maximum"
        statistic = of_queue if alarm["Namespace"] == "AWS/SQS" else LEVELS.get(alarm["MetricName"], "Sum")
        assert alarm.get("Statistic", alarm.get("ExtendedStatistic")) == statistic

    def test_exists_for_functions_with_a_waiting_caller_the_projector_and_the_queues(self) -> None:
        known = {*processed_template()["Resources"]}
        watched = [
            (alarm["MetricName"], *({*texts_in(dimensions_of(alarm))} & known or {*dimensions_of(alarm)}))
            for alarm in ALARMS.values()
        ]
        assert len(set(watched)) == len(ALARMS), "no two watch the same"
        # The API's 5xx include the throttles of a function that it calls.
        assert {("5xx", "Api"), ("Errors", "JambonzNewCallFunction"), ("Errors", "JambonzActionFunction")} <= {*watched}
        assert {(metric, "CallProjectorFunction") for metric in ("IteratorAge", "Throttles")} <= {*watched}
        # Messages that stay in the retry queue end in its dead-letter queue.
        queues = resources("AWS::SQS::Queue").keys() - {"ProjectionRetryQueue"}
        assert {(VISIBLE, queue) for queue in queues} | {(NOT_VISIBLE, "SpillQueue")} <= {*watched}

    def test_of_abandoned_projections_names_the_command_to_run(self) -> None:
        for name in ("ProjectionDeadLetterAlarm", "ProjectionDiscardedAlarm"):
            assert "callhooks rebuild" in ALARMS[name]["AlarmDescription"]

    @pytest.mark.parametrize("name", OWN)
    def test_of_callhooks_uses_a_metric_and_dimensions_that_the_code_writes(
        self, name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "the stack")
        metric = ALARMS[name]["MetricName"]
        assert metric in counted_in_code()
        if metric == metrics.CALL_ANSWER_TIME:
            metrics.emit_delivery_metrics([], 5, provider="jambonz", caller_waits=True)
        elif ALARMS[name].get("Statistic") == "Maximum":
            metrics.measure(metric, 5, provider="jambonz")
        else:
            metrics.count(metric, provider="jambonz", reason="some")
        (line,) = metric_lines(capsys.readouterr().out)
        (described,) = line["_aws"]["CloudWatchMetrics"]
        alarm_dimensions = {
            dimension: "the stack" if value == STACK else value
            for dimension, value in dimensions_of(ALARMS[name]).items()
        }
        assert sorted(alarm_dimensions) in [sorted(names) for names in described["Dimensions"]]
        assert alarm_dimensions == {dimension: line[dimension] for dimension in alarm_dimensions}

    @pytest.mark.parametrize("name", [name for name in ALARMS if ALARMS[name]["Namespace"] == "AWS/Lambda"])
    def test_of_a_function_watches_its_alias(self, name: str) -> None:
        dimensions = dimensions_of(ALARMS[name])
        function = dimensions["FunctionName"]["Ref"]
        assert function in resources("AWS::Lambda::Function")
        if name == "ProjectorBehindAlarm":
            # The age of a stream's records exists only for the function, which has no other stream.
            assert list(dimensions) == ["FunctionName"]
        else:
            assert dimensions["Resource"] == {"Fn::Sub": f"${{{function}}}:{ALIAS}"}

    @pytest.mark.parametrize(
        ("minutes", "is_raised"),
        [
            ([7.5] * 5000, False),
            ([59 + minute / 60 for minute in range(60 * 60)], False),
            ([minute * 60 + 30 for minute in range(48)], False),
            ([5, 6, 200, 201], False),
            ([minute * 20 + 10 for minute in range(24)], True),
            ([10, 40, 70, 100, 130, 160], True),
            ([10, 40, 130, 160, 310, 340], True),
        ],
        ids=["a burst", "a scan of an hour", "a bot an hour", "two bots", "three calls an hour", "two an hour", "gaps"],
    )
    def test_of_anonymous_calls_ignores_scans_of_the_internet(self, minutes: list[float], is_raised: bool) -> None:
        alarm = ALARMS["AnonymousCallsRefusedAlarm"]
        counted = Counter(int(minute * 60 // alarm["Period"]) for minute in minutes)
        breaching = {period for period, number in counted.items() if number > alarm["Threshold"]}
        windows = [range(end - alarm["EvaluationPeriods"] + 1, end + 1) for end in counted]
        assert any(len(breaching & set(window)) >= alarm["DatapointsToAlarm"] for window in windows) is is_raised

    def test_of_the_answer_time_goes_off_before_jambonz_hangs_up(self) -> None:
        alarm, limit = ALARMS["AnswerTimeAlarm"], processed_template()["Parameters"]["AnswerTimeAlarmMilliseconds"]
        assert (alarm["ExtendedStatistic"], dimensions_of(alarm)["provider"]) == ("p99", "jambonz")
        assert limit["Default"] <= limit["MaxValue"] < 10_000


def test_an_alarm_address_is_subscribed_to_the_topic_if_there_is_one() -> None:
    subscription = processed_template()["Resources"]["AlarmSubscription"]
    address = {"TopicArn": {"Ref": "AlarmTopic"}, "Protocol": "email", "Endpoint": {"Ref": "AlarmAddress"}}
    assert (subscription["Condition"], subscription["Properties"]) == ("HasAlarmAddress", address)


def dashboard_text() -> str:
    """Return the body of the dashboard, with CloudFormation's placeholders `${...}`."""
    (properties,) = resources("AWS::CloudWatch::Dashboard").values()
    return substituted(*properties["DashboardBody"]["Fn::Sub"])


def substituted(text: str, values: Mapping[str, Any]) -> str:
    for name, value in values.items():
        ((function, argument),) = value.items()
        if function == "Fn::Join":
            separator, references = argument
            filled = separator.join(f"${{{reference['Ref']}}}" for reference in references)
        else:
            filled = argument if isinstance(argument, str) else substituted(*argument)
        text = text.replace(f"${{{name}}}", filled)
    return text


def dashboard() -> dict[str, Any]:
    """Return the dashboard, with the names of resources in place of their values."""
    numbers = re.sub(r"\$\{(\w+Milliseconds)\}", "0", dashboard_text())
    document: dict[str, Any] = json.loads(re.sub(r"\$\{(?!!)([\w:.]+)\}", r"<\1>", numbers))
    return document


def widgets(kind: str) -> list[dict[str, Any]]:
    return [widget["properties"] for widget in dashboard()["widgets"] if widget["type"] == kind]


def graphed() -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield namespace, name and dimensions of each graphed metric; "." repeats a value of the previous metric."""
    for widget in widgets("metric"):
        before: list[str] = []
        for metric in widget["metrics"]:
            words = [word for word in metric if isinstance(word, str)]
            if words and words[0] != "...":
                before = [before[at] if word == "." else word for at, word in enumerate(words)]
                yield before[0], before[1], dict(zip(before[2::2], before[3::2], strict=True))


def searches() -> list[tuple[str, str]]:
    """Return scope and metric name of each search expression."""
    expressions = [
        metric[0]["expression"]
        for widget in widgets("metric")
        for metric in widget["metrics"]
        if isinstance(metric[0], dict)
    ]
    return re.findall(r"SEARCH\('(.*) MetricName=\"(\w+)\"', '\w+', 60\)", "\n".join(expressions))


class TestTheDashboard:
    def test_shows_every_alarm_that_always_exists(self) -> None:
        (properties,) = widgets("alarm")
        always = {name for name in ALARMS if "Condition" not in processed_template()["Resources"][name]}
        assert set(properties["alarms"]) == {f"<{name}.Arn>" for name in always}

    def test_shows_metrics_that_the_code_writes(self) -> None:
        for namespace, name, dimensions in graphed():
            if namespace == metrics.NAMESPACE:
                assert name in counted_in_code()
                assert dimensions["service"] == "<AWS::StackName>"
                assert dimensions.keys() in ({"service"}, {"service", "provider"})

    def test_searches_for_metrics_of_this_stack_that_exist(self, capsys: pytest.CaptureFixture[str]) -> None:
        metrics.emit_delivery_metrics([metrics.EVENT_STORED, metrics.EVENT_REPEATED], 5, provider="jambonz")
        for name in metrics.SPLIT_BY_REASON:
            metrics.count(name, provider="jambonz", reason="some")
        order = ("service", "provider", "reason").index
        written = {
            (f'{{callhooks,{",".join(sorted(dimensions, key=order))}}} service="<AWS::StackName>"', metric["Name"])
            for line in metric_lines(capsys.readouterr().out)
            for described in line["_aws"]["CloudWatchMetrics"]
            for dimensions in described["Dimensions"]
            for metric in described["Metrics"]
        }
        own = {search for search in searches() if search[0].startswith("{callhooks,")}
        assert {name for _, name in own} == {
            "EventStored", "EventRepeated", *metrics.SPLIT_BY_REASON,
        }  # fmt: skip
        assert own <= written

    def test_shows_every_function_with_a_webhook(self) -> None:
        rest = {"CallLogFunction", "CallProjectorFunction", "SpillDrainerFunction"}
        called = set(resources("AWS::Lambda::Function")) - rest
        searched = {name: scope for scope, name in searches() if scope.startswith("{AWS/Lambda,FunctionName} ")}
        assert searched.keys() == {"Duration", "Errors", "Throttles"}
        for scope in searched.values():
            (names,) = re.findall(r'FunctionName=\("([^()]*)"\)', scope)
            assert set(names.split('" OR "')) == {f"<{name}>" for name in called}

    def test_shows_every_queue(self) -> None:
        shown = {dimensions["QueueName"] for _, _, dimensions in graphed() if "QueueName" in dimensions}
        assert shown == {f"<{name}.QueueName>" for name in resources("AWS::SQS::Queue")}

    def test_shows_existing_resources(self) -> None:
        named = set(re.findall(r"\$\{(\w+)(?:\.\w+)?\}", dashboard_text()))
        assert named <= {*processed_template()["Resources"], *processed_template()["Parameters"]}

    def test_has_no_overlapping_widgets(self) -> None:
        occupied: set[tuple[int, int]] = set()
        for widget in dashboard()["widgets"]:
            cells = {
                (x, y)
                for x in range(widget["x"], widget["x"] + widget["width"])
                for y in range(widget["y"], widget["y"] + widget["height"])
            }
            assert not cells & occupied
            assert widget["x"] + widget["width"] <= 24
            occupied |= cells
