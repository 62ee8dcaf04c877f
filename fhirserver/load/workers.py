"""The processes that prepare items beside the one that writes."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fhirserver.load.collector import begin_rarely
from fhirserver.load.prepare import Preparer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from fhirserver.load.items import Item
    from fhirserver.load.prepare import Answer, Part, Prepared, Question

_preparer: Preparer | None = None


def _begin(search_parameters: Sequence[dict[str, Any]], options: dict[str, Any]) -> None:
    global _preparer
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the writing process ends us
    _preparer = Preparer(search_parameters, **options)
    begin_rarely()


def _prepare(
    works: Sequence[Item | Part], answers: Mapping[Question, Answer], by_content: bool
) -> Prepared:
    assert _preparer is not None
    return _preparer.prepare(works, answers, by_content)


class Workers:
    """`count` processes; with 0 the work is done in a thread of this one, which a small load
    prefers to the start of processes."""

    def __init__(
        self, count: int, search_parameters: Sequence[dict[str, Any]], **options: Any
    ) -> None:
        self.count = count
        self._executor: Executor
        if count:
            self._executor = ProcessPoolExecutor(
                count,
                # A forked process would inherit the store's threads' locks.
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(search_parameters, options),
            )
            self._call: Any = _prepare
        else:
            self._executor = ThreadPoolExecutor(1)
            self._call = Preparer(search_parameters, **options).prepare

    def submit(
        self,
        works: Sequence[Item | Part],
        answers: Mapping[Question, Answer] | None = None,
        by_content: bool = False,
    ) -> asyncio.Future[Prepared]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._executor, self._call, works, answers or {}, by_content)

    def __enter__(self) -> Workers:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._executor.shutdown(wait=error is None, cancel_futures=True)
