"""Records every access in the log before its answer leaves the server.

If the record cannot be made durable, no health data is served: the caller gets 503.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import msgspec
import structlog

from fhirserver.access.audit.carried import subjects_of
from fhirserver.access.audit.record import Record, encode
from fhirserver.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fhirserver.access.audit.subject import Subjects
    from fhirserver.access.caller import Caller
    from fhirserver.model.version import Change, Version
    from fhirserver.storage.interface import Store

    #: Patients, and the labels that hide something from somebody.
    _Subjects = tuple[tuple[str, ...], tuple[str, ...]]

#: So many refused requests without a caller are recorded each second, the rest is counted: a
#: flood of them must not fill the disk.
UNKNOWN_CALLERS = 20

_NOT_RECORDED = "The access could not be recorded, so nothing is served; try again later."
_log = structlog.get_logger("fhirserver")
_INTERACTION = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
NO_BINARIES: Mapping[str, _Subjects] = MappingProxyType({})


def microseconds_now() -> int:
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Access:
    """What was asked for and what came of it.

    `interaction`: code of FHIR's restful-interaction. `request`: method and URL as sent. `id`:
    X-Request-Id. `address`: of the client. `versions`: what is about to be sent. `status`: of
    the answer. `named`: (type, id) of the resource the URL names.
    """

    interaction: str
    request: str = ""
    id: str = ""
    address: str = ""
    versions: Sequence[Version] = ()
    status: int = 200
    named: tuple[str, str] | None = None


class Audit:
    """The trail of one server process. `clock`: microseconds since 1970."""

    def __init__(
        self, store: Store, subjects: Subjects, clock: Callable[[], int] = microseconds_now
    ) -> None:
        self._store = store
        self._subjects = subjects
        self._clock = clock
        self._second = self._unknown = self._skipped = 0
        self._pending: list[bytes] = []
        self._waiting: list[asyncio.Future[None]] = []
        self._writing: asyncio.Task[None] | None = None
        self.appended = 0  # records since the process began

    async def accessed(self, caller: Caller, *accesses: Access) -> None:
        """Record what is about to be sent. Raises Unavailable: then nothing may be sent."""
        records: list[bytes] = []
        for access in accesses:
            carried = {}
            for version in access.versions:
                if version.type == "Binary":
                    found = await subjects_of(self._store, self._subjects, version)
                    carried[version.id] = found
            records += self._records(caller, access, carried)
        await self.append(records)

    async def refused(self, caller: Caller | None, access: Access) -> None:
        """Record a request that was refused or failed; `caller` None: nobody knows whose."""
        if caller is not None:
            await self.append(self._records(caller, access))
        elif (skipped := self._taken()) is not None:
            record = Record(
                self._clock(),
                access.interaction,
                access.status,
                entities=_named(access),
                request=access.request,
                id=access.id,
                address=access.address,
                skipped=skipped,
            )
            await self.append([encode(record)])

    def now(self) -> int:
        return self._clock()

    async def security(self, record: Record, *, limited: bool = False) -> None:
        """Record what the authorization server did. `limited`: of somebody unknown, of whose
        refusals some each second are recorded and the rest is counted."""
        if limited:
            skipped = self._taken()
            if skipped is None:
                return
            record = msgspec.structs.replace(record, skipped=skipped)
        await self.append([encode(record)])

    async def append(self, records: Sequence[bytes]) -> None:
        """Make records durable. Those that come while others are being written are written
        together after them."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pending += records
        self._waiting.append(done)
        if self._writing is None:
            self._writing = done.get_loop().create_task(self._write())
        await done
        self.appended += len(records)

    async def _write(self) -> None:
        try:
            await asyncio.sleep(0)  # let everyone who is ready now come along
            while self._waiting:
                records, waiting = self._pending, self._waiting
                self._pending, self._waiting = [], []
                written = await self._written(records)
                for done in waiting:
                    if done.done():  # who asked has gone
                        continue
                    if written:
                        done.set_result(None)
                    else:
                        done.set_exception(Unavailable(_NOT_RECORDED))
        finally:
            self._writing = None

    async def _written(self, records: list[bytes]) -> bool:
        try:
            await self._store.append_log(records)
        except Exception as error:
            _log.error("audit records not written", error=type(error).__name__)
            return False
        return True

    def writing(
        self, caller: Caller, changes: Sequence[Change], before: Sequence[Version | None]
    ) -> list[bytes]:
        """The records of changes about to be committed, to commit with them. `before`: the
        version that each replaces, so that the patient a resource is taken from learns of it."""
        groups: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
        for change, old in zip(changes, before, strict=True):
            patients, labels = self._subjects_of_change(change, old)
            for patient in patients or ("",):
                key = (_INTERACTION[change.method], patient, labels)
                groups.setdefault(key, []).append(f"{change.type}/{change.id}")
        now = self._clock()
        self.appended += len(groups)
        return [
            encode(
                _record(
                    now,
                    caller,
                    interaction,
                    201 if interaction == "create" else 200,
                    patient,
                    tuple(entities),
                    labels,
                )
            )
            for (interaction, patient, labels), entities in groups.items()
        ]

    def _subjects_of_change(
        self, change: Change, old: Version | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        from fhirserver.access.audit.subject import hiding_labels
        from fhirserver.model.content import resource_of

        patients: dict[str, None] = {}
        labels: set[str] = set()
        if old is not None and old.content is not None:
            found, hiding = self._subjects.of(old)
            patients.update(dict.fromkeys(found))
            labels.update(hiding)
        if change.content is not None:
            resource = resource_of(change.content)
            found = self._subjects.of_resource(change.type, resource)
            patients.update(dict.fromkeys(found))
            labels.update(hiding_labels(resource))
        elif change.type == "Patient":
            patients[change.id] = None
        return tuple(patients), tuple(sorted(labels))

    def _records(
        self, caller: Caller, access: Access, carried: Mapping[str, _Subjects] = NO_BINARIES
    ) -> list[bytes]:
        """`carried`: whose the Binaries are, by id."""
        now = self._clock()
        versions = access.versions
        if len(versions) == 1:  # a plain read: no grouping
            version = versions[0]
            patients, labels = self._subjects_of(version, carried)
            only = (f"{version.type}/{version.id}/_history/{version.version}",)
            return [
                encode(_of_access(now, caller, access, patient, only, labels))
                for patient in patients or ("",)
            ]
        groups: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        without: list[str] = []
        for version in versions:
            patients, labels = self._subjects_of(version, carried)
            entity = f"{version.type}/{version.id}/_history/{version.version}"
            for patient in patients:
                groups.setdefault((patient, labels), []).append(entity)
            if not patients:
                without.append(entity)
        if not groups:
            patient = _presumed(caller, access)
            touched = tuple(without) or _named(access)
            return [encode(_of_access(now, caller, access, patient, touched, ()))]
        return [
            encode(_of_access(now, caller, access, patient, tuple(entities), labels))
            for (patient, labels), entities in groups.items()
        ]

    def _subjects_of(self, version: Version, carried: Mapping[str, _Subjects]) -> _Subjects:
        if version.type == "Binary":
            return carried.get(version.id, ((), ()))
        return self._subjects.of(version)

    def _taken(self) -> int | None:
        """None when this second has had its share; else how many were passed over before."""
        second = self._clock() // 1_000_000
        if second != self._second:
            self._second, self._unknown = second, 0
        if self._unknown >= UNKNOWN_CALLERS:
            self._skipped += 1
            return None
        self._unknown += 1
        skipped, self._skipped = self._skipped, 0
        return skipped


def _presumed(caller: Caller, access: Access) -> str:
    """The patient of an access that touched nothing: the one the URL names, or whose record is
    open."""
    if access.named is not None and access.named[0] == "Patient":
        return access.named[1]
    if access.named is not None:
        return ""  # found out when the AuditEvent is made
    return caller.patient or ""


def _named(access: Access) -> tuple[str, ...]:
    return () if access.named is None else ("/".join(access.named),)


def _of_access(
    now: int,
    caller: Caller,
    access: Access,
    patient: str,
    entities: tuple[str, ...],
    labels: tuple[str, ...],
) -> Record:
    return Record(
        now,
        access.interaction,
        access.status,
        patient,
        entities,
        labels,
        access.request,
        access.id or caller.request,
        caller.role,
        caller.fhir_user,
        caller.client,
        caller.mode,
        caller.reason,
        caller.profession,
        caller.organization,
        caller.token,
        access.address,
    )


def _record(
    now: int,
    caller: Caller,
    interaction: str,
    status: int,
    patient: str,
    entities: tuple[str, ...],
    labels: tuple[str, ...],
) -> Record:
    return _of_access(now, caller, Access(interaction, status=status), patient, entities, labels)
