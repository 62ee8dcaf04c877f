"""Makes the tables of document codes (terminology/record/) from the ANS's published resources.

    python -m fhirserver.record.compile SOURCE [TARGET]

SOURCE: the folder that holds `conformance.ndjson.gz` (value sets and code systems, one
`{"package", "file", "resource"}` a line) and `maps/` (the ConceptMaps). TARGET: the folder the
tables go to (default: where the server reads them). The same source gives the same bytes. Codes
only: displays of LOINC stay with LOINC.
"""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from typing import Any

from fhirserver.model import shipped

Resource = dict[str, Any]

_LOINC = "http://loinc.org"
#: J66 names LOINC by the ANS's own copy of it.
_ALIASES = {"https://mos.esante.gouv.fr/NOS/TRE_A04-Loinc/FHIR/TRE-A04-Loinc": _LOINC}


def tables(source: Path) -> dict[str, Any]:
    """Each table by the name of its file."""
    resources = _conformance(source)
    maps = source / "maps"
    types_all = _value_set(resources, "JDV-J07-XdsTypeCode-CISIS")
    types_dmp = _read(maps / "ValueSet-JDV-J66-TypeCode-DMP.json")
    by_dmp = _read(maps / "ConceptMap-ASS-X16-CorrespondanceType-Classe-DMP.json")
    by_cisis = _read(maps / "ConceptMap-ASS-X04-CorrespondanceType-Classe-CISIS.json")
    classes = _code_system(resources, "TRE-A03-ClasseDocument")
    by_template = _read(maps / "ConceptMap-ASS-A11-CorresModeleCDA-XdsFormatCode-CISIS.json")
    by_media = _read(
        maps / "ConceptMap-ASS-A12-CorresMediaTypeCDANonStructure-XdsFormatCode-CISIS.json"
    )
    formats = _value_set(resources, "JDV-J10-XdsFormatCode-CISIS")
    more_formats = [
        _code_system(resources, id)
        for id in ("TRE-A06-FormatCodeComplementaire", "TRE-A11-IheFormatCode")
    ]
    facilities = _value_set(resources, "JDV-J02-XdsHealthcareFacilityTypeCode-CISIS")
    settings = _value_set(resources, "JDV-J04-XdsPracticeSettingCode-CISIS")
    return {
        "document-types.json": {
            **_about(types_all, types_dmp, by_dmp, by_cisis, classes),
            "classes": {c["code"]: c["display"] for c in classes["concept"]},
            "class_system": classes["url"],
            "types": _types(types_all, types_dmp, by_dmp, by_cisis),
        },
        "format-codes.json": {
            **_about(formats, *more_formats, by_template, by_media),
            "formats": _joined(_codes(formats), *map(_of_system, more_formats)),
            "by_template": {
                code: target
                for system, code, target in _mapped(by_template)
                if not system.endswith("TRE-R221-ModeleDocumentCDANonStructure")
            },
            "unstructured_templates": sorted(
                {
                    code
                    for system, code, _ in _mapped(by_template)
                    if system.endswith("TRE-R221-ModeleDocumentCDANonStructure")
                }
            ),
            "by_media_type": {code: target for _, code, target in _mapped(by_media)},
        },
        "context-codes.json": {
            **_about(facilities, settings),
            "facility": _codes(facilities),
            "practice": _codes(settings),
        },
    }


def _conformance(source: Path) -> list[Resource]:
    with gzip.open(source / "conformance.ndjson.gz", "rt", encoding="utf-8") as lines:
        return [json.loads(line)["resource"] for line in lines]


def _read(path: Path) -> Resource:
    resource: Resource = json.loads(path.read_text("utf-8"))
    return resource


def _newest(resources: list[Resource], type: str, id: str) -> Resource:
    found = [
        r
        for r in resources
        if r["resourceType"] == type and str(r.get("url", "")).rpartition("/")[2] == id
    ]
    return max(found, key=lambda r: str(r.get("version", "")))


def _value_set(resources: list[Resource], id: str) -> Resource:
    return _newest(resources, "ValueSet", id)


def _code_system(resources: list[Resource], id: str) -> Resource:
    return _newest(resources, "CodeSystem", id)


def _about(*resources: Resource) -> Resource:
    """Where a table is from."""
    named = ", ".join(f"{r['url']}|{r['version']}" for r in resources)
    return {
        "source": f"ANS, Nomenclatures des objets de santé: {named}",
        "date": max(str(r.get("date", ""))[:10] for r in resources),
    }


def _codes(value_set: Resource) -> dict[str, list[str]]:
    """System to codes."""
    found: dict[str, set[str]] = {}
    for include in value_set["compose"]["include"]:
        system = _ALIASES.get(include["system"], include["system"])
        found.setdefault(system, set()).update(c["code"] for c in include.get("concept", []))
    return {system: sorted(codes) for system, codes in sorted(found.items())}


def _of_system(code_system: Resource) -> dict[str, list[str]]:
    return {code_system["url"]: [concept["code"] for concept in code_system["concept"]]}


def _joined(*tables: dict[str, list[str]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for table in tables:
        for system, codes in table.items():
            found.setdefault(system, set()).update(codes)
    return {system: sorted(codes) for system, codes in sorted(found.items())}


def _mapped(concept_map: Resource) -> list[tuple[str, str, list[str]]]:
    """Source system, code, and [system, code] of the target."""
    return [
        (
            _ALIASES.get(group["source"], group["source"]),
            element["code"],
            [group["target"], target["code"]],
        )
        for group in concept_map["group"]
        for element in group["element"]
        for target in element["target"][:1]
    ]


def _types(*resources: Resource) -> list[Resource]:
    types_all, types_dmp, by_dmp, by_cisis = resources
    classes: dict[tuple[str, str], list[str]] = {}
    for concept_map in (by_dmp, by_cisis):  # the DMP's word goes first
        for system, code, target in _mapped(concept_map):
            classes.setdefault((system, code), target)
    dmp = {(system, code) for system, codes in _codes(types_dmp).items() for code in codes}
    known = {(system, code) for system, codes in _codes(types_all).items() for code in codes}
    return [
        {
            "system": system,
            "code": code,
            "class": classes.get((system, code)),
            "dmp": (system, code) in dmp,
        }
        for system, code in sorted(known | dmp | set(classes))
    ]


def _text(table: Resource) -> str:
    """JSON with one type, code list or mapping a line, so that changes show as lines."""
    lines = []
    for name, value in table.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            body = f"[\n  {rows}\n ]"
        elif isinstance(value, dict):
            rows = ",\n  ".join(
                f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(row, ensure_ascii=False)}"
                for key, row in value.items()
            )
            body = f"{{\n  {rows}\n }}"
        else:
            body = json.dumps(value, ensure_ascii=False)
        lines.append(f' "{name}": {body}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    target = (
        Path(arguments[1])
        if len(arguments) == 2
        else shipped.folder("terminology").joinpath("record")
    )
    target.mkdir(parents=True, exist_ok=True)
    for name, table in tables(Path(arguments[0])).items():
        (target / name).write_text(_text(table), "utf-8")
        print(target / name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
