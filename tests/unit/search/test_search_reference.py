"""Reference parameters, chains, `_has`, `_list`, composites and positions."""

from __future__ import annotations

from typing import Any

import pytest

from fhirserver.errors import Invalid, NotSupported
from fhirserver.search.lower import UnknownParameter

BASE = "http://local.example/fhir"


def resource(resource_type: str, id: str, **more: Any) -> dict[str, Any]:
    return {"resourceType": resource_type, "id": id, **more}


def about(id: str, reference: str | None, **more: Any) -> dict[str, Any]:
    subject = {**({"reference": reference} if reference else {}), **more}
    return resource("Observation", id, subject=subject)


REFERRING = [
    about("relative", "Patient/1"),
    about("absolute", f"{BASE}/Patient/1"),
    about("foreign", "http://other.example/Patient/1"),
    about("group", "Group/1"),
    about("version", "Patient/1/_history/2"),
    about("urn", "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"),
    about("contained", "#p"),
    about("logical", None, identifier={"system": "s", "value": "v"}),
    about("display", None, display="Somebody"),
    resource("Observation", "none"),
]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("subject=Patient/1", ["relative", "absolute", "version"]),
        (f"subject={BASE}/Patient/1", ["relative", "absolute", "version"]),
        ("subject=1", ["relative", "absolute", "group", "version"]),
        ("subject:Patient=1", ["relative", "absolute", "version"]),
        ("subject:Group=Group/1", ["group"]),
        ("patient=1", ["relative", "absolute", "version"]),
        ("subject=http://other.example/Patient/1", ["foreign"]),
        ("subject=Patient/1/_history/2", ["version"]),
        ("subject=urn:uuid:c757873d-ec9a-4326-a141-556f43239520", ["urn"]),
        ("subject=Patient/1,Group/1", ["relative", "absolute", "group", "version"]),
        ("subject:identifier=s|v", ["logical"]),
        ("subject:identifier=v", ["logical"]),
        ("subject:identifier=s|w", []),
        ("subject:missing=true", ["none"]),
        ("subject=Patient/2", []),
    ],
)
def test_reference_forms(query: str, found: list[str], find: Any) -> None:
    assert find(f"Observation?{query}", REFERRING) == found


@pytest.mark.parametrize(
    "query", ["subject:Practitioner=1", "subject:Patient=Group/1", "subject:foo=1"]
)
def test_type_that_the_parameter_does_not_point_to_is_refused(query: str, find: Any) -> None:
    with pytest.raises(Invalid):
        find(f"Observation?{query}", REFERRING)


def test_hierarchies_of_references_are_refused_clearly(find: Any) -> None:
    with pytest.raises(NotSupported):
        find("Location?partof:below=1", [])


def test_canonical_is_found_with_and_without_its_version(find: Any) -> None:
    resources = [
        resource("QuestionnaireResponse", "v1", questionnaire="http://q|1"),
        resource("QuestionnaireResponse", "v2", questionnaire="http://q|2"),
        resource("QuestionnaireResponse", "no version", questionnaire="http://q"),
        resource("QuestionnaireResponse", "local", questionnaire=f"{BASE}/Questionnaire/1"),
    ]
    search = "QuestionnaireResponse?questionnaire="
    assert find(search + "http://q", resources) == ["v1", "v2", "no version"]
    assert find(search + "http://q\\|1", resources) == ["v1"]
    assert find(search + "http://q|1", resources) == ["v1"]
    assert find(search + f"{BASE}/Questionnaire/1", resources) == ["local"]


# --- chains ---------------------------------------------------------------------------------

