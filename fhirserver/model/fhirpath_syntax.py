"""FHIRPath text to a syntax tree (http://hl7.org/fhirpath/N1/#grammar), as far as paths go.

The whole grammar is read; what `fhirpath.py` does not compile is a node of its own here
(`Other`), so that text that is no FHIRPath can be told from what only the complete evaluator does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal


class Unsupported(ValueError):
    """The expression uses something that is not compiled here."""


class NotFHIRPath(Unsupported):
    """The text is no FHIRPath at all."""


@dataclass(frozen=True, slots=True)
class This:
    """`$this`, and the unwritten focus a path starts from."""


@dataclass(frozen=True, slots=True)
class Root:
    """`%resource`: the resource that the element belongs to."""


@dataclass(frozen=True, slots=True)
class Literal:
    value: str | bool | int | Decimal | None  # None: the empty collection {}


@dataclass(frozen=True, slots=True)
class Member:
    source: Node
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    source: Node
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Index:
    source: Node
    place: int


@dataclass(frozen=True, slots=True)
class TypeTest:
    """`source is type` and `source as type`."""

    operator: str
    source: Node
    type: str


@dataclass(frozen=True, slots=True)
class Binary:
    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Other:
    """A variable, date, quantity or sign: `text` names it."""

    text: str


Node = This | Root | Literal | Member | Call | Index | TypeTest | Binary | Other

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<date>@T?[0-9][0-9T:.+-]*Z?)
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`]*`)
    | (?P<variable>\$this|\$index|\$total|%(?:[A-Za-z0-9_-]+|`[^`]*`|'[^']*'))
    | (?P<symbol><=|>=|!=|!~|[.()\[\]{},|=~<>+\-*/&])
    )""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)

_PRECEDENCE = [
    ("implies",),
    ("or", "xor"),
    ("and",),
    ("in", "contains"),
    ("=", "!=", "~", "!~"),
    ("<", ">", "<=", ">="),
    ("|",),
    ("+", "-", "&"),
    ("*", "/", "div", "mod"),
]
_UNITS = frozenset(
    unit + plural
    for unit in ("year", "month", "week", "day", "hour", "minute", "second", "millisecond")
    for plural in ("", "s")
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "f": "\f"}


def parse(expression: str) -> Node:
    """The tree of `expression`; Unsupported when it is not covered."""
    return _Parser(expression).whole()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str]] = []
        self.place = 0
        self.depth = 0
        position = 0
        end = len(text.rstrip())
        while position < end:
            match = _TOKEN.match(text, position)
            if match is None or match.lastgroup is None:
                raise NotFHIRPath(f"unexpected text at {text[position : position + 20]!r}")
            if match.lastgroup != "comment":
                self.tokens.append((match.lastgroup, match.group(match.lastgroup)))
            position = match.end()

    def peek(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        if self.place >= len(self.tokens):
            raise NotFHIRPath("the expression ends too early")
        self.place += 1
        return self.tokens[self.place - 1]

    def expect(self, symbol: str) -> None:
        kind, text = self.take()
        if text != symbol or kind == "string":
            raise NotFHIRPath(f"'{symbol}' was expected before {text!r}")

    def whole(self) -> Node:
        node = self.expression(0)
        if self.place < len(self.tokens):
            raise NotFHIRPath(f"unexpected {self.peek()!r}")
        return node

    def expression(self, level: int) -> Node:
        if level == len(_PRECEDENCE):
            return self.typed()
        if level == 0:
            self.depth += 1
            if self.depth > 50:
                raise NotFHIRPath("parentheses nested over 50 deep")
        node = self.expression(level + 1)
        while self.peek() in _PRECEDENCE[level] and self.tokens[self.place][0] != "string":
            operator = self.take()[1]
            node = Binary(operator, node, self.expression(level + 1))
        if level == 0:
            self.depth -= 1
        return node

    def typed(self) -> Node:
        node = self.postfix()
        while self.peek() in ("is", "as"):
            operator = self.take()[1]
            node = TypeTest(operator, node, self.type_name())
        return node

    def type_name(self) -> str:
        kind, text = self.take()
        if kind != "name":
            raise NotFHIRPath(f"a type was expected before {text!r}")
        text = text.strip("`")
        if self.peek() == ".":
            self.take()
            text = f"{text}.{self.take()[1].strip('`')}"
        return text

    def postfix(self) -> Node:
        node = self.term()
        while self.peek() in (".", "["):
            if self.tokens[self.place][0] == "string":
                break
            if self.take()[1] == ".":
                kind, name = self.take()
                if kind != "name":
                    raise NotFHIRPath(f"a name was expected before {name!r}")
                node = self.invocation(node, name)
            else:
                place = self.expression(0)
                self.expect("]")
                if isinstance(place, Literal) and type(place.value) is int:
                    node = Index(node, place.value)
                else:
                    node = Other("an index that is not a whole number")
        return node

    def invocation(self, source: Node, name: str) -> Node:
        if name.startswith("`"):
            return Member(source, name.strip("`"))
        if self.peek() != "(" or self.tokens[self.place][0] == "string":
            return Member(source, name)
        self.take()
        if name in ("as", "is", "ofType"):
            type_ = self.type_name()
            self.expect(")")
            return TypeTest(name, source, type_)
        arguments: list[Node] = []
        if self.peek() != ")":
            arguments.append(self.expression(0))
            while self.peek() == ",":
                self.take()
                arguments.append(self.expression(0))
        self.expect(")")
        return Call(source, name, tuple(arguments))

    def term(self) -> Node:
        kind, text = self.take()
        if kind == "string":
            return Literal(_unquote(text))
        if kind == "number":
            if self.place < len(self.tokens):
                following, unit = self.tokens[self.place]
                if following == "string" or unit in _UNITS:
                    self.take()
                    return Other("a quantity")
            return Literal(Decimal(text) if "." in text else int(text))
        if kind == "date":
            return Other("a date")
        if kind == "variable":
            if text == "$this":
                return This()
            if text in ("%resource", "%rootResource"):
                return Root()
            return Other(f"the variable {text}")
        if kind == "name":
            if text in ("true", "false"):
                return Literal(text == "true")
            return self.invocation(This(), text)
        if text == "(":
            node = self.expression(0)
            self.expect(")")
            return node
        if text in ("+", "-"):
            self.typed()
            return Other("a sign")
        if text == "{" and self.peek() == "}":
            self.take()
            return Literal(None)
        raise NotFHIRPath(f"unexpected {text!r}")


def _unquote(text: str) -> str:
    body = text[1:-1]
    if "\\" not in body:
        return body
    body = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), body)
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), body)
