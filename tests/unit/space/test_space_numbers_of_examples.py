"""The French examples: numbers of professionals and structures are taken without their Luhn digit,
which half of the ANS's own lack; of an official INS the key is demanded."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from fhirserver.space.identifier import checked_types, identifier_issues
from fhirserver.space.key import is_luhn

EXAMPLES = Path(__file__).parents[4] / "shared" / "data" / "french" / "examples.ndjson.gz"
NUMBERS = {"https://rpps.esante.gouv.fr", "https://finess.esante.gouv.fr"}


def resources(value):
    """Every resource in it, contained ones and those of Bundles too."""
    if isinstance(value, dict):
        if "resourceType" in value:
            yield value
        for each in value.values():
            yield from resources(each)
    elif isinstance(value, list):
        for each in value:
            yield from resources(each)


def test_no_professional_or_structure_is_refused_for_its_numbers():
    if not EXAMPLES.is_file():
        pytest.skip(f"there is no reference data at {EXAMPLES}")
    with gzip.open(EXAMPLES, "rt") as lines:
        found = [each for line in lines for each in resources(json.loads(line)["resource"])]
    looked_at = [each for each in found if each["resourceType"] in checked_types() - {"Patient"}]
    assert looked_at
    for each in looked_at:
        assert identifier_issues(each["resourceType"], each) == [], each.get("identifier")
    without = [
        identifier["value"]
        for each in looked_at
        for identifier in each.get("identifier", ())
        if identifier.get("system") in NUMBERS and not is_luhn(identifier["value"])
    ]
    assert without
