"""Requests of publishers and their reviews: who moves them on, and what has to be there."""

from __future__ import annotations

import asyncio

import pytest
from catalogue_people import (
    CALLBACK,
    CONVENTION,
    FAMILIES,
    REFERENCING,
    concept,
    convention,
    listed,
    operator,
    part,
    publisher,
    referencing,
)

REVIEW = "http://fhirserver.example/StructureDefinition/catalogue-review"
CE = {"redirect-uri": CALLBACK, "ce-proof": "https://carnet.example/ce.pdf"}


def issue_of(answer, status=422):
    assert answer.status_code == status, (answer.status_code, answer.text)
    return answer.json()["issue"][0]


async def submitted(door, **more):
    by, op = await publisher(door), await operator(door)
    inputs = more.pop("inputs", None)
    await by.prepare(**more)
    task = await by.apply(inputs=inputs)
    return by, op, f"Task/{task['id']}"


async def test_every_family_has_to_be_met_and_each_review_is_signed(smart_on_both):
    _, op, task = await submitted(smart_on_both)
    three = dict.fromkeys(FAMILIES[:3], "compliant")
    issue = issue_of(await op.review(task, three))
    assert issue["diagnostics"] == "Not found met: ethics."
    assert issue["expression"] == ["Task.output"]
    issue = issue_of(await op.review(task, three | {"ethics": "not-compliant"}))
    assert issue["diagnostics"] == "What is not met is told in text."
    failing = three | {"ethics": "not-compliant:Pas de déclaration d'accessibilité"}
    assert "ethics" in issue_of(await op.review(task, failing))["diagnostics"]
    answer = await op.review(task, failing, status="in-progress")
    assert answer.status_code == 200, answer.text
    first = answer.json()["output"]
    assert all(part(review, REVIEW, "reviewer") == "operator" for review in first)
    answer = await op.review(task)
    assert answer.status_code == 200, answer.text
    last = answer.json()["output"]
    assert last[:3] == first[:3]
    assert part(last[3], REVIEW, "date") > part(first[3], REVIEW, "date")


async def test_ce_marking_is_asked_of_medical_devices_and_of_nobody_else(smart_on_both):
    _, op, task = await submitted(smart_on_both)
    every = dict.fromkeys(FAMILIES, "compliant")
    issue = issue_of(await op.review(task, every | {"ce-marking": "compliant"}))
    assert "medical devices alone" in issue["diagnostics"]
    by = await publisher(smart_on_both, "editeur-coeur")
    await by.prepare(medical=True)
    answer = await by.ask("POST", "Task", by.request())
    assert "proof of its CE marking" in issue_of(answer)["diagnostics"]
    task = await by.apply(inputs=CE)
    assert "ce-marking" in issue_of(await op.review(f"Task/{task['id']}", every))["diagnostics"]
    answer = await op.review(f"Task/{task['id']}", every | {"ce-marking": "compliant"})
    assert answer.status_code == 200, answer.text


async def test_a_medical_device_has_its_udi(smart):
    by = await publisher(smart)
    await by.create(by.model())
    await by.create(by.app())
    await by.create(by.described(medical=True))
    issue = issue_of(await by.ask("POST", "Task", by.request(inputs=CE)))
    assert issue["expression"] == ["DeviceDefinition.udiDeviceIdentifier"]


