"""Who may do what: the access settings, and the server's context bound to a caller."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.access.audit.service import AuditService
from fhirserver.access.caller import Caller, Role
from fhirserver.access.decision.listing import PUBLIC
from fhirserver.access.permit import AccessSettings, permit, permit_anyone
from fhirserver.app.services import notifier
from fhirserver.auth import bearer
from fhirserver.interaction.append_only import AppendOnlyBehaviour
from fhirserver.rest.public import Public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fhirserver.access.permit import Entries
    from fhirserver.interaction.context import Context
    from fhirserver.rest.calendar import Permitted
    from fhirserver.rest.endpoint import Admit
    from fhirserver.settings import Settings
    from fhirserver.storage.interface import Store


def access_of(settings: Settings) -> AccessSettings:
    """What the operator has settled of the open points of the access rules."""
    return AccessSettings(
        active_needed=settings.access_active_needed,
        blocked_in_emergency=settings.access_blocked_in_emergency,
        break_glass_professions=frozenset(settings.access_break_glass_professions),
        centre_15_professions=frozenset(settings.access_centre_15_professions),
        masked_for_administrator=settings.access_masked_for_administrator,
        masked_in_emergency=settings.access_masked_in_emergency,
        invisible_months=settings.access_invisible_months,
        system_profession=settings.access_system_profession,
        existence_by_ins=frozenset(Role(role) for role in settings.access_existence_by_ins),
        professionals_collect_consent=settings.access_professionals_collect_consent,
        apps=dict(pair.split("=", 1) for pair in settings.access_apps),
        registrars=frozenset(settings.registrars),
        client_ids=settings.access_client_ids,
        majority=settings.access_majority,
        seconds=settings.access_seconds,
        longest_seconds=settings.access_longest_seconds,
    )


def permitting(store: Store, entries: Entries, access: AccessSettings) -> Permitted:
    """Binds the server's context to what a caller may see and write."""

    async def permitted(context: Context, caller: Caller) -> Context:
        bound = await permit(
            store,
            caller,
            entries=entries,
            registry=context.registry,
            clock=context.clock,
            settings=access,
        )
        return replace(context, store=bound, caller=caller)

    return permitted


async def open_to_all(context: Context, caller: Caller) -> Context:
    """With --auth off everybody sees everything."""
    return context


def admitting(store: Store, permitted: Permitted, audience: str) -> Admit:
    """Lets a caller with a token in, to what the caller may see and write."""

    async def admit(headers: Mapping[bytes, bytes], context: Context, request_id: str) -> Context:
        return await permitted(context, await bearer.caller(headers, store, audience, request_id))

    return admit


def public(store: Store, settings: Settings) -> Public:
    """What is served to whoever shows no token."""

    def context(context: Context) -> Context:
        permitted = permit_anyone(store, context.indexer.entries)
        return replace(context, store=permitted, caller=Caller(Role.ANYONE))

    return Public(PUBLIC, context, settings.public_requests_per_minute)


def audited(store: Store, context: Context, settings: Settings) -> tuple[Context, AuditService]:
    """The context of a server whose accesses are recorded, and what follows the records."""
    indexer = context.indexer
    service = AuditService(
        store,
        context.registry,
        indexer.entries,
        server=context.base_url,
        notifier=notifier(settings, store, indexer),
        days=settings.audit_days,
        invisible_months=settings.access_invisible_months,
    )
    behaviours = (AppendOnlyBehaviour(), *context.behaviours)
    return replace(context, audit=service.audit, behaviours=behaviours), service
