"""The rules for a resource's type and logical id (https://hl7.org/fhir/R4/http.html#update)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fhirserver.errors import Invalid, Issue, NotFound

if TYPE_CHECKING:
    from typing import Any

    from fhirserver.interaction.context import Resource

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")


def is_id(text: object) -> bool:
    """Whether `text` has the form of a logical id (https://hl7.org/fhir/R4/datatypes.html#id)."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def check_type(resource: Any, type: str) -> None:
    """Refuse a body that is not a resource of the type the URL names."""
    if not isinstance(resource, dict):
        raise Invalid(f"The body must be one {type} resource.")
    found = resource.get("resourceType")
    if found is None:
        raise Invalid(
            issues=(Issue("error", "required", "The body has no resourceType.", ("resourceType",)),)
        )
    if found != type:
        raise Invalid(
            f"The URL names {type}, but the body is {_shown(found)}; they must be the same."
        )


def check_id(resource: Resource, type: str, id: str) -> None:
    """Refuse a body whose id is not the one the URL names."""
    if not is_id(id):
        raise Invalid(
            f"{_shown(id)} is no logical id: 1 to 64 of the characters A-Z, a-z, 0-9, '-' and '.'.",
            code="value",
        )
    found = resource.get("id")
    place = (f"{type}.id",)
    if found is None:
        text = f"The body must carry the id of the URL, {id}."
        raise Invalid(issues=(Issue("error", "required", text, place),))
    if found != id:
        text = f"The body's id is {_shown(found)}, but the URL names {id}."
        raise Invalid(issues=(Issue("error", "value", text, place),))


def unknown(type: str, id: str) -> NotFound:
    """The one answer for what is not there and for what the caller may not know of."""
    return NotFound(f"{type}/{_shown(id)} is not known.")


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else type(value).__name__
    return text if len(text) <= 80 else text[:80] + "…"
