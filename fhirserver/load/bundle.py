"""An item as entries: what a Bundle, or a single resource, asks to be stored.

* transaction and batch: what each entry's request says
  (https://hl7.org/fhir/R4/http.html#transaction).
* collection, searchset, history, and the two responses: the resources they hold, each stored
  under its id (of a history, the newest version).
* document and message: one thing, stored as the Bundle it is.

The Bundle is only skimmed here; the resources stay bytes until `prepare.py` decodes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from fhirserver.load.identity import Scope, is_id
from fhirserver.model.definitions import RESOURCE_TYPES

UNPACKED = frozenset(
    {"collection", "searchset", "history", "batch-response", "transaction-response"}
)
WHOLE = frozenset({"document", "message"})


class _Resource(msgspec.Struct):
    resourceType: str
    id: str | None = None


class _Request(msgspec.Struct):
    method: str
    url: str
    ifNoneExist: str | None = None
    ifMatch: str | None = None


class _SearchMode(msgspec.Struct):
    mode: str = ""


class _Entry(msgspec.Struct):
    fullUrl: str | None = None
    resource: msgspec.Raw = msgspec.Raw()
    request: _Request | None = None
    search: _SearchMode | None = None

    @property
    def data(self) -> bytes:
        data = bytes(self.resource)
        return b"" if data == b"null" else data


class _Bundle(msgspec.Struct):
    type: str = ""
    entry: list[msgspec.Raw] = []


_skim = msgspec.json.Decoder(_Bundle).decode
_skim_entry = msgspec.json.Decoder(_Entry).decode
_skim_resource = msgspec.json.Decoder(_Resource).decode


@dataclass(frozen=True, slots=True)
class Entry:
    """One resource to store, or one thing to do.

    `method`: POST (must not replace another), PUT, DELETE or PATCH. `id` is settled, "" when only
    a search can tell (`criteria`). `if_match`: the version that must be current. `base`: the base
    URL that the fullUrl gives the resource.
    """

    place: int | None
    method: str
    type: str
    id: str
    data: bytes = b""
    full_url: str | None = None
    criteria: str | None = None
    if_match: str | None = None
    base: str = ""

    @property
    def name(self) -> str:
        return f"{self.type}/{self.id}" if self.id else self.type


@dataclass(frozen=True, slots=True)
class Refused:
    """An entry that is none; `data` is where in the item it stands."""

    place: int | None
    reason: str
    resource: str
    data: bytes


@dataclass(slots=True)
class Entries:
    """The entries of one item. `kind` is the Bundle's type, "" for a single resource; `mapping`
    gives the new reference for each fullUrl that the entries may use among themselves; `gone` are
    the resources a history tells to be deleted."""

    kind: str
    entries: list[Entry] = field(default_factory=list)
    mapping: dict[str, str] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    scope: Scope = field(default_factory=Scope)

    def refuse(self, place: int | None, reason: str, resource: str = "", data: bytes = b"") -> None:
        self.refused.append(Refused(place, reason, resource, data))


def split(data: bytes, *, by_content: bool = False) -> Entries:
    """The entries of an item. Raises ValueError when it is no JSON object with a resourceType.

    `by_content`: the ids that are made depend on all of the item's content (`identity.py`).
    """
    bundle = _skim(data) if _skim_resource(data).resourceType == "Bundle" else None
    if bundle is None or bundle.type in WHOLE:
        found = Entries("")
        _add_stored(found, None, None, data)
        return found
    found = Entries(bundle.type)
    if bundle.type in ("transaction", "batch"):
        add = _add_requested
    elif bundle.type in UNPACKED:
        add = _add_held
    else:
        found.refuse(None, f"Bundle.type '{bundle.type[:40]}' is none of R4")
        return found
    entries = []
    for place, raw in enumerate(bundle.entry):
        try:
            entries.append((place, _skim_entry(raw)))
        except (msgspec.ValidationError, RecursionError) as error:
            found.refuse(place, f"is no Bundle entry: {error}", "", bytes(raw))
    found.scope = (
        Scope.by_content(data)
        if by_content
        else Scope.by_names(entry.fullUrl or "" for _, entry in entries)
    )
    for place, entry in entries:
        try:
            add(found, place, entry)
        except (msgspec.ValidationError, RecursionError) as error:
            found.refuse(place, f"has no resource: {error}", "", entry.data)
    if bundle.type in UNPACKED:
        _keep_first(found)
    return found


def _add_held(found: Entries, place: int, entry: _Entry) -> None:
    if not entry.data:
        if entry.request is not None and entry.request.method == "DELETE":
            found.gone.add(entry.request.url.lstrip("/"))
            return
        if found.kind not in ("batch-response", "transaction-response"):
            found.refuse(place, "has no resource")
    elif entry.search is None or entry.search.mode != "outcome":
        _add_stored(found, place, entry.fullUrl, entry.data)


def _add_stored(found: Entries, place: int | None, full_url: str | None, data: bytes) -> None:
    resource = _skim_resource(data)
    type_ = resource.resourceType
    if type_ not in RESOURCE_TYPES:
        found.refuse(place, f"'{type_[:80]}' is no resource type of R4", "")
        return
    # With an id of its own the resource says under which name it is to be found.
    id_ = resource.id if is_id(resource.id) else None
    settled = id_ or found.scope.id(full_url, None, data)
    if resource.id is not None and id_ is None:
        found.refuse(place, f"'{resource.id[:80]}' is no logical id", type_)
        return
    _add(found, Entry(place, "PUT" if id_ else "POST", type_, settled, data, full_url))


def _add_requested(found: Entries, place: int, entry: _Entry) -> None:
    request = entry.request
    if request is None:
        found.refuse(place, "has no request")
        return
    method, url = request.method, request.url.lstrip("/")
    path, _, criteria = url.partition("?")
    type_, _, id_ = path.partition("/")
    if method in ("GET", "HEAD"):
        return
    if type_ not in RESOURCE_TYPES or (id_ and not is_id(id_)):
        found.refuse(place, f"request.url '{url[:120]}' names no resource of R4")
    elif method == "DELETE" or method == "PATCH":
        if not id_ and not criteria:
            found.refuse(place, f"{method} needs the id or the search of a resource")
            return
        data = b"" if method == "DELETE" else entry.data
        _add(
            found,
            Entry(place, method, type_, id_, data, None, criteria or None, request.ifMatch),
        )
    elif method not in ("POST", "PUT"):
        found.refuse(place, f"request.method '{method[:20]}' is none of FHIR's")
    elif not entry.data:
        found.refuse(place, f"{method} needs a resource", type_)
    else:
        _add_write(found, place, entry, request, type_, id_, criteria)


def _add_write(
    found: Entries,
    place: int,
    entry: _Entry,
    request: _Request,
    type_: str,
    id_: str,
    criteria: str,
) -> None:
    data = entry.data
    resource = _skim_resource(data)
    if resource.resourceType != type_:
        found.refuse(place, f"request.url names {type_}, the resource is {resource.resourceType}")
        return
    method = request.method
    if method == "POST":
        if id_:
            found.refuse(place, "POST must not name an id", type_)
            return
        condition = request.ifNoneExist
        if condition is not None:
            condition = condition.partition("?")[2] or condition
        id_ = found.scope.id(entry.fullUrl, resource.id, data)
        new = Entry(place, "POST", type_, id_, data, entry.fullUrl, condition)
    elif criteria:
        id_ = found.scope.id(entry.fullUrl, resource.id, data)
        new = Entry(place, "PUT", type_, id_, data, entry.fullUrl, criteria, request.ifMatch)
    elif resource.id != id_:
        found.refuse(place, f"request.url names {type_}/{id_}, the resource's id differs", type_)
        return
    else:
        new = Entry(place, "PUT", type_, id_, data, entry.fullUrl, None, request.ifMatch)
    _add(found, new)


def _add(found: Entries, entry: Entry) -> None:
    url = entry.full_url
    base = ""
    if url is not None and "://" in url:
        head, _, last = url.rpartition("/")
        head, _, type_ = head.rpartition("/")
        if last and type_ == entry.type:
            base = head
    if base:
        entry = Entry(
            entry.place,
            entry.method,
            entry.type,
            entry.id,
            entry.data,
            entry.full_url,
            entry.criteria,
            entry.if_match,
            base,
        )
    if url is not None and entry.criteria is None:
        found.mapping[url] = entry.name
    found.entries.append(entry)


def _keep_first(found: Entries) -> None:
    """Of several versions of one resource the first is the newest in a history."""
    seen = set(found.gone)
    kept = []
    for entry in found.entries:
        if entry.name not in seen:
            seen.add(entry.name)
            kept.append(entry)
    found.entries[:] = kept
