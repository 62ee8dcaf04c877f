"""What every interaction is given: rooms, clock, ids and limits, before anybody is restricted."""

from __future__ import annotations

import os
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fhirserver.access.store import PermittedStore
from fhirserver.interaction.context import Context, Limits
from fhirserver.interaction.search_parameter import SearchParameterBehaviour
from fhirserver.search.expression import Everything
from fhirserver.search.index import Indexer
from fhirserver.terminology.specified import SpecifiedTerminology
from fhirserver.validation.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.conformance.registry import Registry
    from fhirserver.settings import Settings
    from fhirserver.storage.interface import Store


def limits_of(settings: Settings) -> Limits:
    return Limits(
        default_count=settings.default_count,
        max_count=settings.max_count,
        includes=settings.max_includes,
        bundle_entries=settings.max_bundle_entries,
        # Whom rules of access bind is told so anyway (`access/permit.py`); this is for the
        # CapabilityStatement, which says what callers may do.
        update_create=settings.auth == "off" or settings.access_client_ids,
        smallest_count=settings.smallest_count,
        erasure_days=settings.erasure_days,
    )


def now() -> datetime:
    return datetime.now(UTC)


def _random_ids() -> Iterator[str]:
    """UUIDs of version 4, many from one call of the system, which is most of what one costs."""
    process = os.getpid()
    while True:
        drawn = os.urandom(16 * 256)
        for start in range(0, len(drawn), 16):
            if os.getpid() != process:  # a fork does not give out its parent's again
                process = os.getpid()
                break
            yield str(uuid.UUID(bytes=drawn[start : start + 16], version=4))


_ids = _random_ids()


def new_id() -> str:
    return next(_ids)


def context_of(
    store: Store, registry: Registry, *, base_url: str = "", limits: Limits | None = None
) -> Context:
    """An open-mode context: everything is permitted."""
    permitted = PermittedStore(store, Everything())
    return Context(
        store=permitted,
        registry=registry,
        indexer=Indexer(registry, (base_url,) if base_url else ()),
        validator=Validator(),
        clock=now,
        new_id=new_id,
        base_url=base_url,
        limits=limits or Limits(),
        behaviours=(SearchParameterBehaviour(permitted, registry),),
        terminology=SpecifiedTerminology(),
    )
