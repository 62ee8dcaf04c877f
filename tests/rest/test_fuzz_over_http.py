"""Changed examples, odd headers, odd addresses and odd Bundles: never a server error, always an
OperationOutcome on a refusal, nothing stored by one."""

import json
import random
import time
from copy import deepcopy

import pytest
from over_http import FHIR_JSON, ROOT


def read_examples():
    found = []
    for path in sorted((ROOT / "examples").iterdir()):
        if path.suffix == ".ndjson":
            found += [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        elif path.suffix == ".json":
            resource = json.loads(path.read_text())
            entries = resource.get("entry", [{"resource": resource}])
            found += [entry["resource"] for entry in entries if "resource" in entry]
    return found


EXAMPLES = read_examples()
ODD = [
    None, True, -1, 10**400, 1.5, "", " ", "\0", "a" * 3000, [], {}, [[]], [{}], [None],
    {"$ne": 1}, {"": 1}, "\u202e", "😀", "2024-02-30", "javascript:x", "#nope", "Patient/",
    "urn:uuid:x", {"resourceType": "Patient"}, "9999-12-31T23:59:59+14:00", "0000", "%00",
    "http://a:99999999/", "Patient?x=y", '<div xmlns="http://www.w3.org/1999/xhtml">&nbsp;</div>',
]  # fmt: skip
SEGMENTS = [
    "Patient", "Observation", "1", "_history", "_search", "$everything", "$meta", "$validate",
    "metadata", "%00", "%ff", "%2e", "a" * 80, "*", "$", "0", "-1", "9" * 20, "%20", "%3Cx%3E",
    "%0d%0a", "%25", "Patient%2F1",
]  # fmt: skip
QUERIES = [
    "", "_count=-1", "_count=x", "_sort=", "_sort=-x", "_include=*", "_include=::", "_has=x",
    "_has:::=x", "name:exact:x=1", "name[$gt]=1", "birthdate=ap", "birthdate=2020-02-30", "=", "&",
    "_filter=((", "_filter=name%20co%20%22", "_cursor=x", "_elements=,", "_summary=x", "_id=%00",
    "_format=%ff", "_pretty=x", "name=%5C", "identifier=%7C%7C%7C", "_lastUpdated=gt",
    "_type=Patient,X", "_list=%24x", "subject:Patient.name.x=1", "name=(a%2B)%2B%24",
]  # fmt: skip
HEADERS = {
    "if-match": ['W/"1"', "*", "x", 'W/"99999999999999999999"', ""],
    "if-none-match": ["*", 'W/"1"', "x"],
    "if-modified-since": ["x", "Sat, 99 Jan 99999 00:00:00 GMT"],
    "if-none-exist": ["", "?", "identifier=%", "_id=1&_id=2", "a=b"],
    "prefer": [";;,=", "return=x", "handling=strict"],
    "accept": ["x", "a/b;q=z", "*", "/;", "text/html;q=1e9", "application/fhir+xml", "text/html"],
    "content-type": ["x", "", "application/json;charset=x", "application/fhir+xml"],
    "content-encoding": ["gzip", "x"],
    "accept-language": ["x" * 100, "*;q=0"],
    "x-forwarded-host": ["a b", "evil"],
    "x-forwarded-proto": ["javascript"],
}
METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class Fuzzer:
    def __init__(self, seed):
        self.random = random.Random(seed)

    def request(self):
        """Method, path, headers, body."""
        some = self.random.random()
        if some < 0.4:
            resource = self.changed(self.random.choice(EXAMPLES))
            path = f"/{resource.get('resourceType')}".replace("\0", "")
            return "POST", path, self.headers(0.02), self.bytes(resource, 0.2)
        if some < 0.6:
            return "POST", "/", self.headers(0.02), self.bytes(self.bundle(), 0.1)
        if some < 0.8:
            query = self.random.choice(QUERIES) + "&" + self.random.choice(QUERIES)
            return "GET", f"/{self.random.choice(SEGMENTS[:2])}?{query}", self.headers(0.05), b""
        segments = self.random.choices(SEGMENTS, k=self.random.randint(1, 4))
        body = self.random.choice([b"", b"{}", b"[]", b"x", json.dumps(EXAMPLES[0]).encode()])
        query = self.random.choice(QUERIES)
        return (
            self.random.choice(METHODS),
            f"/{'/'.join(segments)}?{query}",
            self.headers(0.2),
            body,
        )

    def headers(self, share):
        odd = {n: self.random.choice(v) for n, v in HEADERS.items() if self.random.random() < share}
        return FHIR_JSON | odd

    def bundle(self):
        entries = []
        for _ in range(self.random.randint(0, 4)):
            resource = self.random.choice(EXAMPLES)
            if self.random.random() < 0.5:
                resource = self.changed(resource)
            kind = str(resource.get("resourceType"))
            urls = [
                kind,
                f"{kind}/1",
                f"{kind}?_id=1",
                "",
                "$x",
                "metadata",
                "http://a/b",
                "?",
                "/",
            ]
            request = {"method": self.random.choice(METHODS), "url": self.random.choice(urls)}
            if self.random.random() < 0.3:
                name = self.random.choice(["ifMatch", "ifNoneExist", "ifNoneMatch"])
                request[name] = self.random.choice(['W/"1"', "*", "x", "identifier=1"])
            full = self.random.choice(["urn:uuid:1", "urn:uuid:2", "http://a/Patient/1", "x", ""])
            entries.append({"fullUrl": full, "resource": resource, "request": request})
        kind = self.random.choice(["batch", "transaction", "collection", None])
        made = {"resourceType": "Bundle", "type": kind, "entry": entries}
        return self.changed(made) if self.random.random() < 0.3 else made

    def bytes(self, value, share):
        text = bytearray(json.dumps(value).encode())
        if self.random.random() < share:
            for _ in range(self.random.randint(1, 4)):
                place = self.random.randrange(len(text) + 1)
                if self.random.random() < 0.5:
                    text[place : place + self.random.randint(1, 40)] = b""
                else:
                    text[place:place] = self.random.randbytes(2)
        return bytes(text)

    def changed(self, resource):
        resource = deepcopy(resource)
        for _ in range(self.random.randint(1, 4)):
            places = list(places_of(resource))
            if not places:
                break
            holder, key = self.random.choice(places)
            match self.random.randint(0, 4):
                case 0:
                    holder[key] = deepcopy(self.random.choice(ODD))
                case 1:
                    del holder[key]
                case 2:
                    other, name = self.random.choice(places)
                    holder[key] = deepcopy(other[name])
                case 3 if isinstance(holder, dict):
                    names = [f"_{key}", f"{key}x", "$where", "a.b", "", "contained", "resourceType"]
                    holder[self.random.choice(names)] = deepcopy(self.random.choice(ODD))
                case _:
                    holder[key] = [deepcopy(holder[key])] * self.random.randint(0, 3)
        return resource


def places_of(value):
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from places_of(value[key])


def versions(fhir):
    return fhir.get("/_history?_count=0").json()["total"]


@pytest.mark.parametrize(
    "seconds", [5, pytest.param(60, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_nothing_odd_makes_a_server_error(fhir, seconds):
    seed = random.randrange(10**9) if seconds > 5 else 7
    fuzzer = Fuzzer(seed)
    stored = versions(fhir)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        method, path, headers, body = fuzzer.request()
        told = (seed, method, path, headers, body[:2000])
        response = fhir.request(method, path, content=body, headers=headers)
        assert response.status_code < 500, (told, response.text)
        if response.status_code >= 400:
            assert method == "HEAD" or "OperationOutcome" in response.text, (told, response.text)
            assert versions(fhir) == stored, told
        else:
            stored = versions(fhir) if method != "GET" else stored
