"""A document is fetched in parts: Range, If-Range, and what is said of them."""

from __future__ import annotations

from email import message_from_bytes

import pytest
import record_samples as samples
from over_http import outcome_of

BODY = samples.PDF + bytes(range(256))
SIZE = len(BODY)
PDF = {"accept": "application/pdf"}


@pytest.fixture
def url(fhir):
    made = fhir.post("/Patient", json={"resourceType": "Patient", "active": True})
    document = samples.simplified(f"Patient/{made.json()['id']}", body=BODY)
    answer = fhir.post("/DocumentReference", json=document)
    assert answer.status_code == 201, answer.text
    return "/" + answer.json()["content"][0]["attachment"]["url"]


def test_a_part_of_the_bytes_is_given_by_range(fhir, url):
    for asked, first, last in (
        ("bytes=0-99", 0, 99),
        ("bytes=100-", 100, SIZE - 1),
        ("bytes=-10", SIZE - 10, SIZE - 1),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
        ("bytes=5-999999", 5, SIZE - 1),
        ("Bytes= 7-7", 7, 7),
        ("bytes=7-7,999999-", 7, 7),
    ):
        answer = fhir.get(url, headers={**PDF, "range": asked})
        assert answer.status_code == 206, asked
        assert answer.content == BODY[first : last + 1]
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{SIZE}"
        assert answer.headers["content-length"] == str(last - first + 1)
        assert answer.headers["content-type"] == "application/pdf"
        assert answer.headers["accept-ranges"] == "bytes"
        assert answer.headers["etag"] == 'W/"1"'


def test_the_parts_are_the_whole(fhir, url):
    got = b""
    while len(got) < SIZE:
        asked = f"bytes={len(got)}-{len(got) + 63}"
        got += fhir.get(url, headers={**PDF, "range": asked}).content
    assert got == BODY


def test_several_ranges_come_as_parts_of_one_answer(fhir, url):
    answer = fhir.get(url, headers={**PDF, "range": "bytes=0-3, -4"})
    assert answer.status_code == 206
    assert "content-range" not in answer.headers
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    parts = message_from_bytes(head + answer.content).get_payload()
    assert [part["content-range"] for part in parts] == [
        f"bytes 0-3/{SIZE}",
        f"bytes {SIZE - 4}-{SIZE - 1}/{SIZE}",
    ]
    assert [part.get_payload(decode=True) for part in parts] == [BODY[:4], BODY[-4:]]
    assert {part.get_content_type() for part in parts} == {"application/pdf"}


def test_no_byte_in_the_range_is_416(fhir, url):
    for asked in (f"bytes={SIZE}-", "bytes=999999-9999999", "bytes=-0"):
        answer = fhir.get(url, headers={"accept": "application/pdf, */*", "range": asked})
        outcome_of(answer, 416)
        assert answer.headers["content-range"] == f"bytes */{SIZE}"
        assert "etag" not in answer.headers
    outcome_of(fhir.get(url, headers={**PDF, "range": f"bytes={SIZE}-"}), 416)


@pytest.mark.parametrize(
    "asked",
    ["bytes=9-2", "bytes=a-b", "bytes", "lines=0-1", "bytes=", "bytes=1-2-3",
     "bytes=" + ",".join(f"{n}-{n}" for n in range(17)), "bytes=0-,0-"],
)  # fmt: skip
def test_a_range_that_is_none_gives_the_whole(fhir, url, asked):
    answer = fhir.get(url, headers={**PDF, "range": asked})
    assert (answer.status_code, answer.content) == (200, BODY)
    assert answer.headers["accept-ranges"] == "bytes"


def test_a_part_is_given_only_of_the_version_begun_with(fhir, url):
    whole = fhir.get(url, headers=PDF)
    for held in (whole.headers["etag"], whole.headers["last-modified"]):
        answer = fhir.get(url, headers={**PDF, "range": "bytes=1-2", "if-range": held})
        assert (answer.status_code, answer.content) == (206, BODY[1:3])
    for other in ('W/"2"', '"x"', "Mon, 01 Jan 2024 00:00:00 GMT", "yesterday"):
        answer = fhir.get(url, headers={**PDF, "range": "bytes=1-2", "if-range": other})
        assert (answer.status_code, answer.content) == (200, BODY), other
    # If-None-Match is looked at first.
    known = {**PDF, "range": "bytes=1-2", "if-none-match": whole.headers["etag"]}
    assert fhir.get(url, headers=known).status_code == 304


def test_range_is_for_the_bytes_fetched_alone(fhir, url):
    headers = {**PDF, "range": "bytes=0-1"}
    head = fhir.head(url, headers=headers)
    assert (head.status_code, head.headers["content-length"]) == (200, str(SIZE))
    assert head.headers["accept-ranges"] == "bytes"
    as_resource = fhir.get(url, headers={"accept": "application/fhir+json", "range": "bytes=0-1"})
    assert as_resource.status_code == 200
    assert as_resource.json()["resourceType"] == "Binary"
    assert fhir.get(f"{url}/_history/1", headers=headers).content == BODY[:2]
