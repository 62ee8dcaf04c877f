"""What a storage engine does. Two engines implement it: `sqlite/` and `mongodb/`.

The contract suite (`tests/contract/`) runs on both; what an engine cannot do it declares in
`capabilities`, and a test checks the declaration. An engine knows nothing of FHIR beyond types,
ids and versions; search meaning arrives lowered (`search/expression.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from fhirserver.model.version import Change, HistorySelection, Page, Version
    from fhirserver.search.expression import Query


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this engine, on this server, can do.

    `transactions`: several changes can be committed all or nothing.
    `reason`: if not, why, in words for the operator and the OperationOutcome.
    """

    transactions: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Grant:
    """A named value that ends by itself: a token, a code, a session, a client registration.

    `kind` and `key` name it; where the key is a secret, it is the secret's hash. `expires`:
    microseconds since 1970 UTC. `family`, `client` and `patient` are handles to withdraw it by;
    empty when there is none.
    """

    kind: str
    key: str
    value: bytes
    expires: int
    family: str = ""
    client: str = ""
    patient: str = ""


@dataclass(frozen=True, slots=True)
class Head:
    """The last block of a chain of the log."""

    chain: str
    number: int
    hash: str


@dataclass(frozen=True, slots=True)
class Block:
    """Records of the log that became durable together: `content` is the JSON array of them.
    `number` counts from 1 in its chain; `hash` is that of `chain.link`."""

    chain: str
    number: int
    hash: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Selects:
    """A precondition: at the moment of commit `query` selects exactly the resources `ids`
    ((type, id) pairs). Conditional interactions use it, so that of many concurrent creates with
    one If-None-Exist a single one commits. Two commits with the same query wait for each other.
    `server`: one of the server's rules demands it; what the caller may see has no say in it."""

    query: Query
    ids: frozenset[tuple[str, str]]
    server: bool = False


class VersionConflict(Exception):
    """`change.expect` does not hold; `current` is the version now current (0: none; negative:
    version -n is a deletion)."""

    def __init__(self, type: str, id: str, current: int) -> None:
        super().__init__(f"{type}/{id} is at version {current}")
        self.type, self.id, self.current = type, id, current


class SelectionChanged(Exception):
    """A `Selects` precondition does not hold; look again and retry."""

    def __init__(self, precondition: Selects) -> None:
        super().__init__("the selection has changed")
        self.precondition = precondition


class TransactionsUnavailable(Exception):
    """More than one change was to be committed, and this engine cannot do that atomically."""


class InvalidCursor(Exception):
    """A paging cursor is not one that this engine gave for this query."""


