"""Changes to the filters of subscriptions: which subscriptions change, and what they become."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from callhooks_tools.providers.bird.subscriptions import (
    BirdStatus,
    BirdSubscription,
    BirdTopic,
    StackUrl,
    statuses_of,
)
from callhooks_tools.stack.terminal import callhooks, fail, note, shown


@dataclass(frozen=True, slots=True)
class FilterChange:
    """A subscription, and what it becomes."""

    old: BirdSubscription
    new: BirdSubscription


def with_ids(existing: Sequence[BirdSubscription], ids: Sequence[str]) -> list[BirdSubscription]:
    """Return the subscriptions with these ids; end the command if one does not exist."""
    by_id = {subscription.id: subscription for subscription in existing}
    if missing := [identifier for identifier in ids if identifier not in by_id]:
        fail(shown(f"No subscription with the id {', '.join(missing)}. List the ids with: {callhooks('bird list')}"))
    return [by_id[identifier] for identifier in dict.fromkeys(ids)]


def of_stack(
    existing: Sequence[BirdSubscription], stack: StackUrl, events: Sequence[BirdTopic], *, hint: str
) -> list[BirdSubscription]:
    """Return the stack's subscription to each event.

    End the command if the stack has none, or several to one event. `hint` is the command that creates one.
    """
    own = [one for one in existing if one.topic in events and stack.covers(one.url)]
    for topic in events:
        same = [one.id or "" for one in own if one.topic is topic]
        if len(same) > 1:
            fail(shown(f"This stack has several subscriptions to {topic}. Pass the ids to update: {' '.join(same)}"))
    if not own:
        names = " or ".join(dict.fromkeys(events))
        fail(f"This stack has no subscription to {names}. To create one, run: {callhooks(f'bird {hint}')}")
    return own


def changes_of(
    chosen: Sequence[BirdSubscription],
    statuses: Sequence[BirdStatus] | None,
    channel_id: str | None,
    *,
    is_strict: bool,
) -> Iterator[FilterChange]:
    """Yield the changes that set these filters. `None` keeps a filter, an empty value removes it.

    Statuses that never match are left out; end the command instead if `is_strict`, or if nothing else is left.
    """
    for old in chosen:
        if old.topic is None:
            fail(
                shown(f"{old.id} is a subscription to {old.event}. Only those to {' and '.join(BirdTopic)} can change.")
            )
        possible = None if statuses is None else statuses_of(old.topic, statuses)
        never = [status for status in dict.fromkeys(statuses or ()) if status not in (possible or ())]
        if never and (is_strict or not possible):
            message = f"inbound calls never have the status {' or '.join(never)}"
            if is_strict or len(chosen) == 1:
                fail(shown(f"{old.id} is a subscription to {old.topic}: {message}."))
            note(f"{old.topic}  skipped: {message}")
            continue
        new = old.refiltered(statuses=possible, channel_id=channel_id)
        if new.effect == old.effect:
            note(shown(f"{old.id} already has these filters"))
        else:
            yield FilterChange(old, new)


def check_distinct(existing: Sequence[BirdSubscription], changes: Sequence[FilterChange]) -> None:
    """End the command if two subscriptions would send the same events to the same URL."""
    after = {one.id: one for one in existing} | {change.new.id: change.new for change in changes}
    for change in changes:
        new = change.new
        if others := [one.id for one in after.values() if one.id != new.id and one.effect == new.effect]:
            fail(
                shown(
                    f"{new.id} would then send the same events to the same URL as {others[0]}. "
                    f"Remove one of them instead: {callhooks(f'bird remove {new.id}')}"
                )
            )
