"""Rule 3, emergency modes: the professional may use the mode, and says why.

bris_de_glace asks for a reason in words and a profession of `break_glass_professions`; centre_15
is for the regulating physicians of the SAMU (`centre_15_professions`), without a reason. Only a
professional, on the one patient of the launch; never an app of the catalogue.

Source: CSP R.1111-48; TRE_R248 access modes (2023-12-15).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.caller import Mode, Role
from fhirserver.access.decision.build import truth
from fhirserver.access.decision.rule import PatientRule

if TYPE_CHECKING:
    from fhirserver.access.decision.situation import Situation
    from fhirserver.search.expression import Expression


def entitled(situation: Situation) -> bool:
    caller, settings = situation.caller, situation.settings
    if caller.role is not Role.PROFESSIONAL or caller.patient is None or situation.app:
        return False
    if caller.mode is Mode.BRIS_DE_GLACE:
        return bool(caller.reason.strip()) and caller.profession in settings.break_glass_professions
    return caller.profession in settings.centre_15_professions


def expression(situation: Situation) -> Expression:
    return truth(entitled(situation))


def applies(situation: Situation) -> bool:
    return situation.emergency


RULE = PatientRule(
    "emergency-entitled", applies, expression, "entitled-to-emergency-mode", "not-entitled"
)
