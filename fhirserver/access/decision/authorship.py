"""Who wrote a document, read from the document itself.

By reference to the author; or by a national number (RPPS, ADELI, FINESS, INS …) of a contained
author or of the reference's identifier, for documents of the record carry their authors
(PDSm: `contained` 1..*). A backend service also by the custodian. `ownership.authored` says the
same as an expression.

Source: CSP R.1111-50 (corrections and deletion by the author alone).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.access.decision.national_numbers import number_of, numbers_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fhirserver.access.decision.situation import Situation


def wrote(situation: Situation, document: Mapping[str, Any]) -> bool:
    """Whether the caller is an author of this DocumentReference."""
    named: list[Any] = [*_listed(document.get("author"))]
    if situation.caller.role is Role.SYSTEM:
        named.append(document.get("custodian"))
    own = {f"{type}/{id}" for type, id in situation.authors}
    contained = {f"#{one.get('id')}": one for one in _listed(document.get("contained"))}
    for reference in named:
        if not isinstance(reference, dict):
            continue
        if reference.get("reference") in own:
            return True
        if situation.numbers & number_of(reference.get("identifier")):
            return True
        for person in _contained(reference, contained):
            if situation.numbers & numbers_of(person):
                return True
            practitioner = person.get("practitioner")
            if isinstance(practitioner, dict) and practitioner.get("reference") in own:
                return True
    return False


def _contained(reference: dict[str, Any], contained: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The contained author, and the person behind a role."""
    found = contained.get(str(reference.get("reference", "")))
    if found is None:
        return
    yield found
    practitioner = found.get("practitioner")
    if isinstance(practitioner, dict):
        behind = contained.get(str(practitioner.get("reference", "")))
        if behind is not None:
            yield behind


def _listed(value: Any) -> Iterator[dict[str, Any]]:
    for each in value if isinstance(value, list) else ():
        if isinstance(each, dict):
            yield each
