"""For any caller, Consents and resources, what the rules say in memory is what an engine returns:
searches, counts, single reads and histories agree with `search/evaluate.py`."""

from __future__ import annotations

import asyncio
import os
import uuid
from datetime import UTC, datetime

import pytest
from access_door import consent, document, observation, patient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirserver.access.caller import Caller, Mode, Role
from fhirserver.access.decision.settings import AccessSettings
from fhirserver.access.permit import EPOCH, Decisions
from fhirserver.access.store import PermittedStore
from fhirserver.conformance.registry import Registry
from fhirserver.errors import Forbidden
from fhirserver.model.content import content
from fhirserver.model.version import Change
from fhirserver.search.evaluate import Candidate, Resources, matches
from fhirserver.search.expression import Query
from fhirserver.search.index import Indexer

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
REGISTRY = Registry()
INDEXER = Indexer(REGISTRY)
ACT_REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"
TYPES = ("Patient", "Observation", "DocumentReference", "Consent", "RelatedPerson", "Binary")

people = st.sampled_from(["a", "b"])
actors = st.sampled_from(
    [None, "Practitioner/x", "PractitionerRole/xr", "Organization/h", "CareTeam/t", "Device/app"]
)
periods = st.sampled_from(
    [{}, {"end": "2026-01-01"}, {"start": "2027-01-01"}, {"start": "2026-01-01", "end": "2027"}]
)
purposes = st.sampled_from([None, "TREAT", "BTG", "ETREAT", "HRESCH"])


