r"""Composite search parameters (https://hl7.org/fhir/R4/search.html#composite).

The components' values are joined by `$`; all of them must be found on the same element.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fhirserver.errors import Invalid
from fhirserver.search.expression import CompositeMatch
from fhirserver.search.types.convert import KINDS
from fhirserver.search.types.escape import split

if TYPE_CHECKING:
    from collections.abc import Callable

    from fhirserver.conformance.search_parameter import Component, SearchParameter
    from fhirserver.search.expression import Test


def lower(
    parameter: SearchParameter, text: str, component_test: Callable[[Component, str], Test]
) -> CompositeMatch:
    """The match of one value, still escaped; `component_test` lowers a component's value."""
    parts = split(text, "$")
    components = parameter.components
    if len(parts) != len(components) or not all(parts):
        raise Invalid(
            f"'{text[:64]}' does not have the {len(components)} values, joined by $, "
            f"that {parameter.code} is made of"
        )
    return CompositeMatch(
        parameter.code,
        tuple(KINDS[component.type] for component in components),
        tuple(
            component_test(component, part)
            for component, part in zip(components, parts, strict=True)
        ),
    )
