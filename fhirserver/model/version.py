"""Stored versions and changes: the values that travel between interaction, access and storage."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Version(msgspec.Struct, frozen=True, gc=False):
    """One stored version of a resource. (A Struct: a page makes twenty of them, each in a tenth
    of the time a frozen dataclass takes.)

    `content` is the resource's JSON exactly as it is served (with id and meta); None when this
    version is a deletion. `updated` is in microseconds since 1970 UTC, a whole number of
    milliseconds. `key` is the engine's own identity of the resource (order of creation), `seq`
    the place of this version in the order of all commits of the store.
    """

    type: str
    id: str
    version: int
    updated: int
    method: str  # POST, PUT, PATCH or DELETE: what made this version
    content: bytes | None
    key: int | str = 0
    seq: int = 0

    @property
    def deleted(self) -> bool:
        return self.content is None


@dataclass(frozen=True, slots=True)
class Content:
    """A resource's JSON with room for what only the commit knows.

    The stored bytes are `head + versionId + middle + lastUpdated + tail`, for instance
    `{"resourceType":"Patient","id":"1","meta":{"versionId":"` 3 `","lastUpdated":"`
    2026-11-24T06:00:00.123Z `"},"active":true}`: the engine stamps version and time itself, so
    versions are gapless and times follow the order of commits.
    """

    head: bytes
    middle: bytes
    tail: bytes

    def stamp(self, version: int, last_updated: str) -> bytes:
        return b"%b%d%b%b%b" % (self.head, version, self.middle, last_updated.encode(), self.tail)


#: `Change.expect` for "whatever is there now", and for "no current resource may be there".
ANY = -1
ABSENT = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One resource to write: `content` None deletes it.

    `entries` are the index entries of the new content (`search/entries.py`), replacing the old.
    `expect`: ANY; ABSENT (it does not exist, or is deleted); or the version number that must be
    current (0 < n; a deletion counts as a version). A deletion of what is absent or already
    deleted changes nothing and makes no version. `server`: the server itself makes it, because of
    one of its rules; what the caller may write has no say in it.
    """

    method: str
    type: str
    id: str
    content: Content | None
    entries: Sequence[tuple] = ()  # type: ignore[type-arg]
    expect: int = ANY
    server: bool = False


@dataclass(frozen=True, slots=True)
class HistorySelection:
    """Which versions a history interaction wants, newest first.

    `type` and `id` None: every one (system history), `id` None: the type's.
    `types`: when `type` is None, only these types (empty: all).
    `since`: only versions with `updated` >= this; `at`: (low, high) microseconds: only versions
    that were current at some time in [low, high). `after`: cursor of an earlier page.
    """

    type: str | None = None
    id: str | None = None
    types: tuple[str, ...] = ()
    since: int | None = None
    at: tuple[int, int] | None = None
    count: int = 20
    after: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some versions in order, and the cursor of what follows (None: nothing does).

    `seq`: of a search, the newest commit of the state it was read from, so that it shows every
    commit up to that one and none after it; 0 where the engine cannot tell.
    """

    versions: list[Version]
    next: str | None = None
    seq: int = 0
