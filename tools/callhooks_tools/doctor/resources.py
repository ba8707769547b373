"""Checks of a stack's resources: functions, event sources, tables, queues, the event bus, alarms."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from callhooks_tools.doctor.secrets import CONSOLE_SECRET
from callhooks_tools.doctor.versions import alias_findings, publish_command
from callhooks_tools.stack.deployment import DEPTH, IMPATIENT, Deployment, depth_of
from callhooks_tools.stack.findings import (
    Finding,
    catch_aws_errors,
    existing,
    failure,
    ok,
    or_ok,
    reporting_aws_errors,
    warning,
)
from callhooks_tools.stack.stack import StackResource
from callhooks_tools.stack.template import ALIAS, layers_of, properties_of, variables_of

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient

FUNCTIONS, SOURCES, TABLES, QUEUES, BUS, ALARMS = (
    "functions",
    "event sources",
    "tables",
    "queues",
    "event bus",
    "alarms",
)
API = "API"
OPERATIONS = "docs/operations.md#alarms"
REMOVAL = "docs/operations.md#remove"
LIMITED_ROUTES = "docs/operations.md#remove-limits-on-routes"
NEW_STACK = (
    f"Remove the stack and deploy it again ({REMOVAL}): stored events stay in the old table, but the new stack has new "
    "URLs and secrets to enter at every provider."
)
NEW_STACK_ONLY = f"A deployment does not recreate it. {NEW_STACK}"
EVENT_SOURCES = {
    "CallProjectorFunctionNewEvents": "new events do not reach the projector, so no call is written or published",
    "CallProjectorFunctionRetries": "events that could not be projected are not retried",
    "SpillDrainerFunctionSpilled": "events in the spill queue are not stored",
}
"""The consequence if an event source of the template does not work."""
OPTIONAL_VARIABLES = {
    "POWERTOOLS_SERVICE_NAME": "alarms do not see its metrics",
    "PYDANTIC_DISABLE_PLUGINS": "it starts more slowly",
    "PYTHONTZPATH": "it starts more slowly",
}
"""The consequence if a variable is missing that a function does not need to start."""


MAX_ALARMS_AT_ONCE = 100
CONFIRMED = "arn:"


def function_findings(deployment: Deployment) -> Iterator[Finding]:
    """Check that every function can be invoked, and that callers get the environment and layers of the template."""
    client = deployment.session.client("lambda", config=IMPATIENT)
    functions = deployment.all_of("AWS::Lambda::Function")
    if not functions:
        yield failure(FUNCTIONS, "The stack has no functions.", f"To add them, {deployment.redeploy}.")
        return
    found = (
        finding
        for function in functions
        for finding in catch_aws_errors(f"function {function.logical_id}", _function(deployment, client, function))
    )
    yield from or_ok(
        found, FUNCTIONS, f"All {len(functions)} are active, with the variables and layers of the template."
    )


def _function(deployment: Deployment, client: LambdaClient, function: StackResource) -> Iterator[Finding]:
    check, name = f"function {function.logical_id}", function.physical_id
    latest = existing(lambda: client.get_function_configuration(FunctionName=name))
    if latest is None:
        yield failure(check, "It has been deleted.", NEW_STACK_ONLY)
        return
    # What callers get; $LATEST may have changes that are not published.
    configuration = existing(lambda: client.get_function_configuration(FunctionName=name, Qualifier=ALIAS))
    yield from alias_findings(deployment, client, function, latest, configuration)
    if configuration is None:
        return
    state = configuration.get("State", "Active")
    if state not in ("Active", "Inactive"):
        yield failure(
            check,
            f"Its state is {state}: it does not run. {configuration.get('StateReason', '')}".strip(),
            f"If it is Pending, run this command again in a minute. Otherwise {deployment.redeploy}.",
        )
    update = latest.get("LastUpdateStatus", "Successful")
    if update != "Successful":
        yield failure(
            check,
            f"Its last update is {update}: it may run older code. {latest.get('LastUpdateStatusReason', '')}".strip(),
            f"If it is InProgress, run this command again in a minute. Otherwise {deployment.redeploy}.",
        )
    variables = configuration.get("Environment", {}).get("Variables", {})
    yield from _environment(deployment, check, function, variables)
    attached = [layer.get("Arn", "") for layer in configuration.get("Layers", [])]
    yield from _layers(deployment, check, function, attached)
    reserved = client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    if reserved == 0:
        remove = deployment.aws(f"lambda delete-function-concurrency --function-name {name}")
        yield failure(check, "Its reserved concurrency is 0, so it never runs.", f"Remove the limit: {remove}")


def _environment(
    deployment: Deployment, check: str, function: StackResource, variables: Mapping[str, str]
) -> Iterator[Finding]:
    name, values = function.physical_id, _expected_variables(deployment, function.logical_id)
    for variable in variables_of(function.logical_id):
        if variable not in variables:
            impact = OPTIONAL_VARIABLES.get(variable, "it cannot start")
            yield failure(
                check,
                f"Its environment has no {variable}: {impact}.",
                _set_variable(deployment, name, values.get(variable)),
            )
    for variable, expected in values.items():
        if variable in variables and variables[variable] != expected:
            yield failure(
                check,
                f"The variable {variable} in its environment does not match the stack: it is "
                f"{variables[variable] or 'empty'} instead of {expected or 'empty'}.",
                _set_variable(deployment, name, expected),
            )


def _set_variable(deployment: Deployment, name: str, value: str | None) -> str:
    """Return how to set a variable of a function; the value is `None` if only the template has it."""
    target = "its value in template.yaml" if value is None else value or "an empty value"
    return (
        f"Set it to {target} (Lambda console, {name}, Configuration, Environment variables), then publish it: "
        f"{publish_command(deployment, name)}. A deployment does not reset it."
    )


def _layers(deployment: Deployment, check: str, function: StackResource, attached: Sequence[str]) -> Iterator[Finding]:
    """Check a function's layers; SAM appends a hash to the name of each layer version."""
    versions = deployment.all_of("AWS::Lambda::LayerVersion")
    expected = {
        layer: version.physical_id
        for layer in layers_of(function.logical_id)
        for version in versions
        if version.logical_id.startswith(layer)
    }
    missing = [layer for layer, version in expected.items() if version not in attached]
    if missing:
        attach = deployment.aws(
            f"lambda update-function-configuration --function-name {function.physical_id} "
            f"--layers {' '.join(expected.values())}"
        )
        yield failure(
            check,
            f"It lacks the stack's layer {' and '.join(missing)}.",
            f"Attach it: {attach}. Then publish it: {publish_command(deployment, function.physical_id)}",
        )


