"""The one place that wires: settings to store, rooms and ASGI application."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
import tempfile
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from fhirserver.access.audit.service import AuditService
from fhirserver.access.caller import Caller, Role
from fhirserver.access.decision.listing import PUBLIC as PUBLIC_TYPES
from fhirserver.access.notice.notifier import Notifier
from fhirserver.access.notice.sender import FolderSender, SmtpSender
from fhirserver.access.permit import AccessSettings, permit, permit_anyone
from fhirserver.access.store import PermittedStore
from fhirserver.auth import bearer
from fhirserver.auth.configuration import Configuration
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.append_only import AppendOnlyBehaviour
from fhirserver.interaction.capabilities import Hosting
from fhirserver.interaction.carer_limits import CarerLimitBehaviour
from fhirserver.interaction.context import Context, Limits
from fhirserver.interaction.mask_by_default import MaskByDefaultBehaviour
from fhirserver.interaction.search_parameter import SearchParameterBehaviour
from fhirserver.interaction.service import work
from fhirserver.model import outside
from fhirserver.operation.reindex import resume as resume_reindex
from fhirserver.operation.reindex import stop as stop_reindex
from fhirserver.rest.cors import CrossOrigin
from fhirserver.rest.dispatcher import Dispatcher
from fhirserver.rest.endpoint import Endpoint, EndpointLimits
from fhirserver.rest.origin import Origin
from fhirserver.rest.public import Public
from fhirserver.rest.request import Facts
from fhirserver.search.expression import Everything
from fhirserver.search.index import Indexer
from fhirserver.settings import Settings
from fhirserver.terminology.specified import SpecifiedTerminology
from fhirserver.validation.validator import Validator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from fhirserver.access.caller import Caller
    from fhirserver.access.notice.sender import Sender
    from fhirserver.access.permit import Entries
    from fhirserver.auth.identity.provider import Provider
    from fhirserver.auth.server import AuthorizationServer
    from fhirserver.auth.visits import Visits
    from fhirserver.catalogue import Registrar
    from fhirserver.diary.immunization.calendar import Settings as VaccinationSettings
    from fhirserver.interaction.service import Service
    from fhirserver.messaging.gateway.settings import GatewaySettings
    from fhirserver.record import RecordSettings
    from fhirserver.rest.calendar import Permitted
    from fhirserver.rest.endpoint import Admit
    from fhirserver.space import SpaceSettings
    from fhirserver.storage.interface import Store

PATH = "/fhir"
REFRESH_SECONDS = 1.0
PURGE_SECONDS = 600.0
_log = structlog.get_logger("fhirserver")


class StartRefused(Exception):
    """The server may not start with these settings."""


def _sqlite(url: str) -> Store:
    from fhirserver.storage.sqlite import SqliteStore

    path = url.removeprefix("sqlite://").removeprefix("/")
    if not path:
        path = str(Path(tempfile.mkdtemp(prefix="fhirserver-")) / "fhirserver.db")
    return SqliteStore(path)


def _mongodb(url: str) -> Store:
    from fhirserver.storage.mongodb import MongoStore

    return MongoStore(url)


#: URL scheme -> engine. A new engine is a line here.
ENGINES: dict[str, Callable[[str], Store]] = {
    "sqlite": _sqlite,
    "mongodb": _mongodb,
    "mongodb+srv": _mongodb,
}


def open_engine(url: str) -> Store:
    """The store a database URL names, not yet open."""
    scheme = url.partition("://")[0]
    engine = ENGINES.get(scheme)
    if engine is None or "://" not in url:
        known = ", ".join(f"{name}://" for name in ENGINES)
        raise StartRefused(f"The database URL must begin with one of {known}")
    return engine(url)


def services_of(settings: Settings, store: Store, indexer: Indexer) -> tuple[Service, ...]:
    """The services of the health space. A new service is a line here."""
    from fhirserver import catalogue, diary, messaging, record, space

    return (
        space.service(_space(settings)),
        record.service(_record(settings)),
        diary.service(_notifier(settings, store, indexer), _vaccination(settings)),
        messaging.service(
            _notifier(settings, store, indexer) if settings.auth == "smart" else None,
            _gateway(settings),
        ),
        catalogue.service(_registrar(settings, store), _notifier(settings, store, indexer)),
    )


def _record(settings: Settings) -> RecordSettings:
    from fhirserver.record import RecordSettings

    return RecordSettings(
        max_document_bytes=settings.max_document_bytes,
        max_upload_bytes=settings.max_upload_bytes,
        antivirus=settings.antivirus or "",
        antivirus_seconds=settings.antivirus_seconds,
    )


def _vaccination(settings: Settings) -> VaccinationSettings:
    from fhirserver.diary.immunization.calendar import Settings as VaccinationSettings

    return VaccinationSettings(
        grace_days=settings.vaccination_grace_days,
        pertussis_at_45_and_65=settings.vaccination_pertussis_at_45_and_65,
        menacwy_catch_up_before=settings.vaccination_menacwy_before,
        meningococcal_mandatory_from=settings.vaccination_meningococcal_mandatory_from,
        territory=settings.vaccination_territory,
    )


def _space(settings: Settings) -> SpaceSettings:
    from fhirserver.space import SpaceSettings
    from fhirserver.space.phases import french, parse

    phases = parse(settings.opening_phases) if settings.opening_phases else french()
    return SpaceSettings(
        phases=phases, objection_weeks=settings.objection_weeks, seconds=settings.space_seconds
    )


def _registrar(settings: Settings, store: Store) -> Registrar:
    """By what listed apps become clients."""
    from fhirserver.catalogue import NoRegistrar

    if settings.auth == "off":
        return NoRegistrar()
    from fhirserver.auth.catalogue_clients import CatalogueClients
    from fhirserver.auth.server import microseconds

    return CatalogueClients(store, microseconds)


def access_of(settings: Settings) -> AccessSettings:
    """What the operator has settled of the open points of the access rules."""
    return AccessSettings(
        active_needed=settings.access_active_needed,
        blocked_in_emergency=settings.access_blocked_in_emergency,
        break_glass_professions=frozenset(settings.access_break_glass_professions),
        centre_15_professions=frozenset(settings.access_centre_15_professions),
        masked_for_administrator=settings.access_masked_for_administrator,
        masked_in_emergency=settings.access_masked_in_emergency,
        invisible_months=settings.access_invisible_months,
        system_profession=settings.access_system_profession,
        existence_by_ins=frozenset(Role(role) for role in settings.access_existence_by_ins),
        professionals_collect_consent=settings.access_professionals_collect_consent,
        apps=dict(pair.split("=", 1) for pair in settings.access_apps),
        registrars=frozenset(settings.registrars),
        client_ids=settings.access_client_ids,
        majority=settings.access_majority,
        seconds=settings.access_seconds,
        longest_seconds=settings.access_longest_seconds,
    )


def limits_of(settings: Settings) -> Limits:
    return Limits(
        default_count=settings.default_count,
        max_count=settings.max_count,
        includes=settings.max_includes,
        bundle_entries=settings.max_bundle_entries,
        smallest_count=settings.smallest_count,
    )


def now() -> datetime:
    return datetime.now(UTC)


def _random_ids() -> Iterator[str]:
    """UUIDs of version 4, many from one call of the system, which is most of what one costs."""
    process = os.getpid()
    while True:
        drawn = os.urandom(16 * 256)
        for start in range(0, len(drawn), 16):
            if os.getpid() != process:  # a fork does not give out its parent's again
                process = os.getpid()
                break
            yield str(uuid.UUID(bytes=drawn[start : start + 16], version=4))


_ids = _random_ids()


def new_id() -> str:
    return next(_ids)


def context_of(
    store: Store, registry: Registry, *, base_url: str = "", limits: Limits | None = None
) -> Context:
    """An open-mode context: everything is permitted."""
    permitted = PermittedStore(store, Everything())
    return Context(
        store=permitted,
        registry=registry,
        indexer=Indexer(registry, (base_url,) if base_url else ()),
        validator=Validator(),
        clock=now,
        new_id=new_id,
        base_url=base_url,
        limits=limits or Limits(),
        behaviours=(SearchParameterBehaviour(permitted, registry),),
        terminology=SpecifiedTerminology(),
    )


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
    admitting: list[Admit] = []
    permitting: list[Permitted] = [_open]

    async def admit(headers: Mapping[bytes, bytes], context: Context, request_id: str) -> Context:
        return await admitting[0](headers, context, request_id)

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
            oauth=_oauth_uris(configuration) if smart else (),
            hosting=Hosting(
                settings.hosting_country,
                settings.outside_hosts,
                settings.outside_enforced,
            ),
        ),
        path=PATH,
        admit=admit if smart else None,
        public=_public(store, settings) if smart and settings.public_requests_per_minute else None,
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
            await _refresh(context)
            tasks.append(asyncio.create_task(_keep_fresh(context)))
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
                server = _authorization_server(configuration, store, registry)
                authorization.append(server)
                context, audit = audited(store, context, settings)
                server.recording.audit = audit.audit
                permitted = _permitting(audit.store, context.indexer.entries, access)
                permitting[0] = permitted
                server.decisions.visits = _visits(lambda: endpoint.context, permitted)
                admitting.append(_admitting(audit.store, permitted, settings.fhir_url))
                await audit.start()
                tasks.append(asyncio.create_task(audit.run()))
                cross_origin.allow(await server.clients.origins())
                tasks.append(asyncio.create_task(_follow_clients(server, cross_origin)))
                tasks.append(asyncio.create_task(_purge(store)))
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
            admitting.clear()
            await store.close()
            outside.allow(before)

    def pages() -> Any:
        async def permitted(context: Context, caller: Caller) -> Context:
            return await permitting[0](context, caller)

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


def configuration_of(settings: Settings) -> Configuration:
    """What the authorization server is told. Raises StartRefused."""
    providers: tuple[Provider, ...] = ()
    if settings.identity_providers:
        from fhirserver.auth.identity.provider import read_providers  # loads an HTTP client

        try:
            providers = read_providers(Path(settings.identity_providers))
        except ValueError as error:
            raise StartRefused(f"identity_providers: {error}") from None
    return Configuration(
        fhir_url=settings.fhir_url,
        root_url=settings.fhir_url.removesuffix(PATH),
        access_seconds=settings.access_token_seconds,
        demo=settings.demo,
        providers=providers,
        fetch_hosts=settings.fetch_hosts,
        trusted_proxies=settings.trusted_proxies,
    )


def _oauth_uris(configuration: Configuration) -> tuple[tuple[str, str], ...]:
    names = ("authorize", "token", "introspect", "revoke")
    return tuple((name, configuration.url(name)) for name in names)


def _authorization_server(
    configuration: Configuration, store: Store, registry: Registry
) -> AuthorizationServer:
    from fhirserver.auth.server import AuthorizationServer

    return AuthorizationServer(configuration, store, registry, now)


def _visits(context: Callable[[], Context | None], permitted: Permitted) -> Visits:
    from fhirserver.auth.visits import Visits

    return Visits(context, permitted)


def _permitting(store: Store, entries: Entries, access: AccessSettings) -> Permitted:
    """Binds the server's context to what a caller may see and write."""

    async def permitted(context: Context, caller: Caller) -> Context:
        bound = await permit(
            store,
            caller,
            entries=entries,
            registry=context.registry,
            clock=context.clock,
            settings=access,
        )
        return replace(context, store=bound, caller=caller)

    return permitted


