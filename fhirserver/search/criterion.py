"""One name and value of a search request: modifiers, chains and `_has`, to an expression.

https://hl7.org/fhir/R4/search.html#chaining, https://hl7.org/fhir/R4/search.html#has
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid, NotSupported
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.model.fhirpath_steps import steps
from fhirserver.model.fhirpath_syntax import Unsupported
from fhirserver.search import through_contained
from fhirserver.search.expression import (
    All,
    AnyOf,
    Chain,
    Expression,
    Has,
    Identity,
    OfType,
)
from fhirserver.search.lower import Setting, UnknownParameter, lower, target_type
from fhirserver.search.types.escape import split, unescape

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.conformance.search_parameter import SearchParameter

_URL_TYPES = frozenset({"canonical", "uri", "url"})

#: How many references a chain or `_has` may follow.
DEEPEST = 16


def criterion(
    setting: Setting, types: tuple[str, ...], name: str, text: str, depth: int = 0
) -> Expression | None:
    """What `name=text` means on resources of `types` (empty: of any type). None when the value
    is empty. Raises UnknownParameter when not all the types have such a parameter."""
    if depth > DEEPEST:
        raise Invalid(f"the parameter follows more than {DEEPEST} references")
    if name.startswith("_has:"):
        return _has(setting, name, text, depth)
    head, dot, tail = name.partition(".")
    code, colon, modifier = head.partition(":")
    if code in ("_list", "_in", "_filter", "_query"):
        return _special(setting, types, code, modifier if colon else None, name, text, depth)
    if dot:
        return _by_signature(
            setting,
            types,
            code,
            lambda parameter: _chain(
                setting, parameter, modifier if colon else None, tail, text, depth
            ),
        )
    return _by_signature(
        setting,
        types,
        code,
        lambda parameter: lower(setting, parameter, modifier if colon else None, text),
    )


def known(setting: Setting, types: tuple[str, ...], code: str) -> dict[str, SearchParameter]:
    """The parameter `code` of each of `types`; of every resource when there are none."""
    found: dict[str, SearchParameter] = {}
    for type in types or ("DomainResource",):
        parameter = setting.registry.parameter(type, code)
        if parameter is None:
            raise UnknownParameter(
                f"'{code[:64]}' is not a search parameter of {type if types else 'every resource'}"
            )
        found[type] = parameter
    return found


def _by_signature(
    setting: Setting,
    types: tuple[str, ...],
    code: str,
    lowered: Callable[[SearchParameter], Expression | None],
) -> Expression | None:
    """Types whose parameters of this code mean the same are asked as one."""
    groups: dict[tuple[object, ...], tuple[SearchParameter, list[str]]] = {}
    for type, parameter in known(setting, types, code).items():
        signature = (parameter.type, parameter.targets, parameter.components)
        groups.setdefault(signature, (parameter, []))[1].append(type)
    if len(groups) == 1:
        ((parameter, _),) = groups.values()
        return lowered(parameter)
    parts = []
    for parameter, of in groups.values():
        part = lowered(parameter)
        if part is None:
            return None
        parts.append(All((OfType(tuple(of)), part)))
    return AnyOf(tuple(parts))


# --- chains ---------------------------------------------------------------------------------


def _chain(
    setting: Setting,
    parameter: SearchParameter,
    modifier: str | None,
    tail: str,
    text: str,
    depth: int,
) -> Expression | None:
    literal = follow(
        parameter,
        modifier,
        tail,
        lambda target: _remembered(setting, target, tail, text, depth),
    )
    if literal is None or not through_contained.followed(parameter.code, tail.partition(":")[0]):
        return literal
    return AnyOf((literal, *_inside(setting, parameter, modifier, tail, text)))


def _inside(
    setting: Setting,
    parameter: SearchParameter,
    modifier: str | None,
    tail: str,
    text: str,
) -> list[Expression]:
    """The condition on contained targets, by the entries that their container has of them."""
    code, colon, tail_modifier = tail.partition(":")
    if colon and tail_modifier not in ("exact", "contains"):
        return []  # what negates asks of every target
    type = target_type(parameter, modifier)
    found: dict[Expression, None] = {}
    for target in (type,) if type is not None else parameter.targets:
        asked = setting.registry.parameter(target, code)
        if asked is not None:
            named = replace(asked, code=through_contained.named(parameter.code, target, code))
            part = lower(setting, named, tail_modifier if colon else None, text)
            if part is not None:
                found[part] = None
    return list(found)


def follow(
    parameter: SearchParameter,
    modifier: str | None,
    tail: str,
    meaning: Callable[[str], Expression | None],
) -> Expression | None:
    """The chain over every type that `parameter` may point to and that has a `meaning`."""
    if parameter.type != "reference":
        raise Invalid(
            f"{parameter.code} is of type {parameter.type}: only references can be followed"
        )
    if points_by_url(parameter):
        raise NotSupported(f"{parameter.code} holds canonical URLs, which are not followed here")
    type = target_type(parameter, modifier)
    targets = (type,) if type is not None else parameter.targets or tuple(sorted(RESOURCE_TYPES))
    groups: dict[Expression, list[str]] = {}
    problem: Invalid | NotSupported | None = None
    for target in targets:
        try:
            expression = meaning(target)
        except UnknownParameter as error:
            problem = problem or error
            continue
        except (Invalid, NotSupported) as error:
            if problem is None or isinstance(problem, UnknownParameter):
                problem = error
            continue
        if expression is None:
            return None
        groups.setdefault(expression, []).append(target)
    if not groups:
        if problem is None:
            raise UnknownParameter(f"{parameter.code}.{tail[:64]} leads nowhere")
        if isinstance(problem, UnknownParameter) and len(targets) > 1:
            raise UnknownParameter(
                f"none of the types that {parameter.code} points to has a parameter "
                f"'{tail.partition('.')[0][:64]}'"
            )
        raise problem
    parts = tuple(Chain(parameter.code, tuple(of), expression) for expression, of in groups.items())
    return parts[0] if len(parts) == 1 else AnyOf(parts)


@lru_cache(maxsize=2048)
def points_by_url(parameter: SearchParameter) -> bool:
    """Whether all that `parameter` holds are canonical URLs and URIs, never references."""
    types: set[str] = set()
    for base in parameter.base:
        if base in RESOURCE_TYPES:
            try:
                types.update(one.type for one in steps(parameter.expression, base))
            except Unsupported:
                return False
    return bool(types) and types <= _URL_TYPES


def _remembered(setting: Setting, type: str, name: str, text: str, depth: int) -> Expression | None:
    key = (type, name, text)
    found = setting.memory.get(key)
    if found is None:
        try:
            found = criterion(setting, (type,), name, text, depth + 1)
        except Invalid as error:
            setting.memory[key] = error
            raise
        if found is not None:
            setting.memory[key] = found
    elif isinstance(found, Invalid):
        raise found
    return found


# --- _has -----------------------------------------------------------------------------------


def _has(setting: Setting, name: str, text: str, depth: int) -> Expression | None:
    parts = name.split(":", 3)
    if len(parts) < 4 or not all(parts):
        raise Invalid(f"'{name[:100]}' is not _has:[type]:[reference parameter]:[parameter]")
    _, type, code, tail = parts
    if type not in RESOURCE_TYPES:
        raise Invalid(f"_has: '{type[:64]}' is not an R4 resource type")
    parameter = known(setting, (type,), code)[type]
    if parameter.type != "reference":
        raise Invalid(f"_has: {type}.{code} is of type {parameter.type}, not a reference")
    if points_by_url(parameter):
        raise NotSupported(f"_has: {type}.{code} holds canonical URLs, which are not followed here")
    source = criterion(setting, (type,), tail, text, depth + 1)
    return None if source is None else Has(type, code, source)


# --- parameters that the specification describes in prose ------------------------------------


def _special(
    setting: Setting,
    types: tuple[str, ...],
    code: str,
    modifier: str | None,
    name: str,
    text: str,
    depth: int,
) -> Expression | None:
    if code == "_query":
        raise NotSupported("_query: this server has no named queries")
    if "." in name or code == "_in":
        raise UnknownParameter(f"'{name[:64]}' is not a search parameter")
    if modifier is not None:
        raise Invalid(f"{code}: the modifier :{modifier[:64]} is not known here")
    if "\0" in text:
        raise Invalid(f"{code}: a value may not contain the character NUL")
    if code == "_filter":
        from fhirserver.search.filter import lower_filter

        if not text.strip():
            return None
        try:
            return lower_filter(setting, types, text, depth)
        except UnknownParameter as error:
            # The parameter is known; leaving it out would find what it was to keep out.
            raise Invalid(f"_filter: {error}") from None
    return _list(text)


def _list(text: str) -> Expression | None:
    """Resources that are items of these Lists (https://hl7.org/fhir/R4/search.html#list)."""
    ids = []
    for value in split(text, ","):
        id = unescape(value).removeprefix("List/")
        if id.startswith("$"):
            raise NotSupported(f"_list: the functional list '{id[:64]}' is not available here")
        if id:
            ids.append(id)
    return Has("List", "item", Identity(tuple(ids))) if ids else None
