"""Files into a running server: through the application itself, and through one that misbehaves."""

import json
from pathlib import Path

import httpx
import pytest
from load_files import dump, patient, post, transaction

from fhirserver.app import build
from fhirserver.load import server
from fhirserver.load.server import ServerAway, ServerLoad
from fhirserver.settings import Settings

BASE = "http://127.0.0.1/fhir"
PATIENT = "urn:uuid:3f0a4c0e-8f57-4d0c-9a63-0a8d6f5f2b01"
OBSERVATION = "urn:uuid:3f0a4c0e-8f57-4d0c-9a63-0a8d6f5f2b02"
EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture
async def transport(database):
    application = build(Settings(database=database, auth="off", log_level="error"))
    async with application.lifespan():
        yield httpx.ASGITransport(application)


@pytest.fixture
def send(transport, tmp_path):
    async def run(files, *, through=None, **options):
        paths = []
        if isinstance(files, dict):
            for name, body in files.items():
                path = tmp_path / name
                path.write_bytes(body if isinstance(body, bytes) else dump(body))
                paths.append(path)
        else:
            paths = files
        said = []
        load = ServerLoad(
            BASE,
            refused=said.append,
            progress=lambda done, count: None,
            transport=through or transport,
            **options,
        )
        report = await load.run(paths, 0)
        return report, [str(refusal).replace(str(tmp_path) + "/", "") for refusal in said]

    return run


@pytest.fixture
def get(transport):
    async def ask(path):
        async with httpx.AsyncClient(transport=transport) as client:
            return (await client.get(f"{BASE}/{path}")).json()

    return ask


@pytest.fixture
def versions(get):
    async def count(path):
        found = await get(f"{path}_history?_count=1000")
        assert not [link for link in found["link"] if link["relation"] == "next"]
        return len(found["entry"])

    return count


def bundle(gender="female", status="final"):
    observation = {
        "resourceType": "Observation",
        "status": status,
        "code": {"text": "weight"},
        "subject": {"reference": PATIENT},
    }
    return transaction(
        post(PATIENT, {"resourceType": "Patient", "gender": gender}), post(OBSERVATION, observation)
    )


async def test_transaction_is_sent_and_a_rerun_changes_nothing(send, get, versions):
    report, said = await send({"a.json": bundle()})
    assert (report.created, said) == (2, [])
    found = await get("Observation?_include=Observation:subject")
    observation, subject = (entry["resource"] for entry in found["entry"])
    assert observation["subject"]["reference"] == f"Patient/{subject['id']}"
    report, said = await send({"a.json": bundle()})
    assert (report.created, report.unchanged, said) == (0, 2, [])
    assert await versions("") == 2


async def test_half_loaded_data_is_completed(send):
    await send({"a.json": bundle()})
    lines = b"\n".join(
        [dump(bundle()), dump(transaction(post("urn:uuid:x", {"resourceType": "Patient"})))]
    )
    report, said = await send({"b.ndjson": lines})
    assert (report.created, report.unchanged, said) == (1, 2, [])


async def test_bad_entry_is_told_and_the_good_ones_go_in(send, get):
    lines = [patient("a"), patient("b", gender="alien"), patient("c")]
    report, said = await send(
        {"a.ndjson": b"\n".join(map(dump, lines)), "b.json": bundle(status="odd")}
    )
    assert (report.created, report.refused, report.exit_code) == (3, 2, 1)
    assert said[0].startswith("a.ndjson:2: Patient/b: ") or said[1].startswith("a.ndjson:2: ")
    assert any(line.startswith("b.json:1: entry[1] Observation/") for line in said)
    assert (await get("Patient?_summary=count"))["total"] == 3


async def test_atomic_transaction_with_a_bad_entry_stores_nothing(send, get):
    report, said = await send({"b.json": bundle(status="odd")}, atomic=True)
    assert (report.created, report.refused) == (0, 2)
    assert "refused as a whole" in said[0]
    assert (await get("Patient?_summary=count"))["total"] == 0


