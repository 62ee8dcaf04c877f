"""Resources beside the matches of a search: `_include` and `_revinclude`
(https://hl7.org/fhir/R4/search.html#include).

An include follows the values of a reference parameter: literal references, those to one version
(which is then what is included) and canonical URLs. Each resource comes once on a page,
and never beside itself as a match. Every look-up is an ordinary permitted read.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from fhirserver.errors import Issue
from fhirserver.model import references
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.model.fhirpath import compile_path
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import AnyOf, Both, Compare, Either, Kind, Match, Query
from fhirserver.search.result import include_parameters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import Any

    from fhirserver.conformance.search_parameter import SearchParameter
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version
    from fhirserver.search.parse import Search
    from fhirserver.search.result import Include

    _Path = tuple[str | None, SearchParameter, Callable[[dict[str, Any]], list[Any]]]

_compiled = cache(compile_path)


async def include(
    ctx: Context, search: Search, matches: Sequence[Version]
) -> tuple[list[Version], tuple[Issue, ...]]:
    """What a page of `matches` includes, and a warning if that had to be cut short."""
    page = _Page(ctx, matches)
    fresh: Sequence[Version] = matches
    first = True
    for _ in range(ctx.limits.include_rounds):
        includes = tuple(i for i in search.includes if first or i.iterate)
        revincludes = tuple(i for i in search.revincludes if first or i.iterate)
        if not (includes or revincludes) or not fresh:
            return page.included, ()
        before = len(page.included)
        await page.follow(includes, fresh)
        await page.follow_back(revincludes, fresh)
        if page.cut:
            text = (
                f"More than {ctx.limits.includes} resources would be included on this page; "
                "the others are left out. Ask for a smaller _count."
            )
            return page.included, (Issue("warning", "too-costly", text),)
        fresh = page.included[before:]
        first = False
    if fresh:
        text = (
            f"_include:iterate was followed {ctx.limits.include_rounds} times; "
            "what lies further is left out."
        )
        return page.included, (Issue("warning", "too-costly", text),)
    return page.included, ()


class _Target(NamedTuple):
    type: str
    id: str
    version: int | None = None


class _Page:
    """What is on the page already."""

    def __init__(self, ctx: Context, matches: Iterable[Version]) -> None:
        self._ctx = ctx
        self._seen = {(v.type, v.id) for v in matches}
        self._paths_of: dict[tuple[str, tuple[Include, ...]], list[_Path]] = {}
        self.included: list[Version] = []
        self.cut = False

    def _add(self, version: Version) -> None:
        identity = (version.type, version.id)
        if identity in self._seen or version.content is None:
            return
        if len(self.included) >= self._ctx.limits.includes:
            self.cut = True
            return
        self._seen.add(identity)
        self.included.append(version)

    async def follow(self, includes: tuple[Include, ...], sources: Sequence[Version]) -> None:
        targets: dict[_Target, None] = {}
        canonicals: dict[tuple[str, ...], list[str]] = {}
        for source in sources:
            paths = self._paths(includes, source.type)
            if not paths or source.content is None:
                continue
            resource = decode_stored(source.content)
            for target, parameter, path in paths:
                for value in path(resource):
                    self._take(value, target, parameter, targets, canonicals)
        await self._read(targets)
        for types, urls in canonicals.items():
            named = Match("url", Kind.URI, Compare("value", "in", tuple(dict.fromkeys(urls))))
            await self._search(Query(types, named))

    def _paths(self, includes: tuple[Include, ...], type: str) -> list[_Path]:
        """What to follow from a resource of `type`: the target type asked for, the parameter and
        its path."""
        found = self._paths_of.get((type, includes))
        if found is None:
            found = self._paths_of[type, includes] = [
                (one.target, parameter, _compiled(parameter.expression))
                for one in includes
                for parameter in include_parameters(self._ctx.registry, one, type)
                if parameter.expression
            ]
        return found

    def _take(
        self,
        value: Any,
        wanted: str | None,
        parameter: SearchParameter,
        targets: dict[_Target, None],
        canonicals: dict[tuple[str, ...], list[str]],
    ) -> None:
        if isinstance(value, str):
            types = tuple(
                type
                for type in parameter.targets
                if wanted in (None, type) and self._ctx.registry.parameter(type, "url") is not None
            )
            if types:
                canonicals.setdefault(types, []).append(value.partition("|")[0])
            return
        text = value.get("reference") if isinstance(value, dict) else None
        if not isinstance(text, str):
            return
        reference = references.parse(text, self._ctx.local_bases)
        if reference.kind != "literal" or wanted not in (None, reference.type):
            return
        version = reference.version
        if version is not None and version.isascii() and version.isdecimal():
            targets[_Target(reference.type, reference.id, int(version))] = None
        # Where the version is not to be had, the resource as it is now stands in.
        targets[_Target(reference.type, reference.id)] = None

    async def _read(self, targets: Iterable[_Target]) -> None:
        """Read what is referenced; one version where the reference names it."""
        named = {(t.type, t.id): t.version for t in targets if t.version is not None}
        for (type, id), version in named.items():
            found = await self._ctx.store.vread(type, id, version)
            if found is not None:
                self._add(found)
        order = [
            (t.type, t.id)
            for t in targets
            if t.version is None and (t.type, t.id) not in self._seen
        ]
        if not order:
            return
        room = self._ctx.limits.includes - len(self.included) + 1
        held = {(v.type, v.id): v for v in await self._ctx.store.read_many(order[:room])}
        self.cut = self.cut or len(order) > room
        for identity in order:
            if identity in held:
                self._add(held[identity])

    async def follow_back(self, includes: Sequence[Include], targets: Sequence[Version]) -> None:
        for one in includes:
            wanted = [t for t in targets if one.target in (None, t.type)]
            if not wanted:
                continue
            test = _pointing_to(wanted)
            for type, codes in self._sources(one):
                parts = tuple(Match(code, Kind.REFERENCE, test) for code in codes)
                where = parts[0] if len(parts) == 1 else AnyOf(parts)
                await self._search(Query((type,), where))

    def _sources(self, one: Include) -> Iterator[tuple[str, list[str]]]:
        registry = self._ctx.registry
        for type in sorted(RESOURCE_TYPES) if one.type == "*" else (one.type,):
            codes = [parameter.code for parameter in include_parameters(registry, one, type)]
            if codes:
                yield type, codes

    async def _search(self, query: Query) -> None:
        room = self._ctx.limits.includes - len(self.included) + 1
        if self.cut:
            return
        page = await self._ctx.store.included(
            Query(query.types, query.where, count=room + len(self._seen))
        )
        for version in page.versions:
            self._add(version)
        self.cut = self.cut or page.next is not None


def _pointing_to(targets: Iterable[Version]) -> Either | Both:
    by_type: dict[str, list[str]] = {}
    for target in targets:
        by_type.setdefault(target.type, []).append(target.id)
    tests = tuple(
        Both((Compare("type", "eq", type), Compare("id", "in", tuple(ids))))
        for type, ids in by_type.items()
    )
    return tests[0] if len(tests) == 1 else Either(tests)
