"""What a caller may not see is answered, in every interaction, byte for byte like what never was:
the real application with `--auth smart`, on both engines."""

import json
import os
import re
import uuid

import pytest
from access_door import binary, choice, consent, document, observation, patient
from over_http import database_in
from token_door import close_door, open_door

X = {"fhir_user": "Practitioner/x", "profession": "10"}
#: (type, hidden id, unknown id of the same length)
HIDDEN = {
    "of-another": ("Observation", "obs-hidden", "obs-unseen"),
    "patient": ("Patient", "pat-hidden", "pat-unseen"),
    "masked": ("DocumentReference", "doc-hidden", "doc-unseen"),
    "binary": ("Binary", "bin-hidden", "bin-unseen"),
    "deleted": ("Observation", "del-hidden", "del-unseen"),
    "consent": ("Consent", "con-hidden", "con-unseen"),
    "message": ("Communication", "com-hidden", "com-unseen"),
    "task": ("Task", "tsk-hidden", "tsk-unseen"),
}
SUBJECT = {
    "Observation": "subject",
    "DocumentReference": "subject",
    "Consent": "patient",
    "Communication": "subject",
    "Task": "patient",
}
BTG = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"}


def communication(id, whose):
    return {
        "resourceType": "Communication",
        "id": id,
        "status": "completed",
        "subject": {"reference": f"Patient/{whose}"},
    }


def task(id, whose):
    return {
        "resourceType": "Task",
        "id": id,
        "status": "requested",
        "intent": "order",
        "for": {"reference": f"Patient/{whose}"},
    }


@pytest.fixture(params=["sqlite", "mongodb"])
async def door(request, tmp_path):
    if request.param == "sqlite":
        database = f"sqlite:///{tmp_path}/hidden.db"
    elif url := os.environ.get("FHIRSERVER_TEST_MONGODB"):
        database = database_in(url, f"hidden_{uuid.uuid4().hex[:12]}")
    else:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    made, lifespan = await open_door(database)
    masked = document("doc-hidden", "pat-hidden", labels=["MASQUE_PS"])
    masked["content"] = [{"attachment": {"url": "Binary/bin-hidden"}}]
    await made.put(
        {"resourceType": "Practitioner", "id": "x"},
        {"resourceType": "Organization", "id": "h"},
        patient("a", birthDate="1980-01-01"),
        patient("pat-hidden", birthDate="1980-01-01"),
        observation("own", "a"),
        observation("obs-hidden", "pat-hidden"),
        observation("del-hidden", "pat-hidden"),
        masked,
        binary("bin-hidden"),
        consent("con-hidden", "pat-hidden", "deny", purpose=[BTG]),
        communication("com-hidden", "pat-hidden"),
        task("tsk-hidden", "pat-hidden"),
        consent("team", "a", actor="Practitioner/x"),
        consent("team-h", "a", actor="Organization/h"),
        choice("choice-carer") | {"id": "carer", "patient": {"reference": "Patient/a"}},
    )
    await made.delete("Observation", "del-hidden")
    await made.give("citizen", "citizen", fhir_user="Patient/a", patient="a")
    await made.give("professional", "professional", **X)
    await made.give("launched", "professional", **X, patient="a")
    await made.give("service", "system", "system/*.cruds", organization="Organization/h")
    await made.give("carer", "proxy", fhir_user="RelatedPerson/carer", patient="a")
    yield made
    await close_door(made, lifespan)


CALLERS = ["citizen", "professional", "launched", "service", "carer"]
JSON_PATCH = "application/json-patch+json"
FORM = "application/x-www-form-urlencoded"


def image(type, id):
    """A resource a caller might send in its place, of their own space."""
    made = {
        "Patient": lambda: patient(id),
        "Observation": lambda: observation(id, "a"),
        "DocumentReference": lambda: document(id, "a", content=[{"attachment": {"data": "dA=="}}]),
        "Binary": lambda: binary(id),
        "Consent": lambda: consent(id, "a", actor="Practitioner/y"),
        "Communication": lambda: communication(id, "a"),
        "Task": lambda: task(id, "a"),
    }
    return made[type]()


