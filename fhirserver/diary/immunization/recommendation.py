"""Assessments as FHIR resources: ImmunizationRecommendation and ImmunizationEvaluation
(https://hl7.org/fhir/R4/immunizationrecommendation.html,
https://hl7.org/fhir/R4/immunizationevaluation.html)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from functools import cache
from typing import Any

import msgspec

from fhirserver.diary.immunization import codes
from fhirserver.diary.immunization.assess import Assessment, assess
from fhirserver.diary.immunization.calendar import Series, Settings
from fhirserver.diary.immunization.evaluate import Judged, Track
from fhirserver.diary.immunization.forecast import Forecast
from fhirserver.diary.immunization.history import Resource, Vaccination
from fhirserver.diary.immunization.period import period
from fhirserver.diary.immunization.products import Products
from fhirserver.model import shipped

Json = dict[str, Any]

_HORIZON = period("5y")

#: Our status -> code of the base value set, code of ImmDS.
_STATUS = {
    "due": ("due", "notComplete"),
    "overdue": ("overdue", "notComplete"),
    "future": (None, "notComplete"),
    "offered": (None, "conditional"),
    "complete": ("complete", "complete"),
    "immune": ("immune", "immune"),
    "contraindicated": ("contraindicated", "contraindicated"),
    "not-recommended": (None, "notRecommended"),
    "aged-out": (None, "agedOut"),
}
_IMMDS_REASON = {
    "complete": "complete",
    "season-complete": "seasonalComplete",
    "season-past": "seasonalPast",
    "maximum-age": "maximumAge",
    "not-in-group": "notRecommended",
}
_IMMDS_DOSE_REASON = {
    "tooyoung",
    "tooold",
    "inappropriate",
    "toosoon",
    "productconflict",
    "expired",
}
_BASE_DOSE_REASON = {
    "coldchbrk": "coldchbrk",
    "prodrecall": "prodrecall",
    "expired": "explot",
    "tooyoung": "outsidesched",
    "tooold": "outsidesched",
    "toosoon": "outsidesched",
}


def recommendation_of(
    patient: Resource,
    immunizations: Iterable[Resource],
    conditions: Iterable[Resource],
    on: date,
    settings: Settings | None = None,
) -> Json:
    """The ImmunizationRecommendation of a person on a day; ValueError without a birth date.

    `conditions`: Conditions, Observations and AllergyIntolerances.
    """
    return recommendation(assess(patient, immunizations, conditions, on, settings), patient)


def kept(assessment: Assessment) -> Assessment:
    """The assessment without what asks nothing of the person for years: what is stored for each
    space is short, the whole is there to be asked for."""
    horizon = _HORIZON.after(assessment.on)
    near = tuple(
        (forecast, track)
        for forecast, track in assessment.forecasts
        if forecast.status not in ("aged-out", "not-recommended")
        and (forecast.recommended is None or track.valid or forecast.recommended < horizon)
    )
    return replace(assessment, forecasts=near or assessment.forecasts)


def recommendation(assessment: Assessment, patient: Resource) -> Json:
    resource: Json = {"resourceType": "ImmunizationRecommendation"}
    reference, contained = _patient(patient)
    if contained:
        resource["contained"] = [contained]
    resource["extension"] = [
        {"url": codes.RULESET, "valueCanonical": assessment.calendar.ruleset}
    ]  # fmt: skip
    resource["patient"] = reference
    resource["date"] = assessment.on.isoformat()
    resource["recommendation"] = [
        _recommendation(assessment, forecast, track) for forecast, track in assessment.forecasts
    ]
    return resource


def evaluations(assessment: Assessment, patient: Resource) -> list[Json]:
    """One ImmunizationEvaluation for each dose and each disease it is against; and one for each
    vaccine that is not known."""
    found = [
        _evaluation(assessment, patient, judged, target, series)
        for target, series, judged in assessment.judged
    ]
    for dose in assessment.unknown:
        judged = Judged(dose, False, (*dose.faults, "unknown-vaccine"))
        found.append(_evaluation(assessment, patient, judged, None, None))
    return found


def _recommendation(assessment: Assessment, forecast: Forecast, track: Track) -> Json:
    antigens = assessment.products
    reasons = list(forecast.reasons)
    refused = _contraindicated(assessment, forecast.target)
    if refused:
        reasons.append("product-contraindicated")
    found: Json = {}
    vaccines = _vaccines(assessment, forecast)
    if vaccines:
        found["vaccineCode"] = vaccines
    found["targetDisease"] = _disease(antigens, forecast.target)
    if refused:
        found["contraindicatedVaccineCode"] = refused
    found["forecastStatus"] = _status(forecast)
    found["forecastReason"] = [_forecast_reason(reason) for reason in reasons]
    dated = [
        (codes.EARLIEST, forecast.earliest),
        (codes.RECOMMENDED, forecast.recommended),
        (codes.OVERDUE, forecast.overdue),
        (codes.LATEST, forecast.latest),
    ]
    criteria = [_criterion(code, day) for code, day in dated if day is not None and day < date.max]
    if criteria:
        found["dateCriterion"] = criteria
    found["description"] = f"{assessment.calendar.lines[forecast.line]['text']} [{forecast.line}]"
    course = f": {forecast.course}" if forecast.course else ""
    found["series"] = f"{forecast.series.name}{course}"
    if forecast.number is not None:
        found["doseNumberPositiveInt"] = forecast.number
    if forecast.total is not None:
        found["seriesDosesPositiveInt"] = forecast.total
    supporting = [
        {"reference": f"Immunization/{j.vaccination.resource['id']}"}
        for j in track.judged
        if j.valid and isinstance(j.vaccination.resource.get("id"), str)
    ]
    if supporting:
        found["supportingImmunization"] = supporting
    return found


def _vaccines(assessment: Assessment, forecast: Forecast) -> list[Json]:
    if not forecast.open:
        return []
    day = max(forecast.recommended or assessment.on, assessment.on)
    names = list(forecast.prefer)
    for before, use in forecast.series.vaccines:
        if before is None or day < assessment.person.at(before):
            names += use
            break
    return [assessment.calendar.vaccines[name] for name in dict.fromkeys(names)]


def _contraindicated(assessment: Assessment, target: str) -> list[Json]:
    found = []
    for code in sorted(assessment.person.allergies):
        product = assessment.products.of_coding(_NUVA, code)
        if product is not None and target in product.contains:
            coding = {"system": _NUVA, "code": code, "display": product.label}
            found.append({"coding": [coding]})
    return found


_NUVA = "http://smt.esante.gouv.fr/terminologie-nuva"


def _evaluation(
    assessment: Assessment,
    patient: Resource,
    judged: Judged,
    target: str | None,
    series: Series | None,
) -> Json:
    dose = judged.vaccination
    found: Json = {"resourceType": "ImmunizationEvaluation"}
    person, contained_patient = _patient(patient)
    event, contained_event = _event(dose)
    contained = [one for one in (contained_patient, contained_event) if one]
    if contained:
        found["contained"] = contained
    found["extension"] = [{"url": codes.RULESET, "valueCanonical": assessment.calendar.ruleset}]
    found["status"] = "completed"
    found["patient"] = person
    found["date"] = assessment.on.isoformat()
    found["targetDisease"] = (
        {"text": "unknown"} if target is None else _disease(assessment.products, target)
    )
    found["immunizationEvent"] = event
    valid = ("valid", "Valid") if judged.valid else ("notvalid", "Not valid")
    found["doseStatus"] = {
        "coding": [{"system": codes.DOSE_STATUS, "code": valid[0], "display": valid[1]}]
    }
    if judged.reasons:
        found["doseStatusReason"] = [_dose_reason(reason) for reason in judged.reasons]
    if series is not None:
        found["series"] = series.name
    if judged.number is not None:
        found["doseNumberPositiveInt"] = judged.number
        if judged.total is not None:
            found["seriesDosesPositiveInt"] = judged.total
    return found


def _patient(patient: Resource) -> tuple[Json, Json | None]:
    """A reference to the Patient: by id, or to a contained one with what the forecast read."""
    id = patient.get("id")
    if isinstance(id, str):
        return {"reference": f"Patient/{id}"}, None
    kept = {name: patient[name] for name in ("gender", "birthDate") if name in patient}
    return {"reference": "#patient"}, {"resourceType": "Patient", "id": "patient", **kept}


def _event(dose: Vaccination) -> tuple[Json, Json | None]:
    id = dose.resource.get("id")
    if isinstance(id, str):
        return {"reference": f"Immunization/{id}"}, None
    left_out = ("meta", "text", "contained", "id", "resourceType")
    kept = {name: value for name, value in dose.resource.items() if name not in left_out}
    return {"reference": "#event"}, {"resourceType": "Immunization", "id": "event", **kept}


def _disease(products: Products, target: str) -> Json:
    antigen = products.antigens[target]
    coding = {"system": codes.SNOMED, "code": antigen.diseases[0]}
    return {"coding": [coding], "text": antigen.display}


def _status(forecast: Forecast) -> Json:
    base, immds = _STATUS[forecast.status]
    first = [] if base is None else [{"system": codes.STATUS, "code": base}]
    return {"coding": [*first, {"system": codes.IMMDS_STATUS, "code": immds}]}


def _forecast_reason(reason: str) -> Json:
    coding = [_own(codes.FORECAST_REASON, reason)]
    if reason in _IMMDS_REASON:
        coding.append({"system": codes.IMMDS_FORECAST_REASON, "code": _IMMDS_REASON[reason]})
    return {"coding": coding}


def _dose_reason(reason: str) -> Json:
    coding = [_own(codes.DOSE_REASON, reason)]
    if reason in _IMMDS_DOSE_REASON:
        coding.append({"system": codes.IMMDS_STATUS_REASON, "code": reason})
    if reason in _BASE_DOSE_REASON:
        coding.append({"system": codes.DOSE_STATUS_REASON, "code": _BASE_DOSE_REASON[reason]})
    return {"coding": coding}


def _criterion(code: str, day: date) -> Json:
    coding = {"system": codes.LOINC, "code": code, "display": codes.DATE_DISPLAY[code]}
    return {"code": {"coding": [coding]}, "value": day.isoformat()}


def _own(system: str, code: str) -> Json:
    return {"system": system, "code": code, "display": _displays(system)[code]}


@cache
def _displays(system: str) -> dict[str, str]:
    name = f"CodeSystem-{system.rpartition('/')[2]}.json"
    table = msgspec.json.decode(shipped.read("terminology", "immunization", name))
    return dict(_concepts(table))


def _concepts(table: Json) -> Iterator[tuple[str, str]]:
    for concept in table["concept"]:
        yield concept["code"], concept["display"]
