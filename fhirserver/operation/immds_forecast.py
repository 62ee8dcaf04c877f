"""$immds-forecast: what vaccinations given count for, and what is due
(https://hl7.org/fhir/us/immds/OperationDefinition-ImmDSForecastOperation.html).

On the system it takes everything as parameters and reads nothing stored. Beyond ImmDS it takes
`condition`, `observation` and `allergyIntolerance`. On a stored Patient it reads the record through
the caller's eyes: what the caller may not see has no part in the answer.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from fhirserver.diary.immunization.assess import assess
from fhirserver.diary.immunization.current import settings_of
from fhirserver.diary.immunization.recommendation import evaluations, recommendation
from fhirserver.diary.immunization.record import of_record
from fhirserver.errors import Invalid, Issue, TooCostly, Unprocessable
from fhirserver.interaction.read import read
from fhirserver.model import parameters
from fhirserver.model.json import decode_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.parameters import Parameter
    from fhirserver.operation.call import Call

_TYPES = {
    "patient": "Patient",
    "immunization": "Immunization",
    "condition": "Condition",
    "observation": "Observation",
    "allergyIntolerance": "AllergyIntolerance",
}
_MOST = 2000  # resources in one call
_STATUSES = ("completed", "entered-in-error", "not-done")


async def immds_forecast(ctx: Context, call: Call) -> Resource:
    """evaluation 0..*, recommendation 1..1."""
    if call.type is not None and call.id is not None:
        return await _of_record(ctx, call.type, call.id, call)
    if call.body is None:
        raise Invalid("$immds-forecast takes a Parameters resource.", code="required")
    given = parameters.read(call.body)
    if len(given) > _MOST:
        raise TooCostly(f"$immds-forecast takes no more than {_MOST} parameters.")
    by_name: dict[str, list[Parameter]] = {}
    for parameter in given:
        if parameter.name != "assessmentDate" and parameter.name not in _TYPES:
            raise _refused(
                parameter.expression, f"$immds-forecast has no parameter {parameter.name[:80]}."
            )
        by_name.setdefault(parameter.name, []).append(parameter)
    on = _date(_one(by_name, "assessmentDate"))
    patient = _one(by_name, "patient")
    listed = {name: by_name.get(name, []) for name in _TYPES}
    for name, found in listed.items():
        for parameter in found:
            _check_type(parameter, _TYPES[name])
    _check_patient(patient)
    for parameter in listed["immunization"]:
        _check_immunization(parameter)
    others = [
        p.value for name in ("condition", "observation", "allergyIntolerance") for p in listed[name]
    ]
    return _answer(
        ctx,
        patient.value,
        [p.value for p in listed["immunization"]],
        others,
        on,
        patient.expression,
    )


async def _of_record(ctx: Context, type: str, id: str, call: Call) -> Resource:
    on = ctx.clock().date()
    for name, value in call.query:
        if name != "assessmentDate":
            raise Invalid(f"$immds-forecast of a stored Patient has no parameter {name[:80]}.")
        on = _day(value, "assessmentDate")
    for parameter in parameters.read(call.body) if call.body is not None else ():
        if parameter.name != "assessmentDate":
            raise _refused(
                parameter.expression,
                f"$immds-forecast of a stored Patient has no parameter {parameter.name[:80]}.",
            )
        on = _date(parameter)
    version = await read(ctx, type, id)
    patient = decode_stored(version.content or b"{}")
    given, others = await of_record(ctx, id)
    return _answer(ctx, patient, given, others, on, "Patient.birthDate")


def _answer(
    ctx: Context,
    patient: Resource,
    given: Sequence[Resource],
    others: Sequence[Resource],
    on: date,
    place: str,
) -> Resource:
    try:
        found = assess(patient, given, others, on, settings_of(ctx))
    except ValueError as error:
        issue = Issue("error", "required", "The Patient has no birthDate.", (place,))
        raise Unprocessable(issues=(issue,)) from error
    if found.person.birth > on:
        text = f"The assessment date {on} lies before the birth."
        raise Unprocessable(issues=(Issue("error", "business-rule", text, (place,)),))
    listed: list[dict[str, Any]] = [
        {"name": "evaluation", "resource": resource} for resource in evaluations(found, patient)
    ]
    listed.append({"name": "recommendation", "resource": recommendation(found, patient)})
    return {"resourceType": "Parameters", "parameter": listed}


def _one(by_name: dict[str, list[Parameter]], name: str) -> Parameter:
    found = by_name.get(name, [])
    if not found:
        text = f"The parameter {name} is needed."
        raise Invalid(issues=(Issue("error", "required", text, ("Parameters.parameter",)),))
    if len(found) > 1:
        raise _refused(found[1].expression, f"The parameter {name} may occur only once.")
    return found[0]


def _date(parameter: Parameter) -> date:
    if parameter.type not in ("date", "dateTime"):
        raise _refused(parameter.expression, "assessmentDate must be a date.")
    return _day(parameter.value, parameter.expression)


def _day(value: Any, place: str) -> date:
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError as error:
        raise _refused(place, "assessmentDate must be a whole date.") from error


def _check_type(parameter: Parameter, type: str) -> None:
    if parameter.type != type:
        raise _refused(
            parameter.expression, f"The parameter {parameter.name} must be a resource {type}."
        )


def _check_patient(parameter: Parameter) -> None:
    birth = parameter.value.get("birthDate")
    place = f"{parameter.expression}.resource.birthDate"
    if birth is None:
        text = "Without a birthDate nothing can be forecast."
        raise Unprocessable(issues=(Issue("error", "required", text, (place,)),))
    if not isinstance(birth, str) or not _is_date(birth):
        raise Unprocessable(issues=(Issue("error", "value", "This is no date.", (place,)),))


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat({4: f"{text}-01-01", 7: f"{text}-01"}.get(len(text), text))
    except ValueError:
        return False
    return len(text) in (4, 7, 10)


def _check_immunization(parameter: Parameter) -> None:
    place = f"{parameter.expression}.resource"
    resource = parameter.value
    if resource.get("status") not in _STATUSES:
        text = f"Immunization.status must be one of {', '.join(_STATUSES)}."
        issue = Issue("error", "code-invalid", text, (f"{place}.status",))
        raise Unprocessable(issues=(issue,))
    if not isinstance(resource.get("vaccineCode"), dict):
        text = "Immunization.vaccineCode is needed."
        issue = Issue("error", "required", text, (f"{place}.vaccineCode",))
        raise Unprocessable(issues=(issue,))
    day = resource.get("occurrenceDateTime")
    if day is not None and not (isinstance(day, str) and _is_date(day[:10])):
        text = "Immunization.occurrenceDateTime is no date."
        issue = Issue("error", "value", text, (f"{place}.occurrenceDateTime",))
        raise Unprocessable(issues=(issue,))


def _refused(place: str, text: str) -> Invalid:
    return Invalid(issues=(Issue("error", "invalid", text, (place,)),))
