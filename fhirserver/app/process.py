"""A server process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import structlog

from fhirserver.app.application import build
from fhirserver.app.log import configure_logging
from fhirserver.app.refusal import StartRefused

if TYPE_CHECKING:
    from fhirserver.settings import Settings

_log = structlog.get_logger("fhirserver")


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
