"""Whom a search for AuditEvents is about, so that only their part of the log need be looked at.

A reader must find every trace of them, also while the log grows faster than events are made of it.
Of what is not yet made only the records that can be among the answers are made out of turn. A
search can show events as its matches and also by a chain or `_has` through them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Chain,
    Compare,
    Either,
    Has,
    Match,
    Nothing,
    OfType,
    nodes,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.access.audit.record import Record
    from fhirserver.search.expression import Expression, Test

    #: References, and chains that lead to the resources meant; None where it cannot be told.
    Names = frozenset[str | Chain] | None

TYPE = "AuditEvent"
#: Reference parameters of AuditEvent whose values are in the record.
_PARAMETERS = frozenset({"patient", "entity", "agent"})


def concerned(types: tuple[str, ...], where: Expression) -> tuple[Names, ...]:
    """By a search of `types` (none: of all). Of one of these sets every event that can show names
    one; without a set none can show."""
    found = tuple(_beyond(where))
    if not types or TYPE in types:
        return (_named(where), *found)
    return found


def _beyond(expression: Expression) -> Iterator[Names]:
    """Of events that are not the matches but lead to them."""
    for node in nodes(expression):
        match node:
            case Chain(_, types, target):
                if not types or TYPE in types:
                    yield _named(target)
                yield from _beyond(target)
            case Has(type, _, source):
                if type == TYPE:
                    yield _named(source)
                yield from _beyond(source)
            case _:
                pass


def concerns(record: Record, names: frozenset[str]) -> bool:
    """Whether the event of a record can name one of `names`."""
    if not record.patient and (record.status >= 400 or _binaries(record)):
        return True  # whom it is about is found out when the event is made
    return (
        f"Patient/{record.patient}" in names
        or record.user in names
        or record.organization in names
        or any(entity.partition("/_history/")[0] in names for entity in record.entities)
    )


def _binaries(record: Record) -> bool:
    return any(entity.startswith("Binary/") for entity in record.entities)


def _named(expression: Expression) -> Names:
    match expression:
        case All(parts):
            found = [names for names in map(_named, parts) if names is not None]
            return min(found, key=_cost) if found else None
        case AnyOf(parts) if parts:
            return _union([_named(part) for part in parts])
        case OfType(types):
            return None if TYPE in types else frozenset()
        case Nothing():
            return frozenset()
        case Match(param, _, test) if param in _PARAMETERS:
            return _references(test)
        case Chain(param, types, _) if param in _PARAMETERS and types == ("Patient",):
            return frozenset({expression})
        case _:
            return None


def _cost(names: frozenset[str | Chain]) -> tuple[int, int]:
    return sum(isinstance(name, Chain) for name in names), len(names)


def _union(each: list[Names]) -> Names:
    known = [names for names in each if names is not None]
    return frozenset().union(*known) if len(known) == len(each) else None


def _references(test: Test) -> Names:
    match test:
        case Either(tests):
            return _union([_references(one) for one in tests])
        case Both(tests):
            equal = {t.field: t.value for t in tests if isinstance(t, Compare) and t.op == "eq"}
            type, id = equal.get("type"), equal.get("id")
            return frozenset({f"{type}/{id}"}) if type and id else None
        case _:
            return None
