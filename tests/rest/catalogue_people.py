"""A publisher, an operator, citizens and apps, against a server with `--auth smart`."""

from __future__ import annotations

import time

from smart_browser import BASE, CALLBACK

from fhirserver.auth import secret as handles
from fhirserver.auth.authorization import ACCESS, Authorization
from fhirserver.auth.tokens import grant_of

OWN = "http://fhirserver.example"
REFERENCING = f"{OWN}/StructureDefinition/catalogue-referencing"
CONVENTION = f"{OWN}/StructureDefinition/catalogue-convention"
ENTRY = f"{OWN}/StructureDefinition/catalogue-entry"
AGREED = f"{OWN}/StructureDefinition/catalogue-agreed-version"
IDENTIFIER = f"{OWN}/catalogue"
FAMILIES = ("urbanisation", "interoperability", "security", "ethics")
ALL = "system/*.cruds"
VACCINES = ("patient/Immunization.rs", "patient/ImmunizationRecommendation.rs")


def system(name):
    return f"{OWN}/CodeSystem/catalogue-{name}"


def concept(of, code, text=None):
    made = {"coding": [{"system": system(of), "code": code}]}
    return made | ({"text": text} if text else {})


async def token(door, role, *, client="test", scopes=ALL, **more):
    """An access token as `fhirserver token` would make one, for any role."""
    given = Authorization(
        client=client, scopes=scopes, family=handles.new(), role=role, audience=BASE, **more
    )
    secret = handles.new()
    expires = time.time_ns() // 1000 + 3600 * 1_000_000
    await door.store.put_grant(grant_of(ACCESS, secret, given, given, expires))
    return secret


async def citizen(door, id="camille-lefevre", scopes="patient/*.cruds", **more):
    return await token(
        door, "citizen", scopes=scopes, fhir_user=f"Patient/{id}", patient=id, **more
    )


def referencing(status, reason=None):
    parts = [{"url": "status", "valueCode": status}]
    if reason:
        parts.append({"url": "reason", "valueString": reason})
    return {"url": REFERENCING, "extension": parts}


def convention(**purposes):
    """`prevention=("patient/Immunization.rs",)`"""
    made = []
    for code, scopes in purposes.items():
        inner = [{"url": "code", "valueCoding": {"system": system("purpose"), "code": code}}]
        inner += [
            {"url": "scope", "extension": [{"url": "value", "valueString": scope}]}
            for scope in scopes
        ]
        made.append({"url": "purpose", "extension": inner})
    return {"url": CONVENTION, "extension": made}


def part(device, url, *path):
    """What stands in nested extensions: part(device, REFERENCING, "status") -> "EN_LIGNE"."""
    found = device
    for name in (url, *path):
        (found,) = [e for e in found.get("extension", []) if e["url"] == name]
    return next((v for k, v in found.items() if k.startswith("value")), found)


def status_of(device):
    return part(device, REFERENCING, "status")


class Publisher:
    """A publisher and the resources of one app, written over HTTP."""

    def __init__(self, door, token, organization):
        self.door, self.token, self.organization = door, token, organization
        self.ids = {}

    async def ask(self, method, path, body=None, **headers):
        return await self.door.fhir(
            self.token, path, method, json=body, headers={"content-type": JSON, **headers}
        )

    async def create(self, resource):
        answer = await self.ask("POST", resource["resourceType"], resource)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        self.ids[resource["resourceType"]] = made["id"]
        return made

    @property
    def device(self):
        return f"Device/{self.ids['Device']}"

    async def read(self, reference):
        answer = await self.ask("GET", reference)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def put(self, resource, **headers):
        path = f"{resource['resourceType']}/{resource['id']}"
        return await self.ask("PUT", path, resource, **headers)

    def model(self, **more):
        return {
            "resourceType": "DeviceDefinition",
            "identifier": [{"system": IDENTIFIER, "value": "x"}],
            "manufacturerReference": {"reference": self.organization},
            "deviceName": [{"name": "Carnet", "type": "user-friendly-name"}],
        } | more

    def app(self, name="Carnet de vaccins", purposes=None, **more):
        extension = [referencing("PRESERIE")]
        if purposes is None:
            purposes = {"prevention": VACCINES}
        if purposes:
            extension.append(convention(**purposes))
        return {
            "resourceType": "Device",
            "extension": extension,
            "identifier": [{"system": IDENTIFIER, "value": "x"}],
            "definition": {"reference": f"DeviceDefinition/{self.ids['DeviceDefinition']}"},
            "deviceName": [{"name": name, "type": "user-friendly-name"}],
            "owner": {"reference": self.organization},
        } | more

    def described(self, name="Carnet de vaccins", region="76", theme="vaccination", **more):
        exchange = more.pop("exchange", ("vaccination",))
        traits = [concept("data-category", code) for code in exchange]
        if exchange:
            traits.append(concept("characteristic", "exchange"))
        if more.pop("medical", False):
            traits.append(concept("characteristic", "medical-device"))
        return {
            "resourceType": "HealthcareService",
            "extension": [{"url": ENTRY, "valueReference": {"reference": self.device}}],
            "active": True,
            "providedBy": {"reference": self.organization},
            "category": [concept("theme", theme)],
            "name": name,
            "coverageArea": [{"identifier": {"system": system("region"), "value": region}}],
            **({"characteristic": traits} if traits else {}),
        } | more

    def request(self, kind="application", status="requested", inputs=None, **more):
        given = {"redirect-uri": CALLBACK} if inputs is None else inputs
        enclosed = [
            {
                "type": concept("input", code),
                ("valueString" if code == "jwks" else "valueUrl"): value,
            }
            for code, value in given.items()
        ]
        return {
            "resourceType": "Task",
            "status": status,
            "intent": "proposal",
            "code": concept("task", kind),
            "focus": {"reference": self.device},
            "requester": {"reference": self.organization},
            **({"input": enclosed} if enclosed else {}),
        } | more

    async def prepare(self, medical=False, purposes=None, exchange=("vaccination",), **described):
        """The app with its model and description, not yet applied for."""
        udi = [
            {"deviceIdentifier": "03401234567894", "issuer": "http://gs1.org", "jurisdiction": "eu"}
        ]
        await self.create(self.model(**({"udiDeviceIdentifier": udi} if medical else {})))
        name = described.get("name", "Carnet de vaccins")
        await self.create(self.app(name, purposes))
        await self.create(self.described(exchange=exchange, medical=medical, **described))
        return self

    async def apply(self, **more):
        return await self.create(self.request(**more))


