"""Items become changes: decoded, references rewritten, validated, indexed. Runs in worker
processes, so everything in and out of here can be pickled."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fhirserver.conformance.registry import Registry
from fhirserver.errors import FHIRError, Invalid
from fhirserver.load import one_ins
from fhirserver.load.bundle import Entries, Entry, split
from fhirserver.load.report import Refusal
from fhirserver.model import json
from fhirserver.model.content import content
from fhirserver.model.references import links, parse, rewrite
from fhirserver.model.version import ABSENT, ANY, Change
from fhirserver.search.index import Indexer
from fhirserver.search.packed import PackedEntries
from fhirserver.validation.validator import Validator

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fhirserver.load.items import Item

#: (resource type, criteria): what only a search in the store can tell.
Question = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """The id that the criteria select; None when nothing; `error` when they cannot be used."""

    id: str | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Some entries of a Bundle too large for one worker. `item` is the Bundle without its data."""

    item: Item
    entries: Entries


@dataclass(frozen=True, slots=True)
class Condition:
    """The criteria must select exactly `id` (None: nothing) at the moment of commit."""

    type: str
    criteria: str
    id: str | None


@dataclass(slots=True)
class Unit:
    """Changes that are committed together. `places` names each change for a report; `others`
    are entries that need the interactions themselves: patches and conditional deletes."""

    source: str
    changes: list[Change] = field(default_factory=list)
    places: list[tuple[int | None, int | None]] = field(default_factory=list)  # line, entry
    conditions: list[Condition] = field(default_factory=list)
    others: list[Entry] = field(default_factory=list)
    found: int = 0  # creates that met what they would make
    number: int = 0  # which of the works given this is made of
    by_content: bool = False
    refusals: list[Refusal] = field(default_factory=list)  # what else its Bundle holds


@dataclass(slots=True)
class Prepared:
    """What came of some items. `waiting` need the answers to their questions first."""

    units: list[Unit] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    waiting: list[tuple[Item | Part, frozenset[Question]]] = field(default_factory=list)


class Preparer:
    """`atomic`: a transaction Bundle with a bad entry is refused as a whole."""

    def __init__(
        self,
        search_parameters: Sequence[dict[str, Any]] = (),
        *,
        local_bases: tuple[str, ...] = (),
        atomic: bool = False,
    ) -> None:
        registry = Registry()
        for resource in search_parameters:
            try:
                registry.put(resource)
            except Invalid:
                continue  # the server that took it in could not use it either
        self._registry = registry
        self._entries = Indexer(registry, local_bases).entries
        self._check = Validator().check
        self._local_bases = local_bases
        self._atomic = atomic

    def prepare(
        self,
        works: Sequence[Item | Part],
        answers: Mapping[Question, Answer],
        by_content: bool = False,
    ) -> Prepared:
        done = Prepared()
        for number, work in enumerate(works):
            item = work if not isinstance(work, Part) else work.item
            if isinstance(work, Part):
                entries = work.entries
            else:
                try:
                    entries = split(work.data, by_content=by_content)
                except (ValueError, RecursionError):
                    done.refusals.append(unreadable(work))
                    continue
            questions = self._questions(entries) - answers.keys()
            if questions:
                done.waiting.append((work, frozenset(questions)))
            else:
                before, refused = len(done.units), len(done.refusals)
                self._prepare(done, item, entries, answers)
                for unit in done.units[before:]:
                    unit.number, unit.by_content = number, by_content
                    unit.refusals = done.refusals[refused:]
        return done

    def _questions(self, entries: Entries) -> set[Question]:
        found: set[Question] = set()
        for entry in entries.entries:
            if entry.criteria is not None and entry.method in ("POST", "PUT"):
                found.add((entry.type, entry.criteria))
            if _must_exist(entry):
                found.add(_itself(entry))
            if _may_be_conditional(entry):
                found.update(self._conditional_references(entry).values())
        return found

    def _conditional_references(self, entry: Entry) -> dict[str, Question]:
        try:
            resource = json.decode(entry.data)
        except FHIRError:
            return {}  # refused when its turn comes
        found = {}
        for link in links(resource):
            if link.type == "reference" and "?" in link.value:
                reference = parse(link.value, self._local_bases)
                if reference.kind == "conditional":
                    found[link.value] = (reference.type, reference.criteria)
        return found

    def _prepare(
        self,
        done: Prepared,
        item: Item,
        entries: Entries,
        answers: Mapping[Question, Answer],
    ) -> None:
        refusals = [_refusal(item, r.place, r.reason, r.resource, r.data) for r in entries.refused]
        unit = Unit(item.source)
        kept = self._settle(unit, item, entries, answers, refusals)
        units = []
        seen: set[str] = set()
        for entry in kept:
            if entry.method == "PATCH" or not entry.id:
                unit.others.append(entry)
                continue
            if entry.name in seen:
                reason = "stands in the Bundle more than once"
                refusals.append(_refusal(item, entry.place, reason, entry.name, entry.data))
                continue
            try:
                change = self._change(entry, entries, answers)
            except FHIRError as error:
                reason = _reason(error)
                refusals.append(_refusal(item, entry.place, reason, entry.name, entry.data))
                continue
            seen.add(entry.name)
            if _must_exist(entry):
                unit.conditions.append(Condition(*_itself(entry), entry.id))
            unit.changes.append(change)
            unit.places.append((item.line, entry.place if entry.place is not None else item.entry))
            if entries.kind != "transaction":
                units.append(unit)
                unit = Unit(item.source)
        units.append(unit)
        done.refusals.extend(refusals)
        if self._atomic and refusals and entries.kind == "transaction":
            reason = "the transaction has a bad entry and --atomic is set: nothing of it is stored"
            done.refusals.append(_refusal(item, None, reason, "", b""))
            return
        for unit in units:
            if unit.changes or unit.others or unit.found:
                done.units.append(unit)

    def _settle(
        self,
        unit: Unit,
        item: Item,
        entries: Entries,
        answers: Mapping[Question, Answer],
        refusals: list[Refusal],
    ) -> list[Entry]:
        """The entries to go on with, each with its id; `entries.mapping` becomes complete."""
        kept = []
        for entry in entries.entries:
            if entry.criteria is None or entry.method not in ("POST", "PUT"):
                kept.append(entry)
                continue
            answer = answers[entry.type, entry.criteria]
            if answer.error:
                refusals.append(_refusal(item, entry.place, answer.error, entry.type, entry.data))
                continue
            id_ = entry.id if answer.id is None else answer.id
            if entry.full_url is not None:
                entries.mapping[entry.full_url] = f"{entry.type}/{id_}"
            if entry.method == "POST" and answer.id is not None:
                unit.found += 1
                continue
            unit.conditions.append(Condition(entry.type, entry.criteria, answer.id))
            kept.append(
                Entry(
                    entry.place,
                    entry.method,
                    entry.type,
                    id_,
                    entry.data,
                    entry.full_url,
                    None,
                    entry.if_match,
                    entry.base,
                )
            )
        return kept

    def _change(self, entry: Entry, entries: Entries, answers: Mapping[Question, Answer]) -> Change:
        expect = _expected(entry)
        if _must_exist(entry) and answers[_itself(entry)].id is None:
            raise Invalid(f"ifMatch is *, but {entry.name} does not exist")
        if entry.method == "DELETE":
            return Change("DELETE", entry.type, entry.id, None, (), expect)
        resource = json.decode(entry.data)
        mapping = entries.mapping
        if _may_be_conditional(entry):
            mapping = {**mapping, **self._found(entry, entries, answers)}
        if mapping:
            resource = rewrite(resource, mapping, base=entry.base)
        resource["id"] = entry.id
        self._check(resource)
        one_ins.check(entry.data, resource)
        if entry.type == "SearchParameter":
            self._registry.check(resource)
        stored = content(resource, entry.id)
        indexed = PackedEntries.of(self._entries(resource))
        return Change(entry.method, entry.type, entry.id, stored, indexed, expect)

    def _found(
        self, entry: Entry, entries: Entries, answers: Mapping[Question, Answer]
    ) -> dict[str, str]:
        """The literal reference for each conditional one."""
        found = {}
        for text, question in self._conditional_references(entry).items():
            answer = answers[question]
            id_ = answer.id or _made_here(entries, question)
            if id_ is None:
                raise Invalid(f"the reference '{text}' {answer.error or 'selects nothing'}")
            found[text] = f"{question[0]}/{id_}"
        return found


