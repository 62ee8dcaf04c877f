"""The five strict traits of an identity: birth name, birth given names, date of birth, sex, and
the INSEE code of the birth place.

FR Core 2.1.0 `fr-core-patient-ins` demands them of whoever claims it, and so does the opening of a
space (`opening.py`), where they are also written as the INS has them: in upper case without
accents; hyphen and apostrophe stay (FR Core's own example is not).
Source: référentiel INS (ANS), FR Core https://hl7.fr/ig/fhir/core.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fhirserver.model.extensions import extensions, value
from fhirserver.space.identifier import each_identifier, ins_systems, is_national
from fhirserver.space.refusal import issue

if TYPE_CHECKING:
    from fhirserver.errors import Issue
    from fhirserver.interaction.context import Resource

_CORE = "https://hl7.fr/ig/fhir/core/StructureDefinition"
PROFILE = f"{_CORE}/fr-core-patient-ins"
GIVEN_NAMES = f"{_CORE}/fr-core-patient-birth-list-given-name"
INSEE_CODE = f"{_CORE}/fr-core-address-insee-code"
BIRTH_PLACE = "http://hl7.org/fhir/StructureDefinition/patient-birthPlace"
RELIABILITY = f"{_CORE}/fr-core-identity-reliability"

_SAID = re.compile(r".*\S.*")
_WRITTEN = re.compile(r"[A-Z][A-Z' -]*")
_INSEE = re.compile(r"(?:\d\d|2[AB])\d{3}")
#: Statuses of an identity of which the INS may be used (fr-core-cs-identity-status).
RELIABLE = frozenset({"VALI", "QUAL"})


def claims(resource: Resource) -> bool:
    profiles = (resource.get("meta") or {}).get("profile") or []
    return any(str(profile).partition("|")[0] == PROFILE for profile in profiles)


def status(resource: Resource) -> str:
    """The status of the identity: VALI, QUAL, PROV, RECUP, or none said."""
    for extension in extensions(resource, RELIABILITY):
        for part in extensions(extension, "identityStatus"):
            code = (part.get("valueCoding") or {}).get("code")
            if isinstance(code, str):
                return code
    return ""


def trait_issues(resource: Resource, *, written: bool = True) -> list[Issue]:
    """Which of the five strict traits are missing or (`written`) not written as they are to be."""
    found = [*_name_issues(resource, _WRITTEN if written else _SAID)]
    if resource.get("gender") not in ("male", "female", "unknown"):
        found.append(_said("sex: male, female or unknown", "Patient.gender"))
    if not isinstance(resource.get("birthDate"), str):
        found.append(_said("date of birth", "Patient.birthDate"))
    if not _INSEE.fullmatch(birth_place(resource)):
        found.append(_said("INSEE code of the place of birth", "Patient.extension"))
    return found


def profile_issues(resource: Resource) -> list[Issue]:
    """What fr-core-patient-ins refuses, its invariants fr-core-1 and fr-core-2 included."""
    found = trait_issues(resource, written=False)
    all_of = list(each_identifier(resource))
    national = [(place, each) for place, each in all_of if is_national(each)]
    reliability = status(resource)
    if not all_of:
        found.append(issue("The profile needs an identifier.", "Patient.identifier"))
    if not reliability:
        found.append(issue("The profile needs the status of the identity.", "Patient.extension"))
    elif national and reliability not in RELIABLE:
        found.append(
            issue(
                "An INS goes with an identity that is validated or qualified (VALI, QUAL).",
                "Patient.extension",
            )
        )
    for place, each in national:
        where = f"Patient.identifier[{place}]"
        system = ins_systems()[each["system"]]
        use = "temp" if system.type == "INS-NIA" else "official"
        if each.get("use") != use:
            found.append(issue(f"The use of an {system.type} is {use}.", f"{where}.use"))
        codes = {c.get("code") for c in (each.get("type") or {}).get("coding", [])}
        if system.type not in codes:
            found.append(issue(f"Its type is {system.type}.", f"{where}.type"))
    if reliability == "VALI" and not national:
        found.append(issue("fr-core-1: a validated identity has an INS.", "Patient.identifier"))
    official = sum(each.get("use") == "official" for _, each in all_of)
    temporary = any(ins_systems()[each["system"]].type == "INS-NIA" for _, each in national)
    if reliability == "VALI" and official != 1 and not temporary:
        found.append(
            issue(
                "fr-core-2: a validated identity has one official identifier.",
                "Patient.identifier",
            )
        )
    return found


def birth_place(resource: Resource) -> str:
    """The INSEE code of the birth place."""
    return insee_code(value(resource, BIRTH_PLACE, "valueAddress") or {})


def insee_code(address: dict[str, Any]) -> str:
    return str((value(address, INSEE_CODE, "valueCoding") or {}).get("code", ""))


def _name_issues(resource: Resource, form: re.Pattern[str]) -> list[Issue]:
    for place, name in enumerate(resource.get("name") or []):
        if not isinstance(name, dict) or name.get("use") != "official":
            continue
        where = f"Patient.name[{place}]"
        given = name.get("given") or [""]
        names = str(value(name, GIVEN_NAMES, "valueString") or "")
        found = []
        if not form.fullmatch(str(name.get("family", ""))):
            found.append(_said("birth name, in upper case without accents", f"{where}.family"))
        if not form.fullmatch(str(given[0])):
            found.append(_said("first given name, in upper case", f"{where}.given[0]"))
        if not form.fullmatch(names):
            found.append(_said("list of birth given names, in upper case", f"{where}.extension"))
        elif not f"{names} ".startswith(f"{given[0]} "):
            found.append(
                issue("The list of birth given names begins with the first.", f"{where}.extension")
            )
        return found
    return [_said("official name (name.use official)", "Patient.name")]


def _said(what: str, where: str) -> Issue:
    return issue(f"The strict traits of an INS lack the {what}.", where, code="required")