JSON = "application/fhir+json"


async def publisher(door, name="editeur-carnet", **more):
    secret = await token(
        door, "publisher", client=f"pub-{name}", organization=f"Organization/{name}", **more
    )
    return Publisher(door, secret, f"Organization/{name}")


class Operator(Publisher):
    """Reviews and lists."""

    async def change(self, reference, **elements):
        """The resource with these elements; the answer."""
        resource = await self.read(reference)
        return await self.put(resource | elements)

    async def review(self, task, verdicts=None, status="completed", **more):
        """Take it up and judge every family; the last answer."""
        answer = await self.change(task, status="in-progress")
        assert answer.status_code == 200, answer.text
        verdicts = verdicts or dict.fromkeys(FAMILIES, "compliant")
        output = [
            {
                "type": concept("criteria-family", family),
                "valueCodeableConcept": concept("verdict", *said.split(":")),
            }
            for family, said in verdicts.items()
        ]
        return await self.change(task, status=status, output=output, **more)

    async def place(self, device, status, reason=None):
        """Give the app this status; the answer."""
        found = await self.read(device)
        kept = [e for e in found["extension"] if e["url"] != REFERENCING]
        return await self.put(found | {"extension": [*kept, referencing(status, reason)]})


async def operator(door):
    secret = await token(door, "operator", client="operator")
    return Operator(door, secret, "")


async def listed(door, name="editeur-carnet", **more):
    """A publisher whose app is on the list, and the operator."""
    by, op = await publisher(door, name), await operator(door)
    await by.prepare(**more)
    task = await by.apply()
    answer = await op.review(f"Task/{task['id']}")
    assert answer.status_code == 200, answer.text
    answer = await op.place(by.device, "EN_LIGNE")
    assert answer.status_code == 200, answer.text
    return by, op


async def anyone(door, path, method="GET", **more):
    """A request without a token."""
    return await door.http.request(method, f"{BASE}/{path}", **more)


def authorisation(device, patient="camille-lefevre", purposes=(), classes=(), version=None):
    """The Consent of a citizen for an app."""
    made = {
        "resourceType": "Consent",
        "status": "active",
        "scope": {
            "coding": [
                {
                    "system": "http://terminology.hl7.org/CodeSystem/consentscope",
                    "code": "patient-privacy",
                }
            ]
        },
        "category": [
            {
                "coding": [
                    {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "INFA"}
                ]
            }
        ],
        "patient": {"reference": f"Patient/{patient}"},
        "dateTime": "2026-11-02",
        "performer": [{"reference": f"Patient/{patient}"}],
        "policyRule": {"text": "Autorisation d'un service"},
        "provision": {
            "type": "permit",
            "actor": [{"role": {"text": "app"}, "reference": {"reference": device}}],
        },
    }
    if purposes:
        made["provision"]["purpose"] = [
            {"system": system("purpose"), "code": code} for code in purposes
        ]
    if classes:
        made["provision"]["class"] = [
            {"system": "http://hl7.org/fhir/resource-types", "code": code} for code in classes
        ]
    if version:
        made["extension"] = [{"url": AGREED, "valuePositiveInt": version}]
    return made
