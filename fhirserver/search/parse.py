"""A search request's parameters to a query and what shapes its result.

https://hl7.org/fhir/R4/search.html. A parameter this server does not know is left out and named
in `ignored`, or refused when the client asked for strict handling; a modifier or a value that it
cannot read is refused always, since leaving it out would give a wrong result.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from fhirserver.errors import Invalid, TooCostly
from fhirserver.model.dates import microseconds
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.search.criterion import criterion
from fhirserver.search.expression import All, Everything, Expression, Query, Sort
from fhirserver.search.lower import Setting, Terminology, UnknownParameter
from fhirserver.search.result import (
    SUMMARIES,
    TOTALS,
    Include,
    parse_choice,
    parse_count,
    parse_elements,
    parse_include,
    parse_sort,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from fhirserver.conformance.registry import Registry

#: More parameters than this in one request are refused.
MOST_PARAMETERS = 500

#: Of the HTTP interaction, not of the search.
_PASSED_OVER = frozenset({"_format", "_pretty", "_cursor"})

#: Of query languages, never of FHIR: who writes them means a test, and its loss would show more.
_OPERATORS = frozenset("[]{}$")

_CONTAINED = frozenset({"false", "true", "both"})
_CONTAINED_TYPES = frozenset({"container", "contained"})
_ONCE = frozenset(
    {"_count", "_total", "_summary", "_elements", "_contained", "_containedType", "_type"}
)
_RESULT = _ONCE | {"_sort", "_include", "_revinclude"}


@dataclass(frozen=True)
class Search:
    """A search request as understood. `applied` rebuilds the self link; `ignored` names the
    parameters left out."""

    query: Query
    includes: tuple[Include, ...] = ()
    revincludes: tuple[Include, ...] = ()
    total: str | None = None
    summary: str | None = None
    elements: tuple[str, ...] = ()
    contained: str = "false"
    contained_type: str = "container"
    applied: tuple[tuple[str, str], ...] = ()
    ignored: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()  # why, one for each of `ignored`


@dataclass
class _Gathered:
    where: list[Expression] = field(default_factory=list)
    sort: list[Sort] = field(default_factory=list)
    includes: list[Include] = field(default_factory=list)
    revincludes: list[Include] = field(default_factory=list)
    shape: dict[str, str] = field(default_factory=dict)
    applied: list[tuple[str, str]] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)


def parse(
    registry: Registry,
    types: tuple[str, ...],
    parameters: Sequence[tuple[str, str]],
    *,
    strict: bool,
    local_bases: tuple[str, ...] = (),
    now: datetime,
    default_count: int = 20,
    max_count: int = 1000,
    terminology: Terminology | None = None,
) -> Search:
    """What a search on `types` (empty: on the system) asks for. Raises Invalid or NotSupported."""
    if len(parameters) > MOST_PARAMETERS:
        raise TooCostly(f"The request has over {MOST_PARAMETERS} parameters.")
    setting = _setting(registry, local_bases, now, terminology)
    found = _Gathered()
    types = _types(types, parameters)
    for name, text in parameters:
        if name in _PASSED_OVER:
            continue
        try:
            known = _take(setting, types, name, text, found)
        except UnknownParameter as error:
            if strict:
                raise
            if not _OPERATORS.isdisjoint(name):
                raise Invalid(
                    f"'{name[:64]}' is no name of a parameter: operators of a database are none of "
                    "FHIR's; prefixes of values (gt, le) and modifiers (name:exact) are"
                ) from None
            found.ignored.setdefault(name, str(error))
            continue
        if known:
            found.applied.append((name, text))
        elif strict:
            raise Invalid(f"{name[:64]}: the parameter has no value")
        else:
            found.ignored.setdefault(name, "the parameter has no value")
    shape = found.shape
    count = parse_count(shape["_count"], max_count) if "_count" in shape else default_count
    summary = shape.get("_summary")
    if summary == "count":
        count = 0
    elif count == 0:
        summary = "count"
    if summary == "text" and (found.includes or found.revincludes):
        raise Invalid("_summary=text cannot be asked for together with _include or _revinclude")
    return Search(
        query=Query(
            types=types,
            where=_all(found.where),
            sort=tuple(dict.fromkeys(found.sort)),
            count=count,
        ),
        includes=tuple(dict.fromkeys(found.includes)),
        revincludes=tuple(dict.fromkeys(found.revincludes)),
        total=shape.get("_total"),
        summary=summary,
        elements=tuple(parse_elements(shape.get("_elements", ""))),
        contained=shape.get("_contained", "false"),
        contained_type=shape.get("_containedType", "container"),
        applied=tuple(found.applied),
        ignored=tuple(found.ignored),
        warnings=tuple(found.ignored.values()),
    )


def criteria(
    registry: Registry,
    type: str,
    text: str,
    *,
    local_bases: tuple[str, ...] = (),
    now: datetime,
    terminology: Terminology | None = None,
) -> Query:
    """The query of a conditional interaction: `identifier=s|v&active=true`, perhaps after `?` or
    `Type?`. Nothing is left out here: Invalid for any parameter not known or without value."""
    head, mark, tail = text.partition("?")
    if mark and head in ("", type):
        text = tail
    setting = _setting(registry, local_bases, now, terminology)
    where: list[Expression] = []
    try:
        parameters = parse_qsl(
            text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS
        )
    except ValueError:
        raise Invalid("The criteria are not the query part of a URL.") from None
    for name, value in parameters:
        if name in _PASSED_OVER:
            continue
        if name.partition(":")[0] in _RESULT:
            raise Invalid(f"{name[:64]}: only search criteria may be given here")
        expression = criterion(setting, (type,), name, value)
        if expression is None:
            raise Invalid(f"{name[:64]}: the parameter has no value")
        where.append(expression)
    return Query(types=(type,), where=_all(where), count=2)


def _setting(
    registry: Registry,
    local_bases: tuple[str, ...],
    now: datetime,
    terminology: Terminology | None,
) -> Setting:
    bases = tuple(base.rstrip("/") + "/" for base in local_bases)
    return Setting(registry, microseconds(now), bases, terminology)


def _all(parts: list[Expression]) -> Expression:
    different = tuple(dict.fromkeys(parts))
    if not different:
        return Everything()
    return different[0] if len(different) == 1 else All(different)


def _types(types: tuple[str, ...], parameters: Sequence[tuple[str, str]]) -> tuple[str, ...]:
    stated = [text for name, text in parameters if name == "_type"]
    if types or not stated:
        return types
    names = [name for name in stated[0].split(",") if name]
    for name in names:
        if name not in RESOURCE_TYPES:
            raise Invalid(f"_type: '{name[:64]}' is not an R4 resource type")
    return tuple(dict.fromkeys(names))


def _take(setting: Setting, types: tuple[str, ...], name: str, text: str, found: _Gathered) -> bool:
    """Take one parameter in; False when it says nothing."""
    code, colon, modifier = name.partition(":")
    if code not in _RESULT or code.startswith("_has"):
        expression = criterion(setting, types, name, text)
        if expression is None:
            return False
        found.where.append(expression)
        return True
    if code in ("_include", "_revinclude"):
        include = parse_include(setting.registry, code, modifier if colon else None, text)
        (found.includes if code == "_include" else found.revincludes).append(include)
        return True
    if colon:
        raise Invalid(f"{code}: the modifier :{modifier[:64]} is not known here")
    if "\0" in text:
        raise Invalid(f"{code}: a value may not contain the character NUL")
    if not text:
        return False
    if code == "_sort":
        found.sort += parse_sort(setting.registry, types, text)
        return True
    if code in found.shape:
        raise Invalid(f"{code}: the parameter may be given once only")
    if code == "_summary":
        parse_choice(code, text, SUMMARIES)
    elif code == "_total":
        parse_choice(code, text, TOTALS)
    elif code == "_contained":
        parse_choice(code, text, _CONTAINED)
    elif code == "_containedType":
        parse_choice(code, text, _CONTAINED_TYPES)
    elif code == "_count":
        parse_count(text, 0)
    elif code == "_elements":
        parse_elements(text)
    elif code == "_type" and types and not set(text.split(",")) >= set(types):
        raise Invalid(f"_type: only {', '.join(types)} is searched here")
    found.shape[code] = text
    return True
