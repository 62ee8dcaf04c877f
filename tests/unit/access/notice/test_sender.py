"""Mail to citizens: to one plain address, without health data, over TLS where a password is."""

from __future__ import annotations

import asyncio

import pytest

from fhirserver.access.notice.sender import FolderSender, SmtpSender, is_address, message


@pytest.mark.parametrize("text", ["a@example.org", "a.b+c@mail.example.org"])
def test_a_plain_address_is_one(text):
    assert is_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a@b@c",
        "A <a@example.org>",
        "a@example.org, b@example.org",
        "a@example.org\nBcc: b@example.org",
        "a@example.org\r\nSubject: x",
        "é@example.org",
        '"a b"@example.org',
    ],
)
def test_what_is_no_plain_address_gets_no_mail(text):
    assert not is_address(text)


def test_the_same_notice_has_the_same_identity():
    first = message("a@example.org", "notice-1", "Santé <no-reply@sante.example>")
    again = message("a@example.org", "notice-1", "Santé <no-reply@sante.example>")
    assert first["Message-ID"] == again["Message-ID"] == "<notice-1@sante.example>"


async def test_a_folder_gets_a_file_for_each_notice(tmp_path):
    sender = FolderSender(tmp_path / "mail", "x@example.org")
    await sender.send("a@example.org", "notice-1")
    await sender.send("a@example.org", "notice-1")
    await sender.send("a@example.org", "notice-2")
    assert sorted(p.name for p in (tmp_path / "mail").iterdir()) == [
        "notice-1.eml",
        "notice-2.eml",
    ]


@pytest.mark.parametrize("url", ["http://x", "smtp://", "mail.example.org", "smtp:host"])
def test_an_address_that_names_no_mail_server_is_refused(url):
    with pytest.raises(ValueError, match="smtp://"):
        SmtpSender(url, "x@example.org")


async def serve(script):
    """A mail server that answers by the first word of each line; what it was told."""
    told = []

    async def handle(reader, writer):
        writer.write(b"220 test\r\n")
        data = False
        while line := await reader.readline():
            text = line.decode().rstrip("\r\n")
            told.append(text)
            if data:
                data = text != "."
                if not data:
                    writer.write(b"250 ok\r\n")
                continue
            word = text.split(" ")[0].upper()
            data = word == "DATA"
            writer.write(script.get(word, b"250 ok\r\n"))
            if word == "QUIT":
                break
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1], told


async def test_a_mail_server_gets_the_message():
    server, port, told = await serve({"DATA": b"354 go\r\n", "QUIT": b"221 bye\r\n"})
    async with server:
        sender = SmtpSender(f"smtp://127.0.0.1:{port}", "no-reply@sante.example")
        await sender.send("a@example.org", "notice-1")
    assert any("a@example.org" in line and line.startswith("rcpt") for line in told)
    assert any(line.startswith("Message-ID: <notice-1@") for line in told)


async def test_a_refusal_is_told_as_one_that_passes():
    server, port, _ = await serve({"RCPT": b"550 no\r\n", "QUIT": b"221 bye\r\n"})
    async with server:
        sender = SmtpSender(f"smtp://127.0.0.1:{port}", "no-reply@sante.example")
        with pytest.raises(OSError, match="SMTPRecipientsRefused"):
            await sender.send("a@example.org", "notice-1")


async def test_a_password_is_never_sent_in_the_clear():
    server, port, told = await serve({"QUIT": b"221 bye\r\n"})
    async with server:
        sender = SmtpSender(f"smtp://me:secret@127.0.0.1:{port}", "no-reply@sante.example")
        with pytest.raises(OSError, match="TLS"):
            await sender.send("a@example.org", "notice-1")
    assert not any("AUTH" in line.upper() for line in told)
