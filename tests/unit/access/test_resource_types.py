"""Every resource type has its place in the tables of access."""

from fhirserver.access.decision.tables import resource_types
from fhirserver.conformance.registry import Registry
from fhirserver.model.definitions import RESOURCE_TYPES


def test_every_type_is_in_exactly_one_list():
    tables = resource_types()
    lists = (tables.record, tables.shared, tables.kept, tables.nobody)
    for type in RESOURCE_TYPES:
        assert sum(type in each for each in lists) == 1, type
    assert set().union(*lists) == RESOURCE_TYPES


def test_every_parameter_that_is_named_exists():
    registry, tables = Registry(), resource_types()
    for type, record in tables.record.items():
        for code in (*record.subject, *record.otherwise, *record.author):
            assert registry.parameter(type, code), (type, code)
    for type, kept in tables.kept.items():
        assert kept.reason
        assert kept.by <= {"operator", "registrar"}
        for code in kept.owner:
            assert registry.parameter(type, code), (type, code)
