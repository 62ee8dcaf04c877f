"""What a caller must not learn or do, over HTTP: the attack cases of access control."""

from __future__ import annotations

import os
import re
import uuid

import pytest
from access_door import (
    MASK,
    binary,
    consent,
    document,
    observation,
    open_door,
    patient,
)

from fhirserver.access.caller import Mode, Role

ENGINES = ["sqlite", "mongodb"]


@pytest.fixture(params=ENGINES)
async def door(request, tmp_path):
    database = f"sqlite:///{tmp_path}/door.db"
    if request.param == "mongodb":
        url = os.environ.get("FHIRSERVER_TEST_MONGODB")
        if not url:
            pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
        from over_http import database_in

        database = database_in(url, f"door_{uuid.uuid4().hex[:12]}")
    made = await open_door(database, apps={"steps": "Device/steps"})
    await made.put(
        {"resourceType": "Practitioner", "id": "x"},
        {"resourceType": "Practitioner", "id": "y"},
        patient("a", birthDate="1980-01-01"),
        patient("b", birthDate="1980-01-01"),
        observation("lab-a", "a"),
        observation("vital-a", "a", "vital-signs"),
        observation("lab-b", "b"),
        document("doc-a", "a"),
        document("masked-a", "a", labels=["MASQUE_PS"]),
        document("doc-b", "b"),
        *(binary(f"{d}-b") for d in ("doc-a", "masked-a", "doc-b")),
        consent("team-a", "a", actor="Practitioner/x"),
    )
    made.caller("A", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes="patient/*.cruds")
    made.caller("tA", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes="patient/*.rs")
    made.caller(
        "X",
        Role.PROFESSIONAL,
        fhir_user="Practitioner/x",
        profession="10",
        scopes="user/*.cruds",
    )
    made.caller(
        "XA",
        Role.PROFESSIONAL,
        fhir_user="Practitioner/x",
        profession="10",
        patient="a",
        scopes="patient/*.cruds",
    )
    yield made
    await made.client.aclose()
    await made.store.close()


def same_as_unknown(hidden, unknown, id):
    def told(answer, *names):
        text = answer.text
        for name in names:
            text = text.replace(name, "*")
        return answer.status_code, text

    names = {"etag", "last-modified", "location"}
    assert not names & {n.lower() for n in hidden.headers}
    assert told(hidden, id) == told(unknown, "unknown")
    assert hidden.status_code == 404


HIDDEN = ["Patient/b", "Observation/lab-b", "DocumentReference/doc-b", "Binary/doc-b-b"]


@pytest.mark.parametrize("url", HIDDEN)
@pytest.mark.parametrize("suffix", ["", "/_history", "/_history/1"])
async def test_hidden_instance_is_answered_like_an_unknown_one(door, url, suffix):
    type, id = url.split("/")
    for name in ("tA", "XA", "X"):
        hidden = await door.get(name, f"{type}/{id}{suffix}")
        unknown = await door.get(name, f"{type}/unknown{suffix}")
        same_as_unknown(hidden, unknown, id)


@pytest.mark.parametrize("url", ["Observation/lab-b", "DocumentReference/doc-b"])
async def test_hidden_instance_cannot_be_written(door, url):
    type, id = url.split("/")
    body = (observation if type == "Observation" else document)(id, "a")
    patch = [{"op": "replace", "path": "/status", "value": "amended"}]
    for name in ("A", "XA", "X"):
        for method, sent, kind in (
            ("PUT", body, "application/fhir+json"),
            ("PATCH", patch, "application/json-patch+json"),
            ("DELETE", None, "application/fhir+json"),
        ):
            hidden = await door.ask(name, method, url, sent, content_type=kind)
            other = {**body, "id": "unknown"} if method == "PUT" else sent
            unknown = await door.ask(name, method, f"{type}/unknown", other, content_type=kind)
            assert hidden.status_code == unknown.status_code
            assert hidden.text.replace(id, "*") == unknown.text.replace("unknown", "*")
            assert hidden.headers.get("etag") == unknown.headers.get("etag")
    assert (await door.get("open", url)).json()["meta"]["versionId"] == "1"


