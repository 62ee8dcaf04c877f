"""$validate (https://hl7.org/fhir/R4/resource-operation-validate.html).

Says what the server would say to a create, an update or a delete, and more: what is only good
practice comes as a warning. Nothing is stored. The answer is always an OperationOutcome; an
error of the resource is no error of the operation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from fhirserver.errors import Gone, Invalid, Issue, NotFound
from fhirserver.interaction.read import read
from fhirserver.model.definitions import RESOURCE_TYPES, type_definition
from fhirserver.model.json import decode_stored
from fhirserver.operation.parameters import given

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.operation.call import Call
    from fhirserver.validation import Validator

_MODES = ("create", "update", "delete", "profile")
_BASE = "http://hl7.org/fhir/StructureDefinition/"
_VERSION = "4.0.1"


@dataclass(slots=True)
class _Request:
    resource: Any = None
    mode: str | None = None
    profiles: tuple[str, ...] = ()


async def validate(ctx: Context, call: Call) -> Resource:
    """Judge the resource given, or on an instance the stored one."""
    request = _read(call)
    if request.mode == "delete":
        return _outcome(await _deletion(ctx, call))
    resource = request.resource
    if resource is None or request.mode == "profile":
        if call.id is None:
            raise Invalid(
                "$validate needs a resource: as the body, or as the parameter 'resource'.",
                code="required",
            )
        if resource is None:
            version = await read(ctx, str(call.type), call.id)
            resource = decode_stored(version.content or b"")
    mode = request.mode if request.mode in ("create", "update") else None
    issues = [
        *_place(call, resource, mode or ("update" if call.id else None)),
        *(issue for url in request.profiles for issue in _profile(url, resource)),
    ]
    validator = cast("Validator", ctx.validator)
    wants_id = mode == "update" and call.id is None
    issues += validator.validate(
        resource,
        mode="update" if wants_id else "create",
        # They are resolved when the resource is written, but not inside a Bundle.
        conditional_references=_type_of(resource) != "Bundle",
        recommendations=True,
    )
    issues += _unknown_profiles(resource)
    return _outcome(issues)


def _read(call: Call) -> _Request:
    """The parameters, from the URL and the body; the body may be the resource itself."""
    body = call.body
    is_wrapped = body is not None and body.get("resourceType") == "Parameters"
    if is_wrapped and call.type == "Parameters":
        parameters = body.get("parameter") if body else None
        is_wrapped = isinstance(parameters, list) and any(
            isinstance(p, dict) and p.get("name") == "resource" for p in parameters
        )
    request = _Request()
    if body is not None and not is_wrapped:
        request.resource = body
        pairs = list(call.query)
    else:
        pairs = list(given(call))
    for name, value in pairs:
        if name == "resource" and is_wrapped:
            if request.resource is not None:
                raise Invalid("The parameter 'resource' is given more than once.")
            request.resource = value
        elif name == "mode":
            request.mode = _mode(value)
        elif name == "profile" and isinstance(value, str):
            request.profiles += (value,)
        else:
            raise Invalid(
                f"$validate has no parameter '{str(name)[:64]}'; it has resource, mode, profile.",
                code="not-supported",
            )
    return request


def _type_of(resource: Any) -> Any:
    return resource.get("resourceType") if isinstance(resource, dict) else None


def _mode(value: Any) -> str:
    if value not in _MODES:
        raise Invalid(
            f"'{str(value)[:64]}' is not a mode of $validate; the modes are {', '.join(_MODES)}.",
            code="code-invalid",
        )
    return str(value)


async def _deletion(ctx: Context, call: Call) -> list[Issue]:
    """Whether the instance could be deleted."""
    if call.id is None:
        raise Invalid("The mode delete is for an instance: [type]/[id]/$validate.")
    try:
        await read(ctx, str(call.type), call.id)
    except Gone:
        text = f"{call.type}/{call.id} is deleted already."
        return [Issue("information", "informational", text)]
    except NotFound as error:
        return list(error.issues)
    return []


def _place(call: Call, resource: Any, mode: str | None) -> list[Issue]:
    """Whether type and id of the resource are those of the URL."""
    if not isinstance(resource, dict):
        return []
    type_, id_ = resource.get("resourceType"), resource.get("id")
    if call.type not in (None, type_) and isinstance(type_, str) and type_ in RESOURCE_TYPES:
        text = f"The resource is a {type_}, but the URL is for {call.type}."
        return [Issue("error", "invalid", text, (str(type_),))]
    if mode == "update" and call.id is not None and id_ != call.id:
        text = f"The resource's id must be that of the URL, '{call.id}'."
        return [Issue("error", "invalid", text, (f"{call.type}.id",))]
    return []


def _profile(canonical: str, resource: Any) -> list[Issue]:
    """Base profiles are always checked; others this server does not hold."""
    url, _, version = canonical.partition("|")
    name = url.removeprefix(_BASE)
    own = resource.get("resourceType") if isinstance(resource, dict) else None
    is_base = url != name and version in ("", _VERSION, "4.0")
    if is_base and own in RESOURCE_TYPES:
        if name in _lineage(str(own)):
            return []
        if name in RESOURCE_TYPES:
            text = f"The resource is a {own}; the profile {canonical[:200]} is for {name}."
            return [Issue("error", "structure", text, (str(own),))]
    text = f"This server does not have the profile {canonical[:200]}: not validated against it."
    return [Issue("error", "not-supported", text)]


def _lineage(type_: str) -> list[str]:
    """The type and what it is made from: Patient, DomainResource, Resource."""
    found = [type_]
    while base := type_definition(found[-1]).base:
        found.append(base)
    return found


def _unknown_profiles(resource: Any) -> list[Issue]:
    meta = resource.get("meta") if isinstance(resource, dict) else None
    claimed = meta.get("profile") if isinstance(meta, dict) else None
    if not isinstance(claimed, list):
        return []
    return [
        Issue(
            "warning",
            "not-supported",
            f"The resource claims the profile {url[:200]}, which this server does not have: "
            "validated against the base specification.",
            (f"{resource.get('resourceType')}.meta.profile[{index}]",),
        )
        for index, url in enumerate(claimed)
        if isinstance(url, str) and _profile(url, resource)
    ]


def _outcome(issues: list[Issue]) -> Resource:
    listed = [
        {
            "severity": issue.severity,
            "code": issue.code,
            "diagnostics": issue.diagnostics,
            **({"expression": list(issue.expression)} if issue.expression else {}),
        }
        for issue in issues
    ]
    if not listed:
        listed = [
            {
                "severity": "information",
                "code": "informational",
                "diagnostics": "No issues found.",
            }
        ]
    return {"resourceType": "OperationOutcome", "issue": listed}
