"""The gateway to MSSanté, against a mail server of the test: mail in, mail out, nothing twice and
nothing lost."""

from __future__ import annotations

import asyncio
import base64
import io
import os
import uuid
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest
import smart_browser
from mail_server import free_port, hand_over, mail_server
from messaging_people import CLAIRE, answering, block, citizen, extension, message, said, unread
from over_http import database_in
from smart_browser import CAMILLE

from fhirserver.messaging.gateway import outgoing, receiver

INS = "288043155511272"
MAILBOX = f"{INS}@patient.mssante.fr"
DOCTOR = "claire-fontaine@pro.mssante.example"
PDF = b"%PDF-1.7\n"
CDA = f"""<ClinicalDocument xmlns="urn:hl7-org:v3"><recordTarget><patientRole>
<id root="1.2.250.1.213.1.4.10" extension="{INS}"/>
</patientRole></recordTarget></ClinicalDocument>"""


def mail(text="Bonjour", sender=DOCTOR, **headers):
    made = EmailMessage()
    made["From"] = f"Dr Claire FONTAINE <{sender}>"
    made["To"] = MAILBOX
    headers = {"Subject": "Vos résultats", "Message_ID": f"<{uuid.uuid4()}@pro.example>"} | headers
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(text)
    return made


async def served(engine, tmp_path, monkeypatch, **settings):
    """A server with a gateway, and the mail server beside it."""
    database = f"sqlite:///{tmp_path}/smart.db"
    if engine == "mongodb":
        url = os.environ.get("FHIRSERVER_TEST_MONGODB")
        if not url:
            pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
        database = database_in(url, f"gateway_{uuid.uuid4().hex[:12]}")
    monkeypatch.setattr(receiver, "SECONDS", 0.02)
    # The wire server of the tests is slow: it is not to be asked all the time.
    monkeypatch.setattr(outgoing, "SECONDS", 0.05 if engine == "sqlite" else 1)
    monkeypatch.setattr(outgoing, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(outgoing, "ATTEMPTS", 4)
    async with mail_server() as beside:
        port = free_port()
        door, lifespan = await smart_browser.open_door(
            database,
            mssante_listen=f"127.0.0.1:{port}",
            mssante_server=f"smtp://127.0.0.1:{beside.port}",
            mssante_nil="123456",
            **settings,
        )
        door.port, door.beside = port, beside
        yield door
        await smart_browser.close_door(door, lifespan)


@pytest.fixture
async def door(tmp_path, monkeypatch):
    async for made in served("sqlite", tmp_path, monkeypatch):
        yield made


@pytest.fixture(params=["sqlite", "mongodb"])
async def door_on_both(request, tmp_path, monkeypatch):
    async for made in served(request.param, tmp_path, monkeypatch):
        yield made


async def received(person, **wanted):
    found = (await person.get("Communication?sender=" + CLAIRE)).json()
    resources = [e["resource"] for e in found.get("entry", [])]
    return [r for r in resources if all(r.get(k) == v for k, v in wanted.items())]


async def eventually(holds, seconds=60):
    for _ in range(int(seconds / 0.02)):
        found = holds()
        if found:
            return found
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to be")


async def test_a_conversation_by_mail(door_on_both):
    door = door_on_both
    camille = await citizen(door)
    first = mail(X_MSS_INS="O", X_MSS_CODECDA="11502-2", X_MSS_NIL="99")
    assert (await hand_over(door.port, first, DOCTOR, MAILBOX))[0] == 250
    assert (await hand_over(door.port, first, DOCTOR, MAILBOX))[0] == 250  # handed over again
    (got,) = await received(camille)
    assert got["topic"] == {"text": "Vos résultats"}
    assert got["payload"] == [{"contentString": "Bonjour"}]
    assert got["category"][0]["coding"][0]["code"] == "11502-2"
    assert got["subject"] == {"reference": CAMILLE}
    assert unread(got) == [CAMILLE]
    payload = [
        {"contentString": "Merci, à bientôt"},
        {"contentAttachment": {"contentType": "application/pdf", "title": "a.pdf",
                               "data": base64.b64encode(PDF).decode()}},
    ]  # fmt: skip
    answer = await camille.send(message(payload=payload, **answering(got["id"])))
    await eventually(lambda: door.beside.mails)
    (sent,) = door.beside.mails
    assert door.beside.recipients == [[DOCTOR]]
    assert sent["From"].addresses[0].addr_spec == MAILBOX
    assert sent["Subject"] == "Re: Vos résultats"
    assert sent["Message-ID"] == f"<{answer['id']}@patient.mssante.fr>"
    assert sent["In-Reply-To"] == first["Message-ID"]
    assert sent["X-MSS-NIL"] == "123456"
    assert sent["X-MSS-INS"] is None  # a number for tests is no qualified identity
    assert sent.get_body().get_content().strip() == "Merci, à bientôt"
    (attached,) = sent.iter_attachments()
    assert attached.get_content() == PDF
    last = mail("Au revoir", In_Reply_To=sent["Message-ID"], X_MSS_MES="FIN")
    assert (await hand_over(door.port, last, DOCTOR, MAILBOX))[0] == 250
    (bye,) = await received(camille, payload=[{"contentString": "Au revoir"}])
    assert bye["partOf"] == [{"reference": f"Communication/{got['id']}"}]
    assert bye["inResponseTo"] == [{"reference": f"Communication/{answer['id']}"}]
    outcome = await camille.send(message(**answering(got["id"])), 422)
    assert "has ended this thread" in said(outcome)
    away = mail("Absent", In_Reply_To=sent["Message-ID"], Auto_Submitted="auto-replied")
    assert (await hand_over(door.port, away, DOCTOR, MAILBOX))[0] == 250
    await camille.send(message(**answering(got["id"])), 422)
    again = mail("Encore", References=f"{first['Message-ID']} {last['Message-ID']}")
    assert (await hand_over(door.port, again, DOCTOR, MAILBOX))[0] == 250
    root = (await camille.get(f"Communication/{got['id']}")).json()
    assert {"url": "ended", "valueBoolean": False} in extension(root, "thread-state")[0][
        "extension"
    ]
    await camille.send(message(**answering(got["id"])))


async def test_documents_in_an_archive_come_as_attachments_of_their_own(door):
    def archive(cda):
        made = io.BytesIO()
        with zipfile.ZipFile(made, "w") as opened:
            opened.writestr("IHE_XDM/SUBSET01/METADATA.XML", "<x/>")
            opened.writestr("IHE_XDM/SUBSET01/CR.XML", cda)
            opened.writestr("IHE_XDM/SUBSET01/CR.PDF", PDF)
        return made.getvalue()

    camille = await citizen(door)
    good = mail()
    good.add_attachment(archive(CDA), maintype="application", subtype="zip", filename="IHE_XDM.zip")
    assert (await hand_over(door.port, good, DOCTOR, MAILBOX))[0] == 250
    (got,) = await received(camille)
    attached = [p["contentAttachment"] for p in got["payload"] if "contentAttachment" in p]
    assert [(a["title"], a["contentType"]) for a in attached] == [
        ("CR.XML", "text/xml"), ("CR.PDF", "application/pdf")
    ]  # fmt: skip
    assert base64.b64decode(attached[0]["data"]) == CDA.encode()
    filed = await camille.does(
        f"Communication/{got['id']}/$file-attachment",
        payload=("valueInteger", 2),
        type=("valueCode", "DOCPAT03"),
    )
    assert filed["content"][0]["attachment"]["title"] == "CR.PDF"
    wrong = mail()
    wrong.add_attachment(
        archive(CDA.replace(INS, "186098100404527")),
        maintype="application",
        subtype="zip",
        filename="IHE_XDM.zip",
    )
    code, text = await hand_over(door.port, wrong, DOCTOR, MAILBOX)
    assert code == 554
    assert "another patient" in text
    assert len(await received(camille)) == 1


async def test_who_is_not_let_in_and_what_they_are_told(door):
    camille = await citizen(door)
    unknown = await hand_over(door.port, mail(), DOCTOR, "299999999999999@patient.mssante.fr")
    assert unknown[0] == 550
    assert (await hand_over(door.port, mail(), DOCTOR, "camille@example.org")) == unknown
    stranger = mail(sender="who@pro.mssante.example")
    assert (await hand_over(door.port, stranger, DOCTOR, MAILBOX))[0] == 554
    exe = mail()
    exe.add_attachment(b"MZ", maintype="application", subtype="octet-stream", filename="a.exe")
    assert (await hand_over(door.port, exe, DOCTOR, MAILBOX))[0] == 554
    made = await camille.ask("POST", "Consent", block(CLAIRE))
    assert made.status_code == 201, made.text
    assert await hand_over(door.port, mail(), DOCTOR, MAILBOX) == unknown
    assert await received(camille) == []


@pytest.mark.parametrize(("needed", "code"), [(True, 550), (False, 250)])
async def test_what_the_operator_settled_of_access_holds_for_mail_too(
    needed, code, tmp_path, monkeypatch
):
    async for door in served("sqlite", tmp_path, monkeypatch, access_active_needed=needed):
        patient = next(r for r in smart_browser.people() if r["id"] == "camille-lefevre")
        await door.put({name: value for name, value in patient.items() if name != "active"})
        assert (await hand_over(door.port, mail(), DOCTOR, MAILBOX))[0] == code


async def test_a_mail_server_that_is_busy_or_away_gets_the_mail_later_and_once(door):
    camille = await citizen(door)
    await hand_over(door.port, mail(), DOCTOR, MAILBOX)
    (got,) = await received(camille)
    door.beside.answers = ["451 later", "421 later"]
    await camille.send(message(**answering(got["id"])))
    await eventually(lambda: door.beside.mails)
    await asyncio.sleep(0.5)
    assert len(door.beside.mails) == 1


async def test_what_is_refused_for_good_is_told_to_the_citizen(door):
    camille = await citizen(door)
    await hand_over(door.port, mail(), DOCTOR, MAILBOX)
    (got,) = await received(camille)
    door.beside.answers = ["554 never"]
    sent = await camille.send(message(text="geheim", **answering(got["id"])))
    for _ in range(3000):
        page = (await camille.get("Communication?category=notification")).json()
        told = [e["resource"] for e in page.get("entry", [])]
        told = [r for r in told if r["topic"]["text"] == "undelivered"]
        if told:
            break
        await asyncio.sleep(0.02)
    (notice,) = told
    assert notice["about"] == [{"reference": f"Communication/{sent['id']}"}]
    assert "geheim" not in str(notice)
    await asyncio.sleep(0.3)
    assert door.beside.mails == []


async def test_a_report_that_a_mail_failed_is_told_to_the_citizen(door):
    camille = await citizen(door)
    await hand_over(door.port, mail(), DOCTOR, MAILBOX)
    (got,) = await received(camille)
    sent = await camille.send(message(**answering(got["id"])))

    def report(id):
        made = EmailMessage()
        made["From"] = "MAILER-DAEMON@mail.example"
        made["To"] = MAILBOX
        made["Content-Type"] = 'multipart/report; report-type=delivery-status; boundary="b"'
        made.set_payload(
            "--b\nContent-Type: text/plain\n\nSorry\n--b\nContent-Type: message/delivery-status\n\n"
            f"Reporting-MTA: dns; x\n\nFinal-Recipient: rfc822; {DOCTOR}\nAction: failed\n"
            "Status: 5.1.1\n\n--b\nContent-Type: text/rfc822-headers\n\n"
            f"Message-ID: <{id}@patient.mssante.fr>\n--b--\n"
        )
        return made

    for id in (sent["id"], sent["id"], got["id"], "none"):
        assert (await hand_over(door.port, report(id), "", MAILBOX))[0] == 250
    page = (await camille.get("Communication?category=notification")).json()
    told = [e["resource"] for e in page["entry"] if e["resource"]["topic"]["text"] == "undelivered"]
    assert [n["about"] for n in told] == [[{"reference": f"Communication/{sent['id']}"}]]


async def test_a_report_that_a_mail_was_read_is_a_reading_and_no_message(door):
    camille = await citizen(door)
    await hand_over(door.port, mail(), DOCTOR, MAILBOX)
    (got,) = await received(camille)
    sent = await camille.send(message(**answering(got["id"])))

    def receipt(sender, disposition="displayed"):
        made = EmailMessage()
        made["From"] = sender
        made["To"] = MAILBOX
        made["Content-Type"] = (
            'multipart/report; report-type=disposition-notification; boundary="b"'
        )
        made.set_payload(
            "--b\nContent-Type: text/plain\n\nLu\n--b\nContent-Type: "
            "message/disposition-notification\n\nReporting-UA: x\n"
            f"Original-Message-ID: <{sent['id']}@patient.mssante.fr>\n"
            f"Disposition: manual-action/MDN-sent-manually; {disposition}\n\n--b--\n"
        )
        return made

    path = f"Communication/{sent['id']}"
    for report in (receipt("who@pro.mssante.example"), receipt(DOCTOR, "deleted")):
        assert (await hand_over(door.port, report, "", MAILBOX))[0] == 250
    assert unread((await camille.get(path)).json()) == [CLAIRE]
    for envelope in ("", DOCTOR):
        assert (await hand_over(door.port, receipt(DOCTOR), envelope, MAILBOX))[0] == 250
    read = (await camille.get(path)).json()
    assert unread(read) == []
    (reading,) = extension(read, "read")
    assert {"url": "reader", "valueReference": {"reference": CLAIRE}} in reading["extension"]
    assert len(await received(camille)) == 1


async def test_who_has_no_part_in_a_thread_does_not_end_it_by_mail(door):
    camille = await citizen(door)
    other = "mathieu-lopez@pro.mssante.example"
    first = mail()
    await hand_over(door.port, first, DOCTOR, MAILBOX)
    (got,) = await received(camille)
    end = mail(sender=other, In_Reply_To=first["Message-ID"], X_MSS_MES="FIN")
    assert (await hand_over(door.port, end, other, MAILBOX))[0] == 250
    await camille.send(message(**answering(got["id"])))


async def test_a_restart_neither_loses_nor_repeats(tmp_path, monkeypatch):
    monkeypatch.setattr(receiver, "SECONDS", 0.02)
    monkeypatch.setattr(outgoing, "SECONDS", 0.05)
    database = f"sqlite:///{Path(tmp_path)}/smart.db"
    async with mail_server() as beside:
        port = free_port()
        settings = {
            "mssante_listen": f"127.0.0.1:{port}",
            "mssante_server": f"smtp://127.0.0.1:{beside.port}",
        }
        door, lifespan = await smart_browser.open_door(database, **settings)
        camille = await citizen(door)
        first = mail()
        assert (await hand_over(port, first, DOCTOR, MAILBOX))[0] == 250
        (got,) = await received(camille)
        await camille.send(message(text="A", **answering(got["id"])))
        await eventually(lambda: len(beside.mails) == 1)
        await smart_browser.close_door(door, lifespan)
        without = {"mssante_server": "smtp://127.0.0.1:9"}  # nobody there
        door, lifespan = await smart_browser.open_door(database, **without)
        camille = await citizen(door)
        await camille.send(message(text="B", **answering(got["id"])))
        await asyncio.sleep(0.3)
        await smart_browser.close_door(door, lifespan)
        monkeypatch.setattr(outgoing, "_due", lambda ctx, task: True)
        door, lifespan = await smart_browser.open_door(database, **settings)
        assert (await hand_over(port, first, DOCTOR, MAILBOX))[0] == 250
        await eventually(lambda: len(beside.mails) == 2)
        await asyncio.sleep(0.3)
        texts = [m.get_body().get_content().strip() for m in beside.mails]
        assert texts == ["A", "B"]
        camille = await citizen(door)
        assert len(await received(camille)) == 1
        await smart_browser.close_door(door, lifespan)
