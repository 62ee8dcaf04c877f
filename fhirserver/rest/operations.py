"""Operations over HTTP (https://hl7.org/fhir/R4/operations.html#executing)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import Invalid, NotFound, NotSupported
from fhirserver.model import json, xml
from fhirserver.model.version import Version
from fhirserver.operation import OPERATIONS
from fhirserver.operation.call import Call, File, Made
from fhirserver.rest.answer import Answer
from fhirserver.rest.formats import FORM, JSON, XML
from fhirserver.rest.outcome import outcome
from fhirserver.rest.request import REPRESENTATION, parse_query
from fhirserver.rest.searching import searchset_of

if TYPE_CHECKING:
    from fhirserver.operation.call import Operation
    from fhirserver.rest.request import Request

_DECODERS = {JSON: json.decode, XML: xml.decode}


def operation_of(request: Request) -> Operation:
    """The operation the path names. Raises NotFound when it does not exist there."""
    *where, name = request.segments
    code = name.removeprefix("$")
    operation = OPERATIONS.get(code)
    if operation is None:
        raise NotFound(f"This server has no operation ${code[:64]}", code="not-supported")
    level = ("system", "type", "instance")[len(where)]
    if not getattr(operation, level):
        raise NotFound(f"${code} cannot be called on the {level}", code="not-supported")
    if where and operation.types and where[0] not in operation.types:
        raise NotFound(f"${code} is not for {where[0]}", code="not-supported")
    return operation


def methods_of(request: Request) -> tuple[str, ...]:
    operation = operation_of(request)
    return ("GET", "POST") if operation.get and not operation.affects_state else ("POST",)


async def invoke(request: Request) -> Answer:
    operation = operation_of(request)
    where = request.segments[:-1]
    query = [p for p in request.parameters if p[0] not in REPRESENTATION]
    body = None
    if request.method == "POST":
        if request.bundled:
            body = request.resource
        elif request.body.strip():
            content_type = request.header(b"content-type") or ""
            if content_type.partition(";")[0].strip().lower() == FORM:
                query += parse_query(request.form())
            else:
                try:
                    body = request.content(decoders=_DECODERS)[1]
                except Invalid as error:
                    if operation.code != "validate":
                        raise
                    # What the format's reader finds wrong in a resource is an issue of it.
                    return Answer(200, json.encode(outcome(error.issues)))
        if body is not None and not isinstance(body, dict):
            raise Invalid("An operation's body is a resource")
    call = Call(
        where[0] if where else None,
        where[1] if len(where) > 1 else None,
        tuple(query),
        body,
        request.method,
    )
    result = await operation.run(request.ctx, call)
    if isinstance(result, File):
        if request.bundled:
            raise NotSupported(f"${operation.code} answers a file, which no Bundle can hold.")
        disposition = f'attachment; filename="{result.name}"'.encode()
        return Answer(
            200,
            headers=((b"content-disposition", disposition),),
            content_type=result.content_type,
            pieces=result.pieces,
        )
    if isinstance(result, Version):
        return Answer(200, result.content, result)
    if isinstance(result, Made):
        return _made(request, result)
    if isinstance(result, dict):
        return Answer(200, json.encode(result))
    path = "/".join((request.ctx.base_url, *request.segments))
    return Answer(
        200, searchset_of(request, result, path), touched=(*result.matches, *result.included)
    )


def _made(request: Request, made: Made) -> Answer:
    location = None
    if made.stored is not None:
        stored = made.stored
        location = f"{request.ctx.base_url}/{stored.type}/{stored.id}/_history/{stored.version}"
    return Answer(
        200, json.encode(made.resource), made.stored, location=location, touched=made.versions
    )
