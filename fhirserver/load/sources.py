"""The files to load: paths, folders, and what lies inside .gz, .zip and .tar(.gz).

What a file is, its first bytes tell, not its name; the name only decides what a folder or an
archive offers (`SUFFIXES`), so that a README beside the data is left alone.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from fhirserver.load.report import Refusal
from fhirserver.load.streams import MIB, Counted, Meter, Unusable, bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SUFFIXES = (".json", ".ndjson", ".jsonl", ".xml")
PACKED = (".gz", ".zip", ".tar", ".tgz")

#: What reading a damaged archive raises.
DAMAGED = (
    OSError,
    EOFError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    NotImplementedError,  # a compression method that zipfile lacks
    RuntimeError,  # an encrypted member
)


@dataclass(slots=True)
class Source:
    """A stream of FHIR data. `name` is its path; a member of an archive is `archive!member`."""

    name: str
    stream: io.BufferedReader


def find(paths: Sequence[Path]) -> Iterator[Path]:
    """The files of `paths`, those of a folder in the order of their names."""
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for folder, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                file = Path(folder, name)
                # A pipe or socket would be waited for; a link that leads nowhere is told of.
                if _offers(name) and (file.is_file() or not file.exists()):
                    yield file


def size_of(files: Iterable[Path]) -> int:
    """The bytes of all files; of one that is not there, none."""
    total = 0
    for file in files:
        with contextlib.suppress(OSError):
            total += file.stat().st_size
    return total


def _offers(name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES + PACKED)


def sources(files: Iterable[Path], meter: Meter) -> Iterator[Source | Refusal]:
    """The streams of all files, each to be read before the next is asked for."""
    for file in files:
        try:
            opened = file.open("rb", buffering=0)
        except OSError as error:
            yield Refusal(str(file), f"cannot be read: {error.strerror or error}")
            continue
        with Counted(opened, meter) as counted:
            raw = io.BufferedReader(counted, 128 * 1024)

            def consumed(counted: Counted = counted) -> int:
                return counted.count

            yield from _unpack(str(file), raw, consumed, 0)  # type: ignore[arg-type]


def _unpack(
    name: str, stream: io.BufferedReader, consumed: Callable[[], int], depth: int
) -> Iterator[Source | Refusal]:
    """`stream` itself, or what it packs. An archive may hold packed files, but not archives
    without end: `depth` says how many layers are around this one."""
    try:
        kind = _kind(stream.peek(512)[:512])
        if kind is not None and depth >= 3:
            raise Unusable("is packed more than three times over")
        if kind == "gzip":
            plain = gzip.GzipFile(fileobj=stream)
            yield from _unpack(name, bounded(plain, consumed), consumed, depth + 1)  # type: ignore[arg-type]
        elif kind == "tar":
            yield from _members_of_tar(name, stream, consumed, depth)
        elif kind == "zip":
            yield from _members_of_zip(name, stream, consumed, depth)
        else:
            yield Source(name, stream)
    except Unusable as error:
        yield Refusal(name, str(error))
    except DAMAGED as error:
        yield Refusal(name, f"cannot be unpacked: {error}")


def _kind(start: bytes) -> str | None:
    if start[:2] == b"\x1f\x8b":
        return "gzip"
    if start[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return "zip"
    if start[257:262] == b"ustar":
        return "tar"
    return None


def _members_of_tar(
    name: str, stream: io.BufferedReader, consumed: Callable[[], int], depth: int
) -> Iterator[Source | Refusal]:
    with tarfile.open(fileobj=stream, mode="r|", bufsize=MIB) as archive:
        for member in archive:
            shown = f"{name}!{_shown(member.name)}"
            if member.isdir() or not _offers(PurePosixPath(member.name).name):
                continue
            if not member.isreg():
                yield Refusal(shown, "is a link or a device, not a file")
            elif not _is_plain(member.name):
                yield Refusal(shown, "has a name that points outside the archive")
            else:
                file = archive.extractfile(member)
                if file is not None:
                    inner = bounded(file, consumed)
                    yield from _unpack(shown, inner, consumed, depth + 1)


def _members_of_zip(
    name: str, stream: io.BufferedReader, consumed: Callable[[], int], depth: int
) -> Iterator[Source | Refusal]:
    file: IO[bytes] = stream
    if not stream.seekable():
        # A zip's directory is at its end: inside another archive it has to be held in memory.
        body = stream.read(256 * MIB + 1)
        if len(body) > 256 * MIB:
            raise Unusable("is a zip of more than 256 MiB inside an archive; unpack it first")
        file = io.BytesIO(body)
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            shown = f"{name}!{_shown(member.filename)}"
            if member.is_dir() or not _offers(PurePosixPath(member.filename).name):
                continue
            if not _is_plain(member.filename):
                yield Refusal(shown, "has a name that points outside the archive")
            elif member.flag_bits & 1:
                yield Refusal(shown, "is encrypted")
            else:
                packed = member.compress_size
                with archive.open(member) as opened:
                    inner = bounded(opened, lambda packed=packed: packed)  # type: ignore[misc]
                    yield from _unpack(shown, inner, consumed, depth + 1)


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and ":" not in path.parts[0]


def _shown(name: str) -> str:
    """An archive's name, fit for a terminal."""
    shown = name if len(name) <= 200 else name[:200] + "…"
    return "".join(c if c.isprintable() else "�" for c in shown)
