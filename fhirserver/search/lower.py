"""One search parameter with its modifier and value, lowered to the expression it means.

https://hl7.org/fhir/R4/search.html#modifiers
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

from fhirserver.conformance.implied_system import implied_system
from fhirserver.errors import Invalid, NotSupported, TooCostly
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.model.fhirpath_steps import steps
from fhirserver.model.fhirpath_syntax import Unsupported
from fhirserver.search.expression import (
    AnyOf,
    Both,
    Compare,
    Either,
    Everything,
    Expression,
    Identity,
    Kind,
    Match,
    Not,
    Nothing,
    Present,
    Test,
    Updated,
)
from fhirserver.search.types import (
    composite,
    date,
    number,
    position,
    quantity,
    reference,
    string,
    token,
    uri,
    words,
)
from fhirserver.search.types.convert import KINDS
from fhirserver.search.types.escape import split, unescape

if TYPE_CHECKING:
    from fhirserver.conformance.registry import Registry
    from fhirserver.conformance.search_parameter import Component, SearchParameter

#: More values than this in one parameter are refused, and more than the second of a kind that
#: cannot be looked up as one list.
MOST_VALUES = 10_000
MOST_TESTS = 1_000

#: A parameter's text over this many characters is refused.
LONGEST_VALUE = 1_000_000


class UnknownParameter(Invalid):
    """The parameter is none of the resource types searched."""

    code = "not-found"


Codes = Iterable[tuple[str, str]]


class Terminology(Protocol):
    """Where `:in`, `:not-in`, `:above` and `:below` of tokens learn their codes. Each gives
    (system, code) pairs, or None when it does not know the value set or code system."""

    def expand(self, value_set: str) -> Codes | None: ...

    def above(self, system: str, code: str) -> Codes | None: ...

    def below(self, system: str, code: str) -> Codes | None: ...


@dataclass(frozen=True, slots=True)
class Setting:
    """What the meaning of a search depends on beside its text. `now` in microseconds."""

    registry: Registry
    now: int
    bases: tuple[str, ...] = ()
    terminology: Terminology | None = None
    memory: dict[tuple[str, str, str], Expression | Invalid] = field(default_factory=dict)


def lower(
    setting: Setting, parameter: SearchParameter, modifier: str | None, text: str
) -> Expression | None:
    """What `parameter[:modifier]=text` means; None when it has no value to look for."""
    if len(text) > LONGEST_VALUE:
        raise TooCostly(f"{parameter.code}: the value is over {LONGEST_VALUE} characters")
    if "\0" in text:
        raise Invalid(f"{parameter.code}: a value may not contain the character NUL")
    values = [value for value in split(text, ",") if value]
    if not values:
        return None
    if len(values) > MOST_VALUES:
        raise TooCostly(f"{parameter.code}: over {MOST_VALUES} values in one parameter")
    if modifier == "missing":
        return _missing(parameter, values)
    try:
        return _LOWER[meaning_type(parameter)](setting, parameter, modifier, values)
    except (Invalid, NotSupported) as error:
        if str(error).startswith(parameter.code):
            raise
        named = f"{parameter.code}{':' + modifier if modifier else ''}"
        raise type(error)(f"{named}: {error}", code=error.issues[0].code) from None


def meaning_type(parameter: SearchParameter) -> str:
    """The parameter's type, but special for those whose meaning is given in prose alone."""
    return "special" if parameter.code in ("_text", "_content") else parameter.type


def _missing(parameter: SearchParameter, values: list[str]) -> Expression:
    if parameter.type == "composite" or not parameter.expression:
        raise Invalid(f"{parameter.code}: the modifier :missing has no meaning here")
    if values not in (["true"], ["false"]):
        raise Invalid(f"{parameter.code}:missing is either true or false, not '{values[0][:64]}'")
    present: Expression = Present(parameter.code, KINDS[parameter.type])
    if parameter.code in ("_id", "_lastUpdated"):
        present = Everything()
    if values == ["false"]:
        return present
    return Nothing() if present == Everything() else Not(present)


def refuse(parameter: SearchParameter, modifier: str) -> Invalid:
    type = meaning_type(parameter)
    allowed = sorted({"missing", *_MODIFIERS[type]})
    if type == "composite" or not parameter.expression:
        allowed.remove("missing")
    if type == "reference":
        allowed += ["[type]"]
    names = ", ".join(f":{name}" for name in allowed) or "none"
    return Invalid(
        f"{parameter.code}: the modifier :{modifier[:64]} is not known for a parameter of type "
        f"{parameter.type}; known: {names}"
    )


