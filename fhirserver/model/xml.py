"""FHIR's XML format, read and written by the element tables (https://hl7.org/fhir/R4/xml.html).

Both directions keep everything that JSON holds: the digits of decimals, ids and extensions of
primitive values, narrative. Comments and processing instructions say nothing and are dropped.
"""

from __future__ import annotations

import re
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple, TypeAlias

from lxml import etree

from fhirserver.errors import Invalid, Issue, Malformed
from fhirserver.model import xml_narrative
from fhirserver.model.definitions import RESOURCE_TYPES, type_definition
from fhirserver.model.json import MAX_DEPTH, exact_decimal
from fhirserver.model.xml_write import encode, encode_pretty

__all__ = ["decode", "encode", "encode_pretty"]

# lxml's stubs say `str | bytes` of every name and value.
Element: TypeAlias = Any

FHIR = "{http://hl7.org/fhir}"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
MAX_ISSUES = 20

_ENCODING = re.compile(rb"""\A(?:\xef\xbb\xbf)?\s*<\?xml[^>]*\bencoding\s*=\s*["']([^"']*)""")
_INTEGER = re.compile(r"0|[-+]?[1-9][0-9]{0,4000}")
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]{1,5})?")
_INTEGERS = {"integer", "positiveInt", "unsignedInt"}

# Comments vanish before the tree is built, so they split no text.
_PARSER = etree.XMLParser(
    resolve_entities=False,
    no_network=True,
    load_dtd=False,
    dtd_validation=False,
    huge_tree=False,
    remove_comments=True,
    remove_pis=True,
    encoding="utf-8",
)

# Text beside elements, which FHIR's XML has only inside the narrative.
_stray_text: Any = etree.XPath(
    "//f:*/text()[normalize-space()]/..", namespaces={"f": "http://hl7.org/fhir"}
)
_has_stray_text: Any = etree.XPath(
    "boolean(//f:*/text()[normalize-space()])", namespaces={"f": "http://hl7.org/fhir"}
)


def decode(body: bytes) -> dict[str, Any]:
    """The resource in an XML document; raises Malformed (not this XML) or Invalid (not FHIR's)."""
    root = _parse(body)
    reader = _Reader()
    type_ = reader.resource_type(root)
    resource: dict[str, Any] = {}
    if type_ is not None:
        resource = reader.read_resource(root, type_, 1)
        if _has_stray_text(root):
            for element in _stray_text(root)[:MAX_ISSUES]:
                reader.refuse(element, "Text is not allowed here; values are in value attributes")
    if reader.issues:
        raise Invalid(issues=tuple(reader.issues))
    return resource


def _parse(body: bytes) -> Element:
    if not body.strip():
        raise Malformed("The body is empty; an XML document was expected")
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in body[:4]:
        raise Malformed("The XML must be in UTF-8")
    declared = _ENCODING.match(body[:300])
    if declared is not None and declared[1].lower() not in (b"utf-8", b"utf8", b"us-ascii"):
        raise Malformed(f"The XML must be in UTF-8, not {declared[1].decode('latin-1')!r}")
    # Whatever stands in the prolog before a DOCTYPE, `docinfo` below finds it; this is the sure
    # and early way for the ordinary attack.
    root_at = re.search(rb"<[A-Za-z_]", body)
    if b"<!DOCTYPE" in body[: root_at.start() if root_at else len(body)]:
        raise Malformed("A DOCTYPE is not allowed")
    try:
        root = etree.fromstring(body, _PARSER)
    except etree.XMLSyntaxError as error:
        raise Malformed(f"Not well-formed XML: {error.msg}") from None
    except (ValueError, LookupError) as error:
        raise Malformed(f"Not well-formed XML: {error}") from None
    if root is None:
        raise Malformed("The XML document has no element")
    document: Any = root.getroottree().docinfo
    if document.doctype or document.internalDTD is not None or document.externalDTD is not None:
        raise Malformed("A DOCTYPE is not allowed")
    return root


class _Step(NamedTuple):
    """What a child element of some type is."""

    name: str
    type: str
    what: str  # primitive, object, resource, div
    many: bool
    choice: str | None
    place: int  # in the order of the type's elements


@cache
def _steps(type_name: str) -> dict[str, _Step]:
    steps = {}
    places: dict[str, int] = {}
    for name, element in type_definition(type_name).elements.items():
        place = places.setdefault(element.choice or name, len(places))
        if element.attribute:
            continue
        if element.type == "xhtml":
            steps[xml_narrative.DIV] = _Step(name, "xhtml", "div", False, None, place)
            continue
        if element.type == "Resource":
            what = "resource"
        else:
            what = "primitive" if element.primitive else "object"
        steps[FHIR + name] = _Step(name, element.type, what, element.many, element.choice, place)
    return steps


