"""Transactions: order, links, conditions, all or nothing."""

from __future__ import annotations

import asyncio
import base64

import pytest
from memory_store import MemoryStore, stored

from fhirserver import errors
from fhirserver.interaction.batch import batch
from fhirserver.interaction.context import Limits
from fhirserver.interaction.create import create
from fhirserver.interaction.delete import delete
from fhirserver.interaction.entry import EntryResult
from fhirserver.interaction.read import read
from fhirserver.interaction.transaction import transaction
from fhirserver.interaction.update import update
from fhirserver.model import json

P1 = "urn:uuid:0c0a8a3e-8a54-4a8e-9f9d-aaaaaaaaaaaa"
P2 = "urn:uuid:0c0a8a3e-8a54-4a8e-9f9d-bbbbbbbbbbbb"


def patient(value=None, **elements):
    if value is not None:
        elements["identifier"] = [{"system": "urn:s", "value": value}]
    return {"resourceType": "Patient", **elements}


def observation(subject, **elements):
    return {
        "resourceType": "Observation",
        "status": "final",
        "code": {"text": "x"},
        "subject": {"reference": subject},
        **elements,
    }


def entry(method, url, resource=None, full_url=None, **request):
    made = {"request": {"method": method, "url": url, **request}}
    if resource is not None:
        made["resource"] = resource
    if full_url is not None:
        made["fullUrl"] = full_url
    return made


def bundle(*entries, type="transaction"):
    return {"resourceType": "Bundle", "type": type, "entry": list(entries)}


def resource_of(version):
    return json.decode(version.content)


@pytest.fixture
def run(ctx):
    """Runs a transaction, answering a GET by a read."""

    async def perform(request):
        path = request.url.partition("?")[0]
        type, _, id = path.partition("/")
        try:
            return EntryResult(request, answer=await read(ctx, type, id))
        except errors.FHIRError as error:
            return EntryResult(request, answer=error)

    async def run(*entries, **changed):
        return await transaction(ctx, bundle(*entries, **changed), perform)

    return run


async def test_answers_come_in_the_order_of_the_bundle(ctx, run):
    await update(ctx, "Patient", "gone", patient(id="gone"))
    results = await run(
        entry("GET", "Patient/put"),
        entry("PUT", "Patient/put", patient(id="put", active=True)),
        entry("POST", "Patient", patient()),
        entry("DELETE", "Patient/gone"),
    )
    assert resource_of(results[0].answer)["active"] is True
    told = [result.written[0].result for result in results[1:]]
    assert told == ["created", "created", "deleted"]


async def test_deletions_come_before_creates_before_updates(ctx, run, engine):
    await update(ctx, "Patient", "gone", patient(id="gone"))
    await run(
        entry("PUT", "Patient/put", patient(id="put")),
        entry("POST", "Patient", patient()),
        entry("DELETE", "Patient/gone"),
    )
    assert [v.method for v in (await stored(engine))[1:]] == ["DELETE", "POST", "PUT"]


async def test_create_may_take_what_a_deletion_frees(ctx, run):
    await update(ctx, "Patient", "old", patient("1", id="old"))
    results = await run(
        entry("POST", "Patient", patient("1"), ifNoneExist="identifier=urn:s|1"),
        entry("DELETE", "Patient/old"),
    )
    assert results[0].written[0].result == "created"


async def test_links_between_entries_are_rewritten(run):
    narrative = (
        f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{P1}">him</a> <p>{P1}</p></div>'
    )
    results = await run(
        entry(
            "POST",
            "Observation",
            observation(
                P1,
                text={"status": "generated", "div": narrative},
                identifier=[{"system": "urn:s", "value": P1}],
            ),
        ),
        entry("POST", "Patient", patient(), P1),
    )
    patient_id = results[1].written[0].version.id
    stored = resource_of(results[0].written[0].version)
    assert stored["subject"]["reference"] == f"Patient/{patient_id}"
    assert f'href="Patient/{patient_id}"' in stored["text"]["div"]
    assert f"<p>{P1}</p>" in stored["text"]["div"]
    assert stored["identifier"][0]["value"] == P1