@st.composite
def consents(draw, number):
    made = consent(
        f"c{number}",
        draw(people),
        draw(st.sampled_from(["permit", "permit", "deny"])),
        draw(actors),
        draw(st.sampled_from(["INFA", "INFA", "OPTOUT", "ICOL"])),
    )
    provision = made["provision"]
    if period := draw(periods):
        provision["period"] = period
    if purpose := draw(purposes):
        provision["purpose"] = [{"system": ACT_REASON, "code": purpose}]
    if draw(st.integers(0, 5)) == 0:
        provision["provision"] = [{"type": "deny"}]
    if draw(st.integers(0, 5)) == 0:
        provision["class"] = [
            {"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}
        ]
    return made | {"status": draw(st.sampled_from(["active", "active", "active", "inactive"]))}


@st.composite
def worlds(draw):
    labels = st.lists(
        st.sampled_from(
            ["MASQUE_PS", "INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX", "R", "V"]
        ),
        max_size=1,
    )
    found = [
        patient(
            id,
            active=draw(st.sampled_from([True, True, True, False])),
            birthDate=draw(st.sampled_from(["1980-01-01", "2015-01-01"])),
            generalPractitioner=draw(st.sampled_from([[], [{"reference": "Practitioner/x"}]]))
            or [{"reference": "Practitioner/z"}],
        )
        for id in ("a", "b")
    ]
    found += [
        {
            "resourceType": "PractitionerRole",
            "id": "xr",
            "practitioner": {"reference": "Practitioner/x"},
        },
        {
            "resourceType": "CareTeam",
            "id": "t",
            "status": draw(st.sampled_from(["active", "inactive"])),
            "participant": [{"member": {"reference": draw(actors) or "Practitioner/x"}}],
        },
        {
            "resourceType": "RelatedPerson",
            "id": "p",
            "active": draw(st.booleans()),
            "patient": {"reference": f"Patient/{draw(people)}"},
            "relationship": [
                {"coding": [{"code": code}]}
                for code in draw(
                    st.sampled_from([["GUARD"], ["MTH"], ["GUARD", "MTH"], ["CAREGIVER"], ["FRND"]])
                )
            ],
            "period": draw(periods) or {"start": "2020-01-01"},
        },
    ]
    found += [draw(consents(n)) for n in range(draw(st.integers(0, 4)))]
    for n in range(draw(st.integers(1, 5))):
        found.append(
            document(
                f"d{n}",
                draw(people),
                draw(st.sampled_from(["11488-4", "68599-0", "0-0"])),
                draw(st.sampled_from(["Practitioner/x", "Practitioner/y", "Patient/a"])),
                draw(labels),
                date=draw(st.sampled_from(["2026-11-20", "2026-01-01"])),
                content=[{"attachment": {"url": f"Binary/{draw(st.sampled_from('mn'))}"}}],
            )
        )
    for n in range(draw(st.integers(1, 4))):
        category = draw(st.sampled_from(["laboratory", "vital-signs"]))
        performer = [{"reference": draw(st.sampled_from(["Practitioner/x", "Patient/a"]))}]
        found.append(observation(f"o{n}", draw(people), category, performer=performer))
    for id in "mn":
        found.append(
            {
                "resourceType": "Binary",
                "id": id,
                "contentType": "text/plain",
                "securityContext": {"reference": f"Patient/{draw(people)}"},
            }
        )
    return found


@st.composite
def callers(draw):
    role = draw(st.sampled_from([Role.CITIZEN, Role.PROXY, Role.PROFESSIONAL, Role.SYSTEM]))
    level = "system" if role is Role.SYSTEM else draw(st.sampled_from(["patient", "user"]))
    scopes = draw(
        st.sampled_from(
            [
                (f"{level}/*.cruds",),
                (f"{level}/Observation.rs?category=laboratory", f"{level}/Patient.rs"),
                (f"{level}/DocumentReference.rs", "user/Observation.s"),
            ]
        )
    )
    users = {
        Role.CITIZEN: "Patient/a",
        Role.PROXY: "RelatedPerson/p",
        Role.PROFESSIONAL: draw(st.sampled_from(["Practitioner/x", "PractitionerRole/xr"])),
        Role.SYSTEM: "",
    }
    mode = Mode.NORMAL
    if role is Role.PROFESSIONAL:
        mode = draw(st.sampled_from([Mode.NORMAL, Mode.NORMAL, Mode.BRIS_DE_GLACE, Mode.CENTRE_15]))
    return Caller(
        role,
        client=draw(st.sampled_from(["portal", "portal", "app"])),
        fhir_user=users[role],
        patient=draw(st.sampled_from([None, "a", "b"])),
        scopes=scopes,
        profession=draw(st.sampled_from(["10", "60", "28", "GENR09"])),
        organization=draw(st.sampled_from(["", "Organization/h"])),
        mode=mode,
        reason="unconscious",
    )


async def compare(store, found, caller):
    changes = [
        Change("PUT", r["resourceType"], r["id"], content(r, r["id"]), INDEXER.entries(r))
        for r in found
    ]
    updated = []
    for result in await store.commit_many([((change,), ()) for change in changes]):
        assert not isinstance(result, Exception)
        updated.append(result[0].updated)
    decisions = Decisions(
        store, INDEXER.entries, REGISTRY, AccessSettings(apps={"app": "Device/app"})
    )
    policy, _ = await decisions.decide(caller, NOW)
    permitted = await decisions.permit(caller, NOW)
    assert isinstance(permitted, PermittedStore)
    world = Resources(
        Candidate(r["resourceType"], r["id"], updated[n], INDEXER.entries(r), n)
        for n, r in enumerate(found)
    )
    for type in TYPES:
        for action in "rs":
            predicate = policy.predicate(action, type)
            if predicate is None:
                with pytest.raises(Forbidden):
                    await (
                        permitted.search(Query((type,)))
                        if action == "s"
                        else permitted.read(type, "a")
                    )
                continue
            expected = {c.id for c in world.of_type(type) if matches(predicate, c, world)}
            if action == "s":
                page = await permitted.search(Query((type,), count=100))
                assert {v.id for v in page.versions} == expected
                assert await permitted.count(Query((type,))) == len(expected)
                continue
            read = {c.id for c in world.of_type(type) if await permitted.read(type, c.id)}
            assert read == expected
            many = await permitted.read_many([(type, c.id) for c in world.of_type(type)])
            assert {v.id for v in many} == expected
            vread = {c.id for c in world.of_type(type) if await permitted.vread(type, c.id, 1)}
            assert vread == expected


CHECKED = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@CHECKED
@given(found=worlds(), caller=callers())
def test_sqlite_shows_what_the_rules_select(found, caller, tmp_path):
    from fhirserver.storage.sqlite import SqliteStore

    async def run():
        store = SqliteStore(tmp_path / f"{uuid.uuid4().hex}.db")
        await store.open()
        try:
            await compare(store, found, caller)
        finally:
            await store.close()

    asyncio.run(run())


@CHECKED
@given(found=worlds(), caller=callers())
def test_mongodb_shows_what_the_rules_select(found, caller):
    url = os.environ.get("FHIRSERVER_TEST_MONGODB")
    if not url:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    from fhirserver.storage.mongodb import MongoStore

    async def run():
        head, _, query = url.partition("?")
        scheme, _, rest = head.partition("://")
        name = f"decision_{uuid.uuid4().hex[:12]}"
        database = f"{scheme}://{rest.partition('/')[0]}/{name}" + (f"?{query}" if query else "")
        store = MongoStore(database)
        await store.open()
        try:
            await compare(store, found, caller)
        finally:
            await store.close()

    asyncio.run(run())


@CHECKED
@given(found=worlds(), later=worlds(), asking=st.lists(callers(), min_size=2, max_size=3))
def test_a_kept_decision_is_what_would_be_decided_anew(found, later, asking, tmp_path):
    from fhirserver.storage.sqlite import SqliteStore

    apps = AccessSettings(apps={"app": "Device/app"})

    async def seen(decisions, caller):
        permitted = await decisions.permit(caller, NOW)
        shown = {}
        for type in TYPES:
            try:
                page = await permitted.search(Query((type,), count=100))
            except Forbidden:
                continue
            shown[type] = {v.id for v in page.versions}
            for id in [r["id"] for r in found if r["resourceType"] == type]:
                shown[type, id] = await permitted.current(type, id)
        return shown

    async def run():
        store = SqliteStore(tmp_path / f"{uuid.uuid4().hex}.db")
        await store.open()
        try:
            kept = Decisions(store, INDEXER.entries, REGISTRY, apps)
            for each in (found, [], later):
                for r in each:
                    change = content(r, r["id"]), INDEXER.entries(r)
                    await store.commit([Change("PUT", r["resourceType"], r["id"], *change)])
                    if r["resourceType"] not in EPOCH or each is found:
                        continue
                    for caller in asking:
                        fresh = Decisions(store, INDEXER.entries, REGISTRY, apps)
                        assert await seen(kept, caller) == await seen(fresh, caller)
        finally:
            await store.close()

    asyncio.run(run())
