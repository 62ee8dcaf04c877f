"""`fhirserver keys`: the server's own signing keys."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from fhirserver.cli.configuration import settings

keys = typer.Typer(
    name="keys", help="The keys that id_tokens are signed with.", no_args_is_help=True
)
Database = Annotated[str | None, typer.Option(help="The database. The default is that of `serve`.")]


@keys.command()
def rotate(database: Database = None) -> None:
    """Sign with a new key from now on (servers notice within a minute). The old one is published
    for a day more, so that what it signed can still be verified."""
    kid = asyncio.run(_rotate(settings(database=database).database))
    typer.echo(f"id_tokens are signed with the key {kid} now", err=True)


async def _rotate(database: str) -> str:
    from fhirserver.auth.keys import Keys
    from fhirserver.auth.server import microseconds
    from fhirserver.cli.opening import opened

    async with opened(database) as (store, _):
        return await Keys(store, microseconds).rotate()
