"""`callhooks bird`: manage the subscriptions through which Bird sends call events."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from callhooks.providers.bird import PROVIDER as BIRD

from callhooks_tools.providers.bird.api import PROVIDER
from callhooks_tools.providers.bird.subscriptions import (
    BirdStatus,
    BirdSubscription,
    BirdSubscriptions,
    BirdTopic,
    statuses_of,
    url_of_channel,
)
from callhooks_tools.providers.rest.configuration import checked_id
from callhooks_tools.providers.rest.provider_apis import check_subscribable, provider_failures
from callhooks_tools.stack.secrets import SenderSecrets
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.terminal import agree, console, fail, shown

SIGNING_KEY = "BIRD_SIGNING_KEY"
CHECK_FIRST = "The change may have been made anyway. Check with: callhooks bird list"

bird_app = typer.Typer(
    help="Manage Bird's webhook subscriptions. Set BIRD_ACCESS_KEY and BIRD_WORKSPACE_ID in the environment, "
    "and BIRD_ORGANIZATION_ID if your key requires it.",
    no_args_is_help=True,
)

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Subscription ids, as shown by callhooks bird list.")]


@bird_app.command("subscribe")
@with_stack_options
def bird_subscribe(
    event: Annotated[
        list[BirdTopic] | None, typer.Option("--event", help="Event to subscribe to; repeatable. Both by default.")
    ] = None,
    status: Annotated[
        list[BirdStatus] | None,
        typer.Option("--status", help="Only send calls with this status; repeatable. All by default."),
    ] = None,
    channel: Annotated[
        str | None,
        typer.Option(
            "--channel", metavar="ID", help="Only send calls of this channel. Also added to the end of the URL."
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            help=f"Send events to this URL instead of the stack's. They are signed with {SIGNING_KEY} from the "
            "environment if it is set, otherwise with the stack's signing key.",
        ),
    ] = None,
    *,
    selected: SelectedStack,
) -> None:
    """Subscribe the stack to call events.

    Creates one subscription for each event. Skips a subscription that already exists.
    """
    with provider_failures():
        channel_id = None if channel is None else checked_id(channel, PROVIDER)
    key_from_environment = os.environ.get(SIGNING_KEY, "").strip() if url else ""
    if url and key_from_environment:
        address, signing_key = url, key_from_environment
    else:
        session, outputs = stack_in_aws(selected)
        address = url or f"{outputs.base_url}/webhooks/bird"
        signing_key = SenderSecrets.of(BIRD, session, outputs).read()[0]
    address = url_of_channel(address, channel_id)
    check_subscribable(address, PROVIDER)
    statuses = status or []
    with (
        provider_failures(maybe_done=CHECK_FIRST),
        BirdSubscriptions.from_environment(os.environ, signing_key=signing_key) as subscriptions,
    ):
        for topic in dict.fromkeys(event or BirdTopic):
            topic_statuses = statuses_of(topic, statuses)
            if statuses and not topic_statuses:
                console.print(f"{topic}  skipped: inbound calls never have the status {' or '.join(statuses)}")
                continue
            result = subscriptions.subscribe(
                topic, address, signing_key, statuses=topic_statuses, channel_id=channel_id
            )
            subscription_id = result.subscription.id
            console.print(
                shown(f"{topic}  {'subscribed' if result.is_new else 'already subscribed'}  {subscription_id}")
            )
            if not result.subscription.is_active:
                console.print(
                    shown(f"This subscription is paused. Resume it with: callhooks bird resume {subscription_id}")
                )
    if len(statuses) > 1:
        console.print(
            "Bird's documentation is unclear about subscriptions with more than one status. If no events arrive, "
            "subscribe without --status and set the stack parameter BirdStatuses instead."
        )


@bird_app.command("list")
def bird_list_subscriptions() -> None:
    """List all subscriptions of the workspace, without their signing keys."""
    with provider_failures(), BirdSubscriptions.from_environment(os.environ) as subscriptions:
        found = subscriptions.all()
    if not found:
        console.print("No subscriptions.")
    for subscription in found:
        console.print(_line(subscription))


@bird_app.command("pause")
def bird_pause(ids: Ids) -> None:
    """Pause subscriptions without removing them."""
    _set_active(ids, active=False, done="paused")


@bird_app.command("resume")
def bird_resume(ids: Ids) -> None:
    """Resume paused subscriptions."""
    _set_active(ids, active=True, done="resumed")


@bird_app.command("remove")
def bird_remove(ids: Ids, yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False) -> None:
    """Remove subscriptions permanently, after you confirm."""
    with (
        provider_failures(maybe_done=CHECK_FIRST),
        BirdSubscriptions.from_environment(os.environ) as subscriptions,
    ):
        existing = {subscription.id: subscription for subscription in subscriptions.all()}
        if missing := [identifier for identifier in ids if identifier not in existing]:
            fail(shown(f"No subscription with the id {', '.join(missing)}. List the ids with: callhooks bird list"))
        for identifier in dict.fromkeys(ids):
            console.print(_line(existing[identifier]))
        agree("Remove permanently?", yes=yes)
        for identifier in dict.fromkeys(ids):
            subscriptions.remove(identifier)
            console.print(shown(f"{identifier} removed"))


def _set_active(ids: list[str], *, active: bool, done: str) -> None:
    with provider_failures(), BirdSubscriptions.from_environment(os.environ) as subscriptions:
        for identifier in dict.fromkeys(ids):
            subscriptions.set_active(identifier, active=active)
            console.print(shown(f"{identifier} {done}"))


def _line(subscription: BirdSubscription) -> str:
    conditions = " ".join(f"{key}={value}" for key, value in sorted(subscription.filters))
    parts = (subscription.id, subscription.status, subscription.event, subscription.url, conditions)
    return shown("  ".join(part for part in parts if part))
