"""Whose data a Binary is: of the patients whose documents carry it
(https://hl7.org/fhir/R4/binary.html), and of the one its securityContext names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.decision.build import refers
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.access.audit.subject import Subjects
    from fhirserver.model.version import Version
    from fhirserver.storage.interface import Store

_DOCUMENTS = 100  # looked at of those that carry one Binary


async def subjects_of(
    store: Store, subjects: Subjects, version: Version
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """As `Subjects.of`, of a Binary too."""
    if version.type != "Binary":
        return subjects.of(version)
    carried = refers("attachment", (("Binary", version.id),))
    page = await store.search(Query(("DocumentReference",), carried, count=_DOCUMENTS))
    patients: dict[str, None] = {}
    labels: set[str] = set()
    for document in page.versions:
        found, hiding = subjects.of(document)
        patients.update(dict.fromkeys(found))
        labels.update(hiding)
    if not page.versions and version.content is not None:
        # Only what no document carries is its holder's.
        context = decode_stored(version.content).get("securityContext")
        if isinstance(context, dict):
            patients.update(dict.fromkeys(subjects.named(context)))
    return tuple(patients), tuple(sorted(labels))
