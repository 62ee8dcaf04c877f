"""search over HTTP: by GET and POST, on a type, the system and a compartment.

https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/http.html#vsearch
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.interaction.search import search as search_interaction
from fhirserver.model import json
from fhirserver.rest import bundle
from fhirserver.rest.answer import Answer
from fhirserver.rest.outcome import outcome
from fhirserver.rest.representing import shown_part

if TYPE_CHECKING:
    from fhirserver.interaction.search import SearchResult
    from fhirserver.rest.request import Request


async def search_type(request: Request) -> Answer:
    return await _search(request, (request.segments[0],), None, request.segments[0])


async def search_system(request: Request) -> Answer:
    return await _search(request, (), None, "")


async def search_compartment(request: Request) -> Answer:
    name, id_, inner = request.segments[:3]
    types = () if inner == "*" else (inner,)
    return await _search(request, types, (name, id_), f"{name}/{id_}/{inner}")


async def _search(
    request: Request, types: tuple[str, ...], compartment: tuple[str, str] | None, path: str
) -> Answer:
    result = await search_interaction(
        request.ctx,
        types,
        request.search_parameters,
        strict=request.prefer.strict,
        compartment=compartment,
    )
    base = request.ctx.base_url
    return Answer(200, searchset_of(request, result, f"{base}/{path}" if path else base))


def searchset_of(request: Request, result: SearchResult, url: str) -> bytes:
    """The Bundle of a search's page; `url` is what its links repeat."""
    search = result.search
    links = bundle.links(url, search.applied, request.parameter("_cursor"), result.next)
    return bundle.searchset(
        request.ctx.base_url,
        matches=result.matches,
        included=result.included,
        total=result.total,
        links=links,
        timestamp=request.timestamp(),
        outcome=json.encode(outcome(result.issues)) if result.issues else None,
        show=shown_part(search.summary, search.elements),
    )
