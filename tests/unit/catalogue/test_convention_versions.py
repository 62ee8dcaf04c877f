"""What an old consent opens after the convention has changed, scope by scope."""

from __future__ import annotations

import pytest

from fhirserver.access import scopes as smart
from fhirserver.access.decision import listing
from fhirserver.access.decision.convention import Given, Listing, Purpose, needs_approval, opened
from fhirserver.catalogue.convention import versioned

VALID = (0, 1_000_000)
ALL = smart.parse("patient/*.cruds launch/patient")


def place(version=1, limit=None, status="EN_LIGNE", **purposes):
    made = tuple(
        Purpose(code, "", tuple(Given(scope, version) for scope in scopes.split()))
        for code, scopes in purposes.items()
    )
    return Listing(status, "", VALID, version, made, limit)


def consent(version=1, purposes=(), classes=()):
    return {
        "extension": [{"url": listing.AGREED, "valuePositiveInt": version}],
        "provision": {
            "purpose": [{"system": listing.PURPOSE, "code": code} for code in purposes],
            "class": [
                {"system": "http://hl7.org/fhir/resource-types", "code": code} for code in classes
            ],
        },
    }


def opens(of, *consents, asked=ALL, moment=5):
    return sorted(str(s) for s in opened(of, consents, asked, moment).scopes.resources)


A = "patient/Immunization"
B = "patient/Observation"
CASES = {
    "nothing changed": (f"{A}.rs", f"{A}.rs", 1, [f"{A}.rs"]),
    "other words for the same": (f"{A}.rs {B}.r", f"{B}.r {A}.rs", 1, [f"{A}.rs", f"{B}.r"]),
    "a type is added": (f"{A}.rs", f"{A}.rs {B}.rs", 2, [f"{A}.rs"]),
    "a type is taken away": (f"{A}.rs {B}.rs", f"{A}.rs", 2, [f"{A}.rs"]),
    "an action is added": (f"{A}.r", f"{A}.cruds", 2, [f"{A}.r"]),
    "an action is taken away": (f"{A}.cruds", f"{A}.r", 2, [f"{A}.r"]),
    "a constraint is added": (f"{B}.rs", f"{B}.rs?category=x", 2, [f"{B}.rs?category=x"]),
    "a constraint is lifted": (f"{B}.rs?category=x", f"{B}.rs", 2, [f"{B}.rs?category=x"]),
    "everything is exchanged": (f"{A}.rs", f"{B}.rs", 2, []),
    "another action and one less": (f"{A}.rs", f"{A}.cr", 2, [f"{A}.r"]),
}


@pytest.mark.parametrize("case", CASES)
def test_an_old_consent_opens_what_it_did_and_nothing_that_was_added(case):
    before, after, version, left = CASES[case]
    old = place(care=before)
    new = versioned(old, place(care=after))
    assert new.version == version
    assert opens(new, consent(1)) == left
    wanted = smart.parse(after)
    assert all(smart.parse(" ".join(opens(new, consent(version)))).covers(i) for i in wanted.items)
    assert needs_approval(new, consent(1)) == (left != sorted(after.split()))
    assert not needs_approval(new, consent(version))


def test_a_scope_taken_away_and_given_again_is_a_new_one():
    first = place(care=f"{A}.rs {B}.rs")
    second = versioned(first, place(care=f"{A}.rs"))
    third = versioned(second, place(care=f"{A}.rs {B}.rs"))
    assert third.version == 3
    assert opens(third, consent(1)) == opens(third, consent(2)) == [f"{A}.rs"]
    assert opens(third, consent(3)) == [f"{A}.rs", f"{B}.rs"]


def test_each_purpose_has_its_own_scopes():
    two = place(care=f"{A}.rs", prevention=f"{B}.rs")
    assert opens(two, consent(purposes=["care"])) == [f"{A}.rs"]
    assert opens(two, consent(purposes=["care"]), consent(purposes=["prevention"])) == [
        f"{A}.rs",
        f"{B}.rs",
    ]
    assert opens(two, consent()) == [f"{A}.rs", f"{B}.rs"]
    assert opens(two, consent(purposes=["diagnosis"])) == []
    moved = versioned(two, place(prevention=f"{A}.rs {B}.rs"))
    assert opens(moved, consent(purposes=["care"])) == []
    assert opens(moved, consent(purposes=["prevention"])) == [f"{B}.rs"]


def test_granted_is_requested_and_convention_and_consent():
    of = place(care=f"{A}.rs {B}.cruds patient/Patient.r patient/Binary.r")
    asked = smart.parse(f"{A}.cruds {B}.r patient/Patient.r patient/Condition.rs")
    assert opens(of, consent(), asked=asked) == [f"{A}.rs", f"{B}.r", "patient/Patient.r"]
    only = consent(classes=["Immunization"])
    assert opens(of, only, asked=asked) == [f"{A}.rs", "patient/Patient.r"]
    assert opens(of, consent(classes=["Condition"]), asked=asked) == []
    assert opens(of, consent(), asked=smart.parse("patient/*.r")) == sorted(
        [f"{A}.r", f"{B}.r", "patient/Patient.r", "patient/Binary.r"]
    )
    assert opens(of, asked=ALL) == []


@pytest.mark.parametrize("status", ["PRESERIE", "HORS_LIGNE", "SUSPENDUE", "DEREFERENCEE", ""])
def test_nothing_is_open_of_an_app_that_is_not_listed(status):
    assert opens(place(care=f"{A}.rs", status=status), consent()) == []


def test_nothing_is_open_outside_the_time_it_is_listed_for():
    of = place(care=f"{A}.rs")
    assert opens(of, consent(), moment=0) == [f"{A}.rs"]
    assert opens(of, consent(), moment=1_000_000) == []
    assert opened(of, [consent()], ALL, 5).changes == (1_000_000,)
    assert opens(None, consent()) == []


def test_after_the_limit_old_consents_open_nothing():
    old = place(care=f"{A}.rs")
    new = versioned(old, place(care=f"{A}.rs {B}.rs", limit=100))
    assert opens(new, consent(1), moment=99) == [f"{A}.rs"]
    assert opened(new, [consent(1)], ALL, 99).changes == (1_000_000, 100)
    assert opens(new, consent(1), moment=100) == []
    assert opens(new, consent(2), moment=100) == [f"{A}.rs", f"{B}.rs"]
