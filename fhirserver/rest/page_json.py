"""A resource's JSON as HTML whose references can be followed."""

from __future__ import annotations

import html
import re
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from fhirserver.model import json
from fhirserver.model.definitions import RESOURCE_TYPES
from fhirserver.model.references import Link, links, parse

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
#: What may stand in a URL; anything else is percent-encoded.
_IN_URL = "!#$&'()*+,/:;=?@[]-._~%|"


def escaped(text: object) -> str:
    """Text for HTML, also inside quoted attributes."""
    return html.escape(_CONTROL.sub("\ufffd", str(text)))


def anchor(url: str | None, text: str) -> str:
    """`text` (plain) as a link to `url`, or only the text if there is no safe address."""
    if url is None or not url.lower().startswith(("http://", "https://", "/")):
        return escaped(text)
    href = escaped(quote(_CONTROL.sub("", url), safe=_IN_URL))
    return f'<a href="{href}" rel="noopener noreferrer">{escaped(text)}</a>'


def address(link_type: str, value: str, base_url: str) -> str | None:
    """Where a link of a resource leads, if a browser can go there."""
    base = base_url.rstrip("/")
    if link_type in ("reference", "xhtml"):
        if link_type == "xhtml" and value.lower().startswith(("mailto:", "tel:")):
            return value
        reference = parse(value, (base,))
        if reference.kind in ("literal", "conditional"):
            return value if value.startswith(base + "/") else f"{base}/{value}"
        return value if reference.kind == "absolute" and _is_web(value) else None
    if link_type == "canonical":
        url = value.partition("|")[0].partition("#")[0]
        if url.startswith(base + "/"):
            return url
        types = [part for part in url.split("/")[:-1] if part in RESOURCE_TYPES]
        if types and _is_web(url):
            return f"{base}/{types[-1]}?url={quote(url, safe='')}"
        return None
    if link_type == "url":
        return value if _is_web(value) else None
    # A uri names something (a system, a namespace) unless it is an address on this server.
    return value if value.startswith(base + "/") and _is_web(value) else None


def _is_web(value: str) -> bool:
    return value.lower().startswith(("http://", "https://"))


def linked_json(resource: dict[str, Any], base_url: str) -> str:
    """Indented JSON as HTML for a <pre>."""
    found = {link.expression: link for link in links(resource)}
    root = str(resource.get("resourceType", ""))
    parts: list[str] = []
    _write(resource, root, "", found, base_url, parts)
    return "".join(parts)


def _write(
    value: Any,
    path: str,
    indent: str,
    found: dict[str, Link],
    base_url: str,
    parts: list[str],
) -> None:
    if isinstance(value, dict):
        if not value:
            parts.append("{}")
            return
        inner = indent + "  "
        separator = "{\n"
        for name, member in value.items():
            parts.append(f'{separator}{inner}<span class="k">{_quoted(name)}</span>: ')
            _write(member, f"{path}.{name}", inner, found, base_url, parts)
            separator = ",\n"
        parts.append(f"\n{indent}}}")
    elif isinstance(value, list):
        if not value:
            parts.append("[]")
            return
        inner = indent + "  "
        separator = "[\n"
        for index, item in enumerate(value):
            parts.append(separator + inner)
            _write(item, f"{path}[{index}]", inner, found, base_url, parts)
            separator = ",\n"
        parts.append(f"\n{indent}]")
    elif isinstance(value, str):
        link = found.get(path)
        to = address(link.type, value, base_url) if link and link.type != "xhtml" else None
        quoted = json.encode(value).decode()
        parts.append(f'<span class="s">{anchor(to, quoted)}</span>')
    elif isinstance(value, (bool, int, Decimal)) or value is None:
        parts.append(f'<span class="n">{escaped(json.encode(value).decode())}</span>')


def _quoted(name: str) -> str:
    return escaped(json.encode(name).decode())
