"""Invariants of conformance, terminology and questionnaire resources
(https://hl7.org/fhir/R4/conformance-module.html), but for StructureDefinition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fhirserver.validation.rule import (
    Node,
    Rule,
    Scope,
    descendants,
    distinct,
    exactly_one,
    needs,
    not_both,
    some,
)

Check = Callable[[Node, Scope], bool]


def _has(node: Node, name: str) -> bool:
    return name in node or "_" + name in node


def _unless(name: str, value: str, check: Check) -> Check:
    """`check`, but only where `name` has `value`."""
    return lambda node, scope: node.get(name) != value or check(node, scope)


def _software_only(node: Node, _: Scope) -> bool:
    return "software" in node and "implementation" not in node


def _neither(node: Node, _: Scope) -> bool:
    return "software" not in node and "implementation" not in node


def _kind_rules(type_: str, prefix: str, numbers: tuple[int, int, int, int]) -> tuple[Rule, ...]:
    described, instance, capability, requirements = (f"{prefix}-{n}" for n in numbers)
    return (
        some(described, type_, "description", "software", "implementation"),
        Rule(
            instance,
            "an instance has 'implementation'",
            _unless("kind", "instance", lambda n, _: "implementation" in n),
        ),
        Rule(
            capability,
            "a capability has 'software' and no 'implementation'",
            _unless("kind", "capability", _software_only),
        ),
        Rule(
            requirements,
            "requirements have neither 'software' nor 'implementation'",
            _unless("kind", "requirements", _neither),
        ),
    )


def _distinct_in(member: str, *names: str) -> Check:
    return lambda node, _: distinct(
        [tuple(item.get(name) for name in names) for item in node.get(member, ())]
    )


def _endpoint(node: Node, _: Scope) -> bool:
    return node.get("kind") == "instance" or not any(
        "endpoint" in messaging for messaging in node.get("messaging", ())
    )


def _distinct_concepts(node: Node, _: Scope) -> bool:
    codes: list[Any] = []
    waiting = list(node.get("concept", ()))
    while waiting:
        concept = waiting.pop()
        codes.append(concept.get("code"))
        waiting.extend(concept.get("concept", ()))
    return distinct(codes)


def _comment(node: Node, _: Scope) -> bool:
    return _has(node, "comment") or node.get("equivalence") not in ("narrower", "inexact")


def _versions(node: Node, _: Scope) -> bool:
    found = node.get("version", ())
    return len(found) < 2 or all(_has(version, "code") for version in found)


def _grouping_ids(node: Node, _: Scope) -> bool:
    known = {grouping.get("id") for grouping in node.get("grouping", ())}
    return all(r.get("groupingId", None) in {None, *known} for r in node.get("resource", ()))


def _fhir_versions(node: Node, _: Scope) -> bool:
    known = set(node.get("fhirVersion", ()))
    resources = node.get("definition", {}).get("resource", ())
    return all(known.issuperset(r.get("fhirVersion", ())) for r in resources)


def _stratifiers(node: Node, _: Scope) -> bool:
    own = ("code", "description", "_description", "criteria")
    return all(
        any(name in stratifier for name in own) != ("component" in stratifier)
        for group in node.get("group", ())
        for stratifier in group.get("stratifier", ())
    )


def _strata(node: Node, _: Scope) -> bool:
    return all(
        ("value" in stratum) != ("component" in stratum)
        for group in node.get("group", ())
        for stratifier in group.get("stratifier", ())
        for stratum in stratifier.get("stratum", ())
    )


def _focus_max(node: Node, _: Scope) -> bool:
    text = node.get("max", "*")
    return text == "*" or (text.isdecimal() and int(text[:9]) > 0)


def _roots(node: Node, _: Scope) -> bool:
    return node.get("kind") != "root" or all(u["type"] != "uuid" for u in node["uniqueId"])


def _preferred(node: Node, _: Scope) -> bool:
    return distinct([u.get("type") for u in node["uniqueId"] if u.get("preferred") is True])


def _target_profile(node: Node, _: Scope) -> bool:
    return not _has(node, "targetProfile") or node.get("type") in ("Reference", "canonical")


# --- Questionnaire ---------------------------------------------------------------------------

_WITH_LENGTH = ("boolean", "decimal", "integer", "string", "text", "url", "open-choice")
_WITH_OPTIONS = (
    "choice",
    "open-choice",
    "decimal",
    "integer",
    "date",
    "dateTime",
    "time",
    "string",
    "quantity",
)


def _distinct_links(node: Node, _: Scope) -> bool:
    return distinct([link for link in descendants(node, "linkId") if isinstance(link, str)])


def _children(node: Node, _: Scope) -> bool:
    if node.get("type") == "group":
        return "item" in node
    return node.get("type") != "display" or "item" not in node


def _lacks(*names: str) -> Check:
    return lambda node, _: not any(_has(node, name) for name in names)


def _only(types: tuple[str, ...], *names: str) -> Check:
    return lambda node, _: node.get("type") in types or not any(_has(node, n) for n in names)


def _initials(node: Node, _: Scope) -> bool:
    return node.get("repeats") is True or len(node.get("initial", ())) <= 1


def _initial_kept(node: Node, _: Scope) -> bool:
    return node.get("type") not in ("group", "display") or "initial" not in node


def _exists_answer(node: Node, _: Scope) -> bool:
    return node.get("operator") != "exists" or "answerBoolean" in node


_ITEM = "Questionnaire.item"

RULES: dict[str, tuple[Rule, ...]] = {
    "CapabilityStatement": (
        some("cpb-1", "CapabilityStatement", "rest", "messaging", "document"),
        *_kind_rules("CapabilityStatement", "cpb", (2, 14, 15, 16)),
        Rule("cpb-3", "only an instance has a messaging endpoint", _endpoint),
        Rule(
            "cpb-7",
            "a document is there once for each profile and mode",
            _distinct_in("document", "profile", "mode"),
        ),
    ),
    "CapabilityStatement.rest": (
        Rule("cpb-9", "each resource type is there once", _distinct_in("resource", "type")),
    ),
    "CapabilityStatement.rest.resource": (
        Rule(
            "cpb-12",
            "each search parameter is there once",
            _distinct_in("searchParam", "name"),
        ),
    ),
    "TerminologyCapabilities": _kind_rules("TerminologyCapabilities", "tcp", (2, 3, 4, 5)),
    "TerminologyCapabilities.codeSystem": (
        Rule("tcp-1", "with several versions, each has a 'code'", _versions),
    ),
    "CodeSystem": (Rule("csd-1", "each code is there once", _distinct_concepts),),
    "ConceptMap.group.element.target": (
        Rule("cmd-1", "a narrower or inexact target needs 'comment'", _comment),
    ),
    "ConceptMap.group.unmapped": (
        Rule(
            "cmd-2",
            "mode fixed needs 'code'",
            _unless("mode", "fixed", lambda n, _: _has(n, "code")),
        ),
        Rule(
            "cmd-3",
            "mode other-map needs 'url'",
            _unless("mode", "other-map", lambda n, _: _has(n, "url")),
        ),
    ),
    "ImplementationGuide": (
        Rule("ig-2", "a resource's FHIR version is one of the guide's", _fhir_versions),
    ),
    "ImplementationGuide.definition": (
        Rule("ig-1", "'groupingId' names a grouping of this guide", _grouping_ids),
    ),
    "Measure": (
        Rule("mea-1", "a stratifier has components, or criteria of its own", _stratifiers),
    ),
    "MeasureReport": (
        Rule(
            "mrp-1",
            "a data-collection has no 'group'",
            _unless("type", "data-collection", lambda n, _: "group" not in n),
        ),
        Rule("mrp-2", "a stratum has either 'value' or 'component'", _strata),
    ),
    "MessageDefinition.focus": (Rule("md-1", "'max' is * or above 0", _focus_max),),
    "NamingSystem": (
        Rule("nsd-1", "a root system has no uuid", _roots),
        Rule("nsd-2", "one preferred identifier for each type", _preferred),
    ),
    "OperationDefinition.parameter": (
        some("opd-1", "OperationDefinition.parameter", "type", "part"),
        Rule(
            "opd-2",
            "only a string has 'searchType'",
            lambda n, _: not _has(n, "searchType") or n.get("type") == "string",
        ),
        Rule("opd-3", "only a Reference or canonical has 'targetProfile'", _target_profile),
    ),
    _ITEM: (
        Rule("que-1", "a group has items, a display has none", _children),
        Rule("que-3", "a display has no 'code'", _unless("type", "display", _lacks("code"))),
        not_both("que-4", _ITEM, "answerOption", "answerValueSet"),
        Rule(
            "que-5",
            "only a question with options has 'answerOption' or 'answerValueSet'",
            _only(_WITH_OPTIONS, "answerOption", "answerValueSet"),
        ),
        Rule(
            "que-6",
            "a display has neither 'required' nor 'repeats'",
            _unless("type", "display", _lacks("required", "repeats")),
        ),
        Rule("que-8", "a group or display has no 'initial'", _initial_kept),
        Rule(
            "que-9", "a display has no 'readOnly'", _unless("type", "display", _lacks("readOnly"))
        ),
        Rule("que-10", "only a simple question has 'maxLength'", _only(_WITH_LENGTH, "maxLength")),
        not_both("que-11", _ITEM, "answerOption", "initial"),
        Rule(
            "que-12",
            "more than two 'enableWhen' need 'enableBehavior'",
            lambda n, _: len(n.get("enableWhen", ())) <= 2 or _has(n, "enableBehavior"),
        ),
        Rule("que-13", "only a repeating question has several 'initial'", _initials),
    ),
    "Questionnaire": (Rule("que-2", "each 'linkId' is there once", _distinct_links),),
    "Questionnaire.item.enableWhen": (
        Rule("que-7", "operator exists needs a boolean answer", _exists_answer),
    ),
    "QuestionnaireResponse.item": (
        not_both("qrs-1", "QuestionnaireResponse.item", "answer", "item"),
    ),
    "SearchParameter": (
        needs("spd-1", "SearchParameter", "xpath", "xpathUsage"),
        Rule(
            "spd-2",
            "only a reference parameter has 'chain'",
            lambda n, _: not _has(n, "chain") or n.get("type") == "reference",
        ),
    ),
    "StructureMap.group.rule.target": (
        needs("smp-1", "StructureMap.group.rule.target", "element", "context"),
        needs("smp-2", "StructureMap.group.rule.target", "context", "contextType"),
    ),
    "ValueSet.compose.include": (
        some("vsd-1", "ValueSet.compose.include", "valueSet", "system"),
        needs("vsd-2", "ValueSet.compose.include", "concept", "system"),
        needs("vsd-2", "ValueSet.compose.include", "filter", "system"),
        not_both("vsd-3", "ValueSet.compose.include", "concept", "filter"),
    ),
    "ValueSet.expansion.contains": (
        some("vsd-6", "ValueSet.expansion.contains", "code", "display"),
        Rule(
            "vsd-9",
            "needs 'code' unless it is abstract",
            lambda n, _: _has(n, "code") or n.get("abstract") is True,
        ),
        needs("vsd-10", "ValueSet.expansion.contains", "code", "system"),
    ),
    "TestReport.setup.action": (
        exactly_one("inv-1", "TestReport.setup.action", "operation", "assert"),
    ),
    "TestReport.test.action": (
        exactly_one("inv-2", "TestReport.test.action", "operation", "assert"),
    ),
}
