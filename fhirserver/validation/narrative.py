"""What a narrative may hold: simple XHTML that carries nothing active.

https://hl7.org/fhir/R4/narrative.html (invariants txt-1 and txt-2)
"""

from __future__ import annotations

import re
from xml.parsers import expat

XHTML = "http://www.w3.org/1999/xhtml"

# The parts of HTML 4.01 that the clause names, without forms, frames, scripts and objects.
# fmt: off
_ELEMENTS = frozenset((
    "a", "abbr", "acronym", "address", "area", "b", "bdo", "big", "blockquote", "br",
    "caption", "cite", "code", "col", "colgroup", "dd", "dfn", "div", "dl", "dt", "em", "h1",
    "h2", "h3", "h4", "h5", "h6", "hr", "i", "img", "kbd", "li", "map", "ol", "p", "pre", "q",
    "samp", "small", "span", "strong", "sub", "sup", "table", "tbody", "td", "tfoot", "th",
    "thead", "tr", "tt", "u", "ul", "var",
))
_ATTRIBUTES = frozenset((
    "abbr", "accesskey", "align", "alt", "axis", "bgcolor", "border", "cellpadding",
    "cellspacing", "char", "charoff", "charset", "cite", "class", "color", "cols", "colspan",
    "coords", "dir", "frame", "headers", "height", "href", "hreflang", "id", "ismap", "lang",
    "longdesc", "name", "nohref", "nowrap", "rel", "rev", "rows", "rowspan", "rules", "scope",
    "shape", "size", "space", "span", "src", "start", "style", "summary", "tabindex", "title",
    "type", "usemap", "valign", "value", "width", "xml:id", "xml:lang", "xml:space", "xmlns",
))
# fmt: on
_LINKS = frozenset(("href", "src", "cite", "longdesc", "usemap"))
_LINK_SCHEMES = frozenset(("http", "https", "mailto", "tel", "ftp", "urn"))
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# A browser drops these when it reads a URL, so they must not hide its scheme.
_IGNORED_IN_URL = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202f\ufeff]+")
_IMAGE = re.compile(r"data:image/(?:png|gif|jpe?g|webp|bmp|tiff);base64,", re.IGNORECASE)
_ACTIVE_STYLE = re.compile(
    r"expression\s*\(|script:|behaviou?r\s*:|-moz-binding|@import|\\|/\*|<", re.IGNORECASE
)
_STYLE_URL = re.compile(r"url\s*\(\s*['\"]?([^'\")]*)", re.IGNORECASE)


class _Refused(Exception):
    """Something in the narrative is not allowed."""


def fault(div: str) -> str | None:
    """Why `div` is no safe XHTML of FHIR; None when it is."""
    checker = _Checker()
    try:
        checker.parse(div)
    except _Refused as error:
        return str(error)
    except expat.ExpatError as error:
        return f"is not well-formed XHTML: {error}" + _hint(str(error))
    except UnicodeEncodeError:
        return "has a character that XML cannot hold"
    if not checker.has_content:
        return "has neither text nor image"
    return None


def _hint(text: str) -> str:
    if "undefined entity" in text:
        return " (of named entities only &amp; &lt; &gt; &quot; &apos; exist here)"
    return ""


class _Checker:
    def __init__(self) -> None:
        self.has_content = False
        self._depth = 0

    def parse(self, div: str) -> None:
        parser = expat.ParserCreate("utf-8")
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.StartDoctypeDeclHandler = self._doctype
        parser.ProcessingInstructionHandler = self._instruction
        parser.Parse(div.encode(), True)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1:
            if name != "div":
                raise _Refused(f"must be one <div>, not <{name[:40]}>")
            if attributes.get("xmlns") != XHTML:
                raise _Refused(f'its <div> must have xmlns="{XHTML}"')
        elif self._depth > 200:
            raise _Refused("is nested too deeply")
        if name not in _ELEMENTS:
            raise _Refused(f"must not contain the element <{name[:40]}>")
        if name == "img":
            self.has_content = True
        for attribute, value in attributes.items():
            self._attribute(name, attribute, value)

    def _attribute(self, element: str, name: str, value: str) -> None:
        if name not in _ATTRIBUTES:
            raise _Refused(f"must not contain the attribute '{name[:40]}' (on <{element}>)")
        if name in _LINKS:
            _check_link(element, name, value)
        elif name == "xmlns" and value != XHTML:
            raise _Refused("must not contain elements of another namespace")
        elif name == "style":
            if _ACTIVE_STYLE.search(_IGNORED_IN_URL.sub(" ", value)):
                raise _Refused(f"must not run anything from style (on <{element}>)")
            for url in _STYLE_URL.findall(value):
                _check_link("img", "src", url)

    def _end(self, name: str) -> None:
        self._depth -= 1

    def _text(self, text: str) -> None:
        if not self.has_content and text.strip():
            self.has_content = True

    def _doctype(self, *_: object) -> None:
        raise _Refused("must not have a DOCTYPE")

    def _instruction(self, *_: object) -> None:
        raise _Refused("must not have a processing instruction")


def _check_link(element: str, name: str, value: str) -> None:
    plain = _IGNORED_IN_URL.sub("", value)
    if element == "img" and name == "src" and _IMAGE.match(plain):
        return
    scheme = _SCHEME.match(plain)
    if scheme and scheme[1].lower() not in _LINK_SCHEMES:
        raise _Refused(f"must not link to {scheme[1][:40]}: (in '{name}' of <{element}>)")
