"""Whom a search for AuditEvents is about."""

import pytest

from fhirserver.access.audit.concern import concerned, concerns
from fhirserver.access.audit.record import Record
from fhirserver.access.decision.build import all_of, any_of, negate, refers, token
from fhirserver.search.expression import Chain, Everything, Has, Nothing, OfType

A, B = ("Patient", "a"), ("Patient", "b")
LED_TO = Chain("entity", ("Patient",), token("gender", "other"))


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (refers("patient", (A,)), {"Patient/a"}),
        (refers("entity", (A, B)), {"Patient/a", "Patient/b"}),
        (all_of(refers("entity", (A, B)), refers("agent", (B,))), {"Patient/b"}),
        (all_of(token("action", "R"), refers("agent", (B,))), {"Patient/b"}),
        (any_of(refers("entity", (A,)), refers("agent", (B,))), {"Patient/a", "Patient/b"}),
        (any_of(refers("entity", (A,)), token("action", "R")), None),
        (negate(refers("entity", (A,))), None),
        (refers("source", (A,)), None),
        (Everything(), None),
        (Nothing(), set()),
        (LED_TO, {LED_TO}),
        (all_of(LED_TO, refers("agent", (A, B))), {"Patient/a", "Patient/b"}),
        (any_of(LED_TO, refers("agent", (B,))), {LED_TO, "Patient/b"}),
        (Chain("entity", ("Patient", "Device"), Everything()), None),
    ],
)
def test_what_every_event_found_names(where, names):
    assert concerned(("AuditEvent",), where) == (names,)


@pytest.mark.parametrize("types", [(), ("AuditEvent", "Patient")])
def test_of_several_types_only_what_finds_events_counts(types):
    of_a = refers("patient", (A,))
    assert concerned(types, of_a) == ({"Patient/a"},)
    others = all_of(OfType(("Observation", "Patient")), token("gender", "other"))
    assert concerned(types, any_of(others, all_of(OfType(("AuditEvent",)), of_a))) == (
        {"Patient/a"},
    )
    assert concerned(types, OfType(("AuditEvent", "Patient"))) == (None,)


def test_events_show_by_what_leads_through_them_too():
    event = all_of(token("action", "R"), refers("agent", (B,)))
    assert concerned(("Patient",), Has("AuditEvent", "patient", event)) == ({"Patient/b"},)
    assert concerned(("Patient",), negate(Has("AuditEvent", "patient", event))) == ({"Patient/b"},)
    assert concerned(("Patient",), Has("AuditEvent", "patient", Everything())) == (None,)
    assert concerned(("Provenance",), Chain("entity", (), event)) == ({"Patient/b"},)
    inner = Has("Observation", "subject", Has("AuditEvent", "entity", event))
    assert concerned(("Patient",), inner) == ({"Patient/b"},)
    assert concerned(("Patient",), Has("Observation", "subject", event)) == ()


@pytest.mark.parametrize(
    ("record", "is_"),
    [
        (Record(0, "read", patient="a"), True),
        (Record(0, "read", patient="b", user="Patient/a"), True),
        (Record(0, "read", patient="b", entities=("Patient/a/_history/1",)), True),
        (Record(0, "read", patient="b", user="Practitioner/a"), False),
        (Record(0, "read"), False),
        (Record(0, "read", 404, entities=("Observation/o",)), True),
        (Record(0, "create", entities=("Binary/b",)), True),
    ],
)
def test_records_that_may_be_among_the_answers(record, is_):
    assert concerns(record, frozenset({"Patient/a"})) is is_
