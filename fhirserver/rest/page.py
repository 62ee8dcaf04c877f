"""Every resource and Bundle as a page for people (https://hl7.org/fhir/R4/http.html#mime-type).

A page needs no script, loads nothing, and shows nothing that is not escaped; its Content Security
Policy would stop what slipped through. Narrative is sanitised.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhirserver.model import json
from fhirserver.model.narrative import sanitised
from fhirserver.rest.page_bundle import entries_table, paging
from fhirserver.rest.page_document import DocumentPage, document_of
from fhirserver.rest.page_json import address, anchor, escaped, linked_json
from fhirserver.rest.page_summary import status_of, summary_line, text_of
from fhirserver.rest.page_text import LANGUAGES, WORDS, language_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Page", "front_page", "language_of", "page"]

_STYLE = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: Narratives carry harmless style attributes, hence the exception for those alone.
CONTENT_SECURITY_POLICY = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; style-src-elem 'sha256-{_STYLE_HASH}'; "
    "style-src-attr 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
#: Above this a browser would suffer more than the reader gains.
MAX_SHOWN = 2_000_000


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page and the headers it must be sent with (beside Content-Type)."""

    body: bytes
    headers: list[tuple[bytes, bytes]]


def page(
    resource: dict[str, Any] | bytes,
    *,
    base_url: str,
    self_url: str,
    language: str = "en",
    status: int = 200,
) -> Page:
    """The page of a resource, Bundle or OperationOutcome; `self_url` is the address asked for."""
    size = len(resource) if isinstance(resource, bytes) else len(json.encode(resource))
    if isinstance(resource, bytes):
        resource = json.decode_stored(resource)
    words = WORDS[language if language in LANGUAGES else "en"]
    type_ = str(resource.get("resourceType", ""))
    if type_ == "Bundle" and document_of(resource) is not None:
        written = DocumentPage(resource, base_url, language, words)
        title, body = written.title, written.body
        entries = entries_table(resource, base_url, words)
        body += f"<details><summary>{words['entries']}</summary>{entries}</details>"
    elif type_ == "Bundle":
        title, body = _bundle(resource, base_url, words)
    elif type_ == "OperationOutcome":
        title, body = _outcome(resource, status, words)
    else:
        title, body = _resource(resource, base_url, words)
    raw = " · ".join(
        anchor(_with_format(self_url, name), words[f"as_{name}"]) for name in ("json", "xml")
    )
    shown = f"<p>{words['large']} {raw}</p>"
    if size <= MAX_SHOWN:
        shown = (
            f'<p>{raw}</p><pre tabindex="0" role="region" aria-label="JSON">'
            f"{linked_json(resource, base_url)}</pre>"
        )
    folded = "" if type_ != "Bundle" else f"<summary>{words['json']}</summary>"
    section = f"<details>{folded}{shown}</details>" if folded else shown
    body += f'<section aria-labelledby="json"><h2 id="json">{words["json"]}</h2>{section}</section>'
    trail = _trail(resource, type_, base_url, self_url)
    return _document(title, body, trail, base_url, language, words)


def front_page(
    *,
    base_url: str,
    counts: Mapping[str, int | None],
    language: str = "en",
    version: str = "",
) -> Page:
    """The page of the FHIR base: what is held, with the number of resources where it is known."""
    words = WORDS[language if language in LANGUAGES else "en"]
    base = base_url.rstrip("/")
    held = {name: number for name, number in counts.items() if number}
    links = (
        (f"{base}/metadata", words["capabilities"]),
        (f"{base}/_history", words["all_history"]),
    )
    body = (
        f"<p>{words['api']}</p>"
        f'<nav aria-label="{words["links"]}"><ul>'
        f"{''.join(f'<li>{anchor(url, text)}</li>' for url, text in links)}</ul></nav>"
        f"<h2>{words['held']}</h2>"
    )
    body += _types(held, base) if held else f"<p>{words['empty']}</p>"
    opened = "" if held else " open"
    body += (
        f"<h2>{words['all_types']}</h2><details{opened}><summary>{len(counts)}</summary>"
        f"{_types(counts, base)}</details>"
    )
    title = f"{words['welcome']} {version}".strip()
    return _document(title, body, [], base_url, language, words)


def _types(counts: Mapping[str, int | None], base: str) -> str:
    items = "".join(
        f"<li>{anchor(f'{base}/{name}', name)}"
        + (f' <span class="quiet">{counts[name]:,}</span>' if counts[name] is not None else "")
        + "</li>"
        for name in sorted(counts)
    )
    return f'<ul class="types">{items}</ul>'


# --- the parts of a page --------------------------------------------------------------------


def _resource(resource: dict[str, Any], base_url: str, words: Mapping[str, str]) -> tuple[str, str]:
    type_ = str(resource.get("resourceType", ""))
    about = summary_line(resource)
    title = f"{type_} · {about}" if about else f"{type_}/{resource.get('id', '')}"
    body = f"<h2>{words['facts']}</h2>{_facts(resource, base_url, words)}"
    body += _links(resource, type_, base_url, words)
    text = resource.get("text")
    div = text.get("div") if isinstance(text, dict) else None
    if isinstance(div, str):
        safe = sanitised(div, lambda href: address("xhtml", href, base_url))
        body += (
            f'<section aria-labelledby="narrative"><h2 id="narrative">{words["narrative"]}</h2>'
            f'<div class="narrative" tabindex="0" role="region"'
            f' aria-label="{words["narrative"]}">{safe}</div></section>'
        )
    return title, body


