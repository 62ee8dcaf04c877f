"""References between resources: what they point to, where they stand, and rewriting them.

https://hl7.org/fhir/R4/references.html, and for the rewriting of a transaction's links
https://hl7.org/fhir/R4/http.html#trules and https://hl7.org/fhir/R4/bundle.html#references
"""

from __future__ import annotations

import html
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from fhirserver.model.definitions import RESOURCE_TYPES, type_definition

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

# --- one reference --------------------------------------------------------------------------

_LITERAL = re.compile(
    r"([A-Z][A-Za-z]+)/([A-Za-z0-9\-.]{1,64})(?:/_history/([A-Za-z0-9\-.]{1,64}))?"
)
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://\S+")
_URN = re.compile(
    r"urn:uuid:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}"
    r"|urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+"
)


#: Type and logical id.
Identity = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Reference:
    """What a reference string says.

    `kind`:
    * literal      a resource on this server: `type`, `id`, perhaps `version`
    * absolute     a resource or thing elsewhere: `text` is its URL; `type` and `id` if it has them
    * contained    `id` is the id of a contained resource; "" means the container itself
    * urn          `text` is a urn:uuid or urn:oid (any other urn: is unknown)
    * conditional  `type` and search `criteria`
    * unknown      none of these
    """

    text: str
    kind: str
    type: str = ""
    id: str = ""
    version: str | None = None
    criteria: str = ""

    @property
    def literal(self) -> str:
        """`Type/id`, without version or base."""
        return f"{self.type}/{self.id}"


def parse(text: str, local_bases: Sequence[str] = ()) -> Reference:
    """Read a reference; absolute URLs under one of `local_bases` are literal references."""
    found = _LITERAL.fullmatch(text)
    if found is not None and found[1] in RESOURCE_TYPES:
        return Reference(text, "literal", found[1], found[2], found[3])
    if text.startswith("#"):
        return Reference(text, "contained", id=text[1:])
    if text.startswith("urn:"):
        return Reference(text, "urn" if _URN.fullmatch(text) else "unknown")
    for base in local_bases:
        base = base.rstrip("/") + "/"
        if text.startswith(base):
            local = parse(text[len(base) :])
            if local.kind in ("literal", "conditional"):
                return Reference(
                    text, local.kind, local.type, local.id, local.version, local.criteria
                )
    if _ABSOLUTE.fullmatch(text):
        parts = text.rpartition("/_history/")
        head, version = (parts[0], parts[2]) if parts[1] else (text, "")
        found = _LITERAL.fullmatch("/".join(head.rsplit("/", 2)[1:]))
        if found is not None and found[1] in RESOURCE_TYPES:
            return Reference(text, "absolute", found[1], found[2], version or None)
        return Reference(text, "absolute")
    type_, question, criteria = text.partition("?")
    if question and criteria and type_ in RESOURCE_TYPES:
        return Reference(text, "conditional", type_, criteria=criteria)
    return Reference(text, "unknown")


def identity(value: Any, local_bases: Sequence[str] = (), type: str = "") -> Identity | None:
    """The resource of this server that a Reference, or its text, names; None when it names none,
    or none of `type`."""
    text = value.get("reference") if isinstance(value, dict) else value
    if not isinstance(text, str):
        return None
    found = parse(text, local_bases)
    if found.kind != "literal" or type not in ("", found.type):
        return None
    return found.type, found.id


# --- every link of a resource ---------------------------------------------------------------


class Link(NamedTuple):
    """One value that points somewhere. `type`: reference (Reference.reference), canonical, uri,
    url, oid, uuid, or xhtml for an href or src in a narrative."""

    type: str
    value: str
    place: tuple[Any, ...]  # a chain (outer place, name or index), the first one (resource type,)

    @property
    def expression(self) -> str:
        """FHIRPath of the place: `Patient.link[0].other.reference`."""
        steps = []
        place = self.place
        while len(place) == 2:
            steps.append(f"[{place[1]}]" if type(place[1]) is int else f".{place[1]}")
            place = place[0]
        return str(place[0]) + "".join(reversed(steps))


