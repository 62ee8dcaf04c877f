"""A document Bundle as a page: it reads as a document."""

from __future__ import annotations

from lxml import html

from fhirserver.rest.page import page

BASE = "https://sante.example/fhir"
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>"


def text(inner):
    return {
        "status": "generated",
        "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{inner}</div>',
    }


def bundle(*sections, **composition):
    return {
        "resourceType": "Bundle",
        "type": "document",
        "entry": [
            {
                "fullUrl": f"{BASE}/Composition/c",
                "resource": {
                    "resourceType": "Composition",
                    "id": "c",
                    "language": "fr-FR",
                    "status": "final",
                    "title": "Compte rendu",
                    "date": "2026-11-24",
                    "subject": {"reference": f"{BASE}/Patient/p"},
                    "author": [{"reference": "Practitioner/d"}],
                    "section": list(sections),
                    **composition,
                },
            },
            {
                "fullUrl": f"{BASE}/Patient/p",
                "resource": {
                    "resourceType": "Patient",
                    "id": "p",
                    "name": [{"family": "DURAND", "given": ["Élise"]}],
                    "text": text("<p>Élise DURAND</p>"),
                },
            },
            {
                "fullUrl": f"{BASE}/Practitioner/d",
                "resource": {
                    "resourceType": "Practitioner",
                    "id": "d",
                    "name": [{"family": "ROUX"}],
                },
            },
        ],
    }


def shown(resource, language="fr"):
    made = page(resource, base_url=BASE, self_url=f"{BASE}/Bundle/1", language=language)
    return html.fromstring(made.body)


def test_document_reads_as_a_document():
    tree = shown(
        bundle(
            {"title": "Allergies", "text": text("<table><tr><td>Latex</td></tr></table>")},
            {"title": "Traitements", "text": text("<p>Aucun</p>")},
        )
    )
    assert tree.xpath("//h1/text()") == ["Compte rendu"]
    (article,) = tree.xpath("//article")
    assert article.get("lang") == "fr-FR"
    assert article.xpath(".//section/h2/text()") == ["Allergies", "Traitements"]
    assert article.xpath(".//section[1]//td/text()") == ["Latex"]
    facts = dict(zip(tree.xpath("//dl/dt/text()"), tree.xpath("//dl/dd/text()"), strict=True))
    assert facts["Concerne"] == "Élise DURAND"
    assert facts["Auteur"] == "ROUX"
    # Without a text of its own the document is headed by its subject.
    assert "Élise DURAND" in article.xpath("./div")[0].text_content()


def test_every_section_is_named_and_in_the_contents():
    tree = shown(bundle({"title": "A", "text": text("<p>a</p>")}, {"code": {"text": "B"}}, {}))
    (nav,) = tree.xpath('//nav[@aria-label="Sommaire"]')
    targets = [href.removeprefix("#") for href in nav.xpath(".//a/@href")]
    assert nav.xpath(".//a/text()") == ["A", "B", "Rubrique 3"]
    for target in targets:
        assert len(tree.xpath(f'//*[@id="{target}"]')) == 1
        assert tree.xpath(f'//section[@aria-labelledby="{target}"]')


def test_section_without_a_text_is_told_by_its_entries():
    tree = shown(bundle({"title": "Qui", "entry": [{"reference": f"{BASE}/Practitioner/d"}]}))
    assert tree.xpath("//article//section//li/text()") == ["ROUX"]


def test_sections_within_sections_keep_the_order_of_headings():
    inner = {"title": "Dedans", "text": text("<p>x</p>")}
    tree = shown(bundle({"title": "Dehors", "section": [inner]}))
    assert tree.xpath("//section/h2/text()")[0] == "Dehors"
    assert tree.xpath("//section//section/h3/text()") == ["Dedans"]


def test_sections_without_end_are_cut():
    section = {"title": "x"}
    for _ in range(30):
        section = {"title": "x", "section": [section]}
    assert 1 < len(shown(bundle(section)).xpath("//article//section")) <= 10


def test_hostile_texts_stay_texts():
    hostile = {"title": HOSTILE, "text": text("<p onclick='x()'>a<script>alert(1)</script></p>")}
    made = page(
        bundle(hostile, hostile, title=HOSTILE, language='"><script>'),
        base_url=BASE,
        self_url=BASE,
    )
    assert b"<script" not in made.body
    tree = html.fromstring(made.body)
    assert not tree.xpath("//img | //*[@onclick] | //*[@onerror]")


def test_document_that_is_none_is_shown_as_any_bundle():
    for entries in ([], [{"resource": {"resourceType": "Patient"}}], [{}], ["x"]):
        tree = shown({"resourceType": "Bundle", "type": "document", "entry": entries})
        assert tree.xpath("//h1/text()") == ["Bundle · document"]
