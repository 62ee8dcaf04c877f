"""Whom a search for AuditEvents is about, so that only their part of the log need be looked at.

A reader must find every trace of them, also while the log grows faster than events are made of it.
Of what is not yet made only the records that can be among the answers are made out of turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.search.expression import All, AnyOf, Both, Compare, Either, Match

if TYPE_CHECKING:
    from fhirserver.access.audit.record import Record
    from fhirserver.search.expression import Expression, Query, Test

#: Reference parameters of AuditEvent whose values are in the record.
_PARAMETERS = frozenset({"patient", "entity", "agent"})


def concerned(query: Query) -> frozenset[str] | None:
    """References one of which every event found names; None where that cannot be told."""
    return _named(query.where) if query.types == ("AuditEvent",) else None


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


def _named(expression: Expression) -> frozenset[str] | None:
    match expression:
        case All(parts):
            found = [names for names in map(_named, parts) if names is not None]
            return min(found, key=len) if found else None
        case AnyOf(parts) if parts:
            each = [_named(part) for part in parts]
            known = [names for names in each if names is not None]
            return frozenset().union(*known) if len(known) == len(each) else None
        case Match(param, _, test) if param in _PARAMETERS:
            return _references(test)
        case _:
            return None


def _references(test: Test) -> frozenset[str] | None:
    match test:
        case Either(tests):
            each = [_references(one) for one in tests]
            known = [names for names in each if names is not None]
            return frozenset().union(*known) if len(known) == len(each) else None
        case Both(tests):
            equal = {t.field: t.value for t in tests if isinstance(t, Compare) and t.op == "eq"}
            type, id = equal.get("type"), equal.get("id")
            return frozenset({f"{type}/{id}"}) if type and id else None
        case _:
            return None
