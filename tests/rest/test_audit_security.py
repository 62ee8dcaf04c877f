"""Sign-ins, tokens and clients in the audit trail, in the real application on both engines."""

from __future__ import annotations

import json

from smart_browser import BASE, CAMILLE, DOCTOR, Page

from fhirserver.access.audit.materialise import Materialiser
from fhirserver.access.audit.subject import Subjects
from fhirserver.access.audit.verify import verify
from fhirserver.access.notice.notifier import Notifier
from fhirserver.search.expression import Query
from fhirserver.storage.sqlite import SqliteStore
from fhirserver.validation.validator import Validator


async def events(door):
    subjects = Subjects(door.context.registry, (BASE,))
    entries = door.context.indexer.entries
    await Materialiser(door.store, entries, subjects, BASE).catch_up()
    query, found = Query(("AuditEvent",), count=500), []
    while True:
        page = await door.store.search(query)
        found += [json.loads(version.content) for version in page.versions]
        if page.next is None:
            return [event for event in found if event["type"]["code"] != "rest"]
        query = Query(("AuditEvent",), count=500, after=page.next)


def of(found, code):
    return [event for event in found if event["subtype"][0]["code"] == code]


def who(event):
    return [a["who"].get("reference") or a["who"]["identifier"]["value"] for a in event["agent"]]


def whose(event):
    what = [entity.get("what", {}).get("reference") for entity in event.get("entity", [])]
    return [reference for reference in what if reference]


async def launched(smart, scopes="openid launch/patient offline_access patient/*.rs"):
    app = await smart.register()
    return app, await app.tokens(scopes)


async def test_a_launch_leaves_sign_in_decision_and_token(smart_on_both):
    smart = smart_on_both
    app, tokens = await launched(smart)
    found = await events(smart)
    (login,) = of(found, "110122")
    assert login["type"]["code"] == "110114"
    assert login["outcome"] == "0"
    assert CAMILLE in who(login)
    assert app.id in who(login)
    assert whose(login) == [CAMILLE]
    (decision,) = of(found, "authorize")
    assert whose(decision) == [CAMILLE]
    (token,) = of(found, "ITI-71")
    assert token["outcomeDesc"].startswith("authorization_code: ")
    assert "patient/*.rs" in token["outcomeDesc"]
    assert CAMILLE in who(token)
    text = json.dumps(found)
    assert tokens["access_token"] not in text
    assert tokens["refresh_token"] not in text
    for event in found:
        assert not [i for i in Validator().validate(event) if i.severity == "error"], event
    assert (await verify(smart.store)).broken == ()


async def test_the_citizen_finds_them_in_their_own_log(smart):
    _, tokens = await launched(smart)
    answer = await smart.fhir(tokens["access_token"], "AuditEvent?patient=camille-lefevre")
    codes = {e["resource"]["subtype"][0]["code"] for e in answer.json()["entry"]}
    assert {"110122", "authorize", "ITI-71"} <= codes


async def test_refresh_refusal_and_withdrawal_are_recorded(smart):
    app, tokens = await launched(smart)
    refreshed = await app.refresh(tokens["refresh_token"])
    assert refreshed.status_code == 200
    refused = await app.refresh("nothing")
    assert refused.status_code == 400
    await app.post("revoke", token=refreshed.json()["refresh_token"])
    found = await events(smart)
    outcomes = [(e["outcome"], e["outcomeDesc"].split(": ")[-1]) for e in of(found, "ITI-71")]
    assert [outcome for outcome, _ in outcomes] == ["0", "0", "4"]
    assert outcomes[-1][1] == "invalid_grant"
    (withdrawn,) = of(found, "revoke")
    assert whose(withdrawn) == [CAMILLE]


async def test_a_wrong_secret_is_recorded_and_a_flood_is_only_counted(smart):
    app = await smart.register("confidential", "basic")
    app.secret = "wrong"
    await app.post("token", grant_type="authorization_code", code="x")
    (event,) = of(await events(smart), "ITI-71")
    assert event["outcome"] == "4"
    assert event["outcomeDesc"].endswith("invalid_client")
    assert app.id in who(event)
    assert "wrong" not in json.dumps(event)


async def test_refusing_and_signing_out_are_recorded(smart):
    app, browser = await smart.register(), smart.browser()
    told = await browser.authorize(app, "patient/*.rs", answer={"allow": False})
    assert told["error"] == "access_denied"
    (decision,) = of(await events(smart), "authorize")
    assert decision["outcome"] == "4"
    assert CAMILLE in who(decision)


async def test_a_bad_sign_in_is_recorded(smart):
    app, browser = await smart.register(), smart.browser()
    page = Page(await browser.ask(app, "patient/*.rs"))
    await browser.sign_in(page, "Patient/nobody")
    (login,) = of(await events(smart), "110122")
    assert login["outcome"] == "4"
    assert "unknown person" in login["outcomeDesc"]


async def test_clients_are_recorded_when_they_are_added_changed_and_disabled(smart):
    app = await smart.register()
    await smart.clients.disable(app.id)
    found = of(await events(smart), "110131")
    assert [app.id in who(event) for event in found] == [True, True]
    assert {event["type"]["code"] for event in found} == {"110113"}


async def test_a_token_that_cannot_be_recorded_is_not_given(smart, monkeypatch):
    app = await smart.register("backend", "ES384", "system/Patient.rs")

    async def fails(store, records):
        raise ConnectionError("gone")

    monkeypatch.setattr(SqliteStore, "append_log", fails)
    answer = await app.backend("system/Patient.rs")
    assert answer.status_code == 503
    assert "access_token" not in answer.text


async def test_the_notice_of_a_first_access_waits_for_one(smart):
    app = await smart.register()
    answer = {"patient": "camille-lefevre"}
    tokens = await app.tokens("launch/patient patient/*.rs", DOCTOR, answer=answer)
    found = await events(smart)
    assert whose(of(found, "ITI-71")[0]) == [CAMILLE]
    assert whose(of(found, "110122")[0]) == []
    follow = Notifier(smart.store, smart.context.indexer.entries)
    await follow.catch_up()
    assert await notices(smart) == 0
    assert (await smart.fhir(tokens["access_token"], "Observation?code=none")).status_code == 200
    await follow.catch_up()
    assert await notices(smart) == 0
    assert (await smart.fhir(tokens["access_token"], CAMILLE)).status_code == 200
    await follow.catch_up()
    assert await notices(smart) == 1


async def notices(smart):
    return await smart.store.count(Query(("Communication",)))
