"""`fhirserver token`: an access token for trying things out with curl."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fhirserver.cli.configuration import settings
from fhirserver.cli.failure import Failure

if TYPE_CHECKING:
    from fhirserver.auth.authorization import Authorization
    from fhirserver.auth.client import Client
    from fhirserver.interaction.context import Context
    from fhirserver.settings import Settings
    from fhirserver.storage.interface import Store

CLIENT = "command-line"


def token(
    as_: Annotated[
        str,
        typer.Option(
            "--as", help="Patient/ID, RelatedPerson/ID, Practitioner/ID or PractitionerRole/ID."
        ),
    ],
    scope: Annotated[str, typer.Option(help="SMART scopes, space-separated.")],
    client: Annotated[str, typer.Option(help="On behalf of this client.")] = CLIENT,
    patient: Annotated[
        str | None,
        typer.Option(help="Patient/ID or ID whose record is open; a professional says whose."),
    ] = None,
    mode: Annotated[
        Literal["normal", "bris_de_glace", "centre_15"], typer.Option(help="Access mode.")
    ] = "normal",
    reason: Annotated[str, typer.Option(help="Why the glass is broken.")] = "",
    seconds: Annotated[
        int, typer.Option(min=1, max=86_400, help="Its life; 900 at most in other modes.")
    ] = 3600,
    database: Annotated[
        str | None, typer.Option(help="The database. The default is that of `serve`.")
    ] = None,
    base_url: Annotated[
        str | None, typer.Option(help="FHIR base URL the token is for, as with `serve`.")
    ] = None,
) -> None:
    """Print an access token as if that person had allowed it. Not with production settings."""
    chosen = settings(database=database, base_url=base_url)
    if chosen.environment == "production":
        raise Failure("Under production settings tokens are given by the person alone.")
    if mode == "bris_de_glace" and len(reason.strip()) < 5:
        raise Failure(f"The mode {mode} needs a --reason.")
    if mode != "normal":
        from fhirserver.auth.configuration import EXCEPTIONAL

        seconds = min(seconds, EXCEPTIONAL)
    typer.echo(asyncio.run(_token(chosen, as_, scope, client, patient, mode, reason, seconds)))


async def _token(
    chosen: Settings,
    person: str,
    scope: str,
    client: str,
    patient: str | None,
    mode: str,
    reason: str,
    seconds: int,
) -> str:
    from msgspec.structs import replace

    from fhirserver.auth import secret as handles
    from fhirserver.auth.authorization import ACCESS
    from fhirserver.auth.client import Clients
    from fhirserver.auth.server import microseconds
    from fhirserver.auth.tokens import grant_of
    from fhirserver.cli.opening import opened

    async with opened(chosen.database) as (store, context):
        given = await _authorization(
            store, context, chosen.fhir_url, person, scope, client, patient, mode, reason
        )
        if client != CLIENT:
            registered = await Clients(store, microseconds).get(client)
            given = replace(given, device=_check_client(registered, given).device)
        secret = handles.new()
        expires = microseconds() + seconds * 1_000_000
        await store.put_grant(grant_of(ACCESS, secret, given, given, expires))
        return secret


def _check_client(client: Client | None, given: Authorization) -> Client:
    if client is None:
        raise Failure(
            "There is no such client, or it is disabled.", "`fhirserver client list` shows them."
        )
    if not given.granted.all_within(client.allowed):
        raise Failure(f"The client {client.id} is registered for less: {client.scopes}")
    return client


async def _authorization(
    store: Store,
    context: Context,
    audience: str,
    person: str,
    scope: str,
    client: str,
    patient: str | None,
    mode: str,
    reason: str,
) -> Authorization:
    from fhirserver.access import scopes as smart
    from fhirserver.access.caller import Role
    from fhirserver.auth import secret as handles
    from fhirserver.auth.authorization import Authorization
    from fhirserver.auth.identity.person import Directory

    granted = smart.parse(scope, lambda type, code: bool(context.registry.parameter(type, code)))
    if granted.refused:
        raise Failure(f"Not a SMART scope: {granted.refused[0]}")
    if any(each.level == "system" for each in granted.resources):
        raise Failure(
            "system/ scopes are for services, not for people.",
            "A service gets its tokens at the token endpoint (docs/auth.md, Clients).",
        )
    directory = Directory(store, context.registry, context.clock)
    type, slash, id = person.partition("/")
    capacity = await directory.capacity(type, id) if slash else None
    if capacity is None:
        raise Failure(
            f"There is no {person} in this database.",
            "A token is made for a Patient, RelatedPerson, Practitioner or PractitionerRole.",
        )
    if mode != "normal" and capacity.role != Role.PROFESSIONAL:
        raise Failure(f"The mode {mode} is for professionals.")
    record = (patient or capacity.patient).removeprefix("Patient/")
    if capacity.role != Role.PROFESSIONAL and record != capacity.patient:
        raise Failure(f"{person} has no record but that of Patient/{capacity.patient}.")
    if record and await directory.read("Patient", record) is None:
        raise Failure(f"There is no Patient/{record} in this database.")
    if not record and any(each.level == "patient" for each in granted.resources):
        raise Failure("patient/ scopes are for one record: say whose by --patient.")
    return Authorization(
        client=client,
        scopes=str(granted),
        family=handles.new(),
        role=capacity.role,
        audience=audience,
        subject=f"command-line|{person}",
        fhir_user=capacity.fhir_user,
        patient=record,
        profession=capacity.profession,
        organization=capacity.organization,
        mode=mode,
        reason=reason.strip(),
    )