def _expected_variables(deployment: Deployment, function: str) -> Mapping[str, str]:
    """Return the variables that the template sets from resources and parameters: ids and settings, never secrets."""
    ids = {one.logical_id: one.physical_id for one in deployment.resources}
    # The local engine's physical id of a secret is its name, not its ARN.
    console = {CONSOLE_SECRET: deployment.outputs.console_credentials}
    # CloudFormation shows parameters with NoEcho as asterisks.
    parameters = {name: value for name, value in deployment.outputs.parameters.items() if value != "****"}
    known = {**ids, **deployment.outputs.secrets, **console, **parameters}
    sources = {
        name: value.get("Ref") or str(value.get("Fn::GetAtt")).removesuffix(".Id")
        for name, value in variables_of(function).items()
        if isinstance(value, dict)
    }
    return {name: known[source] for name, source in sources.items() if source in known}


def source_findings(deployment: Deployment) -> Iterator[Finding]:
    """Check that the event sources of the projector and the drainer exist, are enabled, and have no errors."""
    client = deployment.session.client("lambda", config=IMPATIENT)
    found = (
        finding
        for logical_id, impact in EVENT_SOURCES.items()
        for finding in catch_aws_errors(f"event source {logical_id}", _source(deployment, client, logical_id, impact))
    )
    yield from or_ok(found, SOURCES, f"All {len(EVENT_SOURCES)} are enabled, without errors.")


