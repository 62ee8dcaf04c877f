"""The text of a summary in French: a table for each section (https://hl7.org/fhir/R4/narrative.html).

Everything that comes from a resource is escaped; nothing of a stored narrative is taken over.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING, Any

from fhirserver.record.profile.words import STATUSES, WORDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fhirserver.interaction.context import Resource

    #: Finds the resource a Reference means, if it is in the document.
    Resolve = Callable[[Any], Resource | None]
    Row = tuple[str, ...]

_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_LONGEST = 300  # characters in a cell
_DATE = re.compile(r"(\d{4})(?:-(\d\d))?(?:-(\d\d))?(?:T(\d\d):(\d\d))?")
_OPEN = '<div xmlns="http://www.w3.org/1999/xhtml" lang="fr" xml:lang="fr">'


def narrative(inner: str) -> dict[str, str]:
    return {"status": "generated", "div": f"{_OPEN}{inner}</div>"}


def escaped(text: object) -> str:
    plain = " ".join(_NOT_XML.sub("\ufffd", str(text)).split())
    return html.escape(plain if len(plain) <= _LONGEST else plain[: _LONGEST - 1] + "…")


def paragraph(text: str) -> str:
    return f"<p>{escaped(text)}</p>"


def listed(pairs: Sequence[tuple[str, str]]) -> str:
    """Names and values, without those that have none."""
    items = "".join(f"<li>{escaped(n)} : {escaped(v)}</li>" for n, v in pairs if v)
    return f"<ul>{items}</ul>"


def tables(resources: Sequence[Resource], resolve: Resolve) -> str:
    """One table for each resource type, in the order they come."""
    by_type: dict[str, list[Resource]] = {}
    for resource in resources:
        by_type.setdefault(str(resource.get("resourceType")), []).append(resource)
    return "".join(_table(type, found, resolve) for type, found in by_type.items())


def _table(type: str, resources: Sequence[Resource], resolve: Resolve) -> str:
    heads, row = _ROWS[type]
    rows = [row(resource, resolve) for resource in resources]
    # A column nobody has a word for says nothing.
    kept = [n for n in range(len(heads)) if any(each[n] for each in rows)]
    head = "".join(f'<th scope="col">{escaped(heads[n])}</th>' for n in kept)
    body = "".join(
        "<tr>" + "".join(f"<td>{escaped(each[n])}</td>" for n in kept) + "</tr>" for each in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


# --- values ---------------------------------------------------------------------------------


def concept(value: Any) -> str:
    """What a CodeableConcept, a Coding or the first of a list of them says."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(concept, value)))
    if not isinstance(value, dict):
        return ""
    if isinstance(value.get("text"), str):
        return str(value["text"])
    codings = [c for c in value.get("coding") or () if isinstance(c, dict)]
    for coding in codings:
        if isinstance(coding.get("display"), str):
            return str(coding["display"])
    if codings:
        return str(codings[0].get("code") or "")
    return str(value.get("display") or value.get("code") or "")


def status(value: Any) -> str:
    """The French word of a status code, or of the first code of a CodeableConcept."""
    if isinstance(value, dict):
        found = [c.get("code") for c in value.get("coding") or () if isinstance(c, dict)]
        value = found[0] if found else value.get("text")
    return STATUSES.get(value, value) if isinstance(value, str) else ""


def day(value: Any) -> str:
    """A date as the French write it, as precise as it is."""
    if isinstance(value, dict):
        start, end = day(value.get("start")), day(value.get("end"))
        if start and end:
            return start if start == end else f"{start} – {end}"
        return f"depuis le {start}" if start else f"jusqu'au {end}" if end else ""
    found = _DATE.match(value) if isinstance(value, str) else None
    if found is None:
        return ""
    year, month, of_month, hour, minute = found.groups()
    text = "/".join(part for part in (of_month, month, year) if part)
    return f"{text} {hour}:{minute}" if hour and (hour, minute) != ("00", "00") else text


def first_day(resource: Resource, *names: str) -> str:
    return next(filter(None, (day(resource.get(name)) for name in names)), "")


def quantity(value: Any) -> str:
    if not isinstance(value, dict) or "value" not in value:
        return ""
    number = str(value["value"]).replace(".", ",")
    unit = value.get("unit") or value.get("code") or ""
    return f"{value.get('comparator', '')}{number} {unit}".strip()


def measured(resource: Resource) -> str:
    """The value of an Observation, or those of its components."""
    for name, value in resource.items():
        if name.startswith("value") and name[5:6].isupper():
            return _value(name, value)
    parts = [
        f"{concept(part.get('code'))} : {measured(part)}"
        for part in resource.get("component") or ()
        if isinstance(part, dict) and measured(part)
    ]
    return " ; ".join(parts) or concept(resource.get("dataAbsentReason"))


