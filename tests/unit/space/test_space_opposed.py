"""The fingerprint that outlasts an erased space: always the same, and of the INS in use alone."""

from __future__ import annotations

from fhirserver.space.opposed import fingerprints

NIR = "urn:oid:1.2.250.1.213.1.4.8"
KEPT = "43f3b282d23a74762bea40f36eb411da09bb6d7c"


def known(value, use="official", system=NIR):
    return {"identifier": [{"use": use, "system": system, "value": value}]}


async def test_what_was_kept_is_found_by_later_versions_of_the_server():
    assert await fingerprints(known("190052A00412305")) == [KEPT]


async def test_another_number_or_system_is_somebody_else():
    other = await fingerprints(known("190052B03312335"))
    test = await fingerprints(known("190052A00412305", system=NIR.replace("4.8", "4.10")))
    assert len({KEPT, *other, *test}) == 3


async def test_a_number_no_longer_in_use_and_no_number_leave_nothing():
    assert await fingerprints(known("190052A00412305", use="old")) == []
    assert await fingerprints({"resourceType": "Patient"}) == []
