"""Errors as statuses and OperationOutcomes."""

import inspect
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver import errors
from fhirserver.rest.outcome import STATUS, issues_of, outcome, printable, status_of

ALL_ERRORS = [
    value
    for value in vars(errors).values()
    if inspect.isclass(value) and issubclass(value, errors.FHIRError)
]


@pytest.mark.parametrize("error", ALL_ERRORS)
def test_every_error_has_its_own_status(error):
    assert error in STATUS
    assert 400 <= status_of(error("text")) < 600


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Invalid("x"), 400),
        (errors.NotFound("x"), 404),
        (errors.Gone("x"), 410),
        (errors.MultipleMatches("x"), 412),
        (errors.TooLarge("x"), 413),
        (errors.Unprocessable("x"), 422),
        (TimeoutError(), 503),
        (ConnectionResetError(), 503),
        (RecursionError(), 400),
        (KeyError("secret"), 500),
    ],
)
def test_status(error, status):
    assert status_of(error) == status


def test_subclass_has_the_status_of_its_nearest_ancestor():
    class Stale(errors.PreconditionFailed):
        pass

    assert status_of(Stale("x")) == 412


def test_unexpected_error_tells_nothing_of_the_inside():
    (issue,) = issues_of(KeyError("/srv/secret/path.py"))
    assert "secret" not in issue.diagnostics
    assert issue.severity == "fatal"


def test_outcome_has_the_issues():
    issue = errors.Issue("error", "value", "no such day", ("Patient.birthDate",))
    made = outcome([issue])
    assert made["issue"] == [
        {
            "severity": "error",
            "code": "value",
            "diagnostics": "no such day",
            "expression": ["Patient.birthDate"],
        }
    ]


def test_outcome_without_issues_says_so():
    assert outcome([])["issue"][0]["code"] == "informational"


@given(st.text() | st.text(alphabet="\ud800\udfff\x00\x07a"))
def test_any_text_can_be_sent(text):
    shown = printable(text)
    json.dumps(shown).encode()
    shown.encode()
    assert "\0" not in shown
    assert shown == shown.strip()
