"""The services of the health space, each with what the settings tell it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fhirserver.access.notice.notifier import Notifier
from fhirserver.access.notice.sender import FolderSender, SmtpSender

if TYPE_CHECKING:
    from fhirserver.access.notice.sender import Sender
    from fhirserver.catalogue import Registrar
    from fhirserver.diary.immunization.calendar import Settings as VaccinationSettings
    from fhirserver.interaction.service import Service
    from fhirserver.messaging.gateway.settings import GatewaySettings
    from fhirserver.record import RecordSettings
    from fhirserver.search.index import Indexer
    from fhirserver.settings import Settings
    from fhirserver.space import SpaceSettings
    from fhirserver.storage.interface import Store


def services_of(settings: Settings, store: Store, indexer: Indexer) -> tuple[Service, ...]:
    """The services of the health space. A new service is a line here."""
    from fhirserver import catalogue, diary, messaging, record, space

    return (
        space.service(_space(settings)),
        record.service(_record(settings)),
        diary.service(notifier(settings, store, indexer), _vaccination(settings)),
        messaging.service(
            notifier(settings, store, indexer) if settings.auth == "smart" else None,
            _gateway(settings),
        ),
        catalogue.service(_registrar(settings, store), notifier(settings, store, indexer)),
    )


def _record(settings: Settings) -> RecordSettings:
    from fhirserver.record import RecordSettings

    return RecordSettings(
        max_document_bytes=settings.max_document_bytes,
        max_upload_bytes=settings.max_upload_bytes,
        antivirus=settings.antivirus or "",
        antivirus_seconds=settings.antivirus_seconds,
    )


def _vaccination(settings: Settings) -> VaccinationSettings:
    from fhirserver.diary.immunization.calendar import Settings as VaccinationSettings

    return VaccinationSettings(
        grace_days=settings.vaccination_grace_days,
        pertussis_at_45_and_65=settings.vaccination_pertussis_at_45_and_65,
        menacwy_catch_up_before=settings.vaccination_menacwy_before,
        meningococcal_mandatory_from=settings.vaccination_meningococcal_mandatory_from,
        territory=settings.vaccination_territory,
    )


def _space(settings: Settings) -> SpaceSettings:
    from fhirserver.space import SpaceSettings
    from fhirserver.space.phases import french, parse

    phases = parse(settings.opening_phases) if settings.opening_phases else french()
    return SpaceSettings(
        phases=phases, objection_weeks=settings.objection_weeks, seconds=settings.space_seconds
    )


def _registrar(settings: Settings, store: Store) -> Registrar:
    """By what listed apps become clients."""
    from fhirserver.catalogue import NoRegistrar

    if settings.auth == "off":
        return NoRegistrar()
    from fhirserver.auth.catalogue_clients import CatalogueClients
    from fhirserver.auth.server import microseconds

    return CatalogueClients(store, microseconds)


def _gateway(settings: Settings) -> GatewaySettings:
    from fhirserver.messaging.gateway.settings import GatewaySettings

    return GatewaySettings(
        listen=settings.mssante_listen or "",
        peers=settings.mssante_peers,
        server=settings.mssante_server or "",
        domain=settings.mssante_domain,
        software=settings.mssante_nil or "",
    )


def notifier(settings: Settings, store: Store, indexer: Indexer) -> Notifier:
    return Notifier(store, indexer.entries, _mail(settings), settings.notices)


def _mail(settings: Settings) -> Sender | None:
    if settings.mail_server:
        return SmtpSender(settings.mail_server, settings.mail_from)
    if settings.mail_folder:
        return FolderSender(Path(settings.mail_folder), settings.mail_from)
    return None
