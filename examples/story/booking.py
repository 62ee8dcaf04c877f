"""The chapter of the booking app: from its publisher's application to the end of its access."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
from prepare import CALLBACK
from resources import OWN, actor, choice, concept, convention, parameters, purpose, referencing

if TYPE_CHECKING:
    from server import Client
    from telling import Story

CAMILLE = "Patient/camille-lefevre"
CLAIRE = "Practitioner/claire-fontaine"
PUBLISHER = "Organization/editeur-garonne"
FAMILIES = ("urbanisation", "interoperability", "security", "ethics")
SCOPES = ("patient/Appointment.cruds", "patient/Slot.rs", "patient/Schedule.rs")
#: What the Consent opens: appointments, and the free times, which are nobody's data.
CLASSES = [
    {"system": "http://hl7.org/fhir/resource-types", "code": code}
    for code in ("Appointment", "Slot", "Schedule")
]
OPENED = "launch/patient openid fhirUser " + " ".join(SCOPES)


def a_booking_app(story: Story) -> None:
    """A booking app is listed, authorised, books, is refused documents, is withdrawn."""
    server, camille = story.server, story.memory["camille"]
    publisher, operator = server.service("story-publisher"), server.service("story-operator")
    name = f"Rendez-vous {uuid.uuid4().hex[:6]}"
    device = _applies(story, publisher, name)
    _is_listed(story, operator, device, name)
    consent = camille.post(
        "Consent",
        choice(
            CAMILLE, "INFA", "permit", "Application de rendez-vous", actor=actor(device),
            purpose=purpose("care", f"{OWN}/CodeSystem/catalogue-purpose"),
            **{"class": CLASSES},
        ),
    )  # fmt: skip
    story.tells("Camille authorises it, for appointments only.", consent["id"])

    def signs_in() -> Client | None:
        from telling import Wrong

        try:
            return server.person(CAMILLE, OPENED, app=device.partition("/")[2])
        except Wrong as wrong:
            story.memory["why"] = str(wrong)
            return None

    app = server.until(signs_in, every=1)
    story.tells("It signs in with her.", app)
    slot = _free_slot(story)
    booked = app.post(
        f"Slot/{slot}/$book",
        parameters(patient_reference=("valueReference", {"reference": CAMILLE})),
    )
    booked = _appointment(booked)
    story.tells(
        f"It books with Dr Fontaine: Appointment/{booked['id']}.", booked["status"] == "booked"
    )
    agenda = camille.get(f"Appointment/{booked['id']}")
    story.tells("The appointment is in her diary.", agenda["status"] == "booked")
    status = app.status("GET", f"DocumentReference?patient={CAMILLE}")
    story.tells(f"It asks for her documents, and is refused ({status}).", status == 403)
    camille.put(consent | {"status": "inactive"})
    status = app.status("GET", f"Appointment?patient={CAMILLE}")
    story.tells(
        f"She withdraws the authorisation; its next request is refused at once ({status}).",
        status in (401, 403),
    )


def _applies(story: Story, publisher: Client, name: str) -> str:
    """The publisher describes the app and asks for it to be listed; its Device."""
    identifier = [{"system": f"{OWN}/catalogue", "value": str(uuid.uuid4())}]
    model = publisher.post(
        "DeviceDefinition",
        {
            "resourceType": "DeviceDefinition",
            "identifier": identifier,
            "manufacturerReference": {"reference": PUBLISHER},
            "deviceName": [{"name": name, "type": "user-friendly-name"}],
        },
    )
    device = publisher.post(
        "Device",
        {
            "resourceType": "Device",
            "extension": [referencing("PRESERIE"), convention("care", *SCOPES)],
            "identifier": identifier,
            "definition": {"reference": f"DeviceDefinition/{model['id']}"},
            "deviceName": [{"name": name, "type": "user-friendly-name"}],
            "owner": {"reference": PUBLISHER},
        },
    )
    reference = f"Device/{device['id']}"
    entry = {
        "url": f"{OWN}/StructureDefinition/catalogue-entry",
        "valueReference": {"reference": reference},
    }
    publisher.post(
        "HealthcareService",
        {
            "resourceType": "HealthcareService",
            "extension": [entry],
            "active": True,
            "providedBy": {"reference": PUBLISHER},
            "category": [concept("theme", "agenda")],
            "name": name,
            "characteristic": [
                concept("data-category", "agenda"),
                concept("characteristic", "exchange"),
            ],
        },
    )
    task = publisher.post(
        "Task",
        {
            "resourceType": "Task",
            "status": "requested",
            "intent": "proposal",
            "code": concept("task", "application"),
            "focus": {"reference": reference},
            "requester": {"reference": PUBLISHER},
            "input": [{"type": concept("input", "redirect-uri"), "valueUrl": CALLBACK}],
        },
    )
    story.memory["application"] = task["id"]
    story.tells(f"A publisher applies for its app “{name}” to be listed.", task["id"])
    return reference


def _is_listed(story: Story, operator: Client, device: str, name: str) -> None:
    """The operator reviews the four families of criteria, and lists it."""
    task = operator.get(f"Task/{story.memory['application']}")
    task = operator.put(task | {"status": "in-progress"})
    output = [
        {
            "type": concept("criteria-family", family),
            "valueCodeableConcept": concept("verdict", "compliant"),
        }
        for family in FAMILIES
    ]
    operator.put(task | {"status": "completed", "output": output})
    story.tells(f"The operator reviews {', '.join(FAMILIES)}: compliant.")
    found = operator.get(device)
    url = f"{OWN}/StructureDefinition/catalogue-referencing"
    kept = [each for each in found["extension"] if each["url"] != url]
    operator.put(found | {"extension": [*kept, referencing("EN_LIGNE")]})
    listed = httpx.get(
        f"{story.server.base}/HealthcareService", params={"name": name}, timeout=120
    ).json()
    story.tells("It is listed: anybody finds it, without signing in.", listed.get("entry"))


def _free_slot(story: Story) -> str:
    """A free time that Dr Fontaine offers."""
    claire = story.server.person(CLAIRE, "openid fhirUser user/*.cruds", app="story-practice")
    schedule = claire.post(
        "Schedule", {"resourceType": "Schedule", "active": True, "actor": [{"reference": CLAIRE}]}
    )
    start = (datetime.now(UTC) + timedelta(days=3)).replace(minute=0, second=0, microsecond=0)
    slot = claire.post(
        "Slot",
        {
            "resourceType": "Slot",
            "schedule": {"reference": f"Schedule/{schedule['id']}"},
            "status": "free",
            "start": start.isoformat(),
            "end": (start + timedelta(minutes=20)).isoformat(),
        },
    )
    return str(slot["id"])


def _appointment(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["resourceType"] == "Appointment":
        return answer
    entries = answer.get("entry") or answer.get("parameter") or []
    return next(e["resource"] for e in entries if e["resource"]["resourceType"] == "Appointment")
