"""Findings of the doctor in an account: secrets, functions, event sources, tables, queues and alarms."""

from __future__ import annotations

import io
import json
import re
import shlex
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber
from callhooks.events.call_event import QuarantinedDelivery
from callhooks.events.event_item import quarantine_item
from callhooks.providers.registry import providers
from callhooks.runtime.http import Request, Sender
from callhooks.webhooks.webhook import quarantined
from callhooks_tools.doctor.last_day import last_day_findings
from callhooks_tools.doctor.resources import (
    ABANDONED_MESSAGES,
    EVENT_SOURCES,
    OPTIONAL_VARIABLES,
    alarm_findings,
    api_findings,
    bus_findings,
    function_findings,
    queue_findings,
    source_findings,
    table_findings,
)
from callhooks_tools.doctor.secrets import KnownSecrets, secret_findings, secret_shapes
from callhooks_tools.stack.deployment import Deployment, stack_findings
from callhooks_tools.stack.findings import Finding, FindingLevel
from callhooks_tools.stack.stack import StackOutputs, StackResource, StackUnknown
from callhooks_tools.stack.template import ALIAS, layers_of, properties_of, variables_of

from tests.integration.conftest import CALL_BUS, CLIENTS_TABLE, TABLE, TOOL_CALLS_TABLE, Aws
from tests.publishing import change_variables, publish
from tests.stacks import SECRET_IDS as SECRETS_OF_PROVIDERS
from tests.stacks import stack_outputs

STACK = "callhooks"
CALLHOOKS_LAYER, CALL_PLAN_LAYER = "CallhooksLayer", "CallPlanLayer"
SHAPES = secret_shapes()
SECRET_IDS = {**SECRETS_OF_PROVIDERS, "ConsoleCredentials": "console-credentials"}
FUNCTIONS = ("BirdVoiceFunction", "CallProjectorFunction", "JambonzNewCallFunction", "SpillDrainerFunction")
ROUTES = {"BirdVoiceFunction": ("Post", "PostForChannel"), "JambonzNewCallFunction": ("Post",)}
QUEUES = ("SpillQueue", "ProjectionRetryQueue", *ABANDONED_MESSAGES)
ALARM = "SpilledAlarm"
ALARM_DESCRIPTION = "Events have waited in the spill queue. Nothing is lost. Look for the cause."
LONG_TOKEN = "a-token-that-is-long-enough"
SUFFIX = "0a1b2c3d4e"


@dataclass
class Account:
    """A stack in the simulated account, with methods that break it."""

    deployment: Deployment

    def client(self, service: str) -> Any:
        return boto3.client(service)  # type: ignore[call-overload]

    def put_secret(self, member: str, text: str) -> None:
        self.client("secretsmanager").put_secret_value(SecretId=SECRET_IDS[member], SecretString=text)

    @contextmanager
    def changed_variable(self, function: str, name: str, value: str | None) -> Iterator[None]:
        """Change a variable in a function's environment or remove it, and restore it afterwards."""
        client = self.client("lambda")
        known = client.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
        others = {other: kept for other, kept in known.items() if other != name}
        changed = others if value is None else {**others, name: value}
        change_variables(client, function, changed)
        yield
        change_variables(client, function, known)

    def without(self, logical_id: str) -> Deployment:
        left = [one for one in self.deployment.resources if one.logical_id != logical_id]
        return replace(self.deployment, resources=left)

    def with_version(self, function: str, number: int) -> Deployment:
        """Return a deployment whose last update published this version of a function."""
        resources = [
            replace(one, physical_id=f"{one.physical_id.rpartition(':')[0]}:{number}")
            if one.logical_id.startswith(f"{function}Version")
            else one
            for one in self.deployment.resources
        ]
        return replace(self.deployment, resources=resources)

    def local(self) -> Deployment:
        return replace(self.deployment, endpoint_url="http://127.0.0.1:4566")


def archive() -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("app.py", "def handler(event, context): ...")
    return packed.getvalue()


@pytest.fixture
def bare(aws: Aws) -> Account:
    """A stack that has only its secrets."""
    for name in ("wavix-credentials", "voipstudio-credentials"):
        boto3.client("secretsmanager").put_secret_value(SecretId=name, SecretString=json.dumps({"token": LONG_TOKEN}))
    outputs = stack_outputs(
        stack_name=STACK,
        base_url="https://hooks.example.com",
        events_table=TABLE,
        clients_table=CLIENTS_TABLE,
        call_bus=CALL_BUS,
        retention_days="90",
        parameters={
            **dict.fromkeys(("BirdStatuses", "BirdChannelId", "BirdSignatureWindowHours", "PublicUrl"), ""),
            "RetentionDays": "90",
        },
    )
    return Account(Deployment(boto3.session.Session(), STACK, None, outputs, []))


@pytest.fixture
def account(aws: Aws, bare: Account) -> Account:
    """A stack with all its resources."""
    queues = {name: boto3.client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in QUEUES}
    outputs = replace(
        bare.deployment.outputs,
        spill_queue=queues["SpillQueue"],
        projection_retry_queue=queues["ProjectionRetryQueue"],
        parameters={**bare.deployment.outputs.parameters, "JambonzSignatureHeader": "Jambonz-Signature"},
    )
    boto3.client("events").create_event_bus(Name=CALL_BUS)
    layers = list(_layers())
    resources = [
        *(StackResource("AWS::SQS::Queue", name, url) for name, url in queues.items()),
        *_tables(aws),
        *layers,
        *_functions(outputs, {layer.logical_id[: -len(SUFFIX)]: layer.physical_id for layer in layers}),
        *_sources(aws, queues),
        _alarm(queues["SpillQueue"]),
    ]
    return Account(Deployment(session(), STACK, None, outputs, resources))


