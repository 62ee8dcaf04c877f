"""The parts of a resource that `_summary` and `_elements` ask for.

https://hl7.org/fhir/R4/search.html#summary and https://hl7.org/fhir/R4/search.html#elements

A subset keeps what its reader needs to not misunderstand it (id, meta, mandatory and modifier
elements) and carries the tag SUBSETTED, so that nobody takes it for the whole or writes it back.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from fhirserver.model.definitions import RESOURCE_TYPES, Element, type_definition

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The values of `_summary`.
MODES = ("true", "text", "data", "count", "false")

SUBSETTED = {
    "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
    "code": "SUBSETTED",
    "display": "Resource encoded in summary mode",
}
_ALWAYS = ("resourceType", "id", "meta")

# JSON member -> the type by which to go on inside it; "" keeps it whole.
_Plan = dict[str, str]


def summary(resource: dict[str, Any], mode: str) -> dict[str, Any]:
    """What `_summary=mode` leaves of a resource; itself for `false` and `count`."""
    type_ = resource["resourceType"]
    if mode == "true":
        return _tagged(_summarised(resource, type_))
    if mode == "text":
        return _tagged(_kept(resource, _mandatory(type_) | {"text", "_text"}))
    if mode == "data":
        return _tagged({name: value for name, value in resource.items() if name != "text"})
    if mode in ("false", "count"):
        return resource
    raise ValueError(f"no _summary mode: {mode}")


def elements(resource: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """What `_elements` leaves of a resource.

    `names` are names of the resource's own elements, perhaps with a type before them
    (`Patient.name` says nothing of other types). A resource of which nothing is said stays whole.
    """
    type_ = resource["resourceType"]
    wanted = _wanted(type_, tuple(names))
    return resource if wanted is None else _tagged(_kept(resource, wanted))


def _tagged(resource: dict[str, Any]) -> dict[str, Any]:
    """With SUBSETTED in meta, and meta behind the id."""
    meta = dict(resource.get("meta") or {})
    tags = meta.get("tag") or []
    if not any(
        tag.get("code") == "SUBSETTED" and tag.get("system") == SUBSETTED["system"] for tag in tags
    ):
        meta["tag"] = [*tags, SUBSETTED]
    if "meta" in resource:
        resource["meta"] = meta
        return resource
    head: dict[str, Any] = {name: resource[name] for name in _ALWAYS if name in resource}
    return {**head, "meta": meta, **resource}


def _kept(resource: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name in names}


@lru_cache(maxsize=512)
def _mandatory(type_: str) -> frozenset[str]:
    """id, meta and the mandatory elements of a type, with the members for their extensions."""
    required = (element for element in _elements(type_) if element.min > 0)
    return _with_extensions({*_ALWAYS, *(element.name for element in required)})


@lru_cache(maxsize=512)
def _wanted(type_: str, names: tuple[str, ...]) -> frozenset[str] | None:
    own = {
        name.partition(".")[2] if name.partition(".")[0] == type_ else name
        for name in names
        if name
        and (name.partition(".")[0] == type_ or name.partition(".")[0] not in RESOURCE_TYPES)
    }
    own = {name.partition(".")[0].removesuffix("[x]") for name in own}
    if not own:
        return None
    chosen = {
        element.name
        for element in _elements(type_)
        if element.min > 0 or element.modifier or element.name in own or element.choice in own
    }
    return _with_extensions({*_ALWAYS, *chosen})


def _with_extensions(names: set[str]) -> frozenset[str]:
    return frozenset(names | {"_" + name for name in names})


def _elements(type_: str) -> Iterable[Element]:
    return type_definition(type_).elements.values()


@lru_cache(maxsize=2048)
def _summary_plan(type_: str) -> _Plan | None:
    """None: a value of this type is kept whole."""
    if type_ in ("Extension", "Meta"):
        return None
    plan: _Plan = dict.fromkeys(_ALWAYS, "")
    for element in _elements(type_):
        # An element's own id is what other elements of the summary may refer to.
        if element.summary or element.modifier or element.min > 0 or element.name == "id":
            plan[element.name] = "" if element.primitive else element.type
            plan["_" + element.name] = ""
    return plan


def _summarised(node: dict[str, Any], type_: str) -> dict[str, Any]:
    if type_ == "Resource":
        type_ = node["resourceType"]
    plan = _summary_plan(type_)
    if plan is None:
        return node
    kept: dict[str, Any] = {}
    for name, value in node.items():
        inner = plan.get(name)
        if inner is None:
            continue
        if not inner:
            kept[name] = value
        elif type(value) is list:
            kept[name] = [
                _summarised(item, inner) if type(item) is dict else item for item in value
            ]
        elif type(value) is dict:
            kept[name] = _summarised(value, inner)
    # An element with nothing but an extension says why it has no value: that is not left out.
    return kept or node
