"""FHIRPath paths taken apart into typed steps, so that many of them can be walked at once.

`steps` turns an expression into alternatives: chains of JSON keys with tests between them, each
ending in a known FHIR type. An indexer merges the chains of all search parameters of a type into
one tree and visits each element of a resource once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fhirserver.model.definitions import RESOURCE_TYPES, Element, type_definition
from fhirserver.model.fhirpath import compile_node, is_type, reference_type, truth
from fhirserver.model.fhirpath_syntax import (
    Binary,
    Call,
    Index,
    Literal,
    Member,
    Node,
    Root,
    This,
    TypeTest,
    Unsupported,
    parse,
)

_ABSTRACT = frozenset({"Resource", "DomainResource"})


@dataclass(frozen=True, slots=True)
class Key:
    """Go to the JSON member `name`; `many`: to each of its items, or to the one at `place`."""

    name: str
    many: bool
    place: int | None = None


@dataclass(frozen=True, slots=True)
class Where:
    """Go on only if `test` holds. Equal text is an equal test."""

    text: str
    test: Callable[[Any], bool]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Where) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


@dataclass(frozen=True, slots=True)
class Steps:
    """A chain of steps from an element (`absolute`: from the resource) to values of `type`.

    `element` is the definition of the element the chain ends in, if it ends in one."""

    chain: tuple[Key | Where, ...]
    type: str
    element: Element | None = None
    absolute: bool = False


def steps(expression: str, type: str) -> list[Steps]:
    """The chains that `expression` follows on elements of `type`; none when it has no meaning
    there. Raises Unsupported when it is more than chains."""
    return _steps(parse(expression), type)


def _steps(node: Node, type: str) -> list[Steps]:
    match node:
        case This():
            return [Steps((), type)]
        case Root():
            resource_type = type.partition(".")[0]
            if resource_type not in RESOURCE_TYPES:
                raise Unsupported("%resource outside of a resource")
            return [Steps((), resource_type, absolute=True)]
        case Member(This(), name) if name in RESOURCE_TYPES or name in _ABSTRACT:
            return [Steps((), type)] if is_type(type, name) else []
        case Member(source, name):
            return [found for one in _steps(source, type) for found in _members(one, name)]
        case TypeTest("as" | "ofType", source, wanted):
            return [one for one in _steps(source, type) if is_type(one.type, wanted)]
        case Binary("|", left, right):
            return list(dict.fromkeys(_steps(left, type) + _steps(right, type)))
        case Index(source, place):
            return [_at(one, place) for one in _steps(source, type)]
        case Call(source, "first", ()):
            return [_at(one, 0) for one in _steps(source, type)]
        case Call(source, "where", (criteria,)):
            return [_with(one, _where(criteria, one.type)) for one in _steps(source, type)]
        case Call(source, "extension", (Literal(str() as url),)):
            found = [e for one in _steps(source, type) for e in _members(one, "extension")]
            return [_with(one, _extension(url)) for one in found]
    raise Unsupported(f"not a plain path: {node!r}")


def _members(one: Steps, name: str) -> list[Steps]:
    if one.type in _ABSTRACT:
        raise Unsupported("a path into a resource of any type")
    if one.element is not None and one.element.primitive:
        raise Unsupported("a path into a primitive")
    try:
        definition = type_definition(one.type)
    except KeyError:
        raise Unsupported(f"the type {one.type}") from None
    return [
        Steps((*one.chain, Key(element.name, element.many)), element.type, element, one.absolute)
        for element in definition.elements.values()
        if (element.choice or element.name) == name
    ]


def _at(one: Steps, place: int) -> Steps:
    """Only when a single key leads to several items is the index that of its array."""
    *before, last = one.chain or (None,)
    if not isinstance(last, Key) or not last.many or any(_spreads(step) for step in before):
        raise Unsupported("an index into what several elements yield")
    key = Key(last.name, True, place)
    return Steps((*one.chain[:-1], key), one.type, one.element, one.absolute)


def _spreads(step: Key | Where | None) -> bool:
    return not isinstance(step, Key) or (step.many and step.place is None)


def _with(one: Steps, where: Where) -> Steps:
    return Steps((*one.chain, where), one.type, one.element, one.absolute)


def _extension(url: str) -> Where:
    return Where(f"url={url!r}", lambda value: value.get("url") == url)


def _where(criteria: Node, type: str) -> Where:
    text = f"{type}: {criteria!r}"
    match criteria:
        case TypeTest("is", Call(This(), "resolve", ()), wanted):
            return Where(text, lambda value: reference_type(value) == wanted)
        case Binary("=", Member(This(), name), Literal(str() as literal)):
            try:
                if type_definition(type).elements[name].primitive:
                    return Where(text, lambda value: value.get(name) == literal)
            except KeyError:
                pass
    test = compile_node(criteria)
    return Where(text, lambda value: truth(test([(value, type, None)])) is True)