_CONDITIONAL = re.compile(rb'"reference"\s*:\s*"[A-Za-z:/.\-0-9]*[A-Z][A-Za-z]+\?')
_ETAG = re.compile(r'(?:W/)?"?(\d{1,18})"?')


def _may_be_conditional(entry: Entry) -> bool:
    return b"?" in entry.data and _CONDITIONAL.search(entry.data) is not None


def _made_here(entries: Entries, question: Question) -> str | None:
    """The id of what this Bundle itself makes under the same condition."""
    for entry in entries.entries:
        if entry.method == "POST" and (entry.type, entry.criteria) == question:
            return entry.id
    return None


def _must_exist(entry: Entry) -> bool:
    return bool(entry.id) and entry.if_match is not None and entry.if_match.strip() == "*"


def _itself(entry: Entry) -> Question:
    return entry.type, f"_id={entry.id}"


def _expected(entry: Entry) -> int:
    if entry.if_match is not None and entry.if_match.strip() != "*":
        found = _ETAG.fullmatch(entry.if_match)
        if found is None:
            raise Invalid(f"ifMatch '{entry.if_match[:40]}' is no version")
        return int(found[1])
    return ABSENT if entry.method == "POST" else ANY


def _reason(error: FHIRError) -> str:
    texts = []
    for issue in error.issues[:3]:
        place = issue.expression[0] if issue.expression else ""
        diagnostics = issue.diagnostics
        if place and place not in diagnostics:
            diagnostics = f"{place}: {diagnostics}"
        texts.append(diagnostics)
    more = len(error.issues) - len(texts)
    return "; ".join(texts) + (f" (and {more} more)" if more > 0 else "")


def _refusal(item: Item, place: int | None, reason: str, resource: str, data: bytes) -> Refusal:
    line = item.line
    if line is not None and data and (at := item.data.find(data)) > 0:
        line += item.data.count(b"\n", 0, at)
    entry = place if place is not None else item.entry
    return Refusal(item.source, reason, line, entry, resource)


def unreadable(item: Item) -> Refusal:
    """Why an item is none: said by the strict reader, which knows line and column."""
    try:
        resource = json.decode(item.data)
        reason = "has no resourceType"
        if "resourceType" in resource:
            reason = "is no resource: resourceType, Bundle.type or Bundle.entry has a wrong form"
    except FHIRError as error:
        reason = str(error)
    return Refusal(item.source, reason, item.line, item.entry)
