"""The XML format, both ways."""

from __future__ import annotations

import contextlib
import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from fhirserver.errors import FHIRError, Invalid, Malformed, NotAcceptable
from fhirserver.model import json, xml

NS = 'xmlns="http://hl7.org/fhir"'


def patient(inner: str) -> bytes:
    return f"<Patient {NS}>{inner}</Patient>".encode()


def refused(body: bytes) -> tuple[str, str]:
    """Where and why a document is refused as not being FHIR's XML."""
    with pytest.raises(Invalid) as error:
        xml.decode(body)
    issue = error.value.issues[0]
    return issue.expression[0], issue.diagnostics


def test_a_resource_is_read_with_types_ids_extensions_and_choices():
    body = f"""<?xml version="1.0" encoding="UTF-8"?>
    <?xml-stylesheet href="x.xsl"?>
    <!-- a comment -->
    <Patient {NS} xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
             xsi:schemaLocation="http://hl7.org/fhir ../patient.xsd">
      <id value="p1"/>
      <meta><versionId value="3"/></meta>
      <text><status value="generated"/>
        <div xmlns="http://www.w3.org/1999/xhtml"><p>A<!-- gone -->B &amp; <b>C</b></p></div></text>
      <contained><Organization><id value="o"/><name value="O"/></Organization></contained>
      <extension url="http://e" id="x1"><valueDecimal value="1.00"/></extension>
      <active value="true"/>
      <name id="n1"><given value="A"/><given id="g2"/><given value="C">
         <extension url="http://f"><valueBoolean value="false"/></extension></given></name>
      <birthDate><!-- c --><extension url="http://g"><valueCode value="unknown"/></extension>
      </birthDate>
      <multipleBirthInteger value="2"/>
    </Patient>""".encode()
    assert xml.decode(body) == {
        "resourceType": "Patient",
        "id": "p1",
        "meta": {"versionId": "3"},
        "text": {
            "status": "generated",
            "div": '<div xmlns="http://www.w3.org/1999/xhtml"><p>AB &amp; <b>C</b></p></div>',
        },
        "contained": [{"resourceType": "Organization", "id": "o", "name": "O"}],
        "extension": [{"id": "x1", "url": "http://e", "valueDecimal": Decimal("1.00")}],
        "active": True,
        "name": [
            {
                "id": "n1",
                "given": ["A", None, "C"],
                "_given": [
                    None,
                    {"id": "g2"},
                    {"extension": [{"url": "http://f", "valueBoolean": False}]},
                ],
            }
        ],
        "_birthDate": {"extension": [{"url": "http://g", "valueCode": "unknown"}]},
        "multipleBirthInteger": 2,
    }


def test_elements_are_written_in_the_order_of_their_definition():
    written = xml.encode({"gender": "male", "active": True, "id": "1", "resourceType": "Patient"})
    assert written == (
        b'<?xml version="1.0" encoding="UTF-8"?><Patient xmlns="http://hl7.org/fhir">'
        b'<id value="1"/><active value="true"/><gender value="male"/></Patient>'
    )


@pytest.mark.parametrize("text", ["1.00", "0.0000001", "-0.10", "12345678901234567890.12", "100"])
def test_decimals_keep_their_digits(text):
    resource = json.decode(
        b'{"resourceType":"Observation","valueQuantity":{"value":%b}}' % text.encode()
    )
    written = xml.encode(resource)
    assert f'<value value="{text}"/>'.encode() in written
    assert json.encode(xml.decode(written)) == json.encode(resource)


def test_white_space_and_special_characters_of_strings_survive():
    resource = {"resourceType": "Basic", "id": "1", "language": "a\n\r\tb  <>&\"'é\U0001f600"}
    assert xml.decode(xml.encode(resource)) == resource
    assert xml.decode(xml.encode_pretty(resource)) == resource


def test_characters_that_xml_cannot_hold_are_replaced_not_sent():
    written = xml.encode({"resourceType": "Basic", "language": "a\x01\x0b\ufffeb"})
    assert xml.decode(written)["language"] == "a\ufffd\ufffd\ufffdb"


