"""What every interaction is given, and what every writing interaction gives back.

Nothing here is global: the clock, the source of ids and the caller's store come with the call, so
a test or a service can replace each of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fhirserver.access.caller import OPEN
from fhirserver.access.decision.settings import AccessSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from fhirserver.access.audit.trail import Audit
    from fhirserver.access.caller import Caller
    from fhirserver.access.store import PermittedStore, Selects
    from fhirserver.conformance.registry import Registry
    from fhirserver.errors import Issue
    from fhirserver.model.version import Version
    from fhirserver.search.index import Indexer
    from fhirserver.search.lower import Terminology

#: A resource as decoded JSON.
Resource = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one request may ask for; the app fills it from its settings."""

    default_count: int = 20
    max_count: int = 1000
    includes: int = 1000  # included resources on one page
    include_rounds: int = 10  # depth of :iterate
    bundle_entries: int = 10_000
    history_total: int = 10_000  # a page of more versions than this has no total
    estimate: int = 10_000  # _total=estimate counts no further than this
    attempts: int = 20  # optimistic retries before Conflict
    conditional_delete_multiple: bool = True
    conditional_delete_max: int = 1000
    update_create: bool = True  # PUT may create with the client's id
    smallest_count: int = 10  # statistics show no smaller number
    erasure_days: int = 0  # in which one may still take back that a space be erased


class Validates(Protocol):
    """The part of `validation` an interaction needs."""

    def check(self, resource: Resource) -> Any:
        """Raise Invalid when the resource has an error; warnings, if any, are returned."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A change in the making: what a behaviour sees before it becomes a `Change`.

    `resource` is None for a deletion. `expect` and `server` are those of `Change`: a behaviour
    that adds a draft of its own, which the caller could not write, sets `server`. `selects`: what
    must hold when it is committed, besides the preconditions of the interaction.
    """

    method: str
    type: str
    id: str
    resource: Resource | None
    expect: int
    server: bool = False
    selects: tuple[Selects, ...] = ()


class Behaviour(Protocol):
    """Something that listens to writes; `app` lists the behaviours, interactions call them.

    `types`: the resource types it cares for; empty means every type.
    """

    types: frozenset[str]

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        """Refuse by raising, or return what is to be written: the drafts given, in their order,
        each as it was or changed, and any further drafts after them. Called again when a
        write is tried again, so it must have no effect of its own."""

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        """Told of what is committed, in this process, before the caller gets the answer."""


@dataclass(frozen=True, slots=True)
class Context:
    """The caller's view of the server."""

    store: PermittedStore
    registry: Registry
    indexer: Indexer
    validator: Validates
    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    base_url: str = ""
    limits: Limits = field(default_factory=Limits)
    behaviours: tuple[Behaviour, ...] = ()
    terminology: Terminology | None = None
    caller: Caller = OPEN
    audit: Audit | None = None  # None: nothing is recorded (--auth off)
    access: AccessSettings = field(default_factory=AccessSettings)  # as the operator settled them
    server: Context | None = None  # the server's own view, which sees all; None: this one is it

    @property
    def as_server(self) -> Context:
        """For what a rule must look at or write though the caller may not. What it finds is
        never shown to the caller."""
        return self.server or self

    @property
    def local_bases(self) -> tuple[str, ...]:
        """The URLs under which absolute references mean this server."""
        return (self.base_url,) if self.base_url else ()


Result = Literal["created", "updated", "unchanged", "found", "deleted"]


@dataclass(frozen=True, slots=True)
class Written:
    """What a write came to. `found`: If-None-Exist met an existing resource, nothing was made;
    `unchanged`: there was nothing to delete."""

    result: Result
    version: Version
    issues: tuple[Issue, ...] = ()
