"""A document Bundle that is stored: it keeps what it was assembled as
(https://hl7.org/fhir/R4/documents.html, "the document bundle is immutable").

What it holds was readable to who stored it. So it bears the labels of what it holds, and is read
by the rules of a document of the Composition's type (docs/access.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.access.decision.codes import CONFIDENTIALITY, HIDING, V3_CONFIDENTIALITY
from fhirserver.errors import Issue, MethodNotAllowed
from fhirserver.record.author import check_own, first_other
from fhirserver.record.view import resource_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.interaction.context import Draft
    from fhirserver.record.view import View

Resource = dict[str, Any]


def labelled(bundle: Resource) -> Resource:
    """The document with each label that hides something in it, and the highest confidentiality."""
    found: dict[str, Resource] = {}
    highest: Resource | None = None
    for entry in bundle["entry"]:
        for coding in _labels(entry["resource"]):
            code = coding.get("code")
            if code in HIDING:
                found.setdefault(str(code), coding)
            elif code in CONFIDENTIALITY and (highest is None or _level(coding) > _level(highest)):
                highest = coding
    security = [found[code] for code in sorted(found)]
    if highest is not None and _level(highest) > CONFIDENTIALITY.index("N"):
        security.append(highest)
    if not security:
        return bundle
    meta = {**bundle.get("meta", {}), "security": security}
    return {"resourceType": bundle["resourceType"], "meta": meta, **bundle}


def _level(coding: Resource) -> int:
    return CONFIDENTIALITY.index(coding["code"])


def _labels(resource: Resource) -> Iterator[Resource]:
    yield from resource.get("meta", {}).get("security", ())
    for concept in resource.get("securityLabel", ()):
        yield from concept.get("coding", ())
    if resource.get("resourceType") == "Composition" and "confidentiality" in resource:
        yield {"system": V3_CONFIDENTIALITY, "code": resource["confidentiality"]}


async def check_assembled(view: View, draft: Draft) -> None:
    """Refuse a citizen's document that says a professional wrote it, unless it is made of what is
    stored here and nothing else, as `$document` does."""
    bundle = draft.resource or {}
    composition = (bundle.get("entry") or [{}])[0].get("resource", {})
    if bundle.get("type") != "document" or await first_other(view, composition) is None:
        return
    store = view.ctx.as_server.store
    for entry in bundle["entry"]:
        resource = entry.get("resource", {})
        named = (str(resource.get("resourceType")), str(resource.get("id")))
        number = str(resource.get("meta", {}).get("versionId"))
        known = number.isdecimal() and len(number) < 10
        version = await store.vread(*named, int(number)) if known else None
        if resource_of(version) != resource:
            await check_own(view, composition, "Bundle.entry[0].resource")


async def check_unchanged(view: View, draft: Draft) -> None:
    """Refuse a change of anything but `meta`. Where nobody is known (`--auth off`) Bundles are
    stored as FHIR has it."""
    if view.ctx.caller.role is Role.OPEN or draft.resource is None:
        return
    before = resource_of(await view.stored((draft.type, draft.id)))
    if before is None or before.get("type") != "document":
        return
    changed = sorted(
        name
        for name in {*before, *draft.resource} - {"meta", "id", "text"}
        if before.get(name) != draft.resource.get(name)
    )
    if changed:
        text = "A document that is stored does not change; store another one."
        places = tuple(f"Bundle.{name}" for name in changed)
        raise MethodNotAllowed(issues=(Issue("error", "not-supported", text, places),))