WORLD = [
    resource("Organization", "o1", name="Pasteur", partOf={"reference": "Organization/o2"}),
    resource("Organization", "o2", name="Assistance"),
    resource(
        "Patient",
        "p1",
        name=[{"family": "Eve"}],
        birthDate="1995-03-01",
        gender="female",
        managingOrganization={"reference": "Organization/o1"},
        generalPractitioner=[{"reference": "Practitioner/d1"}],
    ),
    resource("Patient", "p2", name=[{"family": "Adam"}], birthDate="1980-01-01"),
    resource("Practitioner", "d1", name=[{"family": "House"}]),
    resource("Group", "g1", type="person", actual=True, code={"text": "g"}),
    about("obs1", "Patient/p1") | {"code": {"coding": [{"system": "l", "code": "A"}]}},
    about("obs2", "Patient/p2") | {"code": {"coding": [{"system": "l", "code": "B"}]}},
    about("obs3", "Group/g1"),
    about("obs4", "Patient/gone"),
    resource("AuditEvent", "a1", entity=[{"what": {"reference": "Observation/obs1"}}]),
    resource("List", "l1", entry=[{"item": {"reference": "Patient/p2"}}]),
]


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("Observation?subject:Patient.name=eve", ["obs1"]),
        ("Observation?subject.name=eve", ["obs1"]),
        ("Observation?patient.name=eve,adam", ["obs1", "obs2"]),
        ("Observation?subject:Patient.birthdate=gt1990-01-01", ["obs1"]),
        ("Observation?subject:Patient.name:exact=eve", []),
        ("Observation?subject:Patient.gender:not=female", ["obs2"]),
        ("Observation?subject:Patient.gender:missing=true", ["obs2"]),
        ("Observation?subject:Patient.organization.name=past", ["obs1"]),
        ("Observation?subject:Patient.organization.partof.name=assist", ["obs1"]),
        ("Observation?subject:Patient.general-practitioner:Practitioner.family=house", ["obs1"]),
        ("Observation?subject:Patient.organization:Organization.partof:Organization.name=x", []),
        ("Observation?subject:Patient._id=p2", ["obs2"]),
        ("Observation?subject:Group.actual=true", ["obs3"]),
        ("Observation?subject:Patient._has:Observation:patient:code=l|A", ["obs1"]),
        ("Patient?_has:Observation:patient:code=A", ["p1"]),
        ("Patient?_has:Observation:patient:code=A&_has:Observation:patient:code=B", []),
        ("Patient?_has:Observation:patient:code=A,B", ["p1", "p2"]),
        ("Patient?_has:Observation:patient:_has:AuditEvent:entity:_id=a1", ["p1"]),
        ("Patient?_has:Observation:subject:_id=obs2", ["p2"]),
        ("Patient?_has:Observation:patient:code=A&_id=p2", []),
        ("Organization?_has:Patient:organization:general-practitioner.name=house", ["o1"]),
        ("Patient?_list=l1", ["p2"]),
        ("Patient?_list=List/l1,x", ["p2"]),
        ("Patient?_list=x", []),
    ],
)
def test_chains_follow_references_both_ways(url: str, found: list[str], find: Any) -> None:
    assert find(url, WORLD) == found


@pytest.mark.parametrize(
    "url",
    [
        "Observation?code.name=x",
        "Observation?subject:Organization.name=x",
        "Observation?subject:Patient.birthdate=x",
        "Observation?subject:Patient.name:foo=x",
        "Patient?_has:Observation:patient=x",
        "Patient?_has:Nothing:patient:code=x",
        "Patient?_has:Observation:code:code=x",
        "Patient?_has=x",
        "Patient?_list=$current-problems",
        "QuestionnaireResponse?questionnaire.title=x",
        "Questionnaire?_has:QuestionnaireResponse:questionnaire:status=completed",
    ],
)
def test_chain_that_has_no_meaning_is_refused(url: str, find: Any) -> None:
    with pytest.raises((Invalid, NotSupported)):
        find(url, WORLD)


@pytest.mark.parametrize(
    "url",
    [
        "Observation?subject:Patient.nothing=x",
        "Observation?subject.nothing=x",
        "Observation?nothing.name=x",
        "Observation?subject:Patient.organization.nothing=x",
        "Patient?_has:Observation:patient:nothing=x",
        "Patient?_has:Observation:nothing:code=x",
    ],
)
def test_chain_over_an_unknown_parameter_is_unknown(url: str, find: Any) -> None:
    with pytest.raises(UnknownParameter):
        find(url, WORLD)


def test_chain_of_great_depth_is_refused(find: Any) -> None:
    find("Organization?" + "partof." * 15 + "name=x", [])
    with pytest.raises(Invalid):
        find("Organization?" + "partof." * 500 + "name=x", [])
    with pytest.raises(Invalid):
        find("Organization?" + "_has:Organization:partof:" * 500 + "name=x", [])


# --- composites -----------------------------------------------------------------------------


