"""The traits of the French national health identity (INS), and the Patient who has them.

Birth name, given names at birth, birth date, sex and the INSEE code of the birth place, in capitals
without accents: source, the reference framework of the INS, as summed up in FR Core's
fr-core-patient-ins.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from anyascii import anyascii

from fhirserver.model.extensions import extensions
from fhirserver.space.traits import BIRTH_PLACE, GIVEN_NAMES, INSEE_CODE, RELIABILITY, RELIABLE

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATE = re.compile(r"[12]\d{3}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])")


class Traits(msgspec.Struct, frozen=True):
    """`given`: all given names in order. `place`: the INSEE code of the commune, or that of the
    country for whoever was born abroad."""

    family: str
    given: tuple[str, ...]
    born: str
    gender: str
    place: str

    @property
    def complete(self) -> bool:
        return bool(
            self.family
            and self.given
            and _DATE.fullmatch(self.born)
            and self.gender in ("male", "female")
            and self.place
        )


def normal(text: str) -> str:
    """As the INS is written: capitals without accents; hyphens and apostrophes stay."""
    text = anyascii(text.replace("’", "'").replace("‐", "-")).upper()
    return " ".join(re.sub(r"[^A-Z' -]", " ", text).split())


def matches(traits: Traits, patient: dict[str, Any]) -> bool:
    """Whether a Patient with a qualified identity has exactly these traits."""
    if patient.get("birthDate") != traits.born or patient.get("gender") != traits.gender:
        return False
    if not _is_qualified(patient) or traits.place not in _places(patient):
        return False
    return any(_is_named(traits, name) for name in patient.get("name", []))


def _is_named(traits: Traits, name: dict[str, Any]) -> bool:
    if name.get("use") != "official" or normal(name.get("family", "")) != normal(traits.family):
        return False
    listed = [e.get("valueString", "") for e in extensions(name, GIVEN_NAMES)]
    found = normal(listed[0] if listed else " ".join(name.get("given", [])))
    return found == normal(" ".join(traits.given))


def _is_qualified(patient: dict[str, Any]) -> bool:
    return any(
        coding.get("code") in RELIABLE
        for part in extensions(patient, RELIABILITY)
        for each in extensions(part, "identityStatus")
        for coding in [each.get("valueCoding") or {}]
    )


def _places(patient: dict[str, Any]) -> Iterator[str]:
    for part in extensions(patient, BIRTH_PLACE):
        for each in extensions(part.get("valueAddress") or {}, INSEE_CODE):
            yield (each.get("valueCoding") or {}).get("code", "")
