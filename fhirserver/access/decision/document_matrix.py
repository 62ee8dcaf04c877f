"""Rule 4: the profession may read this type of document.

terminology/access/document-matrix.json holds the published table (profession × document type). A
type that the table does not know is refused, and so is a document with any type code that the
profession may not read. Structured data follow the document type that usually carries them
(structured-types.json, this project's own assignment). A List follows the documents it names.

Source: order of 26 October 2023 (JORF 29 October 2023), table in force in September 2025.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import (
    EVERYTHING,
    NOTHING,
    all_of,
    any_of,
    negate,
    token,
    truth,
)
from fhirserver.access.decision.tables import matrix, structured_types
from fhirserver.search.expression import Chain

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression

NAME = "document-matrix"
PASSED, REFUSED = "profession-reads-this-type", "profession-does-not-read-this-type"


def expression(situation: Situation, type: str) -> Expression:
    tables = structured_types()
    if type == "List":
        documents = expression(situation, "DocumentReference")
        return negate(Chain("item", ("DocumentReference",), negate(documents)))
    if type in tables.without_matrix:
        return EVERYTHING
    profession = situation.profession
    if profession is None:
        return NOTHING
    if type in tables.documents:
        refused = sorted(matrix().types - profession.read)
        # Bundle.type is another thing: document, transaction …
        code = "document-type" if type == "Bundle" else "type"
        known = token(code, *sorted(profession.read))
        return all_of(known, negate(token(code, *refused)))
    structured = tables.by_document_type.get(type)
    if structured is None:
        return NOTHING
    readable = {
        category: not profession.read.isdisjoint(documents)
        for category, documents in structured.category.items()
    }
    default = not profession.read.isdisjoint(structured.documents)
    if not readable or all(value == default for value in readable.values()):
        return truth(default)
    refused = [category for category, value in readable.items() if not value]
    named = token("category", *[category for category, value in readable.items() if value])
    anything = EVERYTHING if default else named
    return all_of(any_of(anything, named), negate(token("category", *refused)))
