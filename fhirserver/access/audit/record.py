"""One record of the audit trail, as it lies in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """An access of one caller to what one patient has (or to what no patient has).

    `time`: microseconds since 1970. `interaction`: code of FHIR's restful-interaction. `status`:
    of the HTTP answer. `entities`: `Type/id/_history/version` of what was sent or written.
    `labels`: security labels of those that hide the event from somebody. `request`: method and
    URL as sent. `id`: X-Request-Id. `token`: hash of the token.
    `heads`: in a witness (interaction `""`), the end of every other chain: number and hash.
    `pruned`: in a witness of `retention.py`, the last block gone of each chain that was cut.
    `detail`: of what the authorization server did (`SECURITY`), in words.
    `skipped`: so many refused requests without a caller are only counted here.
    """

    time: int
    interaction: str = ""
    status: int = 200
    patient: str = ""
    entities: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    request: str = ""
    id: str = ""
    role: str = ""
    user: str = ""
    client: str = ""
    mode: str = "normal"
    reason: str = ""
    profession: str = ""
    organization: str = ""
    token: str = ""
    address: str = ""
    heads: dict[str, tuple[int, str]] = {}
    skipped: int = 0
    detail: str = ""
    pruned: dict[str, tuple[int, str]] = {}


#: Interactions with the authorization server, which are no accesses to data.
SECURITY = frozenset(
    {"login", "logout", "authorize", "token", "revoke", "client", "client-disable"}
)

encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(list[Record])


def decode_block(content: bytes) -> Sequence[Record]:
    """The records of a block of the log."""
    return _decoder.decode(content)
