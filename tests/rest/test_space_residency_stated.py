"""The CapabilityStatement says where the data is kept and whom the server calls."""

from __future__ import annotations

HOSTING = "http://fhirserver.example/StructureDefinition/hosting-country"
OUTSIDE = "http://fhirserver.example/StructureDefinition/outside-host"


async def stated(client):
    answer = await client.get("metadata")
    assert answer.status_code == 200
    return answer.json()["implementation"]


async def test_country_and_outside_hosts_are_stated(in_process):
    client = await in_process(outside_hosts="id.example,mail.example", hosting_country="BE")
    said = await stated(client)
    assert {"url": HOSTING, "valueCode": "BE"} in said["extension"]
    hosts = [e["valueString"] for e in said["extension"] if e["url"] == OUTSIDE]
    assert hosts == ["id.example", "mail.example"]
    assert "hosted in BE; it calls id.example, mail.example" in said["description"]


async def test_without_a_list_it_says_that_nothing_is_enforced(in_process):
    said = await stated(await in_process())
    assert "hosted in FR" in said["description"]
    assert "not enforced" in said["description"]
