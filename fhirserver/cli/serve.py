"""`fhirserver serve`: serves FHIR at /fhir."""

from __future__ import annotations

from typing import Any

from fhirserver.cli.configuration import settings, with_every_setting
from fhirserver.cli.failure import Failure


@with_every_setting
def serve(**given: Any) -> None:
    """Serve FHIR at /fhir, starting on an empty store if there is none yet.

    Each option can also be set as FHIRSERVER_… in the environment or in a file .env.
    """
    chosen = settings(**given)
    from fhirserver import app

    try:
        app.serve(chosen)
    except app.StartRefused as refused:
        raise Failure(str(refused)) from None
