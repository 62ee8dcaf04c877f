"""Inserting many rows with few statements."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

#: Rows of one statement; each statement has a power of two of them, so that few texts are kept.
MOST = 256


class Insert:
    """INSERT of rows of `columns` into `table`; `tail`: what follows the values."""

    def __init__(self, table: str, columns: Sequence[str], tail: str = "") -> None:
        self._head = f"INSERT INTO {table}({','.join(columns)}) VALUES"
        self._row = f"({','.join('?' * len(columns))})"
        self._tail = f" {tail}" if tail else ""
        self._texts: dict[int, str] = {}

    def run(self, connection: apsw.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert the rows in their order."""
        done, left = 0, len(rows)
        while left:
            size = min(MOST, 1 << (left.bit_length() - 1))
            values = tuple(chain.from_iterable(rows[done : done + size]))
            connection.execute(self._text(size), values)
            done += size
            left -= size

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            text = self._texts[size] = self._head + ",".join([self._row] * size) + self._tail
        return text
