"""What the law or the sources leave open, each with the safe default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fhirserver.access.caller import Role


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """The open points of the access rules.

    `active_needed`: a space is open only when Patient.active is true, not when it is absent.
    `blocked_in_emergency`: a blocked professional is refused in bris_de_glace and centre_15 too.
    `break_glass_professions`, `centre_15_professions`: who may use these modes (TRE_G15).
    `masked_for_administrator`: the general practitioner sees what is masked to professionals.
    `masked_in_emergency`: what is masked stays hidden in emergency modes.
    `invisible_months`: after so many months INVISIBLE_PATIENT ends (CSP R1111-53).
    `system_profession`: the column of the matrix that backend services read by.
    `existence_by_ins`: the roles that find a Patient by its exact national identifier without a
    treatment relation, which feeding a space needs.
    `professionals_collect_consent`: a professional may record the consent a citizen gave in words.
    `apps`: client id of each app of the catalogue, and the Device that Consents name it by.
    `registrars`: clients that may write Patient, RelatedPerson and the directory.
    `client_ids`: PUT may create under an id the client chose, and so tells when a hidden
    resource has that id.
    `majority`: age at which parents lose access and apps are to be authorised anew.
    `seconds`: a decision on many patients is made anew after so long; one on a single patient
    lives to the next start or end of a Consent, at most `longest_seconds`. Any write to a
    Consent, RelatedPerson, CareTeam, Patient or PractitionerRole ends both at once.
    """

    active_needed: bool = True
    blocked_in_emergency: bool = True
    break_glass_professions: frozenset[str] = frozenset({"10", "21", "40", "50", "60"})
    centre_15_professions: frozenset[str] = frozenset({"10"})
    masked_for_administrator: bool = True
    masked_in_emergency: bool = True
    invisible_months: int = 1
    system_profession: str = "10"
    existence_by_ins: frozenset[Role] = frozenset({Role.SYSTEM})
    professionals_collect_consent: bool = True
    apps: Mapping[str, str] = field(default_factory=dict)
    registrars: frozenset[str] = frozenset()
    client_ids: bool = False
    majority: int = 18
    seconds: float = 1.0
    longest_seconds: float = 60.0
