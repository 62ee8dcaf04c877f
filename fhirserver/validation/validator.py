"""Validates resources against the base specification of FHIR R4.

https://hl7.org/fhir/R4/validation.html
"""

from __future__ import annotations

from copy import copy
from typing import Any

from fhirserver.errors import Invalid, Issue
from fhirserver.validation.accept import Acceptance
from fhirserver.validation.schema import compile_validator
from fhirserver.validation.structure import Findings, Walk


class Validator:
    """Made once a process (a tenth of a second, 40 MB); has no state that validating changes."""

    def __init__(self) -> None:
        self._acceptance = Acceptance(compile_validator())
        self._advises = False

    def advising(self) -> Validator:
        """The same, but `check` gives the recommendations too, which takes its time."""
        made = copy(self)
        made._advises = True
        return made

    def validate(
        self,
        resource: Any,
        *,
        mode: str = "create",
        conditional_references: bool = False,
        recommendations: bool = False,
    ) -> list[Issue]:
        """Every issue of `resource`, each with its place; none when all is well.

        `mode`: create, update (which needs an id) or delete (nothing of the content matters).
        `conditional_references`: `Patient?identifier=...` may stand where a reference does, as
        in entries of a transaction. `recommendations`: warn of what is only good practice.
        """
        if mode == "delete":
            return []
        if (
            not recommendations
            and not (mode == "update" and isinstance(resource, dict) and "id" not in resource)
            and self.accepts(resource, conditional_references=conditional_references)
        ):
            return []
        findings = Findings()
        walk = Walk(findings, recommendations)
        walk.resource(resource, None, conditional_references=conditional_references)
        if mode == "update" and isinstance(resource, dict) and "id" not in resource:
            type_ = resource.get("resourceType")
            if isinstance(type_, str):
                findings.add("required", type_, "an update needs the resource's 'id'")
        return findings.all()

    def accepts(self, resource: Any, *, conditional_references: bool = False) -> bool:
        """Whether the fast pass finds `resource` right; it errs on the side of refusing."""
        if not isinstance(resource, dict):
            return False
        try:
            return self._acceptance.accepts(resource, conditional_references=conditional_references)
        except (ValueError, TypeError, RecursionError):
            return False  # not what a JSON decoder gives: lone surrogates, odd keys, no bottom

    def check(
        self, resource: Any, *, mode: str = "create", conditional_references: bool = False
    ) -> list[Issue]:
        """Raise Invalid with every issue when `resource` has an error; else the warnings."""
        issues = self.validate(
            resource,
            mode=mode,
            conditional_references=conditional_references,
            recommendations=self._advises,
        )
        errors = [issue for issue in issues if issue.severity in ("fatal", "error")]
        if errors:
            raise Invalid(errors[0].diagnostics, issues=tuple(issues))
        return issues
