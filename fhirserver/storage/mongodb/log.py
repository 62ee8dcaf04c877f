"""The append-only log in MongoDB: one document for all records that arrive together.

Records are written before the change they tell of, so no change is without its record, on a
standalone server too; a record of a change that was then refused is followed by one that says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from fhirserver.storage.chain import Chain
from fhirserver.storage.interface import Block, Head
from fhirserver.storage.mongodb.connection import Collection, Connection, Document, reaching

_MOST = 4_000_000  # bytes of records in one document


class Log:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chain = Chain()
        self._waiting: list[tuple[Sequence[bytes], asyncio.Future[None]]] = []
        self._task: asyncio.Task[None] | None = None

    @property
    def _log(self) -> Collection:
        return self._connection.database["log"]

    async def append(self, records: Sequence[bytes]) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, done))
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        await done

    async def close(self) -> None:
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        try:
            await asyncio.sleep(0)  # let everyone who is ready now come along
            while self._waiting:
                batch: list[tuple[Sequence[bytes], asyncio.Future[None]]] = []
                size = 0
                for records, done in self._waiting:
                    size += sum(map(len, records))
                    if batch and size > _MOST:
                        break
                    batch.append((records, done))
                del self._waiting[: len(batch)]
                await self._write(batch)
        finally:
            self._task = None

    async def _write(self, batch: list[tuple[Sequence[bytes], asyncio.Future[None]]]) -> None:
        block = self._chain.block([record for records, _ in batch for record in records])
        error: BaseException | None = None
        try:
            with reaching():
                await self._log.insert_one(_document(block))
        except BaseException as raised:
            # It may have arrived all the same: nothing may follow it.
            self._chain.leave()
            error = raised
        else:
            self._chain.kept()
        for _, done in batch:
            if done.done():
                continue
            if error is None:
                done.set_result(None)
            elif isinstance(error, Exception):
                done.set_exception(error)
            else:
                done.cancel()
        if error is not None and not isinstance(error, Exception):
            raise error

    async def read(self, chain: str, after: int, limit: int) -> list[Block]:
        documents = await self._log.find(
            {"chain": chain, "number": {"$gt": after}}, sort=[("number", 1)], limit=limit
        ).to_list()
        return [_block(document) for document in documents]

    async def drop(self, chain: str, through: int) -> int:
        result = await self._log.delete_many({"chain": chain, "number": {"$lte": through}})
        return int(result.deleted_count)

    async def heads(self) -> list[Head]:
        found: list[Head] = []
        chain = ""
        while True:
            following = await self._log.find_one(
                {"chain": {"$gt": chain}}, {"chain": 1}, sort=[("chain", 1)]
            )
            if following is None:
                return found
            chain = following["chain"]
            last = await self._log.find_one(
                {"chain": chain}, {"number": 1, "hash": 1}, sort=[("number", -1)]
            )
            if last is not None:
                found.append(Head(chain, last["number"], last["hash"]))


def _document(block: Block) -> Document:
    return {
        "_id": f"{block.chain}/{block.number}",
        "chain": block.chain,
        "number": block.number,
        "hash": block.hash,
        "records": block.content.decode(),
    }


def _block(document: Document) -> Block:
    return Block(
        document["chain"], document["number"], document["hash"], document["records"].encode()
    )