async def test_percent_encoding_and_case_open_nothing(door):
    for url in ("Patient/%62", "Patient/%42", "patient/b", "Patient/./b", "Patient//b"):
        assert (await door.get("tA", url)).status_code in (400, 404)


async def test_searches_of_every_type_show_own_data_only(door):
    from fhirserver.access.decision.tables import resource_types

    for type in resource_types().record:
        for found in await door.ids("tA", type):
            assert found.split("/")[1] not in ("b", "lab-b", "doc-b"), found
    assert await door.ids("tA", "Observation?subject=Patient/a,Patient/b") == [
        "Observation/lab-a",
        "Observation/vital-a",
    ]
    answer = await door.get("tA", "Observation?subject=Patient/b&_total=accurate")
    assert answer.json()["total"] == 0


async def test_includes_and_reverse_includes_bring_nothing_hidden(door):
    await door.put(
        observation("cross", "b", focus=[{"reference": "Patient/a"}]),
        observation("out", "a", focus=[{"reference": "Patient/b"}]),
    )
    for query in (
        "Patient?_id=a&_revinclude=Observation:focus",
        "Patient?_id=a&_revinclude=*",
        "Patient?_id=a&_revinclude:iterate=Observation:focus&_include:iterate=Observation:focus",
        "Observation?_id=out&_include=Observation:focus",
        "Observation?_id=out&_include=*",
    ):
        for name in ("tA", "X"):
            found = await door.ids(name, query)
            assert "Observation/cross" not in found
            assert "Patient/b" not in found


async def test_performer_and_author_do_not_make_data_theirs(door):
    await door.put(observation("by-a", "b", performer=[{"reference": "Patient/a"}]))
    assert (await door.get("tA", "Observation/by-a")).status_code == 404
    assert "Observation/by-a" not in await door.ids("tA", "Observation")


async def test_has_and_chain_need_the_other_type_and_see_only_what_is_visible(door):
    door.caller("P", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes="patient/Patient.rs")
    for query in (
        "Patient?_has:Observation:patient:status=final",
        "Patient?_has:Observation:patient:status=none",
    ):
        assert (await door.get("P", query)).status_code == 403
    await door.put(document("deep", "a", "11488-4", labels=["MASQUE_PS"], description="zzz"))
    assert await door.ids("X", "Patient?_has:DocumentReference:patient:description=zzz") == []
    assert await door.ids("A", "Patient?_has:DocumentReference:patient:description=zzz") == [
        "Patient/a"
    ]
    assert await door.ids("X", "Observation?subject:Patient._id=b") == []


async def test_counts_tell_of_visible_resources_only(door):
    for query in ("Observation?_summary=count", "Observation?_total=accurate"):
        assert (await door.get("X", query)).json()["total"] == 2
        assert (await door.get("tA", query)).json()["total"] == 2


async def test_pages_are_full_when_half_is_hidden(door):
    await door.put(*(observation(f"p{n:02}", "a" if n % 2 else "b", "therapy") for n in range(50)))
    for name in ("tA", "X"):
        sizes, url = [], "Observation?category=therapy&_count=10"
        while url:
            page = (await door.get(name, url)).json()
            sizes.append(len(page.get("entry", [])))
            url = next((e["url"] for e in page["link"] if e["relation"] == "next"), None)
        assert sizes == [10, 10, 5]


async def test_history_forgets_what_is_hidden_now(door):
    await door.put(document("doc-a", "a", labels=["MASQUE_PS"]))
    assert (await door.get("X", "DocumentReference/doc-a/_history/1")).status_code == 404
    for url in ("DocumentReference/_history", "_history", "_history?_since=2020-01-01"):
        found = await door.ids("X", url)
        assert "DocumentReference/doc-a" not in found
        assert not [f for f in found if f.endswith("b")]
    assert "DocumentReference/doc-a" in await door.ids("A", "_history?_count=1000")


