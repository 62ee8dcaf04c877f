"""The sample people as they write messages: each with a token of a server with `--auth smart`."""

from __future__ import annotations

import pytest
from smart_browser import CAMILLE, Page, back

CLAIRE = "Practitioner/claire-fontaine"
CLAIRE_ROLE = "PractitionerRole/claire-fontaine-role"
MATHIEU = "Practitioner/mathieu-lopez"
EXTENSION = "http://fhirserver.example/StructureDefinition/message-"
SECRET = {
    "system": "https://mos.esante.gouv.fr/NOS/TRE_A07-StatutVisibiliteDocument/FHIR/"
    "TRE-A07-StatutVisibiliteDocument",
    "code": "CONNEXION_SECRETE",
}


@pytest.fixture
async def door(smart_on_both):
    return smart_on_both


def message(sender=None, to=(), subject=CAMILLE, text="Bonjour", **more):
    """A Communication as a client sends it; no sender: the server fills it in."""
    made = {"resourceType": "Communication", "status": "completed"}
    if subject:
        made["subject"] = {"reference": subject}
    if to:
        made["recipient"] = [{"reference": each} for each in ([to] if isinstance(to, str) else to)]
    if sender:
        made["sender"] = {"reference": sender}
    if text:
        made["payload"] = [{"contentString": text}]
    return made | more


def answering(root, previous=None, **more):
    return {
        "partOf": [{"reference": f"Communication/{root}"}],
        **({"inResponseTo": [{"reference": f"Communication/{previous}"}]} if previous else {}),
        **more,
    }


def extension(resource, name):
    return [e for e in resource.get("extension", []) if e["url"] == EXTENSION + name]


def unread(resource):
    return [e["valueReference"]["reference"] for e in extension(resource, "unread")]


def parts(parameters, name):
    found = [p for p in parameters["parameter"] if p["name"] == name]
    return [next(v for k, v in p.items() if k != "name") for p in found]


async def state(person, id):
    answer = await person.get(f"Communication/{id}/$thread")
    assert answer.status_code == 200, answer.text
    return parts(answer.json(), "state")[0]


def block(professional):
    """What a citizen writes to block somebody."""
    actor = [{"role": {"text": "x"}, "reference": {"reference": professional}}]
    return choice("INFA", "deny", actor=actor)


def choice(category, type, **provision):
    """A Consent of Camille's."""
    return {
        "resourceType": "Consent",
        "status": "active",
        "scope": {"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/consentscope",
            "code": "patient-privacy"}]},
        "category": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": category}]}],
        "patient": {"reference": CAMILLE},
        "dateTime": "2026-11-02",
        "performer": [{"reference": CAMILLE}],
        "policyRule": {"text": "x"},
        "provision": {"type": type, **provision},
    }  # fmt: skip


class Person:
    """Someone with a token."""

    def __init__(self, door, token):
        self.door = door
        self.token = token

    async def ask(self, method, path, body=None, **headers):
        more = {"json": body} if body is not None else {}
        sent = {"content-type": "application/fhir+json"} | headers
        return await self.door.fhir(self.token, path, method, headers=sent, **more)

    async def get(self, path):
        return await self.ask("GET", path)

    async def send(self, body, status=201):
        """POST a message; what was stored, or the OperationOutcome."""
        answer = await self.ask("POST", "Communication", body)
        assert answer.status_code == status, (answer.status_code, answer.text[:600])
        return answer.json()

    async def put(self, resource, status=200):
        path = f"Communication/{resource['id']}"
        answer = await self.ask("PUT", path, resource)
        assert answer.status_code == status, (answer.status_code, answer.text[:600])
        return answer.json()

    async def does(self, path, status=200, **parameters):
        """POST an operation; parameters: name=("valueString", x)."""
        listed = [{"name": n.rstrip("_"), v[0]: v[1]} for n, v in parameters.items()]
        body = {"resourceType": "Parameters", "parameter": listed}
        answer = await self.ask("POST", path, body)
        assert answer.status_code == status, (answer.status_code, answer.text[:600])
        return answer.json()

    async def count(self, path):
        answer = await self.get(f"{path}&_summary=count")
        assert answer.status_code == 200, answer.text
        return answer.json()["total"]


def said(outcome):
    return " ".join(issue.get("diagnostics", "") for issue in outcome["issue"])


async def citizen(door, who=CAMILLE, scope="launch/patient openid fhirUser patient/*.cruds"):
    app = await door.register()
    return Person(door, (await app.tokens(scope, who))["access_token"])


async def acting_for(door, who, name):
    """A parent or carer in the space of somebody whose name has `name`."""
    app = await door.register()
    browser = door.browser()
    page = Page(await browser.ask(app, "launch/patient openid fhirUser patient/*.cruds"))
    page = await browser.sign_in(page, who)
    labels = page.root.xpath("//label[starts-with(@for, 'c-')]")
    place = next(n for n, label in enumerate(labels) if name in label.text_content())
    code = back(await browser.answer(page, capacity=str(place)))["code"]
    given = await app.exchange(code)
    assert given.status_code == 200, given.text
    return Person(door, given.json()["access_token"])


async def professional(door, who=CLAIRE, scope="openid fhirUser user/*.cruds"):
    app = await door.register()
    return Person(door, (await app.tokens(scope, who))["access_token"])


async def establishment(door, organization="Organization/ch-garonne"):
    app = await door.register("backend", "ES384", "system/*.cruds", organization=organization)
    given = await app.backend("system/*.cruds")
    assert given.status_code == 200, given.text
    return Person(door, given.json()["access_token"])
