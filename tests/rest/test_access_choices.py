"""Each choice of docs/access.md, written as its example by an ordinary client, does what the table
says; and takes it back when the resource is no longer active."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from access_door import binary, choice, consent, document, observation, open_door, patient

from fhirserver.access.caller import Mode, Role

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "access.md").read_text()
LINES = (ROOT / "examples" / "choices.ndjson").read_text().splitlines()
EXAMPLES = {resource["id"]: resource for resource in map(json.loads, LINES)}
TABLE = re.findall(r"^\| [^|]+ \| `(choice-[a-z0-9-]+)` \|", PAGE, re.MULTILINE)


def test_the_page_shows_every_example_in_full():
    shown = [json.loads(block) for block in re.findall(r"```json\n(.*?)\n```", PAGE, re.DOTALL)]
    assert {resource["id"]: resource for resource in shown} == EXAMPLES
    assert list(EXAMPLES) == TABLE


@pytest.fixture
async def door(tmp_path):
    made = await open_door(
        f"sqlite:///{tmp_path}/door.db", apps={"vaccins": "Device/mon-carnet-vaccins"}
    )
    made.now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    await made.put(
        {"resourceType": "Practitioner", "id": "paul-mercier"},
        patient("a", birthDate="2015-01-01"),
        observation("o", "a"),
        document("d", "a"),
        binary("d-b"),
        {
            "resourceType": "Immunization",
            "id": "i",
            "status": "completed",
            "vaccineCode": {"text": "x"},
            "patient": {"reference": "Patient/a"},
            "occurrenceString": "x",
        },
        {
            "resourceType": "CareTeam",
            "id": "camille-equipe",
            "status": "active",
            "subject": {"reference": "Patient/a"},
            "participant": [{"member": {"reference": "Practitioner/paul-mercier"}}],
        },
    )
    made.caller("A", Role.CITIZEN, fhir_user="Patient/a", patient="a", scopes="patient/*.cruds")
    for name, mode in (
        ("paul", Mode.NORMAL),
        ("glass", Mode.BRIS_DE_GLACE),
        ("samu", Mode.CENTRE_15),
    ):
        made.caller(
            name, Role.PROFESSIONAL, fhir_user="Practitioner/paul-mercier", profession="10",
            organization="Organization/msp-violettes", patient="a", mode=mode, reason="coma",
            scopes="patient/*.cruds user/*.cruds",
        )  # fmt: skip
    made.caller(
        "his", Role.SYSTEM, organization="Organization/ch-picardie", scopes="system/*.cruds"
    )
    made.caller(
        "app", Role.CITIZEN, fhir_user="Patient/a", patient="a", client="vaccins",
        scopes="patient/*.rs",
    )  # fmt: skip
    for name in ("carer", "second-parent", "guardian"):
        made.caller(
            name, Role.PROXY, fhir_user=f"RelatedPerson/choice-{name}", patient="a",
            scopes="patient/*.cruds",
        )  # fmt: skip
    yield made
    await made.client.aclose()
    await made.store.close()


def team():
    return consent("team", "a", actor="Practitioner/paul-mercier")


async def sees(door, name, url="Observation/o"):
    status = (await door.get(name, url)).status_code
    assert status in (200, 403, 404)
    type, _, id = url.partition("/")
    if status != 403:
        assert (await door.ids(name, f"{type}?_id={id}") == [url]) is (status == 200)
    return status == 200


async def feeds(door, name):
    new = document(
        "n", "a", author="Organization/ch-picardie", content=[{"attachment": {"title": "t"}}]
    )
    return (await door.ask(name, "POST", "DocumentReference", new)).status_code == 201


#: choice -> (who looks, what is there beforehand, what is seen without the choice, and with it)
SEEN = {
    "choice-close-space": ("paul", [team], True, False),
    "choice-permit-professional": ("paul", [], False, True),
    "choice-permit-organization": ("paul", [], False, True),
    "choice-permit-care-team": ("paul", [], False, True),
    "choice-permit-consultation": ("paul", [], False, True),
    "choice-block-professional": ("paul", [team], True, False),
    "choice-refuse-all-professionals": ("paul", [team], True, False),
    "choice-oppose-break-glass": ("glass", [], True, False),
    "choice-oppose-centre-15": ("samu", [], True, False),
    "choice-carer": ("carer", [], False, True),
    "choice-second-parent": ("second-parent", [], False, True),
    "choice-guardian": ("guardian", [], False, True),
}


@pytest.mark.parametrize("id", SEEN)
async def test_choice_acts_and_stops_when_withdrawn(door, id):
    who, before, without, with_it = SEEN[id]
    await door.put(*(make() for make in before))
    assert await sees(door, who) is without
    made = choice(id)
    if id == "choice-guardian":
        await door.put(patient("a", birthDate="1950-01-01"))
    if made["resourceType"] == "Consent":
        assert (await door.ask("A", "POST", "Consent", made)).status_code == 201
    await door.put(made)
    assert await sees(door, who) is with_it
    assert await sees(door, "A") is True
    ended = {"active": False} if made["resourceType"] == "RelatedPerson" else {"status": "inactive"}
    await door.put(made | ended)
    listed = (await door.get("open", "Consent?patient=a&status=active")).json()
    for entry in listed.get("entry", ()):
        if entry["resource"]["id"] != "team":
            await door.put(entry["resource"] | {"status": "inactive"})
    assert await sees(door, who) is without


async def test_closed_space_is_the_holders_alone_and_is_opened_again(door):
    await door.put(team(), choice("choice-close-space"))
    assert await sees(door, "A") is True
    assert not await feeds(door, "his")
    assert not await sees(door, "glass")
    assert (await door.ask("A", "POST", "Observation", observation("n", "a"))).status_code == 403
    closing = choice("choice-close-space") | {"status": "inactive"}
    answer = await door.ask("A", "PUT", "Consent/choice-close-space", closing)
    assert answer.status_code == 200
    await door.put(choice("choice-open-space"))
    assert await sees(door, "paul")


async def test_consultation_ends_with_its_period(door):
    await door.put(choice("choice-permit-consultation"))
    assert await sees(door, "paul")
    door.later(hours=8)
    assert not await sees(door, "paul")


async def test_opposition_to_feeding_stops_that_author(door):
    assert await feeds(door, "his")
    await door.put(choice("choice-oppose-feeding"))
    assert not await feeds(door, "his")
    assert await door.ids("paul", "Observation") == []


async def test_app_reaches_what_it_is_authorised_for(door):
    assert not await sees(door, "app", "Immunization/i")
    await door.put(choice("choice-authorise-app"))
    assert await sees(door, "app", "Immunization/i")
    assert await sees(door, "app", "Patient/a")
    assert not await sees(door, "app", "Observation/o")
    await door.put(choice("choice-authorise-app") | {"status": "inactive"})
    assert not await sees(door, "app", "Immunization/i")


async def test_app_is_authorised_anew_at_eighteen(door):
    await door.put(choice("choice-authorise-app") | {"dateTime": "2026-11-02"})
    await door.put(patient("a", birthDate="2008-11-23"))
    assert not await sees(door, "app", "Immunization/i")
    await door.put(choice("choice-authorise-app") | {"dateTime": "2026-11-24"})
    assert await sees(door, "app", "Immunization/i")


async def test_parents_lose_access_when_the_child_comes_of_age(door):
    await door.put(choice("choice-second-parent"), patient("a", birthDate="2008-11-25"))
    assert await sees(door, "second-parent")
    door.later(days=2)
    assert not await sees(door, "second-parent")


async def test_what_a_minor_keeps_secret_is_hidden_from_representatives(door):
    await door.put(
        choice("choice-second-parent"),
        document("secret", "a", labels=["INVISIBLE_REPRESENTANTS_LEGAUX"]),
        binary("secret-b"),
    )
    assert await sees(door, "second-parent", "DocumentReference/d")
    assert not await sees(door, "second-parent", "DocumentReference/secret")
    assert (await door.get("second-parent", "Binary/secret-b")).status_code == 404
    assert await sees(door, "A", "DocumentReference/secret")


async def test_carer_makes_no_choices_and_changes_no_contacts(door):
    await door.put(choice("choice-carer"))
    for method, url, body in (
        ("POST", "Consent", choice("choice-close-space")),
        ("POST", "RelatedPerson", choice("choice-carer")),
        ("PUT", "Patient/a", patient("a", telecom=[{"system": "email", "value": "x@y"}])),
        ("DELETE", "Observation/o", None),
        ("GET", "AuditEvent", None),
    ):
        assert (await door.ask("carer", method, url, body)).status_code == 403, (method, url)
    assert (
        await door.ask("carer", "POST", "Observation", observation("n", "a"))
    ).status_code == 201


async def test_nobody_changes_the_birth_date_that_majority_follows_from(door):
    await door.put(choice("choice-second-parent"))
    younger = patient("a", birthDate="2020-01-01")
    assert (await door.ask("second-parent", "PUT", "Patient/a", younger)).status_code == 403


async def test_what_waits_to_be_announced_shows_after_a_month(door):
    await door.put(team(), document("news", "a", labels=["INVISIBLE_PATIENT"]), binary("news-b"))
    assert not await sees(door, "A", "DocumentReference/news")
    assert (await door.get("A", "Binary/news-b")).status_code == 404
    assert await sees(door, "paul", "DocumentReference/news")
    door.later(days=31)
    assert await sees(door, "A", "DocumentReference/news")
    assert (await door.get("A", "Binary/news-b")).status_code == 200


async def test_what_waits_without_a_date_or_with_one_to_come_shows_after_a_month_too(door):
    undated = document("undated", "a", labels=["INVISIBLE_PATIENT"])
    del undated["date"]
    coming = document("coming", "a", labels=["INVISIBLE_PATIENT"], date="2999-01-01T00:00:00Z")
    await door.put(undated, coming)
    for id in ("undated", "coming"):
        assert not await sees(door, "A", f"DocumentReference/{id}")
    door.later(days=32)
    for id in ("undated", "coming"):
        assert await sees(door, "A", f"DocumentReference/{id}")


async def test_matrix_decides_by_profession_and_refuses_unknown_types(door):
    await door.put(team(), document("psy", "a", "68599-0"), document("odd", "a", "99999-9"))
    expected = {"10": {"d", "psy"}, "60": {"d"}, "28": set(), "71": set(), "": set()}
    for profession, visible in expected.items():
        door.caller(
            "p", Role.PROFESSIONAL, fhir_user="Practitioner/paul-mercier", patient="a",
            profession=profession, scopes="patient/*.rs",
        )  # fmt: skip
        found = await door.ids("p", "DocumentReference")
        assert found == sorted(f"DocumentReference/{id}" for id in visible), profession
    twice = document("both", "a")
    twice["type"]["coding"].append({"system": "http://loinc.org", "code": "68599-0"})
    await door.put(twice)
    door.caller(
        "n", Role.PROFESSIONAL, fhir_user="Practitioner/paul-mercier", patient="a",
        profession="60", scopes="patient/*.rs",
    )  # fmt: skip
    assert not await sees(door, "n", "DocumentReference/both")


async def explained(door, name, **parameters):
    query = "&".join(f"{k}={v}" for k, v in parameters.items())
    answer = await door.get(name, f"Patient/a/$explain-access?{query}")
    if answer.status_code != 200:
        return answer.status_code
    first, *steps = answer.json()["parameter"]
    told = [tuple(part["valueCode"] for part in step["part"]) for step in steps]
    return first["valueCode"], {rule: (verdict, reason) for rule, verdict, reason in told}


async def test_explanation_follows_the_order_and_is_the_citizens_alone(door):
    await door.put(
        {
            "resourceType": "PractitionerRole",
            "id": "role",
            "practitioner": {"reference": "Practitioner/paul-mercier"},
            "code": [{"coding": [{"code": "10"}]}],
        },
        document("m", "a", labels=["MASQUE_PS"]),
    )
    asked = {"professional": "Practitioner/paul-mercier", "resource": "DocumentReference/m"}
    decision, steps = await explained(door, "A", **asked)
    assert decision == "deny"
    assert list(steps) == [
        "space-open",
        "professional-not-blocked",
        "emergency-entitled",
        "emergency-not-opposed",
        "treatment-relation",
        "document-matrix",
        "labels",
        "own-part",
    ]
    assert steps["treatment-relation"] == ("deny", "no-consent-recorded")
    assert steps["document-matrix"] == ("permit", "profession-reads-this-type")
    assert steps["labels"] == ("deny", "hidden-by-label")
    await door.put(team())
    assert (await explained(door, "A", **asked | {"resource": "DocumentReference/d"}))[
        0
    ] == "permit"
    await door.put(choice("choice-block-professional"))
    decision, steps = await explained(door, "A", **asked | {"resource": "DocumentReference/d"})
    assert steps["professional-not-blocked"] == ("deny", "blocked-by-citizen")
    emergency = asked | {"mode": "bris_de_glace"}
    await door.put(choice("choice-oppose-break-glass"))
    assert (await explained(door, "A", **emergency))[1]["emergency-not-opposed"][0] == "deny"
    for name in ("paul", "his", "app", "carer"):
        assert await explained(door, name, **asked) in (403, 404), name
    await door.put(choice("choice-second-parent"))
    assert (await explained(door, "second-parent", **asked))[0] == "deny"
    page_row = re.findall(r"`([a-z0-9-]+)` \|", PAGE)
    for verdict, reason in steps.values():
        assert verdict in ("permit", "deny", "not-applicable")
        if verdict != "not-applicable":
            assert reason in page_row


async def test_new_documents_are_masked_when_the_citizen_chose_so(door):
    from dataclasses import replace

    from fhirserver.access.store import PermittedStore
    from fhirserver.interaction.mask_by_default import MaskByDefaultBehaviour

    behaviour = MaskByDefaultBehaviour(PermittedStore(door.store))
    door.context = replace(door.context, behaviours=(behaviour,))
    await door.put(team(), choice("choice-mask-by-default"))
    assert await feeds(door, "his")
    assert await door.ids("paul", "DocumentReference") == ["DocumentReference/d"]
    assert len(await door.ids("A", "DocumentReference?security-label=MASQUE_PS")) == 1
