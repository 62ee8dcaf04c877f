"""Whom a new document names as its author.

Professionals and services publish for each other (a secretary for a doctor, a hospital for its
staff). What a citizen, or who acts for them, adds to the record is told as theirs: it never looks
like a professional's (CSP R.1111-50; DMP: documents added by the patient).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.access.decision.national_numbers import numbers_of
from fhirserver.errors import Forbidden, Issue

if TYPE_CHECKING:
    from fhirserver.record.view import View

Resource = dict[str, Any]

_OWN = frozenset({Role.CITIZEN, Role.PROXY})


async def authored(view: View, document: Resource) -> Resource:
    """The document with the caller as author where it names none. Raises Forbidden."""
    caller = view.ctx.caller
    if not document.get("author"):
        if caller.role is Role.OPEN or not caller.fhir_user:
            return document
        return {**document, "author": [{"reference": caller.fhir_user}]}
    await check_own(view, document, "DocumentReference")
    return document


async def check_own(view: View, document: Resource, place: str) -> None:
    """Refuse a document or Composition of a citizen's that names somebody else as author."""
    number = await first_other(view, document)
    if number is not None:
        text = "What a citizen adds names the citizen, or who acts for them, as author."
        places = (f"{place}.author[{number}]",)
        raise Forbidden(issues=(Issue("error", "forbidden", text, places),))


async def first_other(view: View, document: Resource) -> int | None:
    """The place of the first author who is not the citizen who calls, or of their side."""
    if view.ctx.caller.role in _OWN:
        for number, author in enumerate(document.get("author", ())):
            if not await _is_own(view, document, author):
                return number
    return None


async def _is_own(view: View, document: Resource, author: Resource) -> bool:
    """The caller, the patient they act for, or a device of theirs."""
    caller = view.ctx.caller
    reference = str(author.get("reference", ""))
    if not reference.startswith("#"):
        identity = view.identity(author)
        if identity is None:
            return False
        own = {caller.fhir_user, caller.app, f"Patient/{caller.patient}"}
        return "/".join(identity) in own or identity[0] == "Device"
    for contained in document.get("contained", ()):
        if f"#{contained.get('id')}" == reference:
            if contained.get("resourceType") == "Device":
                return True
            patient = await view.patient(document)
            return (
                contained.get("resourceType") == "Patient"
                and patient is not None
                and bool(numbers_of(contained) & numbers_of(patient))
            )
    return False
