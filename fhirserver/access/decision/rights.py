"""To which patients each of a caller's rights extends, and as whom they act.

With a launch patient the rules on the Patient have been asked of the store once (`permit.py`);
without one they stand in the expression, so that the engine finds the patients who permit this
caller.
"""

from __future__ import annotations

from dataclasses import dataclass

from fhirserver.access.decision.ownership import NOBODY, People


@dataclass(frozen=True, slots=True)
class Rights:
    """`reads`: whose data may be read by the rules on the patient; `feeds`: whose space may be
    written to; `administers`: who has chosen the caller as general practitioner; `knows`: whose
    existence the caller may ask for by national identifier.

    `legal`: the caller is the holder or represents them by law. `app_types`: the types an app of
    the catalogue is authorised for; None for any other client; `*` means every type.
    """

    reads: People = NOBODY
    feeds: People = NOBODY
    administers: People = NOBODY
    legal: bool = False
    app_types: frozenset[str] | None = None

    def app_reaches(self, type: str) -> bool:
        if self.app_types is None:
            return True
        return (
            "*" in self.app_types
            or type in self.app_types
            or (type in ("Patient", "Binary") and bool(self.app_types))
        )
