"""Systems and canonical URLs that documents of the record are written with.

PDSm (partage de documents de santé en mobilité), version 3.1.1:
https://interop.esante.gouv.fr/ig/fhir/pdsm
"""

from __future__ import annotations

from fhirserver.access.decision.codes import V3_CONFIDENTIALITY

PDSM = "https://interop.esante.gouv.fr/ig/fhir/pdsm"
#: Profiles whose claim makes a document one of the record.
PROFILES = (f"{PDSM}/", "https://interop.esante.gouv.fr/ig/fhir/pdsm4dmp/")
IS_ARCHIVED = f"{PDSM}/StructureDefinition/pdsm-ext-is-archived"

LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
SUBMISSION_SET = "submissionset"
FOLDER = "folder"
DESIGNATION_TYPE = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-designationType"
SOURCE_ID = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/ihe-sourceId"

LOINC = "http://loinc.org"
TYPES_OF_THE_RECORD = "https://mos.esante.gouv.fr/NOS/TRE_A05-TypeDocComplementaire/FHIR/TRE-A05-TypeDocComplementaire"
LOINC_OF_THE_ANS = "https://mos.esante.gouv.fr/NOS/TRE_A04-Loinc/FHIR/TRE-A04-Loinc"
FORMATS_OF_IHE = "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode"
MIME_TYPE_SUFFICIENT = "urn:ihe:iti:xds:2017:mimeTypeSufficient"

URI = "urn:ietf:rfc:3986"

#: Code systems by the OID that CDA names them by.
SYSTEM_OF_OID = {
    "2.16.840.1.113883.6.1": LOINC,
    "1.2.250.1.213.1.1.4.12": TYPES_OF_THE_RECORD,
    "2.16.840.1.113883.5.25": V3_CONFIDENTIALITY,
    "1.2.250.1.213.1.1.4.13": (
        "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/"
        "TRE-A07-StatutVisibiliteDocument"
    ),
    "1.2.250.1.71.4.2.4": (
        "https://mos.esante.gouv.fr/NOS/TRE_R02-SecteurActivite/FHIR/TRE-R02-SecteurActivite"
    ),
    "1.2.250.1.213.1.1.4.9": (
        "https://mos.esante.gouv.fr/NOS/TRE_A01-CadreExercice/FHIR/TRE-A01-CadreExercice"
    ),
}
