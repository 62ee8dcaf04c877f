"""Invariants of the resources of care and of those around it
(https://hl7.org/fhir/R4/resourcelist.html)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhirserver.validation.invariant.datatypes import UCUM, in_order
from fhirserver.validation.rule import (
    Node,
    Rule,
    Scope,
    exactly_one,
    has_code,
    json_names,
    needs,
    not_both,
    some,
)

_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_ABATEMENT = json_names("Condition", "abatement[x]")
_OBSERVED = json_names("Observation", "value[x]")
_MISTAKE = "entered-in-error"


def _is_mistake(node: Node, system: str) -> bool:
    return has_code(node.get("verificationStatus"), _TERMINOLOGY + system, _MISTAKE)


def _allergy_is_mistake(node: Node) -> bool:
    return _is_mistake(node, "allergyintolerance-verification")


def _condition_is_mistake(node: Node) -> bool:
    return _is_mistake(node, "condition-ver-status")


def _abated(node: Node, _: Scope) -> bool:
    if _ABATEMENT.isdisjoint(node):
        return True
    codes = ("resolved", "remission", "inactive")
    return has_code(node.get("clinicalStatus"), _TERMINOLOGY + "condition-clinical", *codes)


def _problem(node: Node, _: Scope) -> bool:
    if "clinicalStatus" in node or _condition_is_mistake(node):
        return True
    return not any(
        coding.get("code") == "problem-list-item"
        for concept in node.get("category", ())
        for coding in concept.get("coding", ())
    )


def _has(node: Node, name: str) -> bool:
    return name in node or "_" + name in node


def _appointment_times(node: Node, _: Scope) -> bool:
    if _has(node, "start") and _has(node, "end"):
        return True
    return node.get("status") in ("proposed", "cancelled", "waitlist")


def _cancelled(node: Node, _: Scope) -> bool:
    return "cancelationReason" not in node or node.get("status") in ("no-show", "cancelled")


def _component_codes(node: Node, scope: Scope) -> bool:
    """obs-7: a value beside components means that none of them repeats the resource's code."""
    if _OBSERVED.isdisjoint(node) or "component" not in node:
        return True
    own = node["code"].get("coding", ())
    return not any(
        coding in own
        for component in node["component"]
        for coding in component["code"].get("coding", ())
    )


def _on_behalf_of(node: Node, scope: Scope) -> bool:
    if "onBehalfOf" not in node:
        return True
    reference = node.get("member", {}).get("reference", "")
    for contained in scope.root.get("contained", ()):
        if isinstance(contained, dict) and reference == f"#{contained.get('id')}":
            return contained.get("resourceType") == "Practitioner"
    return True  # what cannot be resolved here is not judged


def _group_members(node: Node, _: Scope) -> bool:
    return "member" not in node or node.get("actual") is True


def _changes(node: Node, _: Scope) -> bool:
    return node.get("mode") == "changes" or not any(_has(e, "deleted") for e in node["entry"])


def _working(node: Node, _: Scope) -> bool:
    return node.get("mode") == "working" or not any(_has(e, "date") for e in node["entry"])


def _when_entries(check: Any) -> Any:
    return lambda node, scope: "entry" not in node or check(node, scope)


def _handed_over(node: Node, _: Scope) -> bool:
    return in_order(node.get("whenPrepared"), node.get("whenHandedOver"))


def _task_times(node: Node, _: Scope) -> bool:
    return in_order(node.get("authoredOn"), node.get("lastModified"))


def _not_home(name: str) -> Any:
    return lambda node, _: all(item.get("use") != "home" for item in node.get(name, ()))


def _percent(node: Node, _: Scope) -> bool:
    for end in ("low", "high"):
        quantity = node.get("probabilityRange", {}).get(end)
        if quantity is not None and (quantity.get("code"), quantity.get("system")) != ("%", UCUM):
            return False
    return True


def _probability(node: Node, _: Scope) -> bool:
    return Decimal(node.get("probabilityDecimal", 0)) <= 100


def _sequence_origin(node: Node, _: Scope) -> bool:
    return node.get("coordinateSystem") in (0, 1)


def _one_reference_sequence(node: Node, _: Scope) -> bool:
    names = ("genomeBuild", "referenceSeqId", "referenceSeqPointer", "referenceSeqString")
    return sum(_has(node, name) for name in names) == 1


def _genome_build(node: Node, _: Scope) -> bool:
    return _has(node, "chromosome") == _has(node, "genomeBuild")


def _target_detail(node: Node, _: Scope) -> bool:
    return _DETAIL.isdisjoint(node) or "measure" in node


_DETAIL = json_names("Goal.target", "detail[x]")


def _consent_patient(code: str) -> Any:
    return lambda node, _: "patient" in node or not has_code(node.get("scope"), "something", code)