def _facts(resource: dict[str, Any], base_url: str, words: Mapping[str, str]) -> str:
    meta = resource.get("meta") if isinstance(resource.get("meta"), dict) else {}
    assert isinstance(meta, dict)
    type_, updated = str(resource.get("resourceType")), meta.get("lastUpdated")
    rows = [
        ("type", anchor(f"{base_url.rstrip('/')}/{type_}", type_)),
        ("id", escaped(resource.get("id", ""))),
        ("version", escaped(meta.get("versionId", ""))),
        ("updated", f"<time>{escaped(updated)}</time>" if updated else ""),
        ("status", escaped(status_of(resource))),
    ]
    rows += [
        ("profile", anchor(address("canonical", profile, base_url), profile))
        for profile in _strings(meta.get("profile"))
    ]
    for name in ("security", "tag"):
        labels = meta.get(name)
        texts = map(text_of, labels) if isinstance(labels, list) else ()
        rows += [(name, escaped(text)) for text in texts if text]
    items = "".join(f"<dt>{words[name]}</dt><dd>{shown}</dd>" for name, shown in rows if shown)
    return f"<dl>{items}</dl>"


def _strings(values: Any) -> list[str]:
    return [v for v in values if isinstance(v, str)] if isinstance(values, list) else []


def _links(resource: dict[str, Any], type_: str, base_url: str, words: Mapping[str, str]) -> str:
    id_ = resource.get("id")
    if not isinstance(id_, str):
        return ""
    here = f"{base_url.rstrip('/')}/{type_}/{id_}"
    links = [(here, words["current"]), (f"{here}/_history", words["history"])]
    if type_ == "Patient":
        links.append((f"{here}/$summary", words["summary"]))
        links.append((f"{here}/$everything", words["everything"]))
    links.append((f"{base_url.rstrip('/')}/{type_}?_id={id_}&_revinclude=*", words["referring"]))
    items = "".join(f"<li>{anchor(url, text)}</li>" for url, text in links)
    return f'<nav aria-label="{words["links"]}"><ul>{items}</ul></nav>'


def _bundle(bundle: dict[str, Any], base_url: str, words: Mapping[str, str]) -> tuple[str, str]:
    kind = str(bundle.get("type", ""))
    title = {"searchset": words["searchset"], "history": words["history_title"]}.get(
        kind, f"Bundle · {kind}"
    )
    pages = paging(bundle, words)
    table = entries_table(bundle, base_url, words)
    body = f"{pages}<h2>{words['entries']}</h2>{table}{pages}"
    if isinstance(bundle.get("id"), str) and kind not in ("searchset", "history"):
        body = f"<h2>{words['facts']}</h2>{_facts(bundle, base_url, words)}{body}"
    return title, body


def _outcome(outcome: dict[str, Any], status: int, words: Mapping[str, str]) -> tuple[str, str]:
    items = []
    issues = outcome.get("issue")
    for issue in issues if isinstance(issues, list) else ():
        if not isinstance(issue, dict):
            continue
        severity = str(issue.get("severity", ""))
        shown = words.get(severity, severity)
        details = text_of(issue.get("details"))
        text = escaped(issue.get("diagnostics") or details or issue.get("code", ""))
        places = issue.get("expression")
        where = ", ".join(map(str, places)) if isinstance(places, list) else ""
        at = (
            f'<p class="quiet">{words["where"]}: <code>{escaped(where)}</code></p>' if where else ""
        )
        kind = severity if severity in ("fatal", "error", "warning", "information") else ""
        items.append(
            f'<div class="issue {kind}"><p><strong>{escaped(shown)}</strong>'
            f' <span class="quiet">({escaped(issue.get("code", ""))})</span></p>'
            f"<p>{text}</p>{at}</div>"
        )
    title = f"{words['issues']} ({status})" if status >= 400 else words["issues"]
    return title, f"<h2>{words['issues']}</h2>{''.join(items)}"


def _trail(
    resource: dict[str, Any], type_: str, base_url: str, self_url: str
) -> list[tuple[str, str]]:
    """The steps from the base to this page, by the address that was asked."""
    base = base_url.rstrip("/")
    path = self_url.partition("?")[0].removeprefix(base).strip("/")
    steps = []
    url = base
    for segment in path.split("/")[:6] if path and self_url.startswith(base) else ():
        url += f"/{segment}"
        steps.append((url, segment))
    return steps


def _document(
    title: str,
    body: str,
    trail: list[tuple[str, str]],
    base_url: str,
    language: str,
    words: Mapping[str, str],
) -> Page:
    language = language if language in LANGUAGES else "en"
    steps = "".join(f"<li>{anchor(url, text)}</li>" for url, text in trail)
    document = (
        f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="robots" content="noindex, nofollow">'
        f"<title>{escaped(title)}</title><style>{_STYLE}</style></head><body>"
        f'<a class="skip" href="#content">{words["skip"]}</a>'
        f'<header><nav aria-label="{words["place"]}"><ol>'
        f"<li>{anchor(base_url, words['server'])}</li>{steps}</ol></nav></header>"
        f'<main id="content"><h1>{escaped(title)}</h1>{body}</main>'
        f"<footer>{words['server']} · {escaped(base_url)}</footer></body></html>\n"
    )
    headers = [
        (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
        (b"content-language", language.encode()),
        (b"referrer-policy", b"no-referrer"),
        (b"vary", b"Accept, Accept-Language"),
    ]
    return Page(document.encode("utf-8", "replace"), headers)


def _with_format(url: str, name: str) -> str:
    path, _, query = url.partition("?")
    kept = [item for item in query.split("&") if item and not item.startswith("_format=")]
    return f"{path}?{'&'.join([*kept, f'_format={name}'])}"
