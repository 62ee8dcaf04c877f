"""The permitted store: the only way to resources, bound to one caller.

Every read and write of the server goes through an instance of `PermittedStore`. It ANDs the
caller's predicate into each query before the engine pages, and judges single reads, vreads,
history and writes with the same predicate in memory. In open mode the predicate is `Everything`
and each method is the engine's own. What a caller may not see does not exist for it: every
answer about a hidden resource is the answer about an unknown one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from fhirserver.access.judged import JudgedStore
from fhirserver.access.rules import Uniform
from fhirserver.errors import Forbidden
from fhirserver.search.expression import Everything, Expression
from fhirserver.storage.interface import (
    Capabilities,
    InvalidCursor,
    SelectionChanged,
    Selects,
    Store,
    TransactionsUnavailable,
    VersionConflict,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
    from typing import Any

    from fhirserver.access.caller import Mode
    from fhirserver.access.decision.rule import Step
    from fhirserver.model.version import Change, HistorySelection, Page, Version
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Query

__all__ = [
    "Capabilities",
    "InvalidCursor",
    "PermittedStore",
    "SelectionChanged",
    "Selects",
    "Store",
    "TransactionsUnavailable",
    "VersionConflict",
]


class PermittedStore:
    """A store that shows and takes only what `predicate` selects.

    `entries` makes the index entries of a resource (`Indexer.entries`); a predicate other than
    `Everything` needs it, since single versions are then judged in memory.
    """

    __slots__ = ("_judged", "_store", "client_ids")

    def __init__(
        self,
        store: Store,
        predicate: Expression = Everything(),
        entries: Callable[[dict[str, Any]], Sequence[Entry]] | None = None,
    ) -> None:
        self._store: Store = store
        self._judged: JudgedStore | None = None
        self.client_ids = True
        if predicate != Everything():
            if entries is None:
                raise TypeError("a predicate needs `entries` to judge single versions")
            self._bind(JudgedStore(store, Uniform(predicate), entries))

    @classmethod
    def judged(cls, judged: JudgedStore, *, client_ids: bool) -> PermittedStore:
        """A store for the caller that `judged` is for. `client_ids`: PUT may create under an id
        the client chose, which tells whether a hidden resource has it."""
        made = cls(judged.engine)
        made._bind(judged)
        made.client_ids = client_ids
        return made

    def _bind(self, judged: JudgedStore) -> None:
        # The server's own part of a store (grants, log) is not for a caller.
        self._store = cast("Store", judged)
        self._judged = judged

    def reaches(self, action: str, type: str) -> bool:
        """Whether the action (c r u d s) may be done to any resource of the type."""
        return self._judged is None or self._judged.reaches(action, type)

    def demand(self, action: str, type: str) -> None:
        """Raises Forbidden where the caller's scopes and role do not give the action."""
        if self._judged is not None:
            self._judged.demand(action, type)

    @property
    def capabilities(self) -> Capabilities:
        return self._store.capabilities

    # Not `async def`: handing over the engine's awaitable costs no second coroutine.

    def read(self, type: str, id: str) -> Awaitable[Version | None]:
        return self._store.read(type, id)

    def explain(
        self, patient: str, professional: str, resource: tuple[str, str], mode: Mode
    ) -> Awaitable[list[Step]]:
        """Why `professional` could or could not see `resource`, for the citizen to know."""
        if self._judged is None:
            raise Forbidden("Only the citizen and who represents them may ask this.")
        return self._judged.explain(patient, professional, resource, mode)

    def demand_holder(self, patient: str, action: str = "") -> None:
        """Raises Forbidden or NotFound for whoever is neither the holder of this space nor
        represents them by law; with no access control everybody may. `action`: one that the
        caller's scopes have to give over everything in it."""
        if self._judged is not None:
            self._judged.demand_holder(patient, action)

    async def may_attach(self, id: str) -> bool:
        """Whether a document that the caller writes may carry this Binary."""
        return self._judged is None or await self._judged.may_attach(id)

    def current(self, type: str, id: str) -> Awaitable[Version | None]:
        """The newest version of what is to be written: known by any action, not by `r` alone."""
        if self._judged is None:
            return self._store.read(type, id)
        return self._judged.current(type, id)

    def current_many(self, identities: Sequence[tuple[str, str]]) -> Awaitable[list[Version]]:
        """Like `current`, as `read_many`."""
        if self._judged is None:
            return self._store.read_many(identities)
        return self._judged.current_many(identities)

    def included(self, query: Query) -> Awaitable[Page]:
        """A search for what goes beside matches: it needs `r`, and is empty where that lacks."""
        if self._judged is None:
            return self._store.search(query)
        return self._judged.included(query)

    def vread(self, type: str, id: str, version: int) -> Awaitable[Version | None]:
        return self._store.vread(type, id, version)

    def read_many(self, identities: Sequence[tuple[str, str]]) -> Awaitable[list[Version]]:
        return self._store.read_many(identities)

    def search(self, query: Query) -> Awaitable[Page]:
        return self._store.search(query)

    def count(self, query: Query, limit: int | None = None) -> Awaitable[int]:
        return self._store.count(query, limit)

    def history(self, selection: HistorySelection) -> Awaitable[Page]:
        return self._store.history(selection)

    def history_count(
        self, selection: HistorySelection, limit: int | None = None
    ) -> Awaitable[int]:
        return self._store.history_count(selection, limit)

    def commit(
        self,
        changes: Sequence[Change],
        selects: Sequence[Selects] = (),
        log: Sequence[bytes] = (),
    ) -> Awaitable[list[Version]]:
        if not log:
            return self._store.commit(changes, selects)
        return self._store.commit(changes, selects, log)

    def commit_many(
        self, units: Sequence[tuple[Sequence[Change], Sequence[Selects]]]
    ) -> Awaitable[list[list[Version] | Exception]]:
        return self._store.commit_many(units)

    def erase(self, identities: Sequence[tuple[str, str]]) -> Awaitable[list[Version]]:
        return self._store.erase(identities)

    def settled(self) -> Awaitable[int]:
        return self._store.settled()

    def changes(
        self, after: int = 0, types: Collection[str] | None = None
    ) -> AsyncIterator[Version]:
        return self._store.changes(after, types)

    def reindex(
        self, type: str, after: int | str | None, limit: int
    ) -> Awaitable[tuple[list[Version], int | str | None]]:
        return self._store.reindex(type, after, limit)

    def replace_entries(
        self, items: Sequence[tuple[Version, Sequence[tuple[Any, ...]]]]
    ) -> Awaitable[int]:
        return self._store.replace_entries(items)

    def get_state(self, name: str) -> Awaitable[bytes | None]:
        return self._store.get_state(name)

    def set_state(self, name: str, value: bytes | None) -> Awaitable[None]:
        return self._store.set_state(name, value)
