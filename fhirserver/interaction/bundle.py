"""The Bundle of a batch or transaction, checked and taken apart
(https://hl7.org/fhir/R4/bundle.html#bundle-unique)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fhirserver.errors import Invalid, Issue, TooLarge
from fhirserver.interaction.entry import EntryRequest
from fhirserver.model.definitions import type_definition

if TYPE_CHECKING:
    from fhirserver.interaction.context import Context, Resource

#: The methods of http://hl7.org/fhir/http-verb; True when the entry must carry a resource.
METHODS = {"GET": False, "HEAD": False, "POST": False, "PUT": True, "PATCH": True, "DELETE": False}

#: Bundle.entry.request elements that are HTTP headers, and the methods they have meaning for.
_HEADERS = {
    "ifMatch": ("if-match", ("PUT", "PATCH", "DELETE")),
    "ifNoneMatch": ("if-none-match", ("GET", "HEAD", "PUT")),
    "ifModifiedSince": ("if-modified-since", ("GET", "HEAD")),
    "ifNoneExist": ("if-none-exist", ("POST",)),
}


def entry_requests(ctx: Context, bundle: Resource, type: str) -> list[EntryRequest]:
    """The requests of a Bundle of `type` (batch or transaction), in its order.

    Raises Invalid when the Bundle is none. An entry that is none, or asks for something
    impossible, makes a transaction invalid; of a batch it is refused by itself.
    """
    _check_bundle(bundle, type)
    entries = bundle.get("entry", [])
    if not isinstance(entries, list):
        raise _invalid("Bundle.entry", "must be a list.")
    if len(entries) > ctx.limits.bundle_entries:
        raise TooLarge(
            f"The Bundle has {len(entries)} entries; this server takes "
            f"{ctx.limits.bundle_entries} at once."
        )
    if type == "batch":
        return [_lone_request(ctx, place, entry) for place, entry in enumerate(entries)]
    _check_full_urls(entries)
    return [_request(ctx, place, entry, False) for place, entry in enumerate(entries)]


def full_url(entry: Resource) -> str | None:
    value = entry.get("fullUrl")
    return value if isinstance(value, str) else None


def _check_bundle(bundle: Any, type: str) -> None:
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise Invalid("The body must be a Bundle.")
    if bundle.get("type") != type:
        raise _invalid("Bundle.type", f"must be {type}.")
    _check_names(bundle, "Bundle", "Bundle")


def _check_names(value: Resource, type: str, place: str) -> None:
    """Refuse elements R4 does not know: what a client meant by them would be lost in silence."""
    known = type_definition(type).elements
    for name, child in value.items():
        if name not in known and name.lstrip("_") not in known and name != "resourceType":
            raise _invalid(f"{place}.{name[:80]}", "is no element of a Bundle.")
        if child is None:
            raise _invalid(f"{place}.{name}", "must not be null.")


def _check_full_urls(entries: list[Any]) -> None:
    seen: dict[str, int] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or "fullUrl" not in entry:
            continue
        _check_full_url(place, entry)
        url = entry["fullUrl"]
        if url in seen:
            where = f"Bundle.entry[{place}].fullUrl"
            raise _invalid(where, f"is that of entry {seen[url]} too; it must be unique.")
        seen[url] = place


def _check_full_url(place: int, entry: Resource) -> None:
    where = f"Bundle.entry[{place}].fullUrl"
    url = entry["fullUrl"]
    if not isinstance(url, str) or not url:
        raise _invalid(where, "must be a string.")
    if "/_history/" in url:
        raise _invalid(where, "must not name a version.")


def _lone_request(ctx: Context, place: int, entry: Any) -> EntryRequest:
    try:
        if isinstance(entry, dict) and "fullUrl" in entry:
            _check_full_url(place, entry)
        return _request(ctx, place, entry, True)
    except Invalid as error:
        return EntryRequest("", "", refused=error)


def _request(ctx: Context, place: int, entry: Any, alone: bool) -> EntryRequest:
    """`alone`: what would not make the Bundle invalid is refused where the entry is served."""
    where = f"Bundle.entry[{place}]"
    if not isinstance(entry, dict):
        raise _invalid(where, "must be an object.")
    _check_names(entry, "Bundle.entry", where)
    request = entry.get("request")
    if not isinstance(request, dict):
        raise _invalid(f"{where}.request", "is required, with method and url.")
    _check_names(request, "Bundle.entry.request", f"{where}.request")
    method = request.get("method")
    if not isinstance(method, str) or method not in METHODS:
        raise _invalid(f"{where}.request.method", f"must be one of {', '.join(METHODS)}.")
    resource = entry.get("resource")
    if resource is None:
        if METHODS[method] and not alone:
            raise _invalid(f"{where}.resource", f"is required for {method}.")
    elif not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise _invalid(f"{where}.resource", "must be a resource with its resourceType.")
    headers: dict[str, str] = {}
    for name, (header, methods) in _HEADERS.items():
        value = request.get(name)
        if value is None:
            continue
        if not isinstance(value, str) or not value:
            raise _invalid(f"{where}.request.{name}", "must be a string.")
        if method not in methods and not alone:
            raise _invalid(f"{where}.request.{name}", f"has no meaning for {method}.")
        headers[header] = value
    url = _url(ctx, where, request.get("url"), alone)
    return EntryRequest(method, url, headers, resource)


def _url(ctx: Context, where: str, value: Any, alone: bool) -> str:
    """The entry's URL relative to the base."""
    if not isinstance(value, str) or not value:
        raise _invalid(f"{where}.request.url", "must be a URL relative to the base.")
    url: str = value
    for base in ctx.local_bases:
        if url.startswith((base + "/", base + "?")) or url == base:
            url = url[len(base) :]
            break
    else:
        if "://" in url.partition("?")[0]:
            if alone:
                return url
            raise _invalid(f"{where}.request.url", f"must be relative to the base, not {url[:80]}.")
    if "#" in url and not alone:
        raise _invalid(f"{where}.request.url", "must not have a fragment.")
    return url.lstrip("/")


def _invalid(place: str, text: str) -> Invalid:
    return Invalid(issues=(Issue("error", "invalid", f"{place} {text}", (place,)),))