def _source(deployment: Deployment, client: LambdaClient, logical_id: str, impact: str) -> Iterator[Finding]:
    check, uuid = f"event source {logical_id}", deployment.physical_id(logical_id)
    source = existing(lambda: client.get_event_source_mapping(UUID=uuid)) if uuid else None
    if source is None:
        yield failure(
            check,
            f"It has been deleted: {impact}.",
            f"To add it, {deployment.redeploy}. If it is still missing: {NEW_STACK}",
        )
        return
    state = source.get("State", "")
    if state in ("Disabled", "Disabling"):
        enable = deployment.aws(f"lambda update-event-source-mapping --uuid {uuid} --enabled")
        yield failure(check, f"It is disabled: {impact}.", f"Enable it: {enable}")
    elif state not in ("Enabled", "Enabling", "Creating", "Updating"):
        yield failure(
            check,
            f"Its state is {state}: {impact}.",
            f"Run this command again in a minute. If the state stays, {deployment.redeploy}.",
        )
    invoked = source.get("FunctionArn", "")
    if not invoked.endswith(f":{ALIAS}"):
        name = invoked.split(":function:")[-1].partition(":")[0]
        move = deployment.aws(f"lambda update-event-source-mapping --uuid {uuid} --function-name {name}:{ALIAS}")
        yield failure(
            check,
            f"It does not invoke the alias {ALIAS}, but {invoked}: updates do not reach its events.",
            f"Let it invoke the alias: {move}",
        )
    result = source.get("LastProcessingResult", "")
    if result.upper().startswith("PROBLEM"):
        yield failure(
            check,
            f"Its last batch failed: {result.partition(':')[2].strip() or result}",
            "See the checks of functions and permissions above. "
            + deployment.log_of(logical_id.partition("Function")[0] + "Function"),
        )
    stream = source.get("EventSourceArn", "")
    if ":dynamodb:" in stream:
        table = deployment.session.client("dynamodb", config=IMPATIENT).describe_table(
            TableName=deployment.outputs.events_table
        )["Table"]
        if table.get("LatestStreamArn", stream) != stream:
            yield failure(
                check,
                f"It reads an old stream of the events table: {impact}.",
                f"The table was recreated outside the stack. {NEW_STACK}",
            )


BACKUP = (
    "AWS keeps a backup of the deleted table for 35 days (aws dynamodb list-backups --backup-type SYSTEM, then "
    "aws dynamodb restore-table-from-backup)."
)
DELETED_TABLES = {
    # A restored table has no stream, which the projector needs.
    "EventsTable": f"{BACKUP} Restore the events if you need them. The stack cannot use the restored table. "
    f"{NEW_STACK}",
    "ClientsTable": f"{BACKUP} Restore it under the same name, then run this command again.",
    "ToolCallsTable": NEW_STACK_ONLY,
}
"""The remedy for each table that has been deleted."""


def table_findings(deployment: Deployment) -> Iterator[Finding]:
    """Check that the tables accept items and, in AWS, that items expire and tables can be restored."""
    found = (
        finding
        for logical_id in DELETED_TABLES
        for finding in catch_aws_errors(f"table {logical_id}", _table(deployment, logical_id))
    )
    yield from or_ok(found, TABLES, f"All {len(DELETED_TABLES)} are active.")


