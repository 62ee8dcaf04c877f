"""Expressions to SQL: one small function per node, bound parameters only.

A node is compiled for one resource type at a time and in up to three ways:

* `predicate(node, key)`: a condition on the resource with that key, mostly a correlated EXISTS;
* `select(node)`: a SELECT of the keys of all resources it selects (any order, perhaps repeated),
  or None where it could only look at every resource;
* `postings(node)`: SELECTs of keys whose index rows already lie in key order, or None.

Numbers of types, parameters and slots are integers of our own and stand in the SQL as literals;
values are parameters `?n`. Names are looked up while compiling: what does not exist in the
database selects nothing, and `missing` then tells that the statement must not be kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.search.expression import Kind
from fhirserver.storage.sqlite.condition import FALSE, TRUE, both, compile_test, either, negate
from fhirserver.storage.sqlite.fulltext import word_match
from fhirserver.storage.sqlite.rows import presence_token
from fhirserver.storage.sqlite.tables import TABLES

if TYPE_CHECKING:
    from fhirserver.storage.sqlite.names import Names
    from fhirserver.storage.sqlite.shape import Shape
    from fhirserver.storage.sqlite.tables import Table


class Compiler:
    """Compiles the nodes of one query; `type` is the number of the type searched."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.missing = False
        self._aliases = 0

    def alias(self) -> str:
        self._aliases += 1
        return f"a{self._aliases}"

    def param(self, type: int, code: str) -> int | None:
        number = self.names.param(type, code)
        if number is None:
            self.missing = True
        return number

    def types(self, names: tuple[str, ...]) -> list[int]:
        found = [self.names.type(name) for name in names]
        self.missing = self.missing or None in found
        return [number for number in found if number is not None]

    def predicate(self, node: Shape, type: int, key: str) -> str:
        return PREDICATES[node[0]](self, node, type, key)

    def select(self, node: Shape, type: int) -> str | None:
        compile = SELECTS.get(node[0])
        return None if compile is None else compile(self, node, type)

    def postings(self, node: Shape, type: int) -> list[str] | None:
        compile = POSTINGS.get(node[0])
        return None if compile is None else compile(self, node, type)

    def select_or_walk(self, node: Shape, type: int) -> str:
        """A SELECT of the node's keys, if need be by looking at every resource of the type."""
        found = self.select(node, type)
        if found is not None:
            return found
        a = self.alias()
        where = both([self.predicate(node, type, f"{a}.key")])
        return (
            f"SELECT {a}.key AS key FROM resource {a} WHERE {a}.type={type}"
            f" AND {a}.content IS NOT NULL AND {where}"
        )


EMPTY = "SELECT NULL AS key WHERE 0"


# --- all, any, not --------------------------------------------------------------------------


def all_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    return both([c.predicate(part, type, key) for part in node[1]])


def all_select(c: Compiler, node: Shape, type: int) -> str | None:
    """The part that is likely the most selective drives, the others are looked up."""
    for driver in sorted(node[1], key=rank):
        selected = c.select(driver, type)
        if selected is None:
            continue
        others = [part for part in node[1] if part is not driver]
        if not others:
            return selected
        a = c.alias()
        where = both([c.predicate(part, type, f"{a}.key") for part in others])
        return f"SELECT {a}.key AS key FROM ({selected}) {a} WHERE {where}"
    return None


def any_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    return either([c.predicate(part, type, key) for part in node[1]])


def any_select(c: Compiler, node: Shape, type: int) -> str | None:
    parts = [c.select(part, type) for part in node[1]]
    if not parts:
        return EMPTY
    if None in parts:
        return None
    return " UNION ALL ".join(f"SELECT key FROM ({part})" for part in parts)


def any_postings(c: Compiler, node: Shape, type: int) -> list[str] | None:
    made: list[str] = []
    for part in node[1]:
        postings = c.postings(part, type)
        if postings is None:
            return None
        made += postings
    return made


def not_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    return negate(c.predicate(node[1], type, key))


# --- the resource itself --------------------------------------------------------------------


def type_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    return TRUE if type in c.types(node[1]) else FALSE


def type_select(c: Compiler, node: Shape, type: int) -> str | None:
    return None if type in c.types(node[1]) else EMPTY


def id_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    a = c.alias()
    return (
        f"EXISTS (SELECT 1 FROM resource {a} WHERE {a}.key={key} AND {one_of(f'+{a}.id', node[1])})"
    )


