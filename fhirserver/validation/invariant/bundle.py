"""Invariants of Bundle and Parameters (https://hl7.org/fhir/R4/bundle.html#bundle-unique)."""

from __future__ import annotations

from collections.abc import Callable

from fhirserver.validation.rule import Node, Rule, Scope, distinct, json_names, some

_VALUE = json_names("Parameters.parameter", "value[x]")
_REQUESTS = ("batch", "transaction", "history")
_RESPONSES = ("batch-response", "transaction-response", "history")


def _entries(member: str, types: tuple[str, ...]) -> Callable[[Node, Scope], bool]:
    def check(node: Node, _: Scope) -> bool:
        wanted = node.get("type") in types
        return all((member in entry) is wanted for entry in node.get("entry", ()))

    return check


def _search(node: Node, _: Scope) -> bool:
    return node.get("type") == "searchset" or not any("search" in e for e in node.get("entry", ()))


def _unique(node: Node, _: Scope) -> bool:
    if node.get("type") == "history":
        return True
    return distinct(
        [
            (entry["fullUrl"], entry.get("resource", {}).get("meta", {}).get("versionId"))
            for entry in node.get("entry", ())
            if "fullUrl" in entry
        ]
    )


def _first_is(bundle_type: str, resource_type: str) -> Callable[[Node, Scope], bool]:
    def check(node: Node, _: Scope) -> bool:
        if node.get("type") != bundle_type:
            return True
        entries = node.get("entry") or [{}]
        return bool(entries[0].get("resource", {}).get("resourceType") == resource_type)

    return check


def _document_identifier(node: Node, _: Scope) -> bool:
    return (
        node.get("type") != "document" or {"system", "value"} <= node.get("identifier", {}).keys()
    )


def _full_url(node: Node, _: Scope) -> bool:
    return "/_history/" not in node.get("fullUrl", "")


def _same_id(node: Node, _: Scope) -> bool:
    url = node.get("fullUrl", "")
    own = node.get("resource", {}).get("id")
    if own is None or not url.startswith(("http://", "https://")):
        return True
    return bool(url.endswith("/" + own))


def _parameter(node: Node, _: Scope) -> bool:
    has_value = not _VALUE.isdisjoint(node)
    if "part" in node:
        return not has_value and "resource" not in node
    return has_value != ("resource" in node)


RULES: dict[str, tuple[Rule, ...]] = {
    "Bundle": (
        Rule(
            "bdl-1",
            "only a searchset or history has 'total'",
            lambda n, _: "total" not in n or n.get("type") in ("searchset", "history"),
        ),
        Rule("bdl-2", "only entries of a searchset have 'search'", _search),
        Rule(
            "bdl-3",
            "every entry of a batch, transaction or history has 'request', no other has",
            _entries("request", _REQUESTS),
        ),
        Rule(
            "bdl-4",
            "every entry of a batch-response, transaction-response or history has 'response', "
            "no other has",
            _entries("response", _RESPONSES),
        ),
        Rule("bdl-7", "'fullUrl' (with its version) is there once only", _unique),
        Rule(
            "bdl-9",
            "a document has an identifier with 'system' and 'value'",
            _document_identifier,
        ),
        Rule(
            "bdl-10",
            "a document has 'timestamp'",
            lambda n, _: n.get("type") != "document" or "timestamp" in n,
        ),
        Rule(
            "bdl-11",
            "the first entry of a document is a Composition",
            _first_is("document", "Composition"),
        ),
        Rule(
            "bdl-12",
            "the first entry of a message is a MessageHeader",
            _first_is("message", "MessageHeader"),
        ),
    ),
    "Bundle.entry": (
        some("bdl-5", "Bundle.entry", "resource", "request", "response"),
        Rule("bdl-8", "'fullUrl' names no version", _full_url),
        Rule("fullUrl", "'fullUrl' must end with the id of the resource", _same_id),
    ),
    "Parameters.parameter": (
        Rule("inv-1", "has exactly one of 'value[x]', 'resource' and 'part'", _parameter),
    ),
}
