"""Publishing documents: ITI-105 and ITI-65, on both engines."""

from __future__ import annotations

import asyncio
import base64
import uuid

import httpx
import pytest
import record_samples as samples
from over_http import outcome_of


@pytest.fixture
def patient(fhir):
    made = fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    return f"Patient/{made.json()['id']}"


@pytest.fixture
def transactions(server, fhir):
    """Skips where the store has no transactions."""
    rest = fhir.get("/metadata").json()["rest"][0]
    if "transaction" not in {each["code"] for each in rest.get("interaction", [])}:
        pytest.skip("this store has no transactions")


def published(fhir, resource):
    answer = fhir.post("/DocumentReference", json=resource)
    assert answer.status_code == 201, answer.text
    return answer.json()


def told(answer, status, code=None):
    (issue,) = outcome_of(answer, status)["issue"]
    assert code is None or issue["code"] == code, issue
    return issue


# --- ITI-105 ---------------------------------------------------------------------------------


def test_content_that_comes_inside_becomes_a_binary(fhir, patient):
    made = published(fhir, samples.simplified(patient))
    attachment = made["content"][0]["attachment"]
    assert "data" not in attachment
    assert attachment["size"] == len(samples.PDF)
    assert attachment["hash"] == samples.sha1(samples.PDF)
    assert made["meta"]["versionId"] == "1"
    assert fhir.get(f"/DocumentReference/{made['id']}").json() == made
    raw = fhir.get(attachment["url"], headers={"accept": "application/pdf"})
    assert raw.content == samples.PDF
    assert raw.headers["content-type"] == "application/pdf"
    binary = fhir.get(attachment["url"], headers={"accept": "application/fhir+json"}).json()
    assert binary["securityContext"] == {"reference": f"DocumentReference/{made['id']}"}


def test_the_class_follows_from_the_type(fhir, patient):
    made = published(fhir, samples.simplified(patient, type="57833-6"))
    (coding,) = made["category"][0]["coding"]
    assert (coding["system"], coding["code"]) == (samples.CLASSES, "42")


def test_a_document_published_alone_gets_a_submission_set(fhir, patient):
    made = published(fhir, samples.simplified(patient))
    found = fhir.get(
        "/List", params={"patient": patient, "code": "submissionset", "status": "current"}
    ).json()["entry"]
    (submission,) = [each["resource"] for each in found]
    items = [each["item"]["reference"] for each in submission["entry"]]
    assert items == [f"DocumentReference/{made['id']}"]
    assert submission["source"] == made["author"][0]
    found = fhir.get("/List", params={"patient": patient, "designationType": "10"}).json()
    assert len(found["entry"]) == 1


