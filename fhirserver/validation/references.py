"""What a Reference may say: its form, and the type it points to.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import re

from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.model.references import parse
from fhirserver.validation.primitives import shown
from fhirserver.validation.rule import Node, Scope

_LITERAL = re.compile(r"([A-Z][A-Za-z]+)/[A-Za-z0-9.-]{1,64}")
_PLAIN_URN = re.compile(r"urn:uuid:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_TYPE_NAMES = tuple(RESOURCE_TYPES)  # not hashed: what a bad resource says may be any JSON
Fault = tuple[str, str]


def fault(node: Node, targets: frozenset[str], scope: Scope) -> Fault | None:
    """What is wrong with a Reference: (issue code, text). No `targets` means any type."""
    text = node.get("reference")
    stated = node.get("type")
    if text is None:
        return _stated_fault(stated, targets)
    literal = _LITERAL.fullmatch(text)
    if literal is not None:
        type_ = literal[1]
        if type_ in (targets or RESOURCE_TYPES) and stated in (None, type_):
            return None
    elif stated is None and _PLAIN_URN.fullmatch(text):
        return None
    return _judge(text, stated, targets, scope)


def _judge(text: str, stated: str | None, targets: frozenset[str], scope: Scope) -> Fault | None:
    reference = parse(text)
    if reference.kind == "contained":
        return _contained_fault(reference.id, stated, targets, scope)
    if reference.kind == "conditional" and not scope.conditional_references:
        return (
            "value",
            f"{shown(text)} is a conditional reference, which cannot stand here",
        )
    if reference.kind == "unknown":
        return "value", _unknown(text)
    if reference.type:
        wrong = _type_fault(reference.type, targets)
        if wrong:
            return wrong
        if stated and stated != reference.type:
            return "value", f"{shown(text)} is not of the type {shown(stated)} that 'type' states"
    return _stated_fault(stated, targets) if stated else None


def _unknown(text: str) -> str:
    head = text.partition("/")[0].partition("?")[0]
    if text.startswith("urn:"):
        return f"{shown(text)} is neither a valid urn:uuid: nor urn:oid:"
    if head and head.isalpha() and head not in RESOURCE_TYPES and "/" in text:
        return f"{shown(text)} is no reference: {shown(head)} is not a resource type of R4"
    return (
        f"{shown(text)} is no reference: it has the form Type/id, an absolute URL, "
        "urn:uuid:…, urn:oid:… or #id"
    )


def _contained_fault(
    id: str, stated: str | None, targets: frozenset[str], scope: Scope
) -> Fault | None:
    scope.local_references.add(id)
    if not id:
        if scope.is_contained:
            return None
        return "value", "'#' refers to the containing resource, from a contained one only (ref-1)"
    if id not in scope.contained_ids:
        return "value", f"no contained resource has the id {shown(id)} (ref-1)"
    for contained in scope.root.get("contained", ()):
        if isinstance(contained, dict) and contained.get("id") == id:
            type_ = contained.get("resourceType")
            if type_ not in _TYPE_NAMES:
                return None  # its own fault is told where it stands
            if stated and stated != type_:
                return "value", f"{shown('#' + id)} is a {type_}, not what 'type' states"
            return _type_fault(type_, targets)
    return None


def _type_fault(type_: str, targets: frozenset[str]) -> Fault | None:
    if not targets or type_ in targets:
        return None
    return "value", f"must not refer to a {type_}, only to {', '.join(sorted(targets))}"


def _stated_fault(stated: str | None, targets: frozenset[str]) -> Fault | None:
    """`type` of a reference that says no type itself; another model's type is an absolute URL."""
    if stated is None or ":" in stated:
        return None
    if stated not in RESOURCE_TYPES:
        return "value", f"'type' is {shown(stated)}, which is not a resource type of R4"
    return _type_fault(stated, targets)