def session() -> boto3.session.Session:
    """Return a session in which an event source names the alias, as in AWS: moto names the version behind it."""

    def name_alias(parsed: dict[str, Any], **_: object) -> None:
        parsed["FunctionArn"] = re.sub(r":\d+$", f":{ALIAS}", parsed.get("FunctionArn", ""))

    made = boto3.session.Session()
    made.events.register("after-call.lambda.GetEventSourceMapping", name_alias)
    return made


def _tables(aws: Aws) -> Iterator[StackResource]:
    for logical_id, name, attribute in (
        ("EventsTable", TABLE, "expires_at"),
        ("ClientsTable", CLIENTS_TABLE, "expires_at"),
        ("ToolCallsTable", TOOL_CALLS_TABLE, "expiration"),
    ):
        aws.dynamodb.update_time_to_live(
            TableName=name, TimeToLiveSpecification={"Enabled": True, "AttributeName": attribute}
        )
        aws.dynamodb.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        yield StackResource("AWS::DynamoDB::Table", logical_id, name)


def _layers() -> Iterator[StackResource]:
    """SAM ends the logical id of a layer with a hash."""
    for name in (CALLHOOKS_LAYER, CALL_PLAN_LAYER):
        made = boto3.client("lambda").publish_layer_version(LayerName=name, Content={"ZipFile": archive()})
        yield StackResource("AWS::Lambda::LayerVersion", f"{name}{SUFFIX}", made["LayerVersionArn"])


def _functions(outputs: StackOutputs, layers: dict[str, str]) -> Iterator[StackResource]:
    role = boto3.client("iam").create_role(RoleName="role", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    variables = {
        "EVENTS_TABLE": TABLE,
        "RETENTION_DAYS": "90",
        "SPILL_QUEUE": outputs.spill_queue,
        "BIRD_CREDENTIALS": outputs.secrets["BirdCredentials"],
        "JAMBONZ_CREDENTIALS": outputs.secrets["JambonzCredentials"],
        "JAMBONZ_WEBHOOK_SECRETS": outputs.secrets["JambonzWebhookSecrets"],
        "JAMBONZ_SIGNATURE_HEADER": outputs.parameters["JambonzSignatureHeader"],
        "CALL_BUS": outputs.call_bus,
        "PROJECTION_RETRY_QUEUE": outputs.projection_retry_queue,
    }
    for name in FUNCTIONS:
        boto3.client("lambda").create_function(
            FunctionName=name,
            Role=role,
            Runtime="python3.13",
            Handler="app.handler",
            Code={"ZipFile": archive()},
            Environment={"Variables": {one: variables.get(one, "") for one in variables_of(name)}},
            Layers=[layers[layer] for layer in layers_of(name)],
            Publish=True,
        )
        alias = boto3.client("lambda").create_alias(FunctionName=name, Name=ALIAS, FunctionVersion="1")["AliasArn"]
        yield StackResource("AWS::Lambda::Function", name, name)
        yield StackResource("AWS::Lambda::Version", f"{name}Version0a1b2c3d4e", alias.replace(f":{ALIAS}", ":1"))
        yield StackResource("AWS::Lambda::Alias", f"{name}Alias{ALIAS}", alias)
        if name in ROUTES:
            yield from _permissions(name)


def _permissions(function: str) -> Iterator[StackResource]:
    for route in ROUTES[function]:
        boto3.client("lambda").add_permission(
            FunctionName=function,
            Qualifier=ALIAS,
            StatementId=route,
            Action="lambda:InvokeFunction",
            Principal="apigateway.amazonaws.com",
        )
        yield StackResource("AWS::Lambda::Permission", f"{function}{route}Permission", route)


def _sources(aws: Aws, queues: dict[str, str]) -> Iterator[StackResource]:
    stream = aws.dynamodb.update_table(
        TableName=TABLE, StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}
    )["TableDescription"]["LatestStreamArn"]
    for name, arn, function in (
        ("CallProjectorFunctionNewEvents", stream, "CallProjectorFunction"),
        ("CallProjectorFunctionRetries", arn_of(queues["ProjectionRetryQueue"]), "CallProjectorFunction"),
        ("SpillDrainerFunctionSpilled", arn_of(queues["SpillQueue"]), "SpillDrainerFunction"),
    ):
        start: dict[str, Any] = {"StartingPosition": "TRIM_HORIZON"} if arn == stream else {}
        made = boto3.client("lambda").create_event_source_mapping(
            EventSourceArn=arn, FunctionName=f"{function}:{ALIAS}", **start
        )
        yield StackResource("AWS::Lambda::EventSourceMapping", name, made["UUID"])


def _alarm(queue: str) -> StackResource:
    """An alarm that notifies a topic with a queue as its subscriber."""
    topic = boto3.client("sns").create_topic(Name="alarms")["TopicArn"]
    boto3.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn_of(queue))
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName="callhooks-SpilledAlarm-1",
        AlarmDescription=ALARM_DESCRIPTION,
        AlarmActions=[topic],
        MetricName="m",
        Namespace="n",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
    )
    return StackResource("AWS::CloudWatch::Alarm", ALARM, "callhooks-SpilledAlarm-1")


