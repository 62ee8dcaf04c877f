"""Items into a running server, as transactions and batches over HTTP.

What a transaction refuses as a whole is sent again as a batch, so that its good entries go in and
each bad one is reported. Requests are tried again when the server is away or busy; since every
entry has a settled id and goes as a PUT, sending it twice is harmless.
"""

from __future__ import annotations

import asyncio
import random
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx

from fhirserver.errors import FHIRError
from fhirserver.load.answer import issues_of, outcome_of, plain, said_of
from fhirserver.load.bundle import split
from fhirserver.load.placed import BUNDLE_BYTES, BUNDLE_ENTRIES, Placed, groups
from fhirserver.load.prepare import unreadable
from fhirserver.load.report import Refusal, Report
from fhirserver.load.stored import DIFFERENT
from fhirserver.load.streams import Meter
from fhirserver.load.work import read
from fhirserver.model import json
from fhirserver.model.references import links, parse, rewrite

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from fhirserver.load.bundle import Entries
    from fhirserver.load.items import Item

CONCURRENCY = 4
ATTEMPTS = 6
TIMEOUT = httpx.Timeout(120, connect=10)
_BUSY = frozenset({429, 502, 503, 504})
_HEADERS = {"content-type": "application/fhir+json", "accept": "application/fhir+json"}


#: Said when the server has refused something and lets nobody choose an id.
OWN_IDS = (
    "The server gives all ids itself (updateCreate is false in its CapabilityStatement), but what "
    "is loaded keeps its ids, so that it can be loaded again. Start the server with "
    "--access-client-ids while you load, or load into its database."
)


class ServerAway(Exception):
    """The server does not answer, or not as a FHIR server."""


