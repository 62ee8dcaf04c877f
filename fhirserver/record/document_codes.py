"""Types, classes, formats and settings of documents: the tables of terminology/record/.

The class is a function of the type (ConceptMap ASS_X16 for the DMP, ASS_X04 for what it lacks).
The tables are made by `compile.py`; each names its source and date.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.model import shipped
from fhirserver.record.names import LOINC, LOINC_OF_THE_ANS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Code = tuple[str, str]


class _Type(msgspec.Struct):
    system: str
    code: str
    dmp: bool
    class_: tuple[str, str] | None = msgspec.field(name="class", default=None)


class _Types(msgspec.Struct):
    source: str
    date: str
    classes: dict[str, str]
    class_system: str
    types: list[_Type]


class _Formats(msgspec.Struct):
    formats: dict[str, list[str]]
    by_template: dict[str, Code]
    unstructured_templates: list[str]
    by_media_type: dict[str, Code]


class _Context(msgspec.Struct):
    facility: dict[str, list[str]]
    practice: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class DocumentTypes:
    """`class_of`: the class of each known type, None where no map gives one."""

    class_of: Mapping[Code, Code | None]
    class_system: str
    classes: Mapping[str, str]

    def known(self, coding: Code) -> bool:
        return plain(coding) in self.class_of


@cache
def document_types() -> DocumentTypes:
    table = msgspec.json.decode(
        shipped.read("terminology", "record", "document-types.json"), type=_Types
    )
    return DocumentTypes(
        {(each.system, each.code): each.class_ for each in table.types},
        table.class_system,
        table.classes,
    )


@cache
def formats() -> _Formats:
    body = shipped.read("terminology", "record", "format-codes.json")
    return msgspec.json.decode(body, type=_Formats)


@cache
def context_codes() -> _Context:
    body = shipped.read("terminology", "record", "context-codes.json")
    return msgspec.json.decode(body, type=_Context)


def plain(coding: Code) -> Code:
    """LOINC under its own name."""
    return (LOINC, coding[1]) if coding[0] == LOINC_OF_THE_ANS else coding


def codings(concept: Any) -> Iterator[Code]:
    """System and code of each coding of a CodeableConcept."""
    if isinstance(concept, dict):
        for coding in concept.get("coding", ()):
            yield str(coding.get("system", "")), str(coding.get("code", ""))


def known(table: Mapping[str, list[str]], coding: Code) -> bool | None:
    """Whether the table's system has the code; None when it is another system."""
    codes = table.get(coding[0])
    return None if codes is None else coding[1] in codes