async def test_attachment_url_is_rewritten(run):
    results = await run(
        entry(
            "POST",
            "DocumentReference",
            {
                "resourceType": "DocumentReference",
                "status": "current",
                "content": [{"attachment": {"url": P1}}],
            },
        ),
        entry("POST", "Binary", {"resourceType": "Binary", "contentType": "text/plain"}, P1),
    )
    stored = resource_of(results[0].written[0].version)
    assert stored["content"][0]["attachment"]["url"] == (
        f"Binary/{results[1].written[0].version.id}"
    )


async def test_cycle_of_references_is_fine(run):
    link = [{"other": {"reference": P2}, "type": "seealso"}]
    back = [{"other": {"reference": P1}, "type": "seealso"}]
    first, second = await run(
        entry("POST", "Patient", patient(link=link), P1),
        entry("POST", "Patient", patient(link=back), P2),
    )
    one, other = first.written[0].version, second.written[0].version
    assert resource_of(one)["link"][0]["other"]["reference"] == f"Patient/{other.id}"
    assert resource_of(other)["link"][0]["other"]["reference"] == f"Patient/{one.id}"


async def test_relative_reference_is_read_against_the_full_url(run):
    base = "http://elsewhere.example/fhir"
    results = await run(
        entry("POST", "Observation", observation("Patient/77"), f"{base}/Observation/1"),
        entry("POST", "Patient", patient(), f"{base}/Patient/77"),
        entry("POST", "Observation", observation("Patient/77")),
    )
    id = results[1].written[0].version.id
    subjects = [resource_of(results[n].written[0].version)["subject"] for n in (0, 2)]
    assert subjects == [{"reference": f"Patient/{id}"}, {"reference": "Patient/77"}]


async def test_found_resource_is_what_others_point_to(ctx, run):
    await update(ctx, "Patient", "known", patient("1", id="known"))
    results = await run(
        entry("POST", "Patient", patient("1"), P1, ifNoneExist="identifier=urn:s|1"),
        entry("POST", "Observation", observation(P1)),
        entry("PUT", "Patient?identifier=urn:s|2", patient("2"), P2),
        entry("POST", "Observation", observation(P2)),
    )
    assert results[0].written[0].result == "found"
    assert resource_of(results[1].written[0].version)["subject"]["reference"] == "Patient/known"
    made = results[2].written[0]
    assert made.result == "created"
    assert resource_of(results[3].written[0].version)["subject"]["reference"] == (
        f"Patient/{made.version.id}"
    )


async def test_conditional_update_hit_is_updated_and_pointed_to(ctx, run):
    await update(ctx, "Patient", "known", patient("1", id="known"))
    results = await run(
        entry("PUT", "Patient?identifier=urn:s|1", patient("1", active=True), P1),
        entry("POST", "Observation", observation(P1)),
    )
    assert results[0].written[0].version.version == 2
    assert resource_of(results[1].written[0].version)["subject"]["reference"] == "Patient/known"


async def test_the_same_condition_twice_makes_one_resource(run, engine):
    results = await run(
        entry("POST", "Patient", patient("1"), P1, ifNoneExist="identifier=urn:s|1"),
        entry("POST", "Patient", patient("1"), P2, ifNoneExist="identifier=urn:s|1"),
        entry("POST", "Observation", observation(P2)),
    )
    first, second = results[0].written[0], results[1].written[0]
    assert (first.result, second.result) == ("created", "found")
    assert first.version.id == second.version.id
    assert resource_of(results[2].written[0].version)["subject"]["reference"] == (
        f"Patient/{first.version.id}"
    )
    assert len(await stored(engine)) == 2


async def test_conditional_reference_becomes_literal(ctx, run):
    await update(ctx, "Patient", "known", patient("1", id="known"))
    (result,) = await run(entry("POST", "Observation", observation("Patient?identifier=urn:s|1")))
    assert resource_of(result.written[0].version)["subject"]["reference"] == "Patient/known"


async def test_conditional_reference_finds_what_the_bundle_creates(run):
    results = await run(
        entry("POST", "Observation", observation("Patient?identifier=urn:s|1")),
        entry("POST", "Patient", patient("1")),
    )
    id = results[1].written[0].version.id
    assert resource_of(results[0].written[0].version)["subject"]["reference"] == f"Patient/{id}"


async def test_conditional_reference_sees_updates_of_the_bundle(ctx, run):
    await update(ctx, "Patient", "known", patient("1", id="known"))
    with pytest.raises(errors.PreconditionFailed):
        await run(
            entry("PUT", "Patient/known", patient("2", id="known")),
            entry("POST", "Observation", observation("Patient?identifier=urn:s|1")),
        )


