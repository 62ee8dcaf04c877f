"""The encounters to choose from when an app asks for launch/encounter and no portal named one.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html#standalone-apps. What is
shown is what the person who chooses may see, and is recorded as seen by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.access.audit.trail import Access
from fhirserver.access.caller import Caller, Mode, Role
from fhirserver.errors import FHIRError
from fhirserver.interaction.search import search
from fhirserver.model import json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhirserver.auth.authorization import Authorization
    from fhirserver.interaction.context import Context

    Permitted = Callable[[Context, Caller], Awaitable[Context]]

MOST = 20
_SCOPES = ("patient/Encounter.rs",)


class Visit(msgspec.Struct, frozen=True):
    """An encounter in the words of a list: `when` is a date, `what` its kind and place."""

    id: str
    when: str
    what: str


class Visits:
    """`context`: the server's, None while it is not ready. `permitted`: the same for a caller."""

    def __init__(self, context: Callable[[], Context | None], permitted: Permitted) -> None:
        self._context = context
        self._permitted = permitted

    async def __call__(self, given: Authorization) -> list[Visit]:
        """The newest of the patient's, as whoever is given this may see them."""
        context = self._context()
        if context is None:
            return []
        caller = Caller(
            Role(given.role),
            client=given.client,
            fhir_user=given.fhir_user,
            patient=given.patient,
            scopes=_SCOPES,
            profession=given.profession,
            organization=given.organization,
            app=given.device,
            mode=Mode(given.mode),
            reason=given.reason,
        )
        parameters = [("_sort", "-date"), ("_count", str(MOST)), ("patient", given.patient)]
        try:
            bound = await self._permitted(context, caller)
            found = (await search(bound, ("Encounter",), parameters, strict=True)).matches
        except FHIRError:
            return []  # no right to see any: there is nothing to choose
        if context.audit is not None and found:
            said = Access("search-type", "GET /auth/consent", versions=tuple(found))
            await context.audit.accessed(caller, said)
        return [_visit(json.decode(v.content)) for v in found if v.content is not None]


def _visit(encounter: dict[str, Any]) -> Visit:
    period = encounter.get("period") or {}
    kinds = [encounter.get("serviceType") or {}, *encounter.get("type", [])]
    kind = next(filter(None, map(_text, kinds)), "") or (encounter.get("class") or {}).get(
        "display", ""
    )
    place = (encounter.get("serviceProvider") or {}).get("display", "")
    when = str(period.get("start", "") or period.get("end", ""))[:10]
    return Visit(encounter["id"], when, ", ".join(part for part in (kind, place) if part))


def _text(concept: dict[str, Any]) -> str:
    shown = [coding.get("display", "") for coding in concept.get("coding", [])]
    return str(concept.get("text") or next(filter(None, shown), ""))
