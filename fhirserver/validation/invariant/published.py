"""Invariants evaluated as published, by fhirpathpy: those of StructureDefinition and
ElementDefinition, which are many, intricate and off every hot path
(https://hl7.org/fhir/R4/structuredefinition.html#invs)."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any

import msgspec

from fhirserver.model import shipped
from fhirserver.validation.rule import Check, Node, Rule, Scope

_TYPES = ("StructureDefinition", "ElementDefinition")
_TRACE = re.compile(r"\.trace\('[^']*'(?:,\s*\w+)?\)")  # fhirpathpy would print it


class _Row(msgspec.Struct):
    path: str
    key: str
    severity: str
    expression: str


@cache
def _rows() -> list[_Row]:
    return msgspec.json.decode(shipped.read("profiles", "r4", "invariants.json"), type=list[_Row])


def rules(type_: str) -> tuple[Rule, ...]:
    """The published invariants of `type_` that are left to this module."""
    if type_.partition(".")[0] not in _TYPES:
        return ()
    return tuple(
        Rule(row.key, f"does not hold: {row.expression}", _check(type_, row.expression))
        for row in _rows()
        if row.path == type_ and row.severity == "error"
    )


def _check(type_: str, expression: str) -> Check:
    def check(node: Node, scope: Scope) -> bool:
        environment = {"resource": scope.resource, "rootResource": scope.root, "context": node}
        try:
            found = _compiled(type_, expression)(node, environment)
        except Exception:  # what the library cannot evaluate is not judged
            return True
        return bool(found != [False])

    return check


@cache
def _compiled(type_: str, expression: str) -> Callable[[Node, dict[str, Any]], list[Any]]:
    import fhirpathpy
    from fhirpathpy.models import models

    path: Any = _TRACE.sub("", expression)
    if "." in type_ or type_ == "ElementDefinition":
        path = {"base": type_, "expression": path}
    compiled: Callable[[Node, dict[str, Any]], list[Any]] = fhirpathpy.compile(path, models["r4"])
    return compiled
