"""$export-space: everything a space holds, as a ZIP file to take along.

`GET Patient/[id]/$export-space`, for the citizen and who represents them by law, also while the
space is closed. `fhir/[type].ndjson` has what `$everything` gives and the Binaries, `documents/`
the documents as files, `index.html` a copy to read, `manifest.json` what there is. It is sent
while it is made, so it takes the memory of one resource, however long the record is.

Parameter `language`: `fr` (the default) or `en`. Source: CSP L.1111-13-1, EHDS (EU) 2025/327
art. 3, GDPR art. 20.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import mimetypes
import tempfile
import zipfile
from typing import TYPE_CHECKING, Any, cast

from fhirserver.errors import Invalid, NotFound
from fhirserver.model import json, references
from fhirserver.model.json import decode_stored
from fhirserver.operation.call import Call, File
from fhirserver.operation.everything import everything
from fhirserver.operation.parameters import given
from fhirserver.space.readable import LANGUAGES, Page

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fhirserver.interaction.context import Context, Resource
    from fhirserver.model.version import Version

_COUNT = "200"
_IN_MEMORY = 1_000_000  # bytes of the page before it goes to a temporary file
_PIECE = 65_536


async def export_space(ctx: Context, call: Call) -> File:
    assert call.id is not None
    language = "fr"
    for name, value in given(call):
        if name != "language" or value not in LANGUAGES:
            raise Invalid("The one parameter of $export-space is language, fr or en.")
        language = str(value)
    ctx.store.demand_holder(call.id)
    version = await ctx.store.read("Patient", call.id)
    if version is None or version.content is None:
        raise NotFound(f"Patient/{call.id[:64]} is not known.")
    made = ctx.clock()
    name = f"espace-sante-{made.date().isoformat()}.zip"
    return File("application/zip", name, _Archive(ctx, call.id, language).pieces())


async def _each(ctx: Context, patient: str) -> AsyncIterator[Version]:
    cursor: str | None = None
    while True:
        query = [("_count", _COUNT)]
        if cursor is not None:
            query.append(("_cursor", cursor))
        page = await everything(ctx, Call("Patient", patient, tuple(query)))
        for version in (*page.matches, *page.included):
            yield version
        cursor = page.next
        if cursor is None:
            return


class _Stream:
    """What the archive is written to; it cannot go back."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        return

    def taken(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class _Archive:
    def __init__(self, ctx: Context, patient: str, language: str) -> None:
        self._ctx = ctx
        self._patient = patient
        self._language = language
        self._stream = _Stream()
        self._files: dict[str, int] = {}
        self._given: set[str] = set()  # Binaries that $everything gives

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes of the archive, as they come to be."""
        made = self._ctx.clock()
        with (
            zipfile.ZipFile(cast("Any", self._stream), "w", zipfile.ZIP_DEFLATED) as archive,
            tempfile.SpooledTemporaryFile(_IN_MEMORY) as readable,
        ):
            page = Page(readable, self._language)
            binaries: dict[str, str] = {}
            async for piece in self._resources(archive, page, binaries):
                yield piece
            async for piece in self._documents(archive, binaries):
                yield piece
            page.end()
            readable.seek(0)
            with archive.open("index.html", "w") as entry:
                entry.write(page.head(made))
                while chunk := readable.read(_PIECE):
                    entry.write(chunk)
                    yield self._stream.taken()
            manifest = {
                "made": made.isoformat(),
                "server": self._ctx.base_url,
                "fhirVersion": "4.0.1",
                "patient": f"Patient/{self._patient}",
                "resources": self._files,
                "documents": sorted(binaries.values()),
            }
            archive.writestr("manifest.json", json.encode_pretty(manifest))
        yield self._stream.taken()

    async def _resources(
        self, archive: zipfile.ZipFile, page: Page, binaries: dict[str, str]
    ) -> AsyncIterator[bytes]:
        entry: Any = None
        current, number = "", 0
        try:
            async for version in _each(self._ctx, self._patient):
                if version.type != current:
                    if entry is not None:
                        entry.close()
                    current = version.type
                    entry = archive.open(self._name(current), "w", force_zip64=True)
                resource = decode_stored(version.content or b"{}")
                here = await self._binaries_of(resource, binaries)
                entry.write((version.content or b"{}") + b"\n")
                self._files[current] = self._files.get(current, 0) + 1
                if current == "Binary":
                    self._given.add(version.id)
                else:
                    page.add(resource, here)
                number += 1
                if number % 50 == 0:
                    await asyncio.sleep(0)
                yield self._stream.taken()
        finally:
            if entry is not None:
                entry.close()

    def _name(self, type: str) -> str:
        """A type that comes a second time (what belongs to it, then what it refers to) gets a
        second file."""
        return f"fhir/{type}{'-2' if type in self._files else ''}.ndjson"

    async def _binaries_of(self, resource: Resource, known: dict[str, str]) -> dict[str, str]:
        """The files of the Binaries a resource points to, as far as the caller sees them."""
        here: dict[str, str] = {}
        for link in references.links(resource):
            target = references.parse(link.value, self._ctx.local_bases)
            if target.kind != "literal" or target.type != "Binary":
                continue
            if target.id not in known:
                version = await self._ctx.store.read("Binary", target.id)
                if version is None or version.content is None:
                    continue
                content_type = decode_stored(version.content).get("contentType", "")
                suffix = mimetypes.guess_extension(str(content_type).partition(";")[0]) or ".bin"
                known[target.id] = f"documents/{target.id}{suffix}"
            here[target.literal] = known[target.id]
        return here

    async def _documents(
        self, archive: zipfile.ZipFile, binaries: dict[str, str]
    ) -> AsyncIterator[bytes]:
        if not binaries:
            return
        for id, name in binaries.items():
            version = await self._ctx.store.read("Binary", id)
            if version is None or version.content is None:
                continue
            data = decode_stored(version.content).get("data", "")
            try:
                body = base64.b64decode(str(data))
            except (ValueError, binascii.Error):
                body = str(data).encode()
            archive.writestr(name, body)
            yield self._stream.taken()
        missing = [id for id in binaries if id not in self._given]
        if not missing:
            return
        with archive.open(self._name("Binary"), "w", force_zip64=True) as entry:
            for id in missing:
                version = await self._ctx.store.read("Binary", id)
                if version is not None and version.content is not None:
                    entry.write(version.content + b"\n")
                    self._files["Binary"] = self._files.get("Binary", 0) + 1
                yield self._stream.taken()
