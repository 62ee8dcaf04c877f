"""Index entries to index rows.

Words become tokens of one full-text document per resource: `<param>w<word>` and, once for each
parameter, `<param>p` for its presence; all in hexadecimal, so that FTS5's tokenizer keeps whatever
the word holds and a prefix of a word is a prefix of its token.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.search.entries import (
    CompositeEntry,
    DateEntry,
    NumberEntry,
    PositionEntry,
    QuantityEntry,
    ReferenceEntry,
    StringEntry,
    TokenEntry,
    UriEntry,
    WordEntry,
)
from fhirserver.search.expression import Kind
from fhirserver.search.packed import PLAIN, WORD, PackedEntries
from fhirserver.storage.sqlite.insert import Insert
from fhirserver.storage.sqlite.tables import (
    BARE_INSERT,
    BARE_OF_KEY,
    BARE_REMOVE,
    COMPOSITE_INSERT,
    COMPOSITE_OF_KEY,
    COMPOSITE_REMOVE,
    TABLES,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import apsw

    from fhirserver.search.packed import Groups
    from fhirserver.storage.sqlite.names import Names, Params, Symbols

Row = tuple[Any, ...]


class Rows:
    """Rows to be written, by table."""

    __slots__ = ("bare", "composite", "tables", "words")

    def __init__(self) -> None:
        self.tables: dict[Kind, list[Row]] = {kind: [] for kind in TABLES}
        self.bare: list[Row] = []
        self.composite: list[Row] = []
        self.words: list[tuple[int, str]] = []

    def __bool__(self) -> bool:
        return bool(self.bare or self.composite or self.words) or any(self.tables.values())

    def write(self, connection: apsw.Connection) -> None:
        for kind, rows in self.tables.items():
            if rows:
                INSERTS[kind].run(connection, sorted(rows))
                self.tables[kind] = []
        if self.bare:
            BARE_INSERT.run(connection, self.bare)
            self.bare = []
        if self.composite:
            COMPOSITE_INSERT.run(connection, self.composite)
            self.composite = []
        if self.words:
            WORDS_INSERT.run(connection, self.words)
            self.words = []

    def replace(self, connection: apsw.Connection, key: int) -> None:
        """Write these rows as all rows of resource `key`, touching only those that differ."""
        for kind, rows in self.tables.items():
            _replace(connection, OF_KEYS[kind], REMOVES[kind], INSERTS[kind], key, rows)
        _replace(connection, BARE_OF_KEY, BARE_REMOVE, BARE_INSERT, key, self.bare)
        _replace(
            connection, COMPOSITE_OF_KEY, COMPOSITE_REMOVE, COMPOSITE_INSERT, key, self.composite
        )
        connection.execute("DELETE FROM word WHERE rowid=?", (key,))
        if self.words:
            WORDS_INSERT.run(connection, self.words)


WORDS_INSERT = Insert("word", ("rowid", "words"))
INSERTS = {kind: table.insert for kind, table in TABLES.items()}
REMOVES = {kind: table.remove for kind, table in TABLES.items()}
OF_KEYS = {kind: table.of_key for kind, table in TABLES.items()}


def _replace(
    connection: apsw.Connection, of_key: str, remove: str, insert: Insert, key: int, rows: list[Row]
) -> None:
    old = set(connection.execute(of_key, (key,)).fetchall())
    if not old and not rows:
        return
    new = set(rows)
    if old != new:
        connection.executemany(remove, old - new)
        insert.run(connection, list(new - old))


def word_token(param: int, word: str) -> str:
    return f"{param:x}w{word.encode().hex()}"


def presence_token(param: int) -> str:
    return f"{param:x}p"


def add_rows(
    names: Names, type: int, key: int, entries: Sequence[tuple[Any, ...]], rows: Rows
) -> None:
    """Append the rows of a resource's entries to `rows`."""
    if type_of(entries) is PackedEntries:
        _add_packed(names, type, key, entries.groups, rows)
        return
    params = names.params(type)
    symbols = names.symbols
    tables = rows.tables
    words: dict[str, None] = {}
    element = 0
    for entry in entries:
        param = params[entry[0]]
        made = type_of(entry)
        if made is CompositeEntry:
            for component, part in enumerate(entry[1]):
                values = COLUMNS[type_of(part)](symbols, part)
                rows.composite.append(
                    (param, component, values[0], key, element, *values[1:], *PAD[len(values)])
                )
            element += 1
        elif entry[1] is None:
            if made is WordEntry:
                words[presence_token(param)] = None
            else:
                rows.bare.append((param, key))
        elif made is TokenEntry:
            tables[Kind.TOKEN].append((param, entry[2], key, symbols[entry[1]]))
        elif made is WordEntry:
            words[presence_token(param)] = None
            words[word_token(param, entry[1])] = None
        else:
            first, *rest = COLUMNS[made](symbols, entry)
            tables[KINDS[made]].append((param, first, key, *rest))
    if words:
        rows.words.append((key, " ".join(words)))


