"""Who publishes, replaces, deletes and finds documents, when callers are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import record_samples as samples
from access_door import BASE, Door, consent
from over_http import outcome_of

from fhirserver import record
from fhirserver.access.caller import Caller, Role
from fhirserver.access.decision.settings import AccessSettings
from fhirserver.app import open_engine
from fhirserver.rest.cors import CrossOrigin
from fhirserver.rest.endpoint import Endpoint
from fhirserver.rest.origin import Origin

PATIENT = "Patient/a"
PATCH = {"content_type": "application/json-patch+json"}


class RecordDoor(Door):
    """The door with the rules of the record behind it."""

    def __init__(self, store, settings):
        super().__init__(store, settings)
        behaviours = (*self.context.behaviours, *record.service().behaviours)
        self.context = replace(self.context, behaviours=behaviours)
        self.context = replace(self.context, server=self.context)

    async def __call__(self, scope, receive, send):
        headers = dict(scope["headers"])
        name = headers.get(b"authorization", b"Test open").decode().removeprefix("Test ")
        endpoint = Endpoint(origin=Origin(BASE, (), "/fhir"), cross_origin=CrossOrigin(()))
        caller = self.callers.get(name, Caller(Role.OPEN))
        store = await self.permitted(caller)
        endpoint.context = replace(self.context, store=store, caller=caller)
        await endpoint(scope, receive, send)


@pytest.fixture
async def door(tmp_path):
    store = open_engine(f"sqlite:///{tmp_path}/door.db")
    await store.open()
    made = RecordDoor(store, AccessSettings())
    await made.put(
        {"resourceType": "Patient", "id": "a", "active": True},
        {"resourceType": "Organization", "id": "h", "name": "H"},
        {
            "resourceType": "Practitioner",
            "id": "p",
            "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810101201234"}],
        },
        {"resourceType": "Practitioner", "id": "q"},
        consent("c", "a", actor="Practitioner/p"),
        consent("cq", "a", actor="Practitioner/q"),
    )
    made.caller("A", Role.CITIZEN, fhir_user=PATIENT, patient="a", scopes="patient/*.cruds")
    for id in "pq":
        made.caller(
            id, Role.PROFESSIONAL, fhir_user=f"Practitioner/{id}", profession="10",
            patient="a", scopes="patient/*.cruds user/*.cruds",
        )  # fmt: skip
    for name in ("hospital", "other"):
        organization = "Organization/h" if name == "hospital" else "Organization/o"
        made.caller(name, Role.SYSTEM, organization=organization, scopes="system/*.cruds")
    yield made
    await made.client.aclose()
    await made.store.close()


async def publish(door, name, **more):
    answer = await door.ask(name, "POST", "DocumentReference", samples.simplified(PATIENT, **more))
    assert answer.status_code == 201, answer.text
    return answer.json()


def by(reference):
    return {"author": [{"reference": reference}]}


async def status(door, name, document, code):
    return await door.ask(
        name, "PATCH", f"DocumentReference/{document['id']}",
        [{"op": "replace", "path": "/status", "value": code}], **PATCH,
    )  # fmt: skip


async def test_a_hospital_publishes_without_reading_and_is_the_custodian(door):
    door.caller("feeds", Role.SYSTEM, organization="Organization/h", scopes="system/*.c")
    document = await publish(door, "feeds")
    assert document["custodian"] == {"reference": "Organization/h"}
    assert len(await door.ids("A", "DocumentReference?status=current")) == 1
    url = document["content"][0]["attachment"]["url"]
    fetched = await door.ask("A", "GET", url, accept="application/pdf")
    assert fetched.content == samples.PDF


async def test_a_hospital_publishes_a_set(door):
    answer = await door.ask("hospital", "POST", "", samples.whole(PATIENT))
    assert answer.status_code == 200, answer.text
    assert len(await door.ids("A", "List?code=submissionset")) == 1
    assert len(await door.ids("p", "DocumentReference")) == 1


@pytest.mark.parametrize(
    ("author", "more", "others"),
    [
        ("p", by("Practitioner/p"), ["q", "hospital", "A"]),
        ("hospital", by("Organization/h"), ["p", "other", "A"]),
        ("A", by(PATIENT), ["p", "hospital"]),
    ],
)
async def test_a_document_is_deleted_by_its_author_alone(door, author, more, others):
    document = await publish(door, author, **more)
    identity = f"DocumentReference/{document['id']}"
    for other in others:
        assert (await status(door, other, document, "entered-in-error")).status_code in (403, 404)
        answer = await door.ask(other, "DELETE", identity)
        # Who does not see it is told what is told of an unknown one.
        assert answer.status_code == (
            204 if (await door.get(other, identity)).status_code == 404 else 403
        )
    assert (await door.get("A", identity)).json()["status"] == "current"
    assert (await status(door, author, document, "entered-in-error")).status_code == 200
    second = await publish(door, author, **more)
    deleted = await door.ask(author, "DELETE", f"DocumentReference/{second['id']}")
    assert deleted.status_code == 204
    assert (await door.get("A", f"DocumentReference/{second['id']}")).status_code == 410
    url = second["content"][0]["attachment"]["url"]
    assert (await door.get("A", url)).status_code == 404


async def test_a_document_is_replaced_by_its_author_alone(door):
    old = await publish(door, "p", **by("Practitioner/p"))
    relation = samples.replaces(f"DocumentReference/{old['id']}")
    new = samples.simplified(PATIENT, relatesTo=relation, **by("Practitioner/q"))
    outcome_of(await door.ask("q", "POST", "DocumentReference", new), 403)
    assert (await door.get("A", f"DocumentReference/{old['id']}")).json()["status"] == "current"
    await publish(door, "p", relatesTo=relation, **by("Practitioner/p"))
    assert (await door.get("A", f"DocumentReference/{old['id']}")).json()["status"] == "superseded"


async def test_a_contained_author_is_known_by_national_identifier(door):
    contained = {
        "resourceType": "Practitioner",
        "id": "dr",
        "identifier": [{"system": "urn:oid:1.2.250.1.71.4.2.1", "value": "810101201234"}],
    }
    more = {"contained": [contained], **by("#dr")}
    old = await publish(door, "p", **more)
    relation = samples.replaces(f"DocumentReference/{old['id']}")
    other = samples.simplified(PATIENT, relatesTo=relation, **by("Practitioner/q"))
    outcome_of(await door.ask("q", "POST", "DocumentReference", other), 403)
    await publish(door, "p", relatesTo=relation, **more)


async def test_a_hidden_document_is_replaced_like_an_unknown_one(door):
    label = {"coding": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]}
    old = await publish(door, "A", securityLabel=[label], **by(PATIENT))
    told = []
    for id in (old["id"], "unknown"):
        relation = samples.replaces(f"DocumentReference/{id}")
        new = samples.simplified(PATIENT, relatesTo=relation, **by("Practitioner/p"))
        answer = await door.ask("p", "POST", "DocumentReference", new)
        told.append(outcome_of(answer, 422)["issue"][0]["diagnostics"].replace(id, "x"))
    assert told[0] == told[1]


async def test_the_citizen_masks_and_archives_what_others_wrote(door):
    document = await publish(door, "hospital", **by("Organization/h"))
    label = {"coding": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]}
    archived = {"url": samples.ARCHIVED, "valueBoolean": True}
    identity = f"DocumentReference/{document['id']}"
    for step in (
        {"op": "add", "path": "/securityLabel", "value": [label]},
        {"op": "add", "path": "/extension", "value": [archived]},
    ):
        answer = await door.ask("A", "PATCH", identity, [step], **PATCH)
        assert answer.status_code == 200, answer.text
    outcome_of(await status(door, "A", document, "superseded"), 403)
    assert await door.ids("p", "DocumentReference") == []


async def test_a_set_shows_no_document_that_is_hidden(door):
    """Neither shown nor counted: a SubmissionSet would tell of a masked document."""
    document = await publish(door, "hospital", **by("Organization/h"))
    for name in ("p", "A", "hospital"):
        if name != "hospital":
            assert len(await door.ids(name, "List?code=submissionset")) == 1
    label = {"coding": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]}
    step = {"op": "add", "path": "/securityLabel", "value": [label]}
    identity = f"DocumentReference/{document['id']}"
    assert (await door.ask("A", "PATCH", identity, [step], **PATCH)).status_code == 200
    (submission,) = await door.ids("A", "List")
    assert await door.ids("p", "List") == []
    assert (await door.get("p", "List?_summary=count")).json()["total"] == 0
    assert (await door.get("p", submission)).status_code == 404
    assert await door.ids("p", f"List?item={identity}") == []


async def test_a_set_shows_no_document_the_profession_does_not_read(door):
    door.caller(
        "nurse", Role.PROFESSIONAL, fhir_user="Practitioner/p", profession="60",
        patient="a", scopes="patient/*.cruds",
    )  # fmt: skip
    await publish(door, "hospital", type="68599-0", **by("Organization/h"))
    assert len(await door.ids("p", "List")) == 1
    assert await door.ids("nurse", "List") == []


async def test_what_a_citizen_adds_is_limited(door):
    large = samples.PDF + b" " * (5 * 1024 * 1024)
    body = samples.simplified(PATIENT, body=large, **by(PATIENT))
    outcome_of(await door.ask("A", "POST", "DocumentReference", body), 413)
    await publish(door, "hospital", body=large)


# --- documents that are stored as Bundles ($document?persist=true) --------------------------


def composition(author, type="60591-5", **more):
    return {
        "resourceType": "Composition",
        "status": "final",
        "type": {"coding": [{"system": "http://loinc.org", "code": type}]},
        "subject": {"reference": PATIENT},
        "date": "2026-11-20T10:00:00Z",
        "author": [{"reference": author}],
        "title": "Synthèse",
    } | more


async def stored_document(door, name, resource):
    """The Composition, and the answer that tells of the Bundle made of it."""
    made = await door.ask(name, "POST", "Composition", resource)
    assert made.status_code == 201, made.text
    url = f"Composition/{made.json()['id']}/$document?persist=true"
    answer = await door.ask(name, "POST", url)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.fixture
async def people(door):
    for name, id, profession in (("nurse", "q", "60"), ("stranger", "s", "10")):
        door.caller(
            name, Role.PROFESSIONAL, fhir_user=f"Practitioner/{id}", profession=profession,
            patient="a", scopes="patient/*.cruds",
        )  # fmt: skip
    await door.put(
        {"resourceType": "Practitioner", "id": "s"},
        {"resourceType": "Patient", "id": "b", "active": True},
        consent("ch", "a", actor="Organization/h"),
    )
    door.caller("B", Role.CITIZEN, fhir_user="Patient/b", patient="b", scopes="patient/*.cruds")
    return door


@pytest.mark.parametrize(
    ("name", "author"),
    [("p", "Practitioner/p"), ("A", PATIENT), ("hospital", "Organization/h")],
)
async def test_who_writes_for_a_patient_stores_a_document_of_theirs(people, name, author):
    answer = await stored_document(people, name, composition(author))
    stored = answer.headers["location"].split("/_history")[0]
    bundle = (await people.get("A", stored)).json()
    assert bundle == answer.json()
    identity = f"Bundle/{bundle['id']}"
    assert await people.ids("A", f"Bundle?document-subject={PATIENT}") == [identity]
    assert await people.ids("q", f"Bundle?document-author={author}") == [identity]
    # Who is not permitted by the patient, and other patients.
    for other in ("stranger", "B"):
        assert (await people.get(other, identity)).status_code == 404
        assert await people.ids(other, "Bundle") == []
    for other in {"p", "A", "q"} - {name}:
        assert (await people.ask(other, "DELETE", identity)).status_code == 403
    assert (await people.ask(name, "DELETE", identity)).status_code == 204


async def test_a_stored_document_follows_the_matrix_by_the_type_of_its_composition(people):
    kept = await stored_document(people, "p", composition("Practitioner/p", "68599-0"))
    read = await stored_document(people, "p", composition("Practitioner/p"))
    assert await people.ids("nurse", "Bundle") == [f"Bundle/{read.json()['id']}"]
    assert (await people.get("nurse", kept.headers["location"])).status_code == 404


async def test_a_stored_document_is_hidden_with_what_it_holds(people):
    label = {"system": samples.VISIBILITY, "code": "MASQUE_PS"}
    secret = {
        "resourceType": "Condition",
        "subject": {"reference": PATIENT},
        "code": {"text": "x"},
        "meta": {"security": [label]},
    }
    made = (await people.ask("A", "POST", "Condition", secret)).json()
    section = [{"title": "x", "entry": [{"reference": f"Condition/{made['id']}"}]}]
    restricted = composition(PATIENT, section=section, confidentiality="R")
    answer = await stored_document(people, "A", restricted)
    codes = [coding["code"] for coding in answer.json()["meta"]["security"]]
    assert codes == ["MASQUE_PS", "R"]
    identity = f"Bundle/{answer.json()['id']}"
    assert (await people.get("q", identity)).status_code == 404
    assert await people.ids("q", "Bundle") == []
    assert (await people.get("A", identity)).status_code == 200


async def test_a_stored_document_changes_in_nothing_but_its_labels(people):
    answer = await stored_document(people, "p", composition("Practitioner/p"))
    bundle = answer.json()
    identity = f"Bundle/{bundle['id']}"
    for name in ("p", "A"):
        forged = {**bundle, "entry": [*bundle["entry"]]}
        forged["entry"][0] = {**bundle["entry"][0], "resource": composition("Practitioner/q")}
        changed = await people.ask(name, "PUT", identity, forged)
        assert changed.status_code in (403, 405), changed.text
    masked = {**bundle, "meta": {"security": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]}}
    assert (await people.ask("A", "PUT", identity, masked)).status_code == 200
    assert (await people.get("q", identity)).status_code == 404


async def test_nobody_stores_a_document_of_somebody_else(people):
    mine = composition("Patient/b", subject={"reference": "Patient/b"})
    await people.put({**mine, "id": "of-b"})
    made = await people.ask("A", "POST", "Composition/of-b/$document?persist=true")
    assert made.status_code == 404
    for kind in ("collection", "document"):
        entry = {"fullUrl": "urn:uuid:5c4a3e6e-0000-4000-8000-000000000000", "resource": mine}
        bundle = {
            "resourceType": "Bundle",
            "type": kind,
            "timestamp": "2026-11-20T10:00:00Z",
            "identifier": samples.unique(),
            "entry": [entry],
        }
        refused = await people.ask("A", "POST", "Bundle", bundle)
        assert refused.status_code == 403, refused.text


# --- authors known by a national number alone ------------------------------------------------

RPPS, NATIONAL = "https://rpps.esante.gouv.fr", "urn:oid:1.2.250.1.71.4.2.1"
FINESS, STRUCTURE = "https://finess.esante.gouv.fr", "urn:oid:1.2.250.1.71.4.2.2"


def number(system, value):
    return {"identifier": [{"system": system, "value": value}]}


def carried_by(*contained):
    return {"contained": list(contained), **by(f"#{contained[0]['id']}")}


def person(kind, *more, **parts):
    return {
        "resourceType": kind,
        "id": kind.lower(),
        **{k: v for m in more for k, v in m.items()},
        **parts,
    }


AUTHORS = {
    "national id": ("p", carried_by(person("Practitioner", number(NATIONAL, "810101201234")))),
    "RPPS": ("p", carried_by(person("Practitioner", number(RPPS, "10101201234")))),
    "role with RPPS": ("p", carried_by(person("PractitionerRole", number(RPPS, "10101201234")))),
    "role of a contained person": (
        "p",
        carried_by(
            person("PractitionerRole", practitioner={"reference": "#practitioner"}),
            person("Practitioner", number(RPPS, "10101201234")),
        ),
    ),
    "role of a person of the directory": (
        "p",
        carried_by(person("PractitionerRole", practitioner={"reference": "Practitioner/p"})),
    ),
    "identifier of the reference": (
        "p",
        {
            "author": [
                {"type": "Practitioner", "identifier": {"system": RPPS, "value": "10101201234"}}
            ]
        },
    ),
    "ADELI": (
        "r",
        carried_by(person("Practitioner", number("https://adeli.esante.gouv.fr", "759912340"))),
    ),
    "own role": ("r", carried_by(person("PractitionerRole", number(NATIONAL, "899700218896")))),
    "FINESS": ("hospital", carried_by(person("Organization", number(FINESS, "310000096")))),
    "structure id": (
        "hospital",
        carried_by(person("Organization", number(STRUCTURE, "1310000096"))),
    ),
    "INS": ("A", carried_by(person("Patient", number(samples.TEST_INS, "279035121518989")))),
}


@pytest.fixture
async def numbered(people):
    await people.put(
        {
            "resourceType": "Patient",
            "id": "a",
            "active": True,
            **number(samples.TEST_INS, "279035121518989"),
        },
        {"resourceType": "Organization", "id": "h", "name": "H", **number(FINESS, "310000096")},
        {"resourceType": "Organization", "id": "o", **number(FINESS, "750000018")},
        {"resourceType": "Practitioner", "id": "q", **number(RPPS, "10009999999")},
        {"resourceType": "Practitioner", "id": "r", **number(NATIONAL, "0759912340")},
        {
            "resourceType": "PractitionerRole",
            "id": "rr",
            "practitioner": {"reference": "Practitioner/r"},
            **number(NATIONAL, "899700218896"),
        },
        consent("cr", "a", actor="Practitioner/r"),
    )
    people.caller(
        "r", Role.PROFESSIONAL, fhir_user="Practitioner/r", profession="10",
        patient="a", scopes="patient/*.cruds",
    )  # fmt: skip
    return people


@pytest.mark.parametrize(("author", "more"), AUTHORS.values(), ids=list(AUTHORS))
async def test_an_author_known_by_number_alone_changes_and_deletes(numbered, author, more):
    """By PATCH and PUT of status and labels, by DELETE; nobody else does."""
    door = numbered
    document = await publish(door, author, **more)
    identity = f"DocumentReference/{document['id']}"
    for other in {"p", "q", "r", "hospital", "other", "A"} - {author}:
        answer = await status(door, other, document, "entered-in-error")
        assert answer.status_code in (403, 404), (other, answer.text)
        await door.ask(other, "DELETE", identity)
    current = (await door.get(author, identity)).json()
    assert current["status"] == "current"
    label = {"coding": [{"system": samples.VISIBILITY, "code": "MASQUE_PS"}]}
    put = await door.ask(author, "PUT", identity, {**current, "securityLabel": [label]})
    assert put.status_code == 200, put.text
    # Masked, it is seen by its author still.
    assert await door.ids(author, f"DocumentReference?_id={document['id']}") == [identity]
    for other in {"p", "q", "r", "hospital"} - {author}:
        assert (await door.get(other, identity)).status_code == 404
    unmask = [{"op": "remove", "path": "/securityLabel"}]
    assert (await door.ask(author, "PATCH", identity, unmask, **PATCH)).status_code == 200
    assert (await status(door, author, document, "entered-in-error")).status_code == 200
    second = await publish(door, author, **more)
    deleted = await door.ask(author, "DELETE", f"DocumentReference/{second['id']}")
    assert deleted.status_code == 204
    assert (await door.get("A", f"DocumentReference/{second['id']}")).status_code == 410


@pytest.mark.parametrize(
    "more",
    [
        carried_by(person("Practitioner", number("urn:oid:1.2.3", "1"))),
        carried_by(person("Practitioner", number(RPPS, "810101201234"))),
        carried_by(person("Practitioner", number(NATIONAL, "010101201234"))),
        carried_by(person("Organization", number(RPPS, "10101201234"))),
        {
            "contained": [person("Practitioner", number(RPPS, "10101201234"))],
            "authenticator": {"reference": "#practitioner"},
            **by("Practitioner/q"),
        },
    ],
)  # fmt: skip
async def test_a_number_that_is_not_the_callers_makes_no_author(numbered, more):
    await numbered.put(
        {
            "resourceType": "Practitioner",
            "id": "p",
            "identifier": [
                {"system": NATIONAL, "value": "810101201234"},
                {"system": "urn:oid:1.2.3", "value": "1"},
            ],
        }
    )
    document = await publish(numbered, "p", **more)
    assert (await status(numbered, "p", document, "entered-in-error")).status_code == 403
    answer = await numbered.ask("p", "DELETE", f"DocumentReference/{document['id']}")
    assert answer.status_code == 403


async def test_what_a_citizen_adds_names_no_professional_as_author(numbered):
    door = numbered
    bare = samples.simplified(PATIENT)
    del bare["author"]
    for name, author in (("A", PATIENT), ("p", "Practitioner/p")):
        answer = await door.ask(
            name, "POST", "DocumentReference", bare | {"masterIdentifier": samples.unique()}
        )
        assert answer.status_code == 201, answer.text
        assert answer.json()["author"] == [{"reference": author}]
    for more in (
        by("Practitioner/p"),
        {"author": [{"reference": PATIENT}, {"reference": "Organization/h"}]},
        carried_by(person("Practitioner", number(RPPS, "10101201234"))),
        carried_by(person("Patient", number(samples.TEST_INS, "260058815400233"))),
        {"author": [{"identifier": {"system": RPPS, "value": "10101201234"}}]},
    ):
        refused = await door.ask(
            "A", "POST", "DocumentReference", samples.simplified(PATIENT, **more)
        )
        (issue,) = outcome_of(refused, 403)["issue"]
        assert issue["expression"][0].startswith("DocumentReference.author[")
        bundle = samples.whole(PATIENT, **more)
        outcome_of(await door.ask("A", "POST", "", bundle), 403)
    device = carried_by(
        {"resourceType": "Device", "id": "d", "deviceName": [{"name": "x", "type": "other"}]}
    )
    await publish(door, "A", **device)


async def test_a_citizen_assembles_no_document_that_a_professional_did_not_write(people):
    forged = await people.ask("A", "POST", "Composition", composition("Practitioner/p"))
    outcome_of(forged, 403)
    made = (await people.ask("p", "POST", "Composition", composition("Practitioner/p"))).json()
    url = f"Composition/{made['id']}/$document"
    assert (await people.ask("A", "POST", f"{url}?persist=true")).status_code == 200
    bundle = (await people.ask("A", "POST", url)).json()
    altered = {**bundle["entry"][0]["resource"], "title": "Another"}
    added = {
        "fullUrl": "urn:uuid:5c4a3e6e-0000-4000-8000-000000000001",
        "resource": {"resourceType": "Condition", "subject": {"reference": PATIENT}},
    }
    for entries in (
        [{**bundle["entry"][0], "resource": altered}, *bundle["entry"][1:]],
        [*bundle["entry"], added],
    ):
        outcome_of(await people.ask("A", "POST", "Bundle", {**bundle, "entry": entries}), 403)
    mine = composition(PATIENT)
    own = {**bundle, "entry": [{**bundle["entry"][0], "resource": mine}, added]}
    answer = await people.ask("A", "POST", "Bundle", own)
    assert answer.status_code == 201, answer.text
