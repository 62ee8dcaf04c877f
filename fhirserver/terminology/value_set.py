"""Value sets of the specification, expanded as far as their code systems are known.

https://hl7.org/fhir/R4/valueset.html#compositions
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache

import msgspec

from fhirserver.model import shipped
from fhirserver.terminology.code_system import GRAMMARS, CodeSystem, code_system


class _Component(msgspec.Struct):
    system: str | None = None
    concept: list[str] | None = None
    filter: list[tuple[str, str, str]] = []
    valueSet: list[str] = []  # the table's own name


class _Row(msgspec.Struct):
    include: list[_Component] = []
    exclude: list[_Component] = []
    expansion: dict[str, list[str]] | None = None


@dataclass(frozen=True, slots=True)
class Expansion:
    """The codes of a value set that are known, and where there may be more.

    `open_systems`: systems of which the set may hold codes that are not known here;
    `open`: it may hold codes of any system. `grammars`: systems that are defined by a form.
    """

    codes: Mapping[str, frozenset[str]]
    grammars: Mapping[str, Callable[[str], bool]] = field(default_factory=dict)
    open_systems: frozenset[str] = frozenset()
    open: bool = False

    @property
    def closed(self) -> bool:
        """`codes` is all there is."""
        return not (self.open or self.open_systems or self.grammars)


@cache
def _table() -> dict[str, msgspec.Raw]:
    body = shipped.read("terminology", "r4", "value-sets.json.gz")
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])


def expansion(url: str) -> Expansion | None:
    """The expansion of the value set `url`; None when this server does not hold the set."""
    return _expanded(url) if url in _table() else None


@cache
def _expanded(url: str) -> Expansion | None:
    return _expand(url, ())


def _expand(url: str, above: tuple[str, ...]) -> Expansion | None:
    raw = _table().get(url)
    if raw is None or url in above:
        return None
    row = msgspec.json.decode(raw, type=_Row)
    if row.expansion is not None:
        return Expansion({system: frozenset(codes) for system, codes in row.expansion.items()})
    included = _union([_component(c, (*above, url)) for c in row.include])
    for component in row.exclude:
        included = _without(included, _component(component, (*above, url)))
    return included


def _component(component: _Component, above: tuple[str, ...]) -> Expansion:
    parts = [_expand(url.partition("|")[0], above) or _UNKNOWN for url in component.valueSet]
    if component.system is not None:
        parts.append(_of_system(component, component.system))
    found = parts[0] if parts else _UNKNOWN
    for part in parts[1:]:
        found = _intersection(found, part)
    return found


_UNKNOWN = Expansion({}, open=True)


def _of_system(component: _Component, url: str) -> Expansion:
    if component.concept is not None:
        return Expansion({url: frozenset(component.concept)})
    if url in GRAMMARS and not component.filter:
        return Expansion({}, grammars={url: GRAMMARS[url]})
    system = code_system(url)
    if system is None:
        return Expansion({}, open_systems=frozenset((url,)))
    codes = frozenset(system.parents)
    for property_, operator, value in component.filter:
        selected = _filter(system, property_, operator, value)
        if selected is None:
            return Expansion({}, open_systems=frozenset((url,)))
        codes &= selected
    return Expansion({url: codes}, open_systems=frozenset(() if system.complete else (url,)))


def _filter(system: CodeSystem, property_: str, operator: str, value: str) -> frozenset[str] | None:
    """The codes a filter selects; None when it speaks of what the table does not hold."""
    if property_ == "concept":
        if operator == "is-a":
            return system.below(value) | {value}
        if operator == "descendent-of":
            return system.below(value)
        if operator == "is-not-a":
            return frozenset(system.parents) - system.below(value) - {value}
        if operator == "in":
            return frozenset(value.split(","))
    if property_ == "code" and operator == "regex":
        pattern = re.compile(value)
        return frozenset(code for code in system.parents if pattern.fullmatch(code))
    if property_ == "parent" and operator == "=":
        return frozenset(code for code, above in system.parents.items() if value in above)
    return None


def _union(parts: list[Expansion]) -> Expansion:
    codes: dict[str, frozenset[str]] = {}
    grammars: dict[str, Callable[[str], bool]] = {}
    open_systems: frozenset[str] = frozenset()
    for part in parts:
        for system, found in part.codes.items():
            codes[system] = codes.get(system, frozenset()) | found
        grammars.update(part.grammars)
        open_systems |= part.open_systems
    return Expansion(codes, grammars, open_systems, any(part.open for part in parts))


def _intersection(one: Expansion, other: Expansion) -> Expansion:
    codes = {
        system: found & other.codes.get(system, frozenset()) for system, found in one.codes.items()
    }
    if one.closed and other.closed:
        return Expansion(codes)
    systems = one.codes.keys() | other.codes.keys() | one.open_systems | other.open_systems
    return Expansion(codes, open_systems=frozenset(systems), open=one.open and other.open)


def _without(one: Expansion, other: Expansion) -> Expansion:
    codes = {
        system: found - other.codes.get(system, frozenset()) for system, found in one.codes.items()
    }
    if other.closed:
        return Expansion(codes, one.grammars, one.open_systems, one.open)
    return Expansion({}, one.grammars, frozenset(one.codes) | one.open_systems, one.open)