_POINTERS = {"canonical", "uri", "url", "oid", "uuid"}


@cache
def _plan(type_name: str) -> dict[str, tuple[str, str]]:
    """What to do with the members of an object of this type; those not named hold no link.

    Member -> (what, type). what: `in` descend, `resource` descend by resourceType, `link` take.
    """
    plan: dict[str, tuple[str, str]] = {}
    for name, element in type_definition(type_name).elements.items():
        if element.type in ("Resource", "DomainResource"):
            plan[name] = ("resource", "")
        elif element.type == "xhtml":
            plan[name] = ("xhtml", "xhtml")
        elif not element.primitive:
            plan[name] = ("in", element.type)
        else:
            plan["_" + name] = ("in", "Element")
            if type_name == "Reference" and name == "reference":
                plan[name] = ("link", "reference")
            elif element.type in _POINTERS:
                plan[name] = ("link", element.type)
    return plan


def _plan_of(resource: dict[str, Any]) -> dict[str, tuple[str, str]]:
    type_ = resource.get("resourceType")
    return _plan(type_) if type(type_) is str and type_ in RESOURCE_TYPES else {}


def links(resource: dict[str, Any]) -> list[Link]:
    """Every link of a resource (of a Bundle also those of its entries), in order."""
    found: list[Link] = []
    _collect(resource, _plan_of(resource), (str(resource.get("resourceType", "")),), found)
    return found


def _collect(
    node: dict[str, Any],
    plan: dict[str, tuple[str, str]],
    place: tuple[Any, ...],
    found: list[Link],
) -> None:
    for name, value in node.items():
        step = plan.get(name)
        if step is None:
            continue
        what, type_ = step
        many = type(value) is list
        for index, item in enumerate(value if many else (value,)):
            here = ((place, name), index) if many else (place, name)
            if type(item) is dict:
                if what == "in":
                    _collect(item, _plan(type_), here, found)
                elif what == "resource":
                    _collect(item, _plan_of(item), here, found)
            elif type(item) is str:
                if what == "link":
                    found.append(Link(type_, item, here))
                elif what == "xhtml":
                    found.extend(Link("xhtml", url, here) for url in narrative_links(item))


# --- narrative ------------------------------------------------------------------------------

# `<` cannot stand in an attribute's value, so a match never runs past the next tag.
_TAG = re.compile(r"""<[A-Za-z](?:[^<>"']|"[^"<]*"|'[^'<]*')*>""")
_ATTRIBUTE = re.compile(r"""(\s(?:href|src)\s*=\s*)("[^"]*"|'[^']*')""")


def narrative_links(div: str) -> list[str]:
    """The href and src values of a narrative, in order."""
    if "href" not in div and "src" not in div:
        return []
    return [
        html.unescape(attribute[2][1:-1])
        for tag in _TAG.finditer(div)
        for attribute in _ATTRIBUTE.finditer(tag[0])
    ]


def _rewrite_narrative(div: str, replace: Callable[[str], str | None]) -> str:
    def in_attribute(match: re.Match[str]) -> str:
        url = replace(html.unescape(match[2][1:-1]))
        return match[0] if url is None else f'{match[1]}"{html.escape(url)}"'

    rewritten = _TAG.sub(lambda tag: _ATTRIBUTE.sub(in_attribute, tag[0]), div)
    return div if rewritten == div else rewritten


# --- rewriting ------------------------------------------------------------------------------


def _identifies(type_name: str, name: str) -> bool:
    """Whether a uri names what its object is, and so must not follow a link's change."""
    if name == "system" or (type_name, name) == ("Extension", "url"):
        return True
    return name == "url" and type_name in RESOURCE_TYPES


