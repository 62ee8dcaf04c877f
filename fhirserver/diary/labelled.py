"""A computed resource bears the labels of what it rests upon.

Whoever may read a forecast or a programme could conclude to the doses, illnesses and examinations
behind it; without them it would ask for what has been done. So it is computed once, from everything
the citizen may see, and is hidden from whom one of its sources is hidden, when without the source
it would say something else. A source without effect leaves no label.

What is still to be announced to the citizen (INVISIBLE_PATIENT) has no part in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.codes import (
    INVISIBLE_TO_PATIENT,
    INVISIBLE_TO_REPRESENTATIVES,
    MASKED,
    RESTRICTED,
    SECRET_CONNECTION,
    VERY_RESTRICTED,
    VISIBILITY,
)
from fhirserver.access.decision.guards import labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fhirserver.interaction.context import Resource

#: What is hidden from health professionals, from other professions, and from representatives.
_READERS = (
    frozenset({MASKED, VERY_RESTRICTED}),
    frozenset({MASKED, VERY_RESTRICTED, RESTRICTED}),
    frozenset({INVISIBLE_TO_REPRESENTATIVES, SECRET_CONNECTION}),
)
_SECRET = _READERS[2]
_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"


def computed(
    record: Sequence[Resource], build: Callable[[Sequence[Resource]], Resource]
) -> Resource:
    """What `build` makes of the record, with its labels in `meta.security`."""
    seen = [one for one in record if INVISIBLE_TO_PATIENT not in labels(one)]
    whole = build(seen)
    carried: set[str] = set()
    for hidden in _READERS:
        found = {label for one in seen for label in labels(one) & hidden}
        if found - carried and build([one for one in seen if not labels(one) & hidden]) != whole:
            carried |= found
    if not carried:
        return whole
    return {**whole, "meta": {"security": [_coding(label) for label in sorted(carried)]}}


def is_secret(resource: Mapping[str, Any]) -> bool:
    """Whether representatives are not to know of it: nothing may draw their attention."""
    return bool(labels(resource) & _SECRET)


def _coding(label: str) -> dict[str, str]:
    system = _CONFIDENTIALITY if label in (RESTRICTED, VERY_RESTRICTED) else VISIBILITY
    return {"system": system, "code": label}
