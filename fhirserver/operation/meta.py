"""$meta, $meta-add and $meta-delete: profiles, tags and security labels of resources
(https://hl7.org/fhir/R4/resource-operation-meta.html).

Adding and deleting make a new version, as any change of a stored resource does here: versions
never change once they are stored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid, TooCostly
from fhirserver.interaction.context import Draft
from fhirserver.interaction.read import read
from fhirserver.interaction.write import attempts, commit, validated
from fhirserver.model.json import decode_stored
from fhirserver.operation.parameters import answer, given
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.operation.call import Call

    Meta = dict[str, Any]

#: The elements of Meta that these operations speak of, and what makes two values the same.
_IDENTITY: dict[str, Callable[[Any], Any]] = {
    "profile": lambda url: url,
    "security": lambda coding: (coding.get("system"), coding.get("code")),
    "tag": lambda coding: (coding.get("system"), coding.get("code")),
}

_PAGE = 500


async def meta(ctx: Context, call: Call) -> Resource:
    """The meta of one resource, or every profile, tag and label in use on a type or the system.

    The latter reads the resources; more than `limits.estimate` of them are too many for one
    request.
    """
    _no_parameters(call)
    if call.type is not None and call.id is not None:
        version = await read(ctx, call.type, call.id)
        return answer(return_=("valueMeta", _meta_of(version.content)))
    found: Meta = {}
    query = Query((call.type,) if call.type else (), count=_PAGE)
    seen = 0
    while True:
        page = await ctx.store.search(query)
        for version in page.versions:
            found = _added(found, _meta_of(version.content))
        seen += len(page.versions)
        if page.next is None:
            return answer(return_=("valueMeta", found))
        if seen >= ctx.limits.estimate:
            raise TooCostly(
                f"More than {ctx.limits.estimate} resources: ask $meta of one type or resource."
            )
        query = replace(query, after=page.next)


async def meta_add(ctx: Context, call: Call) -> Resource:
    """Add to a resource the profiles, tags and labels it does not have yet."""
    return await _change(ctx, call, _added)


async def meta_delete(ctx: Context, call: Call) -> Resource:
    """Take from a resource the given profiles, tags and labels; others are not touched."""
    return await _change(ctx, call, _removed)


async def _change(ctx: Context, call: Call, changed: Callable[[Meta, Meta], Meta]) -> Resource:
    assert call.type is not None
    assert call.id is not None
    type, id = call.type, call.id
    wanted = _wanted(call)

    async def attempt() -> Resource:
        current = await read(ctx, type, id)
        assert current.content is not None
        resource = decode_stored(current.content)
        resource["meta"] = changed(resource.get("meta", {}), wanted)
        validated(ctx, resource)
        (version,) = await commit(ctx, [Draft("PUT", type, id, resource, current.version)])
        return answer(return_=("valueMeta", _meta_of(version.content)))

    return await attempts(ctx, attempt)


def _wanted(call: Call) -> Meta:
    values = [value for name, value in given(call) if name == "meta"]
    if len(values) != 1 or not isinstance(values[0], dict):
        raise Invalid("One parameter 'meta' with a valueMeta is needed.", code="required")
    wanted = values[0]
    for name in _IDENTITY:
        listed = wanted.get(name, [])
        kind = str if name == "profile" else dict
        if not isinstance(listed, list) or not all(isinstance(value, kind) for value in listed):
            raise Invalid(f"meta.{name} is not what Meta.{name} can be.", code="structure")
    return wanted


def _no_parameters(call: Call) -> None:
    for name, _ in given(call):
        if name not in ("_format", "_pretty"):
            raise Invalid(f"$meta has no parameter {name[:80]}.")


def _meta_of(content: bytes | None) -> Meta:
    found: Meta = decode_stored(content or b"{}").get("meta", {})
    return found


def _added(meta: Meta, wanted: Meta) -> Meta:
    changed = dict(meta)
    for name, identity in _IDENTITY.items():
        held = list(meta.get(name, []))
        known = {identity(value) for value in held}
        for value in wanted.get(name, []):
            if identity(value) not in known:
                known.add(identity(value))
                held.append(value)
        _put(changed, name, held)
    return changed


def _removed(meta: Meta, wanted: Meta) -> Meta:
    changed = dict(meta)
    for name, identity in _IDENTITY.items():
        unwanted = {identity(value) for value in wanted.get(name, [])}
        kept = [value for value in meta.get(name, []) if identity(value) not in unwanted]
        _put(changed, name, kept)
    return changed


def _put(meta: Meta, name: str, values: Iterable[Any]) -> None:
    values = list(values)
    if values:
        meta[name] = values
    else:
        meta.pop(name, None)
