"""$docref: the documents there are, or can be made, of a patient
(http://hl7.org/fhir/uv/ipa/OperationDefinition/docref, docs/medical-profile.md).

Beside stored documents there is one that is made when it is fetched: the patient summary. Its
DocumentReference is not stored, and its attachment's url is that of `$summary`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fhirserver.access.decision.build import all_of, any_of, negate, refers, token
from fhirserver.errors import Invalid, TooCostly
from fhirserver.model import dates
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.references import parse
from fhirserver.operation.call import Made
from fhirserver.operation.parameters import given
from fhirserver.record.names import LOINC
from fhirserver.record.profile.document import full_url
from fhirserver.record.profile.kind import codings, table
from fhirserver.search.expression import Both, Compare, Kind, Match, Present, Query, Sort

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version
    from fhirserver.operation.call import Call
    from fhirserver.search.expression import Expression

_PAGE = 200
_IPS_FORMAT = "http://hl7.org/fhir/uv/ips/StructureDefinition/Bundle-uv-ips"


@dataclass(slots=True)
class _Asked:
    patient: str = ""
    start: int | None = None
    end: int | None = None
    types: tuple[tuple[str | None, str], ...] = ()
    on_demand: bool = False
    profile: str = ""

    @property
    def dated(self) -> bool:
        return self.start is not None or self.end is not None


async def docref(ctx: Context, call: Call) -> Made:
    """Current documents whose time of care meets `start` to `end`; without either, the newest of
    each type. `type` and `profile` narrow it, `on-demand` leaves what is made when fetched."""
    asked = _read_parameters(ctx, call)
    ctx.store.demand("s", "DocumentReference")
    patient = None
    if ctx.store.reaches("r", "Patient"):
        patient = await ctx.store.read("Patient", asked.patient)
    found = [] if asked.on_demand else await _stored(ctx, asked)
    entries = [(full_url(ctx, v), decode_stored(v.content or b"{}")) for v in found]
    versions = list(found)
    if patient is not None and patient.content is not None and _made_on_demand(ctx, asked):
        entries.insert(0, _summary(ctx, patient))
        versions.append(patient)
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "timestamp": instant(microseconds(ctx.clock())),
        "total": len(entries),
        "link": [{"relation": "self", "url": _self(ctx, call)}],
    }
    if entries:
        bundle["entry"] = [
            {"fullUrl": url, "resource": resource, "search": {"mode": "match"}}
            for url, resource in entries
        ]
    return Made(bundle, tuple(versions))


async def _stored(ctx: Context, asked: _Asked) -> list[Version]:
    where = all_of(
        refers("patient", (("Patient", asked.patient),)), token("status", "current"), _care(asked)
    )
    if asked.types:
        where = all_of(where, any_of(*(token("type", c, system=s) for s, c in asked.types)))
    newest = Sort("date", Kind.DATE, descending=True)
    query = Query(("DocumentReference",), where, (newest,), count=_PAGE)
    most = ctx.limits.max_count
    found: list[Version] = []
    seen_types: set[object] = set()
    while True:
        page = await ctx.store.search(query)
        for version in page.versions:
            resource = decode_stored(version.content or b"{}")
            if asked.profile and asked.profile not in _profiles(resource):
                continue
            if not asked.dated:
                mark = next(codings(resource.get("type")), None) or version.id
                if mark in seen_types:
                    continue
                seen_types.add(mark)
            found.append(version)
        if len(found) > most:
            text = f"There are more than {most} such documents; narrow start and end, or type."
            raise TooCostly(text)
        if page.next is None:
            return found
        query = replace(query, after=page.next)


def _care(asked: _Asked) -> Expression:
    """The time of care (context.period) meets what is asked; a document without it counts by its
    own date."""
    tests = []
    if asked.start is not None:
        tests.append(Compare("high", "gt", asked.start))
    if asked.end is not None:
        tests.append(Compare("low", "lt", asked.end))
    if not tests:
        return all_of()
    test = Both(tuple(tests))
    without = negate(Present("period", Kind.DATE))
    return any_of(Match("period", Kind.DATE, test), all_of(without, Match("date", Kind.DATE, test)))


def _profiles(document: Resource) -> set[str]:
    """The profiles a document says it is of: its own, and by format that of its content."""
    meta = document.get("meta")
    found = set(meta.get("profile") or ()) if isinstance(meta, dict) else set()
    for content in document.get("content") or ():
        form = content.get("format") if isinstance(content, dict) else None
        if isinstance(form, dict):
            found.add(str(form.get("code")))
    return found


# --- the summary, which is made when it is fetched ------------------------------------------


def _made_on_demand(ctx: Context, asked: _Asked) -> bool:
    about = table().composition
    now = microseconds(ctx.clock())
    if (asked.start is not None and asked.start > now) or (
        asked.end is not None and asked.end <= now
    ):
        return False
    if asked.types and not any(s in (None, LOINC) and c == about.code for s, c in asked.types):
        return False
    return not asked.profile or asked.profile in (*about.profiles, *about.bundle_profiles)


def _summary(ctx: Context, patient: Version) -> tuple[str, Resource]:
    about = table().composition
    url = f"{full_url(ctx, patient)}/$summary"
    now = instant(microseconds(ctx.clock()))
    attachment = {
        "contentType": "application/fhir+json",
        "language": "fr-FR",
        "url": url,
        "title": about.title,
        "creation": now,
    }
    coding = {"system": LOINC, "code": about.code, "display": about.display}
    resource: Resource = {
        "resourceType": "DocumentReference",
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [coding]},
        "subject": {"reference": full_url(ctx, patient)},
        "date": now,
        "description": about.title,
        "content": [
            {
                "attachment": attachment,
                "format": {"system": "urn:ietf:rfc:3986", "code": _IPS_FORMAT},
            }
        ],
    }
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, url)}", resource


# --- parameters -----------------------------------------------------------------------------


def _read_parameters(ctx: Context, call: Call) -> _Asked:
    asked = _Asked()
    seen: set[str] = set()
    for name, value in given(call):
        if name in seen:
            raise Invalid(f"The parameter {name[:80]} may occur only once.")
        seen.add(name)
        match name:
            case "patient":
                asked.patient = _patient(ctx, value)
            case "start":
                asked.start = _interval(name, value)[0]
            case "end":
                asked.end = _interval(name, value)[1]
            case "type":
                asked.types = _types(value)
            case "on-demand":
                if value not in (True, False, "true", "false"):
                    raise Invalid("on-demand is true or false.", code="value")
                asked.on_demand = value in (True, "true")
            case "profile":
                asked.profile = str(value).partition("|")[0]
            case _:
                raise Invalid(f"$docref has no parameter {name[:80]}.")
    if not asked.patient:
        raise Invalid("$docref needs the parameter patient.", code="required")
    if asked.start is not None and asked.end is not None and asked.start >= asked.end:
        raise Invalid("start lies after end.", code="value")
    return asked


def _patient(ctx: Context, value: Any) -> str:
    """An id, or a reference to a Patient of this server."""
    text = value.get("reference") if isinstance(value, dict) else value
    if not isinstance(text, str) or not text:
        raise Invalid("patient is the id of a Patient.", code="value")
    found = parse(text if "/" in text else f"Patient/{text}", ctx.local_bases)
    if found.kind != "literal" or found.type != "Patient":
        raise Invalid(f"patient is the id of a Patient, not {text[:80]}.", code="value")
    return found.id


def _types(value: Any) -> tuple[tuple[str | None, str], ...]:
    """Of a CodeableConcept each coding, of text `system|code` or `code`."""
    if isinstance(value, dict):
        listed = value if "coding" in value else {"coding": [value]}
        found = tuple((system or None, code) for system, code in codings(listed))
    else:
        system, bar, code = str(value).rpartition("|")
        found = ((system or None if bar else None, code),) if code else ()
    if not found:
        raise Invalid("type needs a code.", code="value")
    return found


def _interval(name: str, value: Any) -> dates.Interval:
    try:
        return dates.interval(str(value).replace(" ", "+"))
    except ValueError as error:
        raise Invalid(f"{name} is no date or time: {str(value)[:80]}", code="value") from error


def _self(ctx: Context, call: Call) -> str:
    query = urlencode(call.query)
    return f"{ctx.base_url}/DocumentReference/$docref" + (f"?{query}" if query else "")
