"""Headers with a meaning of FHIR (https://hl7.org/fhir/R4/http.html#versioning)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.errors import Invalid
from fhirserver.interaction.if_match import if_match
from fhirserver.model.version import ANY
from fhirserver.rest.headers import (
    Prefer,
    http_date,
    none_match,
    not_modified_since,
    prefer,
    request_id,
)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ('W/"3"', 3),
        ('"3"', 3),
        (' W/"12" ', 12),
        (None, None),
        ("*", ANY),
        ('W/"1", "22"', (1, 22)),
    ],
)
def test_if_match_names_a_version(text, version):
    assert if_match(text) == version


@pytest.mark.parametrize(
    "text", ["3", 'W/"', 'W/"a"', 'W/"0"', 'W/"-1"', "", 'W/"1",', 'W/"1", *', 'w/"1"', 'W/"1e3"']
)
def test_malformed_if_match_is_invalid(text):
    with pytest.raises(Invalid):
        if_match(text)


def test_none_match_compares_weakly_with_each_tag():
    assert none_match('W/"3"', 3)
    assert none_match('"1", W/"3"', 3)
    assert none_match("*", 3)
    assert not none_match('W/"2"', 3)
    assert not none_match("3", 3)


def test_not_modified_since_compares_whole_seconds():
    updated = 1_700_000_000_500_000
    assert not_modified_since("Tue, 14 Nov 2023 22:13:20 GMT", updated)
    assert not not_modified_since("Tue, 14 Nov 2023 22:13:19 GMT", updated)


@given(st.text(max_size=50))
def test_any_date_is_compared_or_passed_over(text):
    assert not_modified_since(text, 1_700_000_000_500_000) in (True, False)


def test_http_date():
    assert http_date(1_700_000_000) == b"Tue, 14 Nov 2023 22:13:20 GMT"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", Prefer(None, None)),
        ("return=minimal", Prefer("minimal", None)),
        ("return=representation; handling=strict", Prefer("representation", "strict")),
        ("handling=lenient, return=OperationOutcome", Prefer("OperationOutcome", "lenient")),
        ("respond-async, return=unheard-of", Prefer(None, None)),
        ("return=minimal, return=representation", Prefer("minimal", None)),
        ("handling=loose", Prefer(None, None)),
        ('return="minimal"', Prefer("minimal", None)),
    ],
)
def test_prefer(text, expected):
    assert prefer(text) == expected


def test_request_id_is_echoed_only_when_it_is_harmless():
    assert request_id(b"abc-1") == b"abc-1"
    assert request_id(b"a b") is None
    assert request_id(b"x" * 129) is None
    assert request_id(b"<script>") is None
    assert request_id(None) is None
