"""What citizens write to professionals who have an MSSanté address goes out as mail.

Each mail is a Task (focus the message, owner the recipient), made once by following the messages:
requested, then in-progress while a process hands it over, then completed, failed or cancelled. A
failed attempt is repeated after a growing while, for about three days; what a mail server refuses
for good fails at once, and the citizen is told. What a process has begun no other one sends; a
crash between sending and noting it sends the mail again, later, under the same Message-ID.
"""

from __future__ import annotations

import hashlib
import smtplib
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import structlog

from fhirserver.access.decision.build import all_of, token
from fhirserver.access.notice.communication import notification
from fhirserver.access.notice.sender import SmtpSender, is_address
from fhirserver.access.store import VersionConflict
from fhirserver.interaction.context import Draft
from fhirserver.interaction.service import Job, follow
from fhirserver.interaction.write import commit
from fhirserver.messaging.codes import PROFESSIONALS
from fhirserver.messaging.gateway.addresses import mailbox_of
from fhirserver.messaging.gateway.mail_out import NotSendable, mail_of
from fhirserver.messaging.message import kind, message_of, pair
from fhirserver.messaging.thread import stored
from fhirserver.model.dates import instant, interval, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.version import ABSENT
from fhirserver.search.expression import Kind, Query, Sort

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context
    from fhirserver.messaging.gateway.settings import GatewaySettings
    from fhirserver.model.version import Version

SECONDS = 5.0
CODES = "http://fhirserver.example/CodeSystem/message-gateway"
DELIVERY = "delivery"
FIRST_PAUSE = 60  # seconds; doubled at each failure
LONGEST_PAUSE = 6 * 3600
ATTEMPTS = 20
_OLD = timedelta(days=1)
BEGUN_SECONDS = 900  # after so long a process that began has ended
_MOST = 100  # mails of one round
_UNDELIVERED = (
    "Un de vos messages n'a pas pu être remis. (One of your messages could not be delivered.)"
)

_log = structlog.get_logger("fhirserver")


def sending(settings: GatewaySettings) -> Job:
    sender = SmtpSender(settings.server, f"gateway@{settings.domain}")

    async def run(ctx: Context) -> None:
        await enqueue(ctx)
        await send_due(ctx, settings, sender)

    return Job("messaging-gateway-sender", SECONDS, run)


async def enqueue(ctx: Context) -> None:
    """Make the Tasks of what was written since the last time."""
    name = "messaging-gateway"
    # What was written long before the gateway was set up does not go out.
    begins = await ctx.store.get_state(f"followed/{name}") is None
    oldest = microseconds(ctx.clock() - _OLD) if begins else 0

    async def step(ctx: Context, version: Version) -> None:
        if version.updated >= oldest:
            await _enqueue_one(ctx, version)

    await follow(ctx, name, frozenset({"Communication"}), step)


