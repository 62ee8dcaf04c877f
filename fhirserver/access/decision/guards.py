"""What a permitted write may not change: rules that look at the images before and after.

Source: CSP R.1111-50 (masking by the citizen, corrections by the author alone); the order of the
decision says who may write at all (`citizen.py`, `professional.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Role
from fhirserver.access.decision.authorship import wrote
from fhirserver.access.decision.codes import CONFIDENTIALITY, HIDING, INFORMATION_ACCESS
from fhirserver.access.decision.consent_shapes import actors, check_shape, codes, is_choice
from fhirserver.errors import Forbidden
from fhirserver.model.extensions import extensions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.access.decision.situation import Situation

    Image = Mapping[str, Any] | None

#: What the citizen may change of a document that somebody else wrote.
_LABELLING = frozenset({"securityLabel", "meta", "text", "extension", "id", "resourceType"})
#: The identity a space is opened with; corrected by who keeps identities, not by its holder.
_IDENTITY = ("identifier", "birthDate", "gender", "deceasedBoolean", "deceasedDateTime")
_BIRTH_PLACE = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"


def _official_names(patient: Mapping[str, Any]) -> list[Any]:
    return [name for name in patient.get("name") or [] if name.get("use") == "official"]


def labels(resource: Mapping[str, Any]) -> set[str]:
    """The labels of a resource, wherever they stand."""
    found = codes(resource.get("meta", {}).get("security", []))
    return found | codes(resource.get("securityLabel", []))


def lowers(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """The change shows the resource to somebody its labels hid it from."""
    was, is_ = labels(before), labels(after)
    return bool((was & HIDING) - is_) or _level(is_) < _level(was)


def _level(found: set[str]) -> int:
    levels = [CONFIDENTIALITY.index(code) for code in found if code in CONFIDENTIALITY]
    return max(levels, default=CONFIDENTIALITY.index("N"))


def check(situation: Situation, type: str, before: Image, after: Image) -> None:
    """Refuse what the caller may not change. Raises Forbidden or Unprocessable."""
    role = situation.caller.role
    if type == "Consent" and after is not None:
        check_shape(after)
        if role in (Role.PROFESSIONAL, Role.SYSTEM):
            _collected(situation, after)
    if role not in (Role.CITIZEN, Role.PROXY) or before is None or after is None:
        return
    if type == "Patient":
        for name in _IDENTITY:
            if before.get(name) != after.get(name):
                raise Forbidden(f"Patient.{name} is kept by who registers identities.")
        if _official_names(before) != _official_names(after):
            raise Forbidden("The official name is kept by who registers identities (Patient.name).")
        if extensions(before, _BIRTH_PLACE) != extensions(after, _BIRTH_PLACE):
            raise Forbidden(
                "The place of birth is kept by who registers identities (Patient.extension)."
            )
    if type == "DocumentReference" and not wrote(situation, before):
        changed = {
            name
            for name in {*before, *after}
            if before.get(name) != after.get(name) and name not in _LABELLING
        }
        if changed:
            raise Forbidden(
                f"Of a document that others wrote you may change the labels, not "
                f"{', '.join(sorted(changed))[:200]}."
            )


def _collected(situation: Situation, consent: Mapping[str, Any]) -> None:
    """A professional may write down a permission that the citizen gave in words: for care, naming
    the citizen as who consents. Refusals, closing and apps are for the citizen to write.

    Source: CSP L.1111-17 and R.1111-46 (consent by any means, collected by one for another)."""
    permit = consent.get("provision", {}).get("type") == "permit"
    care = INFORMATION_ACCESS in codes(consent.get("category", []))
    device = any(actor.startswith("Device/") for actor in actors(consent))
    patient = consent.get("patient", {}).get("reference")
    performers = {p.get("reference") for p in consent.get("performer", []) if isinstance(p, dict)}
    if not (is_choice(consent) and permit and care and not device and patient in performers):
        raise Forbidden(
            "A professional writes down a permission for care that the citizen gave (category "
            "INFA, provision permit, performer the patient), no other choice."
        )
