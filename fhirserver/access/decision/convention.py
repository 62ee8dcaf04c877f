"""What an app of the catalogue may do at a call: requested ∩ convention ∩ consent.

The convention stands on the app's Device: purposes, each with SMART scopes. Every scope tells since
which version of the convention it is there, and every Consent which version its citizen agreed to,
so that what was added later is not given by an old consent. A Consent for named purposes opens
these alone, one for classes of data these types alone. Nothing is given while the app is not
listed, or outside the time it is listed for.

Source: CSP L.1111-13-1 III and R.1111-37 to -39 (convention: categories of data, purposes,
duration; express consent).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhirserver.access import scopes as smart
from fhirserver.access.decision import listing
from fhirserver.access.decision.codes import RESOURCE_TYPE
from fhirserver.access.scopes import Scope, Scopes
from fhirserver.model.dates import interval, period
from fhirserver.model.extensions import extensions, value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    Json = Mapping[str, Any]

#: Seen with any class of data: whose it is, and the content of documents.
_ALONG = frozenset({"Patient", "Binary"})


@dataclass(frozen=True, slots=True)
class Given:
    """A scope of a convention, and the version it came with."""

    scope: str
    since: int = 1


@dataclass(frozen=True, slots=True)
class Purpose:
    code: str
    label: str
    scopes: tuple[Given, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A Device's place in the catalogue. `valid`: microseconds [low, high); `limit`: from when on
    consents to older versions count no longer."""

    status: str = ""
    reason: str = ""
    valid: tuple[int, int] | None = None
    version: int = 0
    purposes: tuple[Purpose, ...] = ()
    limit: int | None = None

    def open_at(self, moment: int) -> bool:
        if self.status != listing.LISTED:
            return False
        return self.valid is None or self.valid[0] <= moment < self.valid[1]

    @property
    def scopes(self) -> tuple[str, ...]:
        """All scopes of the convention, each once."""
        return tuple(dict.fromkeys(g.scope for p in self.purposes for g in p.scopes))


@dataclass(frozen=True, slots=True)
class Opened:
    """What an app may do in one space. `changes`: instants at which that may change by itself."""

    scopes: Scopes = field(default_factory=Scopes)
    changes: tuple[int, ...] = ()

    @property
    def types(self) -> frozenset[str]:
        return frozenset(scope.type for scope in self.scopes.resources)


def listing_of(device: Json) -> Listing | None:
    """None for a Device that is not of the catalogue."""
    placed = extensions(device, listing.REFERENCING)
    if not placed:
        return None
    convention = next(iter(extensions(device, listing.CONVENTION)), {})
    limit = value(convention, "reapprovalLimit", "valueDateTime")
    return Listing(
        status=str(value(placed[0], "status", "valueCode") or ""),
        reason=str(value(placed[0], "reason", "valueString") or ""),
        valid=period(value(placed[0], "period", "valuePeriod") or {}),
        version=_number(value(convention, "version", "valuePositiveInt"), 1 if convention else 0),
        purposes=tuple(_purpose(each) for each in extensions(convention, "purpose")),
        limit=_instant(limit),
    )


def _purpose(element: Json) -> Purpose:
    code = value(element, "code", "valueCoding") or {}
    return Purpose(
        str(code.get("code", "")),
        str(value(element, "label", "valueString") or code.get("display") or ""),
        tuple(
            Given(
                str(value(each, "value", "valueString") or ""),
                _number(value(each, "since", "valuePositiveInt"), 1),
            )
            for each in extensions(element, "scope")
        ),
    )


def agreed_version(consent: Json) -> int:
    """The version a Consent is for: the first one unless it says another."""
    return _number(value(consent, listing.AGREED, "valuePositiveInt"), 1)


def purposes_of(consent: Json) -> frozenset[str]:
    """The purposes of the catalogue that a Consent names; none: it is for all."""
    named = consent.get("provision", {}).get("purpose", [])
    return frozenset(c.get("code", "") for c in named if c.get("system") == listing.PURPOSE)


def opened_by(place: Listing, consent: Json, moment: int) -> list[Scope]:
    """The scopes of the convention that one Consent in force opens."""
    version = agreed_version(consent)
    if version < place.version and place.limit is not None and place.limit <= moment:
        return []
    named = purposes_of(consent)
    classes = {
        c.get("code")
        for c in consent.get("provision", {}).get("class", [])
        if c.get("system") == RESOURCE_TYPE
    }
    texts = [
        given.scope
        for purpose in place.purposes
        if not named or purpose.code in named
        for given in purpose.scopes
        if given.since <= version
    ]
    scopes = smart.granted(tuple(dict.fromkeys(texts))).resources
    named_types = [s for s in scopes if not classes or s.type in classes]
    if not named_types:
        return []
    return [s for s in scopes if s in named_types or s.type in _ALONG]


def opened(place: Listing | None, consents: Iterable[Json], asked: Scopes, moment: int) -> Opened:
    """What of the scopes `asked` the consents in force open."""
    if place is None:
        return Opened()
    bounds = [*(place.valid or ()), *(() if place.limit is None else (place.limit,))]
    changes = tuple(bound for bound in bounds if bound > moment)
    if not place.open_at(moment):
        return Opened(changes=changes)
    allowed = [scope for consent in consents for scope in opened_by(place, consent, moment)]
    return Opened(asked.within(smart.of(allowed)), changes)


def needs_approval(place: Listing, consent: Json) -> bool:
    """The convention has scopes, for the purposes agreed to, that the Consent does not cover."""
    version, named = agreed_version(consent), purposes_of(consent)
    return any(
        given.since > version
        for purpose in place.purposes
        if not named or purpose.code in named
        for given in purpose.scopes
    ) or (version < place.version and place.limit is not None)


def _number(found: Any, otherwise: int) -> int:
    return found if isinstance(found, int) and not isinstance(found, bool) else otherwise


def _instant(text: Any) -> int | None:
    if not isinstance(text, str):
        return None
    try:
        return interval(text)[0]
    except ValueError:
        return None
