"""A record of the trail as AuditEvent (https://hl7.org/fhir/R4/auditevent.html), after the Basic
Audit Log Patterns of IHE (https://profiles.ihe.net/ITI/BALP/)."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

from fhirserver.access.caller import Mode, Role
from fhirserver.access.decision.traces import ATTRIBUTED, SYSTEM
from fhirserver.model.dates import instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.access.audit.record import Record

Json = dict[str, Any]

_HL7 = "http://terminology.hl7.org/CodeSystem"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_BALP = "https://profiles.ihe.net/ITI/BALP"
_NOS = "https://mos.esante.gouv.fr/NOS"
_VISIBILITY = f"{_NOS}/TRE_A07-StatutVisibiliteDocument/FHIR/TRE-A07-StatutVisibiliteDocument"
_PROFESSION = f"{_NOS}/TRE_G15-ProfessionSante/FHIR/TRE-G15-ProfessionSante"

_MODE = f"{_NOS}/TRE_R248_ModeAcces/FHIR/TRE-R248-ModeAcces"

_REST = (f"{_HL7}/audit-event-type", "rest", "RESTful Operation")
_INTERACTION = "http://hl7.org/fhir/restful-interaction"

_SOURCE = (_DCM, "110153", "Source Role ID")
_DESTINATION = (_DCM, "110152", "Destination Role ID")

#: interaction -> (action, name of the BALP profile, type of the client agent, of the server agent)
_KINDS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    "read": ("R", "Read", _DESTINATION, _SOURCE),
    "vread": ("R", "Read", _DESTINATION, _SOURCE),
    "history-instance": ("R", "", _DESTINATION, _SOURCE),
    "history-type": ("R", "", _DESTINATION, _SOURCE),
    "history-system": ("R", "", _DESTINATION, _SOURCE),
    "create": ("C", "Create", _SOURCE, _DESTINATION),
    "update": ("U", "Update", _SOURCE, _DESTINATION),
    "patch": ("U", "Update", _SOURCE, _DESTINATION),
    "delete": (
        "D",
        "Delete",
        (_DCM, "110150", "Application"),
        (f"{_HL7}/provenance-participant-type", "custodian", "Custodian"),
    ),
    "search": ("E", "Query", _SOURCE, _DESTINATION),
}
_IHE = "urn:ihe:event-type-code"
_OWN = "http://fhirserver.example/CodeSystem/audit"
_AUTHENTICATION = (_DCM, "110114", "User Authentication")
_ALERT = (_DCM, "110113", "Security Alert")
#: What the authorization server does -> (type, subtype); codes of DICOM and of IHE's IUA.
_SECURITY: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "login": (_AUTHENTICATION, (_DCM, "110122", "Login")),
    "logout": (_AUTHENTICATION, (_DCM, "110123", "Logout")),
    "authorize": (_AUTHENTICATION, (_OWN, "authorize", "Decision on an authorization request")),
    "token": (_AUTHENTICATION, (_IHE, "ITI-71", "Get Access Token")),
    "revoke": (_AUTHENTICATION, (_OWN, "revoke", "Access withdrawn")),
    "client": (_ALERT, (_DCM, "110131", "Security Configuration")),
    "client-disable": (_ALERT, (_DCM, "110131", "Security Configuration")),
}
_OTHER = ("E", "", _SOURCE, _DESTINATION)

#: Why: codes of v3 ActReason.
_PURPOSE = {
    Mode.BRIS_DE_GLACE: ("BTG", "break the glass"),
    Mode.CENTRE_15: ("ETREAT", "Emergency Treatment"),
}
_PURPOSE_OF_ROLE = {
    Role.CITIZEN: ("PATRQT", "patient requested"),
    Role.PROXY: ("FAMRQT", "family requested"),
    Role.PROFESSIONAL: ("TREAT", "treatment"),
    Role.SYSTEM: ("TREAT", "treatment"),
    Role.OPERATOR: ("HSYSADMIN", "health system administration"),
}


def audit_event(record: Record, server: str, *, attributed: bool = False) -> Json:
    """The AuditEvent of one record; `server`: the base URL of this server, or its name.
    `attributed`: its patient is not known to its agent (`decision/traces.py`)."""
    action, profile, client_type, server_type = _KINDS.get(record.interaction, _OTHER)
    succeeded = record.status < 400
    event: Json = {"resourceType": "AuditEvent"}
    meta: Json = {}
    if succeeded and profile and record.client and record.address and record.entities:
        patient = "Patient" if record.patient else ""
        meta["profile"] = [f"{_BALP}/StructureDefinition/IHE.BasicAudit.{patient}{profile}"]
    if record.labels:
        meta["security"] = [{"system": _VISIBILITY, "code": code} for code in record.labels]
    if attributed:
        meta["tag"] = [{"system": SYSTEM, "code": ATTRIBUTED}]
    if meta:
        event["meta"] = meta
    type, subtype = _SECURITY.get(record.interaction, (_REST, (_INTERACTION, record.interaction)))
    event["type"] = _coding(*type)
    event["subtype"] = [_coding(*subtype)]
    event["action"] = action
    event["recorded"] = instant(record.time // 1000 * 1000)
    event["outcome"] = "0" if succeeded else "4" if record.status < 500 else "8"
    if not succeeded:
        event["outcomeDesc"] = _refusal(record)
    elif record.detail:
        event["outcomeDesc"] = record.detail
    event["agent"] = list(_agents(record, client_type, server_type, server))
    event["source"] = {
        "observer": _identified(server),
        "type": [_coding(f"{_HL7}/security-source-type", "4", "Application Server")],
    }
    entities = list(_entities(record))
    if entities:
        event["entity"] = entities
    return event


def _refusal(record: Record) -> str:
    said = f"HTTP status {record.status}"
    if record.detail:
        said += f": {record.detail}"
    if record.skipped:
        said += f"; {record.skipped} requests of unknown callers before it are only counted"
    return said


def _agents(
    record: Record, client_type: Sequence[str], server_type: Sequence[str], server: str
) -> list[Json]:
    client: Json = {"type": _concept(client_type), "who": _identified(record.client or "unknown")}
    client["requestor"] = not record.user
    if record.address:
        client["network"] = {"address": record.address, "type": "2"}
    agents = [client, {"type": _concept(server_type), "who": _identified(server)}]
    agents[1]["requestor"] = False
    agents[1]["network"] = {"address": server, "type": "5"}
    if record.user:
        user: Json = {
            "type": _concept((f"{_HL7}/v3-ParticipationType", "IRCP", "information recipient"))
        }
        user["role"] = _roles(record)
        user["who"] = {"reference": record.user}
        user["requestor"] = True
        if record.token:
            user["policy"] = [f"urn:fhirserver:token:{record.token}"]
        agents.append(user)
    else:
        client["role"] = _roles(record)
        if record.token:
            client["policy"] = [f"urn:fhirserver:token:{record.token}"]
    agents[-1 if record.user else 0]["purposeOfUse"] = [_purpose(record)]
    if record.organization:
        agents.append(
            {
                "type": {"text": "Organization acted for"},
                "who": {"reference": record.organization},
                "requestor": False,
            }
        )
    return [_ordered(agent) for agent in agents]


#: Elements of an agent in the order of the definition.
_AGENT = ("type", "role", "who", "requestor", "policy", "network", "purposeOfUse")


def _ordered(agent: Json) -> Json:
    return {name: agent[name] for name in _AGENT if agent.get(name) not in (None, [])}


def _roles(record: Record) -> list[Json]:
    roles: list[Json] = []
    if record.role:
        roles.append({"text": record.role})
    if record.profession:
        roles.append({"coding": [{"system": _PROFESSION, "code": record.profession}]})
    return roles


def _purpose(record: Record) -> Json:
    found = _PURPOSE.get(record.mode) or _PURPOSE_OF_ROLE.get(record.role)  # type: ignore[call-overload]
    purpose: Json = {}
    if found is not None:
        purpose["coding"] = [_coding(f"{_HL7}/v3-ActReason", *found)]
    purpose.setdefault("coding", []).append(_coding(_MODE, record.mode))
    if record.reason:
        purpose["text"] = record.reason
    return purpose


def _entities(record: Record) -> list[Json]:
    entities: list[Json] = []
    if record.patient:
        entities.append(
            {
                "what": {"reference": f"Patient/{record.patient}"},
                "type": _coding(f"{_HL7}/audit-entity-type", "1", "Person"),
                "role": _coding(f"{_HL7}/object-role", "1", "Patient"),
            }
        )
    entities += (
        {
            "what": {"reference": entity},
            "type": _coding(f"{_HL7}/audit-entity-type", "2", "System Object"),
            "role": _coding(f"{_HL7}/object-role", "4", "Domain Resource"),
        }
        for entity in record.entities
    )
    if record.request:
        entities.append(
            {
                "type": _coding(f"{_HL7}/audit-entity-type", "2", "System Object"),
                "role": _coding(f"{_HL7}/object-role", "24", "Query"),
                "query": b64encode(record.request.encode()).decode(),
            }
        )
    if record.id:
        entities.append(
            {
                "what": {"identifier": {"value": record.id}},
                "type": _coding(f"{_BALP}/CodeSystem/BasicAuditEntityType", "XrequestId"),
            }
        )
    return entities


def _coding(system: str, code: str, display: str = "") -> Json:
    coding = {"system": system, "code": code}
    if display:
        coding["display"] = display
    return coding


def _concept(coding: Sequence[str]) -> Json:
    return {"coding": [_coding(*coding)]}


def _identified(value: str) -> Json:
    if "://" in value:
        return {"identifier": {"system": "urn:ietf:rfc:3986", "value": value}}
    return {"identifier": {"value": value}}
