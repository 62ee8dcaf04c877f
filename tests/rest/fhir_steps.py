"""Steps of requests and what must come back: how they are written, made and walked."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from over_http import FHIR_JSON

LOINC = "http://loinc.org"
HTML = 'xmlns="http://www.w3.org/1999/xhtml"'


@dataclass(frozen=True)
class Step:
    request: str
    status: int
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    has: dict[str, Any] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    keep: dict[str, str] = field(default_factory=dict)


def patient(**more: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "identifier": [{"system": "urn:t", "value": "TAG"}], **more}


def observation(**more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "status": "final",
        "identifier": [{"system": "urn:t", "value": "TAG"}],
        "code": {"text": "x"},
        **more,
    }


def coded(*codes: str) -> dict[str, Any]:
    return {"coding": [{"system": LOINC, "code": code} for code in codes]}


def entry(method: str, url: str, resource: Any = None, full_url: str = "", **request: str) -> Any:
    made: dict[str, Any] = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    return {"fullUrl": full_url, **made} if full_url else made


def bundle(kind: str, *entries: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": kind, "entry": list(entries)}


def narrative(inner: str, attributes: str = "") -> dict[str, Any]:
    div = f"<div {HTML}{attributes}>{inner}</div>"
    return patient(text={"status": "generated", "div": div})


def put(resource: Any, id: str = "TAG") -> Step:
    type = resource["resourceType"]
    return Step(f"PUT {type}/{id}", 201, {**resource, "id": id})


def finds(request: str, *ids: str) -> Step:
    """A search that finds exactly so many."""
    has: dict[str, Any] = {"entry#": len(ids)}
    has |= {f"entry.{place}.resource.id": id for place, id in enumerate(ids)}
    return Step(f"GET {request}", 200, has=has)


OUTCOME = {"resourceType": "OperationOutcome"}
MINE = "identifier=urn:t|TAG"
URN = "urn:uuid:05efabf0-4be2-4561-91ce-51548425acb9"


_MISSING = object()


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        try:
            value = value[int(name)] if isinstance(value, list) else value[name]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return value


def _found(response: Any, path: str) -> Any:
    if path == "text":
        return response.text
    if path.startswith("@"):
        return response.headers.get(path[1:], _MISSING)
    if path.endswith("#"):
        found = _at(response.json(), path[:-1])
        return 0 if found is _MISSING else len(found)
    return _at(response.json(), path)


def _agrees(found: Any, expected: Any) -> bool:
    if isinstance(found, str) and isinstance(expected, str) and "*" in expected:
        return fnmatchcase(found, expected.replace("[", "[[]").replace("?", "[?]"))
    return bool(found == expected)


def walk(fhir: Any, tag: str, steps: list[Step]) -> None:
    """Take the steps; fail at the first whose answer is another."""
    kept = {"TAG": tag}

    def filled(text: str) -> str:
        return re.sub(r"TAG|<(\w+)>", lambda m: kept.get(m[1] or "TAG", m[0]), text)

    for step in steps:
        method, _, url = filled(step.request).partition(" ")
        if not url.startswith("http"):
            url = f"{str(fhir.base_url).rstrip('/')}/{url}".rstrip("/")
        body = (
            step.body
            if isinstance(step.body, bytes) or step.body is None
            else json.dumps(step.body).encode()
        )
        content = None if body is None else filled(body.decode()).encode()
        headers = {} if body is None else dict(FHIR_JSON)
        headers |= {name: filled(value) for name, value in step.headers.items()}
        response = fhir.request(method, url, content=content, headers=headers)
        told = f"{method} {url} -> {response.status_code} {response.text[:1500]}"
        assert response.status_code == step.status, told
        for path, expected in step.has.items():
            wanted = filled(expected) if isinstance(expected, str) else expected
            assert _agrees(_found(response, path), wanted), f"{path} is not {wanted}: {told}"
        for path in step.lacks:
            assert _at(response.json(), path) is _MISSING, f"{path}: {told}"
        for name, path in step.keep.items():
            kept[name] = _found(response, path)
