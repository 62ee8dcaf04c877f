"""Invariants of TestScript (https://hl7.org/fhir/R4/testscript.html#invs)."""

from __future__ import annotations

from fhirserver.validation.rule import Node, Rule, Scope, exactly_one

_ASSERTED = (
    "contentType",
    "expression",
    "headerField",
    "minimumId",
    "navigationLinks",
    "path",
    "requestMethod",
    "resource",
    "responseCode",
    "response",
    "validateProfileId",
)
_WHOLE_SERVER = ("capabilities", "search", "transaction", "history")


def _has(node: Node, name: str) -> bool:
    return name in node or "_" + name in node


def _compared(node: Node, _: Scope) -> bool:
    by = _has(node, "compareToSourceExpression") or _has(node, "compareToSourcePath")
    return _has(node, "compareToSourceId") == by


def _direction(node: Node, _: Scope) -> bool:
    if not _has(node, "direction") or node.get("direction") == "response":
        return True
    return not _has(node, "response") and not _has(node, "responseCode")


def _one_assertion(node: Node, _: Scope) -> bool:
    return "extension" in node or sum(_has(node, name) for name in _ASSERTED) <= 1


def _one_target(node: Node, _: Scope) -> bool:
    if _has(node, "sourceId") or node.get("type", {}).get("code") in _WHOLE_SERVER:
        return True
    return sum(_has(node, name) for name in ("targetId", "url", "params")) == 1


def _one_source(node: Node, _: Scope) -> bool:
    return not all(_has(node, name) for name in ("expression", "headerField", "path"))


def _required_or_validated(node: Node, _: Scope) -> bool:
    return any(
        _has(capability, name)
        for capability in node.get("capability", ())
        for name in ("required", "validated")
    )


# The actions of test and teardown are of the types that setup defines.
RULES: dict[str, tuple[Rule, ...]] = {
    "TestScript.metadata": (
        Rule("tst-4", "a capability is required or validated", _required_or_validated),
    ),
    "TestScript.variable": (
        Rule("tst-3", "has not all of 'expression', 'headerField', 'path'", _one_source),
    ),
    "TestScript.setup.action": (
        exactly_one("tst-1", "TestScript.setup.action", "operation", "assert"),
    ),
    "TestScript.test.action": (
        exactly_one("tst-2", "TestScript.test.action", "operation", "assert"),
    ),
    "TestScript.setup.action.operation": (
        Rule("tst-7", "has exactly one of 'targetId', 'url' and 'params'", _one_target),
    ),
    "TestScript.setup.action.assert": (
        Rule("tst-5", "asserts one thing", _one_assertion),
        Rule("tst-10", "'compareToSourceId' needs what to compare, and the reverse", _compared),
        Rule("tst-12", "a request has neither 'response' nor 'responseCode'", _direction),
    ),
}