def _table(deployment: Deployment, logical_id: str) -> Iterator[Finding]:
    check, name = f"table {logical_id}", deployment.physical_id(logical_id)
    client = deployment.session.client("dynamodb", config=IMPATIENT)
    reply = existing(lambda: client.describe_table(TableName=name)) if name else None
    if name is None or reply is None:
        yield failure(check, "It has been deleted.", DELETED_TABLES[logical_id])
        return
    table = reply["Table"]
    status = table["TableStatus"]
    if status not in ("ACTIVE", "UPDATING"):
        yield failure(
            check,
            f"It is {status} and does not accept items.",
            "If it is CREATING, run this command again in a minute. Otherwise its page in the DynamoDB console shows "
            "the cause.",
        )
    indexes = [
        (one.get("IndexName", ""), one.get("IndexStatus", "ACTIVE")) for one in table.get("GlobalSecondaryIndexes", [])
    ]
    for index, state in indexes:
        if state not in ("ACTIVE", "UPDATING"):
            yield warning(
                check,
                f"Its index {index} is {state}: the call log does not show all calls.",
                "Wait until the index is ACTIVE, then run this command again.",
            )
    if not deployment.is_local:
        yield from _retention_check(deployment, check, logical_id, name)


def _retention_check(deployment: Deployment, check: str, logical_id: str, name: str) -> Iterator[Finding]:
    client, properties = deployment.session.client("dynamodb", config=IMPATIENT), properties_of(logical_id)
    attribute = properties["TimeToLiveSpecification"]["AttributeName"]
    expiry = client.describe_time_to_live(TableName=name).get("TimeToLiveDescription", {})
    is_enabled = expiry.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    if not is_enabled or expiry.get("AttributeName") != attribute:
        enable = deployment.aws(
            f"dynamodb update-time-to-live --table-name {name} "
            f"--time-to-live-specification Enabled=true,AttributeName={attribute}"
        )
        yield failure(
            check, "Its items do not expire: personal data is stored longer than configured.", f"Enable TTL: {enable}"
        )
    if "PointInTimeRecoverySpecification" in properties:
        backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
        if recovery != "ENABLED":
            enable = deployment.aws(
                f"dynamodb update-continuous-backups --table-name {name} "
                "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
            )
            yield failure(
                check,
                "It has no point-in-time recovery: deleted data cannot be restored.",
                f"Enable it: {enable}",
            )


def queue_findings(deployment: Deployment) -> Iterator[Finding]:
    """Check that no message waits in a queue or has been abandoned."""
    found = (
        finding
        for logical_id in ("SpillQueue", "ProjectionRetryQueue", *ABANDONED_MESSAGES)
        for finding in catch_aws_errors(f"queue {logical_id}", _queue(deployment, logical_id))
    )
    yield from or_ok(found, QUEUES, "All 5 are empty.")


ABANDONED_MESSAGES = {
    "SpillDeadLetterQueue": "{number} could not be stored for a day. SQS deletes them after 13 more days.",
    "ProjectionDeadLetterQueue": "{number} could not be projected for an hour. Calls are out of date, and subscribers "
    "have not received these events.",
    "ProjectionDiscardedQueue": "Lambda gave up on {number} of the table's stream. Calls are out of date, and "
    "subscribers have not received the events.",
}
"""Messages in each queue that no function receives from."""


def _queue(deployment: Deployment, logical_id: str) -> Iterator[Finding]:
    check, url = f"queue {logical_id}", deployment.physical_id(logical_id)
    if url is None:
        yield failure(check, "The stack does not have this queue.", f"To add it, {deployment.redeploy}.")
        return
    client = deployment.session.client("sqs", config=IMPATIENT)
    reply = existing(lambda: client.get_queue_attributes(QueueUrl=url, AttributeNames=[*DEPTH, "QueueArn"]))
    if reply is None:
        yield failure(
            check,
            "It has been deleted.",
            "Create it again with the same name, at least 60 s after it was deleted (no deployment needed): "
            f"{_recreate_command(deployment, client, logical_id, url)}",
        )
        return
    attributes = reply["Attributes"]
    number = depth_of(attributes)
    if not number:
        return
    if logical_id == "SpillQueue":
        yield warning(
            check,
            f"The table has not accepted {_counted(number, 'event')} yet. The drainer keeps retrying.",
            "If the number does not fall, fix the cause. The events are then stored automatically. "
            + deployment.log_of("SpillDrainerFunction", 'shows the cause at "not drained"'),
        )
    elif logical_id == "ProjectionRetryQueue":
        yield warning(
            check,
            f"{_counted(number, 'event')} could not be projected. The projector retries for an hour.",
            "If the number does not fall, fix the cause. The events are then projected automatically. "
            + deployment.log_of("CallProjectorFunction", 'shows the cause at "not projected"'),
        )
    else:
        yield failure(
            check,
            ABANDONED_MESSAGES[logical_id].format(
                number=_counted(number, "batch" if logical_id == "ProjectionDiscardedQueue" else "event")
            ),
            _recovery_steps(deployment, logical_id, url, attributes.get("QueueArn", "")),
        )


