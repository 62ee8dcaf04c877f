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
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from fhirserver.access.store import PermittedStore
from fhirserver.conformance.registry import Registry
from fhirserver.interaction.context import Context, Limits
from fhirserver.interaction.search_parameter import SearchParameterBehaviour
from fhirserver.rest.cors import CrossOrigin
from fhirserver.rest.dispatcher import Dispatcher
from fhirserver.rest.endpoint import Endpoint, EndpointLimits
from fhirserver.rest.origin import Origin
from fhirserver.rest.request import Facts
from fhirserver.search.expression import Everything
from fhirserver.search.index import Indexer
from fhirserver.settings import Settings
from fhirserver.validation.validator import Validator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from fhirserver.storage.interface import Store

PATH = "/fhir"
REFRESH_SECONDS = 1.0
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


def limits_of(settings: Settings) -> Limits:
    return Limits(
        default_count=settings.default_count,
        max_count=settings.max_count,
        includes=settings.max_includes,
        bundle_entries=settings.max_bundle_entries,
    )


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> str:
    return str(uuid.uuid4())


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
    )


def build(settings: Settings) -> Dispatcher:
    """The ASGI application. Raises StartRefused."""
    problems = settings.problems()
    if problems:
        raise StartRefused("\n".join(problems))
    configure_logging(settings)
    store = open_engine(settings.database)
    origins = settings.cors_origins
    if origins is None:
        origins = ("*",) if settings.auth == "off" else ()
    endpoint = Endpoint(
        origin=Origin(settings.base_url, settings.trusted_proxies, PATH),
        cross_origin=CrossOrigin(origins),
        limits=EndpointLimits(
            settings.max_body_bytes,
            settings.max_url_bytes,
            settings.search_seconds,
            settings.gzip_from,
        ),
        facts=Facts(
            cors=bool(origins),
            security="Open: no authorization (--auth off)" if settings.auth == "off" else "",
        ),
        path=PATH,
    )

    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await store.open()
        tasks: list[asyncio.Task[None]] = []
        try:
            registry = Registry()
            context = context_of(
                store, registry, base_url=settings.base_url or "", limits=limits_of(settings)
            )
            await _refresh(context)
            endpoint.context = context
            tasks.append(asyncio.create_task(_keep_fresh(context)))
            # What was made until now lives as long as the process: the collector may skip it.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            endpoint.context = None
            await store.close()

    return Dispatcher(endpoint, lifespan, pages=lambda: _pages(store), path=PATH)


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
            failing = False
        except Exception as error:  # the store may be away for a while; requests are told
            if not failing:
                _log.warning("refresh failed", error=type(error).__name__)
            failing = True


def _pages(store: Store) -> Any:
    from fhirserver.rest.service import service  # FastAPI takes a quarter of a second to load

    async def ready() -> None:
        async with asyncio.timeout(5):
            await store.get_state("ready")

    return service(ready)


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
