"""The authorization server, as it is set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fhirserver.app.context import now
from fhirserver.app.path import PATH
from fhirserver.app.refusal import StartRefused
from fhirserver.auth.configuration import Configuration

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.auth.identity.provider import Provider
    from fhirserver.auth.server import AuthorizationServer
    from fhirserver.auth.visits import Visits
    from fhirserver.conformance.registry import Registry
    from fhirserver.interaction.context import Context
    from fhirserver.rest.calendar import Permitted
    from fhirserver.settings import Settings
    from fhirserver.storage.interface import Store


def configuration_of(settings: Settings) -> Configuration:
    """What the authorization server is told. Raises StartRefused."""
    providers: tuple[Provider, ...] = ()
    if settings.identity_providers:
        from fhirserver.auth.identity.provider import read_providers  # loads an HTTP client

        try:
            providers = read_providers(Path(settings.identity_providers))
        except ValueError as error:
            raise StartRefused(f"identity_providers: {error}") from None
    return Configuration(
        fhir_url=settings.fhir_url,
        root_url=settings.fhir_url.removesuffix(PATH),
        access_seconds=settings.access_token_seconds,
        demo=settings.demo,
        providers=providers,
        fetch_hosts=settings.fetch_hosts,
        trusted_proxies=settings.trusted_proxies,
    )


def oauth_uris(configuration: Configuration) -> tuple[tuple[str, str], ...]:
    names = ("authorize", "token", "introspect", "revoke")
    return tuple((name, configuration.url(name)) for name in names)


def authorization_server(
    configuration: Configuration, store: Store, registry: Registry
) -> AuthorizationServer:
    from fhirserver.auth.server import AuthorizationServer

    return AuthorizationServer(configuration, store, registry, now)


def visits(context: Callable[[], Context | None], permitted: Permitted) -> Visits:
    from fhirserver.auth.visits import Visits

    return Visits(context, permitted)
