"""`fhirserver reindex`: makes the index entries of stored resources anew."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer
from rich.console import Console

from fhirserver.cli.configuration import settings
from fhirserver.cli.failure import Failure


def reindex(
    types: Annotated[
        list[str] | None,
        typer.Argument(metavar="[TYPE…]", help="Resource types; without any, every one."),
    ] = None,
    database: Annotated[
        str | None, typer.Option(help="The database. The default is that of `serve`.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="FHIR base URL whose absolute references mean this server."),
    ] = None,
) -> None:
    """Make the index entries of stored resources anew, after search parameters were added.

    The server can go on meanwhile; versions and times of the resources do not change.
    """
    from fhirserver.model.definitions import RESOURCE_TYPES

    unknown = [type for type in types or () if type not in RESOURCE_TYPES]
    if unknown:
        raise Failure(f"No resource type of R4: {', '.join(unknown)}")
    chosen = settings(database=database, base_url=base_url)
    total = asyncio.run(_reindex(chosen.database, chosen.base_url or "", types or []))
    typer.echo(f"reindex: {total:,} resources", err=True)


async def _reindex(database: str, base_url: str, types: list[str]) -> int:
    from fhirserver.cli.opening import opened
    from fhirserver.operation.reindex import reindex_all

    console = Console(stderr=True)

    def told(type: str, done: int) -> None:
        if console.is_terminal:
            status.update(f"{type}: {done:,}")
        elif done % 10_000 == 0:
            console.print(f"reindex: {type} {done:,}", highlight=False)

    with console.status("reindex") as status:
        async with opened(database, base_url) as (_, context):
            return await reindex_all(context, types, told=told)
