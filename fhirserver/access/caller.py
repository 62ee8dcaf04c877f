"""Who is calling, with what right, for what purpose: the one value every decision starts from.

`auth/bearer.py` makes it from an access token, `cli` for local work, tests by hand. It holds no
decision: what a caller may do is worked out by the access rules at each request, so that a
withdrawal acts on the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Mode(StrEnum):
    """Access modes of the record (TRE_R248)."""

    NORMAL = "normal"
    BRIS_DE_GLACE = "bris_de_glace"
    CENTRE_15 = "centre_15"


class Role(StrEnum):
    """In which capacity the caller acts; it decides which rules apply."""

    CITIZEN = "citizen"  # the holder of the space
    PROXY = "proxy"  # parent, legal representative or carer, acting for a citizen
    PROFESSIONAL = "professional"
    SYSTEM = "system"  # backend services: a hospital, a laboratory
    PUBLISHER = "publisher"  # of apps in the catalogue; sees no health data
    OPERATOR = "operator"  # runs the server; sees no health data by this role
    ANYONE = "anyone"  # shows no token; sees the public list of the catalogue
    OPEN = "open"  # --auth off: everything is permitted


@dataclass(frozen=True, slots=True)
class Caller:
    """`fhir_user`: reference of the person behind the call (`Patient/1`, `RelatedPerson/2`,
    `Practitioner/3`, `PractitionerRole/4`); empty for backend services.
    `patient`: logical id of the launch context's patient, None when there is none.
    `scopes`: granted SMART scopes as text, e.g. `patient/Observation.rs?category=vital-signs`.
    `profession`: code of TRE_G15 for a professional (`10` doctor, `60` nurse ...).
    `organization`: reference of the Organization a professional or system acts for.
    `app`: reference of the Device by which the catalogue lists the calling app; empty for any other
    client.
    `token`: opaque identity of the token (its hash), for audit and revocation; never the token.
    """

    role: Role
    client: str = ""
    fhir_user: str = ""
    patient: str | None = None
    scopes: tuple[str, ...] = ()
    profession: str = ""
    organization: str = ""
    mode: Mode = Mode.NORMAL
    reason: str = ""
    app: str = ""
    token: str = ""
    request: str = ""  # X-Request-Id


OPEN = Caller(Role.OPEN)
