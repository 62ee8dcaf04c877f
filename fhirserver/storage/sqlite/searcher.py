"""Searches on one connection: plans, probes, pages and counts.

Which criterion drives a search is decided by bounded probes of how many rows each one selects;
what a probe found is remembered for a while. See docs/decisions/0002-sqlite-shape.md.
"""

from __future__ import annotations

import math
from time import monotonic
from typing import TYPE_CHECKING, Any

from fhirserver.model.version import Page, Version
from fhirserver.storage.sqlite import cursor
from fhirserver.storage.sqlite.compile import looks_at_all
from fhirserver.storage.sqlite.order import merge
from fhirserver.storage.sqlite.shape import Values, lift
from fhirserver.storage.sqlite.statement import WALK, Statements

if TYPE_CHECKING:
    from collections.abc import Callable

    import apsw

    from fhirserver.search.expression import Expression, Query, Sort
    from fhirserver.storage.sqlite.names import Names
    from fhirserver.storage.sqlite.shape import Shape

#: Statements and probes kept; at that many all are forgotten.
KEPT = 5_000
#: Expressions kept with their shape.
LIFTED = 1_000
#: Seconds after which a probe is made anew.
PROBE_SECONDS = 60.0
SIZE_SECONDS = 10.0
#: Criteria whose rows take several look-ups each.
COSTLY = {"chain", "has", "composite", "any", "all"}
#: How many rows or resources a sample looks at; from one match in so many on, many are selected.
SAMPLE = 64
DENSE = 16
#: With so few rows no other criterion need be asked.
FEW = 64
#: Columns of a row: those of `statement.RESOURCE`, then the sort values.
WIDTH = 7
KEY = 5


#: Shape and values of an expression, and the names of queries with it for their cursors.
_Lifted = tuple[Any, Values, dict[Any, str]]


def _name(query: Query, shape: Shape, values: Values, names: dict[Any, str]) -> str:
    of = (query.types, query.sort)
    name = names.get(of)
    if name is None:
        name = names[of] = cursor.digest((query.types, shape, values.content, query.sort))
    return name


