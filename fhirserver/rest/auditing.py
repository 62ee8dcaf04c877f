"""What the audit trail is told of a request, in the words of
https://hl7.org/fhir/R4/codesystem-restful-interaction.html."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.audit.trail import Access

if TYPE_CHECKING:
    from fhirserver.model.version import Version
    from fhirserver.rest.answer import Answer
    from fhirserver.rest.request import Request

_LONGEST = 8000  # characters of a request that are kept

_BY_METHOD = {"PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_HISTORY = ("history-system", "history-type", "history-instance", "vread")


def accesses_of(request: Request, answer: Answer) -> tuple[Access, ...]:
    """The accesses of a request, about to be answered so. None for a write, which was recorded
    with its commit; one for each entry of a Bundle."""
    if answer.accesses is not None:
        return answer.accesses
    if answer.recorded:
        return ()
    versions = answer.touched
    if not versions and answer.version is not None and answer.version.version:
        versions = (answer.version,)
    return (access_of(request, answer.status, versions=versions),)


def access_of(request: Request, status: int, *, versions: tuple[Version, ...] = ()) -> Access:
    segments = request.segments
    named = (segments[0], segments[1]) if len(segments) > 1 and _names(segments) else None
    return Access(
        interaction_of(request),
        as_sent(request),
        request.request_id,
        request.address,
        versions,
        status,
        named,
    )


def _names(segments: tuple[str, ...]) -> bool:
    return not segments[0].startswith(("_", "$")) and not segments[1].startswith(("_", "$"))


def interaction_of(request: Request) -> str:
    """The code of the interaction that a request asks for, whether there is such a thing or not."""
    method, segments = request.method, request.segments
    if method in _BY_METHOD:
        return _BY_METHOD[method]
    if any(segment.startswith("$") for segment in segments):
        return "operation"
    if segments[-1:] == ("_search",):
        return "search"
    if "_history" in segments:
        return _HISTORY[min(len(segments) - 1, 3)]
    if method == "POST":
        return "create" if segments else "batch"
    return "read" if len(segments) == 2 else "search"


def as_sent(request: Request) -> str:
    """Method, path and query; of a search by POST its form too."""
    path = "/" + "/".join(request.segments)
    text = f"{request.method} {path}"
    if request.raw_query:
        text += f"?{request.raw_query}"
    if request.method == "POST" and request.segments[-1:] == ("_search",):
        text += "\n\n" + request.body[:_LONGEST].decode(errors="replace")
    return text[:_LONGEST]
