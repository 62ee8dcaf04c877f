"""The chapters of the story, in their order."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from booking import a_booking_app
from resources import MASKS, actor, choice, letter, parameters, purpose

if TYPE_CHECKING:
    from server import Client
    from telling import Story

CAMILLE, JULES = "Patient/camille-lefevre", "Patient/jules-lefevre"
NADIA, PAUL = "Practitioner/nadia-haddad", "Practitioner/paul-mercier"
MATHIEU = "Practitioner/mathieu-lopez"
HOSPITAL = "Organization/ch-garonne"
OWN = "launch/patient openid fhirUser patient/*.cruds"
WORK = "openid fhirUser user/*.cruds"
LETTER = "Sortie de Mme LEFEVRE ce jour. Suites simples, contrôle dans un mois."


def notices(reader: Client, patient: str, since: str) -> list[dict[str, Any]]:
    return reader.found(f"Communication?subject={patient}&category=notification&sent=ge{since}")


def a_letter_is_published(story: Story) -> None:
    """A hospital publishes a discharge letter for a citizen of a pilot department."""
    server = story.server
    camille = story.memory["camille"] = server.person(CAMILLE, OWN)
    story.memory["begun"] = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if camille.count(f"Consent?patient={CAMILLE}&category=OPTOUT&status=active"):
        camille.post("Consent", choice(CAMILLE, "OPTIN", "permit", "Ouvrir mon espace"))
        story.tells("Camille had closed her space at the end of the last telling; she opens it.")
    her = camille.get(CAMILLE)
    code = next(a["postalCode"] for a in her["address"] if a.get("use") == "home")
    story.tells(f"Camille lives in {code}: Haute-Garonne, a pilot department.", code[:2] == "31")
    ins = her["identifier"][0]
    hospital = server.service("story-hospital")
    known = hospital.found(f"Patient?identifier={ins['system']}|{ins['value']}")
    story.tells(
        "The hospital asks by her INS whether she has a space, and she has.",
        len(known) == 1 and known[0]["active"] is True,
    )
    made = hospital.post(
        "DocumentReference", letter(CAMILLE, HOSPITAL, date.today().isoformat(), LETTER)
    )
    story.memory["letter"] = made["id"]
    url = made["content"][0]["attachment"]["url"]
    story.tells(
        f"It publishes the discharge letter (ITI-105): DocumentReference/{made['id']}.", url
    )


def she_is_told_reads_and_hides_it(story: Story) -> None:
    """She is notified, reads it, hides it; her doctor's search neither shows nor counts it."""
    server, camille = story.server, story.memory["camille"]
    since = story.memory["begun"]
    told = server.until(lambda: notices(camille, CAMILLE, since))
    story.tells("Camille is told that there is something new.", told)
    text = str(told)
    story.tells("The notice does not say what.", "Sortie" not in text and "liaison" not in text)
    document = camille.get(f"DocumentReference/{story.memory['letter']}")
    binary = document["content"][0]["attachment"]["url"].rpartition("/fhir/")[2]
    content = camille.file(binary).decode(errors="replace")
    if "Binary" in content[:200] and "data" in content:
        import base64
        import json

        content = base64.b64decode(json.loads(content)["data"]).decode()
    story.tells(f"She reads it: “{content[:60]}…”", content == LETTER)
    permission = camille.post(
        "Consent",
        choice(
            CAMILLE, "INFA", "permit", "Dr Haddad", actor=actor(NADIA), purpose=purpose("TREAT")
        ),
    )
    story.memory["permission"] = permission["id"]
    doctor = story.memory["nadia"] = server.person(NADIA, WORK, app="story-practice")
    search = f"DocumentReference?patient={CAMILLE}&type=http://loinc.org|11490-0"
    before = doctor.count(search)
    ids = {each["id"] for each in doctor.found(search)}
    story.tells("Her doctor, whom she permits, finds it.", story.memory["letter"] in ids)
    mask = {"coding": [{"system": MASKS, "code": "MASQUE_PS"}]}
    camille.put(document | {"securityLabel": [*document.get("securityLabel", []), mask]})
    story.tells("She hides it from professionals.")
    ids = {each["id"] for each in doctor.found(search)}
    story.tells("Her doctor's search does not show it,", story.memory["letter"] not in ids)
    story.tells("and does not count it either.", doctor.count(search) == before - 1)
    status = doctor.status("GET", f"DocumentReference/{story.memory['letter']}")
    story.tells("Asked for by its id it is unknown (404).", status == 404)


def the_glass_is_broken(story: Story) -> None:
    """Break-glass is refused after opposition and works, audited and announced, without."""
    server, camille = story.server, story.memory["camille"]
    opposition = camille.post(
        "Consent", choice(CAMILLE, "INFA", "deny", "Opposition", purpose=purpose("BTG"))
    )
    story.tells("Camille opposes that anybody breaks the glass.")

    def breaks() -> Client:
        return server.person(
            PAUL, "launch/patient openid fhirUser patient/*.rs", app="story-practice",
            access_mode="bris_de_glace", patient=CAMILLE.partition("/")[2],
            reason="Inconsciente aux urgences",
        )  # fmt: skip

    from telling import Wrong

    try:
        refused = breaks().status("GET", CAMILLE) in (403, 404)
    except Wrong:
        refused = True  # not even a token
    story.tells("Dr Mercier, whom she does not know, breaks the glass, and is refused.", refused)
    camille.put(opposition | {"status": "inactive"})
    story.tells("She takes the opposition back.")
    since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    emergency = breaks()
    story.tells(
        "Now he sees her allergies in the emergency,",
        emergency.found(f"AllergyIntolerance?patient={CAMILLE}"),
    )
    ids = {each["id"] for each in emergency.found(f"DocumentReference?patient={CAMILLE}")}
    story.tells("but not what she has hidden.", story.memory["letter"] not in ids)

    def traces() -> list[dict[str, Any]]:
        found = camille.found(f"AuditEvent?patient={CAMILLE}&date=ge{since}&_count=200")
        return [each for each in found if "BTG" in str(each)]

    story.tells("Each access is in her log, with his name and the reason.", server.until(traces))
    told = server.until(lambda: notices(camille, CAMILLE, since))
    story.tells("She is told of it.", told)


