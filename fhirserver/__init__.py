"""fhirserver: the FHIR R4 server behind a citizen's health space."""

__version__ = "0.1.0"
