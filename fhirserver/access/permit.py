"""The decision for one request: a store bound to what its caller may see and write.

What the rules say of the launch patient is asked of the store once and kept, with the compiled
expressions, until something of that patient is written that they depend on (`EPOCH`: one look at
the newest such change, at each request, in whichever process it was made), a Consent begins or
ends, or a minute has gone. So a withdrawal acts on the next request. In open mode nothing is
decided.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from fhirserver.access.caller import Role
from fhirserver.access.decision import (
    app_authorised,
    emergency_entitled,
    emergency_not_opposed,
    feeding_not_opposed,
    holder,
    professional_not_blocked,
    proxy_relationship,
    space_open,
    treatment_relation,
)
from fhirserver.access.decision.build import NOTHING, all_of, refers, truth
from fhirserver.access.decision.convention import Opened, listing_of, opened
from fhirserver.access.decision.national_numbers import numbers_of
from fhirserver.access.decision.ownership import NOBODY, People
from fhirserver.access.decision.policy import Policy
from fhirserver.access.decision.public import PublicRules
from fhirserver.access.decision.rights import Rights
from fhirserver.access.decision.settings import AccessSettings
from fhirserver.access.decision.situation import Situation
from fhirserver.access.judged import JudgedStore
from fhirserver.access.scopes import granted
from fhirserver.access.store import PermittedStore
from fhirserver.access.verdict import Judge
from fhirserver.model.dates import interval, microseconds, period
from fhirserver.model.json import decode_stored
from fhirserver.model.version import HistorySelection
from fhirserver.search.entries import ReferenceEntry
from fhirserver.search.expression import Has, Identity, Nothing, Query

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fhirserver.access.caller import Caller
    from fhirserver.conformance.registry import Registry
    from fhirserver.model.version import Version
    from fhirserver.search.entries import Entry
    from fhirserver.search.expression import Expression
    from fhirserver.storage.interface import Store

    Entries = Callable[[dict[str, Any]], Sequence[Entry]]
    Clock = Callable[[], datetime]

#: A write to one of these types may change a decision.
EPOCH = ("Consent", "RelatedPerson", "CareTeam", "Patient", "PractitionerRole", "Device")
#: Of these, changes count whoever the patient is: a Consent can name a team that has no subject.
_OF_PROFESSIONALS = frozenset({"CareTeam", "PractitionerRole"})
#: Callers whom documents may name by a national number.
_NUMBERED = frozenset({Role.CITIZEN, Role.PROFESSIONAL, Role.SYSTEM})
_KEPT = 10_000  # decisions
_TAKEN_IN = 200  # changes looked at one by one; after more of them everything is decided anew
_CONSENTS = 1000  # of one patient, looked through for when a decision ends


def permit_anyone(store: Store, entries: Entries) -> PermittedStore:
    """The store as whoever shows no token may use it: the public list of the catalogue."""
    return PermittedStore.judged(JudgedStore(store, PublicRules(), entries), client_ids=False)


async def permit(
    store: Store,
    caller: Caller,
    *,
    entries: Entries,
    registry: Registry,
    clock: Clock = lambda: datetime.now(UTC),
    settings: AccessSettings = AccessSettings(),
) -> PermittedStore:
    """The store as `caller` may use it. `entries`: all that a resource is found by."""
    if caller.role is Role.OPEN:
        return PermittedStore(store)
    decisions = _DECISIONS.get(store)
    if decisions is None or not decisions.serves(entries, registry, settings):
        decisions = _DECISIONS[store] = Decisions(store, entries, registry, settings)
    return await decisions.permit(caller, clock())


@dataclass(slots=True)
class _Kept:
    epoch: int
    until: int
    judge: Judge
    judged: JudgedStore


class Decisions:
    """Decisions on one store, kept as long as they hold."""

    def __init__(
        self, store: Store, entries: Entries, registry: Registry, settings: AccessSettings
    ) -> None:
        self._store = store
        self._entries = entries
        self._registry = registry
        self._settings = settings
        self._registry_epoch = registry.epoch
        self._epoch = -1
        self._kept: dict[tuple[object, ...], _Kept] = {}
        self._of_patient: dict[str, set[tuple[object, ...]]] = {}
        self._taking_in = asyncio.Lock()

    def serves(self, entries: Entries, registry: Registry, settings: AccessSettings) -> bool:
        # A bound method is made anew at each mention: equal, not the same.
        return (
            self._entries == entries
            and self._registry is registry
            and self._settings is settings
            and self._registry_epoch == registry.epoch
        )

    async def permit(self, caller: Caller, now: datetime) -> PermittedStore:
        key = _key(caller)
        moment = microseconds(now)
        if await self._store.newest(EPOCH) != self._epoch:
            await self._take_in()
        epoch = self._epoch
        kept = self._kept.get(key)
        if kept is None or not kept.until > moment >= 0:
            policy, until = await self.decide(caller, now)
            judge = Judge(self._store, self._entries, keeps_chains=True)
            judged = JudgedStore(self._store, policy, self._entries, judge)
            kept = _Kept(epoch, until, judge, judged)
            if epoch == self._epoch:  # else something was written while it was decided
                self._keep(key, kept, caller.patient or _own_patient(caller))
        elif kept.epoch != epoch:
            # Its chains end at the types of EPOCH, of whichever patient.
            kept.judge.forget_chains()
            kept.epoch = epoch
        return PermittedStore.judged(kept.judged, client_ids=self._settings.client_ids)

    async def decide(self, caller: Caller, now: datetime) -> tuple[Policy, int]:
        """The policy of a caller, and until when it holds if nothing is written."""
        situation = await situation_of(self._store, caller, now, self._registry, self._settings)
        patient = caller.patient
        if caller.role is Role.CITIZEN and patient is None:
            patient = situation.own("Patient")
        launch = None if patient is None else await self._launch(situation, patient)
        panel = await self._panel(situation, launch)
        opened = None
        if caller.app:
            opened = await self._opened(situation, patient)
            launch = launch and replace(launch, app_types=opened.types)
            panel = panel and replace(panel, app_types=opened.types)
        until = microseconds(now) + int(self._settings.seconds * 1_000_000)
        if launch is not None and (panel is launch or not situation.treats):
            until = await self._until(situation, patient or "")
        if opened is None:
            return Policy(situation, launch, panel), until
        return Policy(situation, launch, panel, opened.scopes), min(until, *opened.changes, until)

    def _keep(self, key: tuple[object, ...], kept: _Kept, patient: str) -> None:
        if len(self._kept) >= _KEPT:
            self._forget()
        self._kept[key] = kept
        self._of_patient.setdefault(patient, set()).add(key)

    def _forget(self) -> None:
        self._kept.clear()
        self._of_patient.clear()

    async def _take_in(self) -> None:
        """Forget the decisions that depend on what was written since the last time."""
        async with self._taking_in:
            page = await self._store.history(HistorySelection(types=EPOCH, count=_TAKEN_IN))
            newest = page.versions[0].seq if page.versions else 0
            if newest == self._epoch:
                return
            written = [version for version in page.versions if version.seq > self._epoch]
            concerned: set[str] | None = None
            if newest > self._epoch and len(written) < len(page.versions):
                concerned = await self._concerned(written)
            # From here on without a pause, so that no decision is kept or used meanwhile.
            if concerned is None:
                self._forget()
            for patient in concerned or ():
                for key in self._of_patient.pop(patient, ()):
                    self._kept.pop(key, None)
            self._epoch = newest

    async def _concerned(self, written: Sequence[Version]) -> set[str] | None:
        """The patients in whose decisions these versions had, or have, a part; None: all."""
        found: set[str] = set()
        for version in written:
            patients = await self._patients(version)
            if patients is None:
                return None
            found |= patients
        return found

    async def _patients(self, version: Version) -> set[str] | None:
        if version.type in _OF_PROFESSIONALS:
            return None
        if version.type == "Patient":
            return {version.id}
        if version.type == "Device" and await self._of_catalogue(version):
            return None
        images: list[Version | None] = [version]
        if version.version > 1:
            before = await self._store.vread(version.type, version.id, version.version - 1)
            if before is None:
                return None
            images.append(before)
        found: set[str] = set()
        for image in images:
            if image is not None and image.content is not None:
                for entry in self._entries(decode_stored(image.content)):
                    if isinstance(entry, ReferenceEntry) and entry.type == "Patient" and entry.id:
                        found.add(entry.id)
        return found

    async def _of_catalogue(self, version: Version) -> bool:
        """A Device that is, or was until this version, an app of the catalogue."""
        before = await self._store.vread(version.type, version.id, version.version - 1)
        images = [image.content for image in (version, before) if image and image.content]
        return any(listing_of(decode_stored(content)) is not None for content in images)

    async def _launch(self, situation: Situation, patient: str) -> Rights:
        """The rights in one patient's space, each verdict asked of the store."""

        async def holds(*parts: Expression) -> bool:
            return await select_patient(self._store, patient, all_of(*parts))

        def people(verdict: bool) -> People:
            return People(truth(verdict), patient)

        match situation.caller.role:
            case Role.CITIZEN:
                own, open_ = await asyncio.gather(
                    holds(holder.expression(situation)), holds(space_open.expression(situation))
                )
                reads, feeds = own, own and open_
                rights = Rights(people(reads), people(feeds), legal=own)
            case Role.PROXY:
                open_ = await holds(space_open.expression(situation))
                legal = await holds(proxy_relationship.legal(situation))
                acts = open_ and (legal or await holds(proxy_relationship.caring(situation)))
                rights = Rights(people(legal or acts), people(acts), legal=legal)
            case Role.PROFESSIONAL:
                rights = Rights(
                    people(await holds(*reading(situation))),
                    people(await holds(*feeding(situation))),
                    people(await holds(administering(situation))),
                )
            case _:
                rights = Rights()
        if situation.app is None or situation.caller.app:
            return rights
        return replace(rights, app_types=await self._app_types(situation, patient))

    async def _panel(self, situation: Situation, launch: Rights | None) -> Rights | None:
        """The rights beyond one patient, for user/ and system/ scopes."""
        role = situation.caller.role
        if role in (Role.CITIZEN, Role.PROXY) or situation.emergency:
            return launch
        if role in (Role.OPERATOR, Role.PUBLISHER):
            return Rights()
        reads = NOTHING if situation.app else all_of(*reading(situation))
        return Rights(
            People(reads),
            People(all_of(*feeding(situation))),
            People(administering(situation))
            if situation.caller.role is not Role.SYSTEM
            else NOBODY,
            app_types=frozenset() if situation.app else None,
        )

    async def _opened(self, situation: Situation, patient: str | None) -> Opened:
        """What an app of the catalogue may do in this space."""
        type, _, id = situation.caller.app.partition("/")
        version = await self._store.read(type, id) if type == "Device" else None
        if version is None or version.content is None:
            return Opened()
        place = listing_of(decode_stored(version.content))
        consents = [] if patient is None else await self._consents(situation, patient)
        asked = granted(situation.caller.scopes)
        return opened(place, consents, asked, situation.moment)

    async def _app_types(self, situation: Situation, patient: str) -> frozenset[str]:
        """The types that the patient has authorised the app for."""
        found: set[str] = set()
        for consent in await self._consents(situation, patient):
            classes = [c.get("code", "") for c in consent.get("provision", {}).get("class", [])]
            found.update(classes or ("*",))
        return frozenset(found)

    async def _consents(self, situation: Situation, patient: str) -> list[dict[str, Any]]:
        """The Consents in force by which the patient has authorised the app."""
        since = await self._of_age_since(situation, patient)
        authorised = app_authorised.expression(situation, None, since)
        if not isinstance(authorised, Has):
            return []
        where = all_of(refers("patient", (("Patient", patient),)), authorised.source)
        page = await self._store.search(Query(("Consent",), where, count=_CONSENTS))
        return [decode_stored(version.content or b"{}") for version in page.versions]

    async def _of_age_since(self, situation: Situation, patient: str) -> datetime | None:
        """When the patient came of age; None while under age."""
        version = await self._store.read("Patient", patient)
        birth = decode_stored((version and version.content) or b"{}").get("birthDate")
        if not isinstance(birth, str):
            return None
        try:
            low, _ = interval(birth)
        except ValueError:
            return None
        born = datetime.fromtimestamp(low / 1_000_000, UTC)
        of_age = proxy_relationship.years_before(born, -situation.settings.majority)
        return of_age if of_age <= situation.now else None

    async def _until(self, situation: Situation, patient: str) -> int:
        """The next instant at which a Consent or a proxy's time begins or ends."""
        moment = situation.moment
        until = moment + int(self._settings.longest_seconds * 1_000_000)
        for type in ("Consent", "RelatedPerson"):
            where = refers("patient", (("Patient", patient),))
            page = await self._store.search(Query((type,), where, count=_CONSENTS))
            for version in page.versions:
                resource = decode_stored(version.content or b"{}")
                span = resource if type == "RelatedPerson" else resource.get("provision", {})
                bounds = period(span.get("period") or {}) or ()
                until = min([until, *(bound for bound in bounds if bound > moment)])
            if page.next is not None:
                return min(until, moment + int(self._settings.seconds * 1_000_000))
        return until