async def _enqueue_one(ctx: Context, version: Version) -> None:
    if version.content is None:
        return
    message = message_of(decode_stored(version.content), ctx.local_bases)
    if not (message.is_sent and message.by_citizen and message.links_citizens):
        return
    if _was_long_sent(message.sent, version.updated):
        return
    for recipient in message.recipients:
        if kind(recipient) not in PROFESSIONALS or await mailbox_of(ctx, recipient) is None:
            continue
        words = f"{version.id}\n{recipient}"
        id = f"mss-{hashlib.sha256(words.encode()).hexdigest()[:40]}"
        now = instant(microseconds(ctx.clock()) // 1000 * 1000)
        task = {
            "resourceType": "Task",
            "status": "requested",
            "intent": "order",
            "code": {"coding": [{"system": CODES, "code": DELIVERY}]},
            "focus": {"reference": f"Communication/{version.id}"},
            "authoredOn": now,
            "lastModified": now,
            "owner": {"reference": recipient},
        }
        try:
            await commit(ctx, [Draft("PUT", "Task", id, task, ABSENT)])
        except VersionConflict:
            continue  # made before


def _was_long_sent(sent: str, stored: int) -> bool:
    """A conversation that is loaded as it was does not go out anew."""
    try:
        return interval(sent)[1] < stored - _OLD // timedelta(microseconds=1)
    except ValueError:
        return False


async def send_due(ctx: Context, settings: GatewaySettings, sender: SmtpSender) -> None:
    """Try each mail whose time has come, the longest unchanged first."""
    waiting = all_of(
        token("status", "requested", "in-progress"), token("code", DELIVERY, system=CODES)
    )
    order = (Sort("_lastUpdated", Kind.DATE),)
    cursor = None
    tried = 0
    while tried < _MOST:
        page = await ctx.store.search(Query(("Task",), waiting, order, 50, cursor))
        for version in page.versions:
            task = decode_stored(version.content or b"{}")
            if _due(ctx, task):
                tried += 1
                await _try(ctx, settings, sender, version, task)
        cursor = page.next
        if cursor is None:
            return


async def _try(
    ctx: Context,
    settings: GatewaySettings,
    sender: SmtpSender,
    version: Version,
    task: dict[str, Any],
) -> None:
    focus = str(task["focus"]["reference"])
    found = await stored(ctx, focus)
    if found is None or not found[1].is_sent:  # its sender has withdrawn it
        await _note(ctx, version, {**task, "status": "cancelled"})
        return
    begun = await _note(ctx, version, {**task, "status": "in-progress"})
    if begun is None:
        return
    version = begun
    try:
        address = await mailbox_of(ctx, str(task["owner"]["reference"]))
        if address is None or not is_address(address):
            raise NotSendable("the recipient has no address any more")
        mail = await mail_of(ctx, pair(focus)[1], found[1], settings)
        await sender.deliver(mail, address)
    except NotSendable as error:
        await _failed(ctx, version, task, str(error))
    except smtplib.SMTPException as error:
        if _is_final(error):
            await _failed(ctx, version, task, "the mail server refused it")
        else:
            await _again(ctx, version, task)
    except OSError:
        await _again(ctx, version, task)
    except Exception as error:  # one mail that cannot be made does not hold up the others
        await _failed(ctx, version, task, f"no mail can be made of it: {type(error).__name__}")
    else:
        await _note(ctx, version, {**task, "status": "completed"})


def _is_final(error: smtplib.SMTPException) -> bool:
    """Refused for this mail or address, not for now: 5xx."""
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return True
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        return bool(codes) and all(500 <= code < 600 for code in codes)
    if isinstance(error, (smtplib.SMTPSenderRefused, smtplib.SMTPDataError)):
        return 500 <= error.smtp_code < 600
    return False


def _attempts(task: dict[str, Any]) -> int:
    for output in task.get("output") or []:
        if output["type"].get("text") == "attempts":
            return int(output.get("valuePositiveInt") or 0)
    return 0


def _due(ctx: Context, task: dict[str, Any]) -> bool:
    if task.get("status") == "in-progress":
        begun = interval(str(task["lastModified"]))[0]
        return begun + BEGUN_SECONDS * 1_000_000 <= microseconds(ctx.clock())
    begin = ((task.get("restriction") or {}).get("period") or {}).get("start")
    return begin is None or interval(begin)[0] <= microseconds(ctx.clock())


async def _again(ctx: Context, version: Version, task: dict[str, Any]) -> None:
    number = _attempts(task) + 1
    if number >= ATTEMPTS:
        await _failed(ctx, version, task, f"{number} attempts failed")
        return
    pause = min(FIRST_PAUSE * 2 ** (number - 1), LONGEST_PAUSE)
    start = instant(microseconds(ctx.clock() + timedelta(seconds=pause)) // 1000 * 1000)
    changed = {
        **task,
        "status": "requested",
        "restriction": {"period": {"start": start}},
        "output": [{"type": {"text": "attempts"}, "valuePositiveInt": number}],
    }
    await _note(ctx, version, changed)


async def _failed(ctx: Context, version: Version, task: dict[str, Any], reason: str) -> None:
    _log.warning("message not delivered", task=version.id, reason=reason)
    await tell_undelivered(ctx, str(task["focus"]["reference"]))
    await _note(ctx, version, {**task, "status": "failed", "statusReason": {"text": reason}})


async def _note(ctx: Context, version: Version, task: dict[str, Any]) -> Version | None:
    """The Task as it is now; None when another process was faster."""
    kept = {name: value for name, value in task.items() if name not in ("id", "meta")}
    kept["lastModified"] = instant(microseconds(ctx.clock()) // 1000 * 1000)
    try:
        (written,) = await commit(ctx, [Draft("PUT", "Task", version.id, kept, version.version)])
    except VersionConflict:
        return None
    return written


async def tell_undelivered(ctx: Context, focus: str) -> None:
    """The citizen learns, once, that a message did not arrive."""
    found = await stored(ctx, focus)
    if found is None:
        return
    id = f"undelivered-{hashlib.sha256(focus.encode()).hexdigest()[:40]}"
    now = microseconds(ctx.clock())
    notice = notification(found[1].subject, "undelivered", _UNDELIVERED, now, focus)
    try:
        await commit(ctx, [Draft("PUT", "Communication", id, notice, ABSENT)])
    except VersionConflict:
        return