async def test_scope_constraint_binds_read_search_include_and_writes(door):
    lab = "patient/Patient.rs patient/Observation.cruds?category=laboratory"
    door.caller("lab", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes=lab)
    same_as_unknown(
        await door.get("lab", "Observation/vital-a"),
        await door.get("lab", "Observation/unknown"),
        "vital-a",
    )
    assert await door.ids("lab", "Observation") == ["Observation/lab-a"]
    assert "Observation/vital-a" not in await door.ids(
        "lab", "Patient?_id=a&_revinclude=Observation:subject"
    )
    assert "Observation/vital-a" not in await door.ids("lab", "Patient/a/$everything")
    vital, wrong = observation("v", "a", "vital-signs"), observation("lab-a", "a", "vital-signs")
    assert (await door.ask("lab", "POST", "Observation", vital)).status_code == 403
    assert (await door.ask("lab", "PUT", "Observation/lab-a", wrong)).status_code == 403
    assert (await door.ask("lab", "DELETE", "Observation/vital-a")).status_code in (200, 204)
    assert (await door.get("open", "Observation/vital-a")).status_code == 200


@pytest.mark.parametrize(
    "scope", ["patient/Observation.rs?nothing=x", "patient/Observation.rs?code:not=x"]
)
async def test_constraint_that_cannot_be_searched_by_gives_nothing(door, scope):
    door.caller("s", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes=scope)
    answer = await door.ask("s", "GET", "Observation", prefer="handling=lenient")
    assert answer.status_code == 403


async def test_each_letter_is_needed(door):
    def may(letters):
        door.caller(
            "l", Role.CITIZEN, fhir_user="Patient/a", patient="a",
            scopes=f"patient/Observation.{letters}",
        )  # fmt: skip

    async def status(method, url, body=None, **headers):
        return (await door.ask("l", method, url, body, **headers)).status_code

    new = observation("n", "a")
    may("r")
    assert await status("GET", "Observation/lab-a") == 200
    assert await status("GET", "Observation") == 403
    assert await status("GET", "Observation/_history") == 403
    assert await status("GET", "Observation/lab-a/_history") == 200
    may("s")
    assert await status("GET", "Observation") == 200
    assert await status("GET", "Observation/lab-a") == 403
    assert await status("GET", "Observation/lab-a/_history/1") == 403
    assert await status("POST", "Observation", new, if_none_exist="_id=lab-a") == 403
    may("c")
    assert await status("POST", "Observation", new) == 201
    assert await status("POST", "Observation", new, if_none_exist="_id=lab-a") == 403
    may("cs")
    assert await status("POST", "Observation", new, if_none_exist="_id=lab-a") == 200
    may("u")
    assert await status("PUT", "Observation/lab-a", observation("lab-a", "a")) == 200
    assert await status("GET", "Observation/lab-a") == 403
    may("d")
    assert await status("DELETE", "Observation?_id=lab-a") == 403
    may("s")
    assert await status("DELETE", "Observation?_id=zzz") == 403


async def test_forbidden_is_the_same_whether_there_is_anything(door):
    door.caller("o", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes="patient/Patient.rs")
    answers = {
        (await door.get("o", url)).text.replace("lab-a", "*").replace("zzz", "*")
        for url in ("Observation/lab-a", "Observation/zzz")
    }
    assert len(answers) == 1
    assert (await door.get("o", "Observation?_id=lab-a")).status_code == 403
    assert (await door.get("o", "AllergyIntolerance")).status_code == 403


