"""Judges one resource by the caller's predicate.

`search/evaluate.py` gives the tree its meaning on one resource; a predicate may also reach to
others (`Chain`, `Has`). Those nodes are asked of the engine first, for this one resource, and
put into the tree as `Everything` or `Nothing`, so that the judgement itself never waits. What
cannot be decided is not permitted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.model.json import decode_stored
from fhirserver.search.entries import ReferenceEntry
from fhirserver.search.evaluate import Candidate, Resources, matches
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Chain,
    Compare,
    Everything,
    Has,
    Identity,
    Kind,
    Match,
    Not,
    Nothing,
    Query,
    nodes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from fhirserver.model.version import Change, Version
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Expression
    from fhirserver.storage.interface import Store


#: So many verdicts on single versions are remembered.
_REMEMBERED = 10_000


class Judge:
    """Whether a predicate selects a version, or what a change would make.

    `keeps_chains`: what a chain found of its target is remembered too. Right only while nothing
    that chains reach to is written: for the life of one decision (`permit.py`).
    """

    def __init__(
        self,
        store: Store,
        entries: Callable[[dict[str, Any]], Sequence[Entry]],
        *,
        keeps_chains: bool = False,
    ) -> None:
        self._store = store
        self._entries = entries
        self._keeps_chains = keeps_chains
        self._chains: dict[tuple[int, str, str], bool] = {}
        self._settled: dict[int, tuple[Expression, bool]] = {}
        self._reaching: dict[int, tuple[Expression, bool]] = {}
        self._verdicts: dict[tuple[int, str, str, int], bool] = {}
        self._generation = 0  # what is found in one generation is not kept in another

    def forget_chains(self) -> None:
        """Something that chains reach to was written: what they found may hold no longer."""
        self._generation += 1
        self._chains.clear()
        reaching = {key for key, (_, reaches) in self._reaching.items() if reaches}
        for key in [key for key in self._verdicts if key[0] in reaching]:
            del self._verdicts[key]

    async def permits(self, predicate: Expression, version: Version) -> bool:
        if version.content is None or isinstance(predicate, Nothing):
            return False
        if isinstance(predicate, Everything):
            return True
        # A version never changes, so what was found of it holds as long as the predicate does,
        # unless the predicate reaches to other resources.
        key = (id(predicate), version.type, version.id, version.version)
        known = self._verdicts.get(key)
        if known is not None:
            return known
        generation = self._generation
        entries = self._entries(decode_stored(version.content))
        verdict = await self._decide(
            predicate, Candidate(version.type, version.id, version.updated, entries)
        )
        if self._lasting(predicate) and generation == self._generation:
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            self._verdicts[key] = verdict
        return verdict

    def entries(self, version: Version) -> Sequence[Entry]:
        return () if version.content is None else self._entries(decode_stored(version.content))

    async def permits_change(self, predicate: Expression, change: Change) -> bool:
        # The time of the commit is not known yet; no access rule depends on it.
        entries: Sequence[Any] = change.entries
        return await self._decide(predicate, Candidate(change.type, change.id, 0, entries))

    async def _decide(self, predicate: Expression, candidate: Candidate) -> bool:
        if self._reaches(predicate):
            predicate = await self._settle(
                predicate, candidate.type, candidate.id, candidate.entries
            )
        return matches(predicate, candidate, _ALONE)

    def _lasting(self, predicate: Expression) -> bool:
        """A verdict on one version holds as long as this judge."""
        if not self._keeps_chains:
            return not self._reaches(predicate)
        known = self._settled.get(id(predicate))
        if known is None:
            known = self._settled[id(predicate)] = (predicate, not _asks_back(predicate))
        return known[1]

    def _reaches(self, predicate: Expression) -> bool:
        """Remembered by identity: hashing a whole predicate takes longer than judging by it."""
        known = self._reaching.get(id(predicate))
        if known is None:
            if len(self._reaching) >= _REMEMBERED:
                self._reaching.clear()
                self._verdicts.clear()
            # Holding the predicate keeps its identity from being given to another.
            known = self._reaching[id(predicate)] = (predicate, _reaches(predicate))
        return known[1]

    async def _settle(
        self, expression: Expression, type: str, id: str, entries: Sequence[Any]
    ) -> Expression:
        """`expression` with each node that reaches to other resources decided."""
        match expression:
            case All(parts):
                return All(tuple([await self._settle(p, type, id, entries) for p in parts]))
            case AnyOf(parts):
                return AnyOf(tuple([await self._settle(p, type, id, entries) for p in parts]))
            case Not(part):
                return Not(await self._settle(part, type, id, entries))
            case Chain(param, types, target):
                return _truth(await self._chained(param, types, target, entries))
            case Has(source_type, param, source):
                pointing = Match(
                    param,
                    Kind.REFERENCE,
                    Both((Compare("type", "eq", type), Compare("id", "eq", id))),
                )
                query = Query((source_type,), All((pointing, source)))
                return _truth(await self._store.count(query, 1) > 0)
            case _:
                return expression

    async def _chained(
        self, param: str, types: tuple[str, ...], target: Expression, entries: Sequence[Any]
    ) -> bool:
        by_type: dict[str, list[str]] = {}
        for entry in entries:
            if isinstance(entry, ReferenceEntry) and entry.param == param:
                type, id = entry.type, entry.id
                if type and id and type in types:
                    by_type.setdefault(type, []).append(id)
        for type, ids in by_type.items():
            if await self._points_to(type, tuple(ids), target):
                return True
        return False

    async def _points_to(self, type: str, ids: tuple[str, ...], target: Expression) -> bool:
        key = (id(target), type, ids[0])
        keeps = self._keeps_chains and len(ids) == 1
        if keeps and key in self._chains:
            return self._chains[key]
        generation = self._generation
        found = await self._store.count(Query((type,), All((Identity(ids), target))), 1) > 0
        if keeps and generation == self._generation:
            if len(self._chains) >= _REMEMBERED:
                self._chains.clear()
            self._chains[key] = found
        return found


def _truth(value: bool) -> Expression:
    return Everything() if value else Nothing()


def _reaches(expression: Expression) -> bool:
    return any(isinstance(node, Chain | Has) for node in nodes(expression))


def _asks_back(expression: Expression) -> bool:
    return any(isinstance(node, Has) for node in nodes(expression))


#: What reaches to other resources is decided before, so there is nothing to look up.
_ALONE = Resources(())
