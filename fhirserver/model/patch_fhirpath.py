"""FHIRPath Patch (https://hl7.org/fhir/R4/fhirpatch.html).

A Parameters resource that is no FHIRPath Patch is Invalid; one that does not fit the resource is
Unprocessable. The resource given stays as it is; the whole patch gives a new one, or none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fhirserver.errors import FHIRError, Invalid, Issue, TooLarge, Unprocessable
from fhirserver.model import json
from fhirserver.model.definitions import PRIMITIVES, type_definition
from fhirserver.model.fhirpath_places import Place, elements_at, places, places_of, syntax
from fhirserver.model.fhirpath_syntax import Member
from fhirserver.model.patch_json import MAX_OPERATIONS
from fhirserver.model.patch_value import Given, element_for, given_value, value_for

_KINDS = ("add", "insert", "delete", "replace", "move")


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the patch, as its parts say."""

    type: str
    path: str
    name: str | None = None
    value: Given | None = None
    index: int | None = None
    source: int | None = None
    destination: int | None = None


def apply(resource: dict[str, Any], patch: Any) -> dict[str, Any]:
    """The resource that `patch` (a Parameters resource) makes of `resource`."""
    # What the patch brings is copied: later operations change it, and the patch may be retried.
    operations = _operations(json.decode_stored(json.encode(patch)))
    patched = json.decode_stored(json.encode(resource))
    for number, operation in enumerate(operations):
        try:
            _PERFORM[operation.type](patched, operation)
        except FHIRError as error:
            where = f"Operation {number} ({operation.type} at {operation.path[:200]})"
            issues = tuple(
                Issue(i.severity, i.code, f"{where}: {i.diagnostics}", i.expression)
                for i in error.issues
            )
            raise type(error)(issues=issues) from None
    return patched


# --- reading the patch ----------------------------------------------------------------------


def _operations(patch: Any) -> list[Operation]:
    if type(patch) is not dict or patch.get("resourceType") != "Parameters":
        raise Invalid("A FHIRPath Patch is a Parameters resource")
    parameters = patch.get("parameter", [])
    if type(parameters) is not list or not parameters:
        raise Invalid("The patch has no operation")
    if len(parameters) > MAX_OPERATIONS:
        raise TooLarge(f"A patch may have {MAX_OPERATIONS} operations, not {len(parameters)}")
    return [_operation(parameter, number) for number, parameter in enumerate(parameters)]


def _operation(parameter: Any, number: int) -> Operation:
    where = f"Parameters.parameter[{number}]"
    if type(parameter) is not dict or parameter.get("name") != "operation":
        raise _invalid(where, "each parameter of a patch is named operation")
    parts = parameter.get("part")
    if type(parts) is not list:
        raise _invalid(where, "the operation has no parts")
    found: dict[str, Any] = {}
    for place, part in enumerate(parts):
        name = part.get("name") if type(part) is dict else None
        inside = f"{where}.part[{place}]"
        if type(name) is not str or name not in _READ:
            raise _invalid(inside, f"no part of an operation is named {name!r:.40}")
        if name in found:
            raise _invalid(inside, f"the part {name} may occur only once")
        if name == "value":
            found[name] = given_value(part, inside)
        else:
            found[name] = _plain(part, name, inside)
    type_, path = found.get("type"), found.get("path")
    if type_ not in _KINDS:
        raise _invalid(where, f"the type must be one of {', '.join(_KINDS)}")
    if path is None:
        raise _invalid(where, "the part path is missing")
    for needed in _NEEDED[type_]:
        if needed not in found:
            raise _invalid(where, f"{type_} needs the part {needed}")
    return Operation(**found)


_NEEDED = {
    "add": ("name", "value"),
    "insert": ("value", "index"),
    "delete": (),
    "replace": ("value",),
    "move": ("source", "destination"),
}
_READ: dict[str, type] = {
    "type": str,
    "path": str,
    "name": str,
    "value": object,
    "index": int,
    "source": int,
    "destination": int,
}


