"""E-mail to the citizen: that there is something new, never what. By SMTP, or as files in a folder
for development."""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import parseaddr
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from fhirserver.model.outside import reach

SUBJECT = "Du nouveau dans votre espace de santé"
BODY = """Bonjour,

Il y a du nouveau dans votre espace de santé. Connectez-vous pour le consulter.
Ce message ne contient aucune donnée de santé ; n'y répondez pas.

There is something new in your health space. Sign in to see it.
"""
_SECONDS = 20.0


class Sender(Protocol):
    async def send(self, address: str, id: str) -> None:
        """Send the message; `id` is the same when the same notice is sent again. Raises OSError
        when it cannot be sent now."""


def message(address: str, id: str, sender: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = address
    mail["Subject"] = SUBJECT
    # The same identity for the same notice: a mailbox that gets it twice can tell.
    mail["Message-ID"] = f"<{id}@{parseaddr(sender)[1].partition('@')[2] or 'localhost'}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(BODY)
    return mail


def is_address(text: str) -> bool:
    """One plain address: no list, no name, no line break."""
    name, address = parseaddr(text)
    plain = not name and address == text and text.isascii() and text.isprintable()
    return plain and text.count("@") == 1 and not any(c in text for c in " ,;<>\"'()[]\\")


class FolderSender:
    """Writes each message as a file, for development and tests."""

    def __init__(self, folder: Path, sender: str) -> None:
        self._folder = folder
        self._sender = sender

    async def send(self, address: str, id: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        content = bytes(message(address, id, self._sender))
        await asyncio.to_thread((self._folder / f"{id}.eml").write_bytes, content)


class SmtpSender:
    """`url`: smtp://user:password@host:port (STARTTLS wherever it is offered, always with a
    password) or smtps://…"""

    def __init__(self, url: str, sender: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("an SMTP server is written smtp://host:port or smtps://host:port")
        self._tls = parts.scheme == "smtps"
        self._host = parts.hostname
        self._port = parts.port or (465 if self._tls else 587)
        self._user = unquote(parts.username or "")
        self._password = unquote(parts.password or "")
        self._sender = sender

    async def send(self, address: str, id: str) -> None:
        try:
            await self.deliver(message(address, id, self._sender), address)
        except smtplib.SMTPException as error:
            raise OSError(f"the mail server refused: {type(error).__name__}") from error

    async def deliver(self, mail: EmailMessage, address: str) -> None:
        """Hand over any mail for one address. Raises OSError (also SMTPException, which is one)."""
        await asyncio.to_thread(self._send, mail, address)

    def _send(self, mail: EmailMessage, address: str) -> None:
        reach(self._host)
        context = ssl.create_default_context()
        if self._tls:
            client: smtplib.SMTP = smtplib.SMTP_SSL(
                self._host, self._port, timeout=_SECONDS, context=context
            )
        else:
            client = smtplib.SMTP(self._host, self._port, timeout=_SECONDS)
        with client:
            if not self._tls:
                client.ehlo()
                if client.has_extn("starttls"):
                    client.starttls(context=context)
                elif self._user:
                    raise OSError("the mail server offers no TLS: the password is not sent")
            if self._user:
                client.login(self._user, self._password)
            client.send_message(mail, to_addrs=[address])
