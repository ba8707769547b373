"""`callhooks clients`: the SIP clients that may register and call."""

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

from callhooks_tools.stack.terminal import StackName, console, fail, stack_in_aws

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

clients_app = typer.Typer(help="SIP clients that jambonz lets register and call.", no_args_is_help=True)

Username = Annotated[str, typer.Argument(help="The SIP user, exactly as the client sends it.")]
Realm = Annotated[str, typer.Option(help="The SIP realm, exactly as jambonz has it.")]


@dataclass(frozen=True, slots=True)
class ClientTable:
    """The table of clients as its operator sees it. Every method raises what botocore raises."""

    client: DynamoDBClient
    table_name: str

    def put(self, client: Client, *, replace: bool) -> bool:
        """Keep a client; `False` where there is one already that is not to be replaced."""
        condition = {} if replace else {"ConditionExpression": "attribute_not_exists(pk)"}
        try:
            self.client.put_item(TableName=self.table_name, Item=client_item(client), **condition)  # type: ignore[arg-type]
        except self.client.exceptions.ConditionalCheckFailedException:
            return False
        return True

    def all(self) -> list[Client]:
        """All clients, by realm and name."""
        pages = self.client.get_paginator("scan").paginate(
            TableName=self.table_name,
            FilterExpression="begins_with(pk, :prefix)",
            ExpressionAttributeValues={":prefix": {"S": CLIENT_PREFIX}},
            ConsistentRead=True,
        )
        clients = [client_of(item) for page in pages for item in page["Items"]]
        return sorted(clients, key=lambda client: (client.realm, client.username))

    def remove(self, username: str, realm: str) -> bool:
        """Forget a client; `False` where there is none."""
        reply = self.client.delete_item(
            TableName=self.table_name, Key=client_key(username, realm), ReturnValues="ALL_OLD"
        )
        return "Attributes" in reply


@clients_app.command("add")
def clients_add(  # noqa: PLR0913, PLR0917 - each one is an option
    username: Username,
    realm: Realm,
    expires: Annotated[
        int | None, typer.Option(min=1, metavar="SECONDS", help="The longest time for which it is registered.")
    ] = None,
    application: Annotated[
        str | None, typer.Option(metavar="SID", help="The jambonz application that takes its calls.")
    ] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a client that is there.")] = False,
    stack_name: StackName = None,
) -> None:
    """Let a client in; asks for its password, or reads it from standard input. Only a digest of it is kept."""
    if not username.strip() or ":" in username:
        fail("A SIP user is not empty and has no colon: the digest could not tell where it ends.")
    if not realm.strip():
        fail("A realm is not empty.")
    password = _ask_password()
    client = Client(
        username, realm, ha1_of(username, realm, password), expires=expires, application_sid=application or None
    )
    with _table(stack_name) as table:
        kept = table.put(client, replace=replace)
    if not kept:
        fail(f"{username}@{realm} is there already: --replace gives it this password and these options.")
    console.print(f"{username}@{realm} may register and call.")


@clients_app.command("list")
def clients_list(stack_name: StackName = None) -> None:
    """Show the clients, without what they prove themselves with."""
    with _table(stack_name) as table:
        clients = table.all()
    if not clients:
        console.print("There is no client: nobody may register.")
    for client in clients:
        expires = "" if client.expires is None else f"  expires {client.expires} s"
        application = "" if client.application_sid is None else f"  application {client.application_sid}"
        console.print(f"{client.username}@{client.realm}{expires}{application}")


@clients_app.command("remove")
def clients_remove(username: Username, realm: Realm, stack_name: StackName = None) -> None:
    """Let a client in no more; a registration that jambonz holds goes on until it has to be renewed."""
    with _table(stack_name) as table:
        removed = table.remove(username, realm)
    if not removed:
        fail(f"There is no client {username}@{realm}.")
    console.print(f"{username}@{realm} may not register any more.")


@contextmanager
def _table(stack_name: str | None) -> Iterator[ClientTable]:
    session, outputs = stack_in_aws(stack_name)
    try:
        yield ClientTable(session.client("dynamodb"), outputs.clients_table)
    except (BotoCoreError, ClientError) as error:
        fail(f"The table of clients cannot be used: {error}")


def _ask_password() -> str:
    if sys.stdin.isatty():
        password = str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        fail("No password was given.")
    return password
