"""Files into a store: what is stored, what is refused, and that a rerun changes nothing."""

import json

import pytest
from load_files import dump, patient, post, tarred, transaction, zipped

from fhirserver.load import work

PATIENT = "urn:uuid:3f0a4c0e-8f57-4d0c-9a63-0a8d6f5f2b01"
OBSERVATION = "urn:uuid:3f0a4c0e-8f57-4d0c-9a63-0a8d6f5f2b02"


def observation(subject, **elements):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "weight"},
        "subject": {"reference": subject},
        **elements,
    }


def counts(report):
    return (report.created, report.updated, report.unchanged, report.refused)


async def test_every_form_of_file_is_loaded(load, stored):
    lines = b"\n".join(dump(patient(f"line{n}")) for n in range(3))
    report, said = await load(
        {
            "a.json": patient("single"),
            "b.ndjson.gz": lines,
            "c.zip": zipped({"x.json": dump(patient("zipped"))}),
            "d.tar.gz": tarred({"x.json": dump(patient("tarred"))}, "w"),
            "e.json": [patient("first"), patient("second")],
            "f.json": transaction({"resource": patient("held")}, type="collection"),
        }
    )
    assert said == []
    assert report.exit_code == 0
    ids = ["single", "line0", "line1", "line2", "zipped", "tarred", "first", "second", "held"]
    assert (await stored()).keys() == {f"Patient/{id}" for id in ids}


async def test_references_within_a_transaction_point_to_what_is_stored(load, stored):
    bundle = transaction(
        post(OBSERVATION, observation(PATIENT)), post(PATIENT, {"resourceType": "Patient"})
    )
    await load({"a.json": bundle})
    found = await stored()
    (reference,) = [
        r["subject"]["reference"] for r in found.values() if r["resourceType"] == "Observation"
    ]
    assert reference in found


async def test_running_again_changes_nothing(load, stored):
    files = {
        "a.json": transaction(
            post(PATIENT, {"resourceType": "Patient"}), post(OBSERVATION, observation(PATIENT))
        ),
        "b.ndjson": dump(patient("a")) + b"\n" + dump({"resourceType": "Patient"}),
    }
    first, _ = await load(files)
    before = await stored()
    second, said = await load(files)
    assert counts(first) == (4, 0, 0, 0)
    assert counts(second) == (0, 0, 4, 0)
    assert said == []
    assert await stored() == before


async def test_bad_entry_is_told_with_file_line_and_reason_and_the_rest_goes_on(load, stored):
    lines = [
        dump(patient("a")),
        b'{"resourceType":"Patient","id":"b","gender":"alien"}',
        b'{"resourceType":"Patient",',
        dump(patient("c", birthDate="2024-02-30")),
        dump(patient("d")),
    ]
    report, said = await load({"in.ndjson": b"\n".join(lines)})
    assert (await stored()).keys() == {"Patient/a", "Patient/d"}
    assert report.exit_code == 1
    places = [line.partition(": ")[0] for line in said]
    assert places == ["in.ndjson:2", "in.ndjson:3", "in.ndjson:4"]
    assert "gender" in said[0]
    assert "alien" in said[0]
    assert "JSON" in said[1]
    assert "Patient.birthDate" in said[2]


async def test_bad_entry_of_an_indented_bundle_is_told_with_its_line(load):
    bundle = transaction(
        post(PATIENT, {"resourceType": "Patient"}),
        post(OBSERVATION, {"resourceType": "Observation", "status": "odd"}),
    )
    body = json.dumps(bundle, indent=2)
    line = body[: body.index('"resourceType": "Observation"')].count("\n")
    _, (said,) = await load({"in.json": body.encode()})
    assert said.startswith(f"in.json:{line}: entry[1] Observation/")


async def test_transaction_with_a_bad_entry_loads_its_good_ones_unless_atomic(load, stored):
    bundle = transaction(
        post(PATIENT, {"resourceType": "Patient"}),
        post(OBSERVATION, {"resourceType": "Observation", "status": "odd"}),
    )
    report, said = await load({"a.json": bundle}, atomic=True)
    assert (report.created, len(said), report.exit_code) == (0, 2, 1)
    assert await stored() == {}
    report, said = await load({"a.json": bundle})
    assert (report.created, len(said), report.exit_code) == (1, 1, 1)


async def test_corrected_bundle_adds_only_what_was_refused(load, stored):
    def bundle(status):
        return transaction(
            post(PATIENT, {"resourceType": "Patient"}),
            post(OBSERVATION, observation(PATIENT, status=status)),
        )

    await load({"a.json": bundle("odd")})
    report, _ = await load({"a.json": bundle("final")})
    assert counts(report) == (1, 0, 1, 0)
    assert len(await stored()) == 2


