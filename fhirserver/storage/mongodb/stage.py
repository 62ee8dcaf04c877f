"""Chains and `_has`, without joins: resolved to sets of ids in stages.

*Whole* (`stage_whole`): the target of the chain is searched first; if it selects few resources,
the chain becomes a match on a reference to one of them, which the server finds by index.

*By batch* (`stage_batch`): where the target selects many, the candidates are walked instead, and
for each batch of them the references it holds are looked up. No number of matches is too many for
this direction; it only takes as long as there are candidates.

Either way the node becomes one without a join, and the tree keeps its meaning.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Protocol

from fhirserver.search.evaluate import Candidate, entries_of
from fhirserver.search.expression import (
    All,
    AnyOf,
    Both,
    Chain,
    Compare,
    Either,
    Expression,
    Has,
    Identity,
    Kind,
    Match,
    Not,
    Nothing,
    OfType,
    nodes,
)

#: A chain whose target selects more resources than this is resolved by batch.
WHOLE = 1000
#: The most documents that are read to find the resources that a `_has` is about.
WHOLE_SOURCES = 5000
#: How many ids go into one lookup.
_IDS = 500


class Stage(Protocol):
    """What staging asks the database."""

    def walk(
        self,
        types: tuple[str, ...],
        where: Expression,
        levels: Sequence[Any] = (),
        *,
        position: Sequence[Any] | None = None,
        limit: int | None = None,
        fields: dict[str, Any] | None = None,
        session: Any = None,
        after_key: int | None = None,
    ) -> AsyncIterator[dict[str, Any]]: ...


_IDENTITY = {"type": 1, "id": 1}
_REFERENCES = {"index.reference": 1}


def is_staged(expression: Expression) -> bool:
    """Whether no chain and no `_has` is left."""
    return not any(isinstance(node, Chain | Has) for node in nodes(expression))


# --- whole --------------------------------------------------------------------------------------


async def stage_whole(stage: Stage, expression: Expression, session: Any = None) -> Expression:
    """Resolve each chain and `_has` that is about few resources; leave the others."""
    if is_staged(expression):
        return expression
    match expression:
        case All(parts):
            return All(tuple([await stage_whole(stage, part, session) for part in parts]))
        case AnyOf(parts):
            return AnyOf(tuple([await stage_whole(stage, part, session) for part in parts]))
        case Not(part):
            return Not(await stage_whole(stage, part, session))
        case Chain(param, types, target):
            if not types:
                return Nothing()
            walk = stage.walk(types, target, limit=WHOLE + 1, fields=_IDENTITY, session=session)
            found = [(document["type"], document["id"]) async for document in walk]
            return expression if len(found) > WHOLE else _refers(param, found)
        case Has(type, param, source):
            selected: set[tuple[str, str]] = set()
            read = 0
            async for document in stage.walk(
                (type,), source, limit=WHOLE_SOURCES + 1, fields=_REFERENCES, session=session
            ):
                read += 1
                selected.update(_references(document, param))
                if len(selected) > WHOLE or read > WHOLE_SOURCES:
                    return expression
            return _one_of(selected)
        case _:
            raise TypeError(f"not a search expression: {expression!r}")


# --- by batch -----------------------------------------------------------------------------------


async def stage_batch(
    stage: Stage, expression: Expression, batch: Sequence[Candidate], session: Any = None
) -> Expression:
    """Resolve what is left for these candidates alone."""
    if is_staged(expression):
        return expression
    match expression:
        case All(parts):
            return All(tuple([await stage_batch(stage, part, batch, session) for part in parts]))
        case AnyOf(parts):
            return AnyOf(tuple([await stage_batch(stage, part, batch, session) for part in parts]))
        case Not(part):
            return Not(await stage_batch(stage, part, batch, session))
        case Chain(param, types, target):
            referred = {
                (entry.type, entry.id)
                for candidate in batch
                for entry in entries_of(candidate, param, Kind.REFERENCE)
                if entry.type in types and entry.id is not None
            }
            found = []
            for type, ids in _by_type(referred).items():
                for some in _slices(ids):
                    where = All((Identity(some), target))
                    walk = stage.walk((type,), where, fields=_IDENTITY, session=session)
                    found.extend([(d["type"], d["id"]) async for d in walk])
            return _refers(param, found)
        case Has(type, param, source):
            wanted = {(candidate.type, candidate.id) for candidate in batch}
            selected: set[tuple[str, str]] = set()
            for of_type, ids in _by_type(wanted).items():
                for some in _slices(ids):
                    refers = _refers(param, [(of_type, id) for id in some])
                    async for document in stage.walk(
                        (type,), All((refers, source)), fields=_REFERENCES, session=session
                    ):
                        selected.update(_references(document, param))
            return _one_of(selected & wanted)
        case _:
            raise TypeError(f"not a search expression: {expression!r}")


# --- sets of resources --------------------------------------------------------------------------


def _refers(param: str, resources: Iterable[tuple[str, str]]) -> Expression:
    """Some reference of `param` is to one of `resources`."""
    tests = [
        Both((Compare("type", "eq", type), Compare("id", "in", tuple(sorted(ids)))))
        for type, ids in _by_type(resources).items()
    ]
    return Match(param, Kind.REFERENCE, Either(tuple(tests))) if tests else Nothing()


def _one_of(resources: Iterable[tuple[str, str]]) -> Expression:
    """The resource is one of `resources`."""
    return AnyOf(
        tuple(
            All((OfType((type,)), Identity(tuple(sorted(ids)))))
            for type, ids in _by_type(resources).items()
        )
    )


def _by_type(resources: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for type, id in resources:
        grouped.setdefault(type, []).append(id)
    return grouped


def _slices(ids: list[str]) -> Iterable[tuple[str, ...]]:
    for start in range(0, len(ids), _IDS):
        yield tuple(ids[start : start + _IDS])


def _references(document: dict[str, Any], param: str) -> Iterable[tuple[str, str]]:
    for entry in (document.get("index") or {}).get("reference", ()):
        if entry["param"] == param and entry.get("type") and entry.get("id") is not None:
            yield entry["type"], entry["id"]
