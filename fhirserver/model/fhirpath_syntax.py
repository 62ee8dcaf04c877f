"""FHIRPath text to a syntax tree (http://hl7.org/fhirpath/N1/#grammar), as far as paths go.

Covers what search parameters and the plainer invariants are written in: members, calls,
indexers, type tests, unions, comparisons and boolean operators. `Unsupported` names what is not
covered, so that the caller can turn to the complete evaluator.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal


class Unsupported(ValueError):
    """The expression uses something that is not compiled here, or is no FHIRPath at all."""


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


Node = This | Root | Literal | Member | Call | Index | TypeTest | Binary

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<comment>//[^\n]*|/\*.*?\*/)
    | (?P<string>'(?:[^'\\]|\\.)*')
    | (?P<number>[0-9]+(?:\.[0-9]+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`]*`)
    | (?P<variable>\$this|\$index|\$total|%(?:[A-Za-z0-9_-]+|`[^`]*`|'[^']*'))
    | (?P<symbol><=|>=|!=|!~|[.()\[\]{},|=~<>+\-*/&@])
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
]
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
                raise Unsupported(f"unexpected text at {text[position : position + 20]!r}")
            if match.lastgroup != "comment":
                self.tokens.append((match.lastgroup, match.group(match.lastgroup)))
            position = match.end()

    def peek(self) -> str:
        return self.tokens[self.place][1] if self.place < len(self.tokens) else ""

    def take(self) -> tuple[str, str]:
        if self.place >= len(self.tokens):
            raise Unsupported("the expression ends too early")
        self.place += 1
        return self.tokens[self.place - 1]

    def expect(self, symbol: str) -> None:
        kind, text = self.take()
        if text != symbol or kind == "string":
            raise Unsupported(f"'{symbol}' was expected before {text!r}")

    def whole(self) -> Node:
        node = self.expression(0)
        if self.place < len(self.tokens):
            raise Unsupported(f"unexpected {self.peek()!r}")
        return node

    def expression(self, level: int) -> Node:
        if level == len(_PRECEDENCE):
            return self.typed()
        if level == 0:
            self.depth += 1
            if self.depth > 50:
                raise Unsupported("parentheses nested over 50 deep")
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
            raise Unsupported(f"a type was expected before {text!r}")
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
                    raise Unsupported(f"a name was expected before {name!r}")
                node = self.invocation(node, name)
            else:
                kind, number = self.take()
                if kind != "number" or "." in number:
                    raise Unsupported("an index that is not a whole number")
                self.expect("]")
                node = Index(node, int(number))
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
            return Literal(Decimal(text) if "." in text else int(text))
        if kind == "variable":
            if text == "$this":
                return This()
            if text in ("%resource", "%rootResource"):
                return Root()
            raise Unsupported(f"the variable {text}")
        if kind == "name":
            if text in ("true", "false"):
                return Literal(text == "true")
            return self.invocation(This(), text)
        if text == "(":
            node = self.expression(0)
            self.expect(")")
            return node
        if text == "{" and self.peek() == "}":
            self.take()
            return Literal(None)
        raise Unsupported(f"unexpected {text!r}")


def _unquote(text: str) -> str:
    body = text[1:-1]
    if "\\" not in body:
        return body
    body = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), body)
    return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), body)