def arn_of(queue: str) -> str:
    client = boto3.client("sqs")
    return client.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def reported(findings: Iterator[Finding], level: FindingLevel = FindingLevel.FAILURE) -> list[str]:
    return [f"{one.check}: {one.message} {one.remedy}" for one in findings if one.level is level]


def only(findings: Iterator[Finding], level: FindingLevel = FindingLevel.FAILURE) -> str:
    (one,) = reported(findings, level)
    return one


def all_findings(deployment: Deployment) -> list[Finding]:
    return [
        *secret_findings(deployment, KnownSecrets()),
        *function_findings(deployment),
        *source_findings(deployment),
        *table_findings(deployment),
        *queue_findings(deployment),
        *bus_findings(deployment),
        *alarm_findings(deployment),
        *last_day_findings(deployment, datetime.now(UTC)),
    ]


def test_a_stack_as_deployed_passes_every_check(account: Account) -> None:
    findings = all_findings(account.deployment)
    assert {one.level for one in findings} == {FindingLevel.OK}, findings
    assert [one.check for one in findings] == [
        "secrets", "functions", "event sources", "tables", "queues", "event bus", "alarms",
        "quarantine", "problems of the last day",
    ]  # fmt: skip


class TestSecrets:
    def findings(self, bare: Account) -> Iterator[Finding]:
        return secret_findings(bare.deployment, KnownSecrets())

    @pytest.mark.parametrize("member", SHAPES)
    def test_that_cannot_be_used_are_reported_with_the_impact(self, member: str, bare: Account) -> None:
        unusable = {" ": "is empty", "no JSON": "is not JSON", "[1]": "is not a JSON object", "{}": "is missing"}
        for text, expected in unusable.items():
            bare.put_secret(member, text)
            finding = only(self.findings(bare))
            assert expected in finding
            assert SHAPES[member].impact in finding
            assert f"put-secret-value --secret-id {SECRET_IDS[member]}" in finding
        bare.client("secretsmanager").delete_secret(SecretId=SECRET_IDS[member], RecoveryWindowInDays=7)
        finding = only(self.findings(bare))
        assert "It is scheduled for deletion" in finding
        assert f"restore-secret --secret-id {SECRET_IDS[member]}" in finding

    def test_that_were_deleted_are_reported_with_the_next_step(self, bare: Account) -> None:
        bare.client("secretsmanager").delete_secret(SecretId="wavix-credentials", ForceDeleteWithoutRecovery=True)
        finding = only(self.findings(bare))
        assert "It does not exist: all deliveries of Wavix are rejected" in finding
        assert "aws secretsmanager restore-secret --secret-id wavix-credentials" in finding
        assert "After that, deploy a new stack (docs/operations.md#remove; the tables and their events" in finding

    def test_that_have_no_value_are_reported_with_the_command_that_sets_one(self, bare: Account) -> None:
        bare.client("secretsmanager").create_secret(Name="without-a-value")
        outputs = replace(bare.deployment.outputs, secrets={**SECRET_IDS, "WavixCredentials": "without-a-value"})
        finding = only(secret_findings(replace(bare.deployment, outputs=outputs), KnownSecrets()))
        assert "It has no value: all deliveries of Wavix are rejected" in finding
        assert "put-secret-value --secret-id without-a-value" in finding

    def test_without_a_webhook_secret_are_a_warning_with_the_command_that_adds_it(self, bare: Account) -> None:
        bare.put_secret("JambonzWebhookSecrets", '{"webhook_secrets": []}')
        warned = only(self.findings(bare), FindingLevel.WARNING)
        assert "its signatures are not checked" in warned
        assert "callhooks secret add jambonz --stack callhooks" in warned

    def test_of_jambonz_that_are_not_a_list_of_texts_are_reported(self, bare: Account) -> None:
        for secrets in ("{}", '{"webhook_secrets": "x"}', '{"webhook_secrets": [1, ""]}'):
            bare.put_secret("JambonzWebhookSecrets", secrets)
            assert "new calls get the plan's fallback" in only(self.findings(bare))

    @pytest.mark.parametrize("provider", ["wavix", "voipstudio"])
    def test_with_a_token_that_is_not_valid_in_a_url_are_reported(self, provider: str, bare: Account) -> None:
        for token in ("t0o-sh0rt", "has/a/slash/and/is/long/enough", "has a blank and is long enough"):
            for secret in ({"token": token}, {"token": LONG_TOKEN, "further_tokens": [token]}):
                bare.put_secret(f"{provider.title()}Credentials", json.dumps(secret))
                finding = only(self.findings(bare))
                assert "a token that is not valid in a URL" in finding
                assert f"callhooks secret add {provider} --generate --stack callhooks" in finding
                assert token not in finding

    def test_with_a_short_password_for_the_call_log_are_a_warning(self, bare: Account) -> None:
        for password, *further in (["elevenchars"], ["long-enough-password", "elevenchars "]):
            secret = {"username": "console", "password": password, "further_passwords": further}
            bare.put_secret("ConsoleCredentials", json.dumps(secret))
            warned = only(self.findings(bare), FindingLevel.WARNING)
            assert "It has a password with fewer than 12 characters" in warned
            assert "callhooks secret add console-password --generate --stack callhooks" in warned
            assert "elevenchars" not in warned

    def test_with_an_entry_that_is_ignored_are_a_warning(self, bare: Account) -> None:
        bare.put_secret("WavixCredentials", json.dumps({"token": LONG_TOKEN, "further_tokens": [7]}))
        warned = only(self.findings(bare), FindingLevel.WARNING)
        assert "An entry of its member further_tokens is not a string" in warned
        assert "put-secret-value --secret-id wavix-credentials" in warned

    def test_that_can_be_used_give_the_newest_credentials(self, bare: Account) -> None:
        bare.put_secret("JambonzWebhookSecrets", '{"webhook_secrets": [3, "newest-secret", "older-secret"]}')
        bare.put_secret("BirdCredentials", "no JSON")
        known = KnownSecrets()
        list(secret_findings(bare.deployment, known))
        jambonz, bird, wavix = (known.credentials_of(providers()[name]) for name in ("jambonz", "bird", "wavix"))
        assert jambonz is not None
        assert jambonz["webhook_secret"] == "newest-secret"
        assert bird is None
        assert known.console is not None
        assert wavix == {"token": LONG_TOKEN}
        assert known.changed_at["WavixCredentials"].tzinfo is not None
        assert "newest-secret" not in repr(known)


