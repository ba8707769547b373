"""`callhooks bird`: the subscriptions by which Bird sends the events of calls."""

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
from callhooks_tools.stack.terminal import StackName, agree, console, fail, shown, stack_in_aws

SIGNING_KEY = "BIRD_SIGNING_KEY"
LOOK_FIRST = "It may be done all the same: callhooks bird list shows it."

bird_app = typer.Typer(
    help="Bird's webhook subscriptions. The keys are BIRD_ACCESS_KEY and BIRD_WORKSPACE_ID in the environment, "
    "and BIRD_ORGANIZATION_ID where your key wants it.",
    no_args_is_help=True,
)

Ids = Annotated[list[str], typer.Argument(metavar="ID...", help="Ids of subscriptions, as callhooks bird list shows.")]


@bird_app.command("subscribe")
def bird_subscribe(
    event: Annotated[
        list[BirdTopic] | None, typer.Option("--event", help="An event; both where none is named.")
    ] = None,
    status: Annotated[
        list[BirdStatus] | None,
        typer.Option("--status", help="Only calls in this status, and in others named so; all where none is."),
    ] = None,
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="ID", help="Only calls of this channel; it ends the URL, too.")
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            help=f"Where events are sent, instead of the stack. The signing key is then {SIGNING_KEY} from the "
            "environment, where that is set, else the stack's.",
        ),
    ] = None,
    stack_name: StackName = None,
) -> None:
    """Have Bird send the events of calls to the stack. What is subscribed already stays as it is."""
    with provider_failures():
        channel_id = None if channel is None else checked_id(channel, PROVIDER)
    given_key = os.environ.get(SIGNING_KEY, "").strip() if url else ""
    if url and given_key:
        address, signing_key = url, given_key
    else:
        session, outputs = stack_in_aws(stack_name)
        address = url or f"{outputs.base_url}/webhooks/bird"
        signing_key = SenderSecrets.of(BIRD, session, outputs).read()[0]
    address = url_of_channel(address, channel_id)
    check_subscribable(address, PROVIDER)
    statuses = status or []
    with (
        provider_failures(maybe_done=LOOK_FIRST),
        BirdSubscriptions.from_environment(os.environ, signing_key=signing_key) as subscriptions,
    ):
        for one in dict.fromkeys(event or BirdTopic):
            of_event = statuses_of(one, statuses)
            if statuses and not of_event:
                console.print(f"{one}: no inbound call is ever {' or '.join(statuses)}, so it is not subscribed.")
                continue
            done = subscriptions.subscribe(one, address, signing_key, statuses=of_event, channel_id=channel_id)
            state = "subscribed" if done.is_new else "is there already"
            if not done.subscription.is_active:
                state += f", but is paused: callhooks bird resume {done.subscription.id}"
            console.print(shown(f"{one}  {state}  {done.subscription.id}"))
    if len(statuses) > 1:
        console.print(
            "Bird's pages disagree on whether several statuses mean one or the other. If nothing comes, subscribe "
            "without --status, and set the parameter BirdStatuses of the stack."
        )


@bird_app.command("list")
def bird_list_subscriptions() -> None:
    """Show all subscriptions of the workspace, without their signing keys."""
    with provider_failures(), BirdSubscriptions.from_environment(os.environ) as subscriptions:
        found = subscriptions.all()
    if not found:
        console.print("There is no subscription.")
    for one in found:
        console.print(_line(one))


@bird_app.command("pause")
def bird_pause(ids: Ids) -> None:
    """Have Bird deliver no more by subscriptions, which stay."""
    _set_active(ids, active=False, done="paused")


@bird_app.command("resume")
def bird_resume(ids: Ids) -> None:
    """Have Bird deliver again by subscriptions that were paused."""
    _set_active(ids, active=True, done="active")


@bird_app.command("remove")
def bird_remove(ids: Ids, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Remove subscriptions for good; shows them, and asks."""
    with (
        provider_failures(maybe_done=LOOK_FIRST),
        BirdSubscriptions.from_environment(os.environ) as subscriptions,
    ):
        known = {one.id: one for one in subscriptions.all()}
        if missing := [one for one in ids if one not in known]:
            fail(
                shown(f"There is no subscription {', '.join(missing)}. callhooks bird list shows those that there are.")
            )
        for one in dict.fromkeys(ids):
            console.print(_line(known[one]))
        agree("Remove for good?", yes=yes)
        for one in dict.fromkeys(ids):
            subscriptions.remove(one)
            console.print(shown(f"{one} removed"))


def _set_active(ids: list[str], *, active: bool, done: str) -> None:
    with provider_failures(), BirdSubscriptions.from_environment(os.environ) as subscriptions:
        for one in dict.fromkeys(ids):
            subscriptions.set_active(one, active=active)
            console.print(shown(f"{one} {done}"))


def _line(one: BirdSubscription) -> str:
    conditions = " ".join(f"{key}={value}" for key, value in sorted(one.filters))
    parts = (one.id, one.status, one.event, one.url, conditions)
    return shown("  ".join(part for part in parts if part))