MISSING = {
    "no redirect URI": ({"inputs": {}}, {}, "redirect-uri is needed"),
    "a redirect URI without TLS": (
        {"inputs": {"redirect-uri": "http://carnet.example/retour"}}, {}, "could not be registered",
    ),
    "keys that are none": ({"inputs": {"redirect-uri": CALLBACK, "jwks": "{}"}}, {}, "JWKS"),
    "keys that are no JSON": ({"inputs": {"redirect-uri": CALLBACK, "jwks": "keys"}}, {}, "JSON"),
    "no such kind": ({"kind": "gift"}, {}, "no kind of request"),
    "a renewal of what was never listed": ({"kind": "renewal"}, {}, "never been listed"),
    "a patient": ({"for": {"reference": "Patient/camille-lefevre"}}, {}, "no patient"),
    "an exchange that is not told": ({}, {"exchange": ()}, "characteristic exchange"),
    "a convention that is not told": ({}, {"purposes": {}}, "characteristic exchange"),
    "data that are not told": ({}, {"exchange": ("measures",)}, "vaccination"),
    "reviews by the publisher": (
        {"output": [{"type": concept("criteria-family", "ethics"),
                     "valueCodeableConcept": concept("verdict", "compliant")}]}, {}, "operator's",
    ),
    "an enclosure of no kind": (
        {"input": [{"type": {"text": "lettre"}, "valueString": "x"}]}, {}, "An enclosure is one of",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISSING)
async def test_an_application_that_lacks_something_is_refused_with_the_reason(smart, case):
    request, app, said = MISSING[case]
    by = await publisher(smart)
    await by.prepare(**app)
    issue = issue_of(await by.ask("POST", "Task", by.request(**request)))
    assert said in issue["diagnostics"]
    assert issue["expression"]


CONVENTIONS = {
    "a purpose outside the law": ({"marketing": ["patient/Immunization.r"]}, "is no purpose"),
    "a wildcard": ({"care": ["patient/*.rs"]}, "No category of data has *"),
    "choices": ({"care": ["patient/Consent.crus"]}, "No category of data has Consent"),
    "traces": ({"care": ["patient/AuditEvent.rs"]}, "No category of data has AuditEvent"),
    "many citizens": ({"care": ["user/Immunization.rs"]}, "one citizen"),
    "a service": ({"care": ["system/Immunization.rs"]}, "one citizen"),
    "no scope at all": ({"care": []}, "has no scope"),
    "nonsense": ({"care": ["vaccins"]}, "no SMART scope"),
    "a constraint that is none": ({"care": ["patient/Observation.rs?zzz=1"]}, "no SMART scope"),
}


@pytest.mark.parametrize("case", CONVENTIONS)
async def test_a_convention_that_cannot_be_kept_is_refused(smart, case):
    purposes, said = CONVENTIONS[case]
    by = await publisher(smart)
    await by.create(by.model())
    issue = issue_of(await by.ask("POST", "Device", by.app(purposes=purposes)))
    assert said in issue["diagnostics"]
    assert "catalogue-convention" in issue["expression"][0]


async def test_an_application_is_moved_on_by_whom_it_may(smart):
    by, op, task = await submitted(smart)
    assert (await op.change(task, status="received")).status_code == 200
    publishers = type(op).change
    issue = issue_of(await publishers(by, task, status="in-progress"))
    assert "the operator alone" in issue["diagnostics"]
    issue = issue_of(await op.change(task, status="completed"))
    assert "comes in-progress" in issue["diagnostics"]
    assert (await op.change(task, status="in-progress")).status_code == 200
    issue = issue_of(await op.change(task, status="on-hold"))
    assert issue["expression"] == ["Task.statusReason"]
    answer = await op.change(task, status="on-hold", statusReason={"text": "Logo manquant"})
    assert answer.status_code == 200, answer.text
    inputs = by.request()["input"] + [
        {"type": concept("input", "evidence"), "valueUrl": "https://carnet.example/logo"}
    ]
    answer = await publishers(by, task, status="requested", input=inputs)
    assert answer.status_code == 200, answer.text
    issue = issue_of(await publishers(by, task, input=by.request()["input"]))
    assert issue["expression"] == ["Task.input"]
    issue = issue_of(await op.change(task, input=by.request()["input"]))
    assert issue["expression"] == ["Task.input"]
    assert (await publishers(by, task, status="cancelled")).status_code == 200
    issue = issue_of(await op.change(task, status="in-progress"))
    assert "After cancelled comes nothing" in issue["diagnostics"]
    assert (await by.ask("DELETE", task)).status_code == 403


async def test_a_closed_request_stays_as_it_is(smart):
    by, op, task = await submitted(smart)
    assert (await op.review(task)).status_code == 200
    closed = await op.read(task)
    for asking in (by, op):
        issue = issue_of(await asking.put(closed | {"description": "Nouveau"}))
        assert issue["diagnostics"] == "A request that is closed stays as it is."


async def test_a_rejected_application_may_be_followed_by_another(smart):
    by, op, task = await submitted(smart)
    answer = await op.change(task, status="rejected", statusReason={"text": "Hors périmètre"})
    assert answer.status_code == 200, answer.text
    issue_of(await op.place(by.device, "EN_LIGNE"))
    await by.apply()


async def test_of_many_applications_at_once_one_is_open(smart_on_both):
    by = await publisher(smart_on_both)
    await by.prepare()
    answers = await asyncio.gather(*(by.ask("POST", "Task", by.request()) for _ in range(4)))
    assert sorted(a.status_code for a in answers) == [201, 422, 422, 422]
    refused = next(a for a in answers if a.status_code == 422)
    assert "still open" in refused.text


async def test_an_app_of_another_publisher_is_not_applied_for(smart):
    by = await publisher(smart)
    await by.prepare()
    thief = await publisher(smart, "editeur-coeur")
    thief.ids = dict(by.ids)
    issue = issue_of(await thief.ask("POST", "Task", thief.request()))
    assert issue["diagnostics"] == "The app is another publisher's."


async def test_a_renewal_adds_two_years(smart_on_both):
    by, op = await listed(smart_on_both)
    before = part(await by.read(by.device), REFERENCING, "period")
    task = await by.apply(kind="renewal", inputs={})
    answer = await op.review(f"Task/{task['id']}")
    assert answer.status_code == 200, answer.text
    after = part(await by.read(by.device), REFERENCING, "period")
    assert after["start"] == before["start"]
    assert int(after["end"][:4]) == int(before["end"][:4]) + 2
    assert after["end"][4:] == before["end"][4:]


async def test_dates_and_versions_are_the_servers_to_set(smart):
    by, op = await listed(smart)
    device = await by.read(by.device)
    forged = referencing("EN_LIGNE")
    forged["extension"].append(
        {"url": "period", "valuePeriod": {"start": "2020-01-01", "end": "2099-01-01"}}
    )
    kept = [e for e in device["extension"] if e["url"] != REFERENCING]
    for asking in (by, op):
        answer = await asking.put(device | {"extension": [*kept, forged], "status": "inactive"})
        assert answer.status_code == 200, answer.text
        answered = answer.json()
        assert part(answered, REFERENCING, "period") == part(device, REFERENCING, "period")
        assert part(answered, REFERENCING, "since") == part(device, REFERENCING, "since")
        assert answered["status"] == "active"


async def test_the_publisher_does_not_widen_the_convention_of_a_listed_app(smart):
    by, op = await listed(smart)
    device = await by.read(by.device)
    wider = convention(prevention=["patient/Immunization.crus"])
    widened = device | {"extension": [referencing("EN_LIGNE"), wider]}
    issue = issue_of(await by.put(widened))
    assert "amendment" in issue["diagnostics"]
    answer = await op.put(widened)
    assert answer.status_code == 200, answer.text
    assert part(answer.json(), CONVENTION, "version") == 2
