"""Mails of every kind, read or refused, never more than that."""

from __future__ import annotations

import base64
import contextlib
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhirserver.messaging.gateway.mail_in import NotTaken, read

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def mail(text="Bonjour", **headers):
    made = EmailMessage()
    headers = {"From": "Dr A <a@pro.mssante.example>", "Message_ID": "<1@x>"} | headers
    for name, value in headers.items():
        if value is not None:
            made[name.replace("_", "-")] = value
    if text is not None:
        made.set_content(text)
    return made


def test_headers_and_text():
    found = read(
        bytes(
            mail(
                "Bonjour,\n\nà demain",
                Subject="Résultats",
                Date="Mon, 23 Nov 2026 10:00:00 +0100",
                X_MSS_MES="fin",
                X_MSS_CODECDA="11490-0, 11502-2",
                In_Reply_To="<b@x>",
                References="<a@x> <b@x>",
            )
        ),
        NOW,
    )
    assert found.sender == "a@pro.mssante.example"
    assert found.message_id == "<1@x>"
    assert found.references == ("<b@x>", "<a@x>")
    assert found.subject == "Résultats"
    assert found.text == "Bonjour,\n\nà demain"
    assert found.sent == "2026-11-23T09:00:00.000Z"
    assert found.ends
    assert found.codes == ("11490-0", "11502-2")


@pytest.mark.parametrize("date", [None, "morgen", "Mon, 23 Nov 2099 10:00:00 +0100"])
def test_a_mail_is_not_from_the_time_to_come(date):
    assert read(bytes(mail(Date=date)), NOW).sent == "2026-11-24T12:00:00.000Z"


def test_a_mail_without_message_id_has_always_the_same():
    content = bytes(mail(Message_ID=None))
    assert read(content, NOW).message_id == read(content, NOW).message_id
    assert read(content, NOW).message_id != read(content + b"x", NOW).message_id


def test_of_html_the_words_are_kept():
    made = mail(None)
    made.set_content("<style>p{}</style><script>x()</script><p>Bonjour <b>vous</b></p>", "html")
    assert read(bytes(made), NOW).text == "Bonjour vous"
    both = mail("clair")
    both.add_alternative("<p>html</p>", "html")
    assert read(bytes(both), NOW).text == "clair"


@pytest.mark.parametrize(
    ("charset", "content"),
    [
        ("utf-8", "Été".encode()),
        ("iso-8859-1", "Été".encode("latin-1")),
        ("utf-8", "Été".encode("cp1252")),  # it says one thing and is another
        ("none", "Été".encode("cp1252")),
        ("us-ascii", "Été".encode()),
        ("hex", "Été".encode()),
        ("utf-16", "Été".encode("utf-16")),
    ],
)
def test_the_text_is_read_by_its_charset_or_by_its_bytes(charset, content):
    encoded = base64.b64encode(content)
    head = f"From: a@x.example\nContent-Type: text/plain; charset={charset}\n"
    whole = head.encode() + b"Content-Transfer-Encoding: base64\n\n" + encoded
    assert read(whole, NOW).text == "Été"


def test_header_and_names_are_one_line():
    head = (
        "From: a@x.example\nSubject: =?utf-8?Q?a=0D=0ABcc:_b=00?=\nContent-Type: application/pdf\n"
    )
    name = "Content-Disposition: attachment; filename*=utf-8''a%0D%0Ab%E2%80%AE.pdf\n\n"
    found = read(f"{head}{name}%PDF-1.7".encode(), NOW)
    assert found.subject == "a Bcc: b"
    assert found.attached[0].title == "a b.pdf"


def test_a_signature_is_no_attachment():
    made = mail()
    made.add_attachment(
        b"x", maintype="application", subtype="pkcs7-signature", filename="smime.p7s"
    )
    assert read(bytes(made), NOW).attached == ()


def with_file(data, name, type="application/octet-stream"):
    made = mail()
    made.add_attachment(
        data, maintype=type.split("/")[0], subtype=type.split("/")[1], filename=name
    )
    return bytes(made)


def test_attachments_are_what_their_bytes_are():
    (found,) = read(with_file(b"%PDF-1.7", "lettre.pdf"), NOW).attached
    assert (found.content_type, found.title) == ("application/pdf", "lettre.pdf")


@pytest.mark.parametrize(
    "content",
    [
        bytes(mail(From=None)),
        bytes(mail(From="a@x.example, b@x.example")),
        bytes(mail(From="nobody")),
        with_file(b"MZ", "a.exe"),
        with_file(b"MZ", "a.pdf"),
        with_file(b"PK\x03\x04", "IHE_XDM.zip", "application/zip"),
        with_file(b"%PDF-1.7" + b"0" * 5_000_000, "a.pdf", "application/pdf"),
        b"From: a@x.example\nContent-Type: text/plain; charset=none\n\n\x81",
        b"From: a@x.example\nFrom: b@x.example\n\nx",
        b"",
    ],
)
def test_what_is_not_taken(content):
    with pytest.raises(NotTaken):
        read(content, NOW)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.integers(0, 600), st.binary(max_size=20))
def test_damaged_mail_is_read_or_not_taken(head, place, put):
    whole = with_file(b"%PDF-1.7", "a.pdf")
    for content in (head, whole[:place] + put + whole[place:]):
        with contextlib.suppress(NotTaken):
            assert "@" in read(content, NOW).sender
