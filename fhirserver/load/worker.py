"""One process that prepares items: requests come by its standard input, answers leave by its
standard output, each a pickled value after its length.

It is started with this module alone (`workers.py`): `multiprocessing` would have it import the
whole command first, which takes longer than all else it does before its first item.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Callable

#: Bytes of the length before each value.
LENGTH = 8
#: What a pipe is to hold where the system lets it, so that neither side waits for the other to
#: have time: a helping and what comes of it.
PIPE_BYTES = 1 << 20


def packed(value: Any) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(LENGTH, "big") + data


def widen(pipe: int) -> None:
    try:
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return  # it holds less


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the end of its input ends it
    source = os.fdopen(os.dup(0), "rb")
    target = os.fdopen(os.dup(1), "wb", 0)
    os.dup2(2, 1)  # a stray print must not come between the answers
    widen(source.fileno())
    widen(target.fileno())

    from fhirserver.load.collector import begin_rarely
    from fhirserver.load.prepare import Preparer

    setting = _next(source)
    if setting is None:
        return
    search_parameters, options = setting
    preparer = Preparer(search_parameters, **options)
    begin_rarely()
    try:
        while (request := _next(source)) is not None:
            _send(target, packed(_outcome(preparer.prepare, request)))
    except BrokenPipeError:
        sys.exit(1)  # nobody waits for it any more


def _outcome(prepare: Callable[..., Any], request: tuple[Any, ...]) -> tuple[Any, str]:
    """What was prepared; or None, and the error it came to."""
    try:
        return prepare(*request), ""
    except Exception:
        return None, traceback.format_exc()


def _next(source: BinaryIO) -> Any:
    """The next value; None at the end."""
    length = source.read(LENGTH)
    if len(length) < LENGTH:
        return None
    return pickle.loads(source.read(int.from_bytes(length, "big")))


def _send(target: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[target.write(rest) :]
