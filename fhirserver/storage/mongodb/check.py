"""What an operator should know of the database (`fhirserver doctor`)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from fhirserver.storage.mongodb.connection import Connection
from fhirserver.storage.mongodb.indexes import missing_indexes
from fhirserver.storage.mongodb.sequence import Sequence

#: The oldest MongoDB with everything this engine uses (transactions on sharded clusters, majority
#: snapshots), and still maintained when this was written.
OLDEST = (6, 0)
_CLOCK = timedelta(seconds=2)


async def problems(connection: Connection, sequence: Sequence) -> list[str]:
    """Problems, each with what to do; [] when well."""
    found: list[str] = []
    if connection.version[:2] < OLDEST:
        version = ".".join(map(str, connection.version))
        found.append(
            f"The server is version {version}; this engine is made for MongoDB "
            f"{'.'.join(map(str, OLDEST))} or newer. Upgrade the server."
        )
    for collection, names in (await missing_indexes(connection)).items():
        found.append(
            f"The collection {collection} lacks the indexes {', '.join(names)}: searches will be "
            "slow. Opening the store creates them; restart the server."
        )
    hello = await connection.client.admin.command("hello")
    if not hello.get("isWritablePrimary"):
        found.append("The server is no primary and takes no writes. Check the replica set.")
    server_time = hello.get("localTime")
    # The driver gives a command's times without zone; they are UTC.
    now = datetime.now(UTC).replace(tzinfo=None)
    if server_time is not None and abs(server_time.replace(tzinfo=None) - now) > _CLOCK:
        found.append(
            f"The clocks of this machine and of the database differ by more than "
            f"{_CLOCK.seconds} s. Synchronise them: times of versions come from these machines."
        )
    if stuck := await sequence.stuck():
        found.append(
            f"{len(stuck)} writers left numbers of the order of commits open and did not come "
            "back. Followers of changes will end them; a restart does too."
        )
    return found
