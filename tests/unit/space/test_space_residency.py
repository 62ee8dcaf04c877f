"""Whom the server calls: what the operator has listed, and nobody else."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from fhirserver.access.notice.sender import SmtpSender
from fhirserver.auth.fetch import Fetcher, Refused
from fhirserver.model import outside
from fhirserver.settings import Settings

ROOM = Path(__file__).parents[3] / "fhirserver"
#: What a connection to another machine is opened with.
OPENERS = {"open_connection", "create_connection", "urlopen", "AsyncClient", "Client", "SMTP",
           "SMTP_SSL", "HTTPSConnection", "HTTPConnection"}  # fmt: skip
MODULES = {"httpx", "smtplib", "urllib.request", "http.client", "asyncio", "socket"}
#: Rooms that are no part of the running server: commands and loading are clients of it.
CLIENTS = {"cli", "load"}


@pytest.fixture
def only():
    before = outside.allow(frozenset({"mail.example"}))
    yield
    outside.allow(before)


def test_listed_hosts_and_this_machine_may_be_called(only):
    for target in ("mail.example", "smtp://u:p@MAIL.example:25", "localhost:1", "http://127.0.0.1",
                   "http://[::1]:80/x"):  # fmt: skip
        outside.reach(target)


@pytest.mark.parametrize(
    "target",
    ["other.example", "https://mail.example.evil.test/", "mail.example@evil.test", "10.0.0.1",
     "https://evil.test/?mail.example", "http://[fe80::1]/", ""],
)  # fmt: skip
def test_no_other_host_may_be_called(only, target):
    with pytest.raises(outside.OutsideRefused):
        outside.reach(target)


async def test_mail_and_keys_do_not_pass_the_gate(only):
    sender = SmtpSender("smtp://elsewhere.example:25", "no-reply@example.org")
    with pytest.raises(OSError, match="outside hosts"):
        await sender.send("camille@example.org", "1")

    async def resolve(host, port):
        return ["93.184.216.34"]

    with pytest.raises(Refused, match="outside hosts"):
        await Fetcher(("keys.example",), resolve=resolve).json("https://keys.example/jwks")


def _opens(tree):
    """Whether the module opens connections to other machines."""
    names = {module.partition(".")[0] for module in MODULES}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        owner = node.func.value
        if isinstance(owner, ast.Name) and owner.id in names and node.func.attr in OPENERS:
            yield node.lineno


def test_whatever_opens_a_connection_asks_the_gate():
    openers = []
    for file in ROOM.rglob("*.py"):
        if file.relative_to(ROOM).parts[0] in CLIENTS:
            continue
        text = file.read_text()
        if list(_opens(ast.parse(text))):
            openers.append(file.name)
            assert "reach(" in text, file
    assert {"fetch.py", "provider.py", "sender.py", "antivirus.py"} <= set(openers)


def production(tmp_path, **more):
    file = tmp_path / "providers.json"
    provider = {"id": "fc", "name": "F", "kind": "citizen", "issuer": "https://id.example",
                "client_id": "c", "claim": "sub", "system": "urn:x"}  # fmt: skip
    file.write_text(json.dumps([provider]))
    return Settings(
        _env_file=None,
        environment="production",
        base_url="https://a.example/fhir",
        identity_providers=str(file),
        **more,
    )


def test_production_does_not_start_with_a_host_that_is_not_listed(tmp_path):
    more = {
        "mail_server": "smtp://u:p@mail.example:587",
        "fetch_hosts": "keys.example:8443",
        "database": "mongodb://u:p@db1.example:27017,db2.example/space",
    }
    said = " ".join(production(tmp_path, **more).problems())
    for setting, host in (
        ("identity_providers", "id.example"),
        ("mail_server", "mail.example"),
        ("fetch_hosts", "keys.example"),
        ("database", "db1.example"),
        ("database", "db2.example"),
    ):
        assert f"{setting} names {host}," in said
    listed = "id.example,mail.example,keys.example,db1.example,db2.example"
    assert production(tmp_path, **more, outside_hosts=listed).problems() == []


def test_in_development_hosts_count_once_they_are_listed():
    free = Settings(_env_file=None, mail_server="smtp://mail.example")
    assert free.problems() == []
    bound = Settings(_env_file=None, mail_server="smtp://mail.example", outside_hosts="x.example")
    assert "mail.example" in " ".join(bound.problems())
    near = Settings(_env_file=None, mail_server="smtp://127.0.0.1", outside_hosts="x.example")
    assert near.problems() == []


@pytest.mark.parametrize("country", ["fr", "FRA", ""])
def test_the_country_is_a_code(country):
    with pytest.raises(ValueError):
        Settings(_env_file=None, hosting_country=country)
