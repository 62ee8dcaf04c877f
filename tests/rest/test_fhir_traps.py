"""FHIR semantics that other servers got wrong, clause by clause: requests and what must come back.

https://hl7.org/fhir/R4/search.html, https://hl7.org/fhir/R4/http.html. A step is a request, the
status it is answered with, and what the answer holds: a path of names and numbers into its JSON,
`#` for a length, `@` for a header. In texts `TAG` is a name no other case uses, `<x>` what an
earlier step kept as x.
"""

from __future__ import annotations

import pytest
from fhir_steps import walk
from fhir_traps_rest import REST
from fhir_traps_search import SEARCH
from fhir_traps_transaction import TRANSACTION


@pytest.mark.parametrize("clause", SEARCH)
def test_search(fhir, tag, clause):
    walk(fhir, tag, SEARCH[clause])


@pytest.mark.parametrize("clause", REST)
def test_rest(fhir, tag, clause):
    walk(fhir, tag, REST[clause])


@pytest.mark.parametrize("clause", TRANSACTION)
def test_transaction(fhir, tag, clause):
    rest = fhir.get("/metadata").json()["rest"][0]
    if (
        clause != "entries of a batch stand alone"
        and {"code": "transaction"} not in rest["interaction"]
    ):
        pytest.skip("this store has no transactions, and says so")
    walk(fhir, tag, TRANSACTION[clause])
