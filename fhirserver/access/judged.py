"""A store seen through a caller's rules: what they do not select is hidden.

Searches carry the rules into the engine, so pages and counts are right before paging. Single
versions, history and writes are judged in memory by `search/evaluate.py`, the meaning of the
same tree. A deletion has no content to judge, so it shows what the version before it showed.

Each method demands its action of the scopes before it touches data: read, vread and the history
of one resource `r`; search, count and other histories `s`; a commit `c`, `u` or `d` of each
change. `current` looks at what is to be written, `included` at what a search brings along.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.access.decision.binary import carried
from fhirserver.access.decision.build import EVERYTHING, all_of, any_of, negate
from fhirserver.access.decision.explain import explain
from fhirserver.access.decision.guards import lowers
from fhirserver.access.existence import bare, identity_asked
from fhirserver.access.narrow import demand, forbidden, narrow, over
from fhirserver.access.verdict import Judge
from fhirserver.errors import Forbidden, NotFound
from fhirserver.model.json import decode_stored
from fhirserver.model.version import ABSENT, ANY, Version
from fhirserver.search.entries import ReferenceEntry
from fhirserver.search.expression import All, Identity, OfType, Query
from fhirserver.storage.interface import Selects, VersionConflict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Sequence
    from typing import Any

    from fhirserver.access.caller import Mode
    from fhirserver.access.decision.rule import Step
    from fhirserver.access.rules import Rules
    from fhirserver.model.version import Change, HistorySelection, Page
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Expression
    from fhirserver.storage.interface import Store

_READ_MANY = 500  # identities asked for in one query
_MOST_COUNTED = 1_000  # versions judged one by one for a total that nobody asked for
_ACTIONS = {"POST": "c", "PUT": "u", "PATCH": "u", "DELETE": "d"}


class JudgedStore:
    """`store` for a caller who may see and write only what `rules` select.

    `judge`: shared by the requests of one caller, since it remembers verdicts.
    """

    def __init__(
        self,
        store: Store,
        rules: Rules,
        entries: Callable[[dict[str, Any]], Sequence[Entry]],
        judge: Judge | None = None,
    ) -> None:
        self.engine = self._store = store
        self._rules = rules
        self._judge = judge or Judge(store, entries)
        self.capabilities = store.capabilities

    def reaches(self, action: str, type: str) -> bool:
        return self._rules.predicate(action, type) is not None

    def demand(self, action: str, type: str) -> None:
        demand(self._rules, action, type)

    def demand_holder(self, patient: str, action: str = "") -> None:
        if action and not self._rules.gives_all(action):
            raise forbidden(action, ())
        self._rules.explains(patient)

    async def explain(
        self, patient: str, professional: str, resource: tuple[str, str], mode: Mode
    ) -> list[Step]:
        """Only of a space the caller holds or represents, and of what they see of it."""
        asking = self._rules.explains(patient)
        version = await self.read(*resource)
        if version is None or version.deleted:
            raise NotFound(f"{resource[0][:80]}/{resource[1][:80]} is not known.")
        return await explain(self._store, self._judge, asking, patient, professional, mode, version)

    async def open(self) -> None:
        raise Forbidden("The store is opened by the server alone.")

    async def close(self) -> None:
        raise Forbidden("The store is closed by the server alone.")

    async def check(self) -> list[str]:
        raise Forbidden("The store is checked by the server alone.")

    async def read(self, type: str, id: str) -> Version | None:
        return await self._read(demand(self._rules, "r", type), type, id)

    async def current(self, type: str, id: str) -> Version | None:
        return await self._read(self._rules.known(type), type, id)

    async def _read(self, predicate: Expression, type: str, id: str) -> Version | None:
        version = await self._store.read(type, id)
        return version if version and await self._shows(predicate, version) else None

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        # Both images must be permitted: an old version of a resource that has since been
        # withdrawn from this caller is as hidden as the current one.
        predicate = demand(self._rules, "r", type)
        if await self._read(predicate, type, id) is None:
            return None
        found = await self._store.vread(type, id, version)
        return found if found and await self._shows(predicate, found) else None

    async def read_many(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        return await self._many(identities, lambda type: self._rules.predicate("r", type))

    async def current_many(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        return await self._many(identities, self._rules.known)

    async def _many(
        self,
        identities: Sequence[tuple[str, str]],
        predicate_of: Callable[[str], Expression | None],
    ) -> list[Version]:
        by_type: dict[str, list[str]] = {}
        for type, id in dict.fromkeys(identities):
            by_type.setdefault(type, []).append(id)
        parts = []
        for type, ids in by_type.items():
            predicate = predicate_of(type)
            if predicate is not None:
                parts += [
                    (type, ids[start : start + _READ_MANY], predicate)
                    for start in range(0, len(ids), _READ_MANY)
                ]
        found: list[Version] = []
        while parts:
            room = _READ_MANY
            taken: list[tuple[str, list[str], Expression]] = []
            while parts and len(parts[0][1]) <= room:
                taken.append(parts.pop(0))
                room -= len(taken[-1][1])
            where = any_of(
                *(all_of(OfType((type,)), Identity(tuple(ids)), p) for type, ids, p in taken)
            )
            types = tuple(dict.fromkeys(type for type, _, _ in taken))
            found += (await self._store.search(Query(types, where, count=_READ_MANY))).versions
        return found

    async def search(self, query: Query) -> Page:
        page = await self._store.search(narrow(query, self._rules))
        asked, open_ = identity_asked(query), self._rules.by_identifier()
        if asked is None or open_ is None or not page.versions:
            return page
        seen = demand(self._rules, "s", "Patient")
        versions = [
            version
            if await self._judge.permits(seen, version)
            else bare(version, asked, await self._judge.permits(open_, version))
            for version in page.versions
        ]
        return replace(page, versions=versions)

    async def included(self, query: Query) -> Page:
        return await self._store.search(narrow(query, self._rules, "r", lenient=True))

    async def count(self, query: Query, limit: int | None = None) -> int:
        return await self._store.count(narrow(query, self._rules), limit)

    async def history(self, selection: HistorySelection) -> Page:
        # Asking only for what is still missing keeps the engine's cursor at the last version
        # given out, so the next page goes on right there.
        selection = self._permitted_history(selection)
        versions: list[Version] = []
        after = selection.after
        while True:
            missing = selection.count - len(versions)
            page = await self._store.history(replace(selection, count=missing, after=after))
            versions += [v for v in page.versions if await self._shows_past(selection, v)]
            after = page.next
            if after is None or len(versions) >= selection.count:
                return replace(page, versions=versions)

    async def history_count(self, selection: HistorySelection, limit: int | None = None) -> int:
        """With `limit` not many versions are looked at: when there are more, it is the answer."""
        selection = self._permitted_history(selection)
        total = seen = 0
        after = None
        while True:
            page = await self._store.history(replace(selection, count=500, after=after))
            for version in page.versions:
                total += await self._shows_past(selection, version)
            after = page.next
            if after is None:
                return total
            seen += len(page.versions)
            if limit is not None and seen >= min(limit, _MOST_COUNTED):
                return limit

    def _permitted_history(self, selection: HistorySelection) -> HistorySelection:
        if selection.type is not None:
            demand(self._rules, "s" if selection.id is None else "r", selection.type)
            return selection
        types, _ = over(self._rules, "s", selection.types)
        if types == ():
            raise forbidden("s", selection.types)
        return selection if types is None else replace(selection, types=types)

    async def commit(
        self,
        changes: Sequence[Change],
        selects: Sequence[Selects] = (),
        log: Sequence[bytes] = (),
    ) -> list[Version]:
        permitted, kept, skipped = await self._permit(changes)
        made: list[Version] = []
        if permitted:
            made = await self._store.commit(permitted, self._narrowed(selects), log)
        return _in_order(len(changes), kept, made, skipped)

    async def commit_many(
        self, units: Sequence[tuple[Sequence[Change], Sequence[Selects]]]
    ) -> list[list[Version] | Exception]:
        outcomes: list[list[Version] | Exception] = []
        for changes, selects in units:
            try:
                outcomes.append(await self.commit(changes, selects))
            except Exception as error:
                outcomes.append(error)
        return outcomes

    async def changes(
        self, after: int = 0, types: Collection[str] | None = None
    ) -> AsyncIterator[Version]:
        async for version in self._store.changes(after, types):
            predicate = self._rules.predicate("s", version.type)
            if predicate is not None and await self._shows_both(predicate, version):
                yield version

    async def erase(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        raise Forbidden("Only the server erases.")

    async def settled(self) -> int:
        raise Forbidden("The order of all commits is not for a caller.")

    async def newest(self, types: Sequence[str]) -> int:
        raise Forbidden("The order of all commits is not for a caller.")

    async def reindex(
        self, type: str, after: int | str | None, limit: int
    ) -> tuple[list[Version], int | str | None]:
        raise Forbidden("Reindexing needs access to every resource.")

    async def replace_entries(
        self, items: Sequence[tuple[Version, Sequence[tuple[Any, ...]]]]
    ) -> int:
        raise Forbidden("Reindexing needs access to every resource.")

    async def get_state(self, name: str) -> bytes | None:
        raise Forbidden("The server's own state is not for a caller.")

    async def set_state(self, name: str, value: bytes | None) -> None:
        raise Forbidden("The server's own state is not for a caller.")

    async def _shows(self, predicate: Expression, version: Version) -> bool:
        """Whether the caller may know of this version."""
        if not version.deleted:
            return await self._judge.permits(predicate, version)
        before = await self._before_deletion(version)
        return before is not None and await self._judge.permits(predicate, before)

    async def _before_deletion(self, version: Version) -> Version | None:
        for number in range(version.version - 1, 0, -1):
            before = await self._store.vread(version.type, version.id, number)
            if before is None or not before.deleted:
                return before
        return None

    async def _shows_past(self, selection: HistorySelection, version: Version) -> bool:
        action = "r" if selection.id is not None else "s"
        predicate = self._rules.predicate(action, version.type)
        return predicate is not None and await self._shows_both(predicate, version)

    async def _shows_both(self, predicate: Expression, version: Version) -> bool:
        if not await self._shows(predicate, version):
            return False
        current = await self._store.read(version.type, version.id)
        return current is not None and await self._shows(predicate, current)

    async def _permit(
        self, changes: Sequence[Change]
    ) -> tuple[list[Change], list[int], dict[int, Version]]:
        """The changes this caller may make, bound to the versions they were judged on.

        Binding `expect` closes the gap between judging and writing: if the before image changes
        meanwhile the engine raises VersionConflict and the interaction looks again.
        """
        for change in changes:
            if not change.server:
                demand(self._rules, _ACTIONS[change.method], change.type)
        made = {(c.type, c.id) for c in changes if c.content is not None}
        permitted: list[Change] = []
        kept: list[int] = []
        skipped: dict[int, Version] = {}
        for place, change in enumerate(changes):
            if change.server:
                permitted.append(change)
                kept.append(place)
                continue
            current = await self._store.read(change.type, change.id)
            known = self._rules.known(change.type)
            if current is not None and not await self._shows(known, current):
                if change.expect > 0:
                    raise VersionConflict(change.type, change.id, 0)
                if change.content is None:
                    skipped[place] = Version(
                        change.type, change.id, 0, 0, change.method, None
                    )  # as if there were none
                    continue
                raise NotFound(f"{change.type}/{change.id} is not known.")
            _meets(change, current)
            await self._check(change, current, made)
            expect = change.expect
            if expect == ANY:
                expect = ABSENT if current is None else current.version
            permitted.append(replace(change, expect=expect))
            kept.append(place)
        return permitted, kept, skipped

    async def _check(
        self, change: Change, current: Version | None, made: set[tuple[str, str]]
    ) -> None:
        """Judge the image before and the one after, and what the change does to it."""
        rules = self._rules
        refused = Forbidden(f"{change.type}/{change.id} may not be written like this.")
        action = _ACTIONS[change.method]
        before = None if current is None or current.deleted else current
        if before is not None and not await self._judge.permits(
            demand(rules, action, change.type), before
        ):
            raise refused
        if change.content is not None:
            wanted = [action] if before is not None or action == "c" else ["c", action]
            for each in wanted:
                if not await self._judge.permits_change(demand(rules, each, change.type), change):
                    raise refused
            await self._check_attachments(change, before, made)
        image_before = _resource(before)
        image_after = None
        if change.content is not None:
            stamped = change.content.stamp(1, "2000-01-01T00:00:00.000Z")
            image_after = decode_stored(stamped)
        if (
            before is not None
            and image_before is not None
            and image_after is not None
            and lowers(image_before, image_after)
            and not await self._judge.permits(rules.may_label(change.type), before)
        ):
            raise Forbidden("The labels of this resource are not yours to lower.")
        rules.check(change.type, image_before, image_after)

    async def _check_attachments(
        self, change: Change, before: Version | None, made: set[tuple[str, str]]
    ) -> None:
        """A document may carry only Binaries the caller sees, or that no document carries yet:
        otherwise a link would lay open what another document hides."""
        if change.type != "DocumentReference":
            return
        wanted = _attached(change.entries)
        if before is not None and wanted:
            wanted -= _attached(self._judge.entries(before))
        for identity in wanted - made:
            if not await self.may_attach(identity[1]):
                raise Forbidden(f"{identity[0]}/{identity[1]} is not yours to attach.")

    async def may_attach(self, id: str) -> bool:
        predicate = self._rules.predicate("r", "Binary")
        shown: list[Expression] = [] if predicate is None else [predicate]
        loose = negate(carried(EVERYTHING))
        query = Query(("Binary",), All((Identity((id,)), any_of(loose, *shown))), count=1)
        return await self._store.count(query, 1) > 0

    def _narrowed(self, selects: Sequence[Selects]) -> list[Selects]:
        return [s if s.server else Selects(narrow(s.query, self._rules), s.ids) for s in selects]


def _attached(entries: Sequence[Any]) -> set[tuple[str, str]]:
    return {
        (entry.type or "", entry.id or "")
        for entry in entries
        if isinstance(entry, ReferenceEntry)
        and entry.param == "attachment"
        and entry.type == "Binary"
    }


def _resource(version: Version | None) -> dict[str, Any] | None:
    return None if version is None or version.content is None else decode_stored(version.content)


def _meets(change: Change, current: Version | None) -> None:
    """Tell of a stale precondition before telling of a forbidden content."""
    at = 0 if current is None else current.version
    if change.expect == ABSENT and current is not None and not current.deleted:
        raise VersionConflict(change.type, change.id, at)
    if change.expect > 0 and change.expect != at:
        signed = -at if current is not None and current.deleted else at
        raise VersionConflict(change.type, change.id, signed)


def _in_order(
    count: int, kept: Sequence[int], made: Sequence[Version], skipped: dict[int, Version]
) -> list[Version]:
    by_place = dict(zip(kept, made, strict=True)) | skipped
    return [by_place[place] for place in range(count)]
