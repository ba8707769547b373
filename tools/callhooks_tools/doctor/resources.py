"""Whether what a stack is made of is in order: functions, event sources, tables, queues, the event bus, alarms."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypedDict

from botocore.exceptions import ClientError
from callhooks.providers.description import variable_of
from callhooks.providers.registry import providers

from callhooks_tools.stack.deployment import IMPATIENT, Deployment
from callhooks_tools.stack.findings import Finding, failure, fine, looked_at, warning
from callhooks_tools.stack.stack import StackOutputs, StackResource

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_sqs.literals import QueueAttributeNameType

FUNCTIONS, SOURCES, TABLES, QUEUES, BUS, ALARMS = (
    "functions",
    "event sources",
    "tables",
    "queues",
    "event bus",
    "alarms",
)
OPERATIONS = "docs/operations.md#alarms"
EVENT_SOURCES = {
    "CallProjectorFunctionNewEvents": "new events do not reach the projector: no call is written, nothing is published",
    "CallProjectorFunctionRetries": "what could not be projected is not tried again",
    "SpillDrainerFunctionSpilled": "events that wait in the spill queue are not stored",
}
"""What does not work without each of the event sources of the template."""
IN_EVERY_FUNCTION = (
    "EVENTS_TABLE",
    "RETENTION_DAYS",
    "SPILL_QUEUE",
    "POWERTOOLS_SERVICE_NAME",
    "PYDANTIC_DISABLE_PLUGINS",
    "PUBLIC_URL",
)
STARTS_WITHOUT = {
    "POWERTOOLS_SERVICE_NAME": "no alarm counts what it measures",
    "PYDANTIC_DISABLE_PLUGINS": "it starts more slowly",
    "PYTHONTZPATH": "it starts more slowly",
}
"""What follows where a variable is missing that a function can start without."""


@dataclass(frozen=True, slots=True)
class FunctionShape:
    """What the template gives a function besides what every function has."""

    variables: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()


CALLHOOKS_LAYER = "CallhooksLayer"
OF_NO_PROVIDER = {
    "SpillDrainerFunction": FunctionShape(),
    "CallProjectorFunction": FunctionShape(("CALL_BUS", "PROJECTION_RETRY_QUEUE")),
    "CallLogFunction": FunctionShape(("CONSOLE_CREDENTIALS",)),
}
MAX_ALARMS_AT_ONCE = 100
CONFIRMED = "arn:"


def functions_of_the_template() -> Mapping[str, FunctionShape]:
    """What the template gives each function, by the function's name."""
    routes = (route for provider in providers().values() for route in provider.routes)
    return {**{route.function: FunctionShape(route.variables, route.layers) for route in routes}, **OF_NO_PROVIDER}


def function_findings(deployment: Deployment) -> Iterator[Finding]:
    """Whether every function can run, and has the environment that the template gives it."""
    client = deployment.session.client("lambda", config=IMPATIENT)
    functions = deployment.all_of("AWS::Lambda::Function")
    found = [
        finding
        for function in functions
        for finding in looked_at(f"function {function.logical_id}", _function(deployment, client, function))
    ]
    yield from found
    if not functions:
        yield failure(FUNCTIONS, "The stack has no functions.", "Deploy it.")
    elif not found:
        yield fine(FUNCTIONS, f"All {len(functions)} are active, and none is held back.")


