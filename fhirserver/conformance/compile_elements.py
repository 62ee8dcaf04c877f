"""Types and their elements, out of StructureDefinition snapshots.

https://hl7.org/fhir/R4/structuredefinition.html,
https://hl7.org/fhir/R4/elementdefinition.html#interpretation

A row of the table keeps what differs from the usual (min 0, max 1, no flag). Types are written
as the specification's pages write them: `Reference(Patient|Group)`, `Quantity(SimpleQuantity)`.
"""

from __future__ import annotations

from typing import Any

from fhirserver.conformance.compile_source import Resource, Source

ABSTRACT = ("Element", "BackboneElement", "Resource", "DomainResource")
_KINDS = ("primitive-type", "complex-type", "resource")
_FHIR_TYPE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-fhir-type"
_REGEX = "http://hl7.org/fhir/StructureDefinition/regex"
_MAXIMUM = "http://hl7.org/fhir/StructureDefinition/elementdefinition-maxValueSet"
_CANONICAL = "http://hl7.org/fhir/StructureDefinition/"
Row = dict[str, Any]


def compile_types(source: Source) -> dict[str, Row]:
    """Every data type, resource type and backbone element by name; primitives have `regex`."""
    types: dict[str, Row] = {}
    definitions = [d for d in source.of_type("StructureDefinition") if _is_wanted(d)]
    for definition in sorted(definitions, key=lambda d: (_order(d), d["name"])):
        if definition["kind"] == "primitive-type":
            types[definition["name"]] = _primitive(definition)
        else:
            types |= _structure(definition)
    return types


def compile_invariants(source: Source) -> list[Row]:
    """Constraints where they are defined (snapshots repeat them where they apply)."""
    rows: dict[tuple[str, str], Row] = {}
    for definition in source.of_type("StructureDefinition"):
        if not _is_wanted(definition):
            continue
        for element in definition["snapshot"]["element"]:
            for constraint in element.get("constraint", ()):
                if constraint.get("source", definition["url"]) != definition["url"]:
                    continue
                if element["path"] != definition["name"] and constraint["key"] in _REPEATED:
                    continue  # copied onto elements without naming its source
                if "expression" not in constraint:
                    continue
                rows.setdefault(
                    (element["path"], constraint["key"]),
                    {
                        "path": element["path"],
                        "key": constraint["key"],
                        "severity": constraint["severity"],
                        "expression": constraint["expression"],
                    },
                )
    return [rows[key] for key in sorted(rows)]


_REPEATED = ("ele-1", "ext-1")


def _is_wanted(definition: Resource) -> bool:
    if definition["name"] in ABSTRACT:
        return True
    return (
        definition["kind"] in _KINDS
        and definition.get("derivation") == "specialization"
        and not definition["abstract"]
    )


def _order(definition: Resource) -> int:
    return _KINDS.index(definition["kind"])


def _primitive(definition: Resource) -> Row:
    row: Row = {"kind": "primitive", "base": _parent(definition)}
    for element in definition["snapshot"]["element"]:
        if element["path"] != definition["name"] + ".value":
            continue
        for type_ in element["type"]:
            for extension in type_.get("extension", ()):
                if extension["url"] == _REGEX:
                    row["regex"] = extension["valueString"]
        for bound in ("minValueInteger", "maxValueInteger", "maxLength"):
            if bound in element:
                row[bound] = element[bound]
    return row


def _structure(definition: Resource) -> dict[str, Row]:
    name = definition["name"]
    root: Row = {
        "kind": "resource" if definition["kind"] == "resource" else "complex",
        "base": _parent(definition),
        "elements": [],
    }
    if definition["abstract"]:
        root["abstract"] = True
    found: dict[str, Row] = {name: root}
    elements = definition["snapshot"]["element"][1:]
    parents = {e["path"].rpartition(".")[0] for e in elements}
    for element in elements:
        path = element["path"]
        parent, _, last = path.rpartition(".")
        if path in parents:
            found[path] = {
                "kind": "backbone",
                "base": element["type"][0]["code"],
                "elements": [],
            }
            types = [path]
        elif "contentReference" in element:
            types = [element["contentReference"].rpartition("#")[2]]
        else:
            types = [_type(element, t) for t in element["type"]]
        found[parent]["elements"].append(_row(element, last, types))
    return found


def _row(element: Resource, name: str, types: list[str]) -> Row:
    row: Row = {"name": name, "types": types}
    if element["min"]:
        row["min"] = element["min"]
    if element["max"] != "1":
        row["max"] = element["max"]
    if element.get("isSummary"):
        row["summary"] = True
    if element.get("isModifier"):
        row["modifier"] = True
    if "xmlAttr" in element.get("representation", ()):
        row["attribute"] = True
    binding = element.get("binding", {})
    if "valueSet" in binding:
        row["binding"] = [binding["strength"], binding["valueSet"].partition("|")[0]]
    for extension in binding.get("extension", ()):
        if extension["url"] == _MAXIMUM and "valueCanonical" in extension:
            row["maximum"] = extension["valueCanonical"].partition("|")[0]
    return row


def _type(element: Resource, type_: Resource) -> str:
    code = str(type_["code"])
    if code.startswith("http://hl7.org/fhirpath/System."):
        if element["path"].endswith(".id") and "representation" not in element:
            return "id"  # Resource.id: published as a string, documented as an id
        stated = [e for e in type_.get("extension", ()) if e["url"] == _FHIR_TYPE]
        return str(stated[0]["valueUrl"])
    targets = type_.get("targetProfile", []) + type_.get("profile", [])
    names = [_target(url) for url in targets]
    if not names or names == ["Resource"]:
        return code
    return f"{code}({'|'.join(names)})"


def _target(url: str) -> str:
    return url.removeprefix(_CANONICAL)


def _parent(definition: Resource) -> str | None:
    stated = definition.get("baseDefinition")
    return _target(stated) if stated else None
