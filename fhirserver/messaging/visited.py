"""A pharmacy that the citizen has been to and that takes messages: they may write to it first.

Which organizations are pharmacies, and what shows a visit, stands in
terminology/messaging/visited-pharmacies.json.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import msgspec

from fhirserver.access.decision.build import all_of, refers
from fhirserver.messaging.gateway.addresses import mailbox_of
from fhirserver.messaging.message import kind, pair
from fhirserver.model import shipped
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context


class Pharmacies(msgspec.Struct, frozen=True):
    """`types`: codes of Organization.type by system; `visits`: resource type and the search
    parameter of it that names the pharmacy."""

    version: str
    date: str
    source: str
    types: dict[str, frozenset[str]]
    visits: dict[str, str]


@cache
def pharmacies() -> Pharmacies:
    return msgspec.json.decode(
        shipped.read("terminology", "messaging", "visited-pharmacies.json"), type=Pharmacies
    )


async def takes_first_message(ctx: Context, recipient: str, patient: str) -> bool:
    if kind(recipient) != "Organization" or not await _is_pharmacy(ctx, recipient):
        return False
    if await mailbox_of(ctx, recipient) is None:
        return False
    for type, parameter in pharmacies().visits.items():
        where = all_of(refers("patient", (pair(patient),)), refers(parameter, (pair(recipient),)))
        if await ctx.as_server.store.count(Query((type,), where), 1):
            return True
    return False


async def _is_pharmacy(ctx: Context, organization: str) -> bool:
    version = await ctx.as_server.store.read(*pair(organization))
    content = decode_stored((version and version.content) or b"{}")
    return any(
        coding.get("code") in pharmacies().types.get(str(coding.get("system")), ())
        for concept in content.get("type") or []
        for coding in concept.get("coding") or []
    )
