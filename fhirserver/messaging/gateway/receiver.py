"""Takes mail that the operator's mail server hands over (SMTP, RFC 5321), on a loopback or private
address. 250 is said when the message is on disk; 451 asks to try again; 5xx is final."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import structlog
from aiosmtpd.smtp import SMTP

from fhirserver.interaction.service import Job
from fhirserver.messaging.attachments import rules
from fhirserver.messaging.gateway import reports
from fhirserver.messaging.gateway.addresses import ins_of, patient_of
from fhirserver.messaging.gateway.incoming import NoSuchMailbox, take
from fhirserver.messaging.gateway.mail_in import NotTaken, read

if TYPE_CHECKING:
    from aiosmtpd.smtp import Envelope, Session

    from fhirserver.interaction.context import Context
    from fhirserver.messaging.gateway.settings import GatewaySettings

SECONDS = 5.0
UNKNOWN = "550 5.1.1 No such mailbox here"
_LATER = "451 4.3.0 Not now, try again later"
_RECIPIENTS = 20

_log = structlog.get_logger("fhirserver")


def receiving(settings: GatewaySettings) -> Job:
    """Listens for as long as the process lives: whoever of several processes has the port."""

    async def run(ctx: Context) -> None:
        async with listening(ctx, settings):
            await asyncio.Event().wait()

    return Job("messaging-gateway-receiver", SECONDS, run)


@contextlib.asynccontextmanager
async def listening(ctx: Context, settings: GatewaySettings) -> Any:
    logging.getLogger("mail.log").setLevel(logging.ERROR)  # addresses are personal data
    loop = asyncio.get_running_loop()
    handler = Handler(ctx, settings)

    def protocol() -> SMTP:
        return SMTP(
            handler,
            # Attachments in base64, and the text around them.
            data_size_limit=rules().bytes_together * 3 // 2 + 1_000_000,
            hostname=settings.domain,
            ident="fhirserver",
            enable_SMTPUTF8=True,
            loop=loop,
        )

    host, port = settings.address
    server = await loop.create_server(protocol, host, port)
    try:
        yield server
    finally:
        server.close()
        await server.wait_closed()


class Handler:
    """What aiosmtpd asks at each command."""

    def __init__(self, ctx: Context, settings: GatewaySettings) -> None:
        self._ctx = ctx
        self._settings = settings
        self._networks = [ip_network(peer, strict=False) for peer in settings.peers]

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        peer = ip_address(str(session.peer[0]).partition("%")[0]) if session.peer else None
        if peer is None or not any(peer in network for network in self._networks):
            return "550 5.7.1 Mail is taken from its relay alone"
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 OK"

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if len(envelope.rcpt_tos) >= _RECIPIENTS:
            return "452 4.5.3 Too many recipients"
        ins = ins_of(address, self._settings.domain)
        try:
            known = bool(ins) and await patient_of(self._ctx, ins) is not None
        except (TimeoutError, ConnectionError):
            return _LATER
        if not known:
            return UNKNOWN
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        if not isinstance(content, bytes):
            return "554 5.6.0 This is no mail"
        # RFC 5321, 4.5.5; a report in another envelope is one all the same.
        if envelope.mail_from in ("", "<>") or reports.is_report(content):
            return await self._report(content, envelope.rcpt_tos)
        try:
            mail = await asyncio.to_thread(read, content, self._ctx.clock())
        except NotTaken as error:
            return f"554 5.6.0 {_line(error)}"
        except Exception as error:  # whatever a hostile mail brings the parser to
            _log.warning("mail not read", error=type(error).__name__)
            return "554 5.6.0 This mail cannot be read"
        refused = UNKNOWN
        taken = 0
        for address in dict.fromkeys(envelope.rcpt_tos):
            try:
                patient = await patient_of(self._ctx, ins_of(address, self._settings.domain))
                if patient is not None:
                    await take(self._ctx, mail, patient, self._settings)
                    taken += 1
            except NoSuchMailbox:
                continue
            except NotTaken as error:
                refused = f"554 5.7.1 {_line(error)}"
            except Exception as error:  # the mail stays with who hands it over
                _log.warning("mail not stored", error=type(error).__name__)
                return _LATER
        return "250 2.0.0 Taken" if taken else refused

    async def _report(self, content: bytes, recipients: list[str]) -> str:
        try:
            for address in dict.fromkeys(recipients):
                patient = await patient_of(self._ctx, ins_of(address, self._settings.domain))
                if patient is not None:
                    await reports.take(self._ctx, content, patient, self._settings)
        except Exception as error:
            _log.warning("report not taken", error=type(error).__name__)
            return _LATER
        return "250 2.0.0 Taken"


def _line(error: Exception) -> str:
    return " ".join(str(error).encode("ascii", "replace").decode().split())[:300]
