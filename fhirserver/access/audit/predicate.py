"""Which AuditEvents a caller may read, as a predicate.

The holder of a space reads every trace of it; whoever acts for them all but what is hidden from
representatives; a professional their own actions; nobody else any
(https://www.legifrance.gouv.fr/codes/article_lc/LEGIARTI000043913943, R1111-31 and following).
Traces of what is hidden from the reader are hidden too: they would tell that it exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Compare,
    Everything,
    Kind,
    Match,
    Not,
    Nothing,
    OfType,
)

if TYPE_CHECKING:
    from fhirserver.access.caller import Caller
    from fhirserver.search.expression import Expression

_TYPE = OfType(("AuditEvent",))
_FROM_HOLDER = ("INVISIBLE_PATIENT",)
_FROM_PROXY = ("CONNEXION_SECRETE", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX")


def audit_predicate(caller: Caller) -> Expression:
    """Selects the AuditEvents that `caller` may read, and nothing of any other type."""
    match caller.role:
        case Role.OPEN:
            return Everything()
        case Role.CITIZEN:
            parts: list[Expression] = []
            own = caller.fhir_user.removeprefix("Patient/")
            if own and caller.fhir_user == f"Patient/{own}" and caller.patient in (None, own):
                parts = [_points("entity", "Patient", own), _points("agent", "Patient", own)]
            if not parts:
                return Nothing()
            return All((_TYPE, AnyOf(tuple(parts)), *_unless(_FROM_HOLDER)))
        case Role.PROXY:
            if not caller.patient:
                return Nothing()
            return All((_TYPE, _points("entity", "Patient", caller.patient), *_unless(_FROM_PROXY)))
        case Role.PROFESSIONAL:
            type, _, id = caller.fhir_user.partition("/")
            if not type or not id or "/" in id:
                return Nothing()
            return All((_TYPE, _points("agent", type, id)))
        case _:
            return Nothing()


def _points(param: str, type: str, id: str) -> Expression:
    test = Both((Compare("type", "eq", type), Compare("id", "eq", id)))
    return Match(param, Kind.REFERENCE, test)


def _unless(codes: tuple[str, ...]) -> tuple[Expression, ...]:
    return tuple(Not(Match("_security", Kind.TOKEN, Compare("code", "eq", c))) for c in codes)