def requests(type, id, transactions):
    """(method, url, body, headers) of each interaction that names the instance."""
    body = image(type, id)
    new = {key: value for key, value in body.items() if key != "id"}
    patch = [{"op": "add", "path": "/language", "value": "fr"}]
    fhirpath = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "add"},
                    {"name": "path", "valueString": type},
                    {"name": "name", "valueString": "language"},
                    {"name": "value", "valueCode": "fr"},
                ],
            }
        ],
    }
    tag = {"system": "http://x.example", "code": "t"}
    meta = {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"tag": [tag]}}],
    }
    validate = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "resource", "resource": body},
            {"name": "mode", "valueCode": "update"},
        ],
    }
    url = f"{type}/{id}"
    plain = {}
    yield from (
        ("GET", url, None, plain),
        ("HEAD", url, None, plain),
        ("GET", f"{url}?_summary=true", None, plain),
        ("GET", f"{url}?_elements=id", None, plain),
        ("GET", f"{url}?_format=xml", None, plain),
        ("GET", url, None, {"if_none_match": 'W/"1"'}),
        ("GET", url, None, {"if_modified_since": "Tue, 24 Nov 2026 10:00:00 GMT"}),
        ("GET", url, None, {"accept": "text/html"}),
        ("GET", f"{url}/_history", None, plain),
        ("GET", f"{url}/_history/1", None, plain),
        ("GET", f"{url}/_history/2", None, plain),
        ("GET", f"{type}?_id={id}", None, plain),
        ("GET", f"{type}?_id={id}&_summary=count", None, plain),
        ("GET", f"{type}?_id={id}&_total=accurate", None, plain),
        ("GET", f"{type}?_id={id}&_include=*&_revinclude=*", None, plain),
        ("GET", f"{type}?_id={id},own&_sort=_lastUpdated", None, plain),
        ("GET", f"?_type={type}&_id={id}", None, plain),
        ("GET", f"{type}/_history?_id={id}", None, plain),
        ("PUT", url, body, plain),
        ("PUT", url, body, {"if_match": 'W/"1"'}),
        ("PUT", url, body, {"if_match": 'W/"7"'}),
        ("PUT", url, body, {"if_none_match": "*"}),
        ("PATCH", url, patch, {"content_type": JSON_PATCH}),
        ("PATCH", url, patch, {"content_type": JSON_PATCH, "if_match": 'W/"1"'}),
        ("PATCH", url, fhirpath, plain),
        ("DELETE", url, None, {"if_match": 'W/"1"'}),
        ("DELETE", url, None, plain),
        ("PUT", f"{type}?_id={id}", new, plain),
        ("PATCH", f"{type}?_id={id}", patch, {"content_type": JSON_PATCH}),
        ("DELETE", f"{type}?_id={id}", None, plain),
        ("GET", f"{url}/$meta", None, plain),
        ("POST", f"{url}/$meta-add", meta, plain),
        ("POST", f"{url}/$meta-delete", meta, plain),
        ("POST", f"{url}/$validate", validate, plain),
        ("GET", f"{url}/$validate?mode=delete", None, plain),
        (
            "POST",
            f"{type}/_search",
            f"_id={id}",
            {"content_type": "application/x-www-form-urlencoded"},
        ),
    )
    entries = [
        {"request": {"method": "GET", "url": url}},
        {"request": {"method": "GET", "url": f"{type}?_id={id}"}},
        {"request": {"method": "PUT", "url": url, "ifMatch": 'W/"1"'}, "resource": body},
        {"request": {"method": "DELETE", "url": url}},
    ]
    for entry in entries:
        for kind in ("batch", "transaction") if transactions else ("batch",):
            yield "POST", "", {"resourceType": "Bundle", "type": kind, "entry": [entry]}, plain
    if type in SUBJECT:
        linked = observation("n", "a", focus=[{"reference": url}])
        linked.pop("id")
        conditional = json.loads(json.dumps(linked).replace(url, f"{type}?_id={id}"))
        for resource in (linked, conditional):
            entry = {
                "request": {"method": "POST", "url": "Observation", "ifNoneExist": "status=none"},
                "resource": resource,
            }
            if resource is conditional and transactions:
                yield (
                    "POST", "", {"resourceType": "Bundle", "type": "transaction", "entry": [entry]},
                    plain,
                )  # fmt: skip
        yield "GET", f"Patient?_has:{type}:{SUBJECT[type]}:_id={id}", None, plain
        yield "GET", f"Observation?focus:{type}._id={id}", None, plain
    if type == "Patient":
        yield from (
            ("GET", f"{url}/$everything", None, plain),
            ("GET", f"{url}/Observation", None, plain),
            ("GET", f"{url}/*?_type=Patient,Observation,Group", None, plain),
            ("GET", f"{url}/*?_type=Observation,Group&_total=accurate&_sort=_id", None, plain),
            ("GET", f"{url}/*?_type=Group", None, plain),
            ("GET", f"Observation?subject=Patient/{id}&_total=accurate", None, plain),
            ("GET", f"Observation?subject:Patient._id={id}", None, plain),
            ("GET", f"{url}/$explain-access?professional=Practitioner/x", None, plain),
            ("GET", f"{url}/$apps", None, plain),
            ("GET", f"{url}/$app-activity?app=Device/x", None, plain),
            ("GET", f"{url}/$immds-forecast", None, plain),
            ("GET", f"{url}/$export-space", None, plain),
            ("POST", f"{url}/$erase-space", {"resourceType": "Parameters"}, plain),
            ("GET", f"{url}/$summary", None, plain),
            ("GET", f"{url}/$prevention-programme", None, plain),
            ("GET", f"{url}/$calendar-address", None, plain),
            ("POST", f"{url}/$calendar-address", {"resourceType": "Parameters"}, plain),
            ("GET", f"DocumentReference/$docref?patient={id}", None, plain),
        )
    if type == "Communication":
        yield "GET", f"{url}/$thread", None, plain
        yield "POST", f"{url}/$mark-read", {"resourceType": "Parameters"}, plain
        yield "POST", f"{url}/$file-attachment", {"resourceType": "Parameters"}, plain
        yield "POST", f"{url}/$end-thread", {"resourceType": "Parameters"}, plain
    if type == "Binary":
        attached = document("n", "a", author="Patient/a")
        attached["content"] = [{"attachment": {"url": url}}]
        yield "POST", "DocumentReference", attached, plain
        yield "GET", url, None, {"accept": "text/plain"}
        yield "GET", url, None, {"accept": "*/*"}
    else:
        yield "POST", type, new, {"if_none_exist": f"_id={id}"}