class TestFunctions:
    def test_that_never_run_or_were_deleted_are_reported(self, account: Account) -> None:
        client, name = account.client("lambda"), "BirdVoiceFunction"
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=5)
        assert reported(function_findings(account.deployment)) == []
        client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        finding = only(function_findings(account.deployment))
        assert finding.startswith("function BirdVoiceFunction: Its reserved concurrency is 0, so it never runs.")
        assert "delete-function-concurrency --function-name BirdVoiceFunction" in finding
        client.delete_function(FunctionName=name)
        assert "function BirdVoiceFunction: It has been deleted." in only(function_findings(account.deployment))
        assert "The stack has no functions" in only(function_findings(replace(account.deployment, resources=[])))

    def test_with_a_variable_that_does_not_match_the_stack_are_reported(self, account: Account) -> None:
        for variable in ("EVENTS_TABLE", "SPILL_QUEUE", "PUBLIC_URL", "BIRD_CREDENTIALS"):
            with account.changed_variable("BirdVoiceFunction", variable, "x"):
                finding = only(function_findings(account.deployment))
            assert f"The variable {variable} in its environment does not match the stack: it is x" in finding

    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_without_a_variable_of_the_template_are_reported(self, function: str, account: Account) -> None:
        for variable in variables_of(function):
            with account.changed_variable(function, variable, None):
                finding = only(function_findings(account.deployment))
            impact = OPTIONAL_VARIABLES.get(variable, "it cannot start")
            assert finding.startswith(f"function {function}: Its environment has no {variable}: {impact}.")

    def test_without_a_layer_of_the_stack_are_reported_with_the_fix(self, account: Account) -> None:
        layers = {
            layer: account.deployment.physical_id(f"{layer}{SUFFIX}") for layer in (CALLHOOKS_LAYER, CALL_PLAN_LAYER)
        }
        for left in ((CALL_PLAN_LAYER,), (CALLHOOKS_LAYER,), ()):
            client, name = account.client("lambda"), "JambonzNewCallFunction"
            client.update_function_configuration(FunctionName=name, Layers=[layers[layer] for layer in left])
            publish(client, name)
            finding = only(function_findings(account.deployment))
            missing = " and ".join(layer for layer in layers if layer not in left)
            assert finding.startswith(f"function JambonzNewCallFunction: It lacks the stack's layer {missing}.")
            assert f"--layers {' '.join(str(version) for version in layers.values())}. Then publish it: " in finding

    def test_that_cannot_run_are_reported(self, account: Account) -> None:
        for configuration, expected in (
            ({"State": "Failed", "StateReason": "No image."}, "Its state is Failed: it does not run. No image."),
            ({"State": "Pending"}, "Its state is Pending"),
            ({"LastUpdateStatus": "Failed", "LastUpdateStatusReason": "No role."}, "Its last update is Failed"),
        ):
            deployment = intercepted(account, "lambda", "GetFunctionConfiguration", configuration)
            findings = reported(function_findings(deployment))
            assert [expected in one for one in findings] == [True] * len(FUNCTIONS)


