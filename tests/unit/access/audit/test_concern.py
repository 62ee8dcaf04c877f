"""Whom a search for AuditEvents is about."""

import pytest

from fhirserver.access.audit.concern import concerned, concerns
from fhirserver.access.audit.record import Record
from fhirserver.access.decision.build import all_of, any_of, negate, refers, token
from fhirserver.search.expression import Everything, Query

A, B = ("Patient", "a"), ("Patient", "b")


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
    ],
)
def test_what_every_event_found_names(where, names):
    assert concerned(Query(("AuditEvent",), where)) == names


@pytest.mark.parametrize("types", [(), ("AuditEvent", "Patient")])
def test_of_several_types_it_cannot_be_told(types):
    assert concerned(Query(types, refers("patient", (A,)))) is None


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
