"""One line of the table: what was measured, beside what bounds it."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Row:
    """`measured` and `bound` are texts with unit; `reached` and `to_reach` are compared:
    at least, or (`at_most`) at most."""

    work: str
    measured: str
    bound: str
    reached: float
    to_reach: float
    at_most: bool = False
    digits: int = 2

    @property
    def met(self) -> bool:
        return self.reached <= self.to_reach if self.at_most else self.reached >= self.to_reach

    @property
    def cells(self) -> tuple[str, ...]:
        sign = "≤" if self.at_most else "≥"
        return (
            self.work,
            self.measured,
            self.bound,
            f"{self.reached:,.{self.digits}f}",
            f"{sign} {self.to_reach:,.{self.digits}f}",
            "yes" if self.met else "no",
        )


HEAD = ("work", "measured", "bounded by", "reached", "to reach", "met")


def table(rows: list[Row], markdown: bool) -> str:
    lines = [HEAD, *(row.cells for row in rows)]
    if markdown:
        marked = ["| " + " | ".join(line) + " |" for line in lines]
        return "\n".join([marked[0], "|---" * len(HEAD) + "|", *marked[1:]])
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def take_turns(cases: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """What each case gives, in rounds that visit every case, now in one order, now in the
    other, so that a slow moment of the machine meets all."""
    results: dict[str, list[float]] = {name: [] for name in cases}
    for number in range(rounds):
        order = list(cases) if number % 2 == 0 else list(reversed(cases))
        for name in order:
            results[name].append(cases[name]())
    return results


def ratio(over: list[float], under: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(over, under, strict=True))
