"""Search parameter types: for each, what the index holds of a value and how a search tests it.

https://hl7.org/fhir/R4/search.html#ptypes

Each module has converters from a value of a FHIR type to index entries, and `lower` functions
from the text of a search to a test of these entries.
"""

from collections.abc import Callable
from typing import Any

from fhirserver.search.entries import Entry

#: Makes entries for each of some parameter codes from one value.
Converter = Callable[[tuple[str, ...], Any, list[Entry]], None]
