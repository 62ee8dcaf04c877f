"""What the authorization server tells the audit trail: who signed in and out, what was allowed,
which tokens were given, refused and withdrawn.

A record is durable before its answer leaves; no secret and no token is in it. Refusals of somebody
who is not known are recorded some each second and counted beyond that, as those of the FHIR API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.access.audit.record import Record
from fhirserver.access.caller import Role

if TYPE_CHECKING:
    from fhirserver.access.audit.trail import Audit
    from fhirserver.auth.authorization import Authorization
    from fhirserver.auth.client import Client
    from fhirserver.auth.identity.person import Capacity, Person

_LONGEST = 500


class Recording:
    """`audit`: the trail of this process; None: nothing is recorded."""

    def __init__(self) -> None:
        self.audit: Audit | None = None

    async def signed_in(self, person: Person, client: str, address: str) -> None:
        provider = person.subject.partition("|")[0]
        detail = f"by {provider}" + (f", level {person.acr}" if person.acr else "")
        await self._append("login", client, address, detail, of=_main(person))

    async def sign_in_failed(self, provider: str, reason: str, client: str, address: str) -> None:
        await self._refused("login", client, address, f"by {provider}: {reason}", 401)

    async def signed_out(self, person: Person, address: str) -> None:
        await self._append("logout", "", address, "", of=_main(person))

    async def allowed(self, given: Authorization, address: str) -> None:
        await self._append("authorize", given.client, address, given.scopes, given=given)

    async def denied(self, person: Person, client: str, address: str) -> None:
        await self._append("authorize", client, address, "refused", of=_main(person), status=403)

    async def token_given(self, given: Authorization, grant_type: str, address: str) -> None:
        detail = f"{grant_type}: {given.scopes}"
        await self._append("token", given.client, address, detail, given=given)

    async def token_refused(self, client: str, error: str, address: str) -> None:
        await self._refused("token", client, address, error, 400)

    async def withdrawn(self, given: Authorization, address: str) -> None:
        await self._append("revoke", given.client, address, "", given=given)

    async def _append(
        self,
        interaction: str,
        client: str,
        address: str,
        detail: str,
        *,
        of: Capacity | None = None,
        given: Authorization | None = None,
        status: int = 200,
    ) -> None:
        if self.audit is None:
            return
        who = given or of
        record = Record(
            self.audit.now(),
            interaction,
            status,
            patient=who.patient if who else "",
            role=who.role if who else "",
            user=who.fhir_user if who else "",
            client=client,
            mode=given.mode if given else "normal",
            reason=given.reason if given else "",
            profession=who.profession if who else "",
            organization=who.organization if who else "",
            address=address,
            detail=detail[:_LONGEST],
        )
        await self.audit.security(record)

    async def _refused(
        self, interaction: str, client: str, address: str, detail: str, status: int
    ) -> None:
        if self.audit is not None:
            record = Record(
                self.audit.now(),
                interaction,
                status,
                client=client[:128],
                address=address,
                detail=detail[:_LONGEST],
            )
            await self.audit.security(record, limited=True)


def registered(now: int, client: Client, *, disabled: bool = False) -> Record:
    """That a client was registered, changed or disabled."""
    return Record(
        now,
        "client-disable" if disabled else "client",
        role=Role.OPERATOR,
        client=client.id,
        detail=f"{client.kind}: {client.scopes}"[:_LONGEST],
    )


def _main(person: Person) -> Capacity | None:
    """The capacity a sign-in is recorded for: the person's own before those for others."""
    own = [each for each in person.capacities if each.role != Role.PROXY]
    return next(iter(own or person.capacities), None)
