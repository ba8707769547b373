"""`callhooks secret`: list, add and remove secrets. Several of a kind are valid at once."""

from __future__ import annotations

import secrets as generated_secrets
import sys
from typing import Annotated

import typer

from callhooks_tools.stack.secrets import (
    CONSOLE_PASSWORD,
    MIN_TOKEN_LENGTH,
    TOKEN,
    LastSecret,
    SecretKind,
    SenderSecrets,
    masked,
    secret_kinds,
)
from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.terminal import console, fail

MIN_SECRET_LENGTH = 8
GENERATED_SECRET_BYTES = 20

secret_app = typer.Typer(
    help="Manage webhook secrets, signing keys, URL tokens and passwords. Several of a kind can be valid at once.",
    no_args_is_help=True,
)


def checked_kind(text: str) -> str:
    """Return the name of a kind of secret.

    Raises:
        BadParameter: there is no such kind. The message lists all kinds.
    """
    if text not in secret_kinds():
        raise typer.BadParameter(f"{text} is not one of {', '.join(secret_kinds())}.")
    return text


KindName = Annotated[
    str,
    typer.Argument(
        parser=checked_kind,
        metavar="KIND",
        help="Kind of secret, such as console-password or a provider's name. Any other word lists all kinds.",
    ),
]


@secret_app.command("list")
@with_stack_options
def secret_list(
    kind: KindName,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show full secrets.")] = False,
    *,
    selected: SelectedStack,
) -> None:
    """List the valid secrets, newest first. Shows only their last characters."""
    valid = _secrets_of(kind, selected).read()
    if not valid:
        console.print(_none_configured(kind))
    for secret in valid:
        console.print(secret if reveal else masked(secret))


@secret_app.command("add")
@with_stack_options
def secret_add(
    kind: KindName,
    generate: Annotated[
        bool, typer.Option("--generate", help="Generate a random secret instead of prompting for one.")
    ] = False,
    *,
    selected: SelectedStack,
) -> None:
    """Add a secret. Existing ones stay valid.

    Prompts for the secret, or reads it from standard input.
    """
    secret_kind = secret_kinds()[kind]
    words = secret_kind.secret.words
    if generate and secret_kind.secret.is_issued_by_provider:
        fail(
            f"{secret_kind.owner} issues the {words}, so it cannot be generated. "
            f"Copy it from the portal of {secret_kind.owner}, and run the command without --generate."
        )
    secret = generated_secrets.token_hex(GENERATED_SECRET_BYTES) if generate else _ask_secret(words)
    _check_secret(secret_kind, secret)
    if not _secrets_of(kind, selected).add(secret):
        console.print(f"The {_named(kind)} {masked(secret)} is already valid.")
        return
    console.print(f"The {_named(kind)} {masked(secret)} takes effect within five minutes.")
    if not secret_kind.secret.is_issued_by_provider:
        options = selected.options
        users = "everyone who signs in" if kind == CONSOLE_PASSWORD else "the provider"
        console.print(
            "\nTo replace the old one:\n"
            f"  1. Wait five minutes, then give the new one to {users}: callhooks urls --credentials{options}\n"
            f"  2. Copy the old one: callhooks secret list {kind} --reveal{options}\n"
            f"  3. Remove the old one: callhooks secret remove {kind}{options}"
        )


@secret_app.command("remove")
@with_stack_options
def secret_remove(kind: KindName, *, selected: SelectedStack) -> None:
    """Remove a secret. It stops working within five minutes.

    Prompts for the secret, or reads it from standard input.
    """
    words = secret_kinds()[kind].secret.words
    secret = _ask_secret(words)
    valid = _secrets_of(kind, selected)
    try:
        removed = valid.remove(secret)
    except LastSecret:
        fail(
            f"Cannot remove the only usable {words}. "
            f"Add another one first: callhooks secret add {kind}{selected.options}"
        )
    if not removed:
        fail(
            f"This {words} is not configured. "
            f"To list the valid ones, run: callhooks secret list {kind}{selected.options}"
        )
    console.print(f"The {_named(kind)} {masked(secret)} stops working within five minutes.")
    if not valid.read():
        console.print(_none_configured(kind))


def _secrets_of(kind: str, selected: SelectedStack) -> SenderSecrets:
    session, outputs = stack_in_aws(selected)
    return SenderSecrets.of(kind, session, outputs)


def _named(kind: str) -> str:
    return f"{kind.partition('-')[0]} {secret_kinds()[kind].secret.words}"


def _none_configured(kind: str) -> str:
    secret = secret_kinds()[kind].secret
    return f"No {secret.words} is configured: {secret.unchecked or 'all requests are rejected'}."


def _ask_secret(name: str) -> str:
    text = typer.prompt(name.capitalize(), hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    secret = str(text).strip()
    if not secret:
        fail(f"No {name} given. Enter it at the prompt, or pass it on standard input.")
    return secret


def _check_secret(kind: SecretKind, secret: str) -> None:
    if kind.secret.is_in_url and not TOKEN.fullmatch(secret):
        fail(
            f"Invalid {kind.secret.words}: it is part of a URL. "
            f"Use at least {MIN_TOKEN_LENGTH} characters: letters, digits and . _ ~ -"
        )
    min_length = kind.min_length or MIN_SECRET_LENGTH
    if len(secret) < min_length or not secret.isprintable():
        fail(f"Invalid {kind.secret.words}: use at least {min_length} printable characters.")
