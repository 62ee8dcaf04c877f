"""The hot path: is this resource right? No places, no texts, only yes or no.

The schema has seen every value; this pass goes over what a schema cannot see (invariants,
references, choices, integers written 1.0, narrative), and only into members that can hold any of
it. Whoever is refused here is looked at again, slowly, by `structure.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhirserver.model.definitions import RESOURCE_TYPES, Element, TypeDefinition, type_definition
from fhirserver.validation import binding, contained, narrative, references
from fhirserver.validation.invariant import rules
from fhirserver.validation.rule import MAX_DEPTH, Check, Node, Scope

Visit = Callable[[Any, Scope], bool]
_WHOLE = frozenset(("integer", "positiveInt", "unsignedInt"))


class Acceptance:
    """Judges resources with a compiled schema; each type's pass is made when first met."""

    def __init__(self, schema: Any) -> None:
        self._is_valid = schema.is_valid
        self._passes: dict[str, _Pass] = {}

    def accepts(
        self,
        resource: Node,
        *,
        conditional_references: bool = False,
        container: Scope | None = None,
        depth: int = 0,
    ) -> bool:
        """Whether `resource` keeps every rule; `container` is given for a contained one."""
        type_ = resource.get("resourceType")
        if type(type_) is not str or type_ not in RESOURCE_TYPES:
            return False
        if not self._is_valid({type_: resource}):
            return False
        if container is None:
            scope = Scope(resource, resource, conditional_references=conditional_references)
            if "contained" in resource:
                scope.contained_ids = contained.ids(resource)
                if next(contained.faults(resource), None) is not None:
                    return False
        else:
            scope = Scope(
                resource,
                container.root,
                container.contained_ids,
                is_contained=True,
                conditional_references=conditional_references,
                local_references=container.local_references,
            )
        scope.depth = depth
        if not self._pass(type_).visit(resource, scope):
            return False
        return (
            container is not None
            or not scope.contained_ids
            or next(contained.unreferenced(resource, scope), None) is None
        )

    def _pass(self, type_: str) -> _Pass:
        found = self._passes.get(type_)
        if found is None:
            found = self._passes[type_] = _Pass(type_definition(type_))
            found.fill(self)
        return found

    def child(self, element: Element, owner: TypeDefinition) -> Visit | None:
        """What to do with a value of `element`; None when the schema has seen to all of it."""
        if element.type == "Resource":
            return self._contained if element.name == "contained" else self._nested
        if element.type == "xhtml":
            return lambda value, _: narrative.fault(value) is None
        if element.type in _WHOLE:
            return lambda value, _: type(value) is int
        coded = binding.check(element, owner.name)
        if element.primitive:
            return None if coded is None else (lambda value, _: coded(value))
        visit = self._pass(element.type).visit
        if element.type == "Reference":
            targets = frozenset(element.targets)
            fault = references.fault
            return lambda value, scope: fault(value, targets, scope) is None and visit(value, scope)
        if element.profile == "SimpleQuantity":
            return lambda value, scope: "comparator" not in value and visit(value, scope)
        if coded is not None:
            return lambda value, scope: coded(value) and visit(value, scope)
        return visit

    def sibling(self) -> Visit:
        """What to do with `_name`."""
        return self._pass("Element").visit

    def _nested(self, resource: Node, scope: Scope) -> bool:
        conditional = scope.conditional_references or (
            scope.resource.get("type") == "transaction"
            and scope.resource["resourceType"] == "Bundle"
        )
        return self.accepts(resource, conditional_references=conditional, depth=scope.depth)

    def _contained(self, resource: Node, scope: Scope) -> bool:
        return self.accepts(
            resource,
            conditional_references=scope.conditional_references,
            container=scope,
            depth=scope.depth,
        )


class _Pass:
    """One type's part of the pass."""

    __slots__ = ("_checks", "_children", "_definition", "_interesting", "_is_resource")

    def __init__(self, definition: TypeDefinition) -> None:
        self._definition = definition
        self._is_resource = definition.kind == "resource"
        self._checks: tuple[Check, ...] = ()
        self._children: dict[str, Visit] = {}
        self._interesting: frozenset[str] = frozenset()

    def fill(self, acceptance: Acceptance) -> None:
        """Made after it is known by name, since types nest in themselves."""
        definition = self._definition
        self._checks = tuple(rule.check for rule in rules(definition.name))
        choices = _choices(definition)
        if choices is not None:
            self._checks = (choices, *self._checks)
        for element in definition.elements.values():
            child = acceptance.child(element, definition)
            if child is not None:
                self._children[element.name] = child
            if element.primitive and not element.attribute:
                self._children["_" + element.name] = acceptance.sibling()
        self._interesting = frozenset(self._children)

    def visit(self, node: Node, scope: Scope) -> bool:
        if len(node) == 1 and "id" in node:
            return False  # ele-1
        for check in self._checks:
            if not check(node, scope):
                return False
        if self._interesting.isdisjoint(node):
            return True
        scope.depth += 1
        if scope.depth > MAX_DEPTH:
            return False
        children = self._children
        for key, value in node.items():
            child = children.get(key)
            if child is None:
                continue
            if type(value) is list:
                for item in value:
                    if not child(item, scope):
                        return False
            elif not child(value, scope):
                return False
        scope.depth -= 1
        return True


def _choices(definition: TypeDefinition) -> Check | None:
    """At most one type of each choice is there, and one of each that is required."""
    names: dict[str, tuple[str, str]] = {}
    required: dict[str, set[str]] = {}
    for element in definition.elements.values():
        if element.choice is None:
            continue
        pair = (element.choice, element.name)
        for name in (element.name, "_" + element.name):
            names[name] = pair
            if element.min:
                required.setdefault(element.choice, set()).add(name)
    if not names:
        return None
    needed = tuple(frozenset(members) for members in required.values())
    if needed:
        return lambda node, _: (
            _one_each(names, node) and not any(members.isdisjoint(node) for members in needed)
        )
    return lambda node, _: _one_each(names, node)


def _one_each(names: dict[str, tuple[str, str]], node: Node) -> bool:
    first: tuple[str, str] | None = None
    for key in node:
        pair = names.get(key)
        if pair is None:
            continue
        if first is None:
            first = pair
        elif pair is not first:
            found = {names[key] for key in node if key in names}
            return len({choice for choice, _ in found}) == len(found)
    return True