async def test_scopes_of_one_type_give_no_other(door):
    scopes = "patient/Observation.rs user/Organization.rs"
    door.caller("m", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes=scopes)
    assert (await door.get("m", "Patient")).status_code == 403
    door.caller("n", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes="patient/Patient.rs")
    assert await door.ids("n", "?_type=Patient,Condition,Observation") == ["Patient/a"]


async def test_patient_scope_without_a_patient_is_never_unfiltered(door):
    door.caller(
        "w", Role.PROFESSIONAL, fhir_user="Practitioner/x", profession="10", scopes="patient/*.rs"
    )
    for url in ("Patient", "Observation", "Patient/a"):
        assert (await door.get("w", url)).status_code == 403
    door.caller("v", Role.CITIZEN, scopes="patient/*.rs user/*.rs")
    for url in ("Patient", "Observation", "Patient/a"):
        assert (await door.get("v", url)).status_code in (403, 404)


async def test_launch_context_is_the_patient_and_not_the_panel(door):
    await door.put(consent("team-b", "b", actor="Practitioner/x"))
    assert await door.ids("XA", "Patient") == ["Patient/a"]
    assert await door.ids("X", "Patient") == ["Patient/a", "Patient/b"]


async def test_withdrawal_acts_on_the_next_call(door):
    everything = await door.ids("XA", "Patient/a/$everything")
    assert "Observation/lab-a" in everything
    assert "DocumentReference/masked-a" not in everything
    team = consent("team-a", "a", actor="Practitioner/x")
    assert (
        await door.ask("A", "PUT", "Consent/team-a", team | {"status": "inactive"})
    ).status_code == 200
    for name in ("X", "XA"):
        assert (await door.get(name, "Patient/a")).status_code == 404
        assert await door.ids(name, "Observation") == []
    assert (await door.get("XA", "Patient/a/$everything")).status_code == 404


async def test_period_that_ended_gives_no_access(door):
    end = {"end": "2026-11-24T13:00:00Z"}
    await door.put(consent("team-a", "a", actor="Practitioner/x", period=end))
    assert (await door.get("XA", "Patient/a")).status_code == 200
    door.later(hours=2)
    assert (await door.get("XA", "Patient/a")).status_code == 404
    assert await door.ids("X", "Patient") == []


async def test_permission_with_exceptions_nobody_understands_permits_nothing(door):
    nested = consent("team-a", "a", actor="Practitioner/x", provision=[{"type": "deny"}])
    await door.put(nested)
    assert (await door.get("XA", "Patient/a")).status_code == 404
    answer = await door.ask("A", "POST", "Consent", nested)
    assert answer.status_code == 422


async def test_app_cannot_grant_itself_consent(door):
    door.caller(
        "app", Role.CITIZEN, fhir_user="Patient/a", patient="a", client="steps",
        scopes="patient/*.cruds",
    )  # fmt: skip
    assert (await door.get("app", "?_type=Observation,DocumentReference")).status_code == 403
    grant = consent("self", "a", actor="Device/steps")
    assert (await door.ask("app", "POST", "Consent", grant)).status_code == 403
    assert (await door.get("app", "Observation/lab-a")).status_code in (403, 404)
    resource_type = {"system": "http://hl7.org/fhir/resource-types", "code": "Observation"}
    grant["provision"]["class"] = [resource_type]
    assert (await door.ask("A", "POST", "Consent", grant)).status_code == 201
    assert (await door.get("app", "Observation/lab-a")).status_code == 200
    assert (await door.get("app", "DocumentReference/doc-a")).status_code in (403, 404)
    for body in (grant, {**grant, "status": "inactive"}):
        assert (await door.ask("app", "POST", "Consent", body)).status_code == 403