@pytest.mark.parametrize("count", [0, 2])
async def test_conditional_reference_needs_exactly_one_match(ctx, run, engine, count):
    for _ in range(count):
        await create(ctx, "Patient", patient("1"))
    before = len(await stored(engine))
    with pytest.raises(errors.PreconditionFailed) as failed:
        await run(
            entry("POST", "Patient", patient()),
            entry("POST", "Observation", observation("Patient?identifier=urn:s|1")),
        )
    assert failed.value.issues[0].expression == ("Bundle.entry[1]",)
    assert len(await stored(engine)) == before


async def test_conditional_reference_to_deleted_resource_fails(ctx, run):
    await update(ctx, "Patient", "known", patient("1", id="known"))
    with pytest.raises(errors.PreconditionFailed):
        await run(
            entry("DELETE", "Patient/known"),
            entry("POST", "Observation", observation("Patient?identifier=urn:s|1")),
        )


async def test_one_invalid_entry_fails_all_and_is_named(run, engine):
    with pytest.raises(errors.Invalid) as failed:
        await run(
            entry("POST", "Patient", patient()),
            entry("POST", "Patient", patient(gender="alien")),
        )
    issue = failed.value.issues[0]
    assert issue.expression == ("Bundle.entry[1].resource.gender",)
    assert "Bundle.entry[1]" in issue.diagnostics
    assert await stored(engine) == []


async def test_stale_if_match_fails_all(ctx, run, engine):
    await update(ctx, "Patient", "a", patient(id="a"))
    await update(ctx, "Patient", "a", patient(id="a"))
    for method, resource in (("PUT", patient(id="a")), ("DELETE", None)):
        with pytest.raises(errors.PreconditionFailed):
            await run(
                entry("POST", "Patient", patient()),
                entry(method, "Patient/a", resource, ifMatch='W/"1"'),
            )
    assert len(await stored(engine)) == 2
    results = await run(entry("PUT", "Patient/a", patient(id="a"), ifMatch='W/"2"'))
    assert results[0].written[0].version.version == 3


async def test_if_none_match_on_existing_fails(ctx, run):
    await update(ctx, "Patient", "a", patient(id="a"))
    with pytest.raises(errors.PreconditionFailed):
        await run(entry("PUT", "Patient/a", patient(id="a"), ifNoneMatch="*"))


@pytest.mark.parametrize(
    "entries",
    [
        [entry("PUT", "Patient/a", patient(id="a")), entry("DELETE", "Patient/a")],
        [entry("PUT", "Patient/a", patient(id="a")), entry("PUT", "Patient/a", patient(id="a"))],
        [
            entry("PUT", "Patient/a", patient(id="a")),
            entry("PUT", "Patient?identifier=urn:s|1", patient("1")),
        ],
        [entry("DELETE", "Patient/a"), entry("DELETE", "Patient?identifier=urn:s|1")],
    ],
)
async def test_the_same_resource_twice_is_invalid(ctx, run, engine, entries):
    await update(ctx, "Patient", "a", patient("1", id="a"))
    with pytest.raises(errors.Invalid):
        await run(*entries)
    assert len(await stored(engine)) == 1


