"""Numbers for names: resource types, search parameters, and symbols (systems, units, types).

A name never changes its number and is never removed, so every process may remember what it saw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import apsw

#: A cache forgets everything when it holds so many names: systems come from outside.
LIMIT = 200_000


class Names:
    """Looks names up on one connection; `learn_*` add what is missing (inside a transaction)."""

    __slots__ = (
        "_connection",
        "_learning",
        "_params",
        "_symbols",
        "_type_names",
        "_types",
        "symbols",
    )

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._params: dict[tuple[int, str], int] = {}
        self._symbols: dict[str, int] = {}
        self._types: dict[str, int] = {}
        self._type_names: dict[int, str] = {}
        self._learning: dict[int, Params] = {}
        #: Text to number; asking for an unknown one learns it.
        self.symbols = Symbols(self)

    def forget(self) -> None:
        """After a rollback: numbers given in it are void."""
        self._params.clear()
        self._learning.clear()
        self.symbols.clear()
        self._symbols.clear()
        self._types.clear()
        self._type_names.clear()

    def type(self, name: str) -> int | None:
        number = self._types.get(name)
        if number is None:
            row = self._connection.execute("SELECT id FROM type WHERE name=?", (name,)).fetchone()
            if row is None:
                return None
            number = self._types[name] = row[0]
            self._type_names[number] = name
        return number

    def type_name(self, number: int) -> str:
        name = self._type_names.get(number)
        if name is None:
            name = self._connection.execute("SELECT name FROM type WHERE id=?", (number,)).get
            self._type_names[number] = name
            self._types[name] = number
        return name

    def types(self) -> list[str]:
        """Every resource type that was ever stored."""
        return [name for (name,) in self._connection.execute("SELECT name FROM type ORDER BY id")]

    def param(self, type: int, code: str) -> int | None:
        number = self._params.get((type, code))
        if number is None:
            row = self._connection.execute(
                "SELECT id FROM param WHERE type=? AND code=?", (type, code)
            ).fetchone()
            if row is None:
                return None
            if len(self._params) > LIMIT:
                self._params.clear()
            number = self._params[type, code] = row[0]
        return number

    def symbol(self, text: str) -> int | None:
        number = self._symbols.get(text)
        if number is None:
            row = self._connection.execute("SELECT id FROM symbol WHERE text=?", (text,)).fetchone()
            if row is None:
                return None
            if len(self._symbols) > LIMIT:
                self._symbols.clear()
            number = self._symbols[text] = row[0]
        return number

    def learn_type(self, name: str) -> int:
        number = self.type(name)
        if number is None:
            # A type has the number of its symbol: reference rows and resources can be joined.
            number = self.learn_symbol(name)
            self._connection.execute("INSERT INTO type(id,name) VALUES(?,?)", (number, name))
            self._types[name] = number
            self._type_names[number] = name
        return number

    def params(self, type: int) -> Params:
        """Code to number of a type's parameters; asking for an unknown one learns it."""
        found = self._learning.get(type)
        if found is None:
            found = self._learning[type] = Params(self, type)
        return found

    def learn_param(self, type: int, code: str) -> int:
        number = self.param(type, code)
        if number is None:
            self._connection.execute("INSERT INTO param(type,code) VALUES(?,?)", (type, code))
            number = self._params[type, code] = self._connection.last_insert_rowid()
        return number

    def learn_symbol(self, text: str) -> int:
        number = self.symbol(text)
        if number is None:
            self._connection.execute("INSERT INTO symbol(text) VALUES(?)", (text,))
            number = self._symbols[text] = self._connection.last_insert_rowid()
        return number


class Symbols(dict[str, int]):
    """What `Names.learn_symbol` said, without a call for what is known."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def __missing__(self, text: str) -> int:
        if len(self) > LIMIT:
            self.clear()
        number = self[text] = self._names.learn_symbol(text)
        return number


class Params(dict[str, int]):
    """What `Names.learn_param` said of one type."""

    def __init__(self, names: Names, type: int) -> None:
        self._names, self._type = names, type

    def __missing__(self, code: str) -> int:
        number = self[code] = self._names.learn_param(self._type, code)
        return number
