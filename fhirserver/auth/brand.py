"""The User-access Brands Bundle: whose server this is, for apps that list places to connect to.

https://hl7.org/fhir/smart-app-launch/STU2.2/brands.html. It is made of the configuration; when it
first said what it says now is kept in the store, the same for every process.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from fhirserver.auth.configuration import FOREVER
from fhirserver.storage.interface import Grant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.auth.configuration import Configuration
    from fhirserver.storage.interface import Store

KIND = "brand"
_URI = "urn:ietf:rfc:3986"
_PORTAL = "http://hl7.org/fhir/StructureDefinition/organization-portal"
_FHIR_VERSION = "http://hl7.org/fhir/StructureDefinition/endpoint-fhir-version"


def identifier(configuration: Configuration) -> dict[str, str]:
    """By which one Organization of the Bundle is found (user_access_brand_identifier)."""
    return {"system": _URI, "value": configuration.root_url}


class Brands:
    def __init__(
        self, configuration: Configuration, store: Store, now: Callable[[], int], name: str
    ) -> None:
        self._configuration = configuration
        self._store = store
        self._now = now
        self._name = name

    async def bundle(self) -> tuple[dict[str, Any], str]:
        """The Bundle and its entity tag."""
        entries = self._entries()
        key = hashlib.sha256(msgspec.json.encode(entries)).hexdigest()
        made = str(self._now())
        expires = self._now() + FOREVER * 1_000_000
        if not await self._store.add_grant(Grant(KIND, key, made.encode(), expires)):
            grant = await self._store.get_grant(KIND, key)
            made = grant.value.decode() if grant is not None else made
        changed = datetime.fromtimestamp(int(made) // 1_000_000, UTC).isoformat()
        bundle = {
            "resourceType": "Bundle",
            "type": "collection",
            "timestamp": changed,
            "entry": entries,
        }
        return bundle, f'W/"{key[:32]}"'

    def _entries(self) -> list[dict[str, Any]]:
        root = self._configuration.root_url
        endpoint, organization = f"{root}/Endpoint/fhir", f"{root}/Organization/brand"
        reference = {"reference": endpoint}
        brand = {
            "resourceType": "Organization",
            "id": "brand",
            "extension": [
                {
                    "url": _PORTAL,
                    "extension": [
                        {"url": "portalName", "valueString": self._name},
                        {"url": "portalUrl", "valueUrl": root},
                        {"url": "portalEndpoint", "valueReference": reference},
                    ],
                }
            ],
            "identifier": [identifier(self._configuration)],
            "active": True,
            "name": self._name,
            "telecom": [{"system": "url", "value": root}],
            "endpoint": [reference],
        }
        server = {
            "resourceType": "Endpoint",
            "id": "fhir",
            "extension": [{"url": _FHIR_VERSION, "valueCode": "4.0.1"}],
            "status": "active",
            "connectionType": {
                "system": "http://terminology.hl7.org/CodeSystem/endpoint-connection-type",
                "code": "hl7-fhir-rest",
            },
            "name": f"{self._name}: FHIR R4",
            "contact": [{"system": "url", "value": root}],
            "payloadType": [
                {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/endpoint-payload-type",
                            "code": "none",
                        }
                    ]
                }
            ],
            "address": self._configuration.fhir_url,
        }
        return [
            {"fullUrl": organization, "resource": brand},
            {"fullUrl": endpoint, "resource": server},
        ]