async def _open(context: Context, caller: Caller) -> Context:
    """With --auth off everybody sees everything."""
    return context


def _admitting(store: Store, permitted: Permitted, audience: str) -> Admit:
    """Lets a caller with a token in, to what the caller may see and write."""

    async def admit(headers: Mapping[bytes, bytes], context: Context, request_id: str) -> Context:
        return await permitted(context, await bearer.caller(headers, store, audience, request_id))

    return admit


def _public(store: Store, settings: Settings) -> Public:
    """What is served to whoever shows no token."""

    def context(context: Context) -> Context:
        permitted = permit_anyone(store, context.indexer.entries)
        return replace(context, store=permitted, caller=Caller(Role.ANYONE))

    return Public(PUBLIC_TYPES, context, settings.public_requests_per_minute)


def audited(store: Store, context: Context, settings: Settings) -> tuple[Context, AuditService]:
    """The context of a server whose accesses are recorded, and what follows the records."""
    indexer = context.indexer
    notifier = _notifier(settings, store, indexer)
    service = AuditService(
        store,
        context.registry,
        indexer.entries,
        server=context.base_url,
        notifier=notifier,
        days=settings.audit_days,
    )
    behaviours = (AppendOnlyBehaviour(), *context.behaviours)
    return replace(context, audit=service.audit, behaviours=behaviours), service