async def test_put_makes_a_new_version_of_other_content(load, stored):
    await load({"a.json": patient("a")})
    report, _ = await load({"a.json": patient("a", active=True)})
    assert counts(report) == (0, 1, 0, 0)
    assert (await stored())["Patient/a"]["active"] is True


async def test_post_does_not_replace_what_it_made_with_other_content(load, stored):
    def bundle(gender):
        return transaction(
            post(PATIENT, {"resourceType": "Patient", "gender": gender}),
            post(OBSERVATION, observation("Patient/other")),
        )

    await load({"a.json": bundle("female")})
    before = await stored()
    report, said = await load({"a.json": bundle("male")})
    assert counts(report) == (0, 0, 1, 1)
    assert "POST replaces nothing" in said[0]
    assert await stored() == before


async def test_bundles_from_one_template_are_all_stored_and_stay_the_same_in_a_rerun(load, stored):
    lines = b"\n".join(
        dump(
            transaction(
                post(PATIENT, {"resourceType": "Patient", "birthDate": f"2000-01-{n:02d}"}),
                post(OBSERVATION, observation(PATIENT)),
            )
        )
        for n in range(1, 6)
    )
    report, said = await load({"a.ndjson": lines})
    assert said == []
    assert report.created == 10
    found = await stored()
    subjects = {r["subject"]["reference"] for r in found.values() if "subject" in r}
    assert len(subjects) == 5
    assert subjects <= found.keys()
    again, said = await load({"a.ndjson": lines})
    assert counts(again) == (0, 0, 10, 0)
    assert said == []


async def test_bundles_from_one_template_in_loads_of_their_own_are_all_stored(load, stored):
    def bundle(n):
        return transaction(post(PATIENT, {"resourceType": "Patient", "birthDate": f"200{n}"}))

    for n in (1, 2, 3, 3, 2, 1):
        _, said = await load({"a.json": bundle(n)})
        assert said == []
    assert sorted(r["birthDate"] for r in (await stored()).values()) == ["2001", "2002", "2003"]


async def test_conditional_create_is_made_once_and_found_by_conditional_references(load, stored):
    organization = {
        "resourceType": "Organization",
        "name": "Clinic",
        "identifier": [{"system": "urn:s", "value": "1"}],
    }
    maker = transaction(post("urn:uuid:o", organization, ifNoneExist="identifier=urn:s|1"))
    user = transaction(
        post(
            PATIENT,
            {
                "resourceType": "Patient",
                "managingOrganization": {"reference": "Organization?identifier=urn:s|1"},
            },
        )
    )
    both = transaction(
        post("urn:uuid:o", organization, ifNoneExist="identifier=urn:s|1"),
        post(
            PATIENT,
            {"resourceType": "Patient", "managingOrganization": {"reference": "urn:uuid:o"}},
        ),
        post(
            OBSERVATION,
            observation(PATIENT, performer=[{"reference": "Organization?identifier=urn:s|1"}]),
        ),
    )
    lines = b"\n".join(dump(bundle) for bundle in (maker, maker, user, both))
    _, said = await load({"a.ndjson": lines})
    assert said == []
    found = await stored()
    (clinic,) = [name for name in found if name.startswith("Organization/")]
    patients = [r for r in found.values() if r["resourceType"] == "Patient"]
    assert [p["managingOrganization"]["reference"] for p in patients] == [clinic, clinic]
    again, said = await load({"a.ndjson": lines})
    assert (again.created, again.refused) == (0, 0)
    assert await stored() == found


async def test_conditional_reference_to_nothing_or_to_many_is_refused(load):
    def pointing(criteria):
        return transaction(post(PATIENT, observation(f"Patient?{criteria}")))

    await load(
        {"a.ndjson": dump(patient("a", active=True)) + b"\n" + dump(patient("b", active=True))}
    )
    _, said = await load({"b.json": pointing("identifier=none")})
    assert "selects nothing" in said[0]
    _, said = await load({"c.json": pointing("active=true")})
    assert "more than one" in said[0]


