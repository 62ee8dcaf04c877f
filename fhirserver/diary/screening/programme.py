"""The programme of screening and check-ups as data
(`terminology/screening/programme-fr-2026.json`): who, when, how often, and what closes an item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import msgspec

from fhirserver.diary.immunization.period import Period, period
from fhirserver.diary.screening.follow_up import FollowUp
from fhirserver.diary.screening.results import Results, results
from fhirserver.model import shipped


@dataclass(frozen=True, slots=True)
class Phase:
    """Ages at which a test is wished: `intervals` after the first, second ... one (the last
    repeats); `after`: time to leave after other tests."""

    start: Period
    end: Period
    test: str
    intervals: tuple[Period, ...]
    after: Mapping[str, Period]
    line: str


@dataclass(frozen=True, slots=True)
class Window:
    """Ages within which something is to be done once. `certificate`: the form it ends with."""

    id: str
    name: str
    start: Period
    end: Period
    certificate: str | None


@dataclass(frozen=True, slots=True)
class Item:
    """One item: repeated in `phases`, once in each of `windows`, or in weeks of a pregnancy.
    `since`: windows that ended before are not spoken of. `instead`: (system, code) of conditions
    with which a physician follows up instead; `follow_ups`: what results demand."""

    id: str
    name: str
    line: str
    code: str | None
    mandatory: bool
    not_sex: frozenset[str]
    phases: tuple[Phase, ...]
    windows: tuple[Window, ...]
    pregnancy: tuple[Period, Period] | None
    test: str | None
    since: date
    instead: frozenset[tuple[str, str]]
    follow_ups: tuple[FollowUp, ...]


@dataclass(frozen=True, slots=True)
class Programme:
    """`tests`: each (system, code) with the tests it stands for; `formats` those of documents;
    `codes`: one of these stands in whatever can close an item, or end it."""

    url: str
    version: str
    lines: Mapping[str, Mapping[str, str]]
    systems: Mapping[str, str]
    tests: Mapping[tuple[str, str], tuple[str, ...]]
    formats: Mapping[str, tuple[str, ...]]
    results: Results
    items: tuple[Item, ...]
    codes: frozenset[bytes]

    @property
    def ruleset(self) -> str:
        return f"{self.url}|{self.version}"


@cache
def programme() -> Programme:
    """The programme that travels with the server."""
    table = msgspec.json.decode(shipped.read("terminology", "screening", "programme-fr-2026.json"))
    tests: dict[tuple[str, str], tuple[str, ...]] = {}
    formats: dict[str, tuple[str, ...]] = {}
    for test, rule in table["tests"].items():
        for system, codes in rule.items():
            for code in codes:
                if system == "format":
                    formats[code] = (*formats.get(code, ()), test)
                else:
                    tests[system, code] = (*tests.get((system, code), ()), test)
    systems = {url: name for name, urls in table["systems"].items() for url in urls}
    items = tuple(_item(item) for item in table["items"])
    instead = {code for item in items for _, code in item.instead}
    codes = {code for _, code in tests} | set(formats) | instead
    return Programme(
        table["url"],
        table["version"],
        table["lines"],
        systems,
        tests,
        formats,
        results(table),
        items,
        frozenset(code.encode() for code in codes),
    )


def _item(given: Mapping[str, Any]) -> Item:
    weeks = given.get("pregnancy")
    instead = given.get("instead", {})
    return Item(
        given["id"],
        given["name"],
        given["line"],
        given.get("code"),
        given.get("mandatory", False),
        frozenset(given.get("not_sex", ())),
        tuple(_phase(phase, given["line"]) for phase in given.get("phases", ())),
        tuple(_window(window) for window in given.get("windows", ())),
        (period(weeks[0]), period(weeks[1])) if weeks else None,
        given.get("test"),
        date.fromisoformat(given["from"]) if "from" in given else date.min,
        frozenset((system, code) for system, codes in instead.items() for code in codes),
        tuple(map(_follow_up, given.get("follow_up", ()))),
    )


def _phase(given: Mapping[str, Any], line: str) -> Phase:
    return Phase(
        period(given["ages"][0]),
        period(given["ages"][1]),
        given["test"],
        tuple(map(period, given["intervals"])),
        {test: period(text) for test, text in given.get("after", {}).items()},
        given.get("line", line),
    )


def _follow_up(given: Mapping[str, Any]) -> FollowUp:
    return FollowUp(
        given["id"],
        given["test"],
        frozenset(given["results"]),
        frozenset(given.get("closing", ())),
        tuple(given.get("wants", ())),
        period(given.get("at", "0d")),
        given.get("later", False),
        given["line"],
    )


def _window(given: Mapping[str, Any]) -> Window:
    low, high = given["ages"]
    return Window(given["id"], given["name"], period(low), period(high), given.get("certificate"))
