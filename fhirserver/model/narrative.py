"""Narrative made safe for a browser (https://hl7.org/fhir/R4/narrative.html).

Validation refuses active content when a resource is written; this is the second wall, for what
was stored before a rule existed. Only R4's simple XHTML is let through; nothing is fetched from
elsewhere (remote images and backgrounds would tell a third party who reads what).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import nh3

if TYPE_CHECKING:
    from collections.abc import Callable

_TAGS = set(
    """a abbr acronym address b bdo big blockquote br caption cite code col colgroup dd dfn div dl
    dt em h1 h2 h3 h4 h5 h6 hr i img li ol p pre q samp small span strong sub sup table tbody td
    tfoot th thead tr tt u ul var kbd""".split()  # noqa: SIM905
)
_ATTRIBUTES = {
    "*": {"title", "style", "id", "lang", "dir"},
    "a": {"href", "name"},
    "img": {"src", "alt", "width", "height"},
    "table": {"border", "cellpadding", "cellspacing", "summary", "width"},
    "td": {"colspan", "rowspan", "align", "valign", "headers", "abbr", "width"},
    "th": {"colspan", "rowspan", "align", "valign", "scope", "abbr", "width"},
    "tr": {"align", "valign"},
    "col": {"span", "width", "align"},
    "colgroup": {"span", "width", "align"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "li": {"value"},
}  # fmt: skip
_REMOVED_WITH_CONTENT = {"script", "style", "iframe", "object", "svg", "math", "template", "title"}
_STYLES = set(
    """background-color border border-bottom border-collapse border-color border-left border-right
    border-spacing border-style border-top border-width color font-family font-size font-style
    font-weight height line-height list-style-type margin margin-bottom margin-left margin-right
    margin-top padding padding-bottom padding-left padding-right padding-top text-align
    text-decoration text-indent vertical-align white-space width""".split()  # noqa: SIM905
)
_IMAGE = re.compile(r"data:image/(?:png|gif|jpeg|webp);base64,[A-Za-z0-9+/=\s]*", re.ASCII)
_FRAGMENT = re.compile(r"#[^\s]*")
# An absolute address of a harmless scheme, or a relative one: no colon before the first slash.
_ADDRESS = re.compile(r"(?:https?:|mailto:|tel:|(?![^/?#]*:))[^\x00-\x20]*\Z", re.IGNORECASE)
_ACTIVE_STYLE = re.compile(r"url|expression|import|javascript|binding|behavio|[\\@<]", re.I)
_ID_PREFIX = "narrative-"
#: Larger narratives are not shown as HTML; cleaning them would hold up everyone else.
MAX_LENGTH = 2_000_000


def sanitised(div: str, link: Callable[[str], str | None] | None = None) -> str:
    """Safe HTML of a narrative's `div`.

    `link` gives the address to follow for an href (a relative reference becomes a URL of this
    server); None takes the link away.
    """
    if len(div) > MAX_LENGTH:
        return "<div></div>"

    def attribute(element: str, name: str, value: str) -> str | None:
        if name == "src":
            return value if _IMAGE.fullmatch(value) or _FRAGMENT.fullmatch(value) else None
        if name == "href":
            if value.startswith("#"):
                return f"#{_ID_PREFIX}{value[1:]}"
            to = value if link is None else link(value)
            return to if to is not None and _ADDRESS.match(to) else None
        if name == "style":
            return None if _ACTIVE_STYLE.search(value) else value
        if name == "name":
            return _ID_PREFIX + value
        return value

    clean: str = nh3.clean(
        div,
        tags=_TAGS,
        clean_content_tags=_REMOVED_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=attribute,
        strip_comments=True,
        link_rel="noopener noreferrer nofollow",
        url_schemes={"http", "https", "mailto", "tel", "data"},
        filter_style_properties=_STYLES,
        id_prefix=_ID_PREFIX,
    )
    return clean


_UNSAFE = re.compile(
    r"<\s*(?:script|style|iframe|object|embed|applet|form|input|button|textarea|select|link|meta"
    r"|base|frame|frameset|svg|math|audio|video|source)\b"
    r"|\son[a-z]+\s*=|javascript\s*:|vbscript\s*:|data\s*:\s*text/html|<!DOCTYPE|<\?",
    re.IGNORECASE,
)


def is_safe(div: str) -> bool:
    """FHIRPath's htmlChecks(), roughly: nothing active, and some content.

    `validation/narrative.py` is the exact rule; this serves profiles' invariants.
    """
    if _UNSAFE.search(div):
        return False
    return "<img" in div or bool(re.sub(r"<[^>]*>", "", div).strip())
