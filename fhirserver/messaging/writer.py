"""Who writes, and under which references they may sign.

With `--auth off` nobody is known: the rules then go by whom the message names as its sender.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from fhirserver.access.caller import Caller, Role
from fhirserver.access.decision import space_open
from fhirserver.access.decision.build import all_of
from fhirserver.access.decision.consents import names_caller, refusal
from fhirserver.access.permit import feeding, select_patient, situation_of
from fhirserver.messaging.message import kind, pair
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Identity, Query

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.access.store import Store
    from fhirserver.interaction.context import Context

CITIZEN_ROLES = frozenset({Role.CITIZEN, Role.PROXY})


@dataclass(frozen=True, slots=True)
class Writer:
    """`open`: not known, by `--auth off`. `signs`: `Type/id` of each capacity they may write in,
    the one they act in now first. `patient`: whose space a citizen or proxy is in. `principals`:
    every capacity of the professional or establishment that a delegate writes for."""

    open: bool = False
    citizen: bool = False
    proxy: bool = False
    signs: tuple[str, ...] = ()
    patient: str = ""
    principals: tuple[str, ...] = ()
    gateway: bool = False  # it came by mail: the gateway has checked what is attached

    def is_party(self, references: tuple[str, ...]) -> bool:
        """Whether one of `references` is the writer, or the citizen whom a proxy acts for."""
        mine = {*self.signs, self.patient} - {""}
        return any(each in mine for each in references)


async def writer_of(ctx: Context) -> Writer:
    caller = ctx.caller
    if caller.role is Role.OPEN:
        return Writer(open=True)
    situation = await _situation(ctx, caller)
    signs = tuple(f"{type}/{id}" for type, id in situation.references)
    if caller.role in CITIZEN_ROLES:
        own = caller.fhir_user if kind(caller.fhir_user) == "Patient" else ""
        patient = f"Patient/{caller.patient}" if caller.patient else own
        return Writer(False, True, caller.role is Role.PROXY, signs, patient)
    return Writer(signs=signs)


async def capacities(ctx: Context, professional: str) -> tuple[str, ...]:
    """Every reference that means the same correspondent: a Practitioner and their roles."""
    if kind(professional) == "Organization":
        return (professional,)
    situation = await _situation(ctx, Caller(Role.PROFESSIONAL, fhir_user=professional))
    found = [f"{type}/{id}" for type, id in situation.persons]
    return tuple(dict.fromkeys([professional, *found]))


async def is_blocked(ctx: Context, professional: str, patient: str) -> bool:
    """Whether the citizen has blocked them: in person, in a role, by the organization they act
    for or a care team. `professional`: the sender; who calls, if they are known."""
    caller = ctx.caller
    if caller.role not in (Role.PROFESSIONAL, Role.SYSTEM):
        caller = await _as_caller(ctx, professional)
    return await _refuses(ctx, caller, patient)


async def is_principal_blocked(ctx: Context, principal: str, patient: str) -> bool:
    """Whether the citizen has blocked them, whoever writes for them."""
    return await _refuses(ctx, await _as_caller(ctx, principal), patient)


async def _refuses(ctx: Context, caller: Caller, patient: str) -> bool:
    situation = await _situation(ctx, caller)
    refused = refusal(situation, names_caller(situation))
    query = Query(("Patient",), all_of(Identity((pair(patient)[1],)), refused))
    return await ctx.as_server.store.count(query, 1) > 0


async def may_feed(ctx: Context, professional: str, patient: str) -> bool:
    """Whether the space is open, and its holder has not opposed that they write into it."""
    situation = await _situation(ctx, await _as_caller(ctx, professional))
    store = cast("Store", ctx.as_server.store)
    return await select_patient(store, pair(patient)[1], all_of(*feeding(situation)))


async def _as_caller(ctx: Context, professional: str) -> Caller:
    organization = await _organization(ctx, professional)
    person = "" if kind(professional) == "Organization" else professional
    return Caller(Role.PROFESSIONAL, fhir_user=person, organization=organization)


async def has_open_space(ctx: Context, writer: Writer) -> bool:
    """Whether the space a citizen or proxy is in is open."""
    situation = await _situation(ctx, ctx.caller)
    store = cast("Store", ctx.as_server.store)
    return await select_patient(store, pair(writer.patient)[1], space_open.expression(situation))


async def _situation(ctx: Context, caller: Caller) -> Situation:
    store = cast("Store", ctx.as_server.store)
    return await situation_of(store, caller, ctx.clock(), ctx.registry, ctx.access)


async def _organization(ctx: Context, professional: str) -> str:
    """Whom a professional acts for when they sign like this."""
    if kind(professional) == "PractitionerRole":
        role = await ctx.as_server.store.read(*pair(professional))
        content = decode_stored((role and role.content) or b"{}")
        professional = str((content.get("organization") or {}).get("reference") or "")
    return professional if kind(professional) == "Organization" else ""
