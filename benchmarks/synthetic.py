"""Made-up data of any size, the same every time: patients and what belongs to them.

Templates are resources of examples/; patients, dates, codes and values vary with a fixed seed and
the spread they have in life: a few codes make up most observations, a patient has some dozen
resources spread over years, a few have hundreds.
"""

from __future__ import annotations

import gzip
import json
import random
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from benchmarks.servers import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SEED = 20261124
NOW = datetime(2026, 11, 1, tzinfo=UTC)

#: Names that are common in France.
FAMILIES, GIVEN = (
    line.split() for line in (ROOT / "benchmarks" / "names.txt").read_text("utf-8").splitlines()
)
CITIES = (
    ("Toulouse", "31000"),
    ("Nantes", "44000"),
    ("Amiens", "80000"),
    ("Saint-Nazaire", "44600"),
    ("Abbeville", "80100"),
)

#: LOINC code, text, unit, mean, spread; the weights fall as 1/rank.
MEASURES = (
    ("85354-9", "Tension artérielle", "mm[Hg]", 128, 14),
    ("29463-7", "Poids", "kg", 71, 15),
    ("8867-4", "Fréquence cardiaque", "/min", 72, 10),
    ("8302-2", "Taille", "cm", 169, 10),
    ("15074-8", "Glycémie", "mmol/L", 5.8, 1.2),
    ("14682-9", "Créatinine", "umol/L", 84, 20),
    ("718-7", "Hémoglobine", "g/dL", 13.9, 1.4),
    ("14647-2", "Cholestérol total", "mmol/L", 5.1, 0.9),
    ("4548-4", "HbA1c", "%", 6.4, 1.1),
    ("59408-5", "Saturation en oxygène", "%", 97, 2),
    ("8310-5", "Température", "Cel", 36.9, 0.6),
    ("39156-5", "IMC", "kg/m2", 25.3, 4),
)
WEIGHTS = [1 / rank for rank in range(1, len(MEASURES) + 1)]


def write(file: Path, count: int) -> None:
    """At least `count` resources as gzipped NDJSON, whole patients."""
    with gzip.open(file, "wb", compresslevel=1) as stream:
        for body in resources(count):
            stream.write(body + b"\n")


def resources(count: int) -> Iterator[bytes]:
    chance = random.Random(SEED)
    templates = _templates()
    made = 0
    number = 0
    while made < count:
        for resource in _record(chance, templates, number):
            yield json.dumps(resource, ensure_ascii=False, separators=(",", ":")).encode()
            made += 1
        number += 1


def _templates() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name in ("directory", "yannick-le-goff", "marcel-dubois"):
        bundle = json.loads((ROOT / "examples" / f"{name}.json").read_text())
        for entry in bundle["entry"]:
            found.setdefault(entry["resource"]["resourceType"], entry["resource"])
    return found


def _record(
    chance: random.Random, templates: dict[str, dict[str, Any]], number: int
) -> Iterator[dict[str, Any]]:
    patient = f"p{number:07d}"
    if number % 500 == 0:
        for offset in range(10):
            id = f"dr{number // 500 * 10 + offset:06d}"
            family = chance.choice(FAMILIES)
            yield {
                **templates["Practitioner"],
                "id": id,
                "name": [{"family": family, "given": [chance.choice(GIVEN)]}],
                "identifier": [
                    {"system": "https://rpps.esante.gouv.fr", "value": f"99{id[2:]}000"}
                ],
            }
    doctor = f"Practitioner/dr{number // 500 * 10 + chance.randrange(10):06d}"
    yield _patient(chance, templates["Patient"], patient, number, doctor)
    subject = {"reference": f"Patient/{patient}"}
    # Most have some twenty resources; the tail is long.
    visits = min(int(chance.lognormvariate(1.1, 0.7)) + 1, 60)
    for visit in range(visits):
        when = NOW - timedelta(minutes=chance.randrange(10 * 365 * 24 * 60))
        encounter = f"{patient}-e{visit}"
        yield {
            **templates["Encounter"],
            "id": encounter,
            "subject": subject,
            "participant": [{"individual": {"reference": doctor}}],
            "period": {
                "start": when.isoformat(),
                "end": (when + timedelta(minutes=20)).isoformat(),
            },
        }
        for item in range(chance.randrange(1, 6)):
            yield _observation(chance, f"{encounter}-o{item}", subject, encounter, doctor, when)
        if chance.random() < 0.35:
            yield {
                **templates["MedicationRequest"],
                "id": f"{encounter}-m",
                "subject": subject,
                "authoredOn": when.date().isoformat(),
                "requester": {"reference": doctor},
            }
        if chance.random() < 0.25:
            yield {
                **templates["Immunization"],
                "id": f"{encounter}-i",
                "patient": subject,
                "occurrenceDateTime": when.date().isoformat(),
                "lotNumber": f"L{chance.randrange(10**6):06d}",
            }
        if chance.random() < 0.25:
            yield {
                **templates["DocumentReference"],
                "id": f"{encounter}-d",
                "subject": subject,
                "date": when.isoformat(),
                "context": {
                    "encounter": [{"reference": f"Encounter/{encounter}"}],
                    "sourcePatientInfo": subject,
                },
            }
    if chance.random() < 0.6:
        yield {**templates["Condition"], "id": f"{patient}-c", "subject": subject}


def _patient(
    chance: random.Random, template: dict[str, Any], id: str, number: int, doctor: str
) -> dict[str, Any]:
    family, given = chance.choice(FAMILIES), chance.choice(GIVEN)
    city, postal = chance.choice(CITIES)
    born = NOW - timedelta(days=chance.randrange(95 * 365))
    return {
        "resourceType": "Patient",
        "id": id,
        "text": template["text"],
        "identifier": [
            {"system": "urn:oid:1.2.250.1.213.1.4.10", "value": f"{number:013d}"},
            {"system": "https://exemple.example/ipp", "value": f"IPP{number}"},
        ],
        "active": True,
        "name": [{"use": "official", "family": family, "given": [given]}],
        "telecom": [{"system": "phone", "value": f"+33 6 {number % 10**8:08d}"}],
        "gender": chance.choice(("male", "female")),
        "birthDate": born.date().isoformat(),
        "address": [{"city": city, "postalCode": postal, "country": "FR"}],
        "generalPractitioner": [{"reference": doctor}],
    }


def _observation(
    chance: random.Random,
    id: str,
    subject: dict[str, Any],
    encounter: str,
    doctor: str,
    when: datetime,
) -> dict[str, Any]:
    code, text, unit, mean, spread = chance.choices(MEASURES, WEIGHTS)[0]
    value = round(chance.gauss(mean, spread), 1)
    resource: dict[str, Any] = {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [
            {
                "coding": [
                    {
                        "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                        "code": "vital-signs",
                    }
                ]
            }
        ],
        "code": {"coding": [{"system": "http://loinc.org", "code": code}], "text": text},
        "subject": subject,
        "encounter": {"reference": f"Encounter/{encounter}"},
        "effectiveDateTime": when.isoformat(),
        "performer": [{"reference": doctor}],
    }
    quantity = {"unit": unit, "system": "http://unitsofmeasure.org", "code": unit}
    if code == "85354-9":
        resource["component"] = [
            {
                "code": {"coding": [{"system": "http://loinc.org", "code": part}]},
                "valueQuantity": {"value": round(at), **quantity},
            }
            for part, at in (("8480-6", value), ("8462-4", value * 0.62))
        ]
    else:
        resource["valueQuantity"] = {"value": value, **quantity}
    return resource
