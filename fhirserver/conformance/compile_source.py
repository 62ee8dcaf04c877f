"""HL7's R4 definitions as published, read from any of the forms they come in.

Accepted: a folder of definition Bundles (`profiles-resources.json`, also gzipped), the archive
`hl7.fhir.r4.core.tgz` (one resource a file), or a wheel that carries that archive.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

Resource = dict[str, Any]

#: The Bundles that make the base specification; the folder holds others (examples, profiles).
BUNDLES = (
    "profiles-types",
    "profiles-resources",
    "search-parameters",
    "compartments",
    "valuesets",
    "v3-codesystems",
    "v2-tables",
    "valueset-expansions",
)
ARCHIVE = "hl7.fhir.r4.core.tgz"
_TYPES = (
    "StructureDefinition",
    "SearchParameter",
    "CompartmentDefinition",
    "ValueSet",
    "CodeSystem",
)


class Source:
    """The definitions by resource type and canonical URL, sorted by URL."""

    def __init__(self, resources: Iterator[Resource]) -> None:
        self._by_type: dict[str, dict[str, Resource]] = {name: {} for name in _TYPES}
        for resource in resources:
            by_url = self._by_type.get(resource.get("resourceType", ""))
            if by_url is None or "url" not in resource:
                continue
            known = by_url.setdefault(resource["url"], resource)
            if known is not resource:
                # valueset-expansions repeats value sets of the other Bundles, with expansion
                known |= {name: resource[name] for name in resource.keys() - known.keys()}

    def of_type(self, name: str) -> list[Resource]:
        return [resource for _, resource in sorted(self._by_type[name].items())]


def read_source(path: Path) -> Source:
    """Read the definitions at `path`; FileNotFoundError when nothing there holds them."""
    if path.is_dir():
        archive = next(path.rglob(ARCHIVE), None)
        return Source(_from_archive(archive.read_bytes()) if archive else _from_bundles(path))
    if path.suffix in (".whl", ".zip"):
        with zipfile.ZipFile(path) as wheel:
            name = next((n for n in wheel.namelist() if n.endswith(ARCHIVE)), None)
            if name is None:
                raise FileNotFoundError(f"{path} holds no {ARCHIVE}")
            return Source(_from_archive(wheel.read(name)))
    return Source(_from_archive(path.read_bytes()))


def _from_bundles(folder: Path) -> Iterator[Resource]:
    for name in BUNDLES:
        plain = folder / f"{name}.json"
        packed = folder / f"{name}.json.gz"
        if packed.exists():
            body = gzip.decompress(packed.read_bytes())
        elif plain.exists():
            body = plain.read_bytes()
        else:
            raise FileNotFoundError(f"{folder} holds neither {plain.name} nor {packed.name}")
        for entry in json.loads(body, parse_float=Decimal)["entry"]:
            yield entry["resource"]


def _from_archive(body: bytes) -> Iterator[Resource]:
    with tarfile.open(fileobj=io.BytesIO(body)) as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            if not name.endswith(".json") or not name.startswith(_TYPES):
                continue
            file = archive.extractfile(member)
            if file is not None:
                yield json.loads(file.read(), parse_float=Decimal)
