"""The sample catalogue keeps the rules that the server holds publishers to."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from fhirserver.access.decision.convention import listing_of
from fhirserver.catalogue import convention, names
from fhirserver.catalogue.look import entry_of
from fhirserver.catalogue.request import request_of
from fhirserver.catalogue.rules import rules
from fhirserver.conformance.registry import Registry

FILE = Path(__file__).parents[3] / "examples" / "catalogue.json"
RESOURCES = [entry["resource"] for entry in json.loads(FILE.read_text())["entry"]]
BY_NAME = {f"{r['resourceType']}/{r['id']}": r for r in RESOURCES}
APPS = [r for r in RESOURCES if r["resourceType"] == "Device"]
SERVICES = {entry_of(r): r for r in RESOURCES if r["resourceType"] == "HealthcareService"}
TASKS = [request_of(r) for r in RESOURCES if r["resourceType"] == "Task"]


def traits(service, system):
    return names.codes_in(service.get("characteristic", []), system)


def test_there_are_thirty_apps_in_every_state_theme_and_region():
    assert len(APPS) == 30
    states = Counter(listing_of(app).status for app in APPS)
    assert states.keys() == {s for s in rules().device if s}
    assert states["EN_LIGNE"] >= 20
    themes = {
        c for s in SERVICES.values() for c in names.codes_in(s.get("category", []), names.THEME)
    }
    assert themes == names.codes("theme").keys()
    regions = {a["identifier"]["value"] for s in SERVICES.values() for a in s["coverageArea"]}
    assert regions == names.codes("region").keys()


@pytest.mark.parametrize("app", APPS, ids=lambda app: app["id"])
def test_each_app_is_described_and_its_convention_can_be_kept(app):
    place = listing_of(app)
    registry = Registry()
    convention.check(place, lambda type, code: registry.parameter(type, code) is not None)
    service = SERVICES[f"Device/{app['id']}"]
    assert service["providedBy"] == app["owner"]
    assert (names.EXCHANGE in traits(service, names.CHARACTERISTIC)) == bool(place.purposes)
    assert convention.categories(place) <= traits(service, names.CATEGORY)
    model = BY_NAME[app["definition"]["reference"]]
    medical = names.MEDICAL_DEVICE in traits(service, names.CHARACTERISTIC)
    assert medical == ("udiDeviceIdentifier" in model)
    assert (place.status in rules().needs_reason["device"]) <= bool(place.reason)
    assert (app["status"] == "active") == (place.status == "EN_LIGNE")


def test_what_is_listed_with_an_exchange_was_found_to_meet_every_family():
    done = {request.device: request for request in TASKS if request.status == "completed"}
    for app in APPS:
        place = listing_of(app)
        if place.status != "EN_LIGNE" or not place.purposes:
            continue
        service = SERVICES[f"Device/{app['id']}"]
        medical = names.MEDICAL_DEVICE in traits(service, names.CHARACTERISTIC)
        request = done[f"Device/{app['id']}"]
        assert request.unmet(names.families(medical_device=medical)) == []
        assert request.texts("redirect-uri")
        assert bool(request.texts("ce-proof")) == medical
