"""`callhooks clients`: manage the SIP clients that may register and place calls."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from botocore.exceptions import BotoCoreError, ClientError
from callhooks.providers.jambonz.digest import ha1_of
from callhooks.providers.jambonz.sip_clients import CLIENT_PREFIX, Client, client_item, client_key, client_of

from callhooks_tools.stack.selection import SelectedStack, stack_in_aws, with_stack_options
from callhooks_tools.stack.terminal import JsonOutput, callhooks, console, fail, misuse, note, print_json

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

clients_app = typer.Typer(
    help="Manage the SIP clients that may register with jambonz and place calls.", no_args_is_help=True
)

Username = Annotated[str, typer.Argument(help="SIP user name, exactly as the client sends it.")]
Realm = Annotated[str, typer.Option(help="SIP realm, exactly as set in jambonz.")]


@dataclass(frozen=True, slots=True)
class ClientTable:
    """Table of SIP clients. Every method raises the errors of botocore."""

    client: DynamoDBClient
    table_name: str

    def put(self, client: Client, *, replace: bool) -> bool:
        """Store a client. Return false if it exists and `replace` is false."""
        condition = {} if replace else {"ConditionExpression": "attribute_not_exists(pk)"}
        try:
            self.client.put_item(TableName=self.table_name, Item=client_item(client), **condition)  # type: ignore[arg-type]
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def all(self) -> list[Client]:
        """Return all clients, sorted by realm and name."""
        pages = self.client.get_paginator("scan").paginate(
            TableName=self.table_name,
            FilterExpression="begins_with(pk, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": CLIENT_PREFIX}},
            ConsistentRead=True,
        )
        clients = [client_of(item) for page in pages for item in page["Items"]]
        return sorted(clients, key=lambda client: (client.realm, client.username))

    def remove(self, username: str, realm: str) -> bool:
        """Delete a client. Return false if there is none."""
        reply = self.client.delete_item(
            TableName=self.table_name, Key=client_key(username, realm), ReturnValues="ALL_OLD"
        )
        return "Attributes" in reply


@clients_app.command("add")
@with_stack_options
def clients_add(  # noqa: PLR0913 - each one is an option
    username: Username,
    realm: Realm,
    expires: Annotated[
        int | None, typer.Option(min=1, metavar="SECONDS", help="Maximum lifetime of a registration.")
    ] = None,
    application: Annotated[
        str | None, typer.Option(metavar="SID", help="jambonz application for the client's calls.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Replace the client if it exists.")] = False,
    *,
    selected: SelectedStack,
) -> None:
    """Add a SIP client.

    Prompts for its password, or reads it from standard input. Only a digest of the password is stored.
    """
    if not username.strip() or ":" in username:
        misuse("Invalid SIP user name. It must not be empty or contain a colon.")
    if not realm.strip():
        misuse("--realm must not be empty.")
    password = _read_password()
    client = Client(
        username, realm, ha1_of(username, realm, password), expires=expires, application_sid=application or None
    )
    with _table(selected) as table:
        stored = table.put(client, replace=replace)
    if not stored:
        fail(f"{username}@{realm} already exists. To replace its password and options, add --replace")
    console.print(f"{username}@{realm} can now register and place calls.")


@clients_app.command("list")
@with_stack_options
def clients_list(as_json: JsonOutput = False, *, selected: SelectedStack) -> None:
    """List the SIP clients, without their credentials."""
    with _table(selected) as table:
        clients = table.all()
    if not clients:
        add = callhooks(f"clients add USERNAME --realm REALM{selected.options}")
        note(f"No SIP clients. Add one with: {add}")
    if as_json:
        print_json(
            [
                {
                    "username": client.username,
                    "realm": client.realm,
                    "expires": client.expires,
                    "application_sid": client.application_sid,
                }
                for client in clients
            ]
        )
        return
    for client in clients:
        expires = "" if client.expires is None else f"  expires {client.expires} s"
        application = "" if client.application_sid is None else f"  application {client.application_sid}"
        console.print(f"{client.username}@{client.realm}{expires}{application}")


@clients_app.command("remove")
@with_stack_options
def clients_remove(username: Username, realm: Realm, *, selected: SelectedStack) -> None:
    """Remove a SIP client.

    A client that is registered now stays registered until its registration expires.
    """
    with _table(selected) as table:
        removed = table.remove(username, realm)
    if not removed:
        fail(f"No SIP client {username}@{realm}. List the clients with: {callhooks(f'clients list{selected.options}')}")
    console.print(f"Removed {username}@{realm}. It can no longer register.")


@contextmanager
def _table(selected: SelectedStack) -> Iterator[ClientTable]:
    session, outputs = stack_in_aws(selected)
    try:
        yield ClientTable(session.client("dynamodb"), outputs.clients_table)
    except (BotoCoreError, ClientError) as error:
        fail(f"Cannot access the table of SIP clients: {error}")


def _read_password() -> str:
    if sys.stdin.isatty():
        password = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail("The password is empty. Enter one at the prompt, or pass it on standard input.")
    return password
