"""The programme of a person as a CarePlan (https://hl7.org/fhir/R4/careplan.html; why a CarePlan:
docs/decisions/0013-prevention-programme-as-care-plan.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from typing import Any

import msgspec

from fhirserver.diary.immunization.history import codings
from fhirserver.diary.immunization.person import person
from fhirserver.diary.immunization.products import products
from fhirserver.diary.screening.events import events
from fhirserver.diary.screening.plan import Planned, plan
from fhirserver.diary.screening.programme import Programme, programme
from fhirserver.model import shipped

Resource = Mapping[str, Any]
Json = dict[str, Any]

ITEM = "http://fhirserver.example/CodeSystem/prevention-item"
RULESET = "http://fhirserver.example/StructureDefinition/prevention-ruleset"
PLAN_IDENTIFIER = "http://fhirserver.example/sid/prevention-programme"
_SNOMED = "http://snomed.info/sct"

#: Our state -> CarePlan.activity.detail.status.
_STATUS = {
    "due": "not-started",
    "upcoming": "not-started",
    "done": "completed",
    "missed": "cancelled",
    "follow-up": "on-hold",
}
#: What CarePlan.activity.detail.reasonReference may point to.
_REASONS = ("Observation", "DiagnosticReport", "DocumentReference")
_DENIED = ("refuted", "entered-in-error")


def programme_of(patient: Resource, record: Iterable[Resource], on: date) -> Json:
    """The CarePlan of a person on a day; ValueError without a birth date.

    `record`: whatever the record holds; what has no bearing is passed over.
    """
    rules = programme()
    held = list(record)
    who = person(patient, held, on, products(), "FR")
    began = who.pregnancy.start if who.pregnancy is not None else None
    had = events(held, rules, on)
    planned: list[Planned] = []
    if not who.deceased:
        planned = plan(rules, who.birth, who.sex, began, _conditions(held, rules), had, on)
    resource: Json = {
        "resourceType": "CarePlan",
        "extension": [{"url": RULESET, "valueCanonical": rules.ruleset}],
        "status": "active" if planned else "completed",
        "intent": "proposal",
        "category": [{"text": "Prevention: screening and check-ups"}],
        "title": "Prévention : dépistages et examens de santé",
        "subject": _subject(patient),
        "created": on.isoformat(),
    }
    if planned:
        resource["activity"] = [_activity(rules, one) for one in planned]
    return resource


def _conditions(record: Iterable[Resource], rules: Programme) -> frozenset[tuple[str, str]]:
    """The codes of the conditions a person has or had; ICD-10 codes also without what comes
    behind, so that a code stands for all below it."""
    found: set[tuple[str, str]] = set()
    for resource in record:
        if resource.get("resourceType") not in ("Condition", "Procedure"):
            continue
        if resource["resourceType"] == "Procedure" and resource.get("status") != "completed":
            continue
        if any(code in _DENIED for _, code in codings(resource.get("verificationStatus"))):
            continue
        for system, code in codings(resource.get("code")):
            name = rules.systems.get(system)
            if name == "icd10":
                bare = code.replace(".", "")
                found.update((name, f"{bare[:3]}.{bare[3:n]}") for n in range(4, len(bare) + 1))
                found.add((name, bare[:3]))
            elif name is not None:
                found.add((name, code))
    return frozenset(found)


def _activity(rules: Programme, planned: Planned) -> Json:
    item = planned.item
    coding = [_own(item.id)]
    if item.code is not None:
        coding.append({"system": _SNOMED, "code": item.code})
    detail: Json = {"kind": "ServiceRequest", "code": {"coding": coding, "text": planned.name}}
    strength = "mandatory" if item.mandatory else "recommended"
    detail["reasonCode"] = [{"coding": [_own(strength)]}]
    if planned.because is not None:
        detail["reasonCode"].append({"coding": [_own("after-result")]})
        if planned.because.reference.partition("/")[0] in _REASONS:
            detail["reasonReference"] = [{"reference": planned.because.reference}]
    detail["status"] = _STATUS[planned.state]
    detail["statusReason"] = {"coding": [_own(planned.state)]}
    if planned.start is not None:
        detail["scheduledPeriod"] = {"start": planned.start.isoformat()}
        if planned.end is not None and planned.end < date.max:
            detail["scheduledPeriod"]["end"] = planned.end.isoformat()
    form = f" Health certificate {planned.certificate}." if planned.certificate else ""
    detail["description"] = f"{rules.lines[planned.line]['text']}{form} [{planned.line}]"
    found: Json = {}
    if planned.closed_by is not None and planned.closed_by.reference:
        found["outcomeReference"] = [{"reference": planned.closed_by.reference}]
    if planned.test is not None and planned.test != item.id:
        detail["code"]["coding"].append(_own(planned.test))
        if planned.because is not None:
            detail["code"]["text"] += f": {_own(planned.test)['display']}"
    found["detail"] = detail
    return found


def _subject(patient: Resource) -> Json:
    id = patient.get("id")
    return {"reference": f"Patient/{id}"} if isinstance(id, str) else {"display": "the patient"}


def _own(code: str) -> Json:
    return {"system": ITEM, "code": code, "display": _displays()[code]}


@cache
def _displays() -> dict[str, str]:
    body = shipped.read("terminology", "screening", "CodeSystem-prevention-item.json")
    return {c["code"]: c["display"] for c in msgspec.json.decode(body)["concept"]}