#: What differs from answer to answer: times, and the ids of what is made.
_TIME = re.compile(r"20\d\d-\d\d-\d\dT[\d:.]+Z")
_MADE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_VARYING = ("x-request-id", "date", "last-modified")


def said(answer, id):
    """The answer without what differs each time."""

    def plain(text):
        return _MADE.sub("made", _TIME.sub("time", text.replace(id, "*")))

    headers = {n: plain(v) for n, v in answer.headers.items() if n not in _VARYING}
    return answer.status_code, headers, plain(answer.text)


#: The wire server of the tests takes a minute for each, so there those that ask the engine most.
CASES = [("sqlite", case, name) for case in HIDDEN for name in CALLERS] + [
    ("mongodb", "of-another", "citizen"),
    ("mongodb", "masked", "professional"),
    ("mongodb", "deleted", "service"),
]


@pytest.mark.parametrize(("door", "case", "name"), CASES, indirect=["door"])
async def test_what_is_hidden_is_answered_like_what_never_was(door, case, name):
    type, hidden, unknown = HIDDEN[case]
    transactions = door.store.capabilities.transactions
    differing = []
    pairs = zip(
        requests(type, hidden, transactions), requests(type, unknown, transactions), strict=True
    )
    before = await door.store.read(type, hidden)
    for one, other in pairs:
        answers = []
        for id, (method, url, body, headers) in ((hidden, one), (unknown, other)):
            answer = await door.ask(name, method, url, body, **headers)
            assert answer.status_code != 500, (method, url, answer.text)
            answers.append(said(answer, id))
        if answers[0] != answers[1]:
            differing.append((one[:2], *answers))
    assert not differing, "\n".join(map(str, differing))
    assert (await door.store.read(type, hidden)).version == before.version


