"""Where FHIR is served, below the server's root."""

PATH = "/fhir"