type_of = type


def _add_packed(names: Names, type: int, key: int, groups: Groups, rows: Rows) -> None:
    """The same of entries that lie by kind, without a look at each word."""
    params = names.params(type)
    symbols = names.symbols
    for number, entries in groups.plain:
        ADD[number](rows.tables[KIND_OF[number]], params, symbols, key, entries)
    words = []
    for number, code in groups.bare:
        if number == WORD:
            words.append(presence_token(params[code]))
        else:
            rows.bare.append((params[code], key))
    for element, (code, parts) in enumerate(groups.composites):
        param = params[code]
        for component, (number, fields) in enumerate(parts):
            values = COLUMNS[PLAIN[number]](symbols, fields)
            rows.composite.append(
                (param, component, values[0], key, element, *values[1:], *PAD[len(values)])
            )
    for code, text in groups.words:
        param = params[code]
        between = f" {param:x}w"
        words.append(presence_token(param) + between + text.replace(" ", between))
    if words:
        rows.words.append((key, " ".join(words)))


#: Composite rows have five value columns; the unused hold 0.
PAD = {width: (0,) * (5 - width) for width in range(1, 6)}


def _string(symbols: Symbols, entry: Any) -> Row:
    return entry[1], entry[2]


def _token(symbols: Symbols, entry: Any) -> Row:
    return entry[2], symbols[entry[1]]


def _reference(symbols: Symbols, entry: Any) -> Row:
    return entry[2], symbols[entry[1]]


def _date(symbols: Symbols, entry: Any) -> Row:
    return entry[1], entry[2]


def _number(symbols: Symbols, entry: Any) -> Row:
    return float(entry[1]), float(entry[2])


def _quantity(symbols: Symbols, entry: Any) -> Row:
    return (
        float(entry[1]),
        float(entry[2]),
        symbols[entry[3]],
        symbols[entry[4]],
        symbols[entry[5]],
    )


def _uri(symbols: Symbols, entry: Any) -> Row:
    return (entry[1],)


def _position(symbols: Symbols, entry: Any) -> Row:
    return float(entry[1]), float(entry[2])


KINDS: dict[type, Kind] = {
    StringEntry: Kind.STRING,
    TokenEntry: Kind.TOKEN,
    ReferenceEntry: Kind.REFERENCE,
    DateEntry: Kind.DATE,
    NumberEntry: Kind.NUMBER,
    QuantityEntry: Kind.QUANTITY,
    UriEntry: Kind.URI,
    PositionEntry: Kind.POSITION,
}
KIND_OF = tuple(KINDS[made] for made in PLAIN)
COLUMNS: dict[type, Callable[[Symbols, Any], Row]] = {
    StringEntry: _string,
    TokenEntry: _token,
    ReferenceEntry: _reference,
    DateEntry: _date,
    NumberEntry: _number,
    QuantityEntry: _quantity,
    UriEntry: _uri,
    PositionEntry: _position,
}


def _add_tokens(
    table: list[Row], params: Params, symbols: Symbols, key: int, entries: list[Any]
) -> None:
    table += [(params[code], value, key, symbols[system]) for code, system, value in entries]


def _add_pairs(
    table: list[Row], params: Params, symbols: Symbols, key: int, entries: list[Any]
) -> None:
    table += [(params[code], first, key, second) for code, first, second in entries]


def _add_others(
    made: type,
) -> Callable[[list[Row], Params, Symbols, int, list[Any]], None]:
    columns = COLUMNS[made]

    def add(
        table: list[Row], params: Params, symbols: Symbols, key: int, entries: list[Any]
    ) -> None:
        for entry in entries:
            first, *rest = columns(symbols, entry)
            table.append((params[entry[0]], first, key, *rest))

    return add


ADD = tuple(
    {
        TokenEntry: _add_tokens,
        ReferenceEntry: _add_tokens,  # they lie alike: the second field leads
        StringEntry: _add_pairs,
        DateEntry: _add_pairs,
    }.get(made)
    or _add_others(made)
    for made in PLAIN
)
