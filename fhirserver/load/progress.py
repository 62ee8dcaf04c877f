"""How far a load is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from types import TracebackType

    from rich.console import Console

#: Seconds between two lines where there is no terminal.
INTERVAL = 5.0


class LoadProgress:
    """Told of bytes read and resources stored. `total` bytes are those of the files as they are
    on disk, packed or not."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = max(total, 1)
        self._started = self._said = time.monotonic()
        self._bar: Progress | None = None
        if console.is_terminal:
            self._bar = Progress(
                TextColumn("[bold]load[/]"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f} %"),
                TextColumn("{task.fields[resources]:,} resources"),
                TextColumn("{task.fields[rate]:,.0f}/s"),
                TimeRemainingColumn(),
                console=console,
                refresh_per_second=5,
            )
            self._task = self._bar.add_task("load", total=self._total, resources=0, rate=0.0)

    def __enter__(self) -> LoadProgress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, resources: int) -> None:
        now = time.monotonic()
        elapsed = max(now - self._started, 1e-6)
        rate = resources / elapsed
        if self._bar is not None:
            self._bar.update(self._task, completed=done, resources=resources, rate=rate)
        elif now - self._said >= INTERVAL:
            self._said = now
            share = min(done / self._total, 1.0)
            left = elapsed / share - elapsed if share else 0.0
            self._console.print(
                f"load: {share:4.0%}, {resources:,} resources, {rate:,.0f}/s, "
                f"about {_duration(left)} left",
                highlight=False,
            )


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
