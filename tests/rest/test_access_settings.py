"""Settings of the access rules, and the rules on writes of the citizen's choices, in the real
application with `--auth smart`."""

import asyncio
import os
import uuid

import pytest
from access_door import choice, consent, document, observation, patient
from over_http import database_in
from token_door import close_door, open_door

from fhirserver.access.decision.settings import AccessSettings
from fhirserver.app import access_of
from fhirserver.settings import Settings

PAUL = {"fhir_user": "Practitioner/paul", "profession": "10"}


@pytest.fixture(params=["sqlite", "mongodb"])
async def opens(request, tmp_path):
    """Opens the application with the settings given."""
    opened = []

    async def make(**settings):
        if request.param == "sqlite":
            database = f"sqlite:///{tmp_path}/{len(opened)}.db"
        elif url := os.environ.get("FHIRSERVER_TEST_MONGODB"):
            database = database_in(url, f"settings_{uuid.uuid4().hex[:12]}")
        else:
            pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
        opened.append(await open_door(database, **settings))
        door = opened[-1][0]
        await door.put({"resourceType": "Practitioner", "id": "paul"}, patient("a"), patient("b"))
        await door.give("A", "citizen", fhir_user="Patient/a", patient="a")
        return door

    yield make
    for door, lifespan in opened:
        await close_door(door, lifespan)


def test_defaults_of_the_settings_are_those_of_the_rules():
    assert access_of(Settings(_env_file=None)) == AccessSettings()


def test_every_open_point_is_a_setting():
    changed = Settings(
        _env_file=None,
        access_active_needed="false",
        access_blocked_in_emergency="false",
        access_break_glass_professions="10",
        access_centre_15_professions="10,60",
        access_masked_for_administrator="false",
        access_masked_in_emergency="false",
        access_invisible_months="2",
        access_system_profession="60",
        access_existence_by_ins="system,professional",
        access_professionals_collect_consent="false",
        access_apps="steps=Device/steps",
        registrars="cnam",
        access_client_ids="true",
        access_majority="21",
        access_seconds="2",
        access_longest_seconds="30",
    )
    found, safe = access_of(changed), AccessSettings()
    for name in AccessSettings.__dataclass_fields__:
        assert getattr(found, name) != getattr(safe, name), name
    assert found.apps == {"steps": "Device/steps"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"access_break_glass_professions": "10,nobody"},
        {"access_system_profession": ""},
        {"access_existence_by_ins": "citizen"},
        {"access_apps": "steps"},
        {"access_apps": "steps=Patient/1"},
        {"access_majority": 3},
    ],
)
def test_a_setting_that_means_nothing_is_refused(wrong):
    with pytest.raises(ValueError):
        Settings(_env_file=None, **wrong)


async def test_the_professions_that_break_the_glass_are_the_operators(opens):
    for professions, status in (("10", 200), ("60", 404)):
        door = await opens(access_break_glass_professions=professions)
        await door.give(
            "btg", "professional", **PAUL, patient="a", mode="bris_de_glace", reason="coma"
        )
        assert (await door.get("btg", "Patient/a")).status_code == status


async def test_a_blocked_professional_in_an_emergency_is_as_the_operator_settled(opens):
    for blocked, status in (("true", 404), ("false", 200)):
        door = await opens(access_blocked_in_emergency=blocked)
        await door.put(consent("block", "a", "deny", actor="Practitioner/paul"))
        await door.give(
            "btg", "professional", **PAUL, patient="a", mode="bris_de_glace", reason="coma"
        )
        assert (await door.get("btg", "Patient/a")).status_code == status


async def test_what_is_masked_in_an_emergency_is_as_the_operator_settled(opens):
    for masked, status in (("true", 404), ("false", 200)):
        door = await opens(access_masked_in_emergency=masked)
        await door.put(
            document("m", "a", labels=["MASQUE_PS"]),
            document("v", "a", meta={"security": [{"code": "V"}]}),
            consent("team", "a", actor="Practitioner/paul"),
        )
        await door.give(
            "btg", "professional", **PAUL, patient="a", mode="bris_de_glace", reason="coma"
        )
        await door.give("paul", "professional", **PAUL)
        assert (await door.get("btg", "DocumentReference/m")).status_code == status
        assert (await door.get("btg", "DocumentReference/v")).status_code == 404
        assert (await door.get("paul", "DocumentReference/m")).status_code == 404


