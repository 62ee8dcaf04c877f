"""The rules of the record on every write, whichever interaction or Bundle it comes by.

What they bind is told by `french.py`; the server's own writes they let pass.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.interaction.write import commit
from fhirserver.record import carried_binary, unique_id
from fhirserver.record.author import check_own
from fhirserver.record.french import claims_profile, identities
from fhirserver.record.mending import complete
from fhirserver.record.publication import publish
from fhirserver.record.revision import revise
from fhirserver.record.stored_document import check_assembled, check_unchanged
from fhirserver.record.submission import check_set
from fhirserver.record.view import View, created, resource_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Draft
    from fhirserver.model.version import Version
    from fhirserver.record.antivirus import Antivirus
    from fhirserver.record.settings import RecordSettings
    from fhirserver.record.view import Identity


class RecordBehaviour:
    types = frozenset({"DocumentReference", "Binary", "List", "Bundle", "Composition"})

    def __init__(self, settings: RecordSettings, antivirus: Antivirus) -> None:
        self._settings = settings
        self._antivirus = antivirus

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> Sequence[Draft]:
        if ctx.server is None:
            return drafts
        view = View(ctx, list(drafts))
        for draft in drafts:
            if draft.type == "Binary" and not draft.server:
                await carried_binary.check(view, draft, self._antivirus)
            if draft.type == "Bundle" and not draft.server:
                check = check_assembled if created(draft) else check_unchanged
                await check(view, draft)
            if draft.type == "Composition" and not draft.server and created(draft):
                await check_own(view, draft.resource or {}, "Composition")
        documents: set[Identity] = set()
        for number, draft in enumerate(view.drafts):
            if draft.type != "DocumentReference" or draft.server or draft.resource is None:
                continue
            if created(draft):
                if await view.of_record(draft.resource):
                    documents.add((draft.type, draft.id))
                    made = await publish(view, draft, self._settings, self._antivirus)
                    view.drafts[number] = made
            else:
                view.drafts[number] = await self._revised(view, view.drafts[number])
        await check_set(view, documents)
        for number, draft in enumerate(view.drafts):
            if draft.type == "List" and not draft.server and created(draft):
                view.drafts[number] = await self._sole_list(view, draft, bool(documents))
        if view.added and not ctx.store.capabilities.transactions:
            # One change at a time: contents first, so that no document is without. A Binary whose
            # document is then refused is swept (`mending.py`).
            for extra in view.added:
                await commit(ctx.as_server, [extra])
            return view.drafts
        return [*view.drafts, *view.added]

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        if ctx.server is None or ctx.store.capabilities.transactions:
            return
        for version in versions:
            if version.type == "DocumentReference":
                await complete(ctx.as_server, version)

    async def _sole_list(self, view: View, draft: Draft, with_documents: bool) -> Draft:
        assert draft.resource is not None
        bound = with_documents or claims_profile(draft.resource)
        if bound or identities(await view.patient(draft.resource)):
            selects = await unique_id.of_list(view, draft)
            return replace(draft, selects=(*draft.selects, *selects))
        return draft

    async def _revised(self, view: View, draft: Draft) -> Draft:
        version = await view.stored((draft.type, draft.id))
        before = resource_of(version)
        if before is None or version is None:
            return draft
        assert draft.resource is not None
        if not (await view.of_record(before) or await view.of_record(draft.resource)):
            return draft
        made = await revise(view, draft, before)
        # Judged against this version, so written over no other.
        return made if made.expect > 0 else replace(made, expect=version.version)
