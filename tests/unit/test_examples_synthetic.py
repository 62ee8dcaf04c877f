"""The made-up data of the benchmarks, made from the examples: valid, and the same every time."""

import sys
from collections import Counter
from pathlib import Path

from fhirserver.model import json as fhir_json
from fhirserver.model.references import links, parse
from fhirserver.validation.validator import Validator

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks import row, synthetic  # the benchmarks are no part of the package

COUNT = 1500


def test_synthetic_resources_are_valid_unique_and_refer_to_each_other():
    validator = Validator()
    made = [fhir_json.decode(body) for body in synthetic.resources(COUNT)]
    assert COUNT <= len(made) < COUNT + 500
    names = {f"{r['resourceType']}/{r['id']}" for r in made}
    assert len(names) == len(made)
    for resource in made:
        assert [i for i in validator.validate(resource) if i.severity == "error"] == []
        for link in links(resource):
            if link.type == "reference" and parse(link.value).type in ("Patient", "Encounter"):
                assert link.value in names
    kinds = Counter(resource["resourceType"] for resource in made)
    assert kinds["Observation"] > kinds["Encounter"] > kinds["Patient"] > 20


def test_synthetic_resources_are_the_same_every_time_and_grow_at_the_end():
    few, more = list(synthetic.resources(300)), list(synthetic.resources(900))
    assert more[: len(few)] == few


def test_row_is_met_at_its_limit_in_its_direction():
    at_least = row.Row("read", "", "", 0.5, 0.5)
    at_most = row.Row("start", "", "", 1.6, 1.5, at_most=True)
    assert at_least.met
    assert not at_most.met
    text = row.table([at_least, at_most], markdown=True).splitlines()
    assert text[1] == "|---|---|---|---|---|---|"
    assert text[2].endswith("| 0.50 | ≥ 0.50 | yes |")
    assert text[3].endswith("| 1.60 | ≤ 1.50 | no |")


def test_turns_visit_every_case_in_every_round():
    order = []
    cases = {name: lambda name=name: order.append(name) or float(len(order)) for name in "ab"}
    taken = row.take_turns(cases, 3)
    assert order == ["a", "b", "b", "a", "a", "b"]
    assert row.ratio(taken["b"], taken["a"]) == 1.2
