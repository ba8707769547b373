"""`callhooks secret`: list, add and remove secrets. Several of a kind are valid at once."""

from __future__ import annotations

import secrets as generated_secrets
import sys
from collections.abc import Sequence
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
from callhooks_tools.stack.terminal import JsonOutput, callhooks, console, fail, misuse, note, print_json

MIN_SECRET_LENGTH = 8
GENERATED_SECRET_BYTES = 20
MIN_START_LENGTH = 4

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
    as_json: JsonOutput = False,
    *,
    selected: SelectedStack,
) -> None:
    """List the valid secrets, newest first. Shows only their last characters."""
    valid = _secrets_of(kind, selected).read()
    listed = [secret if reveal else masked(secret) for secret in valid]
    if not valid:
        note(_none_configured(kind))
    if as_json:
        print_json([{"kind": kind, "secret": secret} for secret in listed])
        return
    for secret in listed:
        console.print(secret)


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
        misuse(
            f"{secret_kind.owner} issues the {words}, so it cannot be generated. "
            f"Copy it from the portal of {secret_kind.owner}, and run the command without --generate."
        )
    secret = generated_secrets.token_hex(GENERATED_SECRET_BYTES) if generate else _ask_secret(words, words)
    _check_secret(secret_kind, secret)
    if not _secrets_of(kind, selected).add(secret):
        console.print(f"The {_named(kind)} {masked(secret)} is already valid.")
        return
    console.print(f"The {_named(kind)} {masked(secret)} takes effect within five minutes.")
    if not secret_kind.secret.is_issued_by_provider:
        options = selected.options
        users = "everyone who signs in" if kind == CONSOLE_PASSWORD else "the provider"
        note(
            "\nTo replace the old one:\n"
            f"  1. Wait five minutes, then give the new one to {users}: {callhooks(f'urls --credentials{options}')}\n"
            f"  2. Show the old one: {callhooks(f'secret list {kind} --reveal{options}')}\n"
            f"  3. Remove the old one by its first characters: {callhooks(f'secret remove {kind}{options}')}"
        )


@secret_app.command("remove")
@with_stack_options
def secret_remove(
    kind: KindName,
    start: Annotated[
        str | None,
        typer.Argument(
            help=f"First characters of the secret, at least {MIN_START_LENGTH}. Without them: prompts, or reads "
            "standard input, which keeps them out of the shell's history.",
            show_default=False,
        ),
    ] = None,
    *,
    selected: SelectedStack,
) -> None:
    """Remove a secret, named by its first characters or in full. It stops working within five minutes."""
    words = secret_kinds()[kind].secret.words
    given = _ask_secret(f"first characters of the {words}", words) if start is None else start.strip()
    valid = _secrets_of(kind, selected)
    listing = callhooks(f"secret list {kind} --reveal{selected.options}")
    secret = _secret_that_starts(valid.read(), given, words, listing)
    try:
        valid.remove(secret)
    except LastSecret:
        fail(
            f"Cannot remove the only usable {words}. "
            f"Add another one first: {callhooks(f'secret add {kind}{selected.options}')}"
        )
    console.print(f"The {_named(kind)} {masked(secret)} stops working within five minutes.")
    if not valid.read():
        note(_none_configured(kind))


def _secret_that_starts(valid: Sequence[str], given: str, words: str, listing: str) -> str:
    """Return the secret that is given in full, or the only one that starts so. Ends the command if there is none.

    Args:
        listing: the command that shows all secrets.
    """
    if given in valid:
        return given
    if len(given) < MIN_START_LENGTH:
        misuse(f"Too short: give at least the first {MIN_START_LENGTH} characters of the {words}. To see it: {listing}")
    matches = [secret for secret in valid if secret.startswith(given)]
    if not matches:
        fail(f"This {words} is not configured. To list the valid ones, run: {listing}")
    if len(matches) > 1:
        fail(
            f"Ambiguous: {len(matches)} of these secrets start so ({', '.join(map(masked, matches))}). Give more "
            f"characters. To see them: {listing}"
        )
    return matches[0]


def _secrets_of(kind: str, selected: SelectedStack) -> SenderSecrets:
    session, outputs = stack_in_aws(selected)
    return SenderSecrets.of(kind, session, outputs)


def _named(kind: str) -> str:
    return f"{kind.partition('-')[0]} {secret_kinds()[kind].secret.words}"


def _none_configured(kind: str) -> str:
    secret = secret_kinds()[kind].secret
    return f"No {secret.words} is configured: {secret.unchecked or 'all requests are rejected'}."


def _ask_secret(prompt: str, name: str) -> str:
    text = typer.prompt(prompt.capitalize(), hide_input=True, err=True) if sys.stdin.isatty() else sys.stdin.readline()
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
