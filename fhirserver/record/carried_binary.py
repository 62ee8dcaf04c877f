"""A Binary that a document of the record carries: it stays what it was published as.

PDSm: a document is corrected by one that replaces it. So its content neither changes nor goes away
while the document is there; it goes with the document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.access.decision.build import refers
from fhirserver.errors import Conflict, Issue, MethodNotAllowed
from fhirserver.record.content import decoded
from fhirserver.record.view import created, resource_of
from fhirserver.search.expression import Query

if TYPE_CHECKING:
    from fhirserver.interaction.context import Draft
    from fhirserver.record.antivirus import Antivirus
    from fhirserver.record.view import View

Resource = dict[str, Any]

_DOCUMENTS = 10  # looked at of those that carry one Binary


async def check(view: View, draft: Draft, antivirus: Antivirus) -> None:
    """Refuse what is infected, and what takes a published document its content."""
    if draft.resource is None:
        if await _carrier(view, draft) is not None:
            text = "A published document carries it; delete the document."
            raise Conflict(issues=(Issue("error", "business-rule", text, ("Binary",)),))
        return
    after = _content(draft.resource)
    if after[1] is not None:
        await antivirus.check(after[1], "Binary.data")
    if created(draft):
        return
    before = resource_of(await view.stored((draft.type, draft.id)))
    if before is None or _content(before) == after:
        return
    if await _carrier(view, draft) is not None:
        text = "The content of a published document does not change; replace the document."
        raise MethodNotAllowed(issues=(Issue("error", "not-supported", text, ("Binary.data",)),))


def _content(binary: Resource) -> tuple[str, bytes | None]:
    data = binary.get("data")
    body = None if data is None else decoded(data, "Binary.data")
    return str(binary.get("contentType", "")), body


async def _carrier(view: View, draft: Draft) -> Resource | None:
    """A document of the record that carries the Binary, and stays after this commit."""
    where = refers("attachment", ((draft.type, draft.id),))
    query = Query(("DocumentReference",), where, count=_DOCUMENTS)
    for version in (await view.ctx.as_server.store.search(query)).versions:
        document = await view.resource((version.type, version.id))
        if document is not None and await view.of_record(document):
            return document
    return None