def _plain(part: dict[str, Any], name: str, where: str) -> Any:
    values = [value for member, value in part.items() if member.startswith("value")]
    if len(values) != 1 or type(values[0]) is not _READ[name]:
        kind = "text" if _READ[name] is str else "an integer"
        raise _invalid(where, f"the part {name} must have one value that is {kind}")
    if type(values[0]) is int and values[0] < 0:
        raise _invalid(where, f"the part {name} must not be negative")
    return values[0]


def _invalid(where: str, text: str) -> Invalid:
    return Invalid(issues=(Issue("error", "invalid", text, (where,)),))


# --- performing it --------------------------------------------------------------------------


def _unprocessable(text: str, *expressions: str) -> Unprocessable:
    return Unprocessable(issues=(Issue("error", "processing", text, expressions),))


def _single(found: list[Place], what: str = "path") -> Place:
    if not found:
        raise _unprocessable(f"The {what} finds nothing")
    if len(found) > 1:
        expressions = tuple(place.expression for place in found[:10])
        raise _unprocessable(f"The {what} finds {len(found)} elements, not one", *expressions)
    return found[0]


def _add(resource: dict[str, Any], operation: Operation) -> None:
    assert operation.value is not None
    assert operation.name is not None
    _add_to(_single(places(operation.path, resource)), operation.name, operation.value)


def _add_to(place: Place, name: str, given: Given) -> None:
    element = element_for(elements_at(place), name, given, place.expression)
    value, about = value_for(element, given, f"{place.expression}.{name}")
    holder = _holder(place)
    if element.many:
        _insert(holder, element.name, _length(holder, element.name), value, about)
        return
    for other in elements_at(place).values():
        same = other is element or (element.choice is not None and other.choice == element.choice)
        if same and (other.name in holder or "_" + other.name in holder):
            raise _unprocessable(f"{name} already has a value", f"{place.expression}.{name}")
    _set(holder, element.name, value, about)


def _holder(place: Place) -> dict[str, Any]:
    """The JSON object into which what stands inside `place` is written."""
    if place.type in PRIMITIVES:
        assert place.holder is not None
        if type(place.about) is not dict:
            _set_about(place, {})
        about = place.about
        assert type(about) is dict
        return about
    value = place.value
    if type(value) is not dict:
        raise _unprocessable("Nothing can be put into this element", place.expression)
    return value


def _set_about(place: Place, about: dict[str, Any]) -> None:
    assert place.holder is not None
    if place.index is None:
        place.holder["_" + place.name] = about
        return
    abouts = place.holder.setdefault("_" + place.name, [])
    abouts.extend([None] * (place.index + 1 - len(abouts)))
    abouts[place.index] = about


def _insert_at(resource: dict[str, Any], operation: Operation) -> None:
    assert operation.value is not None
    assert operation.index is not None
    found = places(operation.path, resource)
    if not found:
        # A list without elements has no place of its own: its parent has.
        node = syntax(operation.path)
        if not isinstance(node, Member):
            raise _unprocessable("The path finds nothing")
        place = _single(places_of(node.source, resource), "path to the list")
        if operation.index:
            raise _unprocessable(f"The index {operation.index} is beyond the end of the list")
        element = element_for(elements_at(place), node.name, operation.value, place.expression)
        if not element.many:
            raise _unprocessable(f"{node.name} is no list", f"{place.expression}.{node.name}")
        _add_to(place, node.name, operation.value)
        return
    place, length = _list(found)
    if operation.index > length:
        raise _unprocessable(f"The index {operation.index} is beyond the end of the list")
    assert place.element is not None
    assert place.holder is not None
    value, about = value_for(place.element, operation.value, place.expression)
    _insert(place.holder, place.name, operation.index, value, about)