@pytest.mark.parametrize(
    "body",
    [
        b'<!DOCTYPE x [<!ENTITY e "v">]>' + patient('<id value="&e;"/>'),
        b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd">' + patient('<id value="1"/>'),
        b"<!-- <a> --><!DOCTYPE x>" + patient('<id value="1"/>'),
        b'<?xml version="1.0"?>\n<!DOCTYPE Patient>' + patient('<id value="1"/>'),
        b"<!DOCTYPE x [" + b'<!ENTITY a "&b;&b;&b;&b;&b;&b;">' * 50 + b"]>" + patient(""),
    ],
)
def test_any_doctype_is_refused(body):
    with pytest.raises(Malformed, match="DOCTYPE"):
        xml.decode(body)


@pytest.mark.parametrize(
    "body",
    [b"", b"   ", b"{}", b"<Patient", patient("")[:-3], patient("<id value=1/>"),
     patient('<id value="&nope;"/>'), patient('<id value="1" value="2"/>'), patient("\0"),
     b"<?xml version='1.0'?>", b"<!-- only -->", b"\xef\xbb\xbf", patient("&nbsp;"),
     patient("").decode().encode("utf-16"), patient("é").decode().encode("latin-1"),
     b'<?xml version="1.0" encoding="ISO-8859-1"?>' + patient(""),
     b'<?xml version="1.0" encoding="UTF-16"?>' + patient(""),
     b'<?xml version="1.0" encoding="nonsense"?>' + patient(""),
     patient("") + b"<x/>"],
)  # fmt: skip
def test_what_is_not_well_formed_utf8_xml_is_malformed(body):
    with pytest.raises(Malformed):
        xml.decode(body)


@pytest.mark.parametrize(
    ("body", "expression", "why"),
    [
        (b'<Patient><id value="1"/></Patient>', "Patient", "namespace"),
        (b'<Patient xmlns="urn:hl7-org:v3"/>', "Patient", "namespace"),
        (f"<Nonsense {NS}/>".encode(), "Nonsense", "not a resource type"),
        (f"<HumanName {NS}/>".encode(), "HumanName", "not a resource type"),
        (patient('<name><x value="1"/></name>'), "Patient.name[0].x", "HumanName has no element x"),
        (patient('<active value="true" x="1"/>'), "Patient.active", "attribute x"),
        (patient('<name x="1"><text value="1"/></name>'), "Patient.name[0]", "attribute x"),
        (patient('<name url="1"><text value="1"/></name>'), "Patient.name[0]", "attribute url"),
        (f'<Patient {NS} id="1"/>'.encode(), "Patient", "attribute id"),
        (patient('<active value=""/>'), "Patient.active", "empty"),
        (patient("<active/>"), "Patient.active", "neither a value"),
        (patient("<name/>"), "Patient.name[0]", "empty"),
        (patient('<active value="true"/><active value="true"/>'), "Patient.active[1]", "once"),
        (patient('<active id="1"/><active value="true"/>'), "Patient.active[1]", "once"),
        (patient('<text><status value="x"/></text><text><status value="x"/></text>'),
         "Patient.text[1]", "once"),
        (patient('<active value="yes"/>'), "Patient.active", "boolean"),
        (patient('<active value="1"/>'), "Patient.active", "boolean"),
        (patient('<multipleBirthInteger value="1.0"/>'), "Patient.multipleBirthInteger", "integer"),
        (patient('<multipleBirthInteger value="01"/>'), "Patient.multipleBirthInteger", "integer"),
        (patient('<multipleBirthInteger value="1"/><multipleBirthBoolean value="true"/>'),
         "Patient.multipleBirthBoolean", "more than one type"),
        (patient('<birthDate value="2000"/><active value="true"/>'), "Patient.active",
         "<active> must come before <birthDate> in Patient"),
        (patient('<name><given value="a"/><family value="b"/></name>'), "Patient.name[0].family",
         "<family> must come before <given>"),
        (patient('<name><text value="a"/></name><active value="true"/>'), "Patient.active",
         "must come before"),
        (patient('<name id="a"/><gender value="male"/><name id="b"/>'),
         "Patient.name[1]", "must come before"),
        (patient('<active value="true"/><id value="x"/>'), "Patient.id", "must come before"),
        (patient("stray"), "Patient", "Text"),
        (patient("<name>stray<text value='1'/></name>"), "Patient.name[0]", "Text"),
        (patient('<name xmlns=""><text value="x"/></name>'), "Patient.name", "namespace"),
        (patient("<text><status value='x'/><div>x</div></text>"), "Patient.text.div", "xhtml"),
        (patient('<div xmlns="http://www.w3.org/1999/xhtml">x</div>'), "Patient.div", "xhtml"),
        (patient("<contained/>"), "Patient.contained[0]", "Exactly one"),
        (patient("<contained><Basic/><Basic/></contained>"), "Patient.contained[0]", "Exactly one"),
        (patient("<contained><Foo/></contained>"), "Patient.contained[0].Foo", "not a resource"),
        (patient("<contained><Patient><y/></Patient></contained>"), "Patient.contained[0].y",
         "no element y"),
        (patient('<active value="true"><value value="1"/></active>'), "Patient.active.value",
         "no element value"),
    ],
)  # fmt: skip
def test_what_is_not_fhir_is_refused_with_its_place(body, expression, why):
    place, diagnostics = refused(body)
    assert place == expression
    assert why in diagnostics
    assert "line 1" in diagnostics