_MODIFIERS: dict[str, frozenset[str]] = {
    "string": string.MODIFIERS,
    "token": token.MODIFIERS,
    "reference": reference.MODIFIERS,
    "date": date.MODIFIERS,
    "number": number.MODIFIERS,
    "quantity": quantity.MODIFIERS,
    "uri": uri.MODIFIERS,
    "composite": frozenset(),
    "special": frozenset(),
}


# --- joining the tests of an OR list -----------------------------------------------------------


def either(tests: list[Test]) -> Test:
    """At least one of `tests`; those that ask one field for a value are asked as one list."""
    if len(tests) == 1:
        return tests[0]
    groups: dict[tuple[str, Test | None], list[str]] = {}
    rest: list[Test] = []
    for test in tests:
        match test:
            case Compare(field, "eq", str() as value):
                groups.setdefault((field, None), []).append(value)
            case Both((Compare(_, "eq", str()) as first, Compare(field, "eq", str() as value))):
                groups.setdefault((field, first), []).append(value)
            case _:
                rest.append(test)
    joined: list[Test] = []
    for (field, fixed), values in groups.items():
        different = tuple(dict.fromkeys(values))
        one = (
            Compare(field, "eq", different[0])
            if len(different) == 1
            else Compare(field, "in", different)
        )
        joined.append(one if fixed is None else Both((fixed, one)))
    joined += dict.fromkeys(rest)
    if len(joined) > MOST_TESTS:
        raise TooCostly(f"over {MOST_TESTS} values that each need a test of their own")
    return joined[0] if len(joined) == 1 else Either(tuple(joined))


# --- each parameter type --------------------------------------------------------------------


def _string(
    setting: Setting, parameter: SearchParameter, modifier: str | None, values: list[str]
) -> Expression:
    if modifier is not None and modifier not in string.MODIFIERS:
        raise refuse(parameter, modifier)
    tests = [string.lower(unescape(value), modifier) for value in values]
    return Match(parameter.code, Kind.STRING, either(tests))


def _token(
    setting: Setting, parameter: SearchParameter, modifier: str | None, values: list[str]
) -> Expression:
    code = parameter.code
    if modifier is not None and modifier not in token.MODIFIERS:
        raise refuse(parameter, modifier)
    if code == "_id":
        if modifier not in (None, "not"):
            raise refuse(parameter, modifier or "")
        ids: Expression = Identity(tuple(dict.fromkeys(unescape(value) for value in values)))
        return Not(ids) if modifier else ids
    match modifier:
        case "text":
            tests = [string.lower(unescape(value), None) for value in values]
            return Match(f"{code}:text", Kind.STRING, either(tests))
        case "of-type":
            tests = [token.lower_of_type(value) for value in values]
            return Match(f"{code}:of-type", Kind.TOKEN, either(tests))
        case "in" | "not-in":
            _has_systems(parameter, modifier)
            found = [pair for value in values for pair in _expand(setting, unescape(value))]
            inside = Match(code, Kind.TOKEN, token.lower_codes(found))
            return inside if modifier == "in" else Not(inside)
        case "above" | "below":
            _has_systems(parameter, modifier)
            found = [pair for value in values for pair in _related(setting, modifier, value)]
            return Match(code, Kind.TOKEN, token.lower_codes(found))
    match = Match(code, Kind.TOKEN, either([token.lower(value) for value in values]))
    return Not(match) if modifier == "not" else match


def _has_systems(parameter: SearchParameter, modifier: str) -> None:
    """Refuse where the index does not know the systems of the codes that it has."""
    if not systems_known(parameter):
        raise NotSupported(
            f"{parameter.code}:{modifier}: of some of its values only the code is known, not the "
            "code system"
        )


@lru_cache(maxsize=2048)
def systems_known(parameter: SearchParameter) -> bool:
    """Whether each value of a token parameter names its code system or has one implied."""
    for base in parameter.base:
        try:
            ends = steps(parameter.expression, base if base in RESOURCE_TYPES else "Patient")
        except Unsupported:
            return False
        for end in ends:
            binding = end.element.required_binding if end.element is not None else None
            if end.type == "code" and not (binding and implied_system(binding)):
                return False
            if end.type == "":
                return False
    return True


def _expand(setting: Setting, value_set: str) -> Codes:
    if setting.terminology is None:
        raise NotSupported("this server does not yet answer searches by value set")
    found = setting.terminology.expand(value_set)
    if found is None:
        raise NotSupported(f"the value set '{value_set[:200]}' cannot be expanded here")
    return found


