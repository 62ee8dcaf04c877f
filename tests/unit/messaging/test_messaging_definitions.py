"""What profiles/messaging and terminology/messaging define is valid, and is what the code says."""

from __future__ import annotations

import json

import pytest

from fhirserver.messaging import codes, state
from fhirserver.messaging.gateway import outgoing
from fhirserver.model import shipped
from fhirserver.operation import OPERATIONS
from fhirserver.operation.file_attachment import upload_types
from fhirserver.validation.validator import Validator

FILES = [
    ("profiles", "extensions.json"),
    ("profiles", "operations.json"),
    ("terminology", "code-systems.json"),
]


def read(folder, name):
    return json.loads(shipped.read(folder, "messaging", name))


@pytest.mark.parametrize(("folder", "name"), FILES)
def test_every_definition_is_valid(folder, name):
    for resource in read(folder, name):
        assert Validator().validate(resource) == [], resource["id"]


def test_every_extension_of_the_code_is_defined():
    urls = {resource["url"] for resource in read("profiles", "extensions.json")}
    assert urls == {codes.ON_BEHALF_OF, codes.ENDS_THREAD, codes.DELEGATE, *codes.KEPT}


def test_every_operation_is_defined_as_it_is():
    for definition in read("profiles", "operations.json"):
        operation = OPERATIONS[definition["code"]]
        assert operation.definition == definition["url"]
        assert operation.affects_state == definition["affectsState"]
        assert operation.types == set(definition["resource"])
        levels = (operation.system, operation.type, operation.instance)
        assert levels == tuple(definition[name] for name in ("system", "type", "instance"))


def test_codes_are_those_of_the_code_systems():
    found = {
        resource["url"]: {concept["code"] for concept in resource["concept"]}
        for resource in read("terminology", "code-systems.json")
    }
    assert found[codes.THREAD_STATUS] == {"ended"}
    assert found[outgoing.CODES] == {outgoing.DELIVERY}
    answers = {state.REPLY, state.REPLY_TO_ALL, state.REPLY_BLOCKED, state.NO_REPLY}
    assert answers | {state.NEW_MESSAGE} in found.values()


def test_every_upload_type_has_a_class():
    table = upload_types()
    assert all(each.category in table.categories for each in table.types.values())
