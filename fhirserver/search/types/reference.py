"""Reference search parameters (https://hl7.org/fhir/R4/search.html#reference).

`Patient/1`, `1` (any type the parameter may point to), an absolute URL (one under our own base is
local), a canonical with or without |version, a urn. A reference to one version of a resource is
found by the resource and, with `/_history/n`, by the version.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.search.entries import ReferenceEntry, TokenEntry
from fhirserver.search.expression import Both, Compare, Either
from fhirserver.search.types import Converter
from fhirserver.search.types.fold import LONGEST

if TYPE_CHECKING:
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Test

MODIFIERS = frozenset({"identifier"})  # and the name of each target type

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def localise(text: str, bases: tuple[str, ...]) -> tuple[str, str, str | None]:
    """(type, id, version) of a literal reference to this server, else ("", the text, None)."""
    for base in bases:
        if text.startswith(base):
            relative = text[len(base) :].lstrip("/")
            if relative.partition("/")[0] in RESOURCE_TYPES:
                text = relative
                break
    parts = text.split("/")
    if parts[0] in RESOURCE_TYPES and _ID.fullmatch(parts[-1]):
        if len(parts) == 2:
            return parts[0], parts[1], None
        if len(parts) == 4 and parts[2] == "_history":
            return parts[0], parts[1], parts[3]
    return "", text[:LONGEST], None


def lower(
    text: str, type: str | None, targets: tuple[str, ...], bases: tuple[str, ...] = ()
) -> Test:
    """The test of one value, already unescaped; `type` is the modifier, if any."""
    found_type, found_id, version = localise(text, bases)
    if found_type:
        if type is not None and type != found_type:
            raise Invalid(f"'{text[:64]}' is not a reference to a {type}")
        if version is not None:
            return _exactly("", f"{found_type}/{found_id}/_history/{version}")
        test = _exactly(found_type, found_id)
        if "://" in text:
            # A canonical URL is kept as it stands even when it is under our own base.
            return Either((test, _exactly("", text[:LONGEST])))
        return test
    if _ID.fullmatch(text):
        if type is not None:
            return _exactly(type, text)
        same = Compare("id", "eq", text)
        if not targets or len(targets) > 30:
            return same
        return Both((same, Compare("type", "in", ("", *targets))))
    if type is not None:
        raise Invalid(f"'{text[:64]}' is not the id of, or a reference to, a {type}")
    return _exactly("", found_id)


def _exactly(type: str, id: str) -> Test:
    return Both((Compare("type", "eq", type), Compare("id", "eq", id)))


# --- entries --------------------------------------------------------------------------------


def converter(
    bases: tuple[str, ...],
) -> Converter:
    """The converter of a Reference, on a server known by `bases`."""

    def convert(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
        text = value.get("reference")
        identifier = value.get("identifier")
        if text is None or text[:1] == "#":
            presence(params, value, out)
        else:
            type, id, version = localise(text, bases)
            out += [ReferenceEntry(param, type, id) for param in params]
            if version is not None:
                out += [
                    ReferenceEntry(param, "", f"{type}/{id}/_history/{version}") for param in params
                ]
        if identifier is not None:
            system, code = identifier.get("system", ""), identifier.get("value", "")
            if system or code:
                out += [
                    TokenEntry(f"{param}:identifier", system, code[:LONGEST]) for param in params
                ]

    return convert


def canonical(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    """A canonical or uri; one with a version is also found without it."""
    if not isinstance(value, str):
        return
    text = value[:LONGEST]
    out += [ReferenceEntry(param, "", text) for param in params]
    url, bar, _ = text.partition("|")
    if bar:
        out += [ReferenceEntry(param, "", url) for param in params]


def resource(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    """A resource in a Bundle: what a reference to it would say."""
    type, id = value.get("resourceType"), value.get("id")
    out += [
        ReferenceEntry(param, type, id) if id else ReferenceEntry(param, None, None)
        for param in params
    ]


def presence(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
    out += [ReferenceEntry(param, None, None) for param in params]


def converters(
    bases: tuple[str, ...],
) -> dict[str, Converter]:
    reference = converter(bases)

    def url(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
        """An address, such as Attachment.url; that of a resource here is a reference to it."""
        if not isinstance(value, str):
            return
        type, id, _ = localise(value[:LONGEST], bases)
        out += [ReferenceEntry(param, type, id) for param in params]

    def untyped(params: tuple[str, ...], value: Any, out: list[Entry]) -> None:
        if isinstance(value, str):
            canonical(params, value, out)
        elif "resourceType" in value:
            resource(params, value, out)
        else:
            reference(params, value, out)

    return (
        {"Reference": reference, "": untyped, "url": url}
        | dict.fromkeys(("canonical", "uri", "oid", "uuid", "string"), canonical)
        | dict.fromkeys(("Resource", *RESOURCE_TYPES), resource)
    )
