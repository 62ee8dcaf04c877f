"""Where a FHIRPath expression points to inside a resource, so that the place can be changed.

A patch (https://hl7.org/fhir/R4/fhirpatch.html) needs places, not values: the object that holds
the element, its JSON name and its index. Only paths have places: members, indexes, `where`,
`first`, `last`, `ofType`, `extension(url)`, unions; anything that makes a new value has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhirserver.errors import Invalid
from fhirserver.model.definitions import PRIMITIVES, RESOURCE_TYPES, Element, type_definition
from fhirserver.model.fhirpath import compile_node, is_type, truth
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

MAX_LENGTH = 2000
_ABSTRACT = ("Resource", "DomainResource")


@dataclass(frozen=True, slots=True)
class Place:
    """An element of a resource. `holder` is the JSON object with member `name`, None for the
    resource itself; `index` is its place in a list; `type` its FHIR type, `parent` its holder's."""

    expression: str
    type: str
    holder: dict[str, Any] | None = None
    name: str = ""
    index: int | None = None
    element: Element | None = None
    parent: str = ""
    root: dict[str, Any] | None = None

    @property
    def value(self) -> Any:
        """The JSON value; None for a primitive that has only an id or extensions."""
        return self.root if self.holder is None else _item(self.holder, self.name, self.index)

    @property
    def about(self) -> Any:
        """The object with a primitive's id and extensions (the `_name` member)."""
        if self.holder is None or self.type not in PRIMITIVES:
            return None
        return _item(self.holder, "_" + self.name, self.index)


def _item(holder: dict[str, Any], name: str, index: int | None) -> Any:
    value = holder.get(name)
    if index is None:
        return value
    return value[index] if type(value) is list and index < len(value) else None


def places(expression: str, resource: dict[str, Any]) -> list[Place]:
    """The places `expression` selects; Invalid if it is no path."""
    return _places(syntax(expression), [_start(resource)], resource)


def places_of(node: Node, resource: dict[str, Any]) -> list[Place]:
    """As `places`, for an expression already parsed."""
    return _places(node, [_start(resource)], resource)


def syntax(expression: str) -> Node:
    """The expression's syntax tree; Invalid if it is no path."""
    if len(expression) > MAX_LENGTH:
        raise Invalid(f"A path may have {MAX_LENGTH} characters")
    try:
        return parse(expression)
    except (Unsupported, RecursionError) as error:
        raise Invalid(
            f"{expression[:200]!r} is no path that this server follows: {error}"
        ) from None


def _start(resource: dict[str, Any]) -> Place:
    type_ = str(resource.get("resourceType"))
    return Place(type_, type_, root=resource)


def _places(node: Node, focus: list[Place], resource: dict[str, Any]) -> list[Place]:
    match node:
        case This():
            return focus
        case Root():
            return [_start(resource)]
        case Member(This(), name) if name in RESOURCE_TYPES or name in _ABSTRACT:
            return [place for place in focus if is_type(place.type, name)]
        case Member(source, name):
            found = _places(source, focus, resource)
            return [inner for place in found for inner in _members(place, name)]
        case Index(source, number):
            return _places(source, focus, resource)[number : number + 1]
        case TypeTest("as" | "ofType", source, type_):
            return [p for p in _places(source, focus, resource) if is_type(p.type, type_)]
        case Binary("|", left, right):
            both = _places(left, focus, resource) + _places(right, focus, resource)
            return list({place.expression: place for place in both}.values())
        case Call(source, name, arguments):
            return _called(name, arguments, _places(source, focus, resource))
    raise Invalid("The path must select elements; it may not compute a value")


def _called(name: str, arguments: tuple[Node, ...], found: list[Place]) -> list[Place]:
    match name, arguments:
        case "first", ():
            return found[:1]
        case "last", ():
            return found[-1:]
        case "tail", ():
            return found[1:]
        case "single", ():
            if len(found) > 1:
                raise Invalid(f"single() found {len(found)} elements")
            return found
        case "skip", (Literal(int() as number),):
            return found[number:]
        case "take", (Literal(int() as number),):
            return found[:number]
        case "extension", (Literal(str() as url),):
            inner = [extension for place in found for extension in _members(place, "extension")]
            return [place for place in inner if _has_url(place.value, url)]
        case "where", (criteria,):
            return _where(criteria, found)
    raise Invalid(f"The function {name}() selects no place in this form")


def _has_url(extension: Any, url: str) -> bool:
    return type(extension) is dict and extension.get("url") == url


def _where(criteria: Node, found: list[Place]) -> list[Place]:
    try:
        test = compile_node(criteria)
    except Unsupported as error:
        raise Invalid(f"In where(): {error} is not supported here") from None
    return [place for place in found if truth(test([(place.value, place.type, place.about)]))]


def elements_at(place: Place) -> dict[str, Element]:
    """The elements that can stand inside the element at `place`."""
    try:
        return type_definition(_holding_type(place)).elements
    except KeyError:
        return {}


def _holding_type(place: Place) -> str:
    return "Element" if place.type in PRIMITIVES else place.type


def _members(place: Place, name: str) -> list[Place]:
    holder = place.about if place.type in PRIMITIVES else place.value
    if type(holder) is not dict:
        return []
    found = []
    parent = _holding_type(place)
    for element in elements_at(place).values():
        if (element.choice or element.name) != name:
            continue
        value, about = holder.get(element.name), holder.get("_" + element.name)
        if value is None and about is None:
            continue
        shown = f"{place.expression}.{name}"
        if type(value) is list or (value is None and type(about) is list):
            length = max(len(value or ()), len(about) if type(about) is list else 0)
            numbers: list[int | None] = list(range(length))
        else:
            numbers = [None]
        for number in numbers:
            one = shown if number is None else f"{shown}[{number}]"
            inner = _item(holder, element.name, number)
            type_ = element.type
            if type_ in _ABSTRACT and type(inner) is dict:
                type_ = str(inner.get("resourceType"))
            found.append(Place(one, type_, holder, element.name, number, element, parent))
    return found
