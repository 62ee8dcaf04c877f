"""capabilities over HTTP (https://hl7.org/fhir/R4/http.html#capabilities)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid
from fhirserver.interaction.capabilities import MODES
from fhirserver.interaction.capabilities import capabilities as capabilities_interaction
from fhirserver.model import json
from fhirserver.operation import OPERATIONS
from fhirserver.rest.answer import Answer
from fhirserver.rest.representing import part_of_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.rest.request import Request

_made: dict[tuple[object, ...], tuple[bytes, str]] = {}


async def capabilities(request: Request) -> Answer:
    """The statement, made once for each state of the registry."""
    mode = request.parameter("mode") or "full"
    if mode not in MODES:
        raise Invalid(f"mode is full, normative or terminology, not “{mode[:40]}”")
    ctx = request.ctx
    key = (
        id(ctx.registry),
        ctx.registry.epoch,
        ctx.base_url,
        mode,
        request.facts,
        ctx.store.capabilities,
        ctx.audit is not None,
    )
    found = _made.get(key)
    if found is None:
        resource = capabilities_interaction(
            ctx,
            mode=mode,
            operations=OPERATIONS.values(),
            cors=request.facts.cors,
            security=request.facts.security,
            oauth=request.facts.oauth,
            hosting=request.facts.hosting,
        )
        content = json.encode(resource)
        # Not the date: the statement of another process, or after a restart, is the same one.
        stated = json.encode({k: v for k, v in resource.items() if k != "date"})
        tag = hashlib.blake2b(stated, digest_size=12).hexdigest()
        if len(_made) >= 16:
            _made.clear()
        found = _made[key] = (content, f'W/"{tag}"')
    content, etag = found
    if (show := part_of_read(request)) is not None:
        content, etag = _part(found, show, request)
    headers = ((b"etag", etag.encode()),)
    asked = request.header(b"if-none-match")
    if asked is not None and etag in (tag.strip() for tag in asked.split(",")):
        return Answer(304, headers=headers)
    return Answer(200, content, headers=headers)


def _part(
    made: tuple[bytes, str], show: Callable[[bytes], bytes], request: Request
) -> tuple[bytes, str]:
    """What `_summary` or `_elements` leave of a statement, which has a tag of its own."""
    content, etag = made
    asked = [p for p in request.parameters if p[0] in ("_summary", "_elements")]
    part = hashlib.blake2b(repr(asked).encode(), digest_size=4).hexdigest()
    return show(content), f'{etag[:-1]}-{part}"'
