"""Finishes what an interruption left of a message and its thread, on stores without transactions:
there a message that ends or reopens a thread, and the first message, are written one after the
other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.interaction.service import Job, follow
from fhirserver.messaging.ending import settle

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context

SECONDS = 5.0


def settling() -> Job:
    async def run(ctx: Context) -> None:
        if not ctx.store.capabilities.transactions:
            await follow(ctx, "messaging-threads", frozenset({"Communication"}), settle)

    return Job("messaging-threads", SECONDS, run)
