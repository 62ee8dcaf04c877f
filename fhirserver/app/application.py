"""The ASGI application: settings to store, rooms and edge."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from fhirserver.app.authorization import authorization_server, configuration_of, oauth_uris, visits
from fhirserver.app.context import context_of, limits_of
from fhirserver.app.engines import open_engine
from fhirserver.app.log import configure_logging
from fhirserver.app.path import PATH
from fhirserver.app.permission import (
    access_of,
    admitting,
    audited,
    open_to_all,
    permitting,
    public,
)
from fhirserver.app.refusal import StartRefused
from fhirserver.app.services import services_of
from fhirserver.app.upkeep import follow_clients, keep_fresh, purge, refresh
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.capabilities import Hosting
from fhirserver.interaction.carer_limits import CarerLimitBehaviour
from fhirserver.interaction.mask_by_default import MaskByDefaultBehaviour
from fhirserver.interaction.service import work
from fhirserver.model import outside
from fhirserver.operation.reindex import stop as stop_reindex
from fhirserver.rest.cors import CrossOrigin
from fhirserver.rest.dispatcher import Dispatcher
from fhirserver.rest.endpoint import Endpoint, EndpointLimits
from fhirserver.rest.origin import Origin
from fhirserver.rest.request import Facts
from fhirserver.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from fhirserver.access.caller import Caller
    from fhirserver.auth.server import AuthorizationServer
    from fhirserver.interaction.context import Context
    from fhirserver.rest.calendar import Permitted
    from fhirserver.rest.endpoint import Admit
    from fhirserver.storage.interface import Store


def build(settings: Settings) -> Dispatcher:
    """The ASGI application. Raises StartRefused."""
    problems = settings.problems()
    if problems:
        raise StartRefused("\n".join(problems))
    configure_logging(settings)
    store = open_engine(settings.database)
    smart = settings.auth == "smart"
    origins = settings.cors_origins
    if origins is None:
        origins = () if smart else ("*",)
    cross_origin = CrossOrigin(origins)
    configuration = configuration_of(settings)
    authorization: list[AuthorizationServer] = []  # once the store is open
    admission: list[Admit] = []
    permission: list[Permitted] = [open_to_all]

    async def admit(headers: Mapping[bytes, bytes], context: Context, request_id: str) -> Context:
        return await admission[0](headers, context, request_id)

    endpoint = Endpoint(
        # Tokens are for one address, so with them no link follows the Host header.
        origin=Origin(
            settings.fhir_url if smart else settings.base_url, settings.trusted_proxies, PATH
        ),
        cross_origin=cross_origin,
        limits=EndpointLimits(
            settings.max_body_bytes,
            settings.max_url_bytes,
            settings.search_seconds,
            settings.gzip_from,
        ),
        facts=Facts(
            cors=smart or bool(origins),
            security="" if smart else "Open: no authorization (--auth off)",
            oauth=oauth_uris(configuration) if smart else (),
            hosting=Hosting(
                settings.hosting_country,
                settings.outside_hosts,
                settings.outside_enforced,
            ),
        ),
        path=PATH,
        admit=admit if smart else None,
        public=public(store, settings) if smart and settings.public_requests_per_minute else None,
    )

    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        before = outside.allow(
            frozenset(map(outside.host_of, settings.outside_hosts))
            if settings.outside_enforced
            else None
        )
        await store.open()
        tasks: list[asyncio.Task[None]] = []
        try:
            registry = Registry()
            context = context_of(
                store,
                registry,
                base_url=settings.fhir_url if smart else settings.base_url or "",
                limits=limits_of(settings),
            )
            await refresh(context)
            tasks.append(asyncio.create_task(keep_fresh(context)))
            services = services_of(settings, store, context.indexer)
            ruled = tuple(behaviour for service in services for behaviour in service.behaviours)
            chosen = (
                CarerLimitBehaviour(settings.carers_of_person, settings.persons_of_carer),
                MaskByDefaultBehaviour(context.store),
            )
            access = access_of(settings)
            behaviours = (*context.behaviours, *ruled, *chosen)
            context = replace(context, behaviours=behaviours, access=access)
            context = replace(context, server=context)
            jobs = [job for service in services for job in service.jobs]
            tasks.append(asyncio.create_task(work(store, context.as_server, jobs)))
            if smart:
                server = authorization_server(configuration, store, registry)
                authorization.append(server)
                context, audit = audited(store, context, settings)
                server.recording.audit = audit.audit
                permitted = permitting(audit.store, context.indexer.entries, access)
                permission[0] = permitted
                server.decisions.visits = visits(lambda: endpoint.context, permitted)
                admission.append(admitting(audit.store, permitted, settings.fhir_url))
                await audit.start()
                tasks.append(asyncio.create_task(audit.run()))
                cross_origin.allow(await server.clients.origins())
                tasks.append(asyncio.create_task(follow_clients(server, cross_origin)))
                tasks.append(asyncio.create_task(purge(store)))
            endpoint.context = context
            _settle()
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await stop_reindex()
            endpoint.context = None
            authorization.clear()
            admission.clear()
            await store.close()
            outside.allow(before)

    def pages() -> Any:
        async def permitted(context: Context, caller: Caller) -> Context:
            return await permission[0](context, caller)

        server = (lambda: authorization[0]) if smart else None
        return _pages(store, server, lambda: endpoint.context, permitted)

    return Dispatcher(endpoint, lifespan, pages=pages, path=PATH)


@cache
def _settle() -> None:
    """What was made until the first application of a process lives as long as the process: the
    collector may skip it. Only that: what a later one leaves behind would never be freed."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


def _pages(
    store: Store,
    server: Callable[[], AuthorizationServer] | None,
    context: Callable[[], Context | None],
    permitted: Permitted,
) -> Any:
    from fhirserver.rest import calendar
    from fhirserver.rest.service import service  # FastAPI takes a quarter of a second to load

    routers = [calendar.router(context, permitted)]
    if server is not None:
        from fhirserver.auth.routes import router

        routers.append(router(server, PATH))

    async def ready() -> None:
        async with asyncio.timeout(5):
            await store.get_state("ready")

    return service(ready, routers)


def create() -> Dispatcher:
    """The application as the environment sets it; each worker process calls this."""
    return build(Settings())
