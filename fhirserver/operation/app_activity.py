"""$app-activity: what an app has done in the space of a citizen.

`GET Patient/[id]/$app-activity?app=Device/x` answers the AuditEvents of that app about this person,
the newest first, as a searchset with pages. It is a search of the caller's own, so that nobody sees
by it what `AuditEvent?patient=…` does not show. Parameters: `app` (of the catalogue), `start` and
`end` (dates), `_count`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid
from fhirserver.interaction.read import read
from fhirserver.interaction.search import search
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.interaction.search import SearchResult
    from fhirserver.operation.call import Call


_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


async def app_activity(ctx: Context, call: Call) -> SearchResult:
    assert call.id is not None
    client = ""
    asked: list[tuple[str, str]] = [("patient", f"Patient/{call.id}"), ("_sort", "-date")]
    applied: list[tuple[str, str]] = []
    for name, value in given(call):
        text = value.get("reference", "") if isinstance(value, dict) else str(value)
        if name not in ("_cursor", "_format", "_pretty"):
            applied.append((name, text))
        match name:
            case "app":
                type, _, client = text.partition("/")
                if type != "Device" or not client or _ID.fullmatch(client) is None:
                    raise Invalid(f"app is a Device: {text[:80]}", code="value")
            case "start":
                asked.append(("date", f"ge{text}"))
            case "end":
                asked.append(("date", f"le{text}"))
            case "_count" | "_cursor" | "_total" | "_summary" | "_elements":
                asked.append((name, text))
            case "_format" | "_pretty":
                pass
            case _:
                raise Invalid(f"$app-activity has no parameter {name[:80]}.")
    if not client:
        raise Invalid("The parameter 'app' is needed.", code="required")
    await read(ctx, "Patient", call.id)
    ctx.store.demand_holder(call.id)
    # The client id of an app of the catalogue is the id of its Device.
    asked.append(("agent:identifier", client))
    found = await search(ctx, ("AuditEvent",), asked, strict=True)
    return replace(found, search=replace(found.search, applied=tuple(applied)))
