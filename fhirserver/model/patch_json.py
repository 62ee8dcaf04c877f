"""JSON Patch on a resource (https://hl7.org/fhir/R4/http.html#patch, RFC 6902, RFC 6901).

A document that is no JSON Patch is Invalid; one that does not fit the resource (a failing `test`,
a path that is not there) is Unprocessable. Nothing is changed in place: either the whole patch
gives a new resource or there is none.
"""

from __future__ import annotations

import re
from typing import Any

from fhirserver.errors import FHIRError, Invalid, Issue, Malformed, TooLarge, Unprocessable
from fhirserver.model import json

MAX_OPERATIONS = 1000
# A patch may copy what it copied; doubling must not fill the memory.
MAX_COPIED_BYTES = 2_000_000

_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")
_BAD_ESCAPE = re.compile(r"~(?![01])")
_NEEDS_VALUE = {"add", "replace", "test"}
_NEEDS_FROM = {"move", "copy"}


def apply(resource: dict[str, Any], patch: Any) -> dict[str, Any]:
    """The resource that `patch` (a decoded JSON Patch document) makes of `resource`."""
    if type(patch) is not list:
        raise Invalid("A JSON Patch document is an array of operations")
    if len(patch) > MAX_OPERATIONS:
        raise TooLarge(f"A patch may have {MAX_OPERATIONS} operations, not {len(patch)}")
    patched = _Patched(json.decode_stored(json.encode(resource)))
    for number, operation in enumerate(patch):
        try:
            patched.perform(operation)
        except FHIRError as error:
            name = operation.get("op") if type(operation) is dict else None
            where = f"Operation {number}" + (f" ({name})" if isinstance(name, str) else "")
            type_ = str(resource.get("resourceType"))
            issues = tuple(
                Issue(
                    issue.severity,
                    issue.code,
                    f"{where}: {issue.diagnostics}",
                    tuple(type_ + place for place in issue.expression),
                )
                for issue in error.issues
            )
            raise type(error)(issues=issues) from None
    if type(patched.value) is not dict:
        raise Unprocessable("The patch leaves no resource")
    try:
        return json.decode(json.encode(patched.value))
    except (Malformed, RecursionError) as error:
        raise Unprocessable(f"The patch leaves no readable resource: {error}") from None


def refuse_identity_change(before: dict[str, Any], after: dict[str, Any]) -> None:
    """Raise Invalid if a patch changed what only the server says: type, id, version."""
    type_ = str(before.get("resourceType"))
    for name in ("resourceType", "id"):
        if before.get(name) != after.get(name):
            raise Invalid(
                issues=(
                    Issue("error", "value", f"A patch may not change {name}", (f"{type_}.{name}",)),
                )
            )
    if _version(before) != _version(after):
        where = f"{type_}.meta.versionId"
        text = "A patch may not change meta.versionId"
        raise Invalid(issues=(Issue("error", "value", text, (where,)),))


def _version(resource: dict[str, Any]) -> Any:
    meta = resource.get("meta")
    return meta.get("versionId") if type(meta) is dict else None