@pytest.mark.parametrize(
    "bad",
    [
        {"request": {"method": "POST", "url": "Patient"}, "resource": None},
        {"request": {"method": "POST", "url": "Patient"}, "resource": []},
        {"request": {"method": "POST", "url": "Patient"}},
        {"request": {"method": "PUT", "url": "Patient/a"}},
        {"resource": {"resourceType": "Patient"}},
        {"request": {"method": "OPTIONS", "url": "Patient"}},
        {"request": {"method": "GET"}},
        {"request": {"method": "GET", "url": ""}},
        {"request": {"method": "GET", "url": "Patient#x"}},
        {"request": {"method": "GET", "url": "http://elsewhere.example/Patient/1"}},
        {"request": {"method": "GET", "url": "Patient", "verb": "x"}},
        {"request": {"method": "POST", "url": "Patient/1"}, "resource": patient()},
        {"request": {"method": "POST", "url": "Patient?x=1"}, "resource": patient()},
        {"request": {"method": "POST", "url": "Observation"}, "resource": patient()},
        {"request": {"method": "PUT", "url": "Patient/b"}, "resource": patient(id="a")},
        {"request": {"method": "PUT", "url": "Patient/b"}, "resource": patient()},
        {"request": {"method": "PUT", "url": "Patient"}, "resource": patient(id="a")},
        {"request": {"method": "DELETE", "url": "Patient"}},
        {"request": {"method": "DELETE", "url": "Patient/a/_history/1"}},
        {"request": {"method": "DELETE", "url": "Patient/a", "ifMatch": "1;2"}},
        {"request": {"method": "DELETE", "url": "Patient/a", "ifNoneExist": "x=1"}},
        {
            "request": {"method": "PUT", "url": "Patient/a", "ifNoneMatch": 'W/"1"'},
            "resource": patient(id="a"),
        },
        {"request": {"method": "GET", "url": "Patient?name:what=x"}},
        {"request": {"method": "PATCH", "url": "Patient/a"}, "resource": patient(id="a")},
        "x",
        None,
        {},
    ],
)
async def test_wrong_entry_is_refused_and_nothing_stored(run, engine, bad):
    with pytest.raises((errors.Invalid, errors.NotFound)) as failed:
        await run(entry("POST", "Patient", patient()), bad)
    assert "entry[1]" in failed.value.issues[0].expression[0]
    assert await stored(engine) == []


@pytest.mark.parametrize("url", ["Nonsense/1", "Nonsense", "patient/1"])
async def test_unknown_type_is_not_found(run, url):
    with pytest.raises(errors.NotFound):
        await run(entry("GET", url))


async def test_operation_that_writes_is_not_supported(run):
    with pytest.raises(errors.NotSupported):
        await run(entry("POST", "$reindex", {"resourceType": "Parameters"}))


@pytest.mark.parametrize("type", ["batch", "collection", None])
async def test_bundle_of_another_type_is_invalid(run, type):
    with pytest.raises(errors.Invalid):
        await run(type=type)


async def test_empty_transaction_is_fine(ctx):
    assert await transaction(ctx, {"resourceType": "Bundle", "type": "transaction"}, None) == []


async def test_full_url_twice_is_invalid(run):
    with pytest.raises(errors.Invalid):
        await run(entry("POST", "Patient", patient(), P1), entry("POST", "Patient", patient(), P1))


async def test_too_many_entries_are_refused(make_context):
    ctx = make_context(limits=Limits(bundle_entries=1))
    with pytest.raises(errors.TooLarge):
        await transaction(ctx, bundle(*[entry("POST", "Patient", patient())] * 2), None)


async def test_absolute_url_of_this_server_is_taken(run):
    (result,) = await run(entry("PUT", "http://127.0.0.1/fhir/Patient/a", patient(id="a")))
    assert result.written[0].version.id == "a"


async def test_read_of_what_is_not_there_fails_all(ctx, run, engine):
    await update(ctx, "Patient", "a", patient(id="a"))
    with pytest.raises(errors.NotFound):
        await run(entry("POST", "Patient", patient()), entry("GET", "Patient/none"))
    with pytest.raises(errors.Gone):
        await run(entry("DELETE", "Patient/a"), entry("GET", "Patient/a"))
    assert len(await stored(engine)) == 1


async def test_json_patch_and_fhirpath_patch(ctx, run):
    await update(ctx, "Patient", "a", patient(id="a", active=True))
    await update(ctx, "Patient", "b", patient("1", id="b", active=True))
    document = b'[{"op":"replace","path":"/active","value":false}]'
    binary = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": base64.b64encode(document).decode(),
    }
    parameters = {
        "resourceType": "Parameters",
        "parameter": [
            {
                "name": "operation",
                "part": [
                    {"name": "type", "valueCode": "replace"},
                    {"name": "path", "valueString": "Patient.active"},
                    {"name": "value", "valueBoolean": False},
                ],
            }
        ],
    }
    results = await run(
        entry("PATCH", "Patient/a", binary),
        entry("PATCH", "Patient?identifier=urn:s|1", parameters),
    )
    for result in results:
        (written,) = result.written
        assert (written.result, written.version.version) == ("updated", 2)
        assert written.version.method == "PATCH"
        assert resource_of(written.version)["active"] is False


async def test_patch_of_unknown_fails(ctx, run):
    binary = {
        "resourceType": "Binary",
        "contentType": "application/json-patch+json",
        "data": base64.b64encode(b"[]").decode(),
    }
    with pytest.raises(errors.NotFound):
        await run(entry("PATCH", "Patient/none", binary))
    with pytest.raises(errors.NotFound):
        await run(entry("PATCH", "Patient?identifier=urn:s|1", binary))


