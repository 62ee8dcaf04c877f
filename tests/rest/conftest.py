"""A server to talk to: a real process for each engine, or the application in this process."""

from __future__ import annotations

import os
import uuid

import httpx
import pytest
from over_http import ROOT, database_in, start, stop

from fhirserver.app import build
from fhirserver.settings import Settings

#: Modules of so many requests that they take long on the wire server of the tests.
LONG_ON_MONGODB = frozenset(
    {
        "test_access_hidden",
        "test_auth_clients",
        "test_auth_flows",
        "test_capabilities_kept",
        "test_catalogue_applications",
        "test_catalogue_authorisation",
        "test_catalogue_citizen",
        "test_catalogue_listing",
        "test_diary_calendar",
        "test_immds_forecast",
        "test_messaging_attachments",
        "test_messaging_gateway",
        "test_messaging_state",
        "test_messaging_threads",
        "test_prevention_programme",
        "test_real_patients",
        "test_record_profile",
        "test_search_against_files",
        "test_space_erased",
        "test_space_existence",
        "test_space_export",
        "test_space_kept",
        "test_space_opening",
        "test_space_statistics",
        "test_story",
    }
)


def pytest_collection_modifyitems(items):
    for item in items:
        module = getattr(item, "module", None)
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if "mongodb" in parameters.values() and module.__name__ in LONG_ON_MONGODB:
            item.add_marker(pytest.mark.long)


def run(engine, folder):
    """A server process on a new store of `engine`; it ends with the fixture that uses this."""
    if engine == "sqlite":
        database = f"sqlite:///{folder}/store.db"
    else:
        url = os.environ.get("FHIRSERVER_TEST_MONGODB")
        if not url:
            pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
        database = database_in(url, f"rest_{uuid.uuid4().hex[:12]}")
    running = start(folder, database, engine)
    yield running
    stop(running)
    assert "Traceback" not in running.log.read_text(errors="replace")


@pytest.fixture(scope="session", params=["sqlite", "mongodb"])
def server(request, tmp_path_factory):
    """One server for the whole session on each engine; tests keep apart by their own ids."""
    yield from run(request.param, tmp_path_factory.mktemp(f"rest-{request.param}"))


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def fresh_server(request, tmp_path_factory):
    """A server whose store holds only what this module's tests put in."""
    yield from run(request.param, tmp_path_factory.mktemp(f"fresh-{request.param}"))


@pytest.fixture(scope="session")
def shared_data():
    """The folder of reference data beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"there is no reference data at {folder}")
    return folder


@pytest.fixture
def fhir(server):
    """A client of the server process; paths are below the base URL."""
    with httpx.Client(base_url=server.base_url, timeout=30) as client:
        yield client


@pytest.fixture
def tag():
    """A text no other test uses."""
    return uuid.uuid4().hex


@pytest.fixture
async def in_process(tmp_path):
    """Makes clients of applications in this process, each on an empty store of its own."""
    running = []

    async def make(raise_errors=True, **settings):
        settings = {"auth": "off", "database": f"sqlite:///{tmp_path}/{len(running)}.db"} | settings
        app = build(Settings(_env_file=None, **settings))
        lifespan = app.lifespan()
        await lifespan.__aenter__()
        transport = httpx.ASGITransport(app, raise_app_exceptions=raise_errors)
        client = httpx.AsyncClient(transport=transport, base_url="http://testserver/fhir")
        running.append((client, lifespan))
        client.app = app
        return client

    yield make
    for client, lifespan in running:
        await client.aclose()
        await lifespan.__aexit__(None, None, None)


@pytest.fixture(params=["sqlite", "mongodb"])
async def smart_on_both(request, tmp_path):
    """A server with `--auth smart` in this process and the sample people in it."""
    import smart_browser

    if request.param == "sqlite":
        database = f"sqlite:///{tmp_path}/smart.db"
    elif url := os.environ.get("FHIRSERVER_TEST_MONGODB"):
        database = database_in(url, f"smart_{uuid.uuid4().hex[:12]}")
    else:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    door, lifespan = await smart_browser.open_door(database)
    yield door
    await smart_browser.close_door(door, lifespan)


@pytest.fixture
async def smart(tmp_path):
    """The same on the embedded engine alone."""
    import smart_browser

    door, lifespan = await smart_browser.open_door(f"sqlite:///{tmp_path}/smart.db")
    yield door
    await smart_browser.close_door(door, lifespan)
