"""Documents are looked through by what the setting names."""

from __future__ import annotations

import asyncio
import sys

import pytest

from fhirserver.errors import Unavailable, Unprocessable
from fhirserver.record.antivirus import Antivirus
from fhirserver.record.settings import RecordSettings

#: What the double of a scanner takes for a virus.
VIRUS = b"%PDF-1.4 a virus for tests"
CLEAN = b"%PDF-1.4 nothing" * 10_000


def scanner(tmp_path, code):
    file = tmp_path / "scan.py"
    file.write_text(code)
    return f"{sys.executable} {file}"


READS = "import sys; sys.exit(1 if b'virus' in sys.stdin.buffer.read() else 0)"


async def looked(antivirus, body):
    await Antivirus(RecordSettings(antivirus=antivirus, antivirus_seconds=10)).check(body, "x")


async def test_without_a_setting_nothing_is_asked():
    await looked("", VIRUS)


async def test_a_command_tells_by_its_code(tmp_path):
    command = scanner(tmp_path, READS)
    await looked(command, CLEAN)
    with pytest.raises(Unprocessable) as told:
        await looked(command, VIRUS)
    assert told.value.issues[0].code == "security"


@pytest.mark.parametrize("code", ["import sys; sys.exit(2)", "import time; time.sleep(60)"])
async def test_a_command_that_fails_or_hangs_lets_nothing_in(tmp_path, code):
    antivirus = Antivirus(RecordSettings(antivirus=scanner(tmp_path, code), antivirus_seconds=1))
    with pytest.raises(Unavailable):
        await antivirus.check(CLEAN, "x")


async def test_a_command_that_is_not_there_lets_nothing_in():
    with pytest.raises(Unavailable):
        await looked("/nowhere/scan", CLEAN)


async def test_a_command_that_does_not_read_to_the_end_is_believed(tmp_path):
    await looked(scanner(tmp_path, "import sys; sys.exit(0)"), CLEAN * 20)


@pytest.fixture
async def daemon():
    """A double of clamd: it reads a stream and answers; `asked` counts."""
    asked = []

    async def serve(reader, writer):
        assert await reader.readexactly(10) == b"zINSTREAM\0"
        body = b""
        while size := int.from_bytes(await reader.readexactly(4), "big"):
            body += await reader.readexactly(size)
        asked.append(body)
        if b"broken" in body:
            writer.write(b"stream: INSTREAM size limit exceeded. ERROR\0")
        elif b"virus" in body:
            writer.write(b"stream: Test-Signature FOUND\0")
        elif b"silent" not in body:
            writer.write(b"stream: OK\0")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"tcp://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    server.close()
    await server.wait_closed()


async def test_a_daemon_is_given_the_whole_document(daemon):
    url, asked = daemon
    await looked(url, CLEAN)
    assert asked == [CLEAN]
    with pytest.raises(Unprocessable):
        await looked(url, VIRUS)


@pytest.mark.parametrize("body", [b"broken", b"silent"])
async def test_a_daemon_that_does_not_answer_lets_nothing_in(daemon, body):
    with pytest.raises(Unavailable):
        await looked(daemon[0], body)


async def test_a_daemon_that_is_away_lets_nothing_in():
    with pytest.raises(Unavailable):
        await looked("tcp://127.0.0.1:1", CLEAN)


async def test_a_clean_document_is_looked_at_once_an_infected_one_each_time(daemon):
    url, asked = daemon
    antivirus = Antivirus(RecordSettings(antivirus=url))
    for _ in range(3):
        await antivirus.check(CLEAN, "x")
    for _ in range(2):
        with pytest.raises(Unprocessable):
            await antivirus.check(VIRUS, "x")
    assert len(asked) == 3