@pytest.mark.parametrize(
    "value", ["1.", ".5", "+1.0", "1,5", "NaN", "Infinity", "1e9999", "1e99999999", "0x1", "١"]
)
def test_what_is_no_decimal_is_refused(value):
    body = (
        f'<Observation {NS}><valueQuantity><value value="{value}"/></valueQuantity></Observation>'
    )
    assert refused(body.encode())[0] == "Observation.valueQuantity.value"


def test_all_that_is_wrong_is_told_at_once_but_not_without_end():
    with pytest.raises(Invalid) as error:
        xml.decode(patient('<a value="1"/><b value="2"/>' * 1000))
    assert len(error.value.issues) == xml.MAX_ISSUES


def test_deep_nesting_is_refused():
    def deep(levels: int) -> bytes:
        opening = '<extension url="x">' * levels
        return patient(opening + '<valueCode value="1"/>' + "</extension>" * levels)

    resource = xml.decode(deep(29))
    assert json.decode(json.encode(resource)) == resource
    for levels in (30, 60, 200, 300, 50_000):
        with pytest.raises(Malformed):
            xml.decode(deep(levels))


def test_the_depth_that_xml_may_have_is_the_depth_that_json_may_have():
    inner = '<extension url="y"><valueCode value="1"/></extension>'
    for levels in range(27, 31):
        body = patient(
            '<extension url="x">' * levels
            + f'<valueString value="v">{inner}</valueString>'
            + "</extension>" * levels
        )
        with contextlib.suppress(Malformed):
            json.decode(json.encode(xml.decode(body)))  # never a Malformed of the reader of JSON
            assert levels < 29


def test_a_text_of_many_megabytes_is_refused_or_read_in_time():
    start = time.perf_counter()
    with contextlib.suppress(FHIRError):
        xml.decode(patient(f'<language value="{"x" * 20_000_000}"/>'))
    assert time.perf_counter() - start < 5


def test_prefixed_documents_are_read_and_their_prefixes_do_not_reach_the_narrative():
    body = b"""<f:Patient xmlns:f="http://hl7.org/fhir" xmlns:h="http://www.w3.org/1999/xhtml">
      <f:text><f:status value="generated"/>
      <h:div xml:lang="fr"><h:p class="a&amp;b">x<h:br/>&lt;y</h:p> z</h:div>
      </f:text></f:Patient>"""
    assert xml.decode(body)["text"]["div"] == (
        '<div xmlns="http://www.w3.org/1999/xhtml" xml:lang="fr">'
        '<p class="a&amp;b">x<br/>&lt;y</p> z</div>'
    )


