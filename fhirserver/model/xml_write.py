"""Writing a resource as XML: elements in the order of their definition, text built directly.

https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from itertools import zip_longest
from typing import Any

from fhirserver.errors import NotAcceptable
from fhirserver.model import xml_narrative
from fhirserver.model.definitions import RESOURCE_TYPES, type_definition

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'
_NAMESPACE = ' xmlns="http://hl7.org/fhir"'
_SPECIAL = re.compile('[&<>"\t\n\r\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]')
# A raw line break in an attribute would be read back as a space.
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;",
            "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}  # fmt: skip
_TEXTS = {True: "true", False: "false"}


def encode(resource: dict[str, Any]) -> bytes:
    """The resource as one line of XML in UTF-8."""
    return _encode(resource, "").encode()


def encode_pretty(resource: dict[str, Any]) -> bytes:
    """The resource as indented XML; the narrative stays as it is."""
    return (_encode(resource, "\n") + "\n").encode()


def _encode(resource: dict[str, Any], line: str) -> str:
    parts = [_DECLARATION]
    _resource(resource, parts, line, _NAMESPACE)
    return "".join(parts)


def _resource(resource: dict[str, Any], parts: list[str], line: str, namespace: str = "") -> None:
    type_ = resource.get("resourceType") if type(resource) is dict else None
    if type(type_) is not str or type_ not in RESOURCE_TYPES:
        raise NotAcceptable("The resource has no resourceType of R4, so it cannot be XML")
    parts.append(f"{line}<{type_}{namespace}>")
    _children(resource, type_, parts, line and line + "  ")
    parts.append(f"{line}</{type_}>")


@cache
def _plan(type_name: str) -> dict[str, tuple[int, str, str, str]]:
    """JSON member -> (order, element name, what, type). what: primitive, about (the `_name`
    member of a primitive), object, resource, div, attribute."""
    plan: dict[str, tuple[int, str, str, str]] = {"resourceType": (-1, "", "skip", "")}
    for order, (name, element) in enumerate(type_definition(type_name).elements.items()):
        if element.attribute:
            what = "attribute"
        elif element.type == "xhtml":
            what = "div"
        elif element.type == "Resource":
            what = "resource"
        elif element.primitive:
            what = "primitive"
            plan["_" + name] = (order, name, "about", element.type)
        else:
            what = "object"
        plan[name] = (order, name, what, element.type)
    return plan


def _children(node: dict[str, Any], type_: str, parts: list[str], line: str) -> None:
    plan = _plan(type_)
    try:
        steps = [(*plan[name], value) for name, value in node.items()]
    except KeyError as unknown:
        raise NotAcceptable(
            f"{type_} has no element {unknown.args[0]}, so this resource cannot be XML"
        ) from None
    steps.sort(key=_order)
    for _, name, what, child_type, value in steps:
        if what == "primitive":
            about = node.get("_" + name)
            if about is None and type(value) is str:
                text = _escaped(value) if _SPECIAL.search(value) else value
                parts.append(f'{line}<{name} value="{text}"/>')
            else:
                _primitives(name, value, about, parts, line)
        elif what == "object":
            for item in value if type(value) is list else (value,):
                _object(name, item, child_type, parts, line)
        elif what == "about":
            if name not in node:
                _primitives(name, None, value, parts, line)
        elif what == "resource":
            for item in value if type(value) is list else (value,):
                parts.append(f"{line}<{name}>")
                _resource(item, parts, line and line + "  ")
                parts.append(f"{line}</{name}>")
        elif what == "div":
            parts.append(line + xml_narrative.element(str(value)))


def _order(step: tuple[Any, ...]) -> int:
    order: int = step[0]
    return order


def _object(name: str, node: Any, type_: str, parts: list[str], line: str) -> None:
    if type(node) is not dict:
        raise NotAcceptable(f"{name} is not an object, so this resource cannot be XML")
    attributes = ""
    for attribute in ("id", "url") if type_ == "Extension" else ("id",):
        if attribute in node:
            attributes += f' {attribute}="{_text(node[attribute])}"'
    if len(node) == bool(attributes) and "url" not in node:
        parts.append(f"{line}<{name}{attributes}/>")
        return
    parts.append(f"{line}<{name}{attributes}>")
    _children(node, type_, parts, line and line + "  ")
    parts.append(f"{line}</{name}>")


def _primitives(name: str, value: Any, about: Any, parts: list[str], line: str) -> None:
    if type(value) is list or type(about) is list:
        values = value if type(value) is list else ()
        abouts = about if type(about) is list else ()
        for item, about_item in zip_longest(values, abouts):
            _primitive(name, item, about_item, parts, line)
    else:
        _primitive(name, value, about, parts, line)


def _primitive(name: str, value: Any, about: Any, parts: list[str], line: str) -> None:
    attributes = ""
    extensions: Any = ()
    if type(about) is dict:
        if "id" in about:
            attributes = f' id="{_text(about["id"])}"'
        extensions = about.get("extension", ())
    if value is not None:
        attributes += f' value="{_text(value)}"'
    if extensions:
        parts.append(f"{line}<{name}{attributes}>")
        for extension in extensions:
            _object("extension", extension, "Extension", parts, line and line + "  ")
        parts.append(f"{line}</{name}>")
    elif attributes:
        parts.append(f"{line}<{name}{attributes}/>")


def _text(value: Any) -> str:
    if type(value) is str:
        return _escaped(value) if _SPECIAL.search(value) else value
    if type(value) is bool:
        return _TEXTS[value]
    if type(value) is Decimal:
        exponent = value.as_tuple().exponent
        plain = isinstance(exponent, int) and -60 < exponent < 0
        return format(value, "f") if plain else str(value)
    if type(value) is int:
        return str(value)
    raise NotAcceptable("A value is neither text nor number, so this resource cannot be XML")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(lambda match: _ESCAPES.get(match[0], "\ufffd"), text)
