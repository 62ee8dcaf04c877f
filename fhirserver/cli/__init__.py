"""The command `fhirserver`: one file for each of its commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from fhirserver import __version__
from fhirserver.cli.audit import audit
from fhirserver.cli.client import client
from fhirserver.cli.demo import demo
from fhirserver.cli.doctor import doctor
from fhirserver.cli.failure import Failure, explain
from fhirserver.cli.keys import keys
from fhirserver.cli.load import load
from fhirserver.cli.reindex import reindex
from fhirserver.cli.serve import serve
from fhirserver.cli.token import token

application = typer.Typer(
    name="fhirserver",
    help="The open FHIR R4 server behind a citizen's health space.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (serve, load, reindex, doctor, demo, token):
    application.command()(command)
application.add_typer(audit)
application.add_typer(client)
application.add_typer(keys)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fhirserver {__version__}")
        raise typer.Exit


@application.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """What the installed command runs. Wrong input ends in one sentence, never in a traceback."""
    try:
        application()
    except Failure as failure:
        explain(failure)
        sys.exit(failure.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