def _gateway(settings: Settings) -> GatewaySettings:
    from fhirserver.messaging.gateway.settings import GatewaySettings

    return GatewaySettings(
        listen=settings.mssante_listen or "",
        peers=settings.mssante_peers,
        server=settings.mssante_server or "",
        domain=settings.mssante_domain,
        software=settings.mssante_nil or "",
    )


def _notifier(settings: Settings, store: Store, indexer: Indexer) -> Notifier:
    return Notifier(store, indexer.entries, _mail(settings), settings.notices)


def _mail(settings: Settings) -> Sender | None:
    if settings.mail_server:
        return SmtpSender(settings.mail_server, settings.mail_from)
    if settings.mail_folder:
        return FolderSender(Path(settings.mail_folder), settings.mail_from)
    return None


async def _follow_clients(server: AuthorizationServer, cross_origin: CrossOrigin) -> None:
    """Origins of newly registered clients are let in, of disabled ones no longer."""
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        with contextlib.suppress(TimeoutError, ConnectionError):
            cross_origin.allow(await server.clients.origins())


async def _purge(store: Store) -> None:
    """Forget tokens and codes that have expired."""
    while True:
        with contextlib.suppress(TimeoutError, ConnectionError):
            await store.purge_grants()
        await asyncio.sleep(PURGE_SECONDS)


