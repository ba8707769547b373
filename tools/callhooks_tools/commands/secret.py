"""`callhooks secret`: secrets of which several are valid at once."""

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
from callhooks_tools.stack.stack import StackUnknown
from callhooks_tools.stack.terminal import StackName, console, fail, stack_in_aws

MIN_SECRET_LENGTH = 8
GENERATED_SECRET_BYTES = 20

secret_app = typer.Typer(
    help="Secrets of which several are valid at once: webhook secrets, signing keys, tokens in URLs, passwords.",
    no_args_is_help=True,
)


def checked_kind(text: str) -> str:
    """The name of a kind of secrets.

    Raises:
        BadParameter: there is no such kind; names those that there are.
    """
    if text not in secret_kinds():
        raise typer.BadParameter(f"{text} is none of {', '.join(secret_kinds())}.")
    return text


KindName = Annotated[
    str,
    typer.Argument(parser=checked_kind, metavar="KIND", help="Which secrets: a provider's name, or console-password."),
]


@secret_app.command("list")
def secret_list(
    kind: KindName,
    reveal: Annotated[bool, typer.Option("--reveal", help="Show them whole.")] = False,
    stack_name: StackName = None,
) -> None:
    """Show the ends of the secrets that are valid now, the newest first."""
    known = _secrets_of(kind, stack_name).read()
    if not known:
        console.print(_none_left(kind, "No {words} is configured: {follows}."))
    for secret in known:
        console.print(secret if reveal else masked(secret))


@secret_app.command("add")
def secret_add(
    kind: KindName,
    generate: Annotated[bool, typer.Option("--generate", help="Make a random one instead of asking.")] = False,
    stack_name: StackName = None,
) -> None:
    """Make one more secret valid; asks for it, or reads it from standard input."""
    secret_kind = secret_kinds()[kind]
    words = secret_kind.secret.words
    if generate and secret_kind.secret.is_issued_by_provider:
        fail(f"The {words} is made by {secret_kind.owner}: take it from its portal.")
    secret = generated_secrets.token_hex(GENERATED_SECRET_BYTES) if generate else _ask_secret(words)
    _check_secret(secret_kind, secret)
    if not _secrets_of(kind, stack_name).add(secret):
        console.print(f"The {_named(kind)} {masked(secret)} is valid already.")
        return
    console.print(f"The {_named(kind)} {masked(secret)} is valid within five minutes.")
    if not secret_kind.secret.is_issued_by_provider:
        users = "those who sign in" if kind == CONSOLE_PASSWORD else "the provider"
        console.print(
            f"callhooks urls --credentials shows it. After those five minutes give it to {users}, then remove the old "
            f"one, which callhooks secret list {kind} --reveal shows."
        )


@secret_app.command("remove")
def secret_remove(kind: KindName, stack_name: StackName = None) -> None:
    """Take a secret away; asks for it, or reads it from standard input."""
    words = secret_kinds()[kind].secret.words
    secret = _ask_secret(words)
    known = _secrets_of(kind, stack_name)
    try:
        removed = known.remove(secret)
    except LastSecret:
        fail(f"That is the only {words}: add another one first, or nothing would be let in.")
    if not removed:
        fail(f"That {words} is not configured.")
    console.print(f"The {_named(kind)} {masked(secret)} is not valid any more in five minutes.")
    if not known.read():
        console.print(_none_left(kind, "No {words} is left: {follows} any more."))


def _secrets_of(kind: str, stack_name: str | None) -> SenderSecrets:
    session, outputs = stack_in_aws(stack_name)
    try:
        return SenderSecrets.of(kind, session, outputs)
    except StackUnknown as error:
        fail(str(error))


def _named(kind: str) -> str:
    return f"{kind.partition('-')[0]} {secret_kinds()[kind].secret.words}"


def _none_left(kind: str, text: str) -> str:
    secret = secret_kinds()[kind].secret
    return text.format(words=secret.words, follows=secret.unchecked or "nothing is let in")


def _ask_secret(name: str) -> str:
    text = typer.prompt(name.capitalize(), hide_input=True) if sys.stdin.isatty() else sys.stdin.readline()
    secret = str(text).strip()
    if not secret:
        fail(f"No {name} was given.")
    return secret


def _check_secret(kind: SecretKind, secret: str) -> None:
    if kind.secret.is_in_url and not TOKEN.fullmatch(secret):
        fail(f"A token stands in a URL: it has at least {MIN_TOKEN_LENGTH} letters, digits or any of . _ ~ -")
    shortest = kind.shortest or MIN_SECRET_LENGTH
    if len(secret) < shortest or not secret.isprintable():
        fail(f"A {kind.secret.words} has at least {shortest} printable characters.")
