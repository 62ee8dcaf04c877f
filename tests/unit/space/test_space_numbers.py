"""Numbers that name people and places: their form and their keys."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.space.identifier import identifier_issues
from fhirserver.space.identity import patient_issues
from fhirserver.space.key import ins_key, is_ins, is_luhn, is_sirene
from fhirserver.space.traits import GIVEN_NAMES, PROFILE, profile_issues, trait_issues

NIR, NIA = "urn:oid:1.2.250.1.213.1.4.8", "urn:oid:1.2.250.1.213.1.4.9"
TEST, DEMO = "urn:oid:1.2.250.1.213.1.4.10", "urn:oid:1.2.250.1.213.1.4.11"
RPPS, PS = "https://rpps.esante.gouv.fr", "urn:oid:1.2.250.1.71.4.2.1"
FINESS, SIRENE = "https://finess.esante.gouv.fr", "https://sirene.fr"
STRUCTURE = "urn:oid:1.2.250.1.71.4.2.2"
EXAMPLES = Path(__file__).parents[3] / "examples"

departments = st.one_of(
    st.integers(1, 95).map(lambda n: f"{n:02d}"), st.sampled_from(["2A", "2B", "97", "98", "99"])
)
digits = st.text("0123456789", min_size=8, max_size=8)
numbers = st.builds(
    lambda sex, born, department, rest: sex + born + department + rest[:6],
    st.sampled_from("1234778"),
    st.text("0123456789", min_size=4, max_size=4),
    departments,
    digits,
)


@given(numbers)
def test_a_number_with_its_key_is_an_ins(number):
    assert is_ins(number + ins_key(number))


@given(numbers, st.integers(1, 97))
def test_with_any_other_key_it_is_none(number, key):
    assert is_ins(number + f"{key:02d}") == (f"{key:02d}" == ins_key(number))


@given(numbers, st.integers(0, 12), st.integers(1, 9))
def test_one_wrong_digit_is_always_noticed(number, place, by):
    if not number[place].isdigit():
        return
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    assert not is_ins(wrong + ins_key(number))


@pytest.mark.parametrize("value", ["279035121518989", "260058815400233", "277076322082910"])
def test_published_identities_have_their_key(value):
    assert is_ins(value)


@pytest.mark.parametrize(
    ("number", "as_number"),
    [("185012A004001", "1850119004001"), ("285012B004001", "2850118004001")],
)
def test_corsica_counts_as_19_and_18(number, as_number):
    assert int(ins_key(number)) == 97 - int(as_number) % 97


@given(st.text("0123456789", min_size=8, max_size=13))
def test_exactly_one_last_digit_satisfies_luhn(number):
    assert sum(is_luhn(f"{number}{last}") for last in range(10)) == 1


def test_a_siret_of_la_poste_adds_up_to_a_multiple_of_five():
    post = frozenset({"356000000"})
    assert is_sirene("35600000049832", post)
    assert is_sirene("35600000049837", post)  # no Luhn digit
    assert not is_luhn("35600000049837")
    assert not is_sirene("35600000049836", post)


ACCEPTED = [
    ("Patient", NIR, "279035121518989"),
    ("Patient", NIA, "279035121518989"),
    ("Patient", TEST, "123456789012345"),
    ("Patient", DEMO, "anything"),
    ("Patient", "urn:oid:1.2.250.1.213.1.4.2", "1234567890123456789012"),
    ("Patient", "http://hospital.example", "279035121518900"),
    ("Practitioner", RPPS, "10102727017"),
    ("Practitioner", PS, "810101201234"),
    ("Practitioner", PS, "899700218896"),
    ("Practitioner", PS, "0311234567"),
    ("Practitioner", PS, "3310781406/1234"),
    ("Organization", FINESS, "540002698"),
    ("Organization", FINESS, "2A0000014"),
    ("Organization", SIRENE, "264403106"),
    ("Organization", SIRENE, "26440310600018"),
    ("Organization", STRUCTURE, "1754567860"),
    ("Organization", STRUCTURE, "2264403106"),
    ("Organization", STRUCTURE, "410005531586003"),
    ("PractitionerRole", RPPS, "1010399870"),  # the place of a role is nobody's number
]
REFUSED = [
    ("Patient", NIR, "279035121518988", "key"),
    ("Patient", NIA, "123456789012345", "key"),
    ("Patient", NIR, "223042545611404", "key"),
    ("Patient", NIR, "2790351215189", "15 characters"),
    ("Patient", NIR, "27903512151898A", "15 characters"),
    ("Patient", NIR, "999035121518989", "15 characters"),
    ("Patient", NIR, "", "15 characters"),
    ("Practitioner", RPPS, "1011848351", "11 digits"),
    ("Practitioner", RPPS, "\u0661" * 11, "11 digits"),
    ("Practitioner", PS, "1010120", "national professional id"),
    ("Practitioner", PS, "910101201234", "national professional id"),
    ("Organization", FINESS, "54000269", "9 characters"),
    ("Organization", SIRENE, "264403107", "Luhn"),
    ("Organization", SIRENE, "26440310600019", "Luhn"),
    ("Organization", SIRENE, "2644031060", "SIREN has 9"),
    ("Organization", STRUCTURE, "2264403107", "Luhn"),
    ("Organization", STRUCTURE, "9264403106", "national structure id"),
]  # fmt: skip


def one(resource_type, system, value, **more):
    identifier = {"system": system, "value": value} | more
    return {
        "resourceType": resource_type,
        "identifier": [{"system": "urn:x", "value": "1"}, identifier],
    }


@pytest.mark.parametrize(("type", "system", "value"), ACCEPTED)
def test_right_numbers_are_taken(type, system, value):
    assert identifier_issues(type, one(type, system, value)) == []


@pytest.mark.parametrize(("type", "system", "value", "reason"), REFUSED)
def test_wrong_numbers_are_refused_with_reason_and_place(type, system, value, reason):
    (issue,) = identifier_issues(type, one(type, system, value))
    assert reason in issue.diagnostics
    assert issue.expression == (f"{type}.identifier[1].value",)


def test_the_type_says_whether_it_is_a_siren_or_a_siret():
    kind = {"coding": [{"code": "SIRET"}]}
    (issue,) = identifier_issues(
        "Organization", one("Organization", SIRENE, "264403106", type=kind)
    )
    assert "SIRET has 14 digits" in issue.diagnostics


def lea():
    bundle = json.loads((EXAMPLES / "lea-lefevre.json").read_text())
    resource = bundle["entry"][0]["resource"]
    return resource | {"meta": {"profile": [PROFILE + "|2.1.0"]}}


def test_one_ins_in_use_for_a_patient():
    two = [{"system": TEST, "value": "1"}, {"system": NIR, "value": "279035121518989"}]
    (issue,) = patient_issues({"resourceType": "Patient", "identifier": two})
    assert issue.expression == ("Patient.identifier[0]", "Patient.identifier[1]")
    old = [two[0] | {"use": "old"}, two[1]]
    assert patient_issues({"resourceType": "Patient", "identifier": old}) == []


def test_a_citizen_of_the_examples_satisfies_the_ins_profile():
    assert profile_issues(lea()) == []
    assert trait_issues(lea()) == []


def without(resource, name):
    return {key: value for key, value in resource.items() if key != name}


def official(resource, **changes):
    return resource | {"name": [resource["name"][0] | changes]}


def _reliability(resource, code):
    extension = json.loads(json.dumps(resource["extension"]).replace("QUAL", code))
    return resource | {"extension": extension}


BROKEN = {
    "gender": (lambda r: without(r, "gender"), "Patient.gender"),
    "other gender": (lambda r: r | {"gender": "other"}, "Patient.gender"),
    "birth date": (lambda r: without(r, "birthDate"), "Patient.birthDate"),
    "birth place": (lambda r: r | {"extension": r["extension"][:1]}, "Patient.extension"),
    "reliability": (lambda r: r | {"extension": r["extension"][1:]}, "Patient.extension"),
    "provisional": (lambda r: _reliability(r, "PROV"), "Patient.extension"),
    "official name": (lambda r: r | {"name": r["name"][1:]}, "Patient.name"),
    "birth name": (lambda r: official(r, family=""), "Patient.name[0].family"),
    "given names": (lambda r: official(r, extension=[]), "Patient.name[0].extension"),
    "first of them": (
        lambda r: official(r, extension=[{"url": GIVEN_NAMES, "valueString": "ROSE LEA"}]),
        "Patient.name[0].extension",
    ),
    "identifier": (lambda r: r | {"identifier": []}, "Patient.identifier"),
    "use": (
        lambda r: r | {"identifier": [without(r["identifier"][0], "use")]},
        "Patient.identifier[0].use",
    ),
    "type": (
        lambda r: r | {"identifier": [without(r["identifier"][0], "type")]},
        "Patient.identifier[0].type",
    ),
    "fr-core-2": (
        lambda r: (
            _reliability(r, "VALI")
            | {
                "identifier": [
                    *r["identifier"],
                    {"use": "official", "system": "urn:x", "value": "2"},
                ]
            }
        ),
        "Patient.identifier",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_ins_profile_refuses(name):
    change, where = BROKEN[name]
    found = profile_issues(change(lea()))
    assert [each.expression for each in found] == [(where,)], found


def test_fr_core_1_a_validated_identity_has_an_ins():
    other = [{"use": "official", "system": "urn:x", "value": "1"}]
    found = profile_issues(_reliability(lea(), "VALI") | {"identifier": other})
    assert ["fr-core-1" in each.diagnostics for each in found] == [True]


@pytest.mark.parametrize("name", ["LEFÈVRE", "Lefevre", "LEFEVRE2", "-"])
def test_strict_traits_are_in_upper_case_without_accents(name):
    (issue,) = trait_issues(official(lea(), family=name))
    assert issue.expression == ("Patient.name[0].family",)
    assert trait_issues(official(lea(), family="D'ARC-LE GOFF")) == []
