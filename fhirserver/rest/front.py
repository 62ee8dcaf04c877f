"""The page a browser gets at the FHIR base URL: what is held here."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from fhirserver import __version__
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.rest.answer import Answer
from fhirserver.rest.page import front_page, language_of
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.access.store import PermittedStore
    from fhirserver.rest.request import Request

_SECONDS = 30.0  # counts may be so old
_PATIENCE = 2.0  # and counting all types may take so long


class FrontPage:
    """Keeps the counts for a while: they cost a query for each resource type."""

    def __init__(self) -> None:
        self._counts: dict[str, int | None] = {}
        self._until = 0.0

    async def answer(self, request: Request) -> Answer:
        if time.monotonic() >= self._until:
            self._counts = await _counts(request.ctx.store)
            self._until = time.monotonic() + _SECONDS
        made = front_page(
            base_url=request.ctx.base_url,
            counts=self._counts,
            language=language_of(request.header(b"accept-language") or ""),
            version=__version__,
        )
        return Answer(
            200, made.body, headers=tuple(made.headers), content_type="text/html; charset=utf-8"
        )


async def _counts(store: PermittedStore) -> dict[str, int | None]:
    """Number of resources of each type; None where counting took too long."""
    counts: dict[str, int | None] = dict.fromkeys(sorted(RESOURCE_TYPES))
    try:
        async with asyncio.timeout(_PATIENCE):
            for type_ in counts:
                counts[type_] = await store.count(Query((type_,)))
    except TimeoutError:
        pass
    return counts
