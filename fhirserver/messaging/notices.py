"""Tells the citizen that a message has arrived; what it says stands in the message alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.notice.notice import MESSAGE, Notice, notice_id
from fhirserver.interaction.service import Job, follow
from fhirserver.messaging.codes import CITIZENS
from fhirserver.messaging.message import kind, message_of, pair
from fhirserver.model.json import decode_stored

if TYPE_CHECKING:
    from fhirserver.access.notice.notifier import Notifier
    from fhirserver.interaction.context import Context
    from fhirserver.model.version import Version

SECONDS = 2.0


def announcing(notifier: Notifier) -> Job:
    async def step(ctx: Context, version: Version) -> None:
        notice = notice_of(ctx, version)
        if notice is not None:
            await notifier.tell(notice)

    async def run(ctx: Context) -> None:
        await follow(ctx, "messaging-notices", frozenset({"Communication"}), step)
        await notifier.retry()

    return Job("messaging-notices", SECONDS, run)


def notice_of(ctx: Context, version: Version) -> Notice | None:
    """What the citizen is told of this version: once, of a message of a professional to them that
    waits to be read."""
    if version.content is None:
        return None
    message = message_of(decode_stored(version.content), ctx.local_bases)
    if not (message.is_sent and message.by_professional and message.links_citizens):
        return None
    if not any(kind(each) in CITIZENS for each in message.unread_in):
        return None
    patient = pair(message.subject)[1]
    about = f"Communication/{version.id}"
    return Notice(notice_id(patient, MESSAGE, about), MESSAGE, patient, version.updated, about)
