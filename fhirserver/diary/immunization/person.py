"""Who is to be vaccinated: birth, sex, territory, indications, pregnancies, immunity, allergies.

What counts as what is the table `terminology/immunization/indications.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

import msgspec

from fhirserver.diary.immunization.history import Resource, codings, day_of
from fhirserver.diary.immunization.period import Period
from fhirserver.diary.immunization.products import Products
from fhirserver.model import shipped

_GONE = {"inactive", "remission", "resolved"}
_DENIED = {"refuted", "entered-in-error"}
_TERRITORIES = {"971": "GP", "972": "MQ", "973": "GF", "974": "RE", "976": "YT"}
_COUNTED = ("final", "amended", "corrected", "preliminary")


@dataclass(frozen=True, slots=True)
class Pregnancy:
    """A pregnancy under way; `start`: first day of the last period, None when not known."""

    start: date | None


@dataclass(frozen=True, slots=True)
class Person:
    """`risks`: each indication with the day since when, None when not known. `immune`,
    `contraindicated`: antigens. `allergies`: NUVA codes of single brands not to be given."""

    birth: date
    sex: str | None
    territory: str
    deceased: bool
    risks: Mapping[str, date | None]
    pregnancy: Pregnancy | None
    immune: frozenset[str]
    contraindicated: Mapping[str, str]
    allergies: frozenset[str]

    def at(self, age: Period) -> date:
        """The day on which the age is reached."""
        return age.after(self.birth)


@dataclass(slots=True)
class _Found:
    risks: dict[str, date | None] = field(default_factory=dict)
    pregnant: bool = False
    pregnancies: list[date] = field(default_factory=list)
    immune: set[str] = field(default_factory=set)
    contraindicated: dict[str, str] = field(default_factory=dict)
    allergies: set[str] = field(default_factory=set)


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = msgspec.json.decode(
        shipped.read("terminology", "immunization", "indications.json")
    )
    return table


@cache
def _systems() -> dict[str, str]:
    return {url: name for name, urls in _table()["systems"].items() for url in urls}


@cache
def _by_code() -> dict[tuple[str, str], tuple[str, ...]]:
    """SNOMED CT and ICD-10 codes to the indications, "immune:" antigens and pregnancy they say."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    table = _table()
    entries = [
        *((key, rule) for key, rule in table["indications"].items()),
        *((f"immune:{key}", rule) for key, rule in table["immunity"].items()),
        ("pregnancy", table["pregnancy"]),
    ]
    for key, rule in entries:
        for system in ("sct", "icd10"):
            for code in rule.get(system, ()):
                found[system, code] = (*found.get((system, code), ()), key)
    return found


@cache
def observation_codes() -> tuple[str, ...]:
    """The LOINC codes of the Observations that are looked at."""
    table = _table()
    found = {*table["bmi"]["loinc"]}
    for codes in table["pregnancy"]["observations"].values():
        found.update(codes)
    return tuple(sorted(found))


def indications() -> tuple[str, ...]:
    """The codes of our own for what changes the calendar."""
    return tuple(_table()["indications"])


def person(
    patient: Resource, others: Iterable[Resource], on: date, products: Products, territory: str
) -> Person:
    """The person a Patient and their Conditions, Observations and AllergyIntolerances tell of;
    ValueError when the Patient has no birth date."""
    birth = day_of(patient.get("birthDate"), on)
    if birth is None:
        raise ValueError("The Patient has no birthDate that can be read.")
    found = _Found()
    for resource in others:
        match resource.get("resourceType"):
            case "Condition":
                _condition(found, resource, on)
            case "Observation":
                _observation(found, resource, on)
            case "AllergyIntolerance":
                _allergy(found, resource, products)
    pregnancy = _pregnancy(found, on)
    live = _table()["live_contraindications"]
    if any(key in found.risks for key in live["indications"]):
        for antigen in live["antigens"]:
            found.contraindicated.setdefault(antigen, "immunosuppression")
    if pregnancy is not None:
        for antigen in live["pregnancy"]:
            found.contraindicated.setdefault(antigen, "pregnancy-live")
    gender = patient.get("gender")
    return Person(
        birth,
        gender if isinstance(gender, str) else None,
        _territory(patient) or territory,
        bool(patient.get("deceasedBoolean")) or "deceasedDateTime" in patient,
        found.risks,
        pregnancy,
        frozenset(found.immune),
        found.contraindicated,
        frozenset(found.allergies),
    )


def _meanings(concept: Any) -> Iterable[str]:
    systems = _systems()
    for system, code in codings(concept):
        name = systems.get(system)
        if name == "own":
            if code in _table()["indications"]:
                yield code
        elif name == "sct":
            yield from _by_code().get(("sct", code), ())
        elif name == "icd10":
            bare = code.replace(".", "")
            forms = [code, *(f"{bare[:3]}.{bare[3:n]}" for n in range(len(bare), 3, -1)), bare[:3]]
            for form in dict.fromkeys(forms):
                yield from _by_code().get(("icd10", form), ())


