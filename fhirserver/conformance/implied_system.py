"""The code system that a value set implies for a bare code.

https://hl7.org/fhir/R4/search.html#token: the system of a `code` is the one its value set names.
"""

from __future__ import annotations

from functools import cache

import msgspec

from fhirserver.model import shipped


class _Include(msgspec.Struct):
    system: str = ""
    valueSet: list[str] = []


class _ValueSet(msgspec.Struct):
    include: list[_Include] = []


@cache
def _value_sets() -> dict[str, msgspec.Raw]:
    body = shipped.read("terminology", "r4", "value-sets.json.gz")
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])


@cache
def implied_system(value_set: str) -> str:
    """The one system that every code of `value_set` is of; "" when there are several or none."""
    raw = _value_sets().get(value_set.partition("|")[0])
    if raw is None:
        return ""
    includes = msgspec.json.decode(raw, type=_ValueSet).include
    systems = {include.system for include in includes}
    if len(systems) != 1 or any(include.valueSet for include in includes):
        return ""
    return systems.pop()
