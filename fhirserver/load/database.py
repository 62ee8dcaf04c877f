"""Items into a store: workers validate and index, one writer commits in large groups."""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from fhirserver.access.store import (
    SelectionChanged,
    TransactionsUnavailable,
    VersionConflict,
)
from fhirserver.errors import FHIRError, MultipleMatches
from fhirserver.interaction.conditional_delete import conditional_delete
from fhirserver.interaction.conditional_patch import conditional_patch
from fhirserver.interaction.patch import patch, patch_of
from fhirserver.interaction.select import conditional_query, select_one, selects
from fhirserver.load import one_ins
from fhirserver.load.collector import rarely_collecting
from fhirserver.load.prepare import Answer, Part
from fhirserver.load.report import Refusal, Report
from fhirserver.load.stored import DIFFERENT, Verdict, compare, search_parameters
from fhirserver.load.streams import MIB, Meter
from fhirserver.load.work import helpings, read
from fhirserver.load.workers import WorkerEnded, Workers
from fhirserver.model import json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fhirserver.access.store import Selects
    from fhirserver.interaction.context import Context
    from fhirserver.load.bundle import Entry
    from fhirserver.load.items import Item
    from fhirserver.load.prepare import Prepared, Question, Unit
    from fhirserver.model.version import Change, Content, Version

GROUP_CHANGES = 2000
GROUP_BYTES = 16 * MIB
_RETRIES = 3


class LoadStopped(Exception):
    """The load cannot go on; the text says why and what to do."""


class _Flight(NamedTuple):
    position: int  # bytes read when it left
    works: list[Item | Part]
    answer: asyncio.Future[Prepared]


_Pending = tuple["Unit", "Item | Part"]
#: A unit, what it was made of, and the numbers of its changes to commit.
_Chosen = tuple["Unit", "Item | Part", list[int]]


