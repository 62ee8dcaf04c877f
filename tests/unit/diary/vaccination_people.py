"""People, vaccines and circumstances for tests of vaccination, written short.

A history is `day vaccine` separated by `;`, circumstances are words separated by `;`.
"""

from __future__ import annotations

from datetime import date

CIS = "urn:oid:1.2.250.1.213.2.3.1"
CVX = "http://hl7.org/fhir/sid/cvx"
ATC = "http://www.whocc.no/atc"
SNOMED = "http://snomed.info/sct"
INDICATION = "http://fhirserver.example/CodeSystem/vaccination-indication"

VACCINES = {
    "hexyon": (CIS, "60645557"), "infanrix-hexa": (CIS, "62966063"), "vaxelis": (CIS, "69688620"),
    "tetravac": (CIS, "66543281"), "repevax": (CIS, "67619892"), "revaxis": (CIS, "60917345"),
    "dtcap-atc": (ATC, "J07CA02"), "act-hib": (CIS, "61104024"),
    "prevenar13": (CIS, "67786749"), "vaxneuvance": (CIS, "64355843"),
    "prevenar20": (CIS, "62189757"), "capvaxive": (CIS, "69077052"),
    "pneumovax": (CIS, "60614280"),
    "rotarix": (CIS, "60755263"), "rotateq": (CIS, "66396810"), "rotavirus": (CVX, "122"),
    "bexsero": (CIS, "64493883"), "trumenba": (CIS, "65802140"),
    "nimenrix": (CIS, "69241562"), "menquadfi": (CIS, "63064137"), "menveo": (CIS, "68046787"),
    "menc": (ATC, "J07AH07"),
    "priorix": (CIS, "61896473"), "mmrvaxpro": (CIS, "64269668"), "measles": (CVX, "05"),
    "varivax": (CIS, "69201849"), "stamaril": (CIS, "62102962"), "bcg": (CIS, "61077869"),
    "gardasil9": (CIS, "61429103"),
    "engerix20": (CIS, "62279329"), "hepb10": (CVX, "08"), "hepa": (CVX, "52"),
    "twinrix": (CVX, "104"),
    "vaxigrip": (CIS, "61777031"), "efluelda": (CIS, "62048742"), "fluenz": (CIS, "65525113"),
    "comirnaty": (CIS, "63466367"),
    "shingrix": (CIS, "62887096"), "zostavax": (CVX, "121"),
    "arexvy": (CIS, "64431629"), "abrysvo": (CIS, "60990140"), "beyfortus": (CVX, "306"),
    "unknown": (CIS, "424242"),
}  # fmt: skip


def patient(birth: str, words: str = "") -> dict:
    found = {"resourceType": "Patient", "birthDate": birth, "gender": "female"}
    for word in parts(words):
        if word.startswith("postal "):
            found["address"] = [{"postalCode": word.removeprefix("postal ")}]
        elif word in ("male", "other"):
            found["gender"] = word
        elif word == "deceased":
            found["deceasedBoolean"] = True
    return found


def parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(";") if part.strip() not in ("", "-")]


def immunizations(history: str) -> list[dict]:
    """`2026-03-10 hexyon`, or `2026-03-10 hexyon refused` for what was not done."""
    found = []
    for number, part in enumerate(parts(history)):
        day, name, *more = part.split()
        system, code = VACCINES[name]
        event = {
            "resourceType": "Immunization",
            "id": f"i{number}",
            "status": "completed",
            "vaccineCode": {"coding": [{"system": system, "code": code}]},
            "occurrenceDateTime": day,
        }
        found.append(event | _circumstance(more[0] if more else ""))
    return found


def _circumstance(word: str) -> dict:
    reason = {"refused": "PATOBJ", "immune": "IMMUNE", "precaution": "MEDPREC"}.get(word)
    if reason:
        system = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
        return {
            "status": "not-done",
            "statusReason": {"coding": [{"system": system, "code": reason}]},
        }
    match word:
        case "error":
            return {"status": "entered-in-error"}
        case "expired":
            return {"expirationDate": "2000-01-01"}
        case "coldchain":
            code = {"code": "coldchainbreak"}
            return {"isSubpotent": True, "subpotentReason": [{"coding": [code]}]}
        case "undated":
            return {"occurrenceDateTime": None, "occurrenceString": "as a child"}
    return {}


def circumstances(words: str) -> list[dict]:
    """`diabetes`, `diabetes 2020-03-03` (of our own indications), `had 38907003` (a disease),
    `lmp 2026-02-15`, `due 2026-11-22`, `pregnant`, `bmi 41`, `allergy VACCINE`."""
    found = []
    for word in parts(words):
        name, _, rest = word.partition(" ")
        if name in ("postal", "male", "other", "deceased", "setting"):
            continue
        if name == "lmp":
            found.append(_observation("8665-2", valueDateTime=rest))
        elif name == "due":
            found.append(_observation("11778-8", valueDateTime=rest))
        elif name == "weeks":
            number, _, day = rest.partition(" ")
            found.append(
                _observation(
                    "18185-9",
                    valueQuantity={"value": int(number), "code": "wk"},
                    effectiveDateTime=day,
                )
            )
        elif name == "bmi":
            found.append(_observation("39156-5", valueQuantity={"value": int(rest)}))
        elif name == "pregnant":
            found.append(_condition(SNOMED, "77386006"))
        elif name == "had":
            found.append(
                _condition(SNOMED, rest, clinicalStatus={"coding": [{"code": "resolved"}]})
            )
        elif name == "icd10":
            found.append(_condition("http://hl7.org/fhir/sid/icd-10", rest))
        elif name == "allergy":
            system, code = VACCINES.get(rest, (ATC, rest))
            coding = {"coding": [{"system": system, "code": code}]}
            found.append({"resourceType": "AllergyIntolerance", "code": coding})
        else:
            more = {"onsetDateTime": rest} if rest else {}
            found.append(_condition(INDICATION, name, **more))
    return found


def _condition(system: str, code: str, **elements: object) -> dict:
    concept = {"coding": [{"system": system, "code": code}]}
    return {"resourceType": "Condition", "code": concept, **elements}


def _observation(code: str, **elements: object) -> dict:
    concept = {"coding": [{"system": "http://loinc.org", "code": code}]}
    return {"resourceType": "Observation", "status": "final", "code": concept, **elements}


def day(text: str) -> date | None:
    return None if text == "-" else date.fromisoformat(text)