async def test_an_app_outside_the_catalogue_needs_the_citizens_authorisation(opens):
    door = await opens(access_apps="steps=Device/steps")
    await door.put(observation("o", "a"))
    await door.give("app", "citizen", fhir_user="Patient/a", patient="a", client="steps")
    assert (await door.get("app", "Observation/o")).status_code in (403, 404)
    assert (await door.get("A", "Observation/o")).status_code == 200


async def test_new_documents_are_masked_when_the_citizen_chose_so(opens):
    door = await opens()
    await door.put(choice("choice-mask-by-default"), consent("t", "a", actor="Organization/h"))
    await door.give("his", "system", "system/*.cruds", organization="Organization/h")
    by_others = document(
        "d",
        "a",
        author="Organization/h",
        content=[{"attachment": {"contentType": "text/plain", "data": "dA=="}}],
    )
    made = await door.ask("his", "POST", "DocumentReference", by_others)
    assert made.status_code == 201, made.text
    assert len(await door.ids("A", "DocumentReference?security-label=MASQUE_PS")) == 1
    own = by_others | {"author": [{"reference": "Patient/a"}]}
    assert (await door.ask("A", "POST", "DocumentReference", own)).status_code == 201
    assert len(await door.ids("A", "DocumentReference?security-label=MASQUE_PS")) == 1


def carer(whose, number="1", **more):
    system = "urn:oid:1.2.250.1.213.1.4.10"
    return (
        choice("choice-carer")
        | {
            "id": f"{whose}-{number}",
            "patient": {"reference": f"Patient/{whose}"},
            "identifier": [{"system": system, "value": f"carer-{number}"}],
        }
        | more
    )


async def test_a_person_has_at_most_three_carers(opens):
    door = await opens()
    await door.put(carer("a", "1"), carer("a", "2"), carer("a", "over", period={"end": "2020"}))
    other = choice("choice-second-parent") | {"patient": {"reference": "Patient/a"}}
    await door.put(other | {"id": "parent"})
    new = await asyncio.gather(
        *(door.ask("A", "POST", "RelatedPerson", carer("a", str(n))) for n in range(10, 14))
    )
    assert sorted(answer.status_code for answer in new) == [201, 422, 422, 422]
    refused = next(answer for answer in new if answer.status_code == 422).json()["issue"][0]
    assert refused["code"] == "business-rule"
    assert refused["expression"] == ["RelatedPerson.patient"]
    # Whoever goes makes room; one that is changed is no new one.
    changed = carer("a", "1", active=False)
    assert (await door.ask("A", "PUT", "RelatedPerson/a-1", changed)).status_code == 200
    renamed = carer("a", "2", name=[{"text": "Sophie"}])
    assert (await door.ask("A", "PUT", "RelatedPerson/a-2", renamed)).status_code == 200
    assert (await door.ask("A", "POST", "RelatedPerson", carer("a", "9"))).status_code == 201
    again = await door.ask("A", "PUT", "RelatedPerson/a-1", carer("a", "1"))
    assert again.status_code == 422


async def test_a_carer_cares_for_at_most_five_persons(opens):
    door = await opens(persons_of_carer=2)
    await door.put(carer("b", "1"), carer("c", "1"))
    refused = await door.ask("A", "POST", "RelatedPerson", carer("a", "1"))
    assert refused.status_code == 422
    assert refused.json()["issue"][0]["expression"] == ["RelatedPerson.identifier"]
    assert (await door.ask("A", "POST", "RelatedPerson", carer("a", "2"))).status_code == 201


async def test_carers_of_one_transaction_are_counted_together(opens):
    door = await opens()
    if not door.store.capabilities.transactions:
        pytest.skip(door.store.capabilities.reason)
    entry = [
        {"request": {"method": "POST", "url": "RelatedPerson"}, "resource": carer("a", str(n))}
        for n in range(4)
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entry}
    assert (await door.ask("A", "POST", "", bundle)).status_code == 422
    bundle["entry"] = entry[:3]
    assert (await door.ask("A", "POST", "", bundle)).status_code == 200