class TestAliases:
    NAME = "BirdVoiceFunction"

    def test_that_are_missing_are_reported_with_the_command_that_creates_them(self, account: Account) -> None:
        account.client("lambda").delete_alias(FunctionName=self.NAME, Name=ALIAS)
        finding = only(function_findings(account.deployment))
        assert finding.startswith(f"function {self.NAME}: It has no alias live")
        assert f"create-alias --function-name {self.NAME} --name live --function-version 1" in finding
        # A stack of an older version has no aliases at all.
        older = account.without(f"{self.NAME}Alias{ALIAS}")
        assert "To add it, deploy callhooks" in only(function_findings(older))

    def test_that_were_moved_back_are_a_warning(self, account: Account) -> None:
        client = account.client("lambda")
        client.update_function_configuration(FunctionName=self.NAME, MemorySize=1024)
        client.publish_version(FunctionName=self.NAME)
        updated = account.with_version(self.NAME, 2)
        warned = only(function_findings(updated), FindingLevel.WARNING)
        assert "Its alias points to version 1, but the last update published 2." in warned
        assert f"update-alias --function-name {self.NAME} --name live --function-version 2" in warned
        # After a rollback, the version that the update published is not a resource of the stack any more.
        findings = reported(function_findings(account.deployment), FindingLevel.WARNING)
        assert not any("Its alias points to" in one for one in findings)

    def test_that_shift_requests_to_another_version_are_a_warning(self, account: Account) -> None:
        shares = {"RoutingConfig": {"AdditionalVersionWeights": {"2": 0.1}}}
        deployment = intercepted(account, "lambda", "GetAlias", shares)
        warned = reported(function_findings(deployment), FindingLevel.WARNING)
        assert len(warned) == len(FUNCTIONS)
        assert "Its alias sends 10% to version 2, and the rest to version 1: an update is in progress." in warned[0]

    @pytest.mark.parametrize(
        ("member", "change"),
        [
            ("MemorySize", {"MemorySize": 1024}),
            ("Environment", {"Environment": {"Variables": {}}}),
            ("Layers", {"Layers": []}),
        ],
    )
    def test_whose_function_has_unpublished_changes_are_a_warning(
        self, member: str, change: dict[str, Any], account: Account
    ) -> None:
        account.client("lambda").update_function_configuration(FunctionName=self.NAME, **change)
        findings = list(function_findings(account.deployment))
        assert [one.level for one in findings] == [FindingLevel.WARNING], "callers do not get the change"
        assert f"Changes of {member} are not published: callers get version 1 without them." in findings[0].message
        assert f"publish-version --function-name {self.NAME}" in findings[0].remedy

    def test_that_the_api_may_not_invoke_are_reported_with_the_command_that_permits_it(self, account: Account) -> None:
        client, (route, *_) = account.client("lambda"), ROUTES[self.NAME]
        client.remove_permission(FunctionName=self.NAME, Qualifier=ALIAS, StatementId=route)
        finding = only(function_findings(account.deployment))
        assert "API Gateway may not invoke its alias for 1 of 2 routes: they get 500." in finding
        permit = (
            f"add-permission --function-name {self.NAME} --qualifier live --statement-id callhooks-doctor-all-routes"
        )
        assert permit in finding
        client.add_permission(
            FunctionName=self.NAME, Qualifier=ALIAS, StatementId="callhooks-doctor-all-routes",
            Action="lambda:InvokeFunction", Principal="apigateway.amazonaws.com",
        )  # fmt: skip
        assert all(one.level is FindingLevel.OK for one in function_findings(account.deployment))


class TestEventSources:
    def test_that_do_not_invoke_the_alias_are_reported_with_the_fix(self, account: Account) -> None:
        uuid = account.deployment.physical_id("SpillDrainerFunctionSpilled")
        account.client("lambda").update_event_source_mapping(UUID=uuid, FunctionName="SpillDrainerFunction")
        finding = only(source_findings(account.deployment))
        assert "It does not invoke the alias live, but arn:" in finding
        assert f"update-event-source-mapping --uuid {uuid} --function-name SpillDrainerFunction:live" in finding

    @pytest.mark.parametrize("logical_id", EVENT_SOURCES)
    def test_that_are_disabled_or_deleted_are_reported_with_the_impact(self, logical_id: str, account: Account) -> None:
        client, uuid = account.client("lambda"), account.deployment.physical_id(logical_id)
        client.update_event_source_mapping(UUID=uuid, Enabled=False)
        finding = only(source_findings(account.deployment))
        assert f"event source {logical_id}: It is disabled: {EVENT_SOURCES[logical_id]}" in finding
        assert f"update-event-source-mapping --uuid {uuid} --enabled" in finding
        assert "It has been deleted" in only(source_findings(account.without(logical_id)))
        client.delete_event_source_mapping(UUID=uuid)
        assert f"It has been deleted: {EVENT_SOURCES[logical_id]}" in only(source_findings(account.deployment))

    def test_with_a_failed_batch_or_an_old_stream_are_reported(self, account: Account) -> None:
        last = {"LastProcessingResult": "PROBLEM: Function call failed"}
        findings = reported(source_findings(intercepted(account, "lambda", "GetEventSourceMapping", last)))
        assert len(findings) == 3
        assert "Its last batch failed: Function call failed" in findings[0]
        assert "sam logs --stack-name callhooks --name CallProjectorFunction" in findings[0]
        recreated = {"Table": {"LatestStreamArn": "arn:aws:dynamodb:::new"}}
        finding = only(source_findings(intercepted(account, "dynamodb", "DescribeTable", recreated)))
        assert "It reads an old stream of the events table" in finding


class TestTables:
    def test_that_were_deleted_or_accept_no_items_are_reported(self, account: Account) -> None:
        archived = {"Table": {"TableStatus": "ARCHIVED", "GlobalSecondaryIndexes": []}}
        findings = reported(table_findings(intercepted(account, "dynamodb", "DescribeTable", archived)))
        assert findings
        assert all("It is ARCHIVED and does not accept items." in one for one in findings)
        account.client("dynamodb").delete_table(TableName=CLIENTS_TABLE)
        assert "table ClientsTable: It has been deleted." in only(table_findings(account.deployment))
        assert "table EventsTable: It has been deleted." in reported(table_findings(account.without("EventsTable")))[0]

    def test_whose_items_do_not_expire_or_cannot_be_restored_are_reported_with_the_fix(self, account: Account) -> None:
        client = account.client("dynamodb")
        client.update_time_to_live(
            TableName=TABLE, TimeToLiveSpecification={"Enabled": False, "AttributeName": "expires_at"}
        )
        client.update_continuous_backups(
            TableName=CLIENTS_TABLE, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": False}
        )
        first, second = sorted(reported(table_findings(account.deployment)), reverse=True)
        assert "Its items do not expire" in first
        assert "update-time-to-live --table-name events" in first
        assert "It has no point-in-time recovery" in second
        assert "update-continuous-backups --table-name clients" in second
        assert reported(table_findings(account.local())) == []