def _condition(found: _Found, resource: Resource, on: date) -> None:
    if any(code in _DENIED for _, code in codings(resource.get("verificationStatus"))):
        return
    since = day_of(resource.get("onsetDateTime"), on)
    if since is not None and since > on:
        return
    ended = any(code in _GONE for _, code in codings(resource.get("clinicalStatus")))
    over = day_of(resource.get("abatementDateTime"), on)
    ended = ended or (over is not None and over <= on)
    for meaning in _meanings(resource.get("code")):
        if meaning.startswith("immune:"):
            found.immune.add(meaning.removeprefix("immune:"))
        elif meaning == "pregnancy":
            if not ended:
                found.pregnant = True
                if since is not None:
                    found.pregnancies.append(since)
        elif not ended or meaning in _table()["lasting"]:
            _risk(found, meaning, since)


def _risk(found: _Found, key: str, since: date | None) -> None:
    known = found.risks.get(key, date.max)
    if known is None or since is None:
        found.risks[key] = None
    else:
        found.risks[key] = min(known, since)


def _observation(found: _Found, resource: Resource, on: date) -> None:
    if resource.get("status") not in _COUNTED:
        return
    day = day_of(resource.get("effectiveDateTime"), on)
    if day is not None and day > on:
        return
    table = _table()
    codes = {code for _, code in codings(resource.get("code"))}
    quantity = resource.get("valueQuantity")
    value = quantity.get("value") if isinstance(quantity, dict) else None
    if not isinstance(value, int | float | Decimal) or isinstance(value, bool):
        value = None
    kinds = table["pregnancy"]["observations"]
    if codes & set(table["bmi"]["loinc"]):
        if value is not None and value >= table["bmi"]["from"]:
            _risk(found, table["bmi"]["indication"], day)
    elif codes & set(kinds["last_menstrual_period"]):
        start = day_of(resource.get("valueDateTime"), on)
        if start is not None:
            found.pregnancies.append(start)
    elif codes & set(kinds["due_date"]):
        due = day_of(resource.get("valueDateTime"), date.max)
        if due is not None and due.toordinal() > 280:
            found.pregnancies.append(due - timedelta(days=280))
    elif codes & set(kinds["gestational_age"]) and value is not None and day:
        unit = quantity.get("code", quantity.get("unit")) if isinstance(quantity, dict) else None
        days = int(value * 7) if unit in ("wk", "w", "week", "weeks", "sem", "SA") else int(value)
        if 0 <= days <= 320 and day.toordinal() > days:
            found.pregnancies.append(day - timedelta(days=days))
    else:
        for meaning in _meanings(resource.get("code")):
            if resource.get("valueBoolean") is not False and not meaning.startswith("immune:"):
                _risk(found, meaning, day)


def _pregnancy(found: _Found, on: date) -> Pregnancy | None:
    longest = timedelta(weeks=_table()["pregnancy"]["weeks"])
    current = [start for start in found.pregnancies if start <= on and on - start < longest]
    if current:
        return Pregnancy(max(current))
    # A pregnancy said to be under way since longer than one lasts is an entry nobody closed.
    return Pregnancy(None) if found.pregnant and not found.pregnancies else None


def _allergy(found: _Found, resource: Resource, products: Products) -> None:
    if any(code in _DENIED for _, code in codings(resource.get("verificationStatus"))):
        return
    if any(code in _GONE for _, code in codings(resource.get("clinicalStatus"))):
        return
    concepts = [resource.get("code")]
    reactions = resource.get("reaction")
    concepts += [r.get("substance") for r in (reactions if isinstance(reactions, list) else ())
                 if isinstance(r, dict)]  # fmt: skip
    substances = _table()["substances"]["sct"]
    for concept in concepts:
        for system, code in codings(concept):
            product = products.of_coding(system, code)
            if product is not None and product.brand:
                found.allergies.add(product.code)
            elif product is not None:
                for antigen in product.contains:
                    found.contraindicated.setdefault(antigen, "allergy")
            elif _systems().get(system) == "sct":
                for antigen in substances.get(code, ()):
                    found.contraindicated.setdefault(antigen, "allergy")


def _territory(patient: Resource) -> str | None:
    addresses = patient.get("address")
    for address in addresses if isinstance(addresses, list) else ():
        code = address.get("postalCode") if isinstance(address, dict) else None
        if isinstance(code, str) and len(code) == 5 and code.isascii() and code.isdecimal():
            return _TERRITORIES.get(code[:3], "FR")
    return None
