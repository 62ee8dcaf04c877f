"""Byte streams out of files and archives that cannot exhaust the machine.

Nothing is ever unpacked to disk, so no name inside an archive becomes a path. What is unpacked
flows through `Bounded`, which stops a stream that grows out of all proportion to its file.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

MIB = 1024 * 1024
#: A line, a Bundle or a resource may have so many bytes.
MAX_ITEM_BYTES = 256 * MIB
#: Deflate reaches 1 : 1030 on a constant text; FHIR data stays below 1 : 100.
MAX_RATIO = 300
#: Nothing is suspected of being a bomb before so much has come out of it.
SUSPECT_FROM = 64 * MIB


class Unusable(Exception):
    """A file, or a member of an archive, that cannot be read any further; the text says why."""


class Meter:
    """How many bytes of the files named by the user were read so far."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = 0


class Counted(io.RawIOBase):
    """A file whose reading is counted."""

    def __init__(self, file: IO[bytes], meter: Meter) -> None:
        self._file = file
        self._meter = meter
        self.count = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self._file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        got = self._file.readinto(buffer)  # type: ignore[attr-defined]
        self.count += got
        self._meter.done += got
        return int(got)

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class Bounded(io.RawIOBase):
    """An unpacked stream, cut off by Unusable when it is a decompression bomb.

    `consumed` tells how many packed bytes went in so far.
    """

    def __init__(self, file: IO[bytes], consumed: Callable[[], int]) -> None:
        self._file = file
        self._consumed = consumed
        self._count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        # What comes before a place that is damaged is given before the damage is told.
        data = self._file.read1(len(buffer))  # type: ignore[attr-defined]
        got = len(data)
        buffer[:got] = data
        self._count += got
        if self._count > SUSPECT_FROM and self._count > MAX_RATIO * max(self._consumed(), 1):
            raise Unusable(
                f"unpacks to more than {MAX_RATIO} times its size: this looks like a "
                "decompression bomb"
            )
        return got

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


def bounded(file: IO[bytes], consumed: Callable[[], int]) -> io.BufferedReader:
    return io.BufferedReader(Bounded(file, consumed), MIB)
