"""$erase-space: the citizen, or who represents them by law, has their space erased for good.

`POST Patient/[id]/$erase-space` without parameters changes nothing: it answers what would be
erased and a `confirmation` code. With that code as parameter `confirm`, within ten minutes and by
the same person, everything is erased, or, where the operator gives days to take that back, closed
until then. The answer is the Task that records it; it is completed when nothing is left
(docs/space.md). Source: CSP R.1111-36.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec

from fhirserver.errors import Invalid, NotFound, Unprocessable
from fhirserver.model.dates import instant, microseconds
from fhirserver.operation.parameters import answer, given
from fhirserver.space.erasure import close, erase_current, order
from fhirserver.space.holdings import held

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version
    from fhirserver.operation.call import Call

_TIME = timedelta(minutes=10)


class _Asked(msgspec.Struct):
    """What waits for its confirmation; of the code only the hash."""

    code: str
    until: int
    by: str


async def erase_space(ctx: Context, call: Call) -> Resource | Version:
    assert call.id is not None
    code = None
    for name, value in given(call):
        if name != "confirm" or not isinstance(value, str):
            raise Invalid("The one parameter of $erase-space is the string 'confirm'.")
        code = value
    ctx.store.demand_holder(call.id, "d")  # an app that may only read cannot have it erased
    version = await ctx.store.read("Patient", call.id)
    if version is None or version.content is None:
        raise NotFound(f"Patient/{call.id[:64]} is not known.")
    if code is None:
        return await _ask(ctx, call.id)
    await _confirmed(ctx, call.id, code)
    server = ctx.as_server
    days = ctx.limits.erasure_days
    task = await order(server, call.id, "express-request", days)
    await close(server, call.id)
    if days:
        return task
    await erase_current(server, call.id)
    return task


async def _ask(ctx: Context, patient: str) -> Resource:
    code = secrets.token_urlsafe(9)
    until = ctx.clock() + _TIME
    asked = _Asked(_hash(code), microseconds(until), ctx.caller.fhir_user)
    await ctx.as_server.store.set_state(_name(patient), msgspec.json.encode(asked))
    resources = documents = 0
    async for version in held(ctx, patient):
        resources += 1
        documents += version.type == "DocumentReference"
    return answer(
        confirmation=("valueString", code),
        expires=("valueDateTime", instant(microseconds(until))),
        resources=("valueInteger", resources),
        documents=("valueInteger", documents),
    )


async def _confirmed(ctx: Context, patient: str, code: str) -> None:
    """Raises Unprocessable. A code is good once."""
    store = ctx.as_server.store
    state = await store.get_state(_name(patient))
    asked = msgspec.json.decode(state, type=_Asked) if state else None
    now = microseconds(ctx.clock())
    if (
        asked is None
        or asked.until < now
        or asked.by != ctx.caller.fhir_user
        or not hmac.compare_digest(asked.code, _hash(code))
    ):
        raise Unprocessable("The confirmation is not the one given, or too old; ask again.")
    await store.set_state(_name(patient), None)


def _name(patient: str) -> str:
    return f"space-erasure/{patient}"


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
