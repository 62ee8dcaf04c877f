"""What can go wrong, in FHIR's words and without HTTP.

Every error carries a list of issues in the shape of OperationOutcome.issue
(https://hl7.org/fhir/R4/operationoutcome.html). `rest/outcome.py` holds the one table that gives
each class its HTTP status; nobody else speaks of statuses.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue.

    `severity`: fatal | error | warning | information.
    `code`: a code of http://hl7.org/fhir/issue-type, e.g. invalid, structure, required, value.
    `expression`: FHIRPath of the place, e.g. `Patient.name[0].given[1]`; empty when there is none.
    """

    severity: str
    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()


class FHIRError(Exception):
    """Anything the server tells a caller by an OperationOutcome."""

    code = "processing"

    def __init__(
        self, diagnostics: str = "", *, issues: tuple[Issue, ...] = (), code: str | None = None
    ) -> None:
        self.issues = issues or (Issue("error", code or self.code, diagnostics),)
        super().__init__(diagnostics or self.issues[0].diagnostics)


class Malformed(FHIRError):
    """The body cannot be read: not JSON or XML, duplicate keys, NaN, too deep, DOCTYPE."""

    code = "structure"


class Invalid(FHIRError):
    """The request or the resource breaks a rule of FHIR: answer 400."""

    code = "invalid"


class Unprocessable(FHIRError):
    """The resource is well formed, but a business rule or a profile refuses it: answer 422."""

    code = "processing"


class NotFound(FHIRError):
    """No such resource, version, type or operation (or the caller may not know of it)."""

    code = "not-found"


class Gone(FHIRError):
    """The resource, or this version of it, is deleted. `version`, `updated` (microseconds
    since 1970): of the deletion, where it is known."""

    code = "deleted"

    def __init__(
        self,
        diagnostics: str = "",
        *,
        issues: tuple[Issue, ...] = (),
        code: str | None = None,
        version: int = 0,
        updated: int = 0,
    ) -> None:
        super().__init__(diagnostics, issues=issues, code=code)
        self.version = version
        self.updated = updated


class Conflict(FHIRError):
    """The write meets a state of the store that it cannot go on from: answer 409."""

    code = "conflict"


class PreconditionFailed(FHIRError):
    """If-Match, If-None-Match or a conditional reference does not hold."""

    code = "conflict"


class MultipleMatches(PreconditionFailed):
    """A conditional interaction's criteria select more than one resource."""

    code = "multiple-matches"


class NotSupported(FHIRError):
    """The interaction or feature is not available here: answer 400, or 405 on a known URL."""

    code = "not-supported"


class MethodNotAllowed(FHIRError):
    """The HTTP method has no meaning on this URL."""

    code = "not-supported"


class UnsupportedMediaType(FHIRError):
    """The body's Content-Type is none this server reads."""

    code = "not-supported"


class NotAcceptable(FHIRError):
    """None of the formats in Accept can be given."""

    code = "not-supported"


class TooLarge(FHIRError):
    """The body, the Bundle or the answer is over a limit."""

    code = "too-long"


class UrlTooLong(TooLarge):
    """The URL is over the limit."""


class TooCostly(FHIRError):
    """The search would take more than this server gives to one request."""

    code = "too-costly"


class TooManyRequests(FHIRError):
    """More requests from one address than this server answers in that time."""

    code = "throttled"


class Unavailable(FHIRError):
    """The store cannot take the request now; the client may try again."""

    code = "transient"


class Forbidden(FHIRError):
    """The caller is known and may not do this."""

    code = "forbidden"


class Unauthenticated(FHIRError):
    """The caller has shown no valid token."""

    code = "login"