ABANDONED = {
    "SpillDeadLetterQueue": ("2 events", "start-message-move-task --source-arn arn:"),
    "ProjectionDeadLetterQueue": ("2 events", "callhooks rebuild --stack callhooks", "start-message-move-task"),
    "ProjectionDiscardedQueue": (
        "2 batches of",
        "callhooks rebuild --stack callhooks",
        "callhooks replay --received",
        "purge-queue",
    ),
}


class TestQueues:
    def test_with_abandoned_messages_are_reported_with_the_next_step(self, account: Account) -> None:
        assert ABANDONED.keys() == ABANDONED_MESSAGES.keys()
        client = account.client("sqs")
        for logical_id, expected in ABANDONED.items():
            url = account.deployment.physical_id(logical_id)
            for _ in range(2):
                client.send_message(QueueUrl=url, MessageBody="a secret of a caller")
            finding = only(queue_findings(account.deployment))
            assert finding.startswith(f"queue {logical_id}: ")
            assert [text for text in (*expected, "docs/operations.md#alarms") if text not in finding] == []
            assert "a secret of a caller" not in finding
            client.purge_queue(QueueUrl=url)

    def test_with_waiting_messages_are_a_warning(self, account: Account) -> None:
        attributes = {"Attributes": {"ApproximateNumberOfMessagesNotVisible": "1"}}
        findings = reported(
            queue_findings(intercepted(account, "sqs", "GetQueueAttributes", attributes)), FindingLevel.WARNING
        )
        assert len(findings) == 2
        assert "queue SpillQueue: The table has not accepted 1 event yet." in findings[0]
        assert findings[0].endswith(
            'The log of SpillDrainerFunction shows the cause at "not drained": '
            "sam logs --stack-name callhooks --name SpillDrainerFunction"
        )
        assert "queue ProjectionRetryQueue: 1 event could not be projected." in findings[1]

    def test_with_waiting_messages_name_the_engine_s_log_on_the_local_stack(self, account: Account) -> None:
        attributes = {"Attributes": {"ApproximateNumberOfMessages": "1"}}
        session = intercepted(account, "sqs", "GetQueueAttributes", attributes).session
        warned = reported(queue_findings(replace(account.local(), session=session)), FindingLevel.WARNING)
        assert 'The log of SpillDrainerFunction shows the cause at "not drained": /' in warned[0]
        assert 'The log of CallProjectorFunction shows the cause at "not projected": /' in warned[1]
        assert all(one.endswith("/run/engine.log") for one in warned)

    def test_that_were_deleted_are_reported_with_the_command_that_creates_them(self, account: Account) -> None:
        assert "The stack does not have this queue" in only(queue_findings(account.without("SpillDeadLetterQueue")))
        client = account.client("sqs")
        for logical_id in QUEUES:
            url = account.deployment.physical_id(logical_id)
            client.delete_queue(QueueUrl=url)
            finding = only(queue_findings(account.deployment))
            assert f"queue {logical_id}: It has been deleted." in finding
            assert "at least 60 s after it was deleted (no deployment needed)" in finding
            arguments = shlex.split(finding.partition("aws ")[2])
            assert arguments[:2] == ["sqs", "create-queue"]
            name, attributes = (arguments[arguments.index(f"--{one}") + 1] for one in ("queue-name", "attributes"))
            assert client.create_queue(QueueName=name, Attributes=json.loads(attributes))["QueueUrl"] == url
            assert reported(queue_findings(account.deployment)) == []
            expected = {name: str(value).lower() for name, value in properties_of(logical_id).items()}
            assert json.loads(attributes) | {"RedrivePolicy": ""} == expected | {"RedrivePolicy": ""}
            if redrive := properties_of(logical_id).get("RedrivePolicy"):
                dead_letter_queue = redrive["deadLetterTargetArn"]["Fn::GetAtt"].removesuffix(".Arn")
                assert json.loads(json.loads(attributes)["RedrivePolicy"]) == {
                    "deadLetterTargetArn": arn_of(str(account.deployment.physical_id(dead_letter_queue))),
                    "maxReceiveCount": str(redrive["maxReceiveCount"]),
                }


class TestTheEventBus:
    def test_that_was_deleted_is_reported_with_the_command_that_creates_it(self, account: Account) -> None:
        account.client("events").delete_event_bus(Name=CALL_BUS)
        finding = only(bus_findings(account.deployment))
        assert finding.startswith("event bus: It has been deleted. Subscribers receive nothing.")
        assert f"aws events create-event-bus --name {CALL_BUS}" in finding
        account.client("events").create_event_bus(Name=CALL_BUS)
        assert reported(bus_findings(account.deployment)) == []


