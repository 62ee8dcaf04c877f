"""Invariants of StructureDefinition and ElementDefinition
(https://hl7.org/fhir/R4/structuredefinition.html#invs,
https://hl7.org/fhir/R4/elementdefinition.html#invs).

A profile has hundreds of elements, so these are plain closures like all others: evaluated as
FHIRPath they take a third of a second for one profile.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from fhirserver.validation.rule import (
    Check,
    Node,
    Rule,
    Scope,
    distinct,
    json_names,
    needs,
    not_both,
    some,
)

_CORE = "http://hl7.org/fhir/StructureDefinition"
_SLICE_NAME = re.compile(r"[a-zA-Z0-9/_\[\]@-]+")
_STEP = r"[^\s.,:;'\"/|?!@#$%&*()\[\]{}]{1,64}"
_PATH = re.compile(rf"{_STEP}(?:\.{_STEP}(?:\[x\])?(?::[^\s.]+)?)*")
_CORE_TYPE = re.compile(r"[a-zA-Z0-9.]+|http://hl7\.org/fhirpath/System\.[A-Z][A-Za-z]+")
_DEFAULT = json_names("ElementDefinition", "defaultValue[x]")
_FIXED = json_names("ElementDefinition", "fixed[x]")
_PATTERN = json_names("ElementDefinition", "pattern[x]")
_REFERENCES = ("Reference", "canonical")


def _has(node: Node, name: str) -> bool:
    return name in node or "_" + name in node


def _elements(node: Node, *views: str) -> list[Node]:
    """The elements of snapshot or differential, or of both."""
    found: list[Node] = []
    for view in views:
        found += node.get(view, {}).get("element", ())
    return found


_BOTH = ("snapshot", "differential")


def _roots(node: Node) -> list[Node]:
    return [e for e in _elements(node, *_BOTH) if "." not in e.get("path", "")]


def _is_core(node: Node) -> bool:
    return bool(node.get("url", "").startswith(_CORE))


def _unless_logical(check: Callable[[Node], bool]) -> Check:
    return lambda node, _: node.get("kind") == "logical" or check(node)


def _distinct_paths(node: Node, _: Scope) -> bool:
    if node.get("derivation") == "constraint":
        return True
    return distinct([e.get("path") for e in _elements(node, "snapshot")])


def _starts_with_type(node: Node) -> bool:
    elements = _elements(node, "snapshot")
    return not elements or elements[0].get("path") == node.get("type")


def _first_untyped(node: Node) -> bool:
    return not any("type" in e for e in _elements(node, "snapshot")[:1])


def _first_of_differential_untyped(node: Node) -> bool:
    return not any(
        "type" in e for e in _elements(node, "differential")[:1] if "." not in e.get("path", "")
    )


def _all_have_ids(node: Node, _: Scope) -> bool:
    return all("id" in e for e in _elements(node, *_BOTH))


def _distinct_ids(view: str) -> Check:
    return lambda node, _: distinct([e.get("id") for e in _elements(node, view)])


def _core_types(node: Node, _: Scope) -> bool:
    return not _is_core(node) or all(
        _CORE_TYPE.fullmatch(type_.get("code", "x"))
        for element in _elements(node, *_BOTH)
        for type_ in element.get("type", ())
    )


def _defaults(node: Node, _: Scope) -> bool:
    return node.get("derivation") == "specialization" or all(
        _DEFAULT.isdisjoint(e) for e in _elements(node, "differential")
    )


def _no_core_defaults(node: Node, _: Scope) -> bool:
    return not _is_core(node) or all(_DEFAULT.isdisjoint(e) for e in _elements(node, *_BOTH))


def _plain_roots(node: Node, _: Scope) -> bool:
    names = ("label", "code", "requirements")
    return not any(_has(root, name) for root in _roots(node) for name in names)


def _context(node: Node, _: Scope) -> bool:
    if node.get("type") != "Extension" or node.get("derivation") == "specialization":
        return True
    return "context" in node


def _below(elements: list[Node], root: str) -> bool:
    return all(e.get("path", "").startswith(root + ".") for e in elements[1:])


def _snapshot_paths(node: Node, scope: Scope) -> bool:
    elements = node.get("element", [{}])
    first = elements[0].get("path", "")
    is_logical = scope.resource.get("kind") == "logical"
    return (is_logical or first == scope.resource.get("type")) and _below(elements, first)


def _differential_paths(node: Node, scope: Scope) -> bool:
    elements = node.get("element", [{}])
    first = elements[0].get("path", "")
    is_logical = scope.resource.get("kind") == "logical"
    return (is_logical or first.startswith(scope.resource.get("type", ""))) and _below(
        elements, first.partition(".")[0]
    )


def _all_elements(test: Callable[[Node], bool]) -> Check:
    return lambda node, _: all(test(element) for element in node.get("element", ()))


def _is_bound(element: Node) -> bool:
    binding = element.get("binding")
    return binding is None or _has(binding, "valueSet") or _has(binding, "description")


def _described(element: Node) -> bool:
    return all(_has(element, name) for name in ("definition", "min", "max"))


# --- ElementDefinition -------------------------------------------------------------------------


def _bounds(node: Node, _: Scope) -> bool:
    low, high = node.get("min"), node.get("max", "*")
    if low is None or not high[:10].isdecimal():
        return True
    return bool(low <= int(high[:10]))


def _maximum(node: Node, _: Scope) -> bool:
    high = node.get("max", "*")
    return bool(high == "*" or (high.isascii() and high.isdecimal()))


def _one_type(names: frozenset[str]) -> Check:
    return lambda node, _: names.isdisjoint(node) or len(node.get("type", ())) <= 1


def _matches(name: str, pattern: re.Pattern[str]) -> Check:
    return lambda node, _: name not in node or pattern.fullmatch(node[name]) is not None


def _reason(node: Node, _: Scope) -> bool:
    return node.get("isModifier") is not True or _has(node, "isModifierReason")


def _value_set(node: Node, _: Scope) -> bool:
    return "valueSet" not in node or node["valueSet"].startswith(("http:", "https", "urn:"))


def _for_references(name: str) -> Check:
    return lambda node, _: not _has(node, name) or node.get("code") in _REFERENCES


def _distinct_in(member: str, name: str) -> Check:
    return lambda node, _: distinct([item.get(name) for item in node.get(member, ())])


_SD = "StructureDefinition"
_ED = "ElementDefinition"

RULES: dict[str, tuple[Rule, ...]] = {
    _SD: (
        Rule("sdf-1", "each path is there once, unless this is a constraint", _distinct_paths),
        Rule(
            "sdf-4",
            "what is not abstract has 'baseDefinition'",
            lambda n, _: n.get("abstract") is True or _has(n, "baseDefinition"),
        ),
        Rule("sdf-5", "a constraint on Extension has 'context'", _context),
        some("sdf-6", _SD, "snapshot", "differential"),
        Rule("sdf-9", "the root has no 'label', 'code' or 'requirements'", _plain_roots),
        Rule(
            "sdf-11",
            "the first path of the snapshot is the type",
            _unless_logical(_starts_with_type),
        ),
        Rule("sdf-14", "every element has an id", _all_have_ids),
        Rule("sdf-15", "the first element has no 'type'", _unless_logical(_first_untyped)),
        Rule(
            "sdf-15a",
            "the first element of the differential has no 'type' when it is the root",
            _unless_logical(_first_of_differential_untyped),
        ),
        Rule("sdf-16", "ids in the snapshot are there once", _distinct_ids("snapshot")),
        Rule("sdf-17", "ids in the differential are there once", _distinct_ids("differential")),
        Rule(
            "sdf-18",
            "only an Extension has 'contextInvariant'",
            lambda n, _: not _has(n, "contextInvariant") or n.get("type") == "Extension",
        ),
        Rule("sdf-19", "a definition of FHIR itself uses FHIR's types only", _core_types),
        Rule("sdf-21", "only a specialization has default values", _defaults),
        Rule("sdf-22", "FHIR itself defines no default values", _no_core_defaults),
        Rule(
            "sdf-23",
            "the root has no 'sliceName'",
            lambda n, _: not any(_has(root, "sliceName") for root in _roots(n)),
        ),
    ),
    f"{_SD}.mapping": (some("sdf-2", f"{_SD}.mapping", "name", "uri"),),
    f"{_SD}.snapshot": (
        Rule(
            "sdf-3",
            "every element has 'definition', 'min' and 'max'",
            _all_elements(_described),
        ),
        Rule("sdf-8", "every path begins with that of the first, the type", _snapshot_paths),
        Rule("sdf-8b", "every element has 'base'", _all_elements(lambda e: "base" in e)),
        Rule("sdf-10", "a binding has 'valueSet' or 'description'", _all_elements(_is_bound)),
    ),
    f"{_SD}.differential": (
        Rule(
            "sdf-20",
            "the root has no 'slicing'",
            _all_elements(lambda e: "slicing" not in e or "." in e.get("path", "")),
        ),
        Rule("sdf-8a", "every path begins with that of the first, the type", _differential_paths),
    ),
    _ED: (
        Rule("eld-2", "'min' must not be above 'max'", _bounds),
        Rule("eld-3", "'max' is a number or *", _maximum),
        not_both(
            "eld-5",
            _ED,
            "contentReference",
            "type",
            "defaultValue[x]",
            "fixed[x]",
            "pattern[x]",
            "example",
            "minValue[x]",
            "maxValue[x]",
            "maxLength",
            "binding",
        ),
        Rule("eld-6", "a fixed value needs a single type", _one_type(_FIXED)),
        Rule("eld-7", "a pattern needs a single type", _one_type(_PATTERN)),
        not_both("eld-8", _ED, "pattern[x]", "fixed[x]"),
        Rule("eld-13", "each type is there once", _distinct_in("type", "code")),
        Rule("eld-14", "each constraint's key is there once", _distinct_in("constraint", "key")),
        not_both("eld-15", _ED, "defaultValue[x]", "meaningWhenMissing"),
        Rule(
            "eld-16",
            "'sliceName' is of letters, digits and / - _ [ ] @",
            _matches("sliceName", _SLICE_NAME),
        ),
        Rule("eld-18", "a modifier needs 'isModifierReason'", _reason),
        Rule("eld-19", "'path' is of names with dots between", _matches("path", _PATH)),
        needs("eld-22", _ED, "sliceIsConstraining", "sliceName"),
    ),
    f"{_ED}.slicing": (some("eld-1", f"{_ED}.slicing", "discriminator", "description"),),
    f"{_ED}.binding": (Rule("eld-12", "'valueSet' begins with http:, https: or urn:", _value_set),),
    f"{_ED}.type": (
        Rule(
            "eld-4",
            "only a Reference or canonical has 'aggregation'",
            _for_references("aggregation"),
        ),
        Rule(
            "eld-17",
            "only a Reference or canonical has 'targetProfile'",
            _for_references("targetProfile"),
        ),
    ),
}
