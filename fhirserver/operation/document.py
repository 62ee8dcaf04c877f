"""$document: a Composition and everything it leads to, as a document
(https://hl7.org/fhir/R4/operation-composition-document.html).

The document is given as it is, not within a searchset. What a reference leads to and is not there,
or hidden from the caller, is told by an extension of the Composition's entry, once for each.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid, NotSupported, TooCostly
from fhirserver.interaction.create import create
from fhirserver.interaction.read import read
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.references import parse
from fhirserver.operation.call import Made
from fhirserver.operation.parameters import given
from fhirserver.record.profile.document import document as bundled
from fhirserver.record.profile.document import full_url, reach
from fhirserver.record.stored_document import labelled

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.operation.call import Call

MISSING = "http://fhirserver.example/StructureDefinition/document-missing-reference"
_MOST = 2000  # resources in one document


async def document(ctx: Context, call: Call) -> Made:
    """Parameters: `persist` (store it as a Bundle too), and on the type `id`."""
    id, persist = call.id, False
    for name, value in given(call):
        match name:
            case "persist":
                if value not in (True, False, "true", "false"):
                    raise Invalid("persist is true or false.", code="value")
                persist = value in (True, "true")
            case "id" if call.id is None:
                id = _identity(ctx, value)
            case "graph":
                raise NotSupported("$document follows every reference; it takes no graph.")
            case _:
                raise Invalid(f"$document has no parameter {name[:80]} here.")
    if id is None:
        raise Invalid("$document on the type needs the parameter id.", code="required")
    if persist and call.method == "GET":
        raise Invalid("A document is stored by POST, never by GET.", code="not-supported")
    version = await read(ctx, "Composition", id)
    reached = await reach(ctx, [version], most=_MOST, follow=lambda step, type: True)
    if reached.cut:
        raise TooCostly(f"The Composition leads to more than {_MOST} resources.")
    versions = [version, *(found for _, found in sorted(reached.found.items()))]
    bundle = bundled(
        [(full_url(ctx, v), decode_stored(v.content or b"{}")) for v in versions],
        identifier=f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, ctx.new_id())}",
        timestamp=instant(microseconds(ctx.clock())),
    )
    missing = [f"{type}/{id}" + (f"/_history/{v}" if v else "") for type, id, v in reached.missing]
    if missing or reached.elsewhere:
        bundle["entry"][0]["extension"] = [
            {"url": MISSING, "valueUri": text} for text in sorted([*missing, *reached.elsewhere])
        ]
    if not persist:
        return Made(bundle, tuple(versions))
    written = await create(ctx, "Bundle", labelled(bundle))
    return Made(decode_stored(written.version.content or b"{}"), tuple(versions), written.version)


def _identity(ctx: Context, value: Any) -> str:
    text = str(value)
    found = parse(text if "/" in text else f"Composition/{text}", ctx.local_bases)
    if found.kind != "literal" or found.type != "Composition":
        raise Invalid(f"id is that of a Composition of this server, not {text[:80]}.", code="value")
    return found.id
