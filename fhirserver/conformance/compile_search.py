"""Search parameters and compartments, stripped to their facts.

https://hl7.org/fhir/R4/searchparameter.html, https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from __future__ import annotations

from typing import Any

from fhirserver.conformance.compile_source import Resource, Source

_KEPT = (
    "resourceType",
    "id",
    "url",
    "version",
    "name",
    "status",
    "code",
    "base",
    "type",
    "expression",
    "xpathUsage",
    "target",
    "multipleOr",
    "multipleAnd",
    "comparator",
    "modifier",
    "chain",
    "component",
)
#: The core archive adds parameters that belong to example and genetics extensions.
_FOREIGN = ("-extensions-", "-genetic-", "/example", "/filter")


def compile_search_parameters(source: Source) -> list[Resource]:
    found = []
    for parameter in source.of_type("SearchParameter"):
        last = parameter["url"].rpartition("/SearchParameter")[2]
        if "base" not in parameter or any(mark in last for mark in _FOREIGN):
            continue
        found.append({name: parameter[name] for name in _KEPT if name in parameter})
    return found


def compile_compartments(source: Source) -> dict[str, dict[str, list[str]]]:
    """Compartment -> resource type -> codes of the parameters that put it in.

    A resource is in the compartment of its own type and id by definition; the published
    `{def}` that says so is left out.
    """
    compartments: dict[str, Any] = {}
    for definition in source.of_type("CompartmentDefinition"):
        members = {
            member["code"]: [code for code in member.get("param", ()) if code != "{def}"]
            for member in definition["resource"]
        }
        if definition["url"].startswith("http://hl7.org/fhir/CompartmentDefinition/example"):
            continue
        compartments[definition["code"]] = {
            name: codes
            for name, codes in sorted(members.items())
            if codes or name == definition["code"]
        }
    return dict(sorted(compartments.items()))
