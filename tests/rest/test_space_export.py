"""Taking everything along, and having it erased: over HTTP, with tokens, on both engines."""

from __future__ import annotations

import io
import json
import zipfile

from access_door import document
from lxml import html
from messaging_people import acting_for, citizen, professional, said
from smart_browser import CAMILLE, LEA
from space_people import choice, doors, insurance

from fhirserver.access.audit.verify import verify
from fhirserver.space.erasure import erase_due

ID = CAMILLE.partition("/")[2]
SECRET = "une remarque tout à fait privée"

door = doors()


def note(id, whose=ID, **more):
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": {"text": SECRET},
        "subject": {"reference": f"Patient/{whose}"},
    } | more


async def filled(door):
    """A record of several versions, with a document, its Binary and something deleted."""
    await door.put(
        {"resourceType": "Binary", "id": "letter", "contentType": "text/plain", "data": "aGVsbG8="},
        document("letter", ID, content=[{"attachment": {"url": "Binary/letter"}}]),
        {"resourceType": "Binary", "id": "other", "contentType": "text/plain", "data": "eW91"},
        document("other", "lea-lefevre", content=[{"attachment": {"url": "Binary/other"}}]),
        note("note"),
        note("note", status="amended"),
        note("deleted"),
        note("others", "lea-lefevre"),
    )
    from fhirserver.interaction.delete import delete

    await delete(door.context, "Observation", "deleted")


def lines(archive, name):
    return [json.loads(line) for line in archive.read(name).splitlines()]


async def everything_of(person):
    found, path = {}, f"{CAMILLE}/$everything?_count=50"
    while path:
        answer = await person.get(path)
        assert answer.status_code == 200, answer.text[:300]
        page = answer.json()
        for entry in page.get("entry", []):
            resource = entry["resource"]
            found[resource["resourceType"], resource["id"]] = resource
        path = next((x["url"] for x in page.get("link", []) if x["relation"] == "next"), None)
        if path:
            path = path.partition("/fhir/")[2]
    return found


async def test_the_export_is_complete_and_can_be_read(door):
    await filled(door)
    camille = await citizen(door)
    before = await everything_of(camille)
    answer = await camille.get(f"{CAMILLE}/$export-space?language=fr")
    assert answer.status_code == 200, answer.text[:500]
    assert answer.headers["content-type"] == "application/zip"
    assert "attachment" in answer.headers["content-disposition"]
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    assert archive.testzip() is None
    taken = {}
    for name in archive.namelist():
        if name.startswith("fhir/"):
            for resource in lines(archive, name):
                assert name.startswith(f"fhir/{resource['resourceType']}")
                taken[resource["resourceType"], resource["id"]] = resource
    # The server writes meanwhile (traces of each request, a CarePlan): all that was there before
    # is taken, nothing that is not there after, and what stayed the same is the same.
    after = await everything_of(camille)
    assert before.keys() <= taken.keys() <= after.keys() | before.keys()
    same = {key for key in before if before[key] == after.get(key)}
    assert len(same) > 5
    assert {key: taken[key] for key in same} == {key: before[key] for key in same}
    assert ("Patient", ID) in taken
    assert archive.read("documents/letter.txt") == b"hello"
    assert taken["Binary", "letter"]["data"] == "aGVsbG8="
    assert ("Binary", "other") not in taken
    manifest = json.loads(archive.read("manifest.json"))
    assert manifest["resources"]["Observation"] == len(lines(archive, "fhir/Observation.ndjson"))
    page = html.fromstring(archive.read("index.html").decode())
    assert page.get("lang") == "fr"
    assert len(page.xpath("//h1")) == 1
    assert SECRET in page.text_content()
    for link in page.xpath("//a/@href"):
        if link.startswith("#"):
            assert page.xpath(f"//*[@id='{link[1:]}']"), link
        else:
            assert link in archive.namelist()
    assert not page.xpath("//script | //img[starts-with(@src,'http')] | //link")


async def test_only_the_holder_and_legal_representatives_export_or_erase(door):
    doctor = await professional(door)
    other = await citizen(door, LEA)
    for person in (doctor, other):
        assert (await person.get(f"{CAMILLE}/$export-space")).status_code in (403, 404)
        answer = await person.ask("POST", f"{CAMILLE}/$erase-space", None)
        assert answer.status_code in (403, 404)
    mother = await acting_for(door, CAMILLE, "Léa")
    assert (await mother.get(f"{LEA}/$export-space")).status_code == 200
    assert (await mother.get(f"{CAMILLE}/$export-space")).status_code in (403, 404)
    assert (await mother.get(f"{LEA}/$export-space?language=xx")).status_code == 400
    bundle = {
        "resourceType": "Bundle",
        "type": "batch",
        "entry": [{"request": {"method": "GET", "url": f"{LEA}/$export-space"}}],
    }
    answer = await mother.ask("POST", "", bundle)
    assert answer.json()["entry"][0]["response"]["status"].startswith("4")


