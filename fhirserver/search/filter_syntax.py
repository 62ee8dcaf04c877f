"""The text of `_filter` as a tree (https://hl7.org/fhir/R4/search_filter.html).

`and` and `or` have the same precedence and are read from left to right.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

from fhirserver.errors import Invalid

OPERATORS = frozenset(
    "eq ne co sw ew gt lt ge le ap sa eb pr po ss sb in ni re".split()  # noqa: SIM905
)

#: A filter nested deeper than this is refused, as is one with more tests than the second.
DEEPEST = 50
MOST_TESTS = 1000


@dataclass(frozen=True, slots=True)
class Segment:
    """One name of a path, with the filter in its brackets."""

    name: str
    filter: Filter | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    path: tuple[Segment, ...]
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Logical:
    """`operator`: and, or, not (one part)."""

    operator: str
    parts: tuple[Filter, ...]


Filter = Comparison | Logical

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_\-:]*", re.ASCII)
_SPACE = re.compile(r"\s*")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_TOKEN = re.compile(r"[^\s)\]]+")


def parse_filter(text: str) -> Filter:
    """The tree of a `_filter` value; Invalid, telling where, when it is none."""
    return _Reader(text).whole()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.place = 0
        self.depth = 0
        self.tests = 0

    def whole(self) -> Filter:
        found = self.filter()
        self.space()
        if self.place < len(self.text):
            raise self.wrong("and, or, or the end was expected")
        return found

    def wrong(self, text: str) -> Invalid:
        rest = self.text[self.place : self.place + 30]
        return Invalid(f"_filter: {text} at character {self.place + 1}: '{rest}'")

    def space(self) -> None:
        match = _SPACE.match(self.text, self.place)
        if match is not None:
            self.place = match.end()

    def name(self) -> str | None:
        self.space()
        match = _NAME.match(self.text, self.place)
        if match is None:
            return None
        self.place = match.end()
        return match.group()

    def sees(self, symbol: str) -> bool:
        self.space()
        if self.text.startswith(symbol, self.place):
            self.place += len(symbol)
            return True
        return False

    def filter(self) -> Filter:
        self.depth += 1
        if self.depth > DEEPEST:
            raise self.wrong(f"filters nested over {DEEPEST} deep")
        found = self.term()
        operator, parts = "", [found]
        while True:
            before = self.place
            name = self.name()
            if name not in ("and", "or"):
                self.place = before
                break
            if operator and name != operator:
                parts = [Logical(operator, tuple(parts))]
            operator = name
            parts.append(self.term())
        self.depth -= 1
        return Logical(operator, tuple(parts)) if operator else parts[0]

    def term(self) -> Filter:
        if self.sees("("):
            return self.closed(")")
        before = self.place
        if self.name() == "not" and self.sees("("):
            return Logical("not", (self.closed(")"),))
        self.place = before
        return self.comparison()

    def closed(self, symbol: str) -> Filter:
        found = self.filter()
        if not self.sees(symbol):
            raise self.wrong(f"'{symbol}' was expected")
        return found

    def comparison(self) -> Comparison:
        self.tests += 1
        if self.tests > MOST_TESTS:
            raise self.wrong(f"more than {MOST_TESTS} comparisons")
        path: list[Segment] = []
        while True:
            name = self.name()
            if name is None:
                raise self.wrong("the name of a search parameter was expected")
            path.append(Segment(name, self.closed("]") if self.sees("[") else None))
            if not self.sees("."):
                break
        if path[-1].filter is not None:
            raise self.wrong("'.' and a search parameter were expected")
        operator = self.name()
        if operator not in OPERATORS:
            raise self.wrong(
                f"'{(operator or '')[:20]}' is not an operator: eq, ne, co and so on were expected"
            )
        return Comparison(tuple(path), operator, self.value())

    def value(self) -> str:
        self.space()
        if self.text.startswith('"', self.place):
            match = _STRING.match(self.text, self.place)
            if match is None:
                raise self.wrong("a string has no end")
            self.place = match.end()
            try:
                return str(msgspec.json.decode(match.group().encode(), type=str))
            except (msgspec.DecodeError, UnicodeEncodeError):
                raise self.wrong("a string is not JSON") from None
        match = _TOKEN.match(self.text, self.place)
        if match is None:
            raise self.wrong("a value was expected")
        self.place = match.end()
        return match.group()
