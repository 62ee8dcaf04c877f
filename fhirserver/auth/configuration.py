"""What the authorization server is told at start; `app` fills it from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fhirserver.auth.identity.provider import Provider

#: Seconds of life.
CODE = 60
LAUNCH = 300
REQUEST = 900  # from the app's request to the person's decision
SESSION = 3600  # after it one signs in again
BACKEND = 300
EXCEPTIONAL = 900  # break-glass and centre 15
ID_TOKEN = 3600
FOREVER = 100 * 366 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Configuration:
    """`fhir_url` is the audience of every token; nothing is ever taken from a Host header."""

    fhir_url: str
    root_url: str
    access_seconds: int = 1800
    demo: bool = False
    providers: tuple[Provider, ...] = ()
    fetch_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()

    @property
    def issuer(self) -> str:
        return f"{self.root_url}/auth"

    @property
    def secure(self) -> bool:
        return self.root_url.startswith("https://")

    @property
    def path(self) -> str:
        """The path of the authorization server's pages, as a browser sees it."""
        return "/" + self.issuer.partition("://")[2].partition("/")[2]

    def url(self, name: str) -> str:
        return f"{self.issuer}/{name}"