class TestAlarms:
    def test_that_are_on_or_deleted_are_reported_and_without_data_pass(self, account: Account) -> None:
        client, name = account.client("cloudwatch"), "callhooks-SpilledAlarm-1"
        client.set_alarm_state(AlarmName=name, StateValue="INSUFFICIENT_DATA", StateReason="x")
        assert reported(alarm_findings(account.deployment)) == []
        client.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="x")
        assert only(alarm_findings(account.deployment)) == (
            "alarm SpilledAlarm: It is on. Events have waited in the spill queue. "
            "See docs/operations.md#alarms for the next step."
        )
        client.delete_alarms(AlarmNames=[name])
        assert "alarm SpilledAlarm: It has been deleted." in only(alarm_findings(account.deployment))

    def test_with_disabled_actions_are_a_warning(self, account: Account) -> None:
        account.client("cloudwatch").disable_alarm_actions(AlarmNames=["callhooks-SpilledAlarm-1"])
        warned = only(alarm_findings(account.deployment), FindingLevel.WARNING)
        assert "1 alarm cannot notify anyone, because the actions are disabled." in warned
        assert "enable-alarm-actions --alarm-names callhooks-SpilledAlarm-1" in warned

    def test_without_an_action_are_a_warning_in_aws_only(self, account: Account) -> None:
        client = account.client("cloudwatch")
        (alarm,) = client.describe_alarms()["MetricAlarms"]
        names = ("AlarmName", "MetricName", "Namespace", "Period", "EvaluationPeriods", "Threshold", "Statistic",
                 "ComparisonOperator")  # fmt: skip
        client.put_metric_alarm(**{name: alarm[name] for name in names})
        warned = only(alarm_findings(account.deployment), FindingLevel.WARNING)
        assert "1 alarm cannot notify anyone, because no action is configured." in warned
        assert reported(alarm_findings(account.local()), FindingLevel.WARNING) == []

    def test_without_a_confirmed_subscriber_are_a_warning_in_aws_only(self, account: Account) -> None:
        pending = {"Subscriptions": [{"SubscriptionArn": "PendingConfirmation"}]}
        deployment = intercepted(account, "sns", "ListSubscriptionsByTopic", pending)
        warned = only(alarm_findings(deployment), FindingLevel.WARNING)
        assert "The subscription is not confirmed, so alarms notify no one." in warned
        client = account.client("sns")
        (subscription,) = client.list_subscriptions()["Subscriptions"]
        client.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
        warned = only(alarm_findings(account.deployment), FindingLevel.WARNING)
        assert "Nobody has subscribed to the alarms, so alarms notify no one." in warned
        assert "sns subscribe --topic-arn" in warned
        assert reported(alarm_findings(account.local()), FindingLevel.WARNING) == []


class TestTheLastDay:
    def test_shows_what_is_in_quarantine_with_the_command_to_see_it(self, bare: Account) -> None:
        now = datetime.now(UTC)
        for provider, age in (("wavix", 0), ("wavix", 3), ("bird", 23), ("bird", 25)):
            received = now - timedelta(hours=age)
            delivery = QuarantinedDelivery(provider, "There was a fault.", received)
            # A retry has the signature of the first attempt, which gives the key its day.
            sender = Sender(received - timedelta(hours=24)) if provider == "bird" else Sender()
            request = Request("POST", "/", body=f"{provider} {age}".encode(), route="POST /", sender=sender)
            item = quarantine_item(delivery, request, quarantined("x"), retention_days=90)
            bare.client("dynamodb").put_item(TableName=TABLE, Item=item)
        warned = only(last_day_findings(bare.deployment, now), FindingLevel.WARNING)
        assert warned == (
            "quarantine: 3 deliveries were put into quarantine within the last day: 1 of bird, 2 of wavix. "
            "To see why: callhooks quarantine list --days 3 --stack callhooks"
        )

    def test_shows_the_problems_that_the_metrics_count(self, bare: Account) -> None:
        now = datetime.now(UTC)
        client = bare.client("cloudwatch")
        for name, stack, age, value in (
            ("CallFellBack", "callhooks", 1, 2),
            ("CallFellBack", "callhooks", 20, 1),
            ("CallFellBack", "callhooks", 30, 5),
            ("CallFellBack", "another", 1, 7),
            ("EventUnstored", "callhooks", 2, 1),
            ("WebhookRefused", "callhooks", 2, 1234),
        ):
            client.put_metric_data(
                Namespace="callhooks",
                MetricData=[
                    {
                        "MetricName": name,
                        "Dimensions": [{"Name": "service", "Value": stack}],
                        "Timestamp": now - timedelta(hours=age),
                        "Value": value,
                    }
                ],
            )
        findings = [one for one in last_day_findings(bare.deployment, now) if one.check != "quarantine"]
        assert [(one.level, one.message) for one in findings] == [
            (FindingLevel.WARNING, "3 new calls got the fallback within the last day."),
            (FindingLevel.WARNING, "1 event was only written to the log within the last day."),
            (FindingLevel.OK, "1,234 deliveries were rejected within the last day."),
        ]
        assert "callhooks recover --stack callhooks" in findings[1].remedy