async def test_a_whole_compartment_leaves_out_what_is_beyond_reach(door):
    assert (await door.get("citizen", "Patient/a/*")).status_code == 200
    found = await door.ids("citizen", "Patient/a/*?_type=Patient,Observation,Group")
    assert found == ["Observation/own", "Patient/a"]
    assert (await door.get("citizen", "Patient/a/*?_type=Group")).status_code == 403
    await door.give("lab", "citizen", "patient/Observation.rs", fhir_user="Patient/a", patient="a")
    assert await door.ids("lab", "Patient/a/*") == ["Observation/own"]
    await door.give("none", "citizen", "patient/Observation.r", fhir_user="Patient/a", patient="a")
    assert (await door.get("none", "Patient/a/*")).status_code == 403


async def test_who_may_write_into_a_space_knows_that_it_is_open_and_no_more(door):
    """Feeding needs no consent (CSP R.1111-47), so a space tells professionals that it is there."""
    for name, status in (("citizen", 403), ("carer", 403), ("professional", 201), ("service", 201)):
        for whose in ("pat-hidden", "pat-unseen"):
            made = await door.ask(name, "POST", "Observation", observation("n", whose))
            assert made.status_code == (status if whose == "pat-hidden" else 403), (name, whose)
    assert (await door.get("professional", "Patient/pat-hidden")).status_code == 404


async def test_a_space_is_taken_along_and_erased_by_its_holder_alone_with_the_scopes_for_it(door):
    nothing = {"resourceType": "Parameters"}
    for name in ("carer", "professional", "launched", "service"):
        assert (await door.get(name, "Patient/a/$export-space")).status_code == 403, name
        assert (await door.ask(name, "POST", "Patient/a/$erase-space", nothing)).status_code == 403
    for number, scopes in enumerate(
        (
            "patient/*.rs",
            "patient/*.cru",
            "patient/Patient.cruds patient/Observation.cruds",
            "patient/*.cruds?category=x",
        )
    ):
        name = f"reads-{number}"
        await door.give(name, "citizen", scopes, fhir_user="Patient/a", patient="a")
        asked = await door.ask(name, "POST", "Patient/a/$erase-space", nothing)
        assert asked.status_code == 403, scopes
    asked = await door.ask("citizen", "POST", "Patient/a/$erase-space", nothing)
    assert asked.status_code == 200, asked.text
    assert (await door.get("citizen", "Patient/a/$export-space")).status_code == 200


async def test_a_hidden_binary_tells_no_type_to_who_attaches_it(door):
    """Not by the content type either, which is compared with what the document says."""
    answers = []
    for id in ("bin-hidden", "bin-unseen"):
        attachment = {"url": f"Binary/{id}", "contentType": "application/pdf"}
        body = document("new", "a", author="Patient/a", content=[{"attachment": attachment}])
        del body["id"]
        answer = await door.ask("citizen", "POST", "DocumentReference", body)
        answers.append((answer.status_code, answer.text.replace(id, "*")))
    assert answers[0] == answers[1]
    assert answers[0][0] == 422
