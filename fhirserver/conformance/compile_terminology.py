"""Value sets and code systems of the specification: codes and how they hang together.

https://hl7.org/fhir/R4/valueset.html, https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

from typing import Any

from fhirserver.conformance.compile_source import Resource, Source

Table = dict[str, Any]
#: Whole branches of these are their owners' to distribute; codes a value set names stay.
_NOT_EXPANDED = ("http://snomed.info/sct", "http://loinc.org")


def compile_code_systems(source: Source) -> dict[str, Table]:
    """Code system -> content mode and codes; a code with parents is `[code, parent, ...]`."""
    systems = {}
    for system in source.of_type("CodeSystem"):
        parents: dict[str, list[str]] = {}
        _gather(system.get("concept", ()), None, parents)
        row: Table = {
            "content": system["content"],
            "codes": [[code, *up] if up else code for code, up in parents.items()],
        }
        if not system.get("caseSensitive", True):
            row["caseSensitive"] = False
        systems[system["url"]] = row
    return systems


def _gather(concepts: Any, parent: str | None, into: dict[str, list[str]]) -> None:
    for concept in concepts:
        above = into.setdefault(concept["code"], [])
        stated = [
            p["valueCode"]
            for p in concept.get("property", ())
            if p["code"] == "subsumedBy" and "valueCode" in p
        ]
        for code in ([parent] if parent else []) + stated:
            if code not in above:
                above.append(code)
        _gather(concept.get("concept", ()), concept["code"], into)


def compile_value_sets(source: Source) -> dict[str, Table]:
    """Value set -> what it includes and excludes, and HL7's expansion where only that tells."""
    complete = {s["url"] for s in source.of_type("CodeSystem") if s["content"] == "complete"}
    sets = {}
    for value_set in source.of_type("ValueSet"):
        compose = value_set.get("compose", {})
        row: Table = {
            part: [_component(c) for c in compose[part]]
            for part in ("include", "exclude")
            if compose.get(part)
        }
        if not _is_computable(row, complete):
            codes = _published_expansion(value_set.get("expansion", {}))
            if codes:
                row["expansion"] = codes
        if row:
            sets[value_set["url"]] = row
    return sets


def _component(component: Resource) -> Table:
    row: Table = {}
    if "system" in component:
        row["system"] = component["system"]
    if component.get("concept"):
        row["concept"] = [concept["code"] for concept in component["concept"]]
    if component.get("filter"):
        row["filter"] = [[f["property"], f["op"], f["value"]] for f in component["filter"]]
    if component.get("valueSet"):
        row["valueSet"] = component["valueSet"]
    return row


def _is_computable(row: Table, complete: set[str]) -> bool:
    for component in row.get("include", []) + row.get("exclude", []):
        if "concept" in component:
            continue
        if any(f[1] not in ("is-a", "descendent-of") for f in component.get("filter", ())):
            return False
        if "system" in component and component["system"] not in complete:
            return False
    return bool(row)


def _published_expansion(expansion: Resource) -> dict[str, list[str]] | None:
    """Codes of a closed, complete expansion by system."""
    if any("valueBoolean" in e for e in expansion.get("extension", ())):
        return None  # too costly or not closed: a sample only
    codes: dict[str, list[str]] = {}
    _gather_expansion(expansion.get("contains", ()), codes)
    return None if not codes or codes.keys() & set(_NOT_EXPANDED) else codes


def _gather_expansion(contains: Any, into: dict[str, list[str]]) -> None:
    for concept in contains:
        if not concept.get("abstract") and "code" in concept:
            into.setdefault(concept.get("system", ""), []).append(concept["code"])
        _gather_expansion(concept.get("contains", ()), into)
