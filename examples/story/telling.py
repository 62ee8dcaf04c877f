"""How the story is told: chapters, and sentences each with what proves it."""

from __future__ import annotations

import sys
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from server import Server


class Wrong(Exception):
    """Something was not as the story says."""


class Story:
    """`memory`: what a chapter leaves for those after it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.memory: dict[str, Any] = {}
        self._sentences = 0

    def chapter(self, number: int, title: str) -> None:
        self._say(f"\n{number}. {title.strip().splitlines()[0]}")

    def tells(self, sentence: str, true: object = True) -> None:
        """Tell that something is so; `true` is what the server answered."""
        if not true:
            raise Wrong(sentence)
        self._sentences += 1
        self._say(textwrap.fill(sentence, 96, initial_indent="   ✓ ", subsequent_indent="     "))

    def fails(self, sentence: str) -> None:
        self._say(f"   ✗ {sentence}")

    def end(self) -> None:
        self._say(f"\nThat was the story: {self._sentences} sentences, all of them true.")

    def _say(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
