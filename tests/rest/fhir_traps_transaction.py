"""Clauses of transactions (https://hl7.org/fhir/R4/http.html#transaction)."""

from __future__ import annotations

from fhir_steps import (
    HTML,
    MINE,
    OUTCOME,
    URN,
    Step,
    bundle,
    entry,
    finds,
    observation,
    patient,
    put,
)

TRANSACTION: dict[str, list[Step]] = {
    "entries run DELETE, POST, PUT, GET and answer in their order": [
        put(patient(), "TAG-gone"),
        Step(
            "POST ",
            200,
            bundle(
                "transaction",
                entry("GET", f"Patient?{MINE}&_sort=_id"),
                entry("PUT", "Patient/TAG-put", patient(id="TAG-put")),
                entry("POST", "Patient", patient(), ifNoneExist=MINE),
                entry("DELETE", "Patient/TAG-gone"),
            ),
            has={
                "entry.0.resource.entry#": 2,
                "entry.0.response.status": "200*",
                "entry.1.response.status": "201*",
                "entry.1.response.etag": 'W/"1"',
                "entry.1.response.lastModified": "20*",
                "entry.1.response.location": "*/Patient/TAG-put/_history/1",
                "entry.2.response.status": "201*",
                "entry.3.response.status": "204*",
            },
        ),
    ],
    "one failure and nothing is stored": [
        Step(
            "POST ",
            400,
            bundle(
                "transaction",
                entry("PUT", "Patient/TAG", patient(id="TAG")),
                entry("POST", "Patient", patient(gender="alien")),
            ),
            has=OUTCOME,
        ),
        Step("GET Patient/TAG", 404),
        Step("GET Patient/TAG/_history", 404),
        Step(
            "POST ",
            400,
            bundle(
                "transaction",
                entry("PUT", "Patient/TAG", patient(id="TAG")),
                entry("PUT", "Patient/TAG", patient(id="TAG")),
            ),
            has=OUTCOME,
        ),
        Step(
            "POST ",
            400,
            b'{"resourceType":"Bundle","type":"transaction","entry":[{"resource":null,'
            b'"request":{"method":"POST","url":"Patient"}}]}',
            has=OUTCOME,
        ),
        Step("POST ", 400, bundle("transaction", None), has=OUTCOME),
        finds(f"Patient?{MINE}"),
    ],
    "urn:uuid is rewritten where it is a link, and nowhere else": [
        Step(
            "POST ",
            200,
            bundle(
                "transaction",
                entry(
                    "POST",
                    "DocumentReference",
                    {
                        "resourceType": "DocumentReference",
                        "status": "current",
                        "identifier": [{"system": "urn:ietf:rfc:3986", "value": URN}],
                        "subject": {"reference": URN},
                        "content": [{"attachment": {"url": URN}}],
                        "text": {
                            "status": "generated",
                            "div": f'<div {HTML}><a href="{URN}">a</a>'
                            f'<img src="{URN}" alt="b"/></div>',
                        },
                        "extension": [
                            {"url": "urn:x", "valueCanonical": URN},
                            {"url": "urn:y", "valueUri": URN},
                        ],
                    },
                    "urn:uuid:2dfe0e4b-9c0a-4e7e-8a3f-6f2a0b1f5d11",
                ),
                entry(
                    "POST",
                    "Patient",
                    patient(
                        link=[{"other": {"reference": "urn:uuid:1"}, "type": "seealso"}],
                    ),
                    URN,
                ),
                entry(
                    "POST",
                    "Patient",
                    patient(link=[{"other": {"reference": URN}, "type": "seealso"}]),
                    "urn:uuid:1",
                ),
            ),
            keep={"doc": "entry.0.response.location", "pat": "entry.1.response.location"},
        ),
        Step(
            "GET <doc>",
            200,
            has={
                "subject.reference": "Patient/*",
                "content.0.attachment.url": "Patient/*",
                "text.div": '*<a href="Patient/*<img src="Patient/*',
                "identifier.0.value": URN,
                "extension.0.valueCanonical": URN,
                "extension.1.valueUri": "Patient/*",
            },
        ),
        Step("GET <pat>", 200, has={"link.0.other.reference": "Patient/*"}),
    ],
    "a link to one version is one afterwards": [
        put(patient(), "TAG-put"),
        Step(
            "POST ",
            200,
            bundle(
                "transaction",
                entry("POST", "Patient", patient(), "http://TAG.example/fhir/Patient/1"),
                entry(
                    "PUT",
                    "Patient/TAG-put",
                    patient(id="TAG-put"),
                    "http://TAG.example/fhir/Patient/TAG-put",
                ),
                entry(
                    "POST",
                    "Observation",
                    observation(
                        subject={"reference": "http://TAG.example/fhir/Patient/1/_history/7"},
                        performer=[{"reference": "Patient/TAG-put/_history/7"}],
                        focus=[{"reference": "http://TAG.example/fhir/Patient/9/_history/7"}],
                    ),
                    "http://TAG.example/fhir/Observation/1",
                ),
            ),
            has={"entry.1.response.etag": 'W/"2"'},
            keep={"made": "entry.2.response.location"},
        ),
        Step(
            "GET <made>",
            200,
            has={
                "subject.reference": "Patient/*-*/_history/1",
                "performer.0.reference": "Patient/TAG-put/_history/2",
                "focus.0.reference": "http://TAG.example/fhir/Patient/9/_history/7",
            },
        ),
    ],
    "a link to what is not in the Bundle is left untouched": [
        Step(
            "POST ",
            200,
            bundle(
                "transaction",
                entry("POST", "Patient", patient(), URN),
                entry(
                    "POST",
                    "Observation",
                    observation(
                        subject={"reference": "urn:uuid:7c4f9a10-0000-4000-8000-000000000000"},
                        performer=[{"reference": "Practitioner/TAG-elsewhere"}],
                    ),
                ),
            ),
            keep={"made": "entry.1.response.location"},
        ),
        Step(
            "GET <made>",
            200,
            has={
                "subject.reference": "urn:uuid:7c4f9a10-0000-4000-8000-000000000000",
                "performer.0.reference": "Practitioner/TAG-elsewhere",
            },
        ),
    ],
    "a conditional reference selects one or fails": [
        put(patient()),
        Step(
            "POST ",
            200,
            bundle(
                "transaction",
                entry("POST", "Observation", observation(subject={"reference": f"Patient?{MINE}"})),
            ),
            keep={"made": "entry.0.response.location"},
        ),
        Step("GET <made>", 200, has={"subject.reference": "Patient/TAG"}),
        put(patient(), "TAG-2"),
        Step(
            "POST ",
            412,
            bundle(
                "transaction",
                entry(
                    "PUT",
                    "Observation/TAG-0",
                    observation(id="TAG-0", subject={"reference": f"Patient?{MINE}"}),
                ),
            ),
            has=OUTCOME,
        ),
        Step(
            "POST ",
            412,
            bundle(
                "transaction",
                entry(
                    "PUT",
                    "Observation/TAG-0",
                    observation(id="TAG-0", subject={"reference": "Patient?identifier=TAG-x"}),
                ),
            ),
            has=OUTCOME,
        ),
        Step("GET Observation/TAG-0", 404),
    ],
    "what a condition finds is what the others point to": [
        put(patient()),
        Step(
            "POST ",
            200,
            bundle(
                "transaction",
                entry("POST", "Patient", patient(), URN, ifNoneExist=MINE),
                entry("POST", "Observation", observation(subject={"reference": URN})),
            ),
            has={"entry.0.response.status": "200*", "entry.0.response.location": "*Patient/TAG/*"},
            keep={"made": "entry.1.response.location"},
        ),
        Step("GET <made>", 200, has={"subject.reference": "Patient/TAG"}),
        Step(
            "POST ",
            200,
            bundle(
                "transaction",
                entry("PUT", f"Patient?{MINE}", patient(active=True), URN),
                entry("POST", "Observation", observation(subject={"reference": URN})),
            ),
            has={"entry.0.response.status": "200*", "entry.0.response.etag": 'W/"2"'},
            keep={"made": "entry.1.response.location"},
        ),
        Step("GET <made>", 200, has={"subject.reference": "Patient/TAG"}),
    ],
    "entries of a batch stand alone": [
        Step(
            "POST ",
            200,
            bundle(
                "batch",
                entry("POST", "Patient", patient(), URN),
                entry("PUT", "Observation/TAG", observation(id="TAG", subject={"reference": URN})),
                entry("POST", "Patient", patient(gender="alien")),
                entry("GET", "Patient/TAG-none"),
            ),
            has={
                "entry.0.response.status": "201*",
                "entry.0.response.location": "*/Patient/*/_history/1",
                "entry.0.response.etag": 'W/"1"',
                "entry.0.response.lastModified": "20*",
                "entry.1.response.status": "201*",
                "entry.2.response.status": "400*",
                "entry.2.response.outcome.resourceType": "OperationOutcome",
                "entry.3.response.status": "404*",
                "entry.3.response.outcome.resourceType": "OperationOutcome",
            },
        ),
        Step("GET Observation/TAG", 200, has={"subject.reference": URN}),
    ],
}
