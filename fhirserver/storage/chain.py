"""The links of the append-only log: each block carries a hash over itself and the block before.

Whoever changes, removes or reorders a block breaks the chain from there on. Every process that
writes has a chain of its own, so that no two ever wait for each other.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from fhirserver.storage.interface import Block

if TYPE_CHECKING:
    from collections.abc import Sequence


def new_chain() -> str:
    return secrets.token_hex(8)


def content_of(records: Sequence[bytes]) -> bytes:
    """The content of a block: a JSON array of its records (each JSON itself)."""
    return b"[%b]" % b",".join(records)


def link(previous: str, chain: str, number: int, content: bytes) -> str:
    """The hash of block `number` of `chain` that follows one with the hash `previous`."""
    digest = hashlib.sha256(b"%b %b %d\n" % (previous.encode(), chain.encode(), number))
    digest.update(content)
    return digest.hexdigest()


class Chain:
    """The end of a chain that is being written. A block counts once it is `kept`; when it is not
    certain whether one was written, the chain is left and another begun."""

    __slots__ = ("_head", "_made", "_name")

    def __init__(self) -> None:
        self.leave()

    def leave(self) -> None:
        self._name = new_chain()
        self._head = self._made = (0, "")

    def block(self, records: Sequence[bytes]) -> Block:
        """The block that follows the last one kept."""
        number, previous = self._head[0] + 1, self._head[1]
        content = content_of(records)
        self._made = (number, link(previous, self._name, number, content))
        return Block(self._name, number, self._made[1], content)

    def kept(self) -> None:
        self._head = self._made