@cache
def _attributes(type_name: str) -> frozenset[str]:
    elements = type_definition(type_name).elements
    return frozenset(name for name, element in elements.items() if element.attribute)


_EXTENSION = FHIR + "extension"


class _Reader:
    """Reads one document, collecting what is wrong with it."""

    def __init__(self) -> None:
        self.issues: list[Issue] = []

    def refuse(self, element: Element, text: str, code: str = "structure") -> None:
        if len(self.issues) < MAX_ISSUES:
            line = f" (line {element.sourceline})" if element.sourceline else ""
            self.issues.append(Issue("error", code, text + line, (_expression(element),)))

    def resource_type(self, element: Element) -> str | None:
        namespace, _, name = str(element.tag).rpartition("}")
        if namespace + "}" != FHIR:
            self.refuse(element, f"<{name}> must be in the namespace http://hl7.org/fhir")
        elif name not in RESOURCE_TYPES:
            self.refuse(element, f"{name} is not a resource type of FHIR R4")
        else:
            return name
        return None

    def read_resource(self, element: Element, type_: str, depth: int) -> dict[str, Any]:
        resource: dict[str, Any] = {"resourceType": type_}
        for name in element.attrib:
            if not str(name).startswith(_XSI):
                self.refuse(element, f"The attribute {name} is not allowed on <{type_}>")
        self._children(element, type_, resource, depth)
        return resource

    def _object(self, element: Element, type_: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, value in element.items():
            if name != "id" and name not in _attributes(type_):
                self.refuse(element, f"The attribute {name} is not allowed on {type_}")
            elif not value:
                self.refuse(element, f"The attribute {name} is empty", "value")
            else:
                result[str(name)] = value
        self._children(element, type_, result, depth)
        if not result:
            self.refuse(element, "The element is empty")
        return result

    def _children(self, element: Element, type_: str, result: dict[str, Any], depth: int) -> None:
        steps = _steps(type_)
        choices: dict[str, str] = {}
        reached, before = 0, ""
        for child in element:
            step = steps.get(child.tag)
            if step is None:
                self._unknown(child, type_)
                continue
            name, child_type, what, many, choice, place = step
            if place < reached:
                self.refuse(child, f"<{name}> must come before <{before}> in {type_}")
            else:
                reached, before = place, name
            if choice is not None and choices.setdefault(choice, name) != name:
                self.refuse(child, f"{choice}[x] has more than one type here")
            if what == "primitive":
                if not many and child_type not in _CONVERT and not len(child):
                    items = child.items()
                    # By far the most frequent element, hence read here: one value, as it stands.
                    if len(items) == 1 and items[0][0] == "value" and items[0][1]:
                        if name in result or "_" + name in result:
                            self.refuse(child, f"{name} may occur only once")
                        result[name] = items[0][1]
                        continue
                self._primitive(child, step, result, depth)
                continue
            if depth + many >= MAX_DEPTH:
                raise Malformed(
                    f"The resource is nested more than {MAX_DEPTH} levels deep"
                    f" (line {child.sourceline})"
                )
            value: Any
            if what == "object":
                value = self._object(child, child_type, depth + 1 + many)
            elif what == "resource":
                value = self._inner_resource(child, depth + 1 + many)
                if value is None:
                    continue
            else:
                value = xml_narrative.text(child)
            if many:
                result.setdefault(name, []).append(value)
            elif name in result:
                self.refuse(child, f"{name} may occur only once")
            else:
                result[name] = value

    def _unknown(self, child: Element, type_: str) -> None:
        if not isinstance(child.tag, str):
            self.refuse(child, "Entity references are not allowed")
            return
        namespace, _, name = child.tag.rpartition("}")
        if child.tag == xml_narrative.DIV or (type_ == "Narrative" and name == "div"):
            self.refuse(child, "<div> must be in the namespace http://www.w3.org/1999/xhtml")
        elif namespace + "}" != FHIR:
            self.refuse(child, f"<{name}> must be in the namespace http://hl7.org/fhir")
        else:
            self.refuse(child, f"{type_} has no element {name}")

    def _inner_resource(self, element: Element, depth: int) -> dict[str, Any] | None:
        if element.keys():
            self.refuse(element, f"The attribute {element.keys()[0]} is not allowed here")
        if len(element) != 1 or not isinstance(element[0].tag, str):
            self.refuse(element, "Exactly one resource is expected here")
            return None
        type_ = self.resource_type(element[0])
        return None if type_ is None else self.read_resource(element[0], type_, depth)

    def _primitive(self, element: Element, step: _Step, result: dict[str, Any], depth: int) -> None:
        name, type_, _, many, _, _ = step
        value: Any = None
        about: dict[str, Any] | None = None
        for key, text in element.items():
            if not text:
                self.refuse(element, f"The attribute {key} is empty", "value")
            elif key == "value":
                value = text
            elif key == "id":
                about = {"id": text}
            else:
                self.refuse(element, f"The attribute {key} is not allowed on {type_}")
        if len(element):
            about = self._about(element, about, type_, depth + 1 + many)
        if value is None and about is None:
            if not element.keys():
                self.refuse(element, "The element has neither a value nor an extension")
            return
        if value is not None and type_ in _CONVERT:
            value = self._converted(element, type_, value)
        if many and depth >= MAX_DEPTH:
            raise Malformed(f"The resource is nested more than {MAX_DEPTH} levels deep")
        if many:
            self._append(result, name, value, about)
        elif name in result or "_" + name in result:
            self.refuse(element, f"{name} may occur only once")
        else:
            if value is not None:
                result[name] = value
            if about is not None:
                result["_" + name] = about

    def _about(
        self, element: Element, about: dict[str, Any] | None, type_: str, depth: int
    ) -> dict[str, Any]:
        """The id and extensions of a primitive value: the object of the `_name` member."""
        about = about or {}
        for child in element:
            if child.tag != _EXTENSION:
                self._unknown(child, type_)
            elif depth + 2 > MAX_DEPTH:
                raise Malformed(f"The resource is nested more than {MAX_DEPTH} levels deep")
            else:
                extension = self._object(child, "Extension", depth + 2)
                about.setdefault("extension", []).append(extension)
        return about

    @staticmethod
    def _append(
        result: dict[str, Any], name: str, value: Any, about: dict[str, Any] | None
    ) -> None:
        """Add to a repeating primitive: two arrays of one length, null where there is nothing."""
        values, abouts = result.get(name), result.get("_" + name)
        length = len(values if values is not None else abouts or ())
        if value is not None and values is None:
            values = result[name] = [None] * length
        if about is not None and abouts is None:
            abouts = result["_" + name] = [None] * length
        if values is not None:
            values.append(value)
        if abouts is not None:
            abouts.append(about)

    def _converted(self, element: Element, type_: str, text: str) -> Any:
        if type_ == "boolean":
            if text in ("true", "false"):
                return text == "true"
        elif type_ == "decimal":
            if _DECIMAL.fullmatch(text):
                try:
                    return _number(text)
                except ArithmeticError:
                    pass
        elif _INTEGER.fullmatch(text):
            return int(text)
        self.refuse(element, f"{text[:80]!r} is not a value of type {type_}", "value")
        return None


_CONVERT = {"boolean", "decimal", *_INTEGERS}


def _number(text: str) -> Decimal | int:
    """As the JSON reader has it: a number without a fraction is an integer."""
    if text.lstrip("-").isdigit() and len(text) < 4000:
        return int(text)
    return exact_decimal(text)


def _expression(element: Element) -> str:
    """FHIRPath of an element: `Bundle.entry[1].resource.name[0].given[1]`."""
    steps: list[str] = []
    node: Element | None = element
    while node is not None:
        parent = node.getparent()
        name = str(node.tag).rpartition("}")[2]
        if parent is None:
            steps.append(name)
        elif name not in RESOURCE_TYPES:
            same = [child for child in parent if child.tag == node.tag]
            repeats = len(same) > 1 or _repeats(parent, node)
            steps.append(f".{name}[{same.index(node)}]" if repeats else f".{name}")
        node = parent
    return "".join(reversed(steps))


def _repeats(parent: Element, node: Element) -> bool:
    """Whether the element is a list in its parent's type."""
    type_ = _type_of(parent)
    step = _steps(type_).get(str(node.tag)) if type_ is not None else None
    return step is not None and step.many


def _type_of(element: Element) -> str | None:
    name = str(element.tag).rpartition("}")[2]
    if name in RESOURCE_TYPES:
        return name
    parent = element.getparent()
    type_ = _type_of(parent) if parent is not None else None
    if type_ is None:
        return None
    step = _steps(type_).get(str(element.tag))
    if step is None or step.what not in ("object", "primitive"):
        return "Extension" if element.tag == _EXTENSION else None
    return step.type if step.what == "object" else "Element"