class DatabaseLoad:
    """One load of some files into one store."""

    def __init__(
        self,
        ctx: Context,
        *,
        refused: Callable[[Refusal], None],
        progress: Callable[[int, int], None],
        workers: Workers,
        atomic: bool = False,
    ) -> None:
        self.report = Report()
        self._ctx = ctx
        self._told = refused
        self._progress = progress
        self._workers = workers
        self._atomic = atomic
        self._group: list[_Pending] = []
        self._group_changes = self._group_bytes = 0
        self._position = 0
        self._commit: asyncio.Task[None] | None = None
        self._makes_parameters = False
        self._claimed: set[int] = set()
        self._taken: set[tuple[object, ...]] = set()  # refused, since another has the INS

    async def run(self, files: Sequence[Path]) -> Report:
        meter = Meter()
        parameters = await search_parameters(self._ctx.store)
        options = {"local_bases": self._ctx.local_bases, "atomic": self._atomic}
        self._workers.begin(parameters, options)
        with rarely_collecting():
            try:
                await self._run(files, meter)
            except WorkerEnded:
                raise LoadStopped(
                    "a worker process ended unexpectedly (out of memory?); what was stored "
                    "stays, and the same command goes on from there"
                ) from None
            finally:
                if self._commit is not None:  # stopped: the store must not close under it
                    await asyncio.wait([self._commit])
        if self._makes_parameters:
            self.report.notes.append(
                "Search parameters were loaded: run `fhirserver reindex` so that resources "
                "stored before them are found by them."
            )
        return self.report

    async def _run(self, files: Sequence[Path], meter: Meter) -> None:
        flights: deque[_Flight] = deque()
        ahead = 3 * max(self._workers.count, 1)
        for helping in helpings(read(files, meter)):
            if isinstance(helping, Refusal):
                self._refuse(helping)
                continue
            self.report.items += len(helping)
            flights.append(_Flight(meter.done, helping, self._workers.submit(helping)))
            while len(flights) > ahead or (flights and flights[0].answer.done()):
                await self._land(flights.popleft())
        while flights:
            await self._land(flights.popleft())
        await self._flush()
        await self._settled()
        self._progress(meter.done, self.report.accepted)

    def _refuse(self, refusal: Refusal) -> None:
        self.report.refused += 1
        self._told(refusal)

    async def _land(self, flight: _Flight) -> None:
        """Take what the workers made of some items, in the order in which they were read."""
        prepared = await flight.answer
        self._position = flight.position
        await self._take(prepared, flight.works)
        for work, questions in prepared.waiting:
            # The answers must know everything that was read before.
            await self._flush()
            await self._settled()
            await self._take(await self._asked(work, questions), [work])

    async def _take(self, prepared: Prepared, works: Sequence[Item | Part]) -> None:
        for refusal in prepared.refusals:
            self._refuse(refusal)
        for unit in prepared.units:
            self.report.unchanged += unit.found
            self._group.append((unit, works[unit.number]))
            self._group_changes += len(unit.changes)
            self._group_bytes += sum(
                len(c.content.tail) for c in unit.changes if c.content is not None
            )
            if unit.others:
                await self._flush()
                await self._settled()
                await self._perform(unit)
            elif self._group_changes >= GROUP_CHANGES or self._group_bytes >= GROUP_BYTES:
                await self._flush()

    async def _asked(
        self, work: Item | Part, questions: frozenset[Question], by_content: bool = False
    ) -> Prepared:
        answers = {question: await self._answer(*question) for question in questions}
        return await self._workers.submit([work], answers, by_content)

    async def _answer(self, type_: str, criteria: str) -> Answer:
        try:
            query = conditional_query(self._ctx, type_, criteria)
            found = await select_one(self._ctx, query, criteria)
        except MultipleMatches as error:
            return Answer(error=str(error))
        except FHIRError as error:
            return Answer(error=f"'{type_}?{criteria[:120]}' cannot be searched: {error}")
        return Answer(None if found is None else found.id)

    # --- writing ----------------------------------------------------------------------------

    async def _flush(self) -> None:
        """Start to commit the group while the next one is gathered."""
        await self._settled()
        group, self._group = self._group, []
        self._group_changes = self._group_bytes = 0
        if group:
            self._commit = asyncio.create_task(self._write(group, self._position))

    async def _settled(self) -> None:
        if self._commit is not None:
            commit, self._commit = self._commit, None
            await commit

    async def _write(self, group: list[_Pending], position: int) -> None:
        for _ in range(_RETRIES):
            group = await self._write_once(group)
            if not group:
                break
        for unit, _work in group:
            self._refuse_unit(unit, "others keep changing the same resources; run again")
        self._progress(position, self.report.accepted)

    async def _write_once(self, group: list[_Pending]) -> list[_Pending]:
        """Commit what is new; return what has to be tried again."""
        identities = [(c.type, c.id) for unit, _ in group for c in unit.changes]
        there = {(v.type, v.id): v for v in await self._ctx.store.read_many(identities)}
        coming: dict[tuple[str, str], Content] = {}
        again: list[_Pending] = []
        chosen: list[_Chosen] = []
        whole = self._ctx.store.capabilities.transactions
        for unit, work in group:
            verdicts = [compare(change, there, coming) for change in unit.changes]
            if Verdict.DIFFERENT in verdicts and not unit.by_content:
                other = await self._as_another_bundle(unit, work, verdicts)
                if other:
                    again.extend(other)
                    continue
            self._claim(unit)
            new = self._sort_out(unit, verdicts)
            for n in new:
                content = unit.changes[n].content
                if content is not None:
                    coming[unit.changes[n].type, unit.changes[n].id] = content
            if new:
                chosen.extend([(unit, work, new)] if whole else [(unit, work, [n]) for n in new])
        chosen, alone = await self._one_for_each_ins(chosen)
        results = await self._ctx.store.commit_many(
            [
                (
                    [unit.changes[n] for n in numbers],
                    [*self._preconditions(unit), *(s for n in numbers for s in alone[id(unit), n])],
                )
                for unit, _, numbers in chosen
            ]
        )
        for (unit, work, numbers), result in zip(chosen, results, strict=True):
            if isinstance(result, Exception):
                again.extend(await self._failed(unit, work, result))
            else:
                self._count([unit.changes[n] for n in numbers], result, there)
        return again

    async def _as_another_bundle(
        self, unit: Unit, work: Item | Part, verdicts: list[Verdict]
    ) -> list[_Pending]:
        """The unit under ids made from its content, if this is another Bundle than the one whose
        resources stand under its ids, only with the same fullUrls (`identity.py`)."""
        if isinstance(work, Part) or not unit.changes:
            return []
        is_other = _claim_of(unit) in self._claimed
        if not is_other and Verdict.SAME not in verdicts and Verdict.KEPT not in verdicts:
            is_other = True
        other = await self._again(unit, work, by_content=True)
        if not is_other:
            # Some of its entries are there as it says: a Bundle that was loaded and then
            # edited, unless it was taken for another one before.
            made = [(c.type, c.id) for u, _ in other for c in u.changes if c.method == "POST"]
            is_other = bool(made and await self._ctx.store.read_many(made[:1]))
        return other if is_other else []

    def _claim(self, unit: Unit) -> None:
        """Remember that a Bundle with these made ids was met in this load."""
        if unit.by_content or not unit.changes or unit.changes[0].method != "POST":
            return
        self._claimed.add(_claim_of(unit))

    async def _again(self, unit: Unit, work: Item | Part, *, by_content: bool) -> list[_Pending]:
        prepared = await self._workers.submit([work], None, by_content)
        for waiting, questions in prepared.waiting:
            prepared = await self._asked(waiting, questions, by_content)
        told = {(r.line, r.entry, r.reason) for r in unit.refusals}
        for refusal in prepared.refusals:
            if (refusal.line, refusal.entry, refusal.reason) not in told:
                self._refuse(refusal)
        self.report.unchanged += sum(unit.found for unit in prepared.units) - unit.found
        return [(unit, work) for unit in prepared.units if unit.changes]

    def _sort_out(self, unit: Unit, verdicts: list[Verdict]) -> list[int]:
        """The numbers of the changes to commit; the others are counted, or refused."""
        new = []
        for number, verdict in enumerate(verdicts):
            if verdict is Verdict.NEW:
                new.append(number)
            elif verdict is Verdict.SAME:
                self.report.unchanged += 1
            elif verdict is Verdict.KEPT:
                self.report.kept += 1
            else:
                self._refuse_change(unit, number, DIFFERENT)
        return new

    async def _one_for_each_ins(
        self, chosen: list[_Chosen]
    ) -> tuple[list[_Chosen], dict[tuple[int, int], list[Selects]]]:
        """Without the Patients whose INS another one has, who are refused; and what must hold for
        the others (by unit and number) when they are committed."""
        alone: dict[tuple[int, int], list[Selects]] = defaultdict(list)
        asked = {
            (place, n): found
            for place, (unit, _, numbers) in enumerate(chosen)
            for n in numbers
            if (found := one_ins.ins_of(unit.changes[n]))
        }
        if not asked:
            return chosen, alone
        stored = await one_ins.bearers_of(self._ctx, (i for each in asked.values() for i in each))
        coming: dict[one_ins.Ins, str] = {}
        for (place, n), found in asked.items():
            unit, _, numbers = chosen[place]
            own = unit.changes[n].id
            others = [stored.get(ins, frozenset()) - {own} for ins in found]
            if any(others) or any(coming.get(ins, own) != own for ins in found):
                numbers.remove(n)
                self._refuse_taken(unit, n)
                continue
            for ins in found:
                coming[ins] = own
                alone[id(unit), n].append(one_ins.held(ins, stored.get(ins, frozenset())))
        return [each for each in chosen if each[2]], alone

    def _refuse_taken(self, unit: Unit, number: int) -> None:
        """Told once, though the unit is looked at again when others interfere."""
        place = (unit.source, *unit.places[number], unit.changes[number].id)
        if place not in self._taken:
            self._taken.add(place)
            self._refuse_change(unit, number, one_ins.TAKEN)

    def _preconditions(self, unit: Unit) -> list[Selects]:
        found = []
        for condition in unit.conditions:
            query = conditional_query(self._ctx, condition.type, condition.criteria)
            precondition = selects(query)
            if condition.id is not None:
                identity = (condition.type, condition.id)
                precondition = type(precondition)(query, frozenset({identity}))
            found.append(precondition)
        return found

    async def _failed(self, unit: Unit, work: Item | Part, error: Exception) -> list[_Pending]:
        """What to try in place of a unit that could not be committed."""
        if isinstance(error, TransactionsUnavailable):
            raise LoadStopped(str(error) or "the store has no transactions") from error
        if isinstance(error, SelectionChanged):
            return await self._again(unit, work, by_content=unit.by_content)
        if isinstance(error, VersionConflict):
            meant = (
                change.expect > 0
                for change in unit.changes
                if (change.type, change.id) == (error.type, error.id)
            )
            if not any(meant):
                return [(unit, work)]
            reason = f"ifMatch does not hold: the store has version {abs(error.current)}"
            self._refuse_unit(unit, reason)
            return []
        if isinstance(error, FHIRError):
            self._refuse_unit(unit, str(error))
            return []
        raise error

    def _refuse_unit(self, unit: Unit, reason: str) -> None:
        for number in range(len(unit.changes)):
            self._refuse_change(unit, number, reason)

    def _refuse_change(self, unit: Unit, number: int, reason: str) -> None:
        line, entry = unit.places[number]
        change = unit.changes[number]
        name = f"{change.type}/{change.id}"
        self._refuse(Refusal(unit.source, reason, line, entry, name))

    def _count(
        self,
        changes: list[Change],
        versions: list[Version],
        there: dict[tuple[str, str], Version],
    ) -> None:
        report = self.report
        for change, version in zip(changes, versions, strict=True):
            if change.content is None:
                if (change.type, change.id) in there:
                    report.deleted += 1
                else:
                    report.unchanged += 1
            elif version.version == 1:
                report.created += 1
            else:
                report.updated += 1
            if change.type == "SearchParameter":
                self._makes_parameters = True

    async def _perform(self, unit: Unit) -> None:
        """Patches and conditional deletes, through their interactions."""
        for entry in unit.others:
            try:
                await self._perform_entry(entry)
            except FHIRError as error:
                self._refuse(Refusal(unit.source, str(error), None, entry.place, entry.name))

    async def _perform_entry(self, entry: Entry) -> None:
        if entry.method == "DELETE":
            gone = await conditional_delete(self._ctx, entry.type, entry.criteria or "")
            self.report.deleted += sum(written.result == "deleted" for written in gone)
            return
        asked = patch_of(json.decode(entry.data))
        if entry.id:
            await patch(self._ctx, entry.type, entry.id, asked)
        else:
            await conditional_patch(self._ctx, entry.type, entry.criteria or "", asked)
        self.report.updated += 1


def _claim_of(unit: Unit) -> int:
    change = unit.changes[0]
    return hash((change.type, change.id))
