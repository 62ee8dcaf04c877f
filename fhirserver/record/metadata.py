"""The metadata of a document: what must be there, what follows from something else.

Class from type (ASS_X16), format, title, language, dates, author and confidentiality from the
header of a CDA (IHE MHD, Generate Metadata Option:
https://profiles.ihe.net/ITI/MHD/1332_actor_options.html). What is given is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.codes import CONFIDENTIALITY, V3_CONFIDENTIALITY
from fhirserver.access.decision.guards import labels
from fhirserver.record.content import refusal
from fhirserver.record.document_codes import (
    codings,
    context_codes,
    document_types,
    formats,
    known,
    plain,
)
from fhirserver.record.names import FORMATS_OF_IHE

if TYPE_CHECKING:
    from datetime import datetime

    from fhirserver.record.cda import Header

Resource = dict[str, Any]


def from_header(resource: Resource, header: Header, place: int) -> Resource:
    """The document with what the header of its content number `place` says and it does not."""
    found = dict(resource)
    if header.type is not None:
        if not found.get("type", {}).get("coding"):
            found["type"] = {"coding": [header.type.coding()]}
        _check_type(found, (header.type.system, header.type.code))
    if header.unique_id and "masterIdentifier" not in found:
        found["masterIdentifier"] = {"system": "urn:ietf:rfc:3986", "value": header.unique_id}
    if header.authors and not found.get("author"):
        _take_authors(found, header)
    if header.confidentiality is not None:
        _take_confidentiality(found, header)
    content = dict(found["content"][place])
    attachment = dict(content["attachment"])
    for name, value in (
        ("title", header.title),
        ("language", header.language),
        ("creation", header.created),
    ):
        if value:
            attachment.setdefault(name, value)
    content["attachment"] = attachment
    if "format" not in content and (format := _format(header)) is not None:
        content["format"] = {"system": format[0], "code": format[1]}
    found["content"] = [*found["content"][:place], content, *found["content"][place + 1 :]]
    return _with_context(found, header)


def _check_type(resource: Resource, type: tuple[str, str]) -> None:
    given = {plain(coding) for coding in codings(resource["type"])}
    if plain(type) not in given and document_types().known(type):
        raise refusal(
            f"The document says it is of type {type[1]}, the metadata say another.",
            "DocumentReference.type",
        )


def _take_authors(resource: Resource, header: Header) -> None:
    contained = list(resource.get("contained", ()))
    taken = {each.get("id") for each in contained}
    author = []
    for number, person in enumerate(header.authors, 1):
        id = f"author-{number}"
        while id in taken:
            id += "x"
        practitioner: Resource = {"resourceType": "Practitioner", "id": id}
        if person.identifiers:
            practitioner["identifier"] = [
                {"system": system, "value": value} for system, value in person.identifiers
            ]
        name: Resource = {}
        if person.family:
            name["family"] = person.family
        if person.given:
            name["given"] = list(person.given)
        if name:
            practitioner["name"] = [name]
        contained.append(practitioner)
        author.append({"reference": f"#{id}"})
    resource["contained"] = contained
    resource["author"] = author


def _take_confidentiality(resource: Resource, header: Header) -> None:
    code = header.confidentiality
    assert code is not None
    if code.system != V3_CONFIDENTIALITY or code.code not in CONFIDENTIALITY:
        return
    given = [label for label in labels(resource) if label in CONFIDENTIALITY]
    if not given:
        label = {"coding": [{"system": code.system, "code": code.code}]}
        resource["securityLabel"] = [*resource.get("securityLabel", ()), label]
    elif max(map(CONFIDENTIALITY.index, given)) < CONFIDENTIALITY.index(code.code):
        raise refusal(
            f"The document's own confidentiality is {code.code}, the metadata have a milder one.",
            "DocumentReference.securityLabel",
        )


def _format(header: Header) -> tuple[str, str] | None:
    table = formats()
    if header.level == 1:
        return table.by_media_type.get(header.body_type)
    for template in header.templates:
        if (found := table.by_template.get(template)) is not None:
            return found
    return None


def _with_context(resource: Resource, header: Header) -> Resource:
    context = dict(resource.get("context", {}))
    if header.start and "period" not in context:
        context["period"] = {"start": header.start}
        if header.end:
            context["period"]["end"] = header.end
    for name, concept in (("facilityType", header.facility), ("practiceSetting", header.practice)):
        if concept is not None and name not in context:
            context[name] = {"coding": [concept.coding()]}
    return {**resource, "context": context} if context else resource


def completed(resource: Resource, now: datetime) -> Resource:
    """The document with its class and a date. Raises Unprocessable for what must be there and is
    not, and for codes that the ANS's own systems do not have."""
    found = dict(resource)
    coded = [plain(coding) for coding in codings(found.get("type"))]
    if not coded:
        raise refusal("A document has a type.", "DocumentReference.type", "required")
    type = next((each for each in coded if document_types().known(each)), None)
    if type is None:
        named = ", ".join(f"{system}#{code}" for system, code in coded)
        raise refusal(
            f"No type of document of the record: {named[:200]} (JDV_J07, JDV_J66).",
            "DocumentReference.type",
            "code-invalid",
        )
    if not found.get("author"):
        raise refusal("A document has an author.", "DocumentReference.author", "required")
    if not found.get("subject"):
        raise refusal("A document has a patient.", "DocumentReference.subject", "required")
    found["category"] = with_class(found.get("category"), type)
    if not found["category"]:
        del found["category"]
    _check_codes(found)
    found.setdefault("date", now.isoformat(timespec="milliseconds").replace("+00:00", "Z"))
    return found


def with_class(category: list[Resource] | None, type: tuple[str, str]) -> list[Resource]:
    """The category with the class of the type: added when there is none, put right when another
    one was given. Other codings are left alone."""
    table = document_types()
    category = list(category or ())
    for number, concept in enumerate(category):
        for system, code in codings(concept):
            if system == table.class_system and code not in table.classes:
                raise refusal(
                    f"TRE_A03 has no class {code[:40]}.",
                    f"DocumentReference.category[{number}]",
                    "code-invalid",
                )
    wanted = table.class_of[type]
    if wanted is None:
        return category
    coding = {"system": wanted[0], "code": wanted[1]}
    if wanted[1] in table.classes:
        coding["display"] = table.classes[wanted[1]]
    for number, concept in enumerate(category):
        given = list(codings(concept))
        if wanted in given:
            return category
        if any(system == table.class_system for system, _ in given):
            kept = [
                coding if each.get("system") == table.class_system else each
                for each in concept["coding"]
            ]
            return [*category[:number], {**concept, "coding": kept}, *category[number + 1 :]]
    return [*category, {"coding": [coding]}]


def _check_codes(resource: Resource) -> None:
    for number, content in enumerate(resource.get("content", ())):
        format = content.get("format", {})
        code = (str(format.get("system", "")), str(format.get("code", "")))
        if code[0] != FORMATS_OF_IHE and known(formats().formats, code) is False:
            raise refusal(
                f"JDV_J10 has no format {code[1][:80]}.",
                f"DocumentReference.content[{number}].format",
                "code-invalid",
            )
    context = resource.get("context", {})
    for name, table in (
        ("facilityType", context_codes().facility),
        ("practiceSetting", context_codes().practice),
    ):
        for coding in codings(context.get(name)):
            if known(table, coding) is False:
                raise refusal(
                    f"{coding[0].rpartition('/')[2]} has no code {coding[1][:80]} for this.",
                    f"DocumentReference.context.{name}",
                    "code-invalid",
                )
