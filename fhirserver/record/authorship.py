"""Whether the caller wrote a document (CSP R.1111-50: corrections by the author alone).

A professional by reference as Practitioner or PractitionerRole, or by a national identifier of a
contained author; a backend service by its organization as author or custodian; a citizen or proxy
by reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import refers
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context

Resource = dict[str, Any]


async def wrote(ctx: Context, document: Resource) -> bool:
    """Always true where nobody is known (`--auth off`)."""
    caller = ctx.caller
    if caller.role is Role.OPEN:
        return True
    named = {_reference(author) for author in document.get("author", ())}
    if caller.role is Role.SYSTEM:
        return caller.organization in {*named, _reference(document.get("custodian"))} - {""}
    own = await _persons(ctx)
    if own & named:
        return True
    return bool(await _identifiers(ctx, own) & _of_contained(document, named))


async def _persons(ctx: Context) -> set[str]:
    """The caller as each resource that stands for the same person."""
    caller = ctx.caller
    own = {caller.fhir_user} - {""}
    if caller.role is Role.CITIZEN and caller.patient:
        own.add(f"Patient/{caller.patient}")
    kind, _, id = caller.fhir_user.partition("/")
    server = ctx.as_server
    if kind == "PractitionerRole":
        version = await server.store.read(kind, id)
        if version is not None and version.content is not None:
            practitioner = _reference(decode_stored(version.content).get("practitioner"))
            own |= {practitioner} - {""}
            kind, _, id = practitioner.partition("/")
    if kind == "Practitioner" and id:
        where = refers("practitioner", ((kind, id),))
        roles = await server.store.search(Query(("PractitionerRole",), where, count=100))
        own |= {f"PractitionerRole/{role.id}" for role in roles.versions}
    return own


async def _identifiers(ctx: Context, own: set[str]) -> set[tuple[str, str]]:
    identities = [
        (kind, id)
        for kind, _, id in (person.partition("/") for person in own)
        if kind in ("Practitioner", "PractitionerRole")
    ]
    if not identities:
        return set()
    versions = await ctx.as_server.store.read_many(identities)
    found: set[tuple[str, str]] = set()
    for version in versions:
        if version.content is not None:
            found |= _identified(decode_stored(version.content))
    return found


def _of_contained(document: Resource, named: set[str]) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for resource in document.get("contained", ()):
        kind = resource.get("resourceType")
        if f"#{resource.get('id')}" in named and kind in ("Practitioner", "PractitionerRole"):
            found |= _identified(resource)
    return found


def _identified(resource: Resource) -> set[tuple[str, str]]:
    return {
        (str(each["system"]), str(each["value"]))
        for each in resource.get("identifier", ())
        if each.get("system") and each.get("value")
    }


def _reference(value: Any) -> str:
    return str(value.get("reference", "")) if isinstance(value, dict) else ""
