"""If-Match: a write only over the version its client has seen
(https://hl7.org/fhir/R4/http.html#concurrency, https://www.rfc-editor.org/rfc/rfc9110#field.if-match).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from fhirserver.errors import Invalid, PreconditionFailed
from fhirserver.model.version import ANY

if TYPE_CHECKING:
    from fhirserver.model.version import Version

#: The version that must be current, or one of several; ANY: whichever, but there must be one.
IfMatch: TypeAlias = int | tuple[int, ...]

_TAG = re.compile(r'\s*(?:W/)?"([^"]*)"\s*')
_VERSION = re.compile(r"[1-9][0-9]{0,17}")


def if_match(text: str | None) -> IfMatch | None:
    """What an If-Match header, or `ifMatch` of a Bundle's entry, says; None when there is none."""
    if text is None:
        return None
    if text.strip() == "*":
        return ANY
    versions = tuple(_version(tag, text) for tag in text.split(","))
    return versions[0] if len(versions) == 1 else versions


def _version(tag: str, text: str) -> int:
    found = _TAG.fullmatch(tag)
    if found is None:
        raise Invalid(f'If-Match must be of version tags such as W/"3", not “{text[:80]}”')
    if not _VERSION.fullmatch(found[1]):
        raise Invalid(
            f"If-Match names version “{found[1][:80]}”, which is no version of this server"
        )
    return int(found[1])


def check_if_match(type: str, id: str, current: Version | None, if_match: IfMatch) -> int:
    """Refuse a write that was made for another version, or give the current one."""
    if current is None or current.deleted:
        raise PreconditionFailed(f"{type}/{id} does not exist, and If-Match is {_shown(if_match)}.")
    allowed = if_match if isinstance(if_match, tuple) else (if_match,)
    if ANY not in allowed and current.version not in allowed:
        raise PreconditionFailed(
            f"{type}/{id} is at version {current.version}, and If-Match is {_shown(if_match)}."
        )
    return current.version


def _shown(if_match: IfMatch) -> str:
    if isinstance(if_match, tuple):
        return ", ".join(map(_shown, if_match[:10]))
    return "*" if if_match == ANY else f'W/"{if_match}"'