class _Patched:
    """The value a patch works on, operation by operation."""

    def __init__(self, value: Any) -> None:
        self.value = value
        self._copied = 0

    def perform(self, operation: Any) -> None:
        if type(operation) is not dict:
            raise Invalid("an operation is an object")
        name = operation.get("op")
        if name not in ("add", "remove", "replace", "move", "copy", "test"):
            raise Invalid(f"op must be add, remove, replace, move, copy or test, not {name!r:.40}")
        path = _pointer(operation, "path")
        if name in _NEEDS_VALUE and "value" not in operation:
            raise Invalid("the member value is missing")
        source = _pointer(operation, "from") if name in _NEEDS_FROM else ()
        if name == "add":
            self._add(path, _copy(operation["value"]))
        elif name == "remove":
            self._remove(path)
        elif name == "replace":
            self._replace(path, _copy(operation["value"]))
        elif name == "test":
            if not _equal(self._get(path), operation["value"]):
                raise _unprocessable(f"{_text(path)} does not have the value tested for", path)
        elif name == "copy":
            self._add(path, self._copied_value(self._get(source)))
        elif path[: len(source)] == source and path != source:
            raise Invalid("a value cannot be moved into itself")
        else:
            value = self._get(source)
            self._remove(source)
            self._add(path, value)

    def _copied_value(self, value: Any) -> Any:
        encoded = _encoded(value)
        self._copied += len(encoded)
        if self._copied > MAX_COPIED_BYTES:
            raise TooLarge("the patch makes the resource too large")
        return json.decode_value(encoded)

    def _get(self, path: tuple[str, ...]) -> Any:
        value = self.value
        for depth, token in enumerate(path):
            value = _member(value, token, path[: depth + 1])
        return value

    def _add(self, path: tuple[str, ...], value: Any) -> None:
        if not path:
            self.value = value
            return
        parent, token = self._get(path[:-1]), path[-1]
        if type(parent) is dict:
            parent[token] = value
        elif type(parent) is list:
            place = len(parent) if token == "-" else _index(token, path)
            if place > len(parent):
                raise _unprocessable(f"{_text(path)} is beyond the end of the array", path)
            parent.insert(place, value)
        else:
            raise _unprocessable(f"{_text(path[:-1])} is no object and no array", path[:-1])

    def _remove(self, path: tuple[str, ...]) -> None:
        if not path:
            raise _unprocessable("the whole resource cannot be removed", path)
        self._get(path)
        parent, token = self._get(path[:-1]), path[-1]
        del parent[int(token) if type(parent) is list else token]

    def _replace(self, path: tuple[str, ...], value: Any) -> None:
        if not path:
            self.value = value
            return
        self._get(path)
        parent, token = self._get(path[:-1]), path[-1]
        parent[int(token) if type(parent) is list else token] = value


def _copy(value: Any) -> Any:
    """The patch's own value must not change when the resource does."""
    return json.decode_value(_encoded(value)) if isinstance(value, (dict, list)) else value


def _encoded(value: Any) -> bytes:
    try:
        return json.encode(value)
    except RecursionError:
        raise Unprocessable("the value is nested too deep") from None


def _pointer(operation: dict[str, Any], member: str) -> tuple[str, ...]:
    pointer = operation.get(member)
    if type(pointer) is not str:
        raise Invalid(f"the member {member} must be a JSON Pointer")
    if pointer and not pointer.startswith("/"):
        raise Invalid(f"{member} must be empty or begin with /, but it is {pointer!r:.80}")
    if _BAD_ESCAPE.search(pointer):
        raise Invalid(f"in {member} ~ must be followed by 0 or 1")
    return tuple(t.replace("~1", "/").replace("~0", "~") for t in pointer.split("/")[1:])


def _member(value: Any, token: str, path: tuple[str, ...]) -> Any:
    if type(value) is dict and token in value:
        return value[token]
    if type(value) is list and token != "-":
        place = _index(token, path)
        if place < len(value):
            return value[place]
    raise _unprocessable(f"{_text(path)} is not there", path)


def _index(token: str, path: tuple[str, ...]) -> int:
    if not _INDEX.fullmatch(token):
        raise _unprocessable(f"{_text(path)} does not end in an index of an array", path)
    return int(token)


def _equal(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 equals 1.0, but not true."""
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if type(one) is list and type(other) is list:
        return len(one) == len(other) and all(map(_equal, one, other))
    if type(one) is bool or type(other) is bool:
        return one is other
    return bool(one == other)


def _text(path: tuple[str, ...]) -> str:
    text = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path)
    return repr(text if len(text) <= 100 else text[:97] + "...")


def _unprocessable(text: str, path: tuple[str, ...]) -> Unprocessable:
    steps = [f"[{token}]" if token.isdecimal() else f".{token}" for token in path]
    # A key that is no name of an element has no FHIRPath; the text tells it.
    places = ("".join(steps),) if all(token.isalnum() for token in path) else ()
    return Unprocessable(issues=(Issue("error", "processing", text, places),))
