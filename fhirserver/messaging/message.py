"""A Communication seen as a message (https://hl7.org/fhir/R4/communication.html).

Communication.partOf is the first message of the thread, inResponseTo the message answered;
subject the citizen whose space it is in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fhirserver.messaging.codes import (
    CITIZENS,
    CORRESPONDENTS,
    DRAFT,
    ENDS_THREAD,
    ON_BEHALF_OF,
    PROFESSIONALS,
    READ,
    SENT,
    THREAD_STATE,
    UNREAD,
)
from fhirserver.model.dates import interval
from fhirserver.model.extensions import any_value, extensions
from fhirserver.model.references import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Message:
    """The references are `Type/id`; empty where there is none, or where it leads elsewhere."""

    resource: Resource
    status: str
    sender: str
    recipients: tuple[str, ...]
    subject: str
    part_of: str
    in_response_to: str
    on_behalf_of: str = ""

    @property
    def is_draft(self) -> bool:
        return self.status == DRAFT

    @property
    def is_sent(self) -> bool:
        return self.status in SENT

    @property
    def by_professional(self) -> bool:
        return kind(self.sender) in PROFESSIONALS

    @property
    def by_citizen(self) -> bool:
        return kind(self.sender) in CITIZENS

    @property
    def links_citizens(self) -> bool:
        """A citizen's message: one of them has part in it, and the space is named."""
        parties = (self.sender, *self.recipients)
        return (
            kind(self.subject) == "Patient"
            and kind(self.sender) in CORRESPONDENTS
            and any(kind(party) in CITIZENS for party in parties)
        )

    @property
    def ends_thread(self) -> bool:
        return any(e.get("valueBoolean") is True for e in extensions(self.resource, ENDS_THREAD))

    @property
    def sent(self) -> str:
        return str(self.resource.get("sent") or "")

    @property
    def read_in(self) -> tuple[str, ...]:
        """The mailboxes it was read in."""
        found = (any_value(e, "recipient") for e in extensions(self.resource, READ))
        return tuple(_text(each) for each in found if each is not None)

    @property
    def unread_in(self) -> tuple[str, ...]:
        return tuple(_text(e.get("valueReference")) for e in extensions(self.resource, UNREAD))


@dataclass(frozen=True, slots=True)
class ThreadState:
    """What the first message of a thread says of the thread. `date` is that of the message or
    act by which it came to be so; empty when nothing ever ended it."""

    ended: bool = False
    date: str = ""
    by: str = ""
    reason: str = ""


def message_of(resource: Resource, local_bases: Sequence[str] = ()) -> Message:
    def local(value: Any) -> str:
        return "/".join(identity(value, local_bases) or ())

    def first(name: str) -> str:
        return next((each for each in map(local, resource.get(name) or []) if each), "")

    recipients = (local(each) for each in resource.get("recipient") or [])
    return Message(
        resource,
        str(resource.get("status") or ""),
        local(resource.get("sender")),
        tuple(dict.fromkeys(each for each in recipients if each)),
        local(resource.get("subject")),
        first("partOf"),
        first("inResponseTo"),
        next((local(e.get("valueReference")) for e in extensions(resource, ON_BEHALF_OF)), ""),
    )


def kind(reference: str) -> str:
    """The resource type of `Type/id`."""
    return reference.partition("/")[0]


def pair(reference: str) -> tuple[str, str]:
    type, _, id = reference.partition("/")
    return type, id


def thread_state(root: Resource) -> ThreadState:
    for extension in extensions(root, THREAD_STATE):
        return ThreadState(
            bool(any_value(extension, "ended")),
            str(any_value(extension, "date") or ""),
            _text(any_value(extension, "by")),
            _words(root.get("statusReason")),
        )
    return ThreadState()


def came_after(one: str, other: str) -> bool:
    """Whether the dateTime `one` is later than `other`; anything is later than none."""
    if not other:
        return True
    try:
        return interval(one)[0] > interval(other)[0]
    except ValueError:
        return False


def _text(value: Any) -> str:
    return str(value.get("reference") or "") if isinstance(value, dict) else ""


def _words(concept: Any) -> str:
    if not isinstance(concept, dict):
        return ""
    if concept.get("text"):
        return str(concept["text"])
    shown = (c.get("display") or c.get("code") for c in concept.get("coding") or [])
    return next((str(each) for each in shown if each), "")
