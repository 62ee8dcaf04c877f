"""Mail addresses and whom they are: a citizen's is INS@domain, a professional's the MSSanté address
among their telecoms (extension fr-core-contact-point-email-type)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import all_of, any_of, token
from fhirserver.access.decision.codes import INS
from fhirserver.messaging.message import pair
from fhirserver.model.extensions import extensions
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context

EMAIL_TYPE = "https://hl7.fr/ig/fhir/core/StructureDefinition/fr-core-contact-point-email-type"
MSSANTE = "MSSANTE"
#: Systems of identities that real people have; the others are for tests and demonstrations.
OFFICIAL = frozenset(INS[:2])
_INS = re.compile(r"[0-9]{6}[0-9AB][0-9]{8}")
_MOST = 5


def ins_of(address: str, domain: str) -> str:
    """The INS in a citizen's address; empty when it is none."""
    local, _, at = address.rpartition("@")
    matricule = local.upper()
    return matricule if at.lower() == domain.lower() and _INS.fullmatch(matricule) else ""


async def patient_of(ctx: Context, ins: str) -> str | None:
    """The one Patient with that national identifier."""
    where = any_of(*(token("identifier", ins, system=system) for system in INS))
    page = await ctx.as_server.store.search(Query(("Patient",), where, count=2))
    found = page.versions
    return f"Patient/{found[0].id}" if len(found) == 1 else None


async def national_identifier(ctx: Context, patient: str) -> tuple[str, str] | None:
    """(system, INS) of a Patient, the official one first."""
    content = await _read(ctx, patient)
    identifiers = {
        i.get("system"): str(i.get("value") or "") for i in content.get("identifier", [])
    }
    return next(((s, identifiers[s]) for s in INS if identifiers.get(s)), None)


async def professional_of(ctx: Context, address: str) -> str | None:
    """Who has this MSSanté address: an Organization, a PractitionerRole or a Practitioner."""
    where = all_of(token("email", *dict.fromkeys((address, address.lower()))))
    for type in ("Practitioner", "PractitionerRole", "Organization"):
        page = await ctx.as_server.store.search(Query((type,), where, count=_MOST))
        for version in page.versions:
            content = decode_stored(version.content or b"{}")
            mailboxes = {each.lower() for each in _mailboxes(content)}
            if content.get("active", True) and address.lower() in mailboxes:
                return f"{type}/{version.id}"
    return None


async def mailbox_of(ctx: Context, professional: str) -> str | None:
    """The MSSanté address of a recipient: their own, that of the person in the role, or of the
    organization the role is in."""
    content = await _read(ctx, professional)
    found = _mailboxes(content)
    for name in ("practitioner", "organization"):
        if not found and content.get(name):
            found = _mailboxes(await _read(ctx, str(content[name].get("reference") or "")))
    return found[0] if found else None


async def _read(ctx: Context, reference: str) -> dict[str, Any]:
    type, id = pair(reference)
    if not id:
        return {}
    version = await ctx.as_server.store.read(type, id)
    return decode_stored((version and version.content) or b"{}")


def _mailboxes(content: dict[str, Any]) -> list[str]:
    return [
        str(point.get("value") or "")
        for point in content.get("telecom") or []
        if point.get("system") == "email"
        and point.get("use") != "old"
        and any(
            (e.get("valueCoding") or {}).get("code") == MSSANTE
            for e in extensions(point, EMAIL_TYPE)
        )
    ]
