"""Choosing a representation (https://hl7.org/fhir/R4/http.html#mime-type)."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirserver.errors import NotAcceptable, UnsupportedMediaType
from fhirserver.rest.formats import JSON_PATCH, accepts_type, body_format, negotiate

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "kind", "content_type"),
    [
        ("", "json", "application/fhir+json; charset=utf-8"),
        ("*/*", "json", "application/fhir+json; charset=utf-8"),
        ("application/*", "json", "application/fhir+json; charset=utf-8"),
        ("application/fhir+json", "json", "application/fhir+json; charset=utf-8"),
        ("application/json", "json", "application/json; charset=utf-8"),
        ("text/json", "json", "text/json; charset=utf-8"),
        ("application/json+fhir", "json", "application/json+fhir; charset=utf-8"),
        ("application/fhir+xml", "xml", "application/fhir+xml; charset=utf-8"),
        ("application/xml", "xml", "application/xml; charset=utf-8"),
        ("text/xml", "xml", "text/xml; charset=utf-8"),
        ("application/xml+fhir", "xml", "application/xml+fhir; charset=utf-8"),
        ("text/html", "html", "text/html; charset=utf-8"),
        (BROWSER, "html", "text/html; charset=utf-8"),
        ("APPLICATION/FHIR+XML", "xml", "application/fhir+xml; charset=utf-8"),
        (
            "application/fhir+json;q=0.5, application/fhir+xml;q=0.9",
            "xml",
            "application/fhir+xml; charset=utf-8",
        ),
        (
            "application/fhir+xml, application/fhir+json",
            "xml",
            "application/fhir+xml; charset=utf-8",
        ),
        ("application/fhir+json;q=0, */*", "json", "application/json; charset=utf-8"),
        ("text/turtle, application/fhir+xml;q=0.1", "xml", "application/fhir+xml; charset=utf-8"),
        (
            "application/fhir+json; fhirVersion=4.0",
            "json",
            "application/fhir+json; charset=utf-8; fhirVersion=4.0",
        ),
        (
            "application/fhir+json; fhirVersion=3.0, application/fhir+xml; fhirVersion=4.0",
            "xml",
            "application/fhir+xml; charset=utf-8; fhirVersion=4.0",
        ),
        ("application/fhir+json; charset=utf-8", "json", "application/fhir+json; charset=utf-8"),
    ],
)
def test_accept_chooses_the_representation(accept, kind, content_type):
    chosen = negotiate(accept)
    assert chosen.kind == kind
    assert chosen.content_type.decode() == content_type


@pytest.mark.parametrize(
    "accept",
    [
        "text/turtle",
        "application/pdf",
        "application/fhir+json;q=0",
        "application/fhir+json; fhirVersion=3.0",
        "application/fhir+json; fhirVersion=5.0",
        "nonsense",
        ";;;",
    ],
)
def test_what_cannot_be_given_is_not_acceptable(accept):
    with pytest.raises(NotAcceptable):
        negotiate(accept)


@pytest.mark.parametrize(
    ("format", "kind"),
    [
        ("json", "json"),
        ("xml", "xml"),
        ("html", "html"),
        ("text/xml", "xml"),
        ("application/fhir+xml", "xml"),
        ("application/fhir xml", "xml"),
        ("application/json", "json"),
        ("text/html", "html"),
    ],
)
def test_format_parameter_wins_over_accept(format, kind):
    assert negotiate("text/turtle", format).kind == kind


@pytest.mark.parametrize("format", ["ttl", "", "pdf", "application/pdf"])
def test_unknown_format_parameter_is_not_acceptable(format):
    with pytest.raises(NotAcceptable):
        negotiate("application/fhir+json", format)


@given(st.text(max_size=60))
def test_any_accept_gives_a_format_or_not_acceptable(text):
    with contextlib.suppress(NotAcceptable):
        assert negotiate(text).kind in ("json", "xml", "html")


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/fhir+json", "json"),
        ("application/fhir+json; charset=UTF-8", "json"),
        ("application/json", "json"),
        ("text/json", "json"),
        ("application/json+fhir", "json"),
        ("application/fhir+xml; fhirVersion=4.0", "xml"),
        ("text/xml", "xml"),
    ],
)
def test_content_type_tells_how_to_read_the_body(content_type, kind):
    assert body_format(content_type) == kind


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/html",
        "application/pdf",
        "application/fhir+json; charset=iso-8859-1",
        "application/fhir+json; fhirVersion=5.0",
        "application/fhir+turtle",
        "application/json-patch+json",
        "json",
    ],
)
def test_other_content_types_are_unsupported(content_type):
    with pytest.raises(UnsupportedMediaType):
        body_format(content_type)


def test_json_patch_is_read_where_it_is_expected():
    assert body_format("application/json-patch+json", also=(JSON_PATCH,)) == JSON_PATCH


@given(st.text(max_size=60))
def test_any_content_type_is_read_or_refused(text):
    with contextlib.suppress(UnsupportedMediaType):
        assert body_format(text) in ("json", "xml")


@pytest.mark.parametrize(
    ("accept", "mime", "taken"),
    [
        ("", "application/pdf", True),
        ("*/*", "application/pdf", True),
        ("application/pdf", "application/pdf", True),
        ("image/*", "image/png", True),
        ("image/*", "application/pdf", False),
        ("application/pdf;q=0, */*", "application/pdf", False),
    ],
)
def test_accept_takes_other_content(accept, mime, taken):
    assert accepts_type(accept, mime) is taken