@pytest.mark.parametrize(
    ("attachment", "where"),
    [
        ({"hash": samples.sha1(b"other")}, "hash"),
        ({"size": 3}, "size"),
        ({"contentType": "image/png"}, "contentType"),
        ({"contentType": "application/x-msdownload"}, "contentType"),
        ({"data": ""}, "data"),
    ],
)
def test_wrong_size_hash_or_type_is_refused_and_nothing_stored(fhir, patient, attachment, where):
    resource = samples.simplified(patient, attachment=attachment)
    issue = told(fhir.post("/DocumentReference", json=resource), (400, 422))
    assert issue["expression"][0].endswith(where)
    assert fhir.get("/DocumentReference", params={"patient": patient}).json().get("entry") is None
    assert fhir.get("/List", params={"patient": patient}).json().get("entry") is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"type": {"coding": [{"system": "http://loinc.org", "code": "1-8"}]}}, "type"),
        ({"type": {"text": "a letter"}}, "type"),
        ({"author": []}, "author"),
        ({"status": "superseded"}, "status"),
        ({"category": [{"coding": [{"system": samples.CLASSES, "code": "03"}]}]}, "category"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(fhir, patient, change, where):
    profile = (
        "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/pdsm-simplified-publish"
    )
    resource = samples.simplified(patient, meta={"profile": [profile]}) | change
    resource = {name: value for name, value in resource.items() if value != []}
    issue = told(fhir.post("/DocumentReference", json=resource), 422)
    assert where in issue["expression"][0]


def test_a_unique_id_is_taken_once(fhir, patient):
    resource = samples.simplified(patient)
    published(fhir, resource)
    issue = told(fhir.post("/DocumentReference", json=resource), 409, "duplicate")
    assert issue["expression"] == ["DocumentReference.masterIdentifier"]
    found = fhir.get("/DocumentReference", params={"patient": patient}).json()
    assert len(found["entry"]) == 1


async def test_of_many_who_publish_under_one_unique_id_one_does(server, patient):
    resource = samples.simplified(patient)
    async with httpx.AsyncClient(base_url=server.base_url, timeout=60) as client:
        answers = await asyncio.gather(
            *(client.post("/DocumentReference", json=resource) for _ in range(20))
        )
        statuses = sorted(answer.status_code for answer in answers)
        assert statuses == [201] + [409] * 19
        found = (await client.get("/DocumentReference", params={"patient": patient})).json()
        assert len(found["entry"]) == 1


def test_a_document_replaces_an_older_one(fhir, patient):
    old = published(fhir, samples.simplified(patient))
    relation = samples.replaces(f"DocumentReference/{old['id']}")
    new = published(fhir, samples.simplified(patient, relatesTo=relation))
    assert fhir.get(f"/DocumentReference/{old['id']}").json()["status"] == "superseded"
    current = fhir.get("/DocumentReference", params={"patient": patient, "status": "current"})
    assert [each["resource"]["id"] for each in current.json()["entry"]] == [new["id"]]
    found = fhir.get(
        "/DocumentReference",
        params={"relatesto": f"DocumentReference/{old['id']}", "relation": "replaces"},
    )
    assert len(found.json()["entry"]) == 1
    again = samples.simplified(patient, relatesTo=relation)
    told(fhir.post("/DocumentReference", json=again), 409, "business-rule")


def test_a_document_replaces_none_of_another_patient_and_none_unknown(fhir, patient):
    other = fhir.post("/Patient", json={"resourceType": "Patient"}).json()["id"]
    old = published(fhir, samples.simplified(f"Patient/{other}"))
    for target in (f"DocumentReference/{old['id']}", "DocumentReference/unknown"):
        relation = samples.replaces(target)
        told(
            fhir.post("/DocumentReference", json=samples.simplified(patient, relatesTo=relation)),
            422,
        )
    assert fhir.get(f"/DocumentReference/{old['id']}").json()["status"] == "current"


async def test_of_many_who_replace_one_document_one_does(server, fhir, patient):
    old = published(fhir, samples.simplified(patient))
    relation = samples.replaces(f"DocumentReference/{old['id']}")
    async with httpx.AsyncClient(base_url=server.base_url, timeout=60) as client:
        answers = await asyncio.gather(
            *(
                client.post(
                    "/DocumentReference", json=samples.simplified(patient, relatesTo=relation)
                )
                for _ in range(8)
            )
        )
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7


@pytest.mark.parametrize("code", ["appends", "transforms", "signs"])
def test_a_document_adds_to_one_that_is_known_and_current(fhir, patient, code):
    old = published(fhir, samples.simplified(patient))
    identity = f"DocumentReference/{old['id']}"
    relation = [{"code": code, "target": {"reference": identity}}]
    new = published(fhir, samples.simplified(patient, relatesTo=relation))
    assert fhir.get(identity).json() == old
    params = {"relatesto": identity, "relation": code}
    found = fhir.get("/DocumentReference", params=params).json()["entry"]
    assert [each["resource"]["id"] for each in found] == [new["id"]]
    other = fhir.post("/Patient", json={"resourceType": "Patient", "active": True}).json()
    strange = samples.simplified(f"Patient/{other['id']}", relatesTo=relation)
    outcome_of(fhir.post("/DocumentReference", json=strange), 422)
    unknown = [{"code": code, "target": {"reference": "DocumentReference/unknown"}}]
    refused = fhir.post("/DocumentReference", json=samples.simplified(patient, relatesTo=unknown))
    (issue,) = outcome_of(refused, 422)["issue"]
    assert issue["expression"] == ["DocumentReference.relatesTo[0].target"]
    elsewhere = [{"code": code, "target": {"reference": "https://h.example/DocumentReference/1"}}]
    published(fhir, samples.simplified(patient, relatesTo=elsewhere))
    published(fhir, samples.simplified(patient, relatesTo=samples.replaces(identity)))
    late = fhir.post("/DocumentReference", json=samples.simplified(patient, relatesTo=relation))
    assert late.status_code == (201 if code == "signs" else 409), late.text


def test_documents_of_one_set_belong_together(fhir, patient, transactions):
    made, binary = samples.carried(patient)
    added, content = samples.carried(patient)
    bundle = samples.submission(patient, made, added, binaries=[binary, content])
    target = {"reference": bundle_url(bundle)}
    added["relatesTo"] = [{"code": "appends", "target": target}]
    bundle["entry"][2]["resource"] = added
    answer = fhir.post("/", json=bundle)
    assert answer.status_code == 200, answer.text


# --- ITI-65 ----------------------------------------------------------------------------------


def test_a_set_is_stored_as_a_whole(fhir, patient, transactions):
    made, binary = samples.carried(patient)
    second, image = samples.carried(
        patient, body=b"\x89PNG\r\n\x1a\n1", content_type="image/png", type="52040-3"
    )
    bundle = samples.submission(patient, made, second, binaries=[binary, image])
    answer = fhir.post("/", json=bundle)
    assert answer.status_code == 200, answer.text
    places = [each["response"]["location"] for each in answer.json()["entry"]]
    documents = [fhir.get(place).json() for place in places[1:3]]
    assert [each["category"][0]["coding"][0]["code"] for each in documents] == ["10", "31"]
    submission = fhir.get(places[0]).json()
    items = {each["item"]["reference"] for each in submission["entry"]}
    assert items == {f"DocumentReference/{each['id']}" for each in documents}
    for document, place, body in zip(
        documents, places[3:], (samples.PDF, b"\x89PNG\r\n\x1a\n1"), strict=True
    ):
        url = document["content"][0]["attachment"]["url"]
        assert f"/{url}/_history/1" in place
        assert fhir.get(url, headers={"accept": "*/*"}).content == body


def bundles_that_do_not_fit(patient, other):
    made, binary = samples.carried(patient)
    fits = samples.submission(patient, made, binaries=[binary])
    yield (
        "no document named",
        samples.submission(
            patient, made, binaries=[binary], sets={"entry": [{"item": {"reference": patient}}]}
        ),
    )
    yield (
        "no Binary",
        samples.submission(
            patient,
            made
            | {"content": [{"attachment": {"contentType": "text/plain", "url": "Binary/none"}}]},
        ),
    )
    yield (
        "a Binary of no document",
        samples.submission(
            patient, made, binaries=[binary, (f"urn:uuid:{uuid.uuid4()}", binary[1])]
        ),
    )
    yield (
        "another patient",
        samples.submission(patient, made | {"subject": {"reference": other}}, binaries=[binary]),
    )
    yield (
        "no author",
        samples.submission(
            patient, {k: v for k, v in made.items() if k != "author"}, binaries=[binary]
        ),
    )
    yield (
        "no unique id",
        samples.submission(
            patient, {k: v for k, v in made.items() if k != "masterIdentifier"}, binaries=[binary]
        ),
    )
    twice, content = samples.carried(patient, masterIdentifier=made["masterIdentifier"])
    yield (
        "one unique id twice",
        samples.submission(patient, made, twice, binaries=[binary, content]),
    )
    for name, value in (("hash", samples.sha1(b"")), ("size", 1), ("contentType", "image/png")):
        wrong, content = samples.carried(patient, attachment={name: value})
        yield name, samples.submission(patient, wrong, binaries=[content])
    wrong, content = samples.carried(patient, body=b"MZ\x00\x01")
    yield "no PDF", samples.submission(patient, wrong, binaries=[content])
    second = samples.submission(patient, made)["entry"][0]
    yield "two sets", fits | {"entry": [*fits["entry"], second]}
    for name in ("source", "subject", "date"):
        bundle = samples.submission(patient, made, binaries=[binary])
        del bundle["entry"][0]["resource"][name]
        yield f"no {name}", bundle
    folder = bundle_folder(other, bundle_url(fits))
    yield "a folder of another patient", fits | {"entry": [*fits["entry"], folder]}


def bundle_url(bundle):
    return bundle["entry"][1]["fullUrl"]


def bundle_folder(patient, url):
    folder = {
        "resourceType": "List",
        "status": "current",
        "mode": "working",
        "code": {"coding": [{"system": samples.LIST_TYPES, "code": "folder"}]},
        "subject": {"reference": patient},
        "date": "2026-11-20",
        "entry": [{"item": {"reference": url}}],
    }
    return samples.entry("List", folder)


@pytest.mark.parametrize(
    ("attachment", "code"),
    [
        ({"url": "urn:uuid:0f5c7a3e-0000-4000-8000-000000000000"}, "not-found"),
        ({"url": "Binary/unknown"}, "not-found"),
        ({"title": "nothing"}, "required"),
    ],
)
def test_a_document_whose_bytes_are_nowhere_is_refused(
    fhir, patient, transactions, attachment, code
):
    content = [{"attachment": {"contentType": "application/pdf"} | attachment}]
    profile = "https://interop.esante.gouv.fr/ig/fhir/pdsm/StructureDefinition/"
    meta = {"profile": [f"{profile}pdsm-comprehensive-document-reference"]}
    made = samples.document(patient) | {"meta": meta, "content": content}
    for answer in (
        fhir.post("/DocumentReference", json=made),
        fhir.post("/", json=samples.submission(patient, made)),
    ):
        told(answer, 422, code)
    content[0]["attachment"] = {"contentType": "application/pdf", "url": "https://h.example/1.pdf"}
    published(fhir, made | {"content": content})
    # R4 lets metadata stand alone; PDSm does not.
    bare = {"masterIdentifier": samples.unique(), "content": [{"attachment": {"title": "t"}}]}
    published(fhir, {k: v for k, v in made.items() if k != "meta"} | bare)


def test_content_inside_a_set_needs_no_set_of_its_own(fhir, patient, transactions):
    bundle = samples.submission(patient, samples.simplified(patient))
    assert fhir.post("/", json=bundle).status_code == 200
    found = fhir.get("/List", params={"patient": patient, "code": "submissionset"}).json()
    assert len(found["entry"]) == 1


def test_a_set_that_does_not_fit_together_is_refused_as_a_whole(fhir, patient, transactions):
    other = f"Patient/{fhir.post('/Patient', json={'resourceType': 'Patient'}).json()['id']}"
    for name, bundle in bundles_that_do_not_fit(patient, other):
        answer = fhir.post("/", json=bundle)
        assert answer.status_code in (409, 422), (name, answer.status_code, answer.text)
        outcome_of(answer, answer.status_code)
    for type in ("DocumentReference", "List"):
        for whose in (patient, other):
            found = fhir.get(f"/{type}", params={"patient": whose}).json()
            assert "entry" not in found, type


def test_a_set_can_bring_a_folder(fhir, patient, transactions):
    bundle = samples.whole(patient)
    bundle["entry"].append(bundle_folder(patient, bundle_url(bundle)))
    assert fhir.post("/", json=bundle).status_code == 200
    found = fhir.get("/List", params={"patient": patient, "code": "folder"}).json()
    assert len(found["entry"]) == 1


def test_a_set_replaces_with_a_patch_or_without(fhir, patient, transactions):
    for patched in (True, False):
        old = published(fhir, samples.simplified(patient))
        identity = f"DocumentReference/{old['id']}"
        made, binary = samples.carried(patient, relatesTo=samples.replaces(identity))
        more = [samples.superseding(identity)] if patched else []
        bundle = samples.submission(patient, made, binaries=[binary], more=more)
        answer = fhir.post("/", json=bundle)
        assert answer.status_code == 200, answer.text
        after = fhir.get(identity).json()
        assert (after["status"], after["meta"]["versionId"]) == ("superseded", "2")


def test_one_unique_id_is_one_set(fhir, patient, transactions):
    """XDSDuplicateUniqueIdInRegistry for SubmissionSets and folders, as for documents."""
    sole = {"identifier": [{"use": "official", **samples.unique()}]}
    usual = {"identifier": [{"use": "usual", **samples.unique()}]}

    def bundle(of_set, of_folder):
        made, binary = samples.carried(patient)
        bundle = samples.submission(patient, made, binaries=[binary], sets=of_set)
        folder = bundle_folder(patient, bundle_url(bundle))
        folder["resource"] |= of_folder
        return bundle | {"entry": [*bundle["entry"], folder]}

    # A set and a folder are different things, and an entryUUID is no unique id.
    for sets, folders, status in (
        (sole, sole, 200),
        (sole, usual, 409),
        (usual, sole, 409),
        (usual, usual, 200),
    ):
        answer = fhir.post("/", json=bundle(sets, folders))
        assert answer.status_code == status, answer.text
        if status == 409:
            (issue,) = outcome_of(answer, 409)["issue"]
            assert (issue["code"], issue["expression"]) == ("duplicate", ["List.identifier"])
    found = fhir.get("/List", params={"patient": patient, "code": "submissionset"}).json()
    assert len(found["entry"]) == 2
    twice = bundle(usual, {"identifier": [{"use": "official", **samples.unique()}]})
    twice["entry"].append(twice["entry"][-1] | {"fullUrl": f"urn:uuid:{uuid.uuid4()}"})
    outcome_of(fhir.post("/", json=twice), 409)


async def test_one_set_is_made_of_many_at_once(server, patient, transactions):
    sole = {"identifier": [{"use": "official", **samples.unique()}]}

    def bundle():
        made, binary = samples.carried(patient)
        return samples.submission(patient, made, binaries=[binary], sets=sole)

    async with httpx.AsyncClient(base_url=server.base_url, timeout=60) as client:
        answers = await asyncio.gather(*(client.post("/", json=bundle()) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 5


def test_a_set_is_refused_in_words_where_there_are_no_transactions(fhir, patient, server):
    rest = fhir.get("/metadata").json()["rest"][0]
    if "transaction" in {each["code"] for each in rest.get("interaction", [])}:
        pytest.skip("this store has transactions")
    outcome_of(fhir.post("/", json=samples.whole(patient)), (400, 501))


# --- what the rules do not bind --------------------------------------------------------------


def test_documents_that_are_none_of_the_record_are_stored_as_they_come(fhir):
    resource = {
        "resourceType": "DocumentReference",
        "status": "current",
        "masterIdentifier": {"system": "urn:ietf:rfc:3986", "value": "urn:oid:1.2.3"},
        "type": {"text": "History and Physical"},
        "content": [
            {"attachment": {"contentType": "text/plain", "data": "aGVsbG8=", "hash": "AAAA"}}
        ],
    }
    for _ in range(2):
        made = published(fhir, resource)
        assert made["content"] == resource["content"]
        assert "category" not in made


def test_a_patient_with_an_ins_makes_documents_those_of_the_record(fhir):
    identity = {"system": samples.TEST_INS, "value": "1" + uuid.uuid4().hex[:6]}
    made = fhir.post("/Patient", json={"resourceType": "Patient", "identifier": [identity]})
    if made.status_code != 201:
        pytest.skip("this identity is not taken")
    resource = {
        "resourceType": "DocumentReference",
        "status": "current",
        "type": {"text": "History and Physical"},
        "subject": {"reference": f"Patient/{made.json()['id']}"},
        "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}],
    }
    told(fhir.post("/DocumentReference", json=resource), 422, "required")


def test_base64_with_line_breaks_is_the_same_document(fhir, patient):
    resource = samples.simplified(patient)
    data = base64.encodebytes(samples.PDF).decode()
    resource["content"][0]["attachment"] |= {"data": data, "hash": samples.sha1(samples.PDF)}
    answer = fhir.post("/DocumentReference", json=resource)
    assert answer.status_code in (201, 400), answer.text  # FHIR lets base64 have white space
    if answer.status_code == 201:
        assert answer.json()["content"][0]["attachment"]["size"] == len(samples.PDF)
