"""A mail as it comes in (RFC 5322), read into what a message needs.

Headers of MSSanté: X-MSS-MES FIN ends the thread, X-MSS-CODECDA gives the LOINC codes of the
documents it carries, X-MSS-INS says that the sender has the patient's qualified identity.
"""

from __future__ import annotations

import email
import email.policy
import hashlib
import re
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from lxml import etree, html

from fhirserver.errors import Unprocessable
from fhirserver.messaging.attachments import Attached, check_one, rules
from fhirserver.messaging.gateway.xdm import XML, Unsafe, document, documents
from fhirserver.model.dates import instant, microseconds

if TYPE_CHECKING:
    from datetime import datetime

_ZIP = frozenset({"application/zip", "application/x-zip-compressed"})
#: Who signed the mail, the mail servers of the space of trust have looked at.
_SIGNATURES = frozenset(
    {"application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature"}
)
_LOINC = re.compile(r"[0-9]{1,7}-[0-9]")
_ID = re.compile(r"<[^<>\s]{1,900}>")
_TEXT = 1_000_000  # FHIR's string ends at 1 MB


class NotTaken(ValueError):
    """The mail cannot become a message; the text says why, to its sender."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """`message_id` and `references` (the mails it follows, the nearest first) with their angle
    brackets. `sent`: FHIR dateTime. `ends`: X-MSS-MES is FIN. `automatic`: no person has written it
    (RFC 3834)."""

    sender: str
    message_id: str
    references: tuple[str, ...] = ()
    subject: str = ""
    text: str = ""
    sent: str = ""
    ends: bool = False
    automatic: bool = False
    codes: tuple[str, ...] = ()
    attached: tuple[Attached, ...] = ()


def read(content: bytes, now: datetime) -> Incoming:
    """Raises NotTaken."""
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    try:
        senders: tuple[Any, ...] = mail["From"].addresses if mail["From"] else ()
        subject = _line(str(mail["Subject"] or ""))
    except (ValueError, IndexError, AttributeError) as error:
        raise NotTaken("its header cannot be read") from error
    if len(senders) != 1 or len(mail.get_all("From", [])) != 1 or "@" not in senders[0].addr_spec:
        raise NotTaken("From names no single address")
    attached, texts = _parts(mail)
    ids = [*_ids(mail, "In-Reply-To"), *reversed(_ids(mail, "References"))]
    own = _ids(mail, "Message-ID")
    return Incoming(
        sender=senders[0].addr_spec,
        message_id=own[0] if own else f"<{hashlib.sha256(content).hexdigest()}@without-id>",
        references=tuple(dict.fromkeys(ids)),
        subject=subject[:255],
        text=_plain(texts),
        sent=_date(mail, now),
        ends=_header(mail, "X-MSS-MES").upper() == "FIN",
        automatic=_header(mail, "Auto-Submitted").partition(";")[0].strip().lower()
        not in ("", "no"),
        codes=tuple(
            dict.fromkeys(
                code
                for given in mail.get_all("X-MSS-CODECDA", [])
                for code in _LOINC.findall(str(given))
            )
        ),
        attached=tuple(attached),
    )


def _parts(mail: EmailMessage) -> tuple[list[Attached], list[tuple[str, str]]]:
    """What is attached, and the texts with their types."""
    attached: list[Attached] = []
    texts: list[tuple[str, str]] = []
    for part in mail.walk():
        if part.is_multipart():
            continue
        content_type = part.get_content_type()
        name = _line(part.get_filename() or "")
        decoded = part.get_payload(decode=True)
        data = decoded if isinstance(decoded, bytes) else b""
        if content_type in ("text/plain", "text/html") and not name:
            texts.append((content_type, _text(part, data)))
        elif content_type not in _SIGNATURES:
            attached += _attached(name, content_type, data)
    together = sum(len(each.data) for each in attached)
    if together > rules().bytes_together:
        raise NotTaken(f"what is attached has more than {rules().bytes_together} bytes")
    return attached, texts


def _text(part: EmailMessage, data: bytes) -> str:
    """The text of a part by the charset it names; where that is wrong or none, by the two that
    mail is written in."""
    for charset in (str(part.get_content_charset("utf-8")), "utf-8", "cp1252"):
        try:
            text = data.decode(charset)
            text.encode()  # a charset of Python's own can give what is no text
        except (LookupError, ValueError):
            continue
        return text
    raise NotTaken("its text cannot be read")


def _line(text: str) -> str:
    """In one line, without characters that cannot be seen."""
    return "".join(each for each in " ".join(text.split()) if each.isprintable())


def _attached(name: str, content_type: str, data: bytes) -> list[Attached]:
    try:
        if content_type in _ZIP or name.lower().endswith(".zip"):
            found = documents(data)
        else:
            one = document(name, data)
            found = [one or Attached("attachment", content_type, name, data)]
        for each in found:
            if each.content_type == XML:
                if len(each.data) > rules().bytes_each:
                    raise Unsafe(f"a document has more than {rules().bytes_each} bytes")
            else:
                check_one(each)
    except Unsafe as error:
        raise NotTaken(str(error)) from error
    except Unprocessable as error:
        raise NotTaken(str(error)) from error
    return found


def _plain(texts: list[tuple[str, str]]) -> str:
    """The plain text of a mail; of one in HTML alone, its words."""
    plain = [text for content_type, text in texts if content_type == "text/plain"]
    if not plain:
        plain = [_words(text) for content_type, text in texts if content_type == "text/html"]
    text = "\n".join(plain).replace("\r\n", "\n").strip()
    text = "".join(c for c in text if c >= " " or c in "\n\t")
    return text.encode("utf-8", "replace")[:_TEXT].decode("utf-8", "ignore")


def _words(text: str) -> str:
    try:
        root: Any = html.fromstring(text)
    except (ValueError, etree.ParserError):
        return ""
    for element in root.xpath("//script|//style"):
        element.drop_tree()
    return "\n".join(line.strip() for line in root.text_content().splitlines() if line.strip())


def _header(mail: EmailMessage, name: str) -> str:
    return str(mail[name] or "").strip()


def _ids(mail: EmailMessage, name: str) -> list[str]:
    return _ID.findall(_header(mail, name))


def _date(mail: EmailMessage, now: datetime) -> str:
    """When it was sent, never in the time to come."""
    moment = microseconds(now)
    try:
        told = parsedate_to_datetime(_header(mail, "Date"))
        if told.tzinfo is not None and told.year > 1970:
            moment = min(moment, microseconds(told))
    except (ValueError, TypeError, OverflowError):
        pass
    return instant(moment // 1000 * 1000)