def reading(situation: Situation) -> tuple[Expression, ...]:
    """What must hold of a patient for a professional or a service to read their data, in the
    order of the rules."""
    rules = (
        space_open.RULE,
        professional_not_blocked.RULE,
        emergency_entitled.RULE,
        emergency_not_opposed.RULE,
        treatment_relation.RULE,
    )
    return tuple(rule.expression(situation) for rule in rules if rule.applies(situation))


def feeding(situation: Situation) -> tuple[Expression, ...]:
    return space_open.expression(situation), feeding_not_opposed.expression(situation)


def administering(situation: Situation) -> Expression:
    """Patients who have chosen the caller as general practitioner, and have not blocked them."""
    return all_of(
        space_open.expression(situation),
        refers("general-practitioner", situation.persons),
        professional_not_blocked.expression(situation),
    )


async def select_patient(store: Store, id: str, expression: Expression) -> bool:
    """Whether `expression` selects the Patient `id`."""
    if isinstance(expression, Nothing):
        return False
    query = Query(("Patient",), all_of(Identity((id,)), expression))
    return await store.count(query, 1) > 0


async def situation_of(
    store: Store, caller: Caller, now: datetime, registry: Registry, settings: AccessSettings
) -> Situation:
    """Who the caller is to the rules: a professional is a Practitioner and all their roles."""
    type, _, id = caller.fhir_user.partition("/")
    persons = [(type, id)] if type and id else []
    organizations = []
    if caller.organization.startswith("Organization/"):
        organizations.append(("Organization", caller.organization.partition("/")[2]))
    if caller.role is Role.PROFESSIONAL and persons:
        persons += await _roles(store, type, id)
    if caller.role is Role.SYSTEM:
        persons = []
    mine = organizations if caller.role is Role.SYSTEM else persons
    numbers = await _numbers(store, mine) if caller.role in _NUMBERED else frozenset()
    return Situation(caller, now, registry, settings, tuple(persons), tuple(organizations), numbers)


