"""FranceConnect: the pivot identity of a citizen, the traits of the INS without its number.

Claims `given_name` (all given names), `family_name` (at birth), `birthdate`, `gender`, `birthplace`
(INSEE code, empty when born abroad), `birthcountry` (INSEE code of the country). When `claim` names
one that a look-up in front of it adds, that identifier counts and the traits are not looked at.
"""

from __future__ import annotations

from typing import Any

from fhirserver.auth.identity.traits import Traits
from fhirserver.auth.identity.vouched import Unreadable, Vouched, by_identifier

FRANCE = "99100"


def read(claims: dict[str, Any], claim: str, system: str) -> Vouched:
    """Raises Unreadable."""
    if claim:
        return by_identifier(claims, claim, system)
    place, country = _text(claims, "birthplace"), _text(claims, "birthcountry")
    traits = Traits(
        _text(claims, "family_name"),
        tuple(_text(claims, "given_name").split()),
        _text(claims, "birthdate"),
        _text(claims, "gender"),
        place or ("" if country == FRANCE else country),
    )
    if not traits.complete:
        # Those born on a day nobody knows have none in FranceConnect; they need the identifier.
        raise Unreadable("the traits are not complete")
    usual = _text(claims, "preferred_username") or traits.family
    return Vouched(f"{traits.given[0]} {usual}", traits=traits)


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name, "")
    return value.strip()[:200] if isinstance(value, str) else ""
