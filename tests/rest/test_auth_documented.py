"""The commands of docs/auth.md and README.md do what they say, with every example loaded."""

import json
import re
import shlex
from pathlib import Path

import pytest
from smart_browser import people

from fhirserver.cli.token import _token
from fhirserver.model import shipped
from fhirserver.settings import Settings

ROOT = Path(__file__).parents[2]
LOADED = ("Condition", "Observation", "Device", "CareTeam")


def shown(file):
    """(scope and other options, path asked for) of each token that a page prints and uses."""
    text = (ROOT / file).read_text().replace("\\\n", " ")
    options = None
    for line in text.splitlines():
        if made := re.match(r"\s*(?:token|TOKEN)=\$\((?:\S*/)?fhirserver token (.*)\)\s*$", line):
            words = shlex.split(made[1])
            options = dict(zip(words[::2], words[1::2], strict=True))
        elif asked := re.search(r"curl .*\$(?:token|TOKEN).*/fhir/(\S+)", line):
            yield options, asked[1]


CASES = [
    (file, options, path) for file in ("README.md", "docs/auth.md") for options, path in shown(file)
]


def test_the_pages_show_tokens_at_work():
    assert len(CASES) >= 4
    assert any("--mode" in options for _, options, _ in CASES)


@pytest.mark.parametrize("choices", [False, True])
async def test_documented_tokens_open_what_the_page_asks_for(smart, choices):
    found = [
        entry["resource"]
        for file in sorted(shipped.folder("examples").glob("*.json"))
        for entry in json.loads(file.read_bytes()).get("entry", [])
        if entry["resource"]["resourceType"] in LOADED
    ]
    if choices:
        lines = (shipped.folder("examples") / "choices.ndjson").read_text().splitlines()
        found += [json.loads(line) for line in lines if line.strip()]
    await smart.put(*people(), *found)
    settings = Settings(
        _env_file=None, auth="smart", base_url="http://testserver/fhir", database=smart.database
    )
    for file, options, path in CASES:
        token = await _token(
            settings,
            options["--as"],
            options["--scope"],
            options.get("--client", "command-line"),
            options.get("--patient"),
            options.get("--mode", "normal"),
            options.get("--reason", ""),
            3600,
        )
        answer = await smart.fhir(token, path)
        assert answer.status_code == 200, answer.text
        if not path.startswith("AuditEvent"):
            assert answer.json().get("entry"), (file, path)
