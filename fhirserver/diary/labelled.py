"""A computed resource bears the labels of what it rests upon.

Whoever may read a forecast or a programme could conclude to the doses, illnesses and examinations
behind it; without them it would ask for what has been done. So it is computed once, from everything
the citizen may see, and is hidden from whom one of its sources is hidden, when without the source
it would say something else. A source without effect leaves no label.

What is still to be announced to the citizen (INVISIBLE_PATIENT) can't be told by it, and is not to
be asked for again: entries on which it bears are left out until then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.codes import (
    INVISIBLE_TO_PATIENT,
    INVISIBLE_TO_REPRESENTATIVES,
    MASKED,
    RESTRICTED,
    SECRET_CONNECTION,
    V3_CONFIDENTIALITY,
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


def computed(
    record: Sequence[Resource], build: Callable[[Sequence[Resource]], Resource], entries: str
) -> Resource:
    """What `build` makes of the record, with its labels in `meta.security`. `entries`: its element
    that lists what is to be done."""

    def told(held: Sequence[Resource]) -> Resource:
        seen = [one for one in held if INVISIBLE_TO_PATIENT not in labels(one)]
        made = build(seen)
        return made if len(seen) == len(held) else _agreed(made, build(held), entries)

    whole = told(record)
    carried: set[str] = set()
    for hidden in _READERS:
        found = {label for one in record for label in labels(one) & hidden}
        if found - carried and told([one for one in record if not labels(one) & hidden]) != whole:
            carried |= found
    if not carried:
        return whole
    return {**whole, "meta": {"security": [_coding(label) for label in sorted(carried)]}}


def _agreed(made: Resource, known: Resource, entries: str) -> Resource:
    """The entries that say the same with all that is known; where there are none, all of them: the
    list must not be empty."""
    same = [entry for entry in made.get(entries, []) if entry in known.get(entries, [])]
    return {**made, entries: same} if same else made


def is_secret(resource: Mapping[str, Any]) -> bool:
    """Whether representatives are not to know of it: nothing may draw their attention."""
    return bool(labels(resource) & _SECRET)


def _coding(label: str) -> dict[str, str]:
    system = V3_CONFIDENTIALITY if label in (RESTRICTED, VERY_RESTRICTED) else VISIBILITY
    return {"system": system, "code": label}
