"""`fhirserver load`: files into a database or a running server."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from fhirserver.cli.configuration import settings
from fhirserver.cli.failure import Failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.load.progress import LoadProgress
    from fhirserver.load.report import Refusal, Report


def load(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH…",
            help="Bundles, resources, NDJSON; .gz, .zip, .tar.gz of these; folders of them.",
        ),
    ],
    database: Annotated[
        str | None,
        typer.Option(help="Write into this database. The default is that of `serve`."),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Send to the running server with this FHIR base URL instead."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(envvar="FHIRSERVER_TOKEN", help="Bearer token for --url."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=0, max=64, help="Processes that validate. The default is one a core."),
    ] = None,
    atomic: Annotated[
        bool,
        typer.Option("--atomic", help="Refuse a transaction Bundle whole if one entry is bad."),
    ] = False,
    base_url: Annotated[
        str | None,
        typer.Option(help="FHIR base URL whose absolute references mean this server."),
    ] = None,
) -> None:
    """Load FHIR data. What is there already is left as it is, so an interrupted load is finished
    by running the same command again.

    Every resource is validated against R4. Into a database, the rules and consequences that the
    services of the health space add to a write (documents, messages, appointments, consents,
    apps) are left out, but for national identities: load data that a server has accepted before,
    or send it to one by --url.

    Exit code 0: everything is in; 1: some entries were refused, each is told with file and
    reason; 2: nothing could be loaded.
    """
    if url is not None and database is not None:
        raise Failure("Give either --database or --url, not both.")
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        raise Failure(f"No such file or folder: {', '.join(missing)}")
    if url is not None and not url.startswith(("http://", "https://")):
        raise Failure(f"--url must begin with http:// or https://, not '{url}'.")
    from fhirserver.load.sources import find

    files = list(find(paths))
    if not files:
        raise Failure(
            "There is nothing to load in these folders.",
            "Files are taken that end in .json, .ndjson, .jsonl, .xml, .gz, .zip, .tar or .tgz.",
        )
    count = workers if workers is not None else os.cpu_count() or 1
    chosen = settings(database=database, base_url=base_url)
    where = url or chosen.database
    report = asyncio.run(
        _load(files, where, url is not None, count, atomic, token, chosen.base_url or "")
    )
    console = Console(stderr=True)
    console.print(Text(summary(report)))
    for note in report.notes:
        console.print(Text(note))
    raise typer.Exit(report.exit_code)


async def _load(
    files: Sequence[Path],
    where: str,
    over_http: bool,
    workers: int,
    atomic: bool,
    token: str | None,
    base_url: str,
) -> Report:
    from fhirserver.load.progress import LoadProgress
    from fhirserver.load.sources import size_of

    console = Console(stderr=True)
    total = size_of(files)

    def refused(refusal: Refusal) -> None:
        console.print(Text(f"refused: {refusal}", style="red"), soft_wrap=True, highlight=False)

    with LoadProgress(console, total) as progress:
        if over_http:
            return await _into_server(files, where, total, refused, progress, atomic, token)
        return await _into_database(
            files, where, total, refused, progress, atomic, workers, base_url
        )


async def _into_server(
    files: Sequence[Path],
    url: str,
    total: int,
    refused: object,
    progress: LoadProgress,
    atomic: bool,
    token: str | None,
) -> Report:
    from fhirserver.load.server import ServerAway, ServerLoad

    load = ServerLoad(
        url,
        refused=refused,  # type: ignore[arg-type]
        progress=progress.update,
        atomic=atomic,
        token=token,
    )
    try:
        return await load.run(files, total)
    except* ServerAway as away:
        first: BaseException = away
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise Failure(
            str(first), "What was taken stays; run the same command again to go on."
        ) from None


async def _into_database(
    files: Sequence[Path],
    database: str,
    total: int,
    refused: object,
    progress: LoadProgress,
    atomic: bool,
    workers: int,
    base_url: str,
) -> Report:
    from fhirserver.load.workers import Workers

    async with Workers(workers, total) as started:
        # These take a second to import; meanwhile the workers do the same with theirs.
        from fhirserver.cli.opening import opened
        from fhirserver.load.database import DatabaseLoad, LoadStopped

        async with opened(database, base_url) as (_, context):
            load = DatabaseLoad(
                context,
                refused=refused,  # type: ignore[arg-type]
                progress=progress.update,
                workers=started,
                atomic=atomic,
            )
            try:
                return await load.run(files)
            except LoadStopped as stopped:
                raise Failure(str(stopped)) from None


def summary(report: Report) -> str:
    parts = [f"{report.created:,} created"]
    for count, word in (
        (report.updated, "updated"),
        (report.deleted, "deleted"),
        (report.unchanged, "already there"),
        (report.kept, "changed since and kept"),
        (report.refused, "refused"),
    ):
        if count:
            parts.append(f"{count:,} {word}")
    return "load: " + ", ".join(parts)