async def test_conditional_update_goes_to_what_it_selects(load, stored):
    identified = {"identifier": [{"system": "urn:s", "value": "1"}]}
    await load({"a.json": patient("a", **identified)})
    bundle = transaction(
        {
            "fullUrl": PATIENT,
            "resource": {"resourceType": "Patient", "active": True, **identified},
            "request": {"method": "PUT", "url": "Patient?identifier=urn:s|1"},
        },
        post(OBSERVATION, observation(PATIENT)),
    )
    report, said = await load({"b.json": bundle})
    assert said == []
    assert counts(report) == (1, 1, 0, 0)
    found = await stored()
    assert found["Patient/a"]["active"] is True
    assert [r["subject"]["reference"] for r in found.values() if "subject" in r] == ["Patient/a"]


async def test_delete_patch_and_version_conditions_are_obeyed(load, stored):
    await load({"a.ndjson": b"\n".join(dump(patient(id)) for id in "abcd")})
    bundle = transaction(
        {"request": {"method": "DELETE", "url": "Patient/a"}},
        {"request": {"method": "DELETE", "url": "Patient?_id=b"}},
        {
            "resource": {
                "resourceType": "Parameters",
                "parameter": [
                    {
                        "name": "operation",
                        "part": [
                            {"name": "type", "valueCode": "add"},
                            {"name": "path", "valueString": "Patient"},
                            {"name": "name", "valueString": "active"},
                            {"name": "value", "valueBoolean": True},
                        ],
                    }
                ],
            },
            "request": {"method": "PATCH", "url": "Patient/c"},
        },
        type="batch",
    )
    late = transaction(
        {
            "resource": patient("d", active=True),
            "request": {"method": "PUT", "url": "Patient/d", "ifMatch": 'W/"7"'},
        }
    )
    report, said = await load({"b.json": bundle, "c.json": late})
    found = await stored()
    assert found.keys() == {"Patient/c", "Patient/d"}
    assert found["Patient/c"]["active"] is True
    assert "active" not in found["Patient/d"]
    assert (report.deleted, report.updated, report.refused) == (2, 1, 1)
    assert "ifMatch does not hold" in said[0]


async def test_if_match_star_writes_only_over_what_is_there(load, stored):
    def over(id):
        request = {"method": "PUT", "url": f"Patient/{id}", "ifMatch": "*"}
        return {"resource": patient(id, active=True), "request": request}

    first = transaction(
        {"resource": patient("a"), "request": {"method": "PUT", "url": "Patient/a"}}
    )
    report, said = await load({"a.json": first, "b.json": transaction(over("a"), over("b"))})
    found = await stored()
    assert found.keys() == {"Patient/a"}
    assert found["Patient/a"]["active"] is True
    assert (report.created, report.updated, report.refused) == (1, 1, 1)
    assert "ifMatch is *, but Patient/b does not exist" in said[0]


async def test_same_resource_twice_in_a_transaction_is_refused(load, stored):
    entry = {"resource": patient("a"), "request": {"method": "PUT", "url": "Patient/a"}}
    report, said = await load({"a.json": transaction(entry, entry)})
    assert (report.created, report.refused) == (1, 1)
    assert "more than once" in said[0]


async def test_later_line_about_the_same_resource_wins(load, stored):
    lines = [patient("a"), patient("a", active=True), patient("a", active=True)]
    report, _ = await load({"a.ndjson": b"\n".join(map(dump, lines))})
    assert counts(report) == (1, 1, 1, 0)
    assert (await stored())["Patient/a"]["active"] is True


async def test_large_bundle_is_loaded_in_parts_that_know_each_other(load, stored, monkeypatch):
    monkeypatch.setattr(work, "WHOLE_BUNDLE_BYTES", 1000)
    monkeypatch.setattr(work, "PART_ENTRIES", 7)
    observations = [
        post(f"urn:uuid:{n:08d}-8f57-4d0c-9a63-0a8d6f5f2b02", observation(PATIENT))
        for n in range(30)
    ]
    observations[11]["resource"]["status"] = "odd"
    bundle = transaction(*observations, post(PATIENT, {"resourceType": "Patient"}))
    report, said = await load({"a.json": bundle})
    assert counts(report) == (30, 0, 0, 1)
    assert "entry[11]" in said[0]
    found = await stored()
    (subject,) = {r["subject"]["reference"] for r in found.values() if "subject" in r}
    assert subject in found


def search_parameter(expression):
    return {
        "resourceType": "SearchParameter",
        "id": "p",
        "url": "http://example.org/p",
        "name": "p",
        "status": "active",
        "description": "p",
        "code": "colour",
        "base": ["Patient"],
        "type": "token",
        "expression": expression,
    }


async def test_search_parameter_that_cannot_be_used_is_refused(load):
    parameter = search_parameter("Patient.extension(")
    report, said = await load({"a.ndjson": dump(parameter) + b"\n" + dump(patient("a"))})
    assert counts(report) == (1, 0, 0, 1)
    assert "expression" in said[0]


