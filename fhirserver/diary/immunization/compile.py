"""Compiles NUVA's tables into the vaccine file the server ships.

    python -m fhirserver.diary.immunization.compile SOURCE [TARGET]

SOURCE is a folder with nuva_core.csv, nuva_vaccine_valence.csv, nuva_valence_target.csv and the
xxx2nuva.csv alignments; TARGET the file to write (default: where the server reads it). Facts only:
codes, names, and what a vaccine contains. The same source gives the same bytes.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
from pathlib import Path
from typing import Any

from fhirserver.model import shipped

_ALIGNMENTS = {"cis": "CIS", "cip": "CIP", "cvx": "CVX", "atc": "ATC", "sct": "SNOMED-CT"}


def table(source: Path) -> dict[str, Any]:
    """The vaccines by NUVA code, and each other code system's codes with their NUVA code."""
    valences: dict[str, list[str]] = {}
    for row in _rows(source / "nuva_vaccine_valence.csv"):
        valences.setdefault(row["NUVA"], []).append(row["valence"])
    return {
        "title": "Vaccines, what they contain, and their codes",
        "source": "NUVA (Unified Nomenclature of Vaccines), International Vaccine Codes Initiative "
        "(ivci.org), release 1.3.23 of 2026-08-17",
        "licence": "CC BY 4.0; changed: reduced to codes, names and valences. The codes of the "
        "other systems stay theirs: ATC (WHO), SNOMED CT (Global Patient Set), CVX (US CDC), "
        "CIS and CIP (French public base of medicines).",
        "vaccines": {
            row["NUVA"]: [row["label"], row["abstract"] == "False", sorted(valences[row["NUVA"]])]
            for row in _rows(source / "nuva_core.csv")
        },
        "valences": {
            row["valence"]: row["target"] for row in _rows(source / "nuva_valence_target.csv")
        },
        "codes": {
            system: {
                # A # marks a code that is no longer in use; histories may hold it.
                row[name].removeprefix(f"{name}-").removeprefix("#"): row["NUVA"]
                for row in _rows(source / f"{name}2nuva.csv")
            }
            for system, name in _ALIGNMENTS.items()
        },
    }


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def main(arguments: list[str]) -> None:
    source = Path(arguments[0])
    default = shipped.folder("terminology") / "immunization" / "vaccines.json.gz"
    target = Path(arguments[1]) if len(arguments) > 1 else default
    text = json.dumps(table(source), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    target.write_bytes(gzip.compress(text.encode(), 9, mtime=0))


if __name__ == "__main__":
    main(sys.argv[1:])