class TestTheApi:
    @pytest.fixture
    def stage(self, bare: Account) -> Iterator[tuple[Stubber, Deployment]]:
        """A stack whose stage is read through a stub, because moto has no stages of HTTP APIs."""
        client = boto3.client("apigatewayv2")
        session: Any = SimpleNamespace(client=lambda *_, **__: client)
        api = StackResource("AWS::ApiGatewayV2::Api", "Api", "a1b2c3")
        with Stubber(client) as stub:
            yield stub, replace(bare.deployment, session=session, resources=[api])

    def test_without_limits_on_routes_passes(self, stage: tuple[Stubber, Deployment]) -> None:
        stub, deployment = stage
        stub.add_response("get_stage", {"StageName": "$default"}, {"ApiId": "a1b2c3", "StageName": "$default"})
        assert [one.level for one in api_findings(deployment)] == [FindingLevel.OK]

    def test_with_a_limit_of_an_earlier_version_is_a_warning(self, stage: tuple[Stubber, Deployment]) -> None:
        stub, deployment = stage
        limits = {"ANY /calls": {"ThrottlingRateLimit": 50.0}, "ANY /": {"ThrottlingRateLimit": 50.0}}
        stub.add_response("get_stage", {"StageName": "$default", "RouteSettings": limits})
        warned = only(api_findings(deployment), FindingLevel.WARNING)
        assert "An earlier version has limited ANY /, ANY /calls." in warned
        assert "docs/operations.md#remove-limits-on-routes" in warned

    def test_that_may_not_be_read_is_a_warning(self, stage: tuple[Stubber, Deployment]) -> None:
        stub, deployment = stage
        stub.add_client_error("get_stage", "AccessDeniedException")
        assert "do not allow GetStage" in only(api_findings(deployment), FindingLevel.WARNING)


DENIED = [
    ("secretsmanager", "GetSecretValue", "secret WavixCredentials"),
    ("lambda", "GetFunctionConfiguration", "function BirdVoiceFunction"),
    ("lambda", "GetFunctionConcurrency", "function BirdVoiceFunction"),
    ("lambda", "GetEventSourceMapping", "event source SpillDrainerFunctionSpilled"),
    ("dynamodb", "DescribeTable", "table EventsTable"),
    ("dynamodb", "DescribeTimeToLive", "table EventsTable"),
    ("sqs", "GetQueueAttributes", "queue SpillQueue"),
    ("events", "DescribeEventBus", "event bus"),
    ("cloudwatch", "DescribeAlarms", "alarms"),
    ("cloudwatch", "GetMetricData", "problems of the last day"),
    ("sns", "ListSubscriptionsByTopic", "alarms"),
]


def test_a_request_without_permission_is_a_warning_and_all_other_checks_run(account: Account) -> None:
    for service, operation, check in DENIED:
        findings = all_findings(intercepted(account, service, operation, denied(operation)))
        assert reported(iter(findings)) == []
        warned = reported(iter(findings), FindingLevel.WARNING)
        assert any(one.startswith(f"{check}: Not checked: your AWS credentials do not allow") for one in warned)
        assert all(operation in one for one in warned)


def test_a_request_with_another_error_is_a_failure_without_its_text(account: Account) -> None:
    fault: Any = {"Error": {"Code": "InternalError", "Message": "something secret"}}
    deployment = intercepted(account, "cloudwatch", "DescribeAlarms", ClientError(fault, "DescribeAlarms"))
    finding = only(alarm_findings(deployment))
    assert finding.startswith("alarms: Not checked: DescribeAlarms failed with InternalError. Run this command")
    assert "something secret" not in finding


def denied(operation: str) -> ClientError:
    fault: Any = {"Error": {"Code": "AccessDeniedException", "Message": "User: arn:aws:iam::1:user/x is not"}}
    return ClientError(fault, operation)


def intercepted(account: Account, service: str, operation: str, reply: dict[str, Any] | ClientError) -> Deployment:
    """Return the same deployment with members of one operation's reply replaced, or with an error instead."""
    intercepting = session()

    def answer(parsed: dict[str, Any], **_: object) -> None:
        if isinstance(reply, ClientError):
            raise reply
        for name, value in reply.items():
            parsed[name] = {**parsed.get(name, {}), **value} if isinstance(value, dict) else value

    intercepting.events.register(f"after-call.{service}.{operation}", answer)
    return replace(account.deployment, session=intercepting)


class TestTheStack:
    def stack(self, monkeypatch: pytest.MonkeyPatch, status: str) -> Iterator[Finding]:
        monkeypatch.setattr("callhooks_tools.stack.deployment.stack_status", lambda *_: status)
        return stack_findings(boto3.session.Session(), STACK)

    def test_passes_after_a_finished_deployment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for status in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE"):
            (finding,) = self.stack(monkeypatch, status)
            assert (finding.level, finding.message) == (FindingLevel.OK, f"callhooks is {status}.")

    def test_that_is_not_finished_is_reported_and_a_rollback_is_a_warning(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert "a deployment is in progress" in only(self.stack(monkeypatch, "UPDATE_IN_PROGRESS"))
        for status in ("ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_FAILED", "DELETE_FAILED"):
            assert "the last deployment failed" in only(self.stack(monkeypatch, status))
        warned = only(self.stack(monkeypatch, "UPDATE_ROLLBACK_COMPLETE"), FindingLevel.WARNING)
        assert "the last deployment failed and was rolled back" in warned
        assert "describe-stack-events --stack-name callhooks" in warned

    def test_that_does_not_exist_is_reported(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: object) -> str:
            raise StackUnknown("Cannot read the stack callhooks: it does not exist")

        monkeypatch.setattr("callhooks_tools.stack.deployment.stack_status", unknown)
        assert "Cannot read the stack" in only(stack_findings(boto3.session.Session(), STACK))
