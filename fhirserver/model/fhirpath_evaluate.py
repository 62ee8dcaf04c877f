"""The whole of FHIRPath on a resource, by fhirpathpy (https://hl7.org/fhir/R4/fhirpath.html).

Slow (tens of microseconds and more), for expressions that `fhirpath.py` does not compile. What
the library lacks is added here: hasValue, resolve, memberOf, conformsTo, htmlChecks. Expressions
come from clients too, so patterns that never end and endless numbers are refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import fhirpathpy
import jsonschema_rs
from fhirpathpy.engine.nodes import ResourceNode
from fhirpathpy.models import models

from fhirserver.errors import Invalid
from fhirserver.model import references
from fhirserver.model.narrative import is_safe

MAX_LENGTH = 4000

Resolve = Callable[[str], dict[str, Any] | None]
MemberOf = Callable[[str, Any], bool | None]

# The library keeps the model and the time of an evaluation in module variables.
_lock = threading.Lock()


class _Evaluation:
    """What the added functions need to know of the evaluation that is going on."""

    root: dict[str, Any] = {}
    resolve: Resolve | None = None
    member_of: MemberOf | None = None


def evaluate(
    expression: str,
    resource: dict[str, Any],
    *,
    type: str | None = None,
    variables: dict[str, Any] | None = None,
    resolve: Resolve | None = None,
    member_of: MemberOf | None = None,
) -> list[Any]:
    """What `expression` gives on `resource`; Invalid when it cannot be evaluated.

    `type`: the FHIR type when `resource` is only a part of one. `resolve` finds a referenced
    resource; contained ones are found anyway, and of a literal reference that nobody resolves
    the type is known. `member_of` says whether a value is in a value set.
    """
    run = _compiled(expression)
    given: Any = resource
    if type is not None:
        given = ResourceNode.create_node(resource, type)
    known = {"resource": resource, "rootResource": resource, **(variables or {})}
    with _lock:
        _Evaluation.root = known["rootResource"]
        _Evaluation.resolve = resolve
        _Evaluation.member_of = member_of
        try:
            found: list[Any] = run(given, known)
        except Invalid:
            raise
        except (Exception, RecursionError) as error:
            raise Invalid(
                f"The FHIRPath {expression[:200]!r} cannot be evaluated: {error}"
            ) from None
    return found


@lru_cache(maxsize=512)
def _compiled(expression: str) -> Callable[[Any, dict[str, Any]], list[Any]]:
    if len(expression) > MAX_LENGTH:
        raise Invalid(f"A FHIRPath expression may have {MAX_LENGTH} characters")
    options = {"userInvocationTable": _ADDED, "traceFn": lambda *_: None}
    try:
        run: Callable[[Any, dict[str, Any]], list[Any]] = fhirpathpy.compile(
            expression, models["r4"], options
        )
    except (Exception, RecursionError) as error:
        raise Invalid(f"Not a FHIRPath expression: {expression[:200]!r} ({error})") from None
    return run


# --- functions the library lacks ------------------------------------------------------------


def _has_value(inputs: list[Any]) -> bool:
    return len(inputs) == 1 and inputs[0] is not None and not isinstance(inputs[0], (dict, list))


def _resolve(inputs: list[Any]) -> list[Any]:
    found = []
    for value in inputs:
        text = value.get("reference") if isinstance(value, dict) else value
        if not isinstance(text, str):
            continue
        target = _target(text)
        if target is not None:
            found.append(ResourceNode.create_node(target, target.get("resourceType")))
    return found


def _target(text: str) -> dict[str, Any] | None:
    reference = references.parse(text)
    if reference.kind == "contained":
        if not reference.id:
            return _Evaluation.root
        contained = _Evaluation.root.get("contained", [])
        return next((r for r in contained if r.get("id") == reference.id), None)
    if _Evaluation.resolve is not None:
        target = _Evaluation.resolve(text)
        if target is not None:
            return target
    if reference.type:
        return {"resourceType": reference.type, "id": reference.id}
    return None


def _member_of(inputs: list[Any], value_set: str) -> list[Any]:
    if len(inputs) != 1 or _Evaluation.member_of is None:
        return []
    answer = _Evaluation.member_of(value_set, inputs[0])
    return [] if answer is None else [answer]


def _conforms_to(inputs: list[Any], profile: str) -> list[Any]:
    base, _, type_ = profile.rpartition("/")
    if base != "http://hl7.org/fhir/StructureDefinition" or len(inputs) != 1:
        return []
    value = inputs[0]
    return [isinstance(value, dict) and value.get("resourceType") == type_]


def _html_checks(inputs: list[Any]) -> list[Any]:
    return [all(isinstance(value, str) and is_safe(value) for value in inputs)]


# --- functions that a client could make run for ever ----------------------------------------


@lru_cache(maxsize=256)
def _pattern(text: str) -> Callable[[str], bool]:
    """A regular expression in the engine of jsonschema-rs, whose time is linear in the text."""
    options = jsonschema_rs.RegexOptions(size_limit=1_000_000)
    try:
        found = jsonschema_rs.validator_for({"pattern": text}, pattern_options=options)
    except (ValueError, TypeError, jsonschema_rs.ValidationError) as error:
        raise Invalid(f"Not a regular expression that is read here: {text[:80]!r}") from error
    return found.is_valid


def _matches(inputs: list[Any], pattern: str) -> list[Any]:
    if len(inputs) != 1 or not isinstance(inputs[0], str):
        return []
    return [_pattern(pattern)(inputs[0])]


def _replace_matches(inputs: list[Any], pattern: str, replacement: str) -> list[Any]:
    raise Invalid("replaceMatches() is not supported here")


def _power(inputs: list[Any], exponent: Any) -> list[Any]:
    if len(inputs) != 1:
        return []
    if abs(exponent) > 1000 or abs(inputs[0]) > 10**12:
        raise Invalid("power() of numbers this large is not computed")
    return [inputs[0] ** exponent]


_ADDED: dict[str, dict[str, Any]] = {
    "hasValue": {"fn": _has_value},
    "resolve": {"fn": _resolve},
    "memberOf": {"fn": _member_of, "arity": {1: ["String"]}},
    "conformsTo": {"fn": _conforms_to, "arity": {1: ["String"]}},
    "htmlChecks": {"fn": _html_checks},
    "matches": {"fn": _matches, "arity": {1: ["String"]}},
    "replaceMatches": {"fn": _replace_matches, "arity": {2: ["String", "String"]}},
    "power": {"fn": _power, "arity": {1: ["Number"]}},
}
