"""Pro Santé Connect: a professional with national identifier, professions and, for a SAMU, duties.

Claims `SubjectNameID` (national identifier: 8 and the RPPS number, 0 and the ADELI number …),
`otherIds`, `SubjectRole` (`10^1.2.250.1.213.1.1.5.5`), `SubjectRefPro.exercices[].codeProfession`,
`Acces_Regulation_Medicale` (VRAI or FAUX), `Mode_Acces_Raison`. What the provider says of the
profession has to agree with the directory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.auth.identity.vouched import Unreadable, Vouched, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator

RPPS = "https://rpps.esante.gouv.fr"
#: First digit of the national identifier, by who made the number after it.
_PREFIXES = {"RPPS": "8", "ADELI": "0"}


def read(claims: dict[str, Any], claim: str, system: str) -> Vouched:
    """Raises Unreadable."""
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        raise Unreadable(f"no claim {claim}")
    reason = claims.get("Mode_Acces_Raison")
    return Vouched(
        name_of(claims),
        tuple(dict.fromkeys(_identifiers(value, claims.get("otherIds"), system))),
        professions=frozenset(_professions(claims)),
        regulates=claims.get("Acces_Regulation_Medicale") == "VRAI",
        reason=reason.strip()[:500] if isinstance(reason, str) else "",
    )


def _identifiers(value: str, others: Any, system: str) -> Iterator[tuple[str, str]]:
    """The national identifier, the RPPS number within it, then what else is vouched for."""
    yield from _with_rpps(value, system)
    for other in others if isinstance(others, list) else ():
        if not isinstance(other, dict):
            continue
        number, origin = other.get("identifiant"), other.get("origine")
        if isinstance(number, str) and number and origin in _PREFIXES:
            yield from _with_rpps(_PREFIXES[origin] + number, system)


def _with_rpps(value: str, system: str) -> Iterator[tuple[str, str]]:
    yield system, value
    if len(value) == 12 and value.isdigit() and value.startswith("8"):
        yield RPPS, value[1:]


def _professions(claims: dict[str, Any]) -> Iterator[str]:
    roles = claims.get("SubjectRole")
    for role in [roles] if isinstance(roles, str) else roles if isinstance(roles, list) else ():
        if isinstance(role, str) and role.partition("^")[0]:
            yield role.partition("^")[0]
    detail = claims.get("SubjectRefPro")
    practices = detail.get("exercices") if isinstance(detail, dict) else None
    for practice in practices if isinstance(practices, list) else ():
        code = practice.get("codeProfession") if isinstance(practice, dict) else None
        if isinstance(code, str) and code:
            yield code