def _value(name: str, value: Any) -> str:
    match name:
        case "valueQuantity":
            return quantity(value)
        case "valueCodeableConcept":
            return concept(value)
        case "valueBoolean":
            return WORDS["yes"] if value else WORDS["no"]
        case "valueDateTime" | "valuePeriod":
            return day(value)
        case "valueRange":
            return f"{quantity(value.get('low'))} – {quantity(value.get('high'))}"
        case "valueRatio":
            return f"{quantity(value.get('numerator'))} / {quantity(value.get('denominator'))}"
        case "valueString" | "valueInteger" | "valueTime":
            return str(value)
        case _:
            return ""


def person(names: Any) -> str:
    """The first name of a list of HumanNames, the official one if there is one."""
    found = [n for n in names or () if isinstance(n, dict)] if isinstance(names, list) else []
    found.sort(key=lambda n: n.get("use") != "official")
    for name in found:
        given = name.get("given")
        parts = [*(given if isinstance(given, list) else ()), name.get("family")]
        text = " ".join(part for part in parts if isinstance(part, str))
        if text or name.get("text"):
            return text or str(name["text"])
    return ""


def _named(reference: Any, resolve: Resolve) -> str:
    """What a Reference is about: its display, or what the resource says of itself."""
    if not isinstance(reference, dict):
        return ""
    if isinstance(reference.get("display"), str):
        return str(reference["display"])
    found = resolve(reference)
    if found is None:
        return ""
    names = found.get("deviceName")
    device = names[0].get("name", "") if isinstance(names, list) and names else ""
    return concept(found.get("code")) or concept(found.get("type")) or str(device)


def _dosage(resource: Resource, name: str) -> str:
    texts = []
    for each in resource.get(name) or ():
        if not isinstance(each, dict):
            continue
        if isinstance(each.get("text"), str):
            texts.append(each["text"])
            continue
        rates = each.get("doseAndRate") or [{}]
        dose = quantity(rates[0].get("doseQuantity")) if isinstance(rates[0], dict) else ""
        timing = each.get("timing") if isinstance(each.get("timing"), dict) else {}
        parts = [dose, concept((timing or {}).get("code")), concept(each.get("route"))]
        texts.append(", ".join(filter(None, parts)))
    return " ; ".join(filter(None, texts))


def _notes(resource: Resource) -> str:
    found = [n.get("text", "") for n in resource.get("note") or () if isinstance(n, dict)]
    return " ; ".join(text for text in found if isinstance(text, str) and text)


# --- rows -----------------------------------------------------------------------------------


def _allergy(r: Resource, resolve: Resolve) -> Row:
    reactions = [x for x in r.get("reaction") or () if isinstance(x, dict)]
    return (
        concept(r.get("code")),
        status(r.get("criticality")),
        ", ".join(filter(None, (concept(x.get("manifestation")) for x in reactions))),
        first_day(r, "onsetDateTime", "onsetPeriod", "recordedDate"),
        status(r.get("verificationStatus")),
        _notes(r),
    )


def _medication(r: Resource, resolve: Resolve) -> Row:
    what = concept(r.get("medicationCodeableConcept"))
    return (
        what or _named(r.get("medicationReference"), resolve),
        _dosage(r, "dosage") or _dosage(r, "dosageInstruction"),
        first_day(r, "effectivePeriod", "effectiveDateTime", "authoredOn", "dateAsserted"),
        status(r.get("status")),
        _notes(r),
    )


def _condition(r: Resource, resolve: Resolve) -> Row:
    return (
        concept(r.get("code")),
        concept(r.get("severity")),
        first_day(r, "onsetDateTime", "onsetPeriod", "recordedDate"),
        first_day(r, "abatementDateTime", "abatementPeriod"),
        status(r.get("clinicalStatus")),
        status(r.get("verificationStatus")),
        _notes(r),
    )


def _immunization(r: Resource, resolve: Resolve) -> Row:
    doses = [p for p in r.get("protocolApplied") or () if isinstance(p, dict)]
    number = next((p.get("doseNumberPositiveInt", p.get("doseNumberString")) for p in doses), None)
    return (
        concept(r.get("vaccineCode")),
        first_day(r, "occurrenceDateTime") or str(r.get("occurrenceString") or ""),
        "" if number is None else str(number),
        str(r.get("lotNumber") or ""),
        ", ".join(filter(None, (concept(p.get("targetDisease")) for p in doses))),
    )


