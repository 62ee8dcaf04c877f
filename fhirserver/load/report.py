"""What a load came to, and the entries it refused."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that was not loaded: where it stands and why.

    `line` counts from 1, `entry` (of a Bundle or an array) from 0; `resource` is `Type/id` when
    that much could be read.
    """

    source: str
    reason: str
    line: int | None = None
    entry: int | None = None
    resource: str = ""

    def __str__(self) -> str:
        parts = [self.source if self.line is None else f"{self.source}:{self.line}"]
        entry = "" if self.entry is None else f"entry[{self.entry}]"
        if entry or self.resource:
            parts.append(f"{entry} {self.resource}".strip())
        return ": ".join([*parts, self.reason])


@dataclass(slots=True)
class Report:
    """Counts of resources. `kept`: a POST entry's resource was there and had been changed since
    it was made; it stays as it is."""

    created: int = 0
    updated: int = 0
    deleted: int = 0
    unchanged: int = 0
    kept: int = 0
    refused: int = 0
    items: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        return self.created + self.updated + self.deleted + self.unchanged + self.kept

    @property
    def exit_code(self) -> int:
        """0: everything is in; 1: some entries were refused; 2: there was nothing to load."""
        if not self.items:
            return 2
        return 1 if self.refused else 0
