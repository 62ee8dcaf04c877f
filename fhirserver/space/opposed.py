"""What is left of an erased space: that this person does not want one, and not who that is.

The Task of the erasure keeps a fingerprint of the INS (scrypt: nobody reads the INS from it, and to
try all there are takes years), so that a new registration of the same person is not opened by the
next opening run. Who asks for a space (OPTIN) gets one, and the fingerprint goes.

Source: CSP R.1111-28 (opposition) and R.1111-36 (express deletion).
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from fhirserver.access.decision.build import all_of, token
from fhirserver.interaction.context import Draft
from fhirserver.model.json import decode_stored
from fhirserver.search.expression import Compare, Kind, Match, Query
from fhirserver.space.codes import ERASURE, OPPOSED, TASK
from fhirserver.space.identifier import each_identifier, is_national

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version

_IS_ERASURE = token("code", ERASURE, system=TASK)
_SALT = b"fhirserver.example/space-opposition"
_MOST = 100


async def fingerprints(patient: Resource) -> list[str]:
    """Of each INS in use."""
    numbers = [
        f"{each['system']}|{str(each['value']).upper()}"
        for _, each in each_identifier(patient)
        if is_national(each)
    ]
    return [await asyncio.to_thread(_fingerprint, number) for number in numbers]


def _fingerprint(number: str) -> str:
    # As dear as an opening of everybody's space bears: some milliseconds each. There are nearly
    # 10^11 numbers to try. Never change it: what is kept could not be found any more.
    return hashlib.scrypt(number.encode(), salt=_SALT, n=2**11, r=8, p=1, dklen=20).hex()


async def is_remembered(ctx: Context, patient: Resource) -> bool:
    """Somebody of this INS has had their space erased, and has not asked for one since."""
    return bool(await _kept(ctx, patient))


async def forgetting(ctx: Context, patient: Resource) -> list[Draft]:
    """What is to be written for nothing to be remembered. `ctx`: the server's own."""
    drafts = []
    for version in await _kept(ctx, patient):
        task = decode_stored(version.content or b"{}")
        left = [each for each in task["identifier"] if each.get("system") != OPPOSED]
        drafts.append(
            Draft(
                "PUT",
                "Task",
                version.id,
                {**task, "identifier": left},
                version.version,
                server=True,
            )
        )
    return drafts


async def _kept(ctx: Context, patient: Resource) -> list[Version]:
    store = ctx.as_server.store
    some = Match("identifier", Kind.TOKEN, Compare("system", "eq", OPPOSED))
    if not await store.count(Query(("Task",), all_of(_IS_ERASURE, some)), 1):
        return []
    prints = await fingerprints(patient)
    if not prints:
        return []
    where = all_of(_IS_ERASURE, token("identifier", *prints, system=OPPOSED))
    return (await store.search(Query(("Task",), where, count=_MOST))).versions
