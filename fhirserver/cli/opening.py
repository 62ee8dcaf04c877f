"""Opening the store a command works on."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from fhirserver.app import StartRefused, context_of, open_engine
from fhirserver.cli.failure import Failure
from fhirserver.conformance.registry import Registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fhirserver.interaction.context import Context
    from fhirserver.storage.interface import Store


@contextlib.asynccontextmanager
async def opened(database: str, base_url: str = "") -> AsyncIterator[tuple[Store, Context]]:
    """The store at `database`, and the context of one to whom everything is permitted, who
    searches by the store's own search parameters too. Raises Failure."""
    try:
        store = open_engine(database)
    except StartRefused as refused:
        raise Failure(str(refused)) from None
    try:
        await store.open()
    except Exception as error:
        # Whatever an engine's driver raises here, it is the database that cannot be used.
        raise Failure(
            f"The database {shown(database)} cannot be opened: {reason(error)}",
            "Check that the path or host is right, can be written to and is not in use. "
            "`fhirserver doctor` looks closer.",
        ) from error
    try:
        context = context_of(store, Registry(), base_url=base_url)
        for behaviour in context.behaviours:
            if (refresh := getattr(behaviour, "refresh", None)) is not None:
                try:
                    await refresh()
                except (TimeoutError, ConnectionError) as error:
                    raise Failure(
                        f"The database {shown(database)} does not answer: {reason(error)}"
                    ) from error
        yield store, context
    finally:
        await store.close()


def shown(database: str) -> str:
    """A database URL without its password."""
    scheme, mark, rest = database.partition("://")
    account, at, place = rest.rpartition("@")
    if at:
        return f"{scheme}{mark}{account.partition(':')[0]}:***@{place}"
    return database


def reason(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    if not text:
        return type(error).__name__
    # What a driver adds for its own developers.
    return text[0].partition(" (configured timeouts")[0].partition(", Timeout:")[0]
