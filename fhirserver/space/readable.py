"""The readable copy of a space: one page of HTML that needs nothing else.

It is written resource by resource into a file, so that a long record takes no memory. Headings,
a table of contents, the language and a link past it make it usable by ear and by keyboard (WCAG
2.1 AA).
"""

from __future__ import annotations

from functools import cache
from html import escape
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.model import shipped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import IO

    from fhirserver.interaction.context import Resource

LANGUAGES = ("fr", "en")
_HIDDEN = frozenset({"resourceType", "text", "meta", "data", "contained"})
_DATES = (
    "date", "effectiveDateTime", "occurrenceDateTime", "performedDateTime", "sent", "recorded",
    "onsetDateTime", "recordedDate", "authoredOn", "start", "dateTime", "issued", "created",
)  # fmt: skip
_NAMES = (
    "description",
    "title",
    "code",
    "vaccineCode",
    "type",
    "medicationCodeableConcept",
    "name",
)
_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:auto;padding:1rem;"
    "color:#1a1a1a;background:#fff}a{color:#00419e}h2{border-bottom:2px solid #00419e}"
    "article{margin:1rem 0;padding:.5rem 1rem;border-left:4px solid #767676}"
    "dt{font-weight:600}dd{margin:0 0 .25rem 1.5rem;overflow-wrap:anywhere}"
    "a:focus,summary:focus{outline:3px solid #b34000}"
)


class _Labels(msgspec.Struct):
    version: str
    date: str
    source: str
    types: dict[str, tuple[str, str]]
    texts: dict[str, tuple[str, str]]


@cache
def _labels() -> _Labels:
    body = shipped.read("terminology", "space", "export-labels.json")
    return msgspec.json.decode(body, type=_Labels)


class Page:
    """Writes what the page says of resources to `file`; head and end come when all are known."""

    def __init__(self, file: IO[bytes], language: str) -> None:
        self._file = file
        self._place = LANGUAGES.index(language)
        self._language = language
        self._counts: dict[str, int] = {}
        self._section = ""

    def head(self, made: datetime) -> bytes:
        text = self._text
        items = "".join(
            f'<li><a href="#{type}">{self._type(type)} ({count})</a></li>'
            for type, count in self._counts.items()
        )
        return (
            f'<!DOCTYPE html>\n<html lang="{self._language}"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{text('title')}</title><style>{_STYLE}</style></head><body>"
            f'<a href="#contents">{text("skip")}</a><header><h1>{text("title")}</h1>'
            f'<p>{text("made")} <time datetime="{made.isoformat()}">'
            f"{made.date().isoformat()}</time>. {text('explain')}</p></header>"
            f'<nav aria-labelledby="contents"><h2 id="contents">{text("contents")}</h2>'
            f"<ul>{items}</ul></nav><main>"
        ).encode()

    def add(self, resource: Resource, documents: Mapping[str, str]) -> None:
        """One resource. `documents`: file of each Binary reference."""
        type = str(resource.get("resourceType", ""))
        self._counts[type] = self._counts.get(type, 0) + 1
        if type != self._section:
            self._end_section()
            self._section = type
            self._write(
                f'<section aria-labelledby="{type}"><h2 id="{type}">{self._type(type)}</h2>'
            )
        date = next((str(resource[n])[:10] for n in _DATES if isinstance(resource.get(n), str)), "")
        heading = " · ".join(filter(None, (date, _title(resource)))) or str(resource.get("id"))
        self._write(f"<article><h3>{escape(heading)}</h3>")
        for reference, file in documents.items():
            self._write(
                f'<p><a href="{escape(file)}">{self._text("document")} '
                f"({escape(reference)})</a></p>"
            )
        narrative = (resource.get("text") or {}).get("div")
        if isinstance(narrative, str):  # validated when it was stored: no script, no outside link
            self._write(narrative)
        self._write(f"<details><summary>{self._text('detail')}</summary>")
        self._list(resource)
        self._write("</details></article>")

    def end(self) -> None:
        self._end_section()
        self._section = ""
        self._write("</main></body></html>\n")

    def _end_section(self) -> None:
        if self._section:
            self._write("</section>")

    def _list(self, element: Mapping[str, Any]) -> None:
        self._write("<dl>")
        for name, value in element.items():
            if name in _HIDDEN:
                continue
            for each in value if isinstance(value, list) else [value]:
                self._write(f"<dt>{escape(name)}</dt><dd>")
                if isinstance(each, dict):
                    self._list(each)
                else:
                    self._write(escape(str(each)))
                self._write("</dd>")
        self._write("</dl>")

    def _type(self, type: str) -> str:
        return escape(_labels().types.get(type, (type, type))[self._place])

    def _text(self, name: str) -> str:
        return escape(_labels().texts[name][self._place])

    def _write(self, text: str) -> None:
        self._file.write(text.encode())


def _title(resource: Resource) -> str:
    for name in _NAMES:
        found = _words(resource.get(name))
        if found:
            return found
    payload: Sequence[Any] = resource.get("payload") or []
    return str(payload[0].get("contentString", ""))[:80] if payload else ""


def _words(value: Any) -> str:
    if isinstance(value, list):
        return _words(value[0]) if value else ""
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        return ""
    if value.get("text"):
        return str(value["text"])
    if value.get("family"):
        return " ".join([*map(str, value.get("given", [])), str(value["family"])])
    coding = (value.get("coding") or [{}])[0]
    return str(coding.get("display") or coding.get("code") or "")
