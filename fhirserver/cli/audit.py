"""`fhirserver audit`: checks the audit trail's chains, and lists what was recorded."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from fhirserver.cli.configuration import settings
from fhirserver.cli.failure import Failure

if TYPE_CHECKING:
    from fhirserver.access.audit.record import Record
    from fhirserver.access.audit.verify import Verdict
    from fhirserver.storage.interface import Head

audit = typer.Typer(
    name="audit", help="Check or list the audit trail.", no_args_is_help=True, add_completion=False
)
_HEAD = re.compile(r"([0-9a-f]{16}):([0-9]{1,18}):([0-9a-f]{64})")

Database = Annotated[str | None, typer.Option(help="The database. The default is that of `serve`.")]


@audit.command()
def verify(
    database: Database = None,
    head: Annotated[
        list[str] | None,
        typer.Option(
            help="An end of a chain known from elsewhere, as the server's log tells it "
            "(“audit head”): CHAIN:NUMBER:HASH. May be repeated."
        ),
    ] = None,
) -> None:
    """Check that no record was changed, removed, inserted or reordered; exit status 1 if one was.

    The server can go on meanwhile.
    """
    kept = [_head(text) for text in head or ()]
    verdict = asyncio.run(_verify(settings(database=database).database, kept))
    for broken in verdict.broken:
        typer.echo(str(broken), err=True)
    typer.echo(
        f"audit: {verdict.records:,} records in {verdict.blocks:,} blocks of "
        f"{verdict.chains:,} chains",
        err=True,
    )
    if verdict.broken:
        raise Failure("The audit trail is not what the server wrote; see the lines above.")


@audit.command("list")
def list_(
    database: Database = None,
    patient: Annotated[str | None, typer.Option(help="Only of this patient (logical id).")] = None,
    user: Annotated[
        str | None, typer.Option(help="Only by this person, e.g. Practitioner/2.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(help="Only from this instant on, e.g. 2026-11-24T06:00:00Z.")
    ] = None,
) -> None:
    """Print the records, one line each: time, status, interaction, patient, who, mode, what."""
    begin = 0
    if since is not None:
        try:
            moment = datetime.fromisoformat(since)
        except ValueError:
            raise Failure(f"--since is no date and time: {since}") from None
        begin = int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1e6)
    asyncio.run(_list(settings(database=database).database, patient, user, begin))


def _head(text: str) -> Head:
    from fhirserver.storage.interface import Head

    matched = _HEAD.fullmatch(text)
    if matched is None:
        raise Failure(f"--head is CHAIN:NUMBER:HASH, not {text}")
    return Head(matched[1], int(matched[2]), matched[3])


async def _verify(database: str, kept: list[Head]) -> Verdict:
    from fhirserver.access.audit.verify import verify
    from fhirserver.cli.opening import opened

    async with opened(database) as (store, _):
        return await verify(store, kept)


async def _list(database: str, patient: str | None, user: str | None, begin: int) -> None:
    from fhirserver.access.audit.record import decode_block
    from fhirserver.access.audit.verify import blocks_of
    from fhirserver.cli.opening import opened

    async with opened(database) as (store, _):
        for head in await store.log_heads():
            async for block in blocks_of(store, head.chain):
                for record in decode_block(block.content):
                    wanted = record.interaction and record.time >= begin
                    wanted = wanted and patient in (None, record.patient)
                    if wanted and user in (None, record.user):
                        typer.echo(line(record))


def line(record: Record) -> str:
    from fhirserver.model.dates import instant

    who = record.user or record.client or "-"
    patient = f"Patient/{record.patient}" if record.patient else "-"
    what = " ".join(record.entities) or record.request or "-"
    parts = (instant(record.time), record.status, record.interaction, patient, who, record.mode)
    # What callers sent is in it: no control character reaches the terminal.
    return "".join(c if c.isprintable() else "?" for c in f"{' '.join(map(str, parts))} {what}")
