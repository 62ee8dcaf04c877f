"""A Bundle for people: its entries as a table, its pages as links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.rest.page_json import address, anchor, escaped
from fhirserver.rest.page_summary import summary_line

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAGES = ("first", "previous", "prev", "next", "last")


def entries_table(bundle: dict[str, Any], base_url: str, words: Mapping[str, str]) -> str:
    """The entries, each with a link, what it is about, when it changed and how."""
    entries = [entry for entry in _list(bundle, "entry") if isinstance(entry, dict)]
    if not entries:
        return f"<p>{words['none']}</p>"
    rows = "".join(_row(entry, base_url, words) for entry in entries)
    head = "".join(
        f'<th scope="col">{words[name]}</th>' for name in ("resource", "what", "when", "how")
    )
    total = bundle.get("total")
    caption = f"{len(entries)} {words['shown']}"
    if isinstance(total, int):
        caption = f"{words['total']}: {total}; {caption}"
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{words["entries"]}">'
        f"<table><caption>{escaped(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def paging(bundle: dict[str, Any], words: Mapping[str, str]) -> str:
    """Links to the other pages; empty when there are none."""
    items = []
    for link in _list(bundle, "link"):
        relation = link.get("relation") if isinstance(link, dict) else None
        if relation in _PAGES and isinstance(link.get("url"), str):
            word = words["previous" if relation == "prev" else relation]
            items.append(f"<li>{anchor(link['url'], word)}</li>")
    if not items:
        return ""
    return f'<nav aria-label="{words["paging"]}"><ul>{"".join(items)}</ul></nav>'


def _row(entry: dict[str, Any], base_url: str, words: Mapping[str, str]) -> str:
    resource = _dict(entry, "resource") or _dict(_dict(entry, "response"), "outcome")
    meta = _dict(resource, "meta")
    response, request = _dict(entry, "response"), _dict(entry, "request")
    when = meta.get("lastUpdated", response.get("lastModified", ""))
    cells = (
        _link(entry, resource, response, request, base_url),
        escaped(_about(resource)),
        f"<time>{escaped(when)}</time>" if isinstance(when, str) and when else "",
        escaped(_how(entry, response, request, words)),
    )
    first, *others = cells
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in others)}</tr>'


def _link(
    entry: dict[str, Any],
    resource: dict[str, Any],
    response: dict[str, Any],
    request: dict[str, Any],
    base_url: str,
) -> str:
    type_, id_ = resource.get("resourceType"), resource.get("id")
    name = f"{type_}/{id_}" if isinstance(id_, str) else str(type_ or request.get("url", ""))
    for place in (response.get("location"), entry.get("fullUrl")):
        if not isinstance(place, str):
            continue
        to = address("uri", place, base_url) or address("reference", place, base_url)
        if to is not None:
            shown = to.removeprefix(base_url.rstrip("/") + "/")
            return anchor(to, name if resource and "/_history/" not in shown else shown)
    if type_ in RESOURCE_TYPES and isinstance(id_, str):
        return anchor(address("reference", name, base_url), name)
    return escaped(name)


def _about(resource: dict[str, Any]) -> str:
    if resource.get("resourceType") == "OperationOutcome":
        issues = [issue for issue in _list(resource, "issue") if isinstance(issue, dict)]
        return " ".join(str(issue.get("diagnostics", issue.get("code", ""))) for issue in issues)
    return summary_line(resource)


def _how(
    entry: dict[str, Any],
    response: dict[str, Any],
    request: dict[str, Any],
    words: Mapping[str, str],
) -> str:
    mode = _dict(entry, "search").get("mode")
    if mode == "include":
        return words["included"]
    if mode == "outcome":
        return words["outcome"]
    parts = [request.get("method"), response.get("status")]
    if request.get("method") == "DELETE":
        parts = ["DELETE", words["deleted"]]
    return " ".join(str(part) for part in parts if part)


def _dict(holder: dict[str, Any], name: str) -> dict[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, dict) else {}


def _list(holder: dict[str, Any], name: str) -> list[Any]:
    value = holder.get(name)
    return value if isinstance(value, list) else []
