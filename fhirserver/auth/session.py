"""The sign-in session of a person's browser, and the pending requests tied to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fhirserver.auth import secret as handles
from fhirserver.auth.configuration import SESSION
from fhirserver.auth.identity.person import Person
from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.storage.interface import Store

KIND = "session"


class Session(msgspec.Struct, frozen=True, omit_defaults=True):
    """`signed_in`: microseconds since 1970. `online`: families of tokens that end with it."""

    person: Person
    signed_in: int
    online: tuple[str, ...] = ()


class Sessions:
    """A browser shows its session by a cookie; stored is the cookie's hash."""

    def __init__(self, store: Store, clock: Callable[[], int]) -> None:
        self._store = store
        self._clock = clock

    async def start(self, person: Person) -> str:
        """The new cookie. It is never the one the browser had before, so that nobody can have
        put it there."""
        cookie = handles.new()
        session = Session(person, self._clock())
        await self._put(handles.key_of(cookie), session)
        return cookie

    async def get(self, cookie: str) -> Session | None:
        return await self.by_key(handles.key_of(cookie)) if cookie else None

    async def by_key(self, key: str) -> Session | None:
        grant = await self._store.get_grant(KIND, key)
        return None if grant is None else msgspec.json.decode(grant.value, type=Session)

    async def note_online(self, cookie: str, session: Session, family: str) -> None:
        """Remember that the family ends with the session."""
        online = (*session.online[-99:], family)
        await self._put(handles.key_of(cookie), msgspec.structs.replace(session, online=online))

    async def end(self, cookie: str) -> None:
        """Sign out: online access ends at once."""
        grant = await self._store.take_grant(KIND, handles.key_of(cookie))
        if grant is not None:
            for family in msgspec.json.decode(grant.value, type=Session).online:
                await self._store.drop_grants(family=family)

    async def _put(self, key: str, session: Session) -> None:
        expires = session.signed_in + SESSION * 1_000_000
        await self._store.put_grant(Grant(KIND, key, msgspec.json.encode(session), expires))