def _recreate_command(deployment: Deployment, client: SQSClient, logical_id: str, url: str) -> str:
    """Return the command that creates a queue as the template does, with its old URL and ARN."""
    properties = properties_of(logical_id)
    attributes = {name: str(value).lower() for name, value in properties.items() if name != "RedrivePolicy"}
    redrive = properties.get("RedrivePolicy", {})
    dead_letters = redrive and deployment.physical_id(redrive["deadLetterTargetArn"]["Fn::GetAtt"].removesuffix(".Arn"))
    if dead_letters:
        account, name = dead_letters.split("/")[-2:]
        policy = {
            "deadLetterTargetArn": f"arn:{client.meta.partition}:sqs:{client.meta.region_name}:{account}:{name}",
            "maxReceiveCount": str(redrive["maxReceiveCount"]),
        }
        attributes["RedrivePolicy"] = json.dumps(policy)
    return deployment.aws(
        f"sqs create-queue --queue-name {url.rpartition('/')[2]} --attributes {shlex.quote(json.dumps(attributes))}"
    )


def _recovery_steps(deployment: Deployment, logical_id: str, url: str, arn: str) -> str:
    move = deployment.aws(f"sqs start-message-move-task --source-arn {arn}")
    return {
        "SpillDeadLetterQueue": f"Fix the cause, then store them: {move} (see {OPERATIONS})",
        "ProjectionDeadLetterQueue": f"Fix the cause. To update the calls: {deployment.callhooks('rebuild')}. To "
        f"publish the events: {move} (see {OPERATIONS})",
        "ProjectionDiscardedQueue": f"Fix the cause. To update the calls: {deployment.callhooks('rebuild')}. To "
        f"publish the missed events: {deployment.callhooks('replay --received --from TIME')} (TIME: the start of the "
        "outage). Only then empty the queue: "
        f"{deployment.aws(f'sqs purge-queue --queue-url {url}')} (see {OPERATIONS})",
    }[logical_id]


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}{'es' if noun == 'batch' else 's'}"


@reporting_aws_errors(BUS)
def bus_findings(deployment: Deployment) -> Iterator[Finding]:
    """Check that the event bus exists."""
    name = deployment.outputs.call_bus
    client = deployment.session.client("events", config=IMPATIENT)
    if existing(lambda: client.describe_event_bus(Name=name)) is None:
        create = deployment.aws(f"events create-event-bus --name {name}")
        yield failure(
            BUS,
            "It has been deleted. Subscribers receive nothing.",
            f"Create it again: {create}. Then create the rules of all subscribers again (docs/events.md#the-bus).",
        )
        return
    yield ok(BUS, "It exists.")


@reporting_aws_errors(API)
def api_findings(deployment: Deployment) -> Iterator[Finding]:
    """Check that no limit of an earlier version is left on a route: API Gateway keeps what has left the template."""
    client = deployment.session.client("apigatewayv2", config=IMPATIENT)
    stage = client.get_stage(ApiId=deployment.physical_id("Api") or "", StageName="$default")
    if routes := sorted(stage.get("RouteSettings", {})):
        yield warning(
            API, f"An earlier version has limited {', '.join(routes)}.", f"Remove the limits: {LIMITED_ROUTES}"
        )
        return
    yield ok(API, "No route has a limit of its own.")


