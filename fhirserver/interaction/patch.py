"""FHIR patch interaction (https://hl7.org/fhir/R4/http.html#patch)."""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from fhirserver.errors import Invalid, Issue, UnsupportedMediaType
from fhirserver.interaction.conditional_reference import checked
from fhirserver.interaction.context import Draft, Written
from fhirserver.interaction.if_match import check_if_match
from fhirserver.interaction.read import present
from fhirserver.interaction.shipped_definitions import refuse_shipped
from fhirserver.interaction.write import attempts, commit
from fhirserver.model import patch_fhirpath, patch_json
from fhirserver.model.json import decode_stored, decode_value

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.interaction.if_match import IfMatch
    from fhirserver.model.version import Version


@dataclass(frozen=True, slots=True)
class Patch:
    """What a patch request carries: `json`, a JSON Patch document (RFC 6902, a list of
    operations); or `fhirpath`, a Parameters resource
    (https://hl7.org/fhir/R4/fhirpatch.html)."""

    kind: Literal["json", "fhirpath"]
    body: Any


async def patch(
    ctx: Context, type: str, id: str, patch: Patch, *, if_match: IfMatch | None = None
) -> Written:
    """Change the current version by `patch`. Raises NotFound, Gone, PreconditionFailed."""
    ctx.store.demand("u", type)
    refuse_shipped(((type, id),))

    async def attempt() -> Written:
        current = await ctx.store.current(type, id)
        if if_match is not None:
            check_if_match(type, id, current, if_match)
        current = present(type, id, current)
        draft = patched_draft(current, patch)
        assert draft.resource is not None
        resource, issues = await checked(ctx, draft.resource)
        draft = replace(draft, resource=resource)
        (version,) = await commit(ctx, [draft])
        return Written("updated", version, issues)

    return await attempts(ctx, attempt)


def patch_of(resource: Resource) -> Patch:
    """The patch in an entry of a Bundle: Parameters (FHIRPath Patch), or a Binary that holds a
    JSON Patch document."""
    type = resource.get("resourceType")
    if type == "Parameters":
        return Patch("fhirpath", resource)
    if type != "Binary":
        raise Invalid("A patch in a Bundle is a Parameters resource, or a Binary with JSON Patch.")
    content_type = resource.get("contentType")
    if content_type not in ("application/json-patch+json", "application/json"):
        raise UnsupportedMediaType(
            "A Binary patch must have the contentType application/json-patch+json."
        )
    try:
        body = base64.b64decode("".join(str(resource.get("data", "")).split()), validate=True)
    except ValueError as error:
        raise Invalid(
            issues=(Issue("error", "value", "Binary.data is not base64.", ("Binary.data",)),)
        ) from error
    return Patch("json", decode_value(body))


def patched_draft(current: Version, patch: Patch) -> Draft:
    """What `patch` makes of `current`, to be written only over that version."""
    assert current.content is not None
    resource = _apply(decode_stored(current.content), patch)
    for name, value in (("resourceType", current.type), ("id", current.id)):
        if resource.get(name) != value:
            text = f"A patch may not change {name}."
            raise Invalid(issues=(Issue("error", "value", text, (f"{current.type}.{name}",)),))
    return Draft("PATCH", current.type, current.id, resource, current.version)


def _apply(resource: Resource, patch: Patch) -> Resource:
    if patch.kind == "json":
        return patch_json.apply(resource, patch.body)
    return patch_fhirpath.apply(resource, patch.body)
