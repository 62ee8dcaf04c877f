"""How a command ends when it cannot do what was asked."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text


class Failure(Exception):
    """A command cannot go on; `advice` says what to do about it."""

    def __init__(self, problem: str, advice: str = "", exit_code: int = 2) -> None:
        super().__init__(problem)
        self.advice = advice
        self.exit_code = exit_code


def explain(failure: Failure) -> None:
    console = Console(stderr=True, soft_wrap=True)
    console.print(Text.assemble(("fhirserver: ", "bold red"), str(failure)))
    if failure.advice:
        console.print(Text(f"  {failure.advice}"))
