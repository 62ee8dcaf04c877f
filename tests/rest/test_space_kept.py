"""A closed space is kept ten years, and then erased; one that was opened again is not."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from messaging_people import citizen
from smart_browser import CAMILLE, LEA
from space_people import choice, doors

from fhirserver.space.erasure import erase_due, order_expired

ID = CAMILLE.partition("/")[2]

door = doors()


def after(door, years):
    now = door.context.clock()
    return replace(door.context, clock=lambda: now + timedelta(days=365.25 * years + 1))


async def erased(door, reference):
    version = await door.store.read(*reference.split("/"))
    return version is None or version.content is None


async def test_it_is_erased_after_ten_years_and_not_before(door):
    camille = await citizen(door)
    closing = choice(ID, "OPTOUT")
    assert (await camille.ask("POST", "Consent", closing)).status_code == 201
    for years, gone in ((9, False), (10, True)):
        later = after(door, years)
        await order_expired(later, 10)
        await erase_due(later)
        assert await erased(door, CAMILLE) == gone, years
    assert not await erased(door, LEA)
    await order_expired(after(door, 11), 10)  # again: nothing more to do
    await erase_due(after(door, 11))


async def test_opened_again_it_is_kept(door):
    camille = await citizen(door)
    for category in ("OPTOUT", "OPTIN"):
        answer = await camille.ask("POST", "Consent", choice(ID, category))
        assert answer.status_code == 201
    await order_expired(after(door, 11), 10)
    await erase_due(after(door, 11))
    assert not await erased(door, CAMILLE)