class Searcher:
    """`probe_limit`: a fixed limit instead of one that grows with the store (for tests)."""

    def __init__(
        self, connection: apsw.Connection, names: Names, probe_limit: int | None = None
    ) -> None:
        self._connection = connection
        self._names = names
        self._statements: dict[Any, Statements] = {}
        self._probes: dict[Any, tuple[float, float]] = {}
        self._probe_limit = probe_limit
        self._known_size = (0.0, 0, 0)
        self._lifted: dict[int, tuple[Expression, _Lifted]] = {}

    def forget(self) -> None:
        self._statements.clear()
        self._probes.clear()

    def search(self, query: Query) -> Page:
        count = query.count
        shape, values, names = self._lift(query.where)
        sort = query.sort
        after = None
        if query.after is not None:
            name = _name(query, shape, values, names)
            after = cursor.read(query.after, name, len(sort) + 1)
        if count <= 0:
            return Page([])
        types = query.types or tuple(self._names.types())
        if len(types) == 1:
            rows = self._rows(types[0], shape, values, sort, after, count + 1)
            found = [Version(types[0], *row[:WIDTH]) for row in rows[:count]]
        else:
            pages = []
            of_type = {}
            for type in dict.fromkeys(types):
                page = self._rows(type, shape, values, sort, after, count + 1)
                pages.append(page)
                for row in page:
                    of_type[row[KEY]] = type
            rows = merge(pages, sort, WIDTH, KEY)
            found = [Version(of_type[row[KEY]], *row[:WIDTH]) for row in rows[:count]]
        # Read in the same transaction as the rows, so it is the newest commit they show.
        seq = self._connection.execute("SELECT max(seq) FROM resource").get or 0
        if len(rows) <= count:
            return Page(found, seq=seq)
        last = rows[count - 1]
        name = _name(query, shape, values, names)
        return Page(found, cursor.write(name, (*last[WIDTH:], last[KEY])), seq)

    def _lift(self, where: Expression) -> _Lifted:
        """The shape and values of an expression that may be met again: a search that a client
        repeats is parsed once."""
        known = self._lifted.get(id(where))
        if known is not None:
            return known[1]
        values = Values()
        lifted: _Lifted = (lift(where, values), values, {})
        if not values.arrays:
            if len(self._lifted) >= LIFTED:
                self._lifted.clear()
            # Holding the expression keeps its identity from being given to another.
            self._lifted[id(where)] = (where, lifted)
        return lifted

    def count(self, query: Query, limit: int | None) -> int:
        values = Values()
        shape = lift(query.where, values)
        total = 0
        for type in dict.fromkeys(query.types or self._names.types()):
            statements = self._prepare(type, shape, (), values)
            if statements is None:
                continue
            driver = self._driver(statements, values, counted=True)
            sql = statements.count(driver, limit is not None)
            if limit is None:
                binds = values[: statements.binds(sql)]
            else:
                binds = [*values, limit - total]
            total += self._connection.execute(sql, binds).get
            if limit is not None and total >= limit:
                return limit
        return total

    def identities(self, query: Query, limit: int) -> frozenset[tuple[str, str]]:
        """(type, id) of what `query` selects, up to `limit` of each type."""
        values = Values()
        shape = lift(query.where, values)
        found: set[tuple[str, str]] = set()
        for type in dict.fromkeys(query.types or self._names.types()):
            statements = self._prepare(type, shape, (), values)
            if statements is not None:
                sql = statements.identities(self._driver(statements, values))
                found.update(
                    (type, id) for (id,) in self._connection.execute(sql, [*values, limit])
                )
        return frozenset(found)

    # --- one type ---------------------------------------------------------------------------

    def _prepare(
        self, type: str, shape: Shape, sort: tuple[Sort, ...], values: Values
    ) -> Statements | None:
        name = (type, shape, sort)
        made = self._statements.get(name)
        if made is None:
            number = self._names.type(type)
            if number is None:
                return None
            made = Statements(self._names, number, shape, sort, len(values))
            if len(self._statements) > KEPT:
                self._statements.clear()
            # A name that does not exist yet may be there next time.
            if not made.compiler.missing:
                self._statements[name] = made
        return None if made.empty else made

    def _rows(
        self,
        type: str,
        shape: Shape,
        values: Values,
        sort: tuple[Sort, ...],
        after: list[Any] | None,
        limit: int,
    ) -> list[Any]:
        statements = self._prepare(type, shape, sort, values)
        if statements is None:
            return []
        execute = self._connection.execute
        keys = statements.keys
        # Leading keys without any value on this type order nothing here.
        empty = 0
        while empty < len(keys) and keys[empty].empty:
            if after is not None and after[0] is not None:
                after = None
            elif after is not None:
                after = after[1:]
            empty += 1
        if empty:
            found = self._rows(type, shape, values, sort[empty:], after, limit)
            nothing = (None,) * empty
            return [(*row[:WIDTH], *nothing, *row[WIDTH:]) for row in found]
        driver = self._driver(statements, values)
        if not keys:
            sql = statements.page(driver, after is not None)
            return execute(sql, [*values, *(after or ()), limit]).fetchall()
        if driver != WALK:
            sql = statements.sorted_from(driver, after)
            return execute(sql, [*values, *(after or ()), limit]).fetchall()
        rows: list[Any] = []
        if after is None or after[0] is not None:
            sql = statements.sorted_walk(after)
            rows = execute(sql, [*values, *(after or ()), limit]).fetchall()
            after = None
        if keys[0].column is None and len(rows) < limit:
            sql = statements.sorted_missing(after)
            rows += execute(sql, [*values, *(after or ()), limit - len(rows)]).fetchall()
        return rows

    def _driver(self, statements: Statements, values: Values, counted: bool = False) -> int:
        """The criterion whose rows are looked at first; WALK when none is selective."""
        parts = statements.parts
        if not parts:
            return WALK
        in_key_order = not statements.keys
        if len(parts) == 1 and in_key_order and (counted or parts[0].postings is not None):
            return 0 if parts[0].select is not None else WALK
        size, limit = self._size()
        best, fewest = WALK, math.inf
        for place, part in enumerate(parts):
            if part.postings is not None:
                found = self._rows_of_postings(statements, place, size, values)
                if found < fewest:
                    best, fewest = place, found
        if fewest >= FEW:
            for place, part in enumerate(parts):
                if part.postings is not None or part.select is None:
                    continue
                bound = limit // 4 if part.node[0] in COSTLY else limit
                found = self._rows_of_part(statements, place, bound, values)
                if found < bound and found < fewest:
                    best, fewest = place, found
        if best != WALK and not in_key_order and fewest >= limit:
            return WALK
        return best

    def _rows_of_postings(
        self, statements: Statements, place: int, size: int, values: Values
    ) -> float:
        """About how many rows: by the keys among which the first ones lie."""
        sql = statements.probe_postings(place, SAMPLE)

        def ask(binds: list[Any]) -> float:
            row: Any = self._connection.execute(sql, binds).fetchone()
            found, low, high = row
            return float(found if found < SAMPLE else found * (size - low + 1) / (high - low + 1))

        return self._remembered(statements, sql, values, ask)

    def _rows_of_part(
        self, statements: Statements, place: int, limit: int, values: Values
    ) -> float:
        """How many rows, up to `limit`; at once `limit` when the first resources show that
        many are selected."""
        scans = looks_at_all(statements.parts[place].node)
        if scans or statements.dense.get(place):
            sample = statements.sample(place, SAMPLE)

            def look(binds: list[Any]) -> float:
                return float(self._connection.execute(sample, binds).get)

            if self._remembered(statements, sample, values, look) * DENSE >= SAMPLE:
                return limit
        if scans:  # counting would cost as much as collecting
            return limit - 1
        sql = statements.probe(place, limit)

        def ask(binds: list[Any]) -> float:
            return float(self._connection.execute(sql, binds).get)

        found = self._remembered(statements, sql, values, ask)
        statements.dense[place] = found >= limit
        return found

    def _remembered(
        self, statements: Statements, sql: str, values: Values, ask: Callable[[list[Any]], float]
    ) -> float:
        binds = values[: statements.binds(sql)]
        now = monotonic()
        name = (sql, *binds)
        known = self._probes.get(name)
        if known is not None and known[0] > now:
            return known[1]
        found = ask(binds)
        if len(self._probes) > KEPT:
            self._probes.clear()
        self._probes[name] = (now + PROBE_SECONDS, found)
        return found

    def _size(self) -> tuple[int, int]:
        """The number of resources, and up to how many rows it is cheaper to collect and sort
        them than to walk: collecting n of N costs about n, walking until 20 are found 20 N/n."""
        now = monotonic()
        until, size, limit = self._known_size
        if until < now:
            size = self._connection.execute("SELECT max(key) FROM resource").get or 0
            if self._probe_limit is not None:
                limit = self._probe_limit
            else:
                limit = max(256, min(20_000, 4 * math.isqrt(size)))
                # Powers of two, so that probes keep their text while the store grows.
                limit = 1 << (limit.bit_length() - 1)
            self._known_size = (now + SIZE_SECONDS, size, limit)
        return size, limit
