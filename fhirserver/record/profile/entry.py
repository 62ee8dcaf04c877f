"""What a citizen or an app may write down in the medical profile
(terminology/record/profile-rules.json): it says what it is about, and its dates can be true."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.errors import Issue
from fhirserver.model import dates, shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.interaction.context import Resource

_HOUR = 3_600_000_000  # microseconds


class EntryRules(msgspec.Struct, frozen=True):
    """`named`: concepts that must have a code or a text. `past`: dates that are not to come; only
    with one of the statuses `past_if`, where given. `lived`: dates not before the birth."""

    named: tuple[str, ...] = ()
    past: tuple[str, ...] = ()
    past_if: tuple[str, ...] = ()
    lived: tuple[str, ...] = ()


class TrustedPerson(msgspec.Struct, frozen=True):
    system: str
    codes: tuple[str, ...]


class Rules(msgspec.Struct, frozen=True):
    source: str
    date: str
    version: str
    future_hours: int
    entries: dict[str, EntryRules]
    trusted_person: TrustedPerson
    majority: int


@cache
def rules() -> Rules:
    return msgspec.json.decode(
        shipped.read("terminology", "record", "profile-rules.json"), type=Rules
    )


def faults(resource: Resource, birth: str | None, now: int) -> Iterator[Issue]:
    """What is wrong with an entry at the moment `now`; `birth`: birthDate of the patient."""
    type = str(resource.get("resourceType"))
    asked = rules().entries.get(type)
    if asked is None:
        return
    for name in asked.named:
        missing = name not in resource and name == "code"  # others may be a choice of types
        if missing or (name in resource and not _says_something(resource[name])):
            yield _issue("required", "Say what it is: a code or a text.", f"{type}.{name}")
    if not asked.past_if or resource.get("status") in asked.past_if:
        for name in asked.past:
            begin = _interval(resource.get(name))
            if begin is not None and begin[0] > now + rules().future_hours * _HOUR:
                yield _issue("business-rule", "This date is still to come.", f"{type}.{name}")
    born = _interval(birth)
    for name in asked.lived if born is not None else ():
        when = _interval(resource.get(name))
        if when is not None and born is not None and when[1] <= born[0]:
            yield _issue("business-rule", "This date lies before the birth.", f"{type}.{name}")


def adult(birth: str | None, now: int) -> bool:
    """Whether a person is of age; one whose birth is not known is taken as such."""
    born = _interval(birth)
    if born is None:
        return True
    year, _, rest = dates.instant(born[0])[:10].partition("-")
    of_age = f"{int(year) + rules().majority}-{rest}"
    return f"{dates.instant(now)[:10]}" >= of_age


def _says_something(concept: Any) -> bool:
    if not isinstance(concept, dict):
        return False
    codings = [c for c in concept.get("coding") or () if isinstance(c, dict)]
    return bool(concept.get("text")) or any(c.get("code") or c.get("display") for c in codings)


def _interval(value: Any) -> dates.Interval | None:
    if isinstance(value, dict):
        value = value.get("start")
    if not isinstance(value, str):
        return None
    try:
        return dates.interval(value)
    except ValueError:
        return None


def _issue(code: str, text: str, place: str) -> Issue:
    return Issue("error", code, text, (place,))
