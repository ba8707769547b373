"""Properties of the template that neither a linter nor the local engine checks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from callhooks.call_log.routes import CALL, METHODS
from callhooks.calls.call import CallSummary
from callhooks.calls.projector import RESERVED_SECONDS
from callhooks.events.event_item import EVENT_PREFIX
from callhooks.events.event_writer import SPILL_SECONDS, STORE_SECONDS
from callhooks.events.spill_queue import RESERVED_SECONDS as DRAINER_RESERVES
from callhooks.events.spill_queue import pause_after
from callhooks.providers.bird import BirdSettings
from callhooks.providers.jambonz.llm_tools.runner import TOOLS_TIMEOUT_SECONDS
from callhooks.providers.jambonz.settings import ClientSettings, JambonzSettings, ToolSettings
from callhooks.providers.jambonz.tool_hook import ANSWER_WITHIN as ANSWER_TOOLS_WITHIN
from callhooks.providers.url_token import PathTokenSettings, read_networks
from callhooks.runtime.settings import CallLogSettings, ProjectorSettings, StoreSettings
from callhooks.webhooks.webhook import ANSWER_WITHIN
from hypothesis import given
from hypothesis import strategies as st
from samcli.commands.deploy.auth_utils import auth_per_resource
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

from tests.projection import HANGING_REQUEST_SECONDS
from tests.support import NOW, ROOT, Container, recorded, resource, signed, template


def functions() -> dict[str, dict[str, Any]]:
    return {
        name: body["Properties"]
        for name, body in template()["Resources"].items()
        if body["Type"] == "AWS::Serverless::Function"
    }


@pytest.mark.parametrize(
    ("logical_id", "username", "key"),
    [
        ("JambonzCredentials", {"username": "jambonz"}, "password"),
        ("ConsoleCredentials", {"username": "console"}, "password"),
        ("WavixCredentials", {}, "token"),
        ("BirdCredentials", {}, "signing_key"),
        ("VoipstudioCredentials", {}, "token"),
    ],
)
def test_generated_secrets_are_frozen(logical_id: str, username: dict[str, str], key: str) -> None:
    # A change would generate new passwords at the next update of every stack and lock out jambonz.
    assert resource(logical_id)["GenerateSecretString"] == {
        "SecretStringTemplate": json.dumps(username),
        "GenerateStringKey": key,
        "PasswordLength": 40,
        "ExcludePunctuation": True,
    }
    # A change would overwrite the secrets that the operator has set.
    assert resource("JambonzWebhookSecrets")["SecretString"] == '{"webhook_secrets": []}'


@pytest.mark.parametrize(
    ("table", "expiry"),
    [("EventsTable", "expires_at"), ("ClientsTable", "expires_at"), ("ToolCallsTable", "expiration")],
)
def test_every_table_is_billed_by_request_and_has_expiry(table: str, expiry: str) -> None:
    assert resource(table)["BillingMode"] == "PAY_PER_REQUEST"
    assert resource(table)["TimeToLiveSpecification"] == {"AttributeName": expiry, "Enabled": True}
    stream = {"StreamViewType": "NEW_IMAGE"} if table == "EventsTable" else None
    assert resource(table).get("StreamSpecification") == stream


def test_an_event_is_not_written_to_an_index() -> None:
    # An event with the partition key of an index would cost a further write.
    indexes = resource("EventsTable")["GlobalSecondaryIndexes"]
    partition_keys = {index["KeySchema"][0]["AttributeName"] for index in indexes}
    container = Container()
    container.receive(signed(recorded("new_call")))
    assert partition_keys.isdisjoint(container.database.item)


def test_the_index_of_days_holds_what_a_list_shows_and_filters_by() -> None:
    (members,) = (
        index["Projection"]["NonKeyAttributes"]
        for index in resource("EventsTable")["GlobalSecondaryIndexes"]
        if index["IndexName"] == "by_day"
    )
    shown = {field.alias or name for name, field in CallSummary.model_fields.items()}
    assert set(members) >= shown - {"started_at"}
    assert len(members) <= MAX_INDEX_ATTRIBUTES


MAX_INDEX_ATTRIBUTES = 20
"""The limit of DynamoDB for one index."""
DRAINER = "SpillDrainerFunction"
PROJECTOR = "CallProjectorFunction"
CALL_LOG = "CallLogFunction"
API_GATEWAY_SECONDS = 30
SPILL_QUEUE = {"Fn::GetAtt": "SpillQueue.Arn"}


@pytest.mark.parametrize(
    "queue", [name for name, body in template()["Resources"].items() if body["Type"] == "AWS::SQS::Queue"]
)
def test_a_queue_retains_messages_for_two_weeks_and_has_no_fixed_name(queue: str) -> None:
    assert resource(queue)["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert "QueueName" not in resource(queue)


class TestTheSpillQueue:
    def test_retries_failed_events_for_a_day_before_the_dead_letter_queue(self) -> None:
        queue, source = resource("SpillQueue"), functions()[DRAINER]["Events"]["Spilled"]["Properties"]
        assert source["Queue"] == SPILL_QUEUE
        assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert source["ScalingConfig"]["MaximumConcurrency"] <= 10
        assert queue["VisibilityTimeout"] >= 6 * functions()[DRAINER]["Timeout"]
        assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": "SpillDeadLetterQueue.Arn"}
        # One day, as the alarm's description says.
        pauses = [pause_after(time) for time in range(1, queue["RedrivePolicy"]["maxReceiveCount"])]
        assert 0.9 < sum(pauses) / 86_400 < 1.1

    def test_drainer_starts_a_write_only_if_it_can_finish(self) -> None:
        assert 2 * HANGING_REQUEST_SECONDS <= DRAINER_RESERVES <= functions()[DRAINER]["Timeout"] / 2


def source_of_projector(name: str) -> dict[str, Any]:
    properties: dict[str, Any] = functions()[PROJECTOR]["Events"][name]["Properties"]
    return properties


class TestTheProjector:
    def test_receives_only_new_events(self) -> None:
        (rule,) = source_of_projector("NewEvents")["FilterCriteria"]["Filters"]
        assert json.loads(rule["Pattern"]) == {
            "eventName": ["INSERT"],
            "dynamodb": {"Keys": {"sk": {"S": [{"prefix": EVENT_PREFIX}]}}},
        }

    def test_retries_failed_batches_in_halves_before_discarding_them(self) -> None:
        stream = source_of_projector("NewEvents")
        assert stream["StartingPosition"] == "TRIM_HORIZON"
        assert stream["BisectBatchOnFunctionError"] is True
        assert "MaximumRetryAttempts" not in stream
        # Stream records live for a day, and discarded ones must still be readable.
        assert 3600 <= stream["MaximumRecordAgeInSeconds"] <= 12 * 3600
        discarded = {"Type": "SQS", "Destination": {"Fn::GetAtt": "ProjectionDiscardedQueue.Arn"}}
        assert stream["DestinationConfig"]["OnFailure"] == discarded

    def test_retries_failed_events_for_an_hour_before_the_dead_letter_queue(self) -> None:
        queue, retries = resource("ProjectionRetryQueue"), source_of_projector("Retries")
        assert retries["Queue"] == {"Fn::GetAtt": "ProjectionRetryQueue.Arn"}
        assert retries["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
        assert queue["VisibilityTimeout"] >= 6 * functions()[PROJECTOR]["Timeout"]
        assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": "ProjectionDeadLetterQueue.Arn"}
        # One hour, as the alarm's description says.
        assert queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"] == 3600

    def test_starts_a_request_only_if_it_can_finish(self) -> None:
        # One hanging request, followed by a hanging request to the retry queue.
        assert 2 * HANGING_REQUEST_SECONDS <= RESERVED_SECONDS <= functions()[PROJECTOR]["Timeout"] / 2


def test_every_method_reaches_the_call_log() -> None:
    events = functions()[CALL_LOG]["Events"].values()
    routes = {(event["Properties"]["Method"], event["Properties"]["Path"]) for event in events}
    # A decoded id may contain slashes.
    paths = {"/", *METHODS} - {CALL} | {CALL.replace("{call_id}", "{call_id+}")}
    assert routes == {("ANY", path) for path in paths}
    assert functions()[CALL_LOG]["Timeout"] < API_GATEWAY_SECONDS


def test_a_function_answers_before_its_timeout_and_that_of_jambonz() -> None:
    assert ANSWER_WITHIN.total_seconds() < template()["Globals"]["Function"]["Timeout"] < 10
    assert ANSWER_TOOLS_WITHIN.total_seconds() < resource("JambonzToolFunction")["Timeout"] < 10


def test_tools_leave_time_to_store_their_event() -> None:
    assert ANSWER_TOOLS_WITHIN.total_seconds() > TOOLS_TIMEOUT_SECONDS + SPILL_SECONDS
    assert ANSWER_WITHIN.total_seconds() > STORE_SECONDS + SPILL_SECONDS


@pytest.mark.parametrize("provider", ["wavix", "voipstudio"])
def test_a_request_without_a_token_reaches_the_function(provider: str) -> None:
    events = [event for function in functions().values() for event in function["Events"].values()]
    routes = [event["Properties"] for event in events if event["Type"] == "HttpApi"]
    methods = {path: {route["Method"] for route in routes if route["Path"] == path} for path in
               (f"/webhooks/{provider}", f"/webhooks/{provider}/{{token}}")}  # fmt: skip
    assert methods[f"/webhooks/{provider}"] in ({"ANY"}, methods[f"/webhooks/{provider}/{{token}}"])


@pytest.mark.parametrize(
    ("parameter", "valid", "invalid"),
    [
        ("PublicUrl", ["", "https://hooks.example.com", "http://127.0.0.1:8080", "https://example.com/hooks"],
         ["https://hooks.example.com/", "https://example.com/hooks/", "hooks.example.com",
          "https://hooks.example.com/?a=1"]),
        ("WavixAllowedAddresses", ["", "62.212.73.112", "62.212.73.112, 198.51.100.0/24,0.0.0.0/0"],
         ["01.2.3.4", "1.2.3.4/33", "62.212.73"]),
        ("VoipstudioAllowedAddresses", [""], ["256.1.1.1", "pbx.example.com"]),
        ("BirdStatuses", ["", "completed", "no-answer, completed,failed"], ["complete", "completed starting"]),
        ("BirdChannelId", ["", "6d0c1f0e-97c1-4f3e-9b0f-2a3f5b7c9d10"], ["my channel"]),
    ],
)  # fmt: skip
def test_a_typo_in_a_parameter_is_rejected_before_the_deployment(
    parameter: str, valid: list[str], invalid: list[str]
) -> None:
    pattern = template()["Parameters"][parameter]["AllowedPattern"]
    assert [value for value in (*valid, *invalid) if re.fullmatch(pattern, value)] == valid


@given(st.from_regex(template()["Parameters"]["WavixAllowedAddresses"]["AllowedPattern"], fullmatch=True))
def test_the_function_accepts_every_address_that_the_template_accepts(text: str) -> None:
    read_networks(text)


@pytest.mark.parametrize("days", ["0", "0.5", "90", "36500"])
def test_the_function_accepts_every_retention_that_the_template_accepts(days: str) -> None:
    limits = template()["Parameters"]["RetentionDays"]
    assert limits["MinValue"] <= float(days) <= limits["MaxValue"]
    settings = StoreSettings.from_environment({"EVENTS_TABLE": "events", "RETENTION_DAYS": days})
    assert NOW + timedelta(days=settings.retention_days) < datetime.max.replace(tzinfo=UTC)


def test_every_variable_that_a_function_reads_is_set() -> None:
    shared = template()["Globals"]["Function"]["Environment"]["Variables"]
    jambonz = JambonzSettings.from_environment
    readers: dict[str, list[Callable[[Mapping[str, str]], object]]] = {
        "JambonzNewCallFunction": [jambonz],
        "JambonzActionFunction": [jambonz],
        "JambonzClientAuthFunction": [jambonz, ClientSettings.from_environment],
        "JambonzEventFunction": [jambonz],
        "JambonzToolFunction": [jambonz, ToolSettings.from_environment],
        PROJECTOR: [ProjectorSettings.from_environment],
        "WavixCallFunction": [partial(PathTokenSettings.from_environment, provider="WAVIX")],
        "BirdVoiceFunction": [BirdSettings.from_environment],
        "VoipstudioEventFunction": [partial(PathTokenSettings.from_environment, provider="VOIPSTUDIO")],
        CALL_LOG: [CallLogSettings.from_environment],
    }
    for name, reads in readers.items():
        environment = dict.fromkeys([*shared, *functions()[name]["Environment"]["Variables"]], "1")
        for read in (StoreSettings.from_environment, *reads):
            read(environment)


@pytest.mark.parametrize("name", functions())
def test_every_function_logs_to_a_group_with_retention(name: str) -> None:
    group = functions()[name]["LoggingConfig"]["LogGroup"]["Ref"]
    assert resource(group)["RetentionInDays"] == {"Ref": "LogRetentionDays"}


def test_parameters_and_outputs_have_descriptions() -> None:
    for section in ("Parameters", "Outputs"):
        assert all(body.get("Description") for body in template()[section].values())


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # sam uses a deprecated function of its translator
def test_a_guided_deployment_asks_for_no_route_whether_it_may_be_open() -> None:
    stacks, _ = SamLocalStackProvider.get_stacks(str(ROOT / "template.yaml"))
    answers = [is_authorized for _, is_authorized in auth_per_resource(stacks)]
    routes = [event for function in functions().values() for event in function["Events"].values()]
    assert len(answers) == sum(event["Type"] == "HttpApi" for event in routes)
    assert all(answers)
