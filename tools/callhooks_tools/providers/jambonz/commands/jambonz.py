"""`callhooks jambonz`: make the stack known to a jambonz account, and the account's secret to the stack."""

from __future__ import annotations

import os
from typing import Annotated

import typer
from callhooks.providers.jambonz.provider import PROVIDER as JAMBONZ
from callhooks.providers.jambonz.provider import call_hook_url, call_status_url

from callhooks_tools.providers.jambonz.account import Hooks, JambonzAccount, JambonzApplication
from callhooks_tools.providers.jambonz.api import PROVIDER, api_url_of
from callhooks_tools.providers.rest.provider_apis import address_of, check_callable, provider_failures
from callhooks_tools.stack.secrets import SenderSecrets, read_credentials
from callhooks_tools.stack.terminal import StackName, agree, console, shown, stack_in_aws

jambonz_app = typer.Typer(
    help="A jambonz account, by its REST API. The environment has JAMBONZ_API_KEY, JAMBONZ_ACCOUNT_SID and "
    "JAMBONZ_API_URL.",
    no_args_is_help=True,
)


@jambonz_app.command("application")
def jambonz_application(
    name: Annotated[str, typer.Argument(help="The application's name in jambonz's portal.")] = "callhooks",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    stack_name: StackName = None,
) -> None:
    """Make an application that has its calls answered by the stack, or change the one of this name; asks first."""
    session, outputs = stack_in_aws(stack_name)
    access = read_credentials(session, outputs).of(JAMBONZ)
    call_hook, status_hook = call_hook_url(outputs.base_url), call_status_url(outputs.base_url)
    hooks = Hooks(call_hook, status_hook, access["username"], access["password"])
    with (
        provider_failures(maybe_done="It may be done all the same: look into jambonz's portal."),
        JambonzAccount.from_environment(os.environ, password=access["password"]) as account,
    ):
        check_callable(hooks.call_url, PROVIDER, api_url_of(os.environ))
        known, address = account.application(name), address_of(hooks.call_url)
        if known is None:
            agree(shown(f"Make an application {name} whose calls are answered at {address}?"), yes=yes)
            sid = account.create(name, hooks)
            console.print(shown(f"The application {name} is made: {sid}. Have your numbers lead to it."))
        else:
            console.print(shown(f"There is an application {name}: {known.application_sid}."))
            agree(shown(f"Have its calls answered at {address}, and {_present(known)}?"), yes=yes)
            account.update(known, hooks)
            console.print(shown(f"The calls of {name} are answered at {address}."))


@jambonz_app.command("webhook-secret")
def jambonz_webhook_secret(stack_name: StackName = None) -> None:
    """Read the account's webhook secret, and make it one that the stack checks signatures with."""
    known = SenderSecrets.of(JAMBONZ, *stack_in_aws(stack_name))
    with provider_failures(), JambonzAccount.from_environment(os.environ) as account:
        secret = account.webhook_secret()
    if known.add(secret):
        console.print("The webhook secret of the account is valid within five minutes.")
    else:
        console.print("The webhook secret of the account is valid already.")


def _present(application: JambonzApplication) -> str:
    """What answers the calls of an application now, in the words of the question whether to change it."""
    url = application.call_url
    return f"no more at {address_of(url)}" if url else "by nobody as now"
