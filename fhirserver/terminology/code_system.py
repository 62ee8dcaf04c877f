"""Code systems of the specification: which codes there are and what stands below what.

https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import msgspec

from fhirserver.model import shipped


class _Row(msgspec.Struct):
    content: str
    codes: list[str | list[str]]
    caseSensitive: bool = True  # the table's own name


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """`parents` maps every code to the codes right above it; `complete`: there are no others."""

    url: str
    complete: bool
    case_sensitive: bool
    parents: dict[str, tuple[str, ...]]

    def below(self, code: str) -> frozenset[str]:
        """Every code that `code` subsumes, without itself."""
        children: dict[str, list[str]] = {}
        for child, above in self.parents.items():
            for parent in above:
                children.setdefault(parent, []).append(child)
        found: set[str] = set()
        waiting = [code]
        while waiting:
            for child in children.get(waiting.pop(), ()):
                if child not in found:
                    found.add(child)
                    waiting.append(child)
        return frozenset(found)


@cache
def _table() -> dict[str, msgspec.Raw]:
    body = shipped.read("terminology", "r4", "code-systems.json.gz")
    return msgspec.json.decode(body, type=dict[str, msgspec.Raw])


@cache
def code_system(url: str) -> CodeSystem | None:
    """The code system `url`, or None when this server does not hold it."""
    raw = _table().get(url)
    if raw is None:
        return None
    row = msgspec.json.decode(raw, type=_Row)
    parents = {
        (code if isinstance(code, str) else code[0]): (
            () if isinstance(code, str) else tuple(code[1:])
        )
        for code in row.codes
    }
    return CodeSystem(url, row.content == "complete", row.caseSensitive, parents)


@cache
def is_case_sensitive(url: str) -> bool:
    system = code_system(url)
    return system is None or system.case_sensitive


_TOKEN = r"[A-Za-z0-9!#$&^_.+-]{1,127}"
_MIME_TYPE = re.compile(
    rf"(?:{_TOKEN}|\*)/(?:{_TOKEN}|\*)(?:\s*;\s*{_TOKEN}=(?:{_TOKEN}|\"[^\"\r\n]*\"))*\s*;?"
)
_LANGUAGE_TAG = re.compile(
    r"(?:[A-Za-z]{2,3}(?:-[A-Za-z]{3}){0,3}|[A-Za-z]{4,8})"
    r"(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?"
    r"(?:-(?:[A-Za-z0-9]{5,8}|[0-9][A-Za-z0-9]{3}))*"
    r"(?:-[0-9A-WYZa-wyz](?:-[A-Za-z0-9]{2,8})+)*(?:-[Xx](?:-[A-Za-z0-9]{1,8})+)?"
    r"|[Xx](?:-[A-Za-z0-9]{1,8})+|i-[A-Za-z]+"
)

#: Systems that are grammars: every code of the right form is one of theirs
#: (https://www.rfc-editor.org/info/bcp13, https://www.rfc-editor.org/info/bcp47).
GRAMMARS: dict[str, Callable[[str], bool]] = {
    "urn:ietf:bcp:13": lambda code: _MIME_TYPE.fullmatch(code) is not None,
    "urn:ietf:bcp:47": lambda code: _LANGUAGE_TAG.fullmatch(code) is not None,
}
