"""Explains: walks a resource by the element tables and names every fault with its place.

https://hl7.org/fhir/R4/json.html, https://hl7.org/fhir/R4/validation.html

This is the meaning of validation; `schema.py` and `accept.py` only get to the same verdict
faster. It takes any JSON whatever and never fails.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from fhirserver.errors import Issue
from fhirserver.model.definitions import (
    RESOURCE_TYPES,
    Element,
    TypeDefinition,
    type_definition,
)
from fhirserver.validation import binding, contained, names, narrative, references
from fhirserver.validation.invariant import recommendations, rules
from fhirserver.validation.primitives import fault, json_kind, shown
from fhirserver.validation.rule import MAX_DEPTH, Node, Scope

MAX_ISSUES = 100


@dataclass(slots=True)
class Findings:
    """The issues found so far; at most MAX_ISSUES, so that bad input cannot make a flood."""

    issues: list[Issue] = field(default_factory=list)
    more: int = 0
    errors: int = 0

    def add(self, code: str, path: str, text: str, severity: str = "error") -> None:
        if severity == "error":
            self.errors += 1
        if len(self.issues) >= MAX_ISSUES:
            self.more += 1
            return
        self.issues.append(Issue(severity, code, f"{path}: {text}", (path,)))

    @property
    def full(self) -> bool:
        return len(self.issues) >= MAX_ISSUES

    def all(self) -> list[Issue]:
        if not self.more:
            return self.issues
        note = f"At least {self.more} more issues were found and are not listed."
        return [*self.issues, Issue("error", "incomplete", note)]


@dataclass(slots=True)
class Walk:
    """One walk over a resource and the resources in it."""

    findings: Findings
    with_recommendations: bool = False

    def resource(
        self,
        resource: Any,
        path: str | None,
        depth: int = 0,
        *,
        conditional_references: bool = False,
        container: Scope | None = None,
    ) -> None:
        """Judge one resource; `path` None names it by its own type."""
        found = self.findings
        if not isinstance(resource, dict):
            found.add("structure", path or "Resource", _not_an_object(resource))
            return
        type_ = resource.get("resourceType")
        if not isinstance(type_, str) or type_ not in RESOURCE_TYPES:
            found.add("structure", path or "Resource", names.wrong_type(resource))
            return
        path = path or type_
        before = found.errors
        scope = Scope(resource, resource, conditional_references=conditional_references)
        if container is not None:
            scope.root, scope.is_contained = container.root, True
            scope.contained_ids = container.contained_ids
            scope.local_references = container.local_references
        elif isinstance(resource.get("contained"), list):
            scope.contained_ids = contained.ids(resource)
        self.node(type_definition(type_), resource, path, scope, depth)
        if container is None and found.errors == before and "contained" in resource:
            self._containment(resource, path, scope)

    def _containment(self, resource: Node, path: str, scope: Scope) -> None:
        for index, key, text in contained.faults(resource):
            self.findings.add("invariant", f"{path}.contained[{index}]", f"{text} ({key})")
        for index in contained.unreferenced(resource, scope):
            self.findings.add(
                "invariant",
                f"{path}.contained[{index}]",
                "a contained resource must be referred to from its container, or to it (dom-3)",
            )

    def node(
        self,
        definition: TypeDefinition,
        node: Any,
        path: str,
        scope: Scope,
        depth: int,
        *,
        beside_value: bool = False,
    ) -> None:
        """Judge one object of a complex type, backbone element or resource; `beside_value`: it
        holds id and extensions of a primitive that has a value."""
        found = self.findings
        if not isinstance(node, dict):
            found.add("structure", path, _not_an_object(node))
            return
        if depth > MAX_DEPTH:
            found.add("structure", path, f"is nested more than {MAX_DEPTH} levels deep")
            return
        if not node:
            found.add("structure", path, "must not be an empty object")
            return
        is_bare = len(node) == 1 and "id" in node and not beside_value
        if is_bare and definition.kind != "resource":
            found.add("invariant", path, "has an id only; it needs a value or children (ele-1)")
        before = found.errors
        for name in node:
            if found.full:
                return
            self._member(definition, node, name, path, scope, depth)
        self._required(definition, node, path)
        self._choices(definition, node, path)
        self._rules(definition, node, path, scope, whole=found.errors == before)

    # --- members ---------------------------------------------------------------------------

    def _member(
        self,
        definition: TypeDefinition,
        node: Node,
        name: Any,
        path: str,
        scope: Scope,
        depth: int,
    ) -> None:
        if not isinstance(name, str):
            self.findings.add("structure", path, "has a member whose name is no string")
            return
        if name == "resourceType" and definition.kind == "resource":
            return
        element = definition.elements.get(name)
        if element is not None:
            self._element(definition, element, node, path, scope, depth)
            return
        element = definition.elements.get(name[1:]) if name.startswith("_") else None
        if element is None or not element.primitive or element.attribute:
            self.findings.add("structure", names.step(path, name), names.unknown(definition, name))
        elif element.many:
            self._siblings(element, node, path, scope, depth)
        else:
            place = f"{path}.{element.choice or element.name}"
            self.node(
                type_definition("Element"),
                node[name],
                place,
                scope,
                depth + 1,
                beside_value=node.get(element.name) is not None,
            )

    def _element(
        self,
        definition: TypeDefinition,
        element: Element,
        node: Node,
        path: str,
        scope: Scope,
        depth: int,
    ) -> None:
        value = node[element.name]
        place = f"{path}.{element.choice or element.name}"
        if not element.many:
            if isinstance(value, list):
                self.findings.add("structure", place, "must not be an array: it has one value")
            else:
                self._value(definition, element, value, place, scope, depth)
            return
        if not isinstance(value, list):
            self.findings.add(
                "structure", place, f"must be an array, even for one value, not {json_kind(value)}"
            )
            return
        if not value:
            self.findings.add("structure", place, "must not be an empty array")
        siblings = node.get("_" + element.name) if element.primitive else None
        for index, item in enumerate(value):
            if self.findings.full:
                return
            if item is None and isinstance(siblings, list) and _item(siblings, index):
                continue
            self._value(definition, element, item, f"{place}[{index}]", scope, depth)

    def _siblings(self, element: Element, node: Node, path: str, scope: Scope, depth: int) -> None:
        """`_given` beside `given`: same length, null where one of the two has nothing."""
        name = element.name
        siblings = node["_" + name]
        place = f"{path}.{name}"
        if not isinstance(siblings, list) or not siblings:
            self.findings.add("structure", place, f"'_{name}' must be an array that is not empty")
            return
        values = node.get(name)
        if isinstance(values, list) and len(values) != len(siblings):
            self.findings.add(
                "structure",
                place,
                f"'{name}' has {len(values)} values and '_{name}' {len(siblings)}; "
                "they must have as many, with null where one has nothing",
            )
        for index, item in enumerate(siblings):
            if self.findings.full:
                return
            spot = f"{place}[{index}]"
            if item is not None:
                self.node(
                    type_definition("Element"),
                    item,
                    spot,
                    scope,
                    depth + 1,
                    beside_value=isinstance(values, list) and _item(values, index) is not None,
                )
            elif not isinstance(values, list):
                self.findings.add("structure", spot, "has neither a value nor extensions")

    def _value(
        self,
        definition: TypeDefinition,
        element: Element,
        value: Any,
        place: str,
        scope: Scope,
        depth: int,
    ) -> None:
        if value is None:
            self.findings.add("structure", place, "must not be null; leave the element out")
        elif element.type == "Resource":
            self._inner(element, value, place, scope, depth)
        elif element.primitive:
            self._primitive(definition, element, value, place)
        else:
            before = self.findings.errors
            self.node(type_definition(element.type), value, place, scope, depth + 1)
            if self.findings.errors == before:
                self._complex(element, value, place, scope)

    def _inner(self, element: Element, value: Any, place: str, scope: Scope, depth: int) -> None:
        if element.name == "contained":
            self.resource(
                value,
                place,
                depth + 1,
                conditional_references=scope.conditional_references,
                container=scope,
            )
            return
        conditional = scope.conditional_references or (
            scope.resource.get("type") == "transaction"
            and scope.resource.get("resourceType") == "Bundle"
        )
        self.resource(value, place, depth + 1, conditional_references=conditional)

    def _primitive(
        self, definition: TypeDefinition, element: Element, value: Any, place: str
    ) -> None:
        wrong = fault(element.type, value)
        if wrong is not None:
            self.findings.add(wrong[0], place, wrong[1])
            return
        if element.type == "xhtml":
            text = narrative.fault(value)
            if text is not None:
                self.findings.add("invariant", place, f"the narrative {text} (txt-1, txt-2)")
        elif element.required_binding and not binding.code_holds(element, definition.name, value):
            self.findings.add(
                "code-invalid",
                place,
                f"{shown(value)} is not in the required value set "
                + binding.shown(element.required_binding)
                + names.nearest_code(element.required_binding, value),
            )

    def _complex(self, element: Element, value: Node, place: str, scope: Scope) -> None:
        if element.type == "Reference":
            wrong = references.fault(value, frozenset(element.targets), scope)
            if wrong is not None:
                self.findings.add(wrong[0], place, wrong[1])
        if element.profile == "SimpleQuantity" and "comparator" in value:
            self.findings.add("invariant", place, "must not have a comparator (sqty-1)")
        coded = binding.check(element, "")
        if coded is not None and not coded(value):
            self.findings.add(
                "code-invalid",
                place,
                "no code is in the required value set "
                + binding.shown(element.required_binding or ""),
            )

    # --- the node as a whole -----------------------------------------------------------------

    def _required(self, definition: TypeDefinition, node: Node, path: str) -> None:
        choices: dict[str, bool] = {}
        for element in definition.elements.values():
            if not element.min:
                continue
            present = element.name in node or (element.primitive and "_" + element.name in node)
            if element.choice is not None:
                choices[element.choice] = choices.get(element.choice, False) or present
            elif not present:
                self.findings.add("required", path, f"'{element.name}' is required and missing")
        for choice, present in choices.items():
            if not present:
                self.findings.add(
                    "required",
                    path,
                    f"'{choice}[x]' is required and missing: {names.choice(definition, choice)}",
                )

    def _choices(self, definition: TypeDefinition, node: Node, path: str) -> None:
        present: dict[str, list[str]] = {}
        for name in node:
            plain = name.removeprefix("_") if isinstance(name, str) else ""
            element = definition.elements.get(plain)
            if element is not None and element.choice is not None:
                names_ = present.setdefault(element.choice, [])
                if plain not in names_:
                    names_.append(plain)
        for choice, several in present.items():
            if len(several) > 1:
                self.findings.add(
                    "structure",
                    f"{path}.{choice}",
                    f"only one of {', '.join(several)} may be there",
                )

    def _rules(
        self, definition: TypeDefinition, node: Node, path: str, scope: Scope, *, whole: bool
    ) -> None:
        """Invariants. In a node with faults some cannot be evaluated; its faults are told."""
        for rule in rules(definition.name):
            try:
                kept = rule.check(node, scope)
            except Exception:
                if whole:
                    raise
                continue
            if not kept:
                self.findings.add("invariant", path, f"{rule.text} ({rule.key})")
        if self.with_recommendations and whole and not scope.is_contained:
            for rule in recommendations(definition.name):
                if not rule.check(node, scope):
                    self.findings.add(
                        "invariant", path, f"{rule.text} ({rule.key})", severity="warning"
                    )


def _not_an_object(value: Any) -> str:
    if value is None:
        return "must not be null; leave the element out"
    return f"must be an object, not {json_kind(value)}"


def _item(values: list[Any], index: int) -> Any:
    return values[index] if index < len(values) else None
