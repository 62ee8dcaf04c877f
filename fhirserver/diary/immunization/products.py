"""Recognition of vaccine codes: what a coded vaccine contains, antigen by antigen.

Codes of CIS, CIP, ATC, CVX, SNOMED CT and NUVA lead to a NUVA vaccine, its valences to antigens
with tags ("live-viral", "reduced", "pcv13" ...) that the calendar's rules speak of. The tables are
`terminology/immunization/vaccines.json.gz` (NUVA, CC BY 4.0) and `antigens.json`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from fhirserver.model import shipped

Tags = frozenset[str]
NO_TAGS: Tags = frozenset()


@dataclass(frozen=True, slots=True)
class Antigen:
    """What a vaccine protects against, as the calendar names it. `diseases`: its SNOMED CT codes,
    the one to write first."""

    key: str
    display: str
    display_fr: str
    diseases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """A vaccine: `code` in NUVA, whether it is a `brand`, and what it `contains`."""

    code: str
    label: str
    brand: bool
    contains: Mapping[str, Tags]


class Products:
    """The vaccines and antigens known here."""

    def __init__(self, vaccines: Mapping[str, Any], table: Mapping[str, Any]) -> None:
        self.antigens = {
            key: Antigen(
                key, given["display"], given["fr"], (given["disease"], *given.get("also", ()))
            )
            for key, given in table["antigens"].items()
        }
        self._rules = table["antigens"]
        self._targets: Mapping[str, str] = vaccines["valences"]
        self._vaccines = vaccines["vaccines"]
        self._vaccine_tags = table["vaccine_tags"]
        self._codes = {
            system: {**codes, **table["codes"].get(system, {})}
            for system, codes in vaccines["codes"].items()
        }
        self._systems: dict[str, list[str]] = {}
        for name, urls in table["systems"].items():
            for url in urls:
                self._systems.setdefault(url, []).append(name)
        self._vague_systems = frozenset(table["vague"]["systems"])
        self._vague_tags = frozenset(table["vague"]["tags"])
        self._by_disease: dict[str, list[str]] = {}
        for antigen in self.antigens.values():
            for disease in antigen.diseases:
                self._by_disease.setdefault(disease, []).append(antigen.key)
        self._made: dict[str, Product] = {}

    def of_coding(self, system: str, code: str) -> Product | None:
        """The vaccine a code stands for, None when it is not known."""
        for name in self._systems.get(system, ()):
            nuva = code if name == "nuva" else self._codes[name].get(code, "")
            if nuva in self._vaccines:
                product = self._product(nuva)
                if name not in self._vague_systems:
                    return product
                contains = {k: tags - self._vague_tags for k, tags in product.contains.items()}
                return Product(product.code, product.label, product.brand, contains)
        return None

    def of_disease(self, system: str, code: str) -> Mapping[str, Tags]:
        """The antigens a target disease stands for, without anything known of the product."""
        if "sct" not in self._systems.get(system, ()):
            return {}
        keys = self._by_disease.get(code, ())
        # One SNOMED CT code covers all meningococci: it tells no serogroup, so it counts for none.
        return {keys[0]: NO_TAGS} if len(keys) == 1 else {}

    def _product(self, nuva: str) -> Product:
        found = self._made.get(nuva)
        if found is None:
            label, brand, valences = self._vaccines[nuva]
            contains = self._contains(valences, self._vaccine_tags.get(nuva, {}))
            found = self._made[nuva] = Product(nuva, label, brand, contains)
        return found

    def _contains(
        self, valences: Iterable[str], more: Mapping[str, Iterable[str]]
    ) -> dict[str, Tags]:
        contains = {}
        for key, rule in self._rules.items():
            wanted = set(rule.get("all_targets") or rule["targets"])
            held = [
                v for v in valences
                if self._targets.get(v) in wanted and v not in rule.get("not", ())
            ]  # fmt: skip
            if not held or ("all_targets" in rule and {self._targets[v] for v in held} != wanted):
                continue
            tags = set(more.get(key, ()))
            for tag, marked in rule.get("tags", {}).items():
                count = sum(v in marked for v in held)
                if count:
                    tags.add(tag)
                if count and tag in rule.get("counted", {}):
                    tags.add(f"{rule['counted'][tag]}{count}")
            contains[key] = frozenset(tags)
        return contains


@cache
def products() -> Products:
    """The vaccines and antigens that travel with the server."""
    return Products(
        msgspec.json.decode(shipped.read("terminology", "immunization", "vaccines.json.gz")),
        msgspec.json.decode(shipped.read("terminology", "immunization", "antigens.json")),
    )
