"""FHIR capabilities interaction (https://hl7.org/fhir/R4/http.html#capabilities).

The statement is computed from what is registered: resource types, search parameters, operations,
what the store can do. Nothing in it is typed by hand that a test does not try.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from fhirserver import __version__
from fhirserver.interaction.append_only import APPEND_ONLY
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.definitions import RESOURCE_TYPES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from fhirserver.interaction.context import Context, Resource


@dataclass(frozen=True, slots=True)
class Hosting:
    """`country`: where the data is kept (ISO 3166); `outside`: hosts the server may call; `kept`:
    it calls no others."""

    country: str
    outside: tuple[str, ...] = ()
    kept: bool = True


_HOSTING_COUNTRY = "http://fhirserver.example/StructureDefinition/hosting-country"
_OUTSIDE_HOST = "http://fhirserver.example/StructureDefinition/outside-host"
MODES = ("full", "normative", "terminology")
FORMATS = (
    "application/fhir+json",
    "application/fhir+xml",
    "application/json",
    "application/xml",
    "json",
    "xml",
    "html",
)
PATCH_FORMATS = ("application/json-patch+json", "application/fhir+json", "application/fhir+xml")

#: Resource types that are normative in R4 (https://hl7.org/fhir/R4/versions.html#std-process).
NORMATIVE = frozenset(
    {
        "Binary",
        "Bundle",
        "CapabilityStatement",
        "CodeSystem",
        "Observation",
        "OperationDefinition",
        "OperationOutcome",
        "Parameters",
        "Patient",
        "StructureDefinition",
        "ValueSet",
    }
)
_INTERACTIONS = (
    "read",
    "vread",
    "update",
    "patch",
    "delete",
    "history-instance",
    "history-type",
    "create",
    "search-type",
)
_WRITES = frozenset({"create", "update", "patch", "delete"})
#: R4 defines it, but this server has no named queries.
_NOT_OFFERED = frozenset({"_query"})
#: Parameters of every type that R4 describes without a SearchParameter resource.
_WITHOUT_DEFINITION = ("_filter", "_list")
_OAUTH_URIS = "http://fhir-registry.smarthealthit.org/StructureDefinition/oauth-uris"
_SECURITY_SERVICE = "http://terminology.hl7.org/CodeSystem/restful-security-service"
_COMPARTMENTS = ("Patient", "Encounter", "RelatedPerson", "Practitioner", "Device")


class Operates(Protocol):
    """What the statement needs to know of an operation (`operation/call.py`)."""

    @property
    def code(self) -> str: ...
    @property
    def definition(self) -> str: ...
    @property
    def system(self) -> bool: ...
    @property
    def type(self) -> bool: ...
    @property
    def instance(self) -> bool: ...
    @property
    def types(self) -> frozenset[str]: ...


def capabilities(
    ctx: Context,
    *,
    mode: str = "full",
    operations: Iterable[Operates] = (),
    cors: bool = False,
    security: str = "",
    oauth: tuple[tuple[str, str], ...] = (),
    hosting: Hosting | None = None,
) -> Resource:
    """The CapabilityStatement; with mode `normative` only its normative types, with mode
    `terminology` the TerminologyCapabilities."""
    if mode == "terminology":
        return _terminology(ctx)
    listed = list(operations)
    types = sorted(RESOURCE_TYPES if mode == "full" else NORMATIVE)
    pointing = _pointing(ctx)
    rest: dict[str, Any] = {
        "mode": "server",
        "security": _security(cors, security, oauth),
        "resource": [_resource(ctx, type_, listed, pointing) for type_ in types],
        "interaction": [{"code": code} for code in _system_interactions(ctx)],
        "searchParam": _search_parameters(ctx, "Resource"),
        "compartment": [
            f"http://hl7.org/fhir/CompartmentDefinition/{name.lower()}" for name in _COMPARTMENTS
        ],
    }
    on_system = _operations(op for op in listed if op.system)
    if on_system:
        rest["operation"] = on_system
    return {
        "resourceType": "CapabilityStatement",
        **_head(ctx, hosting),
        "fhirVersion": "4.0.1",
        "format": list(FORMATS),
        "patchFormat": list(PATCH_FORMATS),
        "rest": [rest],
    }


def _head(ctx: Context, hosting: Hosting | None) -> dict[str, Any]:
    implementation: dict[str, Any] = {"description": "FHIR R4 server"}
    if hosting is not None:
        implementation = _hosted(hosting)
    head: dict[str, Any] = {}
    if ctx.base_url:
        implementation["url"] = ctx.base_url
        head["url"] = f"{ctx.base_url}/metadata"
    return {
        **head,
        "version": __version__,
        "name": "fhirserver",
        "title": "fhirserver",
        "status": "active",
        "date": instant(microseconds(ctx.clock())),
        "kind": "instance",
        "software": {"name": "fhirserver", "version": __version__},
        "implementation": implementation,
    }


def _hosted(hosting: Hosting) -> dict[str, Any]:
    """Where the data is kept, and whom the server calls."""
    called = ", ".join(hosting.outside) or "no other host"
    if not hosting.kept:
        called += " (not enforced: development)"
    country = {"url": _HOSTING_COUNTRY, "valueCode": hosting.country}
    hosts = [{"url": _OUTSIDE_HOST, "valueString": host} for host in hosting.outside]
    text = f"FHIR R4 server, hosted in {hosting.country}; it calls {called}"
    return {"extension": [country, *hosts], "description": text}


def _security(cors: bool, text: str, oauth: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    security: dict[str, Any] = {"cors": cors}
    if oauth:
        uris = [{"url": name, "valueUri": uri} for name, uri in oauth]
        security = {"extension": [{"url": _OAUTH_URIS, "extension": uris}], **security}
        coding = {"system": _SECURITY_SERVICE, "code": "SMART-on-FHIR", "display": "SMART-on-FHIR"}
        security["service"] = [{"coding": [coding], "text": "SMART App Launch 2.2"}]
    if text:
        security["description"] = text
    return security


def _system_interactions(ctx: Context) -> list[str]:
    codes = ["batch", "history-system", "search-system"]
    if ctx.store.capabilities.transactions:
        codes.insert(0, "transaction")
    return codes


def _pointing(ctx: Context) -> dict[str, list[str]]:
    """Type -> the `_revinclude` values that bring in what points to it."""
    pointing: dict[str, list[str]] = defaultdict(list)
    for source in sorted(RESOURCE_TYPES):
        for code, parameter in sorted(ctx.registry.parameters(source).items()):
            if parameter.type == "reference":
                for target in parameter.targets or RESOURCE_TYPES:
                    pointing[target].append(f"{source}:{code}")
    return pointing


def _resource(
    ctx: Context, type_: str, operations: list[Operates], pointing: dict[str, list[str]]
) -> dict[str, Any]:
    several = ctx.limits.conditional_delete_multiple
    resource: dict[str, Any] = {
        "type": type_,
        "profile": f"http://hl7.org/fhir/StructureDefinition/{type_}",
        "interaction": [{"code": code} for code in _INTERACTIONS],
        "versioning": "versioned",
        "readHistory": True,
        "updateCreate": ctx.limits.update_create,
        "conditionalCreate": True,
        "conditionalRead": "full-support",
        "conditionalUpdate": True,
        "conditionalDelete": "multiple" if several else "single",
        "referencePolicy": ["literal", "logical"],
    }
    if ctx.audit is not None and type_ in APPEND_ONLY:
        resource["interaction"] = [{"code": c} for c in _INTERACTIONS if c not in _WRITES]
        for conditional in ("conditionalCreate", "conditionalUpdate", "updateCreate"):
            resource[conditional] = False
        resource["conditionalDelete"] = "not-supported"
    includes = [
        f"{type_}:{code}"
        for code, parameter in sorted(ctx.registry.parameters(type_).items())
        if parameter.type == "reference"
    ]
    resource["searchInclude"] = ["*", *includes]
    resource["searchRevInclude"] = ["*", *pointing.get(type_, ())]
    resource["searchParam"] = _search_parameters(ctx, type_)
    here = _operations(
        op for op in operations if (op.type or op.instance) and (not op.types or type_ in op.types)
    )
    if here:
        resource["operation"] = here
    return resource


def _search_parameters(ctx: Context, type_: str) -> list[dict[str, Any]]:
    found = [
        {"name": code, "definition": parameter.url, "type": parameter.type}
        for code, parameter in ctx.registry.parameters(type_).items()
        if code not in _NOT_OFFERED
    ]
    found += [{"name": code, "type": "special"} for code in _WITHOUT_DEFINITION]
    return sorted(found, key=lambda stated: stated["name"])


def _operations(operations: Iterable[Operates]) -> list[dict[str, str]]:
    made: Collection[Operates] = sorted(operations, key=lambda op: op.code)
    return [{"name": op.code, "definition": op.definition} for op in made]


def _terminology(ctx: Context) -> Resource:
    """https://hl7.org/fhir/R4/terminologycapabilities.html: value sets are checked on write; no
    terminology operation is offered yet."""
    return {"resourceType": "TerminologyCapabilities", **_head(ctx, None), "lockedDate": False}
