"""Every R4 search parameter of every type, in strict mode, finds what its expression says of HL7's
examples and ours; and its prefixes and modifiers find what `search_by_hand.py` finds."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import search_by_hand as by_hand
from over_http import FHIR_JSON

from fhirserver.app import build
from fhirserver.settings import Settings

SHARED = Path(__file__).parents[3] / "shared" / "data"
EXAMPLES = Path(__file__).parents[2] / "examples"
STRICT = {"prefer": "handling=strict"}
VALUES = 2  # of each parameter, asked in every way

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(
        not SHARED.is_dir(), reason="the R4 definitions and examples (../shared/data) are not here"
    ),
]


def _lines(name):
    with gzip.open(SHARED / name, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def parameters():
    """type of parameter -> (resource type, parameter)."""
    found = defaultdict(list)
    with gzip.open(SHARED / "r4-definitions/search-parameters.json.gz") as file:
        rows = [entry["resource"] for entry in json.load(file)["entry"]]
    every = {base for row in rows for base in row["base"]} - {"Resource", "DomainResource"}
    for row in rows:
        abstract = row["base"][0] in ("Resource", "DomainResource")
        for base in sorted(every) if abstract else row["base"]:
            if row["code"] not in ("_lastUpdated", "_query"):
                kind = row["type"] if row.get("expression") else "special"
                found[kind].append((base, row))
    return found


class Answers:
    """The application in this process, and the resources it holds."""

    def __init__(self, client):
        self.client = client
        self.stored = defaultdict(dict)
        self.values = {}

    async def ids(self, type_, name, value):
        """The ids found of those stored; the answer must be 200 with nothing left out. What the
        services draw up meanwhile (screening plans, vaccination recommendations) is in no file."""
        response = await self.client.get(
            f"/{type_}",
            params={name: value, "_count": 1000, "_elements": "id"},
            headers=STRICT,
        )
        assert response.status_code == 200, (type_, name, value, response.text)
        found = {entry["resource"]["id"] for entry in response.json().get("entry", ())}
        return found & self.stored[type_].keys()

    async def check(self, type_, name, value, expected):
        found = await self.ids(type_, name, value)
        return [] if found == expected else [(f"{type_}?{name}={value}", found ^ expected)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def answers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search-against-files")
    app = build(
        Settings(_env_file=None, auth="off", database=f"sqlite:///{folder}/a.db", log_level="error")
    )
    lifespan = app.lifespan()
    await lifespan.__aenter__()
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t/fhir") as client:
        made = Answers(client)
        resources = [row["resource"] for row in _lines("hl7-r4-examples/examples-even.ndjson.gz")]
        for file in sorted(EXAMPLES.glob("*.json")):
            resources += [e["resource"] for e in json.loads(file.read_text())["entry"]]
        for resource in resources:
            type_, id_ = resource["resourceType"], resource["id"]
            response = await client.put(f"/{type_}/{id_}", json=resource, headers=FHIR_JSON)
            if response.is_success:
                made.stored[type_][id_] = resource
        assert sum(map(len, made.stored.values())) > 400
        yield made
    await lifespan.__aexit__(None, None, None)


def _values(answers, type_, parameter):
    """id -> what the expression gives, for the resources where it gives something."""
    key = (type_, parameter["url"])
    if key not in answers.values:
        found = {
            id_: by_hand.values_of(parameter, resource)
            for id_, resource in answers.stored[type_].items()
        }
        answers.values[key] = {id_: values for id_, values in found.items() if values}
    return answers.values[key]


def _some(values):
    """A few different ones, from all over."""
    different = list(dict.fromkeys(values))
    return different[:: max(1, len(different) // VALUES)][:VALUES]


async def test_presence_of_every_parameter_is_what_its_expression_says(answers, parameters):
    wrong, asked, told = [], 0, 0
    for rows in parameters.values():
        for type_, parameter in rows:
            name = f"{parameter['code']}:missing"
            if parameter["type"] == "composite" or not parameter.get("expression"):
                response = await answers.client.get(f"/{type_}?{name}=false", headers=STRICT)
                assert response.status_code == 400, (type_, name)
                continue
            expected = set(_values(answers, type_, parameter))
            wrong += await answers.check(type_, name, "false", expected)
            asked += 1
            if expected:
                told += 1
                rest = set(answers.stored[type_]) - expected
                wrong += await answers.check(type_, name, "true", rest)
    assert wrong == []
    assert asked > 2000
    assert told > 1000


async def test_strings_are_found(answers, parameters):
    wrong = []
    for type_, parameter in parameters["string"]:
        code = parameter["code"]
        texts = {
            id_: [text for value in values for text in by_hand.texts(value)]
            for id_, values in _values(answers, type_, parameter).items()
        }
        for text in _some(text for found in texts.values() for text in found):
            start, middle = text[: len(text) // 2 + 1].strip(), text[1:-1].strip() or text
            for name, sought, test in (
                (code, start.upper(), lambda a, b: by_hand.plain(a).startswith(by_hand.plain(b))),
                (f"{code}:contains", middle, lambda a, b: by_hand.plain(b) in by_hand.plain(a)),
                (f"{code}:exact", text, lambda a, b: a == b),
                (f"{code}:exact", start, lambda a, b: a == b),
            ):
                expected = {i for i, all_ in texts.items() if any(test(a, sought) for a in all_)}
                wrong += await answers.check(type_, name, by_hand.escaped(sought), expected)
    assert wrong == []


async def test_tokens_are_found(answers, parameters):
    wrong = []
    for type_, parameter in parameters["token"]:
        code = parameter["code"]
        if code == "_id":
            continue
        pairs = {
            id_: {pair for value in values for pair in by_hand.tokens(value)}
            for id_, values in _values(answers, type_, parameter).items()
        }
        everything = set(answers.stored[type_])

        def having(test, pairs=pairs):
            return {id_ for id_, found in pairs.items() if any(test(*pair) for pair in found)}

        for system, value in _some(
            pair for found in pairs.values() for pair in sorted(found, key=str)
        ):
            text = by_hand.escaped(value)
            if value:
                same = having(lambda s, c, v=value: c == v)
                wrong += await answers.check(type_, code, text, same)
                wrong += await answers.check(type_, f"{code}:not", text, everything - same)
                other = having(lambda s, c, v=value: c in (v, "no-such-code"))
                wrong += await answers.check(type_, code, f"no-such-code,{text}", other)
            if system is None:
                continue
            if value:
                both = having(lambda s, c, p=(system, value): (s, c) == p)
                asked = f"{by_hand.escaped(system)}|{text}"
                wrong += await answers.check(type_, code, asked, both)
            if system:
                of = having(lambda s, c, y=system: s == y)
                wrong += await answers.check(type_, code, f"{by_hand.escaped(system)}|", of)
    assert wrong == []


async def test_references_are_found(answers, parameters):
    wrong = []
    for type_, parameter in parameters["reference"]:
        code = parameter["code"]
        targets = {
            id_: {by_hand.target(value) for value in values} - {None}
            for id_, values in _values(answers, type_, parameter).items()
        }
        for of, id_ in _some(pair for found in targets.values() for pair in sorted(found)):
            full = {i for i, found in targets.items() if (of, id_) in found}
            bare = {
                i
                for i, found in targets.items()
                if any(t in parameter["target"] and n == id_ for t, n in found)
            }
            wrong += await answers.check(type_, code, f"{of}/{id_}", full)
            wrong += await answers.check(type_, code, id_, bare)
            wrong += await answers.check(type_, f"{code}:{of}", id_, full)
            if id_ in answers.stored[of]:
                wrong += await answers.check(type_, f"{code}:{of}._id", id_, full)
                wrong += await answers.check(of, f"_has:{type_}:{code}:_id", sorted(full)[0], {
                    n for t, n in targets[sorted(full)[0]] if t == of and n in answers.stored[of]
                })  # fmt: skip
    assert wrong == []


async def test_dates_are_found(answers, parameters):
    wrong = []
    for type_, parameter in parameters["date"]:
        code = parameter["code"]
        values = _values(answers, type_, parameter)
        if (type_, code) == ("CarePlan", "activity-date"):
            # A scheduledString is text, whatever it looks like.
            values = {i: [v for v in all_ if isinstance(v, dict)] for i, all_ in values.items()}
        stored = {i: [p for v in all_ if (p := by_hand.period(v))] for i, all_ in values.items()}
        whole = {i for i in values if len(stored[i]) == len(values[i])}
        texts = [
            text
            for all_ in values.values()
            for v in all_
            for text in ([v] if isinstance(v, str) else [v.get("start"), v.get("end")])
            if text and by_hand.period(text)
        ]
        for text in _some(texts):
            for sought in dict.fromkeys((text, text[:10], text[:7], text[:4])):
                for prefix in ("eq", "ne", "gt", "lt", "ge", "le", "sa", "eb"):
                    expected = {
                        i
                        for i, periods in stored.items()
                        if any(
                            by_hand.date_passes(prefix, by_hand.interval(sought), p)
                            for p in periods
                        )
                    }
                    found = await answers.ids(type_, code, prefix + sought)
                    # What fhirpathpy gives no plain date for (a Timing) is not judged here.
                    if found & whole != expected & whole:
                        wrong.append((f"{type_}?{code}={prefix}{sought}", found ^ expected))
    assert wrong == []


@pytest.mark.parametrize("kind", ["number", "quantity"])
async def test_numbers_and_quantities_are_found(answers, parameters, kind):
    wrong = []
    for type_, parameter in parameters[kind]:
        code = parameter["code"]
        values = _values(answers, type_, parameter)
        stored = {
            i: [(n, v) for v in all_ if (n := by_hand.number(v)) is not None]
            for i, all_ in values.items()
        }
        judged = {i for i in values if len(stored[i]) == len(values[i])}
        for number, value in _some_numbers(stored):
            units = [("", lambda v: True)]
            if kind == "quantity" and isinstance(value, dict) and "currency" not in value:
                system, unit = value.get("system"), value.get("code") or value.get("unit")
                if unit:
                    units.append(
                        (
                            f"||{by_hand.escaped(unit)}",
                            lambda v, u=unit: u in (v.get("code"), v.get("unit")),
                        )
                    )
                if system and value.get("code"):
                    units.append(
                        (
                            f"|{by_hand.escaped(system)}|{by_hand.escaped(value['code'])}",
                            lambda v, s=system, c=value["code"]: (
                                (v.get("system"), v.get("code")) == (s, c)
                            ),
                        )
                    )
            for text in dict.fromkeys((str(number), f"{number + 1}", f"{round(number)}")):
                for prefix in ("", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"):
                    for suffix, has_unit in units:
                        expected = {
                            i
                            for i, all_ in stored.items()
                            if any(
                                has_unit(v) and by_hand.number_passes(prefix or "eq", text, n)
                                for n, v in all_
                            )
                        }
                        found = await answers.ids(type_, code, prefix + text + suffix)
                        if found & judged != expected & judged:
                            wrong.append(
                                (f"{type_}?{code}={prefix}{text}{suffix}", found ^ expected)
                            )
    assert wrong == []


def _some_numbers(stored):
    every = [pair for all_ in stored.values() for pair in all_]
    return every[:: max(1, len(every) // VALUES)][:VALUES]


async def test_uris_are_found(answers, parameters):
    wrong = []
    for type_, parameter in parameters["uri"]:
        code = parameter["code"]
        uris = {
            i: [v for v in all_ if isinstance(v, str)]
            for i, all_ in _values(answers, type_, parameter).items()
        }
        for uri in _some(uri for all_ in uris.values() for uri in all_):
            parent = uri.rpartition("/")[0] or uri
            for name, sought, test in (
                (code, uri, lambda a, b: a == b),
                (f"{code}:below", parent, by_hand.lies_under),
                (f"{code}:below", uri[:-1], by_hand.lies_under),
                (f"{code}:above", f"{uri}/more", lambda a, b: by_hand.lies_under(b, a)),
            ):
                expected = {i for i, all_ in uris.items() if any(test(a, sought) for a in all_)}
                wrong += await answers.check(type_, name, by_hand.escaped(sought), expected)
    assert wrong == []
