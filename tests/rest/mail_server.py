"""A mail server of the test: keeps what it is given, or refuses it as told."""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import smtplib
import socket

from aiosmtpd.smtp import SMTP


class Kept:
    """`answers`: what to say to the next mails instead of taking them."""

    def __init__(self):
        self.mails = []
        self.recipients = []
        self.answers = []

    async def handle_DATA(self, server, session, envelope):
        if self.answers:
            return self.answers.pop(0)
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"


@contextlib.asynccontextmanager
async def mail_server():
    kept = Kept()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: SMTP(kept, enable_SMTPUTF8=True, hostname="mail.example", loop=loop),
        "127.0.0.1",
        0,
    )
    kept.port = server.sockets[0].getsockname()[1]
    try:
        yield kept
    finally:
        server.close()
        await server.wait_closed()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


async def hand_over(port, mail, sender, *recipients):
    """(code, text) of what the server says last."""

    def send():
        with smtplib.SMTP("127.0.0.1", port, timeout=20) as client:
            try:
                refused = client.sendmail(
                    sender, list(recipients), mail.as_bytes(policy=email.policy.SMTP)
                )
            except smtplib.SMTPRecipientsRefused as error:
                return next(iter(error.recipients.values()))
            except smtplib.SMTPResponseException as error:
                return error.smtp_code, error.smtp_error
            return next(iter(refused.values()), (250, b""))

    for _ in range(200):
        try:
            code, text = await asyncio.to_thread(send)
            return code, text.decode()
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)  # not listening yet
    raise AssertionError("nobody listens")
