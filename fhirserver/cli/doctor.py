"""`fhirserver doctor`: looks for what would keep the server from working, and says what to do."""

from __future__ import annotations

import asyncio
import difflib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from fhirserver.cli.configuration import settings
from fhirserver.cli.failure import Failure
from fhirserver.cli.finding import Finding
from fhirserver.cli.safety import findings as safety
from fhirserver.cli.safety import of_clients
from fhirserver.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fhirserver.interaction.context import Context
    from fhirserver.storage.interface import Store

_SAMPLE = 20
#: Read by commands and the test suite, without being settings of the server.
_OTHER_VARIABLES = frozenset({"FHIRSERVER_TOKEN", "FHIRSERVER_CACHE"})
_SAMPLED = ("Patient", "Observation", "DocumentReference", "Condition", "Organization")


def doctor(
    database: Annotated[
        str | None, typer.Option(help="The database. The default is that of `serve`.")
    ] = None,
) -> None:
    """Check settings, definitions, database and indexes, and say what to do.

    Exit code 0: nothing is wrong; 1: something is.
    """
    findings = [_python()]
    findings.append(_guarded("definitions", _definitions))
    try:
        chosen = settings(database=database)
    except Failure as failure:
        findings.append(Finding("settings", "bad", str(failure), failure.advice))
    else:
        findings += _settings(chosen)
        findings += _unknown(os.environ)
        findings += safety(chosen)
        findings += asyncio.run(_database(chosen))
    _print(findings)
    raise typer.Exit(1 if any(finding.state == "bad" for finding in findings) else 0)


def _guarded(subject: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:
        # Whatever goes wrong in a check is what it was to find.
        text = f"{type(error).__name__}: {error}"
        return Finding(subject, "bad", text, "The installation is damaged: install it again.")


def _python() -> Finding:
    import apsw

    version = sys.version.split()[0]
    return Finding("runtime", "good", f"Python {version}, SQLite {apsw.sqlite_lib_version()}")


def _definitions() -> Finding:
    from fhirserver.conformance.registry import Registry
    from fhirserver.model.definitions import RESOURCE_TYPES
    from fhirserver.validation.validator import Validator

    registry = Registry()
    count = sum(len(registry.parameters(type)) for type in RESOURCE_TYPES)
    Validator().check({"resourceType": "Patient", "id": "a", "active": True})
    text = f"FHIR R4 (4.0.1): {len(RESOURCE_TYPES)} resource types, {count} search parameters"
    return Finding("definitions", "good", text)


def _settings(chosen: Settings) -> list[Finding]:
    findings = [
        Finding("settings", "bad", problem, "`serve` refuses to start like this.")
        for problem in chosen.problems()
    ]
    if not findings:
        where = f"{chosen.host}:{chosen.port}"
        findings.append(
            Finding("settings", "good", f"listens on {where}, {chosen.workers} worker(s)")
        )
    if chosen.auth == "off":
        text = "no access control (auth=off): for this machine only"
        findings.append(Finding("settings", "note", text))
    if chosen.base_url is None and not chosen.binds_loopback:
        text = "base_url is not set: links in answers follow the Host header of each request"
        advice = "Set FHIRSERVER_BASE_URL to the address by which clients know the server."
        findings.append(Finding("settings", "note", text, advice))
    return findings


def _unknown(environment: Mapping[str, str]) -> list[Finding]:
    """Variables that look like settings and are none: most likely misspelt."""
    known = [f"FHIRSERVER_{name.upper()}" for name in Settings.model_fields]
    findings = []
    for name in sorted(environment):
        if not name.startswith("FHIRSERVER_") or name in known:
            continue
        if name in _OTHER_VARIABLES or name.startswith("FHIRSERVER_TEST_"):
            continue
        meant = difflib.get_close_matches(name, known, 1)
        advice = f"Is {meant[0]} meant?" if meant else ""
        findings.append(
            Finding("settings", "note", f"{name} is no setting and does nothing", advice)
        )
    return findings


async def _database(chosen: Settings) -> list[Finding]:
    from fhirserver.cli.opening import opened, shown

    name = shown(chosen.database)
    if _is_missing(chosen.database):
        return [Finding("database", "note", f"{name} does not exist; `serve` will make it")]
    try:
        async with opened(chosen.database, chosen.base_url or "") as (store, context):
            findings = [Finding("database", "good", f"{name} can be opened")]
            for problem in await store.check():
                advice = "`fhirserver reindex` rebuilds what is derived; restore the rest."
                findings.append(Finding("database", "bad", problem, advice))
            if not store.capabilities.transactions:
                reason = store.capabilities.reason or "no reason given"
                text = f"transaction Bundles are refused here: {reason}"
                findings.append(Finding("database", "note", text))
            findings.append(await _indexes(context))
            if chosen.environment == "production":
                findings += await _clients(store)
            return findings
    except Failure as failure:
        return [Finding("database", "bad", str(failure), failure.advice)]
    except Exception as error:
        # An engine may fail in any way of its driver's.
        return [Finding("database", "bad", f"{name}: {type(error).__name__}: {error}")]


async def _clients(store: Store) -> list[Finding]:
    from fhirserver.auth.client import Clients
    from fhirserver.auth.server import microseconds

    return list(of_clients(await Clients(store, microseconds).list()))


def _is_missing(database: str) -> bool:
    path = database.removeprefix("sqlite:///")
    return path != database and not Path(path).exists()


async def _indexes(context: Context) -> Finding:
    """Whether the newest resources are found by what they should be found by."""
    from fhirserver.model.content import resource_of
    from fhirserver.search.entries import TokenEntry
    from fhirserver.search.expression import All, Compare, Identity, Kind, Match, Query, Sort

    newest = (Sort("_lastUpdated", Kind.DATE, True),)
    seen, missed = 0, set()
    for type in _SAMPLED:
        page = await context.store.search(Query((type,), sort=newest, count=_SAMPLE))
        for version in page.versions:
            entries = context.indexer.entries(resource_of(version.content or b"{}"))
            for entry in entries:
                if isinstance(entry, TokenEntry) and entry.code:
                    test = Match(entry.param, Kind.TOKEN, Compare("code", "eq", entry.code))
                    where = All((Identity((version.id,)), test))
                    found = await context.store.search(Query((type,), where, count=1))
                    seen += 1
                    if not found.versions:
                        missed.add(f"{type}?{entry.param}")
                    break
    if missed:
        text = f"some resources are not found by {', '.join(sorted(missed))}"
        return Finding("indexes", "bad", text, "Run `fhirserver reindex`.")
    return Finding("indexes", "good", f"{seen} sampled resources are found by their index entries")


_MARKS = {"good": ("ok  ", "green"), "note": ("note", "yellow"), "bad": ("BAD ", "bold red")}


def _print(findings: list[Finding]) -> None:
    console = Console(soft_wrap=True, highlight=False)
    for finding in findings:
        mark, style = _MARKS[finding.state]
        console.print(Text.assemble((mark, style), f" {finding.subject:<12} {finding.text}"))
        if finding.advice:
            console.print(Text(f"                  {finding.advice}"))
    bad = sum(finding.state == "bad" for finding in findings)
    console.print(Text("Nothing is wrong." if not bad else f"{bad} thing(s) to put right."))
