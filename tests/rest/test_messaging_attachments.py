"""Attachments of messages over HTTP: checked, copied in, filed to the record."""

from __future__ import annotations

import asyncio
import base64
import hashlib

import messaging_people
from messaging_people import (
    SECRET,
    acting_for,
    answering,
    citizen,
    establishment,
    message,
    professional,
    said,
)
from smart_browser import CAMILLE, LEA

door = messaging_people.door

PDF = b"%PDF-1.7\n" + b"x" * 200


def attached(data=PDF, type="application/pdf", **more):
    encoded = base64.b64encode(data).decode()
    return {"contentAttachment": {"contentType": type, "data": encoded, **more}}


async def test_an_attachment_is_of_the_types_and_sizes_allowed(door):
    doctor = await professional(door)
    outcome = await doctor.send(
        message(to=CAMILLE, payload=[attached(b"PK\x03\x04", "application/zip")]), 422
    )
    assert outcome["issue"][0]["expression"] == ["Communication.payload[0].content.contentType"]
    half = PDF + b"0" * 3_400_000
    many = [attached(half), attached(half), attached(half)]
    outcome = await doctor.send(message(to=CAMILLE, payload=many), 422)
    assert "10000000 bytes together" in said(outcome)
    two = await doctor.send(message(to=CAMILLE, payload=many[:2]))
    light = (await doctor.get(f"Communication/{two['id']}/$thread")).json()
    (resource,) = [p["resource"] for p in light["parameter"] if p["name"] == "message"]
    assert "data" not in resource["payload"][0]["contentAttachment"]
    assert resource["meta"]["tag"][0]["code"] == "SUBSETTED"
    whole = (await doctor.get(f"Communication/{two['id']}/$thread?attachments=true")).json()
    (resource,) = [p["resource"] for p in whole["parameter"] if p["name"] == "message"]
    assert resource["payload"] == many[:2]


async def test_a_draft_takes_no_other_attachments_either(door):
    camille = await citizen(door)
    bad = message(status="preparation", payload=[attached(b"MZ", "text/html")])
    await camille.send(bad, 422)


async def test_a_binary_is_copied_into_the_message(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE))
    binary = {
        "resourceType": "Binary",
        "contentType": "application/pdf",
        "securityContext": {"reference": CAMILLE},
        "data": base64.b64encode(PDF).decode(),
    }
    made = await camille.ask("POST", "Binary", binary)
    assert made.status_code == 201, made.text
    url = made.headers["location"].partition("/fhir/")[2].partition("/_history")[0]
    payload = [{"contentAttachment": {"url": url, "title": "a.pdf"}}]
    sent = await camille.send(message(payload=payload, **answering(first["id"])))
    given = sent["payload"][0]["contentAttachment"]
    assert base64.b64decode(given["data"]) == PDF
    assert given["contentType"] == "application/pdf"
    assert "url" not in given
    hidden = message(to=CAMILLE, payload=payload)
    unknown = message(to=CAMILLE, payload=[{"contentAttachment": {"url": "Binary/none"}}])
    words = said(await doctor.send(hidden, 422)).replace(url, "Binary/none")
    assert words == said(await doctor.send(unknown, 422))
    elsewhere = [{"contentAttachment": {"url": "https://example.org/a.pdf"}}]
    await doctor.send(message(to=CAMILLE, payload=elsewhere), 422)


async def test_only_what_the_sender_sees_is_referred_to(door):
    doctor, camille = await professional(door), await citizen(door)
    document = {
        "resourceType": "DocumentReference", "id": "camilles-own", "status": "current",
        "subject": {"reference": CAMILLE}, "author": [{"reference": CAMILLE}],
        "securityLabel": [{"coding": [{
            "system": "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/"
            "TRE-A07-StatutVisibiliteDocument", "code": "MASQUE_PS"}]}],
        "content": [{"attachment": {"contentType": "text/plain", "url": "Binary/y"}}],
    }  # fmt: skip
    await door.put(document)
    link = [{"contentReference": {"reference": "DocumentReference/camilles-own"}}]
    first = await doctor.send(message(to=CAMILLE))
    await camille.send(message(payload=link, **answering(first["id"])))
    hospital = await establishment(door)
    assert "not known" in said(await hospital.send(message(to=CAMILLE, payload=link), 422))


