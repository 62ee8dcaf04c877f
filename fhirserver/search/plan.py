"""The index plan of one resource type: the paths of its search parameters as one tree."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product, repeat
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid
from fhirserver.model.fhirpath import compile_node, compile_typed
from fhirserver.model.fhirpath_steps import Key, Steps, Where, steps
from fhirserver.model.fhirpath_syntax import Unsupported, parse
from fhirserver.search.entries import CompositeEntry, Entry
from fhirserver.search.evaluate import ENTRY_CLASS
from fhirserver.search.types import Converter
from fhirserver.search.types.convert import KINDS, converter
from fhirserver.search.types.words import content_entries, text_entries

if TYPE_CHECKING:
    from fhirserver.conformance.registry import Registry
    from fhirserver.conformance.search_parameter import SearchParameter
    from fhirserver.model.definitions import Element

#: Adds the entries of one value.
Run = Callable[[Any, list[Entry]], None]

#: Kept with the resource itself, not in the index.
_OWN = frozenset({"_id", "_lastUpdated", "_text", "_content"})

#: An element with more combinations of component values than this is not searched by the rest.
_COMBINATIONS = 1000

_DEFECTS = (TypeError, AttributeError, KeyError, ValueError, IndexError)


class Plan:
    """How to index resources of one type."""

    def __init__(self, registry: Registry, type: str, bases: tuple[str, ...]) -> None:
        tree = _Tree()
        self._others: list[Run] = []
        self._composites: list[_Composite] = []
        parameters = registry.parameters(type)
        self._has_text = "_text" in parameters
        for parameter in parameters.values():
            if parameter.code in _OWN or not parameter.expression:
                continue
            if parameter.type == "composite":
                self._composites += _composites(parameter, type, bases)
                continue
            try:
                found = steps(parameter.expression, type)
            except Unsupported:
                self._others.append(
                    _by_closure(parameter.expression, parameter.code, parameter.type, bases)
                )
                continue
            for one in found:
                tree.add(one, parameter.type, parameter.code)
        self._top = tree.top(bases)

    def entries(self, resource: dict[str, Any]) -> list[Entry]:
        out: list[Entry] = []
        top = self._top
        for name, value in resource.items():
            run = top.get(name)
            if run is not None:
                try:
                    run(value, out)
                except _DEFECTS:
                    continue
        for composite in self._composites:
            if composite.may_have(resource):
                try:
                    composite.run(resource, out)
                except _DEFECTS:
                    continue
        for run in self._others:
            try:
                run(resource, out)
            except (*_DEFECTS, Invalid):
                continue
        said = text_entries(resource, out) if self._has_text else set()
        content_entries(resource, said, out)
        return list(dict.fromkeys(out))


# --- the tree of paths ----------------------------------------------------------------------


class _Tree:
    def __init__(self) -> None:
        self.keys: dict[Key, _Tree] = {}
        self.wheres: dict[Where, _Tree] = {}
        #: (parameter type, value type, element) -> codes
        self.ends: dict[tuple[str, str, Element | None], list[str]] = {}

    def add(self, path: Steps, parameter_type: str, code: str) -> None:
        node = self
        for step in path.chain:
            if isinstance(step, Key):
                node = node.keys.setdefault(step, _Tree())
            else:
                node = node.wheres.setdefault(step, _Tree())
        codes = node.ends.setdefault((parameter_type, path.type, path.element), [])
        if code not in codes:
            codes.append(code)

    def top(self, bases: tuple[str, ...]) -> dict[str, Run]:
        """What to run for each member of the resource."""
        found: dict[str, list[Run]] = {}
        for key, below in self.keys.items():
            found.setdefault(key.name, []).append(_step(key, below.run(bases)))
        return {name: _both(runs) for name, runs in found.items()}

    def run(self, bases: tuple[str, ...]) -> Run:
        """What to run for a value at this node."""
        runs: list[Run] = [
            _end(converter(parameter_type, value_type, element, bases), tuple(codes))
            for (parameter_type, value_type, element), codes in self.ends.items()
        ]
        runs += [_where(where.test, below.run(bases)) for where, below in self.wheres.items()]
        if self.keys:
            runs.append(_members(self.top(bases)))
        return _both(runs)


def _end(convert: Converter, codes: tuple[str, ...]) -> Run:
    return partial(convert, codes)


def _step(key: Key, run: Run) -> Run:
    if not key.many:
        return run
    if key.place is not None:
        place = key.place

        def at(values: Any, out: list[Entry]) -> None:
            if len(values) > place and values[place] is not None:
                run(values[place], out)

        return at

    def each(values: Any, out: list[Entry]) -> None:
        for value in values:
            if value is not None:
                run(value, out)

    return each


def _where(test: Callable[[Any], bool], run: Run) -> Run:
    def when(value: Any, out: list[Entry]) -> None:
        if test(value):
            run(value, out)

    return when


def _members(top: dict[str, Run]) -> Run:
    if len(top) == 1:
        ((only, run),) = top.items()

        def member(value: Any, out: list[Entry]) -> None:
            found = value.get(only)
            if found is not None:
                run(found, out)

        return member

    def members(value: Any, out: list[Entry]) -> None:
        for name, found in value.items():
            run = top.get(name)
            if run is not None:
                run(found, out)

    return members


def _both(runs: list[Run]) -> Run:
    if len(runs) == 1:
        return runs[0]
    if len(runs) == 2:
        first, second = runs

        def two(value: Any, out: list[Entry]) -> None:
            first(value, out)
            second(value, out)

        return two

    def several(value: Any, out: list[Entry]) -> None:
        for run in runs:
            run(value, out)

    return several


def _by_closure(expression: str, code: str, parameter_type: str, bases: tuple[str, ...]) -> Run:
    """For what is more than a path: evaluate, then convert each value by the type it says."""
    find = compile_typed(expression)
    converters: dict[str, Converter] = {}
    codes = (code,)

    def run(resource: Any, out: list[Entry]) -> None:
        for value, type in find(resource):
            convert = converters.get(type)
            if convert is None:
                convert = converters[type] = converter(parameter_type, type, None, bases)
            convert(codes, value, out)

    return run


# --- composites -----------------------------------------------------------------------------


class _Composite:
    """One chain of a composite parameter: its elements, and the components on each."""

    def __init__(self, parameter: SearchParameter, base: Steps, bases: tuple[str, ...]) -> None:
        self.code = parameter.code
        self.chain = base.chain
        self.first = base.chain[0].name if base.chain and isinstance(base.chain[0], Key) else None
        self.components = [
            _Component(parameter.code, one.type, one.expression, base.type, bases)
            for one in parameter.components
        ]
        #: Members of which the element must have one, for each component; and the resource.
        self.names = [one.names for one in self.components if one.names is not None]
        self.needs = [frozenset((self.first,))] if self.first is not None else self.names

    def may_have(self, resource: dict[str, Any]) -> bool:
        return not any(map(frozenset.isdisjoint, self.needs, repeat(resource)))

    def run(self, resource: dict[str, Any], out: list[Entry]) -> None:
        for value in _walk(resource, self.chain):
            # A component without a value leaves nothing of the others' work.
            if any(map(frozenset.isdisjoint, self.names, repeat(value))):
                continue
            found = []
            combinations = 1
            for component in self.components:
                parts = component.entries(value, resource)
                if not parts:
                    break
                found.append(parts)
                combinations *= len(parts)
            else:
                if combinations <= _COMBINATIONS:
                    out += [CompositeEntry(self.code, parts) for parts in product(*found)]


class _Component:
    def __init__(
        self,
        code: str,
        parameter_type: str,
        expression: str,
        value_type: str,
        bases: tuple[str, ...],
    ) -> None:
        self.code = code
        self.entry_class = ENTRY_CLASS[KINDS[parameter_type]]
        self.names: frozenset[str] | None = None
        relative, absolute = _Tree(), _Tree()
        self.relative: Run | None = None
        self.absolute: Run | None = None
        try:
            found = steps(expression, value_type)
        except Unsupported:
            self.relative = _closure_on(expression, value_type, code, parameter_type, bases)
            return
        for one in found:
            (absolute if one.absolute else relative).add(one, parameter_type, code)
        here = [one for one in found if not one.absolute]
        if here:
            self.relative = relative.run(bases)
        if len(here) < len(found):
            self.absolute = absolute.run(bases)
        elif all(one.chain and isinstance(one.chain[0], Key) for one in here):
            self.names = frozenset(one.chain[0].name for one in here)  # type: ignore[union-attr]

    def entries(self, value: Any, resource: dict[str, Any]) -> list[Any]:
        out: list[Any] = []
        if self.relative is not None:
            self.relative(value, out)
        if self.absolute is not None:
            self.absolute(resource, out)
        entry_class, code = self.entry_class, self.code
        return [e for e in out if e[0] == code and e[1] is not None and type(e) is entry_class]


def _closure_on(
    expression: str, value_type: str, code: str, parameter_type: str, bases: tuple[str, ...]
) -> Run:
    path = compile_node(parse(expression))
    codes = (code,)

    def run(value: Any, out: list[Entry]) -> None:
        for found, type, _ in path([(value, value_type, None)]):
            if found is not None:
                converter(parameter_type, type, None, bases)(codes, found, out)

    return run


def _composites(parameter: SearchParameter, type: str, bases: tuple[str, ...]) -> list[_Composite]:
    return [_Composite(parameter, base, bases) for base in steps(parameter.expression, type)]


def _walk(resource: dict[str, Any], chain: tuple[Key | Where, ...]) -> list[Any]:
    values: list[Any] = [resource]
    for step in chain:
        if isinstance(step, Where):
            values = [value for value in values if step.test(value)]
            continue
        found: list[Any] = []
        for value in values:
            member = value.get(step.name)
            if member is None:
                continue
            if not step.many:
                found.append(member)
            elif step.place is None:
                found += member
            else:
                found += member[step.place : step.place + 1]
        values = found
    return values
