"""The narrative's XHTML between JSON, where it is a string, and XML, where it is an element.

https://hl7.org/fhir/R4/narrative.html
"""

from __future__ import annotations

import html
import re
from html.entities import html5

from lxml import etree

XHTML = "http://www.w3.org/1999/xhtml"
_XML = "http://www.w3.org/XML/1998/namespace"
DIV = f"{{{XHTML}}}div"

_NAMED = re.compile(r"&([A-Za-z][A-Za-z0-9]*);")
_QUOTED = re.compile('>[^<>"]*"[^<>]*<')  # text between tags that holds a quotation mark
_XML_ENTITIES = {"amp", "lt", "gt", "quot", "apos"}
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def text(div: etree._Element) -> str:
    """The string that JSON holds for a `div` element.

    XML does not tell how a quotation mark in text was written; HL7's JSON has `&quot;`.
    """
    if set(div.nsmap.items()) == {(None, XHTML)}:
        written = etree.tostring(div, encoding="unicode", with_tail=False)
        return _QUOTED.sub(lambda found: found[0].replace('"', "&quot;"), written)
    # Prefixes of the document around it (xmlns:xsi, xmlns:h) must not come along.
    parts: list[str] = []
    _write(div, parts, f' xmlns="{XHTML}"')
    return "".join(parts)


def _write(element: etree._Element, parts: list[str], declaration: str = "") -> None:
    # Without a namespace of its own an element of another vocabulary becomes XHTML here and
    # validation refuses it; nothing is lost that FHIR allows.
    name = etree.QName(element).localname
    parts.append(f"<{name}{declaration}")
    for key, value in element.items():
        attribute = etree.QName(key)
        prefix = "xml:" if attribute.namespace == _XML else ""
        parts.append(f' {prefix}{attribute.localname}="{_escaped(str(value))}"')
    if not len(element) and not element.text:
        parts.append("/>")
        return
    parts.append(">")
    parts.append(_text(element.text))
    for child in element:
        if isinstance(child.tag, str):
            _write(child, parts)
        parts.append(_text(child.tail))
    parts.append(f"</{name}>")


def _text(value: str | None) -> str:
    return html.escape(value or "", quote=False).replace('"', "&quot;")


def _escaped(value: str) -> str:
    return html.escape(value).replace("\n", "&#10;").replace("\t", "&#9;").replace("\r", "&#13;")


def element(text: str) -> str:
    """The `div` element's XML for a string that JSON holds: the string itself if it can stand.

    Whatever is stored gives well-formed XML: what cannot be read as XHTML is shown as text.
    """
    div = text.strip()
    if "&" in div:
        div = _NAMED.sub(_numeric, div)
    try:
        parsed = etree.fromstring(div, _parser())
    except (etree.XMLSyntaxError, ValueError):
        return _as_text(text)
    if parsed.tag not in (DIV, "div") or parsed.getroottree().docinfo.internalDTD is not None:
        return _as_text(text)
    if not div.startswith("<div") or not div.endswith(("</div>", "/>")):
        div = etree.tostring(parsed, encoding="unicode", with_tail=False)
    if parsed.tag == "div":
        div = f'<div xmlns="{XHTML}"' + div[len("<div") :]
    return div


def _parser() -> etree.XMLParser:
    return etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)


def _numeric(match: re.Match[str]) -> str:
    name = match[1]
    if name in _XML_ENTITIES:
        return match[0]
    characters = html5.get(name + ";")
    return match[0] if characters is None else html.escape(characters)


def _as_text(text: str) -> str:
    shown = html.escape(_CONTROL.sub("\ufffd", text), quote=False)
    return f'<div xmlns="{XHTML}">{shown}</div>'
