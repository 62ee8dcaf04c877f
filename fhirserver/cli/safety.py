"""Which settings are not safe for real data: one small check for each.

`serve` refuses the worst of them with `--environment production` (`Settings.problems`); what is
left is the operator's to judge, so `doctor` says it.
"""

from __future__ import annotations

import os
import stat
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

from fhirserver.cli.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fhirserver.auth.client import Client
    from fhirserver.settings import Settings

SUBJECT = "safety"
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_BODY = 200 * 1024 * 1024
_ENTRIES = 50_000
#: CNIL: logs of accesses are kept six months at least.
_LOG_DAYS = 183


def findings(settings: Settings) -> list[Finding]:
    """What is not safe; a note alone where the settings are not for production."""
    if settings.environment != "production":
        text = "environment is development: settings are not looked at for what real data needs"
        advice = "Set FHIRSERVER_ENVIRONMENT=production to have them checked."
        return [Finding(SUBJECT, "note", text, advice)]
    checks = (_network, _providers, _database, _limits, _notices, _messages, _access, _traces)
    found = [finding for check in checks for finding in check(settings)]
    return found or [Finding(SUBJECT, "good", "no setting is unsafe for real data")]


def of_clients(clients: list[Client]) -> Iterator[Finding]:
    """What registered clients are given that they hardly need."""
    for client in clients:
        if client.disabled:
            continue
        for uri in client.redirect_uris:
            if urlsplit(uri).scheme == "http":
                yield _note(
                    f"client {client.id} sends codes to {uri}, on the person's own machine",
                    "Right for an app installed there; disable a client of tests.",
                )
        if client.kind == "backend" and "system/*." in client.scopes:
            yield _note(
                f"client {client.id} may be given everything ({client.scopes})",
                "Register it with the types it needs.",
            )


def _network(settings: Settings) -> Iterator[Finding]:
    if not settings.binds_loopback:
        yield _note(
            f"listens on {settings.host} without TLS",
            "Let only the proxy that ends TLS reach it.",
        )
    for name in ("trusted_proxies", "mssante_peers"):
        for network in getattr(settings, name):
            if network == "*" or ip_network(network, strict=False).num_addresses > 2**16:
                yield _bad(
                    f"{name} has {network}: whoever is in it can say which address is asking",
                    "Name the proxy's own address.",
                )
    for origin in settings.cors_origins or ():
        parts = urlsplit(origin)
        if origin == "*" or (parts.scheme != "https" and parts.hostname not in _LOOPBACK):
            yield _bad(
                f"cors_origins has {origin}: pages from anywhere may call the API",
                "Name the https origins of your own pages; those of clients need no setting.",
            )
    for host in settings.fetch_hosts:
        if _private(host):
            yield _bad(
                f"fetch_hosts has {host}, an address inside: clients could make the server call it",
                "Name public hosts of clients' keys.",
            )
    if os.name == "posix" and os.geteuid() == 0:
        yield _bad("runs with all rights of the machine (root)", "Run it as an account of its own.")


def _providers(settings: Settings) -> Iterator[Finding]:
    from fhirserver.auth.identity.provider import read_providers

    env = Path(".env")
    if env.exists() and _readable(env):
        yield _bad(".env can be read by other accounts", "chmod 600 .env")
    if settings.identity_providers is None:
        return  # `serve` refuses it
    file = Path(settings.identity_providers)
    try:
        providers = read_providers(file)
    except ValueError as error:
        yield _bad(f"identity_providers: {error}", "See docs/auth.md.")
        return
    for provider in providers:
        if not provider.acr_accepted:
            yield _bad(
                f"provider {provider.id} signs people in at any level of assurance",
                "Set acr_accepted (docs/auth.md).",
            )
        if provider.kind == "professional" and not provider.acr_exceptional:
            yield _note(
                f"nobody signed in by {provider.id} can break the glass",
                "Set acr_exceptional to the levels with which one may.",
            )
        if urlsplit(provider.issuer).scheme != "https":
            yield _bad(f"provider {provider.id} is not asked by https", "Set its https issuer.")
        if not provider.client_secret:
            yield _bad(f"provider {provider.id} has no client secret", "Set client_secret_env.")
    if b'"client_secret"' in file.read_bytes() and _readable(file):
        yield _bad(
            f"{file} holds a secret and can be read by other accounts",
            "Use client_secret_env, or chmod 600.",
        )


