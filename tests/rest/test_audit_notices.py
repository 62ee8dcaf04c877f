"""Citizens are told, once, and of nothing that is hidden."""

from __future__ import annotations

import email
import json
from dataclasses import replace
from datetime import datetime

import audit_door
import pytest
from audit_door import Recorded, open_store
from test_audit_trail import observation

from fhirserver.access.caller import Caller, Mode, Role
from fhirserver.access.notice.sender import FolderSender
from fhirserver.validation.validator import Validator

A = {
    "resourceType": "Patient",
    "id": "a",
    "telecom": [{"system": "phone", "value": "1"}, {"system": "email", "value": "a@example.org"}],
}
HOSPITAL = Caller(Role.SYSTEM, client="hospital", organization="Organization/h", token="h")


def document(id="d", **more):
    return {
        "resourceType": "DocumentReference",
        "id": id,
        "status": "current",
        "subject": {"reference": "Patient/a"},
        "content": [{"attachment": {"contentType": "text/plain", "title": "HIV test"}}],
        **more,
    }


class Failing:
    """A sender whose server is away as long as `away`."""

    def __init__(self, folder):
        self.away = False
        self.inner = FolderSender(folder, "no-reply@sante.example")

    async def send(self, address, id):
        if self.away:
            raise ConnectionRefusedError
        await self.inner.send(address, id)


@pytest.fixture(params=["sqlite", "mongodb"])
async def server(request, tmp_path):
    store = open_store(request.param, tmp_path)
    if store is None:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    await store.open()
    server = Recorded(store, sender=Failing(tmp_path / "mail"))
    server.mail = tmp_path / "mail"
    server.callers["hospital"] = HOSPITAL
    await server.put(A, observation("oa", "a"))
    yield server
    await server.client.aclose()
    if request.param == "mongodb":
        await store._connection.client.drop_database(store._connection.database_name)
    await store.close()


async def told(server):
    await server.notifier.catch_up()
    return await server.all("Communication")


def mails(server):
    return [email.message_from_bytes(p.read_bytes()) for p in sorted(server.mail.glob("*.eml"))]


async def test_a_professional_not_seen_before_is_told_once(server):
    for _ in range(3):
        await server.ask("doctor", "GET", "Observation/oa")
    (notice,) = await told(server)
    assert Validator().validate(notice) == []
    assert notice["status"] == "completed"
    assert notice["category"][0]["coding"][0]["code"] == "notification"
    assert notice["recipient"] == [{"reference": "Patient/a"}]
    assert notice["topic"]["text"] == "first_access"
    await server.ask("doctor", "GET", "Observation/oa")
    assert len(await told(server)) == 1
    server.callers["nurse"] = replace(audit_door.DOCTOR, fhir_user="Practitioner/nurse")
    await server.ask("nurse", "GET", "Observation/oa")
    assert len(await told(server)) == 2


async def test_the_mail_says_nothing_of_health(server):
    await server.ask("hospital", "POST", "DocumentReference", document())
    await told(server)
    (mail,) = mails(server)
    assert mail["To"] == "a@example.org"
    text = mail.get_payload(decode=True).decode()
    assert "HIV" not in text
    assert "Patient" not in text
    assert "aucune donnée de santé" in text


async def test_citizens_are_not_told_of_themselves(server):
    await server.ask("alice", "GET", "Observation/oa")
    await server.ask("alice", "POST", "DocumentReference", document())
    assert await told(server) == []


async def test_a_refused_access_is_no_access(server):
    await server.ask("doctor", "GET", "Observation/none")
    await server.ask("doctor", "PUT", "Observation/oa", {"resourceType": "Observation"})
    assert await told(server) == []


@pytest.mark.parametrize("mode", [Mode.BRIS_DE_GLACE, Mode.CENTRE_15])
async def test_each_emergency_opening_is_told(server, mode):
    for token in ("t1", "t1", "t2"):
        server.callers["x"] = replace(audit_door.DOCTOR, mode=mode, reason="r", token=token)
        await server.ask("x", "GET", "Observation/oa")
    notices = await told(server)
    assert [n["topic"]["text"] for n in notices] == ["emergency"] * 2
    assert all("reason" not in json.dumps(n) for n in notices)


async def test_a_new_document_of_somebody_else_is_told(server):
    answer = await server.ask("hospital", "POST", "DocumentReference", document())
    (notice,) = await told(server)
    assert notice["topic"]["text"] == "document"
    assert notice["about"] == [{"reference": f"DocumentReference/{answer.json()['id']}"}]
    assert "HIV" not in json.dumps(notice)


