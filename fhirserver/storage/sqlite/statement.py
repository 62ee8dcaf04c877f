"""Whole SELECT statements of a search: which rows drive it, and in which order they are walked.

The order of joins is forced (CROSS JOIN, subqueries with LIMIT), so SQLite needs no statistics.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhirserver.storage.sqlite.compile import EMPTY, Compiler
from fhirserver.storage.sqlite.condition import FALSE, TRUE, both
from fhirserver.storage.sqlite.order import beyond, keys_of, order_by

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.search.expression import Sort
    from fhirserver.storage.sqlite.names import Names
    from fhirserver.storage.sqlite.order import Key
    from fhirserver.storage.sqlite.shape import Shape

RESOURCE = "r.id,r.version,r.updated,r.method,r.content,r.key,r.seq"

SLOT = re.compile(r"\?(\d+)")

#: `driver` for "no criterion drives: walk the type, or the index of the sort".
WALK = -1


@dataclass(frozen=True, slots=True)
class Part:
    """One criterion of a search (a conjunct of its expression)."""

    node: Shape
    select: str | None
    postings: list[str] | None


class Statements:
    """The statements of one search shape on one type, made when first needed."""

    def __init__(self, names: Names, type: int, where: Shape, sort: Sequence[Sort], values: int):
        self.compiler = Compiler(names)
        self.type = type
        self.values = values
        self.empty = False
        self.parts: list[Part] = []
        for node in where[1] if where[0] == "all" else (where,):
            self._add(node)
        self.keys = keys_of(sort, self.compiler, type)
        #: Of each criterion that was counted: whether it selected many when last asked.
        self.dense: dict[int, bool] = {}
        self._made: dict[Any, str] = {}
        self._binds: dict[str, int] = {}

    def _add(self, node: Shape) -> None:
        constant = self.compiler.predicate(node, self.type, "0")
        if constant == TRUE:
            return
        if constant == FALSE:
            self.empty = True
        self.parts.append(
            Part(
                node,
                self.compiler.select(node, self.type),
                self.compiler.postings(node, self.type),
            )
        )

    def binds(self, sql: str) -> int:
        """How many of the values `sql` can take: SQLite counts up to the highest slot used."""
        known = self._binds.get(sql)
        if known is None:
            known = max((int(slot) for slot in SLOT.findall(sql)), default=0)
            self._binds[sql] = known
        return known

    def _others(self, driver: int, key: str) -> list[str]:
        return [
            self.compiler.predicate(part.node, self.type, key)
            for place, part in enumerate(self.parts)
            if place != driver
        ]

    def probe(self, place: int, limit: int) -> str:
        name = ("probe", place, limit)
        sql = self._made.get(name)
        if sql is None:
            sql = self._made[name] = (
                f"SELECT count(*) FROM (SELECT 1 FROM ({self.parts[place].select}) LIMIT {limit})"
            )
        return sql

    def probe_postings(self, place: int, limit: int) -> str:
        """Count, lowest and highest key of the first rows."""
        name = ("postings", place, limit)
        sql = self._made.get(name)
        if sql is None:
            postings = self.parts[place].postings or [EMPTY]
            arms = " UNION ".join(f"SELECT key FROM ({posting})" for posting in postings)
            sql = self._made[name] = (
                f"SELECT count(*),min(key),max(key) FROM ({arms} ORDER BY key LIMIT {limit})"
            )
        return sql

    def sample(self, place: int, size: int) -> str:
        """How many of the type's first resources the criterion selects."""
        name = ("sample", place, size)
        sql = self._made.get(name)
        if sql is None:
            where = self.compiler.predicate(self.parts[place].node, self.type, "w.key")
            sql = self._made[name] = (
                "SELECT count(*) FROM (SELECT key FROM resource INDEXED BY resource_current"
                f" WHERE type={self.type} AND content IS NOT NULL LIMIT {size}) w WHERE {where}"
            )
        return sql

    # --- keys of all matches, in the order of keys -------------------------------------------

    def keyed(self, driver: int, paged: bool, limit: str) -> str:
        """SELECT of `key`, ascending, up to `limit`; `paged`: those after slot values+1."""
        after = f"?{self.values + 1}" if paged else ""
        if driver == WALK:
            where = [f"w.type={self.type}", "w.content IS NOT NULL", *self._others(driver, "w.key")]
            if paged:
                where.append(f"w.key>{after}")
            return (
                f"SELECT w.key AS key FROM resource w INDEXED BY resource_current"
                f" WHERE {both(where)} ORDER BY w.key{limit}"
            )
        part = self.parts[driver]
        where = self._others(driver, "d.key")
        if paged:
            where.append(f"d.key>{after}")
        condition = both(where)
        if part.postings is not None:
            arms = [
                f"SELECT d.key AS key FROM ({posting}) d WHERE {condition}"
                for posting in part.postings
            ]
            if len(arms) == 1:
                arms[0] = arms[0].replace("SELECT d.key", "SELECT DISTINCT d.key", 1)
            if arms:
                return f"{' UNION '.join(arms)} ORDER BY key{limit}"
        return (
            f"SELECT DISTINCT d.key AS key FROM ({part.select}) d WHERE {condition}"
            f" ORDER BY d.key{limit}"
        )

    def page(self, driver: int, paged: bool) -> str:
        """The page in key order: slots values+1 (key, if paged), then the limit."""
        name = ("page", driver, paged)
        sql = self._made.get(name)
        if sql is None:
            limit = f" LIMIT ?{self.values + (2 if paged else 1)}"
            sql = self._made[name] = (
                f"SELECT {RESOURCE} FROM ({self.keyed(driver, paged, limit)}) p"
                " CROSS JOIN resource r ON r.key=p.key"
            )
        return sql

    def identities(self, driver: int) -> str:
        name = ("identities", driver)
        sql = self._made.get(name)
        if sql is None:
            sql = self._made[name] = (
                f"SELECT r.id FROM ({self.keyed(driver, False, f' LIMIT ?{self.values + 1}')}) p"
                " CROSS JOIN resource r ON r.key=p.key"
            )
        return sql

    def count(self, driver: int, limited: bool) -> str:
        name = ("count", driver, limited)
        sql = self._made.get(name)
        if sql is None:
            limit = f" LIMIT ?{self.values + 1}" if limited else ""
            sql = self._made[name] = f"SELECT count(*) FROM ({self.keyed(driver, False, limit)})"
        return sql

    # --- pages in the order of sort values ---------------------------------------------------
    # Slots: values+1 ... the sort values of `after`, its key, and the limit last.

    def sorted_from(self, driver: int, after: Sequence[Any] | None) -> str:
        """All matches of a selective criterion, put in order."""
        name = ("sorted", driver, after and tuple(value is None for value in after))
        sql = self._made.get(name)
        if sql is None:
            keys, c = self.keys, self.compiler
            columns = [
                f"{key.value('d.key', 'q', c.alias())} AS s{place}"
                for place, key in enumerate(keys)
            ]
            inner = (
                f"SELECT d.key AS key,{','.join(columns)} FROM ({self.keyed(driver, False, '')}) d"
                f"{self._joined_resource(keys, 'd.key')}"
            )
            names = [f"s{place}" for place in range(len(keys))]
            where = "" if after is None else f" WHERE {self._beyond(keys, names, 'key', after)}"
            sql = self._made[name] = self._joined(
                f"SELECT * FROM ({inner}){where} ORDER BY {order_by(keys, names, 'key')}",
                len(keys),
                after,
            )
        return sql

    def sorted_walk(self, after: Sequence[Any] | None) -> str:
        """The resources that have a value of the first key, by walking its index."""
        name = ("walk", after and tuple(value is None for value in after))
        sql = self._made.get(name)
        if sql is None:
            first = self.keys[0]
            if first.column is not None:
                sql = self._walk_resources(after)
            elif first.descending and len(self.keys) == 1:
                sql = self._walk_descending(first, after)
            else:
                sql = self._walk_values(first, after)
            self._made[name] = sql
        return sql

    def sorted_missing(self, after: Sequence[Any] | None) -> str:
        """The resources without a value of the first key, in the order of the others."""
        name = ("missing", after and tuple(value is None for value in after))
        sql = self._made.get(name)
        if sql is None:
            first, c = self.keys[0], self.compiler
            assert first.table is not None
            rest = self.keys[1:]
            values = [key.value("s.key", "s", c.alias()) for key in rest]
            a = c.alias()
            where = [
                f"s.type={self.type}",
                "s.content IS NOT NULL",
                f"NOT EXISTS (SELECT 1 FROM {first.table.name} {a} {first.table.by_key}"
                f" WHERE {a}.key=s.key AND {a}.param={first.param})",
                *self._others(WALK, "s.key"),
            ]
            if after is not None:
                where.append(beyond(rest, values, "s.key", after[1:], self.values + 2))
            columns = "".join(f",{value} AS s{place}" for place, value in enumerate(values, 1))
            sql = self._made[name] = self._joined(
                f"SELECT s.key AS key,NULL AS s0{columns}"
                f" FROM resource s INDEXED BY resource_current WHERE {both(where)}"
                f" ORDER BY {order_by(rest, values, 's.key')}",
                len(self.keys),
                after,
            )
        return sql

    def _walk_resources(self, after: Sequence[Any] | None) -> str:
        keys, c = self.keys, self.compiler
        values = [key.value("s.key", "s", c.alias()) for key in keys]
        where = [f"s.type={self.type}", "s.content IS NOT NULL", *self._others(WALK, "s.key")]
        if after is not None:
            op = "<=" if keys[0].descending else ">="
            where += [
                f"{values[0]}{op}?{self.values + 1}",
                self._beyond(keys, values, "s.key", after),
            ]
        columns = "".join(f",{value} AS s{place}" for place, value in enumerate(values))
        index = "resource_id" if keys[0].column == "id" else "resource_updated"
        return self._joined(
            f"SELECT s.key AS key{columns} FROM resource s INDEXED BY {index}"
            f" WHERE {both(where)} ORDER BY {order_by(keys, values, 's.key')}",
            len(keys),
            after,
        )

    def _first_of_its_resource(self, key: Key) -> str:
        """Only the row with the extreme value of a resource counts, and only one such row."""
        assert key.table is not None
        a, f = self.compiler.alias(), key.field
        rest = [field for field in key.table.fields if field != f]
        op = ">" if key.descending else "<"
        same = ""
        if rest:
            mine = ",".join(f"{a}.{field}" for field in rest)
            other = ",".join(f"s.{field}" for field in rest)
            same = f" OR ({a}.{f}=s.{f} AND ({mine})<({other}))"
        return (
            f"NOT EXISTS (SELECT 1 FROM {key.table.name} {a} {key.table.by_key} WHERE {a}.key=s.key"
            f" AND {a}.param={key.param} AND ({a}.{f}{op}s.{f}{same}))"
        )

    def _walk_values(self, first: Key, after: Sequence[Any] | None) -> str:
        keys, c = self.keys, self.compiler
        assert first.table is not None
        values = [
            f"s.{first.field}",
            *(key.value("s.key", "q", c.alias()) for key in keys[1:]),
        ]
        where = [
            f"s.param={first.param}",
            self._first_of_its_resource(first),
            *self._others(WALK, "s.key"),
        ]
        if after is not None:
            if len(keys) == 1:
                slot = self.values + 1
                where.append(f"(s.{first.field},s.key)>(?{slot},?{slot + 1})")
            else:
                op = "<=" if first.descending else ">="
                where += [
                    f"{values[0]}{op}?{self.values + 1}",
                    self._beyond(keys, values, "s.key", after),
                ]
        # In this walk every row has the first value: no "IS NULL" hides the index order.
        rest = order_by(keys[1:], values[1:], "s.key")
        direction = " DESC" if first.descending else ""
        columns = "".join(f",{value} AS s{place}" for place, value in enumerate(values))
        join = self._joined_resource(keys, "s.key")
        index = first.table.by(first.field)
        return self._joined(
            f"SELECT s.key AS key{columns} FROM {first.table.name} s {index}{join}"
            f" WHERE {both(where)} ORDER BY {values[0]}{direction},{rest}",
            len(keys),
            after,
        )

    def _walk_descending(self, first: Key, after: Sequence[Any] | None) -> str:
        """Values downwards, keys upwards within one value: no index has this order, so the
        distinct values are stepped through one by one."""
        assert first.table is not None
        table, f, p = first.table.name, first.field, first.param
        slot = self.values + 1
        highest = f"SELECT max({f}) FROM {table} WHERE param={p}"
        start = "" if after is None else f" AND {f}<=?{slot}"
        beyond_key = (
            "" if after is None else f" AND s.key>CASE WHEN v.x=?{slot} THEN ?{slot + 1} ELSE 0 END"
        )
        where = both([self._first_of_its_resource(first), *self._others(WALK, "s.key")])
        return self._joined(
            f"WITH RECURSIVE v(x) AS (SELECT ({highest}{start}) UNION ALL"
            f" SELECT ({highest} AND {f}<v.x) FROM v WHERE v.x IS NOT NULL)"
            f" SELECT s.key AS key,s.{f} AS s0 FROM v CROSS JOIN {table} s {first.table.by(f)}"
            f" ON s.param={p} AND s.{f}=v.x{beyond_key} WHERE {where}",
            1,
            after,
        )

    def _joined_resource(self, keys: Sequence[Key], key: str) -> str:
        if all(each.column is None for each in keys):
            return ""
        return f" CROSS JOIN resource q ON q.key={key}"

    def _beyond(
        self, keys: Sequence[Key], values: Sequence[str], key: str, after: Sequence[Any]
    ) -> str:
        return beyond(keys, values, key, after, self.values + 1)

    def _joined(self, keyed: str, width: int, after: Sequence[Any] | None) -> str:
        limit = self.values + 1 + (0 if after is None else width + 1)
        columns = "".join(f",p.s{place}" for place in range(width))
        return (
            f"SELECT {RESOURCE}{columns} FROM ({keyed} LIMIT ?{limit}) p"
            " CROSS JOIN resource r ON r.key=p.key"
        )
