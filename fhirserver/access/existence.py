"""Whether a space exists, for who asks by national identifier and may see no more of it.

The Patient is shown with its id, the identifier asked for, and `active`: true, the space is open
and may be fed; false, it is closed, or was not opened. Source: PDSm4DMP 0.1.0 (ANS): "does the DMP
exist" is `GET Patient?identifier=OID|INS` with Patient.active.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fhirserver.access.decision.codes import INS
from fhirserver.model.json import encode
from fhirserver.model.subset import SUBSETTED
from fhirserver.search.expression import Both, Compare, Match

if TYPE_CHECKING:
    from fhirserver.model.version import Version
    from fhirserver.search.expression import Query

    Identity = tuple[str, str]


def identity_asked(query: Query) -> Identity | None:
    """System and value, when the query asks for one national identifier and nothing else: any
    other criterion would tell something of the person."""
    where = query.where
    if query.types != ("Patient",) or not isinstance(where, Match) or where.param != "identifier":
        return None
    parts = where.test.tests if isinstance(where.test, Both) else ()
    equal = {p.field: p.value for p in parts if isinstance(p, Compare) and p.op == "eq"}
    system, value = equal.get("system"), equal.get("code")
    if len(parts) != len(equal) or system not in INS or not value:
        return None
    return str(system), str(value)


def bare(version: Version, identity: Identity, is_open: bool) -> Version:
    """The Patient with nothing but its existence."""
    system, value = identity
    shown = {
        "resourceType": "Patient",
        "id": version.id,
        "meta": {"tag": [SUBSETTED]},
        "identifier": [{"system": system, "value": value}],
        "active": is_open,
    }
    return msgspec.structs.replace(version, content=encode(shown))
