"""The authorization server: its parts, none of which knows HTTP or pages, put together.

`decisions` take apps' requests and people's answers, `exchanges` give tokens, `introspection` tells
of them and withdraws them, `launches` are made by portals.
https://hl7.org/fhir/smart-app-launch/STU2.2/app-launch.html
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fhirserver.auth.brand import Brands
from fhirserver.auth.client import Clients
from fhirserver.auth.client_authentication import Authentication
from fhirserver.auth.decisions import Decisions
from fhirserver.auth.exchanges import Exchanges
from fhirserver.auth.fetch import Fetcher
from fhirserver.auth.identity.person import Directory
from fhirserver.auth.identity.provider import OpenID
from fhirserver.auth.introspection import Introspection
from fhirserver.auth.keys import Keys
from fhirserver.auth.launches import Launches
from fhirserver.auth.narrowing import words
from fhirserver.auth.rate import BEGUN, Failures
from fhirserver.auth.recording import Recording
from fhirserver.auth.session import Sessions
from fhirserver.auth.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from fhirserver.auth.configuration import Configuration
    from fhirserver.conformance.registry import Registry
    from fhirserver.storage.interface import Store


def microseconds() -> int:
    return time.time_ns() // 1000


class AuthorizationServer:
    def __init__(
        self,
        configuration: Configuration,
        store: Store,
        registry: Registry,
        clock: Callable[[], datetime],
        *,
        fetcher: Fetcher | None = None,
        now: Callable[[], int] = microseconds,
    ) -> None:
        self.configuration = configuration
        self.store = store
        self.now = now
        self.clients = Clients(store, now)
        self.keys = Keys(store, now)
        self.sessions = Sessions(store, now)
        self.tokens = Tokens(store, self.keys, configuration, now)
        self.directory = Directory(store, registry, clock)
        self.recording = Recording()
        self.failures = Failures(store, now)
        self.begun = Failures(store, now, kind="begun", per_address=BEGUN)
        self.launches = Launches(store, self.clients, now)
        self.providers = {
            provider.id: OpenID(provider, configuration.url(f"callback/{provider.id}"))
            for provider in configuration.providers
        }
        authentication = Authentication(
            self.clients,
            self.failures,
            audience=configuration.url("token"),
            store=store,
            fetcher=fetcher or Fetcher(configuration.fetch_hosts),
            clock=now,
        )
        self.decisions = Decisions(
            configuration,
            store,
            now,
            clients=self.clients,
            sessions=self.sessions,
            tokens=self.tokens,
            directory=self.directory,
            launches=self.launches,
            providers=self.providers,
            registry=registry,
            recording=self.recording,
        )
        self.exchanges = Exchanges(
            configuration,
            authentication=authentication,
            clients=self.clients,
            sessions=self.sessions,
            tokens=self.tokens,
            failures=self.failures,
            recording=self.recording,
        )
        self.brands = Brands(configuration, store, now, words()["texts"]["title"]["fr"])
        self.introspection = Introspection(
            configuration,
            store,
            authentication=authentication,
            clients=self.clients,
            tokens=self.tokens,
            recording=self.recording,
        )