async def test_search_parameters_that_were_loaded_ask_for_a_reindex(load):
    parameter = search_parameter("Patient.extension('http://example.org/colour').value")
    report, said = await load({"a.json": parameter})
    assert said == []
    assert "reindex" in report.notes[0]


async def test_worker_processes_load_the_same_as_a_thread(load, stored):
    lines = b"\n".join(
        dump(
            transaction(
                post(f"urn:uuid:p{n}", {"resourceType": "Patient"}),
                post(f"urn:uuid:o{n}", observation(f"urn:uuid:p{n}", status="final" if n else "x")),
            )
        )
        for n in range(60)
    )
    report, said = await load({"a.ndjson": lines}, workers=2)
    assert (report.created, len(said)) == (119, 1)
    again, _ = await load({"a.ndjson": lines})
    assert (again.created, again.unchanged) == (0, 119)


async def test_nothing_readable_ends_with_two(load):
    report, said = await load({"a.json": b"hello"})
    assert report.exit_code == 2
    assert said == ["a.json:1: is neither JSON nor XML"]


@pytest.mark.parametrize(
    "hostile",
    [
        b'{"resourceType":"Patient","id":"a","id":"b"}',
        b'{"resourceType":"Patient","active":NaN}',
        b'{"resourceType":"Patient","name":[{"family":"\\ud800"}]}',
        b'{"resourceType":"Patient","name":[{"family":"a\\u0000"}]}',
        b'{"resourceType":"Patient","contained":' + b"[" * 5000,
        b'{"resourceType":"Bundle","type":"batch","entry":' + b"[" * 5000 + b"]" * 5000 + b"}",
        b'{"resourceType":{"$ne":1}}',
        b'{"resourceType":"Bundle","type":"transaction","entry":{}}',
        b'{"resourceType":"Bundle","type":"transaction","entry":[null,{"resource":null}]}',
    ],
)
async def test_hostile_line_is_refused_and_the_next_one_loaded(load, stored, hostile):
    _, said = await load({"a.ndjson": hostile + b"\n" + dump(patient("z"))})
    assert said
    assert (await stored()).keys() == {"Patient/z"}


# --- French numbers ---------------------------------------------------------------------------

INS = "urn:oid:1.2.250.1.213.1.4.10"


def with_ins(id, value, system=INS, **more):
    return patient(id, identifier=[{"system": system, "value": value, **more}])


@pytest.mark.parametrize("workers", [0, 1])
async def test_second_patient_with_an_ins_is_refused(load, stored, workers):
    lines = [with_ins("a", "1"), patient("x"), with_ins("b", "1"), with_ins("c", "1", use="old")]
    report, said = await load({"a.ndjson": b"\n".join(map(dump, lines))}, workers=workers)
    assert counts(report) == (3, 0, 0, 1)
    assert "a.ndjson:3" in said[0]
    assert "INS" in said[0]
    report, said = await load({"b.json": with_ins("d", "1"), "c.json": with_ins("a", "1")})
    assert counts(report) == (0, 0, 1, 1)
    assert set(await stored()) == {"Patient/a", "Patient/x", "Patient/c"}


async def test_patient_keeps_the_own_ins_in_a_new_version(load):
    await load({"a.json": with_ins("a", "1")})
    changed = {**with_ins("a", "1"), "active": True}
    report, said = await load({"a.json": changed})
    assert (counts(report), said) == ((0, 1, 0, 0), [])


async def test_the_rest_of_a_transaction_goes_on_without_a_patient_whose_ins_is_taken(load):
    await load({"a.json": with_ins("a", "1")})
    other = {"resourceType": "Patient", "identifier": [{"system": INS, "value": "1"}]}
    bundle = transaction(post("urn:uuid:1", other), post("urn:uuid:2", {"resourceType": "Patient"}))
    report, said = await load({"b.json": bundle})
    assert counts(report) == (1, 0, 0, 1)
    assert "entry[0]" in said[0]


@pytest.mark.parametrize(
    "wrong",
    [
        with_ins("a", "123", system="urn:oid:1.2.250.1.213.1.4.8"),
        {
            "resourceType": "Practitioner",
            "id": "a",
            "identifier": [{"system": "https://rpps.esante.gouv.fr", "value": "12"}],
        },
    ],
)
async def test_wrong_french_number_is_refused(load, wrong):
    report, said = await load({"a.json": wrong})
    assert counts(report) == (0, 0, 0, 1)
    assert "identifier" in said[0]
