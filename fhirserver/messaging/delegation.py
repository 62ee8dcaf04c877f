"""Who writes in the name of a professional or an establishment.

A professional names delegates by the extension message-delegate on their Practitioner or
PractitionerRole, an establishment on its Organization; who acts for an establishment may sign in
its name besides. The delegate is the sender; in whose name they write stands in the extension
message-on-behalf-of. The mailboxes of MSSanté know such delegates; that they are named in the
directory is this project's own form.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fhirserver.errors import Forbidden
from fhirserver.messaging.codes import DELEGATE, ON_BEHALF_OF, PROFESSIONALS
from fhirserver.messaging.message import kind, message_of, pair
from fhirserver.messaging.rules import refused
from fhirserver.messaging.writer import capacities
from fhirserver.model.dates import interval, microseconds
from fhirserver.model.extensions import extensions, with_extensions
from fhirserver.model.json import decode_stored
from fhirserver.model.references import identity

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource
    from fhirserver.messaging.writer import Writer


async def acting(ctx: Context, resource: Resource, writer: Writer) -> Writer:
    """The writer, with whom they write for. Raises Forbidden where that is not theirs to do."""
    named = list(extensions(resource, ON_BEHALF_OF))
    message = message_of(resource, ctx.local_bases)
    if writer.open:
        if not message.by_professional or "sent" in resource:
            return writer  # a conversation that is loaded as it was
        writer = replace(writer, signs=await capacities(ctx, message.sender))
    if writer.citizen or not named:
        return writer
    principal = message.on_behalf_of
    if len(named) > 1 or kind(principal) not in PROFESSIONALS:
        raise refused("A professional writes on behalf of one professional.", "extension")
    if writer.open and await ctx.as_server.store.read(*pair(principal)) is None:
        return writer  # resources may come in any order
    same = await capacities(ctx, principal)
    if principal not in writer.signs and not await _names(ctx, same, writer.signs):
        raise Forbidden(f"{principal} has not made you their delegate.")
    return replace(writer, principals=same)


async def marked(ctx: Context, resource: Resource, writer: Writer) -> Resource:
    """With `--auth off`, the message of a RelatedPerson with the mark of a proxy; with a token
    `sending.signed` sees to it. Raises Unprocessable where they do not act for the citizen."""
    message = message_of(resource, ctx.local_bases)
    if not writer.open or kind(message.sender) != "RelatedPerson" or not message.subject:
        return resource
    version = await ctx.as_server.store.read(*pair(message.sender))
    if version is None or version.content is None:  # resources may come in any order
        return resource
    person = decode_stored(version.content)
    acts = "/".join(identity(person.get("patient"), ctx.local_bases) or ()) == message.subject
    if "sent" not in resource:
        acts = acts and person.get("active", True) and not _is_over(person, ctx)
    if not acts:
        raise refused(f"{message.sender} does not act for {message.subject}.", "sender")
    if message.on_behalf_of:
        return resource
    mark = {"url": ON_BEHALF_OF, "valueReference": {"reference": message.subject}}
    return with_extensions(resource, [ON_BEHALF_OF], [mark])


def _is_over(person: Resource, ctx: Context) -> bool:
    end = (person.get("period") or {}).get("end")
    return bool(end) and interval(str(end))[1] <= microseconds(ctx.clock())


async def _names(ctx: Context, principals: tuple[str, ...], signs: tuple[str, ...]) -> bool:
    for principal in principals:
        version = await ctx.as_server.store.read(*pair(principal))
        if version is None or version.content is None:
            continue
        content = decode_stored(version.content)
        if not content.get("active", True):
            continue
        for extension in extensions(content, DELEGATE):
            named = identity(extension.get("valueReference"), ctx.local_bases)
            if named is not None and "/".join(named) in signs:
                return True
    return False
