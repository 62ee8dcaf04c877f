"""Extensions of an element: found, read, replaced (https://hl7.org/fhir/R4/extensibility.html)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: What stands before `extension` in a resource.
_BEFORE = ("resourceType", "id", "meta", "implicitRules", "language", "text", "contained")


def extensions(element: Mapping[str, Any], url: str) -> list[dict[str, Any]]:
    """The extensions of this URL; none where the element holds none that can be read."""
    found = element.get("extension")
    listed = found if isinstance(found, list) else []
    return [each for each in listed if isinstance(each, dict) and each.get("url") == url]


def value(element: Mapping[str, Any], url: str, name: str) -> Any:
    """The value[x] called `name` of the first extension of this URL; None when there is none."""
    for each in extensions(element, url):
        return each.get(name)
    return None


def any_value(element: Mapping[str, Any], url: str) -> Any:
    """The value[x] of whatever type of the first extension of this URL."""
    for each in extensions(element, url):
        return next((found for name, found in each.items() if name.startswith("value")), None)
    return None


def with_extensions(
    resource: Mapping[str, Any], without: Iterable[str], more: Iterable[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """The resource less its extensions of the URLs `without`, and with `more`."""
    urls = frozenset(without)
    kept = [e for e in resource.get("extension") or [] if e.get("url") not in urls]
    found = [*kept, *more]
    changed = {name: each for name, each in resource.items() if name != "extension"}
    if not found:
        return changed
    ordered = {name: changed.pop(name) for name in _BEFORE if name in changed}
    return {**ordered, "extension": found, **changed}
