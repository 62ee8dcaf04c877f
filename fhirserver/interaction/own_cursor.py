"""A cursor in a request is one that this server gave for that very request, or is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.store import InvalidCursor
from fhirserver.errors import Invalid

if TYPE_CHECKING:
    from types import TracebackType


def foreign_cursor(of: str) -> Invalid:
    """`of`: what is paged through."""
    return Invalid(f"_cursor is not one this server gave for this {of}.")


class OwnCursor:
    """Around what reads a page: a cursor that the store does not know is told as Invalid. (A
    class: it stands around every search, and a generator takes five times as long.)"""

    __slots__ = ("_of",)

    def __init__(self, of: str) -> None:
        self._of = of

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, InvalidCursor):
            raise foreign_cursor(self._of) from error
