"""Names that messages are written with: extensions, code systems, kinds of correspondents.

The StructureDefinitions of the extensions are in profiles/messaging/, the codes in
terminology/messaging/.
"""

from __future__ import annotations

_BASE = "http://fhirserver.example"

#: valueReference: in whose name it was written: a proxy's citizen, a delegate's professional.
ON_BEHALF_OF = f"{_BASE}/StructureDefinition/message-on-behalf-of"
#: valueBoolean, on a professional's message: no answer is wanted any more (X-MSS-MES: FIN).
ENDS_THREAD = f"{_BASE}/StructureDefinition/message-ends-thread"
#: On the first message of a thread: ended (boolean), date (dateTime), by (Reference).
THREAD_STATE = f"{_BASE}/StructureDefinition/message-thread-state"
#: valueReference: a recipient who has not read the message.
UNREAD = f"{_BASE}/StructureDefinition/message-unread"
#: Who has read it: recipient (Reference, the mailbox), reader (Reference), date (dateTime).
READ = f"{_BASE}/StructureDefinition/message-read"

#: On a Practitioner, PractitionerRole or Organization: valueReference: who may write in their name.
DELEGATE = f"{_BASE}/StructureDefinition/message-delegate"

#: What the server keeps of a message; nobody writes it but by the operations.
KEPT = frozenset({UNREAD, READ, THREAD_STATE})

THREAD_STATUS = f"{_BASE}/CodeSystem/message-thread-status"

CITIZENS = frozenset({"Patient", "RelatedPerson"})
PROFESSIONALS = frozenset({"Practitioner", "PractitionerRole", "Organization"})
CORRESPONDENTS = CITIZENS | PROFESSIONALS

#: Statuses a message can have while it is written, and once it is sent.
DRAFT = "preparation"
SENT = frozenset({"in-progress", "completed"})
WITHDRAWN = "entered-in-error"
