"""The authorization server over HTTP.

Everything is said in absolute URLs of the configuration; neither Host nor X-Forwarded-* changes
what is issued or where a browser is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter

from fhirserver.auth.browsing import Browsing
from fhirserver.auth.discovered import Discovered
from fhirserver.auth.token_endpoints import TokenEndpoints

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.auth.server import AuthorizationServer


def router(server: Callable[[], AuthorizationServer], fhir_path: str = "/fhir") -> APIRouter:
    """The endpoints. `server` gives the authorization server once the store is open."""
    made = APIRouter()
    Discovered(server).add(made, fhir_path)
    TokenEndpoints(server).add(made)
    Browsing(server).add(made)
    return made
