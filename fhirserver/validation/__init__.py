"""Is this resource right? Structure, invariants and narrative, as a list of issues."""

from fhirserver.validation.validator import Validator

__all__ = ["Validator"]
