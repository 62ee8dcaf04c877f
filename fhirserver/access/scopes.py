"""SMART scopes: what an app asked for, what it was given, and whether one is within the other.

https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html. A scope names a level
(`patient`, `user`, `system`), a resource type or `*`, and actions: c create; r read, vread and
instance history; u update and patch; d delete; s search and history of a type or the system.
Scopes are a union. The constraints of one (`?category=vital-signs`) all have to hold, for reads,
searches, writes and includes alike. A scope that is not understood whole is refused, never read
as something else. Parsing takes time linear in the text.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fhirserver.model.definitions import RESOURCE_TYPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LEVELS = ("patient", "user", "system")
ACTIONS = "cruds"
#: Actions in the words of SMART 1.
V1 = {"read": "rs", "write": "cud", "*": "cruds"}
_V1_OF = {actions: word for word, actions in V1.items()}
#: Scopes about the sign-in and the life of the tokens.
SESSION = frozenset({"openid", "fhirUser", "profile", "offline_access", "online_access"})
#: So many scopes can be asked for at once; further ones are refused.
MOST = 300

#: What shapes a result or reaches to other resources is no constraint of a resource.
_NOT_CONSTRAINTS = frozenset(
    {
        "_contained",
        "_containedType",
        "_content",
        "_count",
        "_cursor",
        "_elements",
        "_filter",
        "_format",
        "_has",
        "_include",
        "_list",
        "_pretty",
        "_query",
        "_revinclude",
        "_score",
        "_sort",
        "_summary",
        "_text",
        "_total",
        "_type",
    }
)
_LOWER_TYPES = {name.lower(): name for name in RESOURCE_TYPES}

Constraint = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Scope:
    """`patient/Observation.rs?category=laboratory`. `constraints` are decoded (parameter, value)
    pairs as of a search, without modifiers. `v1`: it was asked for in the words of SMART 1."""

    level: str
    type: str
    actions: str
    constraints: tuple[Constraint, ...] = ()
    v1: bool = False

    def __str__(self) -> str:
        actions = _V1_OF.get(self.actions, self.actions) if self.v1 else self.actions
        text = f"{self.level}/{self.type}.{actions}"
        if self.constraints:
            pairs = (f"{_escape(name)}={_escape(value)}" for name, value in self.constraints)
            text += "?" + "&".join(pairs)
        return text

    def covers(self, other: Scope) -> bool:
        """Whether this scope alone gives everything that `other` gives."""
        return (
            self.level == other.level
            and self.type in ("*", other.type)
            and set(other.actions) <= set(self.actions)
            and set(self.constraints) <= set(other.constraints)
        )

    def intersection(self, allowed: Scope) -> Scope | None:
        """What both give, in the words of this one; None when that is nothing."""
        if self.level != allowed.level:
            return None
        if self.type != allowed.type and "*" not in (self.type, allowed.type):
            return None
        actions = "".join(a for a in self.actions if a in allowed.actions)
        if not actions:
            return None
        type_ = allowed.type if self.type == "*" else self.type
        constraints = tuple(dict.fromkeys(self.constraints + allowed.constraints))
        return replace(self, type=type_, actions=actions, constraints=constraints)


@dataclass(frozen=True, slots=True)
class Launch:
    """A launch context asked for: `launch` itself (no `type`), `launch/patient`, or
    `launch/questionnaire?role=…`. `type` is the resource type."""

    type: str = ""
    role: str = ""

    def __str__(self) -> str:
        text = f"launch/{self.type.lower()}" if self.type else "launch"
        return f"{text}?role={_escape(self.role)}" if self.role else text


Item = Scope | Launch | str


@dataclass(frozen=True, slots=True)
class Scopes:
    """Scopes in the order they were asked for; `refused` are those that were not understood."""

    items: tuple[Item, ...] = ()
    refused: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join(self.texts)

    def __bool__(self) -> bool:
        return bool(self.items)

    def __contains__(self, item: Item) -> bool:
        return item in self.items

    @property
    def texts(self) -> tuple[str, ...]:
        """As `Caller.scopes` holds them."""
        return tuple(str(item) for item in self.items)

    @property
    def resources(self) -> tuple[Scope, ...]:
        """Those that reach resources."""
        return tuple(item for item in self.items if isinstance(item, Scope))

    @property
    def launches(self) -> tuple[Launch, ...]:
        return tuple(item for item in self.items if isinstance(item, Launch))

    def reaching(self, type: str, action: str) -> tuple[Scope, ...]:
        """The scopes that give `action` on resources of `type`; none means 403."""
        return tuple(
            scope
            for scope in self.resources
            if action in scope.actions and scope.type in ("*", type)
        )

    def covers(self, item: Item) -> bool:
        """Whether one of these gives all of `item`."""
        if isinstance(item, Scope):
            return any(scope.covers(item) for scope in self.resources)
        return item in self.items

    def all_within(self, granted: Scopes) -> bool:
        """Whether nothing here goes beyond `granted` (RFC 6749, 6)."""
        return all(granted.covers(item) for item in self.items)

    def within(self, allowed: Scopes) -> Scopes:
        """What of these `allowed` permits, in the words asked for. A scope wider than what is
        allowed becomes the narrower ones."""
        kept: dict[Item, None] = {}
        for item in self.items:
            if not isinstance(item, Scope):
                if item in allowed.items:
                    kept[item] = None
            elif allowed.covers(item):
                kept[item] = None
            else:
                narrowed = (item.intersection(scope) for scope in allowed.resources)
                for found in _widest([n for n in narrowed if n is not None]):
                    kept[found] = None
        return Scopes(tuple(kept), self.refused)

    def only(self, keep: Callable[[Item], bool]) -> Scopes:
        return Scopes(tuple(item for item in self.items if keep(item)), self.refused)


def _widest(scopes: list[Scope]) -> list[Scope]:
    """Those that no other one of them covers."""
    return [
        scope
        for at, scope in enumerate(scopes)
        if not any(
            other.covers(scope) and (not scope.covers(other) or earlier < at)
            for earlier, other in enumerate(scopes)
            if earlier != at
        )
    ]


def parse(text: str, knows: Callable[[str, str], bool] | None = None) -> Scopes:
    """The scopes of a space-separated list.

    `knows(type, code)` tells whether there is such a search parameter; type is `Resource` for a
    scope on `*`. Without it constraints are judged by their form alone.
    """
    items: dict[Item, None] = {}
    refused: dict[str, None] = {}
    for word in text.split(" "):
        if not word:
            continue
        item = _item(word, knows) if len(items) < MOST else None
        if item is None:
            if len(refused) < MOST:
                refused[word[:200]] = None
        else:
            items[item] = None
    return Scopes(tuple(items), tuple(refused))


def of(items: Iterable[Item]) -> Scopes:
    return Scopes(tuple(dict.fromkeys(items)))


@lru_cache(maxsize=4096)
def granted(texts: tuple[str, ...]) -> Scopes:
    """The scopes of a token (`Caller.scopes`), parsed once for all requests made with it."""
    return parse(" ".join(texts))


def _item(word: str, knows: Callable[[str, str], bool] | None) -> Item | None:
    if word in SESSION:
        return word
    path, mark, query = word.partition("?")
    level, _, rest = path.replace("%2F", "/").replace("%2f", "/").partition("/")
    if level == "launch":
        return _launch(rest, path, mark, query)
    if level not in LEVELS:
        return None
    type_, _, letters = rest.partition(".")
    if type_ != "*" and type_ not in RESOURCE_TYPES:
        return None
    v1 = letters in V1
    actions = V1[letters] if v1 else letters
    if not _in_order(actions):
        return None
    if not mark:
        return Scope(level, type_, actions, v1=v1)
    constraints = _constraints(query)
    if constraints is None:
        return None
    if knows is not None:
        known_for = "Resource" if type_ == "*" else type_
        if not all(knows(known_for, name) for name, _ in constraints):
            return None
    return Scope(level, type_, actions, constraints, v1)


def _launch(rest: str, path: str, mark: str, query: str) -> Launch | None:
    if not rest:
        return Launch() if path == "launch" and not mark else None
    type_ = _LOWER_TYPES.get(rest) if rest.islower() else None
    if type_ is None:
        return None
    if not mark:
        return Launch(type_)
    name, _, role = query.partition("=")
    role = unquote(role)
    return Launch(type_, role) if name == "role" and role and "&" not in query else None


def _in_order(actions: str) -> bool:
    """Letters of `cruds`, each once, in that order."""
    at = 0
    for letter in actions:
        at = ACTIONS.find(letter, at) + 1
        if not at:
            return False
    return bool(actions)


def _constraints(query: str) -> tuple[Constraint, ...] | None:
    pairs: dict[Constraint, None] = {}
    for part in query.split("&"):
        name, _, value = part.partition("=")
        try:
            name, value = unquote(name, errors="strict"), unquote(value, errors="strict")
        except UnicodeDecodeError:
            return None
        if not value or not _is_parameter(name) or not value.isprintable():
            return None
        pairs[name, value] = None
    return tuple(pairs)


def _is_parameter(name: str) -> bool:
    """A search parameter by itself: no modifier, no chain, nothing experimental."""
    return (
        name not in _NOT_CONSTRAINTS
        and name.isascii()
        and name.replace("-", "").replace("_", "").isalnum()
    )


def _escape(text: str) -> str:
    """As RFC 6749 lets a scope be written, with what has a meaning in a query escaped."""
    return "".join(c if "!" <= c <= "~" and c not in '"\\%&#?=+' else _percent(c) for c in text)


def _percent(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
