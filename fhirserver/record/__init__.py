"""The shared medical record: documents and the medical profile (docs/record.md)."""

from __future__ import annotations

from fhirserver.interaction.service import Service
from fhirserver.record.antivirus import Antivirus
from fhirserver.record.behaviour import RecordBehaviour
from fhirserver.record.mending import JOB
from fhirserver.record.profile.behaviour import ProfileBehaviour
from fhirserver.record.settings import RecordSettings


def service(settings: RecordSettings = RecordSettings()) -> Service:
    behaviours = (RecordBehaviour(settings, Antivirus(settings)), ProfileBehaviour())
    return Service("record", behaviours, (JOB,))


__all__ = ["RecordSettings", "service"]
