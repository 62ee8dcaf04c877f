"""$validate: where the resource comes from, its modes and profiles, and what it answers."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fhirserver.errors import Gone, Invalid, NotFound
from fhirserver.model.json import encode
from fhirserver.model.version import Version
from fhirserver.operation.call import Call
from fhirserver.operation.validate import validate
from fhirserver.validation import Validator

HL7 = "http://hl7.org/fhir/StructureDefinition/"
PATIENT = {
    "resourceType": "Patient",
    "id": "1",
    "text": {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'},
    "active": True,
}
WRONG = PATIENT | {"gender": "alien"}


class Stored:
    """The part of the permitted store that a read needs."""

    def __init__(self, resources, deleted=()):
        self._versions = {
            (r["resourceType"], r["id"]): Version(
                r["resourceType"], r["id"], 1, 0, "PUT", None if r["id"] in deleted else encode(r)
            )
            for r in resources
        }

    async def read(self, type, id):
        return self._versions.get((type, id))


@pytest.fixture(scope="module")
def validator():
    return Validator()


@pytest.fixture
def ctx(validator):
    gone = PATIENT | {"id": "gone"}
    bad = WRONG | {"id": "bad"}
    return SimpleNamespace(validator=validator, store=Stored([PATIENT, gone, bad], {"gone"}))


def _wrapped(resource=None, **values):
    parameters = [{"name": name, **value} for name, value in values.items()]
    if resource is not None:
        parameters.append({"name": "resource", "resource": resource})
    return {"resourceType": "Parameters", "parameter": parameters}


async def _issues(ctx, call):
    outcome = await validate(ctx, call)
    assert outcome["resourceType"] == "OperationOutcome"
    assert ctx.validator.validate(outcome) == []
    return outcome["issue"]


def _severities(issues):
    return [issue["severity"] for issue in issues]


async def test_right_resource_gives_one_information(ctx) -> None:
    for body in (PATIENT, _wrapped(PATIENT)):
        issues = await _issues(ctx, Call("Patient", body=body))
        assert _severities(issues) == ["information"]


async def test_wrong_resource_gives_its_errors_and_their_places(ctx) -> None:
    for body in (WRONG, _wrapped(WRONG)):
        (issue,) = await _issues(ctx, Call("Patient", body=body))
        assert issue["severity"] == "error"
        assert issue["code"] == "code-invalid"
        assert issue["expression"] == ["Patient.gender"]


async def test_good_practice_is_a_warning(ctx) -> None:
    (issue,) = await _issues(ctx, Call("Patient", body={"resourceType": "Patient"}))
    assert issue["severity"] == "warning"
    assert "dom-6" in issue["diagnostics"]


async def test_what_is_no_resource_is_an_error_in_the_outcome(ctx) -> None:
    (issue,) = await _issues(ctx, Call("Patient", body={"resourceType": "patient"}))
    assert "did you mean 'Patient'" in issue["diagnostics"]


async def test_resource_of_another_type_than_the_url_is_told(ctx) -> None:
    issues = await _issues(ctx, Call("Observation", body=PATIENT))
    assert any("the URL is for Observation" in issue["diagnostics"] for issue in issues)


async def test_instance_without_resource_is_the_stored_one(ctx) -> None:
    assert _severities(await _issues(ctx, Call("Patient", "1"))) == ["information"]
    (issue,) = await _issues(ctx, Call("Patient", "bad", query=(("mode", "profile"),)))
    assert issue["expression"] == ["Patient.gender"]


async def test_instance_that_is_not_there_cannot_be_validated(ctx) -> None:
    with pytest.raises(NotFound):
        await validate(ctx, Call("Patient", "none"))
    with pytest.raises(Gone):
        await validate(ctx, Call("Patient", "gone"))


async def test_update_needs_the_id_of_the_url(ctx) -> None:
    update = {"mode": {"valueCode": "update"}}
    call = Call("Patient", "2", body=_wrapped(PATIENT, **update))
    assert any("id must be that of the URL" in i["diagnostics"] for i in await _issues(ctx, call))
    without = {k: v for k, v in PATIENT.items() if k != "id"}
    issues = await _issues(ctx, Call("Patient", body=_wrapped(without, **update)))
    assert [i["code"] for i in issues] == ["required"]
    call = Call("Patient", "1", body=_wrapped(PATIENT, **update))
    assert _severities(await _issues(ctx, call)) == ["information"]


async def test_create_needs_no_id(ctx) -> None:
    without = {k: v for k, v in PATIENT.items() if k != "id"}
    call = Call("Patient", query=(("mode", "create"),), body=without)
    assert _severities(await _issues(ctx, call)) == ["information"]


async def test_delete_tells_whether_the_instance_is_there(ctx) -> None:
    delete = (("mode", "delete"),)
    assert _severities(await _issues(ctx, Call("Patient", "1", query=delete))) == ["information"]
    (gone,) = await _issues(ctx, Call("Patient", "gone", query=delete))
    assert (gone["severity"], "deleted already" in gone["diagnostics"]) == ("information", True)
    (none,) = await _issues(ctx, Call("Patient", "none", query=delete))
    assert (none["severity"], none["code"]) == ("error", "not-found")
    with pytest.raises(Invalid):
        await validate(ctx, Call("Patient", query=delete))


@pytest.mark.parametrize("name", ["Patient", "DomainResource", "Resource", "Patient|4.0.1"])
async def test_base_profiles_are_checked_anyway(ctx, name) -> None:
    call = Call("Patient", query=(("profile", HL7 + name),), body=PATIENT)
    assert _severities(await _issues(ctx, call)) == ["information"]


@pytest.mark.parametrize(
    ("profile", "code"),
    [
        (HL7 + "Observation", "structure"),
        (HL7 + "Patient|5.0.0", "not-supported"),
        (HL7 + "nothing", "not-supported"),
        ("http://example.org/mine", "not-supported"),
        ("Patient", "not-supported"),
    ],
)
async def test_other_profile_is_an_error_that_says_so(ctx, profile, code) -> None:
    body = _wrapped(PATIENT, profile={"valueUri": profile})
    (issue,) = await _issues(ctx, Call("Patient", body=body))
    assert (issue["severity"], issue["code"]) == ("error", code)
    assert profile in issue["diagnostics"]


async def test_claimed_profile_that_is_not_here_is_a_warning(ctx) -> None:
    body = PATIENT | {"meta": {"profile": [HL7 + "Patient", "http://example.org/mine"]}}
    (issue,) = await _issues(ctx, Call("Patient", body=body))
    assert issue["severity"] == "warning"
    assert issue["expression"] == ["Patient.meta.profile[1]"]


async def test_parameters_is_itself_a_resource_to_validate(ctx) -> None:
    own = {"resourceType": "Parameters", "parameter": [{"name": "a"}]}
    for body in (own, _wrapped(own)):
        issues = await _issues(ctx, Call("Parameters", body=body))
        assert any("inv-1" in issue["diagnostics"] for issue in issues)


@pytest.mark.parametrize(
    "call",
    [
        Call("Patient"),
        Call("Patient", body=_wrapped()),
        Call("Patient", body=PATIENT, query=(("mode", "patch"),)),
        Call("Patient", body=PATIENT, query=(("foo", "x"),)),
        Call("Patient", body=_wrapped(PATIENT, mode={"valueBoolean": True})),
        Call("Patient", body={"resourceType": "Parameters", "parameter": "x"}),
        Call(
            "Patient",
            body={
                "resourceType": "Parameters",
                "parameter": [{"name": "resource", "resource": PATIENT}] * 2,
            },
        ),
    ],
    ids=str,
)
async def test_bad_parameters_are_invalid(ctx, call) -> None:
    with pytest.raises(Invalid):
        await validate(ctx, call)
