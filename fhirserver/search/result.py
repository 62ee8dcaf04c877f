"""Parameters that shape a search's result: order, page, includes, summary.

https://hl7.org/fhir/R4/search.html#return
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid, TooCostly
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.search.expression import Kind, Sort
from fhirserver.search.lower import UnknownParameter, meaning_type
from fhirserver.search.types.convert import KINDS

if TYPE_CHECKING:
    from fhirserver.conformance.registry import Registry
    from fhirserver.conformance.search_parameter import SearchParameter

SUMMARIES = frozenset({"true", "text", "data", "count", "false"})
TOTALS = frozenset({"none", "estimate", "accurate"})
MOST_KEYS = 16

_ELEMENT = re.compile(r"[A-Za-z][A-Za-z0-9]*(\.[A-Za-z][A-Za-z0-9]*)*", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Include:
    """One `_include` or `_revinclude`.

    `type`: the type that has the reference, "*" for any. `param`: the code of the reference
    parameter, "*" for all. `target`: only references to this type. `iterate`: also from what was
    included.
    """

    type: str
    param: str
    target: str | None = None
    iterate: bool = False


def include_parameters(registry: Registry, include: Include, type: str) -> list[SearchParameter]:
    """The reference parameters of resource type `type` that `include` follows."""
    if include.type not in ("*", type):
        return []
    return [
        parameter
        for parameter in registry.parameters(type).values()
        if parameter.type == "reference" and include.param in ("*", parameter.code)
    ]


def parse_include(registry: Registry, name: str, modifier: str | None, text: str) -> Include:
    """`Type:param[:Target]`, `Type:*` or `*`."""
    if modifier not in (None, "iterate", "recurse"):
        raise Invalid(f"{name}: the modifier :{str(modifier)[:64]} is not known; :iterate is")
    iterate = modifier is not None
    parts = text.split(":")
    if text == "*":
        return Include("*", "*", None, iterate)
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise Invalid(f"{name}: '{text[:100]}' is not Type:parameter or Type:parameter:Target")
    type, code, *rest = parts
    for one in (type, *rest):
        if one not in RESOURCE_TYPES and not (one == "*" and one is type):
            raise Invalid(f"{name}: '{one[:64]}' is not an R4 resource type")
    target = rest[0] if rest else None
    if code != "*":
        types = RESOURCE_TYPES if type == "*" else (type,)
        found = [p for t in types if (p := registry.parameter(t, code)) is not None]
        if not found:
            raise Invalid(f"{name}: {type} has no search parameter '{code[:64]}'")
        if all(parameter.type != "reference" for parameter in found):
            raise Invalid(f"{name}: {type}.{code} is of type {found[0].type}, not a reference")
        if target is not None and all(
            parameter.targets and target not in parameter.targets for parameter in found
        ):
            raise Invalid(f"{name}: {type}.{code} does not point to a {target}")
    return Include(type, code, target, iterate)


def parse_sort(registry: Registry, types: tuple[str, ...], text: str) -> list[Sort]:
    """The keys of `_sort`, the first one first."""
    keys: list[Sort] = []
    parts = text.split(",")
    if len(parts) > MOST_KEYS:
        raise TooCostly(f"_sort: over {MOST_KEYS} keys")
    for part in parts:
        code = part.removeprefix("-")
        if not code:
            raise Invalid(f"_sort: '{text[:100]}' has an empty key")
        if ":" in code or "." in code:
            raise Invalid(f"_sort: '{code[:64]}': a key has neither modifier nor chain")
        keys.append(Sort(code, _sort_kind(registry, types, code), part.startswith("-")))
    return keys


def _sort_kind(registry: Registry, types: tuple[str, ...], code: str) -> Kind:
    if code == "_id":
        return Kind.TOKEN
    if code == "_lastUpdated":
        return Kind.DATE
    found: set[str] = set()
    for type in types or ("DomainResource",):
        parameter = registry.parameter(type, code)
        if parameter is None:
            raise UnknownParameter(
                f"_sort: '{code[:64]}' is not a search parameter of "
                f"{type if types else 'every resource'}"
            )
        found.add(meaning_type(parameter))
    kind = found.pop()
    if found:
        raise Invalid(f"_sort: '{code}' is not of the same type for all the types searched")
    if kind in ("composite", "special"):
        raise Invalid(f"_sort: '{code}' is of type {kind} and gives no order")
    return KINDS[kind]


def parse_count(text: str, most: int) -> int:
    """`_count`, never more than this server gives at once."""
    if not _COUNT.fullmatch(text):
        raise Invalid(f"_count: '{text[:32]}' is not a whole number from 0")
    return min(int(text), most)


def parse_choice(name: str, text: str, choices: frozenset[str]) -> str:
    if text not in choices:
        raise Invalid(f"{name}: '{text[:32]}' is not one of {', '.join(sorted(choices))}")
    return text


def parse_elements(text: str) -> list[str]:
    names = [name for name in text.split(",") if name]
    for name in names:
        if not _ELEMENT.fullmatch(name):
            raise Invalid(f"_elements: '{name[:64]}' is not the name of an element")
    return names
