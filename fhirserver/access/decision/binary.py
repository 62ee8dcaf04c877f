"""Binaries: seen through the documents that carry them (https://hl7.org/fhir/R4/binary.html).

A Binary that documents point to (DocumentReference.content.attachment.url) is visible when one of
them is, and none of them is hidden: a second document cannot lay open what a first one hides. One
that no document points to is its holder's, by Binary.securityContext.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import EVERYTHING, all_of, any_of, negate, refers
from fhirserver.search.expression import Has

if TYPE_CHECKING:
    from fhirserver.search.expression import Expression


def carried(documents: Expression) -> Expression:
    return Has("DocumentReference", "attachment", documents)


def visible(documents: Expression, holder: str | None) -> Expression:
    """`documents` selects the DocumentReferences the caller sees."""
    shown = all_of(carried(documents), negate(carried(negate(documents))))
    if holder is None:
        return shown
    loose = all_of(refers("security-context", (("Patient", holder),)), negate(carried(EVERYTHING)))
    return any_of(shown, loose)
