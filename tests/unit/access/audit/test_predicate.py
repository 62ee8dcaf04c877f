"""Who may read which AuditEvents."""

from __future__ import annotations

import pytest

from fhirserver.access.audit.predicate import audit_predicate
from fhirserver.access.caller import Caller, Role
from fhirserver.conformance.registry import Registry
from fhirserver.search.evaluate import Candidate, Resources, matches
from fhirserver.search.index import Indexer

INDEXER = Indexer(Registry())


def event(patient="a", user="Practitioner/d", label=None):
    made = {
        "resourceType": "AuditEvent",
        "agent": [{"who": {"reference": user}, "requestor": True}],
        "entity": [{"what": {"reference": f"Patient/{patient}"}}],
    }
    if label:
        made["meta"] = {"security": [{"system": "urn:x", "code": label}]}
    return made


def reads(caller, resource):
    entries = INDEXER.entries(resource)
    candidate = Candidate(resource["resourceType"], "e", 0, entries)
    return matches(audit_predicate(caller), candidate, Resources(()))


def citizen(user="Patient/a", patient="a"):
    return Caller(Role.CITIZEN, fhir_user=user, patient=patient)


def test_the_holder_reads_every_trace_of_their_space():
    assert reads(citizen(), event("a"))
    assert reads(citizen(patient=None), event("a"))
    assert reads(citizen(), event("a", label="INVISIBLE_REPRESENTANTS_LEGAUX"))
    assert not reads(citizen(), event("b"))
    assert not reads(citizen(), event("a", label="INVISIBLE_PATIENT"))


def test_a_citizen_reads_their_own_actions_elsewhere():
    assert reads(citizen(), event("b", user="Patient/a"))


def test_a_citizen_in_another_space_reads_no_log():
    assert not reads(citizen(patient="b"), event("b"))
    assert not reads(citizen(patient="b"), event("a"))


@pytest.mark.parametrize("user", ["", "RelatedPerson/a", "Practitioner/a", "Patient/"])
def test_who_is_no_patient_is_no_holder(user):
    assert not reads(citizen(user, None), event("a"))


def test_a_proxy_reads_all_but_what_is_hidden_from_representatives():
    proxy = Caller(Role.PROXY, fhir_user="RelatedPerson/r", patient="a")
    assert reads(proxy, event("a"))
    assert not reads(proxy, event("b"))
    for label in ("CONNEXION_SECRETE", "INVISIBLE_REPRESENTANTS_LEGAUX", "INVISIBLE_PATIENT"):
        assert not reads(proxy, event("a", label=label))
    assert not reads(Caller(Role.PROXY, fhir_user="RelatedPerson/r"), event("a"))


def test_a_professional_reads_their_own_actions_alone():
    doctor = Caller(Role.PROFESSIONAL, fhir_user="Practitioner/d", patient="a")
    assert reads(doctor, event("a", user="Practitioner/d"))
    assert reads(doctor, event("b", user="Practitioner/d"))
    assert not reads(doctor, event("a", user="Practitioner/e"))
    assert not reads(doctor, event("a", user="PractitionerRole/d"))


@pytest.mark.parametrize("role", [Role.SYSTEM, Role.OPERATOR])
def test_nobody_else_reads_any(role):
    caller = Caller(role, client="c", fhir_user="Practitioner/d", patient="a")
    assert not reads(caller, event("a"))


@pytest.mark.parametrize("role", [r for r in Role if r is not Role.OPEN])
def test_nothing_but_audit_events_is_selected(role):
    caller = Caller(role, fhir_user="Patient/a", patient="a")
    other = {"resourceType": "Provenance", "target": [{"reference": "Patient/a"}]}
    other["agent"] = [{"who": {"reference": "Patient/a"}}]
    other["entity"] = [{"what": {"reference": "Patient/a"}, "role": "source"}]
    assert not reads(caller, other)