def _database(settings: Settings) -> Iterator[Finding]:
    url = settings.database
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite://").removeprefix("/"))
        if str(path) in ("", "."):
            yield _bad("the database is temporary: all is lost at the end", "Name a file.")
        for file in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
            if file.is_file() and _readable(file):
                yield _bad(
                    f"{file} can be read by other accounts, with health data and keys in it",
                    f"chmod 600 {file}",
                )
        return
    parts = urlsplit(url)
    if not parts.username:
        yield _bad("the database is open to whoever reaches it: no account in its URL", "Use one.")
    options = {name.lower(): value for name, value in parse_qs(parts.query).items()}
    secured = options.get("tls", options.get("ssl", [""]))[-1] == "true" or "+srv" in parts.scheme
    if not secured and parts.hostname not in _LOOPBACK:
        yield _bad("health data goes to the database in the clear", "Add tls=true to its URL.")
    for name in ("tlsallowinvalidcertificates", "tlsinsecure", "tlsallowinvalidhostnames"):
        if options.get(name, [""])[-1] == "true":
            yield _bad(f"the database may be anybody ({name})", "Take it out of the URL.")


def _limits(settings: Settings) -> Iterator[Finding]:
    if settings.max_body_bytes > _BODY:
        yield _note(
            f"max_body_bytes is {settings.max_body_bytes:,}: few requests fill the memory",
            "Load large files by `fhirserver load`.",
        )
    if settings.max_bundle_entries > _ENTRIES:
        yield _note(f"max_bundle_entries is {settings.max_bundle_entries:,}", "Lower it.")
    if settings.search_seconds > 120:
        yield _note(f"search_seconds is {settings.search_seconds:g}", "Lower it.")
    if settings.log_level == "debug":
        yield _note("log_level is debug", "Use info.")
    if settings.antivirus is None:
        yield _note("no antivirus looks through documents", "Set antivirus.")


def _notices(settings: Settings) -> Iterator[Finding]:
    for kind in ("first_access", "emergency"):
        if kind not in settings.notices:
            yield _bad(
                f"citizens are not told of: {kind}", "The law wants it (CSP R.1111-48): add it."
            )
    if settings.mail_folder is not None:
        yield _bad("notices are written to a folder instead of being sent", "Set mail_server.")
    elif settings.mail_server is None:
        yield _note("citizens get no e-mail of notices", "Set mail_server.")
    elif urlsplit(settings.mail_server).password and settings.mail_server.startswith("smtp://"):
        yield _note(
            "the password of mail_server is in the settings",
            "Keep .env to the server's account alone.",
        )


def _messages(settings: Settings) -> Iterator[Finding]:
    if settings.mssante_listen and not settings.mssante_listen.startswith(
        ("127.", "localhost:", "[::1]:")
    ):
        yield _note(
            f"mail of professionals is taken at {settings.mssante_listen}",
            "Let only the mail server of MSSanté reach it.",
        )


#: Setting, its safe value, what else means.
_CHOICES: tuple[tuple[str, object, str], ...] = (
    ("access_active_needed", True, "a Patient without `active` is an open space"),
    ("access_blocked_in_emergency", True, "a blocked professional may break the glass"),
    ("access_masked_in_emergency", True, "the private space is open to whoever breaks the glass"),
    ("access_client_ids", False, "clients learn which ids are taken, of hidden resources too"),
    ("access_existence_by_ins", ("system",), "professionals learn who has a space"),
    ("access_majority", 18, "majority is another than the law's"),
    ("access_invisible_months", 1, "what waits to be announced is kept from citizens for longer"),
)
_MOST = (("carers_of_person", 3), ("persons_of_carer", 5))


def _access(settings: Settings) -> Iterator[Finding]:
    for name, safe, meaning in _CHOICES:
        value = getattr(settings, name)
        if value != safe:
            shown = ",".join(value) if isinstance(value, tuple) else str(value).lower()
            yield _note(f"{name} is {shown}: {meaning}", "See docs/access.md, Open points.")
    for name, most in _MOST:
        if getattr(settings, name) > most:
            yield _note(f"{name} is {getattr(settings, name)}, not {most}", "See docs/access.md.")
    if settings.access_longest_seconds > 300 or settings.access_seconds > 5:
        yield _note(
            "decisions are kept long: labels and ages are looked at again only after that",
            "Lower access_seconds and access_longest_seconds.",
        )


def _traces(settings: Settings) -> Iterator[Finding]:
    if 0 < settings.audit_days < _LOG_DAYS:
        yield _bad(
            f"the audit log is kept for {settings.audit_days} days only",
            f"Keep it {_LOG_DAYS} days at least, or for ever (0).",
        )


def _readable(file: Path) -> bool:
    return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))


def _private(host: str) -> bool:
    if host in _LOOPBACK or "." not in host:
        return True
    try:
        return not ip_address(host.strip("[]")).is_global
    except ValueError:
        return False


def _bad(text: str, advice: str) -> Finding:
    return Finding(SUBJECT, "bad", text, advice)


def _note(text: str, advice: str) -> Finding:
    return Finding(SUBJECT, "note", text, advice)
