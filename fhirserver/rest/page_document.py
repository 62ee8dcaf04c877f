"""A FHIR document for people: title, sections and their texts, in the order it is to be read in
(https://hl7.org/fhir/R4/documents.html#presentation)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.model.narrative import sanitised
from fhirserver.rest.page_json import address, escaped
from fhirserver.rest.page_summary import summary_line, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEEPEST = 10  # sections within sections
_MOST = 300  # sections in all; a reader is lost long before


def document_of(bundle: dict[str, Any]) -> dict[str, Any] | None:
    """The Composition of a Bundle that is a document."""
    entries = bundle.get("entry")
    if bundle.get("type") != "document" or not isinstance(entries, list) or not entries:
        return None
    first = entries[0].get("resource") if isinstance(entries[0], dict) else None
    is_one = isinstance(first, dict) and first.get("resourceType") == "Composition"
    return first if is_one else None


class DocumentPage:
    """The page of one document: `title` as plain text, `body` as HTML."""

    def __init__(
        self, bundle: dict[str, Any], base_url: str, language: str, words: Mapping[str, str]
    ) -> None:
        composition = document_of(bundle) or {}
        self._base = base_url
        self._words = words
        self._number = 0
        self._contents: list[str] = []
        self._resources = {
            entry["fullUrl"]: entry["resource"]
            for entry in bundle.get("entry") or ()
            if isinstance(entry, dict)
            and isinstance(entry.get("fullUrl"), str)
            and isinstance(entry.get("resource"), dict)
        }
        self.title = text_of(composition.get("title")) or "Composition"
        written = composition.get("language")
        lang = f' lang="{escaped(written)}"' if isinstance(written, str) else ""
        facts = self._facts(composition)
        subject = self._found(composition.get("subject"))
        head = self._text(composition) or self._text(subject)
        sections = "".join(self._section(each, 2) for each in _list(composition, "section"))
        self.body = (
            f"{facts}<article{lang}>{head}{self._navigation()}{sections}</article>"
            if sections
            else f"{facts}<article{lang}>{head}</article>"
        )

    def _facts(self, composition: dict[str, Any]) -> str:
        words = self._words
        authors = [self._name(each) for each in _list(composition, "author")]
        rows = [
            (words["about"], self._name(composition.get("subject"))),
            (words["document_date"], text_of(composition.get("date"))),
            (words["author"], ", ".join(filter(None, authors))),
            (words["status"], text_of(composition.get("status"))),
            (words["confidentiality"], text_of(composition.get("confidentiality"))),
        ]
        items = "".join(f"<dt>{name}</dt><dd>{escaped(v)}</dd>" for name, v in rows if v)
        return f"<dl>{items}</dl>"

    def _navigation(self) -> str:
        if len(self._contents) < 2:
            return ""
        items = "".join(self._contents)
        return f'<nav aria-label="{self._words["contents"]}"><ul>{items}</ul></nav>'

    def _section(self, section: dict[str, Any], level: int) -> str:
        if self._number >= _MOST or level > _DEEPEST:
            return ""
        self._number += 1
        anchor = f"section-{self._number}"
        title = text_of(section.get("title")) or text_of(section.get("code"))
        shown = escaped(title or f"{self._words['section']} {self._number}")
        if level == 2:
            self._contents.append(f'<li><a href="#{anchor}">{shown}</a></li>')
        text = self._text(section)
        if not text:
            text = self._entries(section)
        if not text and not _list(section, "section"):
            reason = text_of(section.get("emptyReason"))
            text = f"<p>{escaped(reason or self._words['none'])}</p>"
        inner = "".join(self._section(each, level + 1) for each in _list(section, "section"))
        heading = min(level, 6)
        return (
            f'<section aria-labelledby="{anchor}"><h{heading} id="{anchor}">{shown}</h{heading}>'
            f"{text}{inner}</section>"
        )

    def _entries(self, section: dict[str, Any]) -> str:
        """A section without a text is told by what its entries are about."""
        lines = []
        for reference in _list(section, "entry"):
            found = self._found(reference)
            text = self._text(found) or escaped(summary_line(found) if found else "")
            line = text or escaped(text_of(reference))
            lines += [f"<li>{line}</li>"] if line else []
        return f"<ul>{''.join(lines)}</ul>" if lines else ""

    def _text(self, holder: dict[str, Any] | None) -> str:
        text = (holder or {}).get("text")
        div = text.get("div") if isinstance(text, dict) else None
        if not isinstance(div, str):
            return ""
        safe = sanitised(div, lambda href: address("xhtml", href, self._base))
        return f'<div class="written">{safe}</div>'

    def _found(self, reference: Any) -> dict[str, Any] | None:
        value = reference.get("reference") if isinstance(reference, dict) else None
        if not isinstance(value, str):
            return None
        whole = f"{self._base.rstrip('/')}/{value}"
        return self._resources.get(value) or self._resources.get(whole)

    def _name(self, reference: Any) -> str:
        found = self._found(reference) or {}
        for name in ("name", "deviceName"):
            if text := text_of(found.get(name)):
                return text
        return text_of(reference)


def _list(holder: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = holder.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