async def test_professional_writes_down_a_permission_but_no_other_choice(door):
    given = consent("g", "b", actor="Practitioner/x")
    blocked = consent("block", "b", "deny", actor="Practitioner/x")
    await door.put(blocked)
    assert (await door.ask("X", "POST", "Consent", given)).status_code == 201
    assert (await door.get("X", "Patient/b")).status_code == 404
    for wrong in (
        consent("w", "a", "deny", actor="Practitioner/y"),
        consent("w", "a", actor="Device/steps"),
        consent("w", "a", "deny", category="OPTOUT"),
        {**given, "performer": [{"reference": "Practitioner/x"}]},
    ):
        assert (await door.ask("X", "POST", "Consent", wrong)).status_code == 403


async def test_blocked_professional_sees_nothing_in_any_mode(door):
    await door.put(consent("block", "a", "deny", actor="Practitioner/x"))
    for mode in (Mode.NORMAL, Mode.BRIS_DE_GLACE, Mode.CENTRE_15):
        door.caller(
            "blocked", Role.PROFESSIONAL, fhir_user="Practitioner/x", profession="10",
            patient="a", mode=mode, reason="coma", scopes="patient/*.rs",
        )  # fmt: skip
        assert (await door.get("blocked", "Patient/a")).status_code == 404


async def test_labels_are_lowered_by_holder_author_or_administrator_only(door):
    label = [{"system": MASK, "code": "MASQUE_PS"}]
    await door.put(
        observation(
            "labelled", "a", meta={"security": label}, performer=[{"reference": "Practitioner/y"}]
        ),
        patient("a", birthDate="1980-01-01", generalPractitioner=[{"reference": "Practitioner/g"}]),
        consent("team-y", "a", actor="Practitioner/y"),
        consent("team-g", "a", actor="Practitioner/g"),
        observation("restricted", "a", meta={"security": [{"system": "x", "code": "R"}]}),
    )
    assert (await door.get("X", "Observation/labelled")).status_code == 404
    lowered = observation("restricted", "a")
    assert (await door.ask("X", "PUT", "Observation/restricted", lowered)).status_code == 403
    removal = {
        "resourceType": "Parameters",
        "parameter": [{"name": "meta", "valueMeta": {"security": [{"system": "x", "code": "R"}]}}],
    }
    answer = await door.ask("X", "POST", "Observation/restricted/$meta-delete", removal)
    assert answer.status_code == 403
    for name, id in (("Y", "y"), ("G", "g")):
        door.caller(
            name, Role.PROFESSIONAL, fhir_user=f"Practitioner/{id}", profession="10",
            scopes="user/*.cruds",
        )  # fmt: skip
        assert (await door.get(name, "Observation/labelled")).status_code == 200
    masked = document("masked-a", "a", labels=[])
    answer = await door.ask("A", "PUT", "DocumentReference/masked-a", masked)
    assert answer.status_code == 200, answer.text
    assert (await door.get("X", "DocumentReference/masked-a")).status_code == 200


async def test_citizen_labels_a_document_of_others_and_changes_nothing_else(door):
    changed = document("doc-a", "a", labels=["MASQUE_PS"])
    assert (await door.ask("A", "PUT", "DocumentReference/doc-a", changed)).status_code == 200
    for wrong in (changed | {"status": "superseded"}, document("doc-a", "a", type="60591-5")):
        assert (await door.ask("A", "PUT", "DocumentReference/doc-a", wrong)).status_code == 403
    assert (await door.ask("A", "DELETE", "DocumentReference/doc-a")).status_code == 403
    own = await door.ask(
        "A", "POST", "DocumentReference",
        document("x", "a", author="Patient/a", content=[{"attachment": {"title": "t"}}]),
    )  # fmt: skip
    assert own.status_code == 201, own.text
    url = re.sub(r"/_history.*", "", own.headers["location"])
    assert (await door.ask("A", "DELETE", url)).status_code in (200, 204)


