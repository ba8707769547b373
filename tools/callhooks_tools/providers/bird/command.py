"""`callhooks bird`: manage the subscriptions through which Bird sends call events."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Annotated

import typer
from callhooks.providers.bird import PROVIDER as BIRD
from callhooks.providers.bird import WEBHOOK

from callhooks_tools.providers.bird.api import PROVIDER
from callhooks_tools.providers.bird.filters import FilterChange, changes_of, check_distinct, of_stack, with_ids
from callhooks_tools.providers.bird.subscriptions import (
    BirdStatus,
    BirdSubscription,
    BirdSubscriptions,
    BirdTopic,
    StackUrl,
    statuses_of,
    url_of_channel,
)
from callhooks_tools.providers.rest.configuration import checked_id
from callhooks_tools.providers.rest.errors import ControlFailed
from callhooks_tools.providers.rest.provider_apis import check_subscribable, provider_failures
from callhooks_tools.stack.secrets import SenderSecrets
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.stack import STACK_FILE, StackOutputs
from callhooks_tools.stack.terminal import (
    JsonOutput,
    agree,
    callhooks,
    console,
    fail,
    misuse,
    note,
    print_json,
    shown,
)

SIGNING_KEY = "BIRD_SIGNING_KEY"
CHECK_FIRST = f"The change may have been made anyway. Check with: {callhooks('bird list')}"

bird_app = typer.Typer(
    help="Manage Bird's webhook subscriptions. Set BIRD_ACCESS_KEY and BIRD_WORKSPACE_ID in the environment, "
    "and BIRD_ORGANIZATION_ID if your key requires it.",
    no_args_is_help=True,
)

Channel = Annotated[
    str | None,
    typer.Option("--channel", metavar="ID", help="Only send calls of this channel. Also added to the end of the URL."),
]
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
    channel: Channel = None,
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
    channel_id = _checked_channel(channel) or ""
    key_from_environment = os.environ.get(SIGNING_KEY, "").strip() if url else ""
    if url and key_from_environment:
        address, signing_key = url, key_from_environment
    else:
        session, outputs = stack_in_aws(selected)
        address = url or f"{outputs.base_url}{WEBHOOK}"
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
                _print_paused(result.subscription)
    _print_unclear(statuses, selected)


@bird_app.command("list")
@with_stack_options
def bird_list_subscriptions(as_json: JsonOutput = False, *, selected: SelectedStack) -> None:
    """List all subscriptions of the workspace, without their signing keys, and whether they belong to this stack."""
    stack = _url_of(stack_in_aws(selected)[1]) if _is_known(selected) else None
    with provider_failures(), BirdSubscriptions.from_environment(os.environ) as subscriptions:
        found = subscriptions.all()
    if not found:
        note("No subscriptions.")
    if as_json:
        print_json([_members(subscription, stack) for subscription in found])
        return
    for subscription in found:
        console.print(_line(subscription, stack))


@bird_app.command("update")
@with_stack_options
def bird_update(  # noqa: PLR0913 - one parameter for each option
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID", help="Subscription ids, as shown by callhooks bird list. Without them: this stack's."
        ),
    ] = None,
    event: Annotated[
        list[BirdTopic] | None,
        typer.Option("--event", help="Without ids: update only the subscription to this event; repeatable."),
    ] = None,
    status: Annotated[
        list[BirdStatus] | None,
        typer.Option("--status", help="Only send calls with this status; repeatable. Replaces all status filters."),
    ] = None,
    channel: Channel = None,
    *,
    all_statuses: Annotated[bool, typer.Option("--all-statuses", help="Remove the status filters.")] = False,
    all_channels: Annotated[bool, typer.Option("--all-channels", help="Remove the channel filter.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
    selected: SelectedStack,
) -> None:
    """Change the filters of subscriptions, after you confirm.

    Filters that you do not name stay as they are. No event is lost in between.
    """
    if ids and event:
        misuse("--event selects among this stack's subscriptions. Leave it out if you pass ids.")
    if (status and all_statuses) or (channel and all_channels):
        misuse(
            "--status and --channel set a filter, --all-statuses and --all-channels remove it. Pass only one of them."
        )
    statuses = [] if all_statuses else status or None
    channel_id = "" if all_channels else _checked_channel(channel)
    if statuses is None and channel_id is None:
        misuse("Nothing to change. Pass at least one of --status, --all-statuses, --channel and --all-channels.")
    stack, signing_key = None, ""
    if not ids or _is_known(selected):
        session, outputs = stack_in_aws(selected)
        stack, signing_key = _url_of(outputs), SenderSecrets.of(BIRD, session, outputs).read()[0]
    with (
        provider_failures(maybe_done=CHECK_FIRST),
        BirdSubscriptions.from_environment(os.environ, signing_key=signing_key) as subscriptions,
    ):
        existing = subscriptions.all()
        if stack and not ids:
            chosen = of_stack(existing, stack, event or list(BirdTopic), hint=f"subscribe{selected.options}")
        else:
            chosen = with_ids(existing, ids or [])
        changes = list(changes_of(chosen, statuses, channel_id, is_strict=bool(ids)))
        check_distinct(existing, changes)
        for change in changes:
            console.print(_line(change.old, stack))
            console.print(f"  becomes  {_filtered_url(change.new)}{'' if change.new.filters else '  no filters'}")
        if not changes:
            return
        agree("Change these filters?", yes=yes)
        for change in changes:
            is_own = stack is not None and stack.covers(change.old.url)
            _update(subscriptions, change, signing_key if is_own else None)
    _print_unclear(statuses or [], selected)


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
        for subscription in with_ids(subscriptions.all(), ids):
            console.print(_line(subscription))
        agree("Remove permanently?", yes=yes)
        for identifier in dict.fromkeys(ids):
            subscriptions.remove(identifier)
            console.print(shown(f"{identifier} removed"))


def _set_active(ids: list[str], *, active: bool, done: str) -> None:
    with provider_failures(), BirdSubscriptions.from_environment(os.environ) as subscriptions:
        for identifier in dict.fromkeys(ids):
            subscriptions.set_active(identifier, active=active)
            console.print(shown(f"{identifier} {done}"))


def _url_of(outputs: StackOutputs) -> StackUrl:
    return StackUrl(f"{outputs.base_url}{WEBHOOK}")


def _is_known(selected: SelectedStack) -> bool:
    """Return whether a stack is selected, or the local stack runs."""
    return selected.name is not None or STACK_FILE.exists()


def _update(subscriptions: BirdSubscriptions, change: FilterChange, signing_key: str | None) -> None:
    old_id = change.old.id or ""
    updated = subscriptions.update(change.old, change.new, signing_key)
    if updated.id == old_id:
        console.print(shown(f"{old_id} updated"))
    else:
        console.print(shown(f"{updated.id} created in place of {old_id}"))
        try:
            subscriptions.remove(old_id)
        except ControlFailed as error:
            fail(
                shown(
                    f"{error}. Both subscriptions now send the same events; callhooks stores each event once. "
                    f"To remove the old one, run: {callhooks(f'bird remove {old_id}')}"
                )
            )
        console.print(shown(f"{old_id} removed"))
    if not change.new.is_active:
        _print_paused(updated)


def _print_paused(subscription: BirdSubscription) -> None:
    note(shown(f"This subscription is paused. Resume it with: {callhooks(f'bird resume {subscription.id}')}"))


def _print_unclear(statuses: Sequence[BirdStatus], selected: SelectedStack) -> None:
    if len(statuses) > 1:
        note(
            "Bird's documentation is unclear about subscriptions with more than one status. If no events arrive, "
            f"remove the status filters ({callhooks(f'bird update --all-statuses{selected.options}')}), and use the "
            "stack parameter BirdStatuses instead."
        )


def _checked_channel(channel: str | None) -> str | None:
    with provider_failures():
        return None if channel is None else checked_id(channel, PROVIDER)


def _line(subscription: BirdSubscription, stack: StackUrl | None = None) -> str:
    label = stack.label_for(subscription.url) if stack else ""
    parts = (subscription.id, subscription.status, subscription.event, _filtered_url(subscription), label)
    return shown("  ".join(part for part in parts if part))


def _members(subscription: BirdSubscription, stack: StackUrl | None) -> dict[str, object]:
    """Return the members of a subscription in JSON, without its signing key."""
    return {
        "id": subscription.id,
        "status": subscription.status,
        "event": subscription.event,
        "url": subscription.url,
        "filters": [{"key": key, "value": value} for key, value in sorted(subscription.filters)],
        "owner": stack.label_for(subscription.url) if stack else None,
    }


def _filtered_url(subscription: BirdSubscription) -> str:
    conditions = " ".join(f"{key}={value}" for key, value in sorted(subscription.filters))
    return shown("  ".join(part for part in (subscription.url, conditions) if part))
