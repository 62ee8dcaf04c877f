"""The same national number in the systems it may be written in."""

import pytest

from fhirserver.access.decision.national_numbers import alike, numbers_of

PERSONS, STRUCTURES = "urn:oid:1.2.250.1.71.4.2.1", "urn:oid:1.2.250.1.71.4.2.2"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (("https://rpps.esante.gouv.fr", "10101201234"), (PERSONS, "810101201234")),
        (("https://adeli.esante.gouv.fr", "759912340"), (PERSONS, "0759912340")),
        (("https://finess.esante.gouv.fr", "2A0000096"), (STRUCTURES, "12A0000096")),
        (("https://sirene.fr", "264403106"), (STRUCTURES, "2264403106")),
        (("https://sirene.fr", "26440310600012"), (STRUCTURES, "326440310600012")),
        (("https://adelirang.esante.gouv.fr", "7599123401"), (STRUCTURES, "07599123401")),
        (("https://rppsrang.esante.gouv.fr", "10101201234001"), (STRUCTURES, "410101201234001")),
    ],
)
def test_a_number_is_the_same_with_its_digit_and_without(first, second):
    assert alike(*first) == alike(*second) == {first, second}


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        ((PERSONS, "3310000096/42"), {(PERSONS, "3310000096/42")}),
        ((STRUCTURES, "226440310"), {(STRUCTURES, "226440310")}),
        (("https://sirene.fr", "1234"), {("https://sirene.fr", "1234")}),
        (("urn:oid:1.2.250.1.213.1.4.8", "2"), {("urn:oid:1.2.250.1.213.1.4.8", "2")}),
        (("urn:oid:1.2.3", "810101201234"), set()),
    ],
)
def test_a_number_of_no_register_is_itself_or_nobodys(number, expected):
    assert alike(*number) == expected


@pytest.mark.parametrize(
    "identifier",
    [
        None,
        [{"system": PERSONS}],
        [{"value": "810101201234"}],
        [{"system": PERSONS, "value": "810101201234", "use": "old"}],
        [{"system": 1, "value": 2}],
        "x",
    ],
)
def test_identifiers_that_say_nothing_are_passed_over(identifier):
    assert numbers_of({"identifier": identifier}) == frozenset()
