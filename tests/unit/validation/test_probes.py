"""Every case of `probes.json`, and that the fast pass and the explanation never disagree."""

from __future__ import annotations

import pytest
from probes import CASES, LEAST, resource_of


def _named(case) -> str:
    return f"{case[0]} {case[1]}"[:80].encode("ascii", "replace").decode()


RIGHT = [case for case in CASES if case[2] is None]
WRONG = [case for case in CASES if case[2] is not None]


@pytest.mark.parametrize("case", RIGHT, ids=_named)
def test_right_resource_is_accepted(validator, case) -> None:
    assert validator.validate(resource_of(case[0], case[1])) == []


@pytest.mark.parametrize("case", WRONG, ids=_named)
def test_wrong_resource_is_refused_with_its_place(validator, case) -> None:
    resource = resource_of(case[0], case[1])
    assert not validator.accepts(resource)
    issues = validator.validate(resource)
    place, _, words = case[2].partition(": ")
    found = [i for i in issues if i.expression == (place,) and words in i.diagnostics]
    assert found, issues
    assert all(i.severity == "error" for i in issues)


def test_least_resources_are_right_but_for_the_rule_they_leave_to_the_cases(validator) -> None:
    for type_ in LEAST.keys() - {"AllergyIntolerance"}:
        assert validator.validate(resource_of(type_, {})) == [], type_


def test_there_are_many_cases() -> None:
    assert len(CASES) >= 250