async def _numbers(store: Store, identities: list[tuple[str, str]]) -> frozenset[tuple[str, str]]:
    found: frozenset[tuple[str, str]] = frozenset()
    if identities:
        for version in await store.read_many(identities):
            if version.content is not None:
                found |= numbers_of(decode_stored(version.content))
    return found


async def _roles(store: Store, type: str, id: str) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    if type == "PractitionerRole":
        role = await store.read(type, id)
        content = decode_stored((role and role.content) or b"{}")
        type, _, id = str(content.get("practitioner", {}).get("reference", "")).partition("/")
        found.append((type, id))
    if type != "Practitioner" or not id:
        return [each for each in found if all(each)]
    where = refers("practitioner", (("Practitioner", id),))
    page = await store.search(Query(("PractitionerRole",), where, count=100))
    found += [("PractitionerRole", version.id) for version in page.versions]
    return found


def _own_patient(caller: Caller) -> str:
    """The patient a citizen is; empty for others."""
    type, _, id = caller.fhir_user.partition("/")
    return id if type == "Patient" else ""


def _key(caller: Caller) -> tuple[object, ...]:
    """All of a caller that a decision depends on."""
    return (
        caller.role,
        caller.client,
        caller.fhir_user,
        caller.patient,
        caller.scopes,
        caller.profession,
        caller.organization,
        caller.mode,
        caller.app,
        bool(caller.reason.strip()),
    )


_DECISIONS: WeakKeyDictionary[Any, Decisions] = WeakKeyDictionary()

__all__ = ["EPOCH", "AccessSettings", "Decisions", "permit", "permit_anyone", "situation_of"]
