"""The International Patient Summary of a record, as a document
(http://hl7.org/fhir/uv/ips, sections and rules in terminology/record/summary-sections.json).

It is made when asked for and not stored. Nobody has read it through, so nobody attests it; its
author is the server.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhirserver.interaction.read import read
from fhirserver.model.dates import instant, microseconds
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity
from fhirserver.record.names import LOINC
from fhirserver.record.profile import narrative as text
from fhirserver.record.profile.document import document, full_url, reach
from fhirserver.record.profile.gather import gather
from fhirserver.record.profile.kind import codings, in_error, table
from fhirserver.record.profile.words import STATUSES, WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version
    from fhirserver.record.profile.gather import Gathered
    from fhirserver.record.profile.kind import Absent

_CATEGORY = "http://terminology.hl7.org/CodeSystem/"
_UNKNOWN = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
_CONFIDENTIALITY = ("N", "R", "V")
_MOST_SUPPORTING = 500
#: Beyond what entries themselves refer to, only these are gone along: who, where, with what.
_DIRECTORY = frozenset(
    ("Practitioner", "PractitionerRole", "Organization", "Location", "Medication", "Device",
     "Specimen", "Substance")
)  # fmt: skip
_STEPS = 3


@dataclass(frozen=True, slots=True)
class Summary:
    """`versions`: everything stored that is in the Bundle."""

    bundle: Resource
    versions: tuple[Version, ...]


async def summarise(ctx: Context, patient: str) -> Summary:
    """The summary of Patient/`patient`, as the caller may see it. Raises NotFound or Gone."""
    version = await read(ctx, "Patient", patient)
    return await _Making(ctx, version).summary()


class _Making:
    def __init__(self, ctx: Context, version: Version) -> None:
        self._ctx = ctx
        self._version = version
        self._patient = decode_stored(version.content or b"{}")
        self._now = instant(microseconds(ctx.clock()))
        self._by_identity: dict[tuple[str, str], Resource] = {}

    async def summary(self) -> Summary:
        ctx = self._ctx
        gathered = await gather(ctx, self._version.id)
        chosen = {(self._version.type, self._version.id): self._version}
        for section in gathered:
            for found in section.found:
                chosen.setdefault((found.version.type, found.version.id), found.version)
                self._by_identity[(found.version.type, found.version.id)] = found.resource
        reached = await reach(
            ctx, list(chosen.values()), most=_MOST_SUPPORTING, follow=_follow, keep=_keep
        )
        supporting: dict[tuple[str, str], Version] = {}
        for key, found_version in reached.found.items():
            if key[:2] not in chosen and not key[2]:
                supporting[key[:2]] = found_version
        for named, each in supporting.items():
            self._by_identity[named] = decode_stored(each.content or b"{}")
        device_url, device = self._device()
        entries: list[tuple[str, Resource]] = []
        sections: list[Resource] = []
        for section in gathered:
            made, listed = self._section(section)
            if made is not None:
                sections.append(made)
                entries += listed
        entries += [
            (full_url(ctx, v), self._by_identity[identity])
            for identity, v in sorted(supporting.items())
        ]
        composition_url = _urn(ctx.new_id())
        composition = self._composition(composition_url, device_url, sections, entries)
        patient = (full_url(ctx, self._version), self._patient)
        bundle = document(
            [(composition_url, composition), patient, (device_url, device), *entries],
            identifier=_urn(ctx.new_id()),
            timestamp=self._now,
        )
        about = table().composition
        head = {"resourceType": "Bundle", "meta": {"profile": list(about.bundle_profiles)}}
        return Summary(head | bundle, (*chosen.values(), *supporting.values()))

    # --- the parts ----------------------------------------------------------------------------

    def _composition(
        self,
        url: str,
        device_url: str,
        sections: list[Resource],
        entries: Sequence[tuple[str, Resource]],
    ) -> Resource:
        about = table().composition
        labels = {
            code
            for _, resource in [("", self._patient), *entries]
            for code in _security(resource)
            if code in _CONFIDENTIALITY
        }
        return {
            "resourceType": "Composition",
            "meta": {"profile": list(about.profiles)},
            "language": "fr-FR",
            "text": text.narrative(self._header()),
            "identifier": {"system": "urn:ietf:rfc:3986", "value": url},
            "status": "final",
            "type": {"coding": [{"system": LOINC, "code": about.code, "display": about.display}]},
            "subject": self._subject(),
            "date": self._now,
            "author": [{"reference": device_url, "display": "fhirserver"}],
            "title": about.title,
            "confidentiality": max(labels, key=_CONFIDENTIALITY.index, default="N"),
            "section": sections,
        }

    def _header(self) -> str:
        patient = self._patient
        identifiers = [i for i in patient.get("identifier") or () if isinstance(i, dict)]
        died = patient.get("deceasedDateTime")
        deceased = text.day(died) if died else ""
        if not deceased and patient.get("deceasedBoolean") is True:
            deceased = WORDS["yes"]
        pairs = [
            (WORDS["name"], text.person(patient.get("name"))),
            (WORDS["born"], text.day(patient.get("birthDate"))),
            (WORDS["sex"], STATUSES.get(str(patient.get("gender")), "")),
            (WORDS["died"], deceased),
            *((WORDS["identifier"], str(i.get("value") or "")) for i in identifiers),
            *((WORDS["contact"], each) for each in _contacts(patient)),
            (WORDS["made"], text.day(self._now)),
            (WORDS["by"], "fhirserver"),
        ]
        return text.listed(pairs) + text.paragraph(WORDS["partial"])

    def _section(self, gathered: Gathered) -> tuple[Resource | None, list[tuple[str, Resource]]]:
        asked = gathered.section
        listed = [(full_url(self._ctx, f.version), f.resource) for f in gathered.found]
        if not listed:
            if asked.absent is None:
                return None, []
            listed = [self._absent(asked.absent)]
            note = WORDS["withheld"] if gathered.withheld else asked.absent.text
            inner = text.paragraph(note)
        else:
            inner = text.tables([resource for _, resource in listed], self._resolve)
            inner += text.paragraph(WORDS["cut"]) if gathered.cut else ""
        coding = {"system": LOINC, "code": asked.code, "display": asked.display}
        made = {
            "title": asked.title,
            "code": {"coding": [coding]},
            "text": text.narrative(inner),
            "entry": [{"reference": url} for url, _ in listed],
        }
        return made, listed

    def _absent(self, absent: Absent) -> tuple[str, Resource]:
        """The statement that nothing is known: IPS wants one in the sections it requires."""
        coding = {
            "system": table().absent_system, "code": absent.code, "display": absent.display
        }  # fmt: skip
        concept = {"coding": [coding], "text": absent.text}
        resource: Resource = {"resourceType": absent.type, "text": _text_of(absent.text)}
        match absent.type:
            case "MedicationStatement":
                reason = {"extension": [{"url": _UNKNOWN, "valueCode": "unknown"}]}
                resource |= {"status": "unknown", "medicationCodeableConcept": concept}
                resource |= {"subject": self._subject(), "_effectiveDateTime": reason}
            case "AllergyIntolerance" | "Condition":
                system = f"{_CATEGORY}{absent.type.lower()}-clinical"
                active = {"coding": [{"system": system, "code": "active"}]}
                whose = "patient" if absent.type == "AllergyIntolerance" else "subject"
                resource |= {"clinicalStatus": active, "code": concept, whose: self._subject()}
        return self._made_url(absent.code), resource

    def _device(self) -> tuple[str, Resource]:
        url = self._made_url("device")
        return url, {
            "resourceType": "Device",
            "text": _text_of("Serveur FHIR qui a établi cette synthèse : fhirserver"),
            "identifier": [{"system": "urn:ietf:rfc:3986", "value": url}],
            "deviceName": [{"name": "fhirserver", "type": "user-friendly-name"}],
            "url": self._ctx.base_url,
        }

    def _subject(self) -> Resource:
        return {"reference": full_url(self._ctx, self._version)}

    def _made_url(self, name: str) -> str:
        """The same at each call, so that a reader can tell what has changed."""
        where = "" if name == "device" else f"/Patient/{self._version.id}"
        return _urn(f"{self._ctx.base_url}{where}#{name}")

    def _resolve(self, reference: Any) -> Resource | None:
        named = identity(reference, self._ctx.local_bases)
        return None if named is None else self._by_identity.get(named)


def _urn(seed: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, seed)}"


def _follow(step: int, type: str) -> bool:
    if type in ("Patient", "Binary"):
        return False
    return step == 1 or (step <= _STEPS and type in _DIRECTORY)


def _keep(resource: Resource) -> bool:
    return not in_error(resource)


def _text_of(words: str) -> dict[str, str]:
    return text.narrative(text.paragraph(words))


def _security(resource: Resource) -> list[str]:
    meta = resource.get("meta")
    labels = meta.get("security") if isinstance(meta, dict) else None
    found = [label.get("code") for label in labels or () if isinstance(label, dict)]
    found += [code for _, code in codings(resource.get("securityLabel"))]
    return [code for code in found if isinstance(code, str)]


def _contacts(patient: Resource) -> list[str]:
    found = []
    for contact in patient.get("contact") or ():
        if not isinstance(contact, dict):
            continue
        name = contact.get("name")
        telecom = [t.get("value") for t in contact.get("telecom") or () if isinstance(t, dict)]
        parts = [
            text.person([name]),
            text.concept(contact.get("relationship")),
            *(value for value in telecom if isinstance(value, str)),
        ]
        line = ", ".join(filter(None, parts))
        found += [line] if line else []
    return found