class Store(Protocol):
    """A store of versioned resources. Every method may be called concurrently.

    Bounded waits: an engine that cannot answer in time raises `TimeoutError`; one whose server is
    away raises `ConnectionError`.
    """

    capabilities: Capabilities

    async def open(self) -> None:
        """Connect, create or upgrade what is needed (tables, collections, indexes), recover."""

    async def close(self) -> None:
        """Finish what was acknowledged and let go of every file, thread and connection."""

    async def check(self) -> list[str]:
        """Problems an operator should know of (missing index, version, integrity); [] when well."""

    async def read(self, type: str, id: str) -> Version | None:
        """The newest version (possibly a deletion); None if there never was one."""

    async def vread(self, type: str, id: str, version: int) -> Version | None:
        """That version (possibly a deletion); None if there is none."""

    async def read_many(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        """The newest versions of those that exist and are not deleted, in no set order."""

    async def search(self, query: Query) -> Page:
        """One page of the resources selected, in the order of `query.sort`.

        Keyset paging: with unchanged sort values each resource that was selected when the first
        page was read and still is appears on exactly one page, whatever is written meanwhile.
        Raises InvalidCursor.
        """

    async def count(self, query: Query, limit: int | None = None) -> int:
        """How many resources `query` selects (sort, count and after have no influence); counting
        may stop at `limit`."""

    async def history(self, selection: HistorySelection) -> Page:
        """Versions, newest first by commit order. Raises InvalidCursor."""

    async def history_count(self, selection: HistorySelection, limit: int | None = None) -> int:
        """How many versions the selection has in all; counting may stop at `limit`."""

    async def commit(
        self,
        changes: Sequence[Change],
        selects: Sequence[Selects] = (),
        log: Sequence[bytes] = (),
    ) -> list[Version]:
        """Write all changes or none; return the versions made, in the order of `changes`.
        The records of `log` are durable in the log when any change is.

        A deletion that changed nothing returns the version that is there (or a Version with
        version 0 if none). Durable when it returns. No (type, id) may occur twice.
        Raises VersionConflict, SelectionChanged, TransactionsUnavailable.
        """

    async def commit_many(
        self, units: Sequence[tuple[Sequence[Change], Sequence[Selects]]]
    ) -> list[list[Version] | Exception]:
        """Commit many independent units, each all or nothing, in few round trips (bulk load).
        A unit that fails yields its exception and hinders no other."""

    async def erase(self, identities: Sequence[tuple[str, str]]) -> list[Version]:
        """Delete these ((type, id) pairs) and take every version before away for good; those that
        never were are passed over. The deletions stay in their places, without content, so that
        ids are not given anew and who follows the commits is told. Interrupted, it is done again.
        """

    async def newest(self, types: Sequence[str]) -> int:
        """The place (`Version.seq`) of the newest commit of a resource of these types; 0 if there
        is none. Cheap: it is asked at each request."""

    async def settled(self) -> int:
        """The place up to which all commits are done: what is committed from now on comes later
        in the order. 0 if there is none."""

    def changes(
        self, after: int = 0, types: Collection[str] | None = None
    ) -> AsyncIterator[Version]:
        """Every committed version (of `types`) with seq > `after`, in commit order, up to now.
        Subscribers, audit, diary and exports follow the store by calling it again with the last
        seq."""

    async def reindex(
        self, type: str, after: int | str | None, limit: int
    ) -> tuple[list[Version], int | str | None]:
        """Up to `limit` current resources of a type in key order after key `after`, with the key
        to go on from (None at the end); `replace_entries` then writes their entries anew."""

    async def replace_entries(
        self,
        items: Sequence[tuple[Version, Sequence[tuple]]],  # type: ignore[type-arg]
    ) -> int:
        """Replace the index entries of each resource whose current version is still that one;
        versions and times do not change. Returns how many were replaced."""

    async def get_state(self, name: str) -> bytes | None:
        """A small named value the server keeps beside the resources (registry epoch, job)."""

    async def set_state(self, name: str, value: bytes | None) -> None:
        """Write (or with None remove) such a value, durably."""

    # The log: append-only, hash-chained (`chain.py`), one chain for each writer. What is appended
    # by many at once becomes durable together.

    async def append_log(self, records: Sequence[bytes]) -> None:
        """Append records, each a JSON object; durable when it returns. An append that failed may
        have been written all the same."""

    async def log_heads(self) -> list[Head]:
        """The last block of every chain, by chain."""

    async def read_log(self, chain: str, after: int, limit: int) -> list[Block]:
        """Up to `limit` blocks of a chain with a number > `after`, in order."""

    async def drop_log(self, chain: str, through: int) -> int:
        """Delete the blocks of a chain up to number `through`; how many there were. What follows
        them is linked to the last of them, so its hash is to be kept elsewhere."""

    # Grants. Each method is atomic, across processes too, and durable when it returns; an expired
    # grant is none.

    async def put_grant(self, grant: Grant) -> None:
        """Write it, in place of one of that kind and key."""

    async def add_grant(self, grant: Grant) -> bool:
        """Write it if there is none of that kind and key; whether it was written."""

    async def get_grant(self, kind: str, key: str) -> Grant | None:
        """One indexed read of what is stored now."""

    async def take_grant(self, kind: str, key: str) -> Grant | None:
        """Read and delete it: of many who try, one gets it."""

    async def swap_grant(self, held: Grant, new: Grant) -> bool:
        """Write `new` in place of `held` (same kind and key) if its value is unchanged."""

    async def list_grants(self, kind: str) -> list[Grant]:
        """All of a kind, by key."""

    async def drop_grants(
        self,
        *,
        kind: str = "",
        key: str = "",
        family: str = "",
        client: str = "",
        patient: str = "",
    ) -> int:
        """Delete those that all the given handles name (at least one); how many there were."""

    async def purge_grants(self) -> int:
        """Forget those that have expired."""
