"""How this service says no: 422 with the reason and the place."""

from __future__ import annotations

from fhirserver.errors import Issue, Unprocessable


def issue(text: str, *places: str, code: str = "business-rule") -> Issue:
    return Issue("error", code, text, places)


def refused(text: str, *places: str, code: str = "business-rule") -> Unprocessable:
    return Unprocessable(issues=(issue(text, *places, code=code),))