def _related(setting: Setting, modifier: str, text: str) -> Codes:
    if setting.terminology is None:
        raise NotSupported("this server does not yet answer searches by subsumption")
    parts = [unescape(part) for part in split(text, "|")]
    if len(parts) != 2 or not all(parts):
        raise Invalid(f"'{text[:64]}' is not system|code, as :{modifier} needs it")
    ask = setting.terminology.above if modifier == "above" else setting.terminology.below
    found = ask(parts[0], parts[1])
    if found is None:
        raise NotSupported(f"the hierarchy of the code system '{parts[0][:200]}' is not known here")
    return found


def _reference(
    setting: Setting, parameter: SearchParameter, modifier: str | None, values: list[str]
) -> Expression:
    code = parameter.code
    if modifier == "identifier":
        tests = [token.lower(value) for value in values]
        return Match(f"{code}:identifier", Kind.TOKEN, either(tests))
    if modifier in ("above", "below"):
        raise NotSupported(f"this server does not search hierarchies of resources by :{modifier}")
    type = target_type(parameter, modifier)
    tests = [
        reference.lower(unescape(value), type, parameter.targets, setting.bases) for value in values
    ]
    return Match(code, Kind.REFERENCE, either(tests))


def target_type(parameter: SearchParameter, modifier: str | None) -> str | None:
    """The resource type that a modifier names; Invalid when it cannot be pointed to."""
    if modifier is None:
        return None
    if modifier not in RESOURCE_TYPES:
        raise refuse(parameter, modifier)
    if parameter.targets and modifier not in parameter.targets:
        raise Invalid(f"{parameter.code} does not point to a {modifier}")
    return modifier


def _date(
    setting: Setting, parameter: SearchParameter, modifier: str | None, values: list[str]
) -> Expression:
    if modifier is not None:
        raise refuse(parameter, modifier)
    test = either([date.lower(unescape(value), setting.now) for value in values])
    if parameter.code == "_lastUpdated":
        return Updated(test)
    return Match(parameter.code, Kind.DATE, test)


def _number(
    setting: Setting, parameter: SearchParameter, modifier: str | None, values: list[str]
) -> Expression:
    if modifier is not None:
        raise refuse(parameter, modifier)
    return Match(
        parameter.code, Kind.NUMBER, either([number.lower(unescape(value)) for value in values])
    )


def _quantity(
    setting: Setting, parameter: SearchParameter, modifier: str | None, values: list[str]
) -> Expression:
    if modifier is not None:
        raise refuse(parameter, modifier)
    return Match(parameter.code, Kind.QUANTITY, either([quantity.lower(value) for value in values]))


def _uri(
    setting: Setting, parameter: SearchParameter, modifier: str | None, values: list[str]
) -> Expression:
    if modifier is not None and modifier not in uri.MODIFIERS:
        raise refuse(parameter, modifier)
    tests = [uri.lower(unescape(value), modifier) for value in values]
    return Match(parameter.code, Kind.URI, either(tests))


def _composite(
    setting: Setting, parameter: SearchParameter, modifier: str | None, values: list[str]
) -> Expression:
    if modifier is not None:
        raise refuse(parameter, modifier)
    if len(values) > MOST_TESTS:
        raise TooCostly(f"over {MOST_TESTS} values of a composite")

    def component_test(component: Component, text: str) -> Test:
        return value_test(setting, component.type, component.targets, text)

    parts = tuple(composite.lower(parameter, value, component_test) for value in values)
    return parts[0] if len(parts) == 1 else AnyOf(parts)


def value_test(setting: Setting, type: str, targets: tuple[str, ...], text: str) -> Test:
    """The test of one value, still escaped, of a parameter of `type`."""
    match type:
        case "token":
            return token.lower(text)
        case "string":
            return string.lower(unescape(text), None)
        case "date":
            return date.lower(unescape(text), setting.now)
        case "number":
            return number.lower(unescape(text))
        case "quantity":
            return quantity.lower(text)
        case "uri":
            return uri.lower(unescape(text), None)
        case "reference":
            return reference.lower(unescape(text), None, targets, setting.bases)
    raise NotSupported(f"a parameter of type {type} cannot be asked for a single value")


def _special(
    setting: Setting, parameter: SearchParameter, modifier: str | None, values: list[str]
) -> Expression:
    if modifier is not None:
        raise refuse(parameter, modifier)
    if parameter.code == "near":
        parts: list[Expression] = [position.near(parameter.code, value) for value in values]
    elif parameter.code in ("_text", "_content"):
        parts = []
        for value in values:
            part = words.lower(parameter.code, unescape(value))
            if part is None:
                raise Invalid(f"'{value[:64]}' has no word to look for")
            parts.append(part)
    else:
        raise NotSupported(f"the parameter {parameter.code} is not supported")
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))


_LOWER = {
    "string": _string,
    "token": _token,
    "reference": _reference,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
    "uri": _uri,
    "composite": _composite,
    "special": _special,
}
