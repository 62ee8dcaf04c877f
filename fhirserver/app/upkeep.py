"""What a server process does beside requests to stay current."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import structlog

from fhirserver.interaction.search_parameter import SearchParameterBehaviour
from fhirserver.model.rounds import rounds
from fhirserver.operation.reindex import resume as resume_reindex

if TYPE_CHECKING:
    from fhirserver.auth.server import AuthorizationServer
    from fhirserver.interaction.context import Context
    from fhirserver.rest.cors import CrossOrigin
    from fhirserver.storage.interface import Store

_log = structlog.get_logger("fhirserver")


REFRESH_SECONDS = 1.0


PURGE_SECONDS = 600.0


async def refresh(context: Context) -> None:
    """Take in what other processes on the same store have changed."""
    for behaviour in context.behaviours:
        if isinstance(behaviour, SearchParameterBehaviour):
            await behaviour.refresh()


async def keep_fresh(context: Context) -> None:
    failing = False
    async for _ in rounds(REFRESH_SECONDS):
        try:
            await refresh(context)
            await resume_reindex(context)
            failing = False
        except Exception as error:  # the store may be away for a while; requests are told
            if not failing:
                _log.warning("refresh failed", error=type(error).__name__)
            failing = True


async def follow_clients(server: AuthorizationServer, cross_origin: CrossOrigin) -> None:
    """Origins of newly registered clients are let in, of disabled ones no longer."""
    async for _ in rounds(REFRESH_SECONDS):
        with contextlib.suppress(TimeoutError, ConnectionError):
            cross_origin.allow(await server.clients.origins())


async def purge(store: Store) -> None:
    """Forget tokens and codes that have expired."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        await store.purge_grants()
    async for _ in rounds(PURGE_SECONDS):
        with contextlib.suppress(TimeoutError, ConnectionError):
            await store.purge_grants()
