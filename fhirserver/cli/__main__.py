"""`python -m fhirserver.cli` is the command too, for a checkout that is not installed."""

from fhirserver.cli import main

main()
