"""`callhooks wavix`: the subscriptions by which Wavix sends the events of calls."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Annotated

import typer
from callhooks.providers.wavix import PROVIDER as WAVIX

from callhooks_tools.providers.rest.provider_apis import check_subscribable, origin_of, provider_failures
from callhooks_tools.providers.wavix.api import PROVIDER
from callhooks_tools.providers.wavix.subscriptions import WavixSubscription, WavixSubscriptions, WavixTopic
from callhooks_tools.stack.secrets import SenderSecrets
from callhooks_tools.stack.stack import STACK_FILE
from callhooks_tools.stack.terminal import StackName, agree, console, shown, stack_in_aws

CALLBACK_PATH = "/webhooks/wavix"
LOOK_FIRST = "It may be done all the same: callhooks wavix list shows it."

wavix_app = typer.Typer(
    help="Wavix's webhook subscriptions. The key is WAVIX_API_KEY in the environment.", no_args_is_help=True
)

Events = Annotated[list[WavixTopic] | None, typer.Option("--event", help="A kind of events; both where none is named.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class StackUrls:
    """The callback URLs of a stack, one for each valid token, the newest first; none where no stack is known."""

    urls: tuple[str, ...] = ()

    def says_of(self, url: str) -> str:
        """Whether a URL is one of the stack's."""
        if not self.urls:
            return ""
        if url not in self.urls:
            return "not of this stack"
        return "of this stack" if url == self.urls[0] else "of this stack, with an older token"


@wavix_app.command("subscribe")
def wavix_subscribe(
    event: Events = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Where events are sent, with the token in it, instead of the stack.")
    ] = None,
    yes: Yes = False,
    stack_name: StackName = None,
) -> None:
    """Have Wavix send the events of calls to the stack. There is one URL for each kind: asks before it is replaced."""
    address = url or _urls_of(stack_name).urls[0]
    check_subscribable(address, PROVIDER)
    with (
        provider_failures(maybe_done=LOOK_FIRST),
        WavixSubscriptions.from_environment(os.environ) as subscriptions,
    ):
        known = subscriptions.all()
        for one in dict.fromkeys(event or WavixTopic):
            others = [other for other in known if other.event_type == one.value and other.url]
            if any(other.url == address for other in others):
                console.print(f"{one}  is there already")
                continue
            if others:
                console.print(shown(f"{one} goes to {masked(others[0].url or '')} now."))
                agree("Have it go to the new URL instead?", yes=yes)
            subscriptions.subscribe(one, address)
            console.print(f"{one}  subscribed  {masked(address)}")


@wavix_app.command("list")
def wavix_list(
    reveal: Annotated[bool, typer.Option("--reveal", help="Show the URLs whole, with their tokens.")] = False,
    stack_name: StackName = None,
) -> None:
    """Show what is subscribed, and whether it is this stack's."""
    stack = StackUrls() if stack_name is None and not STACK_FILE.exists() else _urls_of(stack_name)
    with provider_failures(), WavixSubscriptions.from_environment(os.environ) as subscriptions:
        found = subscriptions.all()
    if not found:
        console.print("Nothing is subscribed.")
    for one in found:
        console.print(_line(one, stack, reveal=reveal))


@wavix_app.command("remove")
def wavix_remove(event: Events = None, yes: Yes = False) -> None:
    """Have Wavix send events of calls nowhere any more; shows what there is, and asks."""
    with (
        provider_failures(maybe_done=LOOK_FIRST),
        WavixSubscriptions.from_environment(os.environ) as subscriptions,
    ):
        wanted = tuple(event or WavixTopic)
        found = [one for one in subscriptions.all() if one.event_type in wanted]
        if not found:
            console.print(f"Nothing is subscribed for {' or '.join(wanted)}.")
            return
        for one in found:
            console.print(_line(one, StackUrls(), reveal=False))
        agree("Remove?", yes=yes)
        for kind in dict.fromkeys(WavixTopic(one.event_type or "") for one in found):
            subscriptions.remove(kind)
            console.print(f"{kind}  removed")


def masked(url: str) -> str:
    """A URL without what may be a token in it."""
    origin = origin_of(url)
    return f"{origin}{CALLBACK_PATH if f'{origin}{CALLBACK_PATH}/' in url else ''}/..."


def _urls_of(stack_name: str | None) -> StackUrls:
    session, outputs = stack_in_aws(stack_name)
    tokens = SenderSecrets.of(WAVIX, session, outputs).read()
    return StackUrls(tuple(f"{outputs.base_url}{CALLBACK_PATH}/{token}" for token in tokens))


def _line(one: WavixSubscription, stack: StackUrls, *, reveal: bool) -> str:
    url = one.url or ""
    parts = (one.event_type, url if reveal else masked(url), stack.says_of(url))
    return shown("  ".join(part for part in parts if part))
