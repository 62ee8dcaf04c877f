"""One line of what `fhirserver doctor` has to say."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Finding:
    """`state`: good, note (nothing wrong, worth knowing) or bad."""

    subject: str
    state: str
    text: str
    advice: str = ""
