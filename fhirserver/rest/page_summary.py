"""One line that tells a person what a resource is about."""

from __future__ import annotations

from typing import Any

# Elements that name a resource, the most telling first.
_NAMES = (
    "name", "title", "code", "vaccineCode", "medicationCodeableConcept", "medicationReference",
    "type", "class", "category", "description", "url", "serviceType", "topic", "subject", "patient",
)  # fmt: skip
_WHEN = (
    "birthDate", "effectiveDateTime", "effectivePeriod", "effectiveInstant", "occurrenceDateTime",
    "occurrencePeriod", "performedDateTime", "performedPeriod", "onsetDateTime", "period", "start",
    "authoredOn", "recordedDate", "recorded", "date", "issued", "created", "sent", "dateTime",
)  # fmt: skip
_MAX = 160


def summary_line(resource: dict[str, Any]) -> str:
    """Name, value, date and status, as far as the resource has them; may be empty."""
    parts = [
        _first(resource, _NAMES),
        _value(resource),
        text_of(resource.get("gender")),
        _first(resource, _WHEN),
        status_of(resource),
    ]
    line = " · ".join(part for part in parts if part)
    return line if len(line) <= _MAX else line[: _MAX - 1] + "…"


def status_of(resource: dict[str, Any]) -> str:
    status = resource.get("status", resource.get("clinicalStatus"))
    return text_of(status)


def _first(resource: dict[str, Any], names: tuple[str, ...]) -> str:
    for name in names:
        text = text_of(resource.get(name))
        if text:
            return text
    return ""


def _value(resource: dict[str, Any]) -> str:
    for name, value in resource.items():
        if name.startswith("value") and name[5:6].isupper():
            return text_of(value)
    return ""


def text_of(value: Any) -> str:
    """A short text for a value of any FHIR type; empty when it has none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return next((text for text in map(text_of, value) if text), "")
    if not isinstance(value, dict):
        return "" if value is None else " ".join(str(value).split())[:_MAX]
    for reader in (_concept, _human_name, _quantity, _period, _reference):
        text = reader(value)
        if text:
            return text[:_MAX]
    return ""


def _concept(value: dict[str, Any]) -> str:
    for name in ("text", "display"):
        if isinstance(value.get(name), str):
            return " ".join(value[name].split())
    if isinstance(value.get("coding"), list):
        return text_of(value["coding"])
    code = value.get("code")
    return code if isinstance(code, str) and "value" not in value else ""


def _human_name(value: dict[str, Any]) -> str:
    given, family = value.get("given"), value.get("family")
    words = [*(given if isinstance(given, list) else ()), family]
    return " ".join(word for word in words if isinstance(word, str))


def _quantity(value: dict[str, Any]) -> str:
    if "value" not in value or isinstance(value["value"], (dict, list)):
        return ""
    unit = value.get("unit", value.get("code", value.get("currency", "")))
    comparator = value.get("comparator", "")
    return f"{comparator}{value['value']} {unit}".strip()


def _period(value: dict[str, Any]) -> str:
    start, end = value.get("start"), value.get("end")
    if isinstance(start, str) or isinstance(end, str):
        return f"{start or '…'} – {end or '…'}"
    return ""


def _reference(value: dict[str, Any]) -> str:
    reference = value.get("reference")
    return reference if isinstance(reference, str) else ""