def _list(found: list[Place]) -> tuple[Place, int]:
    """The list of which `found` are elements, told by its first, and its length."""
    first = found[0] if found else None
    if first is None:
        raise _unprocessable("The path finds nothing")
    if any(p.holder is not first.holder or p.name != first.name for p in found):
        expressions = tuple(place.expression for place in found[:10])
        raise _unprocessable("The path finds elements of more than one list", *expressions)
    if first.index is None or first.holder is None:
        raise _unprocessable("The path does not lead to a list", first.expression)
    return first, _length(first.holder, first.name)


def _delete(resource: dict[str, Any], operation: Operation) -> None:
    found = places(operation.path, resource)
    if not found:
        return  # "Path of the element to delete (if found)"
    place = _single(found)
    if place.holder is None:
        raise _unprocessable("A patch cannot delete the resource itself", place.expression)
    if place.index is None:
        place.holder.pop(place.name, None)
        place.holder.pop("_" + place.name, None)
        return
    for name in (place.name, "_" + place.name):
        items = place.holder.get(name)
        if type(items) is list and place.index < len(items):
            del items[place.index]
            if all(item is None for item in items):
                del place.holder[name]


def _replace(resource: dict[str, Any], operation: Operation) -> None:
    assert operation.value is not None
    place = _single(places(operation.path, resource))
    if place.holder is None or place.element is None:
        raise _unprocessable("A patch cannot replace the resource itself", place.expression)
    element = place.element
    if element.choice is not None:
        siblings = type_definition(place.parent).elements
        element = element_for(siblings, element.choice, operation.value, place.expression)
    value, about = value_for(element, operation.value, place.expression)
    if place.index is None:
        # Where it stood, since the order of elements is kept.
        members = list(place.holder.items())
        place.holder.clear()
        for name, before in members:
            if name in (place.name, "_" + place.name):
                _set(place.holder, element.name, value, about)
            else:
                place.holder[name] = before
        return
    _put(place.holder, place.name, place.index, value)
    if about is not None or type(place.holder.get("_" + place.name)) is list:
        _put(place.holder, "_" + place.name, place.index, about)
        _drop_empty(place.holder, "_" + place.name)
    _drop_empty(place.holder, place.name)


def _move(resource: dict[str, Any], operation: Operation) -> None:
    assert operation.source is not None
    assert operation.destination is not None
    place, length = _list(places(operation.path, resource))
    for number in (operation.source, operation.destination):
        if number >= length:
            raise _unprocessable(f"The index {number} is beyond the end of the list")
    assert place.holder is not None
    for name in (place.name, "_" + place.name):
        items = place.holder.get(name)
        if type(items) is list:
            items.extend([None] * (length - len(items)))
            items.insert(operation.destination, items.pop(operation.source))


_PERFORM = {
    "add": _add,
    "insert": _insert_at,
    "delete": _delete,
    "replace": _replace,
    "move": _move,
}


# --- lists, which for primitives are two: values, and their ids and extensions ---------------


def _length(holder: dict[str, Any], name: str) -> int:
    lists = (holder.get(name), holder.get("_" + name))
    return max(len(items) if type(items) is list else 0 for items in lists)


def _set(holder: dict[str, Any], name: str, value: Any, about: Any) -> None:
    if value is not None:
        holder[name] = value
    if about is not None:
        holder["_" + name] = about


def _insert(holder: dict[str, Any], name: str, index: int, value: Any, about: Any) -> None:
    length = _length(holder, name)
    for member, item in ((name, value), ("_" + name, about)):
        items = holder.get(member)
        if type(items) is not list:
            if item is None:
                continue
            items = holder[member] = [None] * length
        items.extend([None] * (length - len(items)))
        items.insert(index, item)


def _put(holder: dict[str, Any], name: str, index: int, item: Any) -> None:
    items = holder.setdefault(name, [])
    items.extend([None] * (index + 1 - len(items)))
    items[index] = item


def _drop_empty(holder: dict[str, Any], name: str) -> None:
    if all(item is None for item in holder.get(name, ())):
        holder.pop(name, None)
