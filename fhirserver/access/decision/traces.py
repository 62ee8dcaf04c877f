"""Traces (AuditEvent): who may read what of the access log.

* The holder reads every trace of their space, and what they have done elsewhere.
* Who represents them by law reads the traces of the space, less what is hidden from them.
* A professional reads what they have done themselves, and as the citizen's general practitioner
  every trace of that space while it is open.
* Carers, services, operators and apps of the catalogue read none.

A trace of a resource that is hidden from the citizen or their representatives bears its labels
(`audit/trail.py`) and is hidden like it. Who asked in vain for something hidden finds in their own
traces what one of an unknown resource would be: the trace that tells its patient (`ATTRIBUTED`) is
not theirs to see.

Source: CSP R.1111-31, R.1111-43; EHDS (EU) 2025/327 art. 8 and 9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Role
from fhirserver.access.decision.build import NOTHING, all_of, any_of, negate, refers, token
from fhirserver.access.decision.labels import expression as labels
from fhirserver.access.decision.ownership import about

if TYPE_CHECKING:
    from fhirserver.access.decision.rights import Rights
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression

#: Tag of a trace that the server has found the patient of, and its agent has not.
SYSTEM = "http://fhirserver.example/CodeSystem/audit"
ATTRIBUTED = "attributed"


def visible(situation: Situation, rights: Rights) -> Expression | None:
    role = situation.caller.role
    if situation.app is not None:
        return None
    if role is Role.PROFESSIONAL:
        return any_of(_own(situation), about("entity", rights.administers))
    if role not in (Role.CITIZEN, Role.PROXY) or not rights.legal:
        return None
    seen = about("entity", rights.reads)
    if role is Role.CITIZEN:
        seen = any_of(seen, _own(situation))
    return all_of(seen, labels(situation, "AuditEvent", NOTHING))


def _own(situation: Situation) -> Expression:
    """What the caller has done: by name, not what others did for the same organization."""
    return all_of(
        refers("agent", situation.persons), negate(token("_tag", ATTRIBUTED, system=SYSTEM))
    )