def _function(deployment: Deployment, client: LambdaClient, function: StackResource) -> Iterator[Finding]:
    check, name = f"function {function.logical_id}", function.physical_id
    try:
        configuration = client.get_function_configuration(FunctionName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        yield failure(check, "It is not there: somebody has deleted it.", "Delete the stack, and deploy it anew.")
        return
    state = configuration.get("State", "Active")
    if state not in ("Active", "Inactive"):
        yield failure(
            check,
            f"Its state is {state}: it does not run. {configuration.get('StateReason', '')}".strip(),
            "Wait where it is Pending; else deploy again.",
        )
    update = configuration.get("LastUpdateStatus", "Successful")
    if update != "Successful":
        yield failure(
            check,
            f"Its last update is {update}: it may run with older code. "
            f"{configuration.get('LastUpdateStatusReason', '')}".strip(),
            "Wait where it is InProgress; else deploy again.",
        )
    shape = functions_of_the_template().get(function.logical_id, FunctionShape())
    variables = configuration.get("Environment", {}).get("Variables", {})
    yield from _environment(deployment, check, name, shape, variables)
    attached = [layer.get("Arn", "") for layer in configuration.get("Layers", [])]
    yield from _layers(deployment, check, name, shape, attached)
    reserved = client.get_function_concurrency(FunctionName=name).get("ReservedConcurrentExecutions")
    if reserved == 0:
        free = deployment.aws(f"lambda delete-function-concurrency --function-name {name}")
        yield failure(check, "Its reserved concurrency is 0: it never runs.", f"Take that away: {free}")


def _environment(
    deployment: Deployment, check: str, name: str, shape: FunctionShape, variables: Mapping[str, str]
) -> Iterator[Finding]:
    mend = f"Set it back (Lambda's console, {name}, Configuration, Environment variables): a deployment leaves it."
    for variable in (*IN_EVERY_FUNCTION, *shape.variables):
        if variable not in variables:
            follows = STARTS_WITHOUT.get(variable, "it cannot start")
            yield failure(check, f"Its environment has no {variable}: {follows}.", mend)
    for variable, expected in _expected_variables(deployment).items():
        if variable in variables and variables[variable] != expected:
            yield failure(
                check,
                f"Its environment has another {variable} than the stack: "
                f"{variables[variable] or 'nothing'}, and not {expected or 'nothing'}.",
                mend,
            )


def _layers(
    deployment: Deployment, check: str, name: str, shape: FunctionShape, attached: Sequence[str]
) -> Iterator[Finding]:
    """Whether a function has the layers of the stack, whose names SAM lengthens at each change."""
    versions = deployment.all_of("AWS::Lambda::LayerVersion")
    wanted = {
        layer: version.physical_id
        for layer in (CALLHOOKS_LAYER, *shape.layers)
        for version in versions
        if version.logical_id.startswith(layer)
    }
    missing = [layer for layer, version in wanted.items() if version not in attached]
    if missing:
        attach = deployment.aws(
            f"lambda update-function-configuration --function-name {name} --layers {' '.join(wanted.values())}"
        )
        yield failure(check, f"It is without the stack's layer {' and '.join(missing)}.", f"Attach it: {attach}")


def _expected_variables(deployment: Deployment) -> Mapping[str, str]:
    """What the template makes of outputs and parameters; ids and settings, and no secrets."""
    outputs = deployment.outputs
    expected = {
        "EVENTS_TABLE": outputs.events_table,
        "CLIENTS_TABLE": outputs.clients_table,
        "SPILL_QUEUE": outputs.spill_queue,
        "CALL_BUS": outputs.call_bus,
        "PROJECTION_RETRY_QUEUE": outputs.projection_retry_queue,
        "PUBLIC_URL": outputs.public_url,
        "RETENTION_DAYS": outputs.retention_days,
        "CONSOLE_CREDENTIALS": outputs.console_credentials,
        **_of_providers(outputs),
    }
    tool_calls = deployment.physical_id("ToolCallsTable")
    return expected if tool_calls is None else {**expected, "TOOL_CALLS_TABLE": tool_calls}


def _of_providers(outputs: StackOutputs) -> Mapping[str, str]:
    """The variables that hold a secret's id or a parameter: they have its name in the template."""
    known = {variable_of(name): value for name, value in {**outputs.parameters, **outputs.secrets}.items()}
    routes = (route for provider in providers().values() for route in provider.routes)
    return {name: known[name] for route in routes for name in route.variables if name in known}


def source_findings(deployment: Deployment) -> Iterator[Finding]:
    """Whether what calls the projector and the drainer is there, switched on, and meets no problem."""
    client = deployment.session.client("lambda", config=IMPATIENT)
    found = [
        finding
        for logical_id, stops in EVENT_SOURCES.items()
        for finding in looked_at(
            f"event source {logical_id}",
            _source(deployment, client, logical_id, stops),
        )
    ]
    yield from found
    if not found:
        yield fine(SOURCES, f"All {len(EVENT_SOURCES)} are switched on, and none met a problem.")


def _source(deployment: Deployment, client: LambdaClient, logical_id: str, stops: str) -> Iterator[Finding]:
    check, uuid = f"event source {logical_id}", deployment.physical_id(logical_id)
    gone = failure(check, f"It is not there: {stops}.", "Deploy the stack again; where that does not help, anew.")
    if uuid is None:
        yield gone
        return
    try:
        source = client.get_event_source_mapping(UUID=uuid)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        yield gone
        return
    state = source.get("State", "")
    if state in ("Disabled", "Disabling"):
        enable = deployment.aws(f"lambda update-event-source-mapping --uuid {uuid} --enabled")
        yield failure(check, f"It is switched off: {stops}.", f"Switch it on: {enable}")
    elif state not in ("Enabled", "Enabling", "Creating", "Updating"):
        yield failure(check, f"Its state is {state}: {stops}.", "Deploy the stack again.")
    result = source.get("LastProcessingResult", "")
    if result.upper().startswith("PROBLEM"):
        yield failure(
            check,
            f"It met a problem: {result.partition(':')[2].strip() or result}",
            deployment.log_of(logical_id.partition("Function")[0] + "Function"),
        )
    stream = source.get("EventSourceArn", "")
    if ":dynamodb:" in stream:
        table = deployment.session.client("dynamodb", config=IMPATIENT).describe_table(
            TableName=deployment.outputs.events_table
        )["Table"]
        if table.get("LatestStreamArn", stream) != stream:
            yield failure(
                check,
                f"It listens to a stream that the table of events has no more: {stops}.",
                "The table was made anew beside the stack. Delete the stack, and deploy it again.",
            )


@dataclass(frozen=True, slots=True)
class TableShape:
    """What a table of the template has: the attribute by which items expire, and whether it can be restored."""

    logical_id: str
    expires_by: str
    is_restorable: bool


TABLES_OF_THE_TEMPLATE = (
    TableShape("EventsTable", "expires_at", is_restorable=True),
    TableShape("ClientsTable", "expires_at", is_restorable=True),
    TableShape("ToolCallsTable", "expiration", is_restorable=False),
)


def table_findings(deployment: Deployment) -> Iterator[Finding]:
    """Whether the tables take items; in AWS also whether items expire and whether a table can be restored."""
    found = [
        finding
        for shape in TABLES_OF_THE_TEMPLATE
        for finding in looked_at(f"table {shape.logical_id}", _table(deployment, shape))
    ]
    yield from found
    if not found:
        yield fine(TABLES, f"All {len(TABLES_OF_THE_TEMPLATE)} are active.")


def _table(deployment: Deployment, shape: TableShape) -> Iterator[Finding]:
    check, name = f"table {shape.logical_id}", deployment.physical_id(shape.logical_id)
    gone = failure(
        check,
        "It is not there: somebody has deleted it.",
        "Restore it from its point in time under the same name, or delete the stack and deploy it anew.",
    )
    if name is None:
        yield gone
        return
    client = deployment.session.client("dynamodb", config=IMPATIENT)
    try:
        table = client.describe_table(TableName=name)["Table"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        yield gone
        return
    status = table["TableStatus"]
    if status not in ("ACTIVE", "UPDATING"):
        yield failure(check, f"It is {status}: it takes no items.", "Wait, and run this again.")
    indexes = [
        (one.get("IndexName", ""), one.get("IndexStatus", "ACTIVE")) for one in table.get("GlobalSecondaryIndexes", [])
    ]
    for index, state in indexes:
        if state not in ("ACTIVE", "UPDATING"):
            yield warning(check, f"Its index {index} is {state}: the call log does not find all calls.", "Wait.")
    if not deployment.is_local:
        yield from _kept_as_promised(deployment, shape, name)


def _kept_as_promised(deployment: Deployment, shape: TableShape, name: str) -> Iterator[Finding]:
    check = f"table {shape.logical_id}"
    client = deployment.session.client("dynamodb", config=IMPATIENT)
    expiry = client.describe_time_to_live(TableName=name).get("TimeToLiveDescription", {})
    if expiry.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING") or expiry.get("AttributeName") != shape.expires_by:
        enable = deployment.aws(
            f"dynamodb update-time-to-live --table-name {name} "
            f"--time-to-live-specification Enabled=true,AttributeName={shape.expires_by}"
        )
        yield failure(check, "Its items do not expire: more is kept of people than was promised.", enable)
    if shape.is_restorable:
        backups = client.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
        recovery = backups.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
        if recovery != "ENABLED":
            enable = deployment.aws(
                f"dynamodb update-continuous-backups --table-name {name} "
                "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true"
            )
            yield failure(check, "It cannot be restored to a point in time: a slip would be for good.", enable)


@dataclass(frozen=True, slots=True)
class QueueShape:
    """What a queue of the template is made with: its attributes, and after how many receipts a message goes where."""

    attributes: Mapping[str, str]
    dead_letter_queue: str = ""
    most_receipts: int = 0


KEPT_AND_ENCRYPTED = {"SqsManagedSseEnabled": "true", "MessageRetentionPeriod": "1209600"}
QUEUES_OF_THE_TEMPLATE = {
    "SpillQueue": QueueShape({**KEPT_AND_ENCRYPTED, "VisibilityTimeout": "360"}, "SpillDeadLetterQueue", 100),
    "SpillDeadLetterQueue": QueueShape(KEPT_AND_ENCRYPTED),
    "ProjectionRetryQueue": QueueShape(
        {**KEPT_AND_ENCRYPTED, "VisibilityTimeout": "360", "DelaySeconds": "30"}, "ProjectionDeadLetterQueue", 10
    ),
    "ProjectionDeadLetterQueue": QueueShape(KEPT_AND_ENCRYPTED),
    "ProjectionDiscardedQueue": QueueShape(KEPT_AND_ENCRYPTED),
}


def queue_findings(deployment: Deployment) -> Iterator[Finding]:
    """Whether anything waits, or was given up."""
    found = [
        finding
        for logical_id in ("SpillQueue", "ProjectionRetryQueue", *GIVEN_UP)
        for finding in looked_at(f"queue {logical_id}", _queue(deployment, logical_id))
    ]
    yield from found
    if not found:
        yield fine(QUEUES, "All 5 are empty.")


GIVEN_UP = {
    "SpillDeadLetterQueue": "{number} could not be stored for a day, and are forgotten in thirteen more.",
    "ProjectionDeadLetterQueue": "{number} could not be projected for an hour: their calls are out of date, and "
    "subscribers have not got them.",
    "ProjectionDiscardedQueue": "{number} of the table's stream were given up: their calls are out of date, and "
    "subscribers have not got their events.",
}
"""What lies in each queue whose messages nobody receives."""


def _queue(deployment: Deployment, logical_id: str) -> Iterator[Finding]:
    check, url = f"queue {logical_id}", deployment.physical_id(logical_id)
    if url is None:
        yield failure(check, "The stack has no such queue.", "Deploy it again.")
        return
    client = deployment.session.client("sqs", config=IMPATIENT)
    names: list[QueueAttributeNameType] = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesNotVisible",
        "ApproximateNumberOfMessagesDelayed",
        "QueueArn",
    ]
    try:
        attributes = client.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    except ClientError as error:
        if "NonExistentQueue" not in error.response["Error"]["Code"]:
            raise
        yield failure(
            check,
            "It is not there: somebody has deleted it.",
            "Make it again under its name, 60 s after it was deleted at the soonest; nothing has to be deployed: "
            f"{_made_again(deployment, client, logical_id, url)}",
        )
        return
    number = sum(int(attributes.get(name, "0")) for name in names[:3])
    if not number:
        return
    if logical_id == "SpillQueue":
        yield warning(
            check,
            f"{_counted(number, 'event')} waits for the table; once the cause is mended, all goes in by itself.",
            deployment.log_of("SpillDrainerFunction", 'has the cause at "not drained"'),
        )
    elif logical_id == "ProjectionRetryQueue":
        yield warning(
            check,
            f"{_counted(number, 'event')} could not be projected, and is tried again for an hour.",
            deployment.log_of("CallProjectorFunction", 'has the cause at "not projected"'),
        )
    else:
        yield failure(
            check,
            GIVEN_UP[logical_id].format(
                number=_counted(number, "batch" if logical_id == "ProjectionDiscardedQueue" else "event")
            ),
            _brought_back(deployment, logical_id, url, attributes.get("QueueArn", "")),
        )


def _made_again(deployment: Deployment, client: SQSClient, logical_id: str, url: str) -> str:
    """The command that makes a queue as the template does, with the URL and the ARN that it had."""
    shape = QUEUES_OF_THE_TEMPLATE[logical_id]
    attributes = dict(shape.attributes)
    dead_letters = deployment.physical_id(shape.dead_letter_queue)
    if dead_letters is not None:
        account, name = dead_letters.split("/")[-2:]
        policy = {
            "deadLetterTargetArn": f"arn:{client.meta.partition}:sqs:{client.meta.region_name}:{account}:{name}",
            "maxReceiveCount": str(shape.most_receipts),
        }
        attributes["RedrivePolicy"] = json.dumps(policy)
    return deployment.aws(
        f"sqs create-queue --queue-name {url.rpartition('/')[2]} --attributes {shlex.quote(json.dumps(attributes))}"
    )


def _brought_back(deployment: Deployment, logical_id: str, url: str, arn: str) -> str:
    move = deployment.aws(f"sqs start-message-move-task --source-arn {arn}")
    return {
        "SpillDeadLetterQueue": f"Mend the cause, then bring them in: {move} ({OPERATIONS})",
        "ProjectionDeadLetterQueue": f"Mend the cause, then {deployment.callhooks('rebuild')} for the calls, and to "
        f"publish the events: {move} ({OPERATIONS})",
        "ProjectionDiscardedQueue": f"Mend the cause, then {deployment.callhooks('rebuild')}, and at last "
        f"{deployment.aws(f'sqs purge-queue --queue-url {url}')} ({OPERATIONS})",
    }[logical_id]


def _counted(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}{'es' if thing == 'batch' else 's'}"


def bus_findings(deployment: Deployment) -> Iterator[Finding]:
    """Whether the event bus is there, on which subscribers get events."""
    yield from looked_at(BUS, _bus(deployment))


def _bus(deployment: Deployment) -> Iterator[Finding]:
    name = deployment.outputs.call_bus
    try:
        deployment.session.client("events", config=IMPATIENT).describe_event_bus(Name=name)
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        make = deployment.aws(f"events create-event-bus --name {name}")
        yield failure(
            BUS,
            "It is not there: somebody has deleted it. Subscribers get nothing.",
            f"Make it again: {make}. Then subscribers make their rules again (docs/events.md).",
        )
        return
    yield fine(BUS, "It is there.")


class Alarm(TypedDict, total=False):
    """What CloudWatch tells of an alarm, as far as it is asked."""

    AlarmName: str
    AlarmDescription: str
    StateValue: str
    ActionsEnabled: bool
    AlarmActions: list[str]


class AlarmReply(TypedDict, total=False):
    """The answer of `describe_alarms`."""

    MetricAlarms: list[Alarm]
    CompositeAlarms: list[Alarm]


class CloudWatch(Protocol):
    """What is asked of CloudWatch."""

    def describe_alarms(self, *, AlarmNames: Sequence[str], AlarmTypes: Sequence[str]) -> AlarmReply:  # noqa: N803
        """Alarms by their names."""
        ...


class Subscription(TypedDict):
    """What SNS tells of a subscription: no ARN, but a word, where it is not confirmed."""

    SubscriptionArn: str


class SubscriptionReply(TypedDict, total=False):
    """The answer of `list_subscriptions_by_topic`."""

    Subscriptions: list[Subscription]
    NextToken: str


class Topics(Protocol):
    """What is asked of SNS."""

    def list_subscriptions_by_topic(self, *, TopicArn: str, NextToken: str = "") -> SubscriptionReply:  # noqa: N803
        """Who is told of what is published."""
        ...


def alarm_findings(deployment: Deployment) -> Iterator[Finding]:
    """Whether an alarm is on, and whether anybody would be told."""
    resources = [
        *deployment.all_of("AWS::CloudWatch::Alarm"),
        *deployment.all_of("AWS::CloudWatch::CompositeAlarm"),
    ]
    yield from looked_at(ALARMS, _alarms(deployment, resources))


def _alarms(deployment: Deployment, resources: Sequence[StackResource]) -> Iterator[Finding]:
    client: CloudWatch = deployment.session.client("cloudwatch", config=IMPATIENT)
    alarms: dict[str, Alarm] = {}
    for start in range(0, len(resources), MAX_ALARMS_AT_ONCE):
        names = [one.physical_id for one in resources[start : start + MAX_ALARMS_AT_ONCE]]
        reply = client.describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm", "CompositeAlarm"])
        told = [*reply.get("MetricAlarms", []), *reply.get("CompositeAlarms", [])]
        alarms |= {alarm["AlarmName"]: alarm for alarm in told}
    found = [finding for one in resources for finding in _alarm(one, alarms.get(one.physical_id))]
    yield from found
    if not found:
        yield fine(ALARMS, f"None of {len(resources)} is on.")
    yield from _told(deployment, list(alarms.values()))


def _alarm(resource: StackResource, alarm: Alarm | None) -> Iterator[Finding]:
    check = f"alarm {resource.logical_id}"
    if alarm is None:
        yield failure(check, "It is not there: somebody has deleted it.", "Deploy the stack anew under another name.")
    elif alarm.get("StateValue") == "ALARM":
        first = re.split(r"(?<=[.])\s", alarm.get("AlarmDescription", "").strip())[0]
        yield failure(check, f"It is on. {first}".strip(), f"What to do: {OPERATIONS}")


def _told(deployment: Deployment, alarms: Sequence[Alarm]) -> Iterator[Finding]:
    silent = [alarm["AlarmName"] for alarm in alarms if not alarm.get("ActionsEnabled", True)]
    if silent:
        enable = deployment.aws(f"cloudwatch enable-alarm-actions --alarm-names {' '.join(silent)}")
        yield warning(ALARMS, f"The actions of {len(silent)} are switched off: nobody is told.", enable)
    if deployment.is_local:
        return
    without = [alarm["AlarmName"] for alarm in alarms if not alarm.get("AlarmActions")]
    if without:
        yield warning(
            ALARMS,
            f"{len(without)} have no action: nobody is told.",
            "Deploy this version, whose alarms have one, with the parameter AlarmAddress.",
        )
    topics = {action for alarm in alarms for action in alarm.get("AlarmActions", []) if ":sns:" in action}
    for topic in sorted(topics):
        yield from looked_at(ALARMS, _subscribed(deployment, topic))


def _subscribed(deployment: Deployment, topic: str) -> Iterator[Finding]:
    client: Topics = deployment.session.client("sns", config=IMPATIENT)
    reply = client.list_subscriptions_by_topic(TopicArn=topic)
    subscriptions = list(reply.get("Subscriptions", []))
    while reply.get("NextToken"):
        reply = client.list_subscriptions_by_topic(TopicArn=topic, NextToken=reply["NextToken"])
        subscriptions += reply.get("Subscriptions", [])
    if any(one["SubscriptionArn"].startswith(CONFIRMED) for one in subscriptions):
        return
    pending = "The subscription waits to be confirmed" if subscriptions else "Nobody has subscribed to the alarms"
    subscribe = deployment.aws(
        f"sns subscribe --topic-arn {topic} --protocol email --notification-endpoint YOU@EXAMPLE.COM"
    )
    yield warning(
        ALARMS,
        f"{pending}: nobody is told.",
        "Confirm it by the link that was sent."
        if subscriptions
        else f"Deploy with AlarmAddress=YOU@EXAMPLE.COM, or {subscribe}; then confirm it.",
    )