def _procedure(r: Resource, resolve: Resolve) -> Row:
    return (
        concept(r.get("code")),
        first_day(r, "performedDateTime", "performedPeriod") or str(r.get("performedString") or ""),
        concept(r.get("bodySite")),
        status(r.get("status")),
        concept(r.get("outcome")),
    )


def _device(r: Resource, resolve: Resolve) -> Row:
    return (
        _named(r.get("device"), resolve),
        first_day(r, "timingDateTime", "timingPeriod", "recordedOn"),
        concept(r.get("bodySite")),
        status(r.get("status")),
    )


def _observation(r: Resource, resolve: Resolve) -> Row:
    ranges = [x for x in r.get("referenceRange") or () if isinstance(x, dict)]
    limits = ""
    if ranges:
        low, high = quantity(ranges[0].get("low")), quantity(ranges[0].get("high"))
        limits = str(ranges[0].get("text") or "") or " – ".join(filter(None, (low, high)))
    return (
        concept(r.get("code")),
        measured(r),
        concept(r.get("interpretation")),
        limits,
        first_day(r, "effectiveDateTime", "effectivePeriod", "effectiveInstant", "issued"),
        "" if r.get("status") == "final" else status(r.get("status")),
    )


def _report(r: Resource, resolve: Resolve) -> Row:
    return (
        concept(r.get("code")),
        first_day(r, "effectiveDateTime", "effectivePeriod", "issued"),
        str(r.get("conclusion") or ""),
        "" if r.get("status") == "final" else status(r.get("status")),
    )


def _family(r: Resource, resolve: Resolve) -> Row:
    found = [c for c in r.get("condition") or () if isinstance(c, dict)]
    return (
        concept(r.get("relationship")),
        ", ".join(filter(None, (concept(c.get("code")) for c in found))),
        WORDS["deceased"] if r.get("deceasedBoolean") is True or r.get("deceasedDate") else "",
        _notes(r),
    )


def _plan(r: Resource, resolve: Resolve) -> Row:
    steps = [
        concept(a["detail"].get("code"))
        for a in r.get("activity") or ()
        if isinstance(a, dict) and isinstance(a.get("detail"), dict)
    ]
    return (
        str(r.get("title") or "") or concept(r.get("category")),
        ", ".join(filter(None, dict.fromkeys(steps))),
        day(r.get("period")),
        status(r.get("status")),
    )


def _directive(r: Resource, resolve: Resolve) -> Row:
    return (concept(r.get("category")), day(r.get("dateTime")), status(r.get("status")))


def _document(r: Resource, resolve: Resolve) -> Row:
    files = [c.get("attachment") for c in r.get("content") or () if isinstance(c, dict)]
    titles = [str(f.get("title")) for f in files if isinstance(f, dict) and f.get("title")]
    return (
        str(r.get("description") or "") or ", ".join(titles) or concept(r.get("type")),
        concept(r.get("type")),
        day(r.get("date")),
    )


def _flag(r: Resource, resolve: Resolve) -> Row:
    return (concept(r.get("code")), concept(r.get("category")), day(r.get("period")))


_MEDICATION_HEADS = ("Médicament", "Posologie", "Date", "Statut", "Note")
_ROWS: dict[str, tuple[Row, Callable[[Resource, Resolve], Row]]] = {
    "AllergyIntolerance": (
        ("Allergie ou intolérance", "Gravité potentielle", "Réaction", "Date", "Certitude", "Note"),
        _allergy,
    ),
    "MedicationStatement": (_MEDICATION_HEADS, _medication),
    "MedicationRequest": (_MEDICATION_HEADS, _medication),
    "Condition": (
        ("Problème de santé", "Sévérité", "Début", "Fin", "État", "Certitude", "Note"),
        _condition,
    ),
    "Immunization": (("Vaccin", "Date", "Dose", "Lot", "Maladies"), _immunization),
    "Procedure": (("Acte", "Date", "Localisation", "Statut", "Issue"), _procedure),
    "DeviceUseStatement": (("Dispositif", "Date", "Localisation", "Statut"), _device),
    "Observation": (
        ("Examen ou mesure", "Valeur", "Interprétation", "Valeurs de référence", "Date", "Statut"),
        _observation,
    ),
    "DiagnosticReport": (("Compte rendu", "Date", "Conclusion", "Statut"), _report),
    "FamilyMemberHistory": (("Lien de parenté", "Maladies", "Décès", "Note"), _family),
    "CarePlan": (("Plan", "Étapes", "Période", "Statut"), _plan),
    "Consent": (("Directive", "Date", "Statut"), _directive),
    "DocumentReference": (("Document", "Type", "Date"), _document),
    "Flag": (("Alerte", "Catégorie", "Période"), _flag),
}