async def test_binary_is_as_hidden_as_its_document(door):
    for name, visible in (("X", ["doc-a-b"]), ("A", ["doc-a-b", "masked-a-b"])):
        for id in ("doc-a-b", "masked-a-b", "doc-b-b"):
            expected = 200 if id in visible else 404
            assert (await door.get(name, f"Binary/{id}")).status_code == expected, (name, id)
    # A second document of one's own does not lay open what the first one hides.
    opened = document("mine", "a", author="Practitioner/x")
    opened["content"] = [{"attachment": {"url": "Binary/masked-a-b"}}]
    assert (await door.ask("X", "POST", "DocumentReference", opened)).status_code == 403
    await door.put(opened)
    assert (await door.get("X", "Binary/masked-a-b")).status_code == 404


async def test_batch_judges_each_entry_and_transaction_all(door):
    def entries(*requests):
        return [
            {"request": {"method": m, "url": u}, **({"resource": r} if r else {})}
            for m, u, r in requests
        ]

    listed = entries(
        ("GET", "Observation/lab-a", None),
        ("GET", "Observation/lab-b", None),
        ("POST", "Observation", observation("n", "b")),
    )
    batch = {"resourceType": "Bundle", "type": "batch", "entry": listed}
    answer = (await door.ask("A", "POST", "", batch)).json()
    assert [e["response"]["status"][:3] for e in answer["entry"]] == ["200", "404", "403"]
    mixed = entries(
        ("POST", "Observation", observation("n", "a", "activity")),
        ("POST", "Observation", observation("n", "b", "activity")),
    )
    transaction = {"resourceType": "Bundle", "type": "transaction", "entry": mixed}
    if door.store.capabilities.transactions:
        assert (await door.ask("A", "POST", "", transaction)).status_code == 403
    assert await door.ids("open", "Observation?category=activity") == []
    door.caller(
        "c", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes="patient/Observation.c"
    )
    reading = entries(
        ("POST", "Observation", observation("n", "a", "activity")),
        ("GET", "Observation?category=activity", None),
    )
    transaction = {"resourceType": "Bundle", "type": "transaction", "entry": reading}
    assert (await door.ask("c", "POST", "", transaction)).status_code == 403
    assert await door.ids("open", "Observation?category=activity") == []


async def test_conditional_reference_is_no_oracle(door):
    system = "urn:oid:1.2.250.1.213.1.4.10"
    known = [{"system": system, "value": "279035121518989"}]
    await door.put(patient("b", identifier=known))
    statuses = []
    for value in ("279035121518989", "000000000000000"):
        linked = observation(
            "n", "a", focus=[{"reference": f"Patient?identifier={system}|{value}"}]
        )
        entry = [{"resource": linked, "request": {"method": "POST", "url": "Observation"}}]
        body = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
        answer = await door.ask("A", "POST", "", body)
        statuses.append((answer.status_code, answer.text.replace(value, "*")))
    assert statuses[0] == statuses[1]
    assert statuses[0][0] == 412