async def _refresh(context: Context) -> None:
    """Take in what other processes on the same store have changed."""
    for behaviour in context.behaviours:
        if isinstance(behaviour, SearchParameterBehaviour):
            await behaviour.refresh()


async def _keep_fresh(context: Context) -> None:
    failing = False
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        try:
            await _refresh(context)
            await resume_reindex(context)
            failing = False
        except Exception as error:  # the store may be away for a while; requests are told
            if not failing:
                _log.warning("refresh failed", error=type(error).__name__)
            failing = True


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


def configure_logging(settings: Settings) -> None:
    """One line of JSON for each event, on stderr."""
    level = getattr(logging, settings.log_level.upper())
    renderer: Any = structlog.processors.JSONRenderer()
    if settings.log_format == "console":
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def serve(settings: Settings) -> None:
    """Run the server until it is told to stop. Raises StartRefused."""
    import uvicorn

    problems = settings.problems()
    if problems:
        raise StartRefused("\n".join(problems))
    configure_logging(settings)
    if settings.auth == "off":
        _log.warning(
            "NO ACCESS CONTROL: anyone who reaches this address can read and change everything",
            host=settings.host,
        )
    options: dict[str, Any] = {
        "host": settings.host,
        "port": settings.port,
        "http": "httptools",
        "lifespan": "on",
        "ws": "none",
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "proxy_headers": False,  # rest/origin.py decides whose words count
        "timeout_graceful_shutdown": 20,
        "log_level": settings.log_level,
    }
    if settings.workers == 1:
        uvicorn.run(build(settings), **options)
        return
    # Each worker makes its own application from the environment.
    os.environ.update(environment_of(settings))
    uvicorn.run("fhirserver.app:create", factory=True, workers=settings.workers, **options)


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as the environment variables that give them."""
    variables = {}
    for name, value in settings.model_dump().items():
        if value is not None:
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            variables[f"FHIRSERVER_{name.upper()}"] = text
    return variables
