"""Whether a space is open: nobody is reminded in a closed one, and its calendar is not given out,
whoever has the address. As rule 1 of docs/access.md: `Patient.active`, and no closing in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, in_force, refers, token
from fhirserver.access.decision.codes import ACT_CODE, CONSENT_SCOPE, OPT_OUT, PATIENT_PRIVACY
from fhirserver.model.dates import microseconds
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context


async def holder_of_open_space(ctx: Context, patient: str) -> dict[str, Any] | None:
    """The Patient whose space is open, else None."""
    version = await ctx.as_server.store.read("Patient", patient)
    if version is None or version.content is None:
        return None
    holder = decode_stored(version.content)
    if holder.get("active") is False:
        return None
    closing = all_of(
        refers("patient", (("Patient", patient),)),
        token("status", "active"),
        token("scope", PATIENT_PRIVACY, system=CONSENT_SCOPE),
        token("category", OPT_OUT, system=ACT_CODE),
        in_force("period", microseconds(ctx.clock())),
    )
    if await ctx.as_server.store.count(Query(("Consent",), closing, count=1), 1):
        return None
    return holder
