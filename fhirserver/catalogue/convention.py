"""The convention of an app: purposes, scopes and the version each came with.

What is written is the purposes and their scopes; versions are the server's. A change that adds or
takes away makes the next version. What the old version gave keeps its number, scope by scope, as
far as the new one still gives it, so that an old consent goes on opening that and nothing more.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fhirserver.access import scopes as smart
from fhirserver.access.decision import listing
from fhirserver.access.decision.convention import Given, Purpose
from fhirserver.access.scopes import Scope
from fhirserver.catalogue import names
from fhirserver.catalogue.rules import refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from fhirserver.access.decision.convention import Listing

_PLACE = f"Device.extension.where(url='{listing.CONVENTION}')"


def check(place: Listing, knows: Callable[[str, str], bool]) -> None:
    """Raises Unprocessable for a convention that could not be kept."""
    seen: set[str] = set()
    for number, purpose in enumerate(place.purposes):
        where = f"{_PLACE}.extension('purpose')[{number}]"
        if purpose.code not in names.codes("purpose"):
            allowed = ", ".join(names.codes("purpose"))
            raise refused(
                f"“{purpose.code[:60]}” is no purpose that data may be exchanged for: {allowed}.",
                where,
            )
        if purpose.code in seen:
            raise refused(f"The purpose {purpose.code} stands twice.", where)
        seen.add(purpose.code)
        if not purpose.scopes:
            raise refused(f"The purpose {purpose.code} has no scope.", where)
        for given in purpose.scopes:
            _check_scope(given.scope, where, knows)


def _check_scope(text: str, where: str, knows: Callable[[str, str], bool]) -> None:
    found = smart.parse(text, knows)
    scope = found.resources[0] if len(found.items) == 1 and found.resources else None
    if scope is None or found.refused:
        raise refused(f"“{text[:100]}” is no SMART scope on data.", where)
    if scope.level != "patient":
        raise refused(
            f"An app acts in the space of one citizen: patient/…, not {text[:100]}.", where
        )
    if scope.type not in frozenset().union(*names.categories().values()):
        raise refused(f"No category of data has {scope.type}, so it is not opened to apps.", where)


def categories(place: Listing) -> frozenset[str]:
    """The categories of data that the convention opens."""
    types = {scope.type for scope in _scopes(place.scopes)}
    return frozenset(code for code, of in names.categories().items() if of & types)


def versioned(before: Listing | None, after: Listing) -> Listing:
    """`after` with the versions that follow from what stood before."""
    if not after.purposes:
        return replace(after, version=0, limit=None)
    if before is None or not before.purposes or before.valid is None:
        return replace(after, version=1, purposes=tuple(_all_since(p, 1) for p in after.purposes))
    olds = {purpose.code: purpose for purpose in before.purposes}
    same = olds.keys() == {purpose.code for purpose in after.purposes} and all(
        _same(olds[purpose.code], purpose) for purpose in after.purposes
    )
    if same:
        kept = tuple(
            replace(purpose, scopes=olds[purpose.code].scopes) for purpose in after.purposes
        )
        return replace(after, version=before.version, purposes=kept)
    version = before.version + 1
    made = tuple(_next(olds.get(purpose.code), purpose, version) for purpose in after.purposes)
    return replace(after, version=version, purposes=made)


def _all_since(purpose: Purpose, version: int) -> Purpose:
    return replace(purpose, scopes=tuple(Given(g.scope, version) for g in purpose.scopes))


def _same(old: Purpose, new: Purpose) -> bool:
    one, other = _scopes(g.scope for g in old.scopes), _scopes(g.scope for g in new.scopes)
    return all(_covered(s, other) for s in one) and all(_covered(s, one) for s in other)


def _next(old: Purpose | None, new: Purpose, version: int) -> Purpose:
    if old is None:
        return _all_since(new, version)
    wanted = _scopes(g.scope for g in new.scopes)
    scopes: dict[str, int] = {}
    for given in old.scopes:
        for scope in _scopes((given.scope,)):
            for each in wanted:
                left = scope.intersection(each)
                if left is not None:
                    scopes.setdefault(str(left), given.since)
    kept = _scopes(scopes)
    for each in wanted:
        if not _covered(each, kept):
            scopes[str(each)] = version
    return replace(new, scopes=tuple(Given(text, since) for text, since in scopes.items()))


def _covered(scope: Scope, by: Iterable[Scope]) -> bool:
    return any(each.covers(scope) for each in by)


def _scopes(texts: Iterable[str]) -> tuple[Scope, ...]:
    return smart.granted(tuple(texts)).resources


def element(place: Listing, given: dict[str, Any]) -> dict[str, Any]:
    """The extension as it is stored; `given`: as it came, for what is kept of it."""
    parts: list[dict[str, Any]] = [{"url": "version", "valuePositiveInt": place.version}]
    parts += [p for p in given.get("extension", []) if p.get("url") == "reapprovalLimit"]
    display = names.codes("purpose")
    for purpose in place.purposes:
        coding = {
            "system": listing.PURPOSE,
            "code": purpose.code,
            "display": display[purpose.code],
        }
        inner: list[dict[str, Any]] = [{"url": "code", "valueCoding": coding}]
        if purpose.label:
            inner.append({"url": "label", "valueString": purpose.label})
        for each in purpose.scopes:
            scope = [
                {"url": "value", "valueString": each.scope},
                {"url": "since", "valuePositiveInt": each.since},
            ]
            inner.append({"url": "scope", "extension": scope})
        parts.append({"url": "purpose", "extension": inner})
    return {"url": listing.CONVENTION, "extension": parts}