async def test_a_parent_closes_takes_along_opens_again_and_erases_the_space_of_a_child(door):
    child = LEA.partition("/")[2]
    await door.put(note("hers", child))
    mother = await acting_for(door, CAMILLE, "Léa")
    answer = await mother.ask("POST", "Consent", choice(child, "OPTOUT", CAMILLE))
    assert answer.status_code == 201, answer.text
    again = await acting_for(door, CAMILLE, "Léa")  # signing in anew goes on being possible
    for person in (mother, again):
        assert (await person.get("Observation/hers")).status_code == 200
        answer = await person.get(f"{LEA}/$export-space")
        assert answer.status_code == 200
        names = zipfile.ZipFile(io.BytesIO(answer.content)).namelist()
        assert "fhir/Observation.ndjson" in names
    body = note("x", child)
    del body["id"]
    assert (await mother.ask("POST", "Observation", body)).status_code == 403
    answer = await mother.ask("POST", "Consent", choice(child, "OPTIN", CAMILLE))
    assert answer.status_code == 201, answer.text
    assert (await mother.ask("POST", "Observation", body)).status_code == 201
    asked = await mother.does(f"{LEA}/$erase-space")
    code = next(p["valueString"] for p in asked["parameter"] if p["name"] == "confirmation")
    task = await mother.does(f"{LEA}/$erase-space", confirm=("valueString", code))
    assert task["status"] == "in-progress"
    version = await door.store.read("Observation", "hers")
    assert version is None or version.content is None
    assert (await mother.get("Observation/hers")).status_code in (401, 403, 404, 410)


async def test_a_carer_neither_exports_closes_nor_erases(door):
    carer = await acting_for(door, "Patient/sophie-martin", "Geneviève")
    whose = (await carer.get("Patient")).json()["entry"][0]["resource"]["id"]
    assert (await carer.get(f"Patient/{whose}/$export-space")).status_code == 403
    answer = await carer.ask("POST", f"Patient/{whose}/$erase-space", None)
    assert answer.status_code == 403
    closing = choice(whose, "OPTOUT", "Patient/sophie-martin")
    assert (await carer.ask("POST", "Consent", closing)).status_code == 403
    await door.put(choice(whose, "OPTOUT", f"Patient/{whose}") | {"id": "closing"})
    assert (await carer.get(f"Patient/{whose}")).status_code in (403, 404)


async def test_a_closed_space_is_still_exported_by_its_holder(door):
    camille = await citizen(door)
    closing = choice(ID, "OPTOUT")
    assert (await camille.ask("POST", "Consent", closing)).status_code == 201
    assert (await camille.get(f"{CAMILLE}/$export-space")).status_code == 200


async def test_erasing_takes_every_version_and_the_trail_stays_verifiable(door, tmp_path):
    await filled(door)
    camille = await citizen(door)
    asked = await camille.does(f"{CAMILLE}/$erase-space")
    values = {p["name"]: next(v for n, v in p.items() if n != "name") for p in asked["parameter"]}
    assert values["documents"] >= 1
    assert (await camille.get(CAMILLE)).status_code == 200  # asking changes nothing
    wrong = await camille.does(f"{CAMILLE}/$erase-space", 422, confirm=("valueString", "guess"))
    assert "confirmation" in said(wrong)
    task = await camille.does(
        f"{CAMILLE}/$erase-space", confirm=("valueString", values["confirmation"])
    )
    assert task["status"] == "in-progress"
    assert "for" not in task
    for reference in (CAMILLE, "Observation/note", "DocumentReference/letter", "Binary/letter"):
        version = await door.store.read(*reference.split("/"))
        assert version is None or version.content is None, reference
    left = [v async for v in door.store.changes() if v.content and SECRET.encode() in v.content]
    assert {v.id for v in left} == {"deleted", "others"}
    await erase_due(door.context)
    left = [v async for v in door.store.changes() if v.content and SECRET.encode() in v.content]
    assert {v.id for v in left} == {"others"}
    mentions = f'"{CAMILLE}"'.encode()
    rest = [v async for v in door.store.changes() if v.content and mentions in v.content]
    assert {v.type for v in rest} <= {"AuditEvent", "RelatedPerson"}, [(v.type, v.id) for v in rest]
    assert (await door.store.read("Binary", "other")).content
    done = await door.store.read("Task", task["id"])
    assert json.loads(done.content)["status"] == "completed"
    assert (await camille.get(CAMILLE)).status_code in (401, 403, 404, 410)
    doctor = await professional(door)
    assert (await doctor.get(CAMILLE)).status_code in (404, 410)
    insurer = await insurance(door)
    assert (await insurer.get(CAMILLE)).status_code in (404, 410)
    assert (await verify(door.store)).broken == ()


async def test_a_confirmation_is_for_one_person_and_once(door):
    camille = await citizen(door)
    first = (await camille.does(f"{CAMILLE}/$erase-space"))["parameter"][0]["valueString"]
    second = (await camille.does(f"{CAMILLE}/$erase-space"))["parameter"][0]["valueString"]
    assert first != second
    await camille.does(f"{CAMILLE}/$erase-space", 422, confirm=("valueString", first))
    await camille.does(f"{CAMILLE}/$erase-space", 400, code=("valueString", second))
