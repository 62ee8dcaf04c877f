"""Rules on what publishers ask for: who may move a request on, and what has to be reviewed.

The publisher submits and completes; the operator reviews each criteria family, asks back, accepts
or rejects. It is accepted only when every family is met; CE marking is a family for medical devices
and for nobody else. Each review keeps when and by whom it was made.

Source: CSP R.1111-37 to R.1111-39; arrêté of 23 June 2022, amended 23 October 2023.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.convention import listing_of
from fhirserver.catalogue import names
from fhirserver.catalogue.device import check_complete, last_with_address
from fhirserver.catalogue.referencing import referencing_of, text
from fhirserver.catalogue.request import OPEN, is_request, request_of
from fhirserver.catalogue.rules import check_transition, party, refused, rules
from fhirserver.model.version import ANY

if TYPE_CHECKING:
    from fhirserver.catalogue.look import Look
    from fhirserver.catalogue.registration import Registrar
    from fhirserver.catalogue.request import Request
    from fhirserver.catalogue.rules import Party
    from fhirserver.interaction.context import Draft

    Json = dict[str, Any]

#: What makes the request; it stays as it was submitted.
_ASKED = ("code", "intent", "focus", "for", "requester", "input", "identifier", "basedOn")


async def ruled(look: Look, draft: Draft, registrar: Registrar) -> Draft:
    """The draft as it may be written. Raises Unprocessable, Forbidden."""
    version = await look.version("Task", draft.id)
    before = await look.stored("Task", draft.id) if version else None
    after = draft.resource
    if not is_request(before) and not is_request(after):
        return draft
    who = party(look.ctx)
    if after is None or not is_request(after):
        if who == "anybody":
            return draft
        raise refused("A request is withdrawn by the status cancelled.", "Task.status")
    old = request_of(before) if before is not None and is_request(before) else None
    new = request_of({**after, "id": draft.id})
    check_transition("task", old.status if old else "", new.status, who, "Task.status")
    _check_shape(after, new)
    if who == "anybody" and old is None:
        return draft  # taken over as it comes
    if old is not None and old.status not in OPEN:
        if who == "anybody":
            return draft
        raise refused("A request that is closed stays as it is.", "Task")
    moment = text(look.ctx.clock())
    made = {**after, "lastModified": moment}
    made["authoredOn"] = (before or {}).get("authoredOn") or moment
    if who != "operator" and new.reviews != (old.reviews if old else ()) and who != "anybody":
        raise refused("Reviews are the operator's.", "Task.output")
    _check_asked(before, after, old, who)
    selects = draft.selects
    if old is None:
        others, unchanged = await look.others_open(new.device.partition("/")[2], draft.id)
        if others:
            raise refused(f"Task/{others[0]} about this app is still open.", "Task.focus")
        selects = (*selects, unchanged)
    if new.status not in ("draft", "cancelled", "rejected"):
        medical = await _check_app(look, new, registrar)
        _check_reviews(new, old, medical)
        if new.status == "completed":
            unmet = new.unmet(names.families(medical_device=medical))
            if unmet:
                raise refused(f"Not found met: {', '.join(unmet)}.", "Task.output")
    made = _signed(made, before, moment, look.ctx.caller.client)
    expect = version.version if draft.expect == ANY and version is not None else draft.expect
    return replace(draft, resource=made, selects=selects, expect=expect)


def _check_shape(task: Json, request: Request) -> None:
    if request.kind not in names.codes("task"):
        raise refused(f"“{request.kind[:40]}” is no kind of request.", "Task.code")
    if task.get("for") is not None:
        raise refused("A request is about no patient.", "Task.for")
    if not request.device.startswith("Device/"):
        raise refused("A request is about an app: a Device.", "Task.focus")
    if not request.publisher.startswith("Organization/"):
        raise refused("A request is made by a publisher: an Organization.", "Task.requester")
    if request.status in rules().needs_reason["task"] and not request.reason:
        raise refused(f"{request.status} needs a reason.", "Task.statusReason")
    known = names.codes("input")
    for place, each in enumerate(task.get("input", [])):
        if not names.codes_in(each.get("type"), names.INPUT) & known.keys():
            raise refused(
                f"An enclosure is one of {', '.join(known)}.", f"Task.input[{place}].type"
            )


def _check_asked(before: Json | None, after: Json, old: Request | None, who: Party) -> None:
    if before is None or old is None or who == "anybody":
        return
    if who == "publisher" and old.status in rules().publisher_edits["task"]:
        fixed: tuple[str, ...] = ("focus", "requester", "code")
    else:
        fixed = _ASKED
    changed = [name for name in fixed if before.get(name) != after.get(name)]
    if changed:
        raise refused(f"{changed[0]} stays as it was submitted.", f"Task.{changed[0]}")


async def _check_app(look: Look, request: Request, registrar: Registrar) -> bool:
    """Whether the app is a medical device. Raises Unprocessable when it is not ready."""
    id = request.device.partition("/")[2]
    device = await look.at(request.device, "Device")
    place = None if device is None else listing_of(device)
    if device is None or place is None:
        raise refused("There is no such app in the catalogue.", "Task.focus")
    if names.reference_of(device.get("owner")) != request.publisher:
        raise refused("The app is another publisher's.", "Task.requester")
    listed_once = bool(referencing_of(device).start)
    if request.kind == "application" and place.status != "PRESERIE":
        raise refused(f"One applies in status PRESERIE, not {place.status}.", "Task.code")
    if request.kind != "application" and not listed_once:
        raise refused("The app has never been listed; it needs an application.", "Task.code")
    addressed = request if request.texts("redirect-uri") else await last_with_address(look, id)
    medical = await check_complete(look, {**device, "id": id}, place, addressed, registrar)
    if medical and request.kind == "application" and not request.texts("ce-proof"):
        raise refused("A medical device needs the proof of its CE marking.", "Task.input")
    return medical


def _check_reviews(request: Request, old: Request | None, medical: bool) -> None:
    families = names.families(medical_device=medical)
    known = names.codes("criteria-family")
    seen: set[str] = set()
    for review in request.reviews:
        place = f"Task.output[{review.place}]"
        if review.family not in known:
            raise refused(f"A review is of one of {', '.join(known)}.", f"{place}.type")
        if review.family not in families:
            raise refused(
                f"{review.family} is asked of medical devices alone, and this is none.",
                f"{place}.type",
            )
        if review.family in seen:
            raise refused(f"{review.family} is reviewed twice.", f"{place}.type")
        seen.add(review.family)
        if review.verdict not in names.codes("verdict"):
            verdicts = ", ".join(names.codes("verdict"))
            raise refused(f"A verdict is one of {verdicts}.", f"{place}.value")
        if review.verdict == names.NOT_COMPLIANT and not review.text:
            raise refused("What is not met is told in text.", f"{place}.value.text")
    began = old.status if old else ""
    if request.reviews and began not in ("received", "in-progress", "on-hold"):
        known_before = {(r.family, r.verdict) for r in (old.reviews if old else ())}
        if {(r.family, r.verdict) for r in request.reviews} - known_before:
            raise refused("A request is reviewed while it is in-progress.", "Task.output")


def _signed(task: Json, before: Json | None, moment: str, reviewer: str) -> Json:
    """With when and by whom each new or changed review was made."""
    if "output" not in task:
        return task
    kept = {_bare(each): each for each in (before or {}).get("output", [])}
    signed = []
    for each in task["output"]:
        known = kept.get(_bare(each))
        if known is not None:
            signed.append(known)
            continue
        others = [e for e in each.get("extension", []) if e.get("url") != names.REVIEW]
        stamp: Json = {
            "url": names.REVIEW,
            "extension": [
                {"url": "date", "valueDateTime": moment},
                *([{"url": "reviewer", "valueString": reviewer}] if reviewer else []),
            ],
        }
        signed.append({**each, "extension": [*others, stamp]})
    return {**task, "output": signed}


def _bare(output: Json) -> str:
    """A review without its signature, to compare."""
    others = [e for e in output.get("extension", []) if e.get("url") != names.REVIEW]
    return repr({**output, "extension": others})
