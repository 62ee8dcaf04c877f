"""Compiles HL7's R4 definitions into the compact tables the server ships.

    python -m fhirserver.conformance.compile SOURCE [TARGET]

SOURCE is a folder of definition Bundles, the archive `hl7.fhir.r4.core.tgz`, or a wheel that
carries it; TARGET a folder for `profiles/r4` and `terminology/r4` (default: where the server reads
them). The same source gives the same bytes.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fhirserver.conformance.compile_elements import compile_invariants, compile_types
from fhirserver.conformance.compile_search import compile_compartments, compile_search_parameters
from fhirserver.conformance.compile_source import Source, read_source
from fhirserver.conformance.compile_terminology import compile_code_systems, compile_value_sets
from fhirserver.model import shipped


def tables(source: Source) -> dict[str, bytes]:
    """Every table as the bytes of its file, by path."""
    return {
        "profiles/r4/types.json": _lines(compile_types(source)),
        "profiles/r4/invariants.json": _rows(compile_invariants(source)),
        "profiles/r4/compartments.json": _lines(compile_compartments(source)),
        "profiles/r4/search-parameters.json.gz": _pack(_rows(compile_search_parameters(source))),
        "terminology/r4/code-systems.json.gz": _pack(_lines(compile_code_systems(source))),
        "terminology/r4/value-sets.json.gz": _pack(_lines(compile_value_sets(source))),
    }


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _lines(table: Mapping[str, Any]) -> bytes:
    """One key a line, so that a new release shows as a readable difference."""
    body = ",\n".join(f"{_compact(key)}:{_compact(value)}" for key, value in table.items())
    return f"{{\n{body}\n}}\n".encode()


def _rows(table: Iterable[Any]) -> bytes:
    body = ",\n".join(_compact(row) for row in table)
    return f"[\n{body}\n]\n".encode()


def _pack(body: bytes) -> bytes:
    return gzip.compress(body, compresslevel=9, mtime=0)


def write(source: Path, target: Path) -> list[Path]:
    """Compile `source` and write the tables below `target`; the paths written."""
    written = []
    for name, body in tables(read_source(source)).items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        written.append(path)
    return written


def main(arguments: list[str]) -> int:
    if len(arguments) not in (1, 2):
        print(__doc__, file=sys.stderr)
        return 2
    target = Path(arguments[1]) if len(arguments) == 2 else shipped.folder("profiles").parent
    try:
        written = write(Path(arguments[0]), target)
    except FileNotFoundError as error:
        print(error, file=sys.stderr)
        return 1
    for path in written:
        print(path, path.stat().st_size)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
