"""Patient/[id]/$calendar-address and $calendar-withdraw: a private address of the citizen's
calendar, and its end (docs/diary.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.diary.appointment import calendar
from fhirserver.errors import Forbidden
from fhirserver.interaction.read import read
from fhirserver.operation.parameters import answer

_OWNERS = frozenset({Role.CITIZEN, Role.PROXY, Role.OPEN})

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.operation.call import Call


async def calendar_address(ctx: Context, call: Call) -> Resource:
    """Parameters with the address; it is shown this once."""
    patient = await _own(ctx, call)
    secret = await calendar.open_feed(ctx, patient)
    root = ctx.base_url.removesuffix("/fhir")
    return answer(address=("valueUrl", f"{root}/calendar/{secret}.ics"))


async def calendar_withdraw(ctx: Context, call: Call) -> Resource:
    """Every address given for this patient opens nothing from now on."""
    patient = await _own(ctx, call)
    withdrawn = await calendar.close_feeds(ctx, patient)
    return answer(withdrawn=("valueInteger", withdrawn))


async def _own(ctx: Context, call: Call) -> str:
    """The patient, for who makes the choices in their space: the address outlasts a token, so it
    is not for apps, nor for carers."""
    assert call.id is not None
    if ctx.caller.role not in _OWNERS:
        raise Forbidden("The calendar's address is for the citizen and who represents them.")
    ctx.store.demand("r", "Appointment")
    ctx.store.demand("c", "Consent")
    return (await read(ctx, "Patient", call.id)).id