async def test_post_does_not_replace_and_put_does(send, get):
    await send({"a.json": bundle(), "b.json": patient("a")})
    changed = bundle()
    changed["entry"][0]["resource"]["active"] = True
    report, said = await send({"a.json": changed, "b.json": patient("a", active=True)})
    assert "POST replaces nothing" in said[0]
    assert (report.updated, report.refused) == (1, 1)
    assert (await get("Patient/a"))["active"] is True


async def test_bundles_from_one_template_are_all_stored(send, get):
    def made(gender):
        return transaction(post(PATIENT, {"resourceType": "Patient", "gender": gender}))

    for gender in ("female", "male", "other", "male"):
        _, said = await send({"a.json": made(gender)})
        assert said == []
    assert (await get("Patient?_summary=count"))["total"] == 3


async def test_conditional_create_is_made_once(send, get):
    organization = {"resourceType": "Organization", "identifier": [{"value": "1"}]}
    made = transaction(
        post("urn:uuid:o", organization, ifNoneExist="identifier=1"),
        post(
            PATIENT,
            {"resourceType": "Patient", "managingOrganization": {"reference": "urn:uuid:o"}},
        ),
    )
    for _ in range(2):
        _, said = await send({"a.json": made})
        assert said == []
    assert (await get("Organization?_summary=count"))["total"] == 1
    assert (await get("Patient?organization.identifier=1&_summary=count"))["total"] == 1


async def test_examples_load_completely(send, versions):
    report, said = await send(sorted(EXAMPLES.glob("*.json")))
    assert said == []
    bundles = [json.loads(f.read_bytes()) for f in EXAMPLES.glob("*.json")]
    types = [entry["resource"]["resourceType"] for bundle in bundles for entry in bundle["entry"]]
    assert report.created == len(types)
    # The diary keeps a recommendation and a programme for each of the patients.
    assert await versions("") == len(types) + 2 * types.count("Patient")


class Flaky(httpx.AsyncBaseTransport):
    """Fails on every second request, in another way each time."""

    def __init__(self, inner):
        self.inner = inner
        self.calls = 0

    async def handle_async_request(self, request):
        self.calls += 1
        if self.calls % 2 == 0:
            kind = self.calls // 2 % 3
            if kind == 0:
                raise httpx.ConnectError("away")
            if kind == 1:
                return httpx.Response(503, headers={"retry-after": "0"}, request=request)
            # The work is done, but the answer is lost on its way.
            await self.inner.handle_async_request(request)
            raise httpx.ReadError("lost")
        return await self.inner.handle_async_request(request)


async def test_failing_requests_are_tried_again_without_doubles(
    send, versions, transport, monkeypatch
):
    async def at_once(seconds):
        pass

    monkeypatch.setattr(server.asyncio, "sleep", at_once)
    lines = b"\n".join(
        dump(
            transaction(
                post(f"urn:uuid:p{n}", {"resourceType": "Patient", "multipleBirthInteger": n})
            )
        )
        for n in range(20)
    )
    flaky = Flaky(transport)
    _, said = await send({"a.ndjson": lines}, through=flaky, concurrency=1)
    assert said == []
    assert flaky.calls > 40
    assert await versions("Patient/") == 20


async def test_server_that_is_away_or_no_fhir_server_is_told(send):
    def no_server(request):
        raise httpx.ConnectError("connection refused")

    def web_page(request):
        return httpx.Response(200, text="<html>")

    for handler, reason in ((no_server, "does not answer"), (web_page, "no CapabilityStatement")):
        with pytest.raises(ServerAway, match=reason):
            await send({"a.json": patient("a")}, through=httpx.MockTransport(handler))


async def test_server_that_gives_ids_itself_is_told_of(send):
    def handler(request):
        if request.url.path.endswith("/metadata"):
            types = [{"type": "Patient", "updateCreate": False}]
            return httpx.Response(200, json={"fhirVersion": "4.0.1", "rest": [{"resource": types}]})
        if request.method == "GET":
            return httpx.Response(200, json={"resourceType": "Bundle", "type": "searchset"})
        entry = {"response": {"status": "405 Method Not Allowed"}}
        return httpx.Response(200, json={"resourceType": "Bundle", "entry": [entry]})

    report, said = await send({"a.json": patient("a")}, through=httpx.MockTransport(handler))
    assert (report.created, len(said)) == (0, 1)
    assert report.notes == [server.OWN_IDS]
