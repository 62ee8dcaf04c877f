"""Which invariants hold for a type: its own and those of the types it is made from.

The universal ones stand elsewhere: ele-1 in the structure, ref-1 in `references.py`, dom-2 to
dom-5 in `contained.py`, txt-1 and txt-2 in `narrative.py`.
"""

from __future__ import annotations

import re
from functools import cache

from fhirserver.model.definitions import type_definition
from fhirserver.validation.invariant import (
    bundle,
    clinical,
    conformance,
    datatypes,
    structure_definition,
    testscript,
)
from fhirserver.validation.rule import Node, Rule, Scope

_TABLES = (
    datatypes.RULES,
    clinical.RULES,
    bundle.RULES,
    conformance.RULES,
    structure_definition.RULES,
    testscript.RULES,
)
_NAME = re.compile(r"[A-Z][A-Za-z0-9_]{0,254}")


@cache
def rules(type_: str) -> tuple[Rule, ...]:
    """The invariants of severity error."""
    return tuple(rule for rule in _all(type_) if rule.severity == "error")


@cache
def recommendations(type_: str) -> tuple[Rule, ...]:
    """The invariants of severity warning."""
    return tuple(rule for rule in _all(type_) if rule.severity == "warning")


def _all(type_: str) -> tuple[Rule, ...]:
    definition = type_definition(type_)
    inherited = _all(definition.base) if definition.base else ()
    own = tuple(rule for table in _TABLES for rule in table.get(type_, ()))
    if type_ == "DomainResource":
        own += (_NARRATIVE,)
    if definition.kind == "resource" and {"url", "name", "status"} <= definition.elements.keys():
        own += (_PROPER_NAME,)
    return inherited + own


def _has_narrative(node: Node, _: Scope) -> bool:
    return "div" in node.get("text", {})


def _has_proper_name(node: Node, _: Scope) -> bool:
    return "name" not in node or _NAME.fullmatch(node["name"]) is not None


_NARRATIVE = Rule(
    "dom-6", "a narrative ('text') is good practice", _has_narrative, severity="warning"
)
_PROPER_NAME = Rule(
    "name",
    "'name' should be usable in code: a capital, then letters, digits and '_'",
    _has_proper_name,
    severity="warning",
)