def id_select(c: Compiler, node: Shape, type: int) -> str | None:
    a = c.alias()
    return (
        f"SELECT {a}.key AS key FROM resource {a} WHERE {a}.type={type}"
        f" AND {one_of(f'{a}.id', node[1])} AND {a}.content IS NOT NULL"
    )


def one_of(column: str, alternatives: Shape) -> str:
    if not alternatives:
        return FALSE
    if alternatives[0] == "array":
        return f"{column} IN (SELECT value FROM carray(?{alternatives[1]}))"
    return f"{column} IN ({','.join(f'?{slot}' for slot in alternatives)})"


def _updated_test(test: Shape, a: str) -> str:
    columns = {"low": f"{a}.updated", "high": f"({a}.updated+1000)"}
    return compile_test(test, columns, frozenset())


def updated_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    a = c.alias()
    return (
        f"EXISTS (SELECT 1 FROM resource {a} WHERE {a}.key={key} AND {_updated_test(node[1], a)})"
    )


def updated_select(c: Compiler, node: Shape, type: int) -> str | None:
    a = c.alias()
    return (
        f"SELECT {a}.key AS key FROM resource {a} WHERE {a}.type={type}"
        f" AND {a}.content IS NOT NULL AND {_updated_test(node[1], a)}"
    )


# --- index entries --------------------------------------------------------------------------


def match_parts(c: Compiler, node: Shape, type: int, a: str) -> tuple[Table, int, str] | str:
    """Table, parameter and condition of a match on alias `a`; or a constant."""
    _, code, kind, test = node
    param = c.param(type, code)
    if param is None:
        return FALSE
    table = TABLES[kind]
    columns = {field: f"{a}.{field}" for field in table.fields}
    where = compile_test(test, columns, table.symbols)
    if where in (TRUE, FALSE):
        return where
    return table, param, where


def match_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    if node[2] == Kind.WORD:
        return _word_predicate(c, node, type, key)
    a = c.alias()
    parts = match_parts(c, node, type, a)
    if parts == TRUE:
        return present_predicate(c, ("present", node[1], node[2]), type, key)
    if isinstance(parts, str):
        return parts
    table, param, where = parts
    return (
        f"EXISTS (SELECT 1 FROM {table.name} {a} {table.by_key}"
        f" WHERE {a}.key={key} AND {a}.param={param} AND {where})"
    )


def match_select(c: Compiler, node: Shape, type: int) -> str | None:
    if node[2] == Kind.WORD:
        found = _word_postings(c, node, type)
        return found if found is None else found[0]
    a = c.alias()
    table = TABLES[node[2]]
    fixed, rest = fixing(node[3], _leading(table))
    param = c.param(type, node[1])
    if fixed is not None and param is not None:
        return _by_fixed(table, a, param, fixed, rest)
    parts = match_parts(c, node, type, a)
    if parts == TRUE:
        return present_select(c, ("present", node[1], node[2]), type)
    if isinstance(parts, str):
        return EMPTY
    table, param, where = parts
    return f"SELECT {a}.key AS key FROM {table.name} {a} WHERE {a}.param={param} AND {where}"


def match_postings(c: Compiler, node: Shape, type: int) -> list[str] | None:
    """Rows of one value lie in key order: the test must fix the first field of some index."""
    _, code, kind, test = node
    if kind == Kind.WORD:
        return _word_postings(c, node, type)
    table = TABLES[kind]
    fixed, rest = fixing(test, _leading(table))
    if fixed is None:
        return None
    param = c.param(type, code)
    if param is None:
        return []
    slots = fixed[2] if fixed[0] == "in" else (fixed[2],)
    each = (("eq", fixed[1], slot) for slot in slots)
    return [_by_fixed(table, c.alias(), param, equal, rest) for equal in each]


def _leading(table: Table) -> tuple[str, ...]:
    """The fields that lead an index."""
    return (table.fields[0], *(field for _, field in table.seconds))


def _by_fixed(table: Table, a: str, param: int, fixed: Shape, rest: list[Shape]) -> str:
    """The keys of the rows that pass all tests, by the index that the `fixed` one leads."""
    # A unary plus keeps the other tests from choosing another index.
    columns = {field: f"+{a}.{field}" for field in table.fields}
    first = compile_test(fixed, {fixed[1]: f"{a}.{fixed[1]}"}, table.symbols)
    where = both([first, *(compile_test(part, columns, table.symbols) for part in rest)])
    return (
        f"SELECT {a}.key AS key FROM {table.name} {a} {table.by(fixed[1])}"
        f" WHERE {a}.param={param} AND {where}"
    )


