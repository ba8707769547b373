"""`callhooks wavix`: manage the subscriptions through which Wavix sends call events."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

import typer
from callhooks.providers.wavix import PROVIDER as WAVIX

from callhooks_tools.providers.rest.provider_apis import check_subscribable, displayed_origin, provider_failures
from callhooks_tools.providers.wavix.api import PROVIDER
from callhooks_tools.providers.wavix.subscriptions import WavixSubscription, WavixSubscriptions, WavixTopic
from callhooks_tools.stack.secrets import SenderSecrets
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.stack import STACK_FILE
from callhooks_tools.stack.terminal import JsonOutput, agree, callhooks, console, note, print_json, shown

CALLBACK_PATH = "/webhooks/wavix"
CHECK_FIRST = f"The change may have been made anyway. Check with: {callhooks('wavix list')}"

wavix_app = typer.Typer(
    help="Manage Wavix's webhook subscriptions. Set WAVIX_API_KEY in the environment.", no_args_is_help=True
)

Events = Annotated[
    list[WavixTopic] | None, typer.Option("--event", help="Kind of events; repeatable. Both by default.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")]


@dataclass(frozen=True, slots=True)
class StackUrls:
    """Callback URLs of a stack, one for each valid token, newest first; empty if no stack is known."""

    urls: tuple[str, ...] = ()

    def label_for(self, url: str) -> str:
        """Say whether a URL belongs to the stack; empty if no stack is known."""
        if not self.urls:
            return ""
        if url not in self.urls:
            return "not this stack"
        return "this stack" if url == self.urls[0] else "this stack, older token"


@wavix_app.command("subscribe")
@with_stack_options
def wavix_subscribe(
    event: Events = None,
    url: Annotated[
        str | None,
        typer.Option("--url", help="Send events to this URL instead of the stack's. It must include the token."),
    ] = None,
    yes: Yes = False,
    *,
    selected: SelectedStack,
) -> None:
    """Subscribe the stack to call events.

    A Wavix account has one URL for each kind of event. Asks for confirmation before it replaces another URL.
    """
    address = url or _urls_of(selected).urls[0]
    check_subscribable(address, PROVIDER)
    with (
        provider_failures(maybe_done=CHECK_FIRST),
        WavixSubscriptions.from_environment(os.environ) as subscriptions,
    ):
        existing = subscriptions.all()
        for topic in dict.fromkeys(event or WavixTopic):
            current = [found for found in existing if found.event_type == topic.value and found.url]
            if any(found.url == address for found in current):
                console.print(f"{topic}  already subscribed")
                continue
            if current:
                console.print(shown(f"{topic} events are currently sent to {masked_url(current[0].url or '')}"))
                agree("Replace this URL?", yes=yes)
            subscriptions.subscribe(topic, address)
            console.print(f"{topic}  subscribed  {masked_url(address)}")


@wavix_app.command("list")
@with_stack_options
def wavix_list(
    reveal: Annotated[bool, typer.Option("--reveal", help="Show complete URLs, including the tokens.")] = False,
    as_json: JsonOutput = False,
    *,
    selected: SelectedStack,
) -> None:
    """List the subscriptions, and whether they belong to this stack."""
    stack = StackUrls() if selected.name is None and not STACK_FILE.exists() else _urls_of(selected)
    with provider_failures(), WavixSubscriptions.from_environment(os.environ) as subscriptions:
        found = subscriptions.all()
    if not found:
        note("No subscriptions.")
    if as_json:
        print_json([_members(subscription, stack, reveal=reveal) for subscription in found])
        return
    for subscription in found:
        console.print(_line(subscription, stack, reveal=reveal))


@wavix_app.command("remove")
def wavix_remove(event: Events = None, yes: Yes = False) -> None:
    """Stop Wavix from sending call events, after you confirm."""
    with (
        provider_failures(maybe_done=CHECK_FIRST),
        WavixSubscriptions.from_environment(os.environ) as subscriptions,
    ):
        wanted = tuple(event or WavixTopic)
        found = [subscription for subscription in subscriptions.all() if subscription.event_type in wanted]
        if not found:
            note(f"No subscriptions for {' or '.join(wanted)}.")
            return
        for subscription in found:
            console.print(_line(subscription, StackUrls(), reveal=False))
        agree("Remove?", yes=yes)
        for topic in dict.fromkeys(WavixTopic(subscription.event_type or "") for subscription in found):
            subscriptions.remove(topic)
            console.print(f"{topic}  removed")


def masked_url(url: str) -> str:
    """Return a URL without any part that may be a token."""
    origin = displayed_origin(url)
    return f"{origin}{CALLBACK_PATH if f'{origin}{CALLBACK_PATH}/' in url else ''}/..."


def _urls_of(selected: SelectedStack) -> StackUrls:
    session, outputs = stack_in_aws(selected)
    tokens = SenderSecrets.of(WAVIX, session, outputs).read()
    return StackUrls(tuple(f"{outputs.base_url}{CALLBACK_PATH}/{token}" for token in tokens))


def _members(subscription: WavixSubscription, stack: StackUrls, *, reveal: bool) -> dict[str, object]:
    """Return the members of a subscription in JSON."""
    url = subscription.url or ""
    return {
        "event": subscription.event_type,
        "url": url if reveal else masked_url(url),
        "owner": stack.label_for(url) or None,
    }


def _line(subscription: WavixSubscription, stack: StackUrls, *, reveal: bool) -> str:
    url = subscription.url or ""
    parts = (subscription.event_type, url if reveal else masked_url(url), stack.label_for(url))
    return shown("  ".join(part for part in parts if part))
