"""The processes that prepare items beside the one that writes."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from fhirserver.load.streams import MIB
from fhirserver.load.worker import LENGTH, packed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from fhirserver.load.items import Item
    from fhirserver.load.prepare import Answer, Part, Prepared, Question

#: Below so many bytes on disk the start of worker processes costs more than they bring.
INLINE_BYTES = MIB
#: Requests a worker has at once: the one it is at and the one it finds when that is done.
_AT_ONCE = 2
_START = "import sys; sys.path[:] = sys.argv[1:]; from fhirserver.load.worker import main; main()"


class WorkerEnded(Exception):
    """A worker process ended before its work was done."""


class Workers:
    """`count` processes; with 0 the work is done in a thread of this one, which a load of few
    bytes prefers to the start of processes. On entry they start, and may be at it while this
    process gets ready itself; `begin` tells them what they need to know."""

    def __init__(self, count: int, total: int | None = None) -> None:
        self.count = 0 if total is not None and total < INLINE_BYTES else count
        self._processes: list[_Process] = []
        self._waiting: deque[tuple[bytes, asyncio.Future[Prepared]]] = deque()
        self._thread: ThreadPoolExecutor | None = None

    async def __aenter__(self) -> Workers:
        for _ in range(self.count):
            self._processes.append(await _Process.start(self._fill))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._waiting:
            self._waiting.popleft()[1].cancel()
        for process in self._processes:
            await process.stop(at_once=error is not None)
        if self._thread is not None:
            self._thread.shutdown(wait=error is None, cancel_futures=True)

    def begin(self, search_parameters: Sequence[dict[str, Any]], options: dict[str, Any]) -> None:
        if self.count:
            for process in self._processes:
                process.send(packed((search_parameters, options)))
            return
        from fhirserver.load.prepare import Preparer

        self._thread = ThreadPoolExecutor(1)
        self._prepare = Preparer(search_parameters, **options).prepare

    def submit(
        self,
        works: Sequence[Item | Part],
        answers: Mapping[Question, Answer] | None = None,
        by_content: bool = False,
    ) -> asyncio.Future[Prepared]:
        loop = asyncio.get_running_loop()
        if self._thread is not None:
            return loop.run_in_executor(
                self._thread, self._prepare, works, answers or {}, by_content
            )
        future: asyncio.Future[Prepared] = loop.create_future()
        self._waiting.append((packed((works, answers or {}, by_content)), future))
        self._fill()
        return future

    def _fill(self) -> None:
        """Give what waits to those that have the least to do."""
        while self._waiting:
            process = min(self._processes, key=lambda process: len(process.asked))
            if len(process.asked) >= _AT_ONCE and not process.ended:
                return
            process.ask(*self._waiting.popleft())


class _Process:
    """One worker process and what it was asked and has not answered."""

    def __init__(self, process: asyncio.subprocess.Process, filled: Any) -> None:
        self.asked: deque[asyncio.Future[Prepared]] = deque()
        self.ended = False
        self._process = process
        self._filled = filled
        assert process.stdin is not None
        self._input = process.stdin
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def start(cls, filled: Any) -> _Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            _START,
            *sys.path,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=4 * MIB,
            # Ctrl-C is for the process that writes; it lets the others finish or ends them.
            start_new_session=True,
        )
        return cls(process, filled)

    def send(self, data: bytes) -> None:
        self._input.write(data)

    def ask(self, request: bytes, future: asyncio.Future[Prepared]) -> None:
        if self.ended:
            _fail(future)
            return
        self.asked.append(future)
        self.send(request)

    async def stop(self, *, at_once: bool) -> None:
        if at_once and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        with contextlib.suppress(ConnectionError):
            self._input.close()
            await self._input.wait_closed()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        output = self._process.stdout
        assert output is not None
        try:
            while True:
                length = await output.readexactly(LENGTH)
                data = await output.readexactly(int.from_bytes(length, "big"))
                prepared, error = pickle.loads(data)
                future = self.asked.popleft()
                if future.done():
                    continue
                if error:
                    future.set_exception(RuntimeError(f"a worker failed:\n{error}"))
                else:
                    future.set_result(prepared)
                self._filled()
        except (asyncio.IncompleteReadError, ConnectionError):
            self.ended = True
            self._filled()  # nobody else will ask for what waits
            while self.asked:
                _fail(self.asked.popleft())


def _fail(future: asyncio.Future[Prepared]) -> None:
    if not future.done():
        future.set_exception(WorkerEnded())
        future.exception()  # all fail for one reason, and only the first is waited for
