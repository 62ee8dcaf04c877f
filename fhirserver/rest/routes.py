"""From method and path to interaction: every form of FHIR's REST API.

https://hl7.org/fhir/R4/http.html#summary. The same `perform` serves HTTP requests and Bundle
entries.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid, MethodNotAllowed, NotFound
from fhirserver.interaction.append_only import APPEND_ONLY
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.rest import metadata, operations, reading, searching, transacting, writing

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fhirserver.rest.answer import Answer
    from fhirserver.rest.request import Request

    Handler = Callable[[Request], Awaitable[Answer]]

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_BY_LOWER_CASE = {name.lower(): name for name in RESOURCE_TYPES}
COMPARTMENTS = frozenset({"Patient", "Encounter", "RelatedPerson", "Practitioner", "Device"})


async def process_bundle(request: Request) -> Answer:
    return await transacting.process_bundle(request, perform)


#: Form of the path -> method -> what serves it. HEAD is GET without the body.
ROUTES: dict[str, dict[str, Handler]] = {
    "system": {"GET": searching.search_system, "POST": process_bundle},
    "metadata": {"GET": metadata.capabilities},
    "system-search": {"POST": searching.search_system},
    "system-history": {"GET": reading.history},
    "type": {
        "GET": searching.search_type,
        "POST": writing.create,
        "PUT": writing.conditional_update,
        "PATCH": writing.conditional_patch,
        "DELETE": writing.conditional_delete,
    },
    "type-search": {"POST": searching.search_type},
    "type-history": {"GET": reading.history},
    "instance": {
        "GET": reading.read,
        "PUT": writing.update,
        "PATCH": writing.patch,
        "DELETE": writing.delete,
    },
    "instance-history": {"GET": reading.history},
    "version": {"GET": reading.vread},
    "compartment": {"GET": searching.search_compartment},
    "compartment-search": {"POST": searching.search_compartment},
    "operation": {"GET": operations.invoke, "POST": operations.invoke},
}


_WRITING = frozenset({"type", "instance"})  # forms that resources are written by


class WrongMethod(MethodNotAllowed):
    """The URL exists, the method does not; `allow` is what the Allow header says."""

    def __init__(self, method: str, allow: tuple[str, ...]) -> None:
        self.allow = allow
        super().__init__(f"{method[:20]} has no meaning here; allowed are {', '.join(allow)}")


def form_of(segments: tuple[str, ...]) -> str:
    """Which of the forms of ROUTES a path has. Raises NotFound, or Invalid for an illegal id."""
    match segments:
        case ():
            return "system"
        case ("metadata",):
            return "metadata"
        case ("_search",):
            return "system-search"
        case ("_history",):
            return "system-history"
        case (name,) if name.startswith("$"):
            return "operation"
        case (type_, *rest):
            check_type(type_)
            return _below_type(type_, tuple(rest))
    raise NotFound("There is nothing at this URL")


def _below_type(type_: str, rest: tuple[str, ...]) -> str:
    match rest:
        case ():
            return "type"
        case ("_search",):
            return "type-search"
        case ("_history",):
            return "type-history"
        case (name,) if name.startswith("$"):
            return "operation"
        case (id_, *below):
            check_id(id_)
            return _below_instance(type_, tuple(below))
    raise NotFound("There is nothing at this URL")


def _below_instance(type_: str, rest: tuple[str, ...]) -> str:
    match rest:
        case ():
            return "instance"
        case ("_history",):
            return "instance-history"
        case ("_history", version):
            check_id(version)
            return "version"
        case (name,) if name.startswith("$"):
            return "operation"
        case (inner,) | (inner, "_search") if type_ in COMPARTMENTS:
            if inner != "*":
                check_type(inner)
            return "compartment" if len(rest) == 1 else "compartment-search"
    raise NotFound("There is nothing at this URL")


def check_type(name: str) -> None:
    if name not in RESOURCE_TYPES:
        right = _BY_LOWER_CASE.get(name.lower())
        hint = f"; names are case-sensitive: {right}" if right else ""
        raise NotFound(f"“{name[:64]}” is no resource type of FHIR R4{hint}", code="not-supported")


def check_id(text: str) -> None:
    if _ID.fullmatch(text) is None:
        raise Invalid(
            f"A logical id is 1 to 64 of the characters A-Z a-z 0-9 - and .; “{text[:80]}” is none",
            code="value",
        )


def methods_of(request: Request, form: str) -> dict[str, Handler]:
    """The methods that have a meaning on a path of this form, and what serves each."""
    methods = ROUTES[form]
    if form == "operation":
        return {m: methods[m] for m in operations.methods_of(request)}
    if form in _WRITING and request.ctx.audit is not None and request.segments[0] in APPEND_ONLY:
        return {"GET": methods["GET"]}
    return methods


def handler_of(request: Request) -> Handler:
    """What serves the request. Raises NotFound, Invalid or WrongMethod."""
    methods = methods_of(request, form_of(request.segments))
    handler = methods.get("GET" if request.method == "HEAD" else request.method)
    if handler is None:
        raise WrongMethod(request.method, allow_of(methods))
    return handler


def allow_of(methods: dict[str, Handler]) -> tuple[str, ...]:
    names = list(methods)
    if "GET" in methods:
        names.insert(names.index("GET") + 1, "HEAD")
    return (*names, "OPTIONS")


async def perform(request: Request) -> Answer:
    """Serve one request, or raise what `rest/outcome.py` has a status for."""
    return await handler_of(request)(request)