async def test_conditional_delete_of_many(ctx, run):
    for id in ("a", "b"):
        await update(ctx, "Patient", id, patient("1", id=id))
    many, none = await run(
        entry("DELETE", "Patient?identifier=urn:s|1"),
        entry("DELETE", "Patient?identifier=urn:s|9"),
    )
    assert [w.result for w in many.written] == ["deleted", "deleted"]
    assert none.written == ()


async def test_deletion_of_unknown_is_unchanged(run, engine):
    (result,) = await run(entry("DELETE", "Patient/none"))
    assert result.written[0].result == "unchanged"
    assert await stored(engine) == []


async def test_update_after_deletion_creates(ctx, run):
    await update(ctx, "Patient", "a", patient(id="a"))
    await delete(ctx, "Patient", "a")
    (result,) = await run(entry("PUT", "Patient/a", patient(id="a")))
    assert (result.written[0].result, result.written[0].version.version) == ("created", 3)


async def test_store_without_transactions_takes_one_write_and_refuses_more(make_context):
    engine = MemoryStore(transactions=False, reason="it is a standalone server")
    ctx = make_context(engine)
    (result,) = await transaction(ctx, bundle(entry("POST", "Patient", patient())), None)
    assert result.written[0].result == "created"
    with pytest.raises(errors.NotSupported, match="standalone"):
        await transaction(ctx, bundle(*[entry("POST", "Patient", patient())] * 2), None)
    assert len(await stored(engine)) == 1


async def test_parallel_transactions_with_one_condition_make_one_resource(ctx, run, engine):
    def both():
        return run(
            entry("POST", "Patient", patient("1"), P1, ifNoneExist="identifier=urn:s|1"),
            entry("POST", "Observation", observation(P1)),
        )

    outcomes = await asyncio.gather(*(both() for _ in range(15)))
    patients = {v.id for v in await stored(engine) if v.type == "Patient"}
    assert len(patients) == 1
    for _, result in outcomes:
        made = resource_of(result.written[0].version)
        assert made["subject"]["reference"] == f"Patient/{min(patients)}"


async def test_bundle_is_not_changed_by_a_transaction(run):
    sent = bundle(
        entry("POST", "Observation", observation(P1)), entry("POST", "Patient", patient(), P1)
    )
    before = json.encode(sent)
    await run(*sent["entry"])
    assert json.encode(sent) == before


async def test_batch_performs_each_entry_in_order(ctx):
    asked = []

    async def perform(request):
        asked.append((request.method, request.url, dict(request.headers)))
        return EntryResult(request, answer=len(asked))

    results = await batch(
        ctx,
        bundle(
            entry("GET", "Patient/1", ifNoneMatch='W/"1"'),
            entry("POST", "Patient", patient(), ifNoneExist="identifier=1"),
            entry("DELETE", "Patient/2", ifMatch='W/"2"'),
            type="batch",
        ),
        perform,
    )
    assert [r.answer for r in results] == [1, 2, 3]
    assert asked == [
        ("GET", "Patient/1", {"if-none-match": 'W/"1"'}),
        ("POST", "Patient", {"if-none-exist": "identifier=1"}),
        ("DELETE", "Patient/2", {"if-match": 'W/"2"'}),
    ]


async def test_behaviours_hear_of_writes_and_can_refuse(make_context, engine):
    class Listener:
        types = frozenset({"Patient"})
        heard = []

        async def before_commit(self, ctx, drafts):
            for draft in drafts:
                if draft.resource and draft.resource.get("active") is False:
                    raise errors.Unprocessable("inactive")
            return drafts

        async def after_commit(self, ctx, versions):
            self.heard += [(v.type, v.version) for v in versions]

    listener = Listener()
    ctx = make_context(engine, behaviours=(listener,))
    await transaction(
        ctx,
        bundle(
            entry("POST", "Patient", patient(), P1), entry("POST", "Observation", observation(P1))
        ),
        None,
    )
    assert listener.heard == [("Patient", 1)]
    with pytest.raises(errors.Unprocessable):
        await transaction(ctx, bundle(entry("POST", "Patient", patient(active=False))), None)
    assert len(await stored(engine)) == 2