def her_sons_vaccines(story: Story) -> None:
    """Her son's vaccines are forecast and a reminder goes out."""
    server = story.server
    mother = server.person(CAMILLE, OWN, acting_for="Jules")
    answer = mother.get(f"{JULES}/$immds-forecast")
    (forecast,) = [p["resource"] for p in answer["parameter"] if p["name"] == "recommendation"]
    due = []
    for each in forecast["recommendation"]:
        codes = [c["code"] for c in each["forecastStatus"]["coding"]]
        if {"due", "overdue"} & set(codes):
            diseases = each.get("targetDisease", {})
            due.append(diseases.get("text") or diseases.get("coding", [{}])[0].get("display"))
    story.tells(f"For Jules, a year old, are due: {', '.join(map(str, due[:6]))}.", due)
    reminded = server.until(
        lambda: [
            each
            for each in mother.found(f"Communication?subject={JULES}&category=notification")
            if "ImmunizationRecommendation/" in str(each.get("about"))
        ],
        every=2,
    )
    story.tells("A reminder has gone out into his space.", reminded)


def the_physiotherapist(story: Story) -> None:
    """The physiotherapist opens a conversation, she answers, he ends it."""
    server, camille = story.server, story.memory["camille"]
    mathieu = server.person(MATHIEU, WORK, app="story-practice")

    def message(text: str, to: str = "", root: str = "") -> dict[str, Any]:
        made: dict[str, Any] = {
            "resourceType": "Communication",
            "status": "completed",
            "subject": {"reference": CAMILLE},
            "payload": [{"contentString": text}],
        }
        if to:
            made["recipient"] = [{"reference": to}]
        if root:
            made["partOf"] = [{"reference": f"Communication/{root}"}]
        return made

    first = mathieu.post("Communication", message("Comment va le genou ?", CAMILLE))
    story.tells("Mathieu, the physiotherapist, opens a conversation.", first["id"])
    answer = camille.post("Communication", message("Bien mieux, merci.", root=first["id"]))
    story.tells("She answers,", answer["recipient"])
    seen = mathieu.found(f"Communication?part-of=Communication/{first['id']}")
    story.tells("and he reads it.", [each["id"] for each in seen] == [answer["id"]])
    reason = parameters(reason=("valueString", "Nous en parlons jeudi."))
    mathieu.post(f"Communication/{first['id']}/$end-thread", reason)
    late = camille.ask("POST", "Communication", message("Encore une chose", root=first["id"]))
    story.tells(
        "He ends it; her next message is refused (422) with his reason.",
        late.status_code == 422 and "jeudi" in late.text,
    )


def she_takes_everything_along(story: Story) -> None:
    """She exports everything and closes the space."""
    camille, doctor = story.memory["camille"], story.memory["nadia"]
    archive = zipfile.ZipFile(io.BytesIO(camille.file(f"{CAMILLE}/$export-space?language=fr")))
    names = archive.namelist()
    documents = archive.read("fhir/DocumentReference.ndjson").decode()
    story.tells(
        f"She exports everything: {len(names)} files, the hidden letter among them,",
        story.memory["letter"] in documents,
    )
    texts = [archive.read(n).decode(errors="replace") for n in names if n.startswith("documents/")]
    story.tells("with the letter itself,", any(LETTER in text for text in texts))
    page = archive.read("index.html").decode()
    story.tells("who saw what,", "fhir/AuditEvent.ndjson" in names)
    story.tells("and a page to read.", "<h1>Mon espace santé" in page)
    story.tells("Her doctor still sees her.", doctor.status("GET", CAMILLE) == 200)
    camille.post("Consent", choice(CAMILLE, "OPTOUT", "deny", "Fermer mon espace"))
    story.tells("She closes the space; to her doctor she is unknown (404) at once.",
                doctor.status("GET", CAMILLE) == 404)  # fmt: skip
    ins = camille.get(CAMILLE)["identifier"][0]
    hospital = story.server.service("story-hospital")
    known = hospital.found(f"Patient?identifier={ins['system']}|{ins['value']}")
    story.tells("The hospital is told that the space is closed,", known[0]["active"] is False)
    body = letter(CAMILLE, HOSPITAL, date.today().isoformat(), "Encore une lettre")
    story.tells("and can put nothing into it.",
                hospital.status("POST", "DocumentReference", body) in (403, 404, 422))  # fmt: skip
    story.tells("All is kept, and she herself still reads it.", camille.get(CAMILLE)["id"])


CHAPTERS = (
    a_letter_is_published,
    she_is_told_reads_and_hides_it,
    the_glass_is_broken,
    her_sons_vaccines,
    a_booking_app,
    the_physiotherapist,
    she_takes_everything_along,
)