async def test_break_glass_needs_a_reason_and_never_opens_what_is_masked(door):
    def breaks(**parts):
        given = {"profession": "10", "patient": "b", "reason": "unconscious"} | parts
        door.caller(
            "btg", Role.PROFESSIONAL, fhir_user="Practitioner/x", mode=Mode.BRIS_DE_GLACE,
            scopes="patient/*.rs user/*.rs", **given,
        )  # fmt: skip

    await door.put(document("masked-b", "b", labels=["MASQUE_PS"]))
    breaks()
    assert await door.ids("btg", "DocumentReference") == ["DocumentReference/doc-b"]
    assert await door.ids("btg", "Patient") == ["Patient/b"]
    for refused in ({"reason": " "}, {"profession": "28"}, {"patient": None}):
        breaks(**refused)
        assert (await door.get("btg", "Patient/b")).status_code in (403, 404), refused
    btg = {"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "BTG"}
    await door.put(consent("opposed", "b", "deny", purpose=[btg]))
    breaks()
    assert (await door.get("btg", "Patient/b")).status_code == 404
    door.caller(
        "c15", Role.PROFESSIONAL, fhir_user="Practitioner/x", profession="10", patient="b",
        mode=Mode.CENTRE_15, scopes="patient/*.rs",
    )  # fmt: skip
    assert (await door.get("c15", "Patient/b")).status_code == 200


@pytest.mark.parametrize("mode", [Mode.BRIS_DE_GLACE, Mode.CENTRE_15])
async def test_what_is_private_stays_closed_in_emergencies(door, mode):
    message = {
        "resourceType": "Communication",
        "id": "message",
        "status": "completed",
        "subject": {"reference": "Patient/b"},
        "sender": {"reference": "Practitioner/y"},
        "recipient": [{"reference": "Patient/b"}],
        "payload": [{"contentString": "..."}],
    }
    masked = document("masked-b", "b", labels=["MASQUE_PS"])
    await door.put(message, masked, binary("masked-b-b"), consent("choice", "b", "permit"))
    door.caller(
        "btg", Role.PROFESSIONAL, fhir_user="Practitioner/x", profession="10", patient="b",
        mode=mode, reason="unconscious", scopes="patient/*.rs",
    )  # fmt: skip
    assert (await door.get("btg", "Observation/lab-b")).status_code == 200
    closed = ("Communication/message", "Consent/choice", "DocumentReference/masked-b")
    for path in (*closed, "Binary/masked-b-b"):
        assert (await door.get("btg", path)).status_code == 404, path
        type, id = path.split("/")
        if type != "Binary":
            assert await door.ids("btg", f"{type}?_id={id}") == [], path
    assert not {*closed} & {*await door.ids("btg", "Patient/b/$everything?_count=100")}


async def test_nobody_writes_traces_and_each_sees_their_own(door):
    def event(id, whose, who):
        return {
            "resourceType": "AuditEvent",
            "id": id,
            "type": {"code": "rest"},
            "recorded": "2026-11-24T10:00:00Z",
            "agent": [{"requestor": True, "who": {"reference": who}}],
            "source": {"observer": {"display": "server"}},
            "entity": [{"what": {"reference": f"Patient/{whose}"}}],
        }

    await door.put(
        event("1", "a", "Practitioner/x"),
        event("2", "b", "Practitioner/y"),
        event("3", "a", "Practitioner/y"),
    )
    assert await door.ids("A", "AuditEvent") == ["AuditEvent/1", "AuditEvent/3"]
    assert await door.ids("X", "AuditEvent") == ["AuditEvent/1"]
    for name in ("A", "X"):
        answer = await door.ask(name, "PUT", "AuditEvent/1", event("1", "b", "Practitioner/y"))
        assert answer.status_code in (403, 405)


async def test_operator_sees_no_health_data(door):
    door.caller("op", Role.OPERATOR, scopes="system/*.cruds user/*.cruds")
    assert (await door.get("op", "Patient")).status_code == 403
    assert (await door.get("op", "Observation/lab-a")).status_code == 403
    assert await door.ids("op", "Practitioner") == ["Practitioner/x", "Practitioner/y"]


async def test_service_feeds_without_consent_and_reads_with_it(door):
    door.caller("his", Role.SYSTEM, organization="Organization/h", scopes="system/*.cruds")
    new = document("n", "b", author="Organization/h", content=[{"attachment": {"title": "t"}}])
    made = await door.ask("his", "POST", "DocumentReference", new)
    assert made.status_code == 201
    assert (await door.get("his", "Observation/lab-b")).status_code == 404
    await door.put(consent("h", "b", actor="Organization/h"))
    assert (await door.get("his", "Observation/lab-b")).status_code == 200
    await door.put(consent("opposed", "b", "deny", category="ICOL"))
    assert (await door.ask("his", "POST", "DocumentReference", new)).status_code == 403
    for method in ("GET", "POST"):
        assert (await door.ask("his", method, "Patient/$reindex")).status_code in (400, 403, 405)
