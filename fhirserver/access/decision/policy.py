"""The caller's rules compiled: one expression for each action and resource type.

compartment ∧ scope ∧ role ∧ consent ∧ matrix ∧ label. Deny by default: a type, an action, a scope
or a constraint that is not understood adds nothing, and where nothing is left the answer is
Forbidden before any data is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fhirserver.access.caller import Role
from fhirserver.access.decision import (
    binary,
    citizen,
    guards,
    kept,
    listing,
    professional,
    publisher,
    shared,
    space_open,
    traces,
)
from fhirserver.access.decision.build import (
    EVERYTHING,
    NOTHING,
    all_of,
    any_of,
    negate,
)
from fhirserver.access.decision.tables import resource_types
from fhirserver.access.scopes import granted
from fhirserver.errors import FHIRError, Forbidden, NotFound
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.search.expression import Identity, Kind, Nothing, Present
from fhirserver.search.parse import criteria

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.access.decision.rights import Rights
    from fhirserver.access.decision.situation import Situation
    from fhirserver.access.scopes import Scope, Scopes
    from fhirserver.search.expression import Expression

_TREATING = (Role.PROFESSIONAL, Role.SYSTEM)
_TELLING_WHO = frozenset({"openid", "fhirUser"})
_SERVICES = frozenset({Role.SYSTEM, Role.OPERATOR, Role.PUBLISHER})


class Policy:
    """What one caller may do, until `expires` (seconds of the loop's clock) or the next epoch.

    `launch`: the caller's rights in the space of the launch patient, for patient/ scopes;
    `panel`: their rights by user/ and system/ scopes. `scopes`: what is left of the caller's.
    """

    def __init__(
        self,
        situation: Situation,
        launch: Rights | None,
        panel: Rights | None,
        scopes: Scopes | None = None,
    ) -> None:
        self.situation = situation
        self._launch = launch
        self._panel = panel
        self._scopes = granted(situation.caller.scopes) if scopes is None else scopes
        self._made: dict[tuple[str, str], Expression | None] = {}

    def predicate(self, action: str, type: str) -> Expression | None:
        """What of `type` the action may be done to; None when it is Forbidden."""
        key = (action, type)
        if key not in self._made:
            self._made[key] = self._predicate(action, type)
        return self._made[key]

    def known(self, type: str) -> Expression:
        """What the caller may know of, by any action: what is not here does not exist."""
        found = [self.predicate(action, type) for action in "rsud"]
        return any_of(*(each for each in found if each is not None))

    def by_identifier(self) -> Expression | None:
        """That a space is open, for who may ask whether it exists, to feed it."""
        rights = self._panel
        if self.situation.caller.role not in self.situation.settings.existence_by_ins:
            return None
        if rights is None or not self._reaching("s", "Patient"):
            return None
        return space_open.expression(self.situation)

    def unscoped(self, action: str, type: str) -> Expression:
        """What the rules permit whatever the scopes, for `$explain-access` and guards."""
        found = [
            self._role(action, type, rights) for rights in (self._launch, self._panel) if rights
        ]
        return any_of(*(each for each in found if each is not None))

    def may_label(self, type: str) -> Expression:
        """Resources whose labels the caller may lower: as holder, author or administrator."""
        if self.situation.caller.role not in _TREATING:
            rights = self._launch or self._panel
            app = self.situation.app is not None
            return EVERYTHING if rights is not None and rights.legal and not app else NOTHING
        found = [
            professional.trusted(self.situation, rights, type)
            for rights in (self._launch, self._panel)
            if rights is not None
        ]
        return any_of(*found)

    def explains(self, patient: str) -> Situation:
        """Who asks; the holder and legal representatives only, and no app of the catalogue."""
        rights = self._launch or self._panel
        if rights is None or not rights.legal or self.situation.app is not None:
            raise Forbidden("Only the citizen and who represents them may ask this.")
        if rights.reads.id != patient:
            raise NotFound(f"Patient/{patient} is not known.")
        return self.situation

    def gives_all(self, action: str) -> bool:
        """Whether the scopes give the action over every type of a record, without constraint."""
        return all(
            any(not scope.constraints for scope in self._reaching(action, type))
            for type in resource_types().record
        )

    def check(
        self, type: str, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
    ) -> None:
        guards.check(self.situation, type, before, after)

    def _reaching(self, action: str, type: str) -> tuple[Scope, ...]:
        return self._scopes.reaching(type, action)

    def _predicate(self, action: str, type: str) -> Expression | None:
        if type not in RESOURCE_TYPES:
            return None
        by_rights: dict[int, tuple[Rights, list[Expression]]] = {}
        for scope in self._reaching(action, type):
            rights = self._rights(scope.level)
            constraint = self._constraint(scope, type)
            if rights is None or constraint is None:
                continue
            by_rights.setdefault(id(rights), (rights, []))[1].append(constraint)
        parts: list[Expression] = []
        for rights, constraints in by_rights.values():
            permitted = self._role(action, type, rights)
            if permitted is not None:
                parts.append(all_of(permitted, any_of(*constraints)))
        if action == "r" and (themselves := self._themselves(type)) is not None:
            parts.append(themselves)
        return any_of(*parts) if parts else None

    def _themselves(self, type: str) -> Expression | None:
        """`openid fhirUser` let an app read who has signed in, by these scopes alone; one of the
        catalogue as far as its convention and the citizen's authorisation go.
        https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html"""
        caller = self.situation.caller
        user, _, id = caller.fhir_user.partition("/")
        rights = self._launch or self._panel
        if self.situation.app is not None or user != type or rights is None:
            return None
        if not _TELLING_WHO.issubset(caller.scopes):
            return None
        permitted = self._role("r", type, rights)
        return None if permitted is None else all_of(Identity((id,)), permitted)

    def _rights(self, level: str) -> Rights | None:
        """By which rights a scope of this level is used."""
        role = self.situation.caller.role
        if level == "system":
            return self._panel if role in _SERVICES else None
        if role in _SERVICES - {Role.OPERATOR}:
            return None
        return self._launch if level == "patient" else self._panel

    def _constraint(self, scope: Scope, type: str) -> Expression | None:
        """The scope's constraints as a search; None when they cannot be searched by."""
        parts: list[Expression] = []
        for name, value in scope.constraints:
            try:
                query = criteria(
                    self.situation.registry, type, urlencode({name: value}), now=self.situation.now
                )
            except FHIRError:
                return None
            parts.append(query.where)
        return all_of(*parts)

    def _role(self, action: str, type: str, rights: Rights) -> Expression | None:
        situation = self.situation
        role = situation.caller.role
        if role is Role.PUBLISHER:
            return publisher.permission(situation, action, type)
        if type == "Binary":
            return self._binary(action, rights)
        if type == "Device" and action in "rs":
            nobodys = negate(Present("patient", Kind.REFERENCE))
            shown = nobodys if role is Role.OPERATOR else all_of(nobodys, listing.visible(type))
            return any_of(shown, self._own(action, type, rights))
        if type in resource_types().shared:
            permitted = shared.permission(situation, action, type)
            if permitted is None or action not in "rs" or role is Role.OPERATOR:
                return permitted
            return all_of(permitted, listing.visible(type))
        if type in resource_types().kept:
            return kept.permission(situation, action, type)
        if role is Role.OPERATOR:
            reviewing = type == "Task" and action in "rsu"
            return listing.requests() if reviewing else None
        if type == "AuditEvent":
            return traces.visible(situation, rights) if action in "rs" else None
        return self._of_role(action, type, rights)

    def _of_role(self, action: str, type: str, rights: Rights) -> Expression | None:
        if self.situation.caller.role in _TREATING:
            return professional.permission(self.situation, rights, action, type)
        return citizen.permission(self.situation, rights, action, type)

    def _own(self, action: str, type: str, rights: Rights) -> Expression:
        if self.situation.caller.role is Role.OPERATOR:
            return NOTHING
        return self._of_role(action, type, rights) or NOTHING

    def _binary(self, action: str, rights: Rights) -> Expression | None:
        caller = self.situation.caller
        if caller.role is Role.OPERATOR or not rights.app_reaches("Binary"):
            return None
        if action == "c":
            return EVERYTHING
        documents = self.predicate(action, "DocumentReference")
        if documents is None:
            documents = self._of_role(action, "DocumentReference", rights) or NOTHING
        holder = rights.reads.id if caller.role in (Role.CITIZEN, Role.PROXY) else None
        if holder is not None and isinstance(rights.reads.selects, Nothing):
            holder = None
        if action in "rs":
            return binary.visible(documents, holder)
        return binary.visible(documents, None)
