"""Every index the engine needs, by collection; `open` creates what is missing.

One collection may have 64 indexes, and a compound index may span one array. The order of fields
is equality first (parameter, type, value), then the key that pages are ordered by.
"""

from __future__ import annotations

from typing import Any

from pymongo import IndexModel

from fhirserver.storage.mongodb.connection import Collection, Connection

Fields = tuple[tuple[str, int], ...]


def _entry(kind: str, *values: str) -> Fields:
    path = f"index.{kind}"
    ascending = [f"{path}.param", "type", f"{path}.{values[0]}", "key"]
    ascending += [f"{path}.{value}" for value in values[1:]]
    return tuple((field, 1) for field in ascending)


def _sort(kind: str, param: str) -> dict[str, Fields]:
    return {
        f"sort_{param}_{direction}": (
            ("type", 1),
            (f"sort.{kind}.{param}.{direction}", -1),
            ("key", 1),
        )
        for direction in ("ascending", "descending")
    }


#: collection -> index name -> fields
INDEXES: dict[str, dict[str, Fields]] = {
    "resources": {
        "key": (("type", 1), ("deleted", 1), ("key", 1)),
        "id": (("id", 1),),
        "updated": (("type", 1), ("updated", 1), ("key", 1)),
        "type_seq": (("type", 1), ("seq", 1)),
        "seq": (("seq", 1),),
        "previous": (("previous.seq", 1),),
        "token": _entry("token", "code", "system"),
        "string": _entry("string", "folded"),
        "reference": _entry("reference", "id", "type"),
        "date_low": _entry("date", "low", "high"),
        "date_high": _entry("date", "high"),
        "number": _entry("number", "low", "high"),
        "quantity_low": _entry("quantity", "low", "code", "high"),
        "quantity_high": _entry("quantity", "high", "code"),
        "uri": _entry("uri", "value"),
        "position": _entry("position", "latitude", "longitude"),
        "word": _entry("word", "word"),
        "composite_code": _entry("composite", "part1.code", "part2.code", "part2.low"),
        **_sort("date", "date"),
        **_sort("date", "birthdate"),
        **_sort("string", "family"),
    },
    "history": {
        "instance": (("type", 1), ("id", 1), ("seq", 1)),
        "type_seq": (("type", 1), ("seq", 1)),
        "seq": (("seq", 1),),
        "previous": (("previous.seq", 1),),
    },
    "log": {
        "chain": (("chain", 1), ("number", 1)),
    },
    "grants": {
        "kind": (("kind", 1), ("key", 1)),
        "expires": (("expires", 1),),
        "family": (("family", 1),),
        "client": (("client", 1),),
        "patient": (("patient", 1),),
    },
}


async def _present(collection: Collection) -> set[str]:
    return set(await collection.index_information())


async def missing_indexes(connection: Connection) -> dict[str, list[str]]:
    """Names of the indexes that a collection lacks."""
    missing: dict[str, list[str]] = {}
    for name, indexes in INDEXES.items():
        present = await _present(connection.database[name])
        if lacking := [index for index in indexes if index not in present]:
            missing[name] = lacking
    return missing


async def create_indexes(connection: Connection) -> None:
    """Create what is missing; several servers may do so at once."""
    for name, lacking in (await missing_indexes(connection)).items():
        models: list[Any] = [IndexModel(INDEXES[name][index], name=index) for index in lacking]
        await connection.database[name].create_indexes(models)
