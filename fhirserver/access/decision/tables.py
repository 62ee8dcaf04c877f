"""The access tables of terminology/access/: matrix, resource types, structured data."""

from __future__ import annotations

from functools import cache

import msgspec

from fhirserver.model import shipped


class Profession(msgspec.Struct, frozen=True):
    """A column of the matrix: the codes it is for, and the document types it reads."""

    heading: str
    codes: tuple[str, ...]
    health: bool
    read: frozenset[str]


class Matrix(msgspec.Struct, frozen=True):
    """Profession × document type. `types` are all that are known; others are refused."""

    version: str
    date: str
    source: str
    types: frozenset[str]
    professions: dict[str, Profession]

    def of(self, code: str) -> Profession | None:
        """The column of a profession code; None when it has none, so that it reads nothing."""
        return self.by_code.get(code)

    @property
    def by_code(self) -> dict[str, Profession]:
        return _by_code()


class RecordType(msgspec.Struct, frozen=True):
    """Parameters of a type whose resources are somebody's data: whose (`subject`; `otherwise`
    where no subject is a patient) and by whom (`author`)."""

    subject: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    author: tuple[str, ...] = ()


class KeptType(msgspec.Struct, frozen=True):
    """A type for few: `by` (operator, registrar), and services of the organization that one of
    the parameters `owner` names."""

    reason: str
    by: frozenset[str] = frozenset()
    owner: tuple[str, ...] = ()


class ResourceTypes(msgspec.Struct, frozen=True):
    version: str
    date: str
    record: dict[str, RecordType]
    shared: frozenset[str]
    kept: dict[str, KeptType]
    nobody: dict[str, str]
    agenda: frozenset[str]


class Structured(msgspec.Struct, frozen=True):
    """The document types by whose right structured data is read."""

    documents: tuple[str, ...]
    category: dict[str, tuple[str, ...]] = {}


class StructuredTypes(msgspec.Struct, frozen=True):
    version: str
    date: str
    by_document_type: dict[str, Structured]
    documents: frozenset[str]
    without_matrix: frozenset[str]


@cache
def matrix() -> Matrix:
    return msgspec.json.decode(
        shipped.read("terminology", "access", "document-matrix.json"), type=Matrix
    )


@cache
def resource_types() -> ResourceTypes:
    return msgspec.json.decode(
        shipped.read("terminology", "access", "resource-types.json"), type=ResourceTypes
    )


@cache
def structured_types() -> StructuredTypes:
    return msgspec.json.decode(
        shipped.read("terminology", "access", "structured-types.json"), type=StructuredTypes
    )


@cache
def _by_code() -> dict[str, Profession]:
    return {code: column for column in matrix().professions.values() for code in column.codes}
