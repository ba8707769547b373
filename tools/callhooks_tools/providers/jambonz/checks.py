"""Checks of jambonz's configuration, based on the deliveries that jambonz has sent."""

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
from callhooks_tools.stack.findings import Finding, catch_aws_errors, failure, warning
from callhooks_tools.stack.template import ALIAS

SIGNATURES = "jambonz signatures"
REGISTRATIONS = "jambonz registration hook"
LOOKBACK = timedelta(days=1)
MAX_CALLS = 5
MAX_CLIENT_EVENTS = 1_000
NO_SIGNATURE = "no signature"
FUNCTIONS = ("JambonzNewCallFunction", "JambonzEventFunction", "JambonzActionFunction", "JambonzToolFunction")


def sender_findings(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    """Check the last day's deliveries: whether jambonz signs them, and whether the registration hook uses POST."""
    yield from catch_aws_errors(SIGNATURES, _signatures(deployment, now))
    yield from catch_aws_errors(REGISTRATIONS, _registrations(deployment, now))


def _signatures(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    header = deployment.outputs.parameters.get("JambonzSignatureHeader", DEFAULT_SIGNATURE_HEADER)
    remedy = (
        "If your platform uses another header, set the stack parameter JambonzSignatureHeader to its name (now "
        f"{header}), and deploy."
    )
    rejecting = [function for function in FUNCTIONS if _has_rejected_unsigned(deployment, function, now)]
    if rejecting:
        yield failure(
            SIGNATURES,
            f"Within the last day, deliveries with the right password but without the header {header} were rejected "
            f"(401) by {', '.join(rejecting)}.",
            remedy,
        )
    elif _unsigned(_recent_events(deployment, now)):
        yield warning(
            SIGNATURES,
            f"jambonz's latest deliveries have no header {header}. Two hooks with the same body at the same URL look "
            "like a duplicate, and are stored as one event.",
            remedy,
        )


def _has_rejected_unsigned(deployment: Deployment, function: str, now: datetime) -> bool:
    """Return whether a function has rejected a delivery without a signature since it was last changed."""
    name = deployment.physical_id(function)
    if name is None:
        return False
    client = deployment.session.client("lambda", config=IMPATIENT)
    configuration = client.get_function_configuration(FunctionName=name, Qualifier=ALIAS)
    # An update may have changed the header in which the function looks for the signature.
    since = max(now - LOOKBACK, datetime.fromisoformat(configuration["LastModified"]))
    return any(True for _ in deployment.log_events(function, NO_SIGNATURE, since.timestamp()))


def _recent_events(deployment: Deployment, now: datetime) -> Sequence[Item]:
    """Return the events of jambonz's latest calls, except the doctor's test calls."""
    client, table = deployment.session.client("dynamodb", config=IMPATIENT), deployment.outputs.events_table
    calls = CallList(client, table)
    days = [utc_text(now - ago)[:10] for ago in (timedelta(0), LOOKBACK)]
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
    """Return whether most events have the time of the receiver's clock, which is used if there is no signature."""
    from_own_clock = [item for item in events if item["occurred_at"] == item["received_at"]]
    return len(from_own_clock) * 2 > len(events)


def _registrations(deployment: Deployment, now: datetime) -> Iterator[Finding]:
    since = utc_text(now - LOOKBACK)
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
    rejected = [item for page in pages for item in page["Items"]]
    by_get = sum(details_of_item(item).get("reason") == ClientRefusal.NOT_SIGNED.value for item in rejected)
    if by_get:
        yield failure(
            REGISTRATIONS,
            f"The registration hook uses GET, which jambonz does not sign: {by_get} SIP clients were rejected within "
            "the last day.",
            "In jambonz's portal, set the method of the registration hook to POST (account, Registration webhook).",
        )
