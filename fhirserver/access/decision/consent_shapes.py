"""Which Consents of scope patient-privacy this server can hold to.

A citizen who writes a choice must be able to trust that it is kept, so one that the rules do not
understand is refused (422) instead of being stored and passed over. docs/access.md lists the
choices with an example of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.codes import (
    BREAK_THE_GLASS,
    EMERGENCY_TREATMENT,
    INFORMATION_ACCESS,
    INFORMATION_COLLECTION,
    MASKED,
    OPT_IN,
    OPT_OUT,
    PATIENT_PRIVACY,
    RESOURCE_TYPE,
    TREATMENT,
)
from fhirserver.access.decision.listing import PURPOSE
from fhirserver.errors import Issue, Unprocessable
from fhirserver.model.definitions import RESOURCE_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping

_CATEGORIES = frozenset({INFORMATION_ACCESS, INFORMATION_COLLECTION, OPT_IN, OPT_OUT})
_ACTORS = frozenset({"Practitioner", "PractitionerRole", "Organization", "CareTeam", "Device"})
_NARROWING = ("provision", "code", "data", "dataPeriod")
_PURPOSES = {
    "permit": frozenset({TREATMENT, "PATRQT"}),
    "deny": frozenset({TREATMENT, "PATRQT", BREAK_THE_GLASS, EMERGENCY_TREATMENT}),
}


def codes(concepts: Any) -> set[str]:
    """The codes of CodeableConcepts or Codings."""
    found: set[str] = set()
    for concept in concepts if isinstance(concepts, list) else [concepts]:
        if isinstance(concept, dict):
            for coding in concept.get("coding", [concept]):
                if isinstance(coding, dict) and isinstance(coding.get("code"), str):
                    found.add(coding["code"])
    return found


def actors(consent: Mapping[str, Any]) -> list[str]:
    """References of the actors of the provision."""
    listed = consent.get("provision", {}).get("actor", [])
    return [str(actor.get("reference", {}).get("reference", "")) for actor in listed]


def is_choice(consent: Mapping[str, Any]) -> bool:
    return PATIENT_PRIVACY in codes(consent.get("scope", {}))


def check_shape(consent: Mapping[str, Any]) -> None:
    """Raises Unprocessable for a choice that could not be kept."""
    if not is_choice(consent) or consent.get("status") != "active":
        return
    if consent.get("patient", {}).get("reference") is None:
        raise _refused("A choice is somebody's: it needs a patient.", "Consent.patient")
    categories = codes(consent.get("category", []))
    if len(categories & _CATEGORIES) != 1:
        raise _refused(
            "The category of a choice is one of INFA, ICOL, OPTIN, OPTOUT (v3-ActCode).",
            "Consent.category",
        )
    provision = consent.get("provision", {})
    kind = provision.get("type")
    for name in _NARROWING:
        if provision.get(name):
            raise _refused(
                f"A choice with provision.{name} cannot be kept here; write one Consent for each "
                "permission and each refusal.",
                f"Consent.provision.{name}",
            )
    if categories & {OPT_IN, OPT_OUT}:
        wanted = "deny" if OPT_OUT in categories else "permit"
        if kind != wanted or provision.get("actor"):
            raise _refused(
                f"This category goes with provision.type {wanted} and no actor.",
                "Consent.provision",
            )
        return
    if kind not in ("permit", "deny"):
        raise _refused("A choice says permit or deny.", "Consent.provision.type")
    named = actors(consent)
    kinds = {actor.partition("/")[0] for actor in named}
    of_app = [p.get("code") for p in provision.get("purpose", []) if p.get("system") == PURPOSE]
    purposes = codes(provision.get("purpose", []))
    if kinds == {"Device"} and kind == "permit":
        purposes -= set(of_app)
    if not purposes <= _PURPOSES[kind]:
        raise _refused("This purpose is not one a choice can have.", "Consent.provision.purpose")
    if not kinds <= _ACTORS:
        raise _refused(
            f"An actor is one of {', '.join(sorted(_ACTORS))}.", "Consent.provision.actor"
        )
    if kind == "permit":
        _check_permit(provision, named, kinds)
    elif INFORMATION_ACCESS in categories and provision.get("class") and "Device" not in kinds:
        label = codes(provision.get("securityLabel", []))
        if MASKED not in label:
            raise _refused(
                "A refusal holds for all data; it has no class.", "Consent.provision.class"
            )


def _check_permit(provision: Mapping[str, Any], named: list[str], kinds: set[str]) -> None:
    if not named:
        raise _refused("A permission names whom it is for.", "Consent.provision.actor")
    if provision.get("securityLabel"):
        raise _refused(
            "A permission cannot be narrowed by labels.", "Consent.provision.securityLabel"
        )
    classes = provision.get("class", [])
    if classes and kinds != {"Device"}:
        raise _refused(
            "Only the authorisation of an app is for classes of data.", "Consent.provision.class"
        )
    for coding in classes:
        if coding.get("system") != RESOURCE_TYPE or coding.get("code") not in RESOURCE_TYPES:
            raise _refused(
                f"A class is a resource type of {RESOURCE_TYPE}.", "Consent.provision.class"
            )


def _refused(text: str, expression: str) -> Unprocessable:
    return Unprocessable(issues=(Issue("error", "business-rule", text, (expression,)),))
