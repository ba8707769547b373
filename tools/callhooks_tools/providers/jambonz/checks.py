"""What the deliveries that jambonz has really sent show about how it is set up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice

from callhooks.call_log.listing import CallList, CallQuery
from callhooks.events.call_event import utc_text
from callhooks.events.event_item import EVENT_PREFIX, Item, details_of_item, partition_key
from callhooks.providers.description import TEST_SENDER
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.client_auth import ClientRefusal
from callhooks.providers.jambonz.hook import PROVIDER

from callhooks_tools.stack.deployment import IMPATIENT, Deployment
from callhooks_tools.stack.findings import Finding, failure, looked_at, warning

SIGNATURES = "jambonz signatures"
REGISTRATIONS = "jambonz registration hook"
LOOKED_BACK = timedelta(days=1)
MAX_CALLS = 5
MAX_CLIENT_EVENTS = 1_000
NO_SIGNATURE = '"no signature"'
FUNCTIONS = ("JambonzNewCallFunction", "JambonzEventFunction", "JambonzActionFunction", "JambonzToolFunction")


def sender_findings(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    """Look at what jambonz has sent within the last day: whether it signs, and whether it asks by POST."""
    yield from looked_at(SIGNATURES, _signatures(deployment, now))
    yield from looked_at(REGISTRATIONS, _registrations(deployment, now))


def _signatures(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    header = deployment.outputs.parameters.get("JambonzSignatureHeader", DEFAULT_SIGNATURE_HEADER)
    remedy = f"If your platform names the header otherwise, set the parameter JambonzSignatureHeader (now {header})."
    refused = [function for function in FUNCTIONS if _has_refused_unsigned(deployment, function, now)]
    if refused:
        yield failure(
            SIGNATURES,
            f"Deliveries of the last day had the right password and no {header}: they were refused (401), "
            f"by {', '.join(refused)}.",
            remedy,
        )
    elif _unsigned(_recent_events(deployment, now)):
        yield warning(
            SIGNATURES,
            f"jambonz's latest deliveries have no {header}. Two hooks with the same body at the same URL look like one "
            "that is sent again, and are stored as one event.",
            remedy,
        )


def _has_refused_unsigned(deployment: Deployment, function: str, now: datetime) -> bool:
    """Return whether a function has refused anything for its missing signature since it was last changed."""
    group = deployment.physical_id(f"{function.removesuffix('Function')}LogGroup")
    name = deployment.physical_id(function)
    if group is None or name is None:
        return False
    configuration = deployment.session.client("lambda", config=IMPATIENT).get_function_configuration(FunctionName=name)
    # A function that was changed may look for the signature in another header now.
    since = max(now - LOOKED_BACK, datetime.fromisoformat(configuration["LastModified"]))
    pages = (
        deployment.session.client("logs", config=IMPATIENT)
        .get_paginator("filter_log_events")
        .paginate(
            logGroupName=group,
            filterPattern=NO_SIGNATURE,
            startTime=int(since.timestamp() * 1000),
        )
    )
    return any(page["events"] for page in pages)


def _recent_events(deployment: Deployment, now: datetime) -> Sequence[Item]:
    """Return the events of jambonz's latest calls, without the doctor's own."""
    client, table = deployment.session.client("dynamodb", config=IMPATIENT), deployment.outputs.events_table
    calls = CallList(client, table)
    days = [utc_text(now - ago)[:10] for ago in (timedelta(0), LOOKED_BACK)]
    listed = (call for day in days for call in calls.page(CallQuery(day=day, provider=PROVIDER), limit=MAX_CALLS).calls)
    latest = islice((call for call in listed if not call.call_id.startswith(TEST_SENDER)), MAX_CALLS)
    return [
        item
        for call in latest
        for item in client.query(
            TableName=table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :event)",
            ExpressionAttributeValues={
                ":pk": {"S": partition_key(PROVIDER, call.call_id)},
                ":event": {"S": EVENT_PREFIX},
            },
        )["Items"]
    ]


def _unsigned(events: Sequence[Item]) -> bool:
    """Return whether most of some events took their time from our own clock, as happens without a signature."""
    ours = [item for item in events if item["occurred_at"] == item["received_at"]]
    return len(ours) * 2 > len(events)


def _registrations(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    since = utc_text(now - LOOKED_BACK)
    pages = (
        deployment.session.client("dynamodb", config=IMPATIENT)
        .get_paginator("query")
        .paginate(
            TableName=deployment.outputs.events_table,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :refused)",
            FilterExpression="received_at >= :since",
            ExpressionAttributeValues={
                ":pk": {"S": f"{PROVIDER}#none#undated"},
                ":refused": {"S": f"{EVENT_PREFIX}client.refused-"},
                ":since": {"S": since},
            },
            PaginationConfig={"MaxItems": MAX_CLIENT_EVENTS},
        )
    )
    refused = [item for page in pages for item in page["Items"]]
    by_get = sum(details_of_item(item).get("reason") == ClientRefusal.NOT_SIGNED.value for item in refused)
    if by_get:
        yield failure(
            REGISTRATIONS,
            f"jambonz asks by GET, which it does not sign: {by_get} SIP clients were refused within a day.",
            "Set the method of the registration hook to POST in jambonz's portal (account, Registration webhook).",
        )
