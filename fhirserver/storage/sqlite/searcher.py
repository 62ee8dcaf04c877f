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
from fhirserver.storage.sqlite.order import merge
from fhirserver.storage.sqlite.shape import lift
from fhirserver.storage.sqlite.statement import WALK, Statements

if TYPE_CHECKING:
    import apsw

    from fhirserver.search.expression import Query, Sort
    from fhirserver.storage.sqlite.names import Names
    from fhirserver.storage.sqlite.shape import Shape

#: Statements and probes kept; at that many all are forgotten.
KEPT = 5_000
#: Seconds after which a probe is made anew.
PROBE_SECONDS = 60.0
SIZE_SECONDS = 10.0
#: Criteria whose rows take several look-ups each.
COSTLY = {"chain", "has", "composite", "any", "all"}
#: Columns of a row: those of `statement.RESOURCE`, then the sort values.
WIDTH = 7
KEY = 5


class Searcher:
    """`probe_limit`: a fixed limit instead of one that grows with the store (for tests)."""

    def __init__(
        self, connection: apsw.Connection, names: Names, probe_limit: int | None = None
    ) -> None:
        self._connection = connection
        self._names = names
        self._statements: dict[Any, Statements] = {}
        self._probes: dict[Any, tuple[float, int]] = {}
        self._limit = (0.0, 0) if probe_limit is None else (math.inf, probe_limit)

    def forget(self) -> None:
        self._statements.clear()
        self._probes.clear()

    def search(self, query: Query) -> Page:
        count = query.count
        values: list[Any] = []
        shape = lift(query.where, values)
        sort = query.sort
        after = None
        if query.after is not None:
            name = cursor.digest((query.types, shape, values, sort))
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
        name = cursor.digest((query.types, shape, values, sort))
        return Page(found, cursor.write(name, (*last[WIDTH:], last[KEY])), seq)

    def count(self, query: Query, limit: int | None) -> int:
        values: list[Any] = []
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
        values: list[Any] = []
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
        self, type: str, shape: Shape, sort: tuple[Sort, ...], values: list[Any]
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
        values: list[Any],
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

    def _driver(self, statements: Statements, values: list[Any], counted: bool = False) -> int:
        """The criterion whose rows are looked at first; WALK when none is selective."""
        parts = statements.parts
        sorted = bool(statements.keys)
        if len(parts) == 1 and not sorted and (counted or parts[0].postings is not None):
            return 0 if parts[0].select is not None else WALK
        best, fewest, ordered = WALK, 0, WALK
        for place, part in enumerate(parts):
            if part.select is None:
                continue
            limit = self._probe_limit()
            if part.node[0] in COSTLY:
                limit //= 4
            found = self._probe(statements, place, limit, values)
            if found < limit and (best == WALK or found < fewest):
                best, fewest = place, found
                if found == 0:
                    break
            elif part.postings is not None and ordered == WALK:
                ordered = place
        if best == WALK and not sorted:
            return ordered
        return best

    def _probe(self, statements: Statements, place: int, limit: int, values: list[Any]) -> int:
        sql = statements.probe(place, limit)
        binds = values[: statements.binds(sql)]
        now = monotonic()
        name = (sql, *binds)
        known = self._probes.get(name)
        if known is not None and known[0] > now:
            return known[1]
        found: int = self._connection.execute(sql, binds).get
        if len(self._probes) > KEPT:
            self._probes.clear()
        self._probes[name] = (now + PROBE_SECONDS, found)
        return found

    def _probe_limit(self) -> int:
        """Up to how many rows it is cheaper to collect and sort them than to walk.

        Collecting n of N costs about n, walking until 20 are found about 20 N/n.
        """
        now = monotonic()
        until, limit = self._limit
        if until < now:
            size = self._connection.execute("SELECT max(key) FROM resource").get or 0
            limit = max(256, min(20_000, 4 * math.isqrt(size)))
            # Powers of two, so that probes keep their text while the store grows.
            limit = 1 << (limit.bit_length() - 1)
            self._limit = (now + SIZE_SECONDS, limit)
        return limit
