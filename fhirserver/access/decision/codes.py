"""The codes that the citizen's choices and the labels are written with."""

from __future__ import annotations

PATIENT_PRIVACY = "patient-privacy"
CONSENT_SCOPE = "http://terminology.hl7.org/CodeSystem/consentscope"

V3_CONFIDENTIALITY = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"
INFORMATION_ACCESS = "INFA"
INFORMATION_COLLECTION = "ICOL"
OPT_OUT = "OPTOUT"
OPT_IN = "OPTIN"

ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
TREATMENT = "TREAT"
BREAK_THE_GLASS = "BTG"
EMERGENCY_TREATMENT = "ETREAT"

RESOURCE_TYPE = "http://hl7.org/fhir/resource-types"

VISIBILITY = (
    "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/"
    "TRE-A07-StatutVisibiliteDocument"
)
MASKED = "MASQUE_PS"
INVISIBLE_TO_PATIENT = "INVISIBLE_PATIENT"
INVISIBLE_TO_REPRESENTATIVES = "INVISIBLE_REPRESENTANTS_LEGAUX"
SECRET_CONNECTION = "CONNEXION_SECRETE"
RESTRICTED = "R"
VERY_RESTRICTED = "V"

#: From the least to the most confidential (v3-Confidentiality).
CONFIDENTIALITY = ("U", "L", "M", "N", "R", "V")
HIDING = frozenset({MASKED, INVISIBLE_TO_PATIENT, INVISIBLE_TO_REPRESENTATIVES, SECRET_CONNECTION})

LEGAL_REPRESENTATIVE = "GUARD"
CARER = "CAREGIVER"
#: Parents, of TRE_R216: they represent a minor, and nobody by being a parent after that.
PARENTS = ("MTH", "FTH", "NMTH", "NFTH", "PRN", "NPRN", "ADOPTF", "ADOPTM", "ADOPTP")

#: Identifier systems of the national health identity (INS).
INS = (
    "urn:oid:1.2.250.1.213.1.4.8",
    "urn:oid:1.2.250.1.213.1.4.9",
    "urn:oid:1.2.250.1.213.1.4.10",
    "urn:oid:1.2.250.1.213.1.4.11",
)