def fixing(test: Shape, fields: tuple[str, ...]) -> tuple[Shape | None, list[Shape]]:
    """The part of `test` that fixes one of `fields`, the earlier the better; and the rest."""
    parts = flatten(test)
    for field in fields:
        for part in parts:
            if part[1] == field and (
                part[0] == "eq" or (part[0] == "in" and part[2] and part[2][0] != "array")
            ):
                return part, [other for other in parts if other is not part]
    return None, []


def flatten(test: Shape) -> list[Shape]:
    if test[0] != "both":
        return [test]
    return [part for each in test[1] for part in flatten(each)]


# --- words ----------------------------------------------------------------------------------


def _word_query(c: Compiler, node: Shape, type: int) -> str | None:
    param = c.param(type, node[1])
    return None if param is None else word_match(param, node[3])


def _word_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    query = _word_query(c, node, type)
    if query is None:
        return FALSE
    return f"EXISTS (SELECT 1 FROM word WHERE word MATCH {query} AND rowid={key})"


def _word_postings(c: Compiler, node: Shape, type: int) -> list[str] | None:
    query = _word_query(c, node, type)
    if query is None:
        return [EMPTY]
    a = c.alias()
    return [f"SELECT {a}.rowid AS key FROM word {a} WHERE {a}.word MATCH {query}"]


# --- presence -------------------------------------------------------------------------------


def present_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    _, code, kind = node
    param = c.param(type, code)
    if param is None:
        return FALSE
    if kind == Kind.WORD:
        token = presence_token(param)
        return f"EXISTS (SELECT 1 FROM word WHERE word MATCH '\"{token}\"' AND rowid={key})"
    a, b, table = c.alias(), c.alias(), TABLES[kind]
    return (
        f"(EXISTS (SELECT 1 FROM {table.name} {a} {table.by_key}"
        f" WHERE {a}.key={key} AND {a}.param={param})"
        f" OR EXISTS (SELECT 1 FROM bare {b} WHERE {b}.key={key} AND {b}.param={param}))"
    )


def present_select(c: Compiler, node: Shape, type: int) -> str | None:
    _, code, kind = node
    param = c.param(type, code)
    if param is None:
        return EMPTY
    if kind == Kind.WORD:
        return f"SELECT rowid AS key FROM word WHERE word MATCH '\"{presence_token(param)}\"'"
    return (
        f"SELECT key FROM {TABLES[kind].name} WHERE param={param}"
        f" UNION ALL SELECT key FROM bare WHERE param={param}"
    )


# --- composites -----------------------------------------------------------------------------


def _component(kind: Kind, test: Shape, a: str) -> str:
    table = TABLES[kind]
    columns = {field: f"{a}.v{place}" for place, field in enumerate(table.fields)}
    return compile_test(test, columns, table.symbols)


def _composite(
    c: Compiler, node: Shape, type: int, key: str | None, lead: int = 0, equal: int | None = None
) -> str:
    """SELECT of the keys; with `key` only whether that one is among them.

    The rows of component `lead` are walked, with `equal` those of the value in that slot.
    """
    _, code, kinds, tests = node
    param = c.param(type, code)
    if param is None:
        return EMPTY
    a = c.alias()
    where = [f"{a}.param={param}", f"{a}.component={lead}", _component(kinds[lead], tests[lead], a)]
    if equal is not None:
        where.append(f"{a}.v0=?{equal}")
    for number in range(len(kinds)):
        if number != lead:
            b = c.alias()
            where.append(
                f"EXISTS (SELECT 1 FROM composite {b} INDEXED BY composite_key"
                f" WHERE {b}.key={a}.key AND {b}.param={param}"
                f" AND {b}.element={a}.element AND {b}.component={number}"
                f" AND {_component(kinds[number], tests[number], b)})"
            )
    index = "sqlite_autoindex_composite_1"
    if key is not None:
        index = "composite_key"
        where.append(f"{a}.key={key}")
    return f"SELECT {a}.key AS key FROM composite {a} INDEXED BY {index} WHERE {both(where)}"


def composite_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    return f"EXISTS ({_composite(c, node, type, key)})"


def composite_select(c: Compiler, node: Shape, type: int) -> str | None:
    postings = composite_postings(c, node, type)
    if postings is None:
        return _composite(c, node, type, None)
    return " UNION ALL ".join(postings) or EMPTY


def composite_postings(c: Compiler, node: Shape, type: int) -> list[str] | None:
    """Some component's test must fix the first field of its kind."""
    _, _, kinds, tests = node
    for number, kind in enumerate(kinds):
        fixed, _ = fixing(tests[number], TABLES[kind].fields[:1])
        if fixed is not None:
            slots = fixed[2] if fixed[0] == "in" else (fixed[2],)
            return [_composite(c, node, type, None, number, slot) for slot in slots]
    return None


