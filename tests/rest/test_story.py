"""The story of examples/story, told to a running server, on each engine."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import uuid

import pytest
from over_http import ROOT, database_in, start, stop

#: What the story is to have said, in this order: the sentences of the plan.
SENTENCES = (
    "publishes the discharge letter",
    "Camille is told that there is something new",
    "She reads it",
    "She hides it from professionals",
    "search does not show it",
    "does not count it",
    "breaks the glass, and is refused",
    "he sees her allergies in the emergency",
    "Each access is in her log",
    "She is told of it",
    "For Jules, a year old, are due",
    "A reminder has gone out",
    "It is listed",
    "for appointments only",
    "It books with Dr Fontaine",
    "is refused (403)",
    "its next request is refused at once",
    "opens a conversation",
    "She answers",
    "He ends it",
    "She exports everything",
    "She closes the space",
)


def database(engine, folder):
    if engine == "sqlite":
        return f"sqlite:///{folder}/story.db"
    url = os.environ.get("FHIRSERVER_TEST_MONGODB")
    if not url:
        pytest.skip("FHIRSERVER_TEST_MONGODB names no MongoDB server")
    return database_in(url, f"story_{uuid.uuid4().hex[:12]}")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def run(*arguments, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=1500,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def told_of(engine, folder):
    """The sample people; for the wire server, to which each search is a walk through everything,
    those alone who occur."""
    examples = ROOT / "examples"
    if engine == "sqlite":
        return sorted(examples.glob("*.json"))
    catalogue = json.loads((examples / "catalogue.json").read_text())
    publishers = [
        entry["resource"]
        for entry in catalogue["entry"]
        if entry["resource"]["resourceType"] == "Organization"
    ]
    file = folder / "publishers.ndjson"
    file.write_text("\n".join(map(json.dumps, publishers)))
    names = ("directory.json", "camille-lefevre.json", "jules-lefevre.json")
    return [*(examples / name for name in names), file]


@pytest.fixture(params=["sqlite", "mongodb"])
def told(request, tmp_path):
    """A server with the sample people, and the key of the story's clients."""
    url = database(request.param, tmp_path)
    port = free_port()
    base = f"http://127.0.0.1:{port}/fhir"
    key = tmp_path / "key.json"
    people = told_of(request.param, tmp_path)
    run("-m", "fhirserver.cli", "load", *people, "--database", url, folder=tmp_path)
    run(ROOT / "examples/story/prepare.py", "--database", url, "--key", key, folder=tmp_path)
    settings = {
        "FHIRSERVER_AUTH": "smart",
        "FHIRSERVER_PORT": str(port),
        "FHIRSERVER_BASE_URL": base,
        "FHIRSERVER_SEARCH_SECONDS": "300",
        "FHIRSERVER_MAIL_FOLDER": str(tmp_path / "mail"),
    }
    server = start(tmp_path, url, request.param, **settings)
    yield base, key, tmp_path, request.param
    stop(server)
    assert "Traceback" not in server.log.read_text(errors="replace")


def test_the_story_is_true_and_can_be_told_again(told):
    base, key, folder, engine = told
    patience = "60" if engine == "sqlite" else "300"
    for _ in range(2 if engine == "sqlite" else 1):
        text = run(ROOT / "examples/story", "--base", base, "--key", key,
                   "--patience", patience, folder=folder)  # fmt: skip
        flat = " ".join(text.split())
        places = [flat.find(sentence) for sentence in SENTENCES]
        assert -1 not in places, SENTENCES[places.index(-1)]
        assert places == sorted(places)
        assert "all of them true" in flat
    mails = [file.read_text() for file in (folder / "mail").glob("*.eml")]
    assert mails
    assert not any("liaison" in mail or "genou" in mail for mail in mails)
