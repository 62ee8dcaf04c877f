"""Why a professional could or could not see a resource, step by step in the order of the rules.

The same expressions that hide and show are asked here one by one, so an explanation cannot differ
from the decision. The reasons are codes; docs/access.md says in words what each means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Caller, Mode, Role
from fhirserver.access.decision import (
    document_matrix,
    emergency_entitled,
    emergency_not_opposed,
    labels,
    professional,
    professional_not_blocked,
    space_open,
    traces,
    treatment_relation,
)
from fhirserver.access.decision.build import EVERYTHING, all_of, refers, truth
from fhirserver.access.decision.ownership import People, belongs
from fhirserver.access.decision.rights import Rights
from fhirserver.access.decision.rule import Step
from fhirserver.access.decision.situation import Situation
from fhirserver.access.decision.tables import matrix
from fhirserver.errors import NotFound
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Identity, Query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.access.verdict import Judge
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Expression
    from fhirserver.storage.interface import Store

PATIENT_RULES = (
    space_open.RULE,
    professional_not_blocked.RULE,
    emergency_entitled.RULE,
    emergency_not_opposed.RULE,
    treatment_relation.RULE,
)
OWN_PART = "own-part"


async def explain(
    store: Store, judge: Judge, asking: Situation, patient: str, whom: str, mode: Mode,
    version: Version,
) -> list[Step]:  # fmt: skip
    """The steps of the decision on `version`, data of `patient`, for the professional `whom`.
    Every step is told, those after a refusal too. Raises NotFound for an unknown professional."""
    situation = await _as_professional(store, asking, patient, whom, mode)

    async def holds(expression: Expression) -> bool:
        query = Query(("Patient",), all_of(Identity((patient,)), expression))
        return await store.count(query, 1) > 0

    steps: list[Step] = []
    for rule in PATIENT_RULES:
        if not rule.applies(situation):
            steps.append(Step(rule.name, "not-applicable", "other-mode"))
            continue
        steps.append(_step(rule.name, await holds(rule.expression(situation)), rule))
    administers = await holds(refers("general-practitioner", situation.persons))
    rights = Rights(
        People(EVERYTHING, patient),
        People(EVERYTHING, patient),
        People(truth(administers), patient),
    )
    if not await judge.permits(belongs(version.type, rights.reads), version):
        raise NotFound(f"{version.type}/{version.id} is not known.")
    by_matrix = document_matrix.expression(situation, version.type)
    steps.append(_step(document_matrix.NAME, await judge.permits(by_matrix, version), _MATRIX))
    trusted = professional.trusted(situation, rights, version.type)
    by_labels = labels.expression(situation, version.type, trusted)
    steps.append(_step(labels.NAME, await judge.permits(by_labels, version), _LABELS))
    # What remains: messages, Consents and traces, which are for those they name.
    if version.type == "AuditEvent":
        seen = traces.visible(situation, rights)
    else:
        seen = professional.visible(situation, rights, version.type)
    if version.type in (*professional.MESSAGES, "Consent", "AuditEvent"):
        shown = seen is not None and await judge.permits(seen, version)
        steps.append(_step(OWN_PART, shown, _OWN))
    else:
        steps.append(Step(OWN_PART, "not-applicable", "not-a-message-or-trace"))
    return steps


class _Reasons:
    def __init__(self, passed: str, refused: str) -> None:
        self.passed, self.refused = passed, refused


_MATRIX = _Reasons(document_matrix.PASSED, document_matrix.REFUSED)
_LABELS = _Reasons(labels.PASSED, labels.REFUSED)
_OWN = _Reasons("names-this-professional", "does-not-name-this-professional")


def _step(name: str, passed: bool, reasons: Any) -> Step:
    if passed:
        return Step(name, "permit", reasons.passed)
    return Step(name, "deny", reasons.refused)


async def _as_professional(
    store: Store, asking: Situation, patient: str, whom: str, mode: Mode
) -> Situation:
    """The professional as they would come: with every role and organization they have."""
    type, _, id = whom.partition("/")
    version = await store.read(type, id) if type in ("Practitioner", "PractitionerRole") else None
    if version is None or version.content is None:
        raise NotFound("This professional is not known.")
    persons = [(type, id)]
    held = [decode_stored(version.content)]
    if type == "Practitioner":
        where = refers("practitioner", ((type, id),))
        for role in (await store.search(Query(("PractitionerRole",), where, count=100))).versions:
            persons.append((role.type, role.id))
            held.append(decode_stored(role.content or b"{}"))
    else:
        reference = str(held[0].get("practitioner", {}).get("reference", ""))
        kind, _, number = reference.partition("/")
        if kind == "Practitioner" and number:
            persons.append((kind, number))
            holder = await store.read(kind, number)
            held.append(decode_stored((holder and holder.content) or b"{}"))
    organizations = tuple(dict.fromkeys(_organizations(held)))
    profession = next((c for c in _codes(held) if matrix().of(c) is not None), "")
    caller = Caller(
        Role.PROFESSIONAL,
        fhir_user=whom,
        patient=patient,
        profession=profession,
        mode=mode,
        reason="asked by the citizen",
    )
    return Situation(
        caller, asking.now, asking.registry, asking.settings, tuple(persons), organizations
    )


def _organizations(held: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for resource in held:
        kind, _, id = str(resource.get("organization", {}).get("reference", "")).partition("/")
        if kind == "Organization" and id:
            yield kind, id


def _codes(held: list[dict[str, Any]]) -> Iterator[str]:
    """Profession codes: PractitionerRole.code, Practitioner.qualification."""
    for resource in held:
        concepts = [*resource.get("code", [])] if isinstance(resource.get("code"), list) else []
        concepts += [q.get("code", {}) for q in resource.get("qualification", [])]
        for concept in concepts:
            for coding in concept.get("coding", []):
                if isinstance(coding.get("code"), str):
                    yield coding["code"]
