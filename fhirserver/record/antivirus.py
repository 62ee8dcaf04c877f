"""Has documents looked through by an antivirus before they are stored.

Either a command that reads the document on its standard input and ends with 0 (clean) or 1
(infected), as clamscan does; or a daemon that speaks clamd's INSTREAM over TCP
(https://docs.clamav.net/manual/Usage/Scanning.html#clamd). When it cannot be asked nothing is
taken in.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import shlex
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from fhirserver.errors import Unavailable
from fhirserver.model.outside import reach
from fhirserver.record.content import refusal

if TYPE_CHECKING:
    from fhirserver.record.settings import RecordSettings

_CHUNK = 64 * 1024
_KEPT = 1000  # clean documents remembered: a write that is tried again is not looked at again
_log = structlog.get_logger("fhirserver")


class Antivirus:
    def __init__(self, settings: RecordSettings) -> None:
        self._settings = settings
        self._clean: OrderedDict[bytes, None] = OrderedDict()

    async def check(self, body: bytes, place: str) -> None:
        """Raises Unprocessable for an infected document, Unavailable when nobody can tell."""
        asked = self._settings.antivirus
        if not asked:
            return
        key = hashlib.sha256(body).digest()
        if key in self._clean:
            return
        try:
            async with asyncio.timeout(self._settings.antivirus_seconds):
                if asked.startswith("tcp://"):
                    clean = await _ask_daemon(asked, body)
                else:
                    clean = await _run(asked, body)
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
            _log.error("antivirus failed", error=repr(error))
            raise Unavailable(
                "The document cannot be looked through for viruses now; try again later."
            ) from None
        if not clean:
            _log.warning("infected document refused", sha256=key.hex())
            raise refusal("The antivirus refuses the document.", place, "security")
        self._clean[key] = None
        while len(self._clean) > _KEPT:
            self._clean.popitem(last=False)


async def _run(command: str, body: bytes) -> bool:
    process = await asyncio.create_subprocess_exec(
        *shlex.split(command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        # Broken pipe: a scanner that has seen enough does not read on.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            await process.communicate(body)
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code not in (0, 1):
        raise ValueError(f"the command ended with {code}")
    return code == 0


async def _ask_daemon(url: str, body: bytes) -> bool:
    parts = urlsplit(url)
    reach(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 3310)
    try:
        writer.write(b"zINSTREAM\0")
        for start in range(0, len(body), _CHUNK):
            chunk = body[start : start + _CHUNK]
            writer.write(len(chunk).to_bytes(4, "big") + chunk)
            await writer.drain()
        writer.write(bytes(4))
        await writer.drain()
        answer = (await reader.readuntil(b"\0")).rstrip(b"\0").strip()
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    if answer.endswith(b"FOUND"):
        return False
    if answer.endswith(b"OK"):
        return True
    raise ValueError(f"the daemon answered {answer[:100]!r}")
