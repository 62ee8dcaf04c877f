"""search over HTTP: by GET and POST, on a type, the system and a compartment.

https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/http.html#vsearch
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhirserver.interaction.search import search as search_interaction
from fhirserver.model import json
from fhirserver.rest import bundle
from fhirserver.rest.answer import Answer
from fhirserver.rest.headers import applied
from fhirserver.rest.outcome import outcome
from fhirserver.rest.representing import shown_part

if TYPE_CHECKING:
    from fhirserver.interaction.search import SearchResult
    from fhirserver.rest.request import Request
    from fhirserver.search.parse import Search


@dataclass(frozen=True, slots=True)
class Understood:
    """What a search request means, kept with a request that is met again; as long as the
    registry is at `epoch`."""

    search: Search
    links: bundle.Links
    epoch: int


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
    ctx = request.ctx
    epoch = ctx.registry.epoch
    known = request.understood
    if known is not None and known.epoch != epoch:
        known = None
    result = await search_interaction(
        ctx,
        types,
        request.search_parameters,
        strict=request.prefer.strict,
        compartment=compartment,
        parsed=None if known is None else known.search,
    )
    if known is None:
        url = f"{ctx.base_url}/{path}" if path else ctx.base_url
        links = bundle.Links(url, result.search.applied, request.parameter("_cursor"))
        known = Understood(result.search, links, epoch)
        request.understood = known
    return Answer(
        200,
        _searchset(request, result, known.links),
        headers=applied("handling", request.prefer.handling),
        touched=(*result.matches, *result.included),
    )


def searchset_of(request: Request, result: SearchResult, url: str) -> bytes:
    """The Bundle of a search's page; `url` is what its links repeat."""
    links = bundle.Links(url, result.search.applied, request.parameter("_cursor"))
    return _searchset(request, result, links)


def _searchset(request: Request, result: SearchResult, links: bundle.Links) -> bytes:
    return bundle.searchset(
        request.ctx.base_url,
        matches=result.matches,
        included=result.included,
        total=result.total,
        links=links.to(result.next),
        timestamp=request.timestamp(),
        outcome=json.encode(outcome(result.issues)) if result.issues else None,
        show=shown_part(result.search.summary, result.search.elements),
    )
