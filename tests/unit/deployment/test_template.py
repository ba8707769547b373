"""What must hold for the template, where neither linter nor local engine would notice."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from callhooks.call_log.routes import CALL, METHODS
from callhooks.calls.projector import RESERVED_SECONDS
from callhooks.events.event_item import EVENT_PREFIX
from callhooks.events.event_writer import SPILL_SECONDS, STORE_SECONDS
from callhooks.events.spill_queue import RESERVED_SECONDS as DRAINER_RESERVES
from callhooks.events.spill_queue import pause_after
from callhooks.providers.bird import BirdSettings
from callhooks.providers.jambonz.llm_tools.runner import SECONDS_FOR_TOOLS
from callhooks.providers.jambonz.settings import ClientSettings, JambonzSettings, ToolSettings
from callhooks.providers.jambonz.tool_hook import ANSWER_WITHIN as ANSWER_TOOLS_WITHIN
from callhooks.providers.url_token import PathTokenSettings, read_networks
from callhooks.runtime.settings import CallLogSettings, ProjectorSettings, StoreSettings
from callhooks.webhooks.webhook import ANSWER_WITHIN
from hypothesis import given
from hypothesis import strategies as st

from tests.projection import SECONDS_OF_A_HANGING_REQUEST
from tests.support import NOW, Container, recorded, resource, signed, template


def functions() -> dict[str, dict[str, Any]]:
    return {
        name: body["Properties"]
        for name, body in template()["Resources"].items()
        if body["Type"] == "AWS::Serverless::Function"
    }


def test_generated_secrets_are_frozen() -> None:
    # A change here would generate new passwords at the next update of every stack: jambonz would be locked out.
    assert resource("JambonzCredentials")["GenerateSecretString"] == {
        "SecretStringTemplate": '{"username": "jambonz"}',
        "GenerateStringKey": "password",
        "PasswordLength": 40,
        "ExcludePunctuation": True,
    }
    assert resource("ConsoleCredentials")["GenerateSecretString"] == {
        "SecretStringTemplate": '{"username": "console"}',
        "GenerateStringKey": "password",
        "PasswordLength": 40,
        "ExcludePunctuation": True,
    }
    for logical_id, key in (
        ("WavixCredentials", "token"),
        ("BirdCredentials", "signing_key"),
        ("VoipstudioCredentials", "token"),
    ):
        assert resource(logical_id)["GenerateSecretString"] == {
            "SecretStringTemplate": "{}",
            "GenerateStringKey": key,
            "PasswordLength": 40,
            "ExcludePunctuation": True,
        }
    # And here, it would overwrite what the operator has set.
    assert resource("JambonzWebhookSecrets")["SecretString"] == '{"webhook_secrets": []}'


def test_the_table_keeps_what_it_promises() -> None:
    table = resource("EventsTable")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}


def test_the_table_of_clients_keeps_them_and_shows_them_to_nobody() -> None:
    table = resource("ClientsTable")
    assert "StreamSpecification" not in table
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_the_table_has_all_its_indexes_from_the_start() -> None:
    keys = {
        index["IndexName"]: [key["AttributeName"] for key in index["KeySchema"]]
        for index in resource("EventsTable")["GlobalSecondaryIndexes"]
    }
    assert keys == {
        "by_day": ["day_shard", "started_at"],
        "by_from": ["from_party", "started_at"],
        "by_to": ["to_party", "started_at"],
        "by_conversation": ["conversation_id", "started_at"],
    }


def test_no_event_pays_for_an_index() -> None:
    # An event with an index's partition key costs a further write for each index.
    indexes = resource("EventsTable")["GlobalSecondaryIndexes"]
    partition_keys = {index["KeySchema"][0]["AttributeName"] for index in indexes}
    container = Container()
    container.receive(signed(recorded("new_call")))
    assert partition_keys.isdisjoint(container.database.item)


DRAINER = "SpillDrainerFunction"
PROJECTOR = "CallProjectorFunction"
CALL_LOG = "CallLogFunction"
API_GATEWAY_SECONDS = 30
SPILL_QUEUE = {"Fn::GetAtt": "SpillQueue.Arn"}


class TestTheSpillQueue:
    def test_leaves_what_was_not_drained_until_it_is_a_dead_letter(self) -> None:
        queue, source = resource("SpillQueue"), functions()[DRAINER]["Events"]["Spilled"]["Properties"]
        assert source["Queue"] == SPILL_QUEUE
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert queue["VisibilityTimeout"] >= 6 * functions()[DRAINER]["Timeout"]
        assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": "SpillDeadLetterQueue.Arn"}
        # A day, as the description of the alarm says.
        pauses = [pause_after(time) for time in range(1, queue["RedrivePolicy"]["maxReceiveCount"])]
        assert 0.9 < sum(pauses) / 86_400 < 1.1

    def test_is_drained_by_few_at_once(self) -> None:
        source = functions()[DRAINER]["Events"]["Spilled"]["Properties"]
        assert source["ScalingConfig"]["MaximumConcurrency"] <= 10

    @pytest.mark.parametrize("queue", ["SpillQueue", "SpillDeadLetterQueue"])
    def test_loses_nothing_for_two_weeks(self, queue: str) -> None:
        assert resource(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600

    def test_s_writes_begin_only_when_they_can_end(self) -> None:
        assert 2 * SECONDS_OF_A_HANGING_REQUEST <= DRAINER_RESERVES <= functions()[DRAINER]["Timeout"] / 2


def source_of_projector(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = functions()[PROJECTOR]["Events"][name]["Properties"]
    return properties


class TestTheProjector:
    def test_gets_new_events_alone(self) -> None:
        (rule,) = source_of_projector("NewEvents")["FilterCriteria"]["Filters"]
        assert json.loads(rule["Pattern"]) == {
            "eventName": ["INSERT"],
            "dynamodb": {"Keys": {"sk": {"S": [{"prefix": EVENT_PREFIX}]}}},
        }

    def test_misses_no_event_of_a_new_stack(self) -> None:
        assert source_of_projector("NewEvents")["StartingPosition"] == "TRIM_HORIZON"

    def test_is_given_a_failed_batch_again_in_halves_for_hours_and_then_told_of(self) -> None:
        stream = source_of_projector("NewEvents")
        assert stream["BisectBatchOnFunctionError"] is True
        assert "MaximumRetryAttempts" not in stream
        # The records of a stream live for a day, and what was discarded must still be found then.
        assert 3600 <= stream["MaximumRecordAgeInSeconds"] <= 12 * 3600
        discarded = {"Type": "SQS", "Destination": {"Fn::GetAtt": "ProjectionDiscardedQueue.Arn"}}
        assert stream["DestinationConfig"]["OnFailure"] == discarded

    def test_leaves_in_the_retry_queue_what_fails_again_until_it_is_a_dead_letter(self) -> None:
        queue, retries = resource("ProjectionRetryQueue"), source_of_projector("Retries")
        assert retries["Queue"] == {"Fn::GetAtt": "ProjectionRetryQueue.Arn"}
        assert retries["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert queue["VisibilityTimeout"] >= 6 * functions()[PROJECTOR]["Timeout"]
        assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": "ProjectionDeadLetterQueue.Arn"}
        # As long as the description of the alarm says.
        assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] == 3600

    @pytest.mark.parametrize("queue", ["ProjectionRetryQueue", "ProjectionDeadLetterQueue", "ProjectionDiscardedQueue"])
    def test_loses_nothing_for_two_weeks(self, queue: str) -> None:
        assert resource(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600
        assert "QueueName" not in resource(queue)

    @pytest.mark.parametrize("alarm", ["ProjectionDeadLetterAlarm", "ProjectionDiscardedAlarm"])
    def test_s_alarms_say_what_to_do(self, alarm: str) -> None:
        assert "callhooks rebuild" in resource(alarm)["AlarmDescription"]

    def test_begins_nothing_that_it_could_not_end(self) -> None:
        # A request that hangs, and the retry queue that hangs after it.
        assert 2 * SECONDS_OF_A_HANGING_REQUEST <= RESERVED_SECONDS <= functions()[PROJECTOR]["Timeout"] / 2


def test_every_method_reaches_the_call_log_which_tells_what_it_takes() -> None:
    events = functions()[CALL_LOG]["Events"].values()
    routes = {(event["Properties"]["Method"], event["Properties"]["Path"]) for event in events}
    # A decoded id may have slashes in it.
    places = {"/", *METHODS} - {CALL} | {CALL.replace("{call_id}", "{call_id+}")}
    assert routes == {("ANY", place) for place in places}
    assert functions()[CALL_LOG]["Timeout"] < API_GATEWAY_SECONDS


def test_a_function_has_answered_before_it_is_killed_and_before_jambonz_gives_up() -> None:
    assert ANSWER_WITHIN.total_seconds() < template()["Globals"]["Function"]["Timeout"] < 10
    assert ANSWER_TOOLS_WITHIN.total_seconds() < resource("JambonzToolFunction")["Timeout"] < 10


def test_tools_leave_time_to_keep_their_event() -> None:
    assert ANSWER_TOOLS_WITHIN.total_seconds() > SECONDS_FOR_TOOLS + SPILL_SECONDS
    assert ANSWER_WITHIN.total_seconds() > STORE_SECONDS + SPILL_SECONDS


def test_tool_calls_are_remembered_as_powertools_keeps_them_and_then_forgotten() -> None:
    table = resource("ToolCallsTable")
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expiration", "Enabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("provider", ["wavix", "voipstudio"])
def test_a_missing_token_reaches_our_refusal_as_a_wrong_one_does(provider: str) -> None:
    events = [event for function in functions().values() for event in function["Events"].values()]
    routes = [event["Properties"] for event in events if event["Type"] == "HttpApi"]
    methods = {path: {route["Method"] for route in routes if route["Path"] == path} for path in
               (f"/webhooks/{provider}", f"/webhooks/{provider}/{{token}}")}  # fmt: skip
    assert methods[f"/webhooks/{provider}"] in ({"ANY"}, methods[f"/webhooks/{provider}/{{token}}"])


@pytest.mark.parametrize(
    ("parameter", "value", "is_taken"),
    [
        ("PublicUrl", "", True),
        ("PublicUrl", "https://hooks.example.com", True),
        ("PublicUrl", "http://127.0.0.1:8080", True),
        ("PublicUrl", "https://example.com/hooks", True),
        ("PublicUrl", "https://hooks.example.com/", False),
        ("PublicUrl", "https://example.com/hooks/", False),
        ("PublicUrl", "hooks.example.com", False),
        ("PublicUrl", "https://hooks.example.com/?a=1", False),
        ("WavixAllowedAddresses", "", True),
        ("WavixAllowedAddresses", "62.212.73.112", True),
        ("WavixAllowedAddresses", "62.212.73.112, 198.51.100.0/24,0.0.0.0/0", True),
        ("WavixAllowedAddresses", "01.2.3.4", False),
        ("WavixAllowedAddresses", "1.2.3.4/33", False),
        ("WavixAllowedAddresses", "62.212.73", False),
        ("VoipstudioAllowedAddresses", "256.1.1.1", False),
        ("VoipstudioAllowedAddresses", "pbx.example.com", False),
        ("BirdStatuses", "", True),
        ("BirdStatuses", "completed", True),
        ("BirdStatuses", "no-answer, completed,failed", True),
        ("BirdStatuses", "complete", False),
        ("BirdStatuses", "completed starting", False),
        ("BirdChannelId", "", True),
        ("BirdChannelId", "6d0c1f0e-97c1-4f3e-9b0f-2a3f5b7c9d10", True),
        ("BirdChannelId", "my channel", False),
    ],
)
def test_a_typing_error_in_a_parameter_is_found_before_it_is_deployed(
    parameter: str, value: str, is_taken: bool
) -> None:
    pattern = template()["Parameters"][parameter]["AllowedPattern"]
    assert bool(re.fullmatch(pattern, value)) is is_taken
    if is_taken and parameter.endswith("Addresses"):
        read_networks(value)


@given(st.from_regex(template()["Parameters"]["WavixAllowedAddresses"]["AllowedPattern"], fullmatch=True))
def test_whatever_addresses_the_template_takes_the_function_takes(text: str) -> None:
    read_networks(text)


@pytest.mark.parametrize("days", ["0", "0.5", "90", "36500"])
def test_whatever_retention_the_template_takes_the_function_takes(days: str) -> None:
    limits = template()["Parameters"]["RetentionDays"]
    assert limits["MinValue"] <= float(days) <= limits["MaxValue"]
    settings = StoreSettings.from_environment({"EVENTS_TABLE": "events", "RETENTION_DAYS": days})
    assert NOW + timedelta(days=settings.retention_days) < datetime.max.replace(tzinfo=UTC)


def test_every_variable_that_a_function_reads_is_set() -> None:
    shared = template()["Globals"]["Function"]["Environment"]["Variables"]
    readers: dict[str, Callable[[Mapping[str, str]], object]] = {
        "JambonzNewCallFunction": JambonzSettings.from_environment,
        "JambonzActionFunction": JambonzSettings.from_environment,
        "JambonzClientAuthFunction": lambda variables: (
            JambonzSettings.from_environment(variables),
            ClientSettings.from_environment(variables),
        ),
        "JambonzEventFunction": JambonzSettings.from_environment,
        "JambonzToolFunction": lambda variables: (
            JambonzSettings.from_environment(variables),
            ToolSettings.from_environment(variables),
        ),
        PROJECTOR: ProjectorSettings.from_environment,
        "WavixCallFunction": partial(PathTokenSettings.from_environment, provider="WAVIX"),
        "BirdVoiceFunction": BirdSettings.from_environment,
        "VoipstudioEventFunction": partial(PathTokenSettings.from_environment, provider="VOIPSTUDIO"),
        "CallLogFunction": CallLogSettings.from_environment,
    }
    for name, read in readers.items():
        environment = dict.fromkeys([*shared, *functions()[name]["Environment"]["Variables"]], "1")
        StoreSettings.from_environment(environment)
        read(environment)


@pytest.mark.parametrize("name", functions())
def test_every_function_logs_to_a_group_that_forgets(name: str) -> None:
    group = functions()[name]["LoggingConfig"]["LogGroup"]["Ref"]
    assert resource(group)["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_parameters_and_outputs_are_described() -> None:
    for section in ("Parameters", "Outputs"):
        assert all(body.get("Description") for body in template()[section].values())