# --- chains ---------------------------------------------------------------------------------


def chain_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    _, code, names, target = node
    param = c.param(type, code)
    if param is None:
        return FALSE
    made = []
    for other in c.types(names):
        e, t = c.alias(), c.alias()
        where = c.predicate(target, other, f"{t}.key")
        if where != FALSE:
            made.append(
                f"EXISTS (SELECT 1 FROM reference {e} INDEXED BY reference_key"
                f" CROSS JOIN resource {t} ON {t}.type={other} AND {t}.id={e}.id"
                f" WHERE {e}.key={key} AND {e}.param={param} AND +{e}.type={other}"
                f" AND {t}.content IS NOT NULL AND {where})"
            )
    return either(made)


def chain_select(c: Compiler, node: Shape, type: int) -> str | None:
    _, code, names, target = node
    param = c.param(type, code)
    if param is None:
        return EMPTY
    made = []
    for other in c.types(names):
        s, t, e = c.alias(), c.alias(), c.alias()
        made.append(
            f"SELECT {e}.key AS key FROM ({c.select_or_walk(target, other)}) {s}"
            f" CROSS JOIN resource {t} ON {t}.key={s}.key"
            f" CROSS JOIN reference {e} ON {e}.param={param} AND {e}.id={t}.id"
            f" AND +{e}.type={other}"
        )
    return " UNION ALL ".join(made) or EMPTY


def has_predicate(c: Compiler, node: Shape, type: int, key: str) -> str:
    _, name, code, source = node
    others = c.types((name,))
    param = c.param(others[0], code) if others else None
    if param is None:
        return FALSE
    h, e = c.alias(), c.alias()
    where = c.predicate(source, others[0], f"{e}.key")
    return (
        f"EXISTS (SELECT 1 FROM resource {h} CROSS JOIN reference {e}"
        f" ON {e}.param={param} AND {e}.id={h}.id AND +{e}.type={type}"
        f" WHERE {h}.key={key} AND {where})"
    )


def has_select(c: Compiler, node: Shape, type: int) -> str | None:
    _, name, code, source = node
    others = c.types((name,))
    param = c.param(others[0], code) if others else None
    if param is None:
        return EMPTY
    s, e, r = c.alias(), c.alias(), c.alias()
    return (
        f"SELECT {r}.key AS key FROM ({c.select_or_walk(source, others[0])}) {s}"
        f" CROSS JOIN reference {e} INDEXED BY reference_key"
        f" ON {e}.key={s}.key AND {e}.param={param} AND +{e}.type={type}"
        f" CROSS JOIN resource {r} ON {r}.type={type} AND {r}.id={e}.id"
        f" AND {r}.content IS NOT NULL"
    )


# --- the tables of nodes --------------------------------------------------------------------

PREDICATES = {
    "all": all_predicate,
    "any": any_predicate,
    "not": not_predicate,
    "type": type_predicate,
    "id": id_predicate,
    "updated": updated_predicate,
    "match": match_predicate,
    "composite": composite_predicate,
    "present": present_predicate,
    "chain": chain_predicate,
    "has": has_predicate,
}
SELECTS = {
    "all": all_select,
    "any": any_select,
    "type": type_select,
    "id": id_select,
    "updated": updated_select,
    "match": match_select,
    "composite": composite_select,
    "present": present_select,
    "chain": chain_select,
    "has": has_select,
}
POSTINGS = {"any": any_postings, "composite": composite_postings, "match": match_postings}

#: Without counting: which nodes are likely to select few.
_RANKS = {"id": 0, "composite": 4, "chain": 5, "has": 5, "updated": 7, "any": 6, "present": 8}


def rank(node: Shape) -> int:
    if node[0] != "match":
        return _RANKS.get(node[0], 9)
    _, _, kind, test = node
    fixed = fixing(test, ("id", "code", "value", "folded", "text"))[0] is not None
    if kind == Kind.REFERENCE and fixed:
        return 1
    if fixed:
        return 2
    return 3 if kind in (Kind.STRING, Kind.WORD, Kind.POSITION) else 7


def looks_at_all(node: Shape) -> bool:
    """Whether only looking at every entry of the parameter tells which ones match."""
    if node[0] != "match":
        return False
    parts = flatten(node[3])
    return any(part[0] == "contains" for part in parts) and not any(
        part[0] in ("eq", "in", "starts") for part in parts
    )
