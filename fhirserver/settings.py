"""Every setting of the server: an option of `fhirserver serve`, or `FHIRSERVER_…` in the
environment (`FHIRSERVER_DATABASE`, `FHIRSERVER_BASE_URL`), or a line of a `.env` file."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Names = Annotated[tuple[str, ...], NoDecode]

KIB, MIB = 1024, 1024 * 1024


class Settings(BaseSettings):
    """What can be set, with its default; `Field.description` is what the documentation shows."""

    model_config = SettingsConfigDict(
        env_prefix="FHIRSERVER_", env_file=".env", extra="ignore", frozen=True
    )

    # Where it listens
    host: str = Field(default="127.0.0.1", description="Address to listen on")
    port: int = Field(
        default=8080, ge=0, le=65535, description="Port to listen on; 0 takes a free one"
    )
    workers: int = Field(default=1, ge=1, le=64, description="Number of server processes")
    base_url: str | None = Field(
        default=None,
        description="FHIR base URL as clients see it, e.g. https://sante.example.fr/fhir; "
        "unset, it follows the Host header",
    )
    trusted_proxies: Names = Field(
        default=("127.0.0.1", "::1"),
        description="Addresses or networks whose X-Forwarded-* headers count, comma-separated",
    )
    cors_origins: Names | None = Field(
        default=None,
        description="Origins whose pages may call the API, comma-separated; * for all. "
        "Unset: all with --auth off, none otherwise",
    )

    # Who may come in
    auth: Literal["smart", "off"] = Field(
        default="smart", description="smart: SMART-on-FHIR tokens; off: anyone may do anything"
    )
    insecure_bind: bool = Field(
        default=False,
        description="With --auth off, listen on other than loopback addresses all the same",
    )

    environment: Literal["development", "production"] = Field(
        default="development",
        description="production refuses to start with anything unsafe for real data",
    )
    demo_identities: bool | None = Field(
        default=None,
        description="Sign-in page where anyone may be one of the sample people. "
        "Unset: on in development, off in production",
    )
    identity_providers: str | None = Field(
        default=None,
        description="JSON file of the OpenID providers people sign in with (docs/auth.md)",
    )
    access_token_seconds: int = Field(
        default=1800, ge=1, le=3600, description="Life of an access token that people give"
    )
    fetch_hosts: Names = Field(
        default=(),
        description="Hosts that the server may fetch clients' keys (JWKS) from, comma-separated",
    )

    public_requests_per_minute: int = Field(
        default=120,
        ge=0,
        description="Requests without a token that one address may make for the public catalogue; "
        "0: none are served",
    )

    # Where data is kept
    database: str = Field(
        default="sqlite:///fhirserver.db",
        description="sqlite:///path (four slashes: absolute), sqlite:// (temporary), "
        "mongodb://host/name",
    )

    # How much one request may ask for
    max_body_bytes: int = Field(default=50 * MIB, ge=KIB, description="Largest request body")
    max_url_bytes: int = Field(default=64 * KIB, ge=KIB, description="Longest URL")
    max_bundle_entries: int = Field(
        default=10_000, ge=1, description="Entries of a batch or transaction"
    )
    default_count: int = Field(default=20, ge=1, le=10_000, description="Page size without _count")
    max_count: int = Field(default=1000, ge=1, le=10_000, description="Largest page size")
    max_includes: int = Field(default=1000, ge=0, description="Included resources on one page")
    search_seconds: float = Field(
        default=30.0, gt=0, description="Longest time for a search or read"
    )
    gzip_from: int = Field(
        default=0,
        ge=0,
        description="Compress answers of at least so many bytes; 0: leave it to a proxy",
    )

    # What citizens are told of
    notices: Names = Field(
        default=(
            *("first_access", "emergency", "document", "message"),
            *("appointment", "vaccination", "prevention", "app_approval"),
            "announcement",
        ),
        description="What citizens are told of, comma-separated: first_access (by a professional "
        "not seen before), emergency (glass broken, centre 15), document (a new one), "
        "message (of a professional), appointment (the day before), vaccination (a dose is due), "
        "prevention (a screening or check-up is due), "
        "app_approval (an authorised app has changed its convention), "
        "announcement (a professional has something to tell, after two weeks)",
    )
    mail_server: str | None = Field(
        default=None, description="Mail server for notices, e.g. smtp://user:password@host:587"
    )
    mail_folder: str | None = Field(
        default=None, description="Folder that gets the notices as files instead (development)"
    )
    mail_from: str = Field(
        default="no-reply@localhost", description="Sender address of the notices"
    )

    # Secure mail of professionals (MSSanté); off unless set
    mssante_listen: str | None = Field(
        default=None,
        description="host:port where the mail server of MSSanté hands over mail to citizens, "
        "e.g. 127.0.0.1:2525",
    )
    mssante_peers: Names = Field(
        default=("127.0.0.1", "::1"),
        description="Addresses or networks that may hand over mail, comma-separated",
    )
    mssante_server: str | None = Field(
        default=None,
        description="Mail server that takes citizens' messages, e.g. smtp://127.0.0.1:2526",
    )
    mssante_domain: str = Field(
        default="patient.mssante.fr", description="Domain of the citizens' mail addresses"
    )
    mssante_nil: str | None = Field(
        default=None, description="Number this software is registered by (header X-MSS-NIL)"
    )

    # Documents of the record
    max_document_bytes: int = Field(default=10 * MIB, ge=KIB, description="Largest document")
    max_upload_bytes: int = Field(
        default=5 * MIB, ge=KIB, description="Largest document that a citizen adds"
    )
    antivirus: str | None = Field(
        default=None,
        description="What looks through documents: a command that reads one on its standard input "
        "(0: clean, 1: infected), e.g. `clamdscan -`, or tcp://host:port of a clamd",
    )
    antivirus_seconds: float = Field(
        default=30.0, gt=0, description="How long the antivirus may take for a document"
    )

    # The vaccination calendar, where its sources differ
    vaccination_grace_days: int = Field(
        default=0,
        ge=0,
        le=10,
        description="Days by which a dose may come too early and still count",
    )
    vaccination_pertussis_at_45_and_65: bool = Field(
        default=True, description="The boosters at 45 and 65 years hold pertussis"
    )
    vaccination_menacwy_before: Literal["3y", "5y"] = Field(
        default="5y", description="Age before which small children catch up MenACWY: 3y or 5y"
    )
    vaccination_meningococcal_mandatory_from: Literal["2023-01-01", "2023-07-01"] = Field(
        default="2023-01-01",
        description="First birth date with mandatory MenB and MenACWY: 2023-01-01 or 2023-07-01",
    )
    vaccination_territory: Literal["FR", "GP", "MQ", "GF", "RE", "YT"] = Field(
        default="FR",
        description="Territory of those whose address tells none: FR, GP, MQ, GF, RE or YT",
    )

    audit_days: int = Field(
        default=0,
        ge=0,
        description="Days for which records of accesses are kept in the audit log; 0: for ever. "
        "AuditEvents stay",
    )

    # The access rules, where law and sources leave a choice; each default is the safe one
    access_active_needed: bool = Field(
        default=True,
        description="A space is open only when Patient.active is true, not when it is absent",
    )
    access_blocked_in_emergency: bool = Field(
        default=True,
        description="A professional whom the citizen has blocked is refused in emergency modes too",
    )
    access_break_glass_professions: Names = Field(
        default=("10", "21", "40", "50", "60"),
        description="Professions (TRE_G15) that may break the glass, comma-separated",
    )
    access_centre_15_professions: Names = Field(
        default=("10",),
        description="Professions (TRE_G15) that regulate at the SAMU (centre 15), comma-separated",
    )
    access_masked_for_administrator: bool = Field(
        default=True, description="The citizen's general practitioner sees what is masked"
    )
    access_masked_in_emergency: bool = Field(
        default=True, description="What is masked stays hidden in emergency modes"
    )
    access_invisible_months: int = Field(
        default=1,
        ge=0,
        le=12,
        description="After so many months a document shows that waited to be announced",
    )
    access_system_profession: str = Field(
        default="10", description="Profession by whose column of the matrix services read"
    )
    access_existence_by_ins: Names = Field(
        default=("system",),
        description="Who finds a Patient by its exact national identifier without consent: "
        "system, professional, comma-separated",
    )
    access_professionals_collect_consent: bool = Field(
        default=True,
        description="A professional may write down a permission that a citizen gave in words",
    )
    access_apps: Names = Field(
        default=(),
        description="Clients that need the citizen's authorisation for a Device, without being in "
        "the catalogue, e.g. carnet=Device/carnet, comma-separated",
    )
    access_client_ids: bool = Field(
        default=False,
        description="PUT may create under the client's id, and so tells which ids are taken",
    )
    access_majority: int = Field(
        default=18,
        ge=16,
        le=21,
        description="Age at which parents lose access and apps are to be authorised anew",
    )
    carers_of_person: int = Field(default=3, ge=1, description="Most carers of one person")
    persons_of_carer: int = Field(
        default=5, ge=1, description="Most persons that one carer cares for"
    )
    access_seconds: float = Field(
        default=1.0,
        gt=0,
        le=60,
        description="How long a decision on many patients is kept if nothing is written",
    )
    access_longest_seconds: float = Field(
        default=60.0,
        gt=0,
        le=3600,
        description="How long a decision on one patient is kept if nothing is written",
    )

    # The spaces
    registrars: Names = Field(
        default=(),
        description="Client ids of those who keep identities and write Patient, RelatedPerson and "
        "openings, comma-separated",
    )
    opening_phases: Names = Field(
        default=(),
        description="From when spaces are opened where, e.g. 31:2026-01-01,*:2027-01-01. "
        "Unset: the French dates (terminology/space/opening-phases.json)",
    )
    objection_weeks: int = Field(
        default=6, ge=0, le=52, description="Weeks in which a person may object to their space"
    )
    space_seconds: float = Field(
        default=60.0, gt=0, description="How often spaces that are due are opened or erased"
    )

    erasure_days: int = Field(
        default=0,
        ge=0,
        le=60,
        description="Days in which a person may still take back that their space be erased; it is "
        "closed meanwhile. 0: erased at once. The law gives three months in all",
    )
    smallest_count: int = Field(
        default=10, ge=0, description="Statistics show no number smaller than this"
    )

    # Where data is kept, and whom the server calls
    hosting_country: str = Field(
        default="FR", pattern="^[A-Z]{2}$", description="Country the data is kept in (ISO 3166)"
    )
    outside_hosts: Names = Field(
        default=(),
        description="Hosts outside this machine that the server may call (identity providers, "
        "keys, mail, database …), comma-separated. Enforced in production, or when set",
    )

    # What it says of itself
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Least level of what is logged"
    )
    log_format: Literal["json", "console"] = Field(default="json", description="Form of log lines")

    @field_validator(
        "notices", "trusted_proxies", "cors_origins", "fetch_hosts", "mssante_peers", mode="before"
    )
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("mssante_listen")
    @classmethod
    def _host_and_port(cls, value: str | None) -> str | None:
        if value:
            host, _, port = value.rpartition(":")
            if not host or not port.isdecimal() or int(port) > 65535:
                raise ValueError("must be host:port")
        return value or None

    @field_validator("mssante_peers")
    @classmethod
    def _peers(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network, strict=False)
        return value

    @field_validator("registrars", "opening_phases", "outside_hosts", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("opening_phases")
    @classmethod
    def _phases(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        from fhirserver.space.phases import parse

        parse(value)
        return value

    @field_validator(
        "access_break_glass_professions",
        "access_centre_15_professions",
        "access_existence_by_ins",
        "access_apps",
        mode="before",
    )
    @classmethod
    def _access_names(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("access_break_glass_professions", "access_centre_15_professions")
    @classmethod
    def _professions(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_profession(code) for code in value)

    @field_validator("access_system_profession")
    @classmethod
    def _column(cls, value: str) -> str:
        return _profession(value)

    @field_validator("access_existence_by_ins")
    @classmethod
    def _roles(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for role in value:
            if role not in ("system", "professional"):
                raise ValueError("knows system and professional")
        return value

    @field_validator("access_apps")
    @classmethod
    def _devices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for pair in value:
            client, _, device = pair.partition("=")
            if not client or not re.fullmatch(r"Device/[A-Za-z0-9\-.]{1,64}", device):
                raise ValueError("must be CLIENT=Device/ID")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            if network != "*":
                ip_network(network, strict=False)
        return value

    @field_validator("base_url")
    @classmethod
    def _absolute(cls, value: str | None) -> str | None:
        if not value:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("must be an absolute http or https URL")
        if parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("must have no query, fragment or user")
        return value.rstrip("/")

    @property
    def binds_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host.strip("[]")).is_loopback
        except ValueError:
            return False

    def problems(self) -> list[str]:
        """Why the server may not start with these settings, in words for the operator."""
        found = []
        if self.auth == "smart":
            found += self._smart_problems()
        elif self.environment == "production":
            found.append("With --environment production there is no --auth off.")
        elif not self.binds_loopback and not self.insecure_bind:
            found.append(
                f"With --auth off anyone who reaches {self.host} can read and change everything. "
                "Listen on 127.0.0.1, or say --insecure-bind if something in front of the server "
                "controls access."
            )
        if self.default_count > self.max_count:
            found.append("default_count is larger than max_count.")
        if self.workers > 1 and self.database in ("sqlite://", "sqlite:///"):
            found.append(
                f"The database {self.database} is a temporary one of one process: with --workers "
                f"{self.workers} each would have its own. Name a file, as sqlite:///fhirserver.db."
            )
        return found + self._outside_problems()

    @property
    def outside_enforced(self) -> bool:
        """Whether the server calls listed hosts only."""
        return self.environment == "production" or bool(self.outside_hosts)

    @property
    def outside(self) -> dict[str, str]:
        """The hosts beyond this machine that these settings name, each with the setting."""
        from fhirserver.auth.identity.provider import read_providers
        from fhirserver.model.outside import host_of, is_within

        named: dict[str, str] = dict.fromkeys(self.fetch_hosts, "fetch_hosts")
        for name in ("mail_server", "mssante_server", "antivirus"):
            value = getattr(self, name)
            if value and "://" in value:
                named[value] = name
        if self.database.startswith("mongodb"):
            hosts = urlsplit(self.database).netloc.rpartition("@")[2]
            named |= dict.fromkeys(hosts.split(","), "database")
        if self.identity_providers:
            try:
                providers = read_providers(Path(self.identity_providers))
            except ValueError:
                providers = ()  # the start says what is wrong with the file
            named |= {provider.issuer: "identity_providers" for provider in providers}
        return {host_of(each): why for each, why in named.items() if not is_within(each)}

    def _outside_problems(self) -> list[str]:
        if not self.outside_enforced:
            return []
        from fhirserver.model.outside import host_of

        allowed = {host_of(host) for host in self.outside_hosts}
        return [
            f"{setting} names {host}, which is not among outside_hosts: the server may not call it."
            for host, setting in self.outside.items()
            if host not in allowed
        ]

    @property
    def fhir_url(self) -> str:
        """The FHIR base URL that tokens are for: `base_url`, or where it listens."""
        if self.base_url:
            return self.base_url
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/fhir"

    @property
    def demo(self) -> bool:
        """Whether the built-in sample people may sign in."""
        if self.demo_identities is None:
            return self.environment == "development"
        return self.demo_identities

    def _smart_problems(self) -> list[str]:
        found = []
        if not self.base_url and (not self.binds_loopback or not self.port):
            found.append(
                "With --auth smart tokens are bound to one address: set base_url to the FHIR base "
                "URL that clients use, e.g. https://sante.example.fr/fhir."
            )
        if not self.fhir_url.endswith("/fhir"):
            found.append("base_url ends in /fhir, since the authorization server is beside it.")
        if self.environment == "production":
            if self.demo:
                found.append("demo_identities lets anyone in; production does not start with it.")
            if not self.fhir_url.startswith("https://"):
                found.append("In production base_url begins with https://.")
            if not self.identity_providers:
                found.append("In production people sign in with identity_providers; none is set.")
        return found


def _profession(code: str) -> str:
    from fhirserver.access.decision.tables import matrix

    if matrix().of(code) is None:
        raise ValueError(f"the access matrix has no profession {code!r}")
    return code
