"""The one place that wires: settings to store, rooms and ASGI application."""

from fhirserver.app.application import build, create
from fhirserver.app.authorization import configuration_of
from fhirserver.app.context import context_of, limits_of, new_id, now
from fhirserver.app.engines import ENGINES, open_engine
from fhirserver.app.log import configure_logging
from fhirserver.app.permission import access_of
from fhirserver.app.process import environment_of, serve
from fhirserver.app.refusal import StartRefused
from fhirserver.app.services import services_of

__all__ = [
    "ENGINES",
    "StartRefused",
    "access_of",
    "build",
    "configuration_of",
    "configure_logging",
    "context_of",
    "create",
    "environment_of",
    "limits_of",
    "new_id",
    "now",
    "open_engine",
    "serve",
    "services_of",
]