@pytest.mark.parametrize(
    ("stored", "text"),
    [
        ("<div>no namespace</div>", "no namespace"),
        ('<div xmlns="http://www.w3.org/1999/xhtml">a&nbsp;b&eacute;&LT;</div>', "a\xa0bé<"),
        ('<!-- c --><div xmlns="http://www.w3.org/1999/xhtml">a</div> ', "a"),
        ("<div>not <b>closed</div>", "<div>not <b>closed</div>"),
        ('<!DOCTYPE div [<!ENTITY e "x">]><div>&e;</div>', None),
        ("plain \x01 text & more", "plain \ufffd text & more"),
        ("<p>wrong root</p>", "<p>wrong root</p>"),
        ("", ""),
        ("<div>&#1;</div>", None),
    ],
)
def test_any_stored_narrative_gives_well_formed_xml(stored, text):
    for write in (xml.encode, xml.encode_pretty):
        written = write({"resourceType": "Basic", "text": {"status": "generated", "div": stored}})
        div = etree.fromstring(written)[0][1]
        assert div.tag == "{http://www.w3.org/1999/xhtml}div"
        assert text is None or "".join(div.itertext()) == text


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"resourceType": "Nonsense"},
        {"resourceType": ["Patient"]},
        {"resourceType": "Patient", "nonsense": 1},
        {"resourceType": "Patient", "name": ["x"]},
        {"resourceType": "Patient", "contained": [{"id": "x"}]},
        {"resourceType": "Patient", "active": {"x": 1}},
        {"resourceType": "Patient", "name": [None]},
    ],
)
def test_what_cannot_be_xml_is_not_acceptable(resource):
    with pytest.raises(NotAcceptable):
        xml.encode(resource)


def test_pretty_xml_is_indented_and_leaves_the_narrative():
    div = '<div xmlns="http://www.w3.org/1999/xhtml"><pre> a\n b</pre></div>'
    resource = {"resourceType": "Basic", "id": "1", "text": {"status": "empty", "div": div}}
    lines = xml.encode_pretty(resource).decode().split("\n")
    assert lines[1:5] == [
        '<Basic xmlns="http://hl7.org/fhir">', '  <id value="1"/>', "  <text>",
        '    <status value="empty"/>',
    ]  # fmt: skip
    assert xml.decode(xml.encode_pretty(resource)) == resource


@given(st.binary(max_size=80))
def test_no_bytes_cause_another_error_than_fhirs(body):
    with contextlib.suppress(FHIRError):
        xml.decode(body)


pieces = st.sampled_from(
    ["<name>", "</name>", "<text value='x'/>", "<active value='true'/>", "<contained>", "&amp;",
     "</contained>", "<Patient>", "</Patient>", "<extension url='x'>", "</extension>", "<div/>",
     "<text>", "</text>", "<![CDATA[x]]>", "<!-- x -->", "<?pi x?>", "<valueDecimal value='1.0'/>",
     " ", "x", "<div xmlns='http://www.w3.org/1999/xhtml'>", "</div>", "<extension/>"]
)  # fmt: skip


@given(st.lists(pieces, max_size=12))
def test_no_document_causes_another_error_than_fhirs(inner):
    with contextlib.suppress(FHIRError):
        resource = xml.decode(patient("".join(inner)))
        assert xml.decode(xml.encode(resource)) == resource


@pytest.mark.parametrize("prefix", ["", "h:"])
def test_quotation_marks_in_narrative_are_written_as_hl7_writes_them(prefix):
    declaration = 'xmlns:h="http://www.w3.org/1999/xhtml"' if prefix else ""
    own = "" if prefix else ' xmlns="http://www.w3.org/1999/xhtml"'
    body = (
        f'<Patient xmlns="http://hl7.org/fhir" {declaration}><text><status value="generated"/>'
        f'<{prefix}div{own}>say &quot;a&quot; <{prefix}b title="c &gt; d">e</{prefix}b> \'f\' "g"'
        f"</{prefix}div></text></Patient>"
    )
    assert xml.decode(body.encode())["text"]["div"] == (
        '<div xmlns="http://www.w3.org/1999/xhtml">say &quot;a&quot; '
        "<b title=\"c &gt; d\">e</b> 'f' &quot;g&quot;</div>"
    )
