"""Reads XML that comes from anyone: no DOCTYPE, no entities, nothing fetched, bounded depth.

https://cheatsheetseries.owasp.org/cheatsheets/XML_External_Entity_Prevention_Cheat_Sheet.html
"""

from __future__ import annotations

import re
from typing import Any

from lxml import etree

from fhirserver.errors import Unprocessable

MAX_DEPTH = 100
MAX_ELEMENTS = 500_000

_DOCTYPE = re.compile(rb"<!DOCTYPE", re.IGNORECASE)
_ENCODING = re.compile(rb"""<\?xml[^>]*\bencoding\s*=\s*["']([A-Za-z0-9._\-]+)""")
#: Encodings in which an ASCII text reads the same, so that the search for a DOCTYPE is sure.
_ASCII_LIKE = re.compile(rb"utf-?8|us-ascii|ascii|iso-8859-\d+|windows-125\d|latin-?1", re.I)


def parse(body: bytes) -> Any:
    """The root element. Raises Unprocessable."""
    if body[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in body[:4]:
        raise Unprocessable("XML documents must be in UTF-8 or an 8-bit encoding.")
    declared = _ENCODING.search(body[:300])
    if declared is not None and not _ASCII_LIKE.fullmatch(declared[1]):
        raise Unprocessable("XML documents must be in UTF-8 or an 8-bit encoding.")
    # Before anything is parsed. A DOCTYPE can only stand before the root; inside CDATA or a
    # comment these letters are no reason to take the document either.
    if _DOCTYPE.search(body):
        raise Unprocessable("A document with a DOCTYPE is not taken.", code="security")
    try:
        root = etree.fromstring(body, _parser())
    except (etree.XMLSyntaxError, ValueError, LookupError) as error:
        raise Unprocessable(f"The document is not well-formed XML: {str(error)[:200]}") from None
    if root is None:
        raise Unprocessable("The document has no element.")
    _check_extent(root)
    return root


def _parser() -> Any:
    # One for each call: large documents are read in threads.
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,  # libxml2's own bounds: depth 256, 10 MB of one text
        remove_comments=True,
        remove_pis=True,
    )


def _check_extent(root: Any) -> None:
    depth = count = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        if event == "end":
            depth -= 1
            continue
        depth += 1
        count += 1
        if depth > MAX_DEPTH or count > MAX_ELEMENTS:
            raise Unprocessable("The document is nested too deep, or has too many elements.")
