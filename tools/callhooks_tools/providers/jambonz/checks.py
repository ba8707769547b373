"""Checks of jambonz's configuration, based on the deliveries that jambonz has sent and on its REST API."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import islice
from urllib.parse import urlsplit

from boto3.session import Session
from callhooks.call_log.listing import CallList, CallQuery
from callhooks.call_log.spans import Span
from callhooks.events.call_event import utc_text
from callhooks.events.event_item import EVENT_PREFIX, Item, details_of_item, partition_key
from callhooks.providers.description import TEST_SENDER
from callhooks.providers.jambonz.authentication import DEFAULT_SIGNATURE_HEADER
from callhooks.providers.jambonz.client_auth import ClientRefusal
from callhooks.providers.jambonz.hook import PROVIDER
from callhooks.providers.jambonz.provider import CALL_HOOK

from callhooks_tools.providers.jambonz.account import JambonzAccount, JambonzApplication
from callhooks_tools.providers.jambonz.api import api_url_of, is_configured
from callhooks_tools.providers.rest.configuration import is_loopback
from callhooks_tools.providers.rest.errors import ControlFailed
from callhooks_tools.providers.rest.provider_apis import displayed_address, displayed_origin
from callhooks_tools.stack.deployment import IMPATIENT, Deployment
from callhooks_tools.stack.findings import Finding, catch_aws_errors, failure, warning
from callhooks_tools.stack.stack import StackOutputs
from callhooks_tools.stack.template import ALIAS

SIGNATURES = "jambonz signatures"
REGISTRATIONS = "jambonz registration hook"
CALL_HOOKS = "jambonz call hook"
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
    elif _unsigned(_recent_events(deployment.session, deployment.outputs, now)):
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


def _recent_events(session: Session, outputs: StackOutputs, now: datetime) -> Sequence[Item]:
    """Return the events of jambonz's latest calls, except the doctor's test calls."""
    client, table = session.client("dynamodb", config=IMPATIENT), outputs.events_table
    calls = CallList(client, table)
    days = [Span.of_day((now - ago).date()) for ago in (timedelta(0), LOOKBACK)]
    listed = (call for day in days for call in calls.page(CallQuery(day, provider=PROVIDER), limit=MAX_CALLS).calls)
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
            "The registration hook uses GET, which jambonz does not sign. SIP clients rejected within the last day: "
            f"{by_get}.",
            "In jambonz's portal, set the method of the registration hook to POST (account, Registration webhook).",
        )


def account_findings(session: Session, outputs: StackOutputs, now: datetime) -> Iterator[Finding]:
    """Check that the call hooks in jambonz's account have the address of the stack, if the environment has the key."""
    if is_configured(os.environ):
        yield from catch_aws_errors(CALL_HOOKS, _call_hooks(session, outputs, now))


def _call_hooks(session: Session, outputs: StackOutputs, now: datetime) -> Iterator[Finding]:
    try:
        if _is_only_for_this_machine(outputs.base_url) and not _is_only_for_this_machine(api_url_of(os.environ)):
            return
        with JambonzAccount.from_environment(os.environ) as account:
            applications = [one for one in account.applications() if _has_call_hook(one)]
    except ControlFailed as error:
        yield warning(CALL_HOOKS, f"Not checked: {str(error).removesuffix('.')}.", error.remedy)
        return
    address = _origin(outputs.base_url)
    elsewhere = [application for application in applications if _origin(application.call_url) != address]
    if not elsewhere:
        return
    # Applications of other stacks have the same path.
    if len(elsewhere) < len(applications):
        hosts = {urlsplit(outputs.base_url).hostname, outputs.parameters.get("DomainName")}
        events = _recent_events(session, outputs, now)
        calling = {details_of_item(item).get("application_sid") for item in events}
        elsewhere = [
            application
            for application in elsewhere
            if urlsplit(application.call_url).hostname in hosts or application.application_sid in calling
        ]
    for application in elsewhere:
        yield warning(
            CALL_HOOKS,
            f"The application {application.name} calls {displayed_address(application.call_url)}, and the address of "
            f"this stack is {displayed_origin(outputs.base_url)}. jambonz sends redirects and some events to the host "
            "and port of the call hook, and other hooks to the address of the stack.",
            "Set the call hook to the URL that callhooks urls shows, with the same host and no port, or set the "
            "parameter PublicUrl to the address of the call hook, and deploy.",
        )


def _has_call_hook(application: JambonzApplication) -> bool:
    url = application.call_url
    return url.startswith(("http://", "https://")) and displayed_address(url).rstrip("/").endswith(CALL_HOOK)


def _origin(url: str) -> str:
    """Return scheme, host and port. To jambonz, an explicit port differs from no port."""
    return displayed_origin(url).lower()


def _is_only_for_this_machine(url: str) -> bool:
    return is_loopback(urlsplit(url).hostname or "")
