"""What an identity provider says of whoever signed in, in this server's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from fhirserver.auth.identity.traits import Traits


class Unreadable(Exception):
    """A claim that has to be there is absent or of another form."""


class Vouched(msgspec.Struct, frozen=True):
    """`identifiers`: system and value, the one that counts most first. `traits`: who it is, when
    there is no identifier. `professions`: codes of TRE_G15, empty when nothing is said of them.
    `regulates`: may answer for a SAMU's medical dispatch. `reason`: of the access mode."""

    name: str
    identifiers: tuple[tuple[str, str], ...] = ()
    traits: Traits | None = None
    professions: frozenset[str] = frozenset()
    regulates: bool = False
    reason: str = ""


def name_of(claims: dict[str, Any]) -> str:
    parts = (claims.get("given_name"), claims.get("family_name"))
    return " ".join(part for part in parts if isinstance(part, str) and part)[:200]


def by_identifier(claims: dict[str, Any], claim: str, system: str) -> Vouched:
    """A provider that gives one identifier of the directory. Raises Unreadable."""
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"no claim {claim}")
    return Vouched(name_of(claims), ((system, value),))
