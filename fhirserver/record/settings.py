"""What the record is told; `app` fills it from the server's settings."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RecordSettings:
    """`max_document_bytes`: of one document; `max_upload_bytes`: of one that a citizen adds.
    `antivirus`: a command that reads the document on its standard input, or `tcp://host:port` of
    a daemon that speaks clamd's INSTREAM; empty: documents are not looked through.
    `antivirus_seconds`: how long it may take."""

    max_document_bytes: int = 10 * MIB
    max_upload_bytes: int = 5 * MIB
    antivirus: str = ""
    antivirus_seconds: float = 30.0