RULES: dict[str, tuple[Rule, ...]] = {
    "AllergyIntolerance": (
        Rule(
            "ait-1",
            "'clinicalStatus' is required unless 'verificationStatus' is entered-in-error",
            lambda node, _: "clinicalStatus" in node or _allergy_is_mistake(node),
        ),
        Rule(
            "ait-2",
            "no 'clinicalStatus' when 'verificationStatus' is entered-in-error",
            lambda node, _: "clinicalStatus" not in node or not _allergy_is_mistake(node),
        ),
    ),
    "Appointment": (
        Rule(
            "app-2",
            "'start' and 'end' stand together, or neither",
            lambda node, _: _has(node, "start") == _has(node, "end"),
        ),
        Rule(
            "app-3",
            "only a proposed, cancelled or waitlist appointment may lack 'start' and 'end'",
            _appointment_times,
        ),
        Rule("app-4", "only a cancelled or no-show appointment has a reason for it", _cancelled),
    ),
    "Appointment.participant": (some("app-1", "Appointment.participant", "type", "actor"),),
    "AppointmentResponse": (some("apr-1", "AppointmentResponse", "participantType", "actor"),),
    "AuditEvent.entity": (not_both("sev-1", "AuditEvent.entity", "name", "query"),),
    "CarePlan.activity": (not_both("cpl-3", "CarePlan.activity", "detail", "reference"),),
    "CareTeam.participant": (
        Rule("ctm-1", "only a Practitioner acts on behalf of an organization", _on_behalf_of),
    ),
    "Composition.section": (
        some("cmp-1", "Composition.section", "text", "entry", "section"),
        not_both("cmp-2", "Composition.section", "emptyReason", "entry"),
    ),
    "Condition": (
        Rule(
            "con-3",
            "'clinicalStatus' is expected on a problem-list-item",
            _problem,
            severity="warning",
        ),
        Rule(
            "con-4",
            "a condition that abated has the clinical status inactive, resolved or remission",
            _abated,
        ),
        Rule(
            "con-5",
            "no 'clinicalStatus' when 'verificationStatus' is entered-in-error",
            lambda node, _: "clinicalStatus" not in node or not _condition_is_mistake(node),
        ),
    ),
    "Condition.evidence": (some("con-2", "Condition.evidence", "code", "detail"),),
    "Condition.stage": (some("con-1", "Condition.stage", "summary", "assessment"),),
    "Consent": (
        some("ppc-1", "Consent", "policy", "policyRule"),
        *(
            Rule(f"ppc-{n}", f"a consent of scope {code} needs 'patient'", _consent_patient(code))
            for n, code in enumerate(("patient-privacy", "research", "adr", "treatment"), 2)
        ),
    ),
    "CoverageEligibilityResponse.insurance.item": (
        exactly_one(
            "ces-1",
            "CoverageEligibilityResponse.insurance.item",
            "category",
            "productOrService",
        ),
    ),
    "FamilyMemberHistory": (
        not_both("fhs-1", "FamilyMemberHistory", "age[x]", "born[x]"),
        needs("fhs-2", "FamilyMemberHistory", "estimatedAge", "age[x]"),
    ),
    "Goal.target": (Rule("gol-1", "'detail[x]' needs 'measure' beside it", _target_detail),),
    "Group": (Rule("grp-1", "only an actual group has members", _group_members),),
    "Immunization.education": (
        some("imm-1", "Immunization.education", "documentType", "reference"),
    ),
    "ImmunizationRecommendation.recommendation": (
        some(
            "imr-1",
            "ImmunizationRecommendation.recommendation",
            "vaccineCode",
            "targetDisease",
        ),
    ),
    "InsurancePlan": (some("ipn-1", "InsurancePlan", "identifier", "name"),),
    "Linkage": (
        Rule("lnk-1", "links at least two items", lambda n, _: len(n.get("item", ())) > 1),
    ),
    "List": (
        not_both("lst-1", "List", "emptyReason", "entry"),
        Rule("lst-2", "only a list of changes marks entries deleted", _when_entries(_changes)),
        Rule("lst-3", "only a working list dates its entries", _when_entries(_working)),
    ),
    "MedicationAdministration.dosage": (
        some("mad-1", "MedicationAdministration.dosage", "dose", "rate[x]"),
    ),
    "MedicationDispense": (
        Rule("mdd-1", "'whenHandedOver' must not be before 'whenPrepared'", _handed_over),
    ),
    "MolecularSequence": (Rule("msq-3", "'coordinateSystem' is 0 or 1", _sequence_origin),),
    "MolecularSequence.referenceSeq": (
        Rule("msq-5", "'chromosome' and 'genomeBuild' stand together", _genome_build),
        Rule(
            "msq-6",
            "needs exactly one of 'genomeBuild', 'referenceSeqId', 'referenceSeqPointer' and "
            "'referenceSeqString'",
            _one_reference_sequence,
        ),
    ),
    "NutritionOrder": (
        Rule(
            "nor-1",
            "'oralDiet', 'supplement' or 'enteralFormula' is expected",
            lambda n, _: not {"oralDiet", "supplement", "enteralFormula"}.isdisjoint(n),
            severity="warning",
        ),
    ),
    "Observation": (
        not_both("obs-6", "Observation", "dataAbsentReason", "value[x]"),
        Rule(
            "obs-7",
            "no component has the same code as an observation that has a value itself",
            _component_codes,
        ),
    ),
    "Observation.referenceRange": (
        some("obs-3", "Observation.referenceRange", "low", "high", "text"),
    ),
    "Organization": (
        some("org-1", "Organization", "identifier", "name"),
        Rule("org-2", "an organization's address is never 'home'", _not_home("address")),
        Rule("org-3", "an organization's telecom is never 'home'", _not_home("telecom")),
    ),
    "Patient.contact": (
        some("pat-1", "Patient.contact", "name", "telecom", "address", "organization"),
    ),
    "RequestGroup.action": (exactly_one("rqg-1", "RequestGroup.action", "resource", "action"),),
    "RiskAssessment.prediction": (
        Rule("ras-1", "a range of probabilities is in %, with UCUM as system", _percent),
        Rule("ras-2", "a probability is at most 100", _probability),
    ),
    "ServiceRequest": (needs("prr-1", "ServiceRequest", "orderDetail", "code"),),
    "Task": (Rule("inv-1", "'lastModified' must not be before 'authoredOn'", _task_times),),
}