class ServerLoad:
    """One load of some files into the FHIR server at `url`."""

    def __init__(
        self,
        url: str,
        *,
        refused: Callable[[Refusal], None],
        progress: Callable[[int, int], None],
        atomic: bool = False,
        token: str | None = None,
        concurrency: int = CONCURRENCY,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.report = Report()
        self._url = url.rstrip("/")
        self._told = refused
        self._progress = progress
        self._atomic = atomic
        self._headers = dict(_HEADERS)
        if token is not None:
            self._headers["authorization"] = f"Bearer {token}"
        self._slots = asyncio.Semaphore(concurrency)
        self._transport = transport
        self._look_first = True  # until something is not there yet
        self._own_ids = False  # whether the server lets nobody choose an id

    async def run(self, files: Sequence[Path], total: int) -> Report:
        meter = Meter()
        async with httpx.AsyncClient(
            headers=self._headers, timeout=TIMEOUT, transport=self._transport
        ) as self._client:
            await self._greet()
            async with asyncio.TaskGroup() as tasks:
                pending: list[Placed] = []
                size = 0
                for item in read(files, meter):
                    if isinstance(item, Refusal):
                        self._refuse(item)
                        continue
                    self.report.items += 1
                    try:
                        entries = split(item.data)
                    except (ValueError, RecursionError):
                        self._refuse(unreadable(item))
                        continue
                    placed = self._place(item, entries)
                    if entries.kind == "transaction":
                        for group in groups(placed):
                            await self._start(tasks, "transaction", group, meter.done)
                        continue
                    pending += placed
                    size += len(item.data)
                    if size >= BUNDLE_BYTES or len(pending) >= BUNDLE_ENTRIES:
                        for group in groups(pending):
                            await self._start(tasks, "batch", group, meter.done)
                        pending, size = [], 0
                for group in groups(pending):
                    await self._start(tasks, "batch", group, meter.done)
        self._progress(meter.done, self.report.accepted)
        if self._own_ids and self.report.refused:
            self.report.notes.append(OWN_IDS)
        return self.report

    async def _greet(self) -> None:
        try:
            answer = await self._client.get(f"{self._url}/metadata")
            statement = answer.json()
            known = answer.status_code == 200 and statement.get("fhirVersion") == "4.0.1"
            self._own_ids = known and _gives_ids(statement)
        except httpx.HTTPError as error:
            raise ServerAway(f"{self._url} does not answer: {said_of(error)}") from None
        except (ValueError, AttributeError):
            known = False
        if not known:
            raise ServerAway(
                f"{self._url}/metadata is no CapabilityStatement of FHIR 4.0.1 "
                f"(HTTP {answer.status_code}); is this the FHIR base URL?"
            )

    def _refuse(self, refusal: Refusal) -> None:
        self.report.refused += 1
        self._told(refusal)

    def _refuse_entry(self, placed: Placed, reason: str) -> None:
        item, entry = placed.item, placed.entry
        line = item.line
        if line is not None and entry.data and (at := item.data.find(entry.data)) > 0:
            line += item.data.count(b"\n", 0, at)
        place = entry.place if entry.place is not None else item.entry
        self._refuse(Refusal(item.source, reason, line, place, entry.name))

    def _place(self, item: Item, entries: Entries, again: bool = False) -> list[Placed]:
        """The entries ready to be sent; what is refused is told, but for the second time."""
        for refused in () if again else entries.refused:
            place = refused.place if refused.place is not None else item.entry
            self._refuse(Refusal(item.source, refused.reason, item.line, place, refused.resource))
        placed = []
        for entry in entries.entries:
            if entry.criteria is not None and entry.method in ("PUT", "POST"):
                # The server settles its id; only by its fullUrl can others point to it.
                entries.mapping.pop(entry.full_url or "", None)
        for entry in entries.entries:
            if not entry.data:
                placed.append(Placed(item, entry, None))
                continue
            try:
                resource = json.decode(entry.data)
            except FHIRError as error:
                if not again:
                    self._refuse_entry(Placed(item, entry, None), str(error))
                continue
            if entries.mapping and entry.method in ("PUT", "POST"):
                resource = rewrite(resource, entries.mapping, base=entry.base)
            if entry.method in ("PUT", "POST") and entry.criteria is None:
                resource["id"] = entry.id
            elif entry.criteria is not None and entry.method == "PUT":
                entry = replace(entry, id="")
            placed.append(Placed(item, entry, resource))
        return placed

    async def _start(
        self, tasks: asyncio.TaskGroup, kind: str, group: list[Placed], position: int
    ) -> None:
        await self._slots.acquire()

        async def send() -> None:
            try:
                await self._send(kind, group)
            finally:
                self._slots.release()
            self._progress(position, self.report.accepted)

        tasks.create_task(send())

    async def _send(self, kind: str, group: list[Placed], looked: bool = False) -> None:
        if self._look_first and not looked:
            before = len(group)
            group = await self._new(group, whole=kind == "transaction")
            self._look_first, looked = len(group) < before, True
        if not group:
            return
        answer = await self._post(kind, group)
        if answer.status_code == 200:
            await self._read(answer, group)
        elif kind == "transaction" and answer.status_code == 412 and not looked:
            self._look_first = True
            await self._send(kind, group)
        elif kind == "transaction" and self._atomic:
            reason = f"the transaction is refused as a whole: {outcome_of(answer)}"
            for placed in group:
                self._refuse_entry(placed, reason)
        elif kind == "transaction":
            await self._send("batch", group, looked)
        elif len(group) > 1:
            # Too large, or one entry breaks the Bundle: the halves tell which.
            await self._send(kind, group[: len(group) // 2], looked)
            await self._send(kind, group[len(group) // 2 :], looked)
        else:
            self._refuse_entry(group[0], outcome_of(answer))

    async def _read(self, answer: httpx.Response, group: list[Placed]) -> None:
        entries = answer.json().get("entry", [])
        if len(entries) != len(group):
            raise ServerAway(f"the server answered {len(entries)} of {len(group)} entries")
        there: list[Placed] = []
        for placed, entry in zip(group, entries, strict=True):
            response = entry.get("response", {})
            status = str(response.get("status", ""))[:3]
            if status == "201":
                self.report.created += 1
            elif placed.entry.method == "DELETE" and status in ("200", "204"):
                self.report.deleted += 1
            elif status == "200" and placed.entry.method == "POST":
                self.report.unchanged += 1
            elif status == "200":
                self.report.updated += 1
            elif status == "412" and placed.entry.method == "POST" and placed.entry.id:
                there.append(placed)
            else:
                outcome = response.get("outcome") or entry.get("resource") or {}
                self._refuse_entry(placed, issues_of(outcome) or f"HTTP {status}")
        if there:
            for placed in await self._new(there):
                self._refuse_entry(placed, "was there and is gone again; run the load again")

    async def _new(self, group: list[Placed], whole: bool = False) -> list[Placed]:
        """Those of `group` that the server does not have. A POST entry whose resource is there
        with other content is refused; when that holds for all that is there and `group` is a
        whole transaction, it is another Bundle with the same fullUrls (`identity.py`)."""
        there = await self._stored(group)
        settled = await self._settled(group) if there else {}
        new: list[Placed] = []
        same = kept = different = 0
        refused = []
        for placed in group:
            stored = there.get((placed.entry.type, placed.entry.id))
            if stored is None or placed.entry.criteria is not None:
                new.append(placed)
            elif plain(stored) == plain(rewrite(placed.resource or {}, settled)):
                same += 1
            elif placed.entry.method == "PUT":
                new.append(placed)
            elif stored.get("meta", {}).get("versionId") != "1":
                kept += 1
            else:
                different += 1
                refused.append(placed)
        if whole and different and not same and not kept:
            item = group[0].item
            own = self._place(item, split(item.data, by_content=True), again=True)
            if len(own) == len(group):
                return await self._new(own)
        self.report.unchanged += same
        self.report.kept += kept
        for placed in refused:
            self._refuse_entry(placed, DIFFERENT)
        return new

    async def _settled(self, group: list[Placed]) -> dict[str, str]:
        """What the server makes of conditional references, and of the fullUrls of conditional
        entries."""
        questions = {}
        for placed in group:
            entry = placed.entry
            if entry.criteria is not None and entry.full_url is not None:
                questions[entry.full_url] = f"{entry.type}?{entry.criteria}"
            for link in links(placed.resource or {}):
                if link.type == "reference" and parse(link.value).kind == "conditional":
                    questions[link.value] = link.value
        settled = {}
        for name, search in questions.items():
            answer = await self._request("GET", f"/{search}&_count=2&_elements=id")
            found = answer.json().get("entry", []) if answer.status_code == 200 else []
            matches = [e for e in found if e.get("search", {}).get("mode") == "match"]
            if len(matches) == 1:
                resource = matches[0]["resource"]
                settled[name] = f"{resource['resourceType']}/{resource['id']}"
        return settled

    async def _stored(self, group: list[Placed]) -> dict[tuple[str, str], dict[str, Any]]:
        """What the server has under the ids of `group`."""
        wanted: dict[str, list[str]] = {}
        for placed in group:
            entry = placed.entry
            if entry.method in ("POST", "PUT") and entry.criteria is None:
                wanted.setdefault(entry.type, []).append(entry.id)
        there: dict[tuple[str, str], dict[str, Any]] = {}
        for type_, ids in wanted.items():
            for start in range(0, len(ids), 100):
                chosen = ",".join(ids[start : start + 100])
                answer = await self._request("GET", f"/{type_}?_id={chosen}&_count=100")
                if answer.status_code != 200:
                    raise ServerAway(f"searching {type_} by id failed: {outcome_of(answer)}")
                for entry_ in json.decode(answer.content).get("entry", []):
                    resource = entry_.get("resource", {})
                    there[type_, resource.get("id", "")] = resource
        return there

    async def _post(self, kind: str, group: list[Placed]) -> httpx.Response:
        bundle = {
            "resourceType": "Bundle",
            "type": kind,
            "entry": [placed.request(create_only=True) for placed in group],
        }
        return await self._request("POST", "", json.encode(bundle))

    async def _request(self, method: str, path: str, body: bytes | None = None) -> httpx.Response:
        said = ""
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(min(0.5 * 2**attempt, 20) * (0.5 + random.random() / 2))
            try:
                answer = await self._client.request(method, self._url + path, content=body)
            except httpx.TransportError as error:
                said = said_of(error)
                continue
            if answer.status_code not in _BUSY:
                if answer.status_code in (401, 403):
                    raise ServerAway(f"the server refuses access: {outcome_of(answer)}")
                return answer
            said = outcome_of(answer)
            wait = answer.headers.get("retry-after", "")
            if re.fullmatch(r"\d{1,3}", wait):
                await asyncio.sleep(min(int(wait), 60))
        raise ServerAway(f"{self._url} did not take a request {ATTEMPTS} times: {said}")


def _gives_ids(statement: dict[str, Any]) -> bool:
    resources = statement.get("rest", [{}])[0].get("resource", [])
    return bool(resources) and not any(each.get("updateCreate") for each in resources)
