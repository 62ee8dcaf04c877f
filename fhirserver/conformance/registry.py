"""The search parameters and compartments that this server knows.

https://hl7.org/fhir/R4/searchparameter-registry.html,
https://hl7.org/fhir/R4/compartmentdefinition.html

Those of the specification come from profiles/; SearchParameter resources created at run time are
put in and taken out. Each change makes a new `epoch`, by which indexers see that their plans are
out of date.
"""

from __future__ import annotations

import threading
from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.conformance.search_parameter import Component, SearchParameter
from fhirserver.conformance.search_parameter_check import check
from fhirserver.errors import Invalid
from fhirserver.model import shipped
from fhirserver.model.definitions import RESOURCE_TYPES, type_definition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: R4's DocumentReference.relationship has the definitions of its two components exchanged: the
#: code is said to be a reference and the target a token.
_EXCHANGED = frozenset({"http://hl7.org/fhir/SearchParameter/DocumentReference-relationship"})

#: Named queries are not parameters of a search here.
_LEFT_OUT = frozenset({"http://hl7.org/fhir/SearchParameter/Resource-query"})


class Registry:
    """Search parameters by type and code, and compartments. Reading takes no lock: a change
    replaces the tables as a whole."""

    def __init__(self) -> None:
        self.epoch = 1
        self._specified = _specified()
        self._runtime: dict[str, SearchParameter] = {}
        self._by_type: dict[str, Mapping[str, SearchParameter]] = {}
        self._lock = threading.Lock()

    def parameters(self, type: str) -> Mapping[str, SearchParameter]:
        """Every parameter of a resource type by its code, with those of all resources; `Resource`
        gives these alone. KeyError when R4 has no such type."""
        found = self._by_type.get(type)
        if found is None:
            found = self._by_type[type] = self._derive(type)
        return found

    def parameter(self, type: str, code: str) -> SearchParameter | None:
        """The parameter `code` of a resource type."""
        return self.parameters(type).get(code)

    def by_url(self, url: str) -> SearchParameter | None:
        """The parameter with this canonical URL."""
        return self._runtime.get(url) or self._specified.by_url.get(url)

    def runtime(self) -> tuple[SearchParameter, ...]:
        """The parameters that were put in at run time."""
        return tuple(self._runtime.values())

    def compartment(self, name: str) -> Mapping[str, tuple[str, ...]]:
        """The types of compartment `name` (Patient, Encounter ...), each with the codes of the
        parameters that link it; KeyError when there is no such compartment."""
        return _compartments()[name]

    def compartments(self) -> tuple[str, ...]:
        """The names of the compartments."""
        return tuple(_compartments())

    def put(self, resource: dict[str, Any]) -> None:
        """Take in a SearchParameter resource, instead of what had its url. Invalid if the server
        could not search by it. Only an active one is searched by."""
        parameter = self.check(resource)
        with self._lock:
            self._runtime = {**self._runtime, parameter.url: parameter}
            self._changed()

    def check(self, resource: dict[str, Any]) -> SearchParameter:
        """What `put` would take in; Invalid when it would refuse it."""
        parameter = check(resource, self.by_url)
        for type in _concrete(parameter.base):
            same = self.parameters(type).get(parameter.code)
            if same is not None and same.url != parameter.url and parameter.active:
                raise Invalid(
                    f"{type} already has a search parameter '{parameter.code}': {same.url}",
                    code="duplicate",
                )
        return parameter

    def remove(self, url: str) -> None:
        """Forget a SearchParameter resource; a parameter of the specification that it stood for
        is back. Nothing happens if there was none."""
        with self._lock:
            if url in self._runtime:
                self._runtime = {k: v for k, v in self._runtime.items() if k != url}
                self._changed()

    def _changed(self) -> None:
        self._by_type = {}
        self.epoch += 1

    def _derive(self, type: str) -> Mapping[str, SearchParameter]:
        if type not in RESOURCE_TYPES and type not in ("Resource", "DomainResource"):
            raise KeyError(type)
        lineage = _lineage(type)
        runtime = self._runtime
        found: dict[str, SearchParameter] = {}
        for parameter in (*self._specified.of(lineage), *runtime.values()):
            if not any(base in lineage for base in parameter.base):
                continue
            if not parameter.runtime and parameter.url in runtime:
                continue
            if parameter.active:
                found[parameter.code] = parameter
        return MappingProxyType(found)


def _lineage(type: str) -> tuple[str, ...]:
    names = [type]
    while (base := type_definition(names[-1]).base) is not None:
        names.append(base)
    return tuple(reversed(names))


def _concrete(bases: Iterable[str]) -> list[str]:
    found: list[str] = []
    for base in bases:
        if base in RESOURCE_TYPES:
            found.append(base)
        else:
            found += [type for type in sorted(RESOURCE_TYPES) if base in _lineage(type)]
    return found


# --- what the specification has --------------------------------------------------------------


class _ComponentRow(msgspec.Struct):
    definition: str
    expression: str


class _Row(msgspec.Struct):
    url: str
    code: str
    type: str
    base: list[str]
    expression: str = ""
    target: list[str] = []
    component: list[_ComponentRow] = []
    comparator: list[str] = []
    modifier: list[str] = []
    chain: list[str] = []


class _Specified:
    """The parameters of R4, made when a type first asks for them."""

    def __init__(self, rows: list[_Row]) -> None:
        self.rows = {row.url: row for row in rows}
        self.by_base: dict[str, list[str]] = {}
        for row in rows:
            for base in row.base if row.url not in _LEFT_OUT else ():
                self.by_base.setdefault(base, []).append(row.url)
        self._made: dict[str, SearchParameter] = {}
        self.by_url = _ByUrl(self)

    def of(self, bases: Iterable[str]) -> list[SearchParameter]:
        urls = dict.fromkeys(url for base in bases for url in self.by_base.get(base, ()))
        return [self.make(url) for url in urls]

    def make(self, url: str) -> SearchParameter:
        found = self._made.get(url)
        if found is None:
            found = self._made[url] = self._from(self.rows[url])
        return found

    def _from(self, row: _Row) -> SearchParameter:
        definitions = [component.definition for component in row.component]
        if row.url in _EXCHANGED:
            definitions.reverse()
        return SearchParameter(
            url=row.url,
            code=row.code,
            type=row.type,
            base=tuple(row.base),
            expression=row.expression,
            targets=tuple(row.target),
            components=tuple(
                Component(url, self.rows[url].type, c.expression, tuple(self.rows[url].target))
                for url, c in zip(definitions, row.component, strict=True)
            ),
            comparators=tuple(row.comparator),
            modifiers=tuple(row.modifier),
            chains=tuple(row.chain),
        )


class _ByUrl:
    def __init__(self, specified: _Specified) -> None:
        self._specified = specified

    def get(self, url: str) -> SearchParameter | None:
        return self._specified.make(url) if url in self._specified.rows else None


@cache
def _specified() -> _Specified:
    body = shipped.read("profiles", "r4", "search-parameters.json.gz")
    rows = msgspec.json.decode(body, type=list[_Row])
    # Those that the server's own rules search by, beside R4's: one file for each room.
    for file in sorted(shipped.folder("profiles").glob("*/search-parameters.json")):
        rows += msgspec.json.decode(file.read_bytes(), type=list[_Row])
    return _Specified(rows)


@cache
def _compartments() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    body = shipped.read("profiles", "r4", "compartments.json")
    return msgspec.json.decode(body, type=dict[str, dict[str, tuple[str, ...]]])
