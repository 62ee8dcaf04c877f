"""Whether this server can search by a SearchParameter resource.

https://hl7.org/fhir/R4/searchparameter.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from fhirserver.conformance.search_parameter import Component, SearchParameter
from fhirserver.errors import Invalid, Issue
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.model.fhirpath import compile_node, compile_typed
from fhirserver.model.fhirpath_steps import steps
from fhirserver.model.fhirpath_syntax import NotFHIRPath, Unsupported, parse

if TYPE_CHECKING:
    from collections.abc import Callable

_TYPES = frozenset(
    {"number", "date", "string", "token", "reference", "composite", "quantity", "uri"}
)
_STATUSES = frozenset({"draft", "active", "retired", "unknown"})
_CODE = re.compile(r"[A-Za-z_][A-Za-z0-9_\-]{0,63}", re.ASCII)
_ABSTRACT = frozenset({"Resource", "DomainResource"})

#: Names that a search request uses otherwise.
_RESERVED = frozenset(
    (
        *("_id", "_lastUpdated", "_tag", "_profile", "_security", "_source", "_text", "_content"),
        *("_list", "_has", "_type", "_filter", "_query", "_sort", "_count", "_total", "_summary"),
        *("_elements", "_include", "_revinclude", "_contained", "_containedType"),
        *("_format", "_pretty", "_since", "_at", "_cursor"),
    )
)


def check(
    resource: dict[str, Any], by_url: Callable[[str], SearchParameter | None]
) -> SearchParameter:
    """The parameter that `resource` defines; Invalid, with the place, when it cannot be used."""
    if resource.get("resourceType") != "SearchParameter":
        raise _invalid("it is not a SearchParameter", "resourceType")
    url = _required(resource, "url")
    code = _required(resource, "code")
    status = _required(resource, "status")
    type = _required(resource, "type")
    if not _CODE.fullmatch(code):
        raise _invalid(
            f"the code '{code[:64]}' cannot be a parameter's name: letters, digits, _ and - only",
            "code",
        )
    if code in _RESERVED:
        known = by_url(url)
        if known is None or known.code != code:
            raise _invalid(f"'{code}' has a meaning of its own in every search", "code")
    if status not in _STATUSES:
        raise _invalid(f"'{status[:32]}' is not a publication status", "status")
    if type not in _TYPES:
        raise _invalid(
            f"this server has no runtime parameters of type '{type[:32]}': "
            f"only {', '.join(sorted(_TYPES))}",
            "type",
        )
    base = _codes(resource, "base", required=True)
    for place, name in enumerate(base):
        if name not in RESOURCE_TYPES and name not in _ABSTRACT:
            raise _invalid(f"R4 has no resource type '{name[:64]}'", f"base[{place}]")
    targets = _codes(resource, "target")
    for place, name in enumerate(targets):
        if name not in RESOURCE_TYPES:
            raise _invalid(f"R4 has no resource type '{name[:64]}'", f"target[{place}]")
    expression = resource.get("expression", "")
    if not isinstance(expression, str) or not expression.strip():
        raise _invalid("it has no expression, so nothing could be indexed", "expression")
    _check_expression(expression, base, "expression")
    components = _components(resource, type, by_url)
    return SearchParameter(
        url=url,
        code=code,
        type=type,
        base=base,
        expression=expression,
        targets=targets,
        components=components,
        multiple_or=resource.get("multipleOr") is not False,
        multiple_and=resource.get("multipleAnd") is not False,
        comparators=_codes(resource, "comparator"),
        modifiers=_codes(resource, "modifier"),
        chains=_codes(resource, "chain"),
        runtime=True,
        active=status == "active",
        description=str(resource.get("description", "")),
    )


def _components(
    resource: dict[str, Any],
    type: str,
    by_url: Callable[[str], SearchParameter | None],
) -> tuple[Component, ...]:
    stated = resource.get("component") or []
    if type != "composite":
        if stated:
            raise _invalid("only a composite has components", "component")
        return ()
    if not isinstance(stated, list) or len(stated) < 2:
        raise _invalid("a composite needs at least two components", "component")
    found = []
    for place, row in enumerate(stated):
        where = f"component[{place}]"
        if not isinstance(row, dict):
            raise _invalid("a component is an object", where)
        definition = row.get("definition")
        expression = row.get("expression")
        if not isinstance(definition, str):
            raise _invalid("a component needs its definition", f"{where}.definition")
        known = by_url(definition.partition("|")[0])
        if known is None:
            raise _invalid(
                f"no search parameter '{definition[:200]}' is known", f"{where}.definition"
            )
        if known.type in ("composite", "special"):
            raise _invalid(f"a component cannot be {known.type}", f"{where}.definition")
        if not isinstance(expression, str) or not expression.strip():
            raise _invalid("a component needs its expression", f"{where}.expression")
        _check_syntax(expression, f"{where}.expression")
        found.append(Component(known.url, known.type, expression, known.targets))
    return tuple(found)


def _check_expression(expression: str, base: tuple[str, ...], where: str) -> None:
    _check_syntax(expression, where)
    for type in base:
        if type in _ABSTRACT:
            continue
        try:
            if not steps(expression, type):
                raise _invalid(f"the expression selects nothing on {type}", where)
        except Unsupported:
            continue


def _check_syntax(expression: str, where: str) -> None:
    if len(expression) > 4096:
        raise _invalid("the expression is over 4096 characters", where)
    try:
        compile_node(parse(expression))
    except NotFHIRPath as reason:
        raise _invalid(f"the expression is not FHIRPath: {reason}", where) from None
    except Unsupported as reason:
        try:
            compile_typed(expression)({"resourceType": "Basic"})
        except Exception:  # whatever the complete evaluator makes of bad text
            raise _invalid(
                f"the expression is not what this server can evaluate: {reason}", where
            ) from None


def _required(resource: dict[str, Any], name: str) -> str:
    value = resource.get(name)
    if not isinstance(value, str) or not value:
        raise _invalid(f"it has no {name}", name)
    return value


def _codes(resource: dict[str, Any], name: str, *, required: bool = False) -> tuple[str, ...]:
    value = resource.get(name) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _invalid(f"{name} is a list of codes", name)
    if required and not value:
        raise _invalid(f"it has no {name}", name)
    return tuple(value)


def _invalid(text: str, place: str) -> Invalid:
    return Invalid(
        issues=(
            Issue(
                "error",
                "invalid",
                f"This SearchParameter cannot be used: {text}.",
                (f"SearchParameter.{place}",),
            ),
        )
    )
