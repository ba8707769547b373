"""`callhooks jambonz`: connect a jambonz account and the stack."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from callhooks.providers.jambonz.provider import PROVIDER as JAMBONZ
from callhooks.providers.jambonz.provider import call_hook_url, call_status_url

from callhooks_tools.providers.jambonz.account import Hooks, JambonzAccount, JambonzApplication
from callhooks_tools.providers.jambonz.api import PROVIDER, api_url_of
from callhooks_tools.providers.rest.provider_apis import check_callable, displayed_address, provider_failures
from callhooks_tools.stack.secrets import SenderSecrets, read_credentials
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.terminal import JsonOutput, agree, console, note, print_json, shown

jambonz_app = typer.Typer(
    help="Connect a jambonz account to the stack through jambonz's REST API. Set JAMBONZ_API_KEY, JAMBONZ_ACCOUNT_SID "
    "and JAMBONZ_API_URL in the environment.",
    no_args_is_help=True,
)


@jambonz_app.command("application")
@with_stack_options
def jambonz_application(
    name: Annotated[str, typer.Argument(help="Name of the application in jambonz.")] = "callhooks",
    yes: Annotated[bool, typer.Option("--yes", help="Skip the confirmation.")] = False,
    as_json: JsonOutput = False,
    *,
    selected: SelectedStack,
) -> None:
    """Create or update the jambonz application whose calls the stack answers, after you confirm."""
    session, outputs = stack_in_aws(selected)
    access = read_credentials(session, outputs).of(JAMBONZ)
    call_hook, status_hook = call_hook_url(outputs.base_url), call_status_url(outputs.base_url)
    hooks = Hooks(call_hook, status_hook, access["username"], access["password"])
    with (
        provider_failures(
            maybe_done="The change may have been made anyway. Check the application in jambonz's portal."
        ),
        JambonzAccount.from_environment(os.environ, password=access["password"]) as account,
    ):
        check_callable(hooks.call_url, PROVIDER, api_url_of(os.environ))
        existing, address = account.application(name), displayed_address(hooks.call_url)
        if existing is None:
            agree(shown(f"Create the application {name} with the call hook {address}?"), yes=yes)
            sid: str | None = account.create(name, hooks)
            done = f"Created application {name} ({sid}). Now assign your phone numbers to it in jambonz's portal."
        else:
            note(shown(f"Application {name} ({existing.application_sid}) already exists."))
            agree(shown(f"Change its call hook from {_current_hook(existing)} to {address}?"), yes=yes)
            account.update(existing, hooks)
            sid = existing.application_sid
            done = f"Updated application {name}. Its calls are now answered at {address}"
    if as_json:
        print_json({"name": name, "application_sid": sid, "call_hook": address, "is_new": existing is None})
    else:
        console.print(shown(done))


@jambonz_app.command("webhook-secret")
@with_stack_options
def jambonz_webhook_secret(*, selected: SelectedStack) -> None:
    """Add the account's webhook secret to the stack, which then checks signatures with it."""
    stack_secrets = SenderSecrets.of(JAMBONZ, *stack_in_aws(selected))
    with provider_failures(), JambonzAccount.from_environment(os.environ) as account:
        secret = account.webhook_secret()
    if stack_secrets.add(secret):
        console.print("Added the account's webhook secret to the stack. It takes effect within five minutes.")
    else:
        console.print("The stack already has the account's webhook secret.")


def _current_hook(application: JambonzApplication) -> str:
    url = application.call_url
    return displayed_address(url) if url else "none"