@pytest.mark.parametrize(
    "code", ["INVISIBLE_PATIENT", "INVISIBLE_REPRESENTANTS_LEGAUX", "CONNEXION_SECRETE"]
)
async def test_nothing_is_told_of_what_is_hidden(server, code):
    hidden = document(meta={"security": [{"system": "urn:x", "code": code}]})
    answer = await server.ask("hospital", "POST", "DocumentReference", hidden)
    await server.ask("doctor", "GET", f"DocumentReference/{answer.json()['id']}")
    assert await told(server) == []


async def test_a_document_hidden_before_anybody_was_told_stays_untold(server):
    answer = await server.ask("hospital", "POST", "DocumentReference", document())
    hidden = document(answer.json()["id"], meta={"security": [{"code": "INVISIBLE_PATIENT"}]})
    await server.put(hidden)
    assert await told(server) == []


async def test_kinds_can_be_switched_off(server):
    quiet = Recorded(server.raw, kinds=("document",))
    await server.ask("doctor", "GET", "Observation/oa")
    assert await told(quiet) == []


async def test_a_mail_server_that_was_away_gets_the_mail_later(server, monkeypatch):
    server.notifier._sender.away = True
    await server.ask("doctor", "GET", "Observation/oa")
    assert len(await told(server)) == 1
    assert mails(server) == []
    # Another process finds it in the outbox; so does this one after a while.
    again = Recorded(server.raw, sender=FolderSender(server.mail, "x@example.org"))
    await again.notifier.catch_up()
    assert len(mails(server)) == 1
    assert await server.raw.list_grants("notice-outbox") == []


async def test_told_once_by_two_processes_at_once(server):
    await server.ask("doctor", "GET", "Observation/oa")
    other = Recorded(server.raw, sender=FolderSender(server.mail, "x@example.org"))
    await server.notifier.catch_up()
    await server.raw.drop_grants(kind="notice-done")
    await other.notifier.catch_up()
    assert len(await told(server)) == 1
    assert len(mails(server)) == 1


def waiting(id, date, *labels, patient="a", **more):
    coding = [{"coding": [{"code": label}]} for label in ("INVISIBLE_PATIENT", *labels)]
    subject = {"reference": f"Patient/{patient}"}
    return document(id, date=date, securityLabel=coding, subject=subject, **more)


async def test_after_two_weeks_the_citizen_is_asked_to_see_a_professional(server):
    await server.put(
        {"resourceType": "Patient", "id": "b"},
        {"resourceType": "Patient", "id": "closed", "active": False},
        waiting("old", "2026-11-01T10:00:00Z"),
        waiting("same-day", "2026-11-01T11:00:00Z"),
        waiting("later", "2026-11-03T10:00:00Z"),
        waiting("secret", "2026-11-01T10:00:00Z", "INVISIBLE_REPRESENTANTS_LEGAUX", patient="b"),
        waiting("withdrawn", "2026-11-01T10:00:00Z", patient="b", status="entered-in-error"),
        waiting("elsewhere", "2026-11-01T10:00:00Z", patient="closed"),
        document("told", date="2026-11-01T10:00:00Z", subject={"reference": "Patient/b"}),
    )

    async def told_on(day):
        now = int(datetime.fromisoformat(f"{day}T12:00:00+00:00").timestamp()) * 1_000_000
        await server.service._announcements.tell(now)
        return await server.all("Communication")

    assert await told_on("2026-11-14") == []
    for day in ("2026-11-15", "2026-11-16"):  # once
        found = await told_on(day)
        assert [each["subject"]["reference"] for each in found] == ["Patient/a"], day
    assert "about" not in found[0]  # what waits is not said
    assert found[0]["topic"]["text"] == "announcement"
    assert "HIV" not in json.dumps(found)
    assert Validator().validate(found[0]) == []
    assert len(list(server.mail.iterdir())) == 1
    assert len(await told_on("2026-11-18")) == 2  # the document of another day
    assert len(await told_on("2026-12-20")) == 2  # over: it shows by now


async def test_what_waits_without_a_date_is_told_of_after_its_last_change(server):
    undated = waiting("undated", None)
    del undated["date"]
    await server.put(undated)
    written = (await server.raw.read("DocumentReference", "undated")).updated
    for days, notices in ((13, 0), (15, 1), (20, 1)):
        await server.service._announcements.tell(written + days * 86_400_000_000)
        assert len(await server.all("Communication")) == notices, days


async def test_what_waited_longer_than_a_month_is_told_of_no_more(server):
    await server.put(waiting("old", "2026-09-01T10:00:00Z"))
    await server.service.announce()
    assert await server.all("Communication") == []
