"""`fhirserver client`: registers the apps and systems that may ask for tokens."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

import typer
from rich.console import Console
from rich.table import Column, Table

from fhirserver.cli.configuration import settings
from fhirserver.cli.failure import Failure

if TYPE_CHECKING:
    from fhirserver.auth.client import Client

client = typer.Typer(
    name="client",
    help="Register, list and disable the apps and systems that may ask for tokens.",
    no_args_is_help=True,
)
Database = Annotated[str | None, typer.Option(help="The database. The default is that of `serve`.")]
Texts = list[str] | None


@client.command()
def add(
    id: Annotated[str, typer.Option(help="Client id, as the app sends it.")],
    name: Annotated[str, typer.Option(help="Name that people recognise on the consent page.")],
    scope: Annotated[str, typer.Option(help="All scopes it may ever ask for, space-separated.")],
    type: Annotated[
        Literal["public", "confidential", "backend"],
        typer.Option(help="public: keeps no secret; backend: a service without a person."),
    ] = "public",
    redirect_uri: Annotated[
        Texts, typer.Option(help="Where people are sent back to; exactly. May be repeated.")
    ] = None,
    jwks: Annotated[
        str | None,
        typer.Option(help="Its public keys: a file, or an https URL on a host of fetch_hosts."),
    ] = None,
    origin: Annotated[
        Texts, typer.Option(help="Origin whose pages may call the API for it. May be repeated.")
    ] = None,
    organization: Annotated[
        str, typer.Option(help="Organization/ID that a backend service acts for.")
    ] = "",
    role: Annotated[
        Literal["system", "publisher", "operator"],
        typer.Option(help="As what a backend service acts (publisher: of apps in the catalogue)."),
    ] = "system",
    launcher: Annotated[
        bool, typer.Option("--launcher", help="A portal: it may launch other apps.")
    ] = False,
    introspector: Annotated[
        bool, typer.Option("--introspector", help="It may ask about any client's tokens.")
    ] = False,
    database: Database = None,
) -> None:
    """Register a client. A confidential one without keys is given a secret, shown this once."""
    from fhirserver.auth import secret as handles
    from fhirserver.auth.client import Client, hash_secret

    chosen = settings(database=database)
    given: dict[str, Any] = {}
    if jwks is not None and "://" in jwks:
        given["jwks_url"] = jwks
    elif jwks is not None:
        given["jwks"] = _read_keys(jwks)
    secret = handles.new() if type == "confidential" and jwks is None else ""
    made = Client(
        id,
        name,
        type,
        scope,
        redirect_uris=tuple(redirect_uri or ()),
        secret_hash=hash_secret(secret) if secret else "",
        origins=tuple(origin or ()),
        organization=organization,
        role=role,
        launcher=launcher,
        introspector=introspector,
        **given,
    )
    asyncio.run(_add(chosen.database, made))
    typer.echo(f"client {id} is registered ({made.method})", err=True)
    host = urlsplit(made.jwks_url).netloc
    if host and not {host, urlsplit(made.jwks_url).hostname} & set(chosen.fetch_hosts):
        typer.echo(f"Keys are fetched once the setting fetch_hosts names {host}.", err=True)
    if secret:
        typer.echo("Its secret, which is not stored and cannot be shown again:", err=True)
        typer.echo(secret)


@client.command(name="list")
def list_(database: Database = None) -> None:
    """List the clients."""
    found = asyncio.run(_list(settings(database=database).database))
    names = ("id", "name", "type", "authentication", "scopes", "state")
    table = Table(*(Column(name, overflow="fold") for name in names), box=None, pad_edge=False)
    for each in found:
        state = "disabled" if each.disabled else "active"
        table.add_row(each.id, each.name, each.kind, each.method, each.scopes, state)
    # What reads a pipe gets a client on one line, however long.
    width = None if sys.stdout.isatty() else 100_000
    Console(width=width, markup=False).print(table)


@client.command()
def disable(
    id: Annotated[str, typer.Argument(help="Client id.")], database: Database = None
) -> None:
    """Stop a client: whatever tokens it has end with its next request."""
    if not asyncio.run(_disable(settings(database=database).database, id)):
        raise Failure(f"There is no client {id}", "`fhirserver client list` shows them.")
    typer.echo(f"client {id} is disabled", err=True)


def _read_keys(file: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(file).read_text())
    except (OSError, ValueError) as error:
        raise Failure(f"The keys {file} cannot be read: {error}") from None
    if isinstance(found, dict) and "keys" not in found:
        found = {"keys": [found]}
    if not isinstance(found, dict):
        raise Failure(f"{file} is no JSON Web Key Set")
    return found


async def _add(database: str, made: Client) -> None:
    from fhirserver.auth.client import Clients
    from fhirserver.auth.server import microseconds
    from fhirserver.cli.opening import opened
    from fhirserver.errors import Invalid

    async with opened(database) as (store, _):
        try:
            await Clients(store, microseconds).add(made)
        except Invalid as error:
            raise Failure(str(error)) from None


async def _list(database: str) -> list[Client]:
    from fhirserver.auth.client import Clients
    from fhirserver.auth.server import microseconds
    from fhirserver.cli.opening import opened

    async with opened(database) as (store, _):
        return await Clients(store, microseconds).list()


async def _disable(database: str, id: str) -> bool:
    from fhirserver.auth.client import Clients
    from fhirserver.auth.server import microseconds
    from fhirserver.cli.opening import opened

    async with opened(database) as (store, _):
        return await Clients(store, microseconds).disable(id)
