"""AuditEvents are made by the server alone: nobody writes, changes or deletes one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from fhirserver.errors import MethodNotAllowed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fhirserver.interaction.context import Context, Draft
    from fhirserver.model.version import Version

#: Types that clients can only read when accesses are recorded.
APPEND_ONLY = frozenset({"AuditEvent"})


class AppendOnlyBehaviour:
    """Refuses every write of such a resource, whichever interaction or Bundle it comes by."""

    types = APPEND_ONLY

    async def before_commit(self, ctx: Context, drafts: Sequence[Draft]) -> NoReturn:
        raise MethodNotAllowed("AuditEvents are written by the server alone.")

    async def after_commit(self, ctx: Context, versions: Sequence[Version]) -> None:
        pass
