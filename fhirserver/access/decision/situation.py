"""Who asks, when, and as whom Consents may name them: what every rule looks at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fhirserver.access.caller import Mode, Role
from fhirserver.access.decision.settings import AccessSettings
from fhirserver.access.decision.tables import Profession, matrix
from fhirserver.model.dates import microseconds

if TYPE_CHECKING:
    from datetime import datetime

    from fhirserver.access.caller import Caller
    from fhirserver.conformance.registry import Registry

    Reference = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Situation:
    """`persons`: the caller as Practitioner and as each PractitionerRole (or Patient,
    RelatedPerson); `organizations`: for whom they act in this call; `numbers`: the national
    numbers by which documents may name the caller as author, as (system, value)."""

    caller: Caller
    now: datetime
    registry: Registry
    settings: AccessSettings = field(default_factory=AccessSettings)
    persons: tuple[Reference, ...] = ()
    organizations: tuple[Reference, ...] = ()
    numbers: frozenset[tuple[str, str]] = frozenset()

    @property
    def moment(self) -> int:
        return microseconds(self.now)

    @property
    def references(self) -> tuple[Reference, ...]:
        return (*self.persons, *self.organizations)

    @property
    def authors(self) -> tuple[Reference, ...]:
        """As whom the caller may have written something."""
        return self.organizations if self.caller.role is Role.SYSTEM else self.persons

    @property
    def emergency(self) -> bool:
        return self.caller.mode is not Mode.NORMAL

    @property
    def treats(self) -> bool:
        """The caller reads by a treatment relation."""
        return self.caller.role in (Role.PROFESSIONAL, Role.SYSTEM)

    @property
    def app(self) -> str | None:
        """The Device that Consents name the calling app by, when it is one of the catalogue."""
        return self.caller.app or self.settings.apps.get(self.caller.client)

    @property
    def profession(self) -> Profession | None:
        code = self.caller.profession
        if self.caller.role is Role.SYSTEM:
            code = self.settings.system_profession
        return matrix().of(code)

    def own(self, type: str) -> str | None:
        """The id of `fhir_user` when it is of `type`."""
        found, _, id = self.caller.fhir_user.partition("/")
        return id if found == type and id else None