@reporting_aws_errors(ALARMS)
def alarm_findings(deployment: Deployment) -> Iterator[Finding]:
    """Check that no alarm is on, and that alarms notify someone."""
    resources = [*deployment.all_of("AWS::CloudWatch::Alarm"), *deployment.all_of("AWS::CloudWatch::CompositeAlarm")]
    client: Any = deployment.session.client("cloudwatch", config=IMPATIENT)
    alarms: dict[str, Mapping[str, Any]] = {}
    for start in range(0, len(resources), MAX_ALARMS_AT_ONCE):
        names = [one.physical_id for one in resources[start : start + MAX_ALARMS_AT_ONCE]]
        reply = client.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        described = [*reply.get("MetricAlarms", []), *reply.get("CompositeAlarms", [])]
        alarms |= {alarm["AlarmName"]: alarm for alarm in described}
    found = (finding for one in resources for finding in _alarm(one, alarms.get(one.physical_id)))
    yield from or_ok(found, ALARMS, f"None of the {len(resources)} alarms is on.")
    yield from _notification_findings(deployment, list(alarms.values()))


def _alarm(resource: StackResource, alarm: Mapping[str, Any] | None) -> Iterator[Finding]:
    check = f"alarm {resource.logical_id}"
    if alarm is None:
        yield failure(
            check,
            "It has been deleted.",
            f"A deployment does not recreate it. Recreate it under the name {resource.physical_id} as in template.yaml "
            f"(aws cloudwatch put-metric-alarm), or move to a new stack ({REMOVAL}), which has new URLs and secrets.",
        )
    elif alarm.get("StateValue") == "ALARM":
        first = re.split(r"(?<=[.])\s", alarm.get("AlarmDescription", "").strip())[0]
        yield failure(check, f"It is on. {first}".strip(), f"See {OPERATIONS} for the next step.")


def _notification_findings(deployment: Deployment, alarms: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    silent = [alarm["AlarmName"] for alarm in alarms if not alarm.get("ActionsEnabled", True)]
    if silent:
        enable = deployment.aws(f"cloudwatch enable-alarm-actions --alarm-names {' '.join(silent)}")
        yield warning(
            ALARMS,
            f"{_counted(len(silent), 'alarm')} cannot notify anyone, because the actions are disabled.",
            f"Enable them: {enable}",
        )
    if deployment.is_local:
        return
    without = [alarm["AlarmName"] for alarm in alarms if not alarm.get("AlarmActions")]
    if without:
        yield warning(
            ALARMS,
            f"{_counted(len(without), 'alarm')} cannot notify anyone, because no action is configured.",
            "Deploy this version with the parameter AlarmAddress.",
        )
    topics = {action for alarm in alarms for action in alarm.get("AlarmActions", []) if ":sns:" in action}
    for topic in sorted(topics):
        yield from catch_aws_errors(ALARMS, _subscribed(deployment, topic))


def _subscribed(deployment: Deployment, topic: str) -> Iterator[Finding]:
    client: Any = deployment.session.client("sns", config=IMPATIENT)
    reply = client.list_subscriptions_by_topic(TopicArn=topic)
    subscriptions = list(reply.get("Subscriptions", []))
    while reply.get("NextToken"):
        reply = client.list_subscriptions_by_topic(TopicArn=topic, NextToken=reply["NextToken"])
        subscriptions += reply.get("Subscriptions", [])
    if any(one["SubscriptionArn"].startswith(CONFIRMED) for one in subscriptions):
        return
    problem = "The subscription is not confirmed" if subscriptions else "Nobody has subscribed to the alarms"
    subscribe = deployment.aws(
        f"sns subscribe --topic-arn {topic} --protocol email --notification-endpoint YOU@EXAMPLE.COM"
    )
    yield warning(
        ALARMS,
        f"{problem}, so alarms notify no one.",
        "Confirm it with the link that AWS sent."
        if subscriptions
        else f"Deploy with AlarmAddress=YOU@EXAMPLE.COM, or subscribe: {subscribe}. Then confirm it.",
    )
