"""Invariants of the data types (https://hl7.org/fhir/R4/datatypes.html)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from fhirserver.model.dates import interval
from fhirserver.validation.rule import Node, Rule, Scope, json_names, needs, not_both, some
from fhirserver.validation.rule import exactly_one as either

UCUM = "http://unitsofmeasure.org"
_EXTENSION_VALUES = json_names("Extension", "value[x]")


def _extension(node: Node, _: Scope) -> bool:
    return ("extension" in node) is _EXTENSION_VALUES.isdisjoint(node)


def in_order(low: Any, high: Any) -> bool:
    """Whether date or dateTime `low` can be before or at `high`; open when precision leaves it."""
    if type(low) is not str or type(high) is not str:
        return True
    if len(low) == len(high) and low[19:] == high[19:] and low <= high:
        return True
    return interval(low)[0] < interval(high)[1]


def _period(node: Node, _: Scope) -> bool:
    return "start" not in node or "end" not in node or in_order(node["start"], node["end"])


def _has(node: Node, name: str) -> bool:
    return name in node or "_" + name in node


def _age(node: Node, _: Scope) -> bool:
    return _in_ucum(node) and not ("value" in node and node["value"] <= 0)


def _in_ucum(node: Node) -> bool:
    if _has(node, "value") and not _has(node, "code"):
        return False
    return not _has(node, "system") or node.get("system") == UCUM


def _count(node: Node, _: Scope) -> bool:
    if not _in_ucum(node) or (_has(node, "code") and node.get("code") != "1"):
        return False
    return "value" not in node or "." not in str(node["value"])


def _duration(node: Node, _: Scope) -> bool:
    return not _has(node, "code") or (node.get("system") == UCUM and _has(node, "value"))


def _range(node: Node, _: Scope) -> bool:
    low, high = node.get("low"), node.get("high")
    if low is None or high is None or "value" not in low or "value" not in high:
        return True
    if any(low.get(name) != high.get(name) for name in ("unit", "system", "code")):
        return True  # not comparable without converting units
    return Decimal(low["value"]) <= Decimal(high["value"])


def _ratio(node: Node, _: Scope) -> bool:
    if ("numerator" in node) != ("denominator" in node):
        return False
    return "numerator" in node or "extension" in node


def _not_negative(name: str) -> Any:
    return lambda node, _: name not in node or node[name] >= 0


def _offset(node: Node, _: Scope) -> bool:
    if not _has(node, "offset"):
        return True
    return _has(node, "when") and {"C", "CM", "CD", "CV"}.isdisjoint(node.get("when", ()))


def _trigger(node: Node, _: Scope) -> bool:
    type_ = node.get("type", "")
    if type_ == "named-event":
        return _has(node, "name")
    if type_ == "periodic":
        return not _TIMINGS.isdisjoint(node)
    return not type_.startswith("data-") or "data" in node


_TIMINGS = json_names("TriggerDefinition", "timing[x]")

RULES: dict[str, tuple[Rule, ...]] = {
    "Extension": (
        Rule("ext-1", "an extension has either nested extensions or one value[x]", _extension),
    ),
    "Period": (Rule("per-1", "'start' must not be after 'end'", _period),),
    "Quantity": (needs("qty-3", "Quantity", "code", "system"),),
    "Age": (
        Rule("age-1", "an age is above 0, with a code of UCUM (" + UCUM + ") for its unit", _age),
    ),
    "Count": (Rule("cnt-3", "a count is a whole number whose code, in UCUM, is 1", _count),),
    "Distance": (
        Rule("dis-1", "a distance has a code of UCUM for its unit", lambda n, _: _in_ucum(n)),
    ),
    "Duration": (
        Rule("drt-1", "a code needs a value and the system " + UCUM + " (UCUM)", _duration),
    ),
    "Range": (Rule("rng-2", "'low' must not be above 'high'", _range),),
    "Ratio": (
        Rule("rat-1", "'numerator' and 'denominator' stand together, or only extensions", _ratio),
    ),
    "ContactPoint": (needs("cpt-2", "ContactPoint", "value", "system"),),
    "Attachment": (needs("att-1", "Attachment", "data", "contentType"),),
    "Expression": (some("exp-1", "Expression", "expression", "reference"),),
    "DataRequirement.codeFilter": (
        either("drq-1", "DataRequirement.codeFilter", "path", "searchParam"),
    ),
    "DataRequirement.dateFilter": (
        either("drq-2", "DataRequirement.dateFilter", "path", "searchParam"),
    ),
    "Timing.repeat": (
        needs("tim-1", "Timing.repeat", "duration", "durationUnit"),
        needs("tim-2", "Timing.repeat", "period", "periodUnit"),
        Rule("tim-4", "'duration' is not negative", _not_negative("duration")),
        Rule("tim-5", "'period' is not negative", _not_negative("period")),
        needs("tim-6", "Timing.repeat", "periodMax", "period"),
        needs("tim-7", "Timing.repeat", "durationMax", "duration"),
        needs("tim-8", "Timing.repeat", "countMax", "count"),
        Rule("tim-9", "'offset' needs 'when', and not C, CM, CD or CV", _offset),
        not_both("tim-10", "Timing.repeat", "timeOfDay", "when"),
    ),
    "TriggerDefinition": (
        not_both("trd-1", "TriggerDefinition", "data", "timing[x]"),
        needs("trd-2", "TriggerDefinition", "condition", "data"),
        Rule(
            "trd-3",
            "a named-event needs 'name', periodic needs 'timing[x]', a data event needs 'data'",
            _trigger,
        ),
    ),
}