@cache
def _rewriting_plan(type_name: str) -> dict[str, tuple[str, str]]:
    """As `_plan`, without what a transaction leaves alone: canonicals and identities."""
    return {
        name: step
        for name, step in _plan(type_name).items()
        if step[1] != "canonical" and not (step[0] == "link" and _identifies(type_name, name))
    }


def rewrite(
    resource: dict[str, Any], mapping: Mapping[str, str], *, base: str = ""
) -> dict[str, Any]:
    """`resource` with every link that `mapping` knows replaced; itself when there is none.

    Keys of `mapping` are the fullUrls of a transaction (`urn:uuid:…`, `urn:oid:…`, absolute
    URLs) and conditional references; values are `Type/id`. `base` is the base URL in the fullUrl
    of the entry that holds the resource: relative references are read against it too.
    Canonicals, identifiers, `system`s and the URLs by which resources are known stay.
    """

    def replace(link: str) -> str | None:
        if link in mapping:
            return mapping[link]
        if base and (relative := f"{base.rstrip('/')}/{link}") in mapping:
            return mapping[relative]
        target, hash_, fragment = link.partition("#")
        if hash_ and target in mapping:
            return f"{mapping[target]}#{fragment}"
        return None

    return _rewritten_resource(resource, mapping, replace)


def _rewritten_resource(
    resource: dict[str, Any], mapping: Mapping[str, str], replace: Callable[[str], str | None]
) -> dict[str, Any]:
    type_ = resource.get("resourceType")
    if type(type_) is not str or type_ not in RESOURCE_TYPES:
        return resource
    if type_ == "Bundle":
        # What a Bundle inside the transaction holds itself is what its own references mean.
        own = _full_urls(resource) & mapping.keys()
        if own:
            return rewrite(resource, {key: mapping[key] for key in mapping.keys() - own})
    return _rewritten(resource, _rewriting_plan(type_), mapping, replace)


def _rewritten(
    node: dict[str, Any],
    plan: dict[str, tuple[str, str]],
    mapping: Mapping[str, str],
    replace: Callable[[str], str | None],
) -> dict[str, Any]:
    changed: dict[str, Any] | None = None
    for name, value in node.items():
        step = plan.get(name)
        if step is None:
            continue
        what, type_ = step
        new: Any = value
        if type(value) is str:
            if what == "link":
                new = replace(value)
                if new is None:
                    continue
            elif what == "xhtml" and ("href" in value or "src" in value):
                new = _rewrite_narrative(value, replace)
        elif type(value) is dict:
            if what == "in":
                new = _rewritten(value, _rewriting_plan(type_), mapping, replace)
            elif what == "resource":
                new = _rewritten_resource(value, mapping, replace)
        elif type(value) is list:
            new = _rewritten_list(value, step, mapping, replace)
        if new is not value:
            if changed is None:
                changed = node.copy()
            changed[name] = new
    return node if changed is None else changed


def _rewritten_list(
    items: list[Any],
    step: tuple[str, str],
    mapping: Mapping[str, str],
    replace: Callable[[str], str | None],
) -> list[Any]:
    what, type_ = step
    changed: list[Any] | None = None
    for index, item in enumerate(items):
        new: Any = item
        if type(item) is dict:
            if what == "in":
                new = _rewritten(item, _rewriting_plan(type_), mapping, replace)
            elif what == "resource":
                new = _rewritten_resource(item, mapping, replace)
        elif type(item) is str and what == "link":
            new = replace(item)
            if new is None:
                continue
        if new is not item:
            if changed is None:
                changed = items.copy()
            changed[index] = new
    return items if changed is None else changed


def _full_urls(bundle: dict[str, Any]) -> set[str]:
    entries = bundle.get("entry")
    if type(entries) is not list:
        return set()
    urls = (entry.get("fullUrl") for entry in entries if type(entry) is dict)
    return {url for url in urls if type(url) is str}