async def test_the_citizen_files_an_attachment_to_the_record_once(door):
    doctor, camille = await professional(door), await citizen(door)
    payload = [{"contentString": "Voici"}, attached(title="compte-rendu.pdf")]
    first = await doctor.send(message(to=CAMILLE, payload=payload))
    path = f"Communication/{first['id']}/$file-attachment"
    asked = {"payload": ("valueInteger", 1), "type": ("valueCode", "DOCPAT03")}
    filed = await camille.does(path, **asked)
    assert filed["resourceType"] == "DocumentReference"
    assert filed["author"] == [{"reference": CAMILLE}]
    assert filed["type"]["coding"][0]["code"] == "DOCPAT03"
    assert filed["category"][0]["coding"][0]["code"] == "10"
    kept = filed["content"][0]["attachment"]
    assert kept["title"] == "compte-rendu.pdf"
    assert kept["size"] == len(PDF)
    assert kept["hash"] == base64.b64encode(hashlib.sha1(PDF).digest()).decode()
    again = await camille.does(path, **asked)
    assert again["id"] == filed["id"]
    assert await camille.count("DocumentReference?type=DOCPAT03") == 1
    await doctor.does(path, 403, **asked)
    await camille.does(path, 422, payload=("valueInteger", 0), type=("valueCode", "DOCPAT03"))
    await camille.does(path, 422, payload=("valueInteger", 7), type=("valueCode", "DOCPAT03"))
    await camille.does(path, 400, payload=("valueInteger", 1), type=("valueCode", "11488-4"))
    await camille.does(path, 400, payload=("valueInteger", 1))


async def test_nothing_is_attached_past_the_rules(door):
    doctor = await professional(door)
    hidden = {"contentType": "application/octet-stream", "data": "TVo="}
    file = {"resourceType": "Binary", "id": "b", **hidden}
    document = {
        "resourceType": "DocumentReference",
        "id": "b",
        "status": "current",
        "content": [{"attachment": hidden}],
    }
    in_extension = [{"url": "http://example.org/x", "valueAttachment": hidden}]
    both = attached(url="https://example.org/seen-by-the-reader.pdf")
    for more, place in (
        ({"extension": in_extension}, "extension[0].valueAttachment"),
        ({"contained": [file], "about": [{"reference": "#b"}]}, "contained[0]"),
        (
            {"contained": [document], "about": [{"reference": "#b"}]},
            "contained[0].content[0].attachment",
        ),
        ({"payload": [both]}, "payload[0].content.url"),
    ):
        for status in ("completed", "preparation"):
            outcome = await doctor.send(message(to=CAMILLE, **more, status=status), 422)
            assert outcome["issue"][0]["expression"] == [f"Communication.{place}"]


async def test_a_binary_of_the_same_transaction_is_attached(door):
    doctor, camille = await professional(door), await citizen(door)
    first = await doctor.send(message(to=CAMILLE))
    link = [{"contentAttachment": {"contentType": "application/pdf", "url": "urn:uuid:0b9a3a3e-"
                                   "0000-4000-8000-000000000001"}}]  # fmt: skip

    async def sent_together(data):
        binary = {
            "resourceType": "Binary",
            "contentType": "application/pdf",
            "securityContext": {"reference": CAMILLE},
            "data": base64.b64encode(data).decode(),
        }
        entries = [
            {
                "fullUrl": link[0]["contentAttachment"]["url"],
                "resource": binary,
                "request": {"method": "POST", "url": "Binary"},
            },
            {
                "resource": message(payload=link, **answering(first["id"])),
                "request": {"method": "POST", "url": "Communication"},
            },
        ]
        bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
        return await camille.ask("POST", "", bundle, prefer="return=representation")

    given = await sent_together(PDF)
    assert given.status_code == 200, given.text
    attachment = given.json()["entry"][1]["resource"]["payload"][0]["contentAttachment"]
    assert base64.b64decode(attachment["data"]) == PDF
    assert "url" not in attachment
    assert (await sent_together(b"MZ")).status_code == 422


async def test_filed_at_once_it_is_one_document_and_as_hidden_as_the_message(door):
    doctor, lea = await professional(door), await citizen(door, LEA)
    mother = await acting_for(door, CAMILLE, "Léa")
    first = await doctor.send(
        message(to=LEA, subject=LEA, meta={"security": [SECRET]}, payload=[attached()])
    )
    path = f"Communication/{first['id']}/$file-attachment"
    asked = [lea.does(path, type=("valueCode", "DOCPAT03")) for _ in range(6)]
    (id,) = {filed["id"] for filed in await asyncio.gather(*asked)}
    assert (await lea.get(f"DocumentReference/{id}")).status_code == 200
    assert (await mother.get(f"DocumentReference/{id}")).status_code == 404
