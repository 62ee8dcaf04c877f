"""What a commit is about to write, with what is stored beside it: the rules look at both."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhirserver.model import references
from fhirserver.model.json import decode_stored
from fhirserver.model.version import ABSENT
from fhirserver.record import french

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Draft
    from fhirserver.model.version import Version

Resource = dict[str, Any]
Identity = tuple[str, str]


@dataclass(slots=True)
class View:
    """`drafts`: what is to be written, changed as the rules go along; `added`: what they add;
    `replaced`: documents that new ones replace."""

    ctx: Context
    drafts: list[Draft]
    added: list[Draft] = field(default_factory=list)
    replaced: set[Identity] = field(default_factory=set)
    _places: dict[Identity, int] = field(default_factory=dict)
    _patients: dict[Identity, Resource | None] = field(default_factory=dict)

    def draft(self, identity: Identity) -> Draft | None:
        """The draft that writes this resource."""
        if not self._places:
            # Drafts are changed in their places, never moved.
            self._places = {(d.type, d.id): place for place, d in enumerate(self.drafts)}
        place = self._places.get(identity)
        if place is not None:
            return self.drafts[place]
        return next((d for d in self.added if (d.type, d.id) == identity), None)

    def identity(self, reference: Any) -> Identity | None:
        """The resource of this server that a Reference, or the url of an attachment, means."""
        return references.identity(reference, self.ctx.local_bases)

    async def stored(self, identity: Identity) -> Version | None:
        """The current version, whoever may see it; None when there is none or it is deleted."""
        version = await self.ctx.as_server.store.read(*identity)
        return None if version is None or version.deleted else version

    async def resource(self, identity: Identity) -> Resource | None:
        """As it will be after the commit."""
        draft = self.draft(identity)
        if draft is not None:
            return draft.resource
        return resource_of(await self.stored(identity))

    async def patient(self, document: Resource) -> Resource | None:
        """The Patient a document is about, if this server has it."""
        identity = self.identity(document.get("subject"))
        if identity is None or identity[0] != "Patient":
            return None
        if identity not in self._patients:
            self._patients[identity] = await self.resource(identity)
        return self._patients[identity]

    async def of_record(self, document: Resource) -> bool:
        """Whether the rules of the record bind this DocumentReference."""
        if french.says_so(document):
            return True
        return bool(french.identities(await self.patient(document)))


def created(draft: Draft) -> bool:
    return draft.expect == ABSENT and draft.resource is not None


def resource_of(version: Version | None) -> Resource | None:
    return None if version is None or version.content is None else decode_stored(version.content)


def expression(draft: Draft, *path: str) -> str:
    return ".".join((draft.type, *path))
