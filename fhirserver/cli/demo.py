"""`fhirserver demo`: the server on this machine, with the sample patients in it."""

from __future__ import annotations

import asyncio
import errno
import shutil
import socket
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from fhirserver.cli.configuration import settings
from fhirserver.cli.failure import Failure

if TYPE_CHECKING:
    from fhirserver.load.report import Refusal

HOST = "127.0.0.1"
#: How many ports after the wished one are tried.
TRIES = 100
_START_SECONDS = 60


def demo(
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Port to listen on; if taken, the next free one.")
    ] = 8080,
    keep: Annotated[
        Path | None,
        typer.Option(help="Folder for the database. The default is temporary, removed at the end."),
    ] = None,
) -> None:
    """Start the server on the embedded store with sample patients in it, and say where to look.

    Only this machine can reach it; it has no access control. Everything in it is invented.
    """
    from fhirserver import app

    free = free_port(port)
    folder = keep or Path(tempfile.mkdtemp(prefix="fhirserver-demo-"))
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Failure(f"The folder {folder} cannot be used: {error.strerror}") from None
        database = f"sqlite:///{folder.resolve() / 'demo.db'}"
        count = asyncio.run(_load_samples(database))
        free = free_port(free)  # that took seconds; another demo may have started meanwhile
        chosen = settings(
            host=HOST,
            port=free,
            workers=1,
            database=database,
            auth="off",
            log_level="warning",
            log_format="console",
        )
        threading.Thread(
            target=_say_where, args=(free, port, folder, keep is not None, count), daemon=True
        ).start()
        try:
            app.serve(chosen)
        except app.StartRefused as refused:
            raise Failure(str(refused)) from None
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def free_port(wished: int) -> int:
    """The first free port from `wished` on."""
    for port in range(wished, min(wished + TRIES, 65536)):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            # As the server does: what another process left in TIME_WAIT does not hinder.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
                probe.listen()
            except OSError as error:
                if error.errno in (errno.EADDRINUSE, errno.EACCES):
                    continue
                raise Failure(f"Port {port} cannot be used: {error.strerror}") from None
            return port
    raise Failure(
        f"None of the ports {wished} to {wished + TRIES - 1} is free.", "Choose one with --port."
    )


async def _load_samples(database: str) -> int:
    from fhirserver.cli.opening import opened
    from fhirserver.load.database import DatabaseLoad
    from fhirserver.load.sources import find
    from fhirserver.load.workers import Workers
    from fhirserver.model import shipped

    problems: list[Refusal] = []
    files = [
        file for file in find([shipped.folder("examples")]) if file.suffix in (".json", ".ndjson")
    ]
    async with opened(database) as (_, context), Workers(0) as workers:
        load = DatabaseLoad(
            context, refused=problems.append, progress=lambda done, count: None, workers=workers
        )
        report = await load.run(files)
    if problems:
        raise Failure(f"A sample resource was refused: {problems[0]}")
    return report.accepted


def _say_where(port: int, wished: int, folder: Path, kept: bool, count: int) -> None:
    base = f"http://{HOST}:{port}"
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{base}/healthz", timeout=2):
                break
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    else:
        return  # the server has said itself why it did not start
    console = Console(soft_wrap=True, highlight=False)
    if port != wished:
        console.print(Text(f"Port {wished} is taken, so this is {port}.", style="yellow"))
    console.print(Text(where_to_look(base, count), no_wrap=True))
    if kept:
        console.print(Text(f"The data stays in {folder}."))
    console.print(Text("Ctrl-C ends the demo."))


def where_to_look(base: str, count: int) -> str:
    fhir = f"{base}/fhir"
    return f"""
The demo serves {count} sample resources, all invented. Open in a browser:

  {base}/
  {fhir}/Patient
  {fhir}/Patient/jules-lefevre/$everything
  {fhir}/Observation?patient=marcel-dubois&code=http://loinc.org|85354-9&_sort=-date

or ask on the command line:

  curl '{fhir}/metadata?_summary=true'
  curl '{fhir}/Patient?name=lefevre&_summary=true&_pretty=true'
  curl '{fhir}/Immunization?patient.family=lefevre&date=ge2026&_include=Immunization:patient'
"""
