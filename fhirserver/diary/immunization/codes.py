"""Code systems and canonical URLs that vaccination writes
(https://hl7.org/fhir/us/immds/, https://hl7.org/fhir/R4/immunizationrecommendation.html)."""

from __future__ import annotations

SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"

STATUS = "http://terminology.hl7.org/CodeSystem/immunization-recommendation-status"
IMMDS_STATUS = "http://hl7.org/fhir/us/immds/CodeSystem/ForecastStatus"
IMMDS_FORECAST_REASON = "http://hl7.org/fhir/us/immds/CodeSystem/ForecastReason"
IMMDS_STATUS_REASON = "http://hl7.org/fhir/us/immds/CodeSystem/StatusReason"
DOSE_STATUS = "http://terminology.hl7.org/CodeSystem/immunization-evaluation-dose-status"
DOSE_STATUS_REASON = (
    "http://terminology.hl7.org/CodeSystem/immunization-evaluation-dose-status-reason"
)
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"

_OWN = "http://fhirserver.example/"
FORECAST_REASON = _OWN + "CodeSystem/vaccination-forecast-reason"
DOSE_REASON = _OWN + "CodeSystem/vaccination-dose-reason"
INDICATION = _OWN + "CodeSystem/vaccination-indication"
RULESET = _OWN + "StructureDefinition/vaccination-ruleset"
RECOMMENDATION_IDENTIFIER = _OWN + "sid/vaccination-recommendation"

EARLIEST, RECOMMENDED, OVERDUE, LATEST = "30981-5", "30980-7", "59778-1", "59777-3"
DATE_DISPLAY = {
    EARLIEST: "Earliest date to give",
    RECOMMENDED: "Date vaccine due",
    OVERDUE: "Date when overdue for immunization",
    LATEST: "Latest date to give immunization",
}