def pressure(systolic: int, diastolic: int) -> dict[str, Any]:
    def component(code: str, value: int) -> dict[str, Any]:
        return {
            "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
            "valueQuantity": {"value": value, "unit": "mmHg", "code": "mm[Hg]"},
        }

    return resource(
        "Observation",
        "1",
        component=[component("8480-6", systolic), component("8462-4", diastolic)],
    )


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("8480-6$gt150", False),
        ("8462-4$gt150", True),
        ("8480-6$140", True),
        ("http://loinc.org|8480-6$lt150", True),
        ("8480-6$140||mm[Hg]", True),
        ("8480-6$140||kPa", False),
        ("8480-6$gt150,8462-4$gt150", True),
        ("8480-6$gt150,8462-4$gt170", False),
    ],
)
def test_composite_holds_on_one_element(value: str, found: bool, find: Any) -> None:
    url = f"Observation?component-code-value-quantity={value}"
    assert bool(find(url, [pressure(140, 160)])) is found
    assert bool(find(url.replace("component-", "combo-"), [pressure(140, 160)])) is found


@pytest.mark.parametrize(
    "query", ["=8480-6", "=8480-6$", "=a$b$c", "=8480-6$x", ":missing=true", ":not=a$1", "=$5"]
)
def test_composite_that_cannot_be_read_is_refused(query: str, find: Any) -> None:
    with pytest.raises(Invalid):
        find(f"Observation?component-code-value-quantity{query}", [])


def test_composite_of_the_whole_resource_and_of_its_root(find: Any) -> None:
    observation = resource(
        "Observation",
        "1",
        code={"coding": [{"code": "a$b"}]},
        valueCodeableConcept={"coding": [{"code": "x,y"}]},
    )
    assert find(r"Observation?code-value-concept=a\$b$x\,y", [observation]) == ["1"]
    assert find(r"Observation?code-value-concept=a\$b$y", [observation]) == []
    sequence = resource(
        "MolecularSequence",
        "1",
        referenceSeq={"chromosome": {"coding": [{"code": "1"}]}},
        variant=[{"start": 100, "end": 200}],
    )
    url = "MolecularSequence?chromosome-variant-coordinate="
    assert find(url + "1$lt345$gt123", [sequence]) == ["1"]
    assert find(url + "2$lt345$gt123", [sequence]) == []


def test_relationship_of_documents_joins_code_and_target(find: Any) -> None:
    document = resource(
        "DocumentReference",
        "1",
        relatesTo=[
            {"code": "replaces", "target": {"reference": "DocumentReference/a"}},
            {"code": "appends", "target": {"reference": "DocumentReference/b"}},
        ],
    )
    url = "DocumentReference?relationship="
    assert find(url + "replaces$DocumentReference/a", [document]) == ["1"]
    assert find(url + "replaces$DocumentReference/b", [document]) == []


# --- positions ------------------------------------------------------------------------------

PLACES = [
    resource("Location", "toulouse", position={"latitude": 43.6045, "longitude": 1.444}),
    resource("Location", "nantes", position={"latitude": 47.2184, "longitude": -1.5536}),
    resource("Location", "nowhere"),
]


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("43.6|1.44|10|km", ["toulouse"]),
        ("43.6|1.44|10", ["toulouse"]),
        ("43.6|1.44", ["toulouse"]),
        ("43.6|1.44|500|m", []),
        ("43.6|1.44|500|km", ["toulouse", "nantes"]),
        ("43.6|1.44|300|[mi_i]", ["toulouse", "nantes"]),
        ("43.6|1.44|1|km,47.2|-1.55|5|km", ["toulouse", "nantes"]),
    ],
)
def test_near_finds_within_the_distance(value: str, found: list[str], find: Any) -> None:
    assert find(f"Location?near={value}", PLACES) == found


@pytest.mark.parametrize(
    "value", ["1", "91|0|1|km", "0|181|1|km", "a|b", "0|0|-1|km", "0|0|1|parsec", "0|0|1|km|x"]
)
def test_near_that_cannot_be_read_is_refused(value: str, find: Any) -> None:
    with pytest.raises(Invalid):
        find(f"Location?near={value}", [])


def test_near_across_the_date_line(find: Any) -> None:
    fiji = [resource("Location", "1", position={"latitude": -16.5, "longitude": 179.99})]
    assert find("Location?near=-16.5|-179.99|5|km", fiji) == ["1"]
